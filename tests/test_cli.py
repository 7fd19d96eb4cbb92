"""The command line as a whole: its help, its imports, its exit codes, its streams."""

# ruff: noqa: F811 - fixtures are imported, and named again as arguments

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from io import StringIO
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from lemon_ext import errors
from lemon_ext._words import words
from lemon_ext.cli import _app, _table, docs, exit_code, models
from lemon_ext.cli._app import COMMANDS, app
from lemon_ext.cli._contract import ApiCommand, api_fields, api_options
from lemon_ext.cli._options import Duration
from lemon_ext.emulator import KEY
from lemon_ext.rows import RowsError
from tests.children import child
from tests.cli import emulator, lemon, process, server  # noqa: F401 - fixtures

# ---- help ----


def test_the_help_names_every_command_and_costs_click_alone():
    code = (
        "import sys; from lemon_ext.cli import main; sys.argv = ['lemon', '--help']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print('LOADED', *sorted({'rich', 'httpx', 'attrs', 'lemon_client', 'anyio', 'ssl'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1].split() == ["LOADED"]
    assert all(f"\n  {name}" in shown for name in COMMANDS)


@pytest.mark.parametrize("args", [["models"], ["models", "dall-e-3"], ["generate", "--help"]])
def test_the_table_is_shown_without_the_http_library(args):
    code = (
        f"import sys; from lemon_ext.cli import main; sys.argv = ['lemon', *{args!r}]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print('LOADED', *sorted({'rich', 'httpx', 'anyio', 'ssl'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1].split() == ["LOADED"]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_itself_says(name):
    command = app.get_command(click.Context(app), name)
    assert " ".join(command.help.split()).startswith(COMMANDS[name])
    assert lemon(name, "--help").exit_code == 0


def test_the_version_is_told():
    assert lemon("--version").stdout == "lemon 0.1.0\n"


def test_without_a_command_the_help_is_shown():
    result = lemon()
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: lemon ")


@pytest.mark.parametrize(
    "lacking",
    [
        "sys.modules['click'] = None",
        "import click; del click.exceptions.NoArgsIsHelpError",
        "sys.modules['rich'] = None",
    ],
    ids=["no click", "click 8.1", "no rich"],
)
def test_without_the_extra_it_says_what_to_install(lacking):
    code = f"import sys; from lemon_ext.cli import main; {lacking}; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "lemon: The command line is an extra. Install it with: pip install 'lemon-ext[cli]'\n"


@pytest.mark.parametrize(
    ("args", "message", "following"),
    [
        (["generat"], "There is no command 'generat'. Did you mean 'generate'?", "lemon --help"),
        (
            ["emulator", "--port", "x"],
            "Invalid value for '--port': 'x' is not a valid integer range.",
            "lemon emulator --help",
        ),
        (["generate"], "Missing argument 'PROMPT...'.", "lemon generate --help"),
        (
            ["generate", "x", "--timeout", "9"],
            "No such option '--timeout'. Did you mean '--deadline'?",
            "lemon generate --help",
        ),
        (
            ["batch", "x", "--verbose"],
            "No such option '--verbose'. Did you mean '--debug'?",
            "lemon batch --help",
        ),
        (
            ["tasks", "--limit", "9"],
            "No such option '--limit'. Did you mean '--number'?",
            "lemon tasks --help",
        ),
        (
            ["generate", "x", "--api-key", "sk-secret"],
            "No such option '--api-key'. The key is read from LEMONDATA_API_KEY.",
            "lemon generate --help",
        ),
        (["models", "a", "b"], "Got unexpected extra argument (b)", "lemon models --help"),
    ],
)
def test_a_wrong_call_is_told_in_two_lines(args, message, following):
    result = lemon(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"lemon: {message}\n  next: {following}\n"


# ---- options from the contract ----


def test_a_new_parameter_of_the_contract_is_an_option_of_its_type(monkeypatch):
    from lemon_client import model_table

    monkeypatch.setattr(
        model_table,
        "PARAMETERS",
        {
            "prompt": {"type": "string"},
            "n": {"type": "integer", "minimum": 1, "maximum": 4},
            "async": {"type": "boolean", "description": "Answer with a task."},
            "guidance_scale": {"type": "number"},
            "image_urls": {"type": "array", "items": {"type": "string"}},
            "output": {"type": "string", "enum": ("png", "webp"), "default": "png"},
        },
    )

    @click.command(cls=ApiCommand)
    @api_options
    @click.option("-o", "--output", help="Where to.")
    def command(output: str, **options: Any) -> None:
        click.echo(json.dumps([output, api_fields(options)]))

    args = ["-n2", "--async", "--guidance_scale=7.5", "--image-urls=a", "--image-urls=b", "--api-output=webp", "-ohere"]
    shown = CliRunner().invoke(command, args, token_normalize_func=lambda name: name.replace("_", "-")).stdout
    assert json.loads(shown) == [
        "here",
        {"n": 2, "async": True, "guidance_scale": 7.5, "image_urls": ["a", "b"], "output": "webp"},
    ]
    assert json.loads(CliRunner().invoke(command, ["--no-async"]).stdout) == [None, {"async": False}]
    shown = " ".join(CliRunner().invoke(command, ["--help"]).stdout.split())
    assert "--async / --no-async Answer with a task." in shown
    assert "--api-output [png|webp] The server's default is png." in shown
    assert "-n N [1 to 4]" in shown


def test_no_parameter_takes_a_flag_that_means_something_else(monkeypatch):
    """Found with parameters called `help` and `h`. Others of the kind: a short flag, one that turns off, a twin."""
    from lemon_client import model_table

    words = {name: {"type": "string"} for name in ("prompt", "help", "h", "o", "gallery", "no_style")}
    switches = {name: {"type": "boolean"} for name in ("style", "quiet")}
    monkeypatch.setattr(model_table, "PARAMETERS", {**words, **switches})

    @click.command(cls=ApiCommand, context_settings={"help_option_names": ["-h", "--help"]})
    @api_options
    @click.option("-o", "--output")
    @click.option("--gallery/--no-gallery", default=None)
    @click.option("--no-quiet", is_flag=True)
    def command(output: str, gallery: bool, no_quiet: bool, **options: Any) -> None:
        click.echo(json.dumps([output, gallery, no_quiet, api_fields(options)]))

    own = ["-o", "out", "--no-gallery", "--no-quiet"]
    api = ["--api-help=a", "--h=b", "--o=c", "--api-gallery=d", "--api-no-style=e", "--no-style", "--api-quiet"]
    given = {"help": "a", "h": "b", "o": "c", "gallery": "d", "no_style": "e", "style": False, "quiet": True}
    assert json.loads(CliRunner().invoke(command, [*own, *api]).stdout) == ["out", False, True, given]
    assert CliRunner().invoke(command, ["-h"]).stdout == CliRunner().invoke(command, ["--help"]).stdout != ""


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (False, "not taken"),
        ({"type": "string"}, "a string"),
        ({"enum": ("a", "b")}, "a, b"),
        ({"type": "string", "known": ("1x1",), "pattern": "x"}, "of the form x, for example 1x1"),
        ({"type": "integer", "minimum": 1, "maximum": 4}, "1 to 4"),
        ({"type": "integer", "minimum": 1}, "at least 1"),
        ({"type": "number", "maximum": 0.5}, "up to 0.5"),
        ({"type": "string", "maxLength": 4000}, "up to 4,000 characters"),
        ({"type": "boolean"}, "true or false"),
        ({"type": "array", "items": {"enum": ("a",)}}, "each a"),
        (
            {"pixels": {"multipleOf": 16, "maxEdge": 3840, "maxRatio": 3.0, "minPixels": 655360, "also": ("auto",)}},
            "auto or WIDTHxHEIGHT, both sides multiples of 16, no side above 3840, "  # noqa: ISC004
            "one side at most 3 times the other, at least 655,360 pixels",
        ),
    ],
)
def test_a_rule_is_told_in_a_few_words(rule, said):
    assert words(rule) == said


def test_values_are_completed_in_the_shell():
    env = {**os.environ, "_LEMON_COMPLETE": "bash_complete", "COMP_WORDS": "lemon generate -m dall", "COMP_CWORD": "3"}
    code = "from lemon_ext.cli import main; main()"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
    assert shown.split() == ["plain,dall-e-3", "plain,dall-e-2"]


# ---- exit codes ----


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.TaskTimeoutError("t"), 5),
        (RowsError("r"), 2),
        (FileNotFoundError("f"), 2),
        (KeyboardInterrupt(), 130),
        (RuntimeError("bug"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_beside_the_tree_have_a_code(error, code):
    assert exit_code(error) == code


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("lemon_ext.capabilities.models", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        lemon("models")


# ---- models ----


def test_models_are_listed_in_columns():
    lines = lemon("models").stdout.splitlines()
    assert lines[0].split() == ["MODEL", "ANSWERS", "SOURCE", "WHAT", "FOR", "TAKES"]
    assert [line.split()[0] for line in lines[1:4]] == ["dall-e-3", "dall-e-2", "flux-pro"]
    assert (
        len({line.index(word) for line, word in zip(lines[1:4], ("at once", "at once", "as a task"), strict=True)}) == 1
    )


def test_the_legend_of_the_sources_is_shown_where_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(models.table(), "SOURCES", {"SEED": "a page", "E": "another"})
    plain, whole = lemon("models"), lemon("models", "--sources")
    assert "STANDS FOR" not in plain.stdout
    assert "lemon models --sources" in plain.stderr
    assert whole.stdout.startswith(plain.stdout)
    assert "STANDS FOR" in whole.stdout
    assert "STANDS FOR" in lemon("models", "flux-pro").stdout  # those of one model are few


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60])
@pytest.mark.parametrize("args", [(), ("--prices",), ("flux-pro",), ("--sources",), ("--live", "--emulator")])
def test_tables_fit_the_terminal(monkeypatch, width, args):
    whole = lemon("models", *args).stdout
    monkeypatch.setattr(_table, "room", lambda: width)
    lines = lemon("models", *args).stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert sorted("\n".join(lines).split()) == sorted(whole.split())  # nothing is left out


def test_a_page_of_the_manual_is_laid_out_on_a_terminal_and_raw_in_a_pipe(monkeypatch):
    raw = lemon("docs", "openai").stdout
    assert raw.startswith("# Coming from openai\n")
    assert "| with openai | here |" in raw
    paged = []
    monkeypatch.setattr(docs, "sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True)))
    monkeypatch.setattr("click.echo_via_pager", lambda text, color: paged.append((text, color)))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("LESS", "")  # so that it is as before afterwards
    monkeypatch.delenv("LESS")
    assert lemon("docs", "openai").stdout == ""
    ((text, color),) = paged
    assert (color, os.environ["LESS"]) == (True, "FRX")
    lines = click.unstyle(text).splitlines()
    assert max(map(len, lines)) <= 90
    assert not any(line.startswith(("|", "#", "```")) for line in lines)
    monkeypatch.setenv("TERM", "dumb")
    assert lemon("docs", "openai").stdout == raw


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("gen", "generate"), ("generat", "generate"), ("stat", "status"), ("Batch", "batch"), ("recon", "reconcile"),
        ("prices", "models --prices"), ("imagine", "generate"), ("help", "docs"), ("ls", "tasks"), ("xyzzy", None),
    ],
)  # fmt: skip
def test_a_command_that_there_is_not_is_answered_with_one_that_there_is(name, meant):
    result = lemon(name)
    said = f"There is no command {name!r}." + (f" Did you mean {meant!r}?" if meant else "")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (2, f"lemon: {said}")


def test_what_is_meant_by_other_names_are_commands():
    for meant in set(_app._ELSEWHERE.values()):
        name, *options = meant.split()
        shown = lemon(name, "--help").stdout
        assert all(option in shown for option in options if option.startswith("-")), meant


def test_the_help_names_the_completion():
    told = " ".join(lemon("--help").stdout.split())
    assert 'eval "$(_LEMON_COMPLETE=bash_source lemon)"' in told
    assert "lemon docs command-line" in told


def test_a_model_is_described():
    lines = [line.split() for line in lemon("models", "flux-pro").stdout.splitlines()]
    assert lines[0][0] == "flux-pro"
    assert ["not", "taken:", "quality,", "style"] in lines
    assert ["n", "1", "1", "to", "10"] in lines


def test_an_unknown_model_gets_what_holds_for_any_and_the_nearest_name():
    result = lemon("models", "dalle-3")
    assert result.exit_code == 0
    assert "not in the contract's table" in result.stdout
    assert result.stderr == "lemon: warning: The model 'dalle-3' is not a documented one. Did you mean 'dall-e-3'?\n"


def test_models_are_told_as_json():
    rows = [json.loads(line) for line in lemon("models", "--json").stdout.splitlines()]
    assert [row["id"] for row in rows][:2] == ["dall-e-3", "dall-e-2"]
    one = json.loads(lemon("models", "flux-pro", "--json").stdout)
    assert (one["reply"], one["listed"], one["parameters"]["quality"]) == ("task", True, False)


# ---- emulator ----


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_the_emulator_prints_its_address_and_what_would_have_been_billed(how):
    environment = {**os.environ, "no_proxy": "*"}
    with process("emulator", "--task-seconds", "0", "--fault", "error_402", env=environment) as server:
        address = server.stdout.readline().strip()
        assert server.stdout.readline() == f"export LEMONDATA_BASE_URL={address}\n"
        assert server.stdout.readline() == "export LEMONDATA_API_KEY=sk-emulator\n"
        body = json.dumps({"prompt": "a cat"}).encode()
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{address}/v1/images/generations", body, headers)
        with pytest.raises(urllib.error.HTTPError, match="402"):
            urllib.request.urlopen(request, timeout=60)
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.status == 200
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(b"\x16\x03\x01 no HTTP at all\r\n\r\n")  # of which the server would tell stderr
            assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
        server.send_signal(how)
        _, told = server.communicate(timeout=60)
    assert server.returncode == 0
    assert told.splitlines() == [
        "lemon: The emulator is running; any key that begins with sk- will do. Ctrl-C stops it.",
        "lemon: 2 requests, 1 of them would have been billed, for 1 image: $0.04.",
    ]


def test_the_emulator_gets_its_options(monkeypatch):
    made = []

    def serve(emulator, host, port, *, on_ready):
        account = emulator.account
        money = (str(account.balance), str(account.price))
        made.append((emulator.task_seconds, emulator.latency, emulator.requests_per_minute, host, port, money))
        on_ready("http://here")

    monkeypatch.setattr("lemon_ext.emulator.serve", serve)
    args = [
        "--task-seconds",
        "9",
        "--latency",
        "0.5",
        "--rpm",
        "60",
        "--host",
        "::1",
        "--port",
        "8123",
        "--balance",
        "5",
    ]
    result = lemon("emulator", *args, "--fault", "drop_after:2")
    assert (result.exit_code, made) == (0, [(9.0, 0.5, 60, "::1", 8123, ("5", "0.01"))])
    assert result.stdout.splitlines()[0] == "http://here"
    assert "0 requests, 0 of them would have been billed, for 0 images: $0.00." in result.stderr


def test_every_duration_of_the_command_line_is_written_in_the_same_way():
    """Bug: only --give-up-after took 8h; --deadline and all the others wanted bare seconds."""
    found = {}
    for name in COMMANDS:
        command = app.get_command(click.Context(app), name)
        found |= {(name, param.opts[0]): param for param in command.params if isinstance(param.type, Duration)}
    assert {option for _, option in found} == {
        "--deadline", "--poll-interval", "--give-up-after", "--settle", "--clock-tolerance", "--task-seconds",
        "--latency",
    }  # fmt: skip
    assert {param.metavar for param in found.values()} == {"DURATION"}
    assert {param.type.convert("1h30m", param, None) for param in found.values()} == {5400.0}


@pytest.mark.parametrize("given", ["5x", "-1", "nan", "0"])
def test_what_is_no_duration_is_said(given):
    result = lemon("generate", "a cat", "--deadline", given)
    assert result.exit_code == 2
    why = "is no time at all." if given == "0" else "is not a duration: write 90s, 30m, 8h or 1h30m, or a number of"
    assert f"lemon: Invalid value for '--deadline': '{given}' {why}" in result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--fault", "error_401x"], "There is no fault 'error_401x'. Did you mean 'error_401'?"),
        (["--host", "192.0.2.1"], "Cannot listen on 192.0.2.1, port 0:"),
    ],
)
def test_an_emulator_that_cannot_be_is_refused(args, message):
    result = lemon("emulator", *args)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"lemon: {message}")


def test_faults_are_listed():
    assert "error_429 " in lemon("emulator", "--fault", "list").stdout


def test_a_missing_extra_is_named():
    code = "import sys; sys.modules['uvicorn'] = None; from lemon_ext.cli import main; main()"
    args = [sys.executable, "-c", code, "generate", "a", "--emulator"]
    done = subprocess.run(args, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("lemon: The emulator needs what is not installed (uvicorn): pip install ")


# ---- streams ----


@pytest.mark.slow
def test_a_reader_that_goes_away_does_not_end_the_work(emulator, tmp_path):
    with process("generate", "a", "b", "c", cwd=tmp_path) as running:
        assert running.stdout is not None
        running.stdout.close()
        told = running.stderr.read()
    assert running.returncode == 0
    assert "Error" not in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "c.png"]


def test_text_that_the_encoding_lacks_is_escaped(emulator, tmp_path):
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    with process("generate", "고양이", "--json", cwd=tmp_path, env=env) as running:
        shown, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    assert json.loads(shown)["paths"] == ["고양이.png"]
    assert shown.isascii()


@pytest.mark.slow
def test_on_a_terminal_the_drawing_is_gone_at_the_end(emulator, tmp_path):
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on this system")
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "80", "LINES": "24"}
    args = [sys.executable, "-m", "lemon_ext", "generate", "a cat", "-m", "midjourney", "--poll-interval", "0.1"]
    emulator.task_seconds = 0.3
    with child(*args, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, env=env) as running:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # how a terminal says that the other side is gone
            pass
    os.close(ours)
    assert running.returncode == 0
    assert b"midjourney" in shown
    assert b"\x1b[?25l" in shown
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l"), "the cursor is left hidden"
    assert "✓ a cat  midjourney".encode() in shown
    assert b"a-cat.png" in shown


@pytest.mark.parametrize("width", [20, 40, 71, 72, 100, 200])
def test_what_is_drawn_fits_the_terminal(width):
    from rich.console import Console

    from lemon_ext.batch import Progress
    from lemon_ext.cli._draw import batch_under_way, jobs_under_way
    from lemon_ext.cli._jobs import Job

    async def start(lemon: Any) -> Any: ...

    jobs = [
        Job("a very long prompt " * 9, start, model="a-model-with-quite-a-long-name", phase="sending")
        for _ in range(50)
    ]
    progress = Progress(
        1_000_000, saved=123_456, failed=77, uncertain=3, waiting=500, per_minute=497.2, left_seconds=90_000
    )
    for drawn in (jobs_under_way(jobs, console := Console(width=width, height=24)), batch_under_way(progress, console)):
        screen = Console(width=width, height=24, file=StringIO())
        screen.print(drawn)
        lines = screen.file.getvalue().splitlines()
        assert len(lines) < 24
        assert max(map(len, lines)) <= max(width - 3, 20)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_count_of_a_batch_is_cut_off(width):
    """Bug: at 80 columns "218 a minute" was drawn as "2182…", glued to the number before it."""
    from rich.console import Console

    from lemon_ext.batch import Progress
    from lemon_ext.cli._draw import batch_under_way

    progress = Progress(
        2000, saved=789, failed=3, refused=2, uncertain=76, waiting=959, submitting=64, fetching=247, per_minute=218.2
    )
    screen = Console(width=width, height=24, file=StringIO())
    screen.print(batch_under_way(progress, Console(width=width, height=24)))
    drawn = " ".join(screen.file.getvalue().split())
    counts = ("789 saved", "3 failed", "2 refused", "76 uncertain", "64 being sent", "247 being fetched", "218/min")
    assert [one for one in counts if one not in drawn] == []
    assert "…" not in drawn
