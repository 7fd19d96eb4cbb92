"""Opening a connection: in the time there is, whatever the name resolves to, and not to where no picture comes from."""

from __future__ import annotations

import socket
import threading
import time

import anyio
import httpcore
import pytest

from lemon_ext import DownloadError, _network
from lemon_ext._network import AsyncNetwork, BlockedAddressError, Network, until
from tests.sockets import listening
from tests.test_http import echo, wired  # noqa: F401 - a fixture

SILENT = [f"192.0.2.{number}" for number in range(1, 6)]


class Ticking:
    """A clock that a connection attempt moves on."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def attempts(monkeypatch):
    """Every attempt to connect, as (address, seconds it was given). None is answered but by 192.0.2.5."""
    clock, made = Ticking(), []
    monkeypatch.setattr(_network, "time", clock)

    def connect(self, host, port, timeout=None, *args):
        made.append((host, timeout))
        if host == "192.0.2.5":
            return "connected"
        clock.now += timeout
        raise httpcore.ConnectTimeout("timed out")

    async def aconnect(self, host, port, timeout=None, *args):  # noqa: ASYNC109 - httpcore's signature
        return connect(self, host, port, timeout)

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", aconnect)
    return made


def resolve_to(monkeypatch, *addresses, port=443, wait=lambda: None):
    """Let every name have these addresses."""

    def getaddrinfo(host, port_, family=0, type=0, proto=0, flags=0):  # noqa: A002 - as the system's
        if flags & socket.AI_NUMERICHOST:  # a name is none
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        wait()
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(family, socket.SOCK_STREAM, 6, "", (a, port)) for family, a in zip(families, addresses, strict=True)]

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)


def connect(backend, host="api.example.test", timeout=10.0, guard=None):
    """Connect in either colour."""
    if backend == "blocking":
        return Network(guard).connect_tcp(host, 443, timeout)

    async def main():
        return await AsyncNetwork(guard or (lambda address: None)).connect_tcp(host, 443, timeout)

    return anyio.run(main, backend=backend)


both = pytest.mark.parametrize("backend", ["blocking", "asyncio", "trio"])


@both
def test_silent_addresses_share_the_time(backend, attempts, monkeypatch):
    """A deadline of 2 s took 10 s with five of them."""
    resolve_to(monkeypatch, *SILENT)
    connect(backend, timeout=2.0)
    assert [address for address, _ in attempts] == SILENT
    assert [seconds for _, seconds in attempts] == pytest.approx([0.4] * 5)


@both
def test_when_none_answers_it_is_a_connect_timeout(backend, attempts, monkeypatch):
    resolve_to(monkeypatch, *SILENT[:2])
    with pytest.raises(httpcore.ConnectTimeout):
        connect(backend, timeout=2.0)
    assert sum(seconds for _, seconds in attempts) == pytest.approx(2.0)


def test_an_exchange_that_ends_sooner_shortens_every_step(attempts, monkeypatch):
    resolve_to(monkeypatch, *SILENT[:2])
    token = until.set(_network.time.monotonic() + 1.0)
    try:
        with pytest.raises(httpcore.ConnectTimeout):
            connect("blocking", timeout=10.0)
        assert sum(seconds for _, seconds in attempts) == pytest.approx(1.0)
        with pytest.raises(httpcore.ConnectTimeout, match="no time was left"):
            connect("blocking")
    finally:
        until.reset(token)


@both
def test_a_name_without_an_address_cannot_be_connected_to(backend, attempts, monkeypatch):
    resolve_to(monkeypatch)
    with pytest.raises(httpcore.ConnectError, match="has no address"):
        connect(backend)


@both
@pytest.mark.parametrize("where", [0, 2])
def test_a_guarded_address_is_not_connected_to_wherever_it_stands(backend, where, attempts, monkeypatch):
    """A name may resolve to a public address first and to a private one next (DNS rebinding)."""

    def guard(address):
        if address.startswith("10."):
            raise BlockedAddressError(address)

    resolve_to(monkeypatch, *SILENT[:where], "10.0.0.1", "192.0.2.5")
    with pytest.raises(BlockedAddressError):
        connect(backend, guard=guard)
    assert [address for address, _ in attempts] == SILENT[:where]


def test_a_name_that_takes_long_to_resolve_ends_with_the_time_of_the_request(wired, monkeypatch):  # noqa: F811
    """Slow DNS took 8 s of a deadline of 2 s: the system's resolver knows no limit."""
    resolved = threading.Event()
    resolve_to(monkeypatch, wait=lambda: resolved.wait(20))
    begun = time.monotonic()
    try:
        fault = wired("http://slow.example.test").fault("POST", "http://slow.example.test/", {}, within=0.2)
    finally:
        resolved.set()
    assert time.monotonic() - begun < 2.0
    assert fault.timeout
    assert not fault.sent


def test_a_public_api_s_pictures_do_not_come_from_a_private_network(wired, monkeypatch):  # noqa: F811
    """What counts is where a name leads to when it is connected to."""
    wired("https://api.example.com")
    for address in ("127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "0.0.0.0"):
        resolve_to(monkeypatch, address)
        with pytest.raises(DownloadError, match=r"private network.*allow_private_images=True"):
            wired.send("GET", "http://cdn.example.com/a.png", kind="picture")


def test_whoever_allows_it_gets_them(wired, monkeypatch):  # noqa: F811
    with listening(echo) as local:
        port = local.rpartition(":")[2]
        resolve_to(monkeypatch, "127.0.0.1", port=int(port))
        wired("https://api.example.com", allow_private_images=True)
        assert wired.send("GET", f"http://cdn.example.com:{port}/a.png", kind="picture").status_code == 200
