"""The HTTP library, and all that is known of it: clients, the key, and what its failures mean.

No other handwritten module imports httpx, apart from `_pool` beneath this one and the emulator's transport. Requests
never follow redirects, and the key is added here, to the API's own origin alone: the clients themselves hold none.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import aclosing, closing
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import httpx
from attrs import define, evolve, field, frozen

from ._base64 import Picture, PictureScan
from ._flow import Send, Sink, TransportFault
from ._pool import ONE, AsyncPool, Pool, Step, environment_proxies, keep_to_time
from .errors import APIResponse, DownloadError, LemonError, MissingKeyError

if TYPE_CHECKING:
    import ssl

    from lemon_client import AuthenticatedClient

T = TypeVar("T")
PoolT = TypeVar("PoolT", Pool, AsyncPool)

logger = logging.getLogger("lemon_ext")

#: Of an answer that is not a download. Four images of 4096x4096 as Base64 stay well below it.
MAX_ANSWER_BYTES: Final = 512 * 1024 * 1024
#: Bytes after which an answer is searched for pictures. The ordinary ones are taken as they come.
LARGE_ANSWER: Final = 64 * 1024
#: Seconds; an endless deadline still bounds each step of a request.
LONGEST_STEP: Final = 3600.0
USER_AGENT: Final = "lemon-ext/0.1.0"
#: How httpx names itself, where nobody named another.
_HTTPX: Final = "python-httpx/"
#: The codings that unpack within bounds, and all that httpx unpacks. Several on top of each other have no bounds.
_BOUNDED: Final = ("gzip", "deflate")
_CODINGS: Final = (*_BOUNDED, "br", "zstd")
#: What our own clients send with every request.
_HEADERS: Final = MappingProxyType({"User-Agent": USER_AGENT, "Accept-Encoding": ", ".join(_BOUNDED)})
#: A failed download's body that says it is longer, or not how long it is, is not read.
BRIEF: Final = 16 * 1024
#: Characters of a key from which on its echoes are masked: a local gateway's key may be "x".
SHORTEST_SECRET: Final = 8
#: How JSON can write the characters of a key. What has neither these nor a percent sign nor zeros hides none.
_ESCAPES: Final = (b"\\u00", b"\\/", b"\\\\")
#: Failures that certainly happened before the request left.
_UNSENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


class ApiKey:
    """Holds the key where no repr, pickle or message shows it."""

    __slots__ = ("_echo", "_header", "_secret")

    def __init__(self, key: str) -> None:
        key = key.strip()
        if not key:
            raise MissingKeyError(
                "No API key. Set LEMONDATA_API_KEY or pass api_key=...; to try things without one, use the emulator."
            )
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise ValueError(
                "The API key holds a space or a character outside ASCII. Copy it again; it starts with 'sk-'."
            )
        self._header = f"Bearer {key}"
        self._secret = key.encode()
        self._echo: re.Pattern[bytes] | None = None

    def __repr__(self) -> str:
        return "ApiKey(***)"

    def __reduce__(self) -> Any:
        raise TypeError("An API key is never pickled. Make a new client in the other process.")

    def add_to(self, request: httpx.Request) -> None:
        """Authorize a request."""
        request.headers["Authorization"] = self._header

    def mask(self, response: APIResponse) -> APIResponse:
        """Return the response with every echo of the key blanked out."""
        body, values = self._hide(response.body), "\n".join(response.headers.values())
        if body == response.body and self.hide(values) == values:
            return response
        headers = {name: self.hide(value) for name, value in response.headers.items()}
        return evolve(response, headers=headers, body=body)

    def hide(self, text: str) -> str:
        """Return a text with every echo of the key blanked out."""
        return self._hide(text.encode(errors="replace")).decode()

    def _hide(self, data: bytes) -> bytes:
        if len(self._secret) < SHORTEST_SECRET:
            return data
        escaped = b"%" in data or b"\0" in data or (b"\\" in data and any(escape in data for escape in _ESCAPES))
        if not escaped and self._secret not in data:
            return data
        if self._echo is None:
            self._echo = re.compile(b"".join(map(_disguised, self._secret)))
        # Zeros come with UTF-16, which JSON may be written in too.
        text = data.decode(json.detect_encoding(data), "replace").encode() if b"\0" in data else data
        masked = self._echo.sub(b"***", text)
        return data if masked == text else masked


def _disguised(char: int) -> bytes:
    """Return a pattern for one character of the key: as it is, or escaped for JSON or an address, once or twice."""
    digits = "".join(f"[{digit}{digit.upper()}]" for digit in f"{char:02x}")
    plain = re.escape(bytes([char]))
    escapes = b"" if chr(char).isalnum() else rb"\\{0,4}"
    return rb"(?:%b%b|(?:\\{1,4}u00|%%(?:25)?)%b)" % (escapes, plain, digits.encode())


def parse_base_url(text: str) -> str:
    """Return the base URL without a trailing slash or ``/v1`` (people paste the OpenAI one). Raises ValueError."""
    secret = re.search(r"\bsk-|@", str(text))  # the two arguments in the wrong order, or a password
    shown = "what was given, which may hold a secret" if secret else repr(text)
    wrong = f"base_url must be an address like https://api.lemondata.cc, not {shown}"
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except (ValueError, AttributeError):
        raise ValueError(f"{wrong}.") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("base_url must not hold a user name or password; give the key as api_key.")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"{wrong}.")
    if parts.query or parts.fragment or re.search(r"[\s\\]", parts.netloc + parts.path):
        raise ValueError(f"{wrong}: no query, fragment or blank belongs there.")
    base_url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1').rstrip('/')}"
    if origin(base_url) is None:
        raise ValueError(f"{wrong}.")
    return base_url


#: httpx takes long to read an address, and most requests go to one of a few.
_parsed: Final = lru_cache(256)(httpx.URL)


@lru_cache(256)
def origin(url: str) -> tuple[str, str, int] | None:
    """Return (scheme, host, port) of an http(s) URL, or None if it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
        # All who will read the address have to find one in it: the HTTP library, and the resolver.
        _parsed(url)
        (parts.hostname or "").encode("idna")
    except (ValueError, httpx.InvalidURL):
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return None
    return parts.scheme, parts.hostname.lower(), port or (443 if parts.scheme == "https" else 80)


@frozen(eq=False, repr=False)
class Credentials:
    """The key and the one origin it may go to. Builds requests and records responses: the part that does not wait."""

    key: ApiKey | None
    base_url: str
    #: A limit in seconds of the user's for each step of a request; None leaves it to the time the exchange has.
    timeout: float | None = None

    def build(
        self, client: httpx.Client | httpx.AsyncClient, effect: Send, left: Callable[[], float] | None = None
    ) -> httpx.Request:
        """Return the request for an effect, with the key where it belongs. ``left`` tells the seconds it still has."""
        step = min(effect.within, effect.stall, LONGEST_STEP if self.timeout is None else self.timeout)
        # At most half of the time goes by waiting for a connection: a submission that is sent too late for its answer
        # is paid and lost.
        steps = {"connect": min(step, 10.0), "read": step, "write": step, "pool": step / 2}
        if left is not None:
            steps = {name: Step(seconds, left) for name, seconds in steps.items()}
        try:
            request = client.build_request(
                effect.method, _parsed(effect.url), json=effect.json, extensions={"timeout": steps}
            )
        except httpx.InvalidURL as exc:
            raise TransportFault(f"not a usable address: {exc}", unsent=True) from None
        self.authorize(request, keyed=effect.keyed)
        if effect.sink is not None:
            # Pictures are compressed already, and what never unpacks never explodes.
            request.headers["Accept-Encoding"] = "identity"
        if request.headers.get("User-Agent", _HTTPX).startswith(_HTTPX):  # a client of the user's
            request.headers["User-Agent"] = USER_AGENT
        return request

    def authorize(self, request: httpx.Request, *, keyed: bool = True) -> None:
        """Add the key if the request goes to the API, and take every credential off it if not."""
        if keyed and origin(str(request.url)) == origin(self.base_url):
            if self.key is not None:
                self.key.add_to(request)
        else:
            # A client of the user's, or a generated one, may carry credentials of its own.
            for name in ("Authorization", "Cookie", "X-Api-Key"):
                request.headers.pop(name, None)

    def auth(self, effect: Send) -> Any:
        """Return httpx's ``auth`` argument: without a key of ours, a client that holds one itself adds it."""
        own = self.key is None and effect.keyed and origin(effect.url) == origin(self.base_url)
        return httpx.USE_CLIENT_DEFAULT if own else None

    def record(self, response: httpx.Response, body: _Body) -> APIResponse:
        """Return our own record of a response, without its request and without the key."""
        record = APIResponse(response.status_code, dict(response.headers.items()), *body.collected())
        return record if self.key is None else self.key.mask(record)

    def fault(self, exc: httpx.RequestError) -> TransportFault:
        """Return what a failure of httpx's means. It quotes answers that it cannot read, and they may echo the key."""
        text = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
        return TransportFault(
            text if self.key is None else self.key.hide(text),
            unsent=isinstance(exc, _UNSENT),
            timeout=isinstance(exc, httpx.TimeoutException),
        )


@define(eq=False, repr=False)
class _Body:
    """Collects the body of an answer, or passes it on to a sink, in bounds of size and time.

    Pictures are taken out of a large answer while it arrives. Of a failed download, hardly anything is ``wanted``.
    """

    sink: Sink | None
    wanted: bool
    may_hold_pictures: bool
    until: float
    clock: Callable[[], float]
    _size: int = field(default=0, init=False)
    _buffer: bytearray = field(factory=bytearray, init=False)
    _scan: PictureScan | None = field(default=None, init=False)

    @classmethod
    def of(cls, response: httpx.Response, effect: Send, until: float, clock: Callable[[], float]) -> _Body:
        """Make one for the answer to a request."""
        sink = effect.sink if response.status_code == 200 else None
        codings = _codings(response)
        if effect.sink is not None and sink is None:
            length = response.headers.get("Content-Length", "")
            wanted = not codings and length.isdecimal() and int(length) <= BRIEF
            return cls(None, wanted, False, until, clock)
        if sink is not None and (len(codings) > 1 or any(coding not in _BOUNDED for coding in codings)):
            raise DownloadError("The image came compressed in a way that was not asked for, and is not unpacked.")
        if len(codings) > 1:
            raise TransportFault("the answer came compressed more than once, and is not unpacked")
        return cls(sink, True, effect.keyed and response.is_success, until, clock)

    def write(self, chunk: bytes) -> None:
        if self.clock() > self.until:
            raise TransportFault("the answer took too long to arrive", timeout=True)
        if self.sink is not None:
            self.sink.write(chunk)
            return
        self._size += len(chunk)
        if self._size > MAX_ANSWER_BYTES:
            raise TransportFault(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        if self._scan is not None:
            self._scan.feed(chunk)
            return
        self._buffer += chunk
        if self.may_hold_pictures and len(self._buffer) > LARGE_ANSWER:
            self._scan = PictureScan()
            self._scan.feed(bytes(self._buffer))
            self._buffer.clear()

    def collected(self) -> tuple[bytes, Mapping[str, Picture]]:
        """Return the body, and the pictures that were taken out of it."""
        return (bytes(self._buffer), {}) if self._scan is None else (self._scan.finish(), self._scan.pictures)


def _codings(response: httpx.Response) -> list[str]:
    """Return the codings of a body, those that httpx unpacks."""
    packed = response.headers.get("Content-Encoding")
    if packed is None:
        return []
    return [coding for coding in (name.strip().lower() for name in packed.split(",")) if coding in _CODINGS]


def _log(effect: Send, response: httpx.Response) -> None:
    if not logger.isEnabledFor(logging.DEBUG):
        return
    logger.debug(
        "%s %s -> %s", effect.method, urlsplit(effect.url).path if effect.keyed else "image", response.status_code
    )


@define(eq=False, repr=False)
class Wire:
    """Makes requests, blocking."""

    client: httpx.Client
    credentials: Credentials
    owned: bool
    clock: Callable[[], float] = time.monotonic
    closed: bool = False

    def exchange(self, effect: Send) -> APIResponse:
        """Perform one request. Raises TransportFault.

        A client of the user's bounds each read alone: there, headers that drip in can outlast ``within``.
        """
        if self.closed or self.client.is_closed:
            raise LemonError("This client is closed. Make a new one, or do the work inside its `with` block.")
        until = self.clock() + effect.within
        request = self.credentials.build(self.client, effect, lambda: until - self.clock())
        try:
            response = self.client.send(
                request, stream=True, auth=self.credentials.auth(effect), follow_redirects=False
            )
            with closing(response):
                _log(effect, response)
                body = _Body.of(response, effect, until, self.clock)
                for chunk in response.iter_bytes() if body.wanted else ():
                    body.write(chunk)
        except httpx.RequestError as exc:
            raise self.credentials.fault(exc) from None
        return self.credentials.record(response, body)

    def close(self) -> None:
        """Close the connections, unless the client is the user's."""
        self.closed = True
        if self.owned:
            self.client.close()


@define(eq=False, repr=False)
class AsyncWire:
    """Async twin of `Wire`."""

    client: httpx.AsyncClient
    credentials: Credentials
    owned: bool
    clock: Callable[[], float] = time.monotonic
    closed: bool = False
    _loop: object = field(default=None, init=False)

    async def exchange(self, effect: Send) -> APIResponse:
        """Async twin of `Wire.exchange`."""
        if self.closed or self.client.is_closed:
            raise LemonError("This client is closed. Make a new one, or do the work inside its `async with` block.")
        self._bind()
        request = self.credentials.build(self.client, effect)
        until = self.clock() + effect.within
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + effect.within) as scope:
                response = await self.client.send(
                    request, stream=True, auth=self.credentials.auth(effect), follow_redirects=False
                )
                try:
                    _log(effect, response)
                    body = _Body.of(response, effect, until, self.clock)
                    if body.wanted:
                        chunks: Any = response.aiter_bytes()  # typed as an iterator, in truth a generator to be closed
                        async with aclosing(chunks):
                            async for chunk in chunks:
                                body.write(chunk)
                finally:
                    await response.aclose()
        except httpx.RequestError as exc:
            raise self.credentials.fault(exc) from None
        if scope.cancelled_caught:
            raise TransportFault("the answer took too long to arrive", timeout=True)
        return self.credentials.record(response, body)

    async def aclose(self) -> None:
        """Async twin of `Wire.close`."""
        self.closed = True
        if self.owned:
            await self.client.aclose()

    def _bind(self) -> None:
        # Connections belong to the loop that opened them; from another one they fail in ways nobody understands.
        token = anyio.lowlevel.current_token()
        if self._loop is None:
            self._loop = token
        elif self._loop != token:
            raise LemonError(
                "This AsyncLemon was used in another event loop. Make one inside each loop (each asyncio.run)."
            )


@cache
def _tls() -> ssl.SSLContext:
    # Loading the certificates takes 20 ms; one context serves all clients.
    return httpx.create_ssl_context()


def new_client() -> httpx.Client:
    """Make an HTTP client without a key. Proxies come from the environment (HTTPS_PROXY, NO_PROXY...)."""
    return httpx.Client(
        headers=_HEADERS,
        transport=Pool(_connection(httpx.HTTPTransport)),
        mounts=_mounts(Pool, httpx.HTTPTransport),
    )


def new_async_client() -> httpx.AsyncClient:
    """Async twin of `new_client`."""
    return httpx.AsyncClient(
        headers=_HEADERS,
        transport=AsyncPool(_connection(httpx.AsyncHTTPTransport)),
        mounts=_mounts(AsyncPool, httpx.AsyncHTTPTransport),
    )


def _connection(kind: Callable[..., T], proxy: str | None = None) -> Callable[[], T]:
    def new() -> T:
        transport = kind(verify=_tls(), limits=ONE, proxy=proxy)
        if isinstance(transport, httpx.HTTPTransport):  # the async twin is cancelled at its deadline
            keep_to_time(transport)
        return transport

    return new


def _mounts(pool: Callable[[Callable[[], T]], PoolT], kind: Callable[..., T]) -> dict[str, PoolT | None]:
    mounts: dict[str, PoolT | None] = {}
    for pattern, proxy in environment_proxies().items():
        try:
            _parsed(pattern)
        except (ValueError, httpx.InvalidURL):
            raise ValueError(f"NO_PROXY holds what cannot be a host: {pattern.removeprefix('all://')!r}.") from None
        mounts[pattern] = None
        if proxy is not None:
            new = _connection(kind, proxy)
            try:
                new()  # whatever is wrong with the proxy's address is said now, and not in the middle of a request
            except ImportError:
                raise _bad_proxy(pattern, proxy, "SOCKS needs a package more: pip install 'httpx[socks]'") from None
            except (ValueError, httpx.InvalidURL):
                raise _bad_proxy(pattern, proxy, "Give an address like http://proxy.example:3128") from None
            mounts[pattern] = pool(new)
    return mounts


def _bad_proxy(pattern: str, proxy: str, advice: str) -> ValueError:
    scheme = proxy.partition("://")[0]  # the rest may hold a password
    variable = f"{pattern.removesuffix('://').upper()}_PROXY"
    return ValueError(f"The proxy in {variable} ({scheme}://...) cannot be used. {advice}, or unset {variable}.")


class _OriginAuth(httpx.Auth):
    """Adds the key to requests that go to the API, for the generated client."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def __repr__(self) -> str:
        return "OriginAuth(***)"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        self._credentials.authorize(request)
        yield request


class _Borrowed(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Lets a second client use the connections of a first one, and leaves them open when it is closed."""

    def __init__(self, client: httpx.Client | httpx.AsyncClient) -> None:
        self._client: Any = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response: httpx.Response = self._client.send(request, stream=True, auth=None, follow_redirects=False)
        return response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response: httpx.Response = await self._client.send(request, stream=True, auth=None, follow_redirects=False)
        return response


def generated_client(wire: Wire | AsyncWire) -> AuthenticatedClient:
    """Return a generated client over the same connections. It has a timeout, and shows no key when printed."""
    from lemon_client import AuthenticatedClient

    credentials = wire.credentials
    auth = _OriginAuth(credentials)
    timeout = httpx.Timeout(credentials.timeout or 60.0, connect=10.0)
    client = AuthenticatedClient(
        base_url=credentials.base_url, token="", prefix="", timeout=timeout, httpx_args={"auth": auth}
    )
    if isinstance(wire, Wire):
        return client.set_httpx_client(
            httpx.Client(base_url=credentials.base_url, auth=auth, timeout=timeout, transport=_Borrowed(wire.client))
        )
    return client.set_async_httpx_client(
        httpx.AsyncClient(base_url=credentials.base_url, auth=auth, timeout=timeout, transport=_Borrowed(wire.client))
    )
