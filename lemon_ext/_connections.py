"""The clients of the HTTP library: how they are made, and kept for the next exchange.

An exchange has a client for itself. It can be cut off at any point, by an interrupt or a cancellation: whatever state
that leaves the library's connections in, they are not used again, and later requests get new ones. The same holds after
a fork. Proxies and certificates are the environment's.
"""

from __future__ import annotations

import math
import os
import ssl
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache, partial
from http.cookiejar import CookieJar
from importlib.util import find_spec
from threading import Lock
from types import MappingProxyType
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
from attrs import define, field

from ._network import AsyncNetwork, Network
from .errors import ConfigurationError, LemonError

Kind = Literal["submit", "poll", "picture"]

USER_AGENT: Final = "lemon-ext/0.1.0"
#: Requests of one kind under way at once.
IN_FLIGHT: Final = 64
#: Idle connections of one client of httpx's, which makes one request at a time.
KEPT: Final = 2
#: Seconds an idle connection is kept. Many servers close theirs after 5: a submission on such a one is a lost answer,
#: and a handshake costs less. A poll is free, and comes back within a minute.
KEEPALIVE: Final[Mapping[Kind, float]] = MappingProxyType({"submit": 4.0, "poll": 55.0, "picture": 55.0})
#: The codings that are asked for.
_ASKED_FOR: Final = ("gzip", "deflate")


@define(eq=False, repr=False)
class Connections:
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
            if is_shared(client):
                self._idle.append((client, process, math.inf))
            return client
        if self.outlives:  # it is closed when it comes back
            return self.new()
        raise closed_error()

    def put(self, client: Any) -> list[Any]:
        """Put a client back, and return what is to be closed."""
        if not is_shared(client):
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


def is_shared(client: Any) -> bool:
    """Tell whether any number of exchanges use a client at once, and none of them can harm the others."""
    return getattr(client, "shared", False)


def each(new: Callable[[Kind], Any]) -> Mapping[Kind, Connections]:
    return {kind: Connections(partial(new, kind), keep, kind == "picture") for kind, keep in KEEPALIVE.items()}


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
    for transport in transports(made):
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
    if kind != "picture" and on_asyncio() and find_spec("httpx_aiohttp") is not None:
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


def transports(client: Any) -> list[Any]:
    """Return the transports of a client: its own, and those to proxies. There is none for what goes past a proxy."""
    every = (client._transport, *getattr(client, "_mounts", {}).values())
    return [transport for transport in every if transport is not None]


def on_asyncio() -> bool:
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


def proxy_for(url: str) -> tuple[str, str]:
    """Return the variable that names the proxy for an address, and the proxy; empty texts if there is none."""
    parts, found = urlsplit(url), getproxies()
    name = next((name for name in (parts.scheme, "all") if found.get(name)), None)
    if name is None or proxy_bypass(parts.hostname or ""):
        return "", ""
    return f"{name.upper()}_PROXY", found[name]
