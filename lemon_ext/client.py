"""The clients people use, `Lemon` and `AsyncLemon`, and the handles of their tasks: signatures.

Each method starts a flow, written once, and hands it to the driver of its colour.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypeVar, Unpack, overload

from attrs import define, field, frozen

from . import _clock, _generate, _usage
from ._api import Record, ask, get_model_pricing
from ._core import AsyncCore, BlockingCore, Options, bound, new_core, with_options
from ._inputs import EDIT
from ._openai import ATTRIBUTES, IMAGES, MODELS, AsyncPage, Page, answered, takes
from ._raw import generated_client
from ._request import Validation, prepare, prepare_parts, prepare_pictures
from .capabilities import ModelCapabilities, capabilities, models
from .results import ImageResult
from .tasks import Task, restore

if TYPE_CHECKING:
    import os
    from datetime import datetime

    import httpx
    from lemon_client import AuthenticatedClient
    from lemon_client.image_params import CreateVariationParams, EditImageParams, ImageParams, KnownModel

    from ._flow import Flow
    from ._inputs import Picture
    from ._usage import ApiKeyInfo, Usage
    from .ledger import Ledger

__all__ = (
    "AsyncImageTask",
    "AsyncImages",
    "AsyncLemon",
    "AsyncModels",
    "AsyncTasks",
    "ImageTask",
    "Images",
    "Lemon",
    "Models",
    "Tasks",
)

LemonT = TypeVar("LemonT", bound="Lemon | AsyncLemon")
OnUpdate: TypeAlias = Callable[["ImageTask"], object]
AsyncOnUpdate: TypeAlias = Callable[["AsyncImageTask"], object | Awaitable[object]]


@define(eq=False, repr=False)
class ImageTask(Task):
    """The handle of a submitted request: ask for its state, wait for its images, or keep it for later.

    ``to_dict()`` is plain JSON; ``lemon.images.task_from_dict`` makes the handle again, in any process. Asking is free.
    """

    _core: BlockingCore | None = field(default=None, alias="core", kw_only=True)

    def refresh(self) -> Self:
        """Ask for the present state, through passing failures, within the client's deadline. Returns the handle itself.

        Raises TaskNotFoundError, TaskTimeoutError, APIStatusError.
        """
        core = bound(self._core)
        core.call(_generate.refreshed(core, self, core.limit(None)))
        return self

    def result(
        self, *, deadline: float | None = None, poll_interval: float | None = None, on_update: OnUpdate | None = None
    ) -> ImageResult:
        """Wait until the task is done and return its images; at once if it is done already.

        Waits ``deadline`` seconds at most (None: the client's). Raises TaskFailedError, TaskNotFoundError,
        TaskTimeoutError (resume, do not resubmit), APIStatusError, and ResponseError if it completed without a usable
        image.
        """
        core = bound(self._core)
        return core.call(_generate.waited(core, self, core.waiting(deadline, poll_interval, on_update)))

    def updates(self, *, deadline: float | None = None, poll_interval: float | None = None) -> Iterator[Self]:
        """Wait until the task is done, giving the handle each time its status or progress changes.

        Raises as `result` does, except that a task that failed just ends the iteration.
        """
        core = bound(self._core)
        waiting = core.waiting(deadline, poll_interval)
        while not self.done:
            if not core.call(_generate.changed(core, self, waiting)):
                return
            yield self


@define(eq=False, repr=False)
class AsyncImageTask(Task):
    """Async twin of `ImageTask`."""

    _core: AsyncCore | None = field(default=None, alias="core", kw_only=True)

    async def refresh(self) -> Self:
        """Async twin of `ImageTask.refresh`."""
        core = bound(self._core)
        await core.acall(_generate.refreshed(core, self, core.limit(None)))
        return self

    async def result(
        self,
        *,
        deadline: float | None = None,
        poll_interval: float | None = None,
        on_update: AsyncOnUpdate | None = None,
    ) -> ImageResult:
        """Async twin of `ImageTask.result`; ``on_update`` may be async."""
        core = bound(self._core)
        return await core.acall(_generate.waited(core, self, core.waiting(deadline, poll_interval, on_update)))

    async def updates(
        self, *, deadline: float | None = None, poll_interval: float | None = None
    ) -> AsyncIterator[Self]:
        """Async twin of `ImageTask.updates`."""
        core = bound(self._core)
        waiting = core.waiting(deadline, poll_interval)
        while not self.done:
            if not await core.acall(_generate.changed(core, self, waiting)):
                return
            yield self


@frozen(repr=False)
class Images:
    """``lemon.images``: generating images, and the tasks that do it."""

    _core: BlockingCore

    def generate(
        self,
        prompt: str,
        *,
        model: KnownModel | str | None = None,
        deadline: float | None = None,
        poll_interval: float | None = None,
        on_update: OnUpdate | None = None,
        extra_body: Mapping[str, Any] | None = None,
        fan_out: bool = False,
        **params: Unpack[ImageParams],
    ) -> ImageResult:
        """Generate images and return them, however the API answers: check, send, wait until done. **Billed once.**

        Sends ``model``, ``prompt`` and what is given of the contract's parameters (docs/models.md); None means not
        given, and no default is ever sent. ``extra_body`` adds fields that the contract does not know, unchecked. The
        whole call takes ``deadline`` seconds at most (None: the client's, 300). ``poll_interval`` fixes the seconds
        between polls of a task; without it the schedule decides (docs/polling.md). ``on_update`` is called with the
        `ImageTask` when it is accepted and whenever its status changes.

        ``fan_out`` sends several requests, each **billed once**, where the contract says that the model gives fewer
        images in one request than ``n``, and returns the images of all. After a fault nothing more is sent; what was
        accepted is waited for, and the error has it as ``.result`` and the handles as ``.tasks``.

        Raises CapabilityError before anything is sent; APIStatusError if the API rejected it; SubmissionUncertainError
        if the answer was lost, so that it may have been billed; TaskFailedError, TaskTimeoutError (resume with
        ``.task``) and ResponseError after a task was accepted; APIConnectionError if nothing could be sent.
        """
        waiting = self._core.waiting(deadline, poll_interval, on_update)
        requests = prepare_parts(prompt, model, params, extra_body, self._core.validation, fan_out)
        return self._core.call(_generate.generated(self._core, ImageTask, requests, waiting))

    def submit(
        self,
        prompt: str,
        *,
        model: KnownModel | str | None = None,
        deadline: float | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **params: Unpack[ImageParams],
    ) -> ImageTask:
        """Send the request and return its handle without waiting; it is done already if the API answered with images.

        **Billed once.** Arguments and errors are those of `generate`, up to the answer.
        """
        limit = self._core.limit(deadline)
        request = prepare(prompt, model, params, extra_body, self._core.validation)
        return self._core.call(_generate.submitted(self._core, ImageTask, request, limit))

    def edit(
        self,
        image: Picture | Sequence[Picture],
        prompt: str,
        *,
        mask: Picture | None = None,
        model: KnownModel | str | None = None,
        deadline: float | None = None,
        poll_interval: float | None = None,
        on_update: OnUpdate | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **params: Unpack[EditImageParams],
    ) -> ImageResult:
        """Change pictures by a prompt and return what came of it, however the API answers. **Billed once.**

        ``image``: a path, bytes, a file open for reading bytes or an http(s) address; or a list of them, all files or
        all addresses. ``mask``: one more, transparent where changes go. They are read first, and nothing is sent if one
        is no whole picture or beyond the contract's limits. The other arguments and the errors are those of
        `generate`, and OSError for a file that cannot be read.
        """
        waiting = self._core.waiting(deadline, poll_interval, on_update)
        pictures = {"image": image, "mask": mask}
        how = (pictures, prompt, model, params, extra_body, self._core.validation)
        request = partial(prepare_pictures, EDIT, *how)
        return self._core.call(_generate.generated(self._core, ImageTask, [request], waiting))

    def create_variation(
        self,
        image: Picture,
        *,
        model: KnownModel | str | None = None,
        deadline: float | None = None,
        poll_interval: float | None = None,
        on_update: OnUpdate | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **params: Unpack[CreateVariationParams],
    ) -> ImageResult:
        """Make variations of a picture, which is a file as for `edit`, and return them. **Billed once.**"""
        waiting = self._core.waiting(deadline, poll_interval, on_update)
        how = ({"image": image}, None, model, params, extra_body, self._core.validation)
        request = partial(prepare_pictures, "create_variation", *how)
        return self._core.call(_generate.generated(self._core, ImageTask, [request], waiting))

    def task(self, task_id: str, *, poll_url: str | None = None) -> ImageTask:
        """Return the handle of a task by its id. No request is made. Raises ValueError for what cannot be an id."""
        return _generate.handle(self._core, ImageTask, task_id, poll_url)

    def task_from_dict(self, data: Mapping[str, Any]) -> ImageTask:
        """Return the handle that ``to_dict()`` described. No request is made. Raises ValueError for anything else."""
        return restore(ImageTask, data, core=self._core)

    if not TYPE_CHECKING:  # a type checker would take any name for granted
        __getattr__ = answered("lemon.images", IMAGES)


@frozen(repr=False)
class AsyncImages:
    """Async twin of `Images`."""

    _core: AsyncCore

    async def generate(
        self,
        prompt: str,
        *,
        model: KnownModel | str | None = None,
        deadline: float | None = None,
        poll_interval: float | None = None,
        on_update: AsyncOnUpdate | None = None,
        extra_body: Mapping[str, Any] | None = None,
        fan_out: bool = False,
        **params: Unpack[ImageParams],
    ) -> ImageResult:
        """Async twin of `Images.generate`; ``on_update`` may be async."""
        waiting = self._core.waiting(deadline, poll_interval, on_update)
        requests = prepare_parts(prompt, model, params, extra_body, self._core.validation, fan_out)
        return await self._core.acall(_generate.generated(self._core, AsyncImageTask, requests, waiting))

    async def submit(
        self,
        prompt: str,
        *,
        model: KnownModel | str | None = None,
        deadline: float | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **params: Unpack[ImageParams],
    ) -> AsyncImageTask:
        """Async twin of `Images.submit`."""
        limit = self._core.limit(deadline)
        request = prepare(prompt, model, params, extra_body, self._core.validation)
        return await self._core.acall(_generate.submitted(self._core, AsyncImageTask, request, limit))

    async def edit(
        self,
        image: Picture | Sequence[Picture],
        prompt: str,
        *,
        mask: Picture | None = None,
        model: KnownModel | str | None = None,
        deadline: float | None = None,
        poll_interval: float | None = None,
        on_update: AsyncOnUpdate | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **params: Unpack[EditImageParams],
    ) -> ImageResult:
        """Async twin of `Images.edit`; files are read in a thread."""
        waiting = self._core.waiting(deadline, poll_interval, on_update)
        pictures = {"image": image, "mask": mask}
        how = (pictures, prompt, model, params, extra_body, self._core.validation)
        request = partial(prepare_pictures, EDIT, *how)
        return await self._core.acall(_generate.generated(self._core, AsyncImageTask, [request], waiting))

    async def create_variation(
        self,
        image: Picture,
        *,
        model: KnownModel | str | None = None,
        deadline: float | None = None,
        poll_interval: float | None = None,
        on_update: AsyncOnUpdate | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **params: Unpack[CreateVariationParams],
    ) -> ImageResult:
        """Async twin of `Images.create_variation`."""
        waiting = self._core.waiting(deadline, poll_interval, on_update)
        how = ({"image": image}, None, model, params, extra_body, self._core.validation)
        request = partial(prepare_pictures, "create_variation", *how)
        return await self._core.acall(_generate.generated(self._core, AsyncImageTask, [request], waiting))

    def task(self, task_id: str, *, poll_url: str | None = None) -> AsyncImageTask:
        """As `Images.task`; not async, because no request is made."""
        return _generate.handle(self._core, AsyncImageTask, task_id, poll_url)

    def task_from_dict(self, data: Mapping[str, Any]) -> AsyncImageTask:
        """As `Images.task_from_dict`; not async, because no request is made."""
        return restore(AsyncImageTask, data, core=self._core)

    if not TYPE_CHECKING:  # a type checker would take any name for granted
        __getattr__ = answered("lemon.images", IMAGES)


@frozen(repr=False)
class Tasks:
    """``lemon.tasks``: tasks by their ids, whoever submitted them. Everything here is free."""

    _core: BlockingCore

    def get(self, task_id: str, *, deadline: float | None = None) -> ImageTask:
        """Ask for the present state of a task and return its handle. Raises as `ImageTask.refresh` does."""
        task = _generate.handle(self._core, ImageTask, task_id, None)
        self._core.call(_generate.refreshed(self._core, task, self._core.limit(deadline)))
        return task

    def wait(
        self,
        task_id: str,
        *,
        deadline: float | None = None,
        poll_interval: float | None = None,
        on_update: OnUpdate | None = None,
    ) -> ImageResult:
        """Wait until a task is done and return its images. As `ImageTask.result`."""
        task = _generate.handle(self._core, ImageTask, task_id, None)
        return task.result(deadline=deadline, poll_interval=poll_interval, on_update=on_update)

    def cancel(self, task_id: str, *, deadline: float | None = None) -> ImageTask:
        """Cancel a task that has not begun, and return its handle.

        Raises BadRequestError if tasks of its model cannot be cancelled, ConflictError if it is too late,
        PermissionDeniedError if it is another key's, TaskNotFoundError if there is none; then nothing has changed.
        """
        task = _generate.handle(self._core, ImageTask, task_id, None)
        self._core.call(_generate.cancelled(self._core, task, self._core.limit(deadline)))
        return task


@frozen(repr=False)
class AsyncTasks:
    """Async twin of `Tasks`."""

    _core: AsyncCore

    async def get(self, task_id: str, *, deadline: float | None = None) -> AsyncImageTask:
        """Async twin of `Tasks.get`."""
        task = _generate.handle(self._core, AsyncImageTask, task_id, None)
        await self._core.acall(_generate.refreshed(self._core, task, self._core.limit(deadline)))
        return task

    async def wait(
        self,
        task_id: str,
        *,
        deadline: float | None = None,
        poll_interval: float | None = None,
        on_update: AsyncOnUpdate | None = None,
    ) -> ImageResult:
        """Async twin of `Tasks.wait`."""
        task = _generate.handle(self._core, AsyncImageTask, task_id, None)
        return await task.result(deadline=deadline, poll_interval=poll_interval, on_update=on_update)

    async def cancel(self, task_id: str, *, deadline: float | None = None) -> AsyncImageTask:
        """Async twin of `Tasks.cancel`."""
        task = _generate.handle(self._core, AsyncImageTask, task_id, None)
        await self._core.acall(_generate.cancelled(self._core, task, self._core.limit(deadline)))
        return task


@frozen(repr=False)
class Models:
    """``lemon.models``: what the contract's table says of models, and what the API says of them now.

    Without ``live`` no request is made. With it one is, which is free; what it tells is laid over the table's row.
    """

    _core: BlockingCore

    def list(self, *, live: bool = False, deadline: float | None = None) -> list[ModelCapabilities]:
        """Return every documented model; ``live``: and those that the API has now."""
        if live:
            return self._core.run(_generate.live_models(self._core, self._core.limit(deadline)))
        return Page(models())

    def get(self, model: str, *, live: bool = False, deadline: float | None = None) -> ModelCapabilities:
        """Return what is known of a model. An undocumented one gets what holds for any, with ``listed`` False.

        ``live``: raises NotFoundError for a model that the API does not have.
        """
        if not live:
            return capabilities(model)
        return self._core.run(_generate.live_model(self._core, model, self._core.limit(deadline)))

    def pricing(self, model: str, *, deadline: float | None = None) -> Record:
        """Ask what a model costs, and return the answer as it came: the fields depend on the model. Free.

        Raises NotFoundError for a model that the API does not have, APIStatusError, APIConnectionError.
        """
        return self._core.run(ask(self._core.session, get_model_pricing(model), self._core.limit(deadline)))

    if not TYPE_CHECKING:  # a type checker would take any name for granted
        __getattr__ = answered("lemon.models", MODELS)


@frozen(repr=False)
class AsyncModels:
    """Async twin of `Models`. Without ``live`` no request is made, so that nothing is awaited."""

    _core: AsyncCore

    @overload
    def list(self, *, live: Literal[False] = False, deadline: float | None = None) -> list[ModelCapabilities]: ...
    @overload
    def list(self, *, live: Literal[True], deadline: float | None = None) -> Awaitable[list[ModelCapabilities]]: ...
    def list(self, *, live: bool = False, deadline: float | None = None) -> Any:
        """As `Models.list`; with ``live``, to be awaited."""
        if live:
            return self._core.arun(_generate.live_models(self._core, self._core.limit(deadline)))
        return AsyncPage(models())

    @overload
    def get(self, model: str, *, live: Literal[False] = False, deadline: float | None = None) -> ModelCapabilities: ...
    @overload
    def get(
        self, model: str, *, live: Literal[True], deadline: float | None = None
    ) -> Awaitable[ModelCapabilities]: ...
    def get(self, model: str, *, live: bool = False, deadline: float | None = None) -> Any:
        """As `Models.get`; with ``live``, to be awaited."""
        if not live:
            return capabilities(model)
        return self._core.arun(_generate.live_model(self._core, model, self._core.limit(deadline)))

    async def pricing(self, model: str, *, deadline: float | None = None) -> Record:
        """Async twin of `Models.pricing`."""
        return await self._core.arun(ask(self._core.session, get_model_pricing(model), self._core.limit(deadline)))

    if not TYPE_CHECKING:  # a type checker would take any name for granted
        __getattr__ = answered("lemon.models", MODELS)


class Lemon:
    """A client of LemonData's image API. A context manager, safe to share between threads.

    ``api_key``: None takes LEMONDATA_API_KEY. ``base_url``: None takes LEMONDATA_BASE_URL, else the documented host;
    with or without ``/v1``. ``timeout``: seconds for each step of each request; by default a submission may use the
    whole deadline (giving up sooner could only lose a paid image) and a poll 30 s. ``deadline``: seconds for a whole
    call, retries, waiting and downloads included. ``poll_interval``: seconds between two polls of a task, where a call
    does not give its own; None lets the schedule decide (docs/polling.md). ``max_retries``: how often a submission that
    was certainly not accepted is sent again. ``requests_per_minute``: what this client may use of the account's rate
    limit (None: no bound). ``validation``: "strict" raises before sending, "warn" warns and sends, "off" neither.
    ``http_client``: an ``httpx.Client`` of your own, which is left open. ``allow_private_images``: fetch images of a
    public API from loopback and private addresses too, which is not done otherwise (docs/errors.md). ``ledger``: True
    writes single calls down in the user's own ledger, a path in that file (docs/money.md). ``prompt_metadata``: whether
    the prompt is written into the metadata of saved pictures (docs/gallery.md). ``default_headers``: headers of your
    own on every request to the API, and on no other; `with_options` adds to them.

    Raises MissingKeyError without a key, ConfigurationError for a key, proxy or certificate setting that cannot work,
    and ValueError or TypeError for other arguments that make no sense.
    """

    @takes
    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | None = None,
        deadline: float = 300.0,
        poll_interval: float | None = None,
        max_retries: int = 2,
        requests_per_minute: float | None = 1000,
        validation: Validation = "strict",
        http_client: httpx.Client | None = None,
        allow_private_images: bool = False,
        ledger: bool | str | os.PathLike[str] | Ledger | None = None,
        prompt_metadata: bool = True,
        default_headers: Mapping[str, str] | None = None,
    ) -> None:
        options = (deadline, max_retries, requests_per_minute, validation, poll_interval)
        self._core = new_core(
            BlockingCore, api_key, base_url, timeout, http_client, allow_private_images, default_headers, options
        )
        self._core.ledger, self._core.prompt_metadata = _ledger(ledger), bool(prompt_metadata)

    @property
    def images(self) -> Images:
        """Generating images."""
        return Images(self._core)

    @property
    def models(self) -> Models:
        """What models can do."""
        return Models(self._core)

    @property
    def tasks(self) -> Tasks:
        """Tasks by their ids."""
        return Tasks(self._core)

    def balance(self, *, deadline: float | None = None) -> Record:
        """Ask how much money the account has left; free. The client's key has to be a management token.

        Raises AuthenticationError for any other key, APIStatusError, APIConnectionError, APITimeoutError.
        """
        return self._core.run(_generate.balance(self._core, self._core.limit(deadline)))

    def api_keys(self, *, deadline: float | None = None) -> list[ApiKeyInfo]:
        """Ask which keys the account has; free. As with `balance`, the client's key has to be a management token."""
        return self._core.run(_usage.api_keys(self._core.session, self._core.limit(deadline)))

    def usage(
        self,
        key_id: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        deadline: float | None = None,
    ) -> Usage:
        """Ask what a key was charged for between two moments, both included; free. It takes a management token, too.

        ``key_id`` is an id of `api_keys`. All pages are read, again where they change while they are read
        (``steady`` is false if they never came to rest). Raises NotFoundError for a key that there is not, and as
        `balance` does.
        """
        return self._core.run(_charged(self._core, key_id, since, until, deadline))

    @property
    def raw(self) -> AuthenticatedClient:
        """The generated client, configured: same address, key and connections. It neither checks, waits nor retries."""
        return generated_client(self._core.http)

    def with_options(self, **options: Unpack[Options]) -> Lemon:
        """Return a client with other options over the same connections. Closing it leaves them open.

        It costs next to nothing, so what differs from call to call can be given so: ``default_headers`` with the number
        of a trace, beside those of this client.
        """
        return _twin(self, with_options(self._core, options))

    def close(self) -> None:
        """Close the connections. Handles stay good for another client: `ImageTask.to_dict`."""
        self._core.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return _shown(self)

    if not TYPE_CHECKING:  # a type checker would take any name for granted
        __getattr__ = answered("Lemon", ATTRIBUTES)


class AsyncLemon:
    """Async twin of `Lemon`, for asyncio and trio. Use it in the event loop that first used it."""

    @takes
    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | None = None,
        deadline: float = 300.0,
        poll_interval: float | None = None,
        max_retries: int = 2,
        requests_per_minute: float | None = 1000,
        validation: Validation = "strict",
        http_client: httpx.AsyncClient | None = None,
        allow_private_images: bool = False,
        ledger: bool | str | os.PathLike[str] | Ledger | None = None,
        prompt_metadata: bool = True,
        default_headers: Mapping[str, str] | None = None,
    ) -> None:
        options = (deadline, max_retries, requests_per_minute, validation, poll_interval)
        self._core = new_core(
            AsyncCore, api_key, base_url, timeout, http_client, allow_private_images, default_headers, options
        )
        self._core.ledger, self._core.prompt_metadata = _ledger(ledger), bool(prompt_metadata)

    @property
    def images(self) -> AsyncImages:
        """Generating images."""
        return AsyncImages(self._core)

    @property
    def models(self) -> AsyncModels:
        """What models can do."""
        return AsyncModels(self._core)

    @property
    def tasks(self) -> AsyncTasks:
        """Tasks by their ids."""
        return AsyncTasks(self._core)

    async def balance(self, *, deadline: float | None = None) -> Record:
        """Async twin of `Lemon.balance`."""
        return await self._core.arun(_generate.balance(self._core, self._core.limit(deadline)))

    async def api_keys(self, *, deadline: float | None = None) -> list[ApiKeyInfo]:
        """Async twin of `Lemon.api_keys`."""
        return await self._core.arun(_usage.api_keys(self._core.session, self._core.limit(deadline)))

    async def usage(
        self,
        key_id: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        deadline: float | None = None,
    ) -> Usage:
        """Async twin of `Lemon.usage`."""
        return await self._core.arun(_charged(self._core, key_id, since, until, deadline))

    @property
    def raw(self) -> AuthenticatedClient:
        """The generated client, configured, for its ``asyncio`` functions. See `Lemon.raw`."""
        return generated_client(self._core.http)

    def with_options(self, **options: Unpack[Options]) -> AsyncLemon:
        """Async twin of `Lemon.with_options`."""
        return _twin(self, with_options(self._core, options))

    async def aclose(self) -> None:
        """Async twin of `Lemon.close`."""
        await self._core.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return _shown(self)

    if not TYPE_CHECKING:  # a type checker would take any name for granted
        __getattr__ = answered("AsyncLemon", {**ATTRIBUTES, "close": "Here it is await lemon.aclose()."})


def _ledger(given: bool | str | os.PathLike[str] | Ledger | None) -> Ledger | None:
    if given is None or given is False:
        return None
    from .ledger import opened  # for those who want one: it brings the database

    return opened(given)


def _charged(
    core: BlockingCore | AsyncCore, key_id: str, since: datetime | None, until: datetime | None, deadline: float | None
) -> Flow[Usage]:
    first, last = (None if at is None else at.timestamp() for at in (since, until))
    return _usage.usage(core.session, key_id, first, last, core.limit(deadline), _clock.wall())


def _twin(lemon: LemonT, core: Any) -> LemonT:
    twin = object.__new__(type(lemon))
    twin._core = core
    return twin


def _shown(lemon: Lemon | AsyncLemon) -> str:
    core = getattr(lemon, "_core", None)  # a traceback may show a client whose construction failed
    return f"<{type(lemon).__name__} {core.session.base_url if core is not None else '(not made)'}>"
