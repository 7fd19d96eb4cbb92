"""What the parts of a client share: its options, checked; the session of its flows; and the driver of its colour."""

from __future__ import annotations

import inspect
import json
import keyword
import math
import os
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple, TypeAlias, TypedDict, TypeVar

from attrs import define, evolve, field, frozen
from lemon_client.model_table import DEFAULT_MODEL, PARAMETERS, SERVERS
from lemon_client.picture_table import FORMS

from . import _flow
from ._address import parse_base_url
from ._api import Body, Session, request_body
from ._connections import check_environment, new_async_client, new_client
from ._fork import watch
from ._http import AsyncHttp, Credentials, Http
from ._inputs import form, read_pictures
from ._key import ApiKey
from ._openai import CALL, CLIENT, sentence
from ._retry import Deadline
from ._warn import warn
from ._words import NO_MODEL
from .capabilities import Violation, caution, describe, fanned_out, violations, wrong_fields
from .errors import CapabilityError, LemonError
from .poll_schedule import Schedule
from .rate_limit import RateLimit

if TYPE_CHECKING:
    import httpx

    from .ledger import Ledger

T = TypeVar("T")

Validation: TypeAlias = Literal["strict", "warn", "off"]
#: A flow, and what tells whoever leaves it what is paid for.
Told: TypeAlias = tuple[_flow.Flow[T], Callable[[BaseException], None]]
#: As httpx writes a body.
_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


class Options(TypedDict, total=False):
    """What `with_options` can change. The meanings are those of `Lemon`."""

    timeout: float | None
    deadline: float
    max_retries: int
    requests_per_minute: float | None
    validation: Validation
    poll_interval: float | None


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
        """Drive a flow, and give whatever ends it early to what belongs to it, on its way out."""
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


def blocking_core(
    api_key: str | None,
    base_url: str | None,
    timeout: float | None,
    http_client: httpx.Client | None,
    allow_private_images: bool,
    options: tuple[float, int, float | None, Validation, float | None],
) -> BlockingCore:
    """Make the core of a blocking client. Raises MissingKeyError, ConfigurationError, ValueError."""
    credentials = _credentials(api_key, base_url, timeout, allow_private_images)
    if http_client is None:
        check_environment(lambda: new_client("submit", credentials.guard).close())
    return BlockingCore(*_session(credentials, *options), Http(credentials, http_client))


def async_core(
    api_key: str | None,
    base_url: str | None,
    timeout: float | None,
    http_client: httpx.AsyncClient | None,
    allow_private_images: bool,
    options: tuple[float, int, float | None, Validation, float | None],
) -> AsyncCore:
    """Async twin of `blocking_core`."""
    credentials = _credentials(api_key, base_url, timeout, allow_private_images)
    if http_client is None:
        check_environment(lambda: new_async_client("submit", credentials.guard))
    return AsyncCore(*_session(credentials, *options), AsyncHttp(credentials, http_client))


def borrowed(client: Any, deadline: float) -> tuple[Session, float, Validation, Credentials]:
    """Return what a core over a client of the generated package needs: its key stays where it is."""
    credentials = Credentials(None, parse_base_url(str(client.base_url)))
    return (*_session(credentials, deadline, 2, 1000, "strict", None), credentials)


def _of_key(key: ApiKey, base_url: str) -> dict[str, Any]:
    return {"mask": key.mask, "account": key.fingerprint(base_url)}


def address_of(base_url: str | None) -> str:
    """Return the address that is used where this is given. Raises ConfigurationError or ValueError."""
    return parse_base_url(base_url if base_url is not None else os.environ.get("LEMONDATA_BASE_URL") or SERVERS[0])


def _credentials(
    api_key: str | None, base_url: str | None, timeout: float | None, allow_private_images: bool
) -> Credentials:
    key = api_key if api_key is not None else os.environ.get("LEMONDATA_API_KEY", "")
    return Credentials(ApiKey(key), address_of(base_url), _checked_timeout(timeout), bool(allow_private_images))


def _checked_timeout(timeout: float | None) -> float | None:
    if timeout is not None and not (is_number(timeout) and timeout > 0):
        raise ValueError(f"timeout must be a number of seconds above zero, or None, not {timeout!r}.")
    return timeout


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
    shared = evolve(http, credentials=credentials, owned=False)
    return evolve(core, session=session, deadline=deadline, validation=validation, http=shared)


# ---- requests ----


@frozen(eq=False, repr=False)
class Request:
    """A billed request that was checked: what to send, and what is needed to make sense of its answer."""

    body: Body
    model: str
    prompt: str | None
    n: int


def prepare(
    prompt: str,
    model: str | None,
    params: Mapping[str, Any],
    extra_body: Mapping[str, Any] | None,
    validation: Validation,
) -> Request:
    """Check a generation and return it ready to send. Raises TypeError for an unknown parameter, CapabilityError."""
    given, model = _named(params, PARAMETERS, extra_body), _model(model)
    fields = {"model": model, "prompt": prompt, **given}
    if validation != "off":
        _judge(violations(fields), fields, validation)
    body = request_body(fields, extra_body)
    _check_json(body)
    return Request(body, model, prompt, _count(given.get("n", 1)))


def prepare_parts(
    prompt: str,
    model: str | None,
    params: Mapping[str, Any],
    extra_body: Mapping[str, Any] | None,
    validation: Validation,
    fan_out: bool,
) -> list[Request]:
    """Check a generation and return the requests that it takes: one, or several with ``fan_out``. As `prepare`."""
    given = {**params, "model": _model(model)}
    parts = fanned_out(given) if fan_out else [given]
    return [prepare(prompt, part.pop("model"), part, extra_body, validation) for part in parts]


def prepare_pictures(
    operation: str,
    pictures: Mapping[str, object],
    prompt: str | None,
    model: str | None,
    params: Mapping[str, Any],
    extra_body: Mapping[str, Any] | None,
    validation: Validation,
) -> Request:
    """Read the pictures of an edit or a variation, check everything, and return it ready to send.

    Raises as `prepare` does, and OSError for a file that cannot be read. What is no whole picture is never sent.
    """
    shape = FORMS[operation]
    given, model = _named(params, shape.parameters, extra_body), _model(model)
    fields = {"model": model, **({} if prompt is None else {"prompt": prompt}), **given}
    read, wrong = read_pictures(operation, pictures)
    if found := [Violation(name, reason) for name, reason in wrong]:
        raise CapabilityError(describe(found), violations=found)
    if validation != "off":
        _judge(wrong_fields(fields, shape.required), fields, validation)
    fields.update(extra_body or {})
    _check_json(fields)
    return Request(form(operation, fields, read), model, prompt, _count(given.get("n", 1)))


def _named(params: Mapping[str, Any], known: Collection[str], extra_body: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what was given, under the API's names. Raises TypeError for what is unknown, or in the wrong place."""
    given = {_wire_name(name, known): value for name, value in params.items() if value is not None}
    if extra_body and (twice := sorted({*known} & extra_body.keys())):
        raise TypeError(f"{', '.join(twice)} in extra_body: give the API's own parameters as arguments of their own.")
    return given


def _model(model: str | None) -> str:
    model = DEFAULT_MODEL if model is None else model
    if model is None:
        raise TypeError(NO_MODEL)
    return model


def _judge(found: list[Violation], fields: Mapping[str, Any], validation: Validation) -> None:
    if found and validation == "strict":
        raise CapabilityError(describe(found), violations=found)
    for one in found:
        warn(f"{one}. It is sent all the same, because validation='warn'.")
    caution(fields)


def _check_json(body: Mapping[str, Any]) -> None:
    try:
        _JSON.encode(body).encode()
    except UnicodeEncodeError:
        raise ValueError("The request holds half a character (a lone surrogate), so nothing was sent.") from None
    except (TypeError, ValueError) as exc:
        raise type(exc)(f"The request cannot be sent as JSON ({exc}), so nothing was sent.") from None


def _count(n: Any) -> int:
    """Return how many images are asked for; with validation off, ``n`` may be anything."""
    try:
        return max(int(n), 1)
    except (TypeError, ValueError, OverflowError):
        return 1


def _wire_name(name: str, known: Collection[str]) -> str:
    """Return the API's name of a parameter: ``async_`` is Python's way to write ``async``."""
    bare = name.removesuffix("_")
    wire = bare if keyword.iskeyword(bare) else name
    if wire in known:
        return wire
    if told := sentence(name, CALL):
        raise TypeError(told.strip())
    from difflib import get_close_matches  # for a mistake only

    near = get_close_matches(name, known, n=1)
    raise TypeError(
        f"{name!r} is not a parameter of the API{' for this request' if name in PARAMETERS else ''}."
        + (f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(known)}.")
        + " What the contract does not know yet goes into extra_body={...}."
    )


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
