"""``lemon.raw``: the generated client, configured, over the connections of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING, Any

import httpx

from ._connections import NoCookies
from ._http import AsyncHttp, Credentials, Http

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
        client = self._http.take()
        try:
            response: httpx.Response = client.send(request, stream=True, auth=None, follow_redirects=False)
        except BaseException:
            self._http.drop(client)
            raise
        response.stream = _Returned(response.stream, client, self._http)
        return response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        client = await self._http.take()
        try:
            response: httpx.Response = await client.send(request, stream=True, auth=None, follow_redirects=False)
        except BaseException:
            await self._http.drop(client)
            raise
        response.stream = _Returned(response.stream, client, self._http)
        return response


class _Returned(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that gives its client back once it was read to its end, and else lets it be closed."""

    def __init__(self, stream: Any, client: Any, http: Any) -> None:
        self._stream, self._client, self._http = stream, client, http
        self._whole = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream
        self._whole = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield chunk
        self._whole = True

    def close(self) -> None:
        self._stream.close()
        client, self._client = self._client, None
        if client is not None:
            (self._http.put if self._whole else self._http.drop)(client)

    async def aclose(self) -> None:
        await self._stream.aclose()
        client, self._client = self._client, None
        if client is not None:
            await (self._http.put if self._whole else self._http.drop)(client)


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
