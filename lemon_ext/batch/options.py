"""How a batch is worked off, as its caller told it."""

from __future__ import annotations

from attrs import field, frozen

from lemon_ext._core import check_waiting
from lemon_ext._duration import GIVE_UP_AFTER, as_seconds
from lemon_ext._retry import Deadline
from lemon_ext.money import Budget


@frozen
class Options:
    """How a batch is worked off. The meanings are those of `run_batch`."""

    deadline: float = 600.0
    poll_interval: float | None = None
    concurrency: int = 64
    max_images: int | None = None
    resend_refused: bool = False
    resend_uncertain: bool = False
    resend_failed: bool = False
    drop_unknown: bool = False
    gallery: bool | str = True
    budget: Budget | None = None
    give_up_after: float = field(default=GIVE_UP_AFTER, converter=as_seconds)

    def __attrs_post_init__(self) -> None:
        if Deadline.after(self.deadline, lambda: 0.0).at <= 0:
            raise ValueError("a batch needs a deadline above zero: no request could be sent.")
        check_waiting(self.poll_interval)
        for name, value, least in (("concurrency", self.concurrency, 1), ("max_images", self.max_images, 0)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ValueError(f"{name} must be a whole number, {least} or more, not {value!r}.")
