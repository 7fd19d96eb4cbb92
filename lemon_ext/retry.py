"""When a request may be made again, and how long to wait before: pure decisions.

The billable POST is made again only if it certainly was not accepted: it never left, or the server refused it (429;
503 that says ``retryable: true`` or how long to wait). Everything else that can go wrong with it is a lost answer.
Polls and downloads are free, so nearly every failure of theirs is worth another try while there is time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Final, NamedTuple

from ._flow import TransportFault
from .errors import APIResponse, error_detail

BASE_DELAY: Final = 0.5
LONGEST_DELAY: Final = 8.0
#: Answers to a free request that another try may change.
TRANSIENT: Final = frozenset({408, 425, 429})


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


class Verdict(Enum):
    """What became of the billable POST."""

    ANSWERED = auto()
    REFUSED = auto()  # certainly not accepted, and another try may succeed
    ERROR = auto()  # certainly not accepted, and another try will not help
    UNCERTAIN = auto()  # may have been accepted and billed


def judge_submission(outcome: APIResponse | TransportFault) -> Verdict:
    """Decide what became of a POST that is billed when accepted."""
    if isinstance(outcome, TransportFault):
        return Verdict.REFUSED if outcome.unsent else Verdict.UNCERTAIN
    status = outcome.status_code
    if status < 400:
        return Verdict.ANSWERED
    if status == 429:
        return Verdict.REFUSED
    if status == 503:
        detail = error_detail(outcome)
        if (retryable := detail.get("retryable")) is False:
            return Verdict.ERROR
        hinted = retryable is True or "retry-after" in outcome.headers or detail.get("retry_after") is not None
        return Verdict.REFUSED if hinted else Verdict.UNCERTAIN
    # A 408 comes from a gateway that lost patience with what is behind it.
    return Verdict.UNCERTAIN if status >= 500 or status == 408 else Verdict.ERROR


def is_transient(response: APIResponse) -> bool:
    """Tell whether another try of a free request may go better."""
    return response.status_code in TRANSIENT or response.status_code >= 500


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
    """Return our own delay in seconds before try ``attempt`` (1 is the first repetition): doubling, with full
    jitter.
    """
    ceiling = min(BASE_DELAY * 2.0 ** min(attempt - 1, 10), LONGEST_DELAY)
    return ceiling * (0.5 + jitter() / 2)


def wait_before(attempt: int, hint: float | None) -> float:
    """Return the seconds to wait before try ``attempt`` of a free request, where the server asks for ``hint``.

    Its word counts, zero included; but who says zero again and again is not asked thousands of times a minute.
    """
    if hint is None:
        return backoff(attempt)
    return hint if attempt == 1 else max(hint, backoff(attempt))


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < math.inf else None
