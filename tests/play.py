"""Step a flow by hand: a transcript of what it wants done and what it is told. And clocks that nobody waits for."""

from __future__ import annotations

import json as _json
from contextlib import ExitStack
from typing import Any

from lemon_ext._flow import Call, Flow, Send, Sleep, Work
from lemon_ext._response import APIResponse
from lemon_ext.testing import instant

#: What a test has set up and its end takes down; conftest does that.
setups = ExitStack()


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds

    def rule(self) -> None:
        """Be the clock of the package until the test ends; its sleeps move this clock and take no time."""
        setups.enter_context(instant(clock=self, wall=self.wall, sleep=self.sleep, asleep=self.asleep))


def answer(status: int = 200, body: object = None, **headers: str) -> APIResponse:
    """Make a response; a body that is not bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else _json.dumps(body).encode()
    return APIResponse(status, {name.replace("_", "-").lower(): value for name, value in headers.items()}, raw)


def play(flow: Flow[Any], clock: Clock, *replies: APIResponse | BaseException) -> tuple[Any, list[Send], list[float]]:
    """Drive a flow with these replies to its requests. Returns its result, the requests and the sleeps.

    An error the flow raises comes out, with what was sent until then as ``error.sent`` and ``error.slept``.
    """
    sent: list[Send] = []
    slept: list[float] = []
    left = list(replies)
    outcome: object = None
    fault: BaseException | None = None
    try:
        while True:
            effect = flow.send(outcome) if fault is None else flow.throw(fault)
            outcome, fault = None, None
            match effect:
                case Send():
                    sent.append(effect)
                    assert left, f"one request more than there are replies: {effect.method} {effect.url}"
                    reply = left.pop(0)
                    if isinstance(reply, BaseException):
                        fault = reply
                        effect.sent = getattr(reply, "sent", True)
                    else:
                        outcome = reply
                case Sleep(seconds):
                    assert seconds >= 0
                    slept.append(seconds)
                    clock.now += seconds
                case Call(function, argument):
                    function(argument)
                case Work(function):
                    try:
                        outcome = function()
                    except Exception as exc:  # noqa: BLE001 - raised again in the flow
                        fault = exc
    except StopIteration as stop:
        assert not left, f"{len(left)} replies were not asked for"
        return stop.value, sent, slept
    except BaseException as exc:
        exc.sent, exc.slept = sent, slept  # type: ignore[attr-defined]
        raise
