"""Tables as records: the line where each begins, and its cells. The first record names the columns.

Comma-separated and tab-separated text comes as strings; Parquet files have kinds of their own, as spreadsheets do (see
`spreadsheet`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any, Final

from .source import Line, RowsError, Source

Record = tuple[int, list[Any]]

#: What stands in no text: then nothing is split.
_NOTHING: Final = "\x1f"
#: Lines and characters that a quoted cell of a tab-separated file may span.
_LONGEST_CELL: Final = 131_072
#: Rows of a Parquet file that are held at once.
_HELD: Final = 1024


# ---- text ----


def csv_records(source: Source) -> Iterator[Record]:
    """Yield the records of a CSV file that can be read: a quoted cell may span lines."""
    start, sound = 0, True

    def feed() -> Iterator[str]:
        nonlocal start, sound
        for line in source:
            start, sound = start or line.number, sound and line.sound
            yield line.text

    # Strict: else a quote that is never closed makes one prompt of all the rest of the file.
    separator = _separator(source)
    spaced = f"{separator} " in source.first()
    reader = csv.reader(feed(), delimiter=separator, strict=True, skipinitialspace=spaced)
    while True:
        start, sound = 0, True
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            source.fault(start, _csv_reason(str(exc)))
            continue
        if any(re.match(r'[ \t]+"', cell) for cell in cells):  # half of a quoted text would be the prompt
            source.fault(start, "has a blank before a quote, which opens no cell then; take it away")
        elif sound:
            yield start, cells


def _separator(source: Source) -> str:
    """Return what separates the cells: Excel's own line says so, or else the line that names the columns.

    What stands above that line is not read.
    """
    if (told := re.fullmatch(r'"?sep=(.)"?\s*', source.first(), re.IGNORECASE)) is not None:
        next(source)
    source.skip_to_header()
    return told[1] if told is not None else likeliest_separator(source.first())


def likeliest_separator(line: str) -> str:
    """Return what separates the cells of a line of text."""
    most = max(",;\t", key=line.count)
    return most if most in line else _NOTHING  # one column: its commas are text


def _csv_reason(message: str) -> str:
    if "unexpected end" in message:
        return "opens a quote that is never closed"
    if "field limit" in message:
        limit = csv.field_size_limit()
        return f"has a cell of more than {limit:,} characters; a quote may not be closed, or else use JSON Lines"
    if "new-line" in message:
        return "holds a carriage return; save the file with LF or CRLF line ends"
    return 'has text after a closing quote; write a quote inside a quoted cell twice ("")'


def tsv_records(source: Source) -> Iterator[Record]:
    """Yield the records of a tab-separated file. Quotes are text, unless a cell is wholly quoted and needs it, or all
    names of the columns are quoted: then whoever wrote it quotes as in CSV.
    """
    columns = 0
    source.skip_to_header()
    if all(_QUOTED.fullmatch(name) for name in source.first().rstrip("\r\n").split("\t")):
        yield from csv_records(source)
        return
    while (line := next(source, None)) is not None:
        if not (line.sound and line.text.strip()):
            continue
        text = line.text.rstrip("\r\n")
        if "\r" in text:
            source.fault(line.number, "holds a carriage return; save the file with LF or CRLF line ends")
            continue
        cells, opened = _tsv_cells(text)
        if opened:
            cells = _spanning(source, line, columns) or text.split("\t")
        columns = columns or len(cells)
        yield line.number, cells


_QUOTED: Final = re.compile(r'"((?:[^"]|"")*)"(?=\t|\Z)')
_OPEN: Final = re.compile(r'"(?:[^"]|"")*\Z')
_TEXT: Final = re.compile(r"[^\t]*")


def _tsv_cells(text: str) -> tuple[list[Any], bool]:
    """Split a record, and tell whether its last cell opens a quote that this text does not close."""
    cells: list[Any] = []
    at = 0
    while True:
        found = _QUOTED.match(text, at) if text.startswith('"', at) else None
        if found is None and _OPEN.match(text, at):
            return cells, True
        quoted = found[1] if found is not None else None
        end = found.end() if found is not None else _TEXT.match(text, at).end()  # type: ignore[union-attr]
        if quoted is None and "\n" in text[at:end]:
            return [], False  # no record: a line ends outside quotes
        needed = quoted is not None and re.search(r'[\t\n]|""', quoted)
        cells.append(quoted.replace('""', '"') if quoted is not None and needed else text[at:end])
        if end == len(text):
            return cells, False
        at = end + 1


def _spanning(source: Source, first: Line, columns: int) -> list[Any] | None:
    """Read on to where an open quote is closed. None, and nothing is taken, if it is not meant as one."""
    taken = [first]
    text = first.text
    while len(text) < _LONGEST_CELL and (line := next(source, None)) is not None:
        taken.append(line)
        text += line.text
        cells, opened = _tsv_cells(text.rstrip("\r\n").replace("\r\n", "\n"))
        if opened and line.sound:
            continue
        # A record whose lines are all whole by themselves is several records, and its quotes are text.
        whole = columns > 1 and all(one.text.count("\t") == columns - 1 for one in taken)
        if cells and line.sound and len(cells) == columns and not whole:
            return cells
        break
    source.put_back(*taken[1:])
    return None


# ---- Parquet ----


def parquet_records(source: Source) -> Iterator[Record]:
    """Yield the rows of a Parquet file, a few at a time: its columns' names first, as line 0."""
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise source.refuse("is a Parquet file. Install what reads it: pip install 'lemon-ext[parquet]'") from None
    source.is_sheet = True
    try:
        file = ParquetFile(source.seekable())
        yield 0, list(file.schema_arrow.names)
        if binary := [one.name for one in file.schema_arrow if _holds_bytes(one.type, pa.types)]:
            raise source.refuse(f"holds binary data in the column {binary[0]!r}. Write a file without it")
        number = 0
        for batch in file.iter_batches(batch_size=_HELD):
            for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                yield number, list(cells)
    except (pa.ArrowException, OSError) as exc:
        if isinstance(exc, RowsError):
            raise
        raise source.refuse(f"is no Parquet file that can be read ({str(exc).splitlines()[0]})") from None


def _holds_bytes(kind: Any, types: Any) -> bool:
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return True
    return any(_holds_bytes(kind.field(index).type, types) for index in range(kind.num_fields))
