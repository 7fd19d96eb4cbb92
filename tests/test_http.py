"""The transport: who gets a connection and when, what is tried again, which proxy; and pictures decoded on arrival."""

from __future__ import annotations

import base64
import itertools
import json
import pickle
import random
import socket
import sys
import tempfile
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import anyio
import httpx
import pytest
from lemon_ext._pool import KEEPALIVE, TRUSTED, AsyncPool, Pool, environment_proxies
from lemon_ext._wire import AsyncWire, Credentials, Wire, new_async_client, new_client

from lemon_ext import AuthenticationError, Lemon, LemonError, SubmissionUncertainError, _base64
from lemon_ext._base64 import Picture, PictureScan, Spool, as_text
from lemon_ext._flow import Send, TransportFault
from tests.conftest import KEY
from tests.play import Clock

# ---- connections ----


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __iter__(self):
        yield b"ok"

    async def __aiter__(self):
        yield b"ok"


class Connection(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A stand-in for one connection: remembers what it was asked, and whether it was closed."""

    def __init__(self, faults):
        self.asked = []
        self.closed = False
        self.faults = faults

    def handle_request(self, request):
        self.asked.append(request.method)
        if self.faults and (fault := self.faults.pop(0)):
            raise fault
        return httpx.Response(200, stream=Body())

    async def handle_async_request(self, request):
        return self.handle_request(request)

    def close(self):
        self.closed = True

    async def aclose(self):
        self.closed = True


class Rig:
    """A pool of stand-ins in either colour."""

    def __init__(self, colour, limit=2, faults=()):
        self.colour = colour
        self.clock = Clock()
        self.made = []
        kind = Pool if colour.blocking else AsyncPool
        self.pool = kind(lambda: self.new(list(faults)), limit=limit, clock=self.clock)

    def new(self, faults):
        self.made.append(Connection(faults))
        return self.made[-1]

    def open(self, method="GET", url="https://a.test/", pool=0.01):
        request = httpx.Request(method, url, extensions={"timeout": {"pool": pool}})
        handle = self.pool.handle_request if self.colour.blocking else self.pool.handle_async_request
        return self.colour.call(handle, request)

    def close(self, response):
        self.colour.call(response.close if self.colour.blocking else response.aclose)

    def ask(self, *args, **kwargs):
        self.close(self.open(*args, **kwargs))

    def shut(self):
        self.colour.call(self.pool.close if self.colour.blocking else self.pool.aclose)

    @property
    def asked(self):
        return [connection.asked for connection in self.made]


def test_the_connection_used_last_is_used_next(colour):
    rig = Rig(colour, limit=3)
    for response in [rig.open(), rig.open(), rig.open()]:
        rig.close(response)
    for _ in range(5):
        rig.ask()
    assert [len(asked) for asked in rig.asked] == [1, 1, 6]


def test_no_more_connections_are_open_than_the_limit_and_waiting_ends_as_never_sent(colour):
    rig = Rig(colour, limit=2)
    first, second = rig.open(), rig.open()
    with pytest.raises(httpx.PoolTimeout):
        rig.open()
    rig.close(first)
    rig.ask()
    rig.close(second)
    assert len(rig.made) == 2


def test_a_response_closed_twice_gives_its_connection_back_once(colour):
    rig = Rig(colour, limit=1)
    response = rig.open()
    rig.close(response)
    rig.colour.call(response.stream.close if colour.blocking else response.stream.aclose)
    held = rig.open()
    with pytest.raises(httpx.PoolTimeout):
        rig.open()
    rig.close(held)


def test_a_failed_request_gives_its_connection_back(colour):
    rig = Rig(colour, limit=1, faults=[httpx.ReadTimeout("t"), httpx.ConnectError("c")])
    for kind in (httpx.ReadTimeout, httpx.ConnectError):
        with pytest.raises(kind):
            rig.open()
    rig.ask()
    assert len(rig.made) == 1


LOST = [httpx.RemoteProtocolError("closed"), httpx.ReadError("reset"), httpx.WriteError("pipe")]


@pytest.mark.parametrize("fault", LOST)
def test_a_get_over_a_connection_that_died_is_tried_again_once(colour, fault):
    rig = Rig(colour, faults=[None, fault, None, fault, fault])
    rig.ask()
    rig.ask()
    assert rig.asked == [["GET", "GET", "GET"]]
    with pytest.raises(type(fault)):
        rig.ask()


@pytest.mark.parametrize("fault", LOST)
def test_a_post_over_a_connection_that_died_is_never_tried_again(colour, fault):
    rig = Rig(colour, faults=[None, fault])
    rig.ask()
    with pytest.raises(type(fault)):
        rig.ask("POST")
    assert rig.asked == [["GET", "POST"]]


def test_a_get_that_fails_over_a_new_connection_is_not_tried_again(colour):
    rig = Rig(colour, faults=[httpx.ReadError("reset")])
    with pytest.raises(httpx.ReadError):
        rig.ask()
    assert rig.asked == [["GET"]]


def test_a_post_does_not_trust_a_connection_that_has_been_idle(colour):
    rig = Rig(colour)
    rig.ask()
    rig.clock.now += TRUSTED - 1
    rig.ask("POST")
    rig.clock.now += TRUSTED + 1
    rig.ask("GET")
    assert rig.asked == [["GET", "POST", "GET"]]
    rig.clock.now += TRUSTED + 1
    rig.ask("POST")
    assert rig.asked == [["GET", "POST", "GET"], ["POST"]]
    assert [connection.closed for connection in rig.made] == [True, False]


def test_connections_nobody_needed_for_long_are_closed(colour):
    rig = Rig(colour, limit=5)
    for response in [rig.open() for _ in range(4)]:
        rig.close(response)
    rig.clock.now += KEEPALIVE - 1
    rig.ask()
    assert not any(connection.closed for connection in rig.made)
    rig.clock.now += 2
    for _ in range(5):
        rig.ask()
    assert [connection.closed for connection in rig.made] == [True, True, True, False]


def test_each_address_keeps_its_own_connection_until_the_limit(colour):
    rig = Rig(colour, limit=2)
    for url in ["https://a.test/", "https://b.test/", "https://a.test/", "http://a.test/", "https://a.test/"]:
        rig.ask(url=url)
    assert [len(asked) for asked in rig.asked] == [3, 2]


def test_closing_closes_what_is_idle_now_and_the_rest_when_it_comes_back(colour):
    rig = Rig(colour)
    used, idle = rig.open(), rig.open()
    rig.close(idle)
    rig.shut()
    assert [connection.closed for connection in rig.made] == [False, True]
    rig.close(used)
    assert [connection.closed for connection in rig.made] == [True, True]
    with pytest.raises(httpx.ConnectError):
        rig.open()


def test_turns_are_taken_in_order_by_threads():
    rig = Rig(
        type("Blocking", (), {"blocking": True, "call": lambda self, function, *args: function(*args)})(), limit=1
    )
    served, held = [], rig.open()

    def ask(number):
        response = rig.open(pool=5)
        served.append(number)
        rig.close(response)

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=ask, args=(number,)))
        threads[-1].start()
        while len(rig.pool._turns._waiting) <= number:
            pass
    rig.close(held)
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2, 3, 4]
    rig.ask()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_turns_are_taken_in_order_by_tasks_and_a_cancelled_one_lets_the_next_go(backend):
    async def main():
        made = []
        pool = AsyncPool(lambda: made.append(Connection([])) or made[-1], limit=1)
        served = []

        async def ask(number, scope):
            with scope:
                response = await pool.handle_async_request(httpx.Request("GET", "https://a.test/"))
                served.append(number)
                await response.aclose()

        held = await pool.handle_async_request(httpx.Request("GET", "https://a.test/"))
        scopes = [anyio.CancelScope() for _ in range(5)]
        async with anyio.create_task_group() as group:
            for number, scope in enumerate(scopes):
                group.start_soon(ask, number, scope)
                await anyio.wait_all_tasks_blocked()
            scopes[1].cancel()
            await held.aclose()
            scopes[0].cancel()
        assert served in ([2, 3, 4], [0, 2, 3, 4])
        await (await pool.handle_async_request(httpx.Request("GET", "https://a.test/"))).aclose()

    anyio.run(main, backend=backend)


# ---- over real sockets ----


@contextmanager
def listening(serve):
    """Run ``serve(connection, number)`` in a thread for every connection. Gives the address."""
    server = socket.create_server(("127.0.0.1", 0))
    connections, stopped = [], threading.Event()

    def accept():
        while True:
            connection, _ = server.accept()
            if stopped.is_set():
                return connection.close()
            connections.append(connection)
            pool.submit(serve, connection, len(connections))

    with server, ThreadPoolExecutor(8) as pool:
        pool.submit(accept)
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            stopped.set()
            socket.create_connection(server.getsockname()).close()
            for connection in connections:
                with connection, suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def request_line(connection):
    """Read one request, and return its first line."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head.split(b"\r\n")[0].decode()


def reply(connection, body=b"{}"):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


class Wired:
    """A wire over real connections, in either colour."""

    def __init__(self, colour, address):
        self.colour = colour
        credentials = Credentials(None, address)
        self.wire = colour.call(self._make, credentials) if colour.blocking else colour.call(self._amake, credentials)

    def _make(self, credentials):
        return Wire(new_client(), credentials, owned=True)

    async def _amake(self, credentials):
        return AsyncWire(new_async_client(), credentials, owned=True)

    def send(self, method, url, **details):
        return self.colour.call(self.wire.exchange, Send(method, url, **details))

    def close(self):
        self.colour.call(self.wire.close if self.colour.blocking else self.wire.aclose)


@pytest.fixture
def wired(colour):
    made = []

    def make(address):
        made.append(Wired(colour, address))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_server_that_hangs_up_between_requests_is_not_noticed(wired):
    seen = []
    hung_up = threading.Semaphore(0)

    def serve(connection, number):
        seen.append(request_line(connection).split()[0])
        reply(connection)
        connection.shutdown(socket.SHUT_RDWR)
        hung_up.release()

    with listening(serve) as address:
        wire = wired(address)
        for method in ("GET", "POST", "GET", "POST"):
            assert wire.send(method, f"{address}/x", json={}).body == b"{}"
            hung_up.acquire()
    assert seen == ["GET", "POST", "GET", "POST"]


def test_a_server_that_hangs_up_on_a_request_sees_a_get_again_and_a_post_once(wired):
    seen = []

    def serve(connection, number):
        # Each connection serves one request, takes a second one, and hangs up on it.
        for turn in range(2):
            line = request_line(connection)
            if line is None:
                return
            seen.append((number, line.split()[0]))
            if turn == 0:
                reply(connection)
        connection.shutdown(socket.SHUT_RDWR)

    with listening(serve) as address:
        wire = wired(address)
        wire.send("GET", address)
        assert wire.send("GET", address).status_code == 200
        with pytest.raises(TransportFault) as caught:
            wire.send("POST", address, json={})
    assert seen == [(1, "GET"), (1, "GET"), (2, "GET"), (2, "POST")]
    assert not caught.value.unsent


def test_a_refused_connection_was_never_sent(wired):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(TransportFault) as caught:
        wired(address).send("POST", address, json={})
    assert caught.value.unsent


def test_an_answer_cut_short_is_a_fault_and_the_connection_is_not_used_again(wired):
    def serve(connection, number):
        while request_line(connection) is not None:
            if number == 1:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
                connection.shutdown(socket.SHUT_RDWR)
            else:
                reply(connection)

    with listening(serve) as address:
        wire = wired(address)
        with pytest.raises(TransportFault) as caught:
            wire.send("POST", address, json={})
        assert not caught.value.unsent
        assert wire.send("GET", address).body == b"{}"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_request_leaves_its_connection_closed_and_its_turn_free(backend):
    begun = threading.Event()

    def serve(connection, number):
        while request_line(connection) is not None:
            if begun.is_set():
                reply(connection)
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
                begun.set()

    async def main(address):
        pool = AsyncPool(lambda: httpx.AsyncHTTPTransport(), limit=1)
        wire = AsyncWire(httpx.AsyncClient(transport=pool), Credentials(None, address), owned=True)
        async with anyio.create_task_group() as group:
            group.start_soon(wire.exchange, Send("GET", address))
            await anyio.to_thread.run_sync(begun.wait)
            group.cancel_scope.cancel()
        assert (await wire.exchange(Send("GET", address))).body == b"{}"
        await wire.aclose()

    with listening(serve) as address:
        anyio.run(main, address, backend=backend)


def flood(head, piece):
    """A server that sends without end."""

    def serve(connection, number):
        request_line(connection)
        with suppress(OSError):
            connection.sendall(head)
            while True:
                connection.sendall(piece * 200)

    return serve


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (
            (
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"a\r\n\x1f\x8b\x08\0\0\0\0\0\0\3\r\n"
            ),
            b"5\r\n\0\0\0\xff\xff\r\n",
        ),
    ],
    ids=["headers", "gzip that holds nothing"],
)
def test_an_answer_that_drips_in_ends_with_the_time_of_the_request(head, piece):
    ticks = itertools.count()
    with listening(flood(head, piece)) as address:
        wire = Wire(new_client(), Credentials(None, address), owned=True, clock=lambda: next(ticks))
        with pytest.raises(TransportFault) as caught:
            wire.exchange(Send("POST", address, json={}, within=20))
        wire.close()
    assert caught.value.timeout
    assert not caught.value.unsent
    assert next(ticks) < 40


def test_a_request_whose_time_was_over_before_it_had_a_connection_was_never_sent():
    times = iter([0.0])
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        wire = Wire(new_client(), Credentials(None, address), owned=True, clock=lambda: next(times, 60.0))
        with pytest.raises(TransportFault) as caught:
            wire.exchange(Send("POST", address, json={}, within=20))
        wire.close()
    assert caught.value.timeout
    assert caught.value.unsent


# ---- what must not be shown ----


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-be"])
@pytest.mark.parametrize(
    ("char", "escaped"), [("", ""), ("s", r"\u0073"), ("k", r"\u006B"), ("k", r"\\u006b"), ("-", "%2D"), ("-", "%252d")]
)
def test_a_key_is_masked_in_every_disguise(colour, char, escaped, encoding):
    echo = KEY.replace(char, escaped) if char else KEY
    body = f'{{"error": {{"message": "bad key {echo}"}}}}'.encode(encoding)
    lemon = colour.client(lambda request: httpx.Response(401, content=body, headers={"X-Echo": f"<{echo}>"}))
    with pytest.raises(AuthenticationError, match=r"bad key \*\*\*") as caught:
        colour.call(lemon.images.generate, "a cat")
    assert caught.value.response.headers["x-echo"] == "<***>"
    assert caught.value.body == {"message": "bad key ***"}
    assert b"0123" not in caught.value.response.body.replace(b"\0", b"")


def test_a_local_gateway_s_short_key_changes_no_answer(colour):
    lemon = colour.client(
        lambda request: httpx.Response(200, json={"data": [{"url": "https://h.test/x.png"}]}), api_key="x"
    )
    assert colour.call(lemon.images.generate, "a cat")[0].url == "https://h.test/x.png"


def test_a_fault_that_quotes_the_key_shows_it_neither_in_its_text_nor_in_its_causes(colour):
    def broken(request):
        raise httpx.RemoteProtocolError(f"illegal header line: bytearray(b'X-Echo {KEY}')")

    with pytest.raises(SubmissionUncertainError, match=r"illegal header line.*\*\*\*") as caught:
        colour.call(colour.client(broken).images.generate, "a cat")
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert isinstance(caught.value.__cause__, TransportFault)
    assert caught.value.__cause__.__cause__ is None


@pytest.mark.parametrize("given", [KEY, f"Bearer {KEY}", f"https://me:{KEY[3:]}@h.test:99999"])
def test_a_base_url_that_may_be_a_secret_is_not_repeated(given):
    with pytest.raises(ValueError, match="base_url") as caught:
        Lemon("https://h.test", base_url=given)
    assert KEY[3:] not in str(caught.value)


@pytest.mark.parametrize("given", ["https://a..b", "https://h.test\u2100", f"https://{'a' * 70}.test", "http://[::1"])
def test_a_base_url_that_nobody_can_resolve_is_refused(given):
    with pytest.raises(ValueError, match="base_url"):
        Lemon(KEY, base_url=given)


# ---- proxies ----

PROXY = "http://proxy.test:3128"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"HTTP_PROXY": PROXY},
        {"https_proxy": "proxy.test:3128"},
        {"ALL_PROXY": PROXY, "NO_PROXY": "localhost,127.0.0.1,::1, .internal.test ,example.test"},
        {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"},
        {"HTTPS_PROXY": PROXY, "NO_PROXY": "a.test,*,b.test"},
        {"HTTP_PROXY": PROXY, "NO_PROXY": "192.168.0.0/16,http://only.test,host.test:8080"},
    ],
)
def test_proxies_are_those_that_httpx_would_take(monkeypatch, environment):
    for name in ("NO_PROXY", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with httpx.Client() as theirs, new_client() as ours:
        assert [(key.pattern, value is None) for key, value in ours._mounts.items()] == [
            (key.pattern, value is None) for key, value in theirs._mounts.items()
        ]
        assert len(environment_proxies()) == len(theirs._mounts)


def test_requests_go_through_the_proxy_and_around_it(colour, wired, monkeypatch):
    seen = []

    def proxy(connection, number):
        while (line := request_line(connection)) is not None:
            seen.append(line)
            reply(connection, b"by proxy")

    def server(connection, number):
        while request_line(connection) is not None:
            reply(connection, b"direct")

    with listening(proxy) as proxy_address, listening(server) as address:
        monkeypatch.setenv("HTTP_PROXY", proxy_address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        wire = wired(address)
        assert wire.send("GET", "http://elsewhere.test/x").body == b"by proxy"
        assert wire.send("GET", address).body == b"direct"
    assert seen == ["GET http://elsewhere.test/x HTTP/1.1"]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("HTTPS_PROXY", "gopher://proxy.test", r"HTTPS_PROXY \(gopher://\.\.\.\) cannot be used\. Give an address"),
        ("HTTP_PROXY", "http://[::1", r"HTTP_PROXY .* cannot be used"),
        ("ALL_PROXY", "http://me:pass@proxy.test:port", r"ALL_PROXY \(http://\.\.\.\) cannot be used"),
        ("ALL_PROXY", "socks5://proxy.test", r"ALL_PROXY .*pip install 'httpx\[socks\]'"),
        ("NO_PROXY", "http://[::1", "NO_PROXY holds what cannot be a host"),
    ],
)
def test_a_proxy_s_address_that_cannot_be_one_is_said_at_once(monkeypatch, variable, value, message):
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=message) as caught:
        Lemon("sk-x")
    assert "pass" not in str(caught.value)


def test_an_address_in_brackets_needs_no_proxy_either(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "[::1]")
    assert environment_proxies() == {"all://[::1]": None}


# ---- pictures in an answer ----

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400
TEXT = base64.b64encode(PNG).decode()


def scanned(raw, size):
    scan = PictureScan()
    for at in range(0, len(raw), size):
        scan.feed(raw[at : at + size])
    return scan.finish(), scan.pictures


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 1000, 1 << 20])
@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ('{"data":[{"b64_json":"aGVsbG8="}]}', [b"hello"]),
        ('{"data": [{"b64_json" :\n\t "aGVsbG8="}, {"b64_json": "aGk="}], "created": 1}', [b"hello", b"hi"]),
        ('{"data":[{"b64_json":"\\/\\/\\/\\/+\\/\\/\\/"}]}', [b"\xff\xff\xff\xfb\xff\xff"]),
        ('{"data":[{"b64_json":""},{"b64_json":null},{"b64_json":7}]}', []),
        ('{"data":[{"b64_json":"aGVsbG8"}]}', []),
        ('{"data":[{"b64_json":"aGVs=bG8="}]}', []),
        ('{"data":[{"b64_json":"aGk=aGk="}]}', []),
        ('{"data":[{"b64_json":"aGl="}]}', []),
        ('{"data":[{"b64_json":"data:image/png;base64,aGVsbG8="}]}', []),
        ('{"data":[{"b64_json":"aGVs\\nbG8="},{"b64_json":"aGk="}]}', [b"hi"]),
        ('{"data":[{"b64_json":"aGVs\\"bG8="},{"b64_json":"aGk="}]}', [b"hi"]),
        ('{"data":[{"b64_json":"aGVs\\\\/G8="}]}', []),
        ('{"data":[{"b64_json":"aGVs\\u0062G8="}]}', []),
        ('{"data":[{"b64_json":"aGVsé"}]}', []),
        ('{"prompt":"say \\"b64_json\\": \\"aGk=\\"","data":[{"b64_json":"aGk="}]}', [b"hi"]),
        ('{"\\"b64_json":"aGk="}', []),
        ('{"error":{"b64_json":"aGk="},"b64_json":["aGk="]}', [b"hi"]),
    ],
)
def test_pictures_are_taken_out_and_nothing_is_lost(raw, found, size):
    text, pictures = scanned(raw.encode(), size)
    assert [b"".join(picture) for picture in pictures.values()] == found
    assert as_text(json.loads(text), pictures) == json.loads(raw)


@pytest.mark.parametrize("end", ["", "x", '"', '"}', '"}]'])
def test_an_answer_that_ends_too_soon_keeps_its_text(end):
    raw = ('{"data":[{"b64_json":"' + TEXT[:50_001] + end).encode()
    text, pictures = scanned(raw, 4096)
    assert pictures == {}
    assert text == raw


def test_any_answer_survives_being_cut_anywhere(monkeypatch):
    monkeypatch.setattr(_base64, "IN_MEMORY", 500)
    rng = random.Random(4)
    for _ in range(100):
        items = [{rng.choice(["b64_json", "url", "x"]): base64.b64encode(rng.randbytes(rng.randrange(900))).decode()}]
        document = {"data": items * rng.randrange(4), "n": [{"b64_json": rng.choice(["", "a", "====", "aGk="])}]}
        raw = json.dumps(document).replace("/", rng.choice(["/", "\\/"])).encode()
        text, pictures = scanned(raw, rng.randrange(1, 300))
        assert as_text(json.loads(text), pictures) == document


def test_an_answer_with_no_end_of_keys_is_not_searched_for_ever():
    raw = json.dumps([{"b64_json": "aGk="}] * 1000).encode()
    text, pictures = scanned(raw, 4096)
    assert len(pictures) == _base64.MAX_PICTURES
    assert as_text(json.loads(text), pictures) == json.loads(raw)


def test_a_picture_can_be_pickled():
    picture = pickle.loads(pickle.dumps(Picture.of(PNG)))
    assert b"".join(picture) == PNG
    assert picture.base64() == TEXT


def test_many_bytes_go_to_disk_and_are_gone_with_the_last_picture(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(_base64, "_on_disk", type(_base64._on_disk)())
    spool = Spool()
    spool.write(b"x" * 1000)
    assert not _base64._on_disk
    spool.write(b"y" * _base64.IN_MEMORY)
    assert spool in _base64._on_disk
    assert spool.read(999, 2) == b"xy"
    del spool
    assert list(tmp_path.iterdir()) == []
    assert not _base64._on_disk


def test_a_full_disk_costs_memory_and_no_picture(monkeypatch):
    class Full:
        def __init__(self):
            self.data = b""

        def write(self, data):
            if len(self.data) >= _base64.IN_MEMORY:
                raise OSError(28, "No space left on device")
            self.data += bytes(data[:100_000])  # a full disk takes a part first
            return min(len(data), 100_000)

        def seek(self, at):
            self.at = at

        def read(self, size):
            return self.data[self.at : self.at + size]

        def close(self):
            self.data = b""

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: Full())
    data = bytes(range(256)) * 1200
    spool = Spool()
    for _ in range(4):
        spool.write(data)
    assert spool.read(0, 10_000_000) == data * 4


def test_answers_above_the_files_a_process_may_hold_stay_in_memory(monkeypatch):
    monkeypatch.setattr(_base64, "MAX_FILES", 0)
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    assert b"".join(Picture.of(PNG * 5)) == PNG * 5


def chunked(colour, raw, size=10_000, end=None):
    """A body that arrives in pieces, and may break off."""
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]

    def blocking():
        yield from pieces
        if end is not None:
            raise end

    async def asynchronous():
        for piece in blocking():
            yield piece

    return blocking() if colour.blocking else asynchronous()


def generate(colour, raw, status=200, **options):
    lemon = colour.client(lambda request: httpx.Response(status, content=chunked(colour, raw, **options)))
    return colour.call(lemon.images.generate, "a cat")


ANSWER = {"created": 5, "data": [{"b64_json": TEXT, "revised_prompt": "x"}, {"b64_json": TEXT[:-4], "new": [1]}]}


def test_a_large_answer_looks_like_any_other(colour, tmp_path):
    result = generate(colour, json.dumps(ANSWER).encode())
    assert result[0]._picture is not None
    assert [image.b64_json for image in result] == [item["b64_json"] for item in ANSWER["data"]]
    assert result.raw == ANSWER
    assert result[1].raw.to_dict() == ANSWER["data"][1]
    assert result[0].read() == PNG
    assert colour.call(colour.twin(result[0], "read")) == PNG
    paths = colour.call(colour.twin(result, "save"), tmp_path)
    assert [path.read_bytes() for path in paths] == [PNG, base64.b64decode(TEXT[:-4])]
    assert repr(result[0]) == "<Image with data>"
    assert result[0]._repr_mimebundle_()["image/png"] == TEXT
    again = pickle.loads(pickle.dumps(result))
    assert again[0].read() == PNG
    assert again.raw == ANSWER


def test_a_large_answer_to_a_look_goes_to_json_and_back_whole(colour):
    done = {"task_id": "img_1", "status": "completed", **ANSWER}
    pending = {"task_id": "img_1", "status": "pending"}

    def handler(request):
        answer = pending if request.method == "POST" else done
        return httpx.Response(200, content=chunked(colour, json.dumps(answer).encode()))

    lemon = colour.client(handler)
    task = colour.call(lemon.images.submit, "a cat", model="midjourney")
    colour.call(task.result)
    kept = json.loads(json.dumps(task.to_dict()))
    assert kept["answer"] == done
    assert colour.call(lemon.images.task_from_dict(kept).result)[0].read() == PNG


def test_small_answers_and_errors_are_taken_as_they_come(colour):
    small = {"data": [{"b64_json": "aGk="}]}
    assert generate(colour, json.dumps(small).encode())[0]._picture is None
    with pytest.raises(LemonError) as caught:
        generate(colour, json.dumps({"error": {"message": "no", "b64_json": TEXT}}).encode(), status=400)
    assert caught.value.body["b64_json"] == TEXT


def test_an_answer_that_cannot_be_understood_keeps_all_but_the_pictures(colour):
    with pytest.raises(LemonError) as caught:
        generate(colour, json.dumps({"odd": {"b64_json": TEXT, "note": "look here"}}).encode())
    response = caught.value.response
    assert response.json()["odd"]["note"] == "look here"
    assert as_text(response.json(), response.pictures)["odd"]["b64_json"] == TEXT
    assert pickle.loads(pickle.dumps(caught.value)).response.json() == response.json()


def test_an_answer_that_breaks_off_in_a_picture_may_have_been_billed(colour):
    raw = json.dumps(ANSWER).encode()[:100_000]
    with pytest.raises(SubmissionUncertainError):
        generate(colour, raw, end=httpx.RemoteProtocolError("cut"))


def test_a_key_in_a_large_answer_is_masked_and_its_pictures_stay(colour):
    lemon_key = "sk-secret-0123456789"
    result = generate(colour, json.dumps({**ANSWER, "echo": lemon_key}).encode())
    assert result.raw["echo"] == "***"
    assert result[0].read() == PNG
