"""The way of a batch to the API: all requests take it, and what they meet tells whether the API can be reached."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import anyio

from lemon_ext import _clock
from lemon_ext._api import Accepted, Rejected, Session, TryLater, Unknown, knock, silence
from lemon_ext._flow import Flow, Send, TransportFault, watched
from lemon_ext._response import APIResponse
from lemon_ext._retry import retry_after
from lemon_ext.errors import InsufficientBalanceError, LemonError
from lemon_ext.poll_schedule import Schedule
from lemon_ext.rate_limit import RateLimit

from .jobs import Jobs
from .outage import Outage, Reach
from .places import sleep_outside

#: Seconds for which an answer of the API tells that it can be reached, for who wonders about another host.
RECENT: Final = 10.0


class Contact:
    """Drives the flows of a batch, and judges what they met. While the API is out of `reach`, jobs `outlast` that.

    ``drive`` runs the flows of the client whose ``session`` this is.
    """

    def __init__(
        self,
        session: Session,
        drive: Callable[[Flow[Any]], Awaitable[Any]],
        jobs: Jobs,
        give_up_after: float,
        changed: Callable[[], None],
    ) -> None:
        self.session = session
        self.reach = Reach(give_up_after)
        #: A task to ask for, which is free, and where.
        self.known_task: tuple[str, str | None] | None = None
        self._driven, self._jobs, self._changed = drive, jobs, changed
        self._turned = anyio.Event()
        #: What is cut off once the batch is left while the API cannot be reached: free requests.
        self._free: set[anyio.CancelScope] = set()
        self._last_answer = -math.inf
        jobs.at_leaving.append(self._let_go)

    @property
    def schedule(self) -> Schedule:
        """How often, and when, to poll."""
        return self.session.schedule

    @property
    def rate_limit(self) -> RateLimit:
        """How many requests may leave in a minute."""
        return self.session.rate_limit

    @property
    def idle(self) -> float:
        """Seconds in which the API could not be reached."""
        return self.reach.lasted(_clock.monotonic())

    @property
    def outage(self) -> Outage | None:
        """The present outage, if there is one."""
        return self.reach.shown(_clock.monotonic())

    async def drive(self, flow: Flow[Any]) -> Any:
        """Run a flow, and take note of what its requests meet."""
        return await self._driven(watched(flow, self._heard, sleep_outside()))

    def _heard(self, effect: Send, began: float, met: APIResponse | BaseException) -> None:
        """Take note of what a free request met. Submissions tell by their outcome."""
        if effect.kind == "submit" or not isinstance(met, APIResponse | TransportFault):
            return
        reason = silence(met)
        if effect.kind == "picture":
            # Its host is another one. Unless the API has just answered, it is worth a question.
            if reason is not None and _clock.monotonic() - self._last_answer > RECENT:
                self.trouble(began, reason)
        elif reason is None:
            self._last_answer = _clock.monotonic()
            self.reach.answered()
        else:
            self.trouble(began, reason, hint=retry_after(met, _clock.wall()) if isinstance(met, APIResponse) else None)

    def judge(self, began: float, outcome: Accepted | TryLater | Rejected | Unknown) -> bool:
        """Take note of whether a submission was answered by the API, and tell it."""
        if isinstance(outcome, Accepted):
            self._submission_answered()
            return True
        error = outcome.error
        met = getattr(error, "response", None) or error.__cause__
        reason, lost = None, isinstance(outcome, Unknown)
        if isinstance(met, APIResponse | TransportFault) and not isinstance(error, InsufficientBalanceError):
            reason = silence(met)
            if reason is None and lost and isinstance(met, APIResponse) and met.status_code >= 400:
                reason = f"HTTP {met.status_code}"
        if reason is not None:
            self.trouble(began, reason, hint=getattr(error, "retry_after", None), submission=True, lost=lost)
        elif isinstance(met, APIResponse):
            self._submission_answered()
        return reason is None

    def _submission_answered(self) -> None:
        self._last_answer = _clock.monotonic()
        self.reach.submission_answered()

    def trouble(self, began: float, reason: str, *, hint: float | None = None, **what: bool) -> None:
        """Take note that a request that was begun at this second was not answered."""
        self.reach.trouble(_clock.monotonic(), began, reason, hint=hint, **what)
        self._turn()

    def _turn(self) -> None:
        """Act on what is known now of the API."""
        if self.reach.gave_up is not None:
            self._jobs.stop(self.reach.gave_up)
        if self.reach.is_open or self._jobs.leaving:
            self._turned.set()
            self._turned = anyio.Event()
        self._jobs.wake()
        self._changed()

    async def probe(self) -> None:
        """Ask the API for something that is free, once."""
        with self.cut_off_by_leaving():
            flow = knock(self.session, self.reach.failed_probes, self.known_task)
            try:
                reason, hint = await self.drive(flow)
            except LemonError as exc:  # it cannot leave this machine
                self._jobs.stop(str(exc))
                return
            self.reach.probed(_clock.monotonic(), reason, hint)
            self._turn()

    async def outlast(self, began: float) -> bool:
        """Wait until the API answers, if that is in question. Returns whether it did not at some time since then."""
        while not self.reach.is_open and not self._jobs.leaving:
            await self._turned.wait()
        return self.reach.was_out(began)

    @contextmanager
    def cut_off_by_leaving(self) -> Iterator[anyio.CancelScope]:
        """Make a free request that nobody waits for once the batch is left while the API cannot be reached."""
        with anyio.CancelScope() as scope:
            self._free.add(scope)
            try:
                yield scope
            finally:
                self._free.discard(scope)

    def _let_go(self) -> None:
        if not self.reach.is_open:
            for scope in self._free:
                scope.cancel()
            self._turned.set()
