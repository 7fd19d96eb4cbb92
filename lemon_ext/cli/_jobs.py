"""What `generate` and `task` share: several jobs at once, each from its task to its pictures, each told when it ends.

One job's failure is that job's. An interrupt stops the waiting, never a task: it is said how to get at each.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio
import click
from attrs import define, field, frozen

from lemon_ext.errors import LemonError

from ._errors import BUG, DONE, INTERRUPTED, Failure, Resume, explain
from ._screen import screen

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from lemon_ext.client import AsyncImageTask, AsyncLemon
    from lemon_ext.results import ImageResult

#: How many requests are under way at once; the client's own rate budget holds besides.
AT_ONCE: Final = 32
#: Seconds between two plain lines about the same task's progress.
QUIET: Final = 5.0


@define(eq=False)
class Job:
    """One request or one task. ``start`` gets its handle, from the API or from an id."""

    label: str
    start: Callable[[AsyncLemon], Awaitable[AsyncImageTask]]
    model: str | None = None
    prompt: str | None = None
    number: str = ""
    phase: Literal["queued", "sending", "waiting", "saving", "ended"] = "queued"
    task: AsyncImageTask | None = None
    began: float = 0.0
    said: float = 0.0
    status: str | None = None
    result: ImageResult | None = None
    paths: list[Path] = field(factory=list)
    failure: Failure | None = None
    exit_code: int = DONE
    bug: Exception | None = None

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    @property
    def id(self) -> str | None:
        """The task's id, where there is one."""
        return self.task.id if self.task is not None else None


@frozen
class Runner:
    """How the jobs of one command are done."""

    client: Callable[[], AsyncLemon]
    save: Callable[[ImageResult], Awaitable[list[Path]]]
    deadline: float
    poll_interval: float | None
    #: Whether to wait for a task, or to leave it; ``leave`` tells of it, and returns the exit code for that.
    keep_on: Callable[[AsyncImageTask], bool]
    leave: Callable[[Job], int]
    resume: Resume

    def run(self, jobs: Sequence[Job]) -> int:
        """Do the jobs and return the worst exit code."""
        if len(jobs) > 1:
            for index, job in enumerate(jobs, 1):
                job.number = f"{index}/{len(jobs)}"
        try:
            lemon = self.client()
        except ValueError as exc:
            raise click.UsageError(str(exc)) from None
        try:
            with screen.drawing(partial(_draw, jobs)):
                anyio.run(self._all, lemon, jobs)
        except KeyboardInterrupt:
            self._interrupted(jobs)
            return INTERRUPTED
        for job in jobs:
            if job.bug is not None:
                raise job.bug
        return max(job.exit_code for job in jobs)

    async def _all(self, lemon: AsyncLemon, jobs: Sequence[Job]) -> None:
        limiter = anyio.CapacityLimiter(AT_ONCE)
        async with lemon, anyio.create_task_group() as group:
            for job in jobs:
                group.start_soon(self._one, lemon, job, limiter)

    async def _one(self, lemon: AsyncLemon, job: Job, limiter: anyio.CapacityLimiter) -> None:
        async with limiter:
            job.began = time.monotonic()
            try:
                await self._fetch(lemon, job)
            except (LemonError, OSError) as exc:
                job.failure = explain(exc, self.resume, job.task)
                job.exit_code = job.failure.exit_code if job.failure is not None else BUG
            except Exception as exc:  # noqa: BLE001 - the other jobs are paid for too; it is raised once they have ended
                job.bug = exc
            job.phase = "ended"
            self._tell(job)

    async def _fetch(self, lemon: AsyncLemon, job: Job) -> None:
        job.phase = "sending"
        job.task = task = await job.start(lemon)
        job.model = job.model or task.model
        job.phase = "waiting"
        if not self.keep_on(task):
            job.exit_code = self.leave(job)
            return
        if not task.done:
            self._changed(job)
        left = max(self.deadline - job.seconds, 0.001)
        job.result = await task.result(
            deadline=left, poll_interval=self.poll_interval, on_update=lambda _: self._changed(job)
        )
        job.phase = "saving"
        job.paths = await self.save(job.result)

    def _changed(self, job: Job) -> None:
        """Say a new status in a plain line; progress within one status only now and then. A terminal draws it."""
        task = job.task
        if task is None or task.status is None or task.done or screen.interactive:
            return
        now = time.monotonic()
        if task.status == job.status and now - job.said < QUIET:
            return
        known = job.status is not None
        job.status, job.said = task.status, now
        words = [f"{job.number} {task.id}:" if job.number else f"{task.id}:", task.status]
        if task.progress is not None:
            words.append(f"{task.progress:.0f} %")
        if known:
            words.append(f"after {job.seconds:.0f} s")
        screen.note(" ".join(words))

    def _tell(self, job: Job) -> None:
        if job.failure is not None:
            screen.fail(job.failure, head(job), job.number)
        elif job.result is not None:
            if screen.interactive:
                screen.done(job.label, job.model or "", f"{job.seconds:.1f} s")
            else:
                about = " ".join(part for part in (job.number, job.id) if part)
                images = _count(len(job.paths), "image", "images")
                screen.note(f"{about}{': ' if about else ''}saved {images} after {job.seconds:.1f} s")
            if screen.as_json:
                screen.json(_to_dict(job, job.result))
            else:
                for path in job.paths:
                    screen.out(str(path))

    def _interrupted(self, jobs: Sequence[Job]) -> None:
        """Say what became of each job that has not ended."""
        running = [job for job in jobs if job.phase in ("waiting", "saving") and job.task is not None]
        sending = [job for job in jobs if job.phase == "sending" and job.prompt is not None]
        queued = [job for job in jobs if job.phase == "queued"]
        told = ["Interrupted."]
        if sending:
            told.append(
                f"{_count(len(sending), 'request was', 'requests were')} being sent and may have been accepted and "
                "billed: look at your account before sending again."
            )
        if queued:
            told.append(f"{_count(len(queued), 'request was', 'requests were')} not sent.")
        if running:
            told.append(f"{_count(len(running), 'task', 'tasks')} paid for and still running.")
        following = self.resume.task([job.task for job in running if job.task is not None])
        screen.fail(Failure(" ".join(told), INTERRUPTED, following))


def head(job: Job) -> dict[str, Any]:
    """Return how a job is recognised in JSON."""
    known = {"prompt": job.prompt} if job.prompt is not None else {}
    return {**known, "model": job.model, "task_id": job.id}


def _to_dict(job: Job, result: ImageResult) -> dict[str, Any]:
    revised = [image.revised_prompt for image in result]
    return {
        **head(job),
        "paths": [str(path) for path in job.paths],
        "created": result.created,
        "revised_prompt": next((text for text in revised if text), None),
        "revised_prompts": revised,
        "seconds": round(job.seconds, 3),
    }


def _draw(jobs: Sequence[Job], console: Console) -> RenderableType:
    from ._draw import jobs_under_way

    return jobs_under_way(jobs, console)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
