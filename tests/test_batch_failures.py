"""What can go wrong with a batch, kind by kind: nothing is lost, nothing is paid twice, all of it is told."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter, deque
from contextlib import closing
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest

from lemon_ext import (
    JournalError,
    LemonWarning,
    arun_batch,
    run_batch,
)
from lemon_ext.batch import batch_status, journal, row_tasks, rows_to_edit, sqlite
from lemon_ext.batch.sqlite import SqliteJournal
from tests.gateway import Gateway, results, rows, statuses
from tests.pictures import PNG
from tests.test_batch import go, whole

ROOT = Path(__file__).parent.parent


def change(folder, sql, *values):
    with closing(sqlite3.connect(folder / "journal.sqlite3")) as database, database:
        database.execute(sql, values)


def refuse(gateway, rows, status, code="no", **more):
    for row in rows:
        gateway.expect(f"cat {row}", (status, {"error": {"message": "no", "code": code, **more}}))


# ---- refused rows ----


def test_five_equal_refusals_in_a_row_end_the_sending_and_can_be_sent_again(tmp_path):
    gateway, stopped = Gateway(), []
    refuse(gateway, range(2, 40), 404)
    outcomes = go(gateway, rows(40), tmp_path, concurrency=1, on_progress=lambda p: stopped.append(p.stopped))
    assert statuses(outcomes) == {1: "saved", **dict.fromkeys(range(2, 7), "refused")}
    assert len(gateway.posts) == 6
    assert stopped[-1].startswith("5 rows in a row were refused with the same answer (HTTP 404: no.")
    assert "--resend-refused" in stopped[-1]
    gateway.says.clear()
    assert len(go(gateway, None, tmp_path)) == 34
    assert set(statuses(go(gateway, None, tmp_path, resend_refused=True)).values()) == {"saved"}
    assert batch_status(tmp_path).saved == 40
    assert set(gateway.charges.values()) == {1}


def test_refusals_that_differ_or_stand_between_others_end_nothing(tmp_path):
    gateway = Gateway()
    for number in range(1, 21):
        if number % 5:
            refuse(gateway, [number], 400, code=None if number < 11 else f"code {number}")
    outcomes = go(gateway, rows(20, model="dall-e-3"), tmp_path, concurrency=1)
    assert list(statuses(outcomes).values()).count("refused") == 16
    assert len(gateway.posts) == 20


def test_what_is_on_its_way_ends_when_the_account_is_refused(tmp_path):
    gateway = Gateway()
    refuse(gateway, [3], 403, code="quota_exceeded")
    outcomes = go(gateway, rows(9), tmp_path, concurrency=4)
    with SqliteJournal.read(tmp_path) as kept:
        assert kept.entry(3).status == "unsent"
        assert kept.counts()["saved"] == len(gateway.posts) - 1 < 8
    assert statuses(outcomes)[3] == "waiting"
    assert statuses(go(gateway, None, tmp_path))[3] == "saved"
    assert set(gateway.charges.values()) == {1}


# ---- tasks that the API does not know ----


@pytest.mark.parametrize("drop", [False, True])
def test_a_task_that_the_api_does_not_know_is_kept_until_it_is_given_up(tmp_path, drop):
    gateway = Gateway()
    go(gateway, rows(2), tmp_path, deadline=5)
    hidden = gateway.tasks.pop("img_2")
    (outcome,) = [row for row in go(gateway, None, tmp_path, drop_unknown=drop) if row["row"] == 2]
    assert outcome["status"] == ("failed" if drop else "waiting")
    assert outcome["error"]["type"] == "TaskNotFoundError"
    assert "The API does not know the task img_2" in outcome["error"]["message"]
    gateway.tasks["img_2"] = hidden
    assert statuses(go(gateway, None, tmp_path)) == ({} if drop else {2: "saved"})


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("model", ["midjourney", "dall-e-3"])
@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_picture_that_nobody_can_give_out_any_more_is_kept_until_it_is_given_up(tmp_path, model, status, drop):
    """Its address is refused, and its task is unknown; an answer without a task knows no other address."""
    gateway = Gateway()
    names = ["img_1-0.png", "i1-0.png"]
    gateway.pictures.update({name: deque([status] * 999) for name in names})
    (outcome,) = go(gateway, rows(1, model), tmp_path)
    assert (outcome["status"], outcome["error"]["type"]) == ("unfetched", "DownloadError")  # it may be young
    assert batch_status(tmp_path).unknown == 0
    hidden = dict(gateway.tasks)
    gateway.tasks.clear()
    (outcome,) = go(gateway, None, tmp_path, drop_unknown=drop)
    assert outcome["error"]["type"] == "ImageGoneError"
    assert outcome["status"] == ("failed" if drop else "unfetched")
    known = batch_status(tmp_path)
    assert (known.unfetched, known.unknown, known.failed) == ((0, 0, 1) if drop else (1, 1, 0))
    assert [row["lemon.row"] for row in rows_to_edit(tmp_path)] == [1]
    gateway.tasks, gateway.pictures = hidden, {}
    assert statuses(go(gateway, None, tmp_path)) == ({} if drop else {1: "saved"})
    assert batch_status(tmp_path).unknown == 0
    assert gateway.charges == {"cat 1": 1}


def test_a_row_is_given_up_only_when_none_of_its_pictures_can_come(tmp_path):
    gateway = Gateway()
    gateway.pictures = {"img_1-0.png": deque([404] * 999), "img_1-1.png": deque([404] * 999)}
    go(gateway, rows(1, n=2), tmp_path)
    gateway.tasks.clear()
    gateway.pictures["img_1-1.png"] = deque([503] * 999)
    (outcome,) = go(gateway, None, tmp_path, drop_unknown=True)
    assert (outcome["status"], outcome["error"]["type"]) == ("unfetched", "DownloadError")
    gateway.pictures["img_1-1.png"] = deque()
    (outcome,) = go(gateway, None, tmp_path, drop_unknown=True)
    assert (outcome["status"], outcome["paths"]) == ("failed", ["00001-cat-1-2.png"])


def test_a_task_that_is_known_again_is_not_unknown_any_more(tmp_path):
    """Also where this run ends before the task does."""
    gateway = Gateway(seconds=1e6)
    go(gateway, rows(1), tmp_path, deadline=5)
    hidden = dict(gateway.tasks)
    gateway.tasks.clear()
    gateway.clock.now += 60
    go(gateway, None, tmp_path, deadline=5)
    assert batch_status(tmp_path).unknown == 1
    gateway.tasks = hidden
    gateway.outages = [(gateway.clock() + 60, math.inf, httpx.ConnectError("no route"))]
    go(gateway, None, tmp_path, deadline=1e5, give_up_after=10)
    assert batch_status(tmp_path).unknown == 0


def test_pictures_that_are_not_there_do_not_hold_up_those_that_are(tmp_path):
    dead = row_tasks.SAVES + 4
    gateway = Gateway()
    gateway.pictures = {f"img_{n}-0.png": deque([404] * 999) for n in range(1, dead + 9)}
    go(gateway, rows(dead + 8), tmp_path)  # all of them are left to another run
    for n in range(dead + 1, dead + 9):
        del gateway.pictures[f"img_{n}-0.png"]
    asked = []
    client = gateway.client()
    client._core.http.given = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda request: asked.append(request.url.path) or gateway(request))
    )
    ends = statuses(go(gateway, None, tmp_path, client=client))
    assert list(ends.values()).count("saved") == 8
    last = max(asked.index(f"/img_{n}-0.png") for n in range(dead + 1, dead + 9))
    assert max(Counter(path for path in asked[:last] if path.endswith(".png")).values()) <= 2


# ---- two at once ----


def test_two_writers_never_pay_twice_even_without_the_lock(tmp_path, monkeypatch):
    """Three processes work in one folder at the same time: the lock file of each is deleted."""
    gateway, found, told = Gateway(), [], []
    lock, one_by_one = sqlite._lock, threading.Lock()

    def deleted(folder):
        with one_by_one:
            taken = lock(folder)
            (folder / "journal.lock").unlink()
        return taken

    def work():
        found.extend(run_batch(rows(48), tmp_path, client=gateway.client(), concurrency=2))

    monkeypatch.setattr(sqlite, "_lock", deleted)
    monkeypatch.setattr("lemon_ext.batch.submissions.warn", told.append)
    go(gateway, rows(48), tmp_path, max_images=1)
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    go(gateway, None, tmp_path)
    assert len(gateway.posts) == 48
    assert set(gateway.charges.values()) == {1}
    assert set(statuses(results(tmp_path)).values()) == {"saved"}
    assert all("was sent by another process" in one for one in told)


def test_who_does_not_move_a_row_does_not_send_it(tmp_path):
    with SqliteJournal.open(tmp_path) as one:
        one.take_in([journal.Incoming(None, {"prompt": "x"}, 1)])
        assert one.commit([one.submitting(1, 5.0)]) == [1]
        assert one.commit([one.submitting(1, 6.0)]) == [0]
        assert one.entry(1).submitted_at == 5.0


# ---- a damaged journal ----


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("request", "{"),
        ("request", "[1]"),
        ("request", 7),
        ("request", b"\xff\xfe"),
        ("images", "many"),
        ("status", "lost"),
        ("task_id", b"5"),
        ("error", "nonsense"),
        ("paths", '[1, "a"]'),
        ("submitted_at", "yesterday"),
        ("answer", "[" * 100_000),
    ],
)
def test_a_damaged_cell_is_named_and_the_other_rows_go_on(tmp_path, column, cell):
    gateway = Gateway()
    refuse(gateway, [1], 401)
    go(gateway, rows(3), tmp_path, concurrency=1)
    change(tmp_path, f"UPDATE rows SET {column} = ? WHERE row = 2", cell)
    gateway.says.clear()
    with pytest.raises(JournalError, match=f"cannot be read there: row 2, column {column}\\.") as caught:
        go(gateway, None, tmp_path)
    assert caught.value.path == tmp_path / "journal.sqlite3"
    outcomes = {row["row"]: row for row in results(tmp_path)}
    assert outcomes[1]["status"] == outcomes[3]["status"] == "saved"
    assert outcomes[2]["status"] == ("uncertain" if column == "status" else "waiting")
    assert outcomes[2]["error"]["type"] == "JournalError"
    assert "cat 2" not in gateway.posts
    assert batch_status(tmp_path).total == 3


def test_text_that_is_no_unicode_is_a_damaged_cell_too(tmp_path):
    gateway = Gateway()
    go(gateway, rows(2), tmp_path)
    change(tmp_path, "UPDATE rows SET note = CAST(x'ff' AS TEXT) WHERE row = 1")
    with pytest.raises(JournalError, match="row 1, column note"):
        go(gateway, None, tmp_path)


# ---- images ----


def test_one_image_that_cannot_be_fetched_does_not_keep_the_others(tmp_path):
    gateway = Gateway()
    gateway.pictures["i1-1.png"] = deque([404] * 99)
    (outcome,) = go(gateway, rows(1, model="dall-e-3", n=4), tmp_path)
    assert outcome["paths"] == ["00001-cat-1-1.png", "00001-cat-1-3.png", "00001-cat-1-4.png"]
    assert (outcome["status"], outcome["revised_prompts"]) == ("unfetched", ["rewritten"] * 3)
    assert outcome["error"]["type"] == "DownloadError"
    gateway.pictures.clear()
    before = {path: (tmp_path / path).stat().st_mtime_ns for path in outcome["paths"]}
    (outcome,) = go(gateway, None, tmp_path)
    assert (outcome["status"], len(outcome["paths"]), outcome["error"]) == ("saved", 4, None)
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in before} == before
    assert gateway.posts == ["cat 1"]


def test_pictures_that_came_with_a_failed_task_are_kept(tmp_path, monkeypatch):
    gateway = Gateway()
    images = [{"url": "https://img.example.net/a.png"}, {"b64_json": base64.b64encode(PNG).decode()}]
    failed = {"task_id": "img_1", "status": "failed", "data": images, "error": "the third was flagged"}
    monkeypatch.setattr(gateway, "_state", lambda request: httpx.Response(200, json=failed))
    (outcome,) = go(gateway, rows(1, n=3), tmp_path)
    assert (outcome["status"], outcome["error"]["type"]) == ("failed", "TaskFailedError")
    assert outcome["paths"] == ["00001-cat-1-1.png", "00001-cat-1-2.png"]
    assert all(whole(tmp_path / path) for path in outcome["paths"])


def test_data_that_cannot_be_written_is_put_aside_and_its_place_is_told(tmp_path, monkeypatch):
    gateway = Gateway()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    place = os.replace

    def full(source, target):
        if Path(target).parent.name == "out" and Path(target).suffix == ".png":
            raise OSError(28, "No space left on device")
        place(source, target)

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(Path, "replace", lambda self, target: full(self, target))
    (outcome,) = go(gateway, rows(1, model="dall-e-3", response_format="b64_json"), tmp_path / "out")
    assert outcome["status"] == "failed"
    (aside,) = tmp_path.glob("lemon-*/*.png")
    assert str(aside) in outcome["error"]["message"]
    assert whole(aside)


# ---- files ----


def test_files_with_fixed_names_follow_no_link(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    folder = tmp_path / "out"
    folder.mkdir()
    SqliteJournal.open(folder).close()
    for name in ("results.jsonl", "00001-reply.json", ".results.jsonl.new"):
        (folder / name).symlink_to(mine)
    gateway = Gateway()
    gateway.expect("cat 1", (200, {"odd": 1}))
    mine.write_text("")  # else it is taken for results
    go(gateway, rows(1), folder)
    assert mine.read_text() == ""
    assert json.loads((folder / "00001-reply.json").read_text()) == {"odd": 1}
    assert statuses(results(folder)) == {1: "uncertain"}


def test_nan_from_a_server_reaches_no_json(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 1", (200, {"data": [{"url": "https://img.example.net/a.png", "score": float("nan")}]}))
    gateway.expect("cat 2", (400, {"error": {"message": "no", "code": float("inf")}}))
    gateway.expect("cat 3", (200, {"odd": float("-inf")}))
    go(gateway, rows(3, model="dall-e-3"), tmp_path)
    strict = json.JSONDecoder(parse_constant=pytest.fail)
    for line in (tmp_path / "results.jsonl").read_text().splitlines():
        strict.decode(line)
    strict.decode((tmp_path / "00003-reply.json").read_text())
    with closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM rows WHERE json_valid(coalesce(answer, '{}'))").fetchone() == (3,)


# ---- whoever leaves ----


def cancelled_at(moment, gateway, requests, folder):
    """Return a program that is cancelled at its n-th request, before or after the answer has come."""
    seen = 0

    async def main():
        async def reply(request):
            nonlocal seen
            seen += 1
            answer = gateway(request)
            if seen == (moment + 1) // 2:
                scope.cancel()
                await anyio.lowlevel.checkpoint() if moment % 2 else None
            return answer

        lemon = gateway.client()
        lemon._core.http.given = httpx.AsyncClient(transport=httpx.MockTransport(reply))
        with anyio.CancelScope() as scope:
            async for _ in arun_batch(requests, folder, client=lemon, concurrency=2, gallery=False):
                pass

    return main


@pytest.mark.parametrize("backend", ["asyncio", pytest.param("trio", marks=pytest.mark.slow)])
def test_a_batch_that_is_cancelled_anywhere_loses_nothing(tmp_path, backend):
    """At each of its first requests: submissions of both kinds, pictures that came as data, polls."""
    requests = [
        {"prompt": "cat 1", "model": "dall-e-3", "response_format": "b64_json"},
        *rows(3)[1:],
        {"prompt": "cat 4", "model": "dall-e-3"},
    ]
    for moment in range(1, 20):
        gateway, folder = Gateway(), tmp_path / str(moment)
        anyio.run(cancelled_at(moment, gateway, requests, folder), backend=backend)
        with SqliteJournal.read(folder) as kept:
            entries = list(kept.entries())
        assert all(entry.status == "unsent" for entry in entries if not gateway.charges[f"cat {entry.row}"])
        assert all(entry.status != "unsent" for entry in entries if gateway.charges[f"cat {entry.row}"])
        assert len(results(folder)) == 4
        go(gateway, None, folder, gallery=False)
        for row in results(folder):
            assert row["status"] in ("saved", "uncertain")
            assert gateway.charges[row["prompt"]] == 1


@pytest.mark.parametrize("how", ["timeout", "sibling", "task"])
def test_who_cancels_a_batch_is_told_what_is_paid_for(tmp_path, monkeypatch, how):
    gateway = Gateway(seconds=1e9)

    async def main():
        paid = asyncio.Event()

        def state(request, seen=gateway._state):
            if "/img_" in request.url.path and len(gateway.tasks) == 2:
                paid.set()
            return seen(request)

        async def work():
            async for _ in arun_batch(rows(2), tmp_path, client=gateway.client(), deadline=1e8):
                pass

        async def sibling():
            await paid.wait()
            raise ValueError

        monkeypatch.setattr(gateway, "_state", state)
        if how == "timeout":
            async with asyncio.timeout(None) as scope:
                asyncio.get_running_loop().create_task(paid.wait()).add_done_callback(lambda _: scope.reschedule(0))
                await work()
        elif how == "sibling":
            async with asyncio.TaskGroup() as group:
                group.create_task(work())
                group.create_task(sibling())
        else:
            task = asyncio.get_running_loop().create_task(work())
            await paid.wait()
            task.cancel()
            await task

    told = r"The batch in .*: 2 rows are paid for and waiting\. Go on with `lemon resume`"
    ends = (TimeoutError, ExceptionGroup, asyncio.CancelledError)
    with pytest.warns(LemonWarning, match=told), pytest.raises(ends):
        asyncio.run(main())
    assert set(statuses(results(tmp_path)).values()) == {"waiting"}
    assert {row["task_id"] for row in results(tmp_path)} == {"img_1", "img_2"}


DROPPED = """
import asyncio, json
from lemon_ext import arun_batch
from tests.gateway import Gateway, rows
gateway = Gateway()

async def main():
    async for _ in arun_batch(rows(20), {folder!r}, client=gateway.client(), concurrency=2):
        break

try:
    asyncio.run(main())
finally:
    print(json.dumps(gateway.charges))
"""


def run(program):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, text=True, cwd=ROOT, env=environment
    )


@pytest.mark.slow
def test_an_async_batch_that_is_dropped_half_read_leaves_its_results(tmp_path):
    """Without aclosing(), Python closes it when the loop ends, in another task: loudly, and nothing is lost."""
    charges = json.loads(run(DROPPED.format(folder=str(tmp_path))).stdout)
    found = results(tmp_path)
    assert len(found) == 20
    for row in found:
        assert charges.get(row["prompt"], 0) <= 1
        if row["prompt"] in charges:
            assert row["status"] in ("saved", "uncertain") or row["task_id"] is not None


PROGRAM = """
import os, signal, sys, threading
from lemon_ext import run_batch
from tests.gateway import Gateway, rows
from tests.play import setups
gateway = Gateway()
outcomes = run_batch(rows(60), {folder!r}, client=gateway.client(), concurrency=1)
{ending}
"""


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        pytest.param("next(outcomes)", 0, marks=pytest.mark.slow),
        pytest.param("next(outcomes); sys.exit(3)", 3, marks=pytest.mark.slow),
        pytest.param("next(outcomes); 1 / 0", 1, marks=pytest.mark.slow),
        # A batch that has not begun when the program ends cannot begin any more: Python 3.12 starts no threads then.
        pytest.param(
            "threading.Thread(target=lambda: next(outcomes)).start()\nwhile not gateway.posts: pass",
            0,
            marks=pytest.mark.slow,
        ),
        ("[os.kill(os.getpid(), signal.SIGTERM) for _ in outcomes]", 143),
        pytest.param("[os.kill(os.getpid(), signal.SIGHUP) for _ in outcomes]", 129, marks=pytest.mark.slow),
        pytest.param("next(outcomes); os.kill(os.getpid(), signal.SIGTERM)", 143, marks=pytest.mark.slow),
    ],
)
def test_a_program_that_ends_with_a_batch_half_read_leaves_results_and_no_traceback(tmp_path, ending, code):
    done = run(PROGRAM.format(folder=str(tmp_path), ending=ending))
    assert done.returncode == code, done.stderr
    assert ("ZeroDivisionError" in done.stderr) == (code == 1)
    assert "Exception ignored" not in done.stderr
    assert code == 1 or done.stderr == ""
    kept = batch_status(tmp_path)
    assert (kept.uncertain, kept.submitting, kept.open + kept.saved) == (0, 0, 60)
    assert kept.open > 0
    assert len(results(tmp_path)) == 60
    assert (tmp_path / "index.html").exists()


def test_a_signal_that_somebody_else_handles_is_left_alone(tmp_path):
    ours = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        before = signal.getsignal(signal.SIGTERM)
        for _ in run_batch(rows(2), tmp_path, client=Gateway().client()):
            assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGTERM, ours)
    for _ in run_batch(rows(2), tmp_path / "other", client=Gateway().client()):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("seed", [1, 2])
def test_a_batch_that_is_left_again_and_again_pays_every_row_once(tmp_path, seed):
    chance, gateway = random.Random(seed), Gateway()
    requests = [*rows(12), *({"prompt": f"cat {n}", "response_format": "b64_json"} for n in range(13, 25))]
    for _ in range(8):
        with closing(run_batch(requests, tmp_path, client=gateway.client(), concurrency=3, gallery=False)) as outcomes:
            for _ in zip(range(chance.randrange(1, 6)), outcomes, strict=False):
                pass
        assert "uncertain" not in statuses(results(tmp_path)).values()
        gateway.clock.now += chance.uniform(0, 30)
    go(gateway, requests, tmp_path, gallery=False)
    assert set(statuses(results(tmp_path)).values()) == {"saved"}
    assert set(gateway.charges.values()) == {1}
