"""Tables of every kind as records: the line where each begins, and its cells. The first record names the columns.

Comma-separated and tab-separated text comes as strings; spreadsheets and Parquet files have kinds of their own.
"""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Collection, Iterator
from typing import IO, Any, Final
from zipfile import BadZipFile, ZipFile

from .cells import is_empty
from .source import Line, RowsError, Source

Record = tuple[int, list[Any]]

#: What stands in no text: then nothing is split.
_NOTHING: Final = "\x1f"
#: Lines and characters that a quoted cell of a tab-separated file may span.
_LONGEST_CELL: Final = 131_072
#: Rows that the sheets of spreadsheets end with.
_MOST_ROWS: Final = 2**20
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
    """Return what separates the cells: Excel's own line says so, or else the line that names the columns."""
    header = source.first()
    if (told := re.fullmatch(r'"?sep=(.)"?\s*', header, re.IGNORECASE)) is not None:
        next(source)
        return told[1]
    most = max(",;\t", key=header.count)
    return most if most in header else _NOTHING  # one column: its commas are text


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
    """Yield the records of a tab-separated file. Quotes are text, unless a cell is wholly quoted and needs it."""
    columns = 0
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


# ---- spreadsheets ----


def sheet_records(source: Source) -> Iterator[Record]:
    """Yield the rows of a spreadsheet (.xlsx, .ods). Raises RowsError for what it holds and a table has not."""
    try:
        import python_calamine as calamine
    except ImportError:
        raise source.refuse("is a spreadsheet. Install what reads it: pip install 'lemon-ext[tables]'") from None
    source.is_sheet = True
    file = source.seekable()
    if file.read(4) == b"\xd0\xcf\x11\xe0":
        raise source.refuse("is encrypted, or of an old Excel. Save it as .xlsx, without a password")
    file.seek(0)
    try:
        book = calamine.CalamineWorkbook.from_filelike(file)
        sheet = book.get_sheet_by_name(_chosen(source, book))
    except calamine.PasswordError:
        raise source.refuse("is encrypted. Save it without a password") from None
    except calamine.CalamineError as exc:
        raise source.refuse(f"is no spreadsheet that can be read ({exc})") from None
    if merged := sheet.merged_cell_ranges:
        where = ", ".join(f"{_cell_name(*begin)}:{_cell_name(*end)}" for begin, end in merged[:5])
        raise source.refuse(f"has merged cells in {sheet.name!r} ({where}). Unmerge them: each row is a prompt")
    content = _content(file, sheet.name)
    source.unread = _unread(content, sheet.start[1] if sheet.start else 0)
    hidden = _hidden(content, sheet.name)
    if not sheet.height:
        return
    for number, cells in enumerate(sheet.iter_rows(), 1):
        if number in hidden and width(cells):
            source.fault(number, "is hidden, by a filter or by hand, and would be sent; show it, or delete it")
        else:
            yield number, cells


def _chosen(source: Source, book: Any) -> str:
    """Return the name of the sheet to read: the one that was asked for, or the only one that holds anything."""
    names = list(book.sheet_names)
    if source.sheet is not None:
        if source.sheet not in names:
            raise source.refuse(f"has no sheet {source.sheet!r}. Its sheets: {', '.join(map(repr, names))}")
        return source.sheet
    filled = [name for name in names if book.get_sheet_by_name(name).height] or names[:1]
    if len(filled) > 1:
        raise source.refuse(f"has {len(filled)} sheets. Say which with --sheet: {', '.join(map(repr, filled))}")
    return str(filled[0])


def _cell_name(row: int, column: int) -> str:
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters}{row + 1}"


_FORMULA: Final = re.compile(rb'<c r="([A-Z]+\d+)"[^>]*>\s*<f\b(?:[^>]*/>|[^>]*>[^<]*</f>)\s*(?:<v\s*/>|<v></v>|</c>)')
_ERROR: Final = re.compile(rb'<c r="([A-Z]+\d+)"[^>]*\st="e"')


def _content(file: IO[bytes], sheet: str) -> bytes:
    """Return the XML of a sheet; for an .ods file, that of all its sheets. Nothing where it is of another kind."""
    file.seek(0)
    try:
        with ZipFile(file) as archive:
            part = _part(archive, sheet)
            return archive.read(part) if part is not None else b""
    except (BadZipFile, KeyError, OSError):
        return b""


def _unread(content: bytes, first: int) -> dict[int, str]:
    """Return the columns, by their places from the ``first`` one on, that hold what is read as empty cells, and what
    that is: formulas whose values are not in the file, or errors.
    """
    found: dict[int, str] = {}
    for pattern, what in (
        (_FORMULA, "the formula in {} has no value in the file. Open it in Excel or LibreOffice and save it there"),
        (_ERROR, "{} holds an error value such as #N/A"),
    ):
        for match in pattern.finditer(content):
            found.setdefault(_column(match[1]) - first, what.format(match[1].decode()))
    return found


def _column(cell: bytes) -> int:
    """Return the place of a cell's column, from 0."""
    place = 0
    for letter in cell.rstrip(b"0123456789"):
        place = place * 26 + letter - ord("A") + 1
    return place - 1


_ROW: Final = re.compile(rb"<(?:\w+:)?(?:row|table-row)\b[^>]*>")
_HIDDEN: Final = re.compile(rb'\s(?:hidden="(?:1|true)"|table:visibility="(?:filter|collapse)")')
_NUMBER: Final = re.compile(rb'\s(?:r|table:number-rows-repeated)="(\d+)"')


def _hidden(content: bytes, sheet: str) -> Collection[int]:
    """Return the numbers of the rows that a person does not see."""
    is_ods = b"<office:document-content" in content
    if is_ods:
        content = next((part for part in content.split(b"<table:table ")[1:] if _is_named(part, sheet)), b"")
    found: set[int] = set()
    number = 0
    for tag in _ROW.findall(content):
        given = _NUMBER.search(tag)
        first = int(given[1]) if given and not is_ods else number + 1
        number = number + int(given[1]) if given and is_ods else first
        if _HIDDEN.search(tag):
            found.update(range(first, min(number, first + _MOST_ROWS) + 1))
    return found


def _is_named(table: bytes, sheet: str) -> bool:
    name = re.search(r'\btable:name="([^"]*)"', table.partition(b">")[0].decode("utf-8", "replace"))
    return name is not None and html.unescape(name[1]) == sheet


def _part(archive: ZipFile, sheet: str) -> str | None:
    """Return where in a file a sheet is; for an .ods file, where all are. None for another kind of spreadsheet."""
    if "xl/workbook.xml" not in archive.namelist():
        return "content.xml" if "content.xml" in archive.namelist() else None
    links = {one["Id"]: one["Target"] for one in _tags(archive, "xl/_rels/workbook.xml.rels", "Relationship")}
    for one in _tags(archive, "xl/workbook.xml", "sheet"):
        if html.unescape(one["name"]) == sheet:
            target = links[next(value for name, value in one.items() if name.endswith(":id"))]
            return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"
    return None


def _tags(archive: ZipFile, part: str, tag: str) -> list[dict[str, str]]:
    text = archive.read(part).decode("utf-8", "replace")
    found = re.findall(rf"<(?:\w+:)?{tag}\s([^>]*)>", text)
    return [dict(re.findall(r'([\w:]+)\s*=\s*"([^"]*)"', attributes)) for attributes in found]


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


def width(cells: list[Any]) -> int:
    """Return how many cells there are, without the empty ones at the end that spreadsheets like to add."""
    return max((index for index, cell in enumerate(cells, 1) if not is_empty(cell)), default=0)
