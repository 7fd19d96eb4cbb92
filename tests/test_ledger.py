"""The ledger of single calls: what was submitted is known afterwards, however the process ended."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import stat
import sys
import time
from contextlib import ExitStack, closing

import httpx
import pytest

from lemon_ext import Lemon, LemonWarning, errors
from lemon_ext.emulator import KEY as EMULATED
from lemon_ext.ledger import KEPT, Ledger
from lemon_ext.testing import instant
from tests.children import child
from tests.cli import emulator, lemon, process, server  # noqa: F401 - fixtures
from tests.conftest import KEY, ROOT
from tests.gateway import PNG, Gateway


@pytest.fixture
def path(tmp_path, monkeypatch):
    path = tmp_path / "state" / "ledger.sqlite3"
    monkeypatch.setenv("LEMONDATA_LEDGER", str(path))
    return path


def lines(path):
    return [(call.status, call.task_id, call.model, call.prompt) for call in Ledger(path).calls()]


def test_a_call_is_written_down_before_it_leaves_and_when_it_ends(path):
    gateway, seen = Gateway(seconds=0.0), []
    gateway.expect("a cat", (400, {"error": {"message": "no"}}))

    def spy(request):
        seen.append([call.status for call in Ledger(path).calls()])
        return gateway(request)

    with httpx.Client(transport=httpx.MockTransport(spy)) as http:
        client = Lemon(KEY, base_url="https://api.example.test", http_client=http, ledger=path)
        with pytest.raises(errors.BadRequestError):
            client.images.generate("a cat")
        task = client.images.submit("a dog", model="midjourney", size="512x512")
        assert lines(path)[0] == ("waiting", "img_1", "midjourney", "a dog")
        with instant():
            task.result()
    assert seen[:3] == [["submitting"], ["submitting", "refused"], ["waiting", "refused"]]
    assert lines(path) == [("completed", "img_1", "midjourney", "a dog"), ("refused", None, "dall-e-3", "a cat")]
    (call, refused) = Ledger(path).calls()
    assert call.handle["asked"] == {"pixels": "512x512"}
    assert "HTTP 400" in refused.error
    assert KEY.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("lost", "uncertain"),
        ((502, {"error": {"message": "bad gateway"}}), "uncertain"),
        ((200, {"hello": 1}), "uncertain"),
        ((400, {"error": {"message": "no"}}), "refused"),
        ((401, {"error": {"message": "no"}}), "unsent"),
        ((429, {"error": {"message": "slow"}}, ("Retry-After", "9999")), "unsent"),
        (httpx.ConnectError("refused"), "unsent"),
        ((200, {"status": "failed", "error": "no"}), "failed"),
    ],
)
def test_what_became_of_a_call_has_the_words_of_a_batch(path, colour, reply, status):
    gateway = Gateway()
    gateway.expect("a cat", *[reply] * 5)
    gateway.clock.rule()
    with pytest.raises(errors.LemonError):
        colour.call(colour.client(gateway, base_url="https://api.example.test", ledger=path).images.generate, "a cat")
    assert [line[0] for line in lines(path)] == [status]


def test_a_call_that_is_cut_off_is_uncertain_if_it_had_left(path, colour):
    def interrupt(request):
        raise KeyboardInterrupt

    client = colour.client(interrupt, ledger=path)
    with pytest.raises(KeyboardInterrupt):
        colour.call(client.images.generate, "a cat")
    assert lines(path)[0][0] in ("unsent", "uncertain")


@pytest.mark.parametrize(("reply", "status"), [("task", "waiting"), ("inline", "completed")])
def test_a_call_that_is_cut_off_once_it_is_accepted_says_what_became_of_it(path, colour, monkeypatch, reply, status):
    """The interrupt falls between the answer and the handle that the caller gets."""
    body = {"task_id": "img_1", "status": "pending"} if reply == "task" else {"data": [{"url": "https://x.org/1.png"}]}

    def interrupted(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("lemon_ext.poll_schedule.Schedule.submitted", interrupted)
    monkeypatch.setattr("lemon_ext.tasks.ending", interrupted)
    client = colour.client(lambda _: httpx.Response(200, json=body), ledger=path)
    with pytest.raises(KeyboardInterrupt):
        colour.call(client.images.submit, "a cat")
    assert lines(path)[0][0] == status


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_it_is_its_owners_alone(path):
    ledger = Ledger(path)
    ledger.submitting("https://x", {"prompt": "a cat", "model": "m"}, 1, {})
    for one in path.parent.iterdir():
        assert stat.S_IMODE(one.stat().st_mode) == 0o600, one
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_prompts_can_be_left_out(path):
    Ledger(path, prompts=False).submitting("https://x", {"prompt": "a secret cat", "model": "m"}, 1, {})
    assert lines(path) == [("submitting", None, "m", None)]
    assert b"secret" not in b"".join(one.read_bytes() for one in path.parent.iterdir())


def test_a_ledger_that_cannot_be_written_stops_nothing_and_is_told_once(tmp_path):
    (tmp_path / "full").write_bytes(b"this is no database, and long enough to be looked at" * 9)
    client = Gateway(seconds=0.0).client(blocking=True)
    client._core.ledger = Ledger(tmp_path / "full")
    with pytest.warns(LemonWarning, match="cannot be written") as told:
        result = client.images.generate("a cat")
    assert (len(result), len(told)) == (1, 1)
    assert (tmp_path / "full").read_bytes().startswith(b"this is no database")


def test_a_number_of_a_process_that_another_has_now_hides_no_lost_answer(path):
    """In a container every process has the same number: an old line is not of the one that runs now."""
    ledger = Ledger(path)
    ledger.submitting("https://x", {"model": "m"}, 1, {})
    assert lines(path)[0][0] == "submitting"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE calls SET at = at - 3700")
    database.close()
    assert lines(path)[0][0] == "uncertain"


def test_a_line_says_which_key_sent_it_and_not_the_key(path):
    for key in (KEY, KEY, "sk-another-key"):
        with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(400))) as http:
            client = Lemon(key, base_url="https://api.example.test", http_client=http, ledger=path)
            with pytest.raises(errors.BadRequestError):
                client.images.submit("a cat")
    keys = [call.key for call in Ledger(path).calls()]
    assert [len(one) for one in keys] == [4, 4, 4]
    assert keys[0] != keys[1] == keys[2]
    assert not any(one in key for one in keys for key in (KEY, "sk-another-key"))


def test_a_ledger_of_an_earlier_version_is_read_and_goes_on(path):
    ledger = Ledger(path)
    ledger.submitting("https://x", {"model": "old"}, 1, {}, "abcd")
    ledger.close()
    with closing(sqlite3.connect(path)) as database:
        database.executescript("ALTER TABLE calls DROP COLUMN key; PRAGMA user_version = 1;")
    assert [(call.model, call.key) for call in Ledger(path).calls()] == [("old", None)]
    Ledger(path).submitting("https://x", {"model": "new"}, 1, {}, "abcd")
    assert [(call.model, call.key) for call in Ledger(path).calls()] == [("new", "abcd"), ("old", None)]


def test_a_task_of_the_same_id_at_another_address_stays_as_it_is(path):
    ledger, addresses = Ledger(path), ("https://a.example.test", "https://b.example.test")
    for address in addresses:
        ledger.change(ledger.submitting(address, {"model": "m"}, 1, {}), None, status="waiting", task_id="img_1")
    with httpx.Client(transport=httpx.MockTransport(gateway := Gateway(seconds=0.0))) as http, instant():
        client = Lemon(KEY, base_url=addresses[1], http_client=http)
        client.images.submit("a cat", model="midjourney")
        assert "img_1" in gateway.tasks
        Lemon(KEY, base_url=addresses[1], http_client=http, ledger=path).images.task("img_1").result()
    assert [(call.base_url, call.status) for call in ledger.calls()] == [
        (addresses[1], "completed"), (addresses[0], "waiting"),
    ]  # fmt: skip


def test_old_lines_go_and_what_is_open_stays(path):
    ledger = Ledger(path)
    first = ledger.submitting("https://x", {"model": "open"}, 1, {})
    second = ledger.submitting("https://x", {"model": "ended"}, 1, {})
    ledger.change(first, None, status="waiting", task_id="img_1")
    ledger.change(second, None, status="saved")
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO calls (id, at, base_url, status) VALUES (?, 0, 'https://x', 'saved')", (KEPT,))
    database.close()
    for _ in range(100):
        ledger.change(ledger.submitting("https://x", {"model": "new"}, 1, {}), None, status="saved")
    kept = [call.model for call in ledger.calls()]
    assert kept.count("new") == 100
    assert ("open" in kept, "ended" in kept) == (True, False)


def test_many_processes_write_at_once_and_nothing_is_lost(path):
    code = (
        "import sys; from lemon_ext.ledger import Ledger; ledger = Ledger(sys.argv[1])\n"
        "for n in range(25):\n"
        "    ledger.change(ledger.submitting('https://x', {'model': sys.argv[2]}, 1, {}), None, status='saved')"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'generated'}{os.pathsep}{ROOT}"}
    with ExitStack() as stack:
        command = (sys.executable, "-W", "error", "-c", code, path)
        many = [stack.enter_context(child(*command, str(n), env=environment)) for n in range(6)]
        assert [one.wait(60) for one in many] == [0] * 6
    calls = list(Ledger(path).calls())
    assert len(calls) == 150
    assert {call.status for call in calls} == {"saved"}


def test_a_call_adds_a_millisecond_at_most_beside_the_disk(path):
    ledger = Ledger(path)
    line = ledger.submitting("https://x", {"prompt": "a cat", "model": "m"}, 1, {})
    began = time.process_time()
    for _ in range(200):
        ledger.change(ledger.submitting("https://x", {"prompt": "a cat", "model": "m"}, 1, {}), None, status="waiting")
    assert line == 1
    assert (time.process_time() - began) / 200 < 0.001


# ---- the command line ----


def test_tasks_are_listed_and_the_last_one_is_fetched(emulator, path, tmp_path):  # noqa: F811
    assert lemon("tasks").stdout == ""
    lemon("generate", "a white cat", "-m", "midjourney", "--no-wait")
    lemon("generate", "a red " + "very " * 20 + "bicycle", "-m", "dall-e-2")
    assert [line[0] for line in lines(path)] == ["saved", "waiting"]
    listed = lemon("tasks").stdout.splitlines()
    assert re.search(r"  saved +-  ", listed[0])
    assert listed[0].endswith("…")
    assert f"waiting  {emulator.ledger[0].task_id}" in listed[1]
    told = [json.loads(line) for line in lemon("tasks", "--json", "-n", "1").stdout.splitlines()]
    assert [(one["status"], one["paths"]) for one in told] == [("saved", [str(tmp_path / told[0]["paths"][0])])]
    assert lemon("task", "--last", "--wait").stdout == "a-white-cat.png\n"
    assert [line[0] for line in lines(path)] == ["saved", "saved"]


def test_a_task_by_its_id_alone_is_named_after_its_prompt(emulator, path, tmp_path):  # noqa: F811
    """After a timeout the message names `lemon task ID --wait`. The ledger knows the prompt."""
    lemon("generate", "a white cat", "-m", "midjourney", "--no-wait")
    (call,) = Ledger(path).calls()
    assert lemon("task", call.task_id, "--wait", "--poll-interval", "0.02").stdout == "a-white-cat.png\n"


def test_what_is_saved_stays_saved_and_is_not_fetched_again(emulator, path, tmp_path):  # noqa: F811
    task_id = lemon("generate", "a white cat", "-m", "midjourney", "--no-wait").stdout.strip()
    assert lemon("task", "--wait", task_id, "-o", "out").stdout == "out/a-white-cat.png\n"
    asked = len(emulator.requests)
    for again in (["task", task_id], ["task", "--last"], ["task", "--wait", task_id, "-o", "out"], ["task", "--last"]):
        told = lemon(*again)
        assert (told.exit_code, told.stdout) == (0, "out/a-white-cat.png\n"), again
        assert f"{task_id}: already saved as out/a-white-cat.png." in told.stderr
        assert "next:" not in told.stderr
    told = json.loads(lemon("task", task_id, "--json").stdout)
    assert (told["task_id"], told["paths"], told["prompt"]) == (task_id, ["out/a-white-cat.png"], "a white cat")
    handle = json.dumps({"id": task_id, "prompt": "a white cat"})
    assert lemon("task", "-", input=handle).stdout == "out/a-white-cat.png\n"
    assert len(emulator.requests) == asked
    cancelled = lemon("task", "--cancel", task_id)  # too late: 409
    assert (cancelled.exit_code, "next:" in cancelled.stderr) == (3, False)
    with Lemon(EMULATED, base_url=emulator.url, ledger=path) as client, instant():
        client.images.task(task_id).result()  # a later poll, of another program
    assert [line[0] for line in lines(path)] == ["saved"]
    assert "No task waits" in lemon("resume").stderr
    assert lemon("task", task_id, "-o", "elsewhere").stdout == "elsewhere/a-white-cat.png\n"  # it is asked for
    (tmp_path / "elsewhere" / "a-white-cat.png").unlink()  # it is gone
    assert lemon("task", task_id).stdout == "a-white-cat.png\n"
    over = lemon("task", task_id, "-o", "a-white-cat.png", "--overwrite")
    assert (over.stdout, "already" in over.stderr) == ("a-white-cat.png\n", False)


def test_of_several_tasks_those_that_are_saved_are_told_and_the_others_fetched(emulator, path):  # noqa: F811
    one, two = (lemon("generate", name, "-m", "midjourney", "--no-wait").stdout.strip() for name in ("one", "two"))
    lemon("task", "--wait", one)
    both = lemon("task", "--wait", one, two)
    assert (both.exit_code, both.stdout.split()) == (0, ["one.png", "two.png"])


def test_tasks_have_the_numbers_of_reconcile(emulator, path):  # noqa: F811
    lemon("generate", "one", "two", "-m", "dall-e-2")
    assert [line.split()[2] for line in lemon("tasks").stdout.splitlines()] == ["2", "1"]
    assert [json.loads(line)["number"] for line in lemon("tasks", "--json").stdout.splitlines()] == [2, 1]
    assert [call.id for call in Ledger(path).calls()] == [2, 1]


def test_resume_without_a_folder_saves_where_it_is_told(emulator, path, tmp_path):  # noqa: F811
    lemon("generate", "one", "-m", "midjourney", "--no-wait")
    assert lemon("resume", "-o", "out").stdout == "out/one.png\n"
    refused = lemon("resume", "batch", "-o", "out")
    assert (refused.exit_code, "a batch saves in its own folder" in refused.stderr) == (2, True)


def test_resume_without_a_folder_goes_on_with_what_waits(emulator, path):  # noqa: F811
    lemon("generate", "one", "two", "-m", "midjourney", "--no-wait")
    lemon("generate", "lost [fault:drop_after]", "-m", "midjourney")
    done = lemon("resume")
    assert (done.exit_code, sorted(done.stdout.split())) == (0, ["one.png", "two.png"])
    assert "1 request may be billed" in done.stderr
    assert emulator.charges == 3  # as before
    assert sorted(line[0] for line in lines(path)) == ["saved", "saved", "uncertain"]
    assert "No task waits" in lemon("resume").stderr


@pytest.mark.parametrize(
    ("args", "said"), [(["task"], "Give task ids, or --last"), (["task", "--last"], "No task was")]
)
def test_a_task_needs_an_id_or_a_ledger(emulator, path, args, said):  # noqa: F811
    done = lemon(*args)
    assert (done.exit_code, said in done.stderr) == (2, True)


def test_an_emulator_inside_a_command_leaves_no_trail(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert lemon("generate", "a cat", "-m", "dall-e-2", "--emulator").exit_code == 0
    assert not path.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot kill so")
def test_a_killed_terminal_leaves_a_trail(emulator, path):  # noqa: F811
    emulator.inject("slow", seconds=60.0)
    with process("generate", "a cat", "-m", "midjourney") as child:
        for _ in range(200):
            if lines(path):
                break
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    (line,) = Ledger(path).calls()
    assert (line.status, line.prompt) == ("uncertain", "a cat")
    assert "may be billed" in line.error


def test_an_edit_is_written_down_too(emulator, path, tmp_path):  # noqa: F811
    (tmp_path / "cat.png").write_bytes(PNG)
    assert lemon("edit", "with a hat", "--image", "cat.png", "-m", "dall-e-2").exit_code == 0
    assert lines(path) == [("saved", None, "dall-e-2", "with a hat")]


def test_a_variation_has_no_prompt_and_its_line_says_so(emulator, path, tmp_path):  # noqa: F811
    (tmp_path / "cat.png").write_bytes(PNG)
    assert lemon("vary", "--image", "cat.png", "-m", "dall-e-2").exit_code == 0
    assert lemon("tasks").stdout.endswith("  (no prompt)\n")
    assert json.loads(lemon("tasks", "--json").stdout)["prompt"] is None


def test_a_task_that_is_cancelled_is_written_down_as_ended(emulator, path):  # noqa: F811
    emulator.task_seconds = 60
    task_id = lemon("generate", "x", "-m", "flux-pro", "--no-wait").stdout.strip()
    assert lemon("task", "--cancel", "--", task_id).exit_code == 0
    assert [line[0] for line in lines(path)] == ["failed"]
    assert "No task waits" in lemon("resume").stderr


@pytest.mark.parametrize("moves", ["refresh", "updates", "result"])
def test_an_end_that_is_seen_in_any_way_is_written_down(path, colour, moves):
    gateway = Gateway(seconds=1.0)
    gateway.clock.rule()
    client = colour.client(gateway, base_url="https://api.example.test", ledger=path)
    task = colour.call(client.images.submit, "a dog", model="midjourney")
    assert lines(path)[0][0] == "waiting"
    if moves == "updates":
        list(colour.call(task.updates))
    elif moves == "result":
        colour.call(task.result)
    else:
        gateway.clock.now += 60.0
        colour.call(task.refresh)
    assert lines(path)[0][0] == "completed"


@pytest.mark.parametrize("what", ["text", "foreign", "cell"])
@pytest.mark.parametrize("args", [("tasks",), ("resume",), ("task", "--last")])
def test_a_ledger_that_cannot_be_read_is_named(path, what, args):
    path.parent.mkdir()
    if what == "cell":
        Ledger(path).submitting("https://api.lemondata.cc", {"prompt": "x"}, 1, {})
    if what == "text":
        path.write_text("no database")
    else:
        change = {
            "foreign": "CREATE TABLE theirs (x)",
            "cell": "UPDATE calls SET paths = '{', task_id = 't', status = 'waiting'",
        }
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute(change[what])
    done = lemon(*args)
    assert (done.exit_code, "cannot be read" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_another_programs_database_is_not_written_to(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE theirs (x)")
    database.close()
    with pytest.warns(LemonWarning, match="it is a database of something else"):
        Ledger(path).submitting("https://api.example.test", {"prompt": "x"}, 1, {})
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    database.close()
