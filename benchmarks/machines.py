"""One batch on several machines: kills, the shared rate limit, and what a row costs. One command:

    python benchmarks/machines.py [kills | cost | million]

It needs PostgreSQL and the extra `postgres`, and says so where they are missing. The database and the workers are
processes of this machine; leases are short, so that nobody waits a minute for a dead worker. Whether anything was paid
twice or lost is told by the emulator's own count, not by the journal.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

from _measure import ROOT

sys.path.insert(0, str(ROOT))
try:
    import psycopg  # noqa: F401 - asked for, not used
    import pytest

    from lemon_ext.emulator import KEY, Emulator, Seen
    from tests import databases
except ImportError as exc:
    sys.exit(print(f"machines.py is left out: {exc.name} is not installed."))

#: Kills.
ROWS, WORKERS, KILLS, RESTARTS, PER_MINUTE = 500, 4, 18, 2, 600
#: Rows of a run that measures their cost, and runs in turns.
COST_ROWS, TURNS = 500, 3

WORKER = """
import sys, warnings
warnings.simplefilter("ignore")
from lemon_ext import run_batch
from lemon_ext.batch import postgres
from lemon_ext.client import AsyncLemon
postgres.LEASE, postgres.PostgresJournal.beat = 5.0, 1.0
rows = [{"id": f"r{n}", "prompt": f"cat {n}", "model": "flux-pro"} for n in range(%(rows)d)]
client = AsyncLemon(requests_per_minute=%(per_minute)d)
for outcome in run_batch(rows, sys.argv[1], journal=%(journal)r, client=client, gallery=False, concurrency=16):
    pass
"""


class Timed(list):
    """Notes when each request of the API came. Pictures have no limit."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def append(self, one: Seen) -> None:
        if one.keyed:
            self.times.append(time.monotonic())
        super().append(one)


def most_in(times: list[float], window: float) -> int:
    times, first, most = sorted(times), 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - window:
            first += 1
        most = max(most, last - first + 1)
    return most


def kills() -> None:
    """Kill workers and the database while they work, and count."""
    rng = random.Random(1)
    for workers, deaths, restarts in ((1, 0, 0), (WORKERS, 0, 0), (WORKERS, KILLS, RESTARTS)):
        folder = Path(tempfile.mkdtemp(prefix="lemon-machines-"))
        with databases.server("on") as pg, Emulator(task_seconds=2.0, latency=0.05) as emulator:
            seen = emulator.requests = Timed()
            code = WORKER % {"rows": ROWS, "per_minute": PER_MINUTE, "journal": pg.address("kills")}
            environment = {**os.environ, "LEMONDATA_API_KEY": KEY, "LEMONDATA_BASE_URL": emulator.url}
            environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "generated"), str(ROOT)])

            def worker(
                number: int, folder: Path = folder, code: str = code, environment: dict[str, str] = environment
            ) -> subprocess.Popen[bytes]:
                command = [sys.executable, "-c", code, str(folder / f"m{number}")]
                return subprocess.Popen(command, env=environment, stderr=(folder / "log").open("ab"))

            began = time.monotonic()
            crew = {number: worker(number) for number in range(workers)}
            at = [("kill", count) for count in range(deaths)] + [("restart", count) for count in range(restarts)]
            rng.shuffle(at)
            steps = iter(at)
            due = sorted(rng.uniform(0.05, 0.95) * ROWS for _ in at)
            while crew:
                time.sleep(0.05)
                crew = {number: one for number, one in crew.items() if one.poll() is None} if not due else crew
                for number, one in crew.items():
                    if one.poll() is not None:  # it ended while more is to be killed
                        crew[number] = worker(number)
                if due and emulator.charges >= due[0]:
                    due.pop(0)
                    what, _ = next(steps)
                    if what == "restart":
                        pg.stop("immediate")
                        pg.start()
                    else:
                        number = rng.choice(list(crew))
                        crew[number].send_signal(signal.SIGKILL)
                        crew[number].wait()
                        crew[number] = worker(number)
                if time.monotonic() - began > 900:
                    sys.exit(print("it takes too long"))
            took = time.monotonic() - began
            found = pg.ask("SELECT id, status, task_id FROM rows", "kills")
            states = Counter(status for _, status, _ in found)
            paid = Counter(charge.request["prompt"] for charge in emulator.ledger)
            known = {task for _, _, task in found if task}
            doubtful = {f"cat {key[1:]}" for key, status, _ in found if status == "uncertain"}
            lost = [
                one for one in emulator.ledger if one.task_id not in known and one.request["prompt"] not in doubtful
            ]
            print(json.dumps({
                "rows": ROWS, "workers": workers, "kills": deaths, "restarts": restarts,
                "states": dict(states), "billed": sum(paid.values()), "paid twice": sum(n > 1 for n in paid.values()),
                "lost": len(lost), "seconds": round(took, 1), "rows a minute": round(60 * ROWS / took),
                "limit": PER_MINUTE, "most requests in 60.5 s": most_in(seen.times, 60.5), "requests": len(seen.times),
            }))  # fmt: skip


COST = """
import sys, time, tempfile, httpx, json
from lemon_ext import AsyncLemon, run_batch
from tests.pictures import PNG as picture
def answer(request):
    if request.method == "GET":
        return httpx.Response(200, content=picture)
    return httpx.Response(200, json={"created": 1, "data": [{"url": "https://img.example.net/a.png"}]})
client = AsyncLemon("sk-x", base_url="https://api.example.test", requests_per_minute=None,
                    http_client=httpx.AsyncClient(transport=httpx.MockTransport(answer)))
rows = [{"prompt": f"cat {n}", "model": "flux-pro"} for n in range(int(sys.argv[1]))]
with tempfile.TemporaryDirectory() as folder:
    began, cpu = time.perf_counter(), time.process_time()
    count = sum(1 for _ in run_batch(rows, folder, client=client, gallery=False, journal=json.loads(sys.argv[2])))
    print(json.dumps([(time.perf_counter() - began) / count, (time.process_time() - cpu) / count]))
"""


def cost() -> None:
    """What a row costs with either journal: all that is not the network."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "generated"), str(ROOT)])}
    with databases.server("on") as pg:
        found: dict[str, list[list[float]]] = {"SQLite": [], "PostgreSQL": []}
        for turn in range(TURNS):
            for name, journal in (("SQLite", None), ("PostgreSQL", pg.address(f"cost{turn}"))):
                command = [sys.executable, "-W", "ignore", "-c", COST, str(COST_ROWS), json.dumps(journal)]
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                found[name].append(json.loads(done.stdout))
        for name, turns in found.items():
            wall, cpu = (1000 * median(one[part] for one in turns) for part in (0, 1))
            print(f"{name:<11} {wall:6.2f} ms a row, {cpu:6.2f} ms of them CPU of the worker")


def million() -> None:
    """How large the tables are with a million rows, and how long it takes to go on."""
    from lemon_ext.batch.address import Address
    from lemon_ext.batch.postgres import PostgresJournal

    with databases.server("on") as pg, tempfile.TemporaryDirectory() as folder:
        address = Address.of(pg.address("million"))
        PostgresJournal.open(Path(folder), address).close()
        pg.ask(
            """
            INSERT INTO rows (row, request, images, status, task_id, paths, key, id, submitted_at, finished_at)
            SELECT n, '{"model": "flux-pro", "prompt": "a cat with a hat, number ' || n || '"}', 1,
                CASE WHEN n <= 600000 THEN 'saved' WHEN n <= 601000 THEN 'waiting' ELSE 'unsent' END,
                CASE WHEN n <= 601000 THEN 'img_' || n END,
                CASE WHEN n <= 600000 THEN '["' || n || '-a-cat-1.png"]' END,
                'id r' || n, 'r' || n, 1.7e9, CASE WHEN n <= 600000 THEN 1.7e9 END
            FROM generate_series(1, 1000000) AS n;
            ANALYZE rows
            """,
            "million",
        )
        (size,) = pg.ask("SELECT pg_size_pretty(pg_total_relation_size('rows'))", "million")[0]
        print(f"a million rows: {size}")

        def timed(what: str, function: object, *arguments: object) -> object:
            began = time.perf_counter()
            result = function(*arguments)  # type: ignore[operator]
            print(f"{what:<34} {1000 * (time.perf_counter() - began):9.1f} ms")
            return result

        journal = timed("open", PostgresJournal.open, Path(folder), address)
        timed("counts (every 5 s)", journal.counts)
        timed("saved_images, images_sent (once)", lambda: (journal.saved_images(), journal.images_sent()))
        timed("take 1,000 waiting tasks", journal.take, "waiting")
        timed("take 128 unsent rows", journal.take, "unsent", 128)
        timed("take 128 more", journal.take, "unsent", 128)
        timed(
            "write 64 submissions", lambda: journal.commit([journal.submitting(601001 + n, 1.7e9) for n in range(64)])
        )
        timed("renew", journal.renew)
        timed("others", journal.others)
        print(f"memory of the worker: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
        journal.close()


if __name__ == "__main__":
    chosen = re.findall("kills|cost|million", " ".join(sys.argv[1:])) or ["kills", "cost", "million"]
    try:
        for name in chosen:
            globals()[name]()
    except pytest.skip.Exception as exc:
        print(f"machines.py is left out: {exc}.")
