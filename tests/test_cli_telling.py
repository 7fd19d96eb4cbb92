"""What a command says and shows beside its results: `--quiet`, `--debug`, `--open`, previews, and completion."""

# ruff: noqa: F811 - fixtures are imported, and named again as arguments

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from lemon_ext.cli import _preview, _viewer
from tests.children import child
from tests.cli import emulator, lemon, server, terminal  # noqa: F401 - fixtures

FAST = ("--poll-interval", "0.02")


# ---- quiet ----


@pytest.mark.parametrize("flag", ["-q", "--quiet"])
def test_quiet_shows_results_alone(emulator: Any, flag: str) -> None:
    result = lemon("generate", "a cat", "a dog", "-m", "flux-pro", *FAST, flag)
    assert (result.exit_code, result.stderr) == (0, "")
    assert sorted(result.stdout.split()) == ["a-cat.png", "a-dog.png"]
    assert lemon("generate", "a cow", "-m", "flux-pro", *FAST).stderr != ""  # the next run is not quiet


def test_quiet_draws_nothing(emulator: Any, terminal: None) -> None:
    assert lemon("generate", "a cat", "-m", "flux-pro", *FAST, "-q").stderr == ""


def test_quiet_still_tells_errors_and_how_to_go_on(emulator: Any) -> None:
    emulator.task_seconds = 60.0
    task_id = lemon("generate", "a cat", "-m", "flux-pro", "--no-wait").stdout.strip()
    result = lemon("task", task_id, "-q")
    assert (result.exit_code, result.stderr) == (5, f"  next: lemon task --wait -- {task_id}\n")
    assert lemon("task", "img_0", "-q").stderr.startswith("lemon: ")


def test_a_batch_is_quiet_too(emulator: Any) -> None:
    Path("rows.txt").write_text("a cat\n")
    result = lemon("batch", "rows.txt", "-o", "out", "-m", "flux-pro", "-q", *FAST)
    assert (result.exit_code, result.stderr) == (0, "")


# ---- debug ----


@pytest.mark.parametrize("flag", ["-v", "--debug"])
def test_debug_logs_requests_without_what_is_secret(emulator: Any, monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    monkeypatch.setenv("LEMONDATA_API_KEY", "sk-secret-0123456789")
    before = logging.getLogger("lemon_ext").level, [*logging.getLogger("lemon_ext").handlers]
    result = lemon("generate", "a hidden prompt", "-m", "flux-pro", "-o", "x.png", *FAST, flag)
    logged = [line for line in result.stderr.splitlines() if line.startswith("lemon: debug: ")]
    number = r"\d+\.\d\d s"
    for line, pattern in zip((logged[0], logged[1], logged[-1]), (
        rf"POST /v1/images/generations -> 200 in {number}, request req_\w+",
        rf"GET /v1/\S+img_\w+ -> 200 in {number}, request req_\w+",
        rf"GET image -> 200 in {number}",
    ), strict=True):  # fmt: skip
        assert re.fullmatch(pattern, line.removeprefix("lemon: debug: ")), line
    assert not any(word in result.stderr for word in ("sk-secret", "hidden prompt", "http://"))
    assert (logging.getLogger("lemon_ext").level, logging.getLogger("lemon_ext").handlers) == before


def test_debug_logs_requests_that_fail(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEMONDATA_BASE_URL", "http://127.0.0.1:1")
    result = lemon("models", "--live", "--deadline", "1", "-v")
    assert result.exit_code == 3
    assert "lemon: debug: GET /v1/models -> ConnectError in " in result.stderr


# ---- open ----


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A system with a viewer. Returns the file that tells what it was given."""
    program = tmp_path / "bin" / ("open" if sys.platform == "darwin" else "xdg-open")
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/seen\necho noise; echo noise >&2\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setenv("DISPLAY", ":7")
    return tmp_path / "seen"


def seen(file: Path, lines: int) -> list[str]:
    end = time.monotonic() + 60
    while time.monotonic() < end and (not file.exists() or file.read_text().count("\n") < lines):
        time.sleep(0.01)
    return sorted(file.read_text().splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows opens files by itself")
def test_what_is_saved_is_opened(emulator: Any, viewer: Path, tmp_path: Path) -> None:
    result = lemon("generate", "a cat", "-m", "flux-pro", "-n", "2", "-o", "-odd", "--open", *FAST)
    assert (result.exit_code, "noise" in result.output) == (0, False)
    assert seen(viewer, 2) == [str(tmp_path / "-odd" / name) for name in ("a-cat-2.png", "a-cat.png")]
    viewer.unlink()
    assert lemon("generate", *"abcde", "-m", "dall-e-3", "-o", "many", "--open").exit_code == 0
    assert seen(viewer, 1) == [str(tmp_path / "many")]  # rather than many windows


@pytest.mark.skipif(sys.platform == "win32", reason="Windows opens files by itself")
def test_the_gallery_is_opened(emulator: Any, viewer: Path, tmp_path: Path) -> None:
    Path("rows.txt").write_text("a cat\n")
    lemon("batch", "rows.txt", "-o", "out", "-m", "dall-e-3")
    assert lemon("gallery", "out", "--open").exit_code == 0
    assert seen(viewer, 1) == [str(tmp_path / "out" / "index.html")]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there always is a viewer")
@pytest.mark.parametrize("why", ["no display", "no xdg-open"])
def test_without_a_viewer_the_pictures_are_saved_all_the_same(
    emulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, why: str
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if why == "no xdg-open":
        monkeypatch.setenv("DISPLAY", ":7")
        monkeypatch.setenv("PATH", str(tmp_path))
    result = lemon("generate", "a cat", "-m", "dall-e-3", "--open")
    assert (result.exit_code, Path("a-cat.png").exists()) == (0, True)
    assert "lemon: warning: There is no viewer here that could open a-cat.png." in result.stderr


def test_nothing_is_opened_where_nothing_is_saved(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_viewer, "_is_opened", lambda path: pytest.fail(str(path)))
    assert lemon("generate", "a cat", "-m", "flux-pro", "--no-wait", "--open").exit_code == 0


# ---- completion ----


def completed(line: str, begun: str = "") -> list[str]:
    words = line.split()
    env = {**os.environ, "_LEMON_COMPLETE": "bash_complete", "COMP_WORDS": f"{line} {begun}".rstrip()}
    done = subprocess.run(
        [sys.executable, "-m", "lemon_ext"], env={**env, "COMP_CWORD": str(len(words))}, capture_output=True, check=True
    )
    return [word.partition(",")[2] for word in done.stdout.decode().split()]


@pytest.mark.parametrize(
    ("line", "begun", "offered"),
    [
        ("lemon models", "dall", ["dall-e-3", "dall-e-2"]),
        ("lemon emulator --fault", "error_503", ["error_503", "error_503_retryable", "error_503_final"]),
        ("lemon emulator --fault", "li", ["list"]),
        ("lemon generate x -m dall-e-3 --size", "", ["1024x1024", "1792x1024", "1024x1792"]),
        ("lemon generate x -m flux-pro --size", "10", ["1024x1024", "1024x1792"]),
        ("lemon generate x -m flux-pro --quality", "", []),  # it takes none
        ("lemon generate x -m brand-new --size", "1792", ["1792x1024"]),
        ("lemon docs", "comm", ["command-line"]),
    ],
)  # fmt: skip
def test_words_are_completed(line: str, begun: str, offered: list[str]) -> None:
    assert completed(line, begun) == offered


BASH = """eval "$(_LEMON_COMPLETE=bash_source lemon)"; COMP_WORDS=(lemon models dall); COMP_CWORD=2
_lemon_completion lemon dall models; printf '%s\\n' "${COMPREPLY[@]}\""""
FISH = '_LEMON_COMPLETE=fish_source lemon | source; complete -C "lemon models dall"'
ZSH = 'compdef() { echo "$@"; }; eval "$(_LEMON_COMPLETE=zsh_source lemon)"; whence -w _lemon_completion'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "script", "said"),
    [("bash", BASH, {"dall-e-3", "dall-e-2"}), ("fish", FISH, {"dall-e-3", "dall-e-2"}),
     ("zsh", ZSH, {"_lemon_completion", "lemon", "_lemon_completion:", "function"})],
)  # fmt: skip
def test_the_shells_take_what_the_manual_tells_them(tmp_path: Path, shell: str, script: str, said: set[str]) -> None:
    if (program := shutil.which(shell)) is None:
        pytest.skip(f"there is no {shell} on this machine")
    (tmp_path / "lemon").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lemon_ext "$@"\n')
    (tmp_path / "lemon").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run([program, "-c", script], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert set(done.stdout.split()) == said, done.stderr


# ---- pictures in the terminal ----


class Drawn:
    """What stands for the library's picture. Rich prints it."""

    seen: ClassVar[list[str]] = []
    __module__ = "textual_image.renderable.sixel"

    def __init__(self, path: Path, width: str, height: str) -> None:
        assert (width, height) == ("auto", "auto")
        self.path = path

    def __rich__(self) -> str:
        self.seen.append(self.path.name)
        return f"<picture {self.path.name}>"


@pytest.fixture
def graphics(monkeypatch: pytest.MonkeyPatch) -> type[Drawn]:
    """A terminal that can show pictures."""
    kind = type("Image", (Drawn,), {"seen": [], "__module__": Drawn.__module__})
    monkeypatch.setitem(sys.modules, "textual_image.renderable", SimpleNamespace(Image=kind))
    monkeypatch.setattr(_preview, "_is_possible", lambda: True)
    monkeypatch.setenv("COLORTERM", "truecolor")
    return kind


def test_pictures_are_shown_once_all_are_saved(emulator: Any, graphics: type[Drawn]) -> None:
    result = lemon("generate", "a cat", "-m", "dall-e-3")
    assert (result.exit_code, result.stdout) == (0, "a-cat.png\n<picture a-cat.png>\n")
    result = lemon("generate", *(f"dog {n}" for n in range(6)), "-m", "dall-e-3")
    shown = result.stdout.splitlines()[6:]
    assert shown == [line for name in graphics.seen[1:] for line in (name, f"<picture {name}>")]
    assert len(graphics.seen) == 1 + _preview.MOST


def test_no_preview_shows_none(emulator: Any, graphics: type[Drawn]) -> None:
    for options in (["--no-preview"], ["--no-wait", "-m", "flux-pro"]):
        assert lemon("generate", "a cat", "-m", "dall-e-3", *options).exit_code == 0
    assert graphics.seen == []


def test_blocks_in_few_colours_are_not_shown(
    emulator: Any, graphics: type[Drawn], monkeypatch: pytest.MonkeyPatch
) -> None:
    graphics.__module__ = "textual_image.renderable.halfcell"
    monkeypatch.setenv("COLORTERM", "")
    monkeypatch.setenv("TERM", "xterm")
    lemon("generate", "a cat", "-m", "dall-e-3")
    assert graphics.seen == []


@pytest.mark.parametrize("where", ["at its import", "while it draws"])
def test_a_picture_that_cannot_be_shown_is_saved_all_the_same(
    emulator: Any, graphics: type[Drawn], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    if where == "at its import":
        monkeypatch.setattr(_preview, "import_module", fails)
    else:
        monkeypatch.setattr(graphics, "__rich__", fails)
    result = lemon("generate", "a cat", "-m", "dall-e-3")
    assert (result.exit_code, result.stdout) == (0, "a-cat.png\n")
    assert result.stderr.splitlines()[-1] == "lemon: The picture cannot be shown here (ZeroDivisionError)."


@pytest.mark.parametrize(
    ("what", "possible"),
    [("nothing", True), ("as_json", False), ("quiet", False), ("TERM=dumb", False), ("NO_COLOR=1", False),
     ("__stdin__", False), ("__stdout__", False), ("stdout", False), ("the extra", False)],
)  # fmt: skip
def test_only_a_terminal_is_shown_pictures(monkeypatch: pytest.MonkeyPatch, what: str, possible: bool) -> None:
    """``what`` is in the way."""
    for name in ("__stdin__", "__stdout__", "stdout"):
        monkeypatch.setattr(_preview.sys, name, SimpleNamespace(isatty=lambda name=name: name != what))
    for name in ("as_json", "quiet"):
        monkeypatch.setattr(_preview.screen, name, name == what)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if "=" in what:
        monkeypatch.setenv(*what.split("="))
    monkeypatch.setattr(_preview, "find_spec", lambda _: None if what == "the extra" else object())
    assert _preview._is_possible() == possible


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals on this system")
@pytest.mark.slow
def test_a_picture_is_drawn_on_a_real_terminal(emulator: Any, tmp_path: Path) -> None:
    import pty

    (tmp_path / "textual_image").mkdir()
    (tmp_path / "textual_image" / "__init__.py").touch()
    (tmp_path / "textual_image" / "renderable.py").write_text(
        "class Image:\n    def __init__(self, path, **_): pass\n    def __rich__(self): return 'PICTURE'\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])}
    env |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    env.pop("NO_COLOR", None)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "lemon_ext", "generate", "a cat", "-m", "dall-e-3"]
    with child(*command, env=env, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL) as running:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # the end of a pseudo-terminal
            while piece := os.read(ours, 4096):
                seen += piece
    os.close(ours)
    assert running.returncode == 0
    assert seen.split() == [b"a-cat.png", b"PICTURE"]


# ---- advice is of the command line ----


@pytest.mark.parametrize(
    ("fault", "says", "not_said"),
    [
        ("error_429", "Send fewer requests.", "requests_per_minute"),
        ("drop_after", "ask `lemon reconcile`, or look at your account, before sending it again", "reconcile()"),
    ],
)
def test_what_is_advised_can_be_done_on_the_command_line(emulator: Any, fault: str, says: str, not_said: str) -> None:
    emulator.inject(fault, on="submit", times=None, **({"seconds": 0.01} if fault == "error_429" else {}))
    told = lemon("generate", "a cat", "-m", "flux-pro", *FAST, "--deadline", "5").stderr
    assert says in told
    assert not_said not in told
