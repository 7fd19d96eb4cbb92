"""The doors over a socket: an ASGI app, a server in a thread, and one in the foreground."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
import uvicorn
from anyio.to_thread import run_sync
from attrs import define
from starlette.requests import ClientDisconnect
from starlette.requests import Request as StarletteRequest
from starlette.routing import Router
from uvicorn.protocols.http.h11_impl import H11Protocol

from .form import FORM, MAX_FORM
from .records import MAX_BODY, Answering, Request, Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

#: The name of our extension of ASGI: a function that closes the connection.
HANG_UP: Final = "lemon.hang_up"
BACKLOG: Final = 2048


def application(emulator: Answering) -> Router:
    """Return the ASGI app of an emulator. It has no routes: every method and path is the emulator's to answer."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        incoming = await _incoming(StarletteRequest(scope, receive))
        await _Reply(await run_sync(emulator.handle, incoming))(scope, receive, send)

    return Router(default=answer)


class Server:
    """A server in a thread of its own, on a free port of this machine."""

    def __init__(self, emulator: Answering) -> None:
        # The socket listens before the thread runs, so the address is good at once.
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.url = _url(self._socket)
        self._server = _server(emulator)
        self._thread = threading.Thread(target=self._run, name="lemon-emulator", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def close(self) -> None:
        """Stop, and wait until it has stopped."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()  # a server that is stopped before it has started leaves it open


def serve(
    emulator: Answering,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Serve until interrupted, in the foreground. ``on_ready`` is called with the address (port 0 picks a free one).

    SIGTERM ends it as Ctrl-C does. Raises OSError if it cannot listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, port), family=family, backlog=BACKLOG) as listening,
        suppress(KeyboardInterrupt),
        _terminated_as_interrupted(),
    ):
        if on_ready is not None:
            on_ready(_url(listening))
        _server(emulator).run(sockets=[listening])


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    # The server raises a signal that ended it once more when it has ended. Only the main thread may handle signals.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _server(emulator: Answering) -> uvicorn.Server:
    config = uvicorn.Config(
        emulator.app, http=_Protocol, ws="none", lifespan="off", log_config=None,
        access_log=False, server_header=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    return uvicorn.Server(config)


class _Protocol(H11Protocol):
    """Lets the app close the connection, which ASGI has no word for, and lets nobody hold up the end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = self.app

        async def with_hang_up(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[HANG_UP] = self.transport.close
            await app(scope, receive, send)

        self.app = with_hang_up

    def shutdown(self) -> None:
        self.transport.close()


@define
class _Reply:
    """Sends an emulator's response, in its time, or drops the connection."""

    response: Response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self.response
        if response.delay and await _gone_within(response.delay, receive):
            return
        if response.cut in ("connect", "answer"):
            await _hang_up(scope, receive)
            return
        headers = {**response.headers, "content-length": str(len(response.body))}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": raw})
        if response.cut == "body":
            half = response.body[: len(response.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await _hang_up(scope, receive)
            return
        await send({"type": "http.response.body", "body": response.body})


async def _gone_within(seconds: float, receive: Receive) -> bool:
    """Wait, but no longer than somebody waits for the answer. Tells whether nobody does any more."""
    with anyio.move_on_after(seconds):
        await _disconnected(receive)
        return True
    return False


async def _hang_up(scope: Scope, receive: Receive) -> None:
    close = scope.get("extensions", {}).get(HANG_UP)
    if close is None:
        raise ConnectionAbortedError("this fault drops the connection, which only the emulator's own server can do")
    close()
    await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _incoming(request: StarletteRequest) -> Request:
    # More than the limit is never read in: the emulator refuses it by its size alone.
    body = bytearray()
    most = MAX_FORM if request.headers.get("content-type", "").startswith(FORM) else MAX_BODY
    with suppress(ClientDisconnect):
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                break
    raw_path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    headers = {name.lower(): value for name, value in request.headers.items()}
    origin = f"{request.url.scheme}://{request.url.netloc}"
    path = raw_path.partition(b"?")[0].decode("ascii", "replace")
    query = request.scope["query_string"].decode("ascii", "replace")
    return Request(request.method, path, headers, bytes(body), origin, query)


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
