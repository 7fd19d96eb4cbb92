"""One exchange over real connections, blocking and async, over httpx's own connections and aiohttp's."""

from __future__ import annotations

import gzip
import json
import ssl
import sys
import threading
import zlib
from contextlib import suppress
from importlib import import_module

import anyio
import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from lemon_ext import AsyncLemon, ConfigurationError, Lemon, LemonError, _connections, _http
from lemon_ext._flow import Send, TransportFault
from lemon_ext._http import AsyncHttp, Credentials, Http
from lemon_ext._key import ApiKey
from tests.conftest import KEY
from tests.sockets import hang_up, head, listening, nowhere, reply, request_line

KINDS = ["blocking", "asyncio", "aiohttp", "trio"]
#: Seconds in which a connection to this machine is made, whatever else the machine does.
ENOUGH = 0.3


class Wired:
    """Exchanges over real connections."""

    def __init__(self, portal):
        self.portal = portal
        self.made = []

    def __call__(self, address, key=KEY, **options):
        credentials = Credentials(ApiKey(key) if key else None, address, **options)
        self.made.append(Http(credentials) if self.portal is None else AsyncHttp(credentials))
        return self

    def send(self, method, url, body=None, *, kind=None, **details):
        effect = Send(method, url, body, kind=kind or ("submit" if method == "POST" else "poll"), **details)
        exchange = self.made[-1].exchange
        return exchange(effect) if self.portal is None else self.portal.call(exchange, effect)

    def fault(self, *args, **kwargs):
        with pytest.raises(TransportFault) as caught:
            self.send(*args, **kwargs)
        return caught.value

    def close(self):
        for http in self.made:
            http.close() if self.portal is None else self.portal.call(http.aclose)


@pytest.fixture(params=KINDS)
def wired(request, monkeypatch):
    if request.param == "blocking":
        wire = Wired(None)
        yield wire
        wire.close()
        return
    if request.param == "aiohttp":
        import_module("lemon_ext._aiohttp")  # which takes long, and must not be a part of the time that is measured
    if request.param == "asyncio":
        monkeypatch.setattr(_connections, "find_spec", lambda name: None)
    with start_blocking_portal("trio" if request.param == "trio" else "asyncio") as portal:
        wire = Wired(portal)
        yield wire
        wire.close()


def echo(connection, number):
    """Answer every request with its first line."""
    while (line := request_line(connection)) is not None:
        reply(connection, json.dumps(line).encode())


# ---- what has left ----


def test_a_refused_connection_was_never_sent(wired):
    address = nowhere()
    fault = wired(address).fault("POST", address, {})
    assert not fault.sent
    assert not fault.local
    assert not fault.timeout


def test_a_server_that_hangs_up_on_a_request_has_seen_a_post_once(wired):
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
        hang_up(connection)

    with listening(serve) as address:
        wired(address).send("POST", address, {})
        fault = wired.fault("POST", address, {})
    assert seen == [(1, "POST"), (1, "POST")]
    assert fault.sent


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
)
def test_an_answer_that_breaks_off_is_a_fault_after_sending_and_its_connection_is_not_used_again(wired, said):
    def serve(connection, number):
        while request_line(connection) is not None:
            if number > 1:
                reply(connection)
                continue
            connection.sendall(said)
            hang_up(connection)

    with listening(serve) as address:
        fault = wired(address).fault("POST", address, {})
        assert wired.send("POST", address, {}).body == b"{}"
    assert fault.sent


def test_what_is_no_http_is_a_fault_after_sending(wired):
    def serve(connection, number):
        request_line(connection)
        connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        hang_up(connection)

    with listening(serve) as address:
        assert wired(address).fault("POST", address, {}).sent


def test_a_bug_before_anything_left_is_no_lost_answer(wired, monkeypatch):
    """Also in the library, in a resolver, in the certificates: nothing was sent, and another try does not help."""

    def broken(*args, **kwargs):
        raise ValueError("a bug")

    monkeypatch.setattr("socket.getaddrinfo", broken)
    fault = wired("http://api.example.test").fault("POST", "http://api.example.test/", {})
    assert (fault.sent, fault.local) == (False, True)


def test_a_request_that_cannot_be_made_was_never_sent(wired):
    with listening(echo) as address:
        fault = wired(address).fault("POST", address, {"x": object()})
        assert (fault.sent, fault.local) == (False, True)
        fault = wired.fault("POST", f"{address}:port/")
        assert (fault.sent, fault.local) == (False, True)


@pytest.mark.parametrize("reused", [False, True])
def test_what_may_not_leave_any_more_once_it_is_connected_does_not(wired, reused):
    """Whoever was stopped meanwhile may have lost the row to somebody else."""
    seen, asked = [], []

    def serve(connection, number):
        while line := request_line(connection):
            seen.append(line)
            reply(connection)

    def may_leave():
        asked.append(True)
        return False

    with listening(serve) as address:
        wired(address)
        if reused:
            wired.send("POST", f"{address}/v1/x", {})
        fault = wired.fault("POST", f"{address}/v1/x", {}, may_leave=may_leave)
        assert (fault.sent, fault.local, asked) == (False, False, [True])
        assert wired.send("POST", f"{address}/v1/y", {}).status_code == 200
    assert seen == ["POST /v1/x HTTP/1.1"] * reused + ["POST /v1/y HTTP/1.1"]


def test_a_name_that_does_not_exist_was_never_sent(wired, monkeypatch):
    def unknown(host, *args, **kwargs):
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    fault = wired("http://api.example.test").fault("POST", "http://api.example.test/", {})
    assert (fault.sent, fault.local) == (False, False)


# ---- connections ----


def test_a_server_that_hangs_up_between_requests_is_not_noticed(wired):
    seen = []
    hung_up = threading.Semaphore(0)

    def serve(connection, number):
        seen.append(request_line(connection).split()[0])
        reply(connection)
        hang_up(connection)
        hung_up.release()

    with listening(serve) as address:
        wired(address)
        for method in ("GET", "POST", "GET", "POST"):
            assert wired.send(method, f"{address}/x", {}).body == b"{}"
            hung_up.acquire()
    assert seen == ["GET", "POST", "GET", "POST"]


def test_a_post_does_not_trust_a_connection_that_has_been_idle(wired, monkeypatch):
    """Many servers close theirs after five seconds, just as we send. A poll is free, and keeps its connection."""
    seen = []

    def serve(connection, number):
        while (line := request_line(connection)) is not None:
            seen.append((number, line.split()[0]))
            reply(connection)

    assert 0 < _connections.KEEPALIVE["submit"] < 5 < _connections.KEEPALIVE["poll"] < 60
    monkeypatch.setattr(_connections, "KEEPALIVE", {**_connections.KEEPALIVE, "submit": 1e-6})
    with listening(serve) as address:
        wired(address)
        for method in ("GET", "GET", "POST", "POST"):
            wired.send(method, address, {})
    assert seen == [(1, "GET"), (1, "GET"), (2, "POST"), (3, "POST")]


def test_a_cookie_is_neither_kept_nor_sent(wired):
    """One with a byte outside ASCII made every later request fail before it was sent."""
    heads = []

    def serve(connection, number):
        while (lines := head(connection)) is not None:
            heads.append(lines.lower())
            reply(connection, b"{}", "Set-Cookie: session=caf\u00e9; Path=/".encode("latin-1"), b"Set-Cookie: a=b")

    with listening(serve) as address:
        wired(address)
        for method in ("GET", "POST", "GET", "POST"):
            assert wired.send(method, address, {}).status_code == 200
    assert len(heads) == 4
    assert "cookie" not in "".join(heads)


@pytest.mark.parametrize(
    "target", ["/v1/tasks/a%2Fb%3F", "/v1/tasks/x?sig=a%20b%2Bc%3D&y=%C3%A9", "/v1/a/../b", "/%7Euser/~x", "/a'b(c)!*"]
)
def test_an_address_is_sent_as_it_is(wired, target):
    """A signature covers it, so not a character may be decoded or quoted anew."""
    with listening(echo) as address:
        said = wired(address).send("GET", address + target).json()
        assert said == f"GET {httpx.URL(address + target).raw_path.decode()} HTTP/1.1"
        if ".." not in target:
            assert said == f"GET {target} HTTP/1.1"


def test_a_redirect_is_not_followed(wired):
    def serve(connection, number):
        while request_line(connection) is not None:
            reply(connection, b"", b"Location: /elsewhere", status=b"307 Temporary Redirect")

    with listening(serve) as address:
        assert wired(address).send("POST", address, {}).status_code == 307


def test_the_key_goes_to_the_api_s_own_origin_alone(wired):
    heads = []

    def serve(connection, number):
        while (lines := head(connection)) is not None:
            heads.append(KEY in lines)
            reply(connection)

    with listening(serve) as address, listening(serve) as other:
        wired(address, allow_private_images=True)
        wired.send("POST", address, {})
        wired.send("GET", f"{address}/v1/tasks/1")
        wired.send("GET", f"{other}/v1/tasks/1")
        wired.send("GET", f"{address}/a.png", kind="picture")
        wired.send("GET", f"{other}/a.png", kind="picture")
    assert heads == [True, True, False, False, False]


def test_a_closed_client_says_so(wired):
    with listening(echo) as address:
        wired(address).send("GET", address)
        wired.close()
        with pytest.raises(LemonError, match="closed"):
            wired.send("GET", address)


# ---- bounds ----


def flood(start, piece):
    """A server that sends without end."""

    def serve(connection, number):
        request_line(connection)
        connection.sendall(start)
        while True:
            connection.sendall(piece * 200)

    return serve


GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (GZIP + b"a\r\n\x1f\x8b\x08\0\0\0\0\0\0\3\r\n", b"5\r\n\0\0\0\xff\xff\r\n"),
    ],
    ids=["headers", "gzip that holds nothing"],
)
def test_an_answer_that_never_ends_ends_with_the_time_of_the_request(wired, start, piece):
    with listening(flood(start, piece)) as address:
        fault = wired(address).fault("POST", address, {}, within=ENOUGH)
    assert fault.sent
    assert fault.timeout


def test_silence_ends_with_the_time_of_the_request(wired):
    with listening(lambda connection, number: all(iter(lambda: connection.recv(4096), b""))) as address:
        fault = wired(address).fault("POST", address, {}, within=ENOUGH)
    assert fault.sent
    assert fault.timeout


def test_a_request_whose_time_is_over_was_never_sent(wired):
    with listening(echo) as address:
        fault = wired(address).fault("POST", address, {}, within=0.0)
    assert not fault.sent
    assert fault.timeout


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_request_that_waits_too_long_for_its_turn_was_never_sent(backend, monkeypatch):
    """Half of its time: a submission that is sent too late for its answer is paid and lost."""
    monkeypatch.setattr(_http, "IN_FLIGHT", 1)
    seen, end = [], threading.Event()

    def serve(connection, number):
        seen.append(request_line(connection))
        end.wait(5)

    async def main(address):
        http = AsyncHttp(Credentials(None, address))
        async with anyio.create_task_group() as group:
            group.start_soon(http.exchange, Send("POST", f"{address}/first", {}, kind="submit"))
            while not seen:  # noqa: ASYNC110 - the server is a thread
                await anyio.sleep(0.001)
            with pytest.raises(TransportFault, match="in use for too long") as caught:
                await http.exchange(Send("POST", f"{address}/second", {}, kind="submit", within=0.02))
            group.cancel_scope.cancel()
        end.set()
        await http.aclose()
        return caught.value

    with listening(serve) as address:
        fault = anyio.run(main, address, backend=backend)
    assert (fault.sent, fault.timeout) == (False, True)
    assert seen == ["POST /first HTTP/1.1"]


@pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator:pytest.PytestUnraisableExceptionWarning")
def test_what_unpacks_to_gigabytes_is_not_unpacked(wired, monkeypatch):
    """59 KB of gzip became 1.6 GB. What may be billed stays so."""
    monkeypatch.setattr(_http, "MAX_ANSWER_BYTES", 2**20)
    bomb = gzip.compress(b" " * 2**22)

    def serve(connection, number):
        while request_line(connection) is not None:
            reply(connection, bomb, b"Content-Encoding: gzip")

    with listening(serve) as address:
        fault = wired(address).fault("POST", address, {})
        assert "larger than 1 MiB" in str(fault)
        assert fault.sent
        assert "larger than 1 MiB" in str(wired.fault("GET", address))


def test_what_is_packed_twice_is_not_unpacked(wired):
    def serve(connection, number):
        while request_line(connection) is not None:
            reply(connection, gzip.compress(gzip.compress(b"{}")), b"Content-Encoding: gzip, gzip")

    with listening(serve) as address:
        assert wired(address).fault("POST", address, {}).sent


def test_an_ordinary_packed_answer_is_read(wired):
    def serve(connection, number):
        while request_line(connection) is not None:
            reply(connection, gzip.compress(b'{"data": []}'), b"Content-Encoding: gzip")

    with listening(serve) as address:
        assert wired(address).send("POST", address, {}).json() == {"data": []}


TEXT = b'{"data": [' + b",".join(b'{"url": "https://h.test/%d.png"}' % n for n in range(9000)) + b"]}"


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", TEXT),
        (b"deflate", TEXT),
        (b"deflate", zlib.compress(TEXT)),
        (b"deflate", zlib.compress(TEXT)[2:-4]),
        (b"x-gzip", gzip.compress(TEXT)),
        (b"gzip", gzip.compress(TEXT[:99]) + gzip.compress(TEXT[99:])),
        (b"gzip", gzip.compress(TEXT) + b"junk"),
    ],
    ids=["no gzip", "no deflate", "zlib", "bare deflate", "x-gzip", "two parts", "junk behind"],
)
def test_a_header_that_is_wrong_about_the_coding_loses_no_answer(wired, coding, body):
    """Each of the first two lost the answer to a paid request; of two parts, the second was left out."""

    def serve(connection, number):
        while request_line(connection) is not None:
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Encoding: " + coding + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            for at in range(0, len(body), 5000):
                connection.sendall(b"%x\r\n%s\r\n" % (len(body[at : at + 5000]), body[at : at + 5000]))
            connection.sendall(b"0\r\n\r\n")

    with listening(serve) as address:
        assert wired(address).send("POST", address, {}).body == TEXT


def test_a_header_of_any_bytes_is_kept_as_text(wired):
    def serve(connection, number):
        while request_line(connection) is not None:
            reply(connection, b"{}", b"X-Note: caf\xe9", b"X-Twice: a", b"X-Twice: b")

    with listening(serve) as address:
        headers = wired(address).send("GET", address).headers
    assert headers["x-twice"] == "a, b"
    assert headers["x-note"].startswith("caf")


@pytest.mark.parametrize(
    "answered",
    [
        [b"X-Policy: " + b"a" * 60_000],
        [b"X-%d: a" % number for number in range(300)],
        ["200 Réussi".encode("latin-1")],
    ],
    ids=["a long header", "many headers", "a reason that is not UTF-8"],
)
def test_no_answer_is_lost_for_a_head_that_is_large_or_strange(wired, answered):
    """Over aiohttp, each of these lost the answer to a paid request."""
    status, headers = (answered[0], []) if answered[0].startswith(b"200") else (b"200 OK", answered)

    def serve(connection, number):
        while request_line(connection) is not None:
            reply(connection, b'{"task_id": "t1"}', *headers, status=status)

    with listening(serve) as address:
        assert wired(address).send("POST", address, {}).json() == {"task_id": "t1"}


# ---- the environment: proxies and certificates ----


def test_requests_go_through_the_proxy_and_around_it(wired, monkeypatch):
    seen = []

    def proxy(connection, number):
        while (line := request_line(connection)) is not None:
            seen.append(line)
            reply(connection, b"by proxy")

    with listening(proxy) as proxy_address, listening(echo) as address:
        monkeypatch.setenv("HTTP_PROXY", proxy_address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        wired("http://elsewhere.test")
        assert wired.send("GET", "http://elsewhere.test/x").body == b"by proxy"
        assert wired.send("POST", "http://elsewhere.test/x", {}).body == b"by proxy"
        assert wired.send("GET", address).json() == "GET / HTTP/1.1"
    assert seen == ["GET http://elsewhere.test/x HTTP/1.1", "POST http://elsewhere.test/x HTTP/1.1"]


def test_a_proxy_that_refuses_the_way_has_not_sent_it_and_is_named(wired, monkeypatch):
    def proxy(connection, number):
        while request_line(connection) is not None:
            reply(connection, b"", status=b"403 Forbidden")

    with listening(proxy) as proxy_address:
        monkeypatch.setenv("HTTPS_PROXY", proxy_address)
        monkeypatch.delenv("NO_PROXY", raising=False)
        fault = wired("https://api.example.test").fault("POST", "https://api.example.test/", {})
    assert (fault.sent, fault.local) == (False, False)
    assert "through the proxy in HTTPS_PROXY" in str(fault)


def test_a_proxy_that_is_not_there_is_named(wired, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", nowhere())
    monkeypatch.delenv("NO_PROXY", raising=False)
    fault = wired("https://api.example.test").fault("POST", "https://api.example.test/", {})
    assert not fault.sent
    assert "through the proxy in ALL_PROXY" in str(fault)


def test_certificates_that_do_not_vouch_for_the_server_are_named(wired, monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(_a_certificate(tmp_path)))
    with listening(lambda connection, number: hang_up(connection)) as address:  # as good as a wrong certificate
        secure = address.replace("http:", "https:")
        fault = wired(secure).fault("POST", secure, {})
    assert (fault.sent, fault.local) == (False, False)
    assert "with the certificates in SSL_CERT_FILE" in str(fault)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_that_is_refused_is_not_blamed_on_certificates(wired, monkeypatch, tmp_path, scheme):
    monkeypatch.setenv("SSL_CERT_FILE", str(_a_certificate(tmp_path)))
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    address = nowhere().replace("http:", f"{scheme}:")
    fault = wired(address).fault("POST", address, {})
    assert (fault.sent, "certificates" in str(fault), "ssl" in str(fault)) == (False, False, False)
    assert str(fault).endswith(" (is `lemon emulator` running?)")


def _a_certificate(folder):
    """Return a file with any certificate, from the ones that Python trusts."""
    der = ssl.create_default_context(cafile=None).get_ca_certs(binary_form=True)
    if not der:
        pytest.skip("this machine trusts nobody")
    path = folder / "one.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(der[0]), encoding="ascii")
    return path


@pytest.mark.parametrize("kind", [Lemon, AsyncLemon])
def test_certificates_that_cannot_be_used_are_said_at_once(kind, monkeypatch, tmp_path):
    for name, value, message in [
        ("SSL_CERT_FILE", tmp_path / "none.pem", "which cannot be read. Correct it or unset SSL_CERT_FILE"),
        ("SSL_CERT_FILE", tmp_path, "which cannot be read"),
        ("SSL_CERT_FILE", tmp_path / "text.pem", "which holds no certificate in PEM form"),
        ("SSL_CERT_FILE", tmp_path / "empty.pem", "which holds no certificate in PEM form"),
        ("SSL_CERT_DIR", tmp_path / "none", "which cannot be read. Correct it or unset SSL_CERT_DIR"),
        ("SSL_CERT_DIR", tmp_path / "text.pem", "which cannot be read"),
    ]:
        (tmp_path / "text.pem").write_text("a text", encoding="utf-8")
        (tmp_path / "empty.pem").touch()
        monkeypatch.setenv(name, str(value))
        with pytest.raises(ConfigurationError, match=name) as caught:
            kind("sk-x")
        assert message in str(caught.value)
        assert isinstance(caught.value, ValueError)
        monkeypatch.delenv(name)


@pytest.mark.parametrize("kind", [Lemon, AsyncLemon])
@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("HTTPS_PROXY", "gopher://proxy.test", r"HTTPS_PROXY \(gopher://\.\.\.\) cannot be used\. Give an address"),
        ("HTTP_PROXY", "http://[::1", r"HTTP_PROXY .* cannot be used"),
        ("ALL_PROXY", "http://me:pass@proxy.test:port", r"ALL_PROXY \(http://\.\.\.\) cannot be used"),
        ("ALL_PROXY", "socks5://proxy.test", r"ALL_PROXY .*pip install 'httpx\[socks\]'"),
    ],
)
def test_a_proxy_s_address_that_cannot_be_one_is_said_at_once(kind, monkeypatch, variable, value, message):
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=message) as caught:
        kind("sk-x")
    assert isinstance(caught.value, ValueError)
    assert "pass" not in str(caught.value)


def test_a_no_proxy_that_holds_no_host_is_said_at_once(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "http://[::1")
    with pytest.raises(ConfigurationError, match="NO_PROXY holds what cannot be a host"):
        Lemon("sk-x")


# ---- aiohttp ----


def test_aiohttp_is_used_where_it_is_installed_and_the_loop_is_asyncio_s():
    def transports(lemon):
        return [_transport(lemon._core.http.connections[kind].new()) for kind in ("submit", "poll", "picture")]

    async def main():
        lemon = AsyncLemon("sk-x", base_url="http://127.0.0.1")
        return transports(lemon)

    aiohttp, own = "Transport", "AsyncHTTPTransport"
    assert anyio.run(main, backend="asyncio") == [aiohttp, aiohttp, own]
    assert anyio.run(main, backend="trio") == [own, own, own]


def _transport(client):
    return type(client._transport).__name__


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
def test_many_at_once_each_get_their_own_answer(uvloop):
    if uvloop:
        pytest.importorskip("uvloop")

    async def main(address):
        http, answers = AsyncHttp(Credentials(None, address)), {}

        async def one(number):
            answers[number] = (await http.exchange(Send("GET", f"{address}/{number}"))).json()

        async with anyio.create_task_group() as group:
            for number in range(150):
                group.start_soon(one, number)
        await http.aclose()
        return answers

    with listening(echo, threads=100) as address:
        answers = anyio.run(main, address, backend="asyncio", backend_options={"use_uvloop": uvloop})
    assert answers == {number: f"GET /{number} HTTP/1.1" for number in range(150)}


def test_an_async_client_in_a_second_event_loop_says_what_to_do():
    with listening(echo) as address:
        http = AsyncHttp(Credentials(None, address))

        async def main():
            await http.exchange(Send("GET", address))
            await http.aclose()

        anyio.run(main)
        http.closed = False
        with pytest.raises(LemonError, match="another event loop"):
            anyio.run(http.exchange, Send("GET", address))


# ---- lemon.raw ----


@pytest.mark.parametrize("backend", ["blocking", "asyncio", "trio"])
def test_the_generated_client_borrows_our_connections_and_gives_them_back(backend):
    from lemon_client.api.images import create_image, get_image_task
    from lemon_client.models import ImageGenerationRequest

    heads = []

    def serve(connection, number):
        while (lines := head(connection)) is not None:
            heads.append((number, KEY in lines, "cookie" in lines.lower()))
            reply(connection, b'{"task_id": "img_1", "status": "pending"}', b"Set-Cookie: caf\xe9=\xe9")

    request = ImageGenerationRequest(prompt="x", model="midjourney")

    async def main(address):
        async with AsyncLemon(KEY, base_url=address) as lemon:
            raw = lemon.raw
            for _ in range(2):
                assert (await create_image.asyncio(client=raw, body=request)).task_id == "img_1"
                assert (await get_image_task.asyncio("img_1", client=raw)).status == "pending"
            await raw.get_async_httpx_client().aclose()
            assert (await lemon.images.task("img_1").refresh()).status == "pending"
            assert len(lemon._core.http.connections["poll"]._idle) == 1

    with listening(serve) as address:
        if backend == "blocking":
            with Lemon(KEY, base_url=address) as lemon:
                for _ in range(2):
                    assert create_image.sync(client=lemon.raw, body=request).task_id == "img_1"
                    assert get_image_task.sync("img_1", client=lemon.raw).status == "pending"
                lemon.raw.get_httpx_client().close()
                assert lemon.images.task("img_1").refresh().status == "pending"
                assert len(lemon._core.http.connections["poll"]._idle) == 1
        else:
            anyio.run(main, address, backend=backend)
    assert heads == [(1, True, False)] * 5


# ---- what a caller's own client brings ----


def test_a_client_of_the_user_s_keeps_its_credentials_from_others(colour):
    seen = []

    def handler(request):
        seen.append({name: request.headers.get(name) for name in ("authorization", "cookie", "x-api-key")})
        if request.method == "POST":
            return httpx.Response(200, json={"data": [{"url": "https://img.example.net/a.png"}]})
        return httpx.Response(404)

    lemon = colour.client(handler)
    http = lemon._core.http.given
    http.headers["X-Api-Key"] = "mine"
    http.cookies.set("session", "mine")
    image = colour.call(lemon.images.generate, "x")[0]
    with suppress(LemonError):
        colour.call(colour.twin(image, "read"))
    assert seen[0]["authorization"] == f"Bearer {KEY}"
    assert seen[1:]
    assert all(set(sent.values()) == {None} for sent in seen[1:])


def test_an_aiohttp_client_of_the_user_s_that_lost_its_answer_may_have_sent_it():
    """Its adapter calls whatever happened a ConnectTimeout, and tells no trace."""

    def serve(connection, number):
        request_line(connection)
        hang_up(connection)

    async def main(address):
        import httpx_aiohttp

        async with httpx_aiohttp.HttpxAiohttpClient() as client:
            http = AsyncHttp(Credentials(None, address), client)
            for url in (address, nowhere()):
                with pytest.raises(TransportFault) as caught:
                    await http.exchange(Send("POST", url, {}, kind="submit"))
                yield caught.value.sent

    async def collect(address):
        return [sent async for sent in main(address)]

    with listening(serve) as address:
        assert anyio.run(collect, address) == [True, False]
