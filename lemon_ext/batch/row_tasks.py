"""The tasks of rows: each is polled until it ends, and its pictures are saved. It is paid, so nothing writes it off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
from attrs import define, field, frozen

from lemon_ext import _clock
from lemon_ext._amount import amount, as_json
from lemon_ext._api import Answer, Bill, Session, State
from lemon_ext._core import Core
from lemon_ext._flow import Flow
from lemon_ext._retry import Deadline
from lemon_ext.errors import (
    AuthenticationError,
    DownloadError,
    ImageGoneError,
    InsufficientBalanceError,
    JournalError,
    LemonError,
    PermissionDeniedError,
    TaskFailedError,
    TaskNotFoundError,
)
from lemon_ext.tasks import Task, ending, next_delay, poll_once, timed_out

from .contact import Contact
from .jobs import Jobs
from .journal import UNKNOWN, Entry
from .options import Options
from .output import described
from .pictures import Keep, Pictures, without_data
from .places import Place
from .queue import Queue
from .record import Record

#: Rows whose images are fetched at once, and how many may wait for that before nothing new is started.
SAVES: Final = 16
SAVES_WAITING: Final = 256
#: And how many where pictures are kept elsewhere, which may take none any more: what is sent meanwhile is paid for.
KEEPS_WAITING: Final = 32
#: How many that wait for another try may do so without a place among those: each has a file open.
ASIDE: Final = 128


@define(eq=False, repr=False)
class RowTask(Task):
    """The task of a row. The prompt stays in the journal: many tasks wait at once."""

    row: int = field(default=0, kw_only=True)
    #: The seconds of outages before it was ours to wait for.
    outages_before: float = field(default=0.0, kw_only=True)


@frozen
class _Runner:
    """The client as images see it: flows run in this event loop, whatever colour it has."""

    _core: Core
    arun: Callable[[Flow[Any]], Awaitable[Any]]
    session: Session
    run: None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)


class RowTasks:
    """Follows the tasks that are accepted, now or in an earlier run. ``keep`` is given each picture before its row
    counts as saved.
    """

    def __init__(
        self,
        core: Core,
        contact: Contact,
        queue: Queue,
        record: Record,
        jobs: Jobs,
        options: Options,
        keep: Keep | None,
    ) -> None:
        self._contact, self._queue, self._record = contact, queue, record
        self._jobs, self._options, self._keep = jobs, options, keep
        self._runner = _Runner(core, contact.drive, contact.session)
        #: Threads for that alone: a store that hangs is not to keep the journal from writing.
        self._keeping = anyio.CapacityLimiter(SAVES)
        self._saves, self._aside = anyio.Semaphore(SAVES), anyio.Semaphore(ASIDE)
        #: Waiting rows whose tasks the API did not know when an earlier run asked.
        self._were_unknown: set[int] = set()

    @property
    def are_crowded(self) -> bool:
        """Whether so many pictures wait to be fetched that nothing new is to be started."""
        return self._jobs.running["save"] >= (SAVES_WAITING if self._keep is None else KEEPS_WAITING)

    async def resume(self) -> None:
        """Queue what an earlier run, or another worker, left: tasks to poll, images to fetch."""
        now, wall = _clock.monotonic(), _clock.wall()
        for entry in await self._record.take("waiting"):
            task = self._task(entry)
            task.resumed(now - max(wall - (entry.submitted_at or wall), 0.0))
            self._contact.schedule.submitted(task.model, now)
            self._contact.known_task = str(task.id), task.poll_url
            self._queue.poll_at(task, now)
            if (entry.error or {}).get("type") in UNKNOWN:
                self._were_unknown.add(entry.row)
        for entry in await self._record.take("completed"):
            folder = self._record.journal.folder if self._keep is not None else None
            pictures = Pictures.known(entry, self._task(entry), self._runner, folder)
            if pictures.fetchable:
                self._jobs.start("save", self._save, pictures)
            elif entry.task_id is not None:  # its images came as data, which the journal does not hold
                self._queue.poll_at(self._task(entry), now)
            elif self._record.is_unfetched(entry.row) and self._record.journal.path is not None:
                # As before, and their files are gone. Of a journal of several machines, another may have them.
                await self._record.end(entry.row, error=entry.error, finished_at=wall)

    async def accepted(self, entry: Entry, answer: Answer) -> None:
        """Follow what became of a submission: a task, or images at once."""
        task = self._task(entry)
        task.submitted(answer, _clock.monotonic())
        if not answer.is_task:
            self._record.paid[entry.row] = "was answered with images"
            await self._finish(task)
            return
        self._contact.known_task = str(task.id), task.poll_url
        self._record.paid[entry.row] = f"was accepted as task {task.id}"
        cells = {"task_id": task.id, "poll_url": task.poll_url, **_billed(task)}
        await self._record.write(entry.row, status="waiting", **cells)
        await self._follow(task)

    def _task(self, entry: Entry) -> RowTask:
        return RowTask(
            entry.task_id, entry.poll_url, entry.request.get("model"), entry.images, row=entry.row,
            request_id=entry.request_id, billing_id=entry.billing_id, cost=amount(entry.cost),
            outages_before=self._contact.idle,
        )  # fmt: skip

    # ---- until it ends ----

    def poll_next(self) -> None:
        """Start the poll that is due first."""
        self._jobs.start("poll", self._follow, self._queue.take(), True)

    async def _follow(self, task: RowTask, poll: bool = False) -> None:
        """Go on with a task: poll it, finish it, or queue its next poll."""
        try:
            if poll and not await self._poll(task):
                return
            if task.row in self._were_unknown and task._seen:
                self._were_unknown.discard(task.row)
                await self._record.write(task.row, error=None)
            deadline = self._deadline(task)
            over = not task.done and not self._poll_later(task, deadline)
            if task.done or (over and task._answer is not None and task._answer.state is State.UNKNOWN):
                await self._finish(task)
            elif over:
                await self._record.leave(task.row, timed_out(task))
        except JournalError:
            raise
        except TaskNotFoundError as exc:
            if self._options.drop_unknown:
                await self._record.fail(task.row, "failed", exc)
            else:  # another account may know it
                await self._record.leave(task.row, exc)
        except (AuthenticationError, InsufficientBalanceError, PermissionDeniedError) as exc:
            self._jobs.rejected = self._jobs.rejected or isinstance(exc, AuthenticationError)
            self._jobs.stop(str(exc), leave=False)
            await self._record.leave(task.row, exc)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is about this row: it is polled again another time
            await self._record.leave(task.row, exc)

    async def _poll(self, task: RowTask) -> bool:
        """Poll a task once. Returns whether that tells anything: not while the API cannot be reached."""
        began = _clock.monotonic()
        with self._contact.cut_off_by_leaving() as scope:
            await self._contact.drive(poll_once(self._contact.session, task, self._deadline(task)))
        if scope.cancelled_caught:  # another run polls it
            return False
        if task._trouble is not None and await self._contact.outlast(began):
            self._queue.poll_at(task, _clock.monotonic())
            return False
        return True

    def _deadline(self, task: RowTask) -> Deadline:
        """Return until when a task is waited for: its time does not run while the API cannot be reached."""
        idle = self._contact.idle - task.outages_before
        return Deadline(max(task._born or 0.0, self._jobs.began) + self._options.deadline + idle, _clock.monotonic)

    def _poll_later(self, task: RowTask, deadline: Deadline) -> bool:
        """Queue the next poll of a task, unless the deadline comes first."""
        delay = next_delay(self._contact.session, task, deadline, self._options.poll_interval)
        if delay is not None:
            self._queue.poll_at(task, _clock.monotonic() + delay)
        return delay is not None

    # ---- its images, and its end ----

    async def _finish(self, task: RowTask) -> None:
        """Take what a row ended with: its images are saved, those that came with a failure too."""
        failure: LemonError | None = None
        try:
            answer = ending(task)
        except TaskFailedError as exc:
            if task._answer is None or not task._answer.images:
                await self._record.fail(task.row, "failed", exc, **_billed(task))
                return
            failure, answer = exc, task._answer
        entry = await self._record.read(self._record.journal.entry, task.row)
        pictures = Pictures.of(entry, answer, task, self._runner)
        with anyio.CancelScope(shield=True):  # what came as data is nowhere else
            await self._store(pictures, data=True)
        if failure is None:
            cells: dict[str, Any] = {"answer": without_data(answer), "note": pictures.note, **_billed(task)}
            cells |= {"task_id": answer.task_id or task.id, "paths": pictures.paths, "error": None}
            await self._record.write(task.row, status="completed", **cells)
        self._jobs.start("save", self._save, pictures, failure)

    async def _store(self, pictures: Pictures, *, data: bool) -> None:
        deadline, folder = self._options.deadline, self._record.journal.folder
        await pictures.save(folder, deadline, data=data, keep=self._keep, threads=self._keeping)
        if isinstance(pictures.error, OSError):
            self._jobs.stop(f"the images cannot be written: {pictures.error}")
        if pictures.entry.row in self._record.paid:
            self._record.paid[pictures.entry.row] = f"was answered with images: {', '.join(pictures.places())}"

    async def _save(self, pictures: Pictures, failure: LemonError | None = None) -> None:
        """Fetch what is not there yet, and end the row."""
        row = pictures.entry.row
        async with Place(self._saves, self._aside):
            while True:
                began = _clock.monotonic()
                with self._contact.cut_off_by_leaving() as scope:
                    await self._store(pictures, data=False)
                if scope.cancelled_caught:
                    return  # another run fetches them
                if not isinstance(pictures.error, DownloadError):
                    break
                self._contact.trouble(began, str(pictures.error))
                if not await self._contact.outlast(began) or self._jobs.leaving:
                    break
        known = {"paths": pictures.paths, "note": pictures.note}
        if failure is not None:
            await self._record.fail(row, "failed", failure, **known)
        elif pictures.error is None:
            await self._record.end(row, status="saved", error=None, finished_at=_clock.wall(), **known)
        elif isinstance(pictures.error, ImageGoneError) and self._options.drop_unknown:
            await self._record.fail(row, "failed", pictures.error, **known)
        else:
            kept = await self._record.read(self._record.journal.entry, row)
            again = pictures.fetchable or kept.task_id is not None
            error, end = described(pictures.error), None if again else _clock.wall()
            await self._record.end(row, error=error, finished_at=end, **known)


def _billed(task: Task) -> dict[str, Any]:
    """Return the cells of what a row was billed as."""
    return cells_of(Bill(task.request_id, task.billing_id, task.cost))


def cells_of(known: Bill) -> dict[str, Any]:
    """Return the cells of a bill."""
    return {**known._asdict(), "cost": as_json(known.cost)}
