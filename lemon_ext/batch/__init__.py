"""Many prompts: nothing lost, nothing paid twice, and as fast as the rate limit allows.

`run_batch` and `arun_batch` take plain dicts and give plain dicts; everything that happens is written down in the
batch's folder (`journal`), so the same call again goes on where an earlier one ended, however it ended. This module
opens and closes a batch; the work in between is the engine's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from contextvars import copy_context
from decimal import Decimal
from itertools import chain
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

import anyio
from anyio.to_thread import run_sync
from attrs import define, evolve, field, frozen
from lemon_client.model_table import PARAMETERS

from lemon_ext import _clock
from lemon_ext._amount import amount, as_json
from lemon_ext._core import Core
from lemon_ext._duration import GIVE_UP_AFTER
from lemon_ext._files import remove_stale_parts
from lemon_ext._flow import Flow, Send, arun
from lemon_ext._inputs import OPERATION
from lemon_ext._key import LETTERS
from lemon_ext._request import Validation
from lemon_ext._response import APIResponse
from lemon_ext._signals import Terminated, terminations_as_interrupts
from lemon_ext._warn import on_behalf, warn
from lemon_ext.client import AsyncLemon, Lemon
from lemon_ext.errors import ConfigurationError, JournalError, SaveError
from lemon_ext.money import Budget, Estimate, quote

from . import journal as journals
from .address import Address, found
from .also import as_kinds, files, write_also
from .cells import EXTRA, PICTURES
from .cells import convert as cell_value
from .columns import ID, Columns, carried_name
from .destination import Destination
from .engine import Engine, Options
from .folder import is_known, mark, refuse_orphans, spare_pictures
from .gallery import write_page
from .journal import ELSEWHERE, KEYS, UNPAID, Entry, Journal
from .last_run import LastRun
from .output import (
    RESULTS,
    Progress,
    damage,
    export,
    is_unknown,
    outage_of,
    outage_of_all,
    outcome,
    workers_of,
)
from .pictures import Keep, recognize
from .rows import Row, read_rows
from .stores import copied_journal, open_journal, read_journal
from .validate import Checks, Grid, Requests, checked, spooled

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

#: Requests at once through a blocking client, each in a thread of its own.
THREADS: Final = 32
#: Outcomes that wait for their reader before the work does.
UNREAD: Final = 1000
#: Seconds after which the batch notices at the latest that it is to end.
ATTENTION: Final = 0.1
#: Seconds by which the rate of a batch at work is told.
LATELY: Final = 300.0
#: Rows that are named in a message.
NAMED: Final = 20

OnProgress = Callable[[Progress], object]


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
            _spend(before, copy, ())
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
    again = (resend_refused, resend_uncertain, resend_failed, drop_unknown)
    money = Budget.of(budget, allow_unknown_price)
    options = Options(deadline, poll_interval, concurrency, max_images, *again, gallery, money, give_up_after)
    checks = Checks(defaults, Columns(prompt_column, id_column, carry, strict_columns), grid, fan_out)
    batch = _Batch(requests, Destination.of(folder), client, checks, options, on_progress, also, journal)
    batch.closes = True  # an AsyncLemon; a Lemon is left open
    yield from _read(batch)


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
    again = (resend_refused, resend_uncertain, resend_failed, drop_unknown)
    money = Budget.of(budget, allow_unknown_price)
    options = Options(deadline, poll_interval, concurrency, max_images, *again, gallery, money, give_up_after)
    checks = Checks(defaults, Columns(prompt_column, id_column, carry, strict_columns), grid, fan_out)
    batch = _Batch(requests, Destination.of(folder), client, checks, options, on_progress, also, journal)
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
    _spend(budget, found, ())
    return not budget.reserve("next", quote(first.request, first.images).usd)


def batch_needs(folder: str | os.PathLike[str], *, journal: str | None = None) -> tuple[int, Decimal]:
    """Return the limits with which the whole batch in a folder could be sent: ``max_images``, and a ``budget`` as far
    as prices are known. Raises JournalError.
    """
    budget = Budget(0)
    with read_journal(folder, journal) as found:
        images = found.images_sent() + sum(entry.images for entry in found.entries("unsent"))
        rest = _spend(budget, found, ("unsent",))
    return images, budget.spent + rest.usd


def address_shown(journal: str) -> str:
    """Return the address of a journal without its password. Raises ConfigurationError."""
    return Address.of(journal).shown


def rows_to_edit(folder: str | os.PathLike[str], *, journal: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows that failed or were refused, and those whose tasks the API does not know, flat, as a new input may
    have them: the id, the parameters as they were sent, what was carried along, and then ``row``, ``status`` and
    ``error``. Raises JournalError.

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
                ours = {"row": entry.row, "status": told["status"], "error": error}
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
        path, forms = export(found), _forms(kinds, found)
        write_also(found, forms)
        place.publish([path.name, *files(forms)], found)
    return place.where(path.name)


def _forms(kinds: Sequence[str], journal: Journal) -> Sequence[str]:
    """Return the forms to write: those that are asked for, and those that the last run in this folder wrote."""
    before = LastRun.read(journal).also if journal.path is not None else ()
    return as_kinds(list(dict.fromkeys([*kinds, *before])))


@define(eq=False)
class _Batch:
    """One batch, from its rows to its results. `run` does it all, once; `stop` ends it gently."""

    requests: Requests | None
    place: Destination
    given: Lemon | AsyncLemon | None
    checks: Checks
    options: Options
    on_progress: OnProgress | None
    #: In which other forms the results are written.
    also: Sequence[str] = field(converter=as_kinds)
    #: Where the journal is, if it is not in the folder.
    address: str | None = None
    #: Whether the input is a part of what its journal holds.
    part: bool = False
    #: Where pictures are kept besides; of a store it is known.
    keep: Keep | None = None
    client: Lemon | AsyncLemon = field(init=False)
    #: Whether the client is closed at the end.
    closes: bool = field(init=False)
    #: What is paid for, or may be, and not ended: how it stands and how to go on.
    left: str | None = field(default=None, init=False)
    #: What could not be put into a store at the end.
    _unpublished: SaveError | None = field(default=None, init=False)
    _engine: Engine | None = field(default=None, init=False)
    _stopped: str | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self.place.store is not None:
            self.keep = self.place.keep
        self.closes = self.given is None
        self.client = AsyncLemon() if self.given is None else self.given

    async def run(self, emit: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        """Open the folder, work, and leave it with its results, whatever ends the work."""
        try:
            journal = await run_sync(self._open)
            try:
                damaged = await run_sync(journal.damaged)
                for entry in damaged:
                    await emit(outcome(entry))
                await self._work(journal, emit)
                if damaged:
                    raise damage(*damaged, path=journal.path)
            finally:
                with anyio.CancelScope(shield=True):
                    await run_sync(self._finish, journal)
            self._say_unpublished()
        except BaseException as exc:
            for note in (self.left, self._unpublished):
                if note is not None and note is not exc:
                    exc.add_note(str(note))
            raise
        finally:
            if self.closes and isinstance(self.client, AsyncLemon):
                with anyio.CancelScope(shield=True):
                    await self.client.aclose()

    def _say_unpublished(self) -> None:
        """Raise what kept the results from the store."""
        if self._unpublished is not None:
            raise self._unpublished

    @property
    def stopped(self) -> str | None:
        """Why nothing more was sent, where that was so."""
        return self._stopped if self._engine is None else self._engine.stopped

    def stop(self, reason: str) -> None:
        """End the work gently."""
        if self._stopped is None:
            self._stopped = reason
            if self._engine is not None:
                self._engine.stop(reason)

    def tell(self, error: BaseException) -> None:
        """Let who is interrupted know what is paid for: in a note, and in a warning, because frameworks drop notes."""
        if self.left:
            error.add_note(self.left)
            warn(self.left)

    async def _work(self, journal: Journal, emit: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        async def emit_entry(entry: Entry) -> None:
            self.place.drop(entry)
            await emit(outcome(entry))

        core = self.client._core
        engine = Engine(
            journal, core, _driver(core), self.options, emit=emit_entry, changed=self._report, keep=self.keep
        )
        self._engine = engine
        if self._stopped is not None:
            engine.stop(self._stopped)
        await engine.run()

    def _report(self) -> None:
        if self.on_progress is None or (engine := self._engine) is None:
            return
        progress = Progress.of(
            engine.counts,
            engine.images,
            ended=engine.ended_together,
            elapsed=engine.elapsed,
            idle=engine.idle,
            stopped=engine.stopped,
            limited=engine.limited,
            rejected=engine.rejected,
            outage=engine.outage,
            workers=engine.workers,
        )
        try:
            self.on_progress(progress)
        except Exception as exc:  # noqa: BLE001 - a broken progress bar must not cost a paid image
            self.on_progress = None
            warn(f"on_progress raised {type(exc).__name__}: {exc}. The batch goes on.")

    def _open(self) -> Journal:
        """Check the rows, and open the folder with them in it."""
        core = self.client._core
        budget, planned = self.options.budget, Estimate()
        with ExitStack() as undo, spooled(self.requests, self.checks, core.validation, planned) as rows:
            if rows is not None and budget is not None:
                budget.check(planned)
            if rows is not None and found(self.place.folder, self.address) is None:
                self.place.expect_nothing()
            journal, known = open_journal(self.place, self.address, create=rows is not None)
            undo.enter_context(journal)
            self.place.claim(journal)
            if rows is not None:
                journal.mends_failed = self.options.resend_failed
                journal.take_in(rows if known else spare_pictures(journal.folder, rows), part=self.part)
            elif not journal.count():
                raise JournalError(
                    f"The input of {self.place} was not read to its end. Give it again: the same `lemon batch`, or "
                    "run_batch with the rows.",
                    path=journal.path,
                )
            mark(journal)
            remove_stale_parts(journal.folder)
            recognize(journal, self.keep)
            self.place.sweep(journal)
            _note_way(journal, core)
            self._note_run(journal)
            options = self.options
            journal.release(
                refused=options.resend_refused, uncertain=options.resend_uncertain, failed=options.resend_failed
            )
            if budget is not None:
                budget.check(_spend(budget, journal))
            undo.pop_all()
        return journal

    def _note_run(self, journal: Journal) -> None:
        """Write down what this run keeps to, and say where an earlier one was limited and this one is not."""
        before, budget = LastRun.read(journal), self.options.budget
        self.also = _forms(self.also, journal)
        now = LastRun.of(
            max_images=self.options.max_images,
            budget=None if budget is None else as_json(budget.limit),
            allow_unknown_price=budget is not None and budget.allow_unknown,
            requests_per_minute=self.client._core.session.rate_limit.per_minute,
            concurrency=self.options.concurrency,
            deadline=self.options.deadline,
            poll_interval=self.options.poll_interval,
            give_up_after=self.options.give_up_after,
            prompt_metadata=self.client._core.prompt_metadata,
            allow_private_images=self.client._core.session.allow_private_images,
            also=tuple(self.also) if journal.path is not None else (),
        )
        if before.is_limited and not now.is_limited and journal.counts().get("unsent"):
            limit = " ".join(before.options())
            where = f"in {self.place}" if journal.path is not None else f"at {journal.name}"
            warn(f"The last run {where} had a limit ({limit}), and this one has none.")
        if now != before:
            journal.commit([now.written()])

    def _finish(self, journal: Journal) -> None:
        """Write what people and programs look at. The journal holds it all, so a failure is no more than a warning."""
        pages = [RESULTS, *files(self.also)]
        with journal:
            try:
                export(journal)
                write_also(journal, self.also)
                shown = self.options.gallery
                if shown is not False:  # at the end: it refuses to replace a page of somebody else's
                    pages.append(write_page(self.place, None if shown is True else shown).name)
            except (OSError, JournalError, ConfigurationError) as exc:
                warn(f"Some of the results could not be written: {str(exc).rstrip('.')}.")
            try:
                self.place.publish(pages)
            except SaveError as exc:
                self._unpublished = exc
            with suppress(JournalError):
                self.left = None if self.part else _left(journal, self.place)


def _left(journal: Journal, place: Destination) -> str | None:
    """Say what is paid for, or may be, and has not ended."""
    counts = journal.counts()
    waiting = sum(counts.get(status, 0) for status in ("waiting", "completed", "unfetched"))
    uncertain = [str(entry.row) for entry in journal.entries("uncertain", limit=NAMED)]
    parts = []
    if uncertain:
        more = counts["uncertain"] - len(uncertain)
        rows = ", ".join(uncertain) + (f" and {more:,} more" if more else "")
        one = len(uncertain) == 1
        parts.append(f"row{'' if one else 's'} {rows} may be billed, and the answer{' was' if one else 's were'} lost")
    if waiting:
        parts.append(f"{waiting:,} row{'s are' if waiting > 1 else ' is'} paid for and waiting")
    if not parts:
        return None
    return f"The batch in {place}: {'; '.join(parts)}. Go on with `lemon resume`, or run_batch(None, folder)."


def _spend(budget: Budget, journal: Journal, unpaid: Sequence[str] = UNPAID) -> Estimate:
    """Count what earlier runs have spent, or may have, and return what the rest costs."""
    rest = Estimate()
    if (spent := journal.spent()) is not None:
        budget.commit("counted", spent.usd)
        for entry in chain.from_iterable(map(journal.entries, unpaid)):
            rest.add(entry.request, entry.images)
        return rest
    for entry in journal.entries():
        price = quote(entry.request, entry.images).usd or Decimal(0)
        if entry.doubts:
            budget.commit((entry.row, "earlier"), price * entry.doubts)
        if entry.status in UNPAID:
            if entry.status in unpaid and not entry.damage:  # such a row is not sent
                rest.add(entry.request, entry.images)
        else:
            cost = amount(entry.cost)
            budget.commit(entry.row, price if cost is None else cost)
    return rest


def _note_way(journal: Journal, core: Core) -> None:
    """Note where the rows are sent, and which keys do it: an account's books are of one address and of one key."""
    base_url, key = core.session.base_url, core.session.account[:LETTERS]
    before = journal.meta("base_url")
    if key:
        journal.commit([journals.fact_too(KEYS, key)])
    if before is None:
        journal.commit([journals.fact("base_url", base_url)])
    elif before != base_url:
        if journal.counts().keys() - {"saved", "failed", "refused"}:
            warn(f"This batch began at {before} and goes on at {base_url}, which may not know its tasks.")
        journal.commit([journals.fact(ELSEWHERE, base_url)])


def _driver(core: Core) -> Callable[[Flow[Any]], Awaitable[Any]]:
    """Return what runs the flows of a client. A blocking one gets a thread per request, and none for what waits."""
    if core.arun is not None:
        return core.arun  # type: ignore[no-any-return]  # an async core
    threads = anyio.CapacityLimiter(THREADS)

    async def exchange(effect: Send) -> APIResponse:
        return await run_sync(core.http.exchange, effect, limiter=threads)  # type: ignore[attr-defined]  # it has one

    return lambda flow: arun(flow, exchange)


# ---- the blocking bridge ----


def _read(batch: _Batch) -> Iterator[dict[str, Any]]:
    """Run a batch in a thread with an event loop, so that Ctrl-C reaches the thread that reads, and yield its rows."""
    bridge = _Bridge(batch)
    failure: BaseException | None = None
    with terminations_as_interrupts():
        try:
            bridge.thread.start()
            while (row := bridge.next()) is not None:
                yield row
        except BaseException as exc:  # noqa: BLE001 - raised below
            failure = exc
        waiting = True
        while waiting:
            try:
                bridge.stop = failure is not None
                # Not Thread.join: one that is interrupted takes its thread for ended (Python 3.11).
                waiting = not bridge.ended.wait(0.5) and bridge.thread.ident is not None
            except KeyboardInterrupt as exc:
                if failure is None:
                    failure = exc
                elif not isinstance(exc, Terminated):  # a second Ctrl-C cuts off requests in flight
                    failure, bridge.cut = exc, True
    if failure is not None:
        if batch.left:
            failure.add_note(batch.left)
        raise failure from bridge.error
    if bridge.error is not None:
        raise bridge.error


@define(eq=False)
class _Bridge:
    """Between the thread that reads the rows of a batch and the one that works, which is told by two flags."""

    batch: _Batch
    stop: bool = False
    cut: bool = False
    error: BaseException | None = None
    reader: threading.Thread = field(factory=threading.current_thread)
    thread: threading.Thread = field(init=False)
    ended: threading.Event = field(factory=threading.Event, init=False)
    _rows: SimpleQueue[dict[str, Any] | None] = field(factory=SimpleQueue)

    def __attrs_post_init__(self) -> None:
        with on_behalf():
            self.thread = threading.Thread(target=copy_context().run, args=(self._run,), name="lemon-batch")

    def next(self) -> dict[str, Any] | None:
        """Return the next row, or None at the end."""
        self.reader = threading.current_thread()
        while True:
            with suppress(Empty):
                return self._rows.get(timeout=0.5)  # without a timeout, Windows would not hear Ctrl-C

    def _run(self) -> None:
        try:
            anyio.run(self._work)
        except BaseException as exc:  # noqa: BLE001 - raised by who reads
            self.error = exc
        finally:
            self.ended.set()
            self._rows.put(None)

    async def _work(self) -> None:
        async def emit(row: dict[str, Any]) -> None:
            self._rows.put(row)

        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, group.cancel_scope)
            try:
                await self.batch.run(emit)
            except Exception as exc:  # noqa: BLE001 - raised by who reads: a task group would wrap it
                self.error = exc
            group.cancel_scope.cancel()

    async def _watch(self, scope: anyio.CancelScope) -> None:
        main = threading.main_thread()
        while not self.cut:
            if self.stop:
                self.batch.stop("interrupted")
            elif not main.is_alive() and (self.reader.daemon or not self.reader.is_alive()):
                self.batch.stop("the program ended")  # Python waits at its end for this thread
            await anyio.sleep(ATTENTION)
        scope.cancel()
