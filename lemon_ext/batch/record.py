"""What is known of the rows of a batch: written down, counted, and told."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

from anyio.to_thread import run_sync

from lemon_ext import _clock
from lemon_ext._amount import amount
from lemon_ext._warn import warn
from lemon_ext.errors import UnreadableSubmissionError
from lemon_ext.poll_schedule import Durations

from . import journal as journals
from .journal import Entry, Journal, NoRoom, Statement, state
from .limits import Limits, price
from .outage import Outage
from .output import ENDS, Worker, described, noted, workers_of
from .pictures import keep_reply
from .writer import Writer

T = TypeVar("T")

#: After so many rows, what was learned of durations is written down.
LESSONS: Final = 50


class Record:
    """The rows of a journal, for those who work on them. Each is counted in the state in which it is on disk.

    ``emit`` is given each row as it ends, and ``changed`` is called at every step. ``durations``, of each model, are
    shared with all who work, now or later. `paid` has what is paid for and not on disk yet.
    """

    def __init__(
        self,
        journal: Journal,
        limits: Limits,
        durations: dict[str | None, Durations],
        *,
        emit: Callable[[Entry], Awaitable[None]],
        changed: Callable[[], None],
    ) -> None:
        self.journal, self.limits = journal, limits
        #: How many images are saved, and how many rows have ended in this run.
        self.images = self.ended = 0
        #: Who works at the batch, where several can, and how many rows had ended when this run began.
        self.workers: tuple[Worker, ...] = ()
        self._ended_before = 0
        #: What has happened to rows that are paid for, until the journal knows it.
        self.paid: dict[int, str] = {}
        self._writer, self._durations = Writer(journal), durations
        self._emit, self._changed = emit, changed
        #: How many rows are in each state on disk, and in which are those that are worked on here: unsent, if not said.
        self._counts: dict[str, int] = {}
        self._states: dict[int, str] = {}
        #: Those of them that are unfetched, and are fetched again.
        self._fetched_again: set[int] = set()
        self._count_at = -math.inf
        self._outage_noted = False
        self._learn(journal.durations())

    @property
    def counts(self) -> dict[str, int]:
        """How many rows are in each state. One that is fetched again is ``completed``, as one that is fetched."""
        unfetched = self._counts.get("unfetched", 0) - len(self._fetched_again)
        completed = self._counts.get("completed", 0) + len(self._fetched_again)
        return {**self._counts, "unfetched": max(unfetched, 0), "completed": completed}

    @property
    def ended_together(self) -> int:
        """How many rows have ended in this run, by all who work at the batch."""
        return self._ended_now() - self._ended_before if self.workers else self.ended

    def _ended_now(self) -> int:
        return sum(number for status, number in self.counts.items() if status in (*ENDS, "unfetched"))

    # ---- reading ----

    async def read(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function of the journal's. Not to be cancelled."""
        return await self._writer.read(function, *arguments)

    async def open(self) -> None:
        """Read how the batch stands, and tell what is uncertain."""
        await self.count()
        self.workers, self._ended_before = await self.read(workers_of, self.journal), self._ended_now()
        self.limits = await self.read(self.journal.keep_to, self.limits)
        self.images = await self.read(self.journal.saved_images)
        self._changed()
        for entry in await self.read(lambda: list(self.journal.entries("uncertain"))):
            if not entry.damage:
                await self._emit(entry)

    async def count(self) -> None:
        """Count all rows anew, those of others, too."""
        self._counts = await self.read(self.journal.counts)

    async def renew(self) -> None:
        """Say that we live, and read what others have done."""
        for entry in await self.read(self.journal.renew):
            await self._emit(entry)
        self.workers = await self.read(workers_of, self.journal)
        now = _clock.monotonic()
        if now >= self._count_at:  # a million rows take a while
            await self.count()
            self._count_at = now + 50.0 * (_clock.monotonic() - now)
        self._learn(await self.read(self.journal.durations))
        self._changed()

    async def take(self, status: str, limit: int | None = None) -> list[Entry]:
        """Take rows in a state. Those with a damaged cell are left alone."""
        found = await self.read(self.journal.take, status, limit)
        taken = [entry for entry in found if not entry.damage]
        if status != "unsent":
            known = {entry.row: state(status, entry.error, entry.finished_at) for entry in taken}
            self._states |= known
            self._fetched_again |= {row for row, was in known.items() if was == "unfetched"}
        return taken

    def is_unfetched(self, row: int) -> bool:
        """Tell whether its pictures could not be fetched when that was last tried."""
        return self._states.get(row) == "unfetched"

    async def no_room(self, entry: Entry) -> NoRoom | None:
        """Return why a row that is unsent could not be claimed, if it is a limit."""
        return await self.read(self.journal.no_room, entry, self.limits)

    # ---- writing ----

    async def claim(self, entry: Entry) -> bool:
        """Write down that a row is in flight. Returns whether that changed anything: else it is not ours to send."""
        claim = self.journal.submitting(entry.row, _clock.wall(), price(entry), self.limits)
        (ours,) = await self._writer.write(claim, keep=False, then=self._counted(entry.row, status="submitting"))
        self._changed()
        return bool(ours)

    async def write(self, row: int, **cells: Any) -> None:
        """Write down what became of a row."""
        if (cost := amount(cells.get("cost"))) is not None:
            self.limits.settle(row, cost)
        (ours,) = await self._writer.write(self.journal.update(row, **cells), then=self._counted(row, **cells))
        self._changed()
        known = self.paid.pop(row, None)
        if not ours and known is not None:
            warn(
                f"Row {row} {known}, and that is not written down: the row was taken over and sent again, because "
                "nothing had been heard of this process for too long. Note it, it is paid for."
            )

    async def end(self, row: int, **cells: Any) -> None:
        """Write down what became of a row, and that this run is through with it."""
        await self.write(row, **cells)
        self.ended += 1
        self._changed()
        if self.ended % LESSONS == 0:
            await self._writer.write(*self._learned())
        await self.tell(row)

    async def fail(self, row: int, status: str, error: Exception, **cells: Any) -> None:
        """End a row with an error."""
        if isinstance(error, UnreadableSubmissionError) and error.response is not None:
            place = await run_sync(keep_reply, self.journal.folder, row, error.response)
            error.add_note(f"The answer is kept in {place}." if place else "The answer could not be kept in a file.")
        await self.end(row, status=status, error=described(error), finished_at=_clock.wall(), **cells)

    async def leave(self, row: int, error: Exception) -> None:
        """Leave a row to another run, with what it met."""
        await self.write(row, error=described(error))
        await self.tell(row)

    async def tell(self, row: int) -> None:
        """Give a row as it is on disk to who wants to know."""
        await self._emit(await self.read(self.journal.entry, row))

    def later(self, row: int, **cells: Any) -> None:
        """Have cells of a row written by the next who writes, or at the end."""
        self._writer.later(self.journal.update(row, **cells))

    async def note(self, outage: Outage | None) -> None:
        """Write down, for who looks at the journal, that the API cannot be reached, and when it can again."""
        if outage is not None or self._outage_noted:
            self._outage_noted = outage is not None
            await self._writer.write(noted(self.journal, outage, _clock.wall()), keep=False)

    def close(self, in_flight: Iterable[int]) -> None:
        """Write down what must not be forgotten, whatever ended the run. Raises JournalError."""
        self._writer.flush([*(self.journal.cut_off(row) for row in sorted(in_flight)), *self._learned()])

    def _counted(self, row: int, **cells: Any) -> Callable[[list[int]], None]:
        """Return what counts a row in its next state once its cells are on disk, if it is still ours."""

        def count(changed: list[int]) -> None:
            if not any(changed):
                return
            before = self._states.pop(row, "unsent")
            status = cells.get("status", "completed" if before == "unfetched" else before)
            after = state(status, cells.get("error", before == "unfetched" or None), cells.get("finished_at"))
            self._fetched_again.discard(row)
            if after not in (*ENDS, "unsent"):
                self._states[row] = after
            self._counts[before] = max(self._counts.get(before, 0) - 1, 0)  # others move rows, too
            self._counts[after] = self._counts.get(after, 0) + 1
            self.images += len(cells["paths"]) if after == "saved" else 0

        return count

    # ---- how long models take ----

    def _learn(self, known: Mapping[str, Any]) -> None:
        """Take over what was learned of models that others, or earlier runs, have seen more often."""
        for model, learned in known.items():
            with suppress(ValueError):  # an older version counted differently: learn anew
                durations, ours = Durations.from_json(learned), self._durations
                if model not in ours or ours[model].completions < durations.completions:
                    ours[model] = durations

    def _learned(self) -> list[Statement]:
        return [journals.learned(m, d.to_json()) for m, d in self._durations.items() if m is not None]
