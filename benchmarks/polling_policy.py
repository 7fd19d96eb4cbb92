"""How well the schedule decides when to poll, against fixed loops and against the optimum. A simulation with its own
clock: nothing sleeps and nothing is sent.

    python benchmarks/polling_policy.py            all tables and goals, about a minute
    python benchmarks/polling_policy.py --full     more seeds, longer runs

The decisions are the real ones: `Queue`, `Schedule` and `RateLimit` as the batch engine calls them, and `Schedule`
and `RateLimit` as single clients do. The peers are their documented intervals on the same clock and the same
limit, without what their clients would die of (a 429, an error page). Answers come at once: no latency is modelled.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import pairwise
from operator import itemgetter
from statistics import fmean

from lemon_ext.batch.queue import Queue
from lemon_ext.poll_schedule import CHEAPEST, USABLE, Schedule
from lemon_ext.rate_limit import RateLimit

#: Requests a minute, and the tasks a minute that would be if one poll per task were enough.
LIMIT = 1000
SHARE_OF_CEILING = 100 / (LIMIT / 2)
#: After so many seconds a task is given up.
DEADLINE = 600.0

#: Laws of durations: (share, median, sigma) of lognormal parts. What is missing to 1 never ends.
Law = tuple[tuple[float, float, float], ...]
LAWS: Mapping[str, Law] = {
    "docs": ((1.0, 60.0, 0.42),),  # as documented: 5 % below 30 s, 95 % below 120 s
    "fast": ((1.0, 10.0, 0.4),),
    "bimodal": ((0.5, 8.0, 0.3), (0.5, 60.0, 0.3)),
    "narrow": ((1.0, 30.0, 0.15),),
    "stuck": ((0.99, 60.0, 0.42),),
}
COMMON = ("docs", "fast", "bimodal")


def draw(law: Law, rng: random.Random) -> float:
    at, noise = rng.random(), rng.gauss(0, 1)
    for share, median, sigma in law:
        if at < share:
            return median * math.exp(sigma * noise)
        at -= share
    return math.inf


# What others do, with the face of a Schedule.


class Fixed:
    """Looks at a fixed spacing: the documented loop (3 s), openai-style (1 s) and replicate-style (0.5 s) pollers."""

    backlog = 0

    def __init__(self, spacing: float) -> None:
        self.spacing = spacing

    def submitted(self, model: str | None, now: float) -> None: ...
    def pending(self, model: str | None, last: float, now: float) -> None: ...
    def done(self, model: str | None, last: float, now: float) -> None: ...

    def next_poll(self, model: str | None, last: float, now: float) -> float:
        return last + self.spacing


class Exponential(Fixed):
    """Looks after 1 s, then each time half as long again, up to 10 s."""

    def __init__(self) -> None:
        super().__init__(1.0)

    def next_poll(self, model: str | None, last: float, now: float) -> float:
        spacing, passed = 1.0, 0.0
        while passed + spacing / 2 < last:
            passed, spacing = passed + spacing, min(spacing * 1.5, 10.0)
        return last + spacing


class EvenBudget(RateLimit):
    """The limit spread evenly. It is what keeps a fixed loop at its spacing: sent all at once, every poll is late."""

    _last = -math.inf

    def opens(self, now: float) -> float:
        return max(super().opens(now), self._last + 60.0 / LIMIT)

    def acquire(self, now: float, within: float = math.inf) -> float | None:
        self._last = now
        return super().acquire(now, within)


class AtOnce(Queue):
    """Submits as soon as the limit lets it: single clients, and the peers."""

    def next_submission(self, now: float, under_way: int) -> float:
        return now


@dataclass
class Player:
    """Somebody who submits and polls."""

    schedule: Schedule | Fixed
    agenda: Queue
    budget: RateLimit


def batch(dearest: float) -> Player:
    schedule, budget = Schedule(LIMIT, dearest=dearest), RateLimit(LIMIT)
    return Player(schedule, Queue(schedule, budget), budget)


def clients() -> Player:
    schedule, budget = Schedule(LIMIT), RateLimit(LIMIT)
    return Player(schedule, AtOnce(schedule, budget), budget)


def peer(policy: Fixed) -> Player:
    budget = EvenBudget(LIMIT)
    return Player(policy, AtOnce(Schedule(LIMIT), budget), budget)


OURS: Mapping[str, Callable[[], Player]] = {f"ours, dearest {c}": partial(batch, c) for c in (1, 4, 8)}
PEERS: Mapping[str, Callable[[], Player]] = {
    "documented loop, 3 s": lambda: peer(Fixed(3.0)),
    "openai-style, 1 s": lambda: peer(Fixed(1.0)),
    "replicate-style, 0.5 s": lambda: peer(Fixed(0.5)),
    "exponential, 1 to 10 s": lambda: peer(Exponential()),
}
DOCUMENTED, EXPONENTIAL = "documented loop, 3 s", "exponential, 1 to 10 s"


# The simulation.


@dataclass
class Ended:
    """A task that was seen to end, or given up (``overshoot`` is nan)."""

    at: float
    born: float
    overshoot: float
    polls: int


@dataclass
class Trace:
    """What happened."""

    ended: list[Ended] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)
    lateness: list[tuple[float, float]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    unsent: int = 0
    end: float = 0.0

    def since(self, start: float) -> Trace:
        return Trace(
            [e for e in self.ended if e.at >= start],
            self.requests,
            [(at, late) for at, late in self.lateness if at >= start],
            self.waits,
            self.unsent,
            self.end - start,
        )

    @property
    def per_minute(self) -> float:
        return 60.0 * len(self.ended) / self.end

    @property
    def polls(self) -> float:
        return fmean(e.polls for e in self.ended)

    @property
    def overshoots(self) -> list[float]:
        return [e.overshoot for e in self.ended if not math.isnan(e.overshoot)]

    @property
    def late(self) -> float:
        return quantile([late for _, late in self.lateness], 0.95)

    @property
    def busiest_minute(self) -> int:
        return max(bisect_left(self.requests, t + 60.0, i) - i for i, t in enumerate(self.requests))


def simulate(
    player: Player,
    duration: Callable[[int], float],
    *,
    rows: int | None = None,
    arrivals: Sequence[float] = (),
    until: float = math.inf,
) -> Trace:
    """Play a batch of so many rows (None: without end), or submissions that arrive, in the order of the batch engine.

    ``duration`` gives how long the n-th task takes.
    """
    schedule, agenda, budget, trace = player.schedule, player.agenda, player.budget, Trace()
    now, sent, under_way = 0.0, 0, 0
    unsent, arrived = (0, 0) if arrivals else (5000 if rows is None else rows, len(arrivals))
    while now < until:
        while arrived < len(arrivals) and arrivals[arrived] <= now:
            arrived, unsent = arrived + 1, unsent + 1
        schedule.backlog = unsent
        poll_at = agenda.next_poll()
        submit_at = agenda.next_submission(now, under_way) if unsent else math.inf
        due = max(min(poll_at, submit_at), budget.opens(now))
        if due > now:
            now = min(due, arrivals[arrived] if arrived < len(arrivals) else math.inf)
            if now == math.inf:
                break
            trace.end = min(now, until)
            continue
        budget.acquire(now)
        trace.requests.append(now)
        if poll_at <= submit_at:
            trace.lateness.append((now, now - poll_at))
            born, takes, last, polls = agenda.take()
            age = now - born
            if takes <= age or age >= DEADLINE:
                (schedule.done if takes <= age else schedule.pending)("m", last, age)
                trace.ended.append(Ended(now, born, age - takes if takes <= age else math.nan, polls + 1))
                under_way -= 1
            else:
                schedule.pending("m", last, age)
                following = min(schedule.next_poll("m", age, now), DEADLINE)
                agenda.poll_at((born, takes, age, polls + 1), born + following)
        else:
            if arrivals:
                trace.waits.append(now - arrivals[sent])
            schedule.submitted("m", now)
            agenda.submitted(now)
            agenda.poll_at((now, duration(sent), 0.0, 0), now + schedule.next_poll("m", 0.0, now))
            unsent -= 0 if rows is None and not arrivals else 1
            sent, under_way = sent + 1, under_way + 1
    trace.unsent = unsent
    return trace


def of_law(name: str, seed: int) -> Callable[[int], float]:
    rng = random.Random(seed)
    return lambda _: draw(LAWS[name], rng)


def changing(before: str, after: str) -> Callable[[int], float]:
    rng = random.Random(5)
    return lambda number: draw(LAWS[before if number < 1000 else after], rng)


def poisson(per_minute: float, until: float, seed: int) -> list[float]:
    rng, at, found = random.Random(1000 + seed), 0.0, []
    while (at := at + rng.expovariate(per_minute / 60.0)) < until:
        found.append(at)
    return found


def one_after_the_other(
    price: float, law: str, seed: int, tasks: range, floor: float = 0.0
) -> tuple[float, float, float, list[float]]:
    """Return polls per task, overshoot (mean, 95 %) and all overshoots at a fixed price and without a limit."""
    schedule = Schedule(None) if price == CHEAPEST else Schedule(1, dearest=price)
    schedule.backlog = 10**9
    duration, polls, overshoots = of_law(law, seed), 0, []
    for number in range(tasks.stop):
        takes, last = duration(number), 0.0
        while last < DEADLINE:
            age = min(max(schedule.next_poll("m", last, 0.0), last + floor), DEADLINE)
            polls += number >= tasks.start
            if takes <= age:
                schedule.done("m", last, age)
                if number >= tasks.start:
                    overshoots.append(age - takes)
                break
            schedule.pending("m", last, age)
            last = age
    return polls / len(tasks), fmean(overshoots), quantile(overshoots, 0.95), overshoots


# The optimum: when to poll if the law is known (the inspection problem), by dynamic programming.


@cache
def frontier(law: str) -> list[tuple[float, float]]:
    """Return (polls per task, mean overshoot) of the best plans, from few polls to many."""
    longest = DEADLINE if law == "stuck" else max(m * math.exp(4.5 * s) for _, m, s in LAWS[law])
    steps = 900
    step = longest / steps

    def ended(t: float) -> float:
        return sum(w * 0.5 * math.erfc(-math.log(t / m) / (s * math.sqrt(2))) for w, m, s in LAWS[law]) if t else 0.0

    share = [ended(i * step) for i in range(steps + 1)]
    area = [0.0]
    for before, after in pairwise(share):
        area.append(area[-1] + (before + after) / 2 * step)
    prices = (0.02, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 13, 17, 23, 30)
    return sorted(_best_plan(share, area, step, price) for price in prices)


def _best_plan(share: list[float], area: list[float], step: float, price: float) -> tuple[float, float]:
    last = len(share) - 1
    cost, polls, wasted = [0.0] * (last + 1), [0.0] * (last + 1), [0.0] * (last + 1)
    furthest = max(int(60.0 / step), 1)
    for i in range(last - 1, -1, -1):
        best, at = math.inf, i + 1
        for j in range(i + 1, min(i + furthest, last) + 1):
            waste = area[j] - area[i] - share[i] * (j - i) * step
            if waste >= best:
                break
            if waste + cost[j] < best:
                best, at = waste + cost[j], j
        waste = area[at] - area[i] - share[i] * (at - i) * step
        cost[i] = best + price * (1 - share[i])
        polls[i] = 1 - share[i] + polls[at]
        wasted[i] = waste + wasted[at]
    return polls[0], wasted[0]


def optimum(law: str, polls: float) -> float:
    """Return the least mean overshoot that so many polls per task allow."""
    points = frontier(law)
    i = min(max(bisect_left(points, (polls, 0.0)), 1), len(points) - 1)
    (a, b), (c, d) = points[i - 1], points[i]
    return b + (d - b) * (polls - a) / (c - a)


# Tables and goals.


def quantile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(f'{x:.2f}' if isinstance(x, float) else str(x) for x in row)} |", flush=True)


def figures(overshoots: Sequence[float]) -> str:
    return f"{fmean(overshoots):.1f} / {quantile(overshoots, 0.5):.1f} / {quantile(overshoots, 0.95):.1f}"


@dataclass
class Goals:
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    busiest: int = 0

    def add(self, name: str, what: str, *checks: tuple[float, str, float]) -> None:
        met = all(value <= goal if sign == "<=" else value >= goal for value, sign, goal in checks)
        shown = "; ".join(f"{value:.2f} {sign} {goal:.2f}" for value, sign, goal in checks)
        self.rows.append((name, what, shown, "met" if met else "missed"))

    def seen(self, trace: Trace) -> Trace:
        self.busiest = max(self.busiest, trace.busiest_minute)
        return trace


def backlog(goals: Goals, seeds: Sequence[int], minutes: int) -> None:
    """Print the steady state with more rows than can be sent: R1, R2."""
    start, found, late = 300.0, {}, 0.0
    for law in COMMON:
        rows = []
        for name, make in {**PEERS, **OURS}.items():
            traces = []
            for seed in seeds if name in OURS else seeds[:2]:
                trace = simulate(make(), of_law(law, seed), until=start + 60.0 * minutes)
                traces.append(goals.seen(trace).since(start))
            every = [x for trace in traces for x in trace.overshoots]
            found[law, name] = fmean(t.per_minute for t in traces), fmean(every)
            late = max(late, *(t.late for t in traces)) if name in OURS else late
            rate = found[law, name][0]
            rows.append(
                (
                    name,
                    f"{rate:.0f}",
                    f"{rate * SHARE_OF_CEILING:.0f} %",
                    fmean(t.polls for t in traces),
                    figures(every),
                    fmean(t.late for t in traces),
                    max(t.busiest_minute for t in traces),
                )
            )
        head = (
            "policy",
            "tasks/min",
            "of ceiling",
            "polls/task",
            "overshoot s: mean / p50 / p95",
            "late p95 s",
            "in 60 s",
        )
        table(f"Backlog, {law} law", head, rows)

    def times(law: str, name: str, other: str) -> float:
        return found[law, name][0] / found[law, other][0]

    one = "ours, dearest 1"
    waste = found["docs", one][1] / found["docs", EXPONENTIAL][1]
    goals.add("R1", "docs law, dearest 1: rate over the documented loop's", (times("docs", one, DOCUMENTED), ">=", 3.5))
    exponential = (times("docs", one, EXPONENTIAL), ">=", 1.8)
    goals.add("R1", "... over the exponential's, and overshoot over its", exponential, (waste, "<=", 1.0))
    goals.add("R1", "... dearest 4", (times("docs", "ours, dearest 4", DOCUMENTED), ">=", 5.0))
    ceiling = (found["docs", "ours, dearest 8"][0] * SHARE_OF_CEILING, ">=", 60.0)
    goals.add(
        "R1",
        "... dearest 8, and per cent of ceiling",
        (times("docs", "ours, dearest 8", DOCUMENTED), ">=", 7.0),
        ceiling,
    )
    for law, least, most in (("fast", 1.6, 1.0), ("bimodal", 2.6, 1.05)):
        waste = found[law, one][1] / found[law, EXPONENTIAL][1]
        what = f"{law} law, dearest 1: rate over the documented loop's, overshoot over the exponential's"
        goals.add("R2", what, (times(law, one, DOCUMENTED), ">=", least), (waste, "<=", most))
    goals.add("R5", "backlog: polls are late by (p95, worst of all)", (late, "<=", 2.0))


def against_the_optimum(goals: Goals, seeds: Sequence[int]) -> None:
    """Print overshoot over the optimum's at equal polls, tasks 1,000 to 3,000: R3; and light load: R6."""
    limits = {"docs": 1.10, "fast": 1.10, "bimodal": 1.15, "narrow": 1.25, "stuck": 1.25}
    rows = []
    for law, limit in limits.items():
        ratios = {}
        for price in (1, 4, 8):
            runs = [one_after_the_other(price, law, seed, range(1000, 3000)) for seed in seeds]
            ratios[price] = fmean(over / optimum(law, polls) for polls, over, *_ in runs)
            shown = (fmean(r[0] for r in runs), fmean(r[1] for r in runs), fmean(r[2] for r in runs))
            rows.append((law, price, *shown, ratios[price]))
        for price, ratio in ratios.items():
            goals.add("R3", f"{law} law, price {price}: overshoot over the optimum's", (ratio, "<=", limit))
    table("Against the optimum", ("law", "price s", "polls/task", "overshoot s", "p95", "over the optimum"), rows)
    runs = [one_after_the_other(CHEAPEST, "docs", seed, range(500, 2500), floor=3.0) for seed in seeds]
    loop = [math.ceil(takes / 3.0) for takes in map(of_law("docs", 7), range(20_000))]
    what = "light load, never closer than 3 s: polls and overshoot over the documented loop's"
    polls, over = fmean(r[0] for r in runs), fmean(r[1] for r in runs)
    goals.add("R6", what, (polls / fmean(loop), "<=", 0.75), (over / 1.5, "<=", 1.05))


def arrivals(goals: Goals, seeds: Sequence[int], minutes: int) -> None:
    """Print single clients with so many submissions a minute: R4, R5."""
    start, until = 300.0, 300.0 + 60.0 * minutes
    rows, measured, late = [], {}, 0.0
    everybody = {
        "documented loop, 3 s": PEERS[DOCUMENTED],
        "exponential, 1 to 10 s": PEERS[EXPONENTIAL],
        "ours": clients,
    }
    for law in COMMON:
        for per_minute in (20, 40, 100, 200):
            for name, make in everybody.items():
                if name != "ours" and law != "docs":
                    continue
                traces = []
                for seed in seeds if name == "ours" else seeds[:1]:
                    trace = simulate(make(), of_law(law, seed), arrivals=poisson(per_minute, until, seed), until=until)
                    traces.append(goals.seen(trace).since(start))
                every = [x for t in traces for x in t.overshoots]
                waits = quantile([w for t in traces for w in t.waits], 0.95)
                unsent = max(t.unsent for t in traces)
                kept_up = "yes" if unsent < per_minute else f"no: {unsent} unsent"
                rows.append(
                    (
                        law,
                        per_minute,
                        name,
                        kept_up,
                        fmean(t.polls for t in traces),
                        figures(every),
                        waits,
                        fmean(t.late for t in traces),
                    )
                )
                if name == "ours":
                    measured[law, per_minute] = fmean(every), quantile(every, 0.95), unsent
                    late = max(late, *(t.late for t in traces))
    head = (
        "law",
        "arrivals/min",
        "policy",
        "keeps up",
        "polls/task",
        "overshoot s: mean / p50 / p95",
        "wait p95 s",
        "late p95 s",
    )
    table("Arrivals, single clients", head, rows)
    mean, high, unsent = measured["docs", 100]
    best = optimum("docs", USABLE * LIMIT / 100 - 1)
    goals.add(
        "R4",
        "docs law, 100 arrivals/min: unsent at the end, overshoot mean and p95",
        (unsent, "<=", 20),
        (mean, "<=", 3.3),
        (high, "<=", 7.0),
    )
    goals.add("R4", "... over the optimum with law and load known", (mean / best, "<=", 1.15))
    goals.add("R5", "below saturation: polls are late by (p95, worst of all)", (late, "<=", 1.0))


def batches(goals: Goals, seeds: Sequence[int]) -> None:
    """Print how long whole batches take."""
    sizes = (50, 200, 1000, 5000)
    rows = []
    for law in COMMON:
        for name, make in {**PEERS, **OURS}.items():
            cells = []
            for size in sizes:
                if (
                    size == 5000
                    and (law != "docs" or name in ("openai-style, 1 s", "replicate-style, 0.5 s"))
                    and name in PEERS
                ):
                    cells.append("-")
                    continue
                few = seeds[: 1 if size == 5000 or (name in PEERS and size == 1000) else None]
                ends = [goals.seen(simulate(make(), of_law(law, seed), rows=size)).end for seed in few]
                cells.append(f"{fmean(ends) / 60:.1f}")
            rows.append((law, name, *cells))
    table(
        "Whole batches: minutes until the last row is seen to end", ("law", "policy", *(f"N={n}" for n in sizes)), rows
    )


def starts(goals: Goals, seeds: Sequence[int]) -> None:
    """Print a model never seen before, one that changes, and tasks that hang: R7."""
    many = range(20)
    slow_start = [30.0 + 3.0 * max(math.ceil((t - 30.0) / 3.0), 0) - t for t in map(of_law("fast", 1), range(5000))]
    rows: list[tuple[object, ...]] = [
        ("wait 30 s, then every 3 s", fmean(slow_start), fmean(slow_start), fmean(slow_start))
    ]
    for price in (1, 4, 8):
        runs = [one_after_the_other(price, "fast", seed, range(1000))[3] for seed in many]
        first, second, rest = (
            fmean(x for r in runs for x in r[part]) for part in (slice(5), slice(5, 20), slice(200, 1000))
        )
        rows.append((f"ours, price {price}, one task after the other", first, second, rest))
        goals.add(
            "R7",
            f"a new 10 s model, price {price}: overshoot of tasks 1-20",
            ((5 * first + 15 * second) / 20, "<=", 4.0),
        )
    for dearest in (1, 8):
        runs = []
        for seed in seeds:
            trace = simulate(batch(dearest), of_law("fast", seed), rows=1000)
            runs.append([e.overshoot for e in sorted(trace.ended, key=lambda e: e.born)])
        first, second, rest = (
            fmean(x for r in runs for x in r[part]) for part in (slice(5), slice(5, 20), slice(200, 1000))
        )
        rows.append((f"ours, dearest {dearest}, a batch of 1,000", first, second, rest))
        goals.add("R7", f"... in a batch, dearest {dearest}", ((5 * first + 15 * second) / 20, "<=", 4.0))
    table("A 10 s model never seen before: mean overshoot, s", ("policy", "tasks 1-5", "6-20", "201-1000"), rows)

    rows = []
    for name, before, after in (("6 times faster", "docs", "fast"), ("6 times slower", "fast", "docs")):
        for label, make in (("single clients, 100 arrivals/min", clients), ("backlog, dearest 8", lambda: batch(8))):
            until = 2400.0 if make is clients else 900.0
            trace = simulate(
                make(), changing(before, after), arrivals=poisson(100, until, 1) if make is clients else (), until=until
            )
            changed = [e.overshoot for e in sorted(trace.ended, key=lambda e: e.born)][1000:]
            rows.append((name, label, *(fmean(changed[i : i + 100]) for i in (0, 200, 500, 1000, 2000))))
    table(
        "A model that changes after 1,000 tasks: mean overshoot, s, of the 100 tasks from number",
        ("change", "policy", "0", "200", "500", "1000", "2000"),
        rows,
    )

    rows = []
    for label, make in (("documented loop, 3 s", PEERS[DOCUMENTED]), *OURS.items()):
        trace = goals.seen(simulate(make(), of_law("stuck", 1), until=1800.0)).since(600.0)
        hung = [e.polls for e in trace.ended if math.isnan(e.overshoot)]
        rows.append((label, f"{trace.per_minute:.0f}", trace.polls, figures(trace.overshoots), fmean(hung)))
    head = ("policy", "tasks/min", "polls/task", "overshoot s: mean / p50 / p95", "polls at a hanging task")
    table("1 % of the tasks never end (given up after 600 s), docs law, backlog", head, rows)


class Stopwatch:
    """The time that calls of a function take, less what measuring takes."""

    def __init__(self, function: Callable[..., object], overhead: float = 0.0) -> None:
        self.function, self.overhead, self.took, self.calls = function, overhead, 0.0, 0

    def __call__(self, *arguments: object) -> object:
        began = time.perf_counter()
        result = self.function(*arguments)
        self.took, self.calls = self.took + time.perf_counter() - began - self.overhead, self.calls + 1
        return result


def costs() -> None:
    """Print what a decision costs."""
    nothing = Stopwatch(lambda *_: None)
    for _ in range(20_000):
        nothing("m", 0.0, 0.0)
    overhead, rows = nothing.took / nothing.calls, []
    for load, player, come in (
        ("backlog, dearest 8", batch(8), ()),
        ("100 arrivals/min", clients(), poisson(100, 900, 1)),
    ):
        watches = {
            name: Stopwatch(getattr(player.schedule, name), overhead) for name in ("next_poll", "pending", "done")
        }
        for name, watch in watches.items():
            setattr(player.schedule, name, watch)
        trace = simulate(player, of_law("docs", 1), arrivals=come, until=900.0)
        each = [1e6 * watch.took / watch.calls for watch in watches.values()]
        rows.append(
            (load, len(trace.requests), *each, 1e6 * sum(w.took for w in watches.values()) / len(trace.requests))
        )
    head = ("load", "requests", "us: next_poll, pricing included", "pending", "done", "all, per request")
    table("What a decision costs", head, rows)


def main() -> None:
    options = argparse.ArgumentParser(description="Simulate the polling policy.")
    options.add_argument("--full", action="store_true", help="more seeds, longer runs")
    full = options.parse_args().full
    began = time.process_time()
    goals, seeds, minutes = Goals(), range(1, 8 if full else 4), 30 if full else 15
    print(f"Simulated: {LIMIT} requests/min, {len(seeds)} seeds, {minutes} min per run after 5 min.")
    backlog(goals, seeds, minutes)
    against_the_optimum(goals, seeds)
    arrivals(goals, seeds, minutes)
    batches(goals, seeds)
    starts(goals, seeds)
    costs()
    goals.add("R5", "most requests in any 60 s, over all runs", (goals.busiest, "<=", LIMIT))
    table("Goals", ("goal", "what", "measured", ""), sorted(goals.rows, key=itemgetter(0)))
    print(f"\n{time.process_time() - began:.0f} s of CPU time")


if __name__ == "__main__":
    main()
