"""Batches that are killed: over real sockets, with real signals, at moments nobody chose."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lemon_ext.batch import Progress, batch_status, run_batch
from lemon_ext.batch.sqlite import FILE, LOCK, SqliteJournal
from lemon_ext.emulator import Emulator
from lemon_ext.errors import JournalError
from tests.children import python
from tests.cli import lemon
from tests.gateway import Gateway, results, rows, statuses

CHILD = """
import sys
from lemon_ext import AsyncLemon, run_batch
url, folder, rows, *models = sys.argv[1:]
requests = [
    {"prompt": f"cat {row}", "model": models[row % len(models)], "size": "512x512"} for row in range(int(rows))
]
client = AsyncLemon("sk-emulator", base_url=url, requests_per_minute=None)
print("ready", flush=True)
for outcome in run_batch(requests, folder, client=client, concurrency=2, gallery=False):
    pass
"""


@contextmanager
def started(emulator: Emulator, folder: Path, rows: int) -> Iterator[subprocess.Popen[str]]:
    """Run the batch in a process of its own, which has imported everything when the block begins."""
    # A few rows of a model that answers at once are quick; many get the other kind too.
    models = ["flux-schnell"] if rows < 50 else ["flux-schnell", "flux-pro"]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    with python("-c", CHILD, emulator.url, str(folder), str(rows), *models, env=environment) as running:
        assert running.stdout.readline() == "ready\n", running.communicate()[1]
        yield running


def work(emulator: Emulator, folder: Path, rows: int, kills: int, how: signal.Signals, chance: random.Random) -> None:
    """Run the batch, killing it so often while it has work to do, until it ends by itself."""
    for _ in range(kills):
        with started(emulator, folder, rows) as running:
            try:
                running.communicate(timeout=chance.uniform(0.0, 0.3))
            except subprocess.TimeoutExpired:
                running.send_signal(how)
                running.communicate(timeout=30)
        if (folder / "journal.sqlite3").exists() and batch_status(folder).total:
            assert batch_status(folder).open, "the batch is too small for so many kills"
    for _ in range(5):
        with started(emulator, folder, rows) as running:
            _, errors = running.communicate(timeout=60)
        if running.returncode == 0 and all(row["status"] != "waiting" for row in results(folder)):
            return
    raise AssertionError(errors)


def check(emulator: Emulator, folder: Path, rows: int) -> list[dict[str, object]]:
    """Every row was sent once, uncertain ones were not sent again, every picture is there once and whole."""
    charged = Counter(charge.request["prompt"] for charge in emulator.ledger)
    found = results(folder)
    assert [row["row"] for row in found] == list(range(1, rows + 1))
    for row in found:
        assert row["status"] in ("saved", "uncertain"), row
        assert charged[row["prompt"]] == 1 or (row["status"] == "uncertain" and charged[row["prompt"]] == 0)
    saved = sorted(path for row in found for path in row["paths"])
    pictures = sorted(path.name for path in folder.glob("*.png"))
    assert saved == pictures
    for path in folder.glob("*.png"):
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82"), path
    assert not list(folder.glob(".*.part"))
    return found


#: Fifty processes one after the other, each with a batch to go on with.
MANY = (pytest.mark.kill, pytest.mark.timeout(600))


@pytest.mark.parametrize(
    ("how", "rows", "kills"),
    [
        pytest.param(signal.SIGKILL, 40, 1, id="sigkill"),
        pytest.param(signal.SIGINT, 40, 1, id="sigint", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, 300, 50, id="sigkill-50-times", marks=MANY),
        pytest.param(signal.SIGINT, 300, 50, id="sigint-50-times", marks=MANY),
    ],
)
def test_a_killed_batch_goes_on_and_pays_every_row_once(tmp_path, how, rows, kills):
    with Emulator(task_seconds=lambda model, chance: chance.uniform(0.1, 0.6)) as emulator:
        work(emulator, tmp_path, rows, kills, how, random.Random(7))
        found = check(emulator, tmp_path, rows)
    if how is signal.SIGINT:
        assert all(row["status"] == "saved" for row in found), "an interrupt waits for what is on its way"


@pytest.mark.kill
def test_connection_faults_leave_nothing_unpaid_or_paid_twice(tmp_path):
    with Emulator(task_seconds=0.3) as emulator:
        for fault in ("drop_before", "drop_after", "html_502", "error_429", "malformed_json"):
            emulator.inject(fault, on="submit", times=2)
            emulator.inject(fault, on="poll", times=10)
        work(emulator, tmp_path, 60, 3, signal.SIGKILL, random.Random(3))
        found = check(emulator, tmp_path, 60)
    assert json.dumps(found)


# ---- killed while the record is created ----

SAVED = {1: "saved", 2: "saved"}


def go(gateway: Gateway, folder: Path) -> dict[int, str]:
    return statuses(run_batch(rows(2), folder, client=gateway.client()))


def nothing(folder: Path) -> None: ...


def empty_record(folder: Path) -> None:
    (folder / FILE).touch()


def empty_record_and_lock(folder: Path) -> None:
    (folder / FILE).touch()
    (folder / LOCK).touch()


def half_written(folder: Path) -> None:
    """SQLite has begun to write, with what was there before in a rollback journal, as it does until WAL mode is on."""
    with closing(sqlite3.connect(folder.parent / FILE, isolation_level=None)) as database:
        for sql in ("PRAGMA cache_size = 1", "BEGIN IMMEDIATE", "CREATE TABLE rows (row)"):
            database.execute(sql)
        database.executemany("INSERT INTO rows VALUES (?)", [("x" * 1000,)] * 100)
        for file in folder.parent.glob(f"{FILE}*"):
            shutil.copy(file, folder)
    assert (folder / f"{FILE}-journal").stat().st_size


def log_and_no_tables(folder: Path) -> None:
    with closing(sqlite3.connect(folder / FILE)) as database:
        database.execute("PRAGMA journal_mode = WAL")


def tables_and_no_rows(folder: Path) -> None:
    SqliteJournal.open(folder).close()


MOMENTS = [nothing, empty_record, empty_record_and_lock, half_written, log_and_no_tables, tables_and_no_rows]


@pytest.fixture(params=MOMENTS, ids=lambda moment: moment.__name__)
def killed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a batch leaves it that is killed at some moment before it has its rows."""
    monkeypatch.chdir(tmp_path)
    (folder := tmp_path / "out").mkdir()
    request.param(folder)
    return folder


@pytest.mark.parametrize("looked_at", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_batch_that_was_killed_before_it_began_begins_with_the_same_call(killed, looked_at):
    gateway = Gateway()
    if looked_at and (killed / FILE).exists():
        assert batch_status(killed) == Progress(0)
        assert lemon("gallery", "out").exit_code == 0
    assert go(gateway, killed) == SAVED
    assert gateway.charges == {"cat 1": 1, "cat 2": 1}


@pytest.mark.parametrize("killed", [nothing, empty_record, tables_and_no_rows], indirect=True)
def test_the_same_command_begins_a_batch_that_was_killed_before_it_began(killed):
    Path("rows.txt").write_text("a\nb\n", encoding="utf-8")
    done = lemon("batch", "rows.txt", "-o", "out", "-m", "dall-e-3", "--emulator")
    assert (done.exit_code, done.stderr) == (0, "lemon: 2 of 2 rows saved (2 images).\n")


@pytest.mark.parametrize("killed", [nothing, empty_record, half_written], indirect=True)
def test_status_and_resume_say_that_a_batch_had_not_begun(killed):
    status, resume = lemon("status", "out"), lemon("resume", "out", "--emulator")
    if not (killed / FILE).exists():
        assert (status.exit_code, resume.exit_code) == (2, 2)
        assert status.stderr == resume.stderr == "lemon: There is no batch in out: journal.sqlite3 is missing.\n"
        return
    assert status.exit_code == 0
    assert status.stdout.split()[:4] == ["total", "0", "unsent", "0"]
    assert status.stderr == (
        "lemon: The batch in out had not begun: nothing was sent. The same `lemon batch` begins it.\n"
    )
    assert resume.exit_code == 2
    assert resume.stderr.startswith(
        "lemon: The input of out was not read to its end. Give it again: the same `lemon batch`"
    )


@pytest.mark.parametrize("name", ["00001-a-cat-1.png", "results.jsonl"])
def test_an_empty_record_beside_pictures_is_no_batch_that_had_not_begun(tmp_path, name):
    """It was emptied: they would be paid for again."""
    empty_record(tmp_path)
    (tmp_path / name).write_bytes(b"mine")
    gateway = Gateway()
    for use in (lambda: batch_status(tmp_path), lambda: go(gateway, tmp_path)):
        with pytest.raises(JournalError, match=f"holds {name}, and not the journal it belongs to"):
            use()
    assert gateway.posts == []


MANY_KILLS = """
import os, signal, sys, time
from pathlib import Path
from lemon_ext.batch.journal import Incoming
from lemon_ext.batch.sqlite import SqliteJournal
for number in range(int(sys.argv[2])):
    child = os.fork()
    if not child:
        with SqliteJournal.open(Path(sys.argv[1], str(number))) as journal:
            journal.take_in(Incoming(None, {"prompt": f"cat {row}", "model": "midjourney"}, 1) for row in (1, 2))
        os._exit(0)
    end = time.perf_counter() + number * 0.0003
    while time.perf_counter() < end:
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_a_record_can_be_used_after_a_kill_at_any_moment_of_its_creation(tmp_path):
    """One that is there has no rows or all of them. Which moments these are is chance: the ones above are certain."""
    with python("-c", MANY_KILLS, str(tmp_path), "40") as running:
        assert running.communicate(timeout=60) == ("", "")
    gateway = Gateway()
    for folder in tmp_path.iterdir():
        if (folder / FILE).exists():
            assert batch_status(folder) in (Progress(0), Progress(2, unsent=2))
        assert go(gateway, folder) == SAVED
        assert batch_status(folder).saved == 2
