"""The blocks of the documents, and a run of them: as a reader pastes them, page by page, against an emulator.

As a program it runs the blocks of every page, each page in an empty folder of its own. It prints a line of JSON for
each that did not run, and then how many it ran. It is one process for all pages, so that nothing is imported twice.

- ``python`` blocks of a page share one namespace, as in one session.
- ``sh`` blocks, and the lines after ``$`` of ``console`` blocks, are commands. One that ends with another exit code
  than 0 says so in a comment: ``# exit code 5``. What ``console`` shows besides is output. A task's id in it
  stands for the one that came, also in later commands.
- A block is left out after a comment ``<!-- not run: why -->``. ``text``, ``yaml`` and ``json`` are for reading.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib.resources import files
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
#: The model that the pages show tasks with. That it answers with one is no part of the contract, and may change there.
TASK_MODEL = "flux-pro"
#: Seconds for a block.
PATIENCE = 30
RUN = ("python", "sh", "console")
READ = ("text", "yaml", "json")

BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>[^>]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_ID = re.compile(r"\bimg_[0-9a-f]{12}\b")
_CODE = re.compile(r"# .*?\bexit code (\d+)")
#: What needs a shell. Any other command of `lemon` runs in this process.
_SHELL = re.compile(r"[|;&`]|\$\(|^(for|if|while|eval) ")


#: Programs of other people that blocks use; a block is left out where they are missing.
TOOLS = ("curl", "jq", "sqlite3")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    #: Why it is not run, if it is not.
    why: str | None

    @property
    def runs(self) -> bool:
        """Whether it is run."""
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        return self.language in RUN and self.why is None and not any(tool in self.text.split() for tool in missing)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[tuple[str, str]]:
        """Return the commands of a block for the shell, each with the output that is shown."""
        if self.language != "console":
            whole = re.search(r"^(for|if|while) ", self.text, re.MULTILINE) or "<<" in self.text
            lines = [self.text] if whole else self.text.replace("\\\n", " ").splitlines()
            return [(line, "") for line in lines if line.strip()]
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]
        return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("language")) + 1
        yield Block(page, line, found["language"], found["text"], found["why"])


def options_table() -> str:
    """Return the table of the command line's own options, as docs/command-line.md has it."""
    import click

    from lemon_ext.cli._app import COMMANDS, app
    from lemon_ext.cli._contract import _PREFIX

    rows: dict[tuple[str, str], list[str]] = {}
    for name in COMMANDS:
        command = app.get_command(click.Context(app), name)
        assert command is not None
        for option in command.params:
            if isinstance(option, click.Option) and not (option.name or "").startswith(_PREFIX):
                shown = [f"`{flag}`" for flag in (*option.opts, *option.secondary_opts)]
                if not (option.is_flag or option.count):
                    shown[-1] = f"{shown[-1][:-1]} {option.make_metavar(click.Context(command))}`".replace("|", "\\|")
                rows.setdefault((", ".join(shown), option.help or ""), []).append(f"`{name}`")
    lines = [f"| {shown} | {', '.join(owners)} | {told} |" for (shown, told), owners in rows.items()]
    return "\n".join(["| option | of | |", "| --- | --- | --- |", *lines]) + "\n"


#: The table on the page, between the comment that says who writes it and the next heading.
OPTIONS = re.compile(
    r"(?<=<!-- options: written by `python -m tests\.pages --options` -->\n\n)\|.*?\n(?=\n## )", re.DOTALL
)


class Reader:
    """Somebody who pastes the blocks of one page, one after the other."""

    def __init__(self, emulator: Any) -> None:
        self.emulator = emulator
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.ids: dict[str, str] = {}

    def paste(self, block: Block) -> None:
        """Run a block. Raises what it raises, and AssertionError for a command that ends otherwise than it says."""
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, str(block), "exec"), self.names)
            return
        for command, shown in block.commands():
            code, output = self._run(_ID.sub(lambda found: self.ids.get(found[0], found[0]), command))
            expected = int(found[1]) if (found := _CODE.search(command)) else 0
            assert code == expected, f"{command.strip()}\nended with {code}, not {expected}:\n{output}"
            self.ids |= dict(zip(dict.fromkeys(_ID.findall(shown)), dict.fromkeys(_ID.findall(output)), strict=False))

    def _run(self, command: str) -> tuple[int, str]:
        if command.startswith("lemon ") and not _SHELL.search(re.sub(r"\s#.*", "", command)):
            return _lemon(shlex.split(command, comments=True)[1:])
        started = f'lemon() {{ {shlex.quote(sys.executable)} -m lemon_ext "$@"; }}\n{command}'
        before, self.emulator.task_seconds = self.emulator.task_seconds, 0.0  # no time is skipped in another process
        done = subprocess.run(["sh", "-c", started], capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.emulator.task_seconds = before
        return done.returncode, done.stdout + done.stderr


def _lemon(arguments: list[str]) -> tuple[int, str]:
    """Run the command line in this process, with its input and output where ``<`` and ``>`` put them."""
    from lemon_ext.cli import main

    files: dict[str, str] = {}
    for sign in "<>":
        if sign in arguments:
            at = arguments.index(sign)
            files[sign] = arguments[at + 1]
            del arguments[at : at + 2]
    out, err, code = StringIO(), StringIO(), 0
    before = sys.argv, sys.stdin
    sys.argv = ["lemon", *arguments]
    sys.stdin = TextIOWrapper(BytesIO(Path(files["<"]).read_bytes() if "<" in files else b""), encoding="utf-8")
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else 0
    finally:
        sys.argv, sys.stdin = before
    if ">" in files:
        Path(files[">"]).write_text(out.getvalue(), encoding="utf-8")
    return code, out.getvalue() + err.getvalue()


def _too_long(*_: object) -> None:
    raise KeyboardInterrupt(
        f"It did not end within {PATIENCE} s."
    )  # nothing on the way takes it for an error of its own


def _shown() -> dict[str, Any]:
    """Return the contract, in which the model that answers with a task on the pages does so, whatever its row says."""
    data: dict[str, Any] = json.loads(files("lemon_client").joinpath("openapi.json").read_bytes())
    row = {"summary": "Shown", "source": "E", "parameters": {}, **data["x-lemon-models"].get(TASK_MODEL, {})}
    data["x-lemon-models"][TASK_MODEL] = {**row, "reply": "task"}
    return data


def main() -> None:
    """Run every page, and print what did not run."""
    import lemon_ext.emulator as package
    from lemon_ext import _clock
    from lemon_ext.emulator import KEY, TOKEN, Emulator
    from lemon_ext.testing import instant

    # Whoever makes one has its clock move on while it waits.
    local = partial(Emulator, clock=_clock.monotonic, wall=_clock.wall, contract=_shown())
    package.Emulator = local  # type: ignore[misc, assignment]

    os.environ |= {"LEMONDATA_API_KEY": KEY, "LEMONDATA_MANAGEMENT_TOKEN": TOKEN, "LEMONDATA_LEDGER": ""}
    signal.signal(signal.SIGALRM, _too_long)
    wanted, ran = sys.argv[1:] or [page.name for page in PAGES], 0
    for page in PAGES:
        to_run = [block for block in blocks(page) if block.runs]
        if page.name not in wanted or not to_run:
            continue
        with tempfile.TemporaryDirectory() as folder, instant():
            os.chdir(folder)
            os.environ["LEMONDATA_LEDGER"] = str(Path(folder, "ledger.sqlite3"))
            with local() as emulator:
                os.environ["LEMONDATA_BASE_URL"] = emulator.url
                reader = Reader(emulator)
                for block in to_run:
                    ran += 1
                    try:
                        signal.alarm(PATIENCE)  # a block that does not end is one that does not run
                        with redirect_stdout(StringIO()):
                            reader.paste(block)
                    except (Exception, KeyboardInterrupt):  # noqa: BLE001 - told, and the next block is pasted
                        fault = {"block": str(block), "fault": traceback.format_exc(limit=-3)}
                        print(json.dumps(fault), flush=True)  # noqa: T201 - its output
                    finally:
                        signal.alarm(0)
            os.chdir(ROOT)
    print(json.dumps({"ran": ran}))  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1:] == ["--options"]:
        page = ROOT / "docs" / "command-line.md"
        page.write_text(OPTIONS.sub(lambda _: options_table(), page.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        main()
