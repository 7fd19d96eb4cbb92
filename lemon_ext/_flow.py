"""The one place where blocking and async part: flows, their effects, and the two drivers.

A flow is a generator that decides and never waits. It yields what it wants done (an effect), is sent back the
outcome, and returns its result; flows compose with ``yield from``. Everything that retries, polls or downloads is a
flow, written once. The drivers perform effects and know nothing else. A flow is tested by stepping it by hand: no
loop, no clock, no sleep.

Whatever an effect raises is raised in the flow, where it yielded: a failed request as a `TransportFault`. An interrupt
or a cancellation leaves through the driver, which closes the flow so that its ``finally`` blocks run.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

import anyio
from anyio.to_thread import run_sync

from .errors import APIResponse, warn

T = TypeVar("T")

#: Seconds of one sleep, a day: the system refuses much longer ones.
LONGEST_SLEEP: Final = 86400.0


class Sink(Protocol):
    """Where the body of a download goes, piece by piece."""

    def write(self, chunk: bytes, /) -> object: ...


class Send(NamedTuple):
    """Make one HTTP request; the outcome is an `APIResponse`.

    ``keyed`` requests carry the API key. The whole exchange gets ``within`` seconds, and ends before if nothing comes
    for ``stall`` seconds. With a ``sink``, the body of a 200 goes there and the response's body is empty; any other
    body is kept only if it is short.
    """

    method: str
    url: str
    json: Any = None
    keyed: bool = True
    within: float = 60.0
    sink: Sink | None = None
    stall: float = math.inf


class Sleep(NamedTuple):
    """Wait; the outcome is None."""

    seconds: float


class Call(NamedTuple):
    """Call a function of the user's, awaiting it if it is async. The outcome is None.

    What it raises is reported as a warning: a broken progress bar must not cost a paid image.
    """

    function: Callable[[Any], object]
    argument: Any


class Work(NamedTuple):
    """Do what blocks, with files: in a thread, where a loop must not wait. The outcome is what the function returns.

    What it raises is raised in the flow.
    """

    function: Callable[[], object]


Effect: TypeAlias = Send | Sleep | Call | Work
Flow: TypeAlias = Generator[Effect, Any, T]


class TransportFault(Exception):  # noqa: N818 - never leaves the package: flows turn it into an error
    """A request got no response.

    ``unsent`` says that it certainly never reached the server, ``timeout`` that time ran out.
    """

    def __init__(self, message: str, *, unsent: bool = False, timeout: bool = False) -> None:
        super().__init__(message)
        self.unsent = unsent
        self.timeout = timeout


def send(effect: Send) -> Flow[APIResponse]:
    """Yield a request and return its response."""
    response: APIResponse = yield effect
    return response


def run(flow: Flow[T], exchange: Callable[[Send], APIResponse], sleep: Callable[[float], object] = time.sleep) -> T:
    """Drive a flow to its result, blocking."""

    def perform(effect: Effect) -> object:
        match effect:
            case Send():
                return exchange(effect)
            case Sleep(seconds):
                while seconds > LONGEST_SLEEP:
                    sleep(LONGEST_SLEEP)
                    seconds -= LONGEST_SLEEP
                return sleep(seconds)
            case Call(function, argument):
                try:
                    function(argument)
                except Exception as exc:  # noqa: BLE001 - see Call
                    _report(exc)
                return None
            case Work(function):
                return function()

    outcome: object = None
    fault: Exception | None = None
    try:
        while True:
            # Only resuming the flow may end it: a StopIteration that leaks from an effect is a bug, not a result.
            try:
                effect = flow.send(outcome) if fault is None else flow.throw(fault)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # a generator's return type is lost in StopIteration
            outcome, fault = None, None
            try:
                outcome = perform(effect)
            except Exception as exc:  # noqa: BLE001 - raised again in the flow
                fault = exc
    finally:
        flow.close()


async def arun(
    flow: Flow[T],
    exchange: Callable[[Send], Awaitable[APIResponse]],
    sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
) -> T:
    """Async twin of `run`."""

    async def perform(effect: Effect) -> object:
        match effect:
            case Send():
                return await exchange(effect)
            case Sleep(seconds):
                return await sleep(seconds)
            case Call(function, argument):
                try:
                    if inspect.isawaitable(result := function(argument)):
                        await result
                except Exception as exc:  # noqa: BLE001 - see Call
                    _report(exc)
                return None
            case Work(function):
                return await run_sync(function)

    outcome: object = None
    fault: Exception | None = None
    try:
        while True:
            try:
                effect = flow.send(outcome) if fault is None else flow.throw(fault)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # as in `run`
            outcome, fault = None, None
            try:
                outcome = await perform(effect)
            except Exception as exc:  # noqa: BLE001 - raised again in the flow
                fault = exc
    finally:
        flow.close()


def _report(exc: Exception) -> None:
    warn(f"on_update raised {type(exc).__name__}: {exc}. The wait goes on.")
