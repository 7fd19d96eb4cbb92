"""The flows of the public calls: from a checked request, or a handle, to images. Whoever leaves early is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ._api import valid_id
from ._core import Core, Request, Told
from ._flow import Call, Flow
from ._retry import Deadline
from .capabilities import asked
from .errors import TaskFailedError
from .results import ImageResult
from .tasks import Leaving, Task, next_change, refresh, submit_task, until_done

TaskT = TypeVar("TaskT", bound=Task)
OnChange = Callable[[Any], object] | None


def handle(core: Core, kind: type[TaskT], task_id: str, poll_url: str | None) -> TaskT:
    """Return a handle from an id. Raises ValueError for what cannot be one."""
    if not valid_id(task_id):
        raise ValueError(f"{task_id!r} is not a task id. Give the id that submit() or the API returned.")
    return kind(task_id, poll_url, core=core)  # type: ignore[call-arg]  # the handles of both colours have a core


def submitted(core: Core, kind: type[TaskT], request: Request, deadline: Deadline) -> Told[TaskT]:
    """Send the billable POST and return the handle."""
    leaving = Leaving()
    return _submit(core, kind, request, deadline, leaving), leaving.tell


def generated(
    core: Core,
    kind: type[TaskT],
    request: Request,
    deadline: Deadline,
    poll_interval: float | None,
    on_update: OnChange,
) -> Told[ImageResult]:
    """Send the billable POST, wait until it is done, and return the images."""
    leaving = Leaving()

    def flow() -> Flow[ImageResult]:
        task = yield from _submit(core, kind, request, deadline, leaving)
        return (yield from _accepted(core, task, deadline, poll_interval, on_update))

    return flow(), leaving.tell


def waited(
    core: Core, task: Task, deadline: Deadline, poll_interval: float | None, on_update: OnChange
) -> Told[ImageResult]:
    """Wait for a task and return its images."""
    return _result(core, task, deadline, poll_interval, on_update), Leaving(task).tell


def adopted(core: Core, task: Task, deadline: Deadline, on_update: OnChange) -> Told[ImageResult]:
    """Wait for a task that somebody else submitted just now."""
    return _accepted(core, task, deadline, None, on_update), Leaving(task).tell


def changed(core: Core, task: Task, deadline: Deadline, poll_interval: float | None) -> Told[bool]:
    """Wait for the next change of a task. See `next_change`."""
    return next_change(core.session, task, deadline, poll_interval=poll_interval), Leaving(task).tell


def refreshed(core: Core, task: Task, deadline: Deadline) -> Told[None]:
    """Poll until the present state of a task is known."""
    return refresh(core.session, task, deadline), Leaving(task).tell


def _submit(core: Core, kind: type[TaskT], request: Request, deadline: Deadline, leaving: Leaving) -> Flow[TaskT]:
    def new() -> TaskT:
        wanted = asked(request.body) or None
        return kind(None, None, request.model, request.n, request.prompt, wanted, core=core)  # type: ignore[call-arg]  # as above

    return (yield from submit_task(core.session, new, request.body, deadline, leaving))


def _accepted(
    core: Core, task: Task, deadline: Deadline, poll_interval: float | None, on_update: OnChange
) -> Flow[ImageResult]:
    # Its user hears of a task before the first poll.
    if on_update is not None and not task.done:
        yield Call(on_update, task)
    return (yield from _result(core, task, deadline, poll_interval, on_update))


def _result(
    core: Core, task: Task, deadline: Deadline, poll_interval: float | None, on_update: OnChange
) -> Flow[ImageResult]:
    try:
        answer = yield from until_done(core.session, task, deadline, poll_interval=poll_interval, on_update=on_update)
    except TaskFailedError as exc:
        if task._answer is not None and task._answer.images:  # paid for, and worth having
            exc.result = ImageResult.of(task._answer, task, core)
            exc.add_note(f"{len(exc.result)} image(s) came with it all the same: .result holds them.")
        raise
    return ImageResult.of(answer, task, core)
