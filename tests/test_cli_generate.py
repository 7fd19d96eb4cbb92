"""`lemon generate` and `lemon task`: what is sent, saved, printed, and what to do next when something is wrong."""

# ruff: noqa: F811 - fixtures are imported, and named again as arguments

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from lemon_ext.testing import instant
from tests.cli import ctrl_c, emulator, lemon, process, server, terminal  # noqa: F401 - fixtures
from tests.pictures import PNG

FAST = ("--poll-interval", "0.02")
#: As a command to go on with repeats it.
REPEATED = "--poll-interval 0.02s"


def told(result):
    return json.loads(result.stdout)


# ---- generate ----


@pytest.mark.parametrize("model", ["dall-e-3", "midjourney"])
def test_a_prompt_becomes_a_picture_here_and_its_path_is_printed(emulator, model):
    result = lemon("generate", "a white cat", "-m", model, *FAST)
    assert (result.exit_code, result.stdout) == (0, "a-white-cat.png\n")
    assert Path("a-white-cat.png").read_bytes().startswith(b"\x89PNG")
    assert "saved 1 image after" in result.stderr
    assert emulator.charges == 1


def test_what_is_sent_is_what_was_given(emulator):
    args = ["-n", "2", "--size", "1024x1024", "--response_format", "b64_json", "--user", "me"]
    result = lemon("generate", "a cat", "-m", "flux-schnell", *args, "-o", "out")
    assert result.stdout.splitlines() == [str(Path("out/a-cat.png")), str(Path("out/a-cat-2.png"))]
    assert emulator.ledger[0].request == {
        "model": "flux-schnell",
        "prompt": "a cat",
        "n": 2,
        "size": "1024x1024",
        "response_format": "b64_json",
        "user": "me",
    }


def test_no_default_is_sent(emulator):
    lemon("generate", "a cat")
    assert emulator.ledger[0].request == {"model": "dall-e-3", "prompt": "a cat"}


def test_the_model_that_was_not_named_is_said(emulator, png):
    for args in (("generate", "a cat"), ("edit", "a cat", "--image", png), ("vary", "--image", png)):
        said = "lemon: No model was named, so it is dall-e-3.\n"
        assert lemon(*args, *FAST).stderr.startswith(said)
        assert said not in lemon(*args, *FAST, "-m", "dall-e-2").stderr
        assert said not in lemon(*args, *FAST, "--quiet").stderr
    assert "Without it: dall-e-3." in " ".join(lemon("generate", "--help").stdout.split())


def test_where_the_api_has_no_default_a_model_is_asked_for_once(emulator, png, monkeypatch):
    for place in ("lemon_client.model_table", "lemon_ext._request"):
        monkeypatch.setattr(f"{place}.DEFAULT_MODEL", None)
    for args in (("generate", "a", "b", "c d"), ("edit", "a cat", "--image", png), ("vary", "--image", png)):
        result = lemon(*args)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.count("name one with model=... or -m") == 1
    assert emulator.requests == []


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    return str(path)


@pytest.mark.parametrize(("said", "charges", "code"), [("n\n", 0, 2), ("y\n", 3, 0)])
def test_forgotten_quotes_are_asked_about_on_a_terminal(emulator, monkeypatch, said, charges, code):
    monkeypatch.setattr("lemon_ext.cli.generate.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    result = lemon("generate", "a", "white", "cat", input=said)
    assert "3 prompts of one word each, so 3 requests. Send them (or are quotes missing)?" in result.stderr
    assert (emulator.charges, result.exit_code) == (charges, code)


def test_a_dash_reads_the_prompt_from_stdin(emulator):
    assert lemon("generate", "-", input="a cat\nin two lines\n").exit_code == 0
    assert emulator.ledger[0].request["prompt"] == "a cat\nin two lines"


def test_json_holds_all_that_a_program_needs(emulator):
    result = lemon("generate", "a cat", "-m", "midjourney", "--json", *FAST)
    shown = told(result)
    assert shown.pop("created") > 0
    assert shown.pop("seconds") >= 0
    assert shown.pop("task_id") == emulator.ledger[0].task_id
    assert shown.pop("request_id").startswith("req_")
    assert shown.pop("billing_id") == f"txn_{emulator.ledger[0].task_id}"
    assert shown == {
        "note": None,
        "cost": None,
        "prompt": "a cat",
        "model": "midjourney",
        "paths": ["a-cat.png"],
        "revised_prompt": "a cat, as the emulator imagines it",
        "revised_prompts": ["a cat, as the emulator imagines it"],
    }


def test_one_failing_prompt_does_not_lose_the_others(emulator):
    result = lemon("generate", "one", "two [fault:task_failed]", "three [fault:error_402]", "-m", "midjourney", *FAST)
    assert (result.exit_code, result.stdout) == (4, "one.png\n")
    assert "lemon: 2/3: The task img_" in result.stderr
    assert "lemon: 3/3: HTTP 402: Your balance does not cover this request." in result.stderr


def test_all_prompts_are_checked_before_the_first_is_sent(emulator):
    result = lemon("generate", "one", " ", "three", "-n", "99", "--quality", "hd", "-m", "flux-pro")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "lemon: Nothing was sent. 3 things are wrong:\n"
        "  - n: 99 is out of range; allowed: 1 to 10\n"
        "  - quality: flux-pro does not take it; leave it out\n"
        "  - prompt 2: must not be empty\n"
    )
    assert emulator.requests == []


def test_what_is_wrong_is_told_as_json_too(emulator):
    shown = told(lemon("generate", "one", "-n", "99", "--json"))
    assert (shown["exit_code"], shown["next"], shown["error"]["type"]) == (2, None, "CapabilityError")
    assert shown["error"]["violations"] == [
        {"parameter": "n", "message": "99 is out of range; allowed: 1 to 10", "allowed": []}
    ]
    assert told(lemon("generate", "one", "--json", "--colour"))["error"]["type"] == "NoSuchOption"


def test_a_misspelt_model_is_warned_of_in_one_line(emulator):
    result = lemon("generate", "one", "two", "-m", "dalle-3", *FAST)
    assert result.exit_code == 0
    warned = [line for line in result.stderr.splitlines() if "warning" in line]
    assert warned == ["lemon: warning: The model 'dalle-3' is not a documented one. Did you mean 'dall-e-3'?"]


@pytest.mark.parametrize(("validation", "exit_code"), [("warn", 3), ("off", 3), ("strict", 2)])
def test_the_check_can_be_turned_off(emulator, validation, exit_code):
    result = lemon("generate", "a", "-n", "99", "--validation", validation)
    assert result.exit_code == exit_code
    assert ("It is sent all the same" in result.stderr) == (validation == "warn")


def test_fields_that_the_contract_does_not_know_are_sent_as_json_or_text(emulator):
    lemon("generate", "a", "--extra", "seed=42", "--extra", "mood=calm", "--extra", 'tags=["a"]')
    assert emulator.ledger[0].request == {"model": "dall-e-3", "prompt": "a", "seed": 42, "mood": "calm", "tags": ["a"]}


@pytest.mark.parametrize(
    ("pair", "message"),
    [("seed", "--extra takes KEY=JSON, not 'seed'."), ("n=2", "The contract knows 'n'; it has an option of its own.")],
)
def test_an_extra_field_that_makes_no_sense_is_refused(emulator, pair, message):
    result = lemon("generate", "a", "--extra", pair)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"lemon: {message}\n")


def test_a_prompt_that_is_no_text_is_a_wrong_call(emulator):
    result = lemon("generate", "a cat", "caf\udce9")
    assert result.exit_code == 2
    assert result.stderr.startswith("lemon: The request holds half a character (a lone surrogate), so nothing was sent")
    assert emulator.requests == []


# ---- where to ----


def test_a_file_can_be_named_and_gets_the_suffix_of_its_bytes(emulator):
    assert lemon("generate", "a", "-o", "cat.png").stdout == "cat.png\n"
    assert lemon("generate", "a", "-o", "cat.webp").stdout == "a.png\n"  # cat.png is taken, and a paid image is kept
    assert lemon("generate", "a", "-o", "cat.png", "--overwrite").stdout == "cat.png\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-o", "there.png"], "there.png exists. Give another name, or add --overwrite."),
        (["-o", "new.png", "-n", "2"], "new.png is one file for 2 images. Give a folder with -o."),
        (["-o", "folder", "--overwrite"], "--overwrite goes with -o FILE; in a folder, free names are picked."),
        (["-o", "there.png/folder"], "Nothing can be saved in there.png/folder: Not a directory. Nothing was sent."),
    ],
)
def test_a_place_that_will_not_do_is_refused_before_anything_is_sent(emulator, args, message):
    Path("there.png").write_bytes(b"mine")
    result = lemon("generate", "a", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"lemon: {message}\n")
    assert emulator.requests == []
    assert Path("there.png").read_bytes() == b"mine"


# ---- key and address ----


def test_a_missing_key_is_named(emulator, monkeypatch):
    monkeypatch.delenv("LEMONDATA_API_KEY")
    result = lemon("generate", "a")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == ("lemon: No API key: set LEMONDATA_API_KEY. To try things without one, add --emulator.\n")


def test_a_wrong_address_is_a_wrong_call(emulator):
    result = lemon("generate", "a", "--base-url", "api.lemondata.cc")
    assert result.exit_code == 2
    assert result.stderr.startswith("lemon: base_url must be an address like https://")


def test_the_emulator_needs_neither_key_nor_proxy(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    result = lemon("generate", "a cat", "--emulator")
    assert (result.exit_code, result.stdout) == (0, "a-cat.png\n")
    assert "no_proxy" not in os.environ
    result = lemon("generate", "a cat", "--emulator", "--base-url", "http://127.0.0.1:9")
    assert result.stderr.startswith("lemon: --emulator and --base-url exclude each other.\n")


# ---- exit codes, and the next step ----


@pytest.mark.parametrize(
    ("fault", "exit_code", "type_"),
    [
        ("error_401", 3, "AuthenticationError"),
        ("model_not_found", 3, "BadRequestError"),
        ("error_503_final", 3, "ServerError"),
        ("task_failed", 4, "TaskFailedError"),
        ("task_failed_object", 4, "ModerationTaskError"),
        ("drop_after", 6, "SubmissionUncertainError"),
        ("html_502", 6, "SubmissionUncertainError"),
        ("malformed_json", 6, "UnreadableSubmissionError"),
    ],
)
def test_what_went_wrong_is_an_exit_code_and_nothing_is_sent_twice(emulator, fault, exit_code, type_):
    result = lemon("generate", f"a [fault:{fault}:*]", "--json", *FAST)
    assert result.exit_code == exit_code
    shown = told(result)
    assert (shown["exit_code"], shown["error"]["type"], shown["next"]) == (exit_code, type_, None)
    assert len([one for one in emulator.requests if one.method == "POST"]) == 1


def test_a_task_that_still_runs_names_the_command_to_go_on_with(emulator):
    emulator.task_seconds = 60.0
    result = lemon("generate", "a", "-m", "midjourney", "--deadline", "0.2", "-o", "my pictures", "--json", *FAST)
    task_id = emulator.ledger[0].task_id
    assert result.exit_code == 5
    assert told(result)["next"] == f"lemon task --wait -o 'my pictures' {REPEATED} -- {task_id}"
    assert told(result)["task_id"] == task_id
    assert f"  next: lemon task --wait -o 'my pictures' {REPEATED} -- {task_id}\n" in result.stderr
    assert "images.task" not in result.stderr
    emulator.task_seconds = 0.02
    emulator._jobs[task_id].plan.seconds = 0.0
    assert lemon("task", task_id, "--wait", "-o", "my pictures", *FAST).stdout.startswith("my pictures")
    assert emulator.charges == 1


def test_an_image_that_cannot_be_fetched_can_be_fetched_again(emulator):
    emulator.inject("image_page", times=None)
    with instant():  # it is tried for some seconds
        result = lemon("generate", "a cat", "--json")
    assert (result.exit_code, told(result)["error"]["type"]) == (5, "DownloadError")
    command = told(result)["next"]
    assert command.startswith("lemon task --wait -- '{")
    charges = emulator.charges
    emulator._armed.clear()
    again = lemon("task", command.split("'")[1], "--wait")
    assert (again.exit_code, again.stdout) == (0, "a-cat.png\n")
    assert emulator.charges == charges == 1


def test_the_address_is_repeated_in_the_next_command(emulator, server, monkeypatch):
    monkeypatch.delenv("LEMONDATA_BASE_URL")
    emulator.task_seconds = 60.0
    args = ["-m", "midjourney", "--deadline", "0.1", "--base-url", server.url, "--json"]
    command = told(lemon("generate", "a", *args, *FAST))["next"]
    assert command.startswith(f"lemon task --wait {REPEATED} --base-url {server.url} -- img_")


@pytest.mark.parametrize(
    ("given", "repeated"),
    [
        (["--deadline", "20m", "--poll-interval", "1.5"], " --deadline 20m --poll-interval 1.5s"),
        (["--deadline", "10", "--allow-private-images"], " --allow-private-images"),  # shorter than usual: it passed
    ],
)
def test_what_follows_waits_as_the_command_did(emulator, given, repeated):
    emulator.task_seconds = 60.0
    task_id = lemon("generate", "a cat", "-m", "flux-pro", "--no-wait").stdout.strip()
    assert lemon("task", task_id, *given).stderr == f"  next: lemon task --wait{repeated} -- {task_id}\n"


# ---- without waiting ----


def test_no_wait_prints_the_id_and_task_fetches_it(emulator):
    emulator.task_seconds = 60.0
    task_id = lemon("generate", "a cat", "-m", "flux-pro", "--no-wait").stdout.strip()
    assert task_id == emulator.ledger[0].task_id
    looked = lemon("task", task_id)
    assert (looked.exit_code, looked.stdout) == (5, f"{task_id}  pending\n")
    assert looked.stderr == f"  next: lemon task --wait -- {task_id}\n"
    assert told(lemon("task", task_id, "--json")) == {
        "model": None,
        "task_id": task_id,
        "status": "pending",
        "progress": None,
        "next": f"lemon task --wait -- {task_id}",
    }
    emulator._jobs[task_id].plan.seconds = 0.0
    assert lemon("task", task_id).stdout == f"{task_id}.png\n"
    assert emulator.charges == 1


def test_no_wait_saves_what_came_at_once(emulator):
    assert lemon("generate", "a cat", "--no-wait").stdout == "a-cat.png\n"


def test_handles_go_through_a_pipe_whatever_the_answer_was(emulator):
    args = ("generate", "a cat", "--no-wait", "--json", "-m")
    handles = lemon(*args, "flux-pro").stdout + lemon(*args, "dall-e-3").stdout
    assert [json.loads(line)["kind"] for line in handles.splitlines()] == ["lemon.task", "lemon.task"]
    result = lemon("task", "-", "--wait", *FAST, input=handles)
    assert (result.exit_code, sorted(result.stdout.split())) == (0, ["a-cat-2.png", "a-cat.png"])
    assert emulator.charges == 2


def test_a_task_that_nobody_knows_is_refused(emulator):
    result = lemon("task", "img_nope", "--wait")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("lemon: The API does not know the task img_nope")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["{}"], "'{}' is not the JSON of a handle: Not a task"),
        (["{"], "'{' is not the JSON of a handle:"),
        ([".."], "'..' is not a task id"),
        (["-"], "There is no task on stdin."),
    ],
)
def test_what_is_no_task_is_refused(emulator, args, message):
    result = lemon("task", *args, input="\n")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"lemon: {message}")


# ---- interrupted ----


def test_ctrl_c_says_how_to_get_at_what_is_paid_for(emulator, tmp_path):
    emulator.task_seconds = 60.0
    with process("generate", "a", "-m", "midjourney", "-o", "out", "--json", cwd=tmp_path) as running:
        assert running.stderr is not None
        task_id = running.stderr.readline().split()[1].rstrip(":")
        running.send_signal(signal.SIGINT)
        shown, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said == (
        f"lemon: Interrupted. 1 task is paid for and not fetched yet.\n  next: lemon task --wait -o out -- {task_id}\n"
    )
    assert json.loads(shown)["next"] == f"lemon task --wait -o out -- {task_id}"
    assert emulator.charges == 1


def test_ctrl_c_waits_for_what_is_being_sent_and_sends_no_more(emulator, monkeypatch):
    monkeypatch.setattr("lemon_ext.cli._jobs.AT_ONCE", 1)
    emulator.latency = 0.5
    with ctrl_c(when=lambda: emulator.charges == 1):
        result = lemon("generate", "a", "b", "c", "--json")
    saved, *left = map(json.loads, result.stdout.splitlines())
    assert (result.exit_code, saved["paths"], emulator.charges) == (130, ["a.png"], 1)
    assert [(one["prompt"], one["error"]["message"], one["next"]) for one in left] == [
        ("b", "Interrupted. It was not sent.", None),
        ("c", "Interrupted. It was not sent.", None),
    ]
    assert "Stopping. What is being sent or saved is waited for; Ctrl-C again ends at once." in result.stderr
    assert "lemon: Interrupted. 2 requests were not sent (2/3, 3/3).\n" in result.stderr


def test_ctrl_c_again_ends_at_once_and_says_what_became_of_each_prompt(emulator, monkeypatch):
    monkeypatch.setattr("lemon_ext.cli._jobs.AT_ONCE", 2)
    emulator.latency = 20.0
    with ctrl_c(when=lambda: emulator.charges == 2, times=2):
        result = lemon("generate", "a", "b", "c")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.splitlines()[-1] == (
        "lemon: Interrupted. 2 requests may have been accepted and billed (1/3, 2/3): ask "
        "`lemon reconcile`, or look at your account, before you send again. 1 request was not sent (3/3)."
    )


def test_ctrl_c_names_every_task_that_goes_on(emulator):
    emulator.task_seconds = 60.0
    emulator.latency = 0.05
    with ctrl_c(when=lambda: sum(one.method == "GET" for one in emulator.requests) > 3):
        result = lemon("generate", "a", "b", "-m", "flux-pro", *FAST)
    ids = [charge.task_id for charge in emulator.ledger]
    assert result.exit_code == 130
    assert "2 tasks are paid for and not fetched yet (1/2, 2/2)." in result.stderr
    assert set(result.stderr.splitlines()[-1].split(" -- ")[1].split()) == set(ids)


def test_a_bug_is_raised_after_the_other_prompts_have_ended(emulator, monkeypatch):
    from lemon_ext.results import ImageResult

    save = ImageResult.asave

    async def break_once(self, folder, **more):
        if self.prompt == "a":
            raise RuntimeError("a bug")
        return await save(self, folder, **more)

    monkeypatch.setattr(ImageResult, "asave", break_once)
    with pytest.raises(RuntimeError, match="a bug"):
        lemon("generate", "a", "b")
    assert Path("b.png").exists()


def test_a_full_disk_leaves_the_command_to_fetch_it_again(emulator, monkeypatch):
    from lemon_ext.results import ImageResult

    async def full(self, folder, **more):
        raise OSError(28, "No space left on device", "a.png")

    monkeypatch.setattr(ImageResult, "asave", full)
    result = lemon("generate", "a", "-m", "flux-pro", *FAST)
    assert result.exit_code == 5
    task_id = emulator.ledger[0].task_id
    assert result.stderr.endswith(
        f"lemon: a.png: No space left on device.\n  next: lemon task --wait {REPEATED} -- {task_id}\n"
    )


# ---- on a terminal ----


def test_on_a_terminal_what_is_under_way_is_drawn_and_what_is_done_stays(emulator, terminal):
    result = lemon("generate", "a white cat", "two [fault:error_402]", "-m", "dalle-3", "--extra", "x=1", *FAST)
    assert (result.exit_code, result.stdout) == (3, "a-white-cat.png\n")
    assert "a white cat  dalle-3  " in result.stderr
    assert "warning: " in result.stderr
    assert "2/2: HTTP 402" in result.stderr


def test_progress_is_told_when_the_status_changes(emulator):
    emulator.task_seconds = 0.3
    told = lemon("generate", "a", "b", "-m", "midjourney", "--poll-interval", "0.05").stderr
    first, second = (charge.task_id for charge in emulator.ledger)
    for task_id in (first, second):
        lines = [text for text in told.splitlines() if task_id in text]
        assert [text.split(": ")[2].split(" after")[0] for text in lines] == ["pending", "processing", "saved 1 image"]
