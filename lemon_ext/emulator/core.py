"""The emulator: a request in, a response out. It never sleeps and opens no socket; the doors around it do.

It judges requests by the contract alone, keeps tasks on an injected clock, counts what would be billed, and checks each
of its own answers against the contract: one that breaks it becomes a loud 500.
"""

from __future__ import annotations

import base64
import json
import math
import random
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, TypeAlias
from urllib.parse import parse_qsl

import anyio
from attrs import define, evolve, field, frozen
from lemon_client.money_table import BILLING
from lemon_client.picture_table import FORMS
from lemon_client.task_table import CANCELS, POLLS

from lemon_ext._amount import amount

from .account import BALANCE, KEYS, RECORDS, Account, UsageRecord
from .contract import GENERATION, Contract, Operation, Problem
from .faults import Injection, Place, Plan, arm, faults_in, parse_fault
from .form import FORM, MAX_FORM, read_form
from .job import Job, as_large, wanted_format, wanted_size
from .records import ADDRESS, MAX_BODY, REFUSED_KEYS, Refusal, Request, Response, code_of, refuse, reply
from .task import answer, word

if TYPE_CHECKING:
    from starlette.routing import Router

    from .server import Server
    from .transport import EmulatorTransport

#: Where pictures are served. No key is needed there.
IMAGES: Final = "/emulator/images/"
#: The part of its time that a task says the first documented word of those that mean running; then the last.
PENDING_PART: Final = 0.2

TaskSeconds: TypeAlias = float | Callable[[str, random.Random], float]


@frozen
class Charge:
    """One accepted generation request: this is what would be billed."""

    task_id: str | None
    model: str
    n: int
    at: float
    request: Mapping[str, Any] = field(repr=False)
    #: US dollars, and what the answer called the request.
    cost: Decimal = Decimal(0)
    request_id: str = ""


@frozen
class Seen:
    """One request that came in. ``status`` is 0 where the connection was dropped."""

    method: str
    path: str
    status: int
    keyed: bool


@define
class Handling:
    """What is to happen with a request that nothing speaks against."""

    place: Place
    job: Job | None
    act: Callable[[], Response]
    check: Callable[[Response], Response]


class Emulator:
    """A local stand-in for the API. A context manager, safe to share between threads.

    ``task_seconds``: how long a task takes, or a function of the model and a `random.Random`. ``latency``: seconds
    before every answer. ``requests_per_minute``: more are answered with 429 (None: no limit). ``faults``: armed from
    the start, as `parse_fault` reads them. ``balance``: what the account holds, in US dollars; what exceeds it gets a
    402 (None: no limit). ``price``: what an image costs whose price the contract does not say; it is made up.
    ``seed``: other colours, and other random durations. ``clock`` and ``wall``
    tell the time; ``sleep`` and ``asleep`` are what the transport waits with. ``contract``: another contract than the
    package's own, as data. ``task_seconds``, ``latency`` and ``requests_per_minute`` can be set at any time.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        task_seconds: TaskSeconds = 2.0,
        latency: float = 0.0,
        requests_per_minute: int | None = None,
        faults: Iterable[str | Injection] = (),
        balance: str | float | Decimal | None = None,
        price: str | float | Decimal = "0.01",
        seed: int = 0,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,  # noqa: TID251 - handed to the transport, which does the waiting
        asleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        contract: Mapping[str, Any] | None = None,
    ) -> None:
        self.clock, self.wall, self.sleep, self.asleep = clock, wall, sleep, asleep
        self.task_seconds, self.latency, self.requests_per_minute = task_seconds, latency, requests_per_minute
        self.seed = seed
        self.address = ADDRESS
        self.contract = Contract.load() if contract is None else Contract(contract)
        poll = POLLS[GENERATION].operation
        self._poll_path = re.sub(r"\{\w+\}", "{task_id}", self.contract.path_of(poll))
        self._prefix = self.contract.example(poll).rpartition("_")[0] + "_"
        self._money = None if balance is None else _amount(balance, "balance"), _amount(price, "price")
        self._faults = [parse_fault(fault) if isinstance(fault, str) else fault for fault in faults]
        self._lock = threading.Lock()
        self._server: Server | None = None
        self.reset()

    def reset(self) -> None:
        """Forget all tasks, charges and requests, and arm the faults that it was made with again."""
        with self._lock:
            self.ledger: list[Charge] = []
            self.account = Account(*self._money)
            self.requests: list[Seen] = []
            self._jobs: dict[str, Job] = {}
            self._aliases: dict[str, str] = {}
            self._armed = [evolve(fault) for fault in self._faults]
            self._asked: dict[tuple[str, str], Injection] = {}
            self._window: deque[float] = deque()
            self._dice = random.Random(self.seed)

    @property
    def charges(self) -> int:
        """How many generation requests were accepted: each would have been billed."""
        return len(self.ledger)

    @property
    def images(self) -> int:
        """How many images those were for."""
        return sum(charge.n for charge in self.ledger)

    def inject(self, fault: str, *, on: str | None = None, times: int | None = 1, **details: Any) -> None:
        """Arm a fault (docs/emulator.md): it strikes the next ``times`` requests at its place, None for always.

        ``on`` is "submit", "poll", "image", "ask" or "any"; without it, the fault's usual place. Raises ValueError for
        a name, a place or a setting that there is not.
        """
        with self._lock:
            self._armed.append(arm(fault, on=on, times=times, **details))

    def handle(self, request: Request) -> Response:
        """Answer a request. Never sleeps: ``delay`` and ``cut`` of the response are the caller's to perform."""
        response = self._respond(request)
        self.requests.append(Seen(request.method, request.path, response.status, "authorization" in request.headers))
        return evolve(response, delay=response.delay + self.latency)

    def _respond(self, request: Request) -> Response:
        path = self._aliases.get(request.path, request.path)
        try:
            if path.startswith(IMAGES):
                return self._perform(self._image(request.method, path))
            operation, params = self._route(request.method, path)
        except Refusal as refusal:
            return refusal.response
        try:
            if operation.prefix is not None:
                self._authorize(request, operation.prefix)
            self._admit()
            handling = self._prepare(operation, request, params)
        except Refusal as refusal:
            return self._checked(operation, refusal.response)
        return self._perform(handling)

    def _route(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        operations, params = self.contract.match(path)
        if not operations:
            hint = f"This is the lemon emulator. It serves: {', '.join(self.contract.paths())}"
            raise Refusal(refuse(404, "There is nothing at this path", code="not_found", hint=hint))
        if method not in operations:
            raise Refusal(_wrong_method(", ".join(operations)))
        return operations[method], params

    def _authorize(self, request: Request, prefix: str) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key.startswith(prefix) or key in REFUSED_KEYS:
            code = code_of(401, "auth", REFUSED_KEYS.get(key, 0))
            message = "Invalid API key" if key else f"No API key: send Authorization: Bearer {prefix}..."
            but = ", ".join(name for name in REFUSED_KEYS if name.startswith(prefix))
            hint = f"Here the emulator takes any key that begins with {prefix}" + (f", except {but}" if but else "")
            raise Refusal(refuse(401, message, code, code, hint=hint))

    def _admit(self) -> None:
        """Hold the limit: no more requests than that in any 60 seconds."""
        limit = self.requests_per_minute
        if limit is None:
            return
        with self._lock:
            now = self.clock()
            while self._window and self._window[0] <= now - 60.0:
                self._window.popleft()
            if len(self._window) < limit:
                self._window.append(now)
                return
            wait = max(math.ceil(self._window[-limit] + 60.0 - now), 1) if limit > 0 else 60
        raise Refusal(
            refuse(
                429, "Rate limit reached", "rate_limit_exceeded", code_of(429, "rate"),
                retryable=True, retry_after=wait, headers={"retry-after": str(wait)},
            )
        )  # fmt: skip

    def _prepare(self, operation: Operation, request: Request, params: Mapping[str, str]) -> Handling:
        query = dict(parse_qsl(request.query))
        if (wrong := operation.problem(query)) is not None:
            raise Refusal(_refused([wrong]))

        def handling(place: Place, job: Job | None, act: Callable[[], Response]) -> Handling:
            return Handling(place, job, act, lambda it: self._with_ids(operation, self._checked(operation, it), job))

        cancel = CANCELS.get(GENERATION)
        match operation.id:
            case name if name in POLLS:
                job = self._job(operation, *self._fields(operation, request))
                job.key = request.headers.get("authorization", "").partition(" ")[2].strip()
                return handling("submit", job, lambda: self._accept(job, request.origin))
            case name if name == POLLS[GENERATION].operation:
                job = self._known(*params.values())
                return handling("poll", job, lambda: self._state(job, request.origin))
            case name if cancel is not None and name == cancel.operation:
                job = self._known(*params.values())
                return handling("ask", job, lambda: self._cancel(operation, job))
        if operation.id in (BALANCE, KEYS, RECORDS):
            place: Place = "records" if operation.id == RECORDS else "ask"
            return handling(place, None, lambda: self.account.answer(operation, params, query, self.wall()))
        if operation.method == "GET" and any(operation.examples.values()):
            return handling("ask", None, lambda: self._shown(operation, params))
        raise Refusal(refuse(501, f"The emulator does not emulate {operation.id}", code="not_emulated"))

    def _shown(self, operation: Operation, params: Mapping[str, str]) -> Response:
        """Answer with the documented example of what is asked for; what no example is about does not exist.

        The models of the table do exist: pictures are made with them.
        """
        if (found := operation.example("200", **params)) is not None:
            return reply(self.contract.completed(found))
        if (model := self.contract.described(operation, params)) is not None:
            return reply(model)
        return reply(operation.example("404"), 404)

    def _perform(self, handling: Handling) -> Response:
        """Carry out a request, with the faults that strike it."""
        instead, others = self._strike(handling.place, handling.job)
        now = {"now": self.wall()}
        if instead is not None and instead.fault.instead is not None:
            response = instead.fault.instead({**instead.details, **now})
            return handling.check(response) if response.headers.get("content-type") == "application/json" else response
        for fault, details in ((strike.fault, strike.details) for strike in others):
            if fault.plan is not None and handling.job is not None:
                fault.plan(handling.job.plan, {**details, **now})
            if fault.account is not None:
                fault.account(self.account, {**details, **now})
        try:
            response = handling.check(handling.act())
        except Refusal as refusal:  # the account does not cover it, or does not know what it is asked for
            return handling.check(refusal.response)
        for fault, details in ((strike.fault, strike.details) for strike in others):
            if fault.answer is not None:
                response = fault.answer(response, {**details, **now})
        return response

    def _strike(self, place: Place, job: Job | None) -> tuple[Injection | None, list[Injection]]:
        """Take what strikes now: one fault that answers instead, or all that change what is accepted."""
        with self._lock:
            here = [one for one in (*(self._magic(job) if job else ()), *self._armed) if one.strikes(place)]
            instead = next((one for one in here if one.fault.instead is not None), None)
            striking = here if instead is None else [instead]
            for one in striking:
                if one.times is not None:
                    one.times -= 1
            self._armed = [one for one in self._armed if one.times != 0]
        return instead, striking

    def _magic(self, job: Job) -> list[Injection]:
        """Return what the prompt asks for: always, unless it says how often; then for all requests with this prompt."""
        return [
            self._asked.setdefault((job.prompt, text), parse_fault(text, times=None)) for text in faults_in(job.prompt)
        ]

    def _checked(self, operation: Operation, response: Response) -> Response:
        if complaints := self.contract.complaints(operation, response.status, response.body):
            return refuse(500, f"emulator bug: its answer breaks the contract: {'; '.join(complaints)}", "server_error")
        return response

    def _with_ids(self, operation: Operation, response: Response, job: Job | None) -> Response:
        """Add the ids that the contract says are sent beside an answer. A charge has one once it is settled."""
        submitted = job is not None and operation.id in POLLS and job.request_id
        ids = dict.fromkeys(BILLING.request_id.headers, submitted or _request_id())
        if job is not None and job.created:
            is_task = job.plan.reply == "task"
            ended = not is_task or (self.clock() >= job.at + job.plan.seconds and not job.cancelled)
            if is_task:
                ids["x-task-id"] = job.id
            if ended and job.plan.failure is None:
                ids |= dict.fromkeys(BILLING.billing_id.headers, job.billing_id)
        sent = operation.headers.get(str(response.status), frozenset())
        own = {name: value for name, value in ids.items() if name in sent}
        return evolve(response, headers={**response.headers, **own})

    def _fields(self, operation: Operation, request: Request) -> tuple[dict[str, Any], dict[str, list[bytes]]]:
        """Return the fields of a request, judged, and its pictures."""
        usual = next(iter(operation.takes))
        kind = request.headers.get("content-type", usual).partition(";")[0].strip().lower()
        if len(request.body) > (MAX_FORM if kind == FORM else MAX_BODY):
            raise Refusal(refuse(413, "Payload too large", code=code_of(413, "size")))
        if kind not in operation.takes:
            hint = f"Send Content-Type: {usual}"
            named = kind or "An empty Content-Type"
            raise Refusal(refuse(415, f"{named} is not taken here", code="unsupported_media_type", hint=hint))
        files: dict[str, list[bytes]] = {}
        shape = operation.takes[kind]
        if kind == FORM:
            fields, files = read_form(request, shape)
        else:
            try:
                fields = json.loads(request.body, parse_constant=_no_constant)
            except (ValueError, RecursionError):
                raise Refusal(refuse(400, "The body is not valid JSON", code="invalid_json")) from None
        if problems := self._problems(operation, fields, shape):
            raise Refusal(_refused(problems))
        return dict(fields), files

    def _problems(self, operation: Operation, fields: object, shape: Mapping[str, Any]) -> list[Problem]:
        if (form := FORMS.get(operation.id)) is None:
            return self.contract.problems(fields)
        return self.contract.problems(fields, shape, form.parameters)

    def _job(self, operation: Operation, fields: dict[str, Any], files: Mapping[str, Sequence[bytes]]) -> Job:
        """Make the job of a request that the contract accepts."""

        model, prompt = str(self.contract.value(fields, "model")), str(fields.get("prompt", ""))
        sources = [*(data for several in files.values() for data in several), *self._own_pictures(fields)]

        def value(name: str) -> Any:
            return self.contract.value(fields, name, model)

        n, usual = int(value("n") or 1), as_large(sources, value("size"))
        for text in faults_in(prompt):
            try:
                parse_fault(text)
            except ValueError as exc:
                raise Refusal(refuse(400, str(exc), code="unknown_fault", param="prompt")) from None
        seconds = self.task_seconds(model, self._dice) if callable(self.task_seconds) else self.task_seconds
        is_task = self.contract.row(model)["reply"] == "task" or value("async") is True
        return Job(
            id=self._prefix + secrets.token_hex(6),
            model=model,
            prompt=prompt,
            n=n,
            size=wanted_size(fields.get("size"), value("aspect_ratio"), value("resolution"), usual),
            format=wanted_format(value("output_format")),
            b64=value("response_format") == "b64_json",
            request=fields,
            plan=Plan("task" if is_task else "inline", n, seconds, self._poll_path),
            operation=operation.id,
            source=sources[0] if sources else None,
            mask=sources[-1] if len(files) > 1 else None,
        )

    def _own_pictures(self, fields: Mapping[str, Any]) -> Iterator[bytes]:
        """Yield the pictures of our own that a request names by their addresses. No other address is fetched."""
        for text in re.findall(re.escape(IMAGES) + r"[\w.-]+", json.dumps(fields)):
            with suppress(Refusal):
                picture = self._image("GET", text).act()
                if picture.status == 200:
                    yield picture.body

    def _accept(self, job: Job, origin: str) -> Response:
        now, plan = self.wall(), job.plan
        is_task = plan.reply == "task"
        job.request_id = _request_id()
        price = self.contract.price(job.request) if job.operation == GENERATION else None
        record = UsageRecord(
            job.key, job.model, (self.account.price if price is None else price) * job.n, now + plan.misdated,
            now + plan.late, settled_at=now + (plan.seconds if is_task else 0.0),
        )  # fmt: skip
        if not plan.nameless:
            record = evolve(record, request_id=job.request_id, billing_id=None if plan.failure else job.billing_id)
        self.account.charge(record)
        for _ in range(plan.foreign):
            self.account.foreign(job.key, job.model, now, cost=record.cost)
        job.created, job.at = int(now), self.clock()
        ids = (job.request, record.cost, job.request_id)
        self.ledger.append(Charge(job.id if is_task else None, job.model, job.n, job.at, *ids))
        self._jobs[job.id] = job
        if not is_task:
            return reply(answer(created=job.created, images=self._data(job, origin)))
        poll_url = job.plan.poll_url.format(task_id=job.id)
        if job.plan.poll_url != self._poll_path:
            self._aliases[poll_url] = self._poll_path.format(task_id=job.id)
        return reply(self._running(job, poll_url=poll_url))

    def _known(self, task_id: str) -> Job:
        job = self._jobs.get(task_id)
        if job is None or job.plan.reply != "task":
            raise Refusal(refuse(404, "Task not found or no longer available.", code=code_of(404, "task")))
        return job

    def _cancel(self, operation: Operation, job: Job) -> Response:
        """Cancel a task that still says the first word of those that mean running."""
        if not job.cancelled and self.clock() - job.at >= job.plan.seconds * PENDING_PART:
            return reply(operation.example("409"), 409)
        job.cancelled = True
        return self._state(job, "")

    def _state(self, job: Job, origin: str) -> Response:
        elapsed = self.clock() - job.at
        if job.cancelled:
            own = {"status": word("cancelled"), "cancelled": True, "images": [], "error": "The task was cancelled"}
            return reply(answer(created=job.created, id=job.id, **own))
        if elapsed < job.plan.seconds:
            return reply(self._running(job, -1 if elapsed >= job.plan.seconds * PENDING_PART else 0))
        if job.plan.failure is not None:
            ended: dict[str, Any] = {"status": word("failed"), "images": [], "error": job.plan.failure}
        else:
            ended = {"status": word("succeeded"), "images": self._data(job, origin)}
        return reply(answer(created=job.created, id=job.id, **ended))

    def _running(self, job: Job, place: int = 0, **more: str) -> dict[str, Any]:
        placeholder = {"url": "", "revised_prompt": job.prompt}
        status = word("running", place)
        return answer(created=job.created, id=job.id, status=status, images=[placeholder], **more)

    def _data(self, job: Job, origin: str) -> list[dict[str, Any]]:
        own = {"revised_prompt": f"{job.prompt}, as the emulator imagines it"} if job.prompt else {}
        inline = job.b64 and job.plan.reply == "inline"
        data = []
        for index in range(job.plan.n):
            if inline:
                image = {"b64_json": base64.b64encode(self._draw(job, index)).decode()}
            else:
                image = {"url": f"{origin}{IMAGES}{job.id}-{index + 1}-{job.plan.issue}.{job.format}"}
            data.append({**(dict.fromkeys(image, "") if job.plan.blank else image), **own})
        return data

    def _image(self, method: str, path: str) -> Handling:
        if method != "GET":
            raise Refusal(_wrong_method("GET"))
        found = re.fullmatch(r"(\w+)-(\d{1,3})-(\d{1,9})\.([a-z]+)", path.removeprefix(IMAGES))
        job = self._jobs.get(found[1]) if found else None
        if found is None or job is None:
            raise Refusal(_no_image())
        index, issue = int(found[2]) - 1, int(found[3])

        def act() -> Response:
            if issue != job.plan.issue or not 0 <= index < job.plan.n or found[4] != job.format:
                return _no_image()
            return Response(200, {"content-type": f"image/{job.format}"}, self._draw(job, index))

        return Handling("image", job, act, lambda response: response)

    def _draw(self, job: Job, index: int) -> bytes:
        from .pictures import change, draw

        size = max(job.size[0] // job.plan.smaller, 1), max(job.size[1] // job.plan.smaller, 1)
        kind, words = job.plan.format or job.format, job.prompt or job.operation.replace("_", " ")
        if job.source is None:
            return draw(words, model=job.model, size=size, seed=self.seed, index=index, kind=kind)
        dice = f"{self.seed}/{index}/{words}"
        return change(job.source, words, mask=job.mask, model=job.model, size=size, dice=dice, kind=kind)

    @cached_property
    def transport(self) -> EmulatorTransport:
        """The door for httpx, blocking and async, in this process: ``httpx.Client(transport=emulator.transport)``."""
        from .transport import EmulatorTransport

        return EmulatorTransport(self)

    @cached_property
    def app(self) -> Router:
        """The door for ASGI servers."""
        from .server import application

        return application(self)

    @property
    def url(self) -> str:
        """The address of a real server on this machine, which is started when this is first asked for."""
        with self._lock:
            if self._server is None:
                from .server import Server

                self._server = Server(self)
            return self._server.url

    def close(self) -> None:
        """Stop the server, if there is one."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Emulator {self.charges} charges, {len(self.requests)} requests>"


def _request_id() -> str:
    return f"req_{secrets.token_hex(8)}"


def _amount(given: object, name: str) -> Decimal:
    """Return an amount of money. Raises ValueError."""
    exact = amount(given)
    if exact is None:
        raise ValueError(f"{name} is an amount in US dollars, zero or more, for example 2.50, and not {given!r}.")
    return exact


def _refused(problems: list[Problem]) -> Response:
    """Return the 400 for problems: the first in the envelope, all of them beside it."""
    first = problems[0]
    hints: dict[str, Any] = {} if first.hint is None else {"hint": first.hint}
    if first.suggestions:
        hints["suggestions"] = [{"id": name} for name in first.suggestions]
    every = [{"field": one.param, "message": one.message, "code": one.code} for one in problems]
    return refuse(400, first.message, code=first.code, param=first.param, validation_errors=every, **hints)


def _wrong_method(allowed: str) -> Response:
    return refuse(405, f"This path takes {allowed}", code="method_not_allowed", headers={"allow": allowed})


def _no_image() -> Response:
    return Response(404, {"content-type": "text/plain"}, b"There is no such picture, or its address has expired.\n")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
