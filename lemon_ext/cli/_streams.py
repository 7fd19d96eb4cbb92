"""Standard streams that can always be written to, and text that may be: output never decides about paid work."""

from __future__ import annotations

import io
import os
import re
from contextlib import suppress
from typing import Final, TextIO

__all__ = ("NO_TEXT", "Stream", "occupy_descriptors", "plain")

#: What a terminal obeys instead of showing it: control characters but for tab and line feed, and what turns the
#: direction of text around. Half characters (lone surrogates) cannot be written at all.
NO_TEXT: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_CLOSED: Final = "it is closed"


class Stream:
    """Stands for stdout or stderr. Writing to it never raises.

    ``lost`` is the reason why something could not be written, None while all went well. A reader that has gone away
    (``| head -1``) wants no more: that loses nothing.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._gone = False
        self.lost: str | None = None
        if isinstance(stream, io.TextIOWrapper) and not stream.closed:
            # What the encoding lacks is escaped. A file name that is not text is written as the bytes it is.
            stream.reconfigure(errors="surrogateescape" if self.is_utf8 else "backslashreplace")

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:
        return getattr(self._stream, "errors", None) or "strict"

    @property
    def is_utf8(self) -> bool:
        """Whether every character can be written."""
        return self.encoding.lower().replace("-", "").replace("_", "").startswith("utf")

    def write(self, text: str) -> int:
        if not isinstance(text, str):  # click finds out in this way that this is no stream of bytes
            raise TypeError(f"a str is written, not {type(text).__name__}")
        self._attempt(text)
        return len(text)

    def flush(self) -> None:
        self._attempt("")

    def isatty(self) -> bool:
        try:
            return self._stream is not None and not self._gone and self._stream.isatty()
        except ValueError:  # closed
            return False

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def _attempt(self, text: str) -> None:
        if self._gone:
            return
        if self._stream is None:
            self.lost = _CLOSED if text else self.lost
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except UnicodeError:
            self._attempt(text.encode("ascii", "backslashreplace").decode())
        except BrokenPipeError:
            self._give_up()
        except (OSError, ValueError) as exc:
            self.lost = getattr(exc, "strerror", None) or _CLOSED
            self._give_up()

    def _give_up(self) -> None:
        self._gone = True
        # What is left in the buffer goes nowhere, or the interpreter would fail once more at its end.
        with suppress(OSError, ValueError):  # not a file of the system
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


def occupy_descriptors() -> None:
    """Open standard descriptors that are closed: else the next file or socket would get the number of stdout."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def plain(text: str) -> str:
    """Return a text with its control characters made visible: ``\\x1b``."""
    return NO_TEXT.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
