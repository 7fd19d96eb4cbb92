"""Whether the API answers, and what a batch may send until that is known. Pure: no I/O and no clock.

A request that was not answered by the API itself raises the question: nothing was there, or a proxy answered instead.
Until it is settled nothing is sent but one free request at a time, the *probe*, so an outage costs few rows their
certainty. A probe that is answered ends the outage. Polls go on at once; submissions one at a time, until one is
answered: a proxy may let free requests pass and no others. In a healthy batch another submission is answered a moment
after one was lost, so that costs it nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from lemon_ext._duration import roughly
from lemon_ext.rate_limit import LONGEST_HOLD

#: Seconds before the second try, doubled for each further one, and the longest wait between two.
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 30.0
#: Seconds for which the first submission goes alone, until something is answered; then the API is asked. So a batch
#: that begins in an outage costs one row its certainty, and a model that takes long to answer costs no more than that.
ALONE: Final = 3.0
#: How many submissions may be in flight at once until one has been answered.
UNPROVEN: Final = 3
#: A try that comes so much later than planned, in seconds, comes after a sleep of the computer, which does not count.
NAP: Final = 60.0


@frozen
class Outage:
    """The API cannot be reached, since so many ``seconds``. ``next_try`` is the seconds until the next try, and
    ``left`` until the batch gives up.
    """

    seconds: float
    next_try: float
    left: float
    reason: str


@define(eq=False)
class Reach:
    """What is known of whether the API answers. All times are monotonic seconds."""

    give_up_after: float
    jitter: Callable[[], float] = random.random
    #: Whether anything but a probe may be sent.
    is_open: bool = field(default=True, init=False)
    #: Whether submissions are made one at a time, and not before which second.
    is_wary: bool = field(default=False, init=False)
    next_submission: float = field(default=-math.inf, init=False)
    #: When the next probe is due; infinity if none is.
    next_probe: float = field(default=math.inf, init=False)
    #: How many in a row were not answered.
    failed_probes: int = field(default=0, init=False)
    #: Why the batch shall end.
    gave_up: str | None = field(default=None, init=False)
    #: Whether the API has answered a submission yet, and whether it has answered anything.
    is_proven: bool = field(default=False, init=False)
    _is_there: bool = field(default=False, init=False)
    _is_first: bool = field(default=True, init=False)
    _reason: str = field(default="", init=False)
    _hint: float = field(default=0.0, init=False)
    #: When the first request was begun that was not answered; of submissions since the last that was answered.
    _since: float = field(default=0.0, init=False)
    _submissions_since: float = field(default=math.inf, init=False)
    _is_out: bool = field(default=False, init=False)
    #: Since a submission was answered: how often the question was raised by one, how many answers were lost, and how
    #: often one was not answered although a probe was.
    _alarms: int = field(default=0, init=False)
    _lost: int = field(default=0, init=False)
    _relapses: int = field(default=0, init=False)
    _wary_since: float = field(default=math.inf, init=False)
    #: Seconds of outages that are over, and when the last one ended.
    _total: float = field(default=0.0, init=False)
    _last_end: float = field(default=-math.inf, init=False)

    def trouble(
        self, now: float, began: float, reason: str, *, submission: bool = False, lost: bool = False, hint: float | None
    ) -> None:
        """A request that was made at ``began`` was not answered by the API. ``lost``: it may have been accepted."""
        self._lost += lost
        self._reason = reason
        self._hint = min(hint or 0.0, LONGEST_HOLD)
        if submission:
            self._submissions_since = min(self._submissions_since, began)
        if not self.is_open:
            return
        self.is_open, self.next_probe = False, now
        self._since, self.failed_probes = began, 0
        if submission:
            self._alarms += 1
            if self.is_wary and began >= self._wary_since:
                self._relapses += 1
                self.next_submission = now + self._wait(self._relapses)
                self._check(now, self._submissions_since)

    def at_once(self, most: int) -> int:
        """Return how many submissions may be in flight at once, of ``most`` that may in a healthy batch."""
        if self.is_wary:
            return 1
        return most if self.is_proven else min(most, UNPROVEN)

    def submitting(self, now: float) -> None:
        """A submission leaves."""
        if self._is_first:
            self._is_first, self.next_submission = False, max(self.next_submission, now + ALONE)

    def has_to_ask(self, now: float) -> bool:
        """Tell whether the API has to be asked before another submission, and note that it is."""
        if self._is_first or self._is_there:
            return False
        self.is_open, self.next_probe = False, now
        self._since, self.failed_probes = now, 0
        return True

    def answered(self) -> None:
        """The API itself answered a free request."""
        self._is_there = True

    def submission_answered(self) -> None:
        """The API itself answered a submission, whatever it said."""
        self.is_proven = self._is_there = True
        self._alarms = self._lost = self._relapses = 0
        self._submissions_since = math.inf
        if self.is_open:
            self.is_wary, self.next_submission = False, -math.inf

    def probing(self, now: float) -> None:
        """The probe that is due leaves."""
        if (slept := now - self.next_probe) > NAP:
            self._since += slept
            self._submissions_since += slept
        self.next_probe = math.inf

    def probed(self, now: float, reason: str | None, hint: float | None) -> None:
        """The probe was answered by the API, or ``reason`` says what came instead."""
        if reason is not None:
            self._is_out, self._reason, self._hint = True, reason, min(hint or 0.0, LONGEST_HOLD)
            self.failed_probes += 1
            self.next_probe = min(now + self._wait(self.failed_probes), max(self._since + self.give_up_after, now))
            self._check(now, self._since)
            return
        self.is_open, self._is_there, self.next_probe = True, True, math.inf
        if self._is_out or self._alarms or self._lost:  # and no submission was answered since
            self.is_wary, self._wary_since = True, now
        if self._is_out:
            self._total += now - self._since
            self._last_end, self._is_out = now, False

    def was_out(self, since: float) -> bool:
        """Tell whether the API could not be reached at some moment after this one."""
        return self._is_out or self._last_end >= since

    def lasted(self, now: float) -> float:
        """Return the seconds of all outages until now."""
        return self._total + (now - self._since if self._is_out else 0.0)

    def shown(self, now: float) -> Outage | None:
        """Return the outage there is, for people. A single request that met nothing is none."""
        if self._is_out:
            since, due = self._since, self.next_probe
        elif self._relapses:
            since, due = self._submissions_since, self.next_submission
        else:
            return None
        wait = max(due - now, 0.0) if due < math.inf else 0.0
        return Outage(max(now - since, 0.0), wait, max(since + self.give_up_after - now, 0.0), self._reason)

    def _wait(self, attempt: int) -> float:
        ceiling = min(FIRST_WAIT * 2.0 ** min(attempt - 1, 10), LONGEST_WAIT)
        return max(ceiling * (0.5 + self.jitter() / 2), self._hint)

    def _check(self, now: float, since: float) -> None:
        if now - since >= self.give_up_after:
            self.gave_up = f"the API could not be reached for {roughly(now - since)} ({self._reason.rstrip('.')})"
