"""The flows of the public calls: from a checked request, or a handle, to images. Whoever leaves early is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from lemon_client.model_table import LIVE

from ._api import Record, State, ask, bill, get_balance, get_model, list_models, valid_id
from ._core import Core, Told, Waiting
from ._flow import Call, Flow, Work
from ._inputs import told
from ._key import ACCOUNT_VARIABLE, LETTERS
from ._openai import Page
from ._request import Request
from ._retry import Deadline
from .capabilities import ModelCapabilities, asked, live, live_list
from .errors import (
    APIStatusError,
    AuthenticationError,
    InsufficientBalanceError,
    LemonError,
    RateLimitError,
    ServerError,
    SubmissionUncertainError,
    TaskFailedError,
)
from .results import ImageResult
from .tasks import Leaving, Task, cancel, next_change, refresh, submit_task, until_done

if TYPE_CHECKING:
    from .ledger import Ledger

T = TypeVar("T")
TaskT = TypeVar("TaskT", bound=Task)
#: A request that is ready, or what reads its pictures and makes it ready.
Prepared = Request | Callable[[], Request]


def handle(core: Core, kind: type[TaskT], task_id: str, poll_url: str | None) -> TaskT:
    """Return a handle from an id. Raises ValueError for what cannot be one."""
    if not valid_id(task_id):
        raise ValueError(f"{task_id!r} is not a task id. Give the id that submit() or the API returned.")
    return kind(task_id, poll_url, core=core)  # type: ignore[call-arg]  # the handles of both colours have a core


def live_models(core: Core, deadline: Deadline) -> Flow[list[ModelCapabilities]]:
    """Return the models of the table, with what the API says of each now, and those that it has besides."""
    return Page(live_list((yield from ask(core.session, list_models(LIVE.query), deadline))))


def live_model(core: Core, model: str, deadline: Deadline) -> Flow[ModelCapabilities]:
    """Return what the table says of a model, with what the API says of it now."""
    return live(model, (yield from ask(core.session, get_model(model), deadline)))


def balance(core: Core, deadline: Deadline) -> Flow[Record]:
    """Return how much money is left."""
    try:
        return (yield from ask(core.session, get_balance(), deadline, variable=ACCOUNT_VARIABLE))
    except AuthenticationError as exc:
        exc.add_note("The balance takes a management token in the place of the API key.")
        raise


def cancelled(core: Core, task: Task, deadline: Deadline) -> Told[None]:
    """Cancel a task."""

    return _noted(core, task, cancel(core.session, task, deadline)), Leaving(task).tell


def submitted(core: Core, kind: type[TaskT], request: Prepared, deadline: Deadline) -> Told[TaskT]:
    """Send the billable POST and return the handle."""
    leaving = Leaving()
    return _submit(core, kind, request, deadline, leaving), leaving.tell


def generated(
    core: Core,
    kind: type[TaskT],
    requests: Sequence[Prepared],
    waiting: Waiting,
) -> Told[ImageResult]:
    """Send a billable POST for each request, wait until all are done, and return their images as one result.

    Nothing more is sent after a fault. What was accepted by then is waited for all the same, because it is paid for.
    """
    parts = [Leaving() for _ in requests]

    def flow() -> Flow[ImageResult]:
        tasks: list[TaskT] = []
        results: list[ImageResult] = []
        faults: list[LemonError] = []
        for request, leaving in zip(requests, parts, strict=True):
            try:
                tasks.append((yield from _submit(core, kind, request, waiting.deadline, leaving)))
            except LemonError as exc:
                leaving.tell(exc)
                faults.append(exc)
                break
        for task in tasks:
            try:
                results.append((yield from _accepted(core, task, waiting)))
            except LemonError as exc:
                exc.task = exc.task or task
                faults.append(exc)
        if faults:
            raise faults[0] if len(requests) == 1 else _partly(faults, tasks, results)
        return results[0] if len(requests) == 1 else ImageResult.joined(results)

    def tell(error: BaseException) -> None:
        for one in parts:
            one.tell(error)
        if len(parts) > 1 and (tasks := [one.task for one in parts if one.task is not None]):
            error.tasks = tasks  # type: ignore[attr-defined]  # as on the errors of this package

    return flow(), tell


def _partly(faults: list[LemonError], tasks: Sequence[Task], results: Sequence[ImageResult]) -> LemonError:
    """Return the first error of several requests, with what came of the others."""
    error, *others = faults
    came = [*results, *(one.result for one in faults if one.result is not None)]
    error.tasks = list(tasks)
    for other in others:
        error.add_note(f"Another of these requests: {other}")
    if came:
        error.result = ImageResult.joined(came)
        error.add_note(f"{len(error.result)} image(s) came with the other requests: .result holds them.")
    return error


def waited(core: Core, task: Task, waiting: Waiting) -> Told[ImageResult]:
    """Wait for a task and return its images."""
    return _result(core, task, waiting), Leaving(task).tell


def adopted(core: Core, task: Task, waiting: Waiting) -> Told[ImageResult]:
    """Wait for a task that somebody else submitted just now."""
    return _accepted(core, task, waiting), Leaving(task).tell


def changed(core: Core, task: Task, waiting: Waiting) -> Told[bool]:
    """Wait for the next change of a task. See `next_change`."""
    flow = next_change(core.session, task, waiting.deadline, poll_interval=waiting.poll_interval)
    return _noted(core, task, flow), Leaving(task).tell


def refreshed(core: Core, task: Task, deadline: Deadline) -> Told[None]:
    """Poll until the present state of a task is known."""
    return _noted(core, task, refresh(core.session, task, deadline)), Leaving(task).tell


def _submit(core: Core, kind: type[TaskT], request: Prepared, deadline: Deadline, leaving: Leaving) -> Flow[TaskT]:
    ready: Request = (yield Work(request)) if callable(request) else request

    def new() -> TaskT:
        wanted = asked(told(ready.body)) or None
        return kind(None, None, ready.model, ready.n, ready.prompt, wanted, core=core)  # type: ignore[call-arg]  # as above

    flow = submit_task(core.session, new, ready.body, deadline, leaving)
    return (yield from (flow if core.ledger is None else _written_down(core, core.ledger, ready, flow, leaving)))


def _written_down(core: Core, ledger: Ledger, request: Request, flow: Flow[TaskT], leaving: Leaving) -> Flow[TaskT]:
    """Submit a request between two entries of the ledger: one before it leaves, on disk, and one of what came of it."""
    body = told(request.body)
    key = core.session.account[:LETTERS]
    line = yield Work(partial(ledger.submitting, core.session.base_url, body, request.n, asked(body), key))
    try:
        task = yield from flow
    except BaseException as exc:
        _left(ledger, line, leaving, exc)
        raise
    # Not as Work, which a cancellation could keep from being done. It waits for no disk.
    task._line = line
    ledger.change(line, None, **_known(task))
    return task


def _left(ledger: Ledger, line: int | None, leaving: Leaving, error: BaseException) -> None:
    """Write down what became of a request that brought no handle."""
    if leaving.task is not None:  # accepted
        known = {**_known(leaving.task), **({"status": "failed"} if isinstance(error, LemonError) else {})}
    else:
        uncertain = isinstance(error, SubmissionUncertainError) or (leaving.post is not None and leaving.post.sent)
        refused = isinstance(error, APIStatusError) and not isinstance(error, _NOT_FOR_GOOD)
        status = "uncertain" if uncertain else "refused" if refused else "unsent"
        known = {"status": status, **bill(getattr(error, "response", None))._asdict()}
    said = str(error) if isinstance(error, LemonError) else type(error).__name__
    ledger.change(line, None, **known, error=said)


#: Refusals that are not of this request: it may be accepted another time.
_NOT_FOR_GOOD: Final = (RateLimitError, ServerError, AuthenticationError, InsufficientBalanceError)


def _known(task: Task) -> dict[str, Any]:
    """Return what the ledger says of a task."""
    state = task._answer.state if task.done and task._answer is not None else None
    ends = {None: "waiting", State.SUCCEEDED: "completed"}
    return {
        "status": ends.get(state, "failed"), "task_id": task.id, "poll_url": task.poll_url,
        "request_id": task.request_id, "billing_id": task.billing_id, "cost": task.cost,
    }  # fmt: skip


def _noted(core: Core, task: Task, flow: Flow[T]) -> Flow[T]:
    """Do what may end a task, and write its end down."""
    try:
        return (yield from flow)
    finally:
        _note_end(core, task)


def _note_end(core: Core, task: Task) -> None:
    """Write down that a task has ended. What an earlier process knew of its submission stays."""
    if core.ledger is not None and task.done:
        known = {name: value for name, value in _known(task).items() if value is not None}
        core.ledger.change(task._line, task.id, core.session.base_url, **known)


def _accepted(core: Core, task: Task, waiting: Waiting) -> Flow[ImageResult]:
    # Its user hears of a task before the first poll.
    if waiting.on_update is not None and not task.done:
        yield Call(waiting.on_update, task)
    return (yield from _result(core, task, waiting))


def _result(core: Core, task: Task, waiting: Waiting) -> Flow[ImageResult]:
    deadline, poll_interval, on_update = waiting
    try:
        answer = yield from until_done(core.session, task, deadline, poll_interval=poll_interval, on_update=on_update)
    except TaskFailedError as exc:
        if task._answer is not None and task._answer.images:  # paid for, and worth having
            exc.result = ImageResult.of(task._answer, task, core)
            exc.add_note(f"{len(exc.result)} image(s) came with it all the same: .result holds them.")
        raise
    finally:
        _note_end(core, task)
    return ImageResult.of(answer, task, core)
