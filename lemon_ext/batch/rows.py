"""The rows of a batch, read from a file: JSON Lines, JSON, CSV, tab-separated text, a spreadsheet, Parquet, or one
prompt a line.

Rows stream, but for a spreadsheet's. A line that cannot be used yields nothing; when the end is reached, one
`RowsError` names all of them. So read to the end before sending anything. Whether a *model* takes a row is not judged
here (see `capabilities`), only whether the row can be read and what its columns are (see `columns`).
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, get_args

from lemon_ext._warn import warn

from .cells import (
    BadValueError,
    as_text,
    carried,
    convert,
    is_empty,
    parse_json,
    parse_json_at,
    plain,
    trimmed,
    twice,
    width,
)
from .columns import PROMPT, Columns, Parts, Role, id_of, known, named_below, no_prompt
from .source import LONGEST_LINE, Fault, Row, RowsError, Source, known_encoding
from .spreadsheet import sheet_records
from .tables import Record, csv_records, likeliest_separator, parquet_records, tsv_records

__all__ = ("Fault", "Format", "Row", "RowsError", "read_rows")

Format = Literal["jsonl", "json", "csv", "tsv", "txt", "xlsx", "ods", "parquet"]

#: The formats that are no text.
_BINARY: Final = ("xlsx", "ods", "parquet")
#: The formats in which a line names the columns, and what is above it may be something else.
_SHEETS: Final = ("xlsx", "ods")
_TABLES: Final = ("csv", "tsv", *_SHEETS)
#: Lines among which the names of the columns are looked for.
_LOOKED_FOR: Final = 50
_SUFFIXES: Final[Mapping[str, Format]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "txt",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".xlsb": "xlsx",
    ".ods": "ods",
    ".parquet": "parquet",
}


def read_rows(
    source: str | os.PathLike[str],
    *,
    format: Format | None = None,  # noqa: A002 - the public name, as in the command line's --format
    stdin: BinaryIO | None = None,
    prompt_column: str | None = None,
    id_column: str | None = None,
    carry: Sequence[str] = (),
    strict_columns: bool = False,
    header_row: int | None = None,
    sheet: str | None = None,
    skip_hidden: bool = False,
    comments: bool = False,
    encoding: str | None = None,
) -> Iterator[Row]:
    """Yield the rows of a file, or of standard input for ``"-"``.

    The format follows the suffix (docs/batch.md) or else the first line, unless it is given. A column that is no
    parameter is carried along in ``row.extra`` and never sent; with ``strict_columns`` it is refused. ``carry`` names
    columns that are carried along whatever they are called. ``prompt_column`` names the prompts, ``id_column`` the ids
    of the rows. ``header_row`` is the line of a table, or the row of its sheet, that names the columns, where a title
    or the like stands above it. ``sheet`` is the sheet of a spreadsheet with several; ``skip_hidden`` leaves out its
    rows that are hidden, by a filter too. With ``comments``, a line of text that begins with ``#`` is none.
    ``encoding`` is that of a text file which is neither UTF-8 nor UTF-16 with a byte order mark, such as ``"cp1252"``.

    Raises OSError if the file cannot be read, and RowsError at the end if a line cannot be used, or earlier if none of
    the file can.
    """
    if format is not None and format not in get_args(Format):
        raise ValueError(f"format must be one of {', '.join(get_args(Format))}, not {format!r}")
    if header_row is not None and (type(header_row) is not int or header_row < 1):
        raise ValueError(f"header_row must be a line, counted from 1, and not {header_row!r}")
    name = "standard input" if source == "-" else str(source)
    if encoding is not None:
        known_encoding(encoding)
    columns = Columns(prompt_column, id_column, carry, strict_columns)
    with nullcontext(stdin or sys.stdin.buffer) if source == "-" else Path(source).open("rb") as file:
        how = {"sheet": sheet, "skip_hidden": skip_hidden, "comments": comments, "encoding": encoding}
        opened = Source(file, name, columns, header_row=header_row, **how)  # type: ignore[arg-type]
        kind, found = format or _format_of(opened), False
        if encoding is not None and kind in _BINARY:
            raise opened.refuse(f"is no text, so it has no encoding such as {encoding}")
        if header_row is not None and kind not in _TABLES:
            raise opened.refuse(f"is no table whose columns a line names ({kind}); leave out --header-row")
        if skip_hidden and kind not in _SHEETS:
            raise opened.refuse(f"is no spreadsheet ({kind}), so no row is hidden; leave out --skip-hidden")
        for row in _PARSERS[kind](opened):
            found = True
            yield row
    if opened.faults:
        raise opened.error()
    if not found:
        raise RowsError(f"{name} holds no prompts.")


def _format_of(source: Source) -> Format:
    """Tell the format by the suffix, or else by how the file begins. Raises RowsError where it may be either a table or
    one prompt a line: the lines of a table that are sent as prompts are wrong pictures, paid for.
    """
    suffix = Path(source.name).suffix.lower()
    known = _SUFFIXES.get(suffix)
    if known == "jsonl" and source.begins(rb"\["):
        return "json"
    if known not in (None, "txt"):
        return known
    found = _looks_like(source, one=known is None)
    if found and not known:
        return found
    if found or "\t" in source.first().strip():
        raise source.refuse(
            f"may be a table ({found or 'tsv'}), or text with one prompt a line. Say what it is: "
            f"--format {found or 'tsv'} or --format txt"
        )
    if suffix and not known:
        raise source.refuse(
            "has a suffix that does not tell its format. Say it, such as --format txt for one prompt a line"
        )
    return "txt"


def _looks_like(source: Source, *, one: bool) -> Format | None:
    """Return the format that a file begins like; None for text. Whether ``one`` word is the header of a table."""
    if source.begins(rb"PAR1"):
        return "parquet"
    if source.begins(rb'\[\s*[\[{"\]]'):
        return "json"
    if source.begins(rb'\{\s*["}]'):
        return "jsonl"
    first = source.first().strip()
    if re.fullmatch(r'"?sep=."?', first):
        return "csv"
    if _is_header(first, source.columns) and (one or first.strip('"').lower() != PROMPT):
        return "tsv" if "\t" in first else "csv"
    return "jsonl" if one and _is_json_string(first) else None


def _is_header(text: str, columns: Columns) -> bool:
    separator = max(",;\t", key=text.count)
    names = [name.strip().strip('"') for name in text.split(separator)]
    wanted = {name.strip().lower() for name in (PROMPT, f"{PROMPT}s", columns.prompt, columns.id) if name is not None}
    is_there = not wanted.isdisjoint(name.lower() for name in names)
    return is_there and all(re.fullmatch(r"[\w .:#()/-]{0,40}", name) for name in names)


def _is_json_string(text: str) -> bool:
    try:
        return isinstance(json.loads(text), str)
    except ValueError:
        return False


# ---- text, and JSON ----


def _txt(source: Source) -> Iterator[Row]:
    if named := [name for name in (source.columns.prompt, source.columns.id) if name is not None]:
        raise source.refuse(
            f"is read as one prompt a line, so it has no column {named[0]!r}. If it is a table, say so: --format csv"
        )
    for line in source.good():
        prompt = line.text.strip()
        if "\r" in prompt:
            source.fault(line.number, "holds a carriage return; save the file with LF or CRLF line ends")
        elif not (source.comments and prompt.startswith("#")):
            yield Row({PROMPT: prompt}, line.number)


def _jsonl(source: Source) -> Iterator[Row]:
    for line in source.good():
        try:
            value = parse_json(line.text)
        except BadValueError as exc:
            source.fault(line.number, str(exc))
        else:
            yield from _json_row(source, line.number, value)


def _json(source: Source) -> Iterator[Row]:
    """Read a list, one of its values at a time."""
    for line, value in _values(source):
        yield from _json_row(source, line, value)


_BLANK: Final = re.compile(r"[ \t\r\n]*")


def _values(source: Source) -> Iterator[tuple[int, Any]]:
    """Yield the values of a JSON list, each with the line where it begins."""
    pieces = source.text()
    text, at, line = "", 0, 1
    expected = "["  # or a comma, or a value: ""
    while True:
        begin = _BLANK.match(text, at).end()  # type: ignore[union-attr]
        line += text.count("\n", at, begin)
        at = begin
        if at == len(text):
            piece = next(pieces, None)
            if piece is None:
                if expected != "end":
                    source.fault(line, "ends before its list does")
                return
            text, at = piece, 0
        elif expected == "" and text[at] != "]":
            try:
                value, end = parse_json_at(text, at)
            except BadValueError as exc:
                more = next(pieces, None) if len(text) - at < LONGEST_LINE else None
                if more is None:
                    source.fault(line, str(exc))
                    return
                text, at = text[at:] + more + "".join(_some(pieces, len(text) - at)), 0
                continue
            yield line, value
            line += text.count("\n", at, end)
            at, expected = end, ","
        elif text[at] == "]" and expected in ("", ","):
            at, expected = at + 1, "end"
        elif text[at] == expected:
            at, expected = at + 1, ""
        else:
            source.fault(
                line, "is no JSON list: " + ("it goes on" if expected == "end" else f"{expected!r} is missing")
            )
            return


def _some(pieces: Iterator[str], characters: int) -> Iterator[str]:
    """Take as much again as there was, so that a long value is not parsed again and again."""
    while characters > 0 and (piece := next(pieces, None)) is not None:
        characters -= len(piece)
        yield piece


def _json_row(source: Source, line: int, value: Any) -> Iterator[Row]:
    if isinstance(value, str):
        value = {PROMPT: value}
    if not isinstance(value, dict):
        source.fault(line, f"must be an object or a string, not {_JSON_NAMES[type(value)]}")
        return
    of_openai = "custom_id" in value or (PROMPT not in value and not _BATCH.isdisjoint(value))
    if of_openai and isinstance(value.get("body"), dict):
        parts, faults = _of_openai(source.columns, value)
    else:
        parts, faults = source.columns.split(value)
    if faults:
        source.fault(line, "; ".join(faults))
    else:
        yield Row(parts.values, line, parts.id, parts.extra, source.columns.carry)


#: What tells a line of an OpenAI batch, beside its ``body``.
_BATCH: Final = frozenset({"custom_id", "method", "url"})


def _of_openai(columns: Columns, value: Mapping[str, Any]) -> tuple[Parts, list[str]]:
    """Tell a line of an OpenAI batch apart, and what is wrong with it. All of its ``body`` is meant for the API, so
    nothing in there is left out silently.
    """
    beside = {name: one for name, one in value.items() if name not in (*_BATCH, "body")}
    parts, faults = Columns(columns.prompt, carry=columns.carry, strict=True).split(value["body"])
    faults += [
        f"{name!r} stands beside the body, where nothing is sent; put it into it"
        for name in beside
        if name.strip().lower() in known()
    ]
    if not (url := str(value.get("url", "generations")).rstrip("/")).endswith("generations"):
        path = f" ({url})" if re.fullmatch(r"[\w:/.-]{1,80}", url) else ""
        faults = [f"is for another endpoint{path}; a batch sends images/generations, so take such lines out"]
    identity = None
    try:
        identity = id_of(value["custom_id"]) if "custom_id" in value else None
    except BadValueError as exc:
        faults.append(f"custom_id {exc}")
    return Parts(parts.values, {**carried(beside), **parts.extra}, identity), faults


_JSON_NAMES: Final = {
    list: "a list",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


# ---- tables ----


def _table(records: Callable[[Source], Iterator[Record]]) -> Callable[[Source], Iterator[Row]]:
    """Return the parser of a kind of table: its first record names the columns."""

    def parse(source: Source) -> Iterator[Row]:
        header: list[tuple[str, Role]] | None = None
        lines = records(source)
        for number, cells in lines:
            if not (size := width(cells)):
                continue
            if header is None:
                if source.faults:
                    return  # perhaps the header itself could not be read
                if source.header_row not in (None, number):
                    break
                header = _header(source, number, cells[:size], lines)
            elif size > len(header):
                what = f"has {size} cells, the header has {len(header)}"
                advice = "name every column" if source.is_sheet else "put quotes around a cell that holds the separator"
                source.fault(number, f"{what}; {advice}")
            else:
                yield from _table_row(source, number, header, cells)
        if header is None and source.header_row is not None:
            raise source.refuse(f"has nothing in line {source.header_row}, which --header-row names")

    return parse


def _header(source: Source, number: int, cells: Sequence[Any], lines: Iterator[Record]) -> list[tuple[str, Role]]:
    """Return the columns. Raises RowsError at once: without them no row can be understood."""
    names = _names(cells)
    # Data frames write their index first, under no name, and into a Parquet file at any place.
    indexes = {at for at, name in enumerate(names) if re.fullmatch(r"__index_level_\d+__", name)}
    if len(names) > 1 and re.fullmatch(r"(Unnamed: \d+)?", names[0]):
        indexes.add(0)
    named = [name for at, name in enumerate(names) if name and at not in indexes]
    roles = source.columns.roles(named)
    faults = list(roles.faults)
    faults += [f"the column {name!r} is there twice" for name in twice(named) if plain(name)]
    if not any(role.parameter == PROMPT for role in roles.of.values()):
        if number and (elsewhere := named_below(source.columns, named, _below(source, lines))):
            faults = [elsewhere]
        elif not faults:
            faults.append(no_prompt(text=not source.is_sheet, headed=number > 0))
    for fault in faults:
        source.fault(number, fault)
    if faults:
        raise source.error()
    columns = [(name, roles.of.get(name, _NAMELESS)) for name in names]
    for place, what in source.unread.items():
        name, role = columns[place] if 0 <= place < len(columns) else ("", _NAMELESS)
        if role.parameter is not None or role.is_id:
            raise source.refuse(f"cannot be used: {what}")
        if name:
            warn(
                f"{source.name}: {what}. It is carried along as an empty cell, and so are others like it in its column."
            )
    return [("", _LEFT_OUT) if at in indexes else column for at, column in enumerate(columns)]


def _below(source: Source, lines: Iterator[Record]) -> list[tuple[int, list[str]]]:
    """Return what stands in the next lines of a table that cannot be read as it is: the cells that are not empty."""
    faults = len(source.faults)
    if source.is_sheet:
        found = list(islice(lines, _LOOKED_FOR))
    else:  # as lines: what separates their cells need not be what separates those of a title
        text = islice(source.good(), _LOOKED_FOR)
        found = [(line.number, line.text.replace('"', "").split(likeliest_separator(line.text))) for line in text]
    del source.faults[faults:]
    return [(number, names) for number, cells in found if (names := [name for name in _names(cells) if name])]


def _names(cells: Sequence[Any]) -> list[str]:
    return ["" if is_empty(cell) else _name(cell) for cell in cells]


def _name(cell: Any) -> str:
    try:
        return trimmed(as_text(cell))
    except BadValueError:
        return str(cell)


_NAMELESS: Final = Role("")
_LEFT_OUT: Final = Role(left_out=True)


def _table_row(source: Source, number: int, header: Sequence[tuple[str, Role]], cells: Sequence[Any]) -> Iterator[Row]:
    if len(cells) >= len(header) and all(
        isinstance(cell, str) and trimmed(cell) == name for (name, _), cell in zip(header, cells, strict=False) if name
    ):
        source.fault(number, "names the columns again; take it away")
        return
    row, faults = Row({}, number, carry=source.columns.carry), []
    for (name, role), cell in zip(header, cells, strict=False):
        if role.left_out or (is_empty(cell) and not role.is_id):
            continue
        if role is _NAMELESS:
            faults.append("a cell stands in a column without a name; name it where the others are named")
            continue
        try:
            if role.is_id:
                row.id = id_of("" if is_empty(cell) else cell)
            elif role.parameter is not None:
                row[role.parameter] = convert(role.parameter, cell)
            else:
                row.extra[name] = cell.strip() if isinstance(cell, str) else carried(cell)
        except BadValueError as exc:
            faults.append(f"{role.parameter or (name if plain(name) else 'a column')} {exc}")
    if faults:
        source.fault(number, "; ".join(faults))
    else:
        yield row


_PARSERS: Final[Mapping[str, Callable[[Source], Iterator[Row]]]] = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _table(csv_records),
    "tsv": _table(tsv_records),
    "txt": _txt,
    "xlsx": _table(sheet_records),
    "ods": _table(sheet_records),
    "parquet": _table(parquet_records),
}
