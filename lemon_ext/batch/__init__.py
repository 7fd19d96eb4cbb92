"""Many prompts: nothing lost, nothing paid twice, and as fast as the rate limit allows.

`run_batch` and `arun_batch` take plain dicts and give plain dicts; everything that happens is written down in the
batch's folder (`journal`), so the same call again goes on where an earlier one ended, however it ended. These are the
calls; a batch at work is `work.Batch`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import anyio
from attrs import evolve, frozen
from lemon_client.model_table import PARAMETERS

from lemon_ext import _clock
from lemon_ext._duration import GIVE_UP_AFTER
from lemon_ext._inputs import OPERATION
from lemon_ext._request import Validation
from lemon_ext.client import AsyncLemon, Lemon
from lemon_ext.money import Budget, Estimate, quote

from .address import Address
from .also import as_kinds, files, write_also
from .blocking import read
from .cells import EXTRA, PICTURES
from .cells import convert as cell_value
from .columns import ID, OURS, Columns, carried_name
from .destination import Destination
from .folder import is_known, mark, refuse_orphans
from .journal import Journal
from .last_run import LastRun
from .output import (
    Progress,
    export,
    is_unknown,
    outage_of,
    outage_of_all,
    outcome,
    workers_of,
)
from .rows import Row, read_rows
from .stores import copied_journal, read_journal
from .validate import Checks, Grid, Requests, checked, spooled
from .work import Batch, OnProgress, forms_of, spend

__all__ = (
    "Plan",
    "Progress",
    "Row",
    "address_shown",
    "arun_batch",
    "as_kinds",
    "batch_needs",
    "batch_status",
    "cell_value",
    "export_results",
    "plan_batch",
    "read_rows",
    "rows_to_edit",
    "run_batch",
)

#: Outcomes that wait for their reader before the work does.
UNREAD: Final = 1000
#: Seconds by which the rate of a batch at work is told.
LATELY: Final = 300.0


@frozen
class Plan:
    """What a batch would send: ``rows`` requests, ``images`` asked for in all, the rows of each model, and the cost.
    ``others`` are rows of a begun folder that nothing is sent for: they have ended, or are under way. There ``spent``
    is what earlier tries cost, or may have cost, and ``images_sent`` how many images they asked for.
    """

    rows: int
    images: int
    models: Mapping[str, int]
    cost: Estimate
    others: int = 0
    spent: Decimal = Decimal(0)
    images_sent: int = 0


def plan_batch(
    requests: Requests,
    *,
    defaults: Mapping[str, Any] | None = None,
    prompt_column: str | None = None,
    id_column: str | None = None,
    carry: Sequence[str] = (),
    strict_columns: bool = False,
    grid: Grid | None = None,
    fan_out: bool = False,
    validation: Validation = "strict",
    folder: str | os.PathLike[str] | None = None,
    resend_refused: bool = False,
    resend_uncertain: bool = False,
    resend_failed: bool = False,
    journal: str | None = None,
) -> Plan:
    """Check every row and count what would be sent. Nothing is sent, written or billed.

    With a ``folder`` that a batch has begun in, or the address of its ``journal`` in a database, what is left is
    counted, and what `run_batch` would send again with ``resend_refused`` and so on. Others may be at work there. A
    store in the place of the folder is asked whether it can be read, and is this batch's or empty. Raises
    CapabilityError naming every row that is wrong, JournalError where another batch is, and ConfigurationError.
    """
    rows = images = others = sent = 0
    before = Budget(0)
    models: dict[str, int] = {}
    cost = Estimate()
    checks = Checks(defaults, Columns(prompt_column, id_column, carry, strict_columns), grid, fan_out)
    with ExitStack() as closing:
        left: Iterator[Any] = checked(requests, checks, validation)
        place = Destination.of("." if folder is None else folder)
        copy = None if folder is None and journal is None else copied_journal(place.folder, journal)
        if copy is not None:
            closing.enter_context(copy)
        place.look(copy)
        if copy is not None:
            incoming = closing.enter_context(spooled(requests, checks, validation, Estimate()))
            copy.mends_failed = resend_failed
            copy.take_in(incoming or ())
            copy.release(refused=resend_refused, uncertain=resend_uncertain, failed=resend_failed)
            spend(before, copy, ())
            sent = copy.images_sent()
            left, others = copy.entries("unsent"), copy.count() - copy.counts().get("unsent", 0)
        for row in left:
            rows, images = rows + 1, images + row.images
            models[row.request["model"]] = models.get(row.request["model"], 0) + 1
            cost.add(row.request, row.images)
    return Plan(rows, images, models, cost, others, before.spent, sent)


def run_batch(
    requests: Requests | None,
    folder: str | os.PathLike[str],
    *,
    client: Lemon | AsyncLemon | None = None,
    defaults: Mapping[str, Any] | None = None,
    prompt_column: str | None = None,
    id_column: str | None = None,
    carry: Sequence[str] = (),
    strict_columns: bool = False,
    grid: Grid | None = None,
    fan_out: bool = False,
    deadline: float = 600.0,
    poll_interval: float | None = None,
    concurrency: int = 64,
    max_images: int | None = None,
    budget: str | float | Decimal | None = None,
    allow_unknown_price: bool = False,
    resend_refused: bool = False,
    resend_uncertain: bool = False,
    resend_failed: bool = False,
    drop_unknown: bool = False,
    give_up_after: str | float = GIVE_UP_AFTER,
    gallery: bool | str = True,
    also: Sequence[str] = (),
    journal: str | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[dict[str, Any]]:
    """Generate the images of many requests into a folder. **Each row is billed once**, however often this is called.

    ``requests`` are dicts with ``prompt`` and any parameters of `Images.generate` (``defaults`` fill in what a row
    leaves out); None goes on with what the folder holds. What is no parameter is carried along into the results and
    never sent, as `read_rows` explains: ``prompt_column``, ``id_column``, ``carry`` and ``strict_columns`` are for rows
    that do not come from there. ``grid`` sends each row with each combination of values, such as ``{"size":
    ["1024x1024", "1792x1024"]}``. ``fan_out`` makes several rows of one that asks for more images than its model gives
    in one request. All rows are checked before the first is sent.

    Nothing happens before the first outcome is read, not even the check. The rows are worked off while the iterator is
    read, and each outcome is a dict as it stands in ``results.jsonl``
    (docs/batch.md): row, id, status (``saved``, ``failed``, ``unfetched``, ``uncertain``, ``waiting``, ``refused``),
    paths, task_id, extra, error and more. Rows that ended in an earlier run are not repeated, uncertain ones are
    reported again. Where the account is refused (401, 402), nothing more is sent: the rows that met it come as
    ``waiting``, and `Progress.stopped` has the reason.

    ``journal`` is the address of a PostgreSQL database, ``postgresql://user@host/database?batch=NAME``: then several
    machines may work at the batch at once, each with the same rows and a folder of its own or a common one
    (docs/scale.md; extra ``postgres``). Without it the journal is in the folder.

    The address of an object store in the place of the folder, such as ``"s3://bucket/prefix"``, has the pictures and
    results put there; the journal stays on this machine (docs/batch.md; extra ``cloud``).

    The folder gets the pictures, ``results.jsonl``, the journal, and, with ``gallery``, which may be its title,
    ``index.html``; ``also`` names other forms of the results: ``"csv"``, ``"parquet"``, ``"imagefolder"``
    (docs/batch.md). ``client``: a client to use (None makes one from the environment). A `Lemon` is left open; an
    `AsyncLemon` is closed, because its connections end with the event loop of this call. A task that runs longer than
    ``deadline`` seconds stays ``waiting`` for another run. ``poll_interval`` fixes the seconds between two polls of a
    task; without it the schedule decides (docs/polling.md). ``concurrency`` bounds the submissions that are in flight
    at once; ``max_images`` ends the sending before more images than that have been asked for in this folder, ``budget``
    before more US dollars are spent, in all runs together (docs/money.md): a row whose price is not known is a
    BudgetError, unless ``allow_unknown_price`` counts it as nothing. An API that cannot be reached is waited for, for
    ``give_up_after`` at most: seconds, or text such as ``"8h"`` (docs/batch.md). ``on_progress`` is called with a
    `Progress` at every step, in another thread.

    Rows that were refused are sent again with ``resend_refused``: they were never billed. Rows whose answer was lost
    are sent again only with ``resend_uncertain``, and rows whose task failed only with ``resend_failed``: they may be
    billed twice. A row whose task the API does not know stays ``waiting`` or ``unfetched`` for another run, unless
    ``drop_unknown`` gives it up. Rows may be added at the end of the input, and a refused row may be mended, which
    sends it anew.

    Leaving the loop early, Ctrl-C, and a signal that ends the program stop the sending, wait for requests in flight and
    keep the rest for another run. Rows of a file come from `read_rows`. Raises CapabilityError for bad rows (nothing
    was sent), JournalError if the folder cannot be used, is used by another process, holds another batch or a damaged
    journal (for single cells of it: at the end), BudgetError for a budget that is no amount or too small for any row,
    ValueError and TypeError for other arguments that make no sense, ConfigurationError where an extra is missing, the
    environment is wrong or a store cannot be used, and MissingKeyError. All of these come when the first outcome is
    read. SaveError comes at the end, where pictures are safe and results could not be put into a store.
    """
    batch = Batch.of(locals())
    batch.closes = True  # an AsyncLemon; a Lemon is left open
    yield from read(batch)


async def arun_batch(
    requests: Requests | None,
    folder: str | os.PathLike[str],
    *,
    client: Lemon | AsyncLemon | None = None,
    defaults: Mapping[str, Any] | None = None,
    prompt_column: str | None = None,
    id_column: str | None = None,
    carry: Sequence[str] = (),
    strict_columns: bool = False,
    grid: Grid | None = None,
    fan_out: bool = False,
    deadline: float = 600.0,
    poll_interval: float | None = None,
    concurrency: int = 64,
    max_images: int | None = None,
    budget: str | float | Decimal | None = None,
    allow_unknown_price: bool = False,
    resend_refused: bool = False,
    resend_uncertain: bool = False,
    resend_failed: bool = False,
    drop_unknown: bool = False,
    give_up_after: str | float = GIVE_UP_AFTER,
    gallery: bool | str = True,
    also: Sequence[str] = (),
    journal: str | None = None,
    on_progress: OnProgress | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """Async twin of `run_batch`. ``on_progress`` is called in the event loop, and a client that is given is left open.

    Read it within ``async with contextlib.aclosing(arun_batch(...)) as outcomes`` if you may leave the loop early.
    """
    batch = Batch.of(locals())
    send, receive = anyio.create_memory_object_stream[dict[str, Any]](UNREAD)
    errors: list[Exception] = []

    async def emit(row: dict[str, Any]) -> None:
        with suppress(anyio.BrokenResourceError):  # nobody reads any more; the journal knows
            await send.send(row)

    async def work() -> None:
        async with send:
            try:
                await batch.run(emit)
            except Exception as exc:  # noqa: BLE001 - raised below: a task group would wrap it
                errors.append(exc)

    try:
        async with anyio.create_task_group() as group, receive:
            group.start_soon(work)
            try:
                async for row in receive:
                    yield row
            except GeneratorExit:  # the group waits for requests in flight
                batch.stop("the outcomes are not read any more")
    except BaseException as exc:
        batch.tell(exc)
        raise
    if errors:
        raise errors[0]


def batch_status(folder: str | os.PathLike[str], *, journal: str | None = None) -> Progress:
    """Return how far the batch in a folder is, also while another process works on it. Raises JournalError.

    While a process works there, ``per_minute`` and ``left_seconds`` go by the last minutes. Where the journal is in a
    database, its address will do in the place of the folder. A batch that was ended before it had begun has no rows:
    its ``total`` is 0.
    """
    now = _clock.wall()
    with read_journal(folder, journal) as found:
        counts, images, working, billed = found.counts(), found.saved_images(), found.worked_on(), found.billed()
        unknown, last = found.unknown(), LastRun.read(found)
        limited = _stops_at_once(last, found)
        ended, first = found.ended_since(now - LATELY) if working else (0, now)
        workers = workers_of(found)
        outage = (outage_of_all(workers) if workers else outage_of(found, now)) if working else None
        if not counts and found.path is not None:
            refuse_orphans(found.folder)
    elapsed = min(now - first, LATELY)
    progress = Progress.of(counts, images, ended=ended, elapsed=elapsed, outage=outage, workers=workers)
    return evolve(
        progress,
        working=working,
        billed=billed,
        unknown=unknown,
        limited=limited,
        last_run=last,
        fetching=progress.fetching if working else 0,
        elapsed=0.0,
    )


def _stops_at_once(last: LastRun, found: Journal) -> bool:
    """Tell whether the limits of the last run keep the next row from being sent."""
    first = next(found.entries("unsent", limit=1), None)
    if first is None or not last.is_limited:
        return False
    if last.max_images is not None and found.images_sent() + first.images > last.max_images:
        return True
    if last.budget is None:
        return False
    budget = Budget(last.budget, allow_unknown=last.allow_unknown_price)
    spend(budget, found, ())
    return not budget.reserve("next", quote(first.request, first.images).usd)


def batch_needs(
    folder: str | os.PathLike[str], *, journal: str | None = None, again: str | None = None
) -> tuple[int, Decimal]:
    """Return the limits with which the whole batch in a folder could be sent: ``max_images``, and a ``budget`` as far
    as prices are known. ``again``: rows of this status are sent once more. Raises JournalError.
    """
    budget = Budget(0)
    with read_journal(folder, journal) as found:
        rest = spend(budget, found, ("unsent",))
        images = found.images_sent() + sum(entry.images for entry in found.entries("unsent"))
        for entry in found.entries(again) if again is not None else ():
            rest.add(entry.request, entry.images)
            images += entry.images
    return images, budget.spent + rest.usd


def address_shown(journal: str) -> str:
    """Return the address of a journal without its password. Raises ConfigurationError."""
    return Address.of(journal).shown


def rows_to_edit(folder: str | os.PathLike[str], *, journal: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows that failed or were refused, and those whose tasks the API does not know, flat, as a new input may
    have them: the id, the parameters as they were sent, what was carried along, and then ``lemon.row``,
    ``lemon.status`` and ``lemon.error``, which `read_rows` and `run_batch` leave out. Raises JournalError.

    What the contract does not know stands in ``extra_body``, so that it is sent again. A carried column whose name is
    taken is called ``extra.NAME``.
    """
    with read_journal(folder, journal) as found:
        for entry in found.entries():
            told = outcome(entry)
            ended = told["status"] in ("failed", "refused") and entry.finished_at is not None
            if ended or is_unknown(told):
                known = {} if entry.id is None else {"id": entry.id}
                error = (entry.error or {}).get("message")
                ours = dict(zip(OURS, (entry.row, told["status"], error), strict=True))
                carried = {carried_name(name, (ID, *ours)): value for name, value in (entry.extra or {}).items()}
                yield known | _as_given(entry.request) | carried | ours


def _as_given(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request of the journal as a row's columns."""
    sent = {name: value for name, value in request.items() if name != OPERATION}
    beyond = {name: sent.pop(name) for name in list(sent) if name not in (*PARAMETERS, *PICTURES)}
    return sent | ({EXTRA: beyond} if beyond else {})


def export_results(
    folder: str | os.PathLike[str], *, also: Sequence[str] = (), journal: str | None = None
) -> Path | str:
    """Write ``results.jsonl`` from the journal, one row per input row and in its order, and the forms that ``also``
    names, as `run_batch` does. Returns the path of the first, or its address in a store. Nothing is sent.

    Raises JournalError, OSError (SaveError for a store), ValueError for a form that there is not, ConfigurationError
    for one that lacks an extra.
    """
    kinds = as_kinds(also)
    place = Destination.of(folder)
    with read_journal(place, journal) as found:
        if found.path is None:  # what is written there is of this batch alone
            is_known(found)
            mark(found)
        path, forms = export(found), forms_of(kinds, found)
        write_also(found, forms)
        place.publish([path.name, *files(forms)], found)
    return place.where(path.name)
