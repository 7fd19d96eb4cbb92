"""One request or one task of a command, from its submission to its pictures."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrs import define, field

from lemon_ext._amount import as_json

if TYPE_CHECKING:
    import anyio

    from lemon_ext.client import AsyncImageTask, AsyncLemon
    from lemon_ext.results import ImageResult

    from ._errors import Failure


@define(eq=False)
class Job:
    """``start`` gets the task's handle: it submits a request, or takes the handle of a task that is known.

    ``prompt`` is None for a task that another command submitted.
    """

    label: str
    start: Callable[[AsyncLemon], Awaitable[AsyncImageTask]]
    model: str | None = None
    prompt: str | None = None
    number: str = ""
    phase: Literal["queued", "sending", "waiting", "saving", "ended"] = "queued"
    task: AsyncImageTask | None = None
    #: What the library noted when an interrupt cut the job off.
    notes: Sequence[str] = ()
    #: What an interrupt cancels: the waiting, and never a submission.
    waiting: anyio.CancelScope | None = None
    began: float = 0.0
    #: When a status was said last, and whether the end of the job was.
    said: float = 0.0
    told: bool = False
    status: str | None = None
    result: ImageResult | None = None
    paths: list[Path] = field(factory=list)
    failure: Failure | None = None
    exit_code: int = 0
    bug: Exception | None = None

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    @property
    def id(self) -> str | None:
        """The task's id, where there is one."""
        return self.task.id if self.task is not None else None

    def head(self) -> dict[str, Any]:
        """Return how the job is recognised in JSON."""
        known = {"prompt": self.prompt} if self.prompt is not None else {}
        return {**known, "model": self.model, "task_id": self.id}

    def _billed(self) -> dict[str, Any]:
        """Return the JSON of what the request was billed as."""
        task = self.task
        if task is None:
            return dict.fromkeys(("request_id", "billing_id", "cost"))
        return {"request_id": task.request_id, "billing_id": task.billing_id, "cost": as_json(task.cost)}

    def saved(self) -> dict[str, Any]:
        """Return the JSON of images that are saved, though the job failed."""
        return {"paths": [str(path) for path in self.paths]} if self.paths else {}

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of a job whose images are saved."""
        revised = [image.revised_prompt for image in self.result or ()]
        return {
            **self.head(),
            "paths": [str(path) for path in self.paths],
            "created": self.result.created if self.result is not None else None,
            "revised_prompt": next((text for text in revised if text), None),
            "revised_prompts": revised,
            "seconds": round(self.seconds, 3),
            "note": " ".join(self.result.notes) or None if self.result is not None else None,
            **self._billed(),
        }
