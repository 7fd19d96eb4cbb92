"""For users of the generated client: waiting for what its operations returned, and the client itself, configured."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from . import _generate
from ._api import read_answer
from ._core import AsyncCore, BlockingCore, Core, borrowed, check_waiting
from ._http import AsyncHttp, Credentials, Http
from ._response import APIResponse
from .client import AsyncImageTask, ImageTask
from .errors import ResponseError
from .results import ImageResult

if TYPE_CHECKING:
    from lemon_client import AuthenticatedClient, Client

    from .client import AsyncOnUpdate, OnUpdate

__all__ = ("apoll_until_done", "poll_until_done")

TaskT = TypeVar("TaskT", ImageTask, AsyncImageTask)


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
    *options, credentials = borrowed(http, deadline)
    core = BlockingCore(*options, Http(credentials, http))
    handle = _handle(core, ImageTask, task)
    return core.run(_generate.adopted(core, handle, core.limit(None), on_update))


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
    *options, credentials = borrowed(http, deadline)
    core = AsyncCore(*options, AsyncHttp(credentials, http))
    handle = _handle(core, AsyncImageTask, task)
    return await core.arun(_generate.adopted(core, handle, core.limit(None), on_update))


def _handle(core: Core, kind: type[TaskT], given: object) -> TaskT:
    """Return a handle for what the generated client returned."""
    if isinstance(given, str):
        return _generate.handle(core, kind, given, None)
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
    handle = kind(None, core=core)  # type: ignore[arg-type]  # the core of its colour
    handle.submitted(answer, core.session.clock())
    return handle


# ---- the generated client over our connections ----


class _OriginAuth(httpx.Auth):
    """Adds the key to requests that go to the API."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def __repr__(self) -> str:
        return "OriginAuth(***)"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        self._credentials.authorize(request)
        yield request


class _Borrowed(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Lets a second client use the connections of ours, and leaves them open when it is closed."""

    def __init__(self, http: Any) -> None:
        self._http = http

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        client, leave = self._http.lend()
        try:
            response: httpx.Response = client.send(request, stream=True, auth=None, follow_redirects=False)
        except BaseException as exc:
            leave(cut_off=not isinstance(exc, Exception))
            raise
        response.stream = _Returned(response.stream, leave)
        return response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        client, leave = self._http.lend()
        try:
            response: httpx.Response = await client.send(request, stream=True, auth=None, follow_redirects=False)
        except BaseException as exc:
            await leave(cut_off=not isinstance(exc, Exception))
            raise
        response.stream = _Returned(response.stream, leave)
        return response


class _Returned(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that gives the connections back when it is closed."""

    def __init__(self, stream: Any, leave: Any) -> None:
        self._stream, self._leave = stream, leave

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._leave(cut_off=False)

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            await self._leave(cut_off=False)


def generated_client(http: Http | AsyncHttp) -> AuthenticatedClient:
    """Return a generated client over the same connections. It has a timeout, and shows no key when printed."""
    from lemon_client import AuthenticatedClient

    credentials = http.credentials
    auth = _OriginAuth(credentials)
    timeout = httpx.Timeout(credentials.timeout or 60.0, connect=10.0)
    client = AuthenticatedClient(
        base_url=credentials.base_url, token="", prefix="", timeout=timeout, httpx_args={"auth": auth}
    )
    options: Any = {
        "base_url": credentials.base_url, "auth": auth, "timeout": timeout, "transport": _Borrowed(http)
    }  # fmt: skip
    if isinstance(http, Http):
        return client.set_httpx_client(httpx.Client(**options))
    return client.set_async_httpx_client(httpx.AsyncClient(**options))
