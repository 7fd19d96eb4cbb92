"""The rows of a spreadsheet (.xlsx, .ods), and what it shows a person that its cells do not hold.

Merged cells, hidden rows, formulas without values and errors are read from the file itself.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from typing import IO, Any, Final, NamedTuple
from xml.etree import ElementTree as ET
from zipfile import BadZipFile, ZipFile

from .cells import width
from .source import Source
from .tables import Record

#: Places of cells are counted from 0 here, and told as a spreadsheet shows them.
Place = tuple[int, int]
_SHOWN: Final = 5


class _Marks(NamedTuple):
    """Merged cells, each from its first to its last, and the numbers of hidden rows."""

    merged: Sequence[tuple[Place, Place]]
    hidden: frozenset[int]


def sheet_records(source: Source) -> Iterator[Record]:
    """Yield the rows of a spreadsheet, from the one on that names the columns.

    Raises RowsError for a file that cannot be read. Rows that are merged, which no table has, are faults.
    """
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
    if sheet.height:
        yield from _rows(source, sheet, file)


def _rows(source: Source, sheet: Any, file: IO[bytes]) -> Iterator[Record]:
    rows, first = list(sheet.iter_rows()), (sheet.start or (0, 0))[1]
    marks, content = _marked(file, sheet)
    header = source.header_row or next((number for number, cells in enumerate(rows, 1) if width(cells)), 1)
    if header <= len(rows):
        source.unread = _unread(content, first, header)
        yield header, _names(rows, header, marks, first)
    below = [(begin, end) for begin, end in marks.merged if end[0] >= header]
    if below:
        where = ", ".join(f"{_cell_name(*begin)}:{_cell_name(*end)}" for begin, end in below[:_SHOWN])
        what = f"has merged cells in {sheet.name!r} ({where}); unmerge them: each row is a prompt"
        source.fault(max(header, below[0][0][0]) + 1, what)
    for number, cells in enumerate(rows[header:], header + 1):
        if number not in marks.hidden:
            yield number, cells
        elif width(cells) and not source.skip_hidden:
            source.fault(
                number, "hidden by a filter or by hand, and would be sent; show it, or leave it out: --skip-hidden"
            )


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


def _names(rows: Sequence[list[Any]], header: int, marks: _Marks, first: int) -> list[Any]:
    """Return the row that names the columns. A merged cell names all those that it spans: Notes, Notes 2, Notes 3."""
    names = list(rows[header - 1])
    for (top, left), (bottom, right) in marks.merged:
        if bottom == header - 1 and 0 <= left - first < len(names):
            name = rows[top][left - first]
            names[left - first] = name
            for place in range(left + 1, min(right, first + len(names) - 1) + 1):
                names[place - first] = f"{name} {place - left + 1}"
    return names


def _cell_name(row: int, column: int) -> str:
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters}{row + 1}"


def _column(letters: bytes) -> int:
    """Return the place of a column, from 0."""
    place = 0
    for letter in letters:
        place = place * 26 + letter - ord("A") + 1
    return place - 1


# ---- what the file says ----

_FORMULA: Final = re.compile(
    rb'<c r="([A-Z]+)(\d+)"[^>]*>\s*<f\b(?:[^>]*/>|[^>]*>[^<]*</f>)\s*(?:<v\s*/>|<v></v>|</c>)'
)
_ERROR: Final = re.compile(rb'<c r="([A-Z]+)(\d+)"[^>]*\st="e"')
_HIDDEN: Final = re.compile(rb'<row\b(?=[^>]*\shidden="(?:1|true)")[^>]*\sr="(\d+)"')


def _marked(file: IO[bytes], sheet: Any) -> tuple[_Marks, bytes]:
    """Return what marks the cells of a sheet, and, of an .xlsx file, the XML of the sheet."""
    file.seek(0)
    merged = sheet.merged_cell_ranges or ()
    try:
        with ZipFile(file) as archive:
            if "content.xml" in archive.namelist():
                with archive.open("content.xml") as content:
                    return _marked_open(content, sheet.name), b""
            part = _part(archive, sheet.name)
            text = archive.read(part) if part is not None else b""
    except (BadZipFile, KeyError, OSError, ET.ParseError):
        return _Marks(merged, frozenset()), b""
    return _Marks(merged, frozenset(int(number) for number in _HIDDEN.findall(text))), text


def _unread(content: bytes, first: int, header: int) -> dict[int, str]:
    """Return the columns, by their places from the ``first`` one on, that hold what is read as empty cells below the
    row of the names, and what that is: formulas whose values are not in the file, or errors.
    """
    found: dict[int, str] = {}
    for pattern, what in (
        (_FORMULA, "the formula in {} has no value in the file. Open it in Excel or LibreOffice and save it there"),
        (_ERROR, "{} holds an error value such as #N/A"),
    ):
        for column, row in pattern.findall(content):
            if int(row) > header:
                found.setdefault(_column(column) - first, what.format((column + row).decode()))
    return found


def _part(archive: ZipFile, sheet: str) -> str | None:
    """Return where in an .xlsx file a sheet is. None for another kind of spreadsheet."""
    if "xl/workbook.xml" not in archive.namelist():
        return None
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


_TABLE: Final = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
#: Rows that are repeated more often are the empty rest of a sheet.
_MOST_REPEATED: Final = 100_000


def _marked_open(content: IO[bytes], sheet: str) -> _Marks:
    """Return what marks the cells of a sheet of an OpenDocument file: calamine does not tell."""
    merged: list[tuple[Place, Place]] = []
    hidden: set[int] = set()
    inside, row, column = False, 0, 0
    for event, one in ET.iterparse(content, ("start", "end")):  # noqa: S314 - expat bounds what entities make
        kind = one.tag.removeprefix(_TABLE)
        if kind == "table" and event == "start":
            inside, row = inside or one.get(f"{_TABLE}name") == sheet, 0
        elif kind == "table" and inside:
            break
        elif inside and kind == "table-row" and event == "start":
            column = 0
        elif inside and kind in ("table-cell", "covered-table-cell") and event == "end":
            wide, high = (_times(one, f"number-{what}-spanned") for what in ("columns", "rows"))
            if wide > 1 or high > 1:
                merged.append(((row, column), (row + high - 1, column + wide - 1)))
            column += _times(one, "number-columns-repeated")
            one.clear()
        elif inside and kind == "table-row":
            times = _times(one, "number-rows-repeated")
            if one.get(f"{_TABLE}visibility", "visible") != "visible" and times < _MOST_REPEATED:
                hidden |= set(range(row + 1, row + times + 1))
            row += times
            one.clear()
    return _Marks(merged, frozenset(hidden))


def _times(one: ET.Element, name: str) -> int:
    return int(one.get(f"{_TABLE}{name}", "1"))
