"""One HTTP exchange, in both colours: the key to the API's own origin alone, bounded in time and size.

No other handwritten module imports httpx, apart from the emulator's transport. An exchange can be cut off at any point,
by an interrupt or a cancellation: whatever state that leaves the library's connections in, they are not used again, and
later requests get new ones. The same holds after a fork. Requests never follow redirects and never carry cookies.
"""

from __future__ import annotations

import logging
import math
import os
import ssl
import sys
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing, suppress
from functools import cache, lru_cache, partial
from http.cookiejar import CookieJar
from importlib.util import find_spec
from threading import Lock
from types import MappingProxyType
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import anyio.lowlevel
import httpx
from attrs import Factory, define, field, frozen
from lemon_client.model_table import SERVERS
from lemon_client.money_table import BILLING

from ._address import is_loopback, is_private_host, is_private_ip, leads_inside, origin
from ._base64 import PictureScan
from ._flow import Send, Sink, TransportFault
from ._key import ApiKey
from ._network import AsyncNetwork, BlockedAddressError, Network, until
from ._response import APIResponse
from ._unpack import CODINGS, Unpacker
from .errors import ConfigurationError, DownloadError, LemonError

Kind = Literal["submit", "poll", "picture"]

logger = logging.getLogger("lemon_ext")

USER_AGENT: Final = "lemon-ext/0.1.0"
#: Requests of one kind under way at once.
IN_FLIGHT: Final = 64
#: Idle connections of one client of httpx's, which makes one request at a time.
KEPT: Final = 2
#: Seconds an idle connection is kept. Many servers close theirs after 5: a submission on such a one is a lost answer,
#: and a handshake costs less. A poll is free, and comes back within a minute.
KEEPALIVE: Final[Mapping[Kind, float]] = MappingProxyType({"submit": 4.0, "poll": 55.0, "picture": 55.0})
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
#: The codings that are asked for, and all that an answer may come in. Several on top of each other have no bounds.
_ASKED_FOR: Final = ("gzip", "deflate")
_CODINGS: Final = (*CODINGS, "br", "zstd")
#: What a client's own headers may carry that nobody but the API must see.
_CREDENTIALS: Final = ("Authorization", "Cookie", "X-Api-Key")
#: Failures before a request leaves, for transports of the user's that tell no trace.
_UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


# ---- connections ----


@define(eq=False, repr=False)
class _Connections:
    """The clients of the HTTP library for one kind of request that no exchange uses just now.

    An exchange takes one out and puts it back when a whole answer has come. So whatever an interrupt, a cancellation or
    a fault leaves behind in a client, even a lock that is held, nobody meets it again; and there is nothing here that
    an interrupt could leave undone.
    """

    new: Callable[[], Any]
    keep: float
    #: Whether there still are clients after these were closed: pictures are fetched when their client is long gone.
    outlives: bool = False
    _closed: bool = field(default=False, init=False)
    #: Each with the process that made it, and since when it is idle.
    _idle: deque[tuple[Any, int, float]] = field(factory=deque, init=False)
    #: Of a process that was forked: what its parent goes on with must not even be collected here.
    _parents: list[Any] = field(factory=list, init=False)

    def take(self) -> Any:
        """Return a client for one exchange."""
        while not self._closed:
            try:
                client, process, _ = self._idle.pop()
            except IndexError:
                client, process = self.new(), os.getpid()
            if process != os.getpid():
                self._parents.append(client)
                continue
            if _is_shared(client):
                self._idle.append((client, process, math.inf))
            return client
        if self.outlives:  # it is closed when it comes back
            return self.new()
        raise closed_error()

    def put(self, client: Any) -> list[Any]:
        """Put a client back, and return what is to be closed."""
        if not _is_shared(client):
            self._idle.append((client, os.getpid(), time.monotonic()))
        return self.close() if self._closed else []

    def expired(self) -> list[Any]:
        """Return what nobody needed for long, to be closed."""
        now = time.monotonic()
        return self._out(lambda since: since < now - self.keep)

    def close(self) -> list[Any]:
        """Give out nothing more, and return what is to be closed. What is in use is closed when it comes back."""
        self._closed = True
        return self._out(lambda _: True)

    def _out(self, when: Callable[[float], bool]) -> list[Any]:
        found: list[Any] = []
        with suppress(IndexError):  # another thread was there first
            while when(self._idle[0][2]):
                client, process, _ = self._idle.popleft()
                (found if process == os.getpid() else self._parents).append(client)
        return found


def _is_shared(client: Any) -> bool:
    """Tell whether any number of exchanges use a client at once, and none of them can harm the others."""
    return getattr(client, "shared", False)


def _each(new: Callable[[Kind], Any]) -> Mapping[Kind, _Connections]:
    return {kind: _Connections(partial(new, kind), keep, kind == "picture") for kind, keep in KEEPALIVE.items()}


def _check_open(http: Http | AsyncHttp, kind: Kind) -> None:
    """Raise LemonError if a client was closed, or the user's that it uses, unless a picture is to be fetched."""
    if (http.closed and kind != "picture") or (http.given is not None and http.given.is_closed):
        raise closed_error()


def closed_error() -> LemonError:
    """Return the error of a client that was closed."""
    return LemonError(
        "This client is closed: its `with` block has ended. Do the work inside the block, or make one without it: "
        "`lemon = Lemon()` stays open, in a notebook for all cells. Its pictures can still be read and saved."
    )


def tls() -> ssl.SSLContext:
    """Return the TLS context that all clients share. Raises ConfigurationError, naming the variable that is wrong."""
    return _tls(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache  # loading the certificates takes 20 ms
def _tls(file: str | None, folder: str | None) -> ssl.SSLContext:
    for name, path, is_there in (("SSL_CERT_FILE", file, os.path.isfile), ("SSL_CERT_DIR", folder, os.path.isdir)):
        if path and not (is_there(path) and os.access(path, os.R_OK)):
            raise ConfigurationError(f"{name} is {path!r}, which cannot be read. Correct it or unset {name}.")
    try:
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as exc:
        name = "SSL_CERT_FILE" if file else "SSL_CERT_DIR"
        raise ConfigurationError(
            f"{name} is {file or folder!r}, which holds no certificate in PEM form ({exc}). Correct it or unset {name}."
        ) from None


class Direct:
    """A transport of httpx's, used as its client is, where there is no proxy: no cookies, no state, half the time."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.shared = getattr(transport, "shared", False)

    def build_request(self, method: str, url: httpx.URL, *, headers: Mapping[str, str], **more: Any) -> httpx.Request:
        """Return a request, as httpx's client does."""
        request = httpx.Request(method, url, headers={**_HEADERS, **headers}, **more)
        request.stream = _Content(request.content)
        return request

    def send(self, request: httpx.Request, **_options: Any) -> Any:
        """Send a request and return its response, its body unread."""
        return self._transport.handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


class _Content(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a request. That of httpx's is an async generator, which a cancellation leaves for others to end."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        return iter((self._content,))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._content)


class _Once:
    def __init__(self, content: bytes) -> None:
        self._left = [content]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class AsyncDirect(Direct):
    """Async twin of `Direct`."""

    def send(self, request: httpx.Request, **_options: Any) -> Any:
        """Async twin of `Direct.send`."""
        return self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Async twin of `Direct.close`."""
        await self._transport.aclose()


#: What our own clients send with every request.
_HEADERS: Final = MappingProxyType(
    {"Accept": "*/*", "Accept-Encoding": ", ".join(_ASKED_FOR), "User-Agent": USER_AGENT}
)


class NoCookies(CookieJar):
    """Takes no cookie: one with a strange byte would spoil every later request."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Ignore them."""


def new_client(kind: Kind, guard: Callable[[str], None]) -> httpx.Client | Direct:
    """Make a client without a key. Proxies come from the environment (HTTPS_PROXY, NO_PROXY...)."""
    client: Any = httpx.Client(**_options(kind), headers=_HEADERS, cookies=NoCookies()) if _proxies() else None
    direct = client._transport if client is not None else httpx.HTTPTransport(**_options(kind))
    made = Direct(direct) if client is None else client
    for transport in _transports(made):
        # httpx hands no backend through to httpcore. A proxy is where the user says it is, so it is not guarded.
        transport._pool._network_backend = Network(guard if kind == "picture" and transport is direct else None)
        # The library takes its own in Python code: an interrupt just then leaves it taken, and its clean-up waiting.
        transport._pool._optional_thread_lock = Lock()
    return made


def new_async_client(kind: Kind, guard: Callable[[str], None]) -> httpx.AsyncClient | AsyncDirect:
    """Async twin of `new_client`, over aiohttp where that is installed, the loop is asyncio's and there is no proxy."""
    if _proxies():
        client: Any = httpx.AsyncClient(**_options(kind), headers=_HEADERS, cookies=NoCookies())
        if kind == "picture":
            client._transport._pool._network_backend = AsyncNetwork(guard)
        return client  # type: ignore[no-any-return]  # httpx's
    if kind != "picture" and _on_asyncio() and find_spec("httpx_aiohttp") is not None:
        from ._aiohttp import Transport  # an extra

        return AsyncDirect(Transport(traced=kind == "submit", **_options(kind)))
    direct: Any = httpx.AsyncHTTPTransport(**_options(kind))
    if kind == "picture":
        direct._pool._network_backend = AsyncNetwork(guard)
    return AsyncDirect(direct)


def _options(kind: Kind) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=KEPT, keepalive_expiry=KEEPALIVE[kind])
    return {"verify": tls(), "limits": limits}


def _proxies() -> list[str]:
    found = getproxies()
    return [found[name] for name in ("http", "https", "all") if found.get(name)]


def _transports(client: Any) -> list[Any]:
    """Return the transports of a client: its own, and those to proxies. There is none for what goes past a proxy."""
    every = (client._transport, *getattr(client, "_mounts", {}).values())
    return [transport for transport in every if transport is not None]


def _on_asyncio() -> bool:
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def check_environment(new: Callable[[], object]) -> None:
    """Make a client once, so that what is wrong with the environment is said now. Raises ConfigurationError."""
    try:
        new()
    except ConfigurationError:
        raise
    except ImportError:
        raise _bad_proxy("SOCKS needs one more package: pip install 'httpx[socks]'") from None
    except (ValueError, httpx.InvalidURL):
        raise _bad_proxy("Give an address like http://proxy.example:3128") from None


def _bad_proxy(advice: str) -> ConfigurationError:
    found = getproxies()
    for scheme in ("http", "https", "all"):
        address = found.get(scheme)
        if not address:
            continue
        try:
            httpx.HTTPTransport(verify=False, proxy=address if "://" in address else f"http://{address}")
        except (ValueError, ImportError, httpx.InvalidURL):
            variable = f"{scheme.upper()}_PROXY"
            shown = address.partition("://")[0]  # the rest may hold a password
            return ConfigurationError(
                f"The proxy in {variable} ({shown}://...) cannot be used. {advice}, or unset {variable}."
            )
    return ConfigurationError(f"NO_PROXY holds what cannot be a host: {found.get('no', '')!r}. Correct it or unset it.")


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
        if isinstance(client, Direct):
            return request
        # A client of the user's, or a generated one, may carry credentials of its own.
        if not keyed:
            self.authorize(request, keyed=False)
        if request.headers.get("User-Agent", _HTTPX).startswith(_HTTPX):
            request.headers["User-Agent"] = USER_AGENT
        return request

    def authorize(self, request: httpx.Request, *, keyed: bool = True) -> None:
        """Add the key if the request goes to the API, and take every credential off it if not."""
        if keyed and origin(str(request.url)) == origin(self.base_url):
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
            self.effect.sent = True

    def interrupted(self) -> None:
        """Whoever breaks off a request of which nothing was heard cannot know that it has not left."""
        self.effect.sent = self.effect.sent or not self.heard

    async def asynchronous(self, event: str, info: Mapping[str, Any]) -> None:
        self(event, info)


def proxy_for(url: str) -> tuple[str, str]:
    """Return the variable that names the proxy for an address, and the proxy; empty texts if there is none."""
    parts, found = urlsplit(url), getproxies()
    name = next((name for name in (parts.scheme, "all") if found.get(name)), None)
    if name is None or proxy_bypass(parts.hostname or ""):
        return "", ""
    return f"{name.upper()}_PROXY", found[name]


def _route(url: str, exc: Exception) -> str:
    """Say what may have kept a connection from being made: the proxy, the certificates, or that nobody listens here."""
    words, parts = [], urlsplit(url)
    if variable := proxy_for(url)[0]:
        words.append(f"through the proxy in {variable}")
    ours = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    if ours and parts.scheme == "https" and _is_secure(exc):
        words.append(f"with the certificates in {' and '.join(ours)}")
    here = not variable and is_loopback(parts.hostname or "")
    return (f", {' and '.join(words)}" if words else "") + ("; is `lemon emulator` running?" if here else "")


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


@define(eq=False, repr=False)
class Http:
    """Makes requests, blocking. Safe to share between threads, and after a fork."""

    credentials: Credentials
    #: A client of the user's, which is used for everything and left open.
    given: httpx.Client | None = None
    #: For each kind of request, shared by clients made with `with_options`.
    connections: Mapping[Kind, _Connections] = Factory(
        lambda self: _each(partial(new_client, guard=self.credentials.guard)), takes_self=True
    )
    #: False for what shares another's connections, and leaves them open.
    owned: bool = True
    closed: bool = field(default=False, init=False)

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
        for transport in _transports(client) if client is not self.given else ():
            transport._pool._network_backend.close()

    def _send(self, client: Any, effect: Send) -> APIResponse:
        began = time.monotonic()
        end = began + effect.within
        trace, body = _Trace(effect, self.given is None and effect.kind == "submit"), None
        request = self.credentials.build(client, effect, trace)
        token = until.set(end)
        try:
            auth = self.credentials.auth(effect)
            with closing(client.send(request, stream=True, auth=auth, follow_redirects=False)) as response:
                effect.sent = True
                _log(effect, began, response)
                body = _Body.of(response, effect, end)
                chunks: Any = response.iter_bytes() if body.packed else response.stream
                for chunk in chunks if body.wanted else ():
                    body.write(chunk)
            return self.credentials.record(body)
        except (TransportFault, LemonError):
            raise
        except BlockedAddressError as exc:
            raise DownloadError(str(exc), url=effect.url) from None
        except Exception as exc:
            if body is not None and exc is body.broken:
                raise
            _log(effect, began, exc)
            raise self.credentials.fault(exc, effect, trace) from self.credentials.shown(exc)
        except BaseException:
            trace.interrupted()
            raise
        finally:
            until.reset(token)

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
    connections: Mapping[Kind, _Connections] = Factory(
        lambda self: _each(partial(new_async_client, guard=self.credentials.guard)), takes_self=True
    )
    loop: _Loop = field(factory=lambda: _Loop())
    owned: bool = True
    closed: bool = field(default=False, init=False)

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
        if client is not self.given and not _is_shared(client):
            await _close(client)

    async def _send(self, client: Any, effect: Send, end: float) -> APIResponse:
        began = time.monotonic()
        trace, body = _Trace(effect, self.given is None and effect.kind == "submit"), None
        request = self.credentials.build(client, effect, trace.asynchronous)
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + max(end - time.monotonic(), 0.0)):
                auth = self.credentials.auth(effect)
                response = await client.send(request, stream=True, auth=auth, follow_redirects=False)
                try:
                    effect.sent = True
                    _log(effect, began, response)
                    body = _Body.of(response, effect, end)
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
        except (TransportFault, LemonError):
            raise
        except BlockedAddressError as exc:
            raise DownloadError(str(exc), url=effect.url) from None
        except Exception as exc:
            if body is not None and exc is body.broken:
                raise
            _log(effect, began, exc)
            raise self.credentials.fault(exc, effect, trace) from self.credentials.shown(exc)
        except BaseException:
            trace.interrupted()
            raise
        raise TransportFault("the answer took too long to arrive", sent=effect.sent or not trace.heard, timeout=True)

    async def aclose(self) -> None:
        """Async twin of `Http.close`."""
        self.closed = True
        for connections in self.connections.values() if self.owned else ():
            for client in connections.close():
                await _close(client)


async def _close(client: Any) -> None:
    """Close a client. One that is half closed forgets its connections, so no cancellation gets in between."""
    with anyio.CancelScope(shield=True):
        if _on_asyncio():
            import asyncio  # noqa: TID251 - there, a task can be cancelled past every scope

            await asyncio.shield(client.aclose())
        else:
            await client.aclose()
