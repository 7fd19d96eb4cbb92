"""All output: results go to stdout, everything else to stderr, as a drawing on a terminal and as plain lines elsewhere.

Control characters are escaped here, in whatever is printed. rich is imported only to draw.
"""

from __future__ import annotations

import json
import math
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from ._streams import NO_TEXT, Stream, occupy_descriptors, plain

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console, RenderableType
    from rich.live import Live

    from ._errors import Failure

__all__ = ("QUIET", "Screen", "screen")

#: Seconds between two plain lines about the progress of one thing.
QUIET: Final = 5.0


class Screen:
    """The two streams of the process. There is one: `screen`."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._lost_told = False
        #: Whether stdout gets JSON, errors included.
        self.as_json = False
        #: Whether stderr gets nothing but warnings, errors and commands to go on with.
        self.quiet = False

    @contextmanager
    def session(self, *, as_json: bool) -> Iterator[None]:
        """Replace stdout and stderr by streams that never raise (`Stream`), for this block."""
        self.as_json, self.quiet = as_json, False
        self._lost_told = False
        occupy_descriptors()
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = Stream(sys.stdout), Stream(sys.stderr)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before

    @property
    def lost(self) -> bool:
        """Whether a line of this run could not be written."""
        return any(_lost(stream) for stream in (sys.stdout, sys.stderr))

    @property
    def unheard(self) -> bool:
        """Whether a line for people could not be written."""
        return _lost(sys.stderr) is not None

    @property
    def interactive(self) -> bool:
        """Whether stderr is a terminal that can be drawn on."""
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    @property
    def in_file(self) -> bool:
        """Whether stdout is a file that holds any character, for another program to open, and no terminal or pipe."""
        try:
            return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode) and _is_utf8(sys.stdout)
        except (OSError, ValueError):  # no file of the system, or it is closed
            return False

    def out(self, text: str) -> None:
        """Write a line of the result."""
        self._out(plain(text))

    def title(self, text: str, more: str = "") -> None:
        """Write a line of the result whose beginning is a title."""
        self._out((plain(text) if os.environ.get("NO_COLOR") else click.style(plain(text), bold=True)) + plain(more))

    def path(self, path: Path | str) -> None:
        """Write the path of a file, or its address: exactly, where a program reads it."""
        self._out(plain(str(path)) if sys.stdout.isatty() else str(path))

    def json(self, value: object) -> None:
        """Write a line of JSON."""
        self._out(_dumps(value, ensure_ascii=not _is_utf8(sys.stdout)))

    def note(self, text: str) -> None:
        """Write a line on stderr, unless that is to be quiet."""
        if not self.quiet:
            self._say("lemon: ", None, text)

    def debug(self, text: str) -> None:
        """Write a line of the log on stderr."""
        self._say("lemon: debug: ", "blue", text)

    def warn(self, text: str) -> None:
        """Write a warning on stderr."""
        self._say("lemon: warning: ", "yellow", text)

    def error(self, text: str, following: str | None = None) -> None:
        """Write an error on stderr, and the next step."""
        self._say("lemon: ", "red", text)
        if following:
            self.next(following)

    def next(self, command: str) -> None:
        """Write the command to go on with."""
        self._say("  next: ", "cyan", command)

    def fail(self, failure: Failure, about: Mapping[str, Any] | None = None, number: str = "") -> None:
        """Report an error on stderr, and as JSON on stdout if that was asked for. ``about`` is added to the JSON."""
        self.error(f"{number}: {failure.message}" if number else failure.message, failure.next)
        if self.as_json:
            self.json({**(about or {}), **failure.to_dict()})

    def done(self, *parts: str) -> None:
        """Report success, unless stderr is to be quiet."""
        if self.quiet:
            return
        mark = "✓" if _is_utf8(sys.stderr) else "ok"
        self._say(f"{mark} " if self.interactive else "lemon: ", "green", "  ".join(part for part in parts if part))

    @contextmanager
    def drawing(self, render: Callable[[Console], RenderableType]) -> Iterator[None]:
        """Keep drawing what ``render`` returns at the bottom of the terminal. Without a terminal, draw nothing."""
        if not self.interactive or self.quiet:
            yield
            return
        from ._draw import live

        drawn = self._live = live(render, self._drawing_failed)
        try:
            drawn.start()
            yield
        finally:
            self._live = None
            drawn.stop()

    def _drawing_failed(self, error: Exception) -> None:
        self.warn(f"This terminal cannot be drawn on ({type(error).__name__}: {error}). The work goes on.")

    def _out(self, line: str) -> None:
        if self._live is not None and sys.stdout.isatty():
            self._live.console.out(line, highlight=False)  # the same terminal: above what is being drawn
            return
        click.echo(line)
        if (why := _lost(sys.stdout)) is None:
            return
        if not self._lost_told:
            self._lost_told = True
            self.warn(f"stdout cannot be written: {why}. Its lines follow here.")
        click.echo(plain(click.unstyle(line)), err=True)

    def _say(self, lead: str, colour: str | None, text: str) -> None:
        text = plain(text)
        if self._live is not None:
            from rich.text import Text

            line = Text(lead, style=colour or "", end="")
            self._live.console.print(line.append(text, style="default"), soft_wrap=True)
            return
        click.echo(_style(lead, colour) + text, err=True)


def _style(text: str, colour: str | None) -> str:
    return click.style(text, fg=colour) if colour and not os.environ.get("NO_COLOR") else text


def _dumps(value: object, *, ensure_ascii: bool) -> str:
    """Return JSON without NaN and without control characters."""
    try:
        text = json.dumps(value, ensure_ascii=ensure_ascii, allow_nan=False)
    except ValueError:  # a server may have sent NaN, which Python reads as a number
        text = json.dumps(_finite(value), ensure_ascii=ensure_ascii)
    return NO_TEXT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _finite(value: object) -> object:
    """Return a value with None in place of NaN and infinity."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {name: _finite(each) for name, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case _:
            return value


def _is_utf8(stream: object) -> bool:
    return getattr(stream, "is_utf8", True)


def _lost(stream: object) -> str | None:
    return getattr(stream, "lost", None)


screen = Screen()
