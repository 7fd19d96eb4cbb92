"""One batch on several machines: kills, the shared rate limit, and what a row costs. One command:

    python benchmarks/machines.py [kills | actors | cost | million]

It needs PostgreSQL and the extra `postgres`, for `actors` the extra `ray`, too, and says so where they are missing. The
database and the workers are processes of this machine; leases are short, so that nobody waits a minute for a dead
worker. Whether anything was paid twice or lost is told by the emulator's own count, not by the journal.
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
from contextlib import suppress
from importlib.util import find_spec
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

#: Kills. Of actors, some are kills of the whole job.
ROWS, WORKERS, KILLS, RESTARTS, PER_MINUTE = 2000, 4, 18, 2, 2000
JOBS = 2
#: Seconds after which a run is given up.
LONGEST = 1500.0
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
                if time.monotonic() - began > LONGEST:
                    sys.exit(print("it takes too long"))
            took = time.monotonic() - min(seen.times)
            told = {"workers": workers, "kills": deaths, "restarts": restarts}
            report(told, took, emulator, seen, pg.ask("SELECT id, status, task_id FROM rows", "kills"))


def report(told: dict[str, object], took: float, emulator: Emulator, seen: Timed, found: list[tuple]) -> None:
    """Print what became of the rows, as the journal has it and as the emulator has charged it."""
    states = Counter(status for _, status, _ in found)
    paid = Counter(charge.request["prompt"] for charge in emulator.ledger)
    known = {task for _, _, task in found if task}
    doubtful = {f"cat {key[1:]}" for key, status, _ in found if status == "uncertain"}
    lost = [one for one in emulator.ledger if one.task_id not in known and one.request["prompt"] not in doubtful]
    print(json.dumps({
        "rows": ROWS, **told, "states": dict(states), "billed": sum(paid.values()),
        "paid twice": sum(n > 1 for n in paid.values()), "lost": len(lost),
        "seconds since the first request": round(took, 1), "rows a minute": round(60 * ROWS / took),
        "limit": PER_MINUTE, "most requests in 60 s": most_in(seen.times, 60.0), "in 60.5 s": most_in(seen.times, 60.5),
        "requests": len(seen.times), "load": os.getloadavg()[0],
    }), flush=True)  # fmt: skip


#: A job of Ray Data. Ray starts others, makes noise, and warns of itself.
JOB = """
import os
os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
import ray, lemon_ext.ray
ray.init(num_cpus=%(workers)d, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20,
         _temp_dir=%(temp)r)
ray.data.DataContext.get_current().enable_progress_bars = False
rows = [{"id": f"r{n}", "prompt": f"cat {n}"} for n in range(%(rows)d)]
ds = ray.data.from_items(rows, override_num_blocks=%(workers)d * 5).map_batches(
    lemon_ext.ray.Images,
    fn_constructor_kwargs=dict(model="flux-pro", key="id", journal=%(journal)r, requests_per_minute=%(per_minute)d,
                               store=%(store)r),
    compute=ray.data.ActorPoolStrategy(size=%(workers)d), batch_size=100,
)
ds.write_parquet(%(out)r, mode="overwrite")
"""


class Job:
    """A job of Ray Data that is killed and run again."""

    def __init__(self, folder: Path, emulator: Emulator, pg: databases.Server) -> None:
        self.folder, self.pg = folder, pg
        self.environment = {**os.environ, "LEMONDATA_API_KEY": KEY, "LEMONDATA_BASE_URL": emulator.url}
        self.environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "generated"), str(ROOT)])
        self.start()

    def start(self) -> None:
        values = {"workers": WORKERS, "rows": ROWS, "per_minute": PER_MINUTE, "journal": self.pg.address("actors")}
        values |= {"temp": tempfile.mkdtemp(prefix="ray-"), "store": str(self.folder / "store")}
        command = [sys.executable, "-W", "ignore", "-c", JOB % {**values, "out": str(self.folder / "out")}]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            command, env=self.environment, stderr=log, stdout=log, start_new_session=True
        )  # fmt: skip

    def meets(self, what: str, rng: random.Random) -> None:
        """Let an actor be killed, or the whole job and started again, or the database be started again."""
        if what == "restart":
            self.pg.stop("immediate")
            self.pg.start()
            return
        found = self.pg.ask("SELECT id FROM workers WHERE lease > clock_timestamp()", "actors")
        victims = sorted({int(worker.split("-")[-2]) for (worker,) in found})
        if what == "job":
            self.end()
        for victim in victims if what == "job" else victims and [rng.choice(victims)]:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        if what == "job":
            self.start()

    def end(self) -> None:
        """Kill the driver and what it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def actors() -> None:
    """Kill actors of Ray, the whole job, and the database while they work, and count."""
    if find_spec("ray") is None:
        print("actors are left out: ray is not installed.")
        return
    rng = random.Random(2)
    for deaths, jobs, restarts in ((0, 0, 0), (KILLS - JOBS, JOBS, RESTARTS)):
        folder = Path(tempfile.mkdtemp(prefix="lemon-ray-"))
        with databases.server("on") as pg, Emulator(task_seconds=2.0, latency=0.05) as emulator:
            seen = emulator.requests = Timed()
            began, job = time.monotonic(), Job(folder, emulator, pg)
            steps = ["kill"] * deaths + ["job"] * jobs + ["restart"] * restarts
            rng.shuffle(steps)
            due = sorted(rng.uniform(0.05, 0.95) * ROWS for _ in steps)
            while job.process.poll() is None and time.monotonic() - began < LONGEST:
                time.sleep(0.1)
                if due and emulator.charges >= due[0]:
                    due.pop(0)
                    job.meets(steps.pop(), rng)
            ended = job.process.poll()
            job.end()
            took = time.monotonic() - min(seen.times)
            told = {"actors": WORKERS, "ended with": ended, "kills": deaths, "kills of the job": jobs}
            told |= {"restarts": restarts, "not yet": len(due)}
            report(told, took, emulator, seen, pg.ask("SELECT id, status, task_id FROM rows", "actors"))


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
    chosen = re.findall("kills|actors|cost|million", " ".join(sys.argv[1:])) or ["kills", "actors", "cost", "million"]
    try:
        for name in chosen:
            globals()[name]()
    except pytest.skip.Exception as exc:
        print(f"machines.py is left out: {exc}.")
