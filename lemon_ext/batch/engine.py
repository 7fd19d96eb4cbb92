"""The engine of a batch: one loop that starts each submission and each poll when it is due.

Few of them run at once, and what a row meets becomes the outcome of that row alone. Stopping is gentle: requests in
flight are waited for, because they may be billed.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
from anyio.to_thread import run_sync
from attrs import evolve

from lemon_ext import _clock
from lemon_ext._core import Core
from lemon_ext._flow import Flow
from lemon_ext._warn import warn
from lemon_ext.errors import JournalError
from lemon_ext.poll_schedule import Schedule

from .contact import Contact
from .jobs import Jobs
from .journal import Entry, Journal
from .limits import Limits
from .options import Options
from .output import Progress
from .pictures import Keep
from .queue import Queue
from .record import Record
from .row_tasks import RowTasks
from .submissions import Submissions

#: Polls at once. By Little's law 25 serve 10,000 requests a minute at 150 ms each.
POLLS: Final = 32
#: The highest price of a poll, in seconds: a batch wants many tasks a minute, and nobody watches a single one.
DEAREST: Final = 8.0


class Engine:
    """Works off the rows of a journal. `run` does it; `stop` ends it gently, from the same event loop.

    ``drive`` runs the flows of the client whose core this is. ``emit`` is given each row as it ends, and ``changed`` is
    called at every step: `progress` says how far it is. ``keep`` is given each picture before its row counts as saved.
    """

    def __init__(
        self,
        journal: Journal,
        core: Core,
        drive: Callable[[Flow[Any]], Awaitable[Any]],
        options: Options,
        *,
        emit: Callable[[Entry], Awaitable[None]],
        changed: Callable[[], None],
        keep: Keep | None = None,
    ) -> None:
        rate_limit = journal.share(core.session.rate_limit, core.session.account)
        schedule = Schedule(rate_limit.per_minute, dearest=DEAREST)
        session = evolve(core.session, schedule=schedule, rate_limit=rate_limit)
        limits = Limits(options.max_images, options.budget)
        self._journal, self._options = journal, options
        self._rate_limit, self._schedule = rate_limit, schedule
        self._jobs = Jobs(changed)
        self._record = Record(journal, limits, schedule.durations, emit=emit, changed=changed)
        self._contact = Contact(session, drive, self._jobs, options.give_up_after, changed)
        self._reach = self._contact.reach
        self._queue = Queue(schedule, rate_limit)
        self._tasks = RowTasks(core, self._contact, self._queue, self._record, self._jobs, options, keep)
        self._submissions = Submissions(self._contact, self._queue, self._tasks, self._record, self._jobs, options)
        #: When to look for what other workers have left.
        self._renew_at = -math.inf

    @property
    def stopped(self) -> str | None:
        """Why nothing more is sent, where that is so."""
        return self._jobs.stopped

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return Progress.of(
            self._record.counts,
            self._record.images,
            ended=self._record.ended_together,
            elapsed=self._jobs.elapsed,
            idle=self._contact.idle,
            stopped=self._jobs.stopped,
            limited=self._jobs.limited,
            rejected=self._jobs.rejected,
            outage=self._contact.outage,
            workers=self._record.workers,
        )

    def stop(self, reason: str) -> None:
        """Send nothing more, and do not wait for running tasks either: another run goes on with them."""
        self._jobs.stop(reason)

    async def run(self) -> None:
        """Work until every row has ended or nothing more can be done. Raises what made it impossible to go on.

        Whatever ends it, nothing that is known of a row is lost: see `_close`.
        """
        await self._record.open()
        error: BaseException | None = None
        try:
            await self._jobs.run(self._loop)
        except BaseException as exc:
            error = exc
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await self._close(error)
        if self._jobs.crash is not None:
            raise self._jobs.crash

    async def _loop(self) -> None:
        running = self._jobs.running
        while True:
            self._jobs.look()
            await self._look_around(_clock.monotonic())
            await self._submissions.read_ahead(_clock.monotonic())
            await self._submissions.let_go()
            now = _clock.monotonic()
            self._schedule.backlog = math.ceil(self._record.counts.get("unsent", 0) * self._rate_limit.share)
            crowded = self._tasks.are_crowded
            polling = self._reach.is_open and running["poll"] < POLLS and not self._jobs.leaving and not crowded
            at_once = self._reach.at_once(self._options.concurrency)
            submitting = self._reach.is_open and running["submit"] < at_once and not crowded
            poll_at = self._queue.next_poll() if polling else math.inf
            submit_at = self._submissions.due(now) if submitting else math.inf
            probe_at = self._reach.next_probe if self._wants_to_know() else math.inf
            late_at = now if self._submissions.are_late and self._reach.is_open else math.inf
            due = min(poll_at, submit_at, probe_at, late_at)
            busy = running.total() > 1 or (len(self._queue) and not self._jobs.leaving)
            if due == math.inf and not busy and not await self._others():
                if self._reach.gave_up is not None:
                    await self._submissions.tell_unanswered()
                return
            if self._rate_limit.wants(now, due <= now, now < submit_at < math.inf):
                self._schedule.per_minute = await self._record.read(self._journal.top_up, self._rate_limit)
                now = _clock.monotonic()
            due = max(due, self._rate_limit.opens(now))
            if due > now:
                await self._jobs.pause(max(min(due, self._renew_at) - now, 0.0))
            elif (submit_at < min(late_at, probe_at, poll_at) and self._reach.has_to_ask(now)) or (
                self._rate_limit.acquire(now, 0.0) is None  # what was fetched of it came too late
            ):
                continue
            else:
                self._begin(now, late_at, probe_at, poll_at, submit_at)

    def _begin(self, now: float, late_at: float, probe_at: float, poll_at: float, submit_at: float) -> None:
        """Start what is due, now that a request is granted for it."""
        if late_at < math.inf:
            self._submissions.grant()
        elif probe_at < math.inf:
            self._reach.probing(now)
            self._jobs.start("probe", self._probe)
        elif poll_at <= submit_at:
            self._tasks.poll_next()
        else:
            self._submissions.begin(now)

    async def _probe(self) -> None:
        await self._contact.probe()
        await self._record.note(self._contact.outage)

    def _wants_to_know(self) -> bool:
        """Tell whether it matters that the API answers again."""
        busy = len(self._queue) or self._submissions.are_left or self._jobs.running.total() > 1
        return not self._jobs.leaving and bool(busy)

    async def _look_around(self, now: float) -> None:
        """Take what an earlier run left. Where others work, too: say that we live, and take what the dead have left."""
        if now < self._renew_at:
            return
        first, self._renew_at = self._renew_at == -math.inf, now + self._journal.beat
        if not first:
            await self._record.renew()
        await self._tasks.resume()

    async def _others(self) -> bool:
        """Tell whether rows that others work on, or have left, may become ours."""
        return not self._jobs.stopped and await self._record.read(self._journal.others)

    async def _close(self, error: BaseException | None) -> None:
        """Write down what must not be forgotten, whatever ended the run, and name what cannot be written."""
        try:
            await run_sync(self._record.close, self._submissions.in_flight)
        except JournalError as exc:
            crash = self._jobs.crash = self._jobs.crash or exc
            told = [f"Row {row} {what}." for row, what in sorted(self._record.paid.items())]
            told = ["Note what follows, it is paid for and not on disk:", *told] if told else []
            for note in told:
                (error or crash).add_note(note)
            if error is not None and told:
                warn(" ".join(told))
