"""What is said where: results on stdout, everything else on stderr, drawn on a terminal and as plain lines elsewhere.

rich is imported when something moves on a terminal, and not before.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

    from ._errors import Failure

__all__ = ("Screen", "bold", "screen")


class Screen:
    """The two streams of the process. There is one: `screen`."""

    def __init__(self) -> None:
        self._live: Live | None = None
        #: Whether stdout gets JSON, errors included.
        self.as_json = False

    @contextmanager
    def session(self, *, as_json: bool) -> Iterator[None]:
        """Make the streams fit for any text: what the terminal's encoding lacks is escaped instead of raising."""
        self.as_json = as_json
        for stream in (sys.stdout, sys.stderr):
            if not _is_utf8(stream) and hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        yield

    @property
    def interactive(self) -> bool:
        """Whether stderr is a terminal that can be drawn on."""
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def out(self, text: str) -> None:
        """Write a line of the result. A reader that has gone away (`| head -1`) ends the writing, not the work."""
        if self._live is not None and sys.stdout.isatty():
            self._live.console.out(text, highlight=False)  # the same terminal: above what is being drawn
            return
        try:
            click.echo(text)
            sys.stdout.flush()
        except BrokenPipeError:
            # So that the interpreter's own flush at exit does not complain either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def json(self, value: object) -> None:
        """Write a line of JSON."""
        self.out(json.dumps(value, ensure_ascii=not _is_utf8(sys.stdout)))

    def note(self, text: str) -> None:
        """Say something on stderr."""
        self._say("lemon: ", None, text)

    def warn(self, text: str) -> None:
        """Say something on stderr that stopped nothing."""
        self._say("lemon: warning: ", "yellow", text)

    def error(self, text: str, following: str | None = None) -> None:
        """Say what went wrong, and the next step."""
        self._say("lemon: ", "red", text)
        if following:
            self.next(following)

    def next(self, command: str) -> None:
        """Name the command to go on with."""
        self._say("  next: ", "cyan", command)

    def fail(self, failure: Failure, about: Mapping[str, Any] | None = None, number: str = "") -> None:
        """Tell an error, and what it is about: on stderr, and as JSON where that is wanted."""
        self.error(f"{number}: {failure.message}" if number else failure.message, failure.next)
        if self.as_json:
            self.json({**(about or {}), **failure.to_dict()})

    def done(self, *parts: str) -> None:
        """Say that something is done."""
        mark = "✓" if _is_utf8(sys.stderr) else "ok"
        self._say(f"{mark} " if self.interactive else "lemon: ", "green", "  ".join(part for part in parts if part))

    @contextmanager
    def drawing(self, render: Callable[[Console], RenderableType]) -> Iterator[None]:
        """Keep drawing what ``render`` returns at the bottom of the terminal; nothing where there is none."""
        if not self.interactive:
            yield
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, highlight=False)
        with Live(
            console=console,
            get_renderable=lambda: render(console),
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as self._live:
            try:
                yield
            finally:
                self._live = None

    def _say(self, lead: str, colour: str | None, text: str) -> None:
        if self._live is not None:
            from rich.text import Text

            line = Text(lead, style=colour or "", end="")
            self._live.console.print(line.append(text, style="default"), soft_wrap=True)
            return
        click.echo(_style(lead, colour) + text, err=True)


def bold(text: str) -> str:
    """Return a text in bold, where the terminal and the user want that."""
    return text if os.environ.get("NO_COLOR") else click.style(text, bold=True)


def _style(text: str, colour: str | None) -> str:
    return click.style(text, fg=colour) if colour and not os.environ.get("NO_COLOR") else text


def _is_utf8(stream: TextIO | Any) -> bool:
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").replace("_", "").startswith("utf")


screen = Screen()
