"""``lemon.raw``: the generated client, configured, over the connections of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING, Any

import httpx

from ._http import AsyncHttp, Credentials, Http, NoCookies

if TYPE_CHECKING:
    from lemon_client import AuthenticatedClient


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
        "base_url": credentials.base_url,
        "auth": auth,
        "cookies": NoCookies(),
        "timeout": timeout,
        "transport": _Borrowed(http),
    }
    if isinstance(http, Http):
        return client.set_httpx_client(httpx.Client(**options))
    return client.set_async_httpx_client(httpx.AsyncClient(**options))
