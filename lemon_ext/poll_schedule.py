"""When to poll next: a price on every poll, and what is learned of how long tasks take. Pure: no I/O and no clock.

Polling often wastes requests, polling rarely wastes time. So a poll has a price in seconds, and the next one is due
when the seconds probably wasted since the last reach that price. The price is small while requests are
plentiful and rises as the budget fills. How long a model's tasks take is learned while running, from a weak prior.

The numbers, and how far this is from the optimum: docs/polling.md and ``benchmarks/polling_policy.py``.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections import Counter, deque
from itertools import pairwise
from typing import Any, Final

from attrs import define, field
from lemon_client.task_table import TYPICAL_SECONDS

#: The bins of durations: [0, 2 s), then each 15 % longer than the one before, up to half an hour, then all the rest.
EDGES: Final = (0.0, *(2.0 * 1.15**i for i in range(50)), math.inf)
#: How many completions are remembered; older ones fade.
MEMORY: Final = 200.0
#: Of the prior: so many imagined tasks, this share of them as the documents say (30-120 s), the others of any length.
PRIOR_TASKS: Final = 4.0
DOCUMENTED_SHARE: Final = 0.6
#: The documented seconds are taken as the middle nine tenths of a log-normal distribution.
MEDIAN: Final = math.sqrt(TYPICAL_SECONDS[0] * TYPICAL_SECONDS[1])
SIGMA: Final = math.log(TYPICAL_SECONDS[1] / TYPICAL_SECONDS[0]) / (2 * 1.645)
ANY_LENGTH: Final = (2.0, 300.0)

#: Seconds; polls of one task are never closer together, and never further apart.
FLOOR: Final = 0.5
CEILING: Final = 60.0
#: For a model nobody has seen complete, the first poll comes no later than this.
FIRST_POLL: Final = 3.0
#: The lowest price, in seconds: a task as long as the documents say is noticed a second after it ended, on average.
CHEAPEST: Final = 0.04
#: The highest price, in seconds: the one dial between noticing soon (1) and finishing many tasks a minute (8).
DEAREST: Final = 4.0
#: While a model is new its price is no higher than this, and rises by so much with every completion: what the first
#: tasks teach is worth more than their polls cost.
NEW: Final = 0.4
NEW_STEP: Final = 0.1
#: Every so many tasks one is first polled in half the time. What ends before the first poll ends at an unknown
#: moment; without these, a model that became faster would go unnoticed.
SCOUT: Final = 16
#: The share of the rate limit that is planned with; the rest is for retries and for what others use.
USABLE: Final = 0.88
#: Seconds after which the price is set anew, and over which what arrives is counted.
REPRICE: Final = 5.0
RECENT: Final = 60.0


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
    for low, high in pairwise(EDGES):
        if high == math.inf:
            ended.append(PRIOR_TASKS * survival(low) + 1e-3)
            risk.append(ended[-1] * low)
        else:
            ended.append(PRIOR_TASKS * (survival(low) - survival(high)))
            risk.append(PRIOR_TASKS * (survival(low) + survival(high)) / 2 * (high - low) + 1e-6)
    return ended, risk


_ENDED0, _RISK0 = _prior()
#: A hazard to divide by where nothing is known to end.
_NEVER: Final = 1e-9


@define
class Durations:
    """What is known of how long one model's tasks take: the hazard of ending, per bin of age. Ages are in seconds."""

    _ended: list[float] = field(factory=_ENDED0.copy)
    _risk: list[float] = field(factory=_RISK0.copy)
    completions: int = 0
    #: How many tasks were given a first poll.
    started: int = field(default=0, init=False)
    _hazard: list[float] = field(init=False)
    #: What a completion adds. It grows instead of the older ones fading.
    _weight: float = field(default=1.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._hazard = [max(ended / risk, _NEVER) for ended, risk in zip(self._ended, self._risk, strict=True)]

    def pending(self, last: float, now: float) -> None:
        """Learn that a task which was running at age ``last`` still runs at age ``now``."""
        b, low = bisect_right(EDGES, last) - 1, last
        while low < now:
            high = min(EDGES[b + 1], now)
            self._add(b, 0.0, high - low)
            b, low = b + 1, high

    def done(self, last: float, now: float) -> None:
        """Learn that a task ended between two ages. When exactly is spread by what was known before."""
        self.completions += 1
        if self.completions > MEMORY:
            self._weight /= 1.0 - 1.0 / MEMORY
        now = max(now, last + 1e-3)
        b, low, survival, pieces = bisect_right(EDGES, last) - 1, last, 1.0, []
        while low < now:
            high = min(EDGES[b + 1], now)
            ends = survival * -math.expm1(-self._hazard[b] * (high - low))
            pieces.append((b, high - low, ends, ends / self._hazard[b]))
            survival -= ends
            b, low = b + 1, high
        total = max(1.0 - survival, 1e-12)
        for b, width, ends, alive in pieces:
            self._add(b, ends / total, max(alive - survival * width, 0.0) / total)
        if self._weight > 1e9:
            self._ended, self._risk, self._weight = *self._evenly(), 1.0

    def next_poll(self, last: float, price: float) -> float:
        """Return the age at which the seconds probably wasted since a poll at age ``last`` reach the price."""
        hazards, expm1 = self._hazard, math.expm1  # this runs for every request
        b, low, end = bisect_right(EDGES, last) - 1, last, last + CEILING
        survival, wasted = 1.0, 0.0
        while low < end:
            high = min(EDGES[b + 1], end)
            hazard, width = hazards[b], high - low
            ends = survival * -expm1(-hazard * width)
            more = width - ends / hazard
            if wasted + more >= price:
                return low + _solve(hazard, survival, price - wasted, width)
            wasted, survival, low, b = wasted + more, survival - ends, high, b + 1
        return end

    def expected_polls(self, price: float) -> float:
        """Return how many polls a task takes at this price."""
        age, survival, polls = 0.0, 1.0, 0.0
        while survival > 0.01 and polls < 200:
            after = max(self.next_poll(age, price), age + FLOOR)
            polls += survival
            b, low = bisect_right(EDGES, age) - 1, age
            while low < after:
                high = min(EDGES[b + 1], after)
                survival *= math.exp(-self._hazard[b] * (high - low))
                b, low = b + 1, high
            age = after
        return polls

    def to_json(self) -> dict[str, Any]:
        """Return what was learned as plain JSON."""
        ended, risk = self._evenly()
        return {"ended": ended, "risk": risk, "completions": self.completions}

    @classmethod
    def from_json(cls, data: Any) -> Durations:
        """Return what `to_json` kept. Raises ValueError for anything else."""
        try:
            ended, risk = [float(x) for x in data["ended"]], [float(x) for x in data["risk"]]
            usable = len(ended) == len(risk) == len(_RISK0) and min(ended) >= 0 and min(risk) > 0
            if usable and math.isfinite(sum(ended) + sum(risk)):
                return cls(ended, risk, max(int(data["completions"]), 0))
        except (TypeError, KeyError, ValueError):
            pass
        raise ValueError("not the durations of a model")

    def _add(self, b: int, ended: float, risk: float) -> None:
        self._ended[b] += self._weight * ended
        self._risk[b] += self._weight * risk
        self._hazard[b] = max(self._ended[b] / self._risk[b], _NEVER)

    def _evenly(self) -> tuple[list[float], list[float]]:
        return [x / self._weight for x in self._ended], [x / self._weight for x in self._risk]


def _solve(hazard: float, survival: float, price: float, width: float) -> float:
    """Return where within a stretch of constant hazard the wasted time reaches the price.

    By Newton's steps from the right: wasted time is convex, so they do not overshoot.
    """
    at = width
    for _ in range(8):
        alive = survival * math.exp(-hazard * at)
        step = (at - (survival - alive) / hazard - price) / max(1.0 - alive, _NEVER)
        at -= step
        if step < 0.001:
            break
    return at


class Schedule:
    """When to poll, for a client or a batch: what each model's tasks take, and the price of a poll. Safe across
    threads.
    """

    def __init__(self, per_minute: float | None = 1000.0, *, dearest: float = DEAREST) -> None:
        self.per_minute = per_minute
        self.dearest = dearest
        self.price = CHEAPEST
        #: How many submissions are still to come, beside what arrives anyway.
        self.backlog = 0
        self.durations: dict[str | None, Durations] = {}
        #: The polls a task takes at the present price.
        self._polls = 0.0
        #: The submissions of the last minute; more than the rate limit allows make the price no higher.
        self._arrivals: deque[tuple[float, str | None]] = deque(maxlen=int(per_minute or 0) + 1)
        self._priced = -math.inf
        self._lock = threading.Lock()

    def submitted(self, model: str | None, now: float) -> None:
        """Count a submission: what is asked for more often has to be polled less often."""
        with self._lock:
            self._arrivals.append((now, model))

    def next_poll(self, model: str | None, last: float, now: float) -> float:
        """Return the age, in seconds since submission, at which to poll next after a poll at age ``last``.

        ``now`` is the present time on a monotonic clock.
        """
        with self._lock:
            self._reprice(now)
            known = self._of(model)
            age = known.next_poll(last, self._price(known))
            if last == 0:
                known.started += 1
                if known.completions == 0:
                    age = min(age, FIRST_POLL)
                elif known.started % SCOUT == 0:
                    age /= 2
            return max(age, last + FLOOR)

    def pending(self, model: str | None, last: float, now: float) -> None:
        """Learn that a task still runs; ages are seconds since its submission."""
        with self._lock:
            self._of(model).pending(last, now)

    def done(self, model: str | None, last: float, now: float) -> None:
        """Learn that a task ended between the two ages."""
        with self._lock:
            self._of(model).done(last, now)

    def requests_per_task(self, now: float) -> float:
        """Return what a task takes of the rate limit: its submission, and its polls at the present price."""
        with self._lock:
            self._reprice(now)
            return 1.0 + self._polls

    def after_fork(self) -> None:
        """Forget a lock that a thread of the parent process may hold for ever."""
        self._lock = threading.Lock()

    def _of(self, model: str | None) -> Durations:
        known = self.durations.get(model)
        if known is None:
            known = self.durations[model] = Durations()
        return known

    def _price(self, known: Durations) -> float:
        return min(self.price, NEW + NEW_STEP * known.completions)

    def _reprice(self, now: float) -> None:
        """Move the price to where what is asked for fits into the rate limit."""
        if now - self._priced < REPRICE:
            return
        steps = 1 if self._priced > -math.inf else 10
        self._priced = now
        while self._arrivals and self._arrivals[0][0] < now - RECENT:
            self._arrivals.popleft()
        demand = len(self._arrivals) * 60.0 / RECENT + self.backlog
        room = USABLE * self.per_minute / demand - 1.0 if demand and self.per_minute is not None else math.inf
        share = Counter(model for _, model in self._arrivals) or dict.fromkeys(self.durations or (None,), 1)
        known = [(self.durations.get(model) or Durations(), count) for model, count in share.items()]
        for _ in range(steps):
            before, self._polls = self.price, self._expected_polls(known)
            self.price *= min(max(self._polls / room, 0.1), 10.0) if room > 0 else 10.0
            self.price = min(max(self.price, CHEAPEST), self.dearest)
            if self.price == before:  # mostly the cheapest: every further step would find the same
                return
        self._polls = self._expected_polls(known)

    def _expected_polls(self, known: list[tuple[Durations, int]]) -> float:
        polls = sum(count * durations.expected_polls(self._price(durations)) for durations, count in known)
        return polls / sum(count for _, count in known)
