"""aiohttp as the transport of an async client, where the extra is installed and the loop is asyncio's: half the CPU."""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final, Self

import aiohttp
import httpx
import httpx_aiohttp
import yarl

#: Hears how far the submission of this task has come, as httpcore's trace would tell it.
_trace: ContextVar[Any] = ContextVar("trace")


#: Bytes of one header of an answer.
LONGEST_HEADER: Final = 100 * 1024


class _Response(aiohttp.ClientResponse):
    """An answer without its reason phrase: nobody reads it, and one with a byte that is not UTF-8 loses the answer."""

    async def start(self, connection: Any) -> Self:
        await super().start(connection)
        self.reason = None
        return self


class Transport(httpx_aiohttp.AiohttpTransport):
    """Keeps no cookies, sends addresses as they are, and has no pool to wait in: a limiter stands before it.

    With ``traced``, a request tells its ``trace`` extension how far it is.
    """

    #: Any number of requests use it at once: aiohttp drops the connection of one that was cancelled, and no other.
    shared = True

    def __init__(self, *, traced: bool, **options: Any) -> None:
        super().__init__(**options)
        self._traced = traced
        self._session: aiohttp.ClientSession | None = None

    def get_client(self) -> Any:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0, ssl=self.ssl_context, keepalive_timeout=self.limits.keepalive_expiry
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[_tracing()] if self._traced else None,
                requote_redirect_url=False,
                # A paid answer is not lost for a long header. These are about as generous as httpx's own transport is.
                max_line_size=LONGEST_HEADER,
                max_field_size=LONGEST_HEADER,
                max_headers=1000,
                response_class=_Response,
            )
        return self

    def request(self, *, url: str, **options: Any) -> Any:
        """Make aiohttp's request to exactly this address: yarl would decode what a signature covers."""
        assert self._session is not None  # noqa: S101 - get_client made it
        return self._session.request(url=yarl.URL(url, encoded=True), **options)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._traced:
            _trace.set(request.extensions["trace"])
        try:
            return await super().handle_async_request(request)
        except httpx.ConnectTimeout as exc:  # the adapter calls every lost connection so
            cause = exc.__cause__
            if isinstance(cause, TimeoutError):
                raise
            kind = httpx.ConnectError if isinstance(cause, aiohttp.ClientConnectorError) else httpx.RemoteProtocolError
            raise kind(str(exc)) from cause

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def __del__(self) -> None:
        # A program that ends without closing its client is told nothing, as with httpx's own transport. Only its loop
        # could say goodbye to a server, and that is gone. While the loop lives, it is a leak, and aiohttp says so.
        session = getattr(self, "_session", None)
        if session is not None and not session.closed and session._loop.is_closed():
            with suppress(StopIteration):
                session.close().send(None)


def _tracing() -> aiohttp.TraceConfig:
    """Return what tells a trace that a connection is sought, and that the request is about to leave over one."""

    async def sought(*_: Any) -> None:
        await _trace.get()("connection.started", {})

    async def found(*_: Any) -> None:
        await _trace.get()("aiohttp.send_request_headers.started", {})

    config = aiohttp.TraceConfig()
    config.on_request_start.append(sought)
    config.on_connection_create_end.append(found)
    config.on_connection_reuseconn.append(found)
    return config
