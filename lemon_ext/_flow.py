"""The one place where blocking and async part: flows, their effects, and the two drivers.

A flow is a generator that decides and never waits. It yields what it wants done (an effect), is sent back the result,
and returns its own; flows compose with ``yield from``. Everything that retries, polls or downloads is a flow, written
once. The drivers perform effects and know nothing else. A flow is tested by stepping it by hand: no loop, no clock,
no sleep.

Whatever an effect raises is raised in the flow, where it yielded: a failed request as a `TransportFault`, which the
flow handles, and also an interrupt or a cancellation. What has been paid for by then is said by the driver.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from anyio.to_thread import run_sync
from attrs import define, field, frozen

from . import _clock
from ._response import APIResponse
from ._warn import on_behalf, warn

T = TypeVar("T")

#: Seconds of one sleep, a day: the system refuses much longer ones.
LONGEST_SLEEP: Final = 86400.0


class Sink(Protocol):
    """Where the body of a download goes, piece by piece."""

    def write(self, chunk: bytes, /) -> object: ...


@define(eq=False)
class Send:
    """Make one HTTP request; the result is an `APIResponse`.

    ``kind``: a ``submit`` is billed, a ``poll`` is any free request to the API, and a ``picture`` is fetched from
    anywhere, without the key. The whole exchange gets ``within`` seconds, and ends before if nothing comes for
    ``stall`` seconds. With a ``sink``, the body of a 200 goes there and the response's body is empty; any other body
    is kept only if it is short.
    """

    method: str
    url: str
    json: Any = field(default=None, repr=False)
    #: A body that is no JSON, and what it is.
    content: bytes | None = field(default=None, repr=False)
    content_type: str | None = None
    kind: Literal["submit", "poll", "picture"] = "poll"
    within: float = 60.0
    sink: Sink | None = None
    stall: float = math.inf
    #: Asked of a submission when its first byte is about to leave: whether it still may.
    may_leave: Callable[[], bool] = field(default=lambda: True, repr=False)
    #: Whether the request may have left, as the HTTP library's trace tells. Kept for submissions.
    sent: bool = field(default=False, init=False)


class Sleep(NamedTuple):
    """Wait; the result is None."""

    seconds: float


class Call(NamedTuple):
    """Call a function of the user's, awaiting it if it is async. The result is None.

    What it raises is reported as a warning: a broken progress bar must not cost a paid image.
    """

    function: Callable[[Any], object]
    argument: Any


class Work(NamedTuple):
    """Do what blocks, with files: in a thread, where a loop must not wait. The result is what the function returns."""

    function: Callable[[], object]


Effect: TypeAlias = Send | Sleep | Call | Work
Flow: TypeAlias = Generator[Effect, Any, T]


class TransportFault(Exception):  # noqa: N818 - never leaves the package: flows turn it into an error
    """A request got no response.

    ``sent`` says that it may have reached the server, ``timeout`` that time ran out, and ``local`` that it failed on
    this machine, before the network: another try will not help.
    """

    def __init__(self, message: str, *, sent: bool = True, timeout: bool = False, local: bool = False) -> None:
        super().__init__(message)
        self.sent = sent
        self.timeout = timeout
        self.local = local


def send(effect: Send) -> Flow[APIResponse]:
    """Yield a request and return its response."""
    response: APIResponse = yield effect
    return response


def watched(
    flow: Flow[T],
    heard: Callable[[Send, float, APIResponse | BaseException], object],
    sleep: Callable[[float], object] | None = None,
) -> Flow[T]:
    """Run a flow, and tell ``heard`` of each request what it met, and in which monotonic second it was made.

    Where there is a function ``sleep``, that is called in the place of every sleep.
    """
    result: Any = None
    fault: BaseException | None = None
    while True:
        try:
            effect = flow.send(result) if fault is None else flow.throw(fault)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # a T
        finally:
            fault = None  # it holds this frame
        began, result = _clock.monotonic(), None
        try:
            result = yield Call(sleep, effect.seconds) if sleep and isinstance(effect, Sleep) else effect
        except BaseException as exc:  # noqa: BLE001 - raised again in the flow
            fault = exc
        if isinstance(effect, Send):
            heard(effect, began, result if fault is None else fault)


def run(flow: Flow[T], exchange: Callable[[Send], APIResponse]) -> T:
    """Drive a flow to its result, blocking.

    An interrupt can come after any call, also when the flow has ended: on the way out with a result, nothing is called.
    """
    fault: BaseException | None = None
    try:
        step = _resumed(flow)
        while not isinstance(step, _Ended):
            result, fault = None, None
            try:
                result = _perform(step, exchange)
            except BaseException as exc:  # noqa: BLE001 - raised again in the flow
                fault = exc
            step = _resumed(flow, result, fault)
    except BaseException:
        fault = None  # it holds this frame
        flow.close()
        raise
    fault = None
    return step.value


async def arun(flow: Flow[T], exchange: Callable[[Send], Awaitable[APIResponse]]) -> T:
    """Async twin of `run`."""
    fault: BaseException | None = None
    try:
        step = _resumed(flow)
        while not isinstance(step, _Ended):
            result, fault = None, None
            try:
                result = await _aperform(step, exchange)
            except BaseException as exc:  # noqa: BLE001 - as in `run`
                fault = exc
            step = _resumed(flow, result, fault)
    except BaseException:
        fault = None
        flow.close()
        raise
    fault = None
    return step.value


@frozen
class _Ended(Generic[T]):
    value: T


def _resumed(flow: Flow[T], result: object = None, fault: BaseException | None = None) -> Effect | _Ended[T]:
    # Only resuming the flow may end it: a StopIteration that leaks from an effect is a bug, not a result.
    try:
        return flow.send(result) if fault is None else flow.throw(fault)
    except StopIteration as stop:
        return _Ended(stop.value)


def _perform(effect: Effect, exchange: Callable[[Send], APIResponse]) -> object:
    match effect:
        case Send():
            return exchange(effect)
        case Sleep(seconds):
            while seconds > LONGEST_SLEEP:
                _clock.sleep(LONGEST_SLEEP)
                seconds -= LONGEST_SLEEP
            return _clock.sleep(seconds)
        case Call(function, argument):
            try:
                function(argument)
            except Exception as exc:  # noqa: BLE001 - see Call
                _report(exc)
            return None
        case Work(function):
            return function()


async def _aperform(effect: Effect, exchange: Callable[[Send], Awaitable[APIResponse]]) -> object:
    match effect:
        case Send():
            return await exchange(effect)
        case Sleep(seconds):
            await _clock.asleep(seconds)
            return None
        case Call(function, argument):
            try:
                if inspect.isawaitable(result := function(argument)):
                    await result
            except Exception as exc:  # noqa: BLE001 - see Call
                _report(exc)
            return None
        case Work(function):
            return await run_sync(on_behalf().run, function)


def _report(exc: Exception) -> None:
    warn(f"on_update raised {type(exc).__name__}: {exc}. The wait goes on.")
