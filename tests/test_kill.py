"""Batches that are killed: over real sockets, with real signals, at moments nobody chose."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from lemon_ext.batch import batch_status
from lemon_ext.emulator import Emulator
from tests.gateway import results

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


def start(emulator: Emulator, folder: Path, rows: int) -> subprocess.Popen[str]:
    # A few rows of a model that answers at once are quick; many get the other kind too.
    models = ["flux-schnell"] if rows < 50 else ["flux-schnell", "flux-pro"]
    command = [sys.executable, "-c", CHILD, emulator.url, str(folder), str(rows), *models]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n", child.communicate()[1]
    return child


def work(emulator: Emulator, folder: Path, rows: int, kills: int, how: signal.Signals, chance: random.Random) -> None:
    """Run the batch, killing it so often while it has work to do, until it ends by itself."""
    for _ in range(kills):
        child = start(emulator, folder, rows)
        try:
            child.communicate(timeout=chance.uniform(0.0, 0.3))
        except subprocess.TimeoutExpired:
            child.send_signal(how)
            child.communicate(timeout=30)
        if (folder / "journal.sqlite3").exists() and batch_status(folder).total:
            assert batch_status(folder).open, "the batch is too small for so many kills"
    for _ in range(5):
        child = start(emulator, folder, rows)
        _, errors = child.communicate(timeout=60)
        if child.returncode == 0 and all(row["status"] != "waiting" for row in results(folder)):
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


@pytest.mark.parametrize(
    ("how", "rows", "kills"),
    [
        pytest.param(signal.SIGKILL, 40, 2, id="sigkill"),
        pytest.param(signal.SIGINT, 40, 1, id="sigint"),
        pytest.param(signal.SIGKILL, 300, 50, id="sigkill-50-times", marks=pytest.mark.kill),
        pytest.param(signal.SIGINT, 300, 50, id="sigint-50-times", marks=pytest.mark.kill),
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
            emulator.inject(fault, on="look", times=10)
        work(emulator, tmp_path, 60, 3, signal.SIGKILL, random.Random(3))
        found = check(emulator, tmp_path, 60)
    assert json.dumps(found)
