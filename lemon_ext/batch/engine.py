"""The engine of a batch: one loop that starts each submission and each poll when it is due.

Few of them run at once, and what a row meets becomes the outcome of that row alone. A submission is written down before
its POST leaves, and only who has written it down sends it; its task is written down before the first poll. A row that
was certainly not accepted goes back to the unsent ones. Stopping is gentle: requests in flight are waited for, because
they may be billed.
"""

from __future__ import annotations

import heapq
import math
import shutil
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import anyio
import anyio.lowlevel
from anyio.to_thread import run_sync
from attrs import define, evolve, field, frozen

from lemon_ext import _clock
from lemon_ext._amount import amount, as_json
from lemon_ext._api import (
    Accepted,
    Answer,
    Bill,
    Rejected,
    Session,
    State,
    TryLater,
    Unknown,
    bill,
    knock,
    silence,
    submission,
    submit_once,
)  # fmt: skip
from lemon_ext._core import Core, check_waiting
from lemon_ext._duration import GIVE_UP_AFTER, as_seconds
from lemon_ext._flow import Flow, Send, TransportFault, watched
from lemon_ext._inputs import OPERATION
from lemon_ext._response import APIResponse
from lemon_ext._retry import Deadline, retry_after, wait_before
from lemon_ext._warn import warn
from lemon_ext._words import LOST
from lemon_ext.errors import (
    APIConnectionError,
    AuthenticationError,
    DownloadError,
    ImageGoneError,
    InsufficientBalanceError,
    JournalError,
    LemonError,
    PermissionDeniedError,
    RateLimitError,
    SubmissionUncertainError,
    TaskFailedError,
    TaskNotFoundError,
    UnreadableSubmissionError,
)  # fmt: skip
from lemon_ext.money import Budget
from lemon_ext.poll_schedule import Durations, Schedule
from lemon_ext.tasks import Task, ending, next_delay, poll_once, timed_out

from . import journal
from .edits import body_of
from .journal import UNKNOWN, Entry, Journal, Statement, state
from .limits import Limits, price
from .outage import Outage, Reach
from .output import ENDS, Worker, described, noted, workers_of
from .pictures import Keep, Pictures, keep_reply, without_data
from .places import Place, sleep_outside
from .queue import Queue
from .writer import Writer

#: Polls at once. By Little's law 25 serve 10,000 requests a minute at 150 ms each.
POLLS: Final = 32
#: Rows whose images are fetched at once, and how many may wait for that before nothing new is started.
SAVES: Final = 16
SAVES_WAITING: Final = 256
#: And how many where pictures are kept elsewhere, which may take none any more: what is sent meanwhile is paid for.
KEEPS_WAITING: Final = 32
#: How many that wait for another try may do so without a place among those: each has a file open.
ASIDE: Final = 128
#: How often a row that was not accepted for now is sent again before it is left for another run.
RESENDS: Final = 8
#: So many lost answers in a row end the sending: each may be billed, and something is wrong.
DOUBTS: Final = 5
#: So many equal refusals in a row end the sending: it is not the rows that are wrong.
REFUSALS: Final = 5
#: The highest price of a poll, in seconds: a batch wants many tasks a minute, and nobody watches a single one.
DEAREST: Final = 8.0
#: Bytes that have to be free in the folder before another image is paid for.
MIN_FREE: Final = 128 * 2**20
#: After so many rows, what was learned of durations is written down.
LESSONS: Final = 50
#: Seconds for which an answer of the API tells that it can be reached, for who wonders about another host.
RECENT: Final = 10.0
#: Seconds between the grant of a request and its leaving that do not matter: a minute of the limit has half a one more.
LATE: Final = 0.4
#: Unsent rows read ahead: so many at most, and no more than leave within some seconds. Nobody else sends them.
AHEAD: Final = 128
AHEAD_SECONDS: Final = 6.0


@frozen
class Options:
    """How a batch is worked off. The meanings are those of `run_batch`."""

    deadline: float = 600.0
    poll_interval: float | None = None
    concurrency: int = 64
    max_images: int | None = None
    resend_refused: bool = False
    resend_uncertain: bool = False
    resend_failed: bool = False
    drop_unknown: bool = False
    gallery: bool | str = True
    budget: Budget | None = None
    give_up_after: float = field(default=GIVE_UP_AFTER, converter=as_seconds)

    def __attrs_post_init__(self) -> None:
        if Deadline.after(self.deadline, lambda: 0.0).at <= 0:
            raise ValueError("a batch needs a deadline above zero: no request could be sent.")
        check_waiting(self.poll_interval)
        for name, value, least in (("concurrency", self.concurrency, 1), ("max_images", self.max_images, 0)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ValueError(f"{name} must be a whole number, {least} or more, not {value!r}.")


@define(eq=False, repr=False)
class RowTask(Task):
    """The task of a row. The prompt stays in the journal: many tasks wait at once."""

    row: int = field(default=0, kw_only=True)
    #: The seconds of outages before it was ours to wait for.
    outages_before: float = field(default=0.0, kw_only=True)


@frozen
class _Runner:
    """The client as images see it: flows run in this event loop, whatever colour it has."""

    _core: Core
    arun: Callable[[Flow[Any]], Awaitable[Any]]
    session: Session
    run: None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)


class Engine:
    """Works off the rows of a journal. `run` does it; `stop` ends it gently, from the same event loop.

    ``drive`` runs the flows of the client whose core this is. ``emit`` is given each row as it ends, and ``changed`` is
    called at every step: ``counts`` (rows by state), ``images`` (saved), ``ended`` (rows, in this run) and ``stopped``
    say how far it is. ``keep`` is given each picture before its row counts as saved.
    """

    def __init__(
        self,
        journal: Journal,
        core: Core,
        drive: Callable[[Flow[Any]], Awaitable[Any]],
        options: Options,
        *,
        emit: Callable[[Entry], Awaitable[None]],
        changed: Callable[[], None],
        keep: Keep | None = None,
    ) -> None:
        #: How many rows are in each state on disk, and in which are those that are worked on here: unsent, if not said.
        self._counts: dict[str, int] = {}
        self._states: dict[int, str] = {}
        #: Those of them that are unfetched, and are fetched again.
        self._fetched_again: set[int] = set()
        self.images = self.ended = 0
        #: Who works at the batch, where several can, and how many rows had ended when this run began.
        self.workers: tuple[Worker, ...] = ()
        self._ended_before = 0
        self.stopped: str | None = None
        #: Whether it is a limit of the user's that stopped it.
        self.limited = False
        #: Whether the key was refused.
        self.rejected = False
        self._journal, self._writer, self._options = journal, Writer(journal), options
        self._keep = keep
        #: Threads for that alone: a store that hangs is not to keep the journal from writing.
        self._keeping = anyio.CapacityLimiter(SAVES)
        self._core, self._driven, self._emit, self._changed = core, drive, emit, changed
        self._reach = Reach(options.give_up_after)
        self._turned = anyio.Event()
        #: What Ctrl-C cuts off while the API cannot be reached: free requests.
        self._free: set[anyio.CancelScope] = set()
        self._last_answer: float = -math.inf
        #: A task to ask for, and the rows that met nothing, with what they met.
        self._known_task: tuple[str, str | None] | None = None
        self._unanswered: dict[int, LemonError] = {}
        self._rate_limit = journal.share(core.session.rate_limit, core.session.account)
        self._schedule = Schedule(self._rate_limit.per_minute, dearest=DEAREST)
        self._session = evolve(core.session, schedule=self._schedule, rate_limit=self._rate_limit)
        self._learn(journal.durations())
        self._runner = _Runner(core, self._drive, self._session)
        self._queue = Queue(self._schedule, self._rate_limit)
        self._ahead: deque[Entry] = deque()
        #: When to look for unsent rows, and for what other workers have left.
        self._look_at = self._renew_at = self._count_at = -math.inf
        self._again: list[tuple[float, int, Entry]] = []
        self._tries: dict[int, int] = {}
        self._running: Counter[str] = Counter()
        self._doubts = self._refusals = 0
        #: The number of the last submission, and of the last one when an answer was lost.
        self._submissions = self._doubted = 0
        self._refused_with: tuple[Any, Any] | None = None
        #: Rows that are submitting, and what is known of accepted ones that the journal does not know yet.
        self._on_their_way: set[int] = set()
        #: Those of them that wait for a new grant.
        self._late: deque[anyio.Event] = deque()
        self._unwritten: dict[int, str] = {}
        self._saves, self._aside = anyio.Semaphore(SAVES), anyio.Semaphore(ASIDE)
        #: Waiting rows whose tasks the API did not know when an earlier run asked.
        self._were_unknown: set[int] = set()
        self._wake = anyio.Event()
        self._leaving = self._outage_noted = self._has_let_go = False
        self._crash: Exception | None = None
        self._began = _clock.monotonic()
        self._limits = Limits(options.max_images, options.budget)
        #: Whether a limit leaves no room for the next row while rows are in flight: they may give theirs back. Those of
        #: others are asked for again at some moment.
        self._is_full = False
        self._full_until = -math.inf

    @property
    def counts(self) -> dict[str, int]:
        """How many rows are in each state. One that is fetched again is ``completed``, as one that is fetched."""
        unfetched = self._counts.get("unfetched", 0) - len(self._fetched_again)
        completed = self._counts.get("completed", 0) + len(self._fetched_again)
        return {**self._counts, "unfetched": max(unfetched, 0), "completed": completed}

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return _clock.monotonic() - self._began

    @property
    def ended_together(self) -> int:
        """How many rows have ended in this run, by all who work at the batch."""
        return self._ended_now() - self._ended_before if self.workers else self.ended

    def _ended_now(self) -> int:
        return sum(number for status, number in self.counts.items() if status in (*ENDS, "unfetched"))

    @property
    def idle(self) -> float:
        """Seconds in which the API could not be reached."""
        return self._reach.lasted(_clock.monotonic())

    @property
    def outage(self) -> Outage | None:
        """The present outage, if there is one."""
        return self._reach.shown(_clock.monotonic())

    def stop(self, reason: str, *, leave: bool = True, limited: bool = False) -> None:
        """Send nothing more. With ``leave``, do not wait for running tasks either: another run goes on with them."""
        self.limited = self.limited or (limited and self.stopped is None)
        self.stopped = self.stopped or reason
        self._leaving = self._leaving or leave
        while self._leaving and self._late:
            self._late.popleft().set()
        if self._leaving and not self._reach.is_open:
            for scope in self._free:
                scope.cancel()
            self._turned.set()
        self._wake.set()
        self._changed()

    async def run(self) -> None:
        """Work until every row has ended or nothing more can be done. Raises what made it impossible to go on.

        Whatever ends it, nothing that is known of a row is lost: see `_close`.
        """
        self._counts = await self._writer.read(self._journal.counts)
        self.workers, self._ended_before = await self._writer.read(workers_of, self._journal), self._ended_now()
        self._limits = await self._writer.read(self._journal.keep_to, self._limits)
        self.images = await self._writer.read(self._journal.saved_images)
        self._changed()
        for entry in await self._writer.read(lambda: list(self._journal.entries("uncertain"))):
            if not entry.damage:
                await self._emit(entry)
        error: BaseException | None = None
        try:
            async with anyio.create_task_group() as self._group:
                self._start("loop", self._loop)
        except BaseException as exc:
            error = exc
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await self._close(error)
        if self._crash is not None:
            raise self._crash

    # ---- what is due ----

    async def _resume(self) -> None:
        """Queue what an earlier run, or another worker, left: tasks to poll, images to fetch."""
        now, wall = _clock.monotonic(), _clock.wall()
        for entry in await self._take("waiting"):
            task = self._task(entry)
            task.resumed(now - max(wall - (entry.submitted_at or wall), 0.0))
            self._schedule.submitted(task.model, now)
            self._known_task = str(task.id), task.poll_url
            self._queue.poll_at(task, now)
            if (entry.error or {}).get("type") in UNKNOWN:
                self._were_unknown.add(entry.row)
        for entry in await self._take("completed"):
            folder = self._journal.folder if self._keep is not None else None
            pictures = Pictures.known(entry, self._task(entry), self._runner, folder)
            if pictures.fetchable:
                self._start("save", self._save, pictures)
            elif entry.task_id is not None:  # its images came as data, which the journal does not hold
                self._queue.poll_at(self._task(entry), now)
            elif self._states[entry.row] == "unfetched" and self._journal.path is not None:
                # As before, and their files are gone. Of a journal of several machines, another may have them.
                await self._write(entry.row, error=entry.error, finished_at=wall)
                await self._ended(entry.row)

    async def _loop(self) -> None:
        while True:
            self._wake = anyio.Event()
            await self._look_around(_clock.monotonic())
            await self._read_ahead(_clock.monotonic())
            await self._let_go()
            now = _clock.monotonic()
            self._schedule.backlog = math.ceil(self._counts.get("unsent", 0) * self._rate_limit.share)
            crowded = self._running["save"] >= (SAVES_WAITING if self._keep is None else KEEPS_WAITING)
            polling = self._reach.is_open and self._running["poll"] < POLLS and not self._leaving and not crowded
            at_once = self._reach.at_once(self._options.concurrency)
            submitting = self._reach.is_open and self._running["submit"] < at_once and not crowded
            poll_at = self._queue.next_poll() if polling else math.inf
            submit_at = self._next_submission(now) if submitting else math.inf
            probe_at = self._reach.next_probe if self._wants_to_know() else math.inf
            late_at = now if self._late and self._reach.is_open else math.inf
            due = min(poll_at, submit_at, probe_at, late_at)
            busy = self._running.total() > 1 or (len(self._queue) and not self._leaving)
            if due == math.inf and not busy and not await self._others():
                if self._reach.gave_up is not None:
                    await self._tell_unanswered()
                return
            if self._rate_limit.wants(now, due <= now, now < submit_at < math.inf):
                self._schedule.per_minute = await self._writer.read(self._journal.top_up, self._rate_limit)
                now = _clock.monotonic()
            due = max(due, self._rate_limit.opens(now))
            if due > now:
                await self._pause(max(min(due, self._renew_at) - now, 0.0))
            elif (submit_at < min(late_at, probe_at, poll_at) and self._reach.has_to_ask(now)) or (
                self._rate_limit.acquire(now, 0.0) is None  # what was fetched of it came too late
            ):
                continue
            else:
                self._begin(now, late_at, probe_at, poll_at, submit_at)

    def _begin(self, now: float, late_at: float, probe_at: float, poll_at: float, submit_at: float) -> None:
        """Start what is due, now that a request is granted for it."""
        if late_at < math.inf:
            self._late.popleft().set()
        elif probe_at < math.inf:
            self._reach.probing(now)
            self._start("probe", self._probe)
        elif poll_at <= submit_at:
            self._start("poll", self._follow, self._queue.take(), True)
        elif (entry := self._take_unsent()) is not None:
            self._queue.submitted(now)
            self._reach.submitting(now)
            self._schedule.submitted(entry.request.get("model"), now)
            self._start("submit", self._submit, entry)

    def _next_submission(self, now: float) -> float:
        if self.stopped or not (self._ahead or self._again) or (self._is_full and self._running["submit"]):
            return math.inf
        again = self._again[0][0] if self._again else math.inf
        under_way = len(self._queue) + self._running["submit"] + self._running["poll"]
        new = self._queue.next_submission(now, under_way) if self._ahead else math.inf
        return max(min(again, new), self._reach.next_submission, self._full_until)

    def _wants_to_know(self) -> bool:
        """Tell whether it matters that the API answers again."""
        to_send = not self.stopped and (self._ahead or self._again)
        return not self._leaving and bool(len(self._queue) or to_send or self._running.total() > 1)

    def _take_unsent(self) -> Entry | None:
        """Return the next row to send. None where that would exceed a limit: then nothing more is sent, or not until
        those in flight have ended.
        """
        again = bool(self._again) and (not self._ahead or self._again[0][0] <= _clock.monotonic())
        entry, folder = self._again[0][2] if again else self._ahead[0], self._journal.folder
        if shutil.disk_usage(folder).free < MIN_FREE:
            self.stop(f"less than {MIN_FREE // 2**20} MiB are free in {folder}", leave=False)
            return None
        if (reason := self._limits.take(entry)) is not None:
            self._limit(reason, in_flight=self._running["submit"] > 0)
            return None
        if again:
            heapq.heappop(self._again)
        else:
            self._ahead.popleft()
        return entry

    def _limit(self, reason: str, *, in_flight: bool) -> None:
        """Send nothing more because of a limit. What is in flight counts, and may come back: then wait for that."""
        self._is_full = in_flight
        if not in_flight:
            self.stop(reason, leave=False, limited=True)

    def _unreserve(self, entry: Entry) -> None:
        """Count a row as one that was certainly not accepted."""
        self._limits.give_back(entry)
        self._is_full, self._full_until = False, -math.inf

    async def _read_ahead(self, now: float) -> None:
        """Take the next unsent rows. None that went back to being unsent is taken twice."""
        if not self._ahead and not self.stopped and now >= self._look_at:
            per_minute = self._rate_limit.per_minute
            few = AHEAD if per_minute is None else math.ceil(per_minute * AHEAD_SECONDS / 60.0)
            found = await self._take("unsent", min(few, AHEAD))
            self._ahead.extend(found)
            self._look_at = now if found else now + self._journal.beat

    async def _let_go(self) -> None:
        """Let others have the rows that are not sent here any more."""
        if self.stopped and not self._has_let_go:
            self._has_let_go = True
            rows = [entry.row for entry in (*self._ahead, *(entry for _, _, entry in self._again))]
            await self._writer.read(self._journal.let_go, rows)

    async def _look_around(self, now: float) -> None:
        """Take what an earlier run left. Where others work, too: say that we live, and take what the dead have left."""
        if now < self._renew_at:
            return
        first, self._renew_at = self._renew_at == -math.inf, now + self._journal.beat
        if not first:
            for entry in await self._writer.read(self._journal.renew):
                await self._emit(entry)
            self.workers = await self._writer.read(workers_of, self._journal)
            if now >= self._count_at:  # a million rows take a while
                self._counts = await self._writer.read(self._journal.counts)
                self._count_at = now + 50.0 * (_clock.monotonic() - now)
            self._learn(await self._writer.read(self._journal.durations))
            self._changed()
        await self._resume()

    async def _others(self) -> bool:
        """Tell whether rows that others work on, or have left, may become ours."""
        return not self.stopped and await self._writer.read(self._journal.others)

    async def _take(self, status: str, limit: int | None = None) -> list[Entry]:
        """Take rows in a state. Those with a damaged cell are left alone."""
        found = await self._writer.read(self._journal.take, status, limit)
        taken = [entry for entry in found if not entry.damage]
        if status != "unsent":
            known = {entry.row: state(status, entry.error, entry.finished_at) for entry in taken}
            self._states |= known
            self._fetched_again |= {row for row, was in known.items() if was == "unfetched"}
        return taken

    async def _pause(self, seconds: float) -> None:
        """Wait until something is due, or a job has ended."""
        async with anyio.create_task_group() as group:

            async def timer() -> None:
                await _clock.asleep(seconds)
                group.cancel_scope.cancel()

            if seconds < math.inf:
                group.start_soon(timer)
            await self._wake.wait()
            group.cancel_scope.cancel()

    def _start(self, kind: str, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Start a job. Nothing it raises may cancel the others: their requests may be billed."""

        async def run() -> None:
            try:
                await work(*arguments)
            except Exception as exc:  # noqa: BLE001 - raised again at the end of the run
                self._crash = self._crash or exc
                self.stop(f"{type(exc).__name__}: {exc}")
            finally:
                self._running[kind] -= 1
                self._wake.set()

        self._running[kind] += 1
        self._group.start_soon(run)

    # ---- whether the API answers ----

    async def _drive(self, flow: Flow[Any]) -> Any:
        return await self._driven(watched(flow, self._heard, sleep_outside()))

    def _heard(self, effect: Send, began: float, met: APIResponse | BaseException) -> None:
        """Take note of what a free request met. Submissions tell by their outcome."""
        if effect.kind == "submit" or not isinstance(met, APIResponse | TransportFault):
            return
        reason = silence(met)
        if effect.kind == "picture":
            # Its host is another one. Unless the API has just answered, it is worth a question.
            if reason is not None and _clock.monotonic() - self._last_answer > RECENT:
                self._trouble(began, reason)
        elif reason is None:
            self._last_answer = _clock.monotonic()
            self._reach.answered()
        else:
            self._trouble(began, reason, hint=retry_after(met, _clock.wall()) if isinstance(met, APIResponse) else None)

    def _trouble(self, began: float, reason: str, *, hint: float | None = None, **what: bool) -> None:
        self._reach.trouble(_clock.monotonic(), began, reason, hint=hint, **what)
        self._turn()

    def _turn(self) -> None:
        """Act on what is known now of the API."""
        if self._reach.gave_up is not None:
            self.stop(self._reach.gave_up)
        if self._reach.is_open or self._leaving:
            self._turned.set()
            self._turned = anyio.Event()
        self._wake.set()
        self._changed()

    async def _probe(self) -> None:
        """Ask the API for something that is free, once."""
        with self._cut_off_by_leaving():
            flow = knock(self._session, self._reach.failed_probes, self._known_task)
            try:
                reason, hint = await self._drive(flow)
            except LemonError as exc:  # it cannot leave this machine
                self.stop(str(exc))
                return
            self._reach.probed(_clock.monotonic(), reason, hint)
            self._turn()
        await self._note_outage()

    async def _note_outage(self) -> None:
        """Write down, for who looks at the journal, that the API cannot be reached, and when it can again."""
        outage = self.outage
        if outage is not None or self._outage_noted:
            self._outage_noted = outage is not None
            await self._writer.write(noted(self._journal, outage, _clock.wall()), keep=False)

    async def _tell_unanswered(self) -> None:
        """Report the rows that met nothing until the batch gave up."""
        for _, _, entry in sorted(self._again, key=lambda due: due[1]):
            if (error := self._unanswered.get(entry.row)) is not None:
                await self._still_waiting(entry.row, error)

    async def _outlast(self, began: float) -> bool:
        """Wait until the API answers, if that is in question. Returns whether it did not at some time since then."""
        while not self._reach.is_open and not self._leaving:
            await self._turned.wait()
        return self._reach.was_out(began)

    @contextmanager
    def _cut_off_by_leaving(self) -> Iterator[anyio.CancelScope]:
        """Make a free request that nobody waits for once the batch is left while the API cannot be reached."""
        with anyio.CancelScope() as scope:
            self._free.add(scope)
            try:
                yield scope
            finally:
                self._free.discard(scope)

    # ---- a submission, and its four outcomes ----

    async def _submit(self, entry: Entry) -> None:
        granted = _clock.monotonic()
        if not await self._claim(entry) or not await self._grant_again(entry, granted):
            return
        began, number = _clock.monotonic(), self._number()
        outcome = await self._post(entry)
        answered = self._judge_reach(began, outcome)
        match outcome:
            case TryLater(error) | Rejected(error) if not answered:
                self._unanswered[entry.row] = error
                await self._unsend(entry)
                heapq.heappush(self._again, (_clock.monotonic(), entry.row, entry))
            case Accepted(answer):
                await self._accepted(entry, answer)
            case TryLater(error, wait):
                await self._try_later(entry, error, wait)
            case Rejected(error, scope):
                await self._rejected(entry, error, scope)
            case Unknown(error):
                await self._unknown(entry, error, number)
        self._on_their_way.discard(entry.row)

    def _number(self) -> int:
        self._submissions += 1
        return self._submissions

    def _judge_reach(self, began: float, outcome: Accepted | TryLater | Rejected | Unknown) -> bool:
        """Take note of whether a submission was answered by the API, and tell it."""
        if isinstance(outcome, Accepted):
            self._last_answer = _clock.monotonic()
            self._reach.submission_answered()
            return True
        error = outcome.error
        met = getattr(error, "response", None) or error.__cause__
        reason, lost = None, isinstance(outcome, Unknown)
        if isinstance(met, APIResponse | TransportFault) and not isinstance(error, InsufficientBalanceError):
            reason = silence(met)
            if reason is None and lost and isinstance(met, APIResponse) and met.status_code >= 400:
                reason = f"HTTP {met.status_code}"
        if reason is not None:
            hint = getattr(error, "retry_after", None)
            self._trouble(began, reason, hint=hint, submission=True, lost=lost)
        elif isinstance(met, APIResponse):
            self._last_answer = _clock.monotonic()
            self._reach.submission_answered()
        return reason is None

    async def _claim(self, entry: Entry) -> bool:
        """Write down that a row is in flight, and tell whether it is ours to send: somebody else may send it, or have
        reached a limit with us.
        """
        claim = self._journal.submitting(entry.row, _clock.wall(), price(entry), self._limits)
        try:
            (ours,) = await self._writer.write(claim, keep=False, then=self._count(entry.row, status="submitting"))
        except JournalError:
            self._unreserve(entry)
            raise
        if ours:
            self._on_their_way.add(entry.row)
            self._changed()
            return True
        if (full := await self._writer.read(self._journal.no_room, entry, self._limits)) is not None:
            heapq.heappush(self._again, (-math.inf, entry.row, entry))
            self._limit(full.reason, in_flight=self._running["submit"] > 1 or full.may_come_back)
            self._full_until = _clock.monotonic() + self._journal.beat if full.may_come_back else -math.inf
            return False
        self._limits.images -= entry.images  # what it costs is spent all the same
        self._is_full = False
        self._counts = await self._writer.read(self._journal.counts)
        if self._journal.beat == math.inf:  # nobody else ought to be there
            warn(
                f"Row {entry.row} was sent by another process that works in {self._journal.folder} at the same time, "
                "so it is not sent again here."
            )
        return False

    async def _grant_again(self, entry: Entry, granted: float) -> bool:
        """Let a row leave with a grant of now, if it took long to write that it does: a request counts from its grant.

        Returns False where the batch is left meanwhile; then the row is unsent again.
        """
        while not self._leaving and _clock.monotonic() > granted + LATE:
            turn = anyio.Event()
            self._late.append(turn)
            self._wake.set()
            try:
                await turn.wait()
            except BaseException:
                self._never_left(entry)
                raise
            granted = _clock.monotonic()
        if self._leaving and _clock.monotonic() > granted + LATE:
            self._on_their_way.discard(entry.row)
            await self._unsend(entry)
            return False
        return True

    async def _post(self, entry: Entry) -> Accepted | TryLater | Rejected | Unknown:
        """Send the POST of a row, once."""
        post: Send | None = None
        try:
            await anyio.lowlevel.checkpoint_if_cancelled()
            try:
                body = await run_sync(body_of, entry.request) if OPERATION in entry.request else entry.request
            except LemonError as exc:
                return Rejected(exc)
            post = submission(self._session, body, self._session.deadline(self._options.deadline))
            outcome: Accepted | TryLater | Rejected | Unknown = await self._drive(submit_once(self._session, post))
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is about this row, and this row may be billed
            what = str(exc) if isinstance(exc, LemonError) else f"{type(exc).__name__}: {exc}"
            if post is None or not post.sent:  # the client is closed, or of another event loop
                return Rejected(LemonError(f"Nothing was sent. {what}"), "account")
            lost = f"It may have been accepted and billed: {LOST}."
            return Unknown(SubmissionUncertainError(f"The request was sent and its answer was lost ({what}). {lost}"))
        except BaseException:
            if post is None or not post.sent:
                self._never_left(entry)
            raise
        return outcome

    def _never_left(self, entry: Entry) -> None:
        """Have it written down at the end that a row was cancelled before its POST left."""
        self._on_their_way.discard(entry.row)
        self._writer.later(self._journal.update(entry.row, status="unsent", submitted_at=None))

    async def _accepted(self, entry: Entry, answer: Answer) -> None:
        self._doubts, self._refused_with = 0, None
        self._tries.pop(entry.row, None)
        self._unanswered.pop(entry.row, None)
        task = self._task(entry)
        task.submitted(answer, _clock.monotonic())
        if not answer.is_task:
            self._unwritten[entry.row] = "was answered with images"
            await self._finish(task)
            return
        self._known_task = str(task.id), task.poll_url
        self._unwritten[entry.row] = f"was accepted as task {task.id}"
        await self._write(entry.row, status="waiting", task_id=task.id, poll_url=task.poll_url, **_billed(task))
        await self._follow(task)

    async def _try_later(self, entry: Entry, error: LemonError, wait: float | None) -> None:
        """Not accepted for now: sent again after a wait, or else left for another run."""
        tries = self._tries[entry.row] = self._tries.get(entry.row, 0) + 1
        delay = wait_before(tries, wait)
        if tries <= RESENDS and delay <= self._options.deadline:
            now = _clock.monotonic()
            if isinstance(error, RateLimitError):  # it is meant for the account, not for this row
                self._rate_limit.hold(now, delay)
                self._wake.set()  # others are told at once
            await self._unsend(entry)
            heapq.heappush(self._again, (now + delay, entry.row, entry))
            return
        if isinstance(error, APIConnectionError | RateLimitError):
            self.stop(str(error), leave=False)
        # Else the model of this row is out of service; the next row may be of another.
        await self._put_back(entry, error)

    async def _rejected(self, entry: Entry, error: LemonError, scope: str) -> None:
        """Not accepted for good, and not billed: the row is wrong, or nothing of this account is accepted."""
        if scope == "account":
            self.rejected = self.rejected or isinstance(error, AuthenticationError)
            self.stop(str(error), leave=False)
            await self._put_back(entry, error)
            return
        answer = getattr(error, "status_code", None), getattr(error, "code", None)
        self._refusals = self._refusals + 1 if answer == self._refused_with else 1
        self._refused_with = answer
        if self._refusals >= REFUSALS:
            self.stop(
                f"{REFUSALS} rows in a row were refused with the same answer ({error}) "
                "Rows that were refused are sent again with --resend-refused",
                leave=False,
            )
        self._unreserve(entry)
        await self._end(entry.row, "refused", error)

    async def _unknown(self, entry: Entry, error: Exception, number: int) -> None:
        """The answer was lost, or cannot be understood: the row may be billed. ``number`` is that of the submission."""
        # What was under way when another answer was lost says nothing new; where none ever came, each counts.
        if number > self._doubted or not self._reach.is_proven:
            self._doubts, self._doubted = self._doubts + 1, self._submissions
        if self._doubts >= DOUBTS:
            self.stop(f"{DOUBTS} submissions in a row were sent and their answers lost", leave=False)
        known = bill(getattr(error, "response", None))
        await self._end(entry.row, "uncertain", error, **_cells(known))

    async def _put_back(self, entry: Entry, error: LemonError) -> None:
        await self._unsend(entry, error)
        await self._tell(entry.row)

    async def _unsend(self, entry: Entry, error: LemonError | None = None) -> None:
        self._unreserve(entry)
        known = None if error is None else described(error)
        await self._write(entry.row, status="unsent", submitted_at=None, error=known)

    # ---- a task, until it ends ----

    async def _follow(self, task: RowTask, poll: bool = False) -> None:
        """Go on with a task: poll it, finish it, or queue its next poll. It is paid, so nothing writes it off."""
        try:
            if poll and not await self._poll(task):
                return
            if task.row in self._were_unknown and task._seen:
                self._were_unknown.discard(task.row)
                await self._write(task.row, error=None)
            deadline = self._deadline(task)
            over = not task.done and not self._poll_later(task, deadline)
            if task.done or (over and task._answer is not None and task._answer.state is State.UNKNOWN):
                await self._finish(task)
            elif over:
                await self._still_waiting(task.row, timed_out(task))
        except JournalError:
            raise
        except TaskNotFoundError as exc:
            if self._options.drop_unknown:
                await self._end(task.row, "failed", exc)
            else:  # another account may know it
                await self._still_waiting(task.row, exc)
        except (AuthenticationError, InsufficientBalanceError, PermissionDeniedError) as exc:
            self.rejected = self.rejected or isinstance(exc, AuthenticationError)
            self.stop(str(exc), leave=False)
            await self._still_waiting(task.row, exc)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is about this row: it is polled again another time
            await self._still_waiting(task.row, exc)

    async def _poll(self, task: RowTask) -> bool:
        """Poll a task once. Returns whether that tells anything: not while the API cannot be reached."""
        began = _clock.monotonic()
        with self._cut_off_by_leaving() as scope:
            await self._drive(poll_once(self._session, task, self._deadline(task)))
        if scope.cancelled_caught:  # another run polls it
            return False
        if task._trouble is not None and await self._outlast(began):
            self._queue.poll_at(task, _clock.monotonic())
            return False
        return True

    def _deadline(self, task: RowTask) -> Deadline:
        """Return until when a task is waited for: its time does not run while the API cannot be reached."""
        now = _clock.monotonic()
        idle = self._reach.lasted(now) - task.outages_before
        return Deadline(max(task._born or 0.0, self._began) + self._options.deadline + idle, _clock.monotonic)

    async def _still_waiting(self, row: int, error: Exception) -> None:
        await self._write(row, error=described(error))
        await self._tell(row)

    def _poll_later(self, task: RowTask, deadline: Deadline) -> bool:
        """Queue the next poll of a task, unless the deadline comes first."""
        delay = next_delay(self._session, task, deadline, self._options.poll_interval)
        if delay is not None:
            self._queue.poll_at(task, _clock.monotonic() + delay)
        return delay is not None

    # ---- its images, and its end ----

    async def _finish(self, task: RowTask) -> None:
        """Take what a row ended with: its images are saved, those that came with a failure too."""
        failure: LemonError | None = None
        try:
            answer = ending(task)
        except TaskFailedError as exc:
            if task._answer is None or not task._answer.images:
                await self._end(task.row, "failed", exc, **_billed(task))
                return
            failure, answer = exc, task._answer
        entry = await self._writer.read(self._journal.entry, task.row)
        pictures = Pictures.of(entry, answer, task, self._runner)
        with anyio.CancelScope(shield=True):  # what came as data is nowhere else
            await self._store(pictures, data=True)
        if failure is None:
            cells: dict[str, Any] = {"answer": without_data(answer), "note": pictures.note, **_billed(task)}
            cells |= {"task_id": answer.task_id or task.id, "paths": pictures.paths, "error": None}
            await self._write(task.row, status="completed", **cells)
        self._start("save", self._save, pictures, failure)

    async def _store(self, pictures: Pictures, *, data: bool) -> None:
        deadline, folder = self._options.deadline, self._journal.folder
        await pictures.save(folder, deadline, data=data, keep=self._keep, threads=self._keeping)
        if isinstance(pictures.error, OSError):
            self.stop(f"the images cannot be written: {pictures.error}")
        if pictures.entry.row in self._unwritten:
            self._unwritten[pictures.entry.row] = f"was answered with images: {', '.join(pictures.places())}"

    async def _save(self, pictures: Pictures, failure: LemonError | None = None) -> None:
        """Fetch what is not there yet, and end the row."""
        row = pictures.entry.row
        async with Place(self._saves, self._aside):
            while True:
                began = _clock.monotonic()
                with self._cut_off_by_leaving() as scope:
                    await self._store(pictures, data=False)
                if scope.cancelled_caught:
                    return  # another run fetches them
                if not isinstance(pictures.error, DownloadError):
                    break
                self._trouble(began, str(pictures.error))
                if not await self._outlast(began) or self._leaving:
                    break
        if failure is not None:
            await self._end(row, "failed", failure, paths=pictures.paths, note=pictures.note)
        elif pictures.error is None:
            cells = {"paths": pictures.paths, "note": pictures.note, "error": None}
            await self._write(row, status="saved", **cells, finished_at=_clock.wall())
            await self._ended(row)
        elif isinstance(pictures.error, ImageGoneError) and self._options.drop_unknown:
            await self._end(row, "failed", pictures.error, paths=pictures.paths, note=pictures.note)
        else:
            kept = await self._writer.read(self._journal.entry, row)
            again = pictures.fetchable or kept.task_id is not None
            error, end = described(pictures.error), None if again else _clock.wall()
            await self._write(row, paths=pictures.paths, note=pictures.note, error=error, finished_at=end)
            await self._ended(row)

    async def _end(self, row: int, status: str, error: Exception, **cells: Any) -> None:
        if isinstance(error, UnreadableSubmissionError) and error.response is not None:
            place = await run_sync(keep_reply, self._journal.folder, row, error.response)
            error.add_note(f"The answer is kept in {place}." if place else "The answer could not be kept in a file.")
        await self._write(row, status=status, error=described(error), finished_at=_clock.wall(), **cells)
        await self._ended(row)

    async def _write(self, row: int, **cells: Any) -> None:
        """Write down what became of a row. Until that is on disk, `_unwritten` has what is paid for."""
        if (cost := amount(cells.get("cost"))) is not None:
            self._limits.settle(row, cost)
        (ours,) = await self._writer.write(self._journal.update(row, **cells), then=self._count(row, **cells))
        self._changed()
        known = self._unwritten.pop(row, None)
        if not ours and known is not None:
            warn(
                f"Row {row} {known}, and that is not written down: the row was taken over and sent again, because "
                "nothing had been heard of this process for too long. Note it, it is paid for."
            )

    async def _ended(self, row: int) -> None:
        self.ended += 1
        self._changed()
        if self.ended % LESSONS == 0:
            await self._writer.write(*self._learned())
        await self._tell(row)

    async def _tell(self, row: int) -> None:
        await self._emit(await self._writer.read(self._journal.entry, row))

    def _count(self, row: int, **cells: Any) -> Callable[[list[int]], None]:
        """Return what counts a row in its next state once its cells are on disk, if it is still ours."""

        def count(changed: list[int]) -> None:
            if not any(changed):
                return
            before = self._states.pop(row, "unsent")
            status = cells.get("status", "completed" if before == "unfetched" else before)
            after = state(status, cells.get("error", before == "unfetched" or None), cells.get("finished_at"))
            self._fetched_again.discard(row)
            if after not in (*ENDS, "unsent"):
                self._states[row] = after
            self._counts[before] = max(self._counts.get(before, 0) - 1, 0)  # others move rows, too
            self._counts[after] = self._counts.get(after, 0) + 1
            self.images += len(cells["paths"]) if after == "saved" else 0

        return count

    def _task(self, entry: Entry) -> RowTask:
        return RowTask(
            entry.task_id, entry.poll_url, entry.request.get("model"), entry.images, row=entry.row,
            request_id=entry.request_id, billing_id=entry.billing_id, cost=amount(entry.cost),
            outages_before=self._reach.lasted(_clock.monotonic()),
        )  # fmt: skip

    def _learn(self, known: Mapping[str, Any]) -> None:
        """Take over what was learned of models that others, or earlier runs, have seen more often."""
        for model, learned in known.items():
            with suppress(ValueError):  # an older version counted differently: learn anew
                durations = Durations.from_json(learned)
                if model not in (ours := self._schedule.durations) or ours[model].completions < durations.completions:
                    ours[model] = durations

    def _learned(self) -> list[Statement]:
        return [journal.learned(m, d.to_json()) for m, d in self._schedule.durations.items() if m is not None]

    # ---- the end of a run ----

    async def _close(self, error: BaseException | None) -> None:
        """Write down what must not be forgotten, whatever ended the run, and name what cannot be written."""
        cut = [self._journal.cut_off(row) for row in sorted(self._on_their_way)]
        try:
            await run_sync(self._writer.flush, [*cut, *self._learned()])
        except JournalError as exc:
            self._crash = self._crash or exc
            told = [f"Row {row} {what}." for row, what in sorted(self._unwritten.items())]
            told = ["Note what follows, it is paid for and not on disk:", *told] if told else []
            for note in told:
                (error or self._crash).add_note(note)
            if error is not None and told:
                warn(" ".join(told))


def _billed(task: Task) -> dict[str, Any]:
    """Return the cells of what a row was billed as."""
    return _cells(Bill(task.request_id, task.billing_id, task.cost))


def _cells(known: Bill) -> dict[str, Any]:
    return {**known._asdict(), "cost": as_json(known.cost)}
