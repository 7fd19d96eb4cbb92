"""The submissions of a batch: unsent rows, each sent once, and what becomes of each by its outcome."""

from __future__ import annotations

import heapq
import math
import shutil
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import anyio
import anyio.lowlevel
from anyio.to_thread import run_sync

from lemon_ext import _clock
from lemon_ext._api import Accepted, Answer, Rejected, TryLater, Unknown, bill, submission, submit_once
from lemon_ext._flow import Send
from lemon_ext._inputs import OPERATION
from lemon_ext._retry import wait_before
from lemon_ext._warn import warn
from lemon_ext._words import LOST
from lemon_ext.errors import (
    APIConnectionError,
    AuthenticationError,
    JournalError,
    LemonError,
    RateLimitError,
    SubmissionUncertainError,
)

from .contact import Contact
from .edits import body_of
from .jobs import Jobs
from .journal import Entry
from .options import Options
from .output import described
from .queue import Queue
from .record import Record
from .row_tasks import RowTasks, cells_of

#: How often a row that was not accepted for now is sent again before it is left for another run.
RESENDS: Final = 8
#: So many lost answers in a row end the sending: each may be billed, and something is wrong.
DOUBTS: Final = 5
#: So many equal refusals in a row end the sending: it is not the rows that are wrong.
REFUSALS: Final = 5
#: Bytes that have to be free in the folder before another image is paid for.
MIN_FREE: Final = 128 * 2**20
#: Seconds between the grant of a request and its leaving that do not matter: a minute of the limit has half a one more.
LATE: Final = 0.4
#: Unsent rows read ahead: so many at most, and no more than leave within some seconds. Nobody else sends them.
AHEAD: Final = 128
AHEAD_SECONDS: Final = 6.0


class Submissions:
    """Sends unsent rows. One is written down before its POST leaves, and only who has written it down sends it.

    What is accepted goes to ``tasks``. What certainly was not is unsent again, or refused; what may have been is
    uncertain, and nobody sends it again without being told to.
    """

    def __init__(
        self, contact: Contact, queue: Queue, tasks: RowTasks, record: Record, jobs: Jobs, options: Options
    ) -> None:
        self._contact, self._queue, self._tasks = contact, queue, tasks
        self._record, self._jobs, self._options = record, jobs, options
        #: The next unsent rows, and those to be sent again: from which second on, by their number.
        self._ahead: deque[Entry] = deque()
        self._again: list[tuple[float, int, Entry]] = []
        self._look_at = -math.inf
        self._has_let_go = False
        #: Rows in flight that may be billed, and those that wait for a new grant before they leave.
        self.in_flight: set[int] = set()
        self._late: deque[anyio.Event] = deque()
        #: How often rows were not accepted for now, and with what those ended that met nothing.
        self._tries: dict[int, int] = {}
        self._unanswered: dict[int, LemonError] = {}
        self._doubts = self._refusals = 0
        #: The number of the last submission, and of the last one when an answer was lost.
        self._number = self._doubted = 0
        self._refused_with: tuple[Any, Any] | None = None
        #: Whether a limit leaves no room for the next row while rows are in flight: they may give theirs back. Those of
        #: others are asked for again at some moment.
        self._is_full = False
        self._full_until = -math.inf
        jobs.at_leaving.append(self._let_late_ones_go)

    # ---- which row, and when ----

    @property
    def are_left(self) -> bool:
        """Whether there are rows to send."""
        return not self._jobs.stopped and bool(self._ahead or self._again)

    def due(self, now: float) -> float:
        """Return when the next one is due; infinity if none is."""
        running = self._jobs.running
        if not self.are_left or (self._is_full and running["submit"]):
            return math.inf
        again = self._again[0][0] if self._again else math.inf
        under_way = len(self._queue) + running["submit"] + running["poll"]
        new = self._queue.next_submission(now, under_way) if self._ahead else math.inf
        return max(min(again, new), self._contact.reach.next_submission, self._full_until)

    def begin(self, now: float) -> None:
        """Start the next one, now that a request is granted for it."""
        if (entry := self._take()) is not None:
            self._queue.submitted(now)
            self._contact.reach.submitting(now)
            self._contact.schedule.submitted(entry.request.get("model"), now)
            self._jobs.start("submit", self._submit, entry)

    def _take(self) -> Entry | None:
        """Return the next row to send. None where that would exceed a limit: then nothing more is sent, or not until
        those in flight have ended.
        """
        again = bool(self._again) and (not self._ahead or self._again[0][0] <= _clock.monotonic())
        entry, folder = self._again[0][2] if again else self._ahead[0], self._record.journal.folder
        if shutil.disk_usage(folder).free < MIN_FREE:
            self._jobs.stop(f"less than {MIN_FREE // 2**20} MiB are free in {folder}", leave=False)
            return None
        if (reason := self._record.limits.take(entry)) is not None:
            self._limit(reason, in_flight=self._jobs.running["submit"] > 0)
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
            self._jobs.stop(reason, leave=False, limited=True)

    def _give_back(self, entry: Entry) -> None:
        """Count a row as one that was certainly not accepted."""
        self._record.limits.give_back(entry)
        self._is_full, self._full_until = False, -math.inf

    async def read_ahead(self, now: float) -> None:
        """Take the next unsent rows. None that went back to being unsent is taken twice."""
        if not self._ahead and not self._jobs.stopped and now >= self._look_at:
            per_minute = self._contact.rate_limit.per_minute
            few = AHEAD if per_minute is None else math.ceil(per_minute * AHEAD_SECONDS / 60.0)
            found = await self._record.take("unsent", min(few, AHEAD))
            # Those for which there is never room stay ours, and unsent.
            self._ahead.extend(entry for entry in found if self._record.limits.never(entry) is None)
            self._look_at = now if found else now + self._record.journal.beat

    async def let_go(self) -> None:
        """Let others have the rows that are not sent here any more."""
        if self._jobs.stopped and not self._has_let_go:
            self._has_let_go = True
            rows = [entry.row for entry in (*self._ahead, *(entry for _, _, entry in self._again))]
            await self._record.read(self._record.journal.let_go, rows)

    async def tell_unanswered(self) -> None:
        """Report the rows that met nothing until the batch gave up."""
        for _, _, entry in sorted(self._again, key=lambda due: due[1]):
            if (error := self._unanswered.get(entry.row)) is not None:
                await self._record.leave(entry.row, error)

    # ---- one of them ----

    async def _submit(self, entry: Entry) -> None:
        granted, is_ours = _clock.monotonic(), self._record.journal.lease()
        if not await self._claim(entry) or not await self._grant_again(entry, granted):
            return
        self._number += 1
        began, number = _clock.monotonic(), self._number
        outcome = await self._post(entry, is_ours)
        if outcome is None:
            await self._take_back(entry)
            return
        answered = self._contact.judge(began, outcome)
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
        self.in_flight.discard(entry.row)

    async def _claim(self, entry: Entry) -> bool:
        """Write down that a row is in flight, and tell whether it is ours to send: somebody else may send it, or have
        reached a limit with us.
        """
        try:
            ours = await self._record.claim(entry)
        except JournalError:
            self._give_back(entry)
            raise
        if ours:
            self.in_flight.add(entry.row)
            return True
        if (full := await self._record.no_room(entry)) is not None:
            heapq.heappush(self._again, (-math.inf, entry.row, entry))
            self._limit(full.reason, in_flight=self._jobs.running["submit"] > 1 or full.may_come_back)
            beat = self._record.journal.beat
            self._full_until = _clock.monotonic() + beat if full.may_come_back else -math.inf
            return False
        self._record.journal.forget(entry.row)
        self._record.limits.images -= entry.images  # what it costs is spent all the same
        self._is_full = False
        await self._record.count()
        if self._record.journal.beat == math.inf:  # nobody else ought to be there
            warn(
                f"Row {entry.row} was sent by another process that works in {self._record.journal.folder} at the same "
                "time, so it is not sent again here."
            )
        return False

    async def _grant_again(self, entry: Entry, granted: float) -> bool:
        """Let a row leave with a grant of now, if it took long to write that it does: a request counts from its grant.

        Returns False where the batch is left meanwhile; then the row is unsent again.
        """
        while not self._jobs.leaving and _clock.monotonic() > granted + LATE:
            turn = anyio.Event()
            self._late.append(turn)
            self._jobs.wake()
            try:
                await turn.wait()
            except BaseException:
                self._never_left(entry)
                raise
            granted = _clock.monotonic()
        if self._jobs.leaving and _clock.monotonic() > granted + LATE:
            self.in_flight.discard(entry.row)
            await self._unsend(entry)
            return False
        return True

    @property
    def are_late(self) -> bool:
        """Whether one waits for a new grant."""
        return bool(self._late)

    def grant(self) -> None:
        """Let the first of those leave that wait for a new grant."""
        self._late.popleft().set()

    def _let_late_ones_go(self) -> None:
        while self._late:
            self.grant()

    async def _take_back(self, entry: Entry) -> None:
        """A row did not leave: we may have been taken for dead, and somebody else may have it. If not, it is claimed
        anew, under a new lease.
        """
        self.in_flight.discard(entry.row)
        await self._unsend(entry)
        heapq.heappush(self._again, (_clock.monotonic() + self._record.journal.beat, entry.row, entry))

    async def _post(self, entry: Entry, is_ours: Callable[[], bool]) -> Accepted | TryLater | Rejected | Unknown | None:
        """Send the POST of a row, once. None: it did not leave while the row was certainly ours."""
        post: Send | None = None
        session = self._contact.session
        try:
            await anyio.lowlevel.checkpoint_if_cancelled()
            try:
                body = await run_sync(body_of, entry.request) if OPERATION in entry.request else entry.request
            except LemonError as exc:
                return Rejected(exc)
            post = submission(session, body, session.deadline(self._options.deadline))
            post.may_leave = is_ours
            if not is_ours():
                return None
            outcome: Accepted | TryLater | Rejected | Unknown
            outcome = await self._contact.drive(submit_once(session, post))
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
        return outcome if post.sent or is_ours() else None

    def _never_left(self, entry: Entry) -> None:
        """Have it written down at the end that a row was cancelled before its POST left."""
        self.in_flight.discard(entry.row)
        self._record.later(entry.row, status="unsent", submitted_at=None)

    # ---- its four outcomes ----

    async def _accepted(self, entry: Entry, answer: Answer) -> None:
        self._doubts, self._refused_with = 0, None
        self._tries.pop(entry.row, None)
        self._unanswered.pop(entry.row, None)
        await self._tasks.accepted(entry, answer)

    async def _try_later(self, entry: Entry, error: LemonError, wait: float | None) -> None:
        """Not accepted for now: sent again after a wait, or else left for another run."""
        tries = self._tries[entry.row] = self._tries.get(entry.row, 0) + 1
        delay = wait_before(tries, wait)
        if tries <= RESENDS and delay <= self._options.deadline:
            now = _clock.monotonic()
            if isinstance(error, RateLimitError):  # it is meant for the account, not for this row
                self._contact.rate_limit.hold(now, delay)
                self._jobs.wake()  # others are told at once
            await self._unsend(entry)
            heapq.heappush(self._again, (now + delay, entry.row, entry))
            return
        if isinstance(error, APIConnectionError | RateLimitError):
            self._jobs.stop(str(error), leave=False)
        # Else the model of this row is out of service; the next row may be of another.
        await self._put_back(entry, error)

    async def _rejected(self, entry: Entry, error: LemonError, scope: str) -> None:
        """Not accepted for good, and not billed: the row is wrong, or nothing of this account is accepted."""
        if scope == "account":
            self._jobs.rejected = self._jobs.rejected or isinstance(error, AuthenticationError)
            self._jobs.stop(str(error), leave=False)
            await self._put_back(entry, error)
            return
        answer = getattr(error, "status_code", None), getattr(error, "code", None)
        self._refusals = self._refusals + 1 if answer == self._refused_with else 1
        self._refused_with = answer
        if self._refusals >= REFUSALS:
            self._jobs.stop(
                f"{REFUSALS} rows in a row were refused with the same answer ({error}) "
                "Rows that were refused are sent again with --resend-refused",
                leave=False,
            )
        self._give_back(entry)
        await self._record.fail(entry.row, "refused", error)

    async def _unknown(self, entry: Entry, error: Exception, number: int) -> None:
        """The answer was lost, or cannot be understood: the row may be billed. ``number`` is that of the submission."""
        # What was under way when another answer was lost says nothing new; where none ever came, each counts.
        if number > self._doubted or not self._contact.reach.is_proven:
            self._doubts, self._doubted = self._doubts + 1, self._number
        if self._doubts >= DOUBTS:
            self._jobs.stop(f"{DOUBTS} submissions in a row were sent and their answers lost", leave=False)
        await self._record.fail(entry.row, "uncertain", error, **cells_of(bill(getattr(error, "response", None))))

    async def _put_back(self, entry: Entry, error: LemonError) -> None:
        await self._unsend(entry, error)
        await self._record.tell(entry.row)

    async def _unsend(self, entry: Entry, error: LemonError | None = None) -> None:
        self._give_back(entry)
        known = None if error is None else described(error)
        await self._record.write(entry.row, status="unsent", submitted_at=None, error=known)
