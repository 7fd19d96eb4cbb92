"""The API's operations: build a request, send it once, read the answer, and judge what became of it.

Requests are built by generated code. Answers are read here from the raw JSON, because generated parsers lose the
status of an HTML 502 and can take a task for an empty result.

`judge` is the only place that decides what became of the paid POST (design: *one answer, made in one place*). Other
requests are free, so nearly every failure of theirs is a `Transient` one, worth another try while there is time: `ask`
makes them, and a poll is one that is repeated anyway.

Generated modules are imported where they are used: together they take as long as all of this package, and nobody who
only imports it has to wait for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from functools import cache, lru_cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast
from urllib.parse import urlencode, urljoin

from attrs import evolve, frozen
from lemon_client.error_table import ERROR_CODES
from lemon_client.model_table import REQUIRED
from lemon_client.money_table import BILLING, Told
from lemon_client.task_table import FIELDS, POLLS, STATES

from . import _clock
from ._address import origin
from ._amount import amount
from ._base64 import Picture, as_text
from ._flow import Flow, Send, Sleep, TransportFault, send
from ._inputs import Form
from ._key import VARIABLE
from ._response import APIResponse, error_detail, excerpt, sentence, shorten, text_of, value_of, words
from ._retry import Deadline, retry_after, wait_before
from ._words import LOST
from .errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    InsufficientBalanceError,
    LemonError,
    ModerationStatusError,
    NotFoundError,
    ResponseError,
    SubmissionUncertainError,
    UnreadableSubmissionError,
    status_error_class,
)
from .poll_schedule import Schedule
from .rate_limit import RateLimit

#: Seconds for one poll. Polls are free and repeated, so none needs long.
POLL_SECONDS: Final = 30.0
#: Seconds for the question whether the API answers at all.
KNOCK_SECONDS: Final = 10.0
#: What a gateway says for an API that does not answer, or is not to be asked now.
_GATEWAY: Final = (502, 503, 504)
#: Characters in the address of a task; httpx refuses longer ones than 64 Ki.
LONGEST_ADDRESS: Final = 8192
#: Characters of a task's id. It stands in an address, a file and a command.
LONGEST_ID: Final = 1024
#: Answers to a free request that another try may change, beside every 5xx.
TRANSIENT: Final = frozenset({408, 425, 429, 499})
#: What another try does not bring.
NOT_IMPLEMENTED: Final = 501
_UNREADABLE: Final = "an answer that cannot be read"
#: Answers to the POST that leave open whether it was accepted, beside a 5xx: a gateway lost patience, or its peer.
OPEN: Final = frozenset({303, 408, 499})


class State(Enum):
    """What a status says, by the contract's table. A word that stands nowhere is UNKNOWN: keep polling."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


@frozen(eq=False, repr=False)
class Answer:
    """A successful reply to either operation, in one form. ``images`` are the usable ones: those with a url or data."""

    response: APIResponse
    #: The parsed JSON. Large pictures in it are `Picture` objects.
    body: dict[str, Any]
    task_id: str | None
    status: str | None
    poll_url: str | None
    images: tuple[Mapping[str, Any], ...]
    retry_after: float | None = None

    @property
    def whole(self) -> dict[str, Any]:
        """The body as it came, pictures as text."""
        whole: dict[str, Any] = as_text(self.body)
        return whole

    @property
    def state(self) -> State:
        """What the status says. Images without a status are a finished result."""
        if value_of(self.body, FIELDS.cancelled) is True:
            return State.CANCELLED
        if self.status is None:
            return State.SUCCEEDED if self.images else State.UNKNOWN
        return State(STATES.get(self.status.strip().lower(), "unknown"))

    @property
    def is_task(self) -> bool:
        """Whether there is something to wait for, or to report as failed: never decided from the model's name."""
        return self.task_id is not None and not (self.images and self.state is State.SUCCEEDED)

    @property
    def progress(self) -> float | None:
        """Per cent, where the server says so. Never a sign of completion."""
        value = value_of(self.body, FIELDS.progress)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e6:
            return None
        return float(value)

    @property
    def created(self) -> int | None:
        """Unix seconds, as the server says."""
        value = value_of(self.body, FIELDS.created)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def bill(self) -> Bill:
        """What it says of its bill."""
        return _bill(self.response.headers, self.body)

    @property
    def is_moderated(self) -> bool:
        """Whether the task failed for what the prompt or an image shows, as its error code says."""
        return meaning(value_of(self.body, FIELDS.error)) == "moderation"

    @property
    def reason(self) -> str:
        """Why the task failed, in the server's words."""
        known = {path[0] for paths in (FIELDS.images, FIELDS.status, FIELDS.id) for path in paths}
        rest = {name: value for name, value in self.body.items() if name not in known}
        return words(value_of(self.body, FIELDS.error)) or words(rest) or "no reason given"


class Bill(NamedTuple):
    """What an answer says of its bill: the ids by which the account's records know it, and what it cost."""

    request_id: str | None = None
    billing_id: str | None = None
    cost: Decimal | None = None


def bill(response: APIResponse | None) -> Bill:
    """Return what any answer says of its bill, also one that is no success or cannot be understood."""
    if response is None:
        return Bill()
    try:
        body = response.json()
    except ValueError:
        body = None
    return _bill(response.headers, body if isinstance(body, dict) else {})


def _bill(headers: Mapping[str, str], body: Mapping[str, Any]) -> Bill:
    def told(where: Told) -> Any:
        return next((headers[name] for name in where.headers if headers.get(name)), None) or value_of(body, where.body)

    return Bill(
        _identifier(told(BILLING.request_id)), _identifier(told(BILLING.billing_id)), amount(told(BILLING.cost))
    )


class Transient(NamedTuple):
    """A free request that brought no answer and may go better next time, unless it failed on this machine."""

    reason: str
    retry_after: float | None = None
    status_code: int | None = None
    local: bool = False


@frozen(eq=False, repr=False)
class Record(Mapping[str, Any]):
    """The answer to a free request: its fields as they came, from where, and when (``at``, in Unix seconds)."""

    fields: Mapping[str, Any]
    origin: str
    at: float
    response: APIResponse

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __repr__(self) -> str:
        return f"<Record from {self.origin}: {dict(self.fields)!r}>"


@frozen
class Accepted:
    """The request was taken, and is paid: the answer holds images, or a task."""

    answer: Answer


@frozen
class TryLater:
    """The request was certainly not accepted, and another try may be. ``wait``: seconds that the server asks for."""

    error: LemonError
    wait: float | None = None


@frozen
class Rejected:
    """The request was certainly not accepted, and will not be.

    ``scope``: whether that holds for this request, or for whatever this account sends from here.
    """

    error: LemonError
    scope: Literal["request", "account"] = "request"


@frozen
class Unknown:
    """The request may have been accepted and billed."""

    error: SubmissionUncertainError


Outcome: TypeAlias = Accepted | TryLater | Rejected | Unknown


def judge(reply: APIResponse | TransportFault, wall: float) -> Outcome:
    """Decide what became of the paid POST. ``wall`` is the present time in Unix seconds."""
    if isinstance(reply, TransportFault):
        return _judge_fault(reply)
    status, wait = reply.status_code, retry_after(reply, wall)
    if 200 <= status < 300:
        return _judge_success(reply, wait)
    detail = error_detail(reply)
    if status >= 400 and _is_money(status, detail):
        return Rejected(status_error(reply, wait), "account")
    if status == 429:
        return TryLater(status_error(reply, wait), wait)
    if status == 503 and detail.get("retryable") is False:
        return Rejected(status_error(reply, wait))
    if status == 503 and (detail.get("retryable") is True or wait is not None or "retry-after" in reply.headers):
        return TryLater(status_error(reply, wait), wait)
    if status < 200 or status >= 500 or status in OPEN:
        return Unknown(_uncertain(reply, detail))
    if status < 400:
        return Rejected(redirect_error(reply), "account")
    return Rejected(status_error(reply, wait), "account" if status == 401 or reply.is_page else "request")


def _judge_fault(fault: TransportFault) -> Outcome:
    if fault.sent:
        lost = SubmissionUncertainError(
            f"The request was sent and its answer was lost ({fault}). It may have been accepted and billed: {LOST}."
        )
        lost.__cause__ = fault
        return Unknown(lost)
    error: APIConnectionError
    if fault.local:
        error = APIConnectionError(f"The request did not leave this machine: {fault}. Nothing was sent.")
    else:
        kind = APITimeoutError if fault.timeout else APIConnectionError
        error = kind(f"The API could not be reached ({fault}). Nothing was sent. Check the network and base_url.")
    error.__cause__ = fault
    return Rejected(error, "account") if fault.local else TryLater(error)


def _judge_success(reply: APIResponse, wait: float | None) -> Outcome:
    said = None
    try:
        answer = read_answer(reply, wait)
        if answer is not None and not (
            answer.task_id or answer.images or answer.state in (State.FAILED, State.CANCELLED)
        ):
            answer = None
        if answer is None:
            said = error_detail(reply).get("message")
    except MemoryError:
        answer = None  # it was taken all the same
    if answer is None:
        return Unknown(
            UnreadableSubmissionError(
                f"HTTP {reply.status_code}, but the answer holds neither images nor a task"
                + (f" and says: {sentence(str(said))}" if said else ".")
                + f" The request was very likely billed: {LOST}. The answer is in .body.",
                response=reply,
            )
        )
    return Accepted(settled(answer))


def settled(answer: Answer) -> Answer:
    """Return the answer to a submission: with nothing to poll, what came is the result, whatever its status says."""
    inline = answer.task_id is None and answer.images and not answer.state.ended
    return evolve(answer, status=None) if inline else answer


def _uncertain(reply: APIResponse, detail: Mapping[str, Any]) -> SubmissionUncertainError:
    said = f" and said: {sentence(str(detail['message']))}" if detail.get("message") else "."
    what = "answered with a redirect to where the result is" if reply.status_code == 303 else "failed"
    return SubmissionUncertainError(
        f"HTTP {reply.status_code}: the server {what} while it had the request{said} It may have been accepted and "
        f"billed: {LOST}.",
        response=reply,
    )


def meaning(error: object) -> str | None:
    """Return what the code of an error means, by the contract's table, whatever status it came with."""
    codes = [error.get("code"), error.get("type")] if isinstance(error, Mapping) else [error]
    known = (ERROR_CODES.get(code) for code in codes if isinstance(code, str))
    return next((code.meaning for code in known if code is not None), None)


def _is_money(status: int, detail: Mapping[str, Any]) -> bool:
    if status == 402 or meaning(detail) == "money":
        return True
    said = str(detail.get("message", "")).lower()
    return status < 500 and any(f"insufficient {what}" in said for what in ("credit", "balance", "quota", "fund"))


# ---- the operations ----


@frozen(eq=False, repr=False)
class Session:
    """What every flow of a client shares: where the API is, how often and when to call it."""

    base_url: str
    rate_limit: RateLimit
    schedule: Schedule
    max_retries: int = 2
    #: Whether images may be fetched from private networks although the API is public.
    allow_private_images: bool = False
    #: Seconds between two polls of a task, where a call does not say otherwise; None: the schedule decides.
    poll_interval: float | None = None
    #: What tells one account at one API from others, and no key from it: a hash.
    account: str = ""
    #: Blanks out the key in what a server sent.
    mask: Callable[[APIResponse], APIResponse] = lambda response: response

    @property
    def clock(self) -> Callable[[], float]:
        """The monotonic clock, in seconds."""
        return _clock.monotonic

    def deadline(self, seconds: float) -> Deadline:
        """Start a deadline."""
        return Deadline.after(seconds, _clock.monotonic)


def request_body(fields: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the JSON of a generation request: what was given, and nothing else (server defaults are never sent)."""
    from lemon_client.models import ImageGenerationRequest

    # Without validation a required field may be missing, which generated code cannot hold: the API says so.
    whole = all(name in fields for name in REQUIRED)
    return {**(ImageGenerationRequest.from_dict(fields).to_dict() if whole else fields), **(extra or {})}


class _Bodyless:
    """Stands for a request where only its address is asked of a builder: what the API requires does not matter."""

    def to_dict(self) -> dict[str, Any]:
        return {}

    to_multipart = to_dict


#: The public calls of generated code parse an answer before its status can be looked at, so its builders are used.
_BODY: Final = cast("Any", _Bodyless())


@cache
def create_image() -> tuple[str, str]:
    """Return method and path of the billable POST."""
    from lemon_client.api.images import create_image as endpoint

    return Question.of(endpoint._get_kwargs(body=_BODY))


@cache
def edit_image() -> tuple[str, str]:
    """Return method and path of the POST that changes pictures."""
    from lemon_client.api.images import edit_image as endpoint

    return Question.of(endpoint._get_kwargs(body=_BODY))


@cache
def create_variation() -> tuple[str, str]:
    """Return method and path of the POST that varies a picture."""
    from lemon_client.api.images import create_variation as endpoint

    return Question.of(endpoint._get_kwargs(body=_BODY))


@lru_cache(1024)
def get_image_task(task_id: str) -> str:
    """Return the path of a task. Remembered, because the same task is polled again and again."""
    from lemon_client.api.images import get_image_task as endpoint

    path: str = endpoint._get_kwargs(**dict.fromkeys(POLLS["create_image"].parameters, task_id))["url"]
    return path


class Question(NamedTuple):
    """A free request: its method, and its path with the query."""

    method: str
    path: str

    @classmethod
    def of(cls, kwargs: Mapping[str, Any]) -> Question:
        """Take it from what a generated request builder returns."""
        query = urlencode(kwargs.get("params", {}), doseq=True)
        return cls(kwargs["method"].upper(), kwargs["url"] + (f"?{query}" if query else ""))


def cancel_image_task(task_id: str) -> Question:
    """Return the request that cancels a task."""
    from lemon_client.api.images import cancel_image_task as endpoint

    return Question.of(endpoint._get_kwargs(task_id))


def list_models(query: Mapping[str, str]) -> Question:
    """Return the request that lists models."""
    from lemon_client.api.models import list_models as endpoint

    return Question.of(endpoint._get_kwargs(**query))


def get_model(model: str) -> Question:
    """Return the request for one model."""
    from lemon_client.api.models import get_model as endpoint

    return Question.of(endpoint._get_kwargs(model))


def get_model_pricing(model: str) -> Question:
    """Return the request for what a model costs."""
    from lemon_client.api.models import get_model_pricing as endpoint

    return Question.of(endpoint._get_kwargs(model))


def get_balance() -> Question:
    """Return the request for the money that is left."""
    from lemon_client.api.account import get_balance as endpoint

    return Question.of(endpoint._get_kwargs())


def list_api_keys(query: Mapping[str, str]) -> Question:
    """Return the request that lists the keys of the account; ``query`` chooses a page."""
    from lemon_client.api.account import list_api_keys as endpoint

    return Question.of({**endpoint._get_kwargs(), "params": query})


def get_api_key_usage(key_id: str, query: Mapping[str, str]) -> Question:
    """Return the request for what a key was charged for; ``query`` chooses a page and a time."""
    from lemon_client.api.account import get_api_key_usage as endpoint

    return Question.of({**endpoint._get_kwargs(key_id), "params": query})


def acquire(session: Session, deadline: Deadline) -> Flow[None]:
    """Wait until the rate limit grants a request. Raises APITimeoutError if that takes longer than the deadline."""
    limit = session.rate_limit
    while (wait := limit.acquire(_clock.monotonic(), deadline.left())) is not None and deadline.left() > 0:
        if wait > 0:
            yield Sleep(wait)
        if wait <= 0 or limit.promises:
            return
    raise APITimeoutError("No time was left to send the request, so nothing was sent. Give it a longer deadline.")


#: The billed operations that carry pictures.
_FORMS: Final[Mapping[str, Callable[[], tuple[str, str]]]] = {
    "edit_image": edit_image,
    "create_variation": create_variation,
}
#: What is billed: the JSON of a generation, or a request with pictures.
Body: TypeAlias = Mapping[str, Any] | Form


def submission(session: Session, body: Body, deadline: Deadline) -> Send:
    """Return the billable POST. It gets all the time there is: giving up sooner could only lose a paid image."""
    form = body if isinstance(body, Form) else Form("create_image", body, body)
    method, path = _FORMS.get(form.operation, create_image)()
    return Send(
        method,
        session.base_url + path,
        form.json,
        form.content,
        form.content_type,
        kind="submit",
        within=deadline.left(),
    )


def submit_once(session: Session, post: Send) -> Flow[Outcome]:
    """Send the billable POST once, the rate limit's grant at hand, and judge what became of it."""
    reply: APIResponse | TransportFault
    try:
        reply = yield from send(post)
    except TransportFault as fault:
        reply = fault
    else:
        hold(session, reply)
    return judge(reply, _clock.wall())


def poll(session: Session, task_id: str, poll_url: str | None, deadline: Deadline) -> Flow[Answer | Transient]:
    """Poll a task once, the rate limit's grant at hand. A 404 is a `Transient` too: whether it is final is not told.

    Raises as `ask_once` does.
    """
    try:
        response = yield from ask_once(session, "GET", poll_target(session.base_url, task_id, poll_url)[0], deadline)
    except NotFoundError as exc:
        return Transient(str(exc), exc.retry_after, 404)
    if isinstance(response, Transient):
        return response
    answer = read_answer(response, wait := retry_after(response, _clock.wall()))
    return Transient(_UNREADABLE, wait, response.status_code) if answer is None else answer


def ask(session: Session, question: Question, deadline: Deadline, *, variable: str = VARIABLE) -> Flow[Record]:
    """Make a free request, again until the deadline where another try may do, and return what it was answered with.
    ``variable`` is where what it is made with comes from.

    Raises APIStatusError for what another try cannot change, a 501 included; ResponseError for a redirect; and, when
    the time is over, APITimeoutError that says what the last try met.
    """
    target, attempt = session.base_url + question.path, 0
    while True:
        yield from acquire(session, deadline)
        final = (NOT_IMPLEMENTED,)
        outcome = yield from ask_once(session, question.method, target, deadline, final=final, variable=variable)
        if isinstance(outcome, APIResponse):
            fields = _read_object(outcome)
            if fields is not None:
                return Record(fields, target, _clock.wall(), outcome)
            outcome = Transient(_UNREADABLE, retry_after(outcome, _clock.wall()))
        if outcome.local:
            raise APIConnectionError(f"The request did not leave this machine: {outcome.reason}.")
        attempt += 1
        delay = wait_before(attempt, outcome.retry_after)
        if delay >= deadline.left():
            raise APITimeoutError(
                f"There was no answer before the deadline; the last try met: {sentence(outcome.reason)} The request "
                "is free: make it again, or give it a longer deadline."
            )
        yield Sleep(delay)


def knock(session: Session, failed: int, task: tuple[str, str | None] | None) -> Flow[tuple[str | None, float | None]]:
    """Make one free request, the rate limit's grant at hand, and tell whether the API itself answers it.

    Returns what came instead, or None, and the seconds that it asked to wait. After an odd number of tries that
    ``failed`` a known task is polled, by its id and its address: not every gateway has a list of models. Raises
    APIConnectionError for a request that cannot leave this machine.
    """
    question = list_models({})
    target = session.base_url + question.path
    if by_task := task is not None and failed % 2 == 1:
        assert task is not None  # noqa: S101 - see above
        target = poll_target(session.base_url, *task)[0]
    try:
        response = yield from send(Send("GET", target, within=KNOCK_SECONDS))
    except TransportFault as fault:
        if fault.local:
            raise APIConnectionError(f"The request did not leave this machine: {fault}.") from fault
        return silence(fault), None
    wait = hold(session, response)
    if not by_task and response.status_code in (404, 405):
        return None, wait  # there is no such list, says the server
    if 300 <= response.status_code < 400:
        return f"HTTP {response.status_code}, a redirect", wait
    if response.status_code in _GATEWAY or 520 <= response.status_code < 530:
        return f"HTTP {response.status_code}", wait
    return silence(response), wait


def silence(met: APIResponse | TransportFault) -> str | None:
    """Say what came instead of an answer of the API's own, or None if it answered: no connection, a page for people, or
    a failure that is no JSON.
    """
    if isinstance(met, TransportFault):
        return None if met.local else str(met)
    if met.is_page:
        return f'HTTP {met.status_code} with a page that is not the API\'s: "{excerpt(met)}"'
    return f"HTTP {met.status_code}" if met.status_code >= 500 and _read_object(met) is None else None


def ask_once(
    session: Session,
    method: str,
    target: str,
    deadline: Deadline,
    *,
    final: Container[int] = (),
    variable: str = VARIABLE,
) -> Flow[APIResponse | Transient]:
    """Make a free request once, the rate limit's grant at hand, and return its successful answer.

    Raises APIStatusError for what another try cannot change (a 4xx of the API's own, and what is ``final`` besides) and
    ResponseError for a redirect. A page that is not the API's is like a 502: somebody between us and the API.
    """
    within = min(POLL_SECONDS, deadline.left())
    try:
        response = yield from send(Send(method, target, within=within))
    except TransportFault as exc:
        return Transient(str(exc), local=exc.local)
    wait = hold(session, response)
    status = response.status_code
    if response.is_page:
        return Transient(f'HTTP {status} with a page that is not the API\'s: "{excerpt(response)}"', wait)
    if status in TRANSIENT or (status >= 500 and status not in final):
        return Transient(f"HTTP {status}", wait, status)
    if status >= 400:
        raise status_error(response, wait, variable)
    if status >= 300:
        raise redirect_error(response)
    return response


def hold(session: Session, response: APIResponse) -> float | None:
    """Return the seconds the server asks to wait; after a 429, whatever shares the rate limit waits as long."""
    wait = retry_after(response, _clock.wall())
    if response.status_code == 429 and wait is not None:
        session.rate_limit.hold(_clock.monotonic(), wait)
    return wait


def poll_target(base_url: str, task_id: str, poll_url: str | None) -> tuple[str, bool]:
    """Return where to poll a task, and whether the server's ``poll_url`` had to be passed over.

    The server's address is followed as given, but only on the API's own origin. A path that starts with /v1/ is
    relative to the base URL, whose own path comes before it.
    """
    standard = base_url + get_image_task(task_id)
    if poll_url is None:
        return standard, False
    target = absolute(base_url, poll_url)
    if target is None or origin(target) != origin(base_url):
        return standard, True
    return target, False


def absolute(base_url: str, address: str) -> str | None:
    """Return the full form of an address that the API gave, or None for what is none."""
    address = address.strip()
    try:
        target = base_url + address if address.startswith("/v1/") else urljoin(base_url + "/", address)
    except ValueError:
        return None
    strange = len(target) > LONGEST_ADDRESS or not target.isprintable() or any(c in " \\" for c in target)
    return None if strange or origin(target) is None else target


# ---- answers ----


def read_answer(response: APIResponse, wait: float | None = None) -> Answer | None:
    """Read a successful reply, whatever shape it has. None if there is neither a task nor an image in it.

    The contract's first field for an id names a task by itself, the others only beside a status or a poll address and
    never beside an error: gateways put the id of a request there. An id that cannot be written
    down and read again is none.
    """
    body = _read_object(response)
    if body is None:
        return None
    poll_url, status = text_of(value_of(body, FIELDS.poll_url)), text_of(value_of(body, FIELDS.status))
    data = value_of(body, FIELDS.images)
    images = tuple(item for item in data if _usable(item)) if isinstance(data, list) else ()
    given = value_of(body, FIELDS.id[:1])
    if given is None and (status is not None or poll_url is not None) and not value_of(body, FIELDS.error):
        given = value_of(body, FIELDS.id[1:])
    task_id = _identifier(given)
    if task_id is None and given is None and poll_url is not None:
        task_id = _identifier(poll_url.strip().partition("?")[0].partition("#")[0].rstrip("/").rpartition("/")[2])
    if given is not None and task_id is None and not images:
        return None
    if task_id is None and not images and status is None:
        return None
    return Answer(response, body, task_id, status, poll_url, images, wait)


def _read_object(response: APIResponse) -> dict[str, Any] | None:
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def valid_id(task_id: object) -> bool:
    """Tell whether something can be a task id: opaque text that can stand in an address, a file and a command."""
    return (
        isinstance(task_id, str)
        and task_id.strip() not in ("", ".", "..")
        and task_id.isprintable()
        and len(task_id) <= LONGEST_ID
    )


def status_error(response: APIResponse, wait: float | None = None, variable: str = VARIABLE) -> APIStatusError:
    """Return the typed error for an error answer, with the server's own words. ``variable`` holds the key."""
    status, detail = response.status_code, error_detail(response)
    kind = status_error_class(status)
    if _is_money(status, detail):
        kind = InsufficientBalanceError
    elif status < 500 and meaning(detail) == "moderation":
        kind = ModerationStatusError
    message = str(detail.get("message") or "no message")
    if response.is_page:
        parts = [
            f'HTTP {status} with a page that is not the API\'s: "{message}"',
            "Something between this machine and the API answered. Check the network, the proxy and base_url",
        ]
    else:
        parts = [f"HTTP {status}: {shorten(message)}"]
        if meant := text_of(detail.get("did_you_mean")):
            parts.append(f"Did you mean {meant!r}?")
        if hint := text_of(detail.get("hint")):
            parts.append(shorten(hint))
        elif kind in _ADVICE:
            parts.append(_ADVICE[kind])
        elif status in _ADVICE_BY_STATUS:
            parts.append(_ADVICE_BY_STATUS[status].format(variable=variable))
    if wait is not None:
        parts.append(f"The server asks to wait {wait:g} s.")
    return kind(" ".join(map(sentence, parts)), response=response, detail=detail, retry_after=wait)


def redirect_error(response: APIResponse) -> ResponseError:
    """Return the error for a 3xx: the key and the request must not wander to another address."""
    return ResponseError(
        f"HTTP {response.status_code}: the API answered with a redirect, which is not followed. Check base_url.",
        response=response,
    )


_ADVICE: Final[Mapping[type[APIStatusError], str]] = {
    InsufficientBalanceError: "Top up the account or raise the limit of this key",
}
_ADVICE_BY_STATUS: Final[Mapping[int, str]] = {
    401: "Check {variable}",
    403: "This key may not do that",
    404: "Check the address and the model",
    413: "Make the request smaller",
    429: "Send fewer requests, or lower requests_per_minute",
}


def _usable(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    data = item.get("b64_json")
    return isinstance(data, Picture) or text_of(item.get("url")) is not None or text_of(data) is not None


def _identifier(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < math.inf:
        value = str(value) if abs(value) < 10**30 else None
    return value if isinstance(value, str) and valid_id(value) else None
