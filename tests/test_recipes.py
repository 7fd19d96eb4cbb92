"""The recipes of docs/scale.md with other engines, each of which may run what it runs twice."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from lemon_ext.batch import batch_status
from lemon_ext.blocks import run_block
from lemon_ext.emulator import KEY, Emulator
from tests.children import python
from tests.conftest import ROOT
from tests.gateway import Gateway, rows

pytestmark = [pytest.mark.scale, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("lemon_ext.batch.postgres", exc_type=ImportError)


def given(count):
    return [{"id": f"r{n}", **row} for n, row in enumerate(rows(count), 1)]


def test_dask_runs_a_partition_again(pg, tmp_path):
    dask = pytest.importorskip("dask.dataframe", reason="Dask is not installed; it is no extra of ours")
    import pandas as pd

    gateway, journal, failed = Gateway(), pg.address("dask"), []
    gateway.client()

    def images(part):
        known = {"journal": journal, "key": "id", "store": tmp_path / "store", "deadline": 1e9}
        outcomes = run_block(part.to_dict("records"), client=gateway.client(), **known)
        if not failed:
            failed.append(True)
            raise RuntimeError("this worker is gone")
        return part.assign(**pd.DataFrame(outcomes, index=part.index)[["status", "path", "error"]])

    frame = dask.from_pandas(pd.DataFrame(given(12)), npartitions=3)
    kinds = {"id": "object", "prompt": "object", "model": "object", "status": "object", "path": "object"}
    made = frame.map_partitions(images, meta={**kinds, "error": "object"})
    assert gateway.posts == []  # it did not try with a made-up row
    with pytest.raises(RuntimeError, match="this worker is gone"):
        made.compute(scheduler="synchronous")
    found = made.compute(scheduler="synchronous")
    assert list(found["status"]) == ["saved"] * 12
    assert gateway.charges == {f"cat {n}": 1 for n in range(1, 13)}


def test_celery_hands_out_a_message_twice(pg, tmp_path):
    celery = pytest.importorskip("celery", reason="Celery is not installed; it is no extra of ours")
    from celery.contrib.testing.worker import start_worker

    gateway, journal = Gateway(), pg.address("celery")
    gateway.client()
    app = celery.Celery("shop", broker="memory://", backend="cache+memory://")

    @app.task(acks_late=True, reject_on_worker_lost=True)
    def image(order_id, prompt):
        row = {"id": order_id, "prompt": prompt, "model": "midjourney"}
        known = {"journal": journal, "key": "id", "store": tmp_path / "store", "deadline": 1e9}
        (outcome,) = run_block([row], client=gateway.client(), **known)
        return outcome["path"]

    with start_worker(app, perform_ping_check=False, pool="solo", loglevel="ERROR"):
        first, second = (image.delay("order 7", "a cat").get(timeout=60) for _ in range(2))
    assert first == second
    assert gateway.charges == {"a cat": 1}


# ---- engines that start processes: one of these is killed ----


def program(emulator, code, **values):
    """Run the lines of a recipe in a process of their own."""
    known = {"LEMONDATA_API_KEY": KEY, "LEMONDATA_BASE_URL": emulator.url, "PYSPARK_PYTHON": sys.executable}
    paths = os.pathsep.join([str(ROOT / "generated"), str(ROOT)])
    lines = "\n".join([*(f"{name} = {value!r}" for name, value in values.items()), code])
    return python("-W", "ignore", "-c", lines, env={**os.environ, **known, "PYTHONPATH": paths}, cwd=ROOT)


def kill_one(pg, batch, emulator, charges, running):
    """Kill a process that works at a batch, once so much is paid for, and let its lease run out."""
    until = time.monotonic() + 150
    while emulator.charges < charges:
        assert time.monotonic() < until, "nothing was sent"
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    worker = pg.ask("SELECT owner FROM rows WHERE status = 'waiting' ORDER BY row LIMIT 1", batch)[0][0]
    os.kill(int(re.search(r"-(\d+)-\w+$", worker)[1]), signal.SIGKILL)
    pg.ask(f"UPDATE workers SET lease = now() WHERE id = '{worker}'", batch)


def is_paid_once(emulator, count):
    """No prompt was billed twice, whatever became of its row."""
    billed = Counter(charge.request["prompt"] for charge in emulator.ledger)
    assert set(billed.values()) == {1}
    assert len(billed) <= count


SPARK = """
import pandas as pd
from lemon_ext.blocks import run_block
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false")
spark = spark.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
rows = [(f"r{n}", f"cat {n}", "flux-pro") for n in range(40)]
df = spark.createDataFrame(rows, "id string, prompt string, model string").repartition(4)


def images(parts):
    for part in parts:
        outcomes = run_block(part.to_dict("records"), journal=JOURNAL, key="id", store=STORE)
        yield part[["id"]].assign(**pd.DataFrame(outcomes, index=part.index)[["status", "path", "error"]])


df.mapInPandas(images, "id string, status string, path string, error string").write.parquet(OUT)
"""


@pytest.mark.timeout(400)
def test_spark_runs_a_task_again_whose_worker_was_killed(pg, tmp_path):
    if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
        pytest.skip("Spark, or Java, is not installed; it is no extra of ours")
    import pyarrow.parquet as parquet

    values = {"JOURNAL": pg.address("spark"), "STORE": str(tmp_path / "store"), "OUT": str(tmp_path / "out")}
    with Emulator(task_seconds=3.0) as emulator:
        with program(emulator, SPARK, **values) as running:
            kill_one(pg, "spark", emulator, 8, running)
            said = running.communicate(timeout=240)[1]
        assert "Python worker exited unexpectedly" in said
        assert running.returncode == 0, said[-3000:]
        is_paid_once(emulator, 40)
        found = parquet.read_table(tmp_path / "out").to_pylist()
        assert len({row["id"] for row in found}) == len(found) == 40
        assert {row["status"] for row in found} <= {"saved", "uncertain"}
        assert sum(row["status"] == "saved" for row in found) >= 30
    assert all(Path(row["path"]).is_file() for row in found if row["status"] == "saved")


PROCRASTINATE = """
import procrastinate
from lemon_ext.blocks import run_block

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=QUEUE))


@app.task
def image(order_id, prompt):
    row = {"id": order_id, "prompt": prompt, "model": "flux-pro"}
    (outcome,) = run_block([row], journal=JOURNAL, key="id", store=STORE)
    return outcome["path"]


@app.periodic(cron="* * * * * *")
@app.task(queueing_lock="stalled")
async def try_stalled_jobs_again(timestamp):
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=5):
        await app.job_manager.retry_job(job)
"""
DEFER = """
with app.open():
    app.schema_manager.apply_schema()
    for n in range(6):
        image.defer(order_id=f"order {n}", prompt=f"cat {n}")
"""
WORK = "app.run_worker(concurrency=4, update_heartbeat_interval=1, install_signal_handlers=False)"


@pytest.mark.timeout(300)
def test_procrastinate_gives_the_jobs_of_a_killed_worker_to_another(pg, tmp_path):
    pytest.importorskip("procrastinate", reason="Procrastinate is not installed; it is no extra of ours")
    journal, queue = pg.address("orders"), pg.address()
    values = {"JOURNAL": journal, "STORE": str(tmp_path / "store"), "QUEUE": queue}
    with Emulator(task_seconds=3.0) as emulator:
        with program(emulator, PROCRASTINATE + DEFER, **values) as made:
            said = made.communicate(timeout=60)[1]
        assert made.returncode == 0, said
        with program(emulator, PROCRASTINATE + WORK, **values) as first:
            kill_one(pg, "orders", emulator, 2, first)
            first.communicate()
        assert first.returncode == -signal.SIGKILL
        with program(emulator, PROCRASTINATE + WORK, **values) as second:
            until = time.monotonic() + 120
            while batch_status(journal).open or batch_status(journal).total < 6:
                assert time.monotonic() < until, batch_status(journal)
                assert second.poll() is None, second.communicate()
                time.sleep(0.5)
            second.kill()
            second.communicate()
        is_paid_once(emulator, 6)
        assert batch_status(journal).saved + batch_status(journal).uncertain == 6
        assert batch_status(journal).saved >= 3
