"""The only door to the generated endpoints: a request in, an `Answer` or a typed error out.

Requests are built by generated code. Answers are read here from the raw JSON, because generated parsers lose the
status of an HTML 502 and can take a task for an empty result; what an image holds is a generated model again.

Generated modules are imported where they are used: together they take as long as all of this package, and nobody who
only imports it has to wait for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urljoin

from attrs import evolve, frozen

from ._base64 import Picture, as_text
from ._flow import Flow, Send, Sleep, TransportFault, send
from ._wire import origin
from .errors import (
    APIConnectionError,
    APIResponse,
    APIStatusError,
    APITimeoutError,
    LemonError,
    ResponseError,
    SubmissionUncertainError,
    TaskFailedError,
    UnreadableSubmissionError,
    error_detail,
    status_error_class,
)
from .retry import Deadline, Verdict, is_transient, judge_submission, retry_after, wait_before

if TYPE_CHECKING:
    from .schedule import RequestBudget

#: Seconds for one look at a task. Looks are free and repeated, so none needs long.
LOOK_SECONDS: Final = 30.0
#: Characters in the address of a task; httpx refuses longer ones than 64 Ki.
LONGEST_ADDRESS: Final = 8192
#: What is shown of a message of the server's.
LONGEST_MESSAGE: Final = 500


class State(Enum):
    """What a status word plainly says."""

    RUNNING = auto()
    COMPLETED = auto()
    FAILED = auto()
    UNKNOWN = auto()


# The documented words (status page) and the synonyms that other gateways and later pages of the vendor use.
_STATES: Final = {
    **dict.fromkeys(("pending", "processing", "queued", "running", "submitted", "in_progress"), State.RUNNING),
    **dict.fromkeys(("completed", "complete", "succeeded", "success"), State.COMPLETED),
    **dict.fromkeys(("failed", "failure", "error", "canceled", "cancelled", "aborted", "expired"), State.FAILED),
}


@frozen(eq=False, repr=False)
class Answer:
    """A reply to either operation, in one form. ``images`` are the usable ones: those with a url or data."""

    response: APIResponse
    body: dict[str, Any]
    task_id: str | None
    status: str | None
    poll_url: str | None
    images: tuple[dict[str, Any], ...]
    retry_after: float | None = None

    @property
    def whole(self) -> dict[str, Any]:
        """The body with the data of pictures that were taken out of it on arrival."""
        whole: dict[str, Any] = as_text(self.body)
        return whole

    @property
    def state(self) -> State:
        """What the status says. Images without a status are a finished result."""
        if self.status is None:
            return State.COMPLETED if self.images else State.UNKNOWN
        return _STATES.get(self.status.strip().lower(), State.UNKNOWN)

    @property
    def is_task(self) -> bool:
        """Whether there is something to wait for, or to report as failed: never decided from the model's name."""
        return self.task_id is not None and not (self.images and self.state is State.COMPLETED)

    @property
    def progress(self) -> float | None:
        """Per cent, where the server says so. Never a sign of completion."""
        value = self.body.get("progress")
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e6:
            return None
        return float(value)

    @property
    def created(self) -> int | None:
        """Unix seconds, as the server says."""
        value = self.body.get("created")
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def reason(self) -> str:
        """Why the task failed, in the server's words."""
        error = self.body.get("error")
        if isinstance(error, Mapping):
            error = error.get("message") or error.get("code")
        return _shorten(str(error)) if error else "no reason given"


class Setback(NamedTuple):
    """A look that brought no answer and may go better next time."""

    reason: str
    retry_after: float | None = None
    status_code: int | None = None


class Refused(NamedTuple):
    """A submission that certainly was not accepted, though another try may be: the error it amounts to, and how many
    seconds the server asks to wait.
    """

    error: LemonError
    wait: float | None

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait before try ``attempt``."""
        return wait_before(attempt, self.wait)


@frozen(eq=False, repr=False)
class Session:
    """What every flow of a client shares: where the API is, how often to ask it, and the clocks."""

    base_url: str
    budget: RequestBudget
    max_retries: int = 2
    allow_private_images: bool = False
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time

    def deadline(self, seconds: float) -> Deadline:
        """Start a deadline."""
        return Deadline.after(seconds, self.clock)


def request_body(fields: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the JSON of a generation request: what was given, and nothing else (server defaults are never sent)."""
    from lemon_client.models import ImageGenerationRequest

    return {**ImageGenerationRequest.from_dict(fields).to_dict(), **(extra or {})}


@cache
def create_image() -> tuple[str, str]:
    """Return method and path of the billable POST."""
    from lemon_client.api.images import create_image as endpoint
    from lemon_client.models import ImageGenerationRequest

    # The builder, which wants some request: the public calls parse the answer before its status can be looked at.
    kwargs = endpoint._get_kwargs(body=ImageGenerationRequest(prompt=""))
    return kwargs["method"].upper(), kwargs["url"]


@lru_cache(1024)
def get_image_task(task_id: str) -> str:
    """Return the path of a task. Remembered, because the same task is asked for again and again."""
    from lemon_client.api.images import get_image_task as endpoint

    path: str = endpoint._get_kwargs(task_id=task_id)["url"]
    return path


def submit(session: Session, body: Mapping[str, Any], deadline: Deadline) -> Flow[Answer]:
    """Send the billable POST, again only if it certainly was not accepted.

    Raises SubmissionUncertainError where that cannot be told, APIStatusError for a refusal, APIConnectionError if the
    API could not be reached.
    """
    attempt = 0
    while True:
        yield from book(session, deadline)
        outcome = yield from post(session, body, deadline)
        if isinstance(outcome, Answer):
            return outcome
        attempt += 1
        delay = outcome.delay(attempt)
        if attempt > session.max_retries or delay >= deadline.left():
            raise outcome.error
        yield Sleep(delay)


def post(session: Session, body: Mapping[str, Any], deadline: Deadline) -> Flow[Answer | Refused]:
    """Send the billable POST once, without booking it. Raises as `submit` does for what another try cannot mend."""
    method, path = create_image()
    outcome: APIResponse | TransportFault
    try:
        # Giving up before the deadline could only lose a paid image.
        outcome = yield from send(Send(method, session.base_url + path, body, within=deadline.left()))
    except TransportFault as exc:
        outcome = exc
    verdict = judge_submission(outcome)
    if verdict is not Verdict.REFUSED:
        return _submitted(outcome, verdict, session)
    wait = _pause(session, outcome)
    return Refused(_refusal(outcome, wait), wait)


def book(session: Session, deadline: Deadline) -> Flow[None]:
    """Take one request from the budget, waiting for it if needed. Raises APITimeoutError if that takes too long."""
    wait = session.budget.reserve(session.clock(), deadline.left())
    if wait is None or deadline.left() <= 0:
        raise APITimeoutError("No time was left to send the request, so nothing was sent. Give it a longer deadline.")
    if wait > 0:
        yield Sleep(wait)


def look(
    session: Session, task_id: str, poll_url: str | None, deadline: Deadline
) -> Flow[Answer | Setback | APIResponse]:
    """Book and ask once for a task. See `ask`."""
    yield from book(session, deadline)
    return (yield from ask(session, task_id, poll_url, deadline))


def ask(
    session: Session, task_id: str, poll_url: str | None, deadline: Deadline
) -> Flow[Answer | Setback | APIResponse]:
    """Ask once for a task: an answer, a setback, or the response that says there is no such task (404).

    Raises APIStatusError for what asking again cannot change (401, 402, 403...) and ResponseError for a redirect.
    """
    within = min(LOOK_SECONDS, deadline.left())
    try:
        response = yield from send(Send("GET", poll_target(session.base_url, task_id, poll_url)[0], within=within))
    except TransportFault as exc:
        return Setback(str(exc))
    wait = _pause(session, response)
    if is_transient(response):
        return Setback(f"HTTP {response.status_code}", wait, response.status_code)
    if response.status_code == 404:
        return response
    if response.status_code >= 400:
        raise status_error(response, wait)
    if response.status_code >= 300:
        raise redirect_error(response)
    answer = read_answer(response, wait)
    return Setback("an answer that cannot be read", wait, response.status_code) if answer is None else answer


def read_answer(response: APIResponse, wait: float | None = None) -> Answer | None:
    """Read a successful reply, whatever shape it has. None if there is neither a task nor an image in it."""
    try:
        body = response.json()
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    poll_url = _text(body.get("poll_url"))
    task_id = _identifier(body.get("task_id")) or _identifier(body.get("id"))
    if task_id is None and poll_url is not None:
        task_id = poll_url.partition("?")[0].partition("#")[0].rstrip("/").rpartition("/")[2] or None
    data = body.get("data")
    images = _images(data) if data and isinstance(data, list) else ()
    status = _text(body.get("status"))
    if task_id is None and status is None and not isinstance(data, list):
        return None
    return Answer(response, body, task_id, status, poll_url, images, wait)


def poll_target(base_url: str, task_id: str, poll_url: str | None) -> tuple[str, bool]:
    """Return where to ask for a task, and whether the server's ``poll_url`` had to be passed over.

    The server's address is followed as given, but only on the API's own origin. A path that starts with /v1/ is
    relative to the base URL, whose own path comes before it.
    """
    standard = base_url + get_image_task(task_id)
    if poll_url is None:
        return standard, False
    try:
        target = base_url + poll_url if poll_url.startswith("/v1/") else urljoin(base_url + "/", poll_url)
    except ValueError:
        return standard, True
    strange = len(target) > LONGEST_ADDRESS or not target.isprintable() or any(c in " \\" for c in target)
    if strange or origin(target) != origin(base_url):
        return standard, True
    return target, False


def status_error(response: APIResponse, wait: float | None = None) -> APIStatusError:
    """Return the typed error for an error answer."""
    detail = error_detail(response)
    message = _text(detail.get("message")) or _text(detail.get("code")) or "no message"
    parts = [f"HTTP {response.status_code}: {_shorten(message)}"]
    if meant := _text(detail.get("did_you_mean")):
        parts.append(f"Did you mean {meant!r}?")
    if hint := _text(detail.get("hint")):
        parts.append(_shorten(hint))
    elif response.status_code in _ADVICE:
        parts.append(_ADVICE[response.status_code])
    if wait is not None:
        parts.append(f"The server asks to wait {wait:g} s.")
    return status_error_class(response.status_code)(
        " ".join(_sentence(p) for p in parts), response=response, retry_after=wait
    )


def redirect_error(response: APIResponse) -> ResponseError:
    """Return the error for a 3xx: the key and the request must not wander to another address."""
    return ResponseError(
        f"HTTP {response.status_code}: the API answered with a redirect, which is not followed. Check base_url.",
        response=response,
    )


_ADVICE: Final = {
    401: "Check LEMONDATA_API_KEY",
    402: "Top up the account or raise the limit of this key",
    403: "This key may not do that",
    404: "Check the address and the model",
    413: "Make the request smaller",
    429: "Send fewer requests, or lower requests_per_minute",
}


def _submitted(outcome: APIResponse | TransportFault, verdict: Verdict, session: Session) -> Answer:
    if isinstance(outcome, TransportFault):
        raise SubmissionUncertainError(
            f"The request was sent and its answer was lost ({outcome}). It may have been accepted and billed: "
            "look at your account before sending it again."
        ) from outcome
    if verdict is Verdict.ERROR:
        raise status_error(outcome, retry_after(outcome, session.wall()))
    if verdict is Verdict.UNCERTAIN:
        raise SubmissionUncertainError(
            f"HTTP {outcome.status_code}: the server failed while it had the request. It may have been accepted and "
            "billed: look at your account before sending it again.",
            response=outcome,
        )
    if outcome.status_code >= 300:
        raise redirect_error(outcome)
    answer = read_answer(outcome, retry_after(outcome, session.wall()))
    if answer is None:
        said = _text(error_detail(outcome).get("message"))
        raise UnreadableSubmissionError(
            f"HTTP {outcome.status_code}, but the answer holds neither images nor a task"
            + (f" and says: {_sentence(_shorten(said))}" if said else " (see .body).")
            + " The request was very likely billed: look at your account before sending it again.",
            response=outcome,
        )
    if answer.task_id is None and answer.state is State.FAILED:
        raise TaskFailedError(f"The request ended as {answer.status}: {answer.reason}.", reason=answer.reason)
    if answer.task_id is None and answer.images and answer.status is not None:
        # There is nothing to ask for, so what came is the result, whatever its status says.
        return evolve(answer, status=None)
    return answer


def _refusal(outcome: APIResponse | TransportFault, wait: float | None) -> LemonError:
    if isinstance(outcome, APIResponse):
        return status_error(outcome, wait)
    kind = APITimeoutError if outcome.timeout else APIConnectionError
    error = kind(f"The API could not be reached ({outcome}). Nothing was sent. Check the network and base_url.")
    error.__cause__ = outcome
    return error


def _pause(session: Session, outcome: APIResponse | TransportFault) -> float | None:
    """Return what the server asks to wait; after a 429, hold back everything that shares the budget for as long."""
    if isinstance(outcome, TransportFault):
        return None
    wait = retry_after(outcome, session.wall())
    if outcome.status_code == 429 and wait is not None:
        session.budget.penalize(session.clock() + wait)
    return wait


def _images(data: list[Any]) -> tuple[dict[str, Any], ...]:
    return tuple(item for item in data if _usable(item))


def _usable(item: object) -> bool:
    return isinstance(item, dict) and (
        isinstance(item.get("b64_json"), Picture) or (_text(item.get("url")) or _text(item.get("b64_json"))) is not None
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _identifier(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = _text(value)
    return None if text is None else text.encode("utf-8", "replace").decode()


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!", "…")) else text + "."
