"""The clients people use, `Lemon` and `AsyncLemon`, and the handles of their tasks.

Both are thin: a method starts a flow, written once, and hands it to its driver. What the two share is in `_Core`.
"""

from __future__ import annotations

import inspect
import json
import keyword
import math
import os
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeAlias, TypedDict, TypeVar, Unpack

import anyio
from attrs import define, evolve, field, frozen
from lemon_client.model_table import PARAMETERS

from . import _flow
from ._operations import Session, read_answer, request_body, submit
from ._wire import ApiKey, AsyncWire, Credentials, Wire, generated_client, new_async_client, new_client, parse_base_url
from .capabilities import ModelCapabilities, capabilities, caution, describe, models, violations
from .errors import APIResponse, CapabilityError, LemonError, LemonWarning, ResponseError
from .polling import Task, adopt, next_change, refresh, restore, until_done, valid_id, with_images
from .results import ImageResult
from .retry import Deadline
from .schedule import RequestBudget, Schedule

if TYPE_CHECKING:
    import httpx
    from lemon_client import AuthenticatedClient, Client
    from lemon_client.image_params import ImageParams

__all__ = (
    "AsyncImageTask",
    "AsyncImages",
    "AsyncLemon",
    "ImageTask",
    "Images",
    "Lemon",
    "Models",
    "apoll_until_done",
    "poll_until_done",
)

T = TypeVar("T")
LemonT = TypeVar("LemonT", bound="Lemon | AsyncLemon")

DEFAULT_BASE_URL: Final = "https://api.lemondata.cc"
#: As httpx writes a body.
_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
Validation: TypeAlias = Literal["strict", "warn", "off"]
OnUpdate: TypeAlias = Callable[["ImageTask"], object]
AsyncOnUpdate: TypeAlias = Callable[["AsyncImageTask"], object | Awaitable[object]]


class Options(TypedDict, total=False):
    """What `with_options` can change. The meanings are those of `Lemon`."""

    timeout: float | None
    deadline: float
    max_retries: int
    requests_per_minute: float | None
    validation: Validation


@frozen(eq=False, repr=False)
class Request:
    """A generation request that was checked: the JSON to send, and what is needed to make sense of its answer."""

    body: Mapping[str, Any]
    model: str
    prompt: str
    n: int


def prepare(
    prompt: str, model: str, params: Mapping[str, Any], extra_body: Mapping[str, Any] | None, validation: Validation
) -> Request:
    """Check a request and return it ready to send. Raises TypeError for an unknown parameter, CapabilityError."""
    given = {_wire_name(name): value for name, value in params.items() if value is not None}
    fields = {"model": model, "prompt": prompt, **given}
    if extra_body and (twice := sorted(PARAMETERS.keys() & extra_body.keys())):
        raise TypeError(f"{', '.join(twice)} in extra_body: give the API's own parameters as arguments of their own.")
    if validation != "off":
        found = violations(fields)
        if found and validation == "strict":
            raise CapabilityError(describe(found), violations=found)
        for one in found:
            warnings.warn(LemonWarning(f"{one}. It is sent all the same, because validation='warn'."), stacklevel=4)
        caution(fields)
    body = request_body(fields, extra_body)
    try:
        _JSON.encode(body).encode()
    except UnicodeEncodeError:
        raise ValueError("The request holds half a character (a lone surrogate), so nothing was sent.") from None
    except (TypeError, ValueError) as exc:
        raise type(exc)(f"The request cannot be sent as JSON ({exc}), so nothing was sent.") from None
    return Request(body, model, prompt, _count(given.get("n", 1)))


def _count(n: Any) -> int:
    """Return how many images are asked for; with validation off, ``n`` may be anything."""
    try:
        return max(int(n), 1)
    except (TypeError, ValueError, OverflowError):
        return 1


def _wire_name(name: str) -> str:
    """Return the API's name of a parameter: ``async_`` is Python's way to write ``async``."""
    bare = name.removesuffix("_")
    wire = bare if keyword.iskeyword(bare) else name
    if wire in PARAMETERS:
        return wire
    from difflib import get_close_matches  # for a mistake only

    near = get_close_matches(name, PARAMETERS, n=1)
    raise TypeError(
        f"{name!r} is not a parameter of the API."
        + (f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(PARAMETERS)}.")
        + " What the contract does not know yet goes into extra_body={...}."
    )


@define(eq=False, repr=False)
class _Core:
    """Options, shared state and flows. A subclass adds the wire, and one of the two drivers."""

    session: Session
    schedule: Schedule
    deadline: float
    validation: Validation
    task_class: type[Any]
    run: ClassVar[Any] = None
    arun: ClassVar[Any] = None

    def submission(self, request: Request, deadline: Deadline) -> _flow.Flow[Any]:
        """Send the billable POST and return the handle."""
        answer = yield from submit(self.session, request.body, deadline)
        task = self.task_class(answer.task_id, answer.poll_url, request.model, request.n, request.prompt, core=self)
        adopt(task, answer, self.session.clock())
        if answer.is_task:
            self.schedule.submitted(request.model, self.session.clock())
        else:
            with_images(answer)
        return task

    def result(
        self,
        task: Any,
        deadline: Deadline,
        poll_interval: float | None = None,
        on_update: Callable[[Any], object] | None = None,
    ) -> _flow.Flow[ImageResult]:
        """Wait for a task and return its images."""
        answer = yield from until_done(
            self.session, self.schedule, task, deadline, poll_interval=poll_interval, on_update=on_update
        )
        owner = task if task.id is not None else None
        return ImageResult.of(answer, model=task.model, prompt=task.prompt, task=owner, runner=self)

    def accepted(
        self, task: Any, deadline: Deadline, poll_interval: float | None, on_update: Callable[[Any], object] | None
    ) -> _flow.Flow[ImageResult]:
        """Wait for a task that was accepted just now: its user hears of it first."""
        if on_update is not None and not task.done:
            yield _flow.Call(on_update, task)
        return (yield from self.result(task, deadline, poll_interval, on_update))

    def task(self, task_id: str, poll_url: str | None) -> Any:
        """Return a handle from an id."""
        if not valid_id(task_id):
            raise ValueError(f"{task_id!r} is not a task id. Give the id that submit() or the API returned.")
        return self.task_class(task_id, poll_url, core=self)

    def limit(self, deadline: float | None) -> Deadline:
        """Start the deadline of a call; None is the client's."""
        return self.session.deadline(self.deadline if deadline is None else deadline)


@define(eq=False, repr=False)
class _BlockingCore(_Core):
    wire: Wire
    sleep: Callable[[float], object] = time.sleep  # noqa: TID251 - handed to the driver, which does the sleeping

    def run(self, flow: _flow.Flow[T]) -> T:
        return _flow.run(flow, self.wire.exchange, self.sleep)


@define(eq=False, repr=False)
class _AsyncCore(_Core):
    wire: AsyncWire
    sleep: Callable[[float], Awaitable[object]] = anyio.sleep

    async def arun(self, flow: _flow.Flow[T]) -> T:
        return await _flow.arun(flow, self.wire.exchange, self.sleep)


@define(eq=False, repr=False)
class ImageTask(Task):
    """The handle of a submitted request: ask for its state, wait for its images, or keep it for later.

    ``to_dict()`` is plain JSON; ``lemon.images.task_from_dict`` makes the handle again, in any process. Asking is free.
    """

    _core: _BlockingCore | None = field(default=None, alias="core", kw_only=True)

    def refresh(self) -> Self:
        """Ask for the present state, through passing failures, within the client's deadline. Returns the handle itself.

        Raises TaskNotFoundError, TaskTimeoutError, APIStatusError.
        """
        core = _bound(self._core)
        core.run(refresh(core.session, core.schedule, self, core.limit(None)))
        return self

    def result(
        self, *, deadline: float | None = None, poll_interval: float | None = None, on_update: OnUpdate | None = None
    ) -> ImageResult:
        """Wait until the task is done and return its images; at once if it is done already.

        Waits ``deadline`` seconds at most (None: the client's). Raises TaskFailedError, TaskNotFoundError,
        TaskTimeoutError (resume, do not resubmit), APIStatusError, and ResponseError if it completed without a usable
        image.
        """
        core = _bound(self._core)
        check_waiting(poll_interval, on_update, blocking=True)
        with _resumable(self):
            return core.run(core.result(self, core.limit(deadline), poll_interval, on_update))

    def updates(self, *, deadline: float | None = None, poll_interval: float | None = None) -> Iterator[Self]:
        """Wait until the task is done, giving the handle each time its status or progress changes.

        Raises as `result` does, except that a task that failed just ends the iteration.
        """
        core = _bound(self._core)
        check_waiting(poll_interval)
        limit = core.limit(deadline)
        while not self.done:
            flow = next_change(core.session, core.schedule, self, limit, poll_interval=poll_interval)
            with _resumable(self):
                if not core.run(flow):
                    return
            yield self


@define(eq=False, repr=False)
class AsyncImageTask(Task):
    """Async twin of `ImageTask`."""

    _core: _AsyncCore | None = field(default=None, alias="core", kw_only=True)

    async def refresh(self) -> Self:
        """Async twin of `ImageTask.refresh`."""
        core = _bound(self._core)
        await core.arun(refresh(core.session, core.schedule, self, core.limit(None)))
        return self

    async def result(
        self,
        *,
        deadline: float | None = None,
        poll_interval: float | None = None,
        on_update: AsyncOnUpdate | None = None,
    ) -> ImageResult:
        """Async twin of `ImageTask.result`; ``on_update`` may be async."""
        core = _bound(self._core)
        check_waiting(poll_interval, on_update)
        with _resumable(self):
            return await core.arun(core.result(self, core.limit(deadline), poll_interval, on_update))

    async def updates(
        self, *, deadline: float | None = None, poll_interval: float | None = None
    ) -> AsyncIterator[Self]:
        """Async twin of `ImageTask.updates`."""
        core = _bound(self._core)
        check_waiting(poll_interval)
        limit = core.limit(deadline)
        while not self.done:
            flow = next_change(core.session, core.schedule, self, limit, poll_interval=poll_interval)
            with _resumable(self):
                if not await core.arun(flow):
                    return
            yield self


@frozen(repr=False)
class Images:
    """``lemon.images``: generating images, and the tasks that do it."""

    _core: _BlockingCore

    def generate(
        self,
        prompt: str,
        *,
        model: str = "dall-e-3",
        deadline: float | None = None,
        poll_interval: float | None = None,
        on_update: OnUpdate | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **params: Unpack[ImageParams],
    ) -> ImageResult:
        """Generate images and return them, however the API answers: check, send, wait until done. **Billed once.**

        Sends ``model``, ``prompt`` and what is given of the contract's parameters (docs/models.md); None means not
        given, and no default is ever sent. ``extra_body`` adds fields that the contract does not know, unchecked. The
        whole call takes ``deadline`` seconds at most (None: the client's, 300). ``poll_interval`` fixes the seconds
        between looks at a task; without it the schedule decides (docs/polling.md). ``on_update`` is called with the
        `ImageTask` when it is accepted and whenever its status changes.

        Raises CapabilityError before anything is sent; APIStatusError if the API refused; SubmissionUncertainError if
        the answer was lost, so that it may have been billed; TaskFailedError, TaskTimeoutError (resume with
        ``.task``) and ResponseError after a task was accepted; APIConnectionError if nothing could be sent.
        """
        check_waiting(poll_interval, on_update, blocking=True)
        limit = self._core.limit(deadline)
        request = prepare(prompt, model, params, extra_body, self._core.validation)
        task: ImageTask = self._core.run(self._core.submission(request, limit))
        with _resumable(task):
            return self._core.run(self._core.accepted(task, limit, poll_interval, on_update))

    def submit(
        self,
        prompt: str,
        *,
        model: str = "dall-e-3",
        deadline: float | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **params: Unpack[ImageParams],
    ) -> ImageTask:
        """Send the request and return its handle without waiting; it is done already if the API answered with images.

        **Billed once.** Arguments and errors are those of `generate`, up to the answer.
        """
        limit = self._core.limit(deadline)
        request = prepare(prompt, model, params, extra_body, self._core.validation)
        task: ImageTask = self._core.run(self._core.submission(request, limit))
        return task

    def task(self, task_id: str, *, poll_url: str | None = None) -> ImageTask:
        """Return the handle of a task by its id. No request is made. Raises ValueError for what cannot be an id."""
        task: ImageTask = self._core.task(task_id, poll_url)
        return task

    def task_from_dict(self, data: Mapping[str, Any]) -> ImageTask:
        """Return the handle that ``to_dict()`` described. No request is made. Raises ValueError for anything else."""
        return restore(ImageTask, data, core=self._core)


@frozen(repr=False)
class AsyncImages:
    """Async twin of `Images`."""

    _core: _AsyncCore

    async def generate(
        self,
        prompt: str,
        *,
        model: str = "dall-e-3",
        deadline: float | None = None,
        poll_interval: float | None = None,
        on_update: AsyncOnUpdate | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **params: Unpack[ImageParams],
    ) -> ImageResult:
        """Async twin of `Images.generate`; ``on_update`` may be async."""
        check_waiting(poll_interval, on_update)
        limit = self._core.limit(deadline)
        request = prepare(prompt, model, params, extra_body, self._core.validation)
        task: AsyncImageTask = await self._core.arun(self._core.submission(request, limit))
        with _resumable(task):
            return await self._core.arun(self._core.accepted(task, limit, poll_interval, on_update))

    async def submit(
        self,
        prompt: str,
        *,
        model: str = "dall-e-3",
        deadline: float | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **params: Unpack[ImageParams],
    ) -> AsyncImageTask:
        """Async twin of `Images.submit`."""
        limit = self._core.limit(deadline)
        request = prepare(prompt, model, params, extra_body, self._core.validation)
        task: AsyncImageTask = await self._core.arun(self._core.submission(request, limit))
        return task

    def task(self, task_id: str, *, poll_url: str | None = None) -> AsyncImageTask:
        """As `Images.task`; not async, because no request is made."""
        task: AsyncImageTask = self._core.task(task_id, poll_url)
        return task

    def task_from_dict(self, data: Mapping[str, Any]) -> AsyncImageTask:
        """As `Images.task_from_dict`; not async, because no request is made."""
        return restore(AsyncImageTask, data, core=self._core)


class Models:
    """``lemon.models``: what the contract's table says of models. No request is made."""

    def list(self) -> list[ModelCapabilities]:
        """Return every documented model."""
        return models()

    def get(self, model: str) -> ModelCapabilities:
        """Return what is known of a model. An undocumented one gets what holds for any, with ``listed`` False."""
        return capabilities(model)


class Lemon:
    """A client of LemonData's image API. A context manager, safe to share between threads.

    ``api_key``: None takes LEMONDATA_API_KEY. ``base_url``: None takes LEMONDATA_BASE_URL, else the documented host;
    with or without ``/v1``. ``timeout``: seconds for each step of each request; by default a submission may use the
    whole deadline (giving up sooner could only lose a paid image) and a look 30 s. ``deadline``: seconds for a whole
    call, retries, waiting and downloads included. ``max_retries``: how often a submission that was certainly not
    accepted is sent again. ``requests_per_minute``: what this client may use of the account's rate limit (None: no
    bound). ``validation``: "strict" raises before sending, "warn" warns and sends, "off" neither. ``http_client``: an
    ``httpx.Client`` of your own, which is left open.

    Raises MissingKeyError without a key, and ValueError or TypeError for arguments that make no sense.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | None = None,
        deadline: float = 300.0,
        max_retries: int = 2,
        requests_per_minute: float | None = 1000,
        validation: Validation = "strict",
        http_client: httpx.Client | None = None,
    ) -> None:
        credentials = _credentials(api_key, base_url, timeout)
        wire = Wire(http_client or new_client(), credentials, owned=http_client is None)
        shared = _shared(credentials.base_url, deadline, max_retries, requests_per_minute, validation)
        self._core = _BlockingCore(*shared, ImageTask, wire)

    @property
    def images(self) -> Images:
        """Generating images."""
        return Images(self._core)

    @property
    def models(self) -> Models:
        """What models can do."""
        return Models()

    @property
    def raw(self) -> AuthenticatedClient:
        """The generated client, configured: same address, key and connections. It neither checks, waits nor retries."""
        return generated_client(self._core.wire)

    def with_options(self, **options: Unpack[Options]) -> Lemon:
        """Return a client with other options over the same connections. Closing it leaves them open."""
        return _with_options(self, options)

    def close(self) -> None:
        """Close the connections. Handles stay good for another client: `ImageTask.to_dict`."""
        self._core.wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return _shown(self)


class AsyncLemon:
    """Async twin of `Lemon`, for asyncio and trio. Use it in the event loop that first used it."""

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | None = None,
        deadline: float = 300.0,
        max_retries: int = 2,
        requests_per_minute: float | None = 1000,
        validation: Validation = "strict",
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        credentials = _credentials(api_key, base_url, timeout)
        wire = AsyncWire(http_client or new_async_client(), credentials, owned=http_client is None)
        shared = _shared(credentials.base_url, deadline, max_retries, requests_per_minute, validation)
        self._core = _AsyncCore(*shared, AsyncImageTask, wire)

    @property
    def images(self) -> AsyncImages:
        """Generating images."""
        return AsyncImages(self._core)

    @property
    def models(self) -> Models:
        """What models can do."""
        return Models()

    @property
    def raw(self) -> AuthenticatedClient:
        """The generated client, configured, for its ``asyncio`` functions. See `Lemon.raw`."""
        return generated_client(self._core.wire)

    def with_options(self, **options: Unpack[Options]) -> AsyncLemon:
        """Async twin of `Lemon.with_options`."""
        return _with_options(self, options)

    async def aclose(self) -> None:
        """Async twin of `Lemon.close`."""
        await self._core.wire.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return _shown(self)


def poll_until_done(
    client: AuthenticatedClient | Client, task: object, *, deadline: float = 300.0, on_update: OnUpdate | None = None
) -> ImageResult:
    """Wait for what the generated ``create_image`` returned and return the images.

    ``task`` is its result (a task or finished images, or the detailed response around one) or a task id. Free of
    charge; the client's own key and timeout-less connection are used within ``deadline`` seconds. Raises as
    `ImageTask.result` does.
    """
    check_waiting(None, on_update, blocking=True)
    http = client.get_httpx_client()
    credentials = Credentials(None, parse_base_url(str(http.base_url)))
    core = _BlockingCore(*_shared(credentials.base_url, deadline), ImageTask, Wire(http, credentials, owned=False))
    handle = _adopt_generated(core, task)
    return core.run(core.accepted(handle, core.limit(None), None, on_update))


async def apoll_until_done(
    client: AuthenticatedClient | Client,
    task: object,
    *,
    deadline: float = 300.0,
    on_update: AsyncOnUpdate | None = None,
) -> ImageResult:
    """Async twin of `poll_until_done`."""
    check_waiting(None, on_update)
    http = client.get_async_httpx_client()
    credentials = Credentials(None, parse_base_url(str(http.base_url)))
    core = _AsyncCore(
        *_shared(credentials.base_url, deadline), AsyncImageTask, AsyncWire(http, credentials, owned=False)
    )
    handle = _adopt_generated(core, task)
    return await core.arun(core.accepted(handle, core.limit(None), None, on_update))


def _adopt_generated(core: _Core, given: object) -> Any:
    """Return a handle for what the generated client returned."""
    if isinstance(given, str):
        return core.task(given, None)
    given = getattr(given, "parsed", given)
    to_dict = getattr(given, "to_dict", None)
    if to_dict is None:
        raise TypeError(
            f"Expected what create_image returned, or a task id, not {type(given).__name__}. "
            "If it is None, the API answered with something undocumented: use create_image.sync_detailed to see it."
        )
    response = APIResponse(200, {}, json.dumps(to_dict()).encode())
    answer = read_answer(response)
    if answer is None:
        raise ResponseError(f"The API did not accept the request: {response.text}", response=response)
    task = core.task_class(answer.task_id, answer.poll_url, core=core)
    adopt(task, answer, core.session.clock())
    return task


def _credentials(api_key: str | None, base_url: str | None, timeout: float | None) -> Credentials:
    address = base_url if base_url is not None else os.environ.get("LEMONDATA_BASE_URL") or DEFAULT_BASE_URL
    key = api_key if api_key is not None else os.environ.get("LEMONDATA_API_KEY", "")
    return Credentials(ApiKey(key), parse_base_url(address), _checked_timeout(timeout))


def _checked_timeout(timeout: float | None) -> float | None:
    if timeout is not None and not (_is_number(timeout) and timeout > 0):
        raise ValueError(f"timeout must be a number of seconds above zero, or None, not {timeout!r}.")
    return timeout


def _shared(
    base_url: str,
    deadline: float,
    max_retries: int = 2,
    requests_per_minute: float | None = 1000,
    validation: Validation = "strict",
) -> tuple[Session, Schedule, float, Validation]:
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise ValueError(f"max_retries must be a whole number, zero or more, not {max_retries!r}.")
    if requests_per_minute is not None and not (_is_number(requests_per_minute) and requests_per_minute > 0):
        raise ValueError(f"requests_per_minute must be above zero, or None, not {requests_per_minute!r}.")
    if validation not in ("strict", "warn", "off"):
        raise ValueError(f"validation must be 'strict', 'warn' or 'off', not {validation!r}.")
    session = Session(base_url, RequestBudget(requests_per_minute), max_retries)
    session.deadline(deadline)
    return session, Schedule(requests_per_minute), deadline, validation


def _with_options(lemon: LemonT, options: Options) -> LemonT:
    core: Any = lemon._core
    if unknown := options.keys() - Options.__annotations__.keys():
        raise TypeError(
            f"with_options() does not take {', '.join(sorted(unknown))}; it takes {', '.join(Options.__annotations__)}."
        )
    session, schedule = core.session, core.schedule
    limit = options.get("requests_per_minute", session.budget.per_minute)
    fresh_session, fresh_schedule, deadline, validation = _shared(
        session.base_url,
        options.get("deadline", core.deadline),
        options.get("max_retries", session.max_retries),
        limit,
        options.get("validation", core.validation),
    )
    if limit == session.budget.per_minute:
        # The same connections, the same account: what is used and learned stays common.
        fresh_session, fresh_schedule = evolve(fresh_session, budget=session.budget), schedule
    credentials = core.wire.credentials
    if "timeout" in options:
        credentials = evolve(credentials, timeout=_checked_timeout(options["timeout"]))
    twin = object.__new__(type(lemon))
    twin._core = evolve(
        core,
        session=fresh_session,
        schedule=fresh_schedule,
        deadline=deadline,
        validation=validation,
        wire=evolve(core.wire, credentials=credentials, owned=False),
    )
    return twin


def _shown(lemon: Lemon | AsyncLemon) -> str:
    core = getattr(lemon, "_core", None)  # a traceback may show a client whose construction failed
    return f"<{type(lemon).__name__} {core.session.base_url if core is not None else '(not made)'}>"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _bound(core: T | None) -> T:
    if core is None:
        raise LemonError(
            "This handle was unpickled and has no client: lemon.images.task_from_dict(task.to_dict()) binds it."
        )
    return core


def check_waiting(poll_interval: float | None, on_update: object = None, *, blocking: bool = False) -> None:
    """Raise ValueError or TypeError for arguments of a wait that make no sense."""
    if poll_interval is not None and not (_is_number(poll_interval) and poll_interval > 0):
        raise ValueError(f"poll_interval must be a number of seconds above zero, or None, not {poll_interval!r}.")
    if blocking and inspect.iscoroutinefunction(on_update):
        raise TypeError(
            "The blocking client calls on_update without awaiting it: give an ordinary function, or use AsyncLemon."
        )


@contextmanager
def _resumable(task: Task) -> Iterator[None]:
    """Let an interrupt or cancellation say how to get at the task that goes on without us."""
    try:
        yield
    except BaseException as exc:
        if not isinstance(exc, Exception) and task.id is not None and not task.done:
            exc.add_note(
                f"The task {task.id} is accepted and paid for; resume it with lemon.images.task({task.id!r}).result()."
            )
        raise
