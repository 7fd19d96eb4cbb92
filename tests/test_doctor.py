"""`lemon doctor`: each thing that can go wrong is found, said with what to do, and never shows the key."""

# ruff: noqa: F811 - fixtures are imported, and named again as arguments

from __future__ import annotations

import json
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lemon_ext import _clock
from lemon_ext.cli import _checks
from tests.cli import emulator, lemon, server  # noqa: F401 - fixtures
from tests.sockets import head, listening, nowhere

CERTIFICATE = Path(__file__).parent / "tls" / "localhost.pem"
NAMES = [
    *("python", "versions", "disk", "ledger", "terminal", "address", "key"),
    *("proxy", "dns", "tls", "api", "clock", "balance"),
]


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "LEMONDATA_MANAGEMENT_TOKEN",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("LEMONDATA_LEDGER", str(tmp_path / "ledger.sqlite3"))


def told(*args: str) -> tuple[int, dict[str, Any]]:
    """Run it, and return the exit code and the checks by name."""
    result = lemon("doctor", "--json", "--deadline", "2", *args)
    found = json.loads(result.stdout)
    assert all(check.keys() == {"check", "ok", "detail", "remedy"} for check in found)
    assert all(check["remedy"] or check["ok"] for check in found)
    assert result.exit_code == (0 if all(check["ok"] for check in found) else 1)
    return result.exit_code, {check["check"]: check for check in found}


def test_all_is_well_with_the_emulator(tmp_path: Path) -> None:
    code, found = told("--emulator")
    assert (code, list(found)) == (0, NAMES)
    assert found["balance"]["detail"] == "$12.50 is left"
    assert found["clock"]["detail"] == "within 5 s of the API's"
    result = lemon("doctor", "--emulator")
    lines = result.stdout.splitlines()
    assert (result.exit_code, [line.split()[1] for line in lines]) == (0, NAMES)
    assert all(line.startswith("ok ") for line in lines)


def test_only_free_requests_are_made_and_the_key_is_not_shown(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEMONDATA_API_KEY", "sk-secret-0123456789")
    result = lemon("doctor", "--debug")
    assert (result.exit_code, emulator.charges) == (0, 0)
    assert {request.method for request in emulator.requests} == {"GET"}
    assert "sk-secret" not in result.stdout + result.stderr
    assert "lemon: debug: GET /v1/models -> 200 in " in result.stderr


@pytest.mark.parametrize(
    ("key", "ok", "detail"),
    [
        ("", False, "LEMONDATA_API_KEY is not set"),
        ("'sk-secret-0123456789'", False, "The API key has quotes around it. Leave them out."),
        ("Bearer sk-secret-0123456789", False, "begins with 'Bearer'"),
        ("sk-secret 0123456789", False, "holds a space"),
        ("  sk-secret-0123456789\n", True, "20 characters, begins with sk-"),
        ("mt-secret-0123456789", True, "20 characters"),  # the key of another gateway may begin with anything
    ],
)
def test_the_shape_of_the_key(emulator: Any, monkeypatch: pytest.MonkeyPatch, key: str, ok: bool, detail: str) -> None:
    monkeypatch.setenv("LEMONDATA_API_KEY", key)
    _, found = told()
    assert (found["key"]["ok"], detail in found["key"]["detail"]) == (ok, True)
    assert "secret" not in json.dumps(found)
    assert found["api"]["ok"] == (ok and not key.startswith("mt-"))


def test_a_token_in_the_place_of_the_key_is_told_at_the_apis_own_address() -> None:
    check = _checks._key_check("mt-secret-0123456789", _checks.SERVERS[0])
    assert (check.ok, "does not begin with sk-" in check.detail) == (False, True)


@pytest.mark.parametrize(
    ("address", "check", "detail"),
    [
        ("nonsense", "address", "LEMONDATA_BASE_URL: base_url must be an address"),
        ("https://user:secret@api.example.com", "address", "must not hold a user name or password"),
        ("http://nowhere.invalid", "dns", "nowhere.invalid: "),
        ("http://127.0.0.1:1", "api", "Connection refused"),
    ],
)
def test_an_address_that_leads_nowhere(
    emulator: Any, monkeypatch: pytest.MonkeyPatch, address: str, check: str, detail: str
) -> None:
    monkeypatch.setenv("LEMONDATA_BASE_URL", address)
    code, found = told()
    assert (code, found[check]["ok"]) == (1, False)
    assert detail in found[check]["detail"]
    assert "secret" not in json.dumps(found)


def test_a_name_that_is_never_resolved_takes_bounded_time(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: asleep.wait(30))
    try:
        check, addresses = _checks._dns("api.example.com", 443, 0.05)
    finally:
        asleep.set()
    assert (check.ok, check.detail, addresses) == (False, "api.example.com: no answer in time", [])


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n{}", "401"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}", "404"),
        (b"HTTP/1.1 302 No\r\nLocation: https://login.example.com\r\nContent-Length: 0\r\n\r\n", "redirect"),
        (b"HTTP/1.1 502 No\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", "502"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 16\r\n\r\n<html>Log in now", "page"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "cannot be read"),
        (b"", "ReadError|RemoteProtocolError"),
    ],
)
def test_what_is_not_the_api_is_told(
    emulator: Any, monkeypatch: pytest.MonkeyPatch, answer: bytes, detail: str
) -> None:
    def serve(connection: socket.socket, _number: int) -> None:
        head(connection)
        connection.sendall(answer)
        connection.close()

    with listening(serve) as address:
        code, found = told("--base-url", address)
    assert (code, found["api"]["ok"]) == (1, False)
    assert any(word in found["api"]["detail"] for word in detail.split("|"))


def test_where_nobody_listens_on_this_machine_the_emulator_is_meant(emulator: Any) -> None:
    code, found = told("--base-url", nowhere())
    assert (code, found["api"]["ok"]) == (1, False)
    assert found["api"]["remedy"].startswith("Start `lemon emulator`")
    assert "certificates" not in found["api"]["detail"]


@pytest.mark.parametrize(
    ("ahead", "ok", "detail"),
    [
        (0.0, True, "within 5 s of the API's"),
        (-45.0, True, "within 4"),
        (3600.0, False, "s ahead of the API's"),
        (-86400.0, False, "s behind the API's"),
    ],
)
def test_a_clock_that_is_wrong_is_told(
    emulator: Any, monkeypatch: pytest.MonkeyPatch, ahead: float, ok: bool, detail: str
) -> None:
    now = _clock.wall
    monkeypatch.setattr(_checks._clock, "wall", lambda: now() + ahead)
    _, found = told()
    assert (found["clock"]["ok"], detail in found["clock"]["detail"]) == (ok, True)


def test_a_full_or_closed_disk_is_told(emulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10 * 2**20))
    assert told()[1]["disk"]["remedy"] == "Make room: a batch stops below 128 MiB."

    def closed(**_more: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_checks.tempfile, "TemporaryFile", closed)
    assert "cannot be written: Permission denied" in told()[1]["disk"]["detail"]


def test_a_ledger_that_cannot_be_read_is_told(emulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_text("something else, and longer than a header of SQLite would be" * 9)
    code, found = told()
    assert (code, "cannot be read" in found["ledger"]["detail"]) == (1, True)
    monkeypatch.setenv("LEMONDATA_LEDGER", "off")
    assert told()[1]["ledger"]["detail"] == "off (LEMONDATA_LEDGER)"


def test_a_proxy_is_named_without_its_password(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("LEMONDATA_BASE_URL", "http://api.example.com")
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{port}")
    code, found = told()
    assert (code, found["proxy"]["ok"], found["dns"]["detail"]) == (1, False, "left to the proxy")
    assert "HTTP_PROXY: Connection refused" in found["proxy"]["detail"]
    with listening(lambda connection, _: (head(connection), connection.close())) as address:
        monkeypatch.setenv("HTTP_PROXY", address.replace("//", "//me:secret@"))
        code, again = told()
    assert (again["proxy"]["ok"], again["proxy"]["detail"]) == (True, f"{address} (HTTP_PROXY)")
    assert "secret" not in json.dumps([found, again])


@contextmanager
def secure(serve: Callable[[ssl.SSLSocket], object]) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    def accept(connection: socket.socket, _number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            serve(wrapped)

    with listening(accept) as address:
        yield int(address.rpartition(":")[2])


def test_a_certificate_that_is_not_trusted_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with secure(lambda connection: connection.recv(1)) as port:
        check = _checks._tls("127.0.0.1", port, ["127.0.0.1"], 2.0)
        assert (check.ok, "is not trusted: self-signed certificate" in check.detail) == (False, True)
        assert "SSL_CERT_FILE" in (check.remedy or "")
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        check = _checks._tls("127.0.0.1", port, ["127.0.0.1"], 2.0)
    assert (check.ok, check.remedy) == (True, None)
    assert "valid until" in check.detail
    assert check.detail.endswith("by the certificates in SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    assert "SSL_CERT_FILE is '/nowhere.pem'" in _checks._tls("127.0.0.1", port, ["127.0.0.1"], 0.1).detail


def test_another_versions_of_a_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["httpx<0.29,>=0.28.1", "gone>=1", "rich>=13.9; extra == 'cli'", "pyarrow>=18; extra == 'parquet'"]
    # Bug: what two extras hold was said to be of the second, which brings a hundred packages more.
    wanted += ["obstore>=0.12; extra == 'cloud'", "obstore>=0.12; extra == 'ray'"]
    there = {"httpx": "0.27.9", "rich": "13.9.0"}

    def version(name: str) -> str:
        try:
            return there[name]
        except KeyError:
            raise _checks.PackageNotFoundError(name) from None

    monkeypatch.setattr(_checks, "requires", lambda _: wanted)
    monkeypatch.setattr(_checks, "version", version)
    check = _checks._versions()
    assert (check.ok, check.remedy) == (False, "pip install --upgrade 'lemon-ext[all]'")
    assert check.detail.startswith("httpx 0.27.9 is older than 0.28.1; gone is missing. lemon-ext ")
    assert check.detail.endswith("rich 13.9.0; not installed: pyarrow (parquet), obstore (cloud)")


@pytest.mark.parametrize(
    ("token", "body", "ok", "detail"),
    [
        ("", b"", True, "not asked: LEMONDATA_MANAGEMENT_TOKEN is not set"),
        ("mt-secret-token", b'{"balance_decimal": "0.000000", "balance": 0}', False, "$0.00 is left"),
        ("mt-secret-token", b'{"balance": -0.5}', False, "-$0.50 is left"),
        (
            "mt-secret-token",
            b'{"credits": 7}',
            True,
            "the answer names no amount that can be read: see `lemon balance`",
        ),
        ("mt-secret-token", None, False, "401"),
    ],
)
def test_an_account_without_money_is_told(token: str, body: bytes | None, ok: bool, detail: str) -> None:
    def serve(connection: socket.socket, _number: int) -> None:
        head(connection)
        status = b"401 No" if body is None else b"200 OK"
        sent = body or b'{"error": {"message": "mt-secret-token is not known"}}'
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(sent), sent))
        connection.close()

    with listening(serve) as address:
        check = _checks._balance(address, token, 2.0)
    assert (check.ok, detail in check.detail) == (ok, True)
    assert "secret" not in check.detail + (check.remedy or "")
