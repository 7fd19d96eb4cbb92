"""From a submission to its images: the flows of a single call, and what each poll means.

`Task` is what is known of a task; the handles users hold add a client to it. `next_change` is the only wait loop: it
polls, on the schedule, until the status changes. Polls are free, so they outlast every failure that another poll may
cure; the deadline is what ends them, and it says how to go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from sys import intern
from types import MappingProxyType
from typing import Any, Final, TypeVar

from attrs import define, field

from ._amount import amount, as_json
from ._api import (
    Accepted,
    Answer,
    Body,
    Session,
    State,
    Transient,
    TryLater,
    Unknown,
    acquire,
    ask,
    cancel_image_task,
    poll,
    poll_target,
    read_answer,
    settled,
    submission,
    submit_once,
    valid_id,
)
from ._base64 import without_pictures
from ._flow import Call, Flow, Send, Sleep
from ._response import APIResponse
from ._retry import Deadline, backoff, wait_before
from ._warn import warn
from ._words import LOST, count
from .errors import (
    APITimeoutError,
    ConflictError,
    LemonError,
    ModerationTaskError,
    NotFoundError,
    ResponseError,
    TaskCancelledError,
    TaskFailedError,
    TaskNotFoundError,
    TaskTimeoutError,
)
from .poll_schedule import FLOOR
from .rate_limit import LONGEST_HOLD

__all__ = ("Task",)

TaskT = TypeVar("TaskT", bound="Task")

#: Seconds before the deadline at which a last poll is due.
LAST_POLL: Final = 2.0
#: Seconds after our own submission in which an unknown task may just not be visible yet.
FRESH: Final = 10.0


@define(eq=False, repr=False)
class Task:
    """A task, as far as it is known.

    ``status`` is the server's word, None until something was heard; ``progress`` is in per cent. ``id`` is None for a
    request that was answered at once. ``n`` is how many images were asked for, None if that is not known; ``asked`` is
    what the request asked of them: ``pixels``, ``shape``, ``format``, ``count``, ``edited``.

    ``request_id`` and ``billing_id`` are what the account's records call the request and its charge; ``cost`` is in US
    dollars. Each is None until an answer says it.
    """

    id: str | None
    poll_url: str | None = None
    model: str | None = None
    n: int | None = None
    prompt: str | None = None
    asked: Mapping[str, Any] | None = None
    request_id: str | None = field(default=None, kw_only=True)
    billing_id: str | None = field(default=None, kw_only=True)
    cost: Decimal | None = field(default=None, kw_only=True)
    status: str | None = field(default=None, init=False)
    progress: float | None = field(default=None, init=False)
    #: The last answer that is worth keeping: one with images, or that the task has ended.
    _answer: Answer | None = field(default=None, init=False)
    #: Seconds that the server asked to wait after the last poll.
    _hint: float | None = field(default=None, init=False)
    #: Monotonic seconds: when we submitted it, or first heard of it; and when we polled last.
    _born: float | None = field(default=None, init=False)
    _polled: float | None = field(default=None, init=False)
    _ours: bool = field(default=False, init=False)
    _seen: bool = field(default=False, init=False)
    #: Its line in the ledger, if this process wrote that.
    _line: int | None = field(default=None, init=False)
    _trouble: Transient | None = field(default=None, init=False)
    _troubles: int = field(default=0, init=False)

    @property
    def done(self) -> bool:
        """Whether the task has ended, one way or the other."""
        return self._answer is not None and self._answer.state.ended

    def to_dict(self, *, pictures: bool = True) -> dict[str, Any]:
        """Return plain JSON to resume with in another process: what is known, the prompt and a final answer included.

        It never holds the key. A final answer may hold pictures as Base64, megabytes of it. ``pictures=False`` leaves
        them out: save them first. A request that was answered at once with such pictures cannot be resumed from that.
        """
        known = {name: getattr(self, name) for name in _FIELDS}
        known["cost"] = as_json(self.cost)
        if self.done and self._answer is not None:
            left = [without_pictures(dict(image)).get("url") for image in self._answer.images]
            if pictures:
                known["answer"] = self._answer.whole
            elif any(left) or not left:
                known["answer"] = without_pictures(self._answer.body)
        return {"kind": "lemon.task", **{name: value for name, value in known.items() if value is not None}}

    def submitted(self, answer: Answer, at: float) -> None:
        """Take over the answer to our own submission of monotonic second ``at``."""
        self.id, self.poll_url = answer.task_id, answer.poll_url
        self._born, self._polled, self._ours = at, at, True
        self.request_id = answer.bill.request_id  # a poll has one of its own
        self._take(answer)

    def resumed(self, born: float) -> None:
        """Take note that it is our own, submitted at this monotonic second by an earlier run."""
        self._born, self._ours = born, True

    def _take(self, answer: Answer) -> None:
        keep = answer.images or answer.state.ended
        self._answer, self._hint = answer if keep else None, answer.retry_after
        # Many tasks wait with the same few words.
        self.status, self.progress = None if answer.status is None else intern(answer.status), answer.progress
        self.poll_url = answer.poll_url or self.poll_url
        _, billing_id, cost = answer.bill
        self.billing_id = billing_id or self.billing_id
        self.cost = self.cost if cost is None else cost

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id!r} status={self.status!r} model={self.model!r}>"

    def __reduce__(self) -> Any:
        return restore, (type(self), self.to_dict())


_FIELDS: Final[Mapping[str, type]] = MappingProxyType(
    {
        "id": str, "poll_url": str, "model": str, "n": int, "prompt": str, "asked": dict,
        "request_id": str, "billing_id": str, "cost": str,
    }
)  # fmt: skip


def restore(cls: type[TaskT], data: object, **bound: Any) -> TaskT:
    """Make a task of `Task.to_dict`'s JSON. Raises ValueError for anything else."""
    if not isinstance(data, Mapping) or not ("answer" in data or valid_id(data.get("id"))):
        raise ValueError(
            "Not a task: expected the JSON that ImageTask.to_dict() returns, with an 'id' or, for a request that was "
            "answered at once, with its pictures."
        )
    if wrong := [name for name, kind in _FIELDS.items() if not isinstance(data.get(name, kind()), kind)]:
        raise ValueError(f"Not a task: {', '.join(wrong)} has the wrong type.")
    known = {name: data.get(name) for name in _FIELDS} | {"cost": amount(data.get("cost"))}
    task = cls(**known, **bound)
    if "answer" in data:
        answer = read_answer(APIResponse(200, {}, json.dumps(data["answer"]).encode()))
        if answer is None:
            raise ValueError("Not a task: its answer holds neither images nor a task.")
        task._take(answer if task.id is not None else settled(answer))
    return task


# ---- whoever leaves is told ----


class Leaving:
    """Knows what a call has paid for, and tells whoever leaves it early.

    An interrupt, a cancellation, SystemExit and a bug get a note, and the handle as ``.task``. Frameworks put an
    exception of their own in the place of a cancellation, and drop its notes; so it is a LemonWarning besides.
    """

    def __init__(self, task: Task | None = None) -> None:
        self.task = task
        #: The POST under way; None once it is known what became of it.
        self.post: Send | None = None
        self.answered = False

    def tell(self, error: BaseException) -> None:
        """Add to an error on its way out what has been paid for."""
        if isinstance(error, LemonError):
            error.task = error.task or (self.task if self.task is not None and self.task.id is not None else None)
            return
        if (told := self._words()) is None:
            return
        error.add_note(told)
        if self.task is not None:
            error.task = self.task  # type: ignore[attr-defined]  # as on the errors of this package
        if not isinstance(error, KeyboardInterrupt):
            warn(told)

    def _words(self) -> str | None:
        task = self.task
        if task is not None and task.id is not None:
            how = _resumed_with(task.id)
            if task.done:
                return f"The task {task.id} has ended and is paid for; get its images with {how}."
            return f"The task {task.id} is accepted and paid for; resume it with {how}."
        if self.answered:
            return "The request was answered with its images, and is billed; they are in the handle that .task holds."
        if self.post is not None and self.post.sent:
            return f"The request had been sent. It may have been accepted and billed: {LOST}."
        return None


def submit(session: Session, body: Body, deadline: Deadline, leaving: Leaving) -> Flow[Answer]:
    """Send the billable POST, again only if it certainly was not accepted.

    Raises SubmissionUncertainError where that cannot be told, APIStatusError for a refusal, APIConnectionError if the
    API could not be reached.
    """
    attempt = 0
    while True:
        yield from acquire(session, deadline)
        leaving.post = submission(session, body, deadline)
        outcome = yield from submit_once(session, leaving.post)
        if isinstance(outcome, Accepted):
            return outcome.answer
        if isinstance(outcome, Unknown):
            raise outcome.error
        leaving.post = None
        attempt += 1
        if not isinstance(outcome, TryLater) or attempt > session.max_retries:
            raise outcome.error
        delay = wait_before(attempt, outcome.wait)
        if delay >= deadline.left():
            raise outcome.error
        yield Sleep(delay)


def submit_task(
    session: Session, new: Callable[[], TaskT], body: Body, deadline: Deadline, leaving: Leaving
) -> Flow[TaskT]:
    """Submit a request and return its handle, done already if the API answered with images.

    Raises as `submit` does, and TaskFailedError for a request that failed at once.
    """
    answer = yield from submit(session, body, deadline, leaving)
    task = new()
    task.submitted(answer, session.clock())
    leaving.task, leaving.answered = task, True
    if answer.is_task:
        session.schedule.submitted(task.model, session.clock())
    elif answer.task_id is None:
        ending(task)
    return task


# ---- waiting ----


def until_done(
    session: Session,
    task: Task,
    deadline: Deadline,
    *,
    poll_interval: float | None = None,
    on_update: Callable[[Any], object] | None = None,
) -> Flow[Answer]:
    """Wait for a task and return the answer with its images; ``on_update`` is called with the task at every change.

    Raises TaskFailedError, TaskNotFoundError, TaskTimeoutError (with the handle: the task is still running and paid),
    APIStatusError for what no further poll can change, and ResponseError for a completed task without a usable image.
    """
    while not task.done:
        changed = yield from next_change(session, task, deadline, poll_interval=poll_interval)
        if not changed:
            break
        if on_update is not None:
            yield Call(on_update, task)
    return finished(task)


def next_change(session: Session, task: Task, deadline: Deadline, *, poll_interval: float | None = None) -> Flow[bool]:
    """Poll until the status or the progress changes.

    Returns False when the deadline has passed and the last answer held usable images under a status that is not
    known: those images are then the result.
    """
    _warn_of_foreign_poll_url(session, task)
    before = (task.status, task.progress)
    while True:
        delay = next_delay(session, task, deadline, poll_interval)
        if delay is None:
            if task._answer is not None and task._answer.images and task._answer.state is State.UNKNOWN:
                return False
            raise timed_out(task)
        yield Sleep(delay)
        yield from _acquire(session, task, deadline)
        yield from poll_once(session, task, deadline)
        if (task.status, task.progress) != before or task.done:
            return True


def refresh(session: Session, task: Task, deadline: Deadline) -> Flow[None]:
    """Poll until the task's present state is known. Raises as `until_done` does."""
    while not task.done:
        yield from _acquire(session, task, deadline)
        yield from poll_once(session, task, deadline)
        if task._trouble is None:
            return
        delay = next_delay(session, task, deadline, 0.0)
        if delay is None:
            raise timed_out(task)
        yield Sleep(delay)


def cancel(session: Session, task: Task, deadline: Deadline) -> Flow[None]:
    """Cancel a task, and learn what became of it.

    Raises TaskNotFoundError; BadRequestError where the model's tasks cannot be cancelled, ConflictError where it is too
    late, PermissionDeniedError where the task is another key's.
    """
    if task.id is None:
        raise LemonError("This request was answered at once: there is no task to cancel.")
    try:
        record = yield from ask(session, cancel_image_task(task.id), deadline)
    except NotFoundError as exc:
        raise _not_found(task, f"HTTP 404: {exc.body.get('message') or 'no message'}") from exc
    except ConflictError as exc:
        # Perhaps it is an earlier try, whose answer was lost, that has cancelled it.
        yield from refresh(session, task, deadline)
        if task._answer is None or task._answer.state is not State.CANCELLED:
            exc.task = task
            raise
        return
    except LemonError as exc:
        exc.task = task
        raise
    answer = read_answer(record.response)
    if answer is not None and answer.status is not None:
        task._take(answer)
    else:
        yield from refresh(session, task, deadline)


def _not_found(task: Task, reason: str) -> TaskNotFoundError:
    return TaskNotFoundError(
        f"The API does not know the task {task.id} ({reason}) "
        "Check the id, and that the key is of the account that submitted it.",
        task=task,
    )


def _acquire(session: Session, task: Task, deadline: Deadline) -> Flow[None]:
    try:
        yield from acquire(session, deadline)
    except APITimeoutError as exc:
        raise timed_out(task) from exc


def poll_once(session: Session, task: Task, deadline: Deadline) -> Flow[None]:
    """Poll once, the rate limit's grant at hand, and learn from it. A `Transient` failure only leaves a note."""
    if task.id is None:
        raise LemonError("This task has no id, so it cannot be polled.")
    try:
        outcome = yield from poll(session, task.id, task.poll_url, deadline)
    except LemonError as exc:
        exc.task = task
        raise
    now = session.clock()
    last, task._polled = task._polled, now
    if task._born is None:
        task._born = now
    if isinstance(outcome, Answer) and outcome.status is None and not outcome.images:
        outcome = Transient("an answer without a status", outcome.retry_after)
    if isinstance(outcome, Transient):
        if outcome.status_code == 404 and not (task._ours and not task._seen and now - task._born < FRESH):
            raise _not_found(task, outcome.reason)
        task._trouble, task._hint = outcome, outcome.retry_after
        task._troubles += 1
        return
    if task._ours and task.model is not None and last is not None:
        observe = session.schedule.done if outcome.state is State.SUCCEEDED else session.schedule.pending
        observe(task.model, last - task._born, now - task._born)
    task._trouble, task._troubles, task._seen = None, 0, True
    task._take(outcome)


def finished(task: Task) -> Answer:
    """Return the answer of a task that has ended, or raise what it amounts to. Warns of what is odd about it."""
    answer = ending(task)
    for remark in remarks(answer, task.n, task.asked):
        warn(remark)
    return answer


def ending(task: Task) -> Answer:
    """Return the answer of a task that has ended. Raises TaskFailedError, or ResponseError without a usable image."""
    answer = task._answer
    assert answer is not None  # noqa: S101 - `done` says so
    if answer.state in (State.FAILED, State.CANCELLED):
        what = "request" if task.id is None else f"task {task.id}"
        how, kind = f"ended as {answer.status}", TaskFailedError
        if answer.state is State.CANCELLED:
            how, kind = "was cancelled", TaskCancelledError
        elif answer.is_moderated:
            kind = ModerationTaskError
        raise kind(
            f"The {what} {how}: {answer.reason.rstrip('.')}.",
            task=task if task.id is not None else None,
            reason=answer.reason,
        )
    if not answer.images:
        error = ResponseError(
            "The answer says it is complete, but holds no usable image. It is probably billed: poll the task again, or "
            "ask the vendor; do not just send the request again. The answer is in .body.",
            response=answer.response,
        )
        error.task = task if task.id is not None else None
        raise error
    return answer


def remarks(answer: Answer, n: int | None, asked: Mapping[str, Any] | None = None) -> list[str]:
    """Return what is odd about a final answer that has images, ``n`` of which were expected.

    More than that is odd if the request asked for a number.
    """
    task = f" (task {answer.task_id})" if answer.task_id else ""
    found = []
    if answer.state is State.UNKNOWN:
        found.append(f"The status still is {answer.status!r} at the deadline; the images are used{task}.")
    if n is not None and (len(answer.images) < n or (len(answer.images) > n and "count" in (asked or {}))):
        found.append(f"{count(n, 'image was', 'images were')} asked for and {len(answer.images)} came{task}.")
    return found


def next_delay(session: Session, task: Task, deadline: Deadline, poll_interval: float | None) -> float | None:
    """Return the seconds until the next poll, or None if no poll is left before the deadline."""
    now = session.clock()
    poll_interval = session.poll_interval if poll_interval is None else poll_interval
    if task._polled is not None and task._hint is not None:
        wait = wait_before(task._troubles, task._hint) if task._troubles else max(min(task._hint, LONGEST_HOLD), FLOOR)
        due = task._polled + wait
        return max(due - now, 0.0) if due <= deadline.at else None
    if poll_interval is not None:
        due = (now if task._polled is None else task._polled) + poll_interval
    elif task._polled is None or task._born is None:
        due = now
    else:
        due = task._born + session.schedule.next_poll(task.model, task._polled - task._born, now)
    if task._polled is not None and task._troubles:
        # What failed just now gets more time than the schedule knows of.
        due = max(due, task._polled + backoff(task._troubles))
    if due > deadline.at - LAST_POLL:
        # Nobody should pay for a picture that was ready and not polled: a last poll, once.
        last = deadline.at - LAST_POLL
        if task._polled is None or task._polled < last or task._polled == task._born:
            due = min(due, max(last, now))
    return max(due - now, 0.0) if due < deadline.at else None


def timed_out(task: Task) -> TaskTimeoutError:
    """Return the error for a task that was still running at the deadline."""
    retry_after = task._trouble.retry_after if task._trouble is not None else None
    why = f" The last poll failed: {task._trouble.reason.rstrip('.')}." if task._trouble is not None else ""
    wait = f" The server asks to wait {retry_after:g} s." if retry_after is not None else ""
    return TaskTimeoutError(
        f"The deadline passed and the task {task.id} has not ended (status {task.status or 'unknown'}).{why}{wait} "
        f"It is accepted and paid for. Resume it: {_resumed_with(str(task.id))}.",
        task=task,
        retry_after=retry_after,
    )


def _resumed_with(task_id: str) -> str:
    """Say how to go on with a task. The command is safe to run whatever a server calls a task."""
    from shlex import quote  # for these messages only

    return f"lemon.images.task({task_id!r}).result(), or `lemon task --wait -- {quote(task_id)}`"


def _warn_of_foreign_poll_url(session: Session, task: Task) -> None:
    if task.id is not None and poll_target(session.base_url, task.id, task.poll_url)[1]:
        warn(f"The poll_url of task {task.id} leads away from {session.base_url}; the standard path is used.")
        task.poll_url = None
