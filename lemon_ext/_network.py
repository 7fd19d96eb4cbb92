"""Sockets: how a connection is opened, in bounded time, and not to where no picture comes from.

By itself the HTTP library bounds each step and each address that a name has, but neither how many there are nor how
long the name takes to resolve: a deadline of 2 s became 10 with five silent addresses. Here all steps of a blocking
request share the time it has. A picture's connection goes only to addresses that its client may be led to.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeAlias

import anyio
import httpcore

#: Monotonic seconds at which the blocking exchange of this thread has to end.
until: Final[ContextVar[float]] = ContextVar("until")

#: Raises for an address, as text, that must not be connected to.
Guard: TypeAlias = Callable[[str], None]


class BlockedAddressError(Exception):
    """An address leads to where no picture comes from. It was not connected to."""


class Network(httpcore.NetworkBackend):
    """Opens blocking connections whose every step ends at `until`, and that heed a guard. Can close all of them."""

    def __init__(self, guard: Guard | None = None) -> None:
        self._inner = httpcore.SyncBackend()
        self._guard = guard
        self._open: set[_Stream] = set()

    def close(self) -> None:
        """Close every connection, whatever the library thinks of it."""
        for stream in [*self._open]:
            stream.close()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that answers. They share the time."""
        end = time.monotonic() + _left(timeout, httpcore.ConnectTimeout)
        addresses = _resolve(host, port, end)
        for number, address in enumerate(addresses):
            if self._guard is not None:
                self._guard(address)
            share = (end - time.monotonic()) / (len(addresses) - number)
            if share <= 0:
                raise httpcore.ConnectTimeout("no time was left")
            try:
                return _Stream(self._inner.connect_tcp(address, port, share, local_address, socket_options), self._open)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses) - 1:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")


class _Stream(httpcore.NetworkStream):
    """A connection whose every step ends at `until`."""

    def __init__(self, inner: httpcore.NetworkStream, among: set[_Stream]) -> None:
        self._inner, self._among = inner, among
        among.add(self)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()
        self._among.discard(self)

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, _left(timeout, httpcore.ConnectTimeout))
        self._among.discard(self)
        return _Stream(inner, self._among)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(timeout: float | None, fault: type[Exception]) -> float:
    """Return the seconds for a step. Raises the fault if none are left."""
    left = until.get(time.monotonic() + 3600.0) - time.monotonic()
    if left <= 0:
        raise fault("no time was left")
    return left if timeout is None else min(timeout, left)


def _resolve(host: str, port: int, end: float) -> list[str]:
    """Return the addresses of a host. The system's resolver knows no time limit, so it runs in a thread of its own."""
    if _is_literal(host):
        return [host]
    answers: SimpleQueue[list[str] | Exception] = SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(_addresses(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except Exception as exc:  # noqa: BLE001 - raised below
            answers.put(exc)

    threading.Thread(target=look_up, name="lemon-resolve", daemon=True).start()
    try:
        found = answers.get(timeout=max(end - time.monotonic(), 0.001))
    except Empty:
        raise httpcore.ConnectTimeout(f"the name {host} was not resolved in time") from None
    if isinstance(found, OSError | UnicodeError):
        raise httpcore.ConnectError(f"{host}: {found}") from found
    if isinstance(found, Exception):
        raise found
    return found


def addresses_of(host: str, port: int, seconds: float) -> list[str]:
    """Return the addresses of a host, for somebody who asks without connecting. Raises OSError, TimeoutError."""
    try:
        return _resolve(host, port, time.monotonic() + seconds)
    except httpcore.ConnectTimeout as exc:
        raise TimeoutError(str(exc)) from None
    except httpcore.ConnectError as exc:
        raise OSError(getattr(exc.__cause__, "strerror", None) or str(exc)) from None


def _addresses(found: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _is_literal(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    return False


class AsyncNetwork(httpcore.AnyIOBackend):
    """Opens async connections that heed a guard. Their time is bounded by the scope around an exchange."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of a host that answers. They share the time."""
        end = time.monotonic() + (3600.0 if timeout is None else timeout)
        try:
            with anyio.fail_after(max(end - time.monotonic(), 0.001)):
                addresses = _addresses(await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"the name {host} was not resolved in time") from None
        except (OSError, UnicodeError) as exc:
            raise httpcore.ConnectError(f"{host}: {exc}") from exc
        for number, address in enumerate(addresses):
            self._guard(address)
            share = max((end - time.monotonic()) / (len(addresses) - number), 0.001)
            try:
                return await super().connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses) - 1:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")
