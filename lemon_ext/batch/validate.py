"""Every row is checked before the first is sent, and before a folder is made."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from attrs import evolve

from lemon_ext._core import Validation, prepare
from lemon_ext.capabilities import Violation, describe
from lemon_ext.errors import CapabilityError

from .journal import dumps
from .rows import RowsError

Requests = Iterable[Mapping[str, Any]]


class Checked(NamedTuple):
    """A row that can be sent: its line in the input file, the JSON of its request, and the images it asks for."""

    line: int | None
    request: Mapping[str, Any]
    images: int


@contextmanager
def spooled(
    requests: Requests | None, defaults: Mapping[str, Any] | None, validation: Validation
) -> Iterator[Iterator[Checked] | None]:
    """Check all rows, and then give them one by one; a file holds them meanwhile, however many they are."""
    if requests is None:
        yield None
        return
    if isinstance(requests, str | bytes | os.PathLike | Mapping):
        raise TypeError(
            f"requests are rows, each a dict, and not {type(requests).__name__}. For a file: "
            "run_batch(lemon_ext.read_rows(path), folder)."
        )
    with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
        for row in checked(requests, defaults, validation):
            spool.write(dumps(row) + "\n")
        spool.seek(0)
        yield (Checked(*json.loads(line)) for line in spool)


def checked(requests: Requests, defaults: Mapping[str, Any] | None, validation: Validation) -> Iterator[Checked]:
    """Yield each row ready to be sent. Raises CapabilityError at the end, naming all that is wrong."""
    wrong: list[Violation] = []
    row = 0
    try:
        for row, request in enumerate(requests, 1):
            line = getattr(request, "line", None)
            where = f"row {row}" if line is None else f"row {row} (line {line})"
            try:
                yield _prepared(line, request, defaults, validation)
            except CapabilityError as exc:
                wrong += [evolve(one, parameter=f"{where}: {one.parameter}") for one in exc.violations]
            except (TypeError, ValueError) as exc:
                wrong.append(Violation(where, str(exc)))
    except RowsError as exc:
        if not exc.faults:
            raise
        wrong += [Violation(f"line {fault.line}", fault.message) for fault in exc.faults]
    if wrong:
        raise CapabilityError(describe(wrong), violations=wrong)
    if not row:
        raise CapabilityError("There are no rows. Nothing was sent.")


def _prepared(
    line: int | None, request: Mapping[str, Any], defaults: Mapping[str, Any] | None, validation: Validation
) -> Checked:
    if not isinstance(request, Mapping):
        raise TypeError(f"a row is a dict of parameters, not {type(request).__name__}")
    fields = {**(defaults or {}), **{k: v for k, v in request.items() if v is not None}}
    prompt, model, extra = (fields.pop(name, None) for name in ("prompt", "model", "extra_body"))
    prepared = prepare(prompt, model, fields, extra, validation)
    assert isinstance(prepared.body, Mapping)  # noqa: S101 - a generation's
    return Checked(line, prepared.body, min(prepared.n, 2**31))
