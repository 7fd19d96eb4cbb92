"""A server of raw sockets on this machine, for what only a real connection can show."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

Serve = Callable[[socket.socket, int], object]


@contextmanager
def listening(serve: Serve, threads: int = 16) -> Iterator[str]:
    """Run ``serve(connection, number)`` in a thread for every connection. Gives the address."""
    server = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []
    stopped = threading.Event()

    def guarded(connection: socket.socket, number: int) -> None:
        with suppress(OSError):
            serve(connection, number)

    def accept() -> None:
        while True:
            connection, _ = server.accept()
            if stopped.is_set():
                return connection.close()
            connections.append(connection)
            pool.submit(guarded, connection, len(connections))

    with server, ThreadPoolExecutor(threads) as pool:
        pool.submit(accept)
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            stopped.set()
            socket.create_connection(server.getsockname()).close()
            for connection in connections:
                with connection, suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def head(connection: socket.socket) -> str | None:
    """Read one request, and return its first line and headers. None at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    lines, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in lines.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return lines.decode("latin-1")


def request_line(connection: socket.socket) -> str | None:
    """Read one request, and return its first line."""
    lines = head(connection)
    return None if lines is None else lines.split("\r\n")[0]


def reply(connection: socket.socket, body: bytes = b"{}", *headers: bytes, status: bytes = b"200 OK") -> None:
    """Answer a request."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", body]
    connection.sendall(b"\r\n".join(lines))


def hang_up(connection: socket.socket) -> None:
    """End a connection from our side."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def nowhere() -> str:
    """Return an address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"
