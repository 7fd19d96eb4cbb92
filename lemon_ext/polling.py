"""From an accepted task to its images: when to look, and what each look means.

`Task` is what is known of a task; the handles users hold add a client to it. `next_change` is the only loop: it
looks, on the schedule, until the status changes. Looks are free, so they outlast every failure that another look may
cure; the deadline is what ends them, and it says how to go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from sys import intern
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import define, field

from ._flow import Call, Flow, Sleep
from ._operations import Answer, Session, Setback, State, ask, book, poll_target, read_answer, status_error
from .errors import (
    APIResponse,
    APITimeoutError,
    LemonError,
    ResponseError,
    TaskFailedError,
    TaskNotFoundError,
    TaskTimeoutError,
    warn,
)
from .retry import Deadline, backoff, wait_before
from .schedule import FLOOR

if TYPE_CHECKING:
    from .schedule import Schedule

__all__ = ("Task",)

TaskT = TypeVar("TaskT", bound="Task")

#: Seconds before the deadline at which a last look is due.
LAST_LOOK: Final = 2.0
#: Seconds after our own submission in which an unknown task may just not be visible yet.
FRESH: Final = 10.0


@define(eq=False, repr=False)
class Task:
    """A task, as far as it is known.

    ``status`` is the server's word, None until something was heard; ``progress`` is in per cent. ``id`` is None for a
    request that was answered at once. ``n`` is how many images were asked for, None if that is not known.
    """

    id: str | None
    poll_url: str | None = None
    model: str | None = None
    n: int | None = None
    prompt: str | None = None
    status: str | None = field(default=None, init=False)
    progress: float | None = field(default=None, init=False)
    #: The last answer that is worth keeping: one with images, or that the task has ended.
    _answer: Answer | None = field(default=None, init=False)
    #: Seconds that the server asked to wait after the last look.
    _hint: float | None = field(default=None, init=False)
    #: Monotonic seconds: when we submitted it, or first heard of it; and when we looked last.
    _born: float | None = field(default=None, init=False)
    _looked: float | None = field(default=None, init=False)
    _ours: bool = field(default=False, init=False)
    _seen: bool = field(default=False, init=False)
    _setback: Setback | None = field(default=None, init=False)
    _setbacks: int = field(default=0, init=False)

    @property
    def done(self) -> bool:
        """Whether the task has ended, one way or the other."""
        return self._answer is not None and self._answer.state in (State.COMPLETED, State.FAILED)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON to resume with in another process: what is known, the prompt and a final answer included.

        It never holds the key.
        """
        known = {name: getattr(self, name) for name in _FIELDS}
        if self.done and self._answer is not None:
            known["answer"] = self._answer.whole
        return {"kind": "lemon.task", **{name: value for name, value in known.items() if value is not None}}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id!r} status={self.status!r} model={self.model!r}>"

    def __reduce__(self) -> Any:
        return restore, (type(self), self.to_dict())


_FIELDS: Final[Mapping[str, type]] = MappingProxyType(
    {"id": str, "poll_url": str, "model": str, "n": int, "prompt": str}
)


def restore(cls: type[TaskT], data: object, **bound: Any) -> TaskT:
    """Make a task of `Task.to_dict`'s JSON. Raises ValueError for anything else."""
    if not isinstance(data, Mapping) or not ("answer" in data or valid_id(data.get("id"))):
        raise ValueError("Not a task: expected the JSON that ImageTask.to_dict() returns, with an 'id'.")
    if wrong := [name for name, kind in _FIELDS.items() if not isinstance(data.get(name, kind()), kind)]:
        raise ValueError(f"Not a task: {', '.join(wrong)} has the wrong type.")
    task = cls(**{name: data.get(name) for name in _FIELDS}, **bound)
    if "answer" in data:
        answer = read_answer(APIResponse(200, {}, json.dumps(data["answer"]).encode()))
        if answer is None:
            raise ValueError("Not a task: its answer holds neither images nor a task.")
        _take(task, answer)
    return task


def valid_id(task_id: object) -> bool:
    """Tell whether something can be a task id: opaque text, but text that can stand in an address."""
    return isinstance(task_id, str) and task_id.strip() not in ("", ".", "..") and task_id.isprintable()


def adopt(task: Task, answer: Answer, now: float) -> None:
    """Take over the answer to our own submission, made just now."""
    _take(task, answer)
    task._born, task._looked, task._ours = now, now, True


def until_done(
    session: Session,
    schedule: Schedule,
    task: Task,
    deadline: Deadline,
    *,
    poll_interval: float | None = None,
    on_update: Callable[[Any], object] | None = None,
) -> Flow[Answer]:
    """Wait for a task and return the answer with its images; ``on_update`` is called with the task at every change.

    Raises TaskFailedError, TaskNotFoundError, TaskTimeoutError (with the handle: the task is still running and paid),
    APIStatusError for what no further look can change, and ResponseError for a completed task without a usable image.
    """
    while not task.done:
        changed = yield from next_change(session, schedule, task, deadline, poll_interval=poll_interval)
        if not changed:
            break
        if on_update is not None:
            yield Call(on_update, task)
    return finished(task)


def next_change(
    session: Session, schedule: Schedule, task: Task, deadline: Deadline, *, poll_interval: float | None = None
) -> Flow[bool]:
    """Look until the status or the progress changes.

    False means that the deadline passed while a status we do not know came with usable images: then those are the
    result.
    """
    _warn_of_foreign_poll_url(session, task)
    before = (task.status, task.progress)
    while True:
        delay = next_delay(session, schedule, task, deadline, poll_interval)
        if delay is None:
            if task._answer is not None and task._answer.images and task._answer.state is State.UNKNOWN:
                return False
            raise timed_out(task, task._setback.retry_after if task._setback else None)
        yield Sleep(delay)
        yield from _turn(session, task, deadline)
        yield from look_once(session, schedule, task, deadline)
        if (task.status, task.progress) != before or task.done:
            return True


def refresh(session: Session, schedule: Schedule, task: Task, deadline: Deadline) -> Flow[None]:
    """Look until the task's present state is known. Raises as `until_done` does."""
    while not task.done:
        yield from _turn(session, task, deadline)
        yield from look_once(session, schedule, task, deadline)
        if task._setback is None:
            return
        delay = next_delay(session, schedule, task, deadline, 0.0)
        if delay is None:
            raise timed_out(task)
        yield Sleep(delay)


def _turn(session: Session, task: Task, deadline: Deadline) -> Flow[None]:
    """Book a look."""
    try:
        yield from book(session, deadline)
    except APITimeoutError as exc:
        raise timed_out(task) from exc


def look_once(session: Session, schedule: Schedule, task: Task, deadline: Deadline) -> Flow[None]:
    """Look once, booked already, and learn from it. A failure that another look may cure only leaves a note."""
    if task.id is None:
        raise LemonError("This task has no id, so it cannot be asked for.")
    try:
        outcome = yield from ask(session, task.id, task.poll_url, deadline)
    except LemonError as exc:
        exc.task = task
        raise
    now = session.clock()
    last, task._looked = task._looked, now
    if task._born is None:
        task._born = now
    if isinstance(outcome, APIResponse):
        outcome = _missing(task, outcome, now)
    elif isinstance(outcome, Answer) and outcome.status is None and not outcome.images:
        outcome = Setback("an answer without a status", outcome.retry_after)
    if isinstance(outcome, Setback):
        task._setback, task._hint = outcome, outcome.retry_after
        task._setbacks += 1
        return
    if task._ours and task.model is not None and last is not None:
        observe = schedule.done if outcome.state is State.COMPLETED else schedule.pending
        observe(task.model, last - task._born, now - task._born)
    task._setback, task._setbacks, task._seen = None, 0, True
    _take(task, outcome)


def _take(task: Task, answer: Answer) -> None:
    keep = answer.images or answer.state in (State.COMPLETED, State.FAILED)
    task._answer, task._hint = answer if keep else None, answer.retry_after
    # Many tasks wait with the same few words.
    task.status, task.progress = None if answer.status is None else intern(answer.status), answer.progress
    task.poll_url = answer.poll_url or task.poll_url


def finished(task: Task) -> Answer:
    """Return the answer of a task that has ended, or raise what it amounts to. Warns of what is odd about it."""
    answer = ending(task)
    for remark in remarks(answer, task.n):
        warn(remark)
    return answer


def ending(task: Task) -> Answer:
    """Return the answer of a task that has ended. Raises TaskFailedError, or ResponseError without a usable image."""
    answer = task._answer
    assert answer is not None  # noqa: S101 - `done` says so
    if answer.state is State.FAILED:
        raise TaskFailedError(
            f"The task {task.id} ended as {answer.status}: {answer.reason}.", task=task, reason=answer.reason
        )
    return with_images(answer, task)


def with_images(answer: Answer, task: Task | None = None) -> Answer:
    """Return the answer if it holds a usable image. Raises ResponseError if not."""
    if not answer.images:
        error = ResponseError(
            "The answer says it is complete, but holds no usable image (see .body). It is probably billed: "
            "ask the task again, or the vendor; do not just send the request again.",
            response=answer.response,
        )
        error.task = task if task is not None and task.id is not None else None
        raise error
    return answer


def remarks(answer: Answer, n: int | None) -> list[str]:
    """Return what is odd about a final answer that has images, ``n`` of which were asked for."""
    task = f" (task {answer.task_id})" if answer.task_id else ""
    found = []
    if answer.state is State.UNKNOWN:
        found.append(f"The status still is {answer.status!r} at the deadline; the images are used{task}.")
    if n is not None and len(answer.images) < n:
        found.append(f"{n} images were asked for and {len(answer.images)} came{task}.")
    return found


def next_delay(
    session: Session, schedule: Schedule, task: Task, deadline: Deadline, poll_interval: float | None
) -> float | None:
    """Return the seconds until the next look, or None if no look is left before the deadline."""
    now = session.clock()
    if task._looked is not None and task._hint is not None:
        due = task._looked + (wait_before(task._setbacks, task._hint) if task._setbacks else max(task._hint, FLOOR))
        return max(due - now, 0.0) if due <= deadline.at else None
    if poll_interval is not None:
        due = (now if task._looked is None else task._looked) + poll_interval
    elif task._looked is None or task._born is None:
        due = now
    else:
        due = task._born + schedule.next_look(task.model, task._looked - task._born, now)
    if task._looked is not None and task._setbacks:
        # What failed just now gets more time than the schedule knows of.
        due = max(due, task._looked + backoff(task._setbacks))
    if due > deadline.at - LAST_LOOK:
        # Nobody should pay for a picture that was ready and not looked at: a last look, once.
        last = deadline.at - LAST_LOOK
        if task._looked is None or task._looked < last or task._looked == task._born:
            due = min(due, max(last, now))
    return max(due - now, 0.0) if due < deadline.at else None


def _missing(task: Task, response: APIResponse, now: float) -> Setback:
    if task._ours and not task._seen and task._born is not None and now - task._born < FRESH:
        return Setback("HTTP 404: not visible yet", None, 404)
    raise TaskNotFoundError(
        f"The API does not know the task {task.id} ({status_error(response)}) "
        "Check the id, and that the key is of the account that submitted it.",
        task=task,
    )


def timed_out(task: Task, retry_after: float | None = None) -> TaskTimeoutError:
    """Return the error for a task that was still running at the deadline."""
    why = f" The last look failed: {task._setback.reason}." if task._setback is not None else ""
    wait = f" The server asks to wait {retry_after:g} s." if retry_after is not None else ""
    return TaskTimeoutError(
        f"The deadline passed and the task {task.id} has not ended (status {task.status or 'unknown'}).{why}{wait} "
        f"It is accepted and paid for. Resume it: lemon.images.task({task.id!r}).result(), or "
        f"`lemon task {task.id} --wait`.",
        task=task,
        retry_after=retry_after,
    )


def _warn_of_foreign_poll_url(session: Session, task: Task) -> None:
    if task.id is not None and poll_target(session.base_url, task.id, task.poll_url)[1]:
        warn(f"The poll_url of task {task.id} leads away from {session.base_url}; the standard path is used.")
        task.poll_url = None
