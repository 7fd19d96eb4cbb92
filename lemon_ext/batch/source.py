"""A file that rows are read from: its lines, decoded one by one, and all that is wrong with them."""

from __future__ import annotations

import codecs
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, BinaryIO, Final

from attrs import frozen

from lemon_ext.errors import LemonError

from .columns import Columns

LONGEST_LINE: Final = 16 * 1024 * 1024
CHUNK: Final = 64 * 1024
_SHOWN_FAULTS: Final = 20
#: Lines that are named where many have the same fault.
_SHOWN_LINES: Final = 5
_BOM: Final = b"\xef\xbb\xbf"
#: With these Excel begins its "Unicode text".
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_UTF32: Final = b"\xff\xfe\0\0"
#: How files begin that look like text to the person who made them.
_FOREIGN: Final = (
    (_UTF32, "UTF-32 text. Save it as UTF-8, or say so: --encoding utf-32"),
    (b"PK\x03\x04", "a spreadsheet or another zip file. Name it .xlsx or .ods, or export it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old or an encrypted Excel file. Save it as .xlsx, without a password"),
    (b"PAR1", "a Parquet file. Name it .parquet"),
    (b"ARROW1", "an Arrow or a Feather file. Save it as Parquet"),
    (b"\x1f\x8b", "compressed with gzip. Unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd. Unpack it first"),
    (b"BZh", "compressed with bzip2. Unpack it first"),
    (b"%PDF", "a PDF file. Copy its prompts into a text file"),
    (b"{\\rtf", "a document (RTF). Save it as plain text"),
    *(
        (mark, "a web page or XML. Save it as .xlsx or CSV")
        for mark in (b"<?xml", b"<html", b"<!DOCTYPE", b"<!doctype")
    ),
)


class Row(dict[str, Any]):
    """What one row asks for, by parameter name. ``line`` is where it starts in its file, counted from 1. ``extra`` is
    carried along and never sent, what ``carry`` names on purpose; ``id`` is what the user calls the row.
    """

    __slots__ = ("carry", "extra", "id", "line")

    def __init__(
        self,
        values: Mapping[str, Any],
        line: int | None = None,
        id: str | None = None,  # noqa: A002 - the name of the column
        extra: Mapping[str, Any] | None = None,
        carry: Sequence[str] = (),
    ) -> None:
        super().__init__(values)
        self.line, self.id, self.extra, self.carry = line, id, dict(extra or {}), carry

    def __reduce__(self) -> tuple[type[Row], tuple[Any, ...]]:
        return Row, (dict(self), self.line, self.id, self.extra, self.carry)


@frozen
class Fault:
    """A line that cannot be used, and why. The text of the line is not repeated."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


class RowsError(LemonError, ValueError):
    """A file of rows that cannot be used. ``faults`` lists every bad line; empty where the whole file is meant."""

    def __init__(self, message: str, *, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = list(faults)


@frozen
class Line:
    """A line with its end. One that could not be decoded is not ``sound``."""

    number: int
    text: str
    sound: bool = True


class Source:
    """A file under the name that messages use, and what its rows are read with."""

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        columns: Columns,
        *,
        header_row: int | None = None,
        sheet: str | None = None,
        skip_hidden: bool = False,
        comments: bool = False,
        encoding: str | None = None,
    ) -> None:
        self.name, self.columns, self.comments = name, columns, comments
        self.sheet, self.skip_hidden = sheet, skip_hidden
        #: The line that names the columns. None: the first that holds anything.
        self.header_row = header_row
        self.faults: list[Fault] = []
        #: Whether it has rows and columns of its own, so that no advice about text helps.
        self.is_sheet = False
        #: Places of columns that hold what is read as empty cells, and what that is.
        self.unread: Mapping[int, str] = {}
        self._file: Any = file if hasattr(file, "peek") else io.BufferedReader(file)
        begin = self._file.peek(CHUNK)
        if encoding is None and begin.startswith(_UTF16) and not begin.startswith(_UTF32):
            encoding = "utf-16"
        if encoding is not None:
            self._file = io.BufferedReader(_Recoded(self._file, name, encoding))
        self._lines = self._read()
        self._held: deque[Line] = deque()

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        return self._held.popleft() if self._held else next(self._lines)

    def good(self) -> Iterator[Line]:
        """Yield the lines that could be decoded and are not blank."""
        return (line for line in self if line.sound and line.text.strip())

    def first(self) -> str:
        """Return the first line that is not blank, without taking it away; "" if there is none."""
        line = next((line for line in self if line.text.strip()), None)
        if line is None:
            return ""
        self.put_back(line)
        return line.text

    def skip_to_header(self) -> None:
        """Leave out the lines above the one that names the columns, if it is known which that is."""
        while self.header_row is not None and (line := next(self, None)) is not None:
            if line.number >= self.header_row:
                self.put_back(line)
                return

    def put_back(self, *lines: Line) -> None:
        """Have lines read again."""
        self._held.extendleft(reversed(lines))

    def begins(self, pattern: bytes) -> bool:
        """Tell whether the file begins so, blanks aside. Asked before anything is read."""
        return re.match(pattern, self._file.peek(CHUNK).removeprefix(_BOM).lstrip()) is not None

    def text(self) -> Iterator[str]:
        """Yield the text in pieces, whatever its lines are. Raises RowsError where it cannot be decoded."""
        decoder, number = codecs.getincrementaldecoder("utf-8-sig")(), 1
        for piece in chain(iter(lambda: self._file.read(CHUNK), b""), (b"",)):
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as exc:
                self.fault(number + piece[: exc.start].count(b"\n"), _not_utf8(piece))
                raise self.error() from None
            yield text
            number += text.count("\n")

    def seekable(self) -> BinaryIO:
        """Return the file itself, for a format that has no lines."""
        return self._file if self._file.seekable() else io.BytesIO(self._file.read())

    def fault(self, line: int, message: str) -> None:
        """Note what is wrong with a line."""
        self.faults.append(Fault(line, message))

    def error(self) -> RowsError:
        """Return the error for all that is wrong."""
        return RowsError(_describe(self.name, self.faults), faults=self.faults)

    def refuse(self, what: str) -> RowsError:
        """Return the error for the whole file."""
        return RowsError(f"{self.name} {what}. Nothing was sent.")

    def _read(self) -> Iterator[Line]:
        number = 0
        while raw := self._file.readline(LONGEST_LINE + 1):
            number += 1
            if number == 1:
                raw = self._begin(raw)
            if len(raw) > LONGEST_LINE:
                self.fault(number, f"is longer than {LONGEST_LINE // 2**20} MiB")
                while raw and not raw.endswith(b"\n"):
                    raw = self._file.readline(LONGEST_LINE)
                continue
            text, reason = _decode(raw)
            if reason:
                self.fault(number, reason)
            yield Line(number, text, not reason)

    def _begin(self, raw: bytes) -> bytes:
        for magic, what in _FOREIGN:
            if raw.startswith(magic):
                raise self.refuse(f"is {what}")
        return raw.removeprefix(_BOM)


class _Recoded(io.RawIOBase):
    """A text file in another encoding, read as if it were UTF-8."""

    def __init__(self, file: BinaryIO, name: str, encoding: str) -> None:
        self._file, self._name, self._encoding = file, name, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._left, self._ended = b"", False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read as much as there is room for."""
        while not self._left and not self._ended:
            piece = self._file.read(CHUNK)
            self._ended = not piece
            try:
                self._left = self._decoder.decode(piece, final=self._ended).encode()
            except UnicodeError:
                raise RowsError(f"{self._name} is no text in {self._encoding}. Nothing was sent.") from None
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def known_encoding(name: str) -> str:
    """Return the name of an encoding of text. Raises ValueError for another one."""
    try:
        "a".encode(name)
    except (LookupError, ValueError):
        raise ValueError(f"there is no encoding {name!r}; such as cp1252, latin-1 or utf-16") from None
    return name


def _decode(raw: bytes) -> tuple[str, str]:
    """Return the text, and what is wrong with it."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return raw.decode(errors="replace"), _not_utf8(raw)
    return (
        text,
        "holds a NUL byte; if the file is UTF-16, save it as UTF-8, or say so: --encoding utf-16"
        if "\0" in text
        else "",
    )


def _not_utf8(raw: bytes) -> str:
    """Say what text that is not UTF-8 probably is, and what to do."""
    try:
        raw.decode("cp1252")
    except UnicodeDecodeError:
        return "is not UTF-8; save the file as UTF-8"
    return (
        "is not UTF-8 but, it seems, Windows-1252 (cp1252); save the file as UTF-8, in Excel as 'CSV UTF-8', or "
        "say so: --encoding cp1252"
    )


def grouped(found: Iterable[tuple[int, str]], word: str) -> list[str]:
    """Say what is wrong with which lines (or rows, which ``word`` says), the same mistake once."""
    groups: dict[str, list[int]] = {}
    for number, message in found:
        groups.setdefault(message, []).append(number)
    return [f"{_numbered(word, numbers)}: {message}" for message, numbers in groups.items()]


def _numbered(word: str, numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"{word} {numbers[0]}"
    told = ", ".join(map(str, numbers[:_SHOWN_LINES]))
    more = len(numbers) - _SHOWN_LINES
    return f"{word}s {told}{f' and {more:,} more' if more > 0 else ''}"


def listed(head: str, found: Sequence[str]) -> str:
    """Return one message for several things that are wrong."""
    shown = [f"  - {one}" for one in found[:_SHOWN_FAULTS]]
    if more := len(found) - len(shown):
        shown.append(f"  - and {more:,} more")
    return "\n".join([head, *shown])


def _describe(name: str, faults: list[Fault]) -> str:
    if len(faults) == 1:
        return f"Nothing was sent. {name}, {faults[0]}."
    told = grouped(((fault.line, fault.message) for fault in faults), "line")
    return listed(f"Nothing was sent. {name} has {len(faults):,} faults:", told)
