"""Every row is checked before the first is sent, and before a folder is made."""

from __future__ import annotations

import json
import os
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

from attrs import evolve, field, frozen
from lemon_client.model_table import DEFAULT_MODEL, PARAMETERS

from lemon_ext._request import Validation, prepare
from lemon_ext._warn import warn
from lemon_ext.capabilities import Violation, fanned_out
from lemon_ext.errors import CapabilityError
from lemon_ext.money import Estimate

from . import edits
from .cells import EXTRA, PICTURES, BadValueError
from .columns import Columns, id_of, meant, stem
from .journal import Incoming, dumps
from .source import Row, RowsError, grouped, listed

Requests = Iterable[Mapping[str, Any]]
#: Values of parameters; each row is sent with each of their combinations.
Grid = Mapping[str, Sequence[Any]]


def _some(given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return given or {}


@frozen
class Checks:
    """How rows are read and checked. ``defaults`` fill in what a row leaves out, ``grid`` makes several of each, and
    ``fan_out`` several of those that ask for more images than their model gives in one request.
    """

    defaults: Mapping[str, Any] = field(default=None, converter=_some)
    columns: Columns = field(factory=Columns)
    grid: Grid = field(default=None, converter=_some)
    fan_out: bool = False

    def __attrs_post_init__(self) -> None:
        for name, values in self.grid.items():
            if name not in PARAMETERS or name == "prompt":
                raise ValueError(f"{name!r} is no parameter that a grid can vary.")
            if isinstance(values, str) or not values:
                raise ValueError(f"The grid needs a list of values for {name!r}.")

    def requests(self, row: Row) -> Iterator[tuple[dict[str, Any], list[Any]]]:
        """Yield the fields of each request that a row stands for, and what tells it from the others."""
        for values in product(*self.grid.values()):
            fields = {**self.defaults, **row, **dict(zip(self.grid, values, strict=True))}
            parts = fanned_out({**fields, "model": fields.get("model") or DEFAULT_MODEL}) if self.fan_out else [fields]
            for number, part in enumerate(parts, 1):
                yield part, [*values, *([number] if len(parts) > 1 else [])]


@contextmanager
def spooled(
    requests: Requests | None, checks: Checks, validation: Validation, planned: Estimate
) -> Iterator[Iterator[Incoming] | None]:
    """Check all rows, count what they cost, and then give them one by one; a file holds them meanwhile, however many
    they are.
    """
    if requests is None:
        yield None
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
        for row in checked(requests, checks, validation):
            planned.add(row.request, row.images)
            spool.write(dumps(row) + "\n")
        spool.seek(0)
        yield (Incoming(*json.loads(line)) for line in spool)


def checked(requests: Requests, checks: Checks, validation: Validation) -> Iterator[Incoming]:
    """Yield each row ready to be sent. Raises CapabilityError at the end, naming all that is wrong."""
    _refuse_no_rows(requests)
    wrong: list[tuple[int, int | None, Violation]] = []
    odd: list[tuple[int, str]] = []
    ids = Ids()
    row = 0
    try:
        for given in requests:
            line = getattr(given, "line", None)
            try:
                read = _told_apart(given, checks)
            except (TypeError, ValueError) as exc:
                row += 1
                wrong.append((row, line, Violation("", str(exc))))
                continue
            sent = {*checks.defaults, *checks.grid, *read}
            odd += [(line or row + 1, one) for one in meant(sent, read.extra, read.carry)]
            for fields, differing in checks.requests(read):
                row += 1
                try:
                    made = _prepared(read, fields, differing, validation)
                    ids.take(row, made)
                    yield made
                except CapabilityError as exc:
                    wrong += [(row, line, one) for one in exc.violations]
                except (TypeError, ValueError) as exc:
                    wrong.append((row, line, Violation("", str(exc))))
    except RowsError as exc:
        if not exc.faults:
            raise
        wrong += [(0, fault.line, Violation("", fault.message)) for fault in exc.faults]
    if wrong:
        raise _error(wrong)
    if not row:
        raise CapabilityError("There are no rows. Nothing was sent.")
    _warn_of(grouped(odd, "line" if line else "row"))


def _warn_of(odd: Iterable[str]) -> None:
    for one in odd:
        warn(f"{one[0].upper()}{one[1:]}.")


def _refuse_no_rows(requests: object) -> None:
    if isinstance(requests, str | bytes | os.PathLike | Mapping):
        raise TypeError(
            f"requests are rows, each a dict, and not {type(requests).__name__}. For a file: "
            "run_batch(lemon_ext.read_rows(path), folder)."
        )
    for has, way in _FRAMES.items():
        if hasattr(requests, has):
            raise TypeError(f"requests are rows, each a dict, and not {type(requests).__name__}. Its rows are {way}.")


#: How data frames of polars, pandas and Arrow give their rows, by a method that each alone has.
_FRAMES = {
    "to_dicts": "df.iter_rows(named=True)",
    "iterrows": 'df.to_dict("records")',
    "to_pylist": "table.to_pylist()",
}


def _error(wrong: Sequence[tuple[int, int | None, Violation]]) -> CapabilityError:
    """Return one error for all that is wrong; the same mistake in many rows is said once."""

    def where(row: int, line: int | None) -> str:
        if line == 0:  # of a file without lines
            return "the columns"
        return f"row {row}" if line is None else f"line {line}"

    def said(one: Violation) -> str:
        return f"{one.parameter}: {one.message}" if one.parameter else one.message

    violations = [
        evolve(one, parameter=f"{where(row, line)}: {one.parameter}" if one.parameter else where(row, line))
        for row, line, one in wrong
    ]
    if len(violations) == 1:
        return CapabilityError(f"Nothing was sent. {violations[0]}.", violations=violations)
    told: dict[str, list[tuple[int, str]]] = {}
    for (row, line, one), violation in zip(wrong, violations, strict=True):
        told.setdefault(said(one), []).append((line if line is not None else row, str(violation)))
    of_file = any(line is not None for _, line, _ in wrong)
    lines = [
        found[0][1] if len(found) == 1 else grouped(((n, text) for n, _ in found), "line" if of_file else "row")[0]
        for text, found in told.items()
    ]
    if len(lines) == 1:
        return CapabilityError(f"Nothing was sent. {lines[0]}.", violations=violations)
    return CapabilityError(listed(f"Nothing was sent. {len(wrong):,} things are wrong:", lines), violations=violations)


def _told_apart(given: Mapping[str, Any], checks: Checks) -> Row:
    """Return a row with what is sent, what is carried along, and its id."""
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise TypeError(f'a row is a dict of parameters, such as {{"prompt": "a cat"}}, not {type(given).__name__}')
    line = getattr(given, "line", None)
    read = isinstance(given, Row)  # its columns were told apart when it was read
    parts, faults = (checks.columns if not read else Columns()).split(given, prompted="prompt" in checks.defaults)
    if twice := sorted(parts.values.keys() & checks.grid.keys()):
        faults = [*faults, f"sets {' and '.join(twice)}, and so does the grid; leave one out"]
    if faults:
        raise ValueError("; ".join(faults))
    if not isinstance(given, Row):
        return Row(parts.values, line, parts.id, parts.extra, checks.columns.carry)
    return Row(parts.values, line, parts.id or given.id, {**given.extra, **parts.extra}, given.carry)


def _prepared(row: Row, fields: dict[str, Any], differing: Sequence[Any], validation: Validation) -> Incoming:
    prompt, model, extra = (fields.pop(name, None) for name in ("prompt", "model", EXTRA))
    kept: Mapping[str, Any]
    if pictures := {one: fields.pop(one) for one in PICTURES if one in fields}:
        prepared, kept = edits.prepared(pictures, prompt, model, fields, extra, validation)
    else:
        prepared = prepare(prompt, model, fields, extra, validation)
        assert isinstance(prepared.body, Mapping)  # noqa: S101 - a generation's
        kept = prepared.body
    name = row.id
    if name is not None and differing:
        try:
            name = id_of("-".join([name, *map(_word, differing)]))
        except BadValueError as exc:
            raise ValueError(f"the id with {', '.join(map(str, differing))} appended {exc}") from None
    return Incoming(row.line, kept, min(prepared.n, 2**31), name, row.extra)


def _word(value: Any) -> str:
    """Return a value as it can stand in an id."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in str(value))


class Ids:
    """The ids so far. They are all different, and so are the names of the files that begin with them."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[int, int | None]] = {}
        self._any: bool | None = None

    def take(self, row: int, made: Incoming) -> None:
        """Raises ValueError for an id that cannot be one."""
        if self._any is None:
            self._any = made.id is not None
        elif self._any is not (made.id is not None):
            raise ValueError(
                f"has {'no id' if self._any else 'an id'}, and the rows before have {'one' if self._any else 'none'}"
            )
        if made.id is None:
            return
        files = stem(made.id, made.request.get("prompt"))
        # Many file systems do not tell small letters from capitals.
        for text, what in ((made.id, "has the id"), (f"\0{files}", "would have the file names")):
            key = hash(unicodedata.normalize("NFC", text).casefold())
            before, line = self._rows.setdefault(key, (row, made.line))
            if before != row:
                first = f"row {before}" if line is None else f"line {line}"
                raise ValueError(
                    f"{what} of {first}, too; every row needs its own. To carry the column of the ids along: --carry, "
                    "with its name"
                )
