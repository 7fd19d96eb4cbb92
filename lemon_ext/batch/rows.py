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
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, get_args

from lemon_ext._warn import warn

from .cells import BadValueError, carried, convert, is_empty, parse_json, parse_json_at, plain, twice
from .columns import PROMPT, Columns, Role, id_of, no_prompt
from .source import LONGEST_LINE, Fault, Row, RowsError, Source, known_encoding
from .tables import Record, csv_records, parquet_records, sheet_records, tsv_records, width

__all__ = ("Fault", "Format", "Row", "RowsError", "read_rows")

Format = Literal["jsonl", "json", "csv", "tsv", "txt", "xlsx", "ods", "parquet"]

#: The formats that are no text.
_BINARY: Final = ("xlsx", "ods", "parquet")
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
    sheet: str | None = None,
    comments: bool = False,
    encoding: str | None = None,
) -> Iterator[Row]:
    """Yield the rows of a file, or of standard input for ``"-"``.

    The format follows the suffix (docs/batch.md) or else the first line, unless it is given. A column that is no
    parameter is carried along in ``row.extra`` and never sent; with ``strict_columns`` it is refused. ``carry`` names
    columns that are carried along whatever they are called. ``prompt_column`` names the prompts, ``id_column`` the ids
    of the rows. ``sheet`` is the sheet of a spreadsheet with several; with ``comments``, a line of text that begins
    with ``#`` is none. ``encoding`` is that of a text file which is not UTF-8, such as ``"cp1252"``.

    Raises OSError if the file cannot be read, and RowsError at the end if a line cannot be used, or earlier if none of
    the file can.
    """
    if format is not None and format not in get_args(Format):
        raise ValueError(f"format must be one of {', '.join(get_args(Format))}, not {format!r}")
    name = "standard input" if source == "-" else str(source)
    if encoding is not None:
        known_encoding(encoding)
    columns = Columns(prompt_column, id_column, carry, strict_columns)
    with nullcontext(stdin or sys.stdin.buffer) if source == "-" else Path(source).open("rb") as file:
        opened = Source(file, name, columns, sheet=sheet, comments=comments, encoding=encoding)
        kind, found = format or _format_of(opened), False
        if encoding is not None and kind in _BINARY:
            raise opened.refuse(f"is no text, so it has no encoding such as {encoding}")
        for row in _PARSERS[kind](opened):
            found = True
            yield row
    if opened.faults:
        raise opened.error()
    if not found:
        raise RowsError(f"{name} holds no prompts.")


def _format_of(source: Source) -> Format:
    known = _SUFFIXES.get(Path(source.name).suffix.lower())
    if known in ("jsonl", None) and source.begins_with(b"["):
        return "json"
    if known is not None:
        return known
    if source.begins_with(b"PAR1"):
        return "parquet"
    first = source.first()
    if re.fullmatch(r'"?sep=."?', first.strip()):
        return "csv"
    if _is_header(first):
        return "tsv" if "\t" in first else "csv"
    return "jsonl" if first.lstrip().startswith("{") or _is_json_string(first) else "txt"


def _is_header(text: str) -> bool:
    separator = max(",;\t", key=text.count)
    names = [name.strip().strip('"') for name in text.strip().split(separator)]
    return PROMPT in (name.lower() for name in names) and all(re.fullmatch(r"\w*", name) for name in names)


def _is_json_string(text: str) -> bool:
    try:
        return isinstance(json.loads(text), str)
    except ValueError:
        return False


# ---- text, and JSON ----


def _txt(source: Source) -> Iterator[Row]:
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
    columns, identity = source.columns, None
    if isinstance(value.get("body"), dict) and "custom_id" in value:  # the form of OpenAI's batches
        try:
            identity = id_of(value["custom_id"])
        except BadValueError as exc:
            source.fault(line, f"custom_id {exc}")
            return
        if not str(value.get("url", "generations")).rstrip("/").endswith("generations"):
            source.fault(line, "is not for the generation of images, by its url")
            return
        # All of it is meant for the API: nothing is left out silently.
        columns, value = Columns(columns.prompt, carry=columns.carry, strict=True), value["body"]
    parts, faults = columns.split(value)
    if faults:
        source.fault(line, "; ".join(faults))
    else:
        yield Row(parts.values, line, identity or parts.id, parts.extra)


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
        for number, cells in records(source):
            if not (size := width(cells)):
                continue
            if header is None:
                if source.faults:
                    return  # perhaps the header itself could not be read
                header = _header(source, number, cells[:size])
            elif size > len(header):
                what = f"has {size} cells, the header has {len(header)}"
                advice = "name every column" if source.is_sheet else "put quotes around a cell that holds the separator"
                source.fault(number, f"{what}; {advice}")
            else:
                yield from _table_row(source, number, header, cells)

    return parse


def _header(source: Source, number: int, cells: Sequence[Any]) -> list[tuple[str, Role]]:
    """Return the columns. Raises RowsError at once: without them no row can be understood."""
    names = [cell.strip() if isinstance(cell, str) else "" if is_empty(cell) else str(cell) for cell in cells]
    # Data frames write their index first, under no name.
    index = len(names) > 1 and re.fullmatch(r"(Unnamed: \d+|__index_level_\d+__)?", names[0]) is not None
    named = [name for name in names[int(index) :] if name]
    roles = source.columns.roles(named)
    faults = list(roles.faults)
    faults += [f"the column {name!r} is there twice" for name in twice(named) if plain(name)]
    if not any(role.parameter == PROMPT for role in roles.of.values()) and not faults:
        faults.append(no_prompt(sheet=source.is_sheet))
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
    return [("", _LEFT_OUT), *columns[1:]] if index else columns


_NAMELESS: Final = Role("")
_LEFT_OUT: Final = Role("", is_id=True)


def _table_row(source: Source, number: int, header: Sequence[tuple[str, Role]], cells: Sequence[Any]) -> Iterator[Row]:
    row, faults = Row({}, number), []
    for (name, role), cell in zip(header, cells, strict=False):
        if role is _LEFT_OUT or (is_empty(cell) and not role.is_id):
            continue
        if role is _NAMELESS:
            first = "row" if source.is_sheet else "line"
            faults.append(f"a cell stands in a column without a name; name it in the first {first}")
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
