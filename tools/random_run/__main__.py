"""Thousands of random episodes against the emulator: cancelled, interrupted, forked, killed. Nothing is lost.

    python tools/random_run --episodes 5000 --seed 1

It ends with a table, and with exit code 1 if anything was paid twice, lost without a word, mixed up or leaked. Each
such episode is named with the options that repeat it alone.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import math
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from attrs import define, field

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT)]

from random_run.evidence import Tally, hear_warnings  # noqa: E402 - the path comes first
from random_run.server import Server  # noqa: E402 - as above

#: Kinds of episodes: the module that runs them, their share in 100, and in how many processes at once.
KINDS = {
    "cancel-asyncio": ("cancelled", 10, 1),
    "cancel-aiohttp": ("cancelled", 14, 1),
    "cancel-uvloop": ("cancelled", 10, 1),
    "cancel-trio": ("cancelled", 12, 1),
    "interrupt": ("interrupted", 26, 6),
    "interrupt-threads": ("interrupted", 11, 3),
    "fork": ("forked", 12, 3),
    "kill": ("commands", 2, 4),
    "disk": ("commands", 1.5, 4),
    "outputs": ("commands", 1.5, 4),
}


def main() -> int:
    """Run what the command line says."""
    options = _options()
    if options.worker:
        kind, url = options.worker
        return work(kind, options.seed, url, range(*options.numbers))
    kinds = options.kinds or list(KINDS)
    whole = sum(KINDS[kind][1] for kind in kinds)
    charges: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with Server() as server, ThreadPoolExecutor(options.jobs) as pool:

        def one(kind: str) -> Heard:
            count = max(round(options.episodes * KINDS[kind][1] / whole), 1)
            numbers = range(options.episode, options.episode + 1) if options.episode is not None else range(count)
            return run(server.url, kind, options.seed, numbers)

        heard = list(pool.map(one, kinds))
        for charge in server.charges():
            charges[charge["prompt"]].append(charge)
    return show(judge(heard, charges), options.seed)


@define
class Heard:
    """What the workers of one kind said."""

    tally: Tally
    calls: list[dict[str, Any]] = field(factory=list)


def run(url: str, kind: str, seed: int, numbers: range) -> Heard:
    """Let workers run the episodes of one kind."""
    heard, began = Heard(Tally(kind)), time.monotonic()

    def listen(part: range) -> None:
        for line in _lines(url, kind, seed, part):
            _note(heard, line)

    workers = min(KINDS[kind][2], math.ceil(len(numbers) / (50 if KINDS[kind][0] != "commands" else 5)))
    parts = [numbers[len(numbers) * i // workers : len(numbers) * (i + 1) // workers] for i in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(listen, parts))
    print(f"{kind}: {heard.tally.episodes} episodes in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return heard


def judge(heard: list[Heard], charges: dict[str, list[dict[str, Any]]]) -> list[Tally]:
    """Judge what every caller knows by the ledger."""
    asked = set()
    for one in heard:
        for call in one.calls:
            asked.add(call["prompt"])
            one.tally.judge(call, charges.get(call["prompt"], []), f"{one.tally.kind} --episode {call['episode']}")
    for prompt in charges.keys() - asked:
        heard[0].tally.lost += 1
        heard[0].tally.faults.append(f"(all): nobody asked for {prompt!r}, which was charged")
    return [one.tally for one in heard]


def _note(heard: Heard, line: dict[str, Any]) -> None:
    """Take in what a worker says."""
    tally = heard.tally
    match line:
        case {"begin": _}:
            tally.episodes += 1
        case {"call": call}:
            heard.calls.append(call)
        case {"leak": what, "episode": number}:
            tally.leak(what, f"{tally.kind} --episode {number}")
        case {"note": what}:
            print(f"{tally.kind}: {what}", file=sys.stderr)


def _lines(url: str, kind: str, seed: int, numbers: range) -> Iterator[dict[str, Any]]:
    """Yield what a worker says. One that dies or falls silent says so."""
    command = [sys.executable, __file__, "--worker", kind, url, "--seed", str(seed), "--numbers"]
    command += [str(numbers.start), str(numbers.stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None  # noqa: S101 - a pipe
        at = numbers.start
        for text in worker.stdout:
            line = json.loads(text)
            at = line.get("begin", at)
            yield {"episode": at, **line}
    if worker.returncode:
        yield {"leak": f"the worker ended with {worker.returncode}", "episode": at}


def work(kind: str, seed: int, url: str, numbers: range) -> int:
    """Be a worker."""
    faulthandler.enable()
    hear_warnings(leftovers=kind.startswith("cancel"))
    importlib.import_module(f"random_run.{KINDS[kind][0]}").main(kind, seed, url, numbers)
    return 0


def show(tallies: list[Tally], seed: int) -> int:
    """Print the table, and what went wrong."""
    columns = {
        "episodes": "episodes", "calls": "calls", "charged": "charged", "results": "in hand", "handles": "task told",
        "doubts": "doubt told", "twice": "paid twice", "lost": "lost untold", "wrong": "mixed up", "leaked": "leaked",
    }  # fmt: skip
    rows = [(tally.kind, [getattr(tally, name) for name in columns]) for tally in tallies]
    rows.append(("all", [sum(column) for column in zip(*(numbers for _, numbers in rows), strict=True)]))
    print(f"{'kind':22}" + "".join(f"{title:>12}" for title in columns.values()))
    for kind, numbers in rows:
        print(f"{kind:22}" + "".join(f"{number:>12,}" for number in numbers))
    faults = [fault for tally in tallies for fault in tally.faults]
    for fault in faults[:40]:
        print(f"--seed {seed} --kinds {fault}")
    if len(faults) > 40:
        print(f"and {len(faults) - 40} more")
    return 1 if faults else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=5000, help="how many, of all kinds together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="only these")
    parser.add_argument("--episode", type=int, help="only the one with this number")
    parser.add_argument("--jobs", type=int, default=1, help="how many kinds at once")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--numbers", nargs=2, type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
