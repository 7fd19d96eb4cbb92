"""What the parts of a client share: its options, checked; the session of its flows; and the driver of its colour."""

from __future__ import annotations

import inspect
import math
import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeAlias, TypedDict, TypeVar

from attrs import define, evolve, field
from lemon_client.model_table import SERVERS

from . import _flow
from ._address import parse_base_url
from ._api import Session
from ._fork import watch
from ._http import AsyncHttp, Credentials, Http
from ._key import ApiKey
from ._openai import CLIENT, sentence
from ._request import Validation
from ._retry import Deadline
from .errors import LemonError
from .poll_schedule import Schedule
from .rate_limit import RateLimit

if TYPE_CHECKING:
    from .ledger import Ledger

T = TypeVar("T")

#: Headers that a request cannot do without, and what stands for them.
_OUR_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "authorization": ": give the key as api_key=.",
        **dict.fromkeys(
            ("accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"), "."
        ),
    }
)

#: A flow, and what tells whoever leaves it what is paid for.
Told: TypeAlias = tuple[_flow.Flow[T], Callable[[BaseException], None]]


class Options(TypedDict, total=False):
    """What `with_options` can change. The meanings are those of `Lemon`."""

    timeout: float | None
    deadline: float
    max_retries: int
    requests_per_minute: float | None
    validation: Validation
    poll_interval: float | None
    default_headers: Mapping[str, str]


class Waiting(NamedTuple):
    """How a call waits: until when, how often it polls (None: the schedule decides), and who is told of changes."""

    deadline: Deadline
    poll_interval: float | None = None
    on_update: Callable[[Any], object] | None = None


@define(eq=False, repr=False)
class Core:
    """Options and the session. A subclass adds the HTTP connections and one of the two drivers."""

    session: Session
    deadline: float
    validation: Validation
    ledger: Ledger | None = field(default=None, kw_only=True)
    #: Whether prompts are written into the metadata of pictures.
    prompt_metadata: bool = field(default=True, kw_only=True)
    run: ClassVar[Any] = None
    arun: ClassVar[Any] = None
    run_here: ClassVar[Any] = None

    def limit(self, deadline: float | None) -> Deadline:
        """Start the deadline of a call; None is the client's."""
        return self.session.deadline(self.deadline if deadline is None else deadline)

    def waiting(
        self,
        deadline: float | None,
        poll_interval: float | None = None,
        on_update: Callable[[Any], object] | None = None,
    ) -> Waiting:
        """Start a call that waits. Raises ValueError or TypeError for arguments that make no sense."""
        check_waiting(poll_interval)
        if self.run is not None and inspect.iscoroutinefunction(on_update):
            raise TypeError(
                "The blocking client calls on_update without awaiting it: give an ordinary function, or use AsyncLemon."
            )
        return Waiting(self.limit(deadline), poll_interval, on_update)


@define(eq=False, repr=False)
class BlockingCore(Core):
    """The core of `Lemon`."""

    http: Http

    def run(self, flow: _flow.Flow[T]) -> T:
        """Drive a flow."""
        return _flow.run(flow, self.http.exchange)

    def run_here(self, flow: _flow.Flow[T]) -> T:
        """Do the same: whoever cannot wait asks either colour."""
        return self.run(flow)

    def call(self, told: Told[T]) -> T:
        """Drive a flow, and give whatever ends it early to what belongs to it, on its way out.

        Not by a context manager: an interrupt at its very end would pass it by.
        """
        flow, tell = told
        try:
            return _flow.run(flow, self.http.exchange)
        except BaseException as exc:
            try:
                tell(exc)
            except KeyboardInterrupt as again:  # a second one, at that very moment
                tell(again)
                raise
            raise


@define(eq=False, repr=False)
class AsyncCore(Core):
    """The core of `AsyncLemon`."""

    http: AsyncHttp

    async def arun(self, flow: _flow.Flow[T]) -> T:
        """Drive a flow."""
        return await _flow.arun(flow, self.http.exchange)

    def run_here(self, flow: _flow.Flow[T]) -> T:
        """Drive a flow without the event loop, over connections of its own. Raises LemonError over a user's client."""
        if self.http.given is not None:
            raise LemonError("This cannot be done without the event loop: the HTTP client is an async one.")
        http = Http(self.http.credentials)
        try:
            return _flow.run(flow, http.exchange)
        finally:
            http.close()

    async def acall(self, told: Told[T]) -> T:
        """Async twin of `BlockingCore.call`."""
        flow, tell = told
        try:
            return await _flow.arun(flow, self.http.exchange)
        except BaseException as exc:
            try:
                tell(exc)
            except KeyboardInterrupt as again:
                tell(again)
                raise
            raise


CoreT = TypeVar("CoreT", BlockingCore, AsyncCore)


def new_core(
    kind: type[CoreT],
    api_key: str | None,
    base_url: str | None,
    timeout: float | None,
    http_client: Any,
    allow_private_images: bool,
    default_headers: Mapping[str, str] | None,
    options: tuple[float, int, float | None, Validation, float | None],
) -> CoreT:
    """Make the core of a client. Raises MissingKeyError, ConfigurationError, ValueError."""
    key = api_key if api_key is not None else os.environ.get("LEMONDATA_API_KEY", "")
    credentials = Credentials(
        ApiKey(key),
        address_of(base_url),
        _checked_timeout(timeout),
        bool(allow_private_images),
        _checked_headers(default_headers),
    )
    http: Any = (Http if kind is BlockingCore else AsyncHttp)(credentials, http_client)
    if http_client is None:
        http.check()
    return kind(*_session(credentials, *options), http)


def borrowed(client: Any, deadline: float) -> tuple[Session, float, Validation, Credentials]:
    """Return what a core over a client of the generated package needs: its key stays where it is."""
    credentials = Credentials(None, parse_base_url(str(client.base_url)))
    return (*_session(credentials, deadline, 2, 1000, "strict", None), credentials)


def _of_key(key: ApiKey, base_url: str) -> dict[str, Any]:
    return {"mask": key.mask, "account": key.fingerprint(base_url)}


def address_of(base_url: str | None) -> str:
    """Return the address that is used where this is given. Raises ConfigurationError or ValueError."""
    return parse_base_url(base_url if base_url is not None else os.environ.get("LEMONDATA_BASE_URL") or SERVERS[0])


def _checked_timeout(timeout: float | None) -> float | None:
    if timeout is not None and not (is_number(timeout) and timeout > 0):
        raise ValueError(f"timeout must be a number of seconds above zero, or None, not {timeout!r}.")
    return timeout


def _checked_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return headers of the user's, their names in lower case. No message tells a value: it may be secret."""
    checked = {}
    for name, value in ({} if headers is None else headers).items():
        if not (isinstance(name, str) and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name)):
            raise ValueError(f"default_headers: {name!r} is no name of a header.")
        if name.lower() in _OUR_HEADERS:
            raise ValueError(f"default_headers: the client sets {name} itself" + _OUR_HEADERS[name.lower()])
        if not (isinstance(value, str) and re.fullmatch(r"[\t\x20-\x7e]*", value)):
            raise ValueError(f"default_headers: the value of {name} has to be text in ASCII, on one line.")
        checked[name.lower()] = value
    return checked


def _session(
    credentials: Credentials,
    deadline: float,
    max_retries: int,
    requests_per_minute: float | None,
    validation: Validation,
    poll_interval: float | None,
) -> tuple[Session, float, Validation]:
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise ValueError(f"max_retries must be a whole number, zero or more, not {max_retries!r}.")
    if requests_per_minute is not None and not (is_number(requests_per_minute) and requests_per_minute > 0):
        raise ValueError(f"requests_per_minute must be above zero, or None, not {requests_per_minute!r}.")
    if validation not in ("strict", "warn", "off"):
        raise ValueError(f"validation must be 'strict', 'warn' or 'off', not {validation!r}.")
    check_waiting(poll_interval)
    session = Session(
        credentials.base_url,
        RateLimit(requests_per_minute),
        Schedule(requests_per_minute),
        max_retries,
        credentials.allow_private_images,
        poll_interval,
        **({} if credentials.key is None else _of_key(credentials.key, credentials.base_url)),
    )
    session.deadline(deadline)
    watch(session.rate_limit, session.schedule)
    return session, deadline, validation


def with_options(core: CoreT, options: Options) -> CoreT:
    """Return a core with other options over the same connections."""
    if unknown := options.keys() - Options.__annotations__.keys():
        raise TypeError(
            f"with_options() does not take {', '.join(sorted(unknown))}; it takes {', '.join(Options.__annotations__)}."
            + "".join(sentence(name, CLIENT) for name in sorted(unknown))
        )
    before = core.session
    limit = options.get("requests_per_minute", before.rate_limit.per_minute)
    http: Any = core.http
    credentials = http.credentials
    session, deadline, validation = _session(
        credentials,
        options.get("deadline", core.deadline),
        options.get("max_retries", before.max_retries),
        limit,
        options.get("validation", core.validation),
        options.get("poll_interval", before.poll_interval),
    )
    if limit == before.rate_limit.per_minute:
        # The same connections, the same account: what is used and learned stays common.
        session = evolve(session, rate_limit=before.rate_limit, schedule=before.schedule)
    if "timeout" in options:
        credentials = evolve(credentials, timeout=_checked_timeout(options["timeout"]))
    if "default_headers" in options:
        headers = {**credentials.headers, **_checked_headers(options["default_headers"])}
        credentials = evolve(credentials, headers=headers)
    shared = evolve(http, credentials=credentials, owned=False)
    return evolve(core, session=session, deadline=deadline, validation=validation, http=shared)


# ---- arguments ----


def is_number(value: object) -> bool:
    """Tell whether something is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def bound(core: T | None) -> T:
    """Return the core of a handle. Raises LemonError for one that was unpickled."""
    if core is None:
        raise LemonError(
            "This handle was unpickled and has no client: lemon.images.task_from_dict(task.to_dict()) binds it."
        )
    return core


def check_waiting(poll_interval: float | None) -> None:
    """Raise ValueError for seconds between two polls that make no sense."""
    if poll_interval is not None and not (is_number(poll_interval) and poll_interval > 0):
        raise ValueError(f"poll_interval must be a number of seconds above zero, or None, not {poll_interval!r}.")
