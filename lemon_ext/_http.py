"""One HTTP exchange, in both colours: the key to the API's own origin alone, bounded in time and size.

Requests never follow redirects and never carry cookies. What has been sent when one fails is told by the HTTP library's
own trace, not guessed from the failure.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
import zlib
from collections.abc import Mapping
from contextlib import closing
from contextvars import copy_context
from functools import lru_cache, partial
from typing import Any, Final, Self
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import httpx
from attrs import Factory, define, field, frozen
from lemon_client.model_table import SERVERS
from lemon_client.money_table import BILLING

from ._address import is_loopback, is_private_host, is_private_ip, leads_inside, origin
from ._base64 import PictureScan
from ._connections import (
    IN_FLIGHT,
    KEEPALIVE,
    USER_AGENT,
    Connections,
    Direct,
    Kind,
    check_environment,
    closed_error,
    each,
    is_shared,
    new_async_client,
    new_client,
    on_asyncio,
    proxy_for,
    transports,
)
from ._flow import Send, Sink, TransportFault
from ._key import ApiKey
from ._network import BlockedAddressError, until
from ._response import APIResponse
from ._unpack import CODINGS, Unpacker
from .errors import DownloadError, LemonError

logger = logging.getLogger("lemon_ext")

#: Bytes of an answer, unpacked, pictures not counted: they are decoded to disk while they arrive.
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
#: Bytes after which an answer is searched for pictures. The ordinary ones are taken as they come.
LARGE_ANSWER: Final = 64 * 1024
#: A failed download's body that says it is longer, or not how long it is, is not read.
BRIEF: Final = 16 * 1024
#: Seconds; an endless deadline still bounds each step of a request.
LONGEST_STEP: Final = 3600.0
CONNECT_SECONDS: Final = 10.0
#: How httpx names itself, where nobody named another.
_HTTPX: Final = "python-httpx/"
#: All the codings that an answer may come in. Several on top of each other have no bounds.
_CODINGS: Final = (*CODINGS, "br", "zstd")
#: What a client's own headers may carry that nobody but the API must see.
_CREDENTIALS: Final = ("Authorization", "Cookie", "X-Api-Key")
#: Failures before a request leaves, for transports of the user's that tell no trace.
_UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


# ---- what an exchange sends, and what comes back ----

#: httpx takes long to read an address, and most requests go to one of a few.
_parsed: Final = lru_cache(2048)(httpx.URL)


@frozen(eq=False, repr=False)
class Credentials:
    """The key and the one origin it may go to. Builds requests and records responses: the part that does not wait."""

    key: ApiKey | None
    base_url: str
    #: A limit in seconds of the user's for each step of a request; None leaves it to the time the exchange has.
    timeout: float | None = None
    allow_private_images: bool = False
    #: Headers of the user's, for the API alone: a gateway's may be secret.
    headers: Mapping[str, str] = Factory(dict)

    def build(self, client: Any, effect: Send, trace: object) -> httpx.Request:
        """Return the request for an effect, with the key where it belongs."""
        step = min(effect.within, effect.stall, LONGEST_STEP if self.timeout is None else self.timeout)
        # At most half of the time goes by waiting for a connection: a submission that is sent too late for its answer
        # is paid and lost.
        steps = {"connect": min(step, CONNECT_SECONDS), "read": step, "write": step, "pool": step / 2}
        extensions: dict[str, Any] = {"timeout": steps}
        headers = {}
        if effect.kind == "submit":
            extensions["trace"] = trace
        if effect.sink is not None:
            # Pictures are compressed already, and what never unpacks never explodes.
            headers["Accept-Encoding"] = "identity"
        keyed = effect.kind != "picture" and origin(effect.url) == origin(self.base_url)
        if keyed and self.key is not None:
            headers["Authorization"] = self.key.header
        body: dict[str, Any] = {"json": effect.json}
        if effect.content is not None and effect.content_type is not None:
            headers["Content-Type"], body = effect.content_type, {"content": effect.content}
        try:
            request: httpx.Request = client.build_request(
                effect.method, _parsed(effect.url), headers=headers, extensions=extensions, **body
            )
        except Exception as exc:
            raise TransportFault(
                f"the request cannot be made ({type(exc).__name__}: {exc})", sent=False, local=True
            ) from exc
        if keyed:
            request.headers.update(self.headers)
        if isinstance(client, Direct):
            return request
        # A client of the user's, or a generated one, may carry credentials of its own.
        if not keyed:
            self.authorize(request, keyed=False)
        if request.headers.get("User-Agent", _HTTPX).startswith(_HTTPX):
            request.headers["User-Agent"] = USER_AGENT
        return request

    def authorize(self, request: httpx.Request, *, keyed: bool = True) -> None:
        """Add the key and the user's headers to a request to the API, and take every credential off another."""
        if keyed and origin(str(request.url)) == origin(self.base_url):
            request.headers.update(self.headers)
            if self.key is not None:
                request.headers["Authorization"] = self.key.header
        else:
            for name in _CREDENTIALS:
                request.headers.pop(name, None)

    def auth(self, effect: Send) -> Any:
        """Return httpx's ``auth`` argument: without a key of ours, a client that holds one itself adds it."""
        own = self.key is None and effect.kind != "picture" and origin(effect.url) == origin(self.base_url)
        return httpx.USE_CLIENT_DEFAULT if own else None

    def guard(self, address: str) -> None:
        """Raise BlockedAddressError for an IP address that an answer of a public API must not lead to."""
        if not self.allow_private_images and is_private_ip(address) and not is_private_host(self._host):
            raise BlockedAddressError(leads_inside(address, self._host))

    @property
    def _host(self) -> str:
        return urlsplit(self.base_url).hostname or ""

    def record(self, body: _Body) -> APIResponse:
        """Return our own record of a response, without its request and without the key."""
        record = body.collected()
        return record if self.key is None else self.key.mask(record)

    def shown(self, exc: Exception) -> Exception | None:
        """Return a failure that a traceback may show, or None for one that quotes the key."""
        return exc if self.key is None or self.key.hide(str(exc)) == str(exc) else None

    def fault(self, exc: Exception, effect: Send, trace: _Trace) -> TransportFault:
        """Return what a failure means. It may quote an answer, which may echo the key."""
        text = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
        if not effect.sent and not trace.heard:
            # A transport of the user's. aiohttp's adapter calls a connection that was lost later a ConnectTimeout.
            causes = {kind.__name__ for kind in type(exc.__cause__).__mro__}
            late = "ClientConnectionError" in causes and not causes & {"ClientConnectorError", "ConnectionTimeoutError"}
            effect.sent = late or not isinstance(exc, (*_UNSENT, httpx.UnsupportedProtocol, httpx.InvalidURL))
        local = not effect.sent and not isinstance(exc, httpx.TransportError)
        if isinstance(exc, _UNSENT):
            # aiohttp says "ssl:default" of plain http, too.
            text = text.replace(" ssl:default", "") + _route(effect.url, exc)
            if self.base_url == SERVERS[0] and SERVERS[1:] and effect.kind != "picture":
                text += f"; the API is also at {SERVERS[1]} (set LEMONDATA_BASE_URL)"
        return TransportFault(
            text if self.key is None else self.key.hide(text),
            sent=effect.sent,
            timeout=isinstance(exc, httpx.TimeoutException),
            local=local,
        )


@define(eq=False, repr=False)
class _Trace:
    """Hears from the HTTP library how far a submission has come.

    Our own connections always tell. Of a client of the user's, that is known once something was ``heard``.
    """

    effect: Send
    heard: bool

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        self.heard = True
        # A proxy is asked for a tunnel with a request of its own.
        if event.endswith("send_request_headers.started") and getattr(info.get("request"), "method", b"") != b"CONNECT":
            if not self.effect.may_leave():
                raise TransportFault("it was held up for too long, and did not leave", sent=False)
            self.effect.sent = True

    def interrupted(self) -> None:
        """Whoever breaks off a request of which nothing was heard cannot know that it has not left."""
        self.effect.sent = self.effect.sent or not self.heard

    async def asynchronous(self, event: str, info: Mapping[str, Any]) -> None:
        self(event, info)


def _route(url: str, exc: Exception) -> str:
    """Say what may have kept a connection from being made: the proxy, the certificates, or that nobody listens here."""
    words, parts = [], urlsplit(url)
    if variable := proxy_for(url)[0]:
        words.append(f"through the proxy in {variable}")
    ours = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    if ours and parts.scheme == "https" and _is_secure(exc):
        words.append(f"with the certificates in {' and '.join(ours)}")
    here = not variable and is_loopback(parts.hostname or "")
    return (f", {' and '.join(words)}" if words else "") + (" (is `lemon emulator` running?)" if here else "")


def _is_secure(exc: BaseException | None) -> bool:
    """Tell whether a connection was there, and failed while it was made secure."""
    while exc is not None:
        if isinstance(exc, (ssl.SSLError, ConnectionResetError, anyio.BrokenResourceError, anyio.EndOfStream)):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


@define(eq=False, repr=False)
class _Body:
    """Collects the body of an answer, or passes it on to a sink, in bounds of size and time.

    Pictures are taken out of a large answer while it arrives. Of a failed download, hardly anything is ``wanted``.
    """

    status_code: int
    headers: Mapping[str, str]
    sink: Sink | None
    end: float
    wanted: bool = True
    may_hold_pictures: bool = False
    #: Whether httpx unpacks it.
    packed: bool = False
    unpacker: Unpacker | None = None
    #: What the sink raised: the trouble of who writes, not of the connection.
    broken: Exception | None = field(default=None, init=False)
    _size: int = field(default=0, init=False)
    _buffer: bytearray = field(factory=bytearray, init=False)
    _scan: PictureScan | None = field(default=None, init=False)

    @classmethod
    def of(cls, response: httpx.Response, effect: Send, end: float) -> _Body:
        """Make one for the answer to a request."""
        headers = _headers(response)
        codings = [name.strip().lower() for name in headers.get("content-encoding", "").split(",")]
        codings = [coding for coding in codings if coding in _CODINGS]
        sink = effect.sink if response.status_code == 200 else None
        ours = Unpacker(codings[0]) if len(codings) == 1 and codings[0] in CODINGS else None
        body = cls(response.status_code, headers, sink, end, packed=bool(codings) and ours is None, unpacker=ours)
        if effect.sink is not None and sink is None:
            length = headers.get("content-length", "")
            body.wanted = not codings and length.isdecimal() and int(length) <= BRIEF
        elif sink is not None and body.packed:
            raise DownloadError("The image came compressed in a way that was not asked for, and is not unpacked.")
        elif len(codings) > 1:
            raise TransportFault("the answer came compressed more than once, and is not unpacked")
        body.may_hold_pictures = effect.kind != "picture" and 200 <= response.status_code < 300
        return body

    def write(self, chunk: bytes) -> None:
        try:
            for piece in (chunk,) if self.unpacker is None else self.unpacker.feed(chunk):
                self._take(piece)
        except zlib.error as exc:
            raise TransportFault(f"the answer cannot be unpacked ({exc})") from None

    def _take(self, chunk: bytes) -> None:
        if time.monotonic() > self.end:
            raise TransportFault("the answer took too long to arrive", timeout=True)
        if self.sink is not None:
            try:
                self.sink.write(chunk)
            except Exception as exc:
                self.broken = exc
                raise
            return
        if self._scan is not None:
            self._scan.feed(chunk)
            self._size = self._scan.size
        else:
            self._buffer += chunk
            self._size = len(self._buffer)
            if self.may_hold_pictures and self._size > LARGE_ANSWER:
                self._scan = PictureScan()
                self._scan.feed(bytes(self._buffer))
                self._buffer.clear()
        if self._size > MAX_ANSWER_BYTES:
            raise TransportFault(f"the answer is larger than {MAX_ANSWER_BYTES // 2**20} MiB")

    def collected(self) -> APIResponse:
        """Return the answer, with the pictures that were taken out of it."""
        if self._scan is None:
            return APIResponse(self.status_code, self.headers, bytes(self._buffer))
        return APIResponse(self.status_code, self.headers, self._scan.finish(), self._scan.pictures)


def _headers(response: httpx.Response) -> dict[str, str]:
    """Return the headers with names in lower case; what came several times is joined by commas."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers.raw:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("utf-8", "replace")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _log(effect: Send, began: float, outcome: httpx.Response | Exception) -> None:
    """Note a request, when its headers have come or it has failed: no address of a picture, no prompt and no key."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    path = "image" if effect.kind == "picture" else urlsplit(effect.url).path
    came: object = type(outcome).__name__  # a failure may quote an address or an answer
    told = ""
    if isinstance(outcome, httpx.Response):
        came = outcome.status_code
        found = (outcome.headers.get(name) for name in BILLING.request_id.headers if effect.kind != "picture")
        told = next((f", request {request_id[:80]}" for request_id in found if request_id), "")
    logger.debug("%s %s -> %s in %.2f s%s", effect.method, path, came, time.monotonic() - began, told)


# ---- the exchange ----


def _check_open(http: Http | AsyncHttp, kind: Kind) -> None:
    """Raise LemonError if a client was closed, or the user's that it uses, unless a picture is to be fetched."""
    if (http.closed and kind != "picture") or (http.given is not None and http.given.is_closed):
        raise closed_error()


class _Exchange:
    """One request on its way. What ends it early is told by the error that leaves its block: a TransportFault."""

    def __init__(self, http: Http | AsyncHttp, client: Any, effect: Send, end: float) -> None:
        self._credentials, self._effect, self._end, self._began = http.credentials, effect, end, time.monotonic()
        self._body: _Body | None = None
        self.trace = _Trace(effect, http.given is None and effect.kind == "submit")
        told = self.trace if isinstance(http, Http) else self.trace.asynchronous
        self.request = http.credentials.build(client, effect, told)
        #: How the HTTP library is to send it.
        self.options = {"stream": True, "auth": http.credentials.auth(effect), "follow_redirects": False}

    def answered(self, response: httpx.Response) -> _Body:
        """The headers have come. Returns what takes the rest."""
        self._effect.sent = True
        _log(self._effect, self._began, response)
        self._body = _Body.of(response, self._effect, self._end)
        return self._body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, exc: BaseException | None, _trace: object) -> None:
        if exc is None or isinstance(exc, TransportFault | LemonError):
            return
        if not isinstance(exc, Exception):
            self.trace.interrupted()
        elif isinstance(exc, BlockedAddressError):
            raise DownloadError(str(exc), url=self._effect.url) from None
        elif self._body is None or exc is not self._body.broken:
            _log(self._effect, self._began, exc)
            raise self._credentials.fault(exc, self._effect, self.trace) from self._credentials.shown(exc)


@define(eq=False, repr=False)
class Http:
    """Makes requests, blocking. Safe to share between threads, and after a fork."""

    credentials: Credentials
    #: A client of the user's, which is used for everything and left open.
    given: httpx.Client | None = None
    #: For each kind of request, shared by clients made with `with_options`.
    connections: Mapping[Kind, Connections] = Factory(
        lambda self: each(partial(new_client, guard=self.credentials.guard)), takes_self=True
    )
    #: False for what shares another's connections, and leaves them open.
    owned: bool = True
    closed: bool = field(default=False, init=False)

    def check(self) -> None:
        """Raise ConfigurationError if the environment lets no client be made."""
        check_environment(lambda: new_client("submit", self.credentials.guard).close())

    def exchange(self, effect: Send) -> APIResponse:
        """Perform one request. Raises TransportFault; what a sink raises; LemonError for a closed client.

        A client of the user's bounds each step alone: there, headers that drip in can outlast ``within``.
        """
        _check_open(self, effect.kind)
        client = self.take(effect.kind)
        try:
            response = self._send(client, effect)
            self.put(client, effect.kind)
        except BaseException:
            self.drop(client)
            raise
        return response

    def take(self, kind: Kind = "poll") -> Any:
        """Return a client for an exchange, to `put` back after a whole answer, and else to `drop`."""
        if self.given is not None:
            return self.given
        for old in self.connections[kind].expired():
            self.drop(old)
        return self.connections[kind].take()

    def put(self, client: Any, kind: Kind = "poll") -> None:
        """Put a client back."""
        for old in self.connections[kind].put(client) if client is not self.given else ():
            self.drop(old)

    def drop(self, client: Any) -> None:
        """Close the connections of a client, past its locks: an interrupt may have left one locked."""
        for transport in transports(client) if client is not self.given else ():
            transport._pool._network_backend.close()

    def _send(self, client: Any, effect: Send) -> APIResponse:
        # In a context of its own: an interrupt right after the deadline is set would leave it set for other requests.
        return copy_context().run(self._sent, client, effect)

    def _sent(self, client: Any, effect: Send) -> APIResponse:
        end = time.monotonic() + effect.within
        until.set(end)
        with _Exchange(self, client, effect, end) as exchange:
            with closing(client.send(exchange.request, **exchange.options)) as response:
                body = exchange.answered(response)
                chunks: Any = response.iter_bytes() if body.packed else response.stream
                for chunk in chunks if body.wanted else ():
                    body.write(chunk)
            return self.credentials.record(body)

    def close(self) -> None:
        """Close the connections, unless they are another's."""
        self.closed = True
        for connections in self.connections.values() if self.owned else ():
            for client in connections.close():
                self.drop(client)


@define(eq=False, repr=False)
class _Loop:
    """The event loop that async connections belong to, and how many requests may be under way in it."""

    _home: tuple[object, int] | None = field(default=None, init=False)
    _turns: Mapping[Kind, anyio.Semaphore] = field(factory=dict, init=False)

    def turns(self, kind: Kind) -> anyio.Semaphore:
        """Return the limiter for a kind of request. Raises LemonError in another event loop than the first."""
        home = (anyio.lowlevel.current_token(), os.getpid())
        if self._home != home:
            if self._home is not None and self._home[1] == home[1]:
                # Connections belong to the loop that opened them; from another one they fail in strange ways.
                raise LemonError(
                    "This AsyncLemon was used in another event loop. Make one inside each loop (each asyncio.run)."
                )
            self._home, self._turns = home, {name: anyio.Semaphore(IN_FLIGHT) for name in KEEPALIVE}
        return self._turns[kind]


@define(eq=False, repr=False)
class AsyncHttp:
    """Async twin of `Http`."""

    credentials: Credentials
    given: httpx.AsyncClient | None = None
    connections: Mapping[Kind, Connections] = Factory(
        lambda self: each(partial(new_async_client, guard=self.credentials.guard)), takes_self=True
    )
    loop: _Loop = field(factory=lambda: _Loop())
    owned: bool = True
    closed: bool = field(default=False, init=False)

    def check(self) -> None:
        """As `Http.check`."""
        check_environment(lambda: new_async_client("submit", self.credentials.guard))

    async def exchange(self, effect: Send) -> APIResponse:
        """Async twin of `Http.exchange`."""
        _check_open(self, effect.kind)
        turns = self.loop.turns(effect.kind)
        end = time.monotonic() + effect.within
        try:
            turns.acquire_nowait()
        except anyio.WouldBlock:
            with anyio.move_on_after(effect.within / 2) as scope:
                await turns.acquire()
            if scope.cancelled_caught:
                raise TransportFault("all connections were in use for too long", sent=False, timeout=True) from None
        try:
            client = await self.take(effect.kind)
            try:
                response = await self._send(client, effect, end)
                await self.put(client, effect.kind)
            except BaseException:
                await self.drop(client)
                raise
            return response
        finally:
            turns.release()

    async def take(self, kind: Kind = "poll") -> Any:
        """Async twin of `Http.take`."""
        if self.given is not None:
            return self.given
        for old in self.connections[kind].expired():
            await _close(old)
        return self.connections[kind].take()

    async def put(self, client: Any, kind: Kind = "poll") -> None:
        """Async twin of `Http.put`."""
        for old in self.connections[kind].put(client) if client is not self.given else ():
            await _close(old)

    async def drop(self, client: Any) -> None:
        """Close a client that is not to be put back."""
        if client is not self.given and not is_shared(client):
            await _close(client)

    async def _send(self, client: Any, effect: Send, end: float) -> APIResponse:
        with _Exchange(self, client, effect, end) as exchange:
            with anyio.CancelScope(deadline=anyio.current_time() + max(end - time.monotonic(), 0.0)):
                response = await client.send(exchange.request, **exchange.options)
                try:
                    body = exchange.answered(response)
                    if body.wanted:
                        source: Any = response.aiter_bytes() if body.packed else response.stream
                        chunks = aiter(source)
                        try:
                            async for chunk in chunks:
                                body.write(chunk)
                        finally:
                            if hasattr(chunks, "aclose"):  # a generator
                                await chunks.aclose()
                finally:
                    await response.aclose()
                return self.credentials.record(body)
            sent = effect.sent or not exchange.trace.heard
            raise TransportFault("the answer took too long to arrive", sent=sent, timeout=True)

    async def aclose(self) -> None:
        """Async twin of `Http.close`."""
        self.closed = True
        for connections in self.connections.values() if self.owned else ():
            for client in connections.close():
                await _close(client)


async def _close(client: Any) -> None:
    """Close a client. One that is half closed forgets its connections, so no cancellation gets in between."""
    with anyio.CancelScope(shield=True):
        if on_asyncio():
            import asyncio  # noqa: TID251 - there, a task can be cancelled past every scope

            await asyncio.shield(client.aclose())
        else:
            await client.aclose()
