"""The engine of a batch: one loop that gives every submission and every look its turn, and writes each step down.

The loop decides with `Agenda` and `RequestBudget` when something is due and starts it as a job; few jobs run at once.
A submission is written down before its POST leaves and its task before the first look; a row that was certainly not
accepted goes back to the unsent ones. Whatever a job meets becomes the outcome of its row. Stopping is gentle: what is
on its way is waited for, because it may be billed.
"""

from __future__ import annotations

import heapq
import math
import shutil
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

import anyio
from anyio.to_thread import run_sync
from attrs import define, evolve, field, frozen

from lemon_ext._files import file_stem
from lemon_ext._flow import Flow
from lemon_ext._operations import Answer, Refused, Session, State, post, read_answer
from lemon_ext.errors import (
    APIConnectionError,
    APIResponse,
    APIStatusError,
    AuthenticationError,
    InsufficientBalanceError,
    JournalError,
    LemonError,
    PermissionDeniedError,
    RateLimitError,
    ResponseError,
    SubmissionUncertainError,
    TaskFailedError,
    warn,
)
from lemon_ext.polling import Task, adopt, ending, look_once, next_delay, remarks, timed_out, with_images
from lemon_ext.results import ImageResult
from lemon_ext.retry import Deadline
from lemon_ext.schedule import Agenda, Durations, Schedule

from . import journal as record
from .journal import Entry, Journal, Statement

T = TypeVar("T")

#: Looks at once. By Little's law 25 serve 10,000 requests a minute at 150 ms each.
LOOKS: Final = 32
#: Rows whose images are fetched at once, and how many may wait for that before nothing new is started.
SAVES: Final = 16
SAVES_WAITING: Final = 256
#: How often a row that was certainly not accepted is sent again before it, or the batch, gives up.
RESENDS: Final = 8
#: So many lost answers in a row end the sending: each may be billed, and something is wrong.
DOUBTS: Final = 5
#: The highest price of a look, in seconds: a batch wants many tasks a minute, and nobody watches a single one.
DEAREST: Final = 8.0
#: Bytes that have to be free in the folder before another image is paid for.
MIN_FREE: Final = 128 * 2**20
#: After so many rows, what was learned of durations is written down.
LESSONS: Final = 50
#: Unsent rows read ahead.
AHEAD: Final = 128


_ENDS: Final = ("saved", "failed", "refused", "uncertain")


class Door(Protocol):
    """What the engine needs of a client."""

    @property
    def session(self) -> Session: ...
    @property
    def sleep(self) -> Callable[[float], Awaitable[object]]: ...
    @property
    def runner(self) -> Any: ...
    async def arun(self, flow: Flow[T]) -> T: ...


@frozen
class Progress:
    """How far a batch is, in rows. ``images`` are saved ones; ``per_minute`` rows have ended a minute in this run, and
    ``left_seconds`` is what is left at that rate, None until that can be told. ``stopped`` says why nothing more is
    sent.
    """

    total: int
    unsent: int = 0
    submitting: int = 0
    waiting: int = 0
    saved: int = 0
    failed: int = 0
    refused: int = 0
    uncertain: int = 0
    images: int = 0
    elapsed: float = 0.0
    per_minute: float = 0.0
    left_seconds: float | None = None
    stopped: str | None = None

    @classmethod
    def of(cls, counts: Mapping[str, int], **more: Any) -> Progress:
        """Make one of a journal's counts."""
        known: dict[str, Any] = {name: counts.get(name, 0) for name in ("unsent", "submitting", *_ENDS)}
        waiting = counts.get("waiting", 0) + counts.get("completed", 0)
        return cls(sum(counts.values()), waiting=waiting, **known, **more)

    @property
    def open(self) -> int:
        """The rows that another run goes on with."""
        return self.unsent + self.submitting + self.waiting


@define(eq=False, repr=False)
class RowTask(Task):
    """The task of a row. The prompt stays in the journal: many tasks wait at once."""

    row: int = field(default=0, kw_only=True)


@define
class _Group:
    statements: list[Statement] = field(factory=list)
    done: bool = False
    error: Exception | None = None


class _Writer:
    """Commits what many jobs write at the same time in one go: a sync to disk takes longer than a POST's turn."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = anyio.Lock()
        self._next = _Group()
        self._failed: list[Statement] = []

    async def write(self, *statements: Statement) -> None:
        """Return once the statements are on disk. Raises JournalError."""
        group = self._next
        group.statements += statements
        async with self._lock:
            if not group.done:
                self._next, group.done = _Group(), True
                try:
                    await self._run(self._journal.commit, group.statements)
                except Exception as exc:  # noqa: BLE001 - raised below, by everyone who waits for this group
                    group.error = exc
                    self._failed += group.statements
        if group.error is not None:
            raise group.error

    async def read(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function of the journal's."""
        async with self._lock:
            return await self._run(function, *arguments)

    def flush(self) -> None:
        """Write what could not be written, or was not waited for, once more. Raises JournalError."""
        statements, self._failed = self._failed + self._next.statements, []
        if statements:
            self._journal.commit(statements)

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T:
        with anyio.CancelScope(shield=True):
            result = await run_sync(function, *arguments)
        return result  # noqa: RET504 - the type checker believes that a scope may swallow what is raised in it


class Engine:
    """Works off the rows of a journal. `run` does it; `stop` ends it gently, from the same event loop."""

    def __init__(
        self,
        journal: Journal,
        door: Door,
        *,
        deadline: float,
        poll_interval: float | None,
        concurrency: int,
        max_images: int | None,
        emit: Callable[[Entry], Awaitable[None]],
        on_progress: Callable[[Progress], object] | None,
    ) -> None:
        self._journal, self._door, self._writer = journal, door, _Writer(journal)
        self._session = door.session
        self._clock, self._wall = door.session.clock, door.session.wall
        self._deadline, self._poll_interval = deadline, poll_interval
        self._concurrency, self._max_images = concurrency, max_images
        self._emit, self._on_progress = emit, on_progress
        self._schedule = Schedule(self._session.budget.per_minute, dearest=DEAREST)
        for model, learned in journal.durations().items():
            with suppress(ValueError):  # an older version counted differently: learn anew
                self._schedule.durations[model] = Durations.from_json(learned)
        self._agenda = Agenda(self._schedule, self._session.budget)
        self._ahead: deque[Entry] = deque()
        self._last_read: float = 0
        self._again: list[tuple[float, int, Entry]] = []
        self._tries: dict[int, int] = {}
        self._submitting = self._looking = self._saving = self._doubts = 0
        self._saves = anyio.Semaphore(SAVES)
        self._wake = anyio.Event()
        self._stopped: str | None = None
        self._leaving = False
        self._crash: Exception | None = None
        self._began = self._clock()
        self._counts: dict[str, int] = {}
        self._ended = 0
        self._images = 0
        self._images_sent = 0

    def stop(self, reason: str, *, leave: bool = True) -> None:
        """Send nothing more. With ``leave``, do not wait for running tasks either: another run goes on with them."""
        self._stopped = self._stopped or reason
        self._leaving = self._leaving or leave
        self._wake.set()
        self._report()

    async def run(self) -> None:
        """Work until every row has ended or nothing more can be done. Raises what made it impossible to go on."""
        self._counts = await self._writer.read(self._journal.counts)
        self._images_sent = await self._writer.read(self._journal.images_sent)
        self._images = await self._writer.read(self._journal.saved_images)
        self._report()
        for entry in await self._writer.read(lambda: list(self._journal.entries("uncertain"))):
            await self._emit(entry)
        try:
            async with anyio.create_task_group() as self._group:
                self._resume()
                await self._job(self._loop)
        finally:
            self._keep()
        if self._crash is not None:
            raise self._crash

    def progress(self) -> Progress:
        """Return how far the batch is."""
        elapsed = self._clock() - self._began
        known = Progress.of(self._counts, images=self._images, elapsed=elapsed, stopped=self._stopped)
        if not self._ended or elapsed <= 0:
            return known
        rate = self._ended / elapsed
        return evolve(known, per_minute=60.0 * rate, left_seconds=known.open / rate)

    def _resume(self) -> None:
        """Queue what an earlier run left: tasks to look at, images to fetch."""
        now, wall = self._clock(), self._wall()
        for entry in self._journal.entries("waiting"):
            task = self._task(entry)
            task._born = now - max(wall - (entry.submitted_at or wall), 0.0)
            task._ours = True
            self._schedule.submitted(task.model, now)
            self._agenda.look_at(task, now)
        for entry in self._journal.entries("completed"):
            body = record.dumps(entry.answer or {}).encode()
            answer, task = read_answer(APIResponse(200, {}, body)), self._task(entry)
            before = "completed" if entry.error is None else "failed"
            if answer is not None and answer.images:
                self._move(before, "completed")
                self._save_later(task, answer)
            elif task.id is not None:  # its images came as data, which the record does not hold: they can be asked for
                self._move(before, "waiting")
                self._agenda.look_at(task, now)

    async def _loop(self) -> None:
        while True:
            self._wake = anyio.Event()
            await self._read_ahead()
            now = self._clock()
            self._schedule.backlog = self._counts.get("unsent", 0)
            crowded = self._saving >= SAVES_WAITING
            look_at = math.inf if self._looking >= LOOKS or self._leaving or crowded else self._agenda.next_look()
            submit_at = math.inf if self._submitting >= self._concurrency or crowded else self._next_submission(now)
            due = min(look_at, submit_at)
            if due == math.inf and not self._busy():
                return
            due = max(due, self._session.budget.opens(now))
            if due > now:
                await self._pause(due - now)
            elif look_at <= submit_at:
                self._session.budget.reserve(now)
                self._looking += 1
                self._group.start_soon(self._job, self._look, self._agenda.take())
            elif (entry := self._take_unsent()) is not None:
                self._session.budget.reserve(now)
                self._agenda.submitted(now)
                self._schedule.submitted(entry.request.get("model"), now)
                self._submitting += 1
                self._images_sent += entry.images
                self._move("unsent", "submitting")
                self._group.start_soon(self._job, self._submit, entry)

    def _busy(self) -> bool:
        return bool(self._submitting or self._looking or self._saving or (len(self._agenda) and not self._leaving))

    def _next_submission(self, now: float) -> float:
        if self._stopped or not (self._ahead or self._again):
            return math.inf
        again = self._again[0][0] if self._again else math.inf
        if not self._ahead:
            return again
        under_way = len(self._agenda) + self._submitting + self._looking
        return min(again, self._agenda.next_submission(now, under_way))

    def _take_unsent(self) -> Entry | None:
        """Return the next row to send, or None, and send nothing more, where that would exceed the limit of images."""
        again = bool(self._again) and (not self._ahead or self._again[0][0] <= self._clock())
        entry = self._again[0][2] if again else self._ahead[0]
        if self._max_images is not None and self._images_sent + entry.images > self._max_images:
            self.stop(f"the next row would exceed {self._max_images} images", leave=False)
            return None
        if shutil.disk_usage(self._journal.folder).free < MIN_FREE:
            self.stop(f"less than {MIN_FREE // 2**20} MiB are free in {self._journal.folder}", leave=False)
            return None
        if again:
            heapq.heappop(self._again)
        else:
            self._ahead.popleft()
        return entry

    async def _read_ahead(self) -> None:
        """Read the next unsent rows. None that went back to being unsent is read twice: rows are read in order."""
        if not self._ahead and not self._stopped and self._last_read < math.inf:
            after = int(self._last_read)
            found = await self._writer.read(lambda: list(self._journal.entries("unsent", after=after, limit=AHEAD)))
            self._last_read = found[-1].row if len(found) == AHEAD else math.inf
            self._ahead.extend(found)

    async def _pause(self, seconds: float) -> None:
        """Wait until something is due, or a job has ended."""
        async with anyio.create_task_group() as group:

            async def timer() -> None:
                await self._door.sleep(seconds)
                group.cancel_scope.cancel()

            if seconds < math.inf:
                group.start_soon(timer)
            await self._wake.wait()
            group.cancel_scope.cancel()

    async def _job(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Run one job. Nothing it raises may cancel the others: their requests may be billed."""
        try:
            await work(*arguments)
        except Exception as exc:  # noqa: BLE001 - raised again by `run`
            self._crash = self._crash or exc
            self.stop(f"{type(exc).__name__}: {exc}")
        finally:
            self._wake.set()

    async def _submit(self, entry: Entry) -> None:
        accepted = False
        try:
            await self._writer.write(record.submitting(entry.row, self._wall()))
            deadline = self._session.deadline(self._deadline)
            outcome = await self._door.arun(post(self._session, entry.request, deadline))
            if isinstance(outcome, Refused):
                await self._refused(entry, outcome)
            else:
                accepted = True
                await self._accepted(entry, outcome)
        except SubmissionUncertainError as exc:
            self._doubts += 1
            if self._doubts >= DOUBTS:
                self.stop(f"{DOUBTS} submissions in a row were sent and their answers lost", leave=False)
            await self._end(entry.row, "submitting", "uncertain", exc)
        except (AuthenticationError, InsufficientBalanceError) as exc:
            self.stop(str(exc), leave=False)
            self._images_sent -= entry.images
            await self._put_back(entry.row, exc)
        except JournalError:
            raise
        except (APIStatusError, ResponseError, TaskFailedError) as exc:
            # After a 303 the server has what it wanted, and shows the answer elsewhere.
            uncertain = isinstance(exc, ResponseError) and exc.response is not None and exc.response.status_code == 303
            refused = not (accepted or uncertain or isinstance(exc, TaskFailedError))
            self._images_sent -= entry.images if refused else 0
            status = "uncertain" if uncertain else "refused" if refused else "failed"
            await self._end(entry.row, "submitting", status, exc)
        except LemonError as exc:  # the client is closed, or of another event loop: nothing was sent
            self.stop(str(exc))
            await self._put_back(entry.row, exc)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is about this row, and this row may be billed
            await self._end(entry.row, "submitting", "uncertain", exc)
        finally:
            self._submitting -= 1

    async def _accepted(self, entry: Entry, answer: Answer) -> None:
        self._doubts = 0
        self._tries.pop(entry.row, None)
        task = self._task(entry)
        task.id, task.poll_url = answer.task_id, answer.poll_url
        adopt(task, answer, self._clock())
        if not answer.is_task:
            await self._complete(task, with_images(answer), "submitting")
            return
        try:
            await self._writer.write(record.waiting(entry.row, str(answer.task_id), answer.poll_url))
        except JournalError as exc:
            exc.add_note(f"Row {entry.row} was accepted as task {answer.task_id}; note it: it is not on disk.")
            raise
        self._move("submitting", "waiting")
        if not self._queue(task, self._session.deadline(self._deadline)):
            await self._still_waiting(task.row, timed_out(task))

    async def _refused(self, entry: Entry, refused: Refused) -> None:
        """Put a row back that was certainly not accepted: to be sent again, or for another run."""
        self._images_sent -= entry.images
        tries = self._tries[entry.row] = self._tries.get(entry.row, 0) + 1
        if tries <= RESENDS and refused.delay(tries) <= self._deadline:
            again = self._clock() + refused.delay(tries)
            if isinstance(refused.error, RateLimitError):  # it is meant for the account, not for this row
                self._session.budget.penalize(again)
            await self._writer.write(record.unsent(entry.row))
            self._move("submitting", "unsent")
            heapq.heappush(self._again, (again, entry.row, entry))
        elif isinstance(refused.error, APIConnectionError | RateLimitError):
            self.stop(str(refused.error), leave=False)
            await self._put_back(entry.row, refused.error)
        else:  # the model of this row is out of service; the next row may be of another
            await self._end(entry.row, "submitting", "refused", refused.error)

    async def _put_back(self, row: int, error: LemonError) -> None:
        await self._writer.write(record.unsent(row, _described(error)))
        self._move("submitting", "unsent")
        await self._tell(row)

    async def _look(self, task: RowTask) -> None:
        try:
            await self._look_and_judge(task)
        finally:
            self._looking -= 1

    async def _look_and_judge(self, task: RowTask) -> None:
        deadline = Deadline(max(task._born or 0.0, self._began) + self._deadline, self._clock)
        try:
            await self._door.arun(look_once(self._session, self._schedule, task, deadline))
            if not task.done:
                if self._queue(task, deadline):
                    return
                if task._answer is None or task._answer.state is not State.UNKNOWN:
                    await self._still_waiting(task.row, timed_out(task))
                    return
            await self._complete(task, ending(task), "waiting")
        except TaskFailedError as exc:
            await self._end(task.row, "waiting", "failed", exc)
        except JournalError:
            raise
        except (AuthenticationError, InsufficientBalanceError, PermissionDeniedError) as exc:
            self.stop(str(exc), leave=False)
            await self._still_waiting(task.row, exc)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is about this row, which is paid: look again another time
            await self._still_waiting(task.row, exc)

    async def _still_waiting(self, row: int, error: Exception) -> None:
        await self._writer.write(record.noted(row, _described(error)))
        await self._tell(row)

    def _queue(self, task: RowTask, deadline: Deadline) -> bool:
        """Queue the next look at a task, unless the deadline comes first."""
        delay = next_delay(self._session, self._schedule, task, deadline, self._poll_interval)
        if delay is not None:
            self._agenda.look_at(task, self._clock() + delay)
        return delay is not None

    async def _complete(self, task: RowTask, answer: Answer, before: str) -> None:
        """Write down that the images of a row are there, and have them saved."""
        note = " ".join(remarks(answer, task.n)) or None
        completed = record.completed(task.row, _without_data(answer.body), answer.task_id, note)
        if any(_holds_data(image) for image in answer.body["data"]):
            # What came with the answer is nowhere else: it is saved before anything is written down about it.
            self._saving += 1
            self._move(before, "completed")
            await self._save(task, answer, completed)
            return
        await self._writer.write(completed)
        self._move(before, "completed")
        self._save_later(task, answer)

    def _save_later(self, task: RowTask, answer: Answer) -> None:
        self._saving += 1
        self._group.start_soon(self._job, self._save, task, answer)

    async def _save(self, task: RowTask, answer: Answer, *before: Statement) -> None:
        try:
            async with self._saves:
                entry = await self._writer.read(self._journal.entry, task.row)
                paths = await self._fetch(task, answer, entry)
            await self._writer.write(*before, record.saved(task.row, paths, self._wall()))
            self._images += len(paths)
            await self._ended_as(task.row, "completed", "saved")
        except JournalError:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is about this row, which is paid: fetch it another time
            if isinstance(exc, OSError):
                self.stop(f"the images cannot be written: {exc}")
            elif before:
                self._keep_reply(task.row, answer)
            await self._writer.write(*before, record.noted(task.row, _described(exc)))
            await self._ended_as(task.row, "completed", "failed")
        finally:
            self._saving -= 1

    async def _fetch(self, task: RowTask, answer: Answer, entry: Entry) -> list[str]:
        """Save the images of a row and return their names. What an interrupted run left of them is replaced."""
        prompt, model = str(entry.request.get("prompt")), entry.request.get("model")
        owner = task if task.id is not None else None
        result = ImageResult.of(answer, model=model, prompt=prompt, task=owner, runner=self._door.runner)
        paths = []
        for name, image in zip(names_of(entry, len(result)), result, strict=True):
            path = self._journal.folder / name
            paths.append((await image.asave(path, overwrite=True, deadline=self._deadline)).name)
        return paths

    def _keep_reply(self, row: int, answer: Answer) -> None:
        """Keep an answer whose data nobody could make a picture of: it is paid, and nowhere else."""
        path = self._journal.folder / f"{row:05d}-reply.json"
        with suppress(OSError):
            path.write_text(record.dumps(answer.whole), encoding="utf-8")

    async def _end(self, row: int, before: str, status: str, error: Exception) -> None:
        reply = (
            error.response.text
            if isinstance(error, ResponseError | SubmissionUncertainError) and error.response
            else None
        )
        await self._writer.write(record.ended(row, status, _described(error), self._wall(), reply))
        await self._ended_as(row, before, status)

    async def _ended_as(self, row: int, before: str, status: str) -> None:
        self._ended += 1
        self._move(before, status)
        if self._ended % LESSONS == 0:
            await self._writer.write(*self._learned())
        await self._tell(row)

    async def _tell(self, row: int) -> None:
        await self._emit(await self._writer.read(self._journal.entry, row))

    def _move(self, before: str, after: str) -> None:
        self._counts[before] = self._counts.get(before, 0) - 1
        self._counts[after] = self._counts.get(after, 0) + 1
        self._report()

    def _report(self) -> None:
        if self._on_progress is None:
            return
        try:
            self._on_progress(self.progress())
        except Exception as exc:  # noqa: BLE001 - a broken progress bar must not cost a paid image
            self._on_progress = None
            warn(f"on_progress raised {type(exc).__name__}: {exc}. The batch goes on.")

    def _task(self, entry: Entry) -> RowTask:
        model = entry.request.get("model")
        return RowTask(entry.task_id, entry.poll_url, model, entry.images, row=entry.row)

    def _keep(self) -> None:
        """Write down what was learned, and what must not be forgotten, whatever ended the run."""
        try:
            self._writer.flush()
            self._journal.commit([record.cut_off(), *self._learned()])
        except JournalError as exc:
            self._crash = self._crash or exc

    def _learned(self) -> list[Statement]:
        return [record.learned(m, d.to_json()) for m, d in self._schedule.durations.items() if m is not None]


def names_of(entry: Entry, images: int) -> list[str]:
    """Return the names of a row's files, without suffix: its number, the prompt's words, the image's number."""
    stem = f"{entry.row:05d}-{file_stem(entry.request.get('prompt'))}"
    return [f"{stem}-{number}" for number in range(1, images + 1)]


def _described(error: Exception) -> dict[str, Any]:
    """Return an error as it stands in the record."""
    retryable = isinstance(error, APIStatusError) and (error.retryable is True or error.status_code in (429, 503))
    return {
        "type": type(error).__name__,
        "message": str(error),
        "code": getattr(error, "code", None),
        "status_code": getattr(error, "status_code", None),
        **({"retryable": True} if retryable else {}),
    }


def _holds_data(image: Any) -> bool:
    return isinstance(image, dict) and (bool(image.get("b64_json")) or str(image.get("url")).startswith("data:"))


def _without_data(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer without its pictures: they are saved as files, and the record stays small."""
    data = [
        {name: value for name, value in image.items() if not (name == "b64_json" or str(value).startswith("data:"))}
        if _holds_data(image)
        else image
        for image in body["data"]
    ]
    return {**body, "data": data}
