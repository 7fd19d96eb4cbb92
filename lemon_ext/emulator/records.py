"""What goes in and what comes out of the emulator, and the documented error envelope. No HTTP library is known here."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal, Protocol

from attrs import field, frozen
from lemon_client.error_table import ERROR_CODES, Meaning
from lemon_client.usage_table import USAGE

_BEGINNINGS: Final = (USAGE.keys_begin[0], USAGE.token)
#: A key that is accepted, and the same for what takes a management token. Others that begin alike are accepted, too,
#: except `REFUSED_KEYS`.
KEY, TOKEN = (f"{beginning}emulator" for beginning in _BEGINNINGS)
REFUSED_KEYS: Final = {
    f"{beginning}{word}": place for beginning in _BEGINNINGS for place, word in enumerate(("invalid", "expired"))
}
#: Where the emulator lives when no socket is involved.
ADDRESS: Final = "http://lemon.emulator"
JSON: Final = "application/json"
#: Bytes of a request's JSON. What the contract allows stays far below it.
MAX_BODY: Final = 1024 * 1024


@frozen
class Request:
    """One request. ``path`` is as on the wire, without the ``query``; header names are in lower case.

    ``origin`` is the scheme and host that the client used: addresses of images begin with it.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    origin: str = ADDRESS
    query: str = ""


@frozen
class Response:
    """One answer, and how the connection is to behave.

    ``delay`` is how many seconds pass before it is given. ``cut`` drops the connection: before it is made
    ("connect"), instead of the answer ("answer"), or in the middle of the body ("body").
    """

    status: int
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = field(default=b"", repr=False)
    delay: float = 0.0
    cut: Literal["connect", "answer", "body"] | None = None

    def json(self) -> Any:
        """Return the body parsed as JSON. Raises ValueError for anything else."""
        return json.loads(self.body)


class Answering(Protocol):
    """What the doors need of an emulator: answers, its clock and sleeps, and the ASGI app."""

    wall: Callable[[], float]
    sleep: Callable[[float], object]
    asleep: Callable[[float], Awaitable[object]]

    @property
    def app(self) -> Any: ...
    def handle(self, request: Request) -> Response: ...


class Refusal(Exception):  # noqa: N818 - an answer on its way out, not a fault
    """Ends the handling of a request with this answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def reply(body: object, status: int = 200, **headers: str) -> Response:
    """Make an answer of JSON."""
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, {"content-type": JSON, **own}, json.dumps(body).encode())


def code_of(status: int | None, meaning: Meaning, place: int = 0) -> str | None:
    """Return the documented code of a refusal, or None; ``place`` picks one where there are several."""
    statuses = () if status is None else (status,)
    known = [name for name, it in ERROR_CODES.items() if it.meaning == meaning and {*statuses} <= {*it.statuses}]
    return known[min(place, len(known) - 1)] if known else None


def refuse(
    status: int,
    message: str,
    kind: str | None = "invalid_request_error",
    code: str | None = None,
    *,
    param: str | None = None,
    validation_errors: list[dict[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
    **hints: Any,
) -> Response:
    """Make an error in the documented envelope; ``hints`` are its optional fields."""
    error = {"message": message, "type": kind, "code": code, "param": param, **hints}
    beside = {"validation_errors": validation_errors} if validation_errors else {}
    return reply({"error": error, **beside}, status, **dict(headers or {}))
