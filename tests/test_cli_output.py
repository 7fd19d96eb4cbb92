"""What is printed is text, and output never decides about work: full disks, closed streams, hostile servers."""

# ruff: noqa: F811 - fixtures are imported, and named again as arguments

from __future__ import annotations

import base64
import errno
import io
import json
import os
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from lemon_ext.cli._screen import Screen
from lemon_ext.cli._streams import NO_TEXT, Stream
from lemon_ext.emulator import KEY
from lemon_ext.testing import instant
from tests.cli import emulator, lemon, server, terminal  # noqa: F401 - fixtures
from tests.pictures import PNG

FAST = ("--poll-interval", "0.02")
HOSTILE = "\x1b]0;pwned\x07\x9b31m\u202e\x00 \udc80"

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


# ---- output that fails ----


def shell(command: str, redirect: str, folder: Path) -> subprocess.CompletedProcess[str]:

    line = f"{shlex.quote(sys.executable)} -m lemon_ext {command} {redirect}"
    return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True, check=False)


@needs_dev_full
@pytest.mark.parametrize(
    ("command", "redirect"),
    [
        ("generate aa bb cc -m midjourney --poll-interval 0.02", ">/dev/full"),
        pytest.param("generate aa bb cc -m midjourney --poll-interval 0.02", "2>/dev/full", marks=pytest.mark.slow),
        pytest.param("batch rows.txt -o . --json", ">/dev/full", marks=pytest.mark.slow),
        pytest.param("batch rows.txt -o .", ">&- 2>&- <&-", marks=pytest.mark.slow),
    ],
)
def test_output_that_cannot_be_written_ends_no_work(emulator, tmp_path, command, redirect):
    (tmp_path / "rows.txt").write_text("aa\nbb\ncc\n", encoding="utf-8")
    done = shell(command, redirect, tmp_path)
    assert done.returncode == 74
    assert len(list(tmp_path.glob("*.png"))) == emulator.charges == 3
    if redirect == ">/dev/full":
        first, *lines = done.stderr[done.stderr.index("lemon: warning") :].splitlines()
        assert first == "lemon: warning: stdout cannot be written: No space left on device. Its lines follow here."
        assert "aa.png" in lines or json.loads(lines[0])["status"] == "saved"


@needs_dev_full
def test_help_that_cannot_be_written_has_the_exit_code_of_output(tmp_path):
    assert shell("generate --help", ">/dev/full", tmp_path).returncode == 74


def test_ids_that_nobody_could_read_are_kept_in_a_file(emulator, monkeypatch, tmp_path):
    emulator.task_seconds = 3600.0
    with monkeypatch.context() as patched:
        patched.setattr(Screen, "unheard", True)
        assert lemon("generate", "a cat", "-m", "midjourney").exit_code == 5
    (handles,) = tmp_path.glob("tasks-*.json")
    emulator._jobs[emulator.ledger[0].task_id].plan.seconds = 0.0
    again = lemon("task", "-", "--wait", *FAST, input=handles.read_text(encoding="utf-8"))
    assert (again.exit_code, again.stdout, emulator.charges) == (0, "a-cat.png\n", 1)


@needs_dev_full
def test_an_error_keeps_its_own_exit_code_where_nobody_can_read_it(emulator, tmp_path):
    assert shell("generate 'a [fault:error_402]'", ">/dev/full 2>&1", tmp_path).returncode == 3


@pytest.mark.parametrize("args", [["generate", "-"], ["task", "-"], ["batch", "-", "-o", "out"]])
def test_a_closed_stdin_is_a_wrong_call(emulator, monkeypatch, args):
    monkeypatch.setattr("lemon_ext.cli._options.sys", SimpleNamespace(stdin=None))
    result = lemon(*args)
    assert (result.exit_code, result.stderr.splitlines()[0]) == (2, "lemon: stdin is closed.")


class _Broken(io.RawIOBase):
    def __init__(self, code: int) -> None:
        self.code = code

    def writable(self) -> bool:
        return True

    def write(self, _: Any) -> int:
        raise OSError(self.code, os.strerror(self.code))


def _closed() -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO())
    stream.close()
    return stream


# Python 3.13 tells of a stream that cannot be flushed when it is collected: that is the stream under test.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("stream", "lost"),
    [
        (lambda: io.TextIOWrapper(io.BufferedWriter(_Broken(errno.ENOSPC))), "No space left on device"),
        (lambda: io.TextIOWrapper(io.BufferedWriter(_Broken(errno.EIO))), "Input/output error"),
        (lambda: io.TextIOWrapper(io.BufferedWriter(_Broken(errno.EPIPE))), None),  # the reader wants no more
        (lambda: None, "it is closed"),
        (_closed, "it is closed"),
        (lambda: io.TextIOWrapper(io.BytesIO(), encoding="latin-1"), None),
        (lambda: io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), None),
        (io.StringIO, None),
    ],
    ids=["full", "hung-up", "reader-gone", "missing", "closed", "latin-1", "utf-8", "in-memory"],
)
def test_a_stream_takes_any_text_and_remembers_what_it_lost(stream, lost):
    under = stream()
    safe = Stream(under)
    for _ in range(2):
        safe.write("고양이 \udc80 \ud83d\n")
        safe.flush()
    assert safe.lost == lost
    assert not safe.isatty()
    if lost is None and isinstance(under, io.TextIOWrapper):
        with suppress(OSError):
            under.detach()


def test_a_drawing_that_fails_is_told_once_and_ends_no_work(emulator, terminal, monkeypatch):
    monkeypatch.setattr("lemon_ext.cli._draw.jobs_under_way", lambda *_: 1 // 0)
    emulator.task_seconds = 0.5
    result = lemon("generate", "a cat", "-m", "midjourney", *FAST)
    assert (result.exit_code, result.stdout) == (0, "a-cat.png\n")
    assert result.stderr.count("This terminal cannot be drawn on (ZeroDivisionError:") == 1


# ---- text ----


def test_no_line_holds_what_a_terminal_obeys(capsys):
    screen = Screen()
    with screen.session(as_json=False):
        screen.out(HOSTILE)
        screen.title(HOSTILE, HOSTILE)
        screen.json({"said": HOSTILE, "list": [float("nan"), {"deep": float("inf")}], "ratio": 0.5})
        for say in (screen.note, screen.warn, screen.error, screen.next, screen.done):
            say(HOSTILE)
    shown = capsys.readouterr()
    assert not NO_TEXT.search((shown.out + shown.err).replace("\x1b[1m", "").replace("\x1b[0m", ""))
    assert "lemon: \\x1b]0;pwned\\x07\\x9b31m\\u202e\\x00 \\udc80\n" in shown.err
    parsed = json.loads(shown.out.splitlines()[-1], parse_constant=lambda name: pytest.fail(name))
    assert parsed == {"said": HOSTILE, "list": [None, {"deep": None}], "ratio": 0.5}


@pytest.fixture
def hostile(httpserver: HTTPServer, monkeypatch, tmp_path) -> HTTPServer:
    """A server that is told what to say, and an empty folder as the current one."""
    monkeypatch.setenv("LEMONDATA_BASE_URL", httpserver.url_for(""))
    monkeypatch.setenv("LEMONDATA_API_KEY", KEY)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.chdir(tmp_path)
    return httpserver


def posts(server: HTTPServer, body: Any, status: int = 200) -> None:
    server.expect_request("/v1/images/generations", method="POST").respond_with_json(body, status)


def polls(server: HTTPServer, body: Any, status: int = 200, **headers: str) -> None:
    said = body if isinstance(body, str) else json.dumps(body)
    kind = "text/html" if isinstance(body, str) else "application/json"
    server.expect_request("/v1/images/generations/img_1").respond_with_data(said, status, headers, content_type=kind)


def test_a_servers_words_are_text_on_one_line(hostile):
    posts(hostile, {"error": {"message": f"no{HOSTILE}\n  next: rm -rf ~", "code": "x"}}, 400)
    result = lemon("generate", "a cat", "-m", "dall-e-2")
    assert result.exit_code == 3
    assert not NO_TEXT.search(result.stderr)
    assert len(result.stderr.splitlines()) == 1


def test_a_servers_status_and_progress_are_text_and_json(hostile):
    polls(hostile, {"task_id": "img_1", "status": f"busy{HOSTILE}", "data": [], "progress": float("nan")})
    for args in (["task", "img_1"], ["task", "img_1", "--json"]):
        result = lemon(*args)
        assert result.exit_code == 5
        assert not NO_TEXT.search(result.output)
        assert "NaN" not in result.output


# ---- what is paid for ----

TASK = {"task_id": "img_1", "status": "pending", "data": []}


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (400, {"error": {"message": "bad"}}, {}),
        (401, {"error": {"message": "expired"}}, {}),
        (402, {"error": {"message": "empty"}}, {}),
        (403, {"error": {"message": "no"}}, {}),
        (403, "<html><title>Just a moment...</title></html>", {}),
        (302, "", {"Location": "https://elsewhere.example.net/"}),
        (404, {"error": {"message": "no such task"}}, {}),
        (200, {"task_id": "img_1", "status": "completed", "data": []}, {}),
    ],
    ids=lambda value: str(value)[:12] if isinstance(value, int) else None,
)
def test_whatever_keeps_a_paid_task_from_us_names_the_command_that_fetches_it(hostile, status, body, headers):
    posts(hostile, TASK)
    polls(hostile, body, status, **headers)
    for args in (["generate", "a cat"], ["task", "img_1", "--wait"]):
        with instant():
            result = lemon(*args, "--json")
        shown = json.loads(result.stdout)
        lost = status == 404 and args[0] == "task"  # nobody knows whether there ever was such a task
        assert (result.exit_code, shown["exit_code"]) == ((3, 3) if lost else (5, 5))
        assert shown["next"] == (None if lost else "lemon task --wait -- img_1")


PICTURE = base64.b64encode(bytes(range(256)) * 2000).decode()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"result": {"b64_json": PICTURE}}, 6),
        ({"surprise": HOSTILE}, 6),
        ({**TASK, "status": "completed", "note": PICTURE}, 5),
    ],
    ids=["odd-envelope", "odd-words", "completed-without-images"],
)
def test_an_answer_that_is_paid_for_and_cannot_be_used_is_kept_in_a_file_and_named(hostile, answer, code):
    posts(hostile, answer)
    polls(hostile, answer)
    with instant():
        result = lemon("generate", "a cat", "--json")
    error = json.loads(result.stdout)["error"]
    assert result.exit_code == code
    assert json.loads(Path(error["answer_file"]).read_bytes()) == answer
    assert Path(error["answer_file"]).name.startswith("a-cat-answer-")
    assert f"The answer is kept in {error['answer_file']}." in result.stderr
    assert ".body" not in result.output


def test_images_that_came_with_a_failed_task_or_before_a_lost_one_are_saved_and_named(hostile):
    posts(hostile, TASK)
    hostile.expect_request("/a.png").respond_with_data(PNG, content_type="image/png")
    hostile.expect_request("/b.png").respond_with_data("gone", 410)
    for status, urls, code, kind in (
        ("failed", ["a"], 4, "TaskFailedError"),
        ("completed", ["a", "b"], 5, "DownloadError"),
    ):
        data = [{"url": hostile.url_for(f"/{name}.png")} for name in urls]
        polls(hostile, {**TASK, "status": status, "data": data, "error": "blocked"})
        with instant():
            result = lemon("generate", "a cat", "-n", str(len(urls)), "--json")
        shown = json.loads(result.stdout)
        assert (result.exit_code, shown["error"]["type"]) == (code, kind)
        (path,) = shown["paths"]
        assert Path(path).exists()
        with instant():
            assert path.replace("a-cat", "img_1") in lemon("task", "img_1", "--wait").stdout
        assert ".result" not in result.output
        hostile.clear()
        posts(hostile, TASK)
        hostile.expect_request("/a.png").respond_with_data(PNG, content_type="image/png")
        hostile.expect_request("/b.png").respond_with_data("gone", 410)


def test_images_that_cannot_be_saved_are_kept_with_their_handle(emulator, monkeypatch, tmp_path):
    """The only copy of inline Base64 is in memory; the folder is full, so it goes where temporary files go."""
    from lemon_ext.results import ImageResult

    async def full(self, folder, **more):
        raise OSError(errno.ENOSPC, "No space left on device", "a.png")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    make = lemon_mkstemp()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(elsewhere))
    monkeypatch.setattr("lemon_ext.cli._output.tempfile.mkstemp", lambda *args: make(*args, full=str(elsewhere)))
    with monkeypatch.context() as patched:
        patched.setattr(ImageResult, "asave", full)
        result = lemon("generate", "a cat", "--response-format", "b64_json", "--json")
    following = json.loads(result.stdout)["next"]
    command, _, path = following.partition(" < ")
    assert (result.exit_code, command, Path(path).parent) == (5, "lemon task --wait -- -", elsewhere)
    again = lemon(*command.split()[1:], input=Path(path).read_text(encoding="utf-8"))
    assert (again.exit_code, again.stdout) == (0, "a-cat.png\n")
    assert emulator.charges == 1


def lemon_mkstemp():
    """Return a mkstemp that finds every disk full but one."""
    from tempfile import mkstemp

    def make(suffix: str, prefix: str, folder: Any, *, full: str) -> tuple[int, str]:
        if str(folder) != full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return mkstemp(suffix, prefix, folder)

    return make


@pytest.mark.parametrize("task_id", ["--base-url=http://192.0.2.1", "-", "-o", "{odd}", "it's", "a b"])
def test_an_id_that_looks_like_an_option_is_an_id_in_the_next_command(hostile, task_id):
    posts(hostile, {**TASK, "task_id": task_id})
    hostile.expect_request("/v1/images/generations/" + task_id).respond_with_json({**TASK, "task_id": task_id})
    with instant():
        result = lemon("generate", "a cat", "--json", "--deadline", "9")
    following = shlex.split(json.loads(result.stdout)["next"])
    assert following[:4] == ["lemon", "task", "--wait", "--"]
    with instant():
        again = lemon(*following[1:3], "--json", "--deadline", "9", *following[3:])
    assert (again.exit_code, json.loads(again.stdout)["task_id"]) == (5, task_id)


def test_what_the_command_was_given_is_repeated_in_the_next_one(hostile):
    posts(hostile, TASK)
    polls(hostile, TASK)
    where = ["-o", "-odd folder", "--base-url", hostile.url_for(""), "--allow-private-images"]
    with instant():
        result = lemon("generate", "a cat", "--json", *where)
    assert shlex.split(json.loads(result.stdout)["next"]) == ["lemon", "task", "--wait", *where, "--", "img_1"]
