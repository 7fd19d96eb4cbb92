"""One batch at work: its folder is opened, the engine works, and the results are written, whatever ends it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import Any, Final

import anyio
from anyio.to_thread import run_sync
from attrs import define, field, fields

from lemon_ext._amount import amount, as_json
from lemon_ext._aside import run_aside
from lemon_ext._core import Core
from lemon_ext._files import remove_stale_parts
from lemon_ext._flow import Flow, Send, arun
from lemon_ext._key import LETTERS
from lemon_ext._response import APIResponse
from lemon_ext._warn import warn
from lemon_ext.client import AsyncLemon, Lemon
from lemon_ext.errors import ConfigurationError, JournalError, SaveError
from lemon_ext.money import Budget, Estimate, quote

from . import journal as journals
from .address import known_address
from .also import as_kinds, files, write_also
from .columns import Columns
from .destination import Destination
from .engine import Engine
from .folder import mark, spare_pictures
from .gallery import write_page
from .journal import ELSEWHERE, KEYS, UNPAID, Entry, Journal
from .last_run import LastRun
from .options import Options
from .output import RESULTS, Progress, damage, export, outcome
from .pictures import Keep, recognize
from .stores import open_journal, postgres_store
from .validate import Checks, Requests, spooled

#: Requests at once through a blocking client, each in a thread of its own.
THREADS: Final = 32
#: Seconds for which who is cut off still waits for a store to take the results.
GRACE: Final = 5.0
#: Rows that are named in a message.
NAMED: Final = 20

OnProgress = Callable[[Progress], object]


def forms_of(kinds: Sequence[str], journal: Journal) -> Sequence[str]:
    """Return the forms to write: those that are asked for, and those that the last run in this folder wrote."""
    before = LastRun.read(journal).also if journal.path is not None else ()
    return as_kinds(list(dict.fromkeys([*kinds, *before])))


@define(eq=False)
class Batch:
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
    unpublished: SaveError | None = field(default=None, init=False)
    _engine: Engine | None = field(default=None, init=False)
    _stopped: str | None = field(default=None, init=False)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Batch:
        """Make one of the arguments of `run_batch`, by their names."""
        budget = Budget.of(given["budget"], given["allow_unknown_price"])
        known = {one.name: given[one.name] for one in fields(Options)}
        options = Options(**{**known, "budget": budget})
        columns = Columns(given["prompt_column"], given["id_column"], given["carry"], given["strict_columns"])
        checks = Checks(given["defaults"], columns, given["grid"], given["fan_out"])
        return cls(
            given["requests"], Destination.of(given["folder"]), given["client"], checks, options,
            given["on_progress"], given["also"], given["journal"],
        )  # fmt: skip

    def __attrs_post_init__(self) -> None:
        if self.place.store is not None:
            self.keep = self.place.keep
        self.closes = self.given is None
        self.client = AsyncLemon() if self.given is None else self.given

    async def run(self, emit: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        """Open the folder, work, and leave it with its results, whatever ends the work."""
        cut = False
        try:
            # An engine begins a part of a batch at any moment, also while the database is started again.
            journal = await run_sync(partial(postgres_store().outlast, self._open) if self.part else self._open)
            try:
                damaged = await run_sync(journal.damaged)
                for entry in damaged:
                    await emit(outcome(entry))
                await self._work(journal, emit)
                if damaged:
                    raise damage(*damaged, path=journal.path)
            except anyio.get_cancelled_exc_class():
                cut = True
                raise
            finally:
                with anyio.CancelScope(shield=True):
                    pages = await run_sync(self._finish, journal)
                await self._publish(pages, cut=cut)
            self._say_unpublished()
        except BaseException as exc:
            for note in (self.left, self.unpublished):
                if note is not None and note is not exc:
                    exc.add_note(str(note))
            raise
        finally:
            if self.closes and isinstance(self.client, AsyncLemon):
                with anyio.CancelScope(shield=True):
                    await self.client.aclose()

    async def _publish(self, pages: Sequence[str], *, cut: bool) -> None:
        """Put what people read into the store, where there is one. Who is ``cut`` off waits for `GRACE` at most, and
        who is cut off here not at all.
        """
        if self.place.store is None:
            return
        self.unpublished = self.place.unpublished(pages, "it was not waited for")
        try:
            with anyio.CancelScope(shield=cut, deadline=anyio.current_time() + GRACE if cut else math.inf):
                await run_aside(self.place.publish, pages)
                self.unpublished = None
        except SaveError as exc:
            self.unpublished = exc
        except FileExistsError as exc:
            self.unpublished = None
            warn(str(exc))

    def _say_unpublished(self) -> None:
        """Raise what kept the results from the store."""
        if self.unpublished is not None:
            raise self.unpublished

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
        try:
            self.on_progress(engine.progress)
        except Exception as exc:  # noqa: BLE001 - a broken progress bar must not cost a paid image
            self.on_progress = None
            warn(f"on_progress raised {type(exc).__name__}: {exc}. The batch goes on.")

    def _open(self) -> Journal:
        """Check the rows, and open the folder with them in it."""
        core = self.client._core
        # Of a part, each row is told by itself what there is no room for.
        budget, planned = None if self.part else self.options.budget, Estimate()
        with ExitStack() as undo, spooled(self.requests, self.checks, core.validation, planned) as rows:
            if rows is not None and budget is not None:
                budget.check(planned)
            if rows is not None and known_address(self.place.folder, self.address) is None:
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
                budget.check(spend(budget, journal))
            undo.pop_all()
        return journal

    def _note_run(self, journal: Journal) -> None:
        """Write down what this run keeps to, and say where an earlier one was limited and this one is not."""
        before, budget = LastRun.read(journal), self.options.budget
        self.also = forms_of(self.also, journal)
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

    def _finish(self, journal: Journal) -> list[str]:
        """Write what people and programs look at, and return the names of these files. The journal holds it all, so a
        failure is no more than a warning.
        """
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
            with suppress(JournalError):
                self.left = None if self.part else _left(journal, self.place)
        return pages


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


def spend(budget: Budget, journal: Journal, unpaid: Sequence[str] = UNPAID) -> Estimate:
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
