"""Batches as their users meet them: every row is paid once, whatever happens, and nothing that is paid is lost."""

from __future__ import annotations

import copy
import errno
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import warnings
from collections import deque
from contextlib import aclosing, suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import anyio
import httpx
import PIL.Image
import pytest

from lemon_ext import (
    CapabilityError,
    JournalError,
    LemonWarning,
    MissingKeyError,
    arun_batch,
    run_batch,
)
from lemon_ext._files import PartFile
from lemon_ext.batch import (
    Progress,
    batch_status,
    export_results,
    journal,
    outage,
    plan_batch,
    sqlite,
    submissions,
)
from lemon_ext.batch.sqlite import SqliteJournal
from lemon_ext.batch.writer import Writer
from lemon_ext.rate_limit import RateLimit
from lemon_ext.rows import Row, read_rows
from tests.gateway import PNG, Gateway, results, rows, statuses

BUSY = (429, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, ("Retry-After", "7"))


def go(gateway, requests, folder, **options):
    client = options.pop("client", None) or gateway.client()
    return list(run_batch(requests, folder, client=client, **options))


def whole(path):
    with PIL.Image.open(path) as found, PIL.Image.open(BytesIO(PNG)) as sent:
        return found.tobytes() == sent.tobytes()


def full(self, *arguments, **options):
    """Is `PartFile.place` on a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


def pictures(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".png")


def test_every_row_becomes_a_file_and_a_line(tmp_path):
    gateway = Gateway()
    requests = [
        {"prompt": "A white cat!", "model": "midjourney"},
        {"prompt": "a dog", "n": 2},
        {"prompt": "a bird", "response_format": "b64_json", "quality": "hd"},
    ]
    outcomes = go(gateway, requests, tmp_path / "out")
    assert statuses(outcomes) == {1: "saved", 2: "saved", 3: "saved"}
    assert gateway.charges == {"A white cat!": 1, "a dog": 1, "a bird": 1}
    assert pictures(tmp_path / "out") == [
        "00001-a-white-cat-1.png", "00002-a-dog-1.png", "00002-a-dog-2.png", "00003-a-bird-1.png",
    ]  # fmt: skip
    assert all(whole(path) for path in (tmp_path / "out").glob("*.png"))
    first, second, third = results(tmp_path / "out")
    assert (first["row"], first["model"], first["prompt"], first["task_id"]) == (
        1,
        "midjourney",
        "A white cat!",
        "img_1",
    )
    assert first["paths"] == ["00001-a-white-cat-1.png"]
    assert first["seconds"] >= 20
    assert (second["model"], second["task_id"], second["revised_prompts"]) == ("dall-e-3", None, ["rewritten"] * 2)
    assert third["request"] == {
        "model": "dall-e-3", "prompt": "a bird", "response_format": "b64_json", "quality": "hd",
    }  # fmt: skip
    assert (third["revised_prompt"], third["error"], third["note"]) == ("rewritten", None, None)
    assert "<title>" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_an_outcome_is_what_the_results_say(tmp_path):
    outcomes = go(Gateway(), rows(3), tmp_path)
    assert sorted(outcomes, key=lambda row: row["row"]) == results(tmp_path)


def test_the_same_call_again_does_nothing(tmp_path):
    gateway = Gateway()
    go(gateway, rows(5), tmp_path)
    assert go(gateway, rows(5), tmp_path) == []
    assert len(gateway.posts) == 5
    assert len(results(tmp_path)) == 5


@pytest.mark.parametrize("name", ["out", "a b?c#d%20é", "deep/er"])
def test_any_folder_will_do(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    go(Gateway(), rows(1), name)
    assert batch_status(name).saved == 1
    assert statuses(results(tmp_path / name)) == {1: "saved"}


def test_leaving_early_keeps_the_rest_for_another_run(tmp_path):
    gateway = Gateway()
    for number, _ in enumerate(run_batch(rows(40), tmp_path, client=gateway.client(), concurrency=2)):
        if number == 3:
            break
    assert len(results(tmp_path)) == 40
    assert "uncertain" not in statuses(results(tmp_path)).values()
    before = len(gateway.posts)
    go(gateway, None, tmp_path)
    assert before <= len(gateway.posts) == 40
    assert set(statuses(results(tmp_path)).values()) == {"saved"}
    assert set(gateway.charges.values()) == {1}


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
def test_either_client_will_do(tmp_path, blocking):
    gateway = Gateway()
    assert len(go(gateway, rows(3, model="dall-e-3"), tmp_path, client=gateway.client(blocking=blocking))) == 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_async_twin(tmp_path, backend):
    gateway = Gateway()

    async def main():
        return [outcome async for outcome in arun_batch(rows(5), tmp_path, client=gateway.client())]

    assert statuses(anyio.run(main, backend=backend)) == dict.fromkeys(range(1, 6), "saved")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_async_twin_can_be_left_early(tmp_path, backend):
    gateway = Gateway()

    async def main():
        async with aclosing(arun_batch(rows(30), tmp_path, client=gateway.client(), concurrency=2)) as outcomes:
            async for _ in outcomes:
                break
        return [outcome async for outcome in arun_batch(None, tmp_path, client=gateway.client())]

    anyio.run(main, backend=backend)
    assert set(statuses(results(tmp_path)).values()) == {"saved"}
    assert set(gateway.charges.values()) == {1}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_submission_is_uncertain(tmp_path, backend):
    gateway = Gateway()
    lemon = gateway.client()
    started = []

    async def main():
        async def hang(request):
            started.append(request)
            scope.cancel()
            await anyio.sleep_forever()

        lemon._core.http.given = httpx.AsyncClient(transport=httpx.MockTransport(hang))
        with anyio.CancelScope() as scope:
            async for _ in arun_batch(rows(1), tmp_path, client=lemon):
                pass

    anyio.run(main, backend=backend)
    assert len(started) == 1
    assert statuses(results(tmp_path)) == {1: "uncertain"}
    assert "--resend-uncertain" in results(tmp_path)[0]["error"]["message"]


# ---- bad input ----


def test_every_bad_row_is_named_and_nothing_is_sent_or_left(tmp_path):
    gateway = Gateway()
    requests = [
        Row({"prompt": "fine"}, 1),
        Row({"prompt": "", "n": 99}, 2),
        Row({"prompt": "x", "qualty": "hd"}, 5),
        Row({"prompt": "x", "model": "midjourney", "style": "vivid"}, 6),
        {"prompt": "x", "extra_body": {"a": object()}},
        "just text",
    ]
    with pytest.raises(CapabilityError) as caught:
        go(gateway, requests, tmp_path / "out")
    assert str(caught.value) == (
        "Nothing was sent. 6 things are wrong:\n"
        "  - line 2: prompt: must not be empty\n"
        "  - line 2: n: 99 is out of range; allowed: 1 to 10\n"
        "  - line 5: 'qualty' is no parameter; did you mean 'quality'? To carry it along instead: "
        "--carry qualty\n"
        "  - line 6: style: midjourney does not take it; leave it out\n"
        "  - row 5: The request cannot be sent as JSON (Object of type object is not JSON serializable), "
        "so nothing was sent.\n"
        '  - row 6: a row is a dict of parameters, such as {"prompt": "a cat"}, not str'
    )
    assert gateway.posts == []
    assert not (tmp_path / "out").exists()


def test_bad_lines_and_bad_rows_are_named_together(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"prompt": "x"}\n{"prompt"\n{"prompt": "x", "n": 0}\n')
    with pytest.raises(CapabilityError, match=r"line 3: n: 0 is out of range(.|\n)*line 2: "):
        go(Gateway(), read_rows(tmp_path / "in.jsonl"), tmp_path / "out")


def test_no_rows_at_all(tmp_path):
    with pytest.raises(CapabilityError, match="There are no rows"):
        go(Gateway(), [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("requests", ["prompts.csv", b"x", {"prompt": "x"}])
def test_a_file_name_or_a_single_row_is_no_list_of_rows(tmp_path, requests):
    with pytest.raises(TypeError, match=r"requests are rows, each a dict.*read_rows\(path\)"):
        go(Gateway(), requests, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_defaults_fill_in_what_a_row_leaves_out(tmp_path):
    go(
        Gateway(),
        [{"prompt": "a", "size": None}, {"prompt": "b", "n": 1}],
        tmp_path,
        defaults={"n": 2, "size": "1024x1024"},
    )
    assert [row["request"] for row in results(tmp_path)] == [
        {"model": "dall-e-3", "prompt": "a", "n": 2, "size": "1024x1024"},
        {"model": "dall-e-3", "prompt": "b", "n": 1, "size": "1024x1024"},
    ]


def test_a_plan_counts_and_spends_nothing():
    plan = plan_batch([*rows(3, n=2), {"prompt": "x"}])
    assert (plan.rows, plan.images, plan.models) == (4, 7, {"midjourney": 3, "dall-e-3": 1})
    with pytest.raises(CapabilityError, match="row 1: prompt: is required"):
        plan_batch([{}])


@pytest.mark.parametrize("given", ["rows.csv", b"rows.csv", Path("rows.csv"), {"prompt": "x"}])
def test_what_is_no_list_of_rows_is_refused_by_the_plan_as_by_the_run(given):
    with pytest.raises(TypeError, match=r"requests are rows, each a dict, and not .*read_rows"):
        plan_batch(given)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (rows(2), "its row 3 is gone"),
        ([*rows(2), {"prompt": "cat 3", "model": "midjourney", "n": 2}], "in row 3 n differs, and it is paid for"),
        ([rows(3)[0], {"prompt": "dog", "model": "flux-pro"}, rows(3)[2]], "in row 2 model, prompt differ"),
    ],
)
def test_a_changed_input_is_refused_with_the_first_difference(tmp_path, changed, what):
    gateway = Gateway()
    go(gateway, rows(3), tmp_path)
    with pytest.raises(JournalError, match=what) as caught:
        go(gateway, changed, tmp_path)
    assert "dog" not in str(caught.value)
    assert len(gateway.posts) == 3


def test_there_has_to_be_a_batch_to_go_on_with(tmp_path):
    with pytest.raises(JournalError, match="There is no batch in"):
        go(Gateway(), None, tmp_path / "nothing")
    with pytest.raises(JournalError, match="There is no batch in"):
        batch_status(tmp_path)


def test_a_missing_key_is_said_before_anything_is_written(tmp_path):
    with pytest.raises(MissingKeyError):
        list(run_batch(rows(1), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(JournalError, match=r"out is a file\. Give a folder\."):
        go(Gateway(), rows(1), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_or_foreign_journal_is_refused_and_left(tmp_path, content):
    (tmp_path / "journal.sqlite3").write_bytes(content)
    with pytest.raises(JournalError):
        go(Gateway(), rows(1), tmp_path)
    assert (tmp_path / "journal.sqlite3").read_bytes() == content


def test_another_database_is_refused_and_left(tmp_path):
    with sqlite3.connect(tmp_path / "journal.sqlite3") as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    before = (tmp_path / "journal.sqlite3").read_bytes()
    with pytest.raises(JournalError, match="is a database of something else"):
        go(Gateway(), rows(1), tmp_path)
    assert (tmp_path / "journal.sqlite3").read_bytes() == before


def test_a_journal_of_a_later_version_is_refused(tmp_path):
    go(Gateway(), rows(1), tmp_path)
    with sqlite3.connect(tmp_path / "journal.sqlite3") as database:
        database.execute(f"PRAGMA user_version = {journal.VERSION + 1}")
    database.close()
    with pytest.raises(JournalError, match=r"is a journal of version \d, and this program reads versions up to \d"):
        go(Gateway(), None, tmp_path)


def test_two_at_once_in_one_folder_are_refused_and_anybody_may_read(tmp_path):
    gateway = Gateway()
    go(gateway, rows(3), tmp_path, max_images=2)
    with SqliteJournal.open(tmp_path):
        with pytest.raises(JournalError, match="Another process is working in"):
            go(gateway, rows(3), tmp_path)
        assert (batch_status(tmp_path).working, batch_status(tmp_path).total) == (True, 3)
        assert len(export_results(tmp_path).read_text().splitlines()) == 3
    assert len(gateway.posts) == 2
    assert statuses(go(gateway, rows(3), tmp_path)) == {3: "saved"}


# ---- what the API answers ----


def test_a_lost_answer_is_uncertain_and_never_sent_again_by_itself(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 2", "lost")
    outcomes = go(gateway, rows(3), tmp_path)
    assert statuses(outcomes) == {1: "saved", 2: "uncertain", 3: "saved"}
    assert statuses(go(gateway, rows(3), tmp_path)) == {2: "uncertain"}
    assert gateway.posts.count("cat 2") == 1
    assert statuses(go(gateway, rows(3), tmp_path, resend_uncertain=True)) == {2: "saved"}
    assert gateway.charges["cat 2"] == 2


def test_many_lost_answers_in_a_row_end_the_sending(tmp_path):
    gateway = Gateway()
    for number in range(1, 21):
        gateway.expect(f"cat {number}", (500, {}))
    found = []
    outcomes = go(gateway, rows(20), tmp_path, concurrency=1, on_progress=lambda p: found.append(p.stopped))
    assert statuses(outcomes) == dict.fromkeys(range(1, 6), "uncertain")
    assert len(gateway.posts) == 5
    assert found[-1] == "5 submissions in a row were sent and their answers lost"
    assert list(statuses(results(tmp_path)).values()) == ["uncertain"] * 5 + ["waiting"] * 15


def test_what_was_certainly_not_accepted_is_sent_again_after_the_wait(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 1", BUSY, httpx.ConnectError("no route"), (503, {"error": {"retryable": True}}))
    assert statuses(go(gateway, rows(2), tmp_path)) == {1: "saved", 2: "saved"}
    assert gateway.posts.count("cat 1") == 4
    assert gateway.charges == {"cat 1": 1, "cat 2": 1}


def test_after_a_429_nothing_is_asked_before_the_wait_is_over(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 1", BUSY)
    go(gateway, rows(3), tmp_path, client=gateway.client(requests_per_minute=1000), concurrency=1)
    assert gateway.times[1] - gateway.times[0] >= 7


def test_after_a_429_that_names_no_time_everything_holds_back_too(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 1", (429, {}), (429, {}))
    go(gateway, rows(3), tmp_path, client=gateway.client(requests_per_minute=1000), concurrency=1)
    assert gateway.posts[:3] == ["cat 1"] * 3
    assert gateway.times[1] - gateway.times[0] >= 0.25


def test_a_refusal_is_the_outcome_of_its_row(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 2", (400, {"error": {"message": "not this", "code": "content_policy"}}))
    outcomes = {row["row"]: row for row in go(gateway, rows(3), tmp_path)}
    assert statuses(outcomes.values()) == {1: "saved", 2: "refused", 3: "saved"}
    error = outcomes[2]["error"]
    assert (error["type"], error["code"], error["status_code"]) == ("ModerationStatusError", "content_policy", 400)
    assert go(gateway, rows(3), tmp_path) == []


@pytest.mark.parametrize("status", [401, 402])
def test_an_account_that_cannot_pay_ends_the_sending_and_loses_nothing(tmp_path, status):
    gateway = Gateway()
    gateway.expect("cat 3", (status, {"error": {"message": "no"}}))
    assert statuses(go(gateway, rows(9), tmp_path, concurrency=1)) == {1: "saved", 2: "saved", 3: "waiting"}
    assert len(gateway.posts) == 3
    assert statuses(go(gateway, rows(9), tmp_path)) == dict.fromkeys(range(3, 10), "saved")
    assert set(gateway.charges.values()) == {1}


def test_an_api_that_cannot_be_reached_leaves_every_row_unsent(tmp_path):
    gateway = Gateway()
    for number in range(1, 4):
        gateway.expect(f"cat {number}", *[httpx.ConnectError("no route")] * 20)
    stopped = []
    outcomes = go(
        gateway, rows(3), tmp_path, on_progress=lambda progress: stopped.append(progress.stopped), give_up_after="5s"
    )
    assert set(statuses(outcomes).values()) == {"waiting"}
    assert stopped[-1].startswith("the API could not be reached for ")
    gateway.says.clear()
    assert statuses(go(gateway, None, tmp_path)) == dict.fromkeys(range(1, 4), "saved")


def test_a_row_that_is_told_to_try_later_stays_unsent_for_another_run(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 1", *[(503, {"error": {"message": "down", "retryable": True}})] * 9)
    outcomes = {row["row"]: row for row in go(gateway, rows(2), tmp_path)}
    assert statuses(outcomes.values()) == {1: "waiting", 2: "saved"}
    assert outcomes[1]["error"]["status_code"] == 503
    assert statuses(go(gateway, rows(2), tmp_path)) == {1: "saved"}


def test_a_task_the_api_does_not_know_is_kept_for_another_run(tmp_path):
    gateway = Gateway()
    go(gateway, rows(3), tmp_path, deadline=5)
    hidden = gateway.tasks.pop("img_2")
    outcomes = {row["row"]: row for row in go(gateway, None, tmp_path)}
    assert statuses(outcomes.values()) == {1: "saved", 2: "waiting", 3: "saved"}
    assert outcomes[2]["error"]["type"] == "TaskNotFoundError"
    gateway.tasks["img_2"] = hidden
    assert statuses(go(gateway, None, tmp_path)) == {2: "saved"}
    assert len(gateway.posts) == 3


def test_a_task_that_fails_does_not_stop_the_others(tmp_path):
    gateway = Gateway()
    go(gateway, rows(3), tmp_path, deadline=5)
    gateway.tasks["img_2"]["end"] = "failed"
    outcomes = {row["row"]: row for row in go(gateway, None, tmp_path)}
    assert statuses(outcomes.values()) == {1: "saved", 2: "failed", 3: "saved"}
    assert outcomes[2]["error"]["type"] == "TaskFailedError"
    assert len(gateway.posts) == 3


def test_a_task_that_takes_longer_than_the_deadline_waits_for_another_run(tmp_path):
    gateway = Gateway(seconds=500)
    outcomes = go(gateway, rows(2), tmp_path, deadline=60)
    assert statuses(outcomes) == {1: "waiting", 2: "waiting"}
    assert outcomes[0]["error"]["type"] == "TaskTimeoutError"
    assert statuses(go(gateway, None, tmp_path, deadline=600)) == {1: "saved", 2: "saved"}
    assert results(tmp_path)[0]["error"] is None
    assert len(gateway.posts) == 2


def test_a_fixed_interval_between_polls_wins(tmp_path):
    gateway = Gateway(seconds=20)
    go(gateway, rows(1), tmp_path, poll_interval=6)
    assert [time - gateway.times[0] for time in gateway.times] == pytest.approx([0, 6, 12, 18, 24])


def test_fewer_images_than_asked_for_are_noted(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 1", (200, {"data": [{"url": "https://img.example.net/one.png"}]}))
    (outcome,) = go(gateway, rows(1, n=2), tmp_path)
    assert (outcome["status"], outcome["note"]) == ("saved", "2 images were asked for and 1 came.")


def test_an_answer_without_images_is_not_sent_again_and_is_kept(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 1", (200, {"created": 1, "data": []}))
    (outcome,) = go(gateway, rows(1), tmp_path)
    assert (outcome["status"], outcome["error"]["type"]) == ("uncertain", "UnreadableSubmissionError")
    assert outcome["error"]["message"].endswith(f"The answer is kept in {tmp_path / '00001-reply.json'}.")
    assert json.loads((tmp_path / "00001-reply.json").read_text()) == {"created": 1, "data": []}
    assert statuses(go(gateway, rows(1), tmp_path)) == {1: "uncertain"}
    assert gateway.posts == ["cat 1"]


# ---- fetching ----


def test_an_expired_address_is_asked_of_its_task_and_nothing_is_generated_again(tmp_path):
    gateway = Gateway()
    gateway.pictures["img_1-0.png"] = deque([410])
    assert statuses(go(gateway, rows(1), tmp_path)) == {1: "saved"}
    assert gateway.charges == {"cat 1": 1}


def test_images_that_could_not_be_fetched_are_fetched_by_another_run(tmp_path):
    gateway = Gateway()
    gateway.pictures["i1-0.png"] = deque([404] * 99)
    (outcome,) = go(gateway, rows(1, model="dall-e-3"), tmp_path)
    assert (outcome["status"], outcome["error"]["type"]) == ("unfetched", "DownloadError")
    known = batch_status(tmp_path)
    assert (known.unfetched, known.failed, known.open) == (1, 0, 1)
    gateway.pictures.clear()
    assert statuses(go(gateway, None, tmp_path)) == {1: "saved"}
    assert results(tmp_path)[0]["error"] is None
    assert gateway.posts == ["cat 1"]


def test_a_picture_tells_where_it_comes_from(tmp_path):
    gateway = Gateway()
    picture = BytesIO()
    PIL.Image.new("RGB", (8, 8), "yellow").save(picture, "PNG")
    gateway.picture = picture.getvalue()
    go(gateway, rows(1), tmp_path)
    with PIL.Image.open(tmp_path / "00001-cat-1-1.png") as found:
        assert found.text["Description"] == "cat 1"
        assert {"cat 1", "midjourney", "rewritten", "img_1"} <= set(
            re.findall(r">([^<>]+)<", found.info["xmp"].decode())
        )
        assert found.getpixel((3, 3)) == (255, 255, 0)


def test_a_full_disk_ends_the_sending_and_the_row_can_be_fetched_later(tmp_path, monkeypatch):
    gateway = Gateway()

    with monkeypatch.context() as patch:
        patch.setattr(PartFile, "place", full)
        outcomes = go(gateway, rows(9, model="dall-e-3"), tmp_path, concurrency=1)
    assert set(statuses(outcomes).values()) == {"unfetched"}
    assert len(gateway.posts) < 9
    go(gateway, None, tmp_path)
    assert set(statuses(results(tmp_path)).values()) == {"saved"}
    assert set(gateway.charges.values()) == {1}


def test_nothing_is_paid_for_that_would_not_fit_on_the_disk(tmp_path, monkeypatch):
    gateway = Gateway()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
        assert go(gateway, rows(2), tmp_path) == []
    assert gateway.posts == []
    assert statuses(results(tmp_path)) == {1: "waiting", 2: "waiting"}
    assert len(go(gateway, None, tmp_path)) == 2


# ---- limits ----


def test_max_images_is_never_exceeded(tmp_path):
    gateway = Gateway()
    stopped = []
    outcomes = go(gateway, rows(5, n=2), tmp_path, max_images=7, on_progress=lambda p: stopped.append(p.stopped))
    assert statuses(outcomes) == {1: "saved", 2: "saved", 3: "saved"}
    assert stopped[-1] == "the next row would exceed 7 images"
    assert go(gateway, None, tmp_path, max_images=7) == []
    assert len(go(gateway, None, tmp_path)) == 2


@pytest.mark.parametrize("per_minute", [30, 120])
def test_the_rate_limit_holds_for_submissions_and_polls_together(tmp_path, monkeypatch, per_minute):
    gateway = Gateway()
    times = []
    reserve = RateLimit.acquire

    def noted(self, now, *within):
        wait = reserve(self, now, *within)
        times.append(now + wait)
        return wait

    monkeypatch.setattr(RateLimit, "acquire", noted)
    go(gateway, rows(60), tmp_path, client=gateway.client(requests_per_minute=per_minute), deadline=10_000)
    assert len(times) >= len(gateway.times) >= 120
    for granted_or_sent in (times, gateway.times):
        pairs = zip(granted_or_sent, granted_or_sent[per_minute:], strict=False)
        assert all(later - earlier >= 60 for earlier, later in pairs)
    assert set(gateway.charges.values()) == {1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 1.5}, "concurrency"),
        ({"max_images": -1}, "max_images"),
        ({"max_images": True}, "max_images"),
        ({"deadline": -1}, "deadline"),
        ({"deadline": 0}, "deadline"),
        ({"poll_interval": 0}, "poll_interval"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        go(Gateway(), rows(1), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


# ---- the record ----


def test_the_record_can_be_read_with_plain_sqlite(tmp_path):
    go(Gateway(), rows(2), tmp_path)
    database = sqlite3.connect(tmp_path / "journal.sqlite3")
    found = database.execute("SELECT row, status, task_id, json_extract(request, '$.prompt') FROM rows").fetchall()
    database.close()
    assert found == [(1, "saved", "img_1", "cat 1"), (2, "saved", "img_2", "cat 2")]


def test_no_key_and_no_picture_is_in_the_record(tmp_path):
    go(Gateway(), rows(2, model="dall-e-3", response_format="b64_json"), tmp_path)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".png")
    assert b"sk-secret" not in content
    assert b"iVBOR" not in content


def test_durations_are_learned_and_kept(tmp_path):
    gateway = Gateway(seconds=8)
    go(gateway, rows(30), tmp_path)
    with SqliteJournal.read(tmp_path) as kept:
        assert kept.durations()["midjourney"]["completions"] == 30


def test_durations_of_another_version_are_learned_anew(tmp_path):
    gateway = Gateway()
    go(gateway, rows(1), tmp_path)
    with sqlite3.connect(tmp_path / "journal.sqlite3") as database:
        database.execute("UPDATE durations SET learned = '{}'")
    database.close()
    assert go(gateway, None, tmp_path) == []


def test_progress_counts_and_ends_complete(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 4", "lost")
    seen: list[Progress] = []
    go(gateway, rows(4, n=2), tmp_path, on_progress=seen.append)
    assert all(p.total == 4 for p in seen)
    last = seen[-1]
    assert (last.saved, last.uncertain, last.open, last.images) == (3, 1, 0, 6)
    assert batch_status(tmp_path).saved == 3
    assert last.left_seconds == 0


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users as Unix has them")
def test_the_journal_of_a_folder_that_takes_no_file_is_read():
    """An archive, a snapshot, another user's folder: SQLite wants two more files beside a journal."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        with SqliteJournal.open(folder) as writing:
            writing.take_in([journal.Incoming(None, {"prompt": "x"}, 1)])
        for path, mode in ((folder / sqlite.FILE, 0o444), (folder, 0o555)):
            path.chmod(mode)
        root = os.geteuid() == 0
        try:
            if root:
                os.seteuid(65534)
            with SqliteJournal.read(folder) as kept:
                assert kept.counts() == {"unsent": 1}
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)


def test_progress_that_raises_is_a_warning_and_costs_nothing(tmp_path):
    def broken(progress):
        raise RuntimeError("no terminal")

    with pytest.warns(LemonWarning, match="on_progress raised RuntimeError: no terminal. The batch goes on."):
        assert len(go(Gateway(), rows(3), tmp_path, on_progress=broken)) == 3


def test_a_crash_at_any_step_loses_and_repeats_nothing(tmp_path, monkeypatch):
    """The folder and the server are copied before and after every commit and every POST, and each copy is resumed."""
    gateway = Gateway()
    gateway.expect("cat 3", BUSY)
    requests = [*rows(4), {"prompt": "cat 5", "n": 2}, {"prompt": "cat 6", "response_format": "b64_json"}]
    moments = []
    lock = threading.RLock()

    def snapshot():
        folder = tmp_path / f"moment-{len(moments)}"
        folder.mkdir()
        for path in (tmp_path / "out").iterdir():
            with suppress(FileNotFoundError):  # a part file that has just got its name
                shutil.copy2(path, folder)
        moments.append((folder, copy.deepcopy(gateway)))

    def observed(step):
        def around(*arguments):
            with lock:
                snapshot()
                outcome = step(*arguments)
                snapshot()
                return outcome

        return around

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "commit", observed(journal.Journal.commit))
        patch.setattr(Gateway, "_create", observed(Gateway._create))
        go(gateway, requests, tmp_path / "out", gallery=False)
    assert len(moments) > 30
    for folder, server in moments:
        server.clock.now += 3600
        go(server, requests, folder, gallery=False)
        found = results(folder)
        assert [row["row"] for row in found] == [1, 2, 3, 4, 5, 6]
        for row in found:
            assert row["status"] in ("saved", "uncertain")
            if row["status"] == "saved":
                assert server.charges[row["prompt"]] == 1
                assert all(whole(folder / path) for path in row["paths"])
            else:
                assert server.charges[row["prompt"]] <= 1
        assert len(pictures(folder)) == len([path for row in found for path in row["paths"]])
        assert not list(folder.glob(".*.part"))


def test_a_closed_client_sends_nothing_and_makes_nothing_uncertain(tmp_path):
    gateway = Gateway()
    lemon = gateway.client(blocking=True)
    lemon.close()
    (outcome,) = go(gateway, rows(1), tmp_path, client=lemon)
    assert outcome["status"] == "waiting"
    assert "This client is closed" in outcome["error"]["message"]


def test_part_files_of_a_dead_process_are_removed(tmp_path):
    (tmp_path / ".0123456789abcdef.part").write_bytes(b"half")
    (tmp_path / ".mine.part").write_bytes(b"not ours")
    go(Gateway(), rows(1), tmp_path)
    assert sorted(path.name for path in tmp_path.glob(".*.part")) == [".mine.part"]


def test_results_that_cannot_be_written_are_a_warning(tmp_path):
    (tmp_path / "index.html").write_text("<p>mine</p>")
    with pytest.warns(UserWarning, match="could not be written"):
        go(Gateway(), rows(1), tmp_path)
    assert (tmp_path / "index.html").read_text() == "<p>mine</p>"
    assert len(json.loads((tmp_path / "results.jsonl").read_text())["paths"]) == 1


def test_few_rows_are_read_ahead(tmp_path, monkeypatch):
    gateway = Gateway()
    most = []
    take = submissions.Submissions._take

    def watched(self):
        most.append(len(self._ahead))
        return take(self)

    monkeypatch.setattr(submissions.Submissions, "_take", watched)
    monkeypatch.setattr(submissions, "AHEAD", 8)
    go(gateway, rows(30, model="dall-e-3"), tmp_path, gallery=False)
    assert len(gateway.posts) == 30
    assert max(most) == 8


def test_what_could_not_be_written_down_is_written_at_the_end(tmp_path, monkeypatch):
    gateway = Gateway()
    commit = journal.Journal.commit
    full = [True]

    def commit_or_fail(self, statements):
        statements = list(statements)
        if full and any("waiting" in values for _, values in statements):
            full.clear()
            raise JournalError("The journal cannot be used: database or disk is full.")
        return commit(self, statements)

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "commit", commit_or_fail)
        with pytest.raises(JournalError, match="disk is full"):
            go(gateway, rows(4), tmp_path, concurrency=1)
    assert gateway.posts == ["cat 1"]
    assert (results(tmp_path)[0]["status"], results(tmp_path)[0]["task_id"]) == ("waiting", "img_1")
    assert statuses(go(gateway, None, tmp_path)) == dict.fromkeys(range(1, 5), "saved")
    assert set(gateway.charges.values()) == {1}


@pytest.mark.parametrize("how", ["blocking", "asyncio", "trio"])
def test_every_accepted_row_that_is_not_on_disk_is_named(tmp_path, monkeypatch, how):
    """A journal on a full disk: what was paid for until that is found out is told, with its task or its images."""
    gateway = Gateway()
    commit = journal.Journal.commit

    def full(self, statements):
        statements = list(statements)
        if any(word in values for _, values in statements for word in ("waiting", "completed")):
            raise JournalError("The journal cannot be used: database or disk is full.")
        return commit(self, statements)

    requests = [*rows(2), {"prompt": "cat 3", "model": "dall-e-3"}]
    requests += [{"prompt": "cat 4", "model": "dall-e-3", "response_format": "b64_json"}]
    SqliteJournal.open(tmp_path).close()
    monkeypatch.setattr(SqliteJournal, "_prepare", lambda self: None)
    monkeypatch.setattr(journal.Journal, "commit", full)
    monkeypatch.setattr(outage, "ALONE", 0.0)
    monkeypatch.setattr(outage.Reach, "has_to_ask", lambda self, now: False)
    monkeypatch.setattr(outage.Reach, "at_once", lambda self, most: most)

    async def main():
        return [outcome async for outcome in arun_batch(requests, tmp_path, client=gateway.client())]

    with pytest.raises(JournalError, match="disk is full") as caught:
        go(gateway, requests, tmp_path) if how == "blocking" else anyio.run(main, backend=how)
    assert "Note what follows, it is paid for and not on disk:" in caught.value.__notes__
    task = {asked["asked"]["prompt"]: task_id for task_id, asked in gateway.tasks.items()}
    told = sorted(note for note in caught.value.__notes__ if note.startswith("Row "))
    assert [re.sub(r"/i\d-", "/i-", note) for note in told] == [
        f"Row 1 was accepted as task {task['cat 1']}.",
        f"Row 2 was accepted as task {task['cat 2']}.",
        "Row 3 was answered with images: https://img.example.net/i-0.png.",
        "Row 4 was answered with images: 00004-cat-4-1.png.",
    ]
    assert whole(tmp_path / "00004-cat-4-1.png")


def test_a_row_that_cannot_be_written_down_is_not_sent(tmp_path, monkeypatch):
    gateway = Gateway()
    commit = journal.Journal.commit

    def commit_or_fail(self, statements):
        statements = list(statements)
        if any("'submitting'" in sql and values for sql, values in statements if "submitted_at = ?" in sql):
            raise JournalError("The record cannot be used: database or disk is full.")
        return commit(self, statements)

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "commit", commit_or_fail)
        with pytest.raises(JournalError, match="disk is full"):
            go(gateway, rows(4), tmp_path)
    assert gateway.posts == []
    assert set(statuses(results(tmp_path)).values()) == {"waiting"}


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_rejected_while_polling_leaves_the_tasks_waiting(tmp_path, monkeypatch, status):
    gateway = Gateway()
    with monkeypatch.context() as patch:
        patch.setattr(gateway, "_state", lambda request: httpx.Response(status, json={"error": {"message": "no"}}))
        outcomes = go(gateway, rows(2), tmp_path)
    assert statuses(outcomes) == {1: "waiting", 2: "waiting"}
    assert {row["error"]["status_code"] for row in outcomes} == {status}
    assert statuses(go(gateway, None, tmp_path)) == {1: "saved", 2: "saved"}
    assert len(gateway.posts) == 2


def test_a_status_nobody_knows_with_images_is_used_at_the_deadline(tmp_path, monkeypatch):
    gateway = Gateway()
    odd = {"task_id": "img_1", "status": "polished", "data": [{"url": "https://img.example.net/odd.png"}]}
    monkeypatch.setattr(gateway, "_state", lambda request: httpx.Response(200, json=odd))
    (outcome,) = go(gateway, rows(1), tmp_path, deadline=30)
    assert (outcome["status"], outcome["task_id"]) == ("saved", "img_1")
    assert outcome["note"] == "The status still is 'polished' at the deadline; the images are used (task img_1)."


def test_a_second_interrupt_cuts_off_what_is_on_its_way(tmp_path):
    gateway = Gateway()
    lemon, told = gateway.client(), []

    async def hang(request):
        signal.raise_signal(signal.SIGINT)
        await anyio.sleep_forever()

    def again(progress):
        if progress.stopped == "interrupted" and not told:
            told.append(progress)
            signal.raise_signal(signal.SIGINT)

    lemon._core.http.given = httpx.AsyncClient(transport=httpx.MockTransport(hang))
    with pytest.raises(KeyboardInterrupt) as caught:
        list(run_batch(rows(3), tmp_path, client=lemon, concurrency=1, on_progress=again))
    assert list(statuses(results(tmp_path)).values()) == ["uncertain", "waiting", "waiting"]
    told = f"The batch in {tmp_path}: row 1 may be billed, and the answer was lost. "
    assert caught.value.__notes__ == [f"{told}Go on with `lemon resume`, or run_batch(None, folder)."]


def test_a_reader_in_another_process_leaves_the_write_ahead_log(tmp_path):
    """Opening and closing the file beside SQLite would lose this process's locks, and the other one would clean up."""
    with SqliteJournal.open(tmp_path) as writing:
        writing.take_in([journal.Incoming(None, {"prompt": "x"}, 1)])
        batch_status(tmp_path)
        export_results(tmp_path)
        code = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM rows'); c.close()"
        )
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "journal.sqlite3")], check=True)
        assert (tmp_path / "journal.sqlite3-wal").exists()


def test_half_a_character_in_an_answer_is_stored_all_the_same(tmp_path):
    gateway = Gateway()
    image = {"url": "https://img.example.net/a.png", "revised_prompt": "a cat \ud83d"}
    gateway.expect("cat 1", (200, {"data": [image]}))
    gateway.expect("cat 2", (400, {"error": {"message": "no \ud83d", "code": "\ud83d"}}))
    gateway.expect("cat 3", (200, {"task_id": "img_\ud83d", "status": "pending"}))
    found = statuses(go(gateway, rows(4, model="dall-e-3"), tmp_path))
    assert found == {1: "saved", 2: "refused", 3: "uncertain", 4: "saved"}  # such an id cannot be polled
    assert results(tmp_path)[0]["revised_prompt"] == "a cat \ud83d"


def test_what_fails_to_be_written_fails_for_everybody_who_waits_for_it():
    class Full:
        def commit(self, statements):
            raise ValueError("no such luck")

    async def main():
        writer = Writer(Full())
        errors = []

        async def write():
            try:
                await writer.write(("SQL", ()))
            except ValueError as exc:
                errors.append(exc)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(write)
        return errors

    assert len(anyio.run(main)) == 3


@pytest.mark.parametrize("name", ["results.jsonl", "00001-a-cat-1.png"])
def test_pictures_without_their_journal_are_not_paid_for_again(tmp_path, name):
    gateway = Gateway()
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(JournalError, match=f"holds {name}, and not the journal"):
        go(gateway, rows(1), tmp_path)
    assert gateway.posts == []
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_input_that_was_not_read_to_its_end_is_asked_for_again(tmp_path):
    SqliteJournal.open(tmp_path).close()
    with pytest.raises(JournalError, match="was not read to its end"):
        go(Gateway(), None, tmp_path)
    assert len(go(Gateway(), rows(1), tmp_path)) == 1


def test_a_task_whose_images_came_as_data_is_asked_again_if_they_could_not_be_written(tmp_path, monkeypatch):
    gateway = Gateway()

    def full(self, *arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(PartFile, "place", full)
        assert statuses(go(gateway, rows(1, response_format="b64_json"), tmp_path)) == {1: "unfetched"}
    assert statuses(go(gateway, None, tmp_path)) == {1: "saved"}
    assert gateway.posts == ["cat 1"]


def test_data_that_is_no_picture_is_kept(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 1", (200, {"data": [{"b64_json": "@@@@"}]}))
    (outcome,) = go(gateway, rows(1, model="dall-e-3"), tmp_path)
    assert outcome["status"] == "failed"
    assert (batch_status(tmp_path).failed, batch_status(tmp_path).open) == (1, 0)  # no other run can fetch it
    assert str(tmp_path / "00001-cat-1-1.damaged.txt") in outcome["error"]["message"]
    assert (tmp_path / "00001-cat-1-1.damaged.txt").read_text() == "@@@@"


@pytest.mark.parametrize("is_left", [True, False])
def test_another_address_on_resume_is_warned_of_while_rows_are_left(tmp_path, is_left):
    gateway = Gateway()
    if is_left:
        gateway.expect("cat 1", (200, {"task_id": "img_9", "status": "pending"}, ("Retry-After", "3600")))
    go(gateway, rows(1), tmp_path, deadline=60)
    with sqlite3.connect(tmp_path / "journal.sqlite3") as database:
        database.execute("UPDATE meta SET value = 'https://old.example.test' WHERE name = 'base_url'")
    database.close()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        go(gateway, None, tmp_path, deadline=60)
    said = "began at https://old.example.test and goes on at https://api.example.test"
    assert [said in str(one.message) for one in told] == [True] * is_left


def test_a_wait_longer_than_the_deadline_ends_the_sending(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 1", (429, {}, ("Retry-After", "31536000")))
    assert statuses(go(gateway, rows(1), tmp_path, deadline=60)) == {1: "waiting"}
    assert len(gateway.posts) == 1


def test_a_task_that_may_not_be_polled_in_time_waits_for_another_run(tmp_path):
    gateway = Gateway()
    later = {"task_id": "img_9", "status": "pending"}
    gateway.expect("cat 1", (200, later, ("Retry-After", "3600")))
    (outcome,) = go(gateway, rows(1), tmp_path, deadline=60)
    assert (outcome["status"], outcome["task_id"]) == ("waiting", "img_9")
    assert outcome["error"]["type"] == "TaskTimeoutError"


def test_a_second_try_of_a_doubtful_row_counts_as_images_too(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 1", "lost")
    go(gateway, rows(2), tmp_path, max_images=2)
    assert statuses(go(gateway, None, tmp_path, max_images=2, resend_uncertain=True)) == {}
    assert len(gateway.posts) == 2
