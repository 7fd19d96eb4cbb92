"""Batches on the emulator whose answers get lost, and what `lemon reconcile` says of them, judged by its books.

    python tools/reconcile_run.py --seeds 50 --rows 1000

Rows have equal prompts, other programs use the same key, records come late, without ids or with a wrong date. The
emulator's books know what became of each row. It ends with a table, and with exit code 1 if a verdict was wrong, a row
that can be told was not told, anything was paid twice, or the sums differ.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from attrs import define, field

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from lemon_ext import AsyncLemon, Lemon, Reconciliation, reconcile, run_batch  # noqa: E402 - the path comes first
from lemon_ext.emulator import KEY, TOKEN, Emulator, Request, Response  # noqa: E402 - as above
from lemon_ext.emulator.pictures import draw  # noqa: E402 - as above
from lemon_ext.reconciliation import Verdict  # noqa: E402 - as above
from lemon_ext.testing import instant  # noqa: E402 - as above

MODELS = ("dall-e-3", "dall-e-2", "midjourney", "flux-pro", "flux-schnell", "stable-diffusion-3", "ideogram-v3")
#: How an answer gets lost: accepted and billed, with or without a request id; or never accepted.
BILLED, NOT_BILLED = (
    ("drop_after", "error_504", "malformed_json", "empty_body"),
    ("drop_before", "html_502", "error_500"),
)
#: What the books do wrong with a charge, in so many of 1,000.
ODD = {"nameless_record": 5, "late_record,seconds=20": 20, "clock_ahead,seconds=3": 20, "clock_behind,seconds=3": 20}
SETTLE, TOLERANCE = 60.0, 5.0
#: Requests a minute: at this pace few rows are near enough to be mistaken for each other.
PACE = 30.0


#: The picture of every row: drawing takes time.
PICTURE = draw("a row", model="none", size=(16, 16))


@define
class Clock:
    """Time that passes when somebody sleeps."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.now += seconds


class Api(Emulator):
    """Loses answers, and lets other programs use the key."""

    def __init__(self, seed: int, clock: Clock, *, foreign: bool = True, odd: bool = True) -> None:
        super().__init__(
            clock=clock, wall=clock.wall, sleep=clock.sleep, asleep=clock.asleep, task_seconds=20.0, balance=1000
        )
        self.time = clock
        self.chance, self.loses, self.shared, self.odd = random.Random(seed), True, foreign, odd
        #: The rows whose answers were lost, and whether they are billed.
        self.lost: dict[str, bool] = {}

    def handle(self, request: Request) -> Response:
        if request.method == "POST":
            if self.shared and self.chance.random() < 0.02:
                at = self.wall() + self.chance.uniform(-90, 90)
                self.account.foreign(KEY, self.chance.choice(MODELS), at)
            for fault, often in ODD.items() if self.odd else ():
                if self.chance.random() < often / 1000:
                    name, _, seconds = fault.partition(",seconds=")
                    details: dict[str, Any] = {"seconds": seconds} if seconds else {}
                    self.inject(name, **details)
            if self.loses and self.chance.random() < 0.05:
                fault = self.chance.choice(self.chance.choice((BILLED, NOT_BILLED)))
                self.inject(fault, on="submit")
                self.lost[json.loads(request.body)["user"]] = fault in BILLED
        return super().handle(request)

    def _draw(self, job: Any, index: int) -> bytes:
        return PICTURE


@define
class Tally:
    """What came of a run, or of several."""

    counts: Counter[str] = field(factory=Counter)
    faults: list[str] = field(factory=list)

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.faults.append(what)


@contextmanager
def scene(seed: int, **options: bool) -> Iterator[Api]:
    """Give an API of its own time, which nobody waits for."""
    clock = Clock()
    with instant(clock=clock, wall=clock.wall, sleep=clock.sleep, asleep=clock.asleep), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield Api(seed, clock, **options)


def run(seed: int, rows: int, folder: Path, tally: Tally, **options: bool) -> None:
    """Run a batch whose answers get lost, tell what became of them, send what was not billed, and judge it all."""
    with scene(seed, **options) as api:
        chance = random.Random(seed)
        requests = [
            {"prompt": f"cat {chance.randrange(20)}", "model": chance.choice(MODELS), "user": f"row {number}"}
            for number in range(1, rows + 1)
        ]
        work(api, requests, folder)
        api.time.now += 10 * SETTLE
        alone = not options.get("foreign", True)
        found = ask(api, folder, alone=alone)
        judge(api, found, tally, seed, alone=alone)
        found.apply()
        charged = {user for user, billed in api.lost.items() if billed}
        api.loses = False
        work(api, None, folder)
        api.time.now += 10 * SETTLE
        last = ask(api, folder, alone=alone)
        last.apply()
        sums(api, last, folder, tally, seed)
        paid = Counter(one.request["user"] for one in api.ledger)
        tally.expect(max(paid.values()) == 1, f"seed {seed}: paid twice: {[user for user in paid if paid[user] > 1]}")
        resent = {f"row {one.key}" for one in found.of(Verdict.NOT_BILLED)}
        tally.expect(not resent & charged and resent <= paid.keys(), f"seed {seed}: what was released is not made once")
        tally.counts += Counter(
            runs=1, rows=rows, lost=len(api.lost), charges=len(api.account.records), resent=len(resent)
        )


def work(api: Api, requests: list[dict[str, Any]] | None, folder: Path) -> None:
    """Work off a batch. Several lost answers in a row end a run, so it may take some."""
    for _ in range(20):
        http = httpx.AsyncClient(transport=api.transport)
        client = AsyncLemon(KEY, base_url=api.address, http_client=http, requests_per_minute=PACE)
        outcomes = list(run_batch(requests, folder, client=client, gallery=False, concurrency=4, deadline=600.0))
        if all(one["status"] in ("saved", "uncertain") for one in outcomes):
            return


def ask(api: Api, folder: Path, *, alone: bool = False) -> Reconciliation:
    """Tell what became of the rows."""
    with Lemon(TOKEN, base_url=api.address, http_client=httpx.Client(transport=api.transport)) as lemon:
        return reconcile(folder, client=lemon, api_key=KEY, settle=SETTLE, clock_tolerance=TOLERANCE, alone=alone)


def judge(api: Api, found: Reconciliation, tally: Tally, seed: int, *, alone: bool) -> None:
    """Compare the verdicts with the truth, and with what can be told at all, worked out here once more."""
    records = api.account.records
    known = {one.request_id for one in api.ledger if one.request["user"] not in api.lost}
    known |= {one.request_id for one in found.lost.values() if one.request_id is not None}
    free = [one for one in records if one.request_id is None or one.request_id not in known]
    tally.expect(
        {f"row {one.key}" for one in found.findings} == api.lost.keys(), f"seed {seed}: other rows are uncertain"
    )
    low, high = span(found)
    with_id = {one.key for one in found.findings if found.lost[one.key].request_id is not None}
    for one in found.findings:
        sent, billed = found.lost[one.key], api.lost[f"row {one.key}"]
        tally.counts[one.verdict.value] += 1
        truth = Verdict.BILLED if billed else Verdict.NOT_BILLED
        tally.expect(
            one.verdict in (truth, Verdict.UNKNOWN), f"seed {seed}: row {one.key} is {truth}, not {one.verdict}"
        )
        assert sent.at is not None  # noqa: S101 - rows have one
        own = [two for two in records if sent.request_id is not None and two.request_id == sent.request_id]
        near = [
            two
            for two in free
            if two.model == sent.model
            and sent.at + low <= round(two.at, 3) <= sent.at + high
            and (sent.request_id is None or two.request_id is None)
        ]
        read = found.since is None or sent.at + low >= found.since
        read = read and (found.until is None or sent.at + high <= found.until)
        can = bool(own) or sent.billing_id is not None or (not near and read)
        told = one.verdict is not Verdict.UNKNOWN
        tally.expect(told or not can, f"seed {seed}: row {one.key} can be told and was not: {one.why}")
        tally.expect(can or not told or alone, f"seed {seed}: row {one.key} was guessed")
        tally.counts["told by id"] += one.key in with_id and told


def span(found: Reconciliation) -> tuple[float, float]:
    """Return how long after its request a charge may be dated: as was said, or as known ones are."""
    low, high = -TOLERANCE, SETTLE + TOLERANCE
    first, last = found.matched.spread or (0.0, 0.0)
    return (first - TOLERANCE if first < low else low), (last + TOLERANCE if last > high else high)


def sums(api: Api, last: Reconciliation, folder: Path, tally: Tally, seed: int) -> None:
    """Compare the sums to the cent: of the rows, of charges that may be theirs, and of those that are not."""
    told = [json.loads(line)["cost"] for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = sum((Decimal(cost) for cost in told if cost is not None), Decimal(0))
    others = sum((one.usd for one in (*last.possible, *last.strange) if one.usd is not None), Decimal(0))
    # What other programs were charged before the first row, or after the last one, is nobody's business.
    spent = sum((one.cost for one in api.account.records if _read(last, one.at)), Decimal(0))
    tally.expect(last.usd == spent, f"seed {seed}: {last.usd} were read, {spent} were spent")
    tally.expect(rows + others == spent, f"seed {seed}: {rows} + {others} is not {spent}")


def _read(found: Reconciliation, at: float) -> bool:
    """Tell whether a record of that time was asked for."""
    return (found.since is None or int(found.since) <= at) and (found.until is None or round(at, 3) <= int(found.until))


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--rows", type=int, default=1000)
    options = parser.parse_args()
    tally = Tally()
    for seed in range(options.first, options.first + options.seeds):
        with tempfile.TemporaryDirectory() as name:
            run(seed, options.rows, Path(name), tally, foreign=seed % 5 != 0)
        print(f"seed {seed}: {dict(tally.counts)}, faults: {tally.faults}", file=sys.stderr)
    for name, count in tally.counts.items():
        print(f"{name:<16}{count:>9,}")
    for fault in tally.faults[:20]:
        print(fault)
    print(f"{len(tally.faults)} faults")
    return int(bool(tally.faults))


if __name__ == "__main__":
    sys.exit(main())
