"""What the benchmarks share: two things side by side in one run, medians, and ratios with their spread.

A time alone says little on a shared machine, so every figure is a ratio of things that were measured in turns.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import random
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import TypeAlias

from attrs import frozen
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent

#: Answers of a canned server: the least work on the other side, in a process of its own.
SERVER = """
import asyncio, json, sys

INLINE = json.dumps({"created": 1706000000, "data": [{"url": "https://img.example.net/a.png", "revised_prompt": "x"}]})
TASK = json.dumps({"created": 1706000000, "task_id": "img_1", "status": "pending", "data": []})

def answer(body):
    body = body.encode()
    head = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n"
    return head % len(body) + body

ANSWERS = {b"POST": answer(INLINE), b"GET ": answer(TASK)}

class Canned(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        head, end, body = self.buffer.partition(b"\\r\\n\\r\\n")
        if not end:
            return
        length = 0
        for line in head.lower().split(b"\\r\\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        if len(body) >= length:
            self.buffer = b""
            self.transport.write(ANSWERS[head[:4]])

async def main():
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""

#: A line of a table: what, measured, goal, met.
Row: TypeAlias = tuple[str, str, str, bool | None]


@frozen
class Ratio:
    """How many times the cost of the other one: the median, and the middle half of the pairs."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.2f}x ({self.low:.2f}-{self.high:.2f})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Compare pair by pair: what disturbed a round disturbed both."""
    low, middle, high = quantiles([one / other for one, other in zip(ours, theirs, strict=True)], n=4)
    return Ratio(middle, low, high)


def in_turns(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure each thing once per round, in an order that changes, after a round that does not count."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    order = list(measures)
    for turn in range(rounds + 1):
        random.shuffle(order)
        for name in order:
            seconds = measures[name]()
            if turn:
                found[name].append(seconds)
    return found


@contextmanager
def served(code: str = SERVER) -> Iterator[str]:
    """Run a server in another process, by default one with canned answers. It prints its port. Gives its address."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


@contextmanager
def clean_environment(*distributions: str) -> Iterator[Path]:
    """Make a throwaway environment that holds these distributions, what they need, and this project.

    What is installed here is linked, not installed again: nothing is fetched. Gives the interpreter.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        builder = venv.EnvBuilder(symlinks=os.name != "nt")
        builder.create(folder)
        python = Path(builder.ensure_directories(folder).env_exe)
        command = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        site = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
        for name in _closure(distributions):
            distribution = importlib.metadata.distribution(name)
            for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
                if not (site / top).exists():
                    (site / top).symlink_to(Path(str(distribution.locate_file(top))))
        for package in (ROOT / "lemon_ext", ROOT / "generated" / "lemon_client"):
            (site / package.name).symlink_to(package)
        yield python


def _closure(names: Sequence[str]) -> set[str]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        needs = map(Requirement, importlib.metadata.requires(name) or ())
        todo += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


def child(python: Path, code: str, *arguments: str) -> float:
    """Run a script in a fresh process and return what it cost in seconds of CPU."""
    command = [str(python), "-I", "-c", code, *arguments]
    with subprocess.Popen(command, cwd=tempfile.gettempdir(), stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"this failed: {code}")
    return float(usage.ru_utime + usage.ru_stime)


def inside(python: Path, code: str) -> float:
    """Run a script in a fresh process and return the seconds that it prints."""
    command = [str(python), "-I", "-c", code]
    done = subprocess.run(command, cwd=tempfile.gettempdir(), capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def table(title: str, rows: Sequence[Row]) -> None:
    """Print lines under a title."""
    print(f"\n{title}")
    widths = [max(map(len, column)) for column in zip(*(row[:3] for row in rows), strict=True)]
    for what, measured, goal, met in rows:
        verdict = "" if met is None else "met" if met else "MISSED"
        print(f"  {what:<{widths[0]}}  {measured:>{widths[1]}}  {goal:<{widths[2]}}  {verdict}".rstrip())


def milliseconds(values: Sequence[float]) -> str:
    """Show the median."""
    return f"{median(values) * 1000:.1f} ms"
