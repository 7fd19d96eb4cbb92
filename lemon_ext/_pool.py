"""Connections: which one a request gets, at the same price however many wait.

httpx's own pool looks at every connection for every waiting request, at each start and end of a request; a thousand
waiting tasks stall it. Here a slot is a transport of httpx's that holds one connection, and idle slots lie on a stack:
the connection used last is used next, so that few stay open and those are warm. Turns are taken in order.

A connection may have been closed by the server while it was idle. httpx sees that before it sends, but for one moment;
what goes wrong then is tried again if it is a GET. A POST never is: whether it arrived is not for this room to guess.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Generic, Self, TypeAlias, TypeVar
from urllib.request import getproxies

import anyio
import httpx
from attrs import define, field

#: Connections open at once, idle ones included.
MAX_CONNECTIONS: Final = 64
#: Seconds an idle connection is kept: longer than the longest gap between two looks at a task.
KEEPALIVE: Final = 55.0
#: Seconds of idleness after which a POST gets a new connection: many servers close theirs after 5, and a handshake
#: costs less than an answer that is lost.
TRUSTED: Final = 4.0
#: For a transport that is one slot.
ONE: Final = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE)

_REPEATABLE: Final = ("GET", "HEAD")
_LOST: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)

Origin: TypeAlias = tuple[str, str, int | None]
TransportT = TypeVar("TransportT", httpx.BaseTransport, httpx.AsyncBaseTransport)


@define(eq=False, repr=False)
class _Slot(Generic[TransportT]):
    """A transport that keeps at most one connection: to the origin it served last, if to any."""

    transport: TransportT
    origin: Origin | None = None
    idle_since: float = 0.0


@define(eq=False, repr=False)
class _Stack(Generic[TransportT]):
    """The idle slots, the one used last on top. Decides, and does no I/O. Whoever takes has a turn."""

    new: Callable[[], TransportT]
    limit: int
    clock: Callable[[], float]
    closed: bool = False
    _idle: list[_Slot[TransportT]] = field(factory=list, init=False)
    _open: int = field(default=0, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def take(self, request: httpx.Request) -> tuple[_Slot[TransportT], bool, TransportT | None]:
        """Return a slot, whether it may hold a connection to the right place, and a transport to be closed."""
        origin = (request.url.scheme, request.url.host, request.url.port)
        with self._lock:
            if self.closed:
                raise httpx.ConnectError("The client was closed.", request=request)
            slot = self._pick(origin)
        warm = slot.origin == origin
        slot.origin = origin
        if not warm or request.method in _REPEATABLE or self.clock() - slot.idle_since < TRUSTED:
            return slot, warm, None
        stale, slot.transport = slot.transport, self.new()
        return slot, False, stale

    def _pick(self, origin: Origin) -> _Slot[TransportT]:
        for at in range(len(self._idle) - 1, -1, -1):
            if self._idle[at].origin == origin:
                return self._idle.pop(at)
        if self._open >= self.limit:
            # The one idle for longest: its transport closes the old connection by itself.
            return self._idle.pop(0)
        slot = _Slot(self.new())
        self._open += 1
        return slot

    def give(self, slot: _Slot[TransportT]) -> TransportT | None:
        """Take a slot back, and return a transport to be closed: one that nobody has needed for long."""
        with self._lock:
            if self.closed:
                return slot.transport
            now = slot.idle_since = self.clock()
            self._idle.append(slot)
            if now - self._idle[0].idle_since <= KEEPALIVE:
                return None
            self._open -= 1
            return self._idle.pop(0).transport

    def close(self) -> list[TransportT]:
        """Give out no more slots, and return the transports to be closed. Slots in use are closed when given back."""
        with self._lock:
            self.closed = True
            idle, self._idle = self._idle, []
        return [slot.transport for slot in idle]


class _Turns:
    """A semaphore that serves in order: who comes later never passes who waits."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[threading.Lock] = deque()
        self._lock = threading.Lock()

    def acquire(self, timeout: float | None) -> bool:
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        longest = -1 if timeout is None else min(timeout, threading.TIMEOUT_MAX)
        try:
            return turn.acquire(timeout=longest) or self._leave(turn)
        except BaseException:
            if self._leave(turn):
                self.release()
            raise

    def _leave(self, turn: threading.Lock) -> bool:
        """Stop waiting. True if the turn was handed over in the last moment."""
        with self._lock:
            if turn not in self._waiting:
                return True
            self._waiting.remove(turn)
            return False

    def release(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class Pool(httpx.BaseTransport):
    """A transport that gives each request a connection of its own, ``limit`` at most. Safe to share between threads."""

    def __init__(
        self,
        new: Callable[[], httpx.BaseTransport],
        *,
        limit: int = MAX_CONNECTIONS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stack: _Stack[httpx.BaseTransport] = _Stack(new, limit, clock)
        self._turns = _Turns(limit)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not self._turns.acquire(_patience(request)):
            raise _no_turn(request)
        try:
            slot, warm, stale = self._stack.take(request)
        except BaseException:
            self._turns.release()
            raise
        try:
            if stale is not None:
                stale.close()
            response = _send(slot.transport, request, warm)
        except BaseException:
            self._release(slot)
            raise
        response.stream = _Stream(response.stream, partial(self._release, slot))
        return response

    def _release(self, slot: _Slot[httpx.BaseTransport]) -> None:
        try:
            unneeded = self._stack.give(slot)
        finally:
            self._turns.release()
        if unneeded is not None:
            unneeded.close()

    def close(self) -> None:
        for transport in self._stack.close():
            transport.close()


class AsyncPool(httpx.AsyncBaseTransport):
    """Async twin of `Pool`."""

    def __init__(
        self,
        new: Callable[[], httpx.AsyncBaseTransport],
        *,
        limit: int = MAX_CONNECTIONS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stack: _Stack[httpx.AsyncBaseTransport] = _Stack(new, limit, clock)
        self._turns = anyio.Semaphore(limit)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            self._turns.acquire_nowait()
        except anyio.WouldBlock:
            with anyio.move_on_after(_patience(request)) as scope:
                await self._turns.acquire()
            if scope.cancelled_caught:
                raise _no_turn(request) from None
        try:
            slot, warm, stale = self._stack.take(request)
        except BaseException:
            self._turns.release()
            raise
        try:
            if stale is not None:
                await _aclose(stale)
            response = await _asend(slot.transport, request, warm)
        except BaseException:
            await self._release(slot)
            raise
        response.stream = _AsyncStream(response.stream, partial(self._release, slot))
        return response

    async def _release(self, slot: _Slot[httpx.AsyncBaseTransport]) -> None:
        try:
            unneeded = self._stack.give(slot)
        finally:
            self._turns.release()
        if unneeded is not None:
            await _aclose(unneeded)

    async def aclose(self) -> None:
        for transport in self._stack.close():
            await _aclose(transport)


class _Stream(httpx.SyncByteStream):
    """A response's body, that gives its connection back when it is closed."""

    def __init__(self, stream: Any, release: Callable[[], None]) -> None:
        self._stream = stream
        self._release: Callable[[], None] | None = release

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            try:
                self._stream.close()
            finally:
                release()


class _AsyncStream(httpx.AsyncByteStream):
    """Async twin of `_Stream`."""

    def __init__(self, stream: Any, release: Callable[[], Any]) -> None:
        self._stream = stream
        self._release: Callable[[], Any] | None = release

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            try:
                await self._stream.aclose()  # not shielded here: httpcore does that, and a second shield costs 10 us
            finally:
                await release()


def _send(transport: httpx.BaseTransport, request: httpx.Request, warm: bool) -> httpx.Response:
    try:
        return transport.handle_request(request)
    except _LOST:
        if not warm or request.method not in _REPEATABLE:
            raise
    return transport.handle_request(request)  # over a new connection: the transport dropped the old one


async def _asend(transport: httpx.AsyncBaseTransport, request: httpx.Request, warm: bool) -> httpx.Response:
    try:
        return await transport.handle_async_request(request)
    except _LOST:
        if not warm or request.method not in _REPEATABLE:
            raise
    return await transport.handle_async_request(request)


async def _aclose(transport: httpx.AsyncBaseTransport) -> None:
    with anyio.CancelScope(shield=True):
        await transport.aclose()


class Step(float):
    """Seconds that a step of a request may take, that know how many are left for all of its steps.

    httpx hands them down to the connection as the number they are; `_Network` looks at the rest.
    """

    left: Callable[[], float]

    def __new__(cls, seconds: float, left: Callable[[], float]) -> Self:
        step = super().__new__(cls, seconds)
        step.left = left
        return step


def _within(step: float | None, fault: type[httpx.TimeoutException]) -> float | None:
    """Return the seconds for a step. Raises the fault if none are left."""
    if not isinstance(step, Step):
        return step
    left = step.left()
    if left <= 0:
        raise fault("no time was left")
    return min(float(step), left)


class _Network:
    """httpcore's way to open connections and, once opened, a connection: each step ends with the time of the request.

    By itself httpcore bounds every read, but not how many there are: an answer whose headers drip in would never end.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> _Network:
        within = _within(timeout, httpx.ConnectTimeout)
        return _Network(self._inner.connect_tcp(host, port, timeout=within, **options))

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Network:
        within = _within(timeout, httpx.ConnectTimeout)
        return _Network(self._inner.start_tls(ssl_context, server_hostname, within))

    def read(self, max_bytes: int, timeout: float | None = None) -> Any:
        return self._inner.read(max_bytes, _within(timeout, httpx.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _within(timeout, httpx.WriteTimeout))


def keep_to_time(transport: httpx.HTTPTransport) -> None:
    """Make a transport heed what is left of a `Step`. Should httpx have no such place, each step keeps its limit."""
    pool: Any = getattr(transport, "_pool", None)
    if hasattr(pool, "_network_backend"):
        pool._network_backend = _Network(pool._network_backend)


def _patience(request: httpx.Request) -> float | None:
    timeout: float | None = request.extensions.get("timeout", {}).get("pool")
    return timeout


def _no_turn(request: httpx.Request) -> httpx.PoolTimeout:
    return httpx.PoolTimeout("All connections were in use for too long.", request=request)


def environment_proxies() -> Mapping[str, str | None]:
    """Return which proxy serves which addresses (None: no proxy), in httpx's patterns, most specific or not.

    As httpx reads HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; it does so itself only for its own pool.
    """
    found = getproxies()
    proxies: dict[str, str | None] = {}
    for scheme in ("http", "https", "all"):
        if address := found.get(scheme):
            proxies[f"{scheme}://"] = address if "://" in address else f"http://{address}"
    for host in (host.strip() for host in found.get("no", "").split(",")):
        if host == "*":
            return {}
        if host:
            proxies[_pattern(host)] = None
    return proxies


def _pattern(host: str) -> str:
    """Return httpx's pattern for an entry of NO_PROXY: a name stands for its subdomains too, an address for itself."""
    if "://" in host:
        return host
    kind = _address_kind(host)
    if kind == 6:
        return f"all://[{host.strip('[]')}]"
    return f"all://{host}" if kind == 4 or host.lower() == "localhost" else f"all://*{host}"


def _address_kind(host: str) -> int | None:
    from ipaddress import ip_address

    try:
        return ip_address(host.split("/")[0].strip("[]")).version
    except ValueError:
        return None
