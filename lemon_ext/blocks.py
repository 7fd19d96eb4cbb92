"""Rows in, rows out, for pipelines: whatever engine hands out the blocks, restarts them, and hands one out twice.

Engines run a block again when its machine died, and some when it is slow. `arun_block` may be called with the same rows
as often as they like, at the same time, too: the journal in PostgreSQL knows what was paid, and the pictures are kept
where they outlive the machine before their row counts as saved. `lemon_ext.ray` is this for Ray Data.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import anyio
from anyio.to_thread import run_sync
from attrs import define, field

from ._warn import warn
from ._words import count
from .batch.address import MARK, Address, Mark
from .batch.columns import Columns
from .batch.destination import Destination
from .batch.journal import Incoming, known_by
from .batch.keepers import DatabaseKeeper, Keeper, StoreKeeper
from .batch.limits import Limits
from .batch.options import Options
from .batch.output import RESULTS
from .batch.validate import Checks, Ids, checked
from .batch.work import Batch
from .client import AsyncLemon, Lemon
from .errors import CapabilityError, LemonError
from .money import Budget

__all__ = ("arun_block", "run_block")


async def arun_block(
    rows: Iterable[Mapping[str, Any]],
    *,
    journal: str,
    key: str | None = None,
    prompt_column: str | None = None,
    store: str | os.PathLike[str] | None = None,
    client: Lemon | AsyncLemon | None = None,
    defaults: Mapping[str, Any] | None = None,
    deadline: float = 600.0,
    concurrency: int = 64,
    max_images: int | None = None,
    budget: str | float | Decimal | None = None,
    allow_unknown_price: bool = False,
) -> list[dict[str, Any]]:
    """Generate the images of a block of rows, and return one outcome for each, in their order. **Each row is billed
    once**, however often, wherever and by how many at once this is called with it.

    ``journal`` is the address of a database (docs/scale.md), whose batch the block is a part of. ``key`` is the column
    that names a row in it; without one, a row is known by what it asks for, and equal rows of different blocks share
    one picture. Columns that are no parameters of `Images.generate` are left alone, ``defaults`` fill in what a row
    leaves out. All workers keep one rate limit, that of their clients.

    An outcome has ``status`` (as in the results of a batch, or ``invalid``: it could not be sent), ``task_id``,
    ``cost`` (US dollars, a decimal as text) and ``error`` (None, or what was wrong). Its picture is ``image``, or with
    a ``store`` it is kept there and ``path`` says where: the address of an object store (``s3://bucket/images``), or a
    folder that all machines see. Where a row has several, the others are ``more_images`` or ``more_paths``. Without a
    store, the pictures are kept in the database until its schema is dropped.

    ``max_images`` and ``budget`` (US dollars) are for the whole batch: what all calls have sent counts, whoever made
    them (docs/money.md). A row for which they leave no room is not sent and comes out as ``waiting``, without a
    ``task_id``, and ``error`` says so; another call with higher ones sends it. So does a row whose price is not known,
    where there is a budget, unless ``allow_unknown_price`` counts it as nothing.

    A row's failure is an outcome, also when nothing more can be sent: another call goes on. Rows that another worker
    works on are waited for. ``client``: one to use, left open; None makes one from the environment. Raises JournalError
    if the database cannot be used, or a key was used for another request that is paid for; BudgetError for a budget
    that is no amount; ValueError for other numbers that make no sense; ConfigurationError and MissingKeyError.
    """
    limits = Limits(max_images, Budget.of(budget, allow_unknown_price))
    options = Options(
        deadline, concurrency=concurrency, max_images=limits.max_images, budget=limits.budget, gallery=False
    )
    given = AsyncLemon() if client is None else client
    try:
        columns = Columns(prompt_column, key)
        block = _Block(columns, Checks(defaults, columns), given, limits, store is not None)
        block.read(rows)
        if block.sent:
            keeper = await run_sync(partial(_keeper, Address.of(journal), store))
            try:
                await _work(block, keeper, options, journal)
            finally:
                await run_sync(keeper.close)
        return block.outcomes
    finally:
        if client is None and isinstance(given, AsyncLemon):
            with anyio.CancelScope(shield=True):
                await given.aclose()


def run_block(rows: Iterable[Mapping[str, Any]], **options: Any) -> list[dict[str, Any]]:
    """Blocking twin of `arun_block`, in an event loop of its own."""
    return anyio.run(partial(arun_block, list(rows), **options))


async def _work(block: _Block, keeper: Keeper, options: Options, journal: str) -> None:
    """Work a block off in a folder of its own. The folder stays if it holds what is nowhere else."""
    folder, kept = Path(mkdtemp(prefix="lemon-")), {RESULTS, MARK}

    def keep(row: int, path: Path) -> None:
        keeper.put(_batch_of(folder), row, path)
        kept.add(path.name)

    try:
        place = Destination(folder)
        batch = Batch(block.sent, place, block.client, block.checks, options, None, (), journal, part=True, keep=keep)
        await batch.run(_nobody)
        await run_sync(block.take, folder, keeper, batch.stopped)
    finally:
        _leave(folder, kept)


def _batch_of(folder: Path) -> str:
    """Return the id of the batch that a block is a part of. Its folder knows it before there is a picture."""
    mark = Mark.in_folder(folder)
    assert mark is not None  # noqa: S101 - whoever opened the journal has left it
    return mark.batch_id


def _leave(folder: Path, kept: set[str]) -> None:
    if left := sum(path.name not in kept for path in folder.iterdir()):
        warn(f"{count(left, 'file')} that could not be kept elsewhere stay in {folder}.")
    else:
        shutil.rmtree(folder, ignore_errors=True)


async def _nobody(_outcome: Mapping[str, Any]) -> None:
    """Outcomes are read at the end: those of other workers are not told as they come."""


@define
class _Block:
    """The rows of a block, and what became of each."""

    columns: Columns
    checks: Checks
    client: Lemon | AsyncLemon
    limits: Limits
    is_stored: bool
    sent: list[dict[str, Any]] = field(factory=list)
    outcomes: list[dict[str, Any]] = field(factory=list)
    #: The place of each row that is sent, by what the journal knows it by.
    _places: dict[str, int] = field(factory=dict)

    def read(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Check each row. What cannot be sent is an outcome."""
        ids, seen = Ids(), Counter[bytes]()
        for place, row in enumerate(rows):
            self.outcomes.append(self._outcome("invalid"))
            given = self._parameters(row)
            try:
                (made,) = checked([given], self.checks, self.client._core.validation)
                ids.take(place, made)
            except (CapabilityError, TypeError, ValueError) as exc:
                self.outcomes[place]["error"] = str(exc)
            else:
                self.sent.append(given)
                self._places[known_by(made, seen)] = place

    def _parameters(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is sent of a row, and its key. Raises ValueError for a column that is almost a parameter's."""
        roles = self.columns.roles(tuple(row))
        if roles.faults:
            raise ValueError(f"The columns cannot be used: {'; '.join(roles.faults)}. Nothing was sent.")
        ours = (name for name, role in roles.of.items() if role.parameter or role.is_id)
        return {name: value for name in ours if (value := _plain(row[name])) is not None}

    def take(self, folder: Path, keeper: Keeper, stopped: str | None) -> None:
        """Read what became of the rows, and their pictures."""
        seen = Counter[bytes]()
        with (folder / RESULTS).open(encoding="utf-8") as results:
            for told in map(json.loads, results):
                place = self._places[known_by(Incoming(None, told["request"], 1, told["id"]), seen)]
                error = (told["error"] or {}).get("message")
                if error is None and told["status"] == "waiting":
                    error = self._unsent(told, stopped) if told["submitted_at"] is None else stopped
                known = {name: told[name] for name in ("status", "task_id", "cost")}
                self.outcomes[place] = self._outcome(**known, error=error) | self._pictures(told, folder, keeper)

    def _unsent(self, told: Mapping[str, Any], stopped: str | None) -> str | None:
        reason = self.limits.never(Incoming(None, told["request"], 1)) or stopped
        return None if reason is None else f"Not sent: {reason}."

    def _outcome(self, status: str, **known: Any) -> dict[str, Any]:
        picture, more = ("path", "more_paths") if self.is_stored else ("image", "more_images")
        return {"status": status, "task_id": None, "cost": None, "error": None, picture: None, more: [], **known}

    def _pictures(self, told: Mapping[str, Any], folder: Path, keeper: Keeper) -> dict[str, Any]:
        """Return the pictures of a row, or where they are."""
        row, names = told["row"], told["paths"]
        if not names:
            return {}
        batch = _batch_of(folder)
        if self.is_stored:
            first, *more = [keeper.address(batch, row, name) for name in names]
            return {"path": first, "more_paths": more}
        try:
            image, *images = [_read(folder / name) or keeper.get(batch, row, name) for name in names]
        except (LemonError, OSError) as exc:
            return {"error": f"The picture was made and saved, and cannot be read again: {exc}"}
        return {"image": image, "more_images": images}


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _keeper(address: Address, store: str | os.PathLike[str] | None) -> DatabaseKeeper | StoreKeeper:
    return DatabaseKeeper(address) if store is None else StoreKeeper(store)


def _plain(value: Any) -> Any:
    """Return a cell as Python has it: pipelines hand out NumPy's scalars and arrays, and NaN for what is missing."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value
