"""What `generate` and `task` share: several jobs at once, each from its submission to its saved images.

A job that fails does not stop the others. The first interrupt is gentle: nothing more is sent, what is being sent or
saved is waited for, and the command that resumes the tasks is printed. The second one ends at once, and tells which
requests may be billed.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

import anyio
import click
from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import define, field

from lemon_ext._base64 import as_text
from lemon_ext._files import file_stem
from lemon_ext._signals import exit_status, hold, patiently
from lemon_ext._words import count
from lemon_ext.errors import DownloadError, LemonError, LemonWarning, ResponseError, SaveError, TaskFailedError

from ._errors import BUG, DONE, RUNNING, UNCERTAIN, Failure, Resume, explain
from ._job import Job
from ._screen import QUIET, screen

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from lemon_ext.client import AsyncImageTask, AsyncLemon
    from lemon_ext.results import ImageResult

#: How many requests are under way at once; the client's own rate limit holds besides.
AT_ONCE: Final = 32
#: Exit codes of jobs whose task another command can fetch.
_OPEN: Final = (DONE, BUG, RUNNING)


@define(eq=False)
class Runner:
    """How the jobs of one command are done."""

    client: Callable[[], AsyncLemon]
    save: Callable[[ImageResult], Awaitable[list[Path]]]
    #: Keeps bytes that are paid for and nowhere else, under such a name.
    keep: Callable[[str, bytes], Path | None]
    deadline: float
    poll_interval: float | None
    #: Whether to wait for a task, or to leave it; what to say of one that is left, and the exit code for it.
    keep_on: Callable[[AsyncImageTask], bool]
    tell_left: Callable[[Job], object]
    left_code: int
    resume: Resume
    #: Whether to poll a task once before `keep_on` is asked.
    refresh: bool = False
    _jobs: Sequence[Job] = field(factory=list, init=False)
    _stopping: bool = field(default=False, init=False)
    #: What the work has to say. The main thread prints it: a slow terminal does not hold up the work.
    _said: SimpleQueue[Callable[[], object]] = field(factory=SimpleQueue, init=False)
    _bug: Exception | None = field(default=None, init=False)

    def run(self, jobs: Sequence[Job]) -> int:
        """Do the jobs and return the worst exit code."""
        self._jobs = jobs
        if len(jobs) > 1:
            for index, job in enumerate(jobs, 1):
                job.number = f"{index}/{len(jobs)}"
        try:
            lemon = self.client()
        except LemonError:
            raise
        except ValueError as exc:
            raise click.UsageError(str(exc)) from None
        with screen.drawing(self._draw):
            interrupt = self._work(lemon)
        for job in jobs:
            if job.phase == "ended" and not job.told:  # Ctrl-C came while it was told; better twice than never
                self._tell(job)
        left = [job for job in jobs if job.phase != "ended"]
        if interrupt is not None and left:
            self._tell_interrupted(left, interrupt)
        self._keep_handles()
        if bug := next((job.bug for job in jobs if job.bug is not None), self._bug):
            raise bug
        return exit_status(interrupt) if interrupt is not None and left else max(job.exit_code for job in jobs)

    def _work(self, lemon: AsyncLemon) -> KeyboardInterrupt | None:
        """Do the jobs in an event loop of another thread. Returns what ended them early."""
        interrupt = None
        with ExitStack() as stack:
            release = hold()
            stack.callback(release)
            try:
                # A portal that is interrupted while it starts waits for its thread for ever.
                portal = stack.enter_context(start_blocking_portal("asyncio", name="lemon-work"))
                work = portal.start_task_soon(self._all, lemon)
                work.add_done_callback(lambda _: self._said.put(lambda: None))
                release()
                self._listen(work)
            except KeyboardInterrupt as exc:
                interrupt = exc
                try:
                    self._stop(portal)
                    patiently(partial(self._listen, work))
                except KeyboardInterrupt:
                    work.cancel()
                    self._listen(work)
        if not work.cancelled():
            work.result()
        return interrupt

    def _listen(self, work: Future[None]) -> None:
        """Print what the work has to say, until it has ended."""
        while not (work.done() and self._said.empty()):
            try:
                self._said.get(timeout=0.5)()  # without a timeout, Windows would not hear Ctrl-C
            except Empty:
                pass
            except Exception as exc:  # noqa: BLE001 - raised at the end: the work is paid for
                self._bug = self._bug or exc

    def _stop(self, portal: BlockingPortal) -> None:
        """Send nothing more and stop waiting for tasks. What is being sent or saved goes on."""
        self._stopping = True
        # The library warns of what is left behind, and says how Python code goes on. Here, `_tell_interrupted` says it.
        warnings.filterwarnings("ignore", r".*\b(paid for|billed)\b", LemonWarning)
        portal.start_task_soon(self._cancel_waiting)
        if any(job.phase == "saving" or (job.phase == "sending" and job.prompt is not None) for job in self._jobs):
            screen.warn("Stopping. What is being sent or saved is waited for; Ctrl-C again ends at once.")

    def _cancel_waiting(self) -> None:
        for job in self._jobs:
            if job.waiting is not None:
                job.waiting.cancel()

    async def _all(self, lemon: AsyncLemon) -> None:
        limiter = anyio.CapacityLimiter(AT_ONCE)
        async with lemon, anyio.create_task_group() as group:
            for job in self._jobs:
                group.start_soon(self._one, lemon, job, limiter)

    async def _one(self, lemon: AsyncLemon, job: Job, limiter: anyio.CapacityLimiter) -> None:
        async with limiter:
            if self._stopping:
                return
            job.began = time.monotonic()
            try:
                await self._fetch(lemon, job)
            except (LemonError, OSError) as exc:
                job.failure = self._explain(exc, job)
                job.exit_code = job.failure.exit_code
                job.phase = "ended"
            except Exception as exc:  # noqa: BLE001 - the other jobs are paid for too; it is raised once they have ended
                job.bug, job.exit_code = exc, BUG
                job.phase = "ended"
            except anyio.get_cancelled_exc_class() as exc:
                job.notes = getattr(exc, "__notes__", ())
                raise
            if job.phase == "ended":
                self._said.put(partial(self._tell, job))

    async def _fetch(self, lemon: AsyncLemon, job: Job) -> None:
        """Do one job. It has ended, or an interrupt has left its task."""
        job.phase = "sending"
        job.task = task = await job.start(lemon)
        job.model = job.model or task.model
        job.phase = "waiting"
        with anyio.CancelScope() as job.waiting:
            if self._stopping and not task.done:
                return
            if self.refresh and not task.done:
                await task.refresh()
            if not self.keep_on(task):
                job.phase, job.exit_code = "ended", self.left_code
                return
            if job.prompt is not None and not task.done:
                self._accepted(job)
            left = max(self.deadline - job.seconds, 0.001)
            try:
                job.result = await task.result(
                    deadline=left, poll_interval=self.poll_interval, on_update=lambda _: self._changed(job)
                )
            except TaskFailedError as exc:
                if exc.result is not None:  # images that came all the same
                    job.paths = await self.save(exc.result)
                    _note_saved(lemon, job, "failed")
                raise
        if job.result is not None:
            job.phase = "saving"
            job.paths = await self.save(job.result)
            _note_saved(lemon, job, "saved")
            job.phase = "ended"

    def _explain(self, error: LemonError | OSError, job: Job) -> Failure:
        """Return the failure of a job. Paid data that is nowhere else is saved to a file."""
        failure = explain(error, self.resume, job.task, submitted=job.prompt is not None and job.task is not None)
        assert failure is not None  # noqa: S101 - of these errors there is always something to say
        job.paths = [*job.paths, *getattr(error, "paths", ())]
        failure.answer = error.path if isinstance(error, SaveError | DownloadError | ResponseError) else None
        if failure.answer is not None:  # the library has kept it, and says so
            return failure
        stem = file_stem(job.prompt or job.id)
        if failure.exit_code in (RUNNING, UNCERTAIN) and isinstance(error, ResponseError) and error.body:
            failure.answer = self.keep(f"{stem}-answer", _body(error))
            if failure.answer is not None:
                failure.message += f" The answer is kept in {failure.answer}."
        elif job.task is not None and job.task.done and failure.exit_code == RUNNING and failure.next is None:
            # Its images are in the answer, which is too long for a command.
            handle = self.keep(f"{stem}-task", json.dumps(job.task.to_dict()).encode())
            failure.next = None if handle is None else self.resume.file(handle)
        return failure

    def _accepted(self, job: Job) -> None:
        """Print the id of a task that was accepted, on a terminal too: with it, the task can be resumed."""
        assert job.task is not None  # noqa: S101 - accepted
        job.status, job.said = job.task.status, time.monotonic()
        self._note(job, job.task.status or "accepted")

    def _changed(self, job: Job) -> None:
        """Print a new status as a line, and progress within it every few seconds. On a terminal it is drawn instead."""
        task = job.task
        if task is None or task.status is None or task.done or screen.interactive:
            return
        now = time.monotonic()
        if task.status == job.status and now - job.said < QUIET:
            return
        job.status, job.said = task.status, now
        progress = "" if task.progress is None else f" {task.progress:.0f} %"
        self._note(job, f"{task.status}{progress} after {job.seconds:.0f} s")

    def _note(self, job: Job, text: str) -> None:
        self._said.put(partial(screen.note, f"{_name(job)}: {text}"))

    def _tell(self, job: Job) -> None:
        if job.failure is not None:
            screen.fail(job.failure, {**job.head(), **job.saved()}, job.number)
        elif job.bug is not None and job.task is not None:
            screen.error(f"{_name(job)}: paid for, and stopped by a bug of this program.", self.resume.task([job.task]))
        elif job.result is not None:
            if screen.interactive:
                screen.done(job.label, job.model or "", f"{job.seconds:.1f} s")
            else:
                name = _name(job)
                saved = count(len(job.paths), "image")
                screen.note(f"{name}{': ' if name else ''}saved {saved} after {job.seconds:.1f} s")
            if screen.as_json:
                screen.json(job.to_dict())
        else:
            self.tell_left(job)
        if not screen.as_json:
            for path in job.paths:
                screen.path(path)
        job.told = True

    def _tell_interrupted(self, left: Sequence[Job], interrupt: KeyboardInterrupt) -> None:
        """Report what became of each job that has not ended."""
        running = [job for job in left if job.task is not None or job.prompt is None]
        # The library notes what it leaves behind. There is nothing to note of a request that has not left.
        unsure = [job for job in left if job.task is None and job.notes]
        unsent = [job for job in left if job.task is None and job.prompt is not None and not job.notes]
        told = ["Interrupted."]
        if running:
            told.append(
                f"{count(len(running), 'task is', 'tasks are')} paid for and not fetched yet{_numbers(running)}."
            )
        if unsure:
            told.append(
                f"{count(len(unsure), 'request')} may have been accepted and billed{_numbers(unsure)}: ask "
                "`lemon reconcile`, or look at your account, before you send again."
            )
        if unsent:
            told.append(f"{count(len(unsent), 'request was', 'requests were')} not sent{_numbers(unsent)}.")
        for job in left:
            if job.phase == "saving":
                told += job.notes
        code = exit_status(interrupt)
        screen.error(" ".join(told), self.resume.task([job.task for job in running if job.task is not None]))
        if not screen.as_json:
            return
        for job in left:
            following = self.resume.task([job.task]) if job.task is not None else None
            message = (
                "Interrupted. It is paid for and not fetched yet." if job in running
                else "Interrupted. It may have been accepted and billed." if job in unsure
                else "Interrupted. It was not sent."
            )  # fmt: skip
            screen.json({**job.head(), **Failure(message, code, following, interrupt).to_dict()})

    def _keep_handles(self) -> None:
        """Write the handles of tasks that are left to a file, where nobody could read their ids."""
        left = [
            job.task for job in self._jobs if job.task is not None and job.result is None and job.exit_code in _OPEN
        ]
        if left and screen.unheard:
            self.keep("tasks", "".join(f"{json.dumps(task.to_dict())}\n" for task in left).encode())

    def _draw(self, console: Console) -> RenderableType:
        from ._draw import jobs_under_way

        return jobs_under_way(self._jobs, console)


def _note_saved(lemon: AsyncLemon, job: Job, status: str) -> None:
    """Write down in the ledger where the pictures of a job are."""
    task, ledger = job.task, lemon._core.ledger
    if ledger is not None and task is not None:
        paths = json.dumps([str(path.absolute()) for path in job.paths])
        ledger.change(task._line, task.id, lemon._core.session.base_url, status=status, paths=paths)


def _body(error: ResponseError) -> bytes:
    """Return the answer that an error is about, with its pictures."""
    try:
        if error.response is not None:
            return json.dumps(as_text(error.response.json()), ensure_ascii=False).encode()
    except ValueError:
        pass
    return bytes(error.body)


def _name(job: Job) -> str:
    return " ".join(part for part in (job.number, job.id) if part)


def _numbers(jobs: Sequence[Job]) -> str:
    numbers = ", ".join(job.number for job in jobs if job.number)
    return f" ({numbers})" if numbers else ""
