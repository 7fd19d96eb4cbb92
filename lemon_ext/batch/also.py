"""What else a batch can write of its results: a table for a colleague, a Parquet file, and the list of pictures that
makes its folder a data set (Hugging Face's ``imagefolder``).

Each is written whole or not at all, and can be written again: the journal holds it all.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from itertools import islice
from typing import Any, Final

from lemon_ext._files import write_whole
from lemon_ext.errors import ConfigurationError

from .columns import carried_name
from .journal import Entry, Journal, dumps
from .output import outcome

TABLE: Final = "results.csv"
PARQUET: Final = "results.parquet"
PICTURES: Final = "metadata.jsonl"
#: Rows that are held at once.
_HELD: Final = 1024
#: Names that a carried column does not take away.
_OURS: Final = frozenset(
    {"row", "id", "status", "paths", "task_id", "revised_prompt", "error", "cost", "seconds", "file_name", "image"}
)

Record = dict[str, Any]
#: The kind of each column: a type, and ``str`` for whatever is mixed or nested.
Kinds = Mapping[str, type]


def as_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the forms. Raises ValueError for what cannot be written; for what lacks an extra a ConfigurationError."""
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if unknown := sorted({*kinds} - {*WRITERS}):
        raise ValueError(f"also can be {', '.join(WRITERS)}, and not {', '.join(map(repr, unknown))}.")
    if "parquet" in kinds and find_spec("pyarrow") is None:
        raise ConfigurationError("Parquet needs what is not installed (pyarrow): pip install 'lemon-ext[parquet]'")
    return kinds


def write_also(journal: Journal, kinds: Iterable[str]) -> None:
    """Write the results in these forms, too. Raises OSError and JournalError."""
    for kind in kinds:
        WRITERS[kind][1](journal)


def files(kinds: Iterable[str]) -> list[str]:
    """Return the names of the files with these forms."""
    return [WRITERS[kind][0] for kind in kinds]


def _row(entry: Entry) -> Record:
    """Return a row as one flat record."""
    told = outcome(entry)
    record = {name: told[name] for name in ("row", "id", "status")} | _asked(told)
    record |= {"paths": "; ".join(told["paths"])}
    record |= {name: told[name] for name in ("task_id", "revised_prompt", "cost", "seconds")}
    return record | {"error": (told["error"] or {}).get("message")} | _carried(told)


def _pictures(entry: Entry) -> Iterator[Record]:
    """Yield a record for each saved picture of a row."""
    told = outcome(entry)
    for path, revised in zip(told["paths"], [*told["revised_prompts"], *[None] * len(told["paths"])], strict=False):
        known = {"file_name": path, "row": told["row"], "id": told["id"], "revised_prompt": revised}
        yield known | _asked(told) | _carried(told)


def _asked(told: Mapping[str, Any]) -> Record:
    return {name: value for name, value in told["request"].items() if name not in _OURS}


def _carried(told: Mapping[str, Any]) -> Record:
    return {carried_name(name, (*_OURS, *told["request"])): value for name, value in told["extra"].items()}


def _kinds(records: Iterable[Record]) -> Kinds:
    """Return the columns of all records, and what each holds."""
    found: dict[str, set[type]] = {}
    for record in records:
        for name, value in record.items():
            kinds = found.setdefault(name, set())
            if value is not None:
                kinds.add(str if type(value) is int and abs(value) >= 2**63 else type(value))
    return {name: _common(kinds) for name, kinds in found.items()}


def _common(kinds: set[type]) -> type:
    if kinds <= {int, float} and kinds:
        return float if float in kinds else int
    return bool if kinds == {bool} else str


def _even(record: Record, kinds: Kinds) -> Record:
    """Return a record with every column, each of its kind."""
    return {name: _of(kind, record.get(name)) for name, kind in kinds.items()}


def _of(kind: type, value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return kind(value) if kind is not str else json.dumps(value, ensure_ascii=False)


def _write_table(journal: Journal) -> None:
    kinds = _kinds(map(_row, journal.entries()))

    def lines() -> Iterator[str]:
        yield "\ufeff"  # without it, Excel takes UTF-8 for something else
        yield _line(map(safe_cell, kinds))
        for entry in journal.entries():
            yield _line(safe_cell(value) for value in _even(_row(entry), kinds).values())

    write_whole(journal.folder / TABLE, lines())


def _line(cells: Iterable[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()


#: How formulas begin. A number with its sign is none.
_FORMULA: Final = re.compile(r"[=@\t\r]|[+-](?!\d+([.,]\d+)?\Z)")


def safe_cell(cell: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula: some of the texts come from the API."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def _write_parquet(journal: Journal) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    kinds = _kinds(map(_row, journal.entries()))
    types = {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string()}
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])
    file = io.BytesIO()
    records = (_even(_row(entry), kinds) for entry in journal.entries())
    with ParquetWriter(file, schema) as writer:
        while held := list(islice(records, _HELD)):
            writer.write_table(pa.Table.from_pylist(held, schema))
    write_whole(journal.folder / PARQUET, [file.getvalue()])


def _write_pictures(journal: Journal) -> None:
    def records() -> Iterator[Record]:
        return (record for entry in journal.entries() for record in _pictures(entry))

    kinds = _kinds(records())
    write_whole(journal.folder / PICTURES, (dumps(_even(record, kinds)) + "\n" for record in records()))


#: By its name on the command line: the file, and what writes it.
WRITERS: Final[Mapping[str, tuple[str, Callable[[Journal], None]]]] = {
    "csv": (TABLE, _write_table),
    "parquet": (PARQUET, _write_parquet),
    "imagefolder": (PICTURES, _write_pictures),
}
