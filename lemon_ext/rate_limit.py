"""The rate limit: never more than N requests in any 60 seconds, whoever makes them. Pure: no I/O and no clock."""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections import deque
from typing import ClassVar, Final

#: Requests that left a minute apart may arrive a little closer.
MARGIN: Final = 0.5
#: Seconds; a server that asks for more is asked again after so many. An epoch in the header would be 57 years.
LONGEST_HOLD: Final = 900.0


class RateLimit:
    """Grants requests, never more than ``per_minute`` in any 60 seconds (None: no limit). Safe across threads.

    All times are monotonic seconds.
    """

    #: Whether a request may leave after the wait that `acquire` returns; else it is to be asked again then.
    promises: ClassVar[bool] = True
    #: Which part of a limit that others share is ours.
    share: float = 1.0

    def __init__(self, per_minute: float | None = 1000.0) -> None:
        self.per_minute = per_minute
        self._window = 60.0 / min(per_minute or 1.0, 1.0) + MARGIN
        self._granted: deque[float] = deque(maxlen=max(int(per_minute or 0), 1))
        self._held = -math.inf
        self._lock = threading.Lock()

    def acquire(self, now: float, within: float = math.inf) -> float | None:
        """Grant one request and return the seconds to wait before it is sent.

        None, and nothing granted, if that is more than ``within``.
        """
        with self._lock:
            at = max(now, self._held)
            if self.per_minute is not None:
                if len(self._granted) == self._granted.maxlen:
                    at = max(at, self._granted[0] + self._window)
                if at - now <= within:
                    self._granted.append(max(at, self._granted[-1]) if self._granted else at)
            return at - now if at - now <= within else None

    def opens(self, now: float) -> float:
        """Return when the next request could be sent."""
        with self._lock:
            full = self.per_minute is not None and len(self._granted) == self._granted.maxlen
            return max(now, self._held, self._granted[0] + self._window if full else now)

    def free(self, now: float) -> float:
        """Return how many requests could be sent at once."""
        with self._lock:
            if now < self._held:
                return 0
            if self.per_minute is None:
                return math.inf
            return (self._granted.maxlen or 0) - len(self._granted) + bisect_right(self._granted, now - self._window)

    def hold(self, now: float, seconds: float) -> None:
        """Grant nothing for some seconds (15 minutes at most): the server said that there were too many requests."""
        with self._lock:
            self._held = max(self._held, now + min(seconds, LONGEST_HOLD))

    def wants(self, now: float, due: bool, spaced: bool = False) -> bool:
        """Tell whether more of a limit has to be fetched from elsewhere; nothing of this one is."""
        return False

    def after_fork(self) -> None:
        """Forget a lock that a thread of the parent process may hold for ever."""
        self._lock = threading.Lock()
