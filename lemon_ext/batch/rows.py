"""The rows of a batch, read from a file: JSON Lines, CSV, or one prompt a line.

Rows stream: a file is never held in memory. A line that cannot be used yields nothing; when the end is reached, one
`RowsError` names all of them. So read to the end before sending anything. Whether a *model* takes a row is not judged
here (see `capabilities`), only whether the row can be read and names parameters that exist.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, get_args

from attrs import frozen
from lemon_client.model_table import PARAMETERS

from lemon_ext.errors import LemonError

__all__ = ("Fault", "Format", "Row", "RowsError", "read_rows")

Format = Literal["jsonl", "csv", "txt"]

#: Passes through what the contract does not know.
EXTRA: Final = "extra_body"
LONGEST_LINE: Final = 16 * 1024 * 1024
_SHOWN_FAULTS: Final = 20
_SUFFIXES: Final[Mapping[str, Format]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "txt",
}
_BOM: Final = b"\xef\xbb\xbf"
#: How files begin that look like text to the person who made them.
_FOREIGN: Final = (
    (b"\xff\xfe\0\0", "UTF-32 text. Save it as UTF-8"),
    (b"\xff\xfe", "UTF-16 text. Save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text. Save it as UTF-8"),
    (b"PK\x03\x04", "a spreadsheet or another zip file. Export it as CSV in UTF-8"),
    (b"\x1f\x8b", "compressed with gzip. Unpack it first"),
)


class Row(dict[str, Any]):
    """What one row asks for, by parameter name. ``line`` is where it starts in its file, counted from 1."""

    __slots__ = ("line",)

    def __init__(self, values: Mapping[str, Any], line: int) -> None:
        super().__init__(values)
        self.line = line

    def __reduce__(self) -> tuple[type[Row], tuple[dict[str, Any], int]]:
        return Row, (dict(self), self.line)


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


def read_rows(
    source: str | os.PathLike[str],
    *,
    format: Format | None = None,  # noqa: A002 - the public name, as in the command line's --format
    stdin: BinaryIO | None = None,
) -> Iterator[Row]:
    """Yield the rows of a file, or of standard input for ``"-"``.

    The format follows the suffix (.jsonl, .csv, .txt) or else the first line, unless it is given. Raises OSError if
    the file cannot be read, and RowsError at the end if a line cannot be used, or earlier if none of the file can.
    """
    if format is not None and format not in get_args(Format):
        raise ValueError(f"format must be one of {', '.join(get_args(Format))}, not {format!r}")
    name = "standard input" if source == "-" else str(source)
    with nullcontext(stdin or sys.stdin.buffer) if source == "-" else Path(source).open("rb") as file:
        lines = _Lines(file, name)
        found = False
        for row in _PARSERS[format or _format_of(name, lines)](lines):
            found = True
            yield row
    if lines.faults:
        raise RowsError(_describe(name, lines.faults), faults=lines.faults)
    if not found:
        raise RowsError(f"{name} holds no prompts.")


@frozen
class _Line:
    number: int
    text: str
    sound: bool


class _Lines:
    """The lines of a file, decoded one by one, and what is wrong with them."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self.faults: list[Fault] = []
        self._file = file
        self._rest = self._read()

    def __iter__(self) -> Iterator[_Line]:
        return self._rest

    def good(self) -> Iterator[_Line]:
        """Yield the lines that could be decoded and are not blank."""
        return (line for line in self._rest if line.sound and line.text.strip())

    def first(self) -> str:
        """Return the first line that is not blank, without taking it away; "" if there is none."""
        line = next((line for line in self._rest if line.text.strip()), None)
        if line is None:
            return ""
        self._rest = chain((line,), self._rest)
        return line.text

    def fault(self, line: int, message: str) -> None:
        self.faults.append(Fault(line, message))

    def _read(self) -> Iterator[_Line]:
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
            yield _Line(number, text, not reason)

    def _begin(self, raw: bytes) -> bytes:
        for magic, what in _FOREIGN:
            if raw.startswith(magic):
                raise RowsError(f"{self.name} is {what}. Nothing was sent.")
        return raw.removeprefix(_BOM)


def _decode(raw: bytes) -> tuple[str, str]:
    """Return the text, and what is wrong with it."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        return raw.decode(errors="replace"), f"is not UTF-8 (byte 0x{raw[exc.start]:02x}); save the file as UTF-8"
    return text, "holds a NUL byte; if the file is UTF-16, save it as UTF-8" if "\0" in text else ""


def _format_of(name: str, lines: _Lines) -> Format:
    suffix = Path(name).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    first = lines.first()
    if _is_header(first):
        return "csv"
    return "jsonl" if first.lstrip().startswith(("{", "[")) or _is_json_string(first) else "txt"


def _is_header(text: str) -> bool:
    names = [name.strip().strip('"') for name in text.strip().split(_delimiter(text))]
    return "prompt" in (name.lower() for name in names) and all(re.fullmatch(r"\w*", name) for name in names)


def _is_json_string(text: str) -> bool:
    try:
        return isinstance(json.loads(text), str)
    except ValueError:
        return False


def _txt(lines: _Lines) -> Iterator[Row]:
    for line in lines.good():
        prompt = line.text.strip()
        if "\r" in prompt:
            lines.fault(line.number, "holds a carriage return; save the file with LF or CRLF line ends")
        else:
            yield Row({"prompt": prompt}, line.number)


def _jsonl(lines: _Lines) -> Iterator[Row]:
    for line in lines.good():
        try:
            values = _parse_json(line.text)
        except _BadValueError as exc:
            lines.fault(line.number, str(exc))
            continue
        if isinstance(values, str):
            values = {"prompt": values}
        if not isinstance(values, dict):
            lines.fault(line.number, f"must be an object or a string, not {_JSON_NAMES[type(values)]}")
        elif faults := [*_unknown("key", values), *_bad_extra(values)]:
            lines.fault(line.number, "; ".join(faults))
        else:
            yield Row({name: value for name, value in values.items() if value is not None}, line.number)


def _csv(lines: _Lines) -> Iterator[Row]:
    header: list[str] | None = None
    for number, cells in _records(lines):
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            if lines.faults:
                return  # perhaps the header itself could not be read
            header = _header(lines, number, cells)
            continue
        extra = len(_trimmed(cells)) - len(header)
        if extra > 0:
            lines.fault(
                number,
                f"has {len(header) + extra} cells, the header has {len(header)}; "
                "put quotes around a cell that holds the separator",
            )
            continue
        values, faults = _convert(header, cells)
        if faults:
            lines.fault(number, "; ".join(faults))
        else:
            yield Row(values, number)


def _records(lines: _Lines) -> Iterator[tuple[int, list[str]]]:
    """Yield the CSV records that can be read, each with the line where it starts: a quoted cell may span lines."""
    start, sound = 0, True

    def feed() -> Iterator[str]:
        nonlocal start, sound
        for line in lines:
            start, sound = start or line.number, sound and line.sound
            yield line.text

    # Strict: else a quote that is never closed makes one prompt of all the rest of the file.
    reader = csv.reader(feed(), delimiter=_delimiter(lines.first()), strict=True)
    while True:
        start, sound = 0, True
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            lines.fault(start, _csv_reason(str(exc)))
            continue
        if sound:
            yield start, cells


def _csv_reason(message: str) -> str:
    if "unexpected end" in message:
        return "opens a quote that is never closed"
    if "field limit" in message:
        limit = csv.field_size_limit()
        return f"has a cell of more than {limit:,} characters; a quote may not be closed, or else use JSON Lines"
    if "new-line" in message:
        return "holds a carriage return; save the file with LF or CRLF line ends"
    return 'has text after a closing quote; write a quote inside a quoted cell twice ("")'


def _header(lines: _Lines, number: int, cells: list[str]) -> list[str]:
    """Return the column names. Raises RowsError at once: without them no row can be understood."""
    known = {name.lower(): name for name in (*PARAMETERS, EXTRA)}
    names = [known.get(name.lower(), name) for name in (cell.strip() for cell in _trimmed(cells))]
    faults = [Fault(number, message) for message in _unknown("column", names)]
    faults += [Fault(number, f"the column {name!r} is there twice") for name in _twice(names) if _plain(name)]
    if "prompt" not in names:
        faults.append(Fault(number, f"there is no column 'prompt'; the first line names the columns: {_known()}"))
    if faults:
        raise RowsError(_describe(lines.name, faults), faults=faults)
    return names


def _convert(header: list[str], cells: list[str]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    faults: list[str] = []
    for name, cell in zip(header, cells, strict=False):
        if not cell.strip():
            continue
        kind = "object" if name == EXTRA else PARAMETERS[name].get("type", "string")
        try:
            values[name] = _CONVERTERS[kind](cell)
        except _BadValueError as exc:
            faults.append(f"{name} {exc}")
    return values, [*faults, *_bad_extra(values)]


class _BadValueError(ValueError):
    """Why a text is not what it has to be. The text itself is not part of the message."""


def _integer(cell: str) -> int:
    # Spreadsheets and data frames write 1.0 where a column has empty cells.
    if not re.fullmatch(r"[+-]?[0-9]{1,18}(\.0*)?", cell.strip()):
        raise _BadValueError("must be a whole number")
    return int(cell.partition(".")[0])


def _number(cell: str) -> float:
    if not re.fullmatch(r"[+-]?([0-9]{1,18}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?", cell.strip()):
        raise _BadValueError("must be a number, with a point and not a comma for the fraction")
    return float(cell)


def _boolean(cell: str) -> bool:
    value = {"true": True, "1": True, "false": False, "0": False}.get(cell.strip().lower())
    if value is None:
        raise _BadValueError("must be true or false")
    return value


def _array(cell: str) -> list[Any]:
    value = _parse_json(cell)
    if not isinstance(value, list):
        raise _BadValueError('must be a JSON list, for example ["a", "b"]')
    return value


_CONVERTERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "string": str,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "array": _array,
    "object": lambda cell: _parse_json(cell),
}


def _parse_json(text: str) -> Any:
    """Parse strictly: a key given twice, NaN and half a character are mistakes here, and costly ones later."""
    if text.strip() in ("{", "["):
        raise _BadValueError("begins JSON that goes on over several lines; each line must hold one whole object")
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as exc:
        raise _BadValueError(f"is not valid JSON ({exc.msg}, at character {exc.pos + 1})") from None
    except UnicodeEncodeError:
        raise _BadValueError("holds half a character (a lone surrogate such as \\ud83d)") from None
    except RecursionError:
        raise _BadValueError("is nested too deeply") from None
    except _BadValueError:
        raise
    except ValueError:  # an integer with more digits than Python converts
        raise _BadValueError("holds a number with too many digits") from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name in _twice([name for name, _ in pairs]):
        raise _BadValueError(f"has the key {name!r} twice" if _plain(name) else "has a key twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise _BadValueError(f"holds {name}, which JSON does not have")


_JSON_NAMES: Final = {
    list: "a list",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _unknown(what: str, names: Iterable[str]) -> Iterator[str]:
    known = {name.lower(): name for name in (*PARAMETERS, EXTRA)}
    for name in names:
        if name in known.values():
            continue
        if not _plain(name):  # without a header line, prompts stand where names should
            yield f"a {what} has a name that is no parameter's; the names are: {_known()}"
            continue
        near = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
        hint = f"did you mean {known[near[0]]!r}?" if near else f"what the API takes beyond these goes into {EXTRA!r}"
        yield f"{name!r} is no parameter; {hint}"


def _bad_extra(values: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(values.get(EXTRA, {}), dict | None):
        yield f"{EXTRA} must be a JSON object"


def _plain(name: str) -> bool:
    """Tell whether a name is one, and not text that belongs elsewhere and must not be repeated."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}", name) is not None


def _twice(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _trimmed(cells: list[str]) -> list[str]:
    """Leave out the empty cells at the end, which spreadsheets like to add."""
    last = max((index for index, cell in enumerate(cells) if cell.strip()), default=-1)
    return cells[: last + 1]


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _known() -> str:
    return ", ".join((*PARAMETERS, EXTRA))


def _describe(name: str, faults: list[Fault]) -> str:
    if len(faults) == 1:
        return f"Nothing was sent. {name}, {faults[0]}."
    shown = [f"  - {fault}" for fault in faults[:_SHOWN_FAULTS]]
    if more := len(faults) - len(shown):
        shown.append(f"  - and {more:,} more")
    return "\n".join([f"Nothing was sent. {name} has {len(faults):,} faults:", *shown])


_PARSERS: Final[Mapping[str, Callable[[_Lines], Iterator[Row]]]] = {"jsonl": _jsonl, "csv": _csv, "txt": _txt}
