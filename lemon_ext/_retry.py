"""How long to wait before another try, and until when: pure decisions."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from ._response import APIResponse, error_detail
from .rate_limit import LONGEST_HOLD

BASE_DELAY: Final = 0.5
LONGEST_DELAY: Final = 8.0


class Deadline(NamedTuple):
    """A moment on a monotonic clock that everything under a call shares."""

    at: float
    clock: Callable[[], float]

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float]) -> Deadline:
        """Return the deadline ``seconds`` from now; infinity is no deadline."""
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or math.isnan(seconds) or seconds < 0:
            raise ValueError(f"a deadline is a number of seconds, zero or more (math.inf for none), not {seconds!r}")
        return cls(clock() + seconds, clock)

    def left(self) -> float:
        """Return the seconds left, never below zero."""
        return max(self.at - self.clock(), 0.0)


def retry_after(response: APIResponse, wall: float) -> float | None:
    """Return the seconds the server asks to wait: header (seconds or HTTP date), else ``error.retry_after``, else None.

    ``wall`` is the present time in Unix seconds. Zero is an answer.
    """
    if (header := response.headers.get("retry-after")) is not None:
        seconds = _seconds(header)
        if seconds is None:
            try:
                seconds = max(parsedate_to_datetime(header).timestamp() - wall, 0.0)
            except (TypeError, ValueError, OverflowError):
                seconds = None
        if seconds is not None:
            return seconds
    return _seconds(error_detail(response).get("retry_after")) if response.status_code >= 400 else None


def backoff(attempt: int, *, jitter: Callable[[], float] = random.random) -> float:
    """Return our own delay in seconds before repetition ``attempt`` (1 is the first): doubling, half of it jitter."""
    ceiling = min(BASE_DELAY * 2.0 ** min(attempt - 1, 10), LONGEST_DELAY)
    return ceiling * (0.5 + jitter() / 2)


def wait_before(attempt: int, hint: float | None) -> float:
    """Return the seconds to wait before try ``attempt``, where the server asks for ``hint``, 15 minutes at most.

    The hint wins over our own backoff, zero included, at the first repetition. From the second on the wait is never
    shorter than our backoff, so a server that always asks for zero is not sent thousands of requests a minute.
    """
    if hint is None:
        return backoff(attempt)
    hint = min(hint, LONGEST_HOLD)
    return hint if attempt == 1 else max(hint, backoff(attempt))


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < math.inf else None
