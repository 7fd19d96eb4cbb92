"""Ray Data, local and real: the lines of the documentation, and an actor that is killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from lemon_ext import ConfigurationError
from lemon_ext.batch import batch_status
from lemon_ext.emulator import KEY, Emulator
from tests.conftest import ROOT

#: Ray warns of itself. One at a time: each starts a cluster.
pytestmark = [
    *(pytest.mark.scale, pytest.mark.timeout(400), pytest.mark.filterwarnings("ignore")),
    pytest.mark.xdist_group("ray"),
]
pytest.importorskip("ray", exc_type=ImportError)
pytest.importorskip("lemon_ext.batch.postgres", exc_type=ImportError)

#: A program of its own: Ray starts others, makes noise, and warns of itself.
START = """
import os, sys
os.environ |= {{"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}}
import ray, lemon_ext.ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20, _temp_dir={temp!r})
ray.data.DataContext.get_current().enable_progress_bars = False
"""
BODY = """
import pyarrow, pyarrow.parquet
rows = [{{"id": f"r{{n}}", "prompt": f"cat {{n}}", "shelf": n}} for n in range({rows})]
os.makedirs({out!r} + "-given", exist_ok=True)
for n in range({blocks}):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows[n::{blocks}]), {out!r} + f"-given/{{n}}.parquet")
ds = ray.data.read_parquet({out!r} + "-given").map_batches(
    lemon_ext.ray.Images,
    fn_constructor_kwargs=dict(model={model!r}, key="id", journal={journal!r}, requests_per_minute={rpm}, {more}),
    compute=ray.data.ActorPoolStrategy(size=2), num_cpus=0.1, batch_size={size},
)
ds.write_parquet({out!r})
"""


@pytest.fixture
def temp():
    """Ray's sockets have long names, so its folder has a short one."""
    folder = tempfile.mkdtemp(prefix="ray-")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def program(emulator, temp, **options):
    options = {"rows": 40, "blocks": 4, "size": 10, "model": "flux-pro", "rpm": 10_000, "more": "", **options}
    return start(emulator, START.format(temp=temp) + BODY.format(**options))


@pytest.fixture(autouse=True)
def _ended():
    """No program of a test outlives it, nor do the actors that it has started."""
    yield
    while started:
        process = started.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


#: What this test has started.
started = []


def start(emulator, code):
    """Start a program in a group of its own, with the actors that it starts."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        env={**os.environ, "LEMONDATA_API_KEY": KEY, "LEMONDATA_BASE_URL": emulator.url},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    started.append(process)
    return process


def end(process, within=240):
    try:
        said, _ = process.communicate(timeout=within)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said[-3000:]


def table(folder):
    import pyarrow.parquet as parquet

    return parquet.read_table(folder).to_pylist()


def actors(journal, pg):
    """Return the processes that work at a batch, as the database knows them."""
    found = pg.ask("SELECT id FROM workers", journal)
    return {int(re.search(r"-(\d+)-\w+$", worker)[1]) for (worker,) in found}


def test_the_lines_of_the_documentation(tmp_path, pg, temp):
    """Bug: as many actors as cores, a core each, left none to read the files with, and the job stood still."""
    with Emulator(task_seconds=0.5) as emulator:
        end(program(emulator, temp, journal=pg.address("plain"), out=str(tmp_path / "out")))
        found = table(tmp_path / "out")
        assert emulator.charges == 40
    assert Counter(row["status"] for row in found) == {"saved": 40}
    assert {row["id"] for row in found} == {f"r{n}" for n in range(40)}
    assert all(row["image"][:4] == b"\x89PNG" and row["shelf"] == int(row["id"][1:]) for row in found)
    assert all(row["task_id"] and {"cost", "error", "more_images"} <= set(row) for row in found)
    assert batch_status(pg.address("plain")).saved == 40


def test_columns_are_of_one_kind_whatever_became_of_the_rows(pg):
    """A batch without an error is of the same schema as one with nothing else; all formats of Ray's are taken."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from lemon_ext.ray import Images

    async def main():
        given = (
            {"id": np.array(["a", "b"]), "prompt": np.array(["a cat", "a dog"]), "x": np.zeros((2, 3))},
            pd.DataFrame({"id": ["a", "b"], "prompt": [None, None]}),
            pa.table({"id": ["c"], "prompt": pa.array([None], type=pa.string())}),
        )
        tables.extend([await images(one) for one in given])
        with pytest.raises(ValueError, match="columns error, status are ours to add"):
            await images(pa.table({"id": ["c"], "prompt": ["x"], "status": ["x"], "error": ["x"]}))
        await images._client.aclose()

    tables = []
    with Emulator(task_seconds=0.1) as emulator:
        client = {"api_key": KEY, "base_url": emulator.url}
        images = Images(journal=pg.address("kinds"), key="id", model="dall-e-3", client=client)
        anyio.run(main)
        assert emulator.charges == 2
    ours = [[field for field in table.schema if field.name not in ("id", "prompt", "x")] for table in tables]
    assert ours[0] == ours[1] == ours[2]
    assert tables[0]["status"].to_pylist() == ["saved", "saved"]
    assert tables[1]["status"].to_pylist() == ["invalid", "invalid"]


def test_limits_are_of_the_whole_job_and_what_has_no_room_is_a_row(pg):
    import pyarrow as pa

    from lemon_ext.ray import Images

    async def main():
        images = Images(
            journal=pg.address("limited"), key="id", model="dall-e-3", max_images=9, budget="0.12", client=client
        )
        try:
            blocks = [pa.table({"id": ids, "prompt": [f"cat {n}" for n in ids]}) for ids in (["a", "b"], ["c", "d"])]
            tables.extend([await images(block) for block in blocks])
        finally:
            await images._client.aclose()

    tables = []
    with Emulator(task_seconds=0.1) as emulator:
        client = {"api_key": KEY, "base_url": emulator.url}
        anyio.run(main)
        assert emulator.charges == 3
    assert [status for table in tables for status in table["status"].to_pylist()] == ["saved"] * 3 + ["waiting"]
    assert tables[1]["error"].to_pylist() == [
        None, "Not sent: the next request costs $0.04, and $0.12 of the budget of $0.12 is spent.",
    ]  # fmt: skip


@pytest.mark.parametrize("journal", [None, "out/"])
def test_without_a_database_it_says_what_would_be_paid_twice_and_what_to_do(journal):
    from lemon_ext.ray import Images

    with pytest.raises(ConfigurationError, match=r"would be paid twice.*let one process send"):
        Images(model="dall-e-3", journal=journal, client={"api_key": KEY})


def test_an_actor_is_killed(tmp_path, pg, temp):
    """Ray starts it again, with the same rows. What was in flight is uncertain, nothing is paid twice."""
    with Emulator(task_seconds=3.0, latency=0.05) as emulator:
        store = tmp_path / "store"
        running = program(
            emulator, temp, journal=pg.address("killed"), out=str(tmp_path / "out"), more=f"store={str(store)!r}"
        )
        until = time.monotonic() + 120
        while emulator.charges < 12 and time.monotonic() < until and running.poll() is None:
            time.sleep(0.1)
        victims = actors("killed", pg)
        os.kill(min(victims), signal.SIGKILL)
        end(running)
        found = table(tmp_path / "out")
        assert len(found) == len({row["id"] for row in found}) == 40
        states = Counter(row["status"] for row in found)
        assert set(states) <= {"saved", "uncertain"}
        assert emulator.charges <= 40
        assert emulator.charges >= states["saved"]
        tasks = [charge.task_id for charge in emulator.ledger]
        assert {row["task_id"] for row in found if row["status"] == "saved"} <= set(tasks)
    assert all(Path(row["path"]).is_file() for row in found if row["status"] == "saved")


def test_the_job_is_killed_and_run_again(tmp_path, pg, temp):
    """Driver and actors are gone at once; the same job goes on. What was in flight is uncertain."""
    with Emulator(task_seconds=3.0, latency=0.05) as emulator:
        options = {"journal": pg.address("job"), "out": str(tmp_path / "out")}
        running = program(emulator, temp, **options)
        until = time.monotonic() + 120
        while emulator.charges < 12 and time.monotonic() < until and running.poll() is None:
            time.sleep(0.1)
        workers = actors("job", pg)
        os.killpg(running.pid, signal.SIGKILL)
        running.stdout.close()
        running.wait()
        for worker in workers:
            with suppress(ProcessLookupError):  # it ends with its driver, sooner or later
                os.kill(worker, signal.SIGKILL)
        before = emulator.charges
        pg.ask("UPDATE workers SET lease = now()", "job")
        end(program(emulator, tempfile.mkdtemp(dir=temp), **options))
        states = Counter(row["status"] for row in table(tmp_path / "out"))
        assert set(states) <= {"saved", "uncertain"}
        assert sum(states.values()) == 40
        assert before < 40
        assert emulator.charges <= 40
        assert emulator.charges >= states["saved"]


LINES = """
import json
ray.data.from_items(rows, override_num_blocks=4).write_parquet({given!r}, mode="overwrite")
import lemon_ext
with open({told!r}, "a") as told:
    ds = ray.data.read_parquet({given!r}).sort("id")
    for outcome in lemon_ext.run_batch(ds.iter_rows(), {out!r}, defaults=dict(model="flux-pro"), concurrency=4):
        told.write("x")
        told.flush()
results = ray.data.read_json({out!r} + "/results.jsonl")
assert results.count() == 40, results.count()
assert sum(row["status"] == "saved" for row in results.iter_rows()) >= 30
"""


def test_the_lines_without_a_database_and_a_job_that_is_killed(tmp_path, temp):
    """Every row is known by its place, so the order has to be the same."""
    given, told, out = (str(tmp_path / name) for name in ("given", "told", "out"))
    code = 'rows = [{"id": f"r{n:02}", "prompt": f"cat {n}", "shelf": n} for n in range(40)]' + LINES.format(
        given=given, told=told, out=out
    )
    with Emulator(task_seconds=1.0, latency=0.05) as emulator:
        running, until = start(emulator, START.format(temp=temp) + code), time.monotonic() + 120
        while emulator.charges < 12 and time.monotonic() < until and running.poll() is None:
            time.sleep(0.1)
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
        assert 0 < emulator.charges < 40
        end(start(emulator, START.format(temp=tempfile.mkdtemp(dir=temp)) + code))
        assert emulator.charges <= 40
        assert Counter(charge.request["prompt"] for charge in emulator.ledger).most_common(1)[0][1] == 1
    assert len(list((tmp_path / "out").glob("*.png"))) >= 30
