"""What a batch does next, and when: every submission and every poll by the time it is due. Pure: no I/O, no clock."""

from __future__ import annotations

import heapq
import math
from typing import Any, Final

from lemon_ext.poll_schedule import Schedule
from lemon_ext.rate_limit import RateLimit

#: Seconds of submissions that may be made up for after polls, or the rate limit, kept them waiting.
CREDIT: Final = 1.0


class Queue:
    """What a batch does next, and when: every submission and every poll by the time it is due. Pure, as all here.

    One queue for both, so that neither starves the other. Submissions are spaced so that the polls they will need fit
    into the rate limit too, except while there is room for all that is under way: a small batch is sent at once.
    """

    def __init__(self, schedule: Schedule, rate_limit: RateLimit) -> None:
        self._schedule = schedule
        self._rate_limit = rate_limit
        self._queue: list[tuple[float, int, Any]] = []
        self._order = 0
        self._next_submission = -math.inf

    def __len__(self) -> int:
        """Return how many polls are queued."""
        return len(self._queue)

    def poll_at(self, task: Any, due: float) -> None:
        """Queue a poll of a task."""
        self._order += 1
        heapq.heappush(self._queue, (due, self._order, task))

    def next_poll(self) -> float:
        """Return when the next poll is due; infinity if there is none."""
        return self._queue[0][0] if self._queue else math.inf

    def take(self) -> Any:
        """Return the task whose poll is due first."""
        return heapq.heappop(self._queue)[2]

    def next_submission(self, now: float, under_way: int) -> float:
        """Return when the next submission is due, with so many tasks ``under_way``."""
        if self._rate_limit.per_minute is None:
            return now
        if (under_way + 1) * self._schedule.requests_per_task(now) <= self._rate_limit.free(now):
            return min(now, self._next_submission)
        return self._next_submission

    def submitted(self, now: float) -> None:
        """Space the following submission after one that is made now."""
        if self._rate_limit.per_minute is not None:
            pace = 60.0 / self._rate_limit.per_minute * self._schedule.requests_per_task(now)
            self._next_submission = max(self._next_submission, now - CREDIT) + pace
