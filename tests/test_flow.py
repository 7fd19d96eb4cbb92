"""The two drivers perform the same effects in the same order, and only the drivers differ."""

from __future__ import annotations

import warnings

import pytest

from lemon_ext import _flow
from lemon_ext._flow import Call, Send, Sleep, TransportFault, send
from lemon_ext.errors import LemonWarning
from tests.play import answer


def drive_blocking(flow, exchange, sleep):
    return _flow.run(flow, exchange, sleep)


def drive_async(flow, exchange, sleep):
    import anyio

    async def aexchange(effect):
        return exchange(effect)

    async def asleep(seconds):
        return sleep(seconds)

    return anyio.run(_flow.arun, flow, aexchange, asleep)


both = pytest.mark.parametrize("drive", [drive_blocking, drive_async])


@both
def test_effects_are_performed_in_order_and_the_return_value_comes_back(drive):
    done = []

    def flow():
        response = yield from send(Send("GET", "u"))
        yield Sleep(2.5)
        yield Call(done.append, "told")
        return response.status_code

    def exchange(effect):
        done.append(effect.url)
        return answer(204)

    assert drive(flow(), exchange, done.append) == 204
    assert done == ["u", 2.5, "told"]


@both
def test_a_transport_fault_is_thrown_into_the_flow(drive):
    def flow():
        try:
            yield from send(Send("GET", "u"))
        except TransportFault as fault:
            return f"caught {fault}"

    def exchange(effect):
        raise TransportFault("reset")

    assert drive(flow(), exchange, None) == "caught reset"


@both
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OSError])
def test_anything_else_leaves_through_the_driver_and_closes_the_flow(drive, error):
    closed = []

    def flow():
        try:
            yield from send(Send("GET", "u"))
        except TransportFault:  # must not see it
            closed.append("seen")
        finally:
            closed.append("closed")

    def exchange(effect):
        raise error("stop")

    with pytest.raises(error):
        drive(flow(), exchange, None)
    assert closed == ["closed"]


def test_a_stop_iteration_that_leaks_from_an_effect_is_not_taken_for_a_result():
    def flow():
        yield Sleep(1)
        return "result"

    def sleep(seconds):
        raise StopIteration("leak")

    with pytest.raises(StopIteration, match="leak"):
        _flow.run(flow(), None, sleep)


@both
def test_a_callback_that_fails_is_reported_and_does_not_end_the_wait(drive):
    def flow():
        yield Call(lambda task: 1 / 0, None)
        return "went on"

    with pytest.warns(LemonWarning, match="ZeroDivisionError"):
        assert drive(flow(), None, None) == "went on"


@both
def test_a_callback_that_fails_is_logged_where_warnings_are_errors(drive, caplog):
    def flow():
        yield Call(lambda task: 1 / 0, None)
        return "went on"

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drive(flow(), None, None) == "went on"
    assert [(record.name, record.levelname) for record in caplog.records] == [("lemon_ext", "WARNING")]
    assert "on_update raised ZeroDivisionError" in caplog.text


def test_a_sleep_longer_than_the_system_takes_is_slept_in_parts():
    slept = []

    def flow():
        yield Sleep(200_000)
        yield Sleep(86_400)
        return "awake"

    assert _flow.run(flow(), None, slept.append) == "awake"
    assert slept == [86_400, 86_400, 27_200, 86_400]


def test_the_async_driver_awaits_an_async_callback():
    import anyio

    seen = []

    async def callback(argument):
        await anyio.lowlevel.checkpoint()
        seen.append(argument)

    def flow():
        yield Call(callback, "task")

    anyio.run(_flow.arun, flow(), None, None)
    assert seen == ["task"]
