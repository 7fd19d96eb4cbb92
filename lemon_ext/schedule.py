"""When to look next: a price on every look, and what is learned of how long tasks take. Pure: no I/O and no clock.

Looking at a task often wastes requests, looking rarely wastes time. So a look has a price in seconds, and the next
one is due when the seconds probably wasted since the last reach that price. The price is small while requests are
plentiful and rises as the budget fills. How long a model's tasks take is learned while running, from a weak prior.

The numbers, and how far this is from the optimum: docs/polling.md and ``benchmarks/polling_policy.py``.
"""

from __future__ import annotations

import heapq
import math
import threading
from bisect import bisect_right
from collections import deque
from typing import Any, Final

from attrs import define, field

#: The bins of durations: logarithmic, each 15 % longer than the one before, from half a second to half an hour.
BINS: Final = 60
RATIO: Final = 1.15
EDGES: Final = (0.0, *(0.5 * RATIO**i for i in range(BINS)))
#: How many completions are remembered; older ones fade.
MEMORY: Final = 200.0
#: Of the prior: so many imagined tasks, this share of them as the documents say (30-120 s), the others of any length.
PRIOR_TASKS: Final = 4.0
DOCUMENTED_SHARE: Final = 0.6
MEDIAN: Final = 60.0
SIGMA: Final = 0.42
ANY_LENGTH: Final = (2.0, 300.0)

#: Seconds; looks at one task are never closer together, and never further apart.
FLOOR: Final = 0.5
CEILING: Final = 60.0
#: For a model nobody has seen complete, the first look comes no later than this.
FIRST_LOOK: Final = 3.0
CHEAPEST: Final = 0.05
#: The highest price, in seconds: the one dial between noticing soon (1) and finishing many tasks a minute (8).
DEAREST: Final = 4.0
#: The share of the rate limit that is planned with; the rest is for retries and for what others use.
USABLE: Final = 0.88


def _prior() -> tuple[list[float], list[float]]:
    """Return the imagined completions and the time at risk, per bin."""

    def survival(t: float) -> float:
        if t <= 0:
            return 1.0
        documented = 0.5 * math.erfc(math.log(t / MEDIAN) / (SIGMA * math.sqrt(2)))
        low, high = map(math.log, ANY_LENGTH)
        anything = min(max((high - math.log(t)) / (high - low), 0.0), 1.0)
        return DOCUMENTED_SHARE * documented + (1 - DOCUMENTED_SHARE) * anything

    ended, risk = [], []
    for low, high in zip(EDGES, (*EDGES[1:], math.inf), strict=True):
        if high is math.inf:
            ended.append(PRIOR_TASKS * survival(low) + 1e-3)
            risk.append(ended[-1] * low)
            continue
        ended.append(PRIOR_TASKS * (survival(low) - survival(high)))
        risk.append(PRIOR_TASKS * (survival(low) + survival(high)) / 2 * (high - low) + 1e-6)
    return ended, risk


_ENDED0, _RISK0 = _prior()


@define
class Durations:
    """What is known of how long one model's tasks take: the hazard of ending, per bin of age. Ages are in seconds."""

    _ended: list[float] = field(factory=_ENDED0.copy)
    _risk: list[float] = field(factory=_RISK0.copy)
    completions: int = 0

    def pending(self, last: float, now: float) -> None:
        """Learn that a task which was running at age ``last`` still runs at age ``now``."""
        for b, low, high in _pieces(last, now):
            self._risk[b] += high - low

    def done(self, last: float, now: float) -> None:
        """Learn that a task ended between two ages. When exactly is spread by what was known before."""
        self._forget()
        pieces = list(_pieces(last, max(now, last + 1e-3)))
        survival, ends = 1.0, []
        for b, low, high in pieces:
            after = survival * math.exp(-self._hazard(b) * (high - low))
            ends.append((b, high - low, survival - after))
            survival = after
        total = max(1.0 - survival, 1e-12)
        for b, width, mass in ends:
            at_risk = (mass / self._hazard(b) - survival * width) / total
            self._ended[b] += mass / total
            self._risk[b] += min(max(at_risk, 0.0), width)
        self.completions += 1

    def next_look(self, last: float, price: float) -> float:
        """Return the age at which the seconds probably wasted since a look at age ``last`` reach the price."""
        survival, wasted = 1.0, 0.0
        for b, low, high in _pieces(last, last + CEILING):
            hazard, width = self._hazard(b), high - low
            more = width - survival * -math.expm1(-hazard * width) / hazard
            if wasted + more >= price:
                return low + _solve(hazard, survival, price - wasted, width)
            wasted += more
            survival *= math.exp(-hazard * width)
        return last + CEILING

    def expected_looks(self, price: float) -> float:
        """Return how many looks a task takes at this price."""
        age, survival, looks = 0.0, 1.0, 0.0
        while survival > 0.01 and looks < 200:
            after = max(self.next_look(age, price), age + FLOOR)
            looks += survival
            survival *= math.exp(-sum(self._hazard(b) * (high - low) for b, low, high in _pieces(age, after)))
            age = after
        return looks

    def to_json(self) -> dict[str, Any]:
        """Return what was learned as plain JSON."""
        return {"ended": self._ended, "risk": self._risk, "completions": self.completions}

    @classmethod
    def from_json(cls, data: Any) -> Durations:
        """Return what `to_json` kept. Raises ValueError for anything else."""
        try:
            ended, risk = [float(x) for x in data["ended"]], [float(x) for x in data["risk"]]
            if len(ended) == len(risk) == BINS + 1 and min(ended) >= 0 and min(risk) > 0:
                return cls(ended, risk, int(data["completions"]))
        except (TypeError, KeyError, ValueError):
            pass
        raise ValueError("not the durations of a model")

    def _hazard(self, b: int) -> float:
        return max(self._ended[b] / self._risk[b], 1e-9)

    def _forget(self) -> None:
        keep = 1.0 - 1.0 / MEMORY
        if self.completions < MEMORY:
            return
        self._ended = [x * keep for x in self._ended]
        self._risk = [x * keep for x in self._risk]


def _pieces(start: float, end: float) -> list[tuple[int, float, float]]:
    """Cut an interval of ages at the edges of the bins: (bin, from, to)."""
    b = 0 if start < EDGES[1] else min(int(math.log(start / EDGES[1]) / math.log(RATIO) + 1e-9) + 1, BINS)
    found = []
    while start < end:
        stop = min(EDGES[b + 1], end) if b < BINS else end
        if stop > start:
            found.append((b, start, stop))
        start = max(stop, start)
        b += 1
    return found


def _solve(hazard: float, survival: float, price: float, width: float) -> float:
    """Return where within a stretch of constant hazard the wasted time reaches the price."""
    low, high = 0.0, width
    for _ in range(20):
        middle = (low + high) / 2
        if middle - survival * -math.expm1(-hazard * middle) / hazard < price:
            low = middle
        else:
            high = middle
    return high


class Schedule:
    """When to look, for a client or a batch: what each model's tasks take, and the price of a look. Safe across
    threads.
    """

    def __init__(self, per_minute: float | None = 1000.0, *, dearest: float = DEAREST) -> None:
        self.per_minute = per_minute
        self.dearest = dearest
        self.price = CHEAPEST
        #: How many submissions are still to come, beside what arrives anyway.
        self.backlog = 0
        self.durations: dict[str | None, Durations] = {}
        #: The looks a task takes at the present price.
        self._looks = 0.0
        self._arrivals: deque[tuple[float, str | None]] = deque(maxlen=10_000)
        self._priced = -math.inf
        self._lock = threading.Lock()

    def submitted(self, model: str | None, now: float) -> None:
        """Count a submission: what is asked for more often has to be looked at less often."""
        with self._lock:
            self._arrivals.append((now, model))

    def next_look(self, model: str | None, last: float, now: float) -> float:
        """Return the age, in seconds since submission, at which to look next after a look at age ``last``.

        ``now`` is the present time on a monotonic clock.
        """
        with self._lock:
            self._reprice(now)
            known = self._of(model)
            price = min(self.price, 0.1 + 0.1 * known.completions) if known.completions < 40 else self.price
            age = min(max(known.next_look(last, price), last + FLOOR), last + CEILING)
            return min(age, FIRST_LOOK) if last == 0 and known.completions == 0 else age

    def pending(self, model: str | None, last: float, now: float) -> None:
        """Learn that a task still runs; ages are seconds since its submission."""
        with self._lock:
            self._of(model).pending(last, now)

    def done(self, model: str | None, last: float, now: float) -> None:
        """Learn that a task ended between the two ages."""
        with self._lock:
            self._of(model).done(last, now)

    def requests_per_task(self, now: float) -> float:
        """Return what a task takes of the rate limit: its submission, and its looks at the present price."""
        with self._lock:
            self._reprice(now)
            return 1.0 + self._looks

    def _of(self, model: str | None) -> Durations:
        return self.durations.setdefault(model, Durations())

    def _reprice(self, now: float) -> None:
        """Find the price at which what is asked for fits into the rate limit (every five seconds)."""
        if now - self._priced < 5.0:
            return
        first, self._priced = self._priced == -math.inf, now
        while self._arrivals and self._arrivals[0][0] < now - 120.0:
            self._arrivals.popleft()
        demand = len(self._arrivals) / 2.0 + self.backlog
        room = USABLE * self.per_minute / demand - 1.0 if demand and self.per_minute is not None else math.inf
        known = [self._of(model) for model in {model for _, model in self._arrivals} or set(self.durations) or {None}]

        def looks(price: float) -> float:
            return sum(durations.expected_looks(price) for durations in known) / len(known)

        low, high = CHEAPEST, self.dearest
        if looks(low) > room:
            for _ in range(12):
                middle = math.sqrt(low * high)
                low, high = (middle, high) if looks(middle) > room else (low, middle)
        else:
            high = low
        self.price = high if first else self.price + 0.3 * (high - self.price)
        self._looks = looks(self.price)


class Agenda:
    """What a batch does next, and when: every submission and every look by the time it is due. Pure, as all here.

    One queue for both, so that neither starves the other. Submissions are spaced so that the looks they will need fit
    into the rate limit too, except while there is room for all that is under way: a small batch is sent at once.
    """

    def __init__(self, schedule: Schedule, budget: RequestBudget) -> None:
        self._schedule = schedule
        self._budget = budget
        self._queue: list[tuple[float, int, Any]] = []
        self._order = 0
        self._next_submission = -math.inf

    def __len__(self) -> int:
        """Return how many looks are queued."""
        return len(self._queue)

    def look_at(self, task: Any, due: float) -> None:
        """Queue a look at a task."""
        self._order += 1
        heapq.heappush(self._queue, (due, self._order, task))

    def next_look(self) -> float:
        """Return when the next look is due; infinity if there is none."""
        return self._queue[0][0] if self._queue else math.inf

    def take(self) -> Any:
        """Return the task whose look is due first."""
        return heapq.heappop(self._queue)[2]

    def next_submission(self, now: float, under_way: int) -> float:
        """Return when the next submission is due, with so many tasks ``under_way``."""
        if self._budget.per_minute is None:
            return now
        if (under_way + 1) * self._schedule.requests_per_task(now) <= self._budget.room(now):
            return min(now, self._next_submission)
        return self._next_submission

    def submitted(self, now: float) -> None:
        """Space the following submission after one that is made now."""
        if self._budget.per_minute is not None:
            pace = 60.0 / self._budget.per_minute * self._schedule.requests_per_task(now)
            self._next_submission = max(self._next_submission, now - pace) + pace


class RequestBudget:
    """The rate limit: never more than ``per_minute`` requests in any 60 seconds, whoever makes them. Safe across
    threads.
    """

    #: Requests that left a minute apart may arrive a little closer.
    _MARGIN: Final = 0.5

    def __init__(self, per_minute: float | None = 1000.0) -> None:
        self.per_minute = per_minute
        size = 1 if per_minute is None else max(int(per_minute), 1)
        self._window = 0.0 if per_minute is None else 60.0 * size / per_minute + self._MARGIN
        self._booked: deque[float] = deque(maxlen=size)
        self._held = -math.inf
        self._lock = threading.Lock()

    def reserve(self, now: float, within: float = math.inf) -> float | None:
        """Book one request and return the seconds to wait before it is sent; None, and no booking, if that exceeds
        ``within``.
        """
        with self._lock:
            at = max(now, self._held)
            if self.per_minute is not None:
                if len(self._booked) == self._booked.maxlen:
                    at = max(at, self._booked[0] + self._window)
                if at - now <= within:
                    self._booked.append(max(at, self._booked[-1]) if self._booked else at)
            return at - now if at - now <= within else None

    def opens(self, now: float) -> float:
        """Return when the next request could be sent."""
        with self._lock:
            full = self.per_minute is not None and len(self._booked) == self._booked.maxlen
            return max(now, self._held, self._booked[0] + self._window if full else now)

    def room(self, now: float) -> int:
        """Return how many requests could be sent at once."""
        with self._lock:
            if self._booked.maxlen is None or now < self._held:
                return 0
            in_use = len(self._booked) - bisect_right(self._booked, now - self._window)
            return self._booked.maxlen - in_use

    def penalize(self, until: float) -> None:
        """Book nothing before this moment: the server said that there were too many requests."""
        with self._lock:
            self._held = max(self._held, until)
