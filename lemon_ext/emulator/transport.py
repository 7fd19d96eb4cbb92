"""The door for httpx: the emulator as a transport, with nothing on the network. Blocking and async in one object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from email.utils import formatdate

import httpx

from .records import Answering, Request, Response


class EmulatorTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Hands requests to an emulator and does what its responses say of time and connection.

    An answer that comes later than the request's read timeout is a ``ReadTimeout``, as it would be over a socket.
    """

    def __init__(self, emulator: Answering) -> None:
        self._emulator = emulator

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, blocking."""
        request.read()
        response = self._emulator.handle(_incoming(request))
        if wait := _wait(request, response):
            self._emulator.sleep(wait)
        return _outcome(request, response, self._emulator.wall())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, async."""
        await request.aread()
        response = self._emulator.handle(_incoming(request))
        if wait := _wait(request, response):
            await self._emulator.asleep(wait)
        return _outcome(request, response, self._emulator.wall())


class _Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that ends half-way."""

    def __init__(self, body: bytes) -> None:
        self._half = body[: len(body) // 2]

    def __iter__(self) -> Iterator[bytes]:
        yield self._half
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


def _incoming(request: httpx.Request) -> Request:
    headers = {name.lower(): value for name, value in request.headers.items()}
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    origin = f"{request.url.scheme}://{headers.get('host', request.url.netloc.decode('ascii'))}"
    return Request(request.method, path, headers, request.content, origin, query)


def _patience(request: httpx.Request) -> float | None:
    timeout: Mapping[str, float | None] = request.extensions.get("timeout", {})
    return timeout.get("read")


def _wait(request: httpx.Request, response: Response) -> float:
    patience = _patience(request)
    return response.delay if patience is None else min(response.delay, patience)


def _outcome(request: httpx.Request, response: Response, now: float) -> httpx.Response:
    patience = _patience(request)
    if patience is not None and response.delay > patience:
        raise httpx.ReadTimeout("The read operation timed out", request=request)
    if response.cut == "connect":
        raise httpx.ConnectError("Connection refused", request=request)
    if response.cut == "answer":
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)
    headers = {"date": formatdate(now, usegmt=True), **response.headers}  # as every server says
    if response.cut == "body":
        cut = {**headers, "content-length": str(len(response.body))}
        return httpx.Response(response.status, headers=cut, stream=_Broken(response.body))
    return httpx.Response(response.status, headers=headers, content=response.body)
