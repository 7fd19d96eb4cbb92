"""Everything the emulator can do wrong, as one table.

A fault strikes a request at a *place*: ``submit`` (what is billed), ``poll`` (asking for a task), ``image``
(fetching a picture), ``records`` (a page of usage records) or ``ask`` (any other free request: models, prices,
cancelling). What it does is one of four things: answer **instead** of handling the request, so that nothing is
accepted; change the **plan** of an accepted request; change the **account** before it is read; or change the finished
**answer** (accepted, billed).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from email.utils import formatdate
from typing import Any, Final, Literal, TypeAlias

from attrs import define, evolve, field, frozen
from lemon_client.error_table import Meaning
from lemon_client.usage_table import USAGE

from .account import Account
from .records import KEY, Response, code_of, refuse
from .task import with_status

Place: TypeAlias = Literal["submit", "poll", "image", "ask", "records"]
PLACES: Final[tuple[Place, ...]] = ("submit", "poll", "image", "ask", "records")
#: Other names of places, as some have written them.
_ALSO: Final = {"look": "poll"}
Details: TypeAlias = Mapping[str, Any]


@define
class Plan:
    """How an accepted request is going to be carried out."""

    reply: Literal["inline", "task"]
    n: int
    seconds: float
    poll_url: str
    failure: str | dict[str, str] | None = None
    #: Which issue of the image addresses is good; the ones before have expired.
    issue: int = 0
    blank: bool = False
    #: How pictures differ from what was asked for: how many times smaller, and of which format.
    smaller: int = 1
    format: str | None = None
    #: How its usage record differs: seconds until it is shown, seconds by which its date is wrong, whether it lacks its
    #: ids, and how many charges of other programs come with it.
    late: float = 0.0
    misdated: float = 0.0
    nameless: bool = False
    foreign: int = 0


@frozen
class Fault:
    """One way to misbehave. ``places`` is where it makes sense, the usual one first; ``details`` are its settings with
    their defaults. When it strikes, it is also told ``now`` in Unix seconds.
    """

    name: str
    summary: str
    places: tuple[Place, ...] = PLACES
    details: Details = field(factory=dict)
    instead: Callable[[Details], Response] | None = None
    plan: Callable[[Plan, Details], None] | None = None
    answer: Callable[[Response, Details], Response] | None = None
    account: Callable[[Account, Details], None] | None = None


@define
class Injection:
    """A fault that is armed: where, how often (None: always), and with which settings."""

    fault: Fault
    on: Place | Literal["any"]
    times: int | None
    details: Details

    def strikes(self, place: Place) -> bool:
        """Tell whether it strikes at a place now."""
        return self.times != 0 and (self.on == place or (self.on == "any" and place in self.fault.places))


def arm(name: str, *, on: str | None = None, times: int | None = 1, **details: Any) -> Injection:
    """Check and return an injection. Raises ValueError for what there is not, with the nearest name."""
    fault = FAULTS.get(name)
    if fault is None:
        near = get_close_matches(name, FAULTS, n=1, cutoff=0.5)
        raise ValueError(f"There is no fault {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
    place: Any = fault.places[0] if on is None else _ALSO.get(on, on)
    if place not in (*fault.places, "any"):
        raise ValueError(f"The fault {name} strikes on {' or '.join(fault.places)}, not on {on!r}.")
    if times is not None and times < 1:
        raise ValueError(f"A fault strikes once or more often, not {times} times.")
    return Injection(fault, place, times, {**fault.details, **dict(_settings(fault, details))})


def parse_fault(text: str, *, times: int | None = 1) -> Injection:
    """Read ``NAME[@PLACE][:TIMES][,SETTING=VALUE]...``; TIMES ``*`` means always. Raises ValueError.

    This is how faults are written on the command line, in ``Emulator(faults=[...])`` and in a prompt.
    """
    found = re.fullmatch(r"(\w+)(?:@(\w+))?(?::(\d+|\*))?((?:,\w+=[^,]*)*)", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a fault: write NAME[@PLACE][:TIMES][,SETTING=VALUE].")
    name, on, count, settings = found.groups()
    if count is not None:
        times = None if count == "*" else int(count)
    pairs = [setting.split("=", 1) for setting in settings.split(",")[1:]]
    return arm(name, on=on, times=times, **dict(pairs))


def _settings(fault: Fault, details: Details) -> Iterator[tuple[str, Any]]:
    for name, value in details.items():
        if name not in fault.details:
            known = ", ".join(fault.details) or "none"
            raise ValueError(f"The fault {fault.name} has no setting {name!r}; it has: {known}.")
        if isinstance(fault.details[name], str):
            yield name, str(value)
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 <= number < math.inf:
            raise ValueError(f"The setting {name} of {fault.name} is a number, zero or more, not {value!r}.")
        yield name, number


def faults_in(prompt: str) -> Iterator[str]:
    """Yield the faults that a prompt asks for by ``[fault:...]``."""
    yield from re.findall(r"\[fault:([^\[\]]*)\]", prompt)


def _error(
    status: int, message: str, kind: str | None, meaning: Meaning | None = None, place: int = 0, **hints: Any
) -> Any:
    """Answer with a documented error, and the contract's code for what it means."""
    return lambda details: refuse(status, message, kind, meaning and code_of(status, meaning, place), **hints)


def _error_429(details: Details) -> Response:
    seconds = math.ceil(details["seconds"])
    return refuse(
        429, "Rate limit reached", "rate_limit_exceeded", code_of(429, "rate"), retryable=True, retry_after=seconds,
        headers={"retry-after": str(seconds)},
    )  # fmt: skip


def _error_429_date(details: Details) -> Response:
    # The header is the one hint, so that whoever reads no dates is found out.
    headers = {"retry-after": formatdate(details["now"] + details["seconds"], usegmt=True)}
    return refuse(429, "Rate limit reached", "rate_limit_exceeded", code_of(429, "rate"), headers=headers)


def _error_503(retryable: bool | None) -> Any:
    def answer(details: Details) -> Response:
        hints: dict[str, Any] = {} if retryable is None else {"retryable": retryable}
        headers = {}
        if retryable:
            hints["retry_after"] = math.ceil(details["seconds"])
            headers["retry-after"] = str(hints["retry_after"])
        return refuse(
            503, "All channels of that model failed", None, code_of(503, "capacity"), headers=headers,
            alternatives=[{"id": "flux-pro", "status": "available", "tags": []}], **hints,
        )  # fmt: skip

    return answer


def _page(status: int, title: str) -> Response:
    body = f"<html><head><title>{status} {title}</title></head><body><h1>{status} {title}</h1></body></html>"
    return Response(status, {"content-type": "text/html"}, body.encode())


def _set(**changes: Any) -> Callable[[Plan, Details], None]:
    """Return what sets these fields of a plan."""

    def plan(plan: Plan, details: Details) -> None:
        for name, value in changes.items():
            setattr(plan, name, value)

    return plan


def _failure(as_object: bool) -> Callable[[Plan, Details], None]:
    def plan(plan: Plan, details: Details) -> None:
        reason = str(details["reason"])
        plan.reply = "task"
        plan.failure = {"message": reason, "code": str(details["code"])} if as_object else reason

    return plan


def _seconds(plan: Plan, details: Details) -> None:
    plan.reply, plan.seconds = "task", details["seconds"]


def _fewer(plan: Plan, details: Details) -> None:
    plan.n = max(plan.n - 1, 0)


def _expire(plan: Plan, details: Details) -> None:
    plan.issue += 1


def _foreign(plan: Plan, details: Details) -> None:
    plan.foreign += 1


def _moved(account: Account, details: Details) -> None:
    last = account.records[-1] if account.records else None
    key, model = (KEY, "") if last is None else (last.key, last.model)
    account.foreign(key, model, details["now"] - details["seconds"])


def _in_currency(response: Response, details: Details) -> Response:
    """Say of each record in which currency it is."""
    body = response.json()
    for record in body.get(USAGE.entries[0][0], ()):
        record[USAGE.record.currency[0][0]] = details["currency"]
    return evolve(response, body=json.dumps(body).encode())


def _with_status(response: Response, details: Details) -> Response:
    try:
        body = response.json()
    except ValueError:  # spoilt by another fault
        return response
    return evolve(response, body=json.dumps(with_status(body, details["word"])).encode())


REASON: Final = "The prompt was refused by the content policy"
_API: Final[tuple[Place, ...]] = ("submit", "poll", "ask", "records")
_ASK: Final[tuple[Place, ...]] = ("ask",)
_RECORDS: Final[tuple[Place, ...]] = ("records",)
_POLL_FIRST: Final[tuple[Place, ...]] = ("poll", "submit")
_SUBMIT: Final[tuple[Place, ...]] = ("submit",)
_IMAGE: Final[tuple[Place, ...]] = ("image",)

#: By name.
FAULTS: Final[Mapping[str, Fault]] = {
    fault.name: fault
    for fault in (
        # nothing is accepted
        Fault("error_401", "401, the key is refused", _API,
              instead=_error(401, "Invalid API key", "invalid_api_key", "auth")),
        Fault("error_402", "402, the balance is too low", _API,
              instead=_error(402, "Your balance does not cover this request", "insufficient_balance", "money",
                             balance_usd=0.02, estimated_cost_usd=0.04, suggestions=[{"id": "flux-pro"}])),
        Fault("error_403", "403, the key may not use the model", _API,
              instead=_error(403, "This key may not use that model", "access_denied", "permission", 1,
                             param="model")),
        Fault("error_404", "404, the task is not known (yet)", _POLL_FIRST,
              instead=_error(404, "Task not found or no longer available.", "invalid_request_error", "task")),
        Fault("not_cancellable", "400, tasks of this model cannot be cancelled", _ASK,
              instead=_error(400, "Tasks of this model cannot be cancelled", "invalid_request_error", "task")),
        Fault("not_owned", "403, the task is another key's", ("ask", "poll"),
              instead=_error(403, "This task belongs to another key", "access_denied", "permission", 2)),
        Fault("error_501", "501, there is no such thing here", _ASK,
              instead=_error(501, "Not implemented", "server_error")),
        Fault("error_429", "429 with Retry-After in seconds", _API, {"seconds": 1.0}, instead=_error_429),
        Fault("error_429_date", "429 with Retry-After as an HTTP date", _API, {"seconds": 2.0},
              instead=_error_429_date),
        Fault("error_500", "500, a plain server error", PLACES,
              instead=_error(500, "The server had an error", "server_error")),
        Fault("error_503", "503 without a word on trying again", PLACES, instead=_error_503(None)),
        Fault("error_503_retryable", "503 with retryable true and Retry-After", PLACES, {"seconds": 1.0},
              instead=_error_503(True)),
        Fault("error_503_final", "503 with retryable false", PLACES, instead=_error_503(False)),
        Fault("model_not_found", "400, the model does not exist, with the documented suggestions", _SUBMIT,
              instead=_error(400, "The model `gpt-image2` does not exist", "invalid_request_error", "model",
                             param="model", did_you_mean="gpt-image-2",
                             suggestions=[{"id": "gpt-image-2"}, {"id": "nano-banana-pro"}],
                             hint="Use did_you_mean, or list the models with GET /v1/models")),
        Fault("html_502", "502 with an HTML page, as a proxy gives it",
              instead=lambda details: _page(502, "Bad Gateway")),
        Fault("no_connection", "the connection is not made (over a socket: dropped)",
              instead=lambda details: Response(0, cut="connect")),
        Fault("drop_before", "the connection is dropped, and nothing was accepted",
              instead=lambda details: Response(0, cut="answer")),
        # accepted and billed; the answer is spoilt
        Fault("drop_after", "accepted and billed; then the connection is dropped",
              answer=lambda response, details: evolve(response, status=0, cut="answer")),
        Fault("error_504", "accepted and billed; then 504 with an HTML page",
              answer=lambda response, details: _page(504, "Gateway Time-out")),
        Fault("slow", "the answer takes longer", details={"seconds": 5.0},
              answer=lambda response, details: evolve(response, delay=response.delay + details["seconds"])),
        Fault("malformed_json", "200, and the JSON breaks off", _API,
              answer=lambda response, details: evolve(response, body=response.body[: len(response.body) // 2])),
        Fault("empty_body", "200 with nothing in it",
              answer=lambda response, details: evolve(response, body=b"")),
        Fault("unknown_status", "a status word that is not documented", _POLL_FIRST, {"word": "warming_up"},
              answer=_with_status),
        # accepted and billed; carried out otherwise
        Fault("reply_task", "a task, whatever the model usually answers", _SUBMIT, plan=_set(reply="task")),
        Fault("reply_inline", "the images at once, whatever the model usually answers", _SUBMIT,
              plan=_set(reply="inline")),
        Fault("task_seconds", "a task that takes this long", _SUBMIT, {"seconds": 60.0}, plan=_seconds),
        Fault("task_failed", "a task that fails; error is a string", _SUBMIT, {"reason": REASON}, plan=_failure(False)),
        Fault("task_failed_object", "a task that fails; error is an object", _SUBMIT,
              {"reason": REASON, "code": code_of(None, "moderation") or ""}, plan=_failure(True)),
        Fault("tasks_poll_url", "a task with poll_url on /v1/tasks/{id}; that path is served", _SUBMIT,
              plan=_set(reply="task", poll_url="/v1/tasks/{task_id}")),
        Fault("foreign_poll_url", "a task with poll_url on another host", _SUBMIT,
              plan=_set(reply="task", poll_url="https://elsewhere.example/v1/images/generations/{task_id}")),
        Fault("fewer_images", "one image fewer than asked for", _SUBMIT, plan=_fewer),
        Fault("other_size", "pictures half as wide and high as asked for", _SUBMIT, plan=_set(smaller=2)),
        Fault("other_format", "pictures in WebP, whatever was asked for", _SUBMIT, plan=_set(format="webp")),
        Fault("no_images", "complete, without an image", _SUBMIT, plan=_set(n=0)),
        Fault("empty_url", "complete, with empty addresses", _SUBMIT, plan=_set(blank=True)),
        # the account's books
        Fault("late_record", "the usage record is shown so many seconds later", _SUBMIT, {"seconds": 600.0},
              plan=lambda plan, details: setattr(plan, "late", details["seconds"])),
        Fault("nameless_record", "the usage record has neither a request id nor a billing id", _SUBMIT,
              plan=_set(nameless=True)),
        Fault("clock_ahead", "the usage record is dated so many seconds too late", _SUBMIT, {"seconds": 240.0},
              plan=lambda plan, details: setattr(plan, "misdated", details["seconds"])),
        Fault("clock_behind", "the usage record is dated so many seconds too early", _SUBMIT, {"seconds": 240.0},
              plan=lambda plan, details: setattr(plan, "misdated", -details["seconds"])),
        Fault("foreign_charge", "another program with this key is charged for the same model at this moment", _SUBMIT,
              plan=_foreign),
        Fault("moving_pages", "a record from so many seconds ago appears just before the page is read", _RECORDS,
              {"seconds": 60.0}, account=_moved),
        Fault("other_currency", "the records are in another currency", _RECORDS, {"currency": "CNY"},
              answer=_in_currency),
        # pictures
        Fault("image_expired", "the address has expired; the next poll of the task gives a fresh one", _IMAGE,
              plan=_expire),
        Fault("image_truncated", "the connection breaks off in the middle of the picture", _IMAGE,
              answer=lambda response, details: evolve(response, cut="body")),
        Fault("image_page", "an HTML page instead of the picture", _IMAGE,
              answer=lambda response, details: _page(200, "Please wait")),
    )
}  # fmt: skip
