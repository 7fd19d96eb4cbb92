"""The two drivers perform the same effects in the same order, and only the drivers differ."""

from __future__ import annotations

import warnings

import anyio
import pytest

from lemon_ext import _flow
from lemon_ext._flow import Call, Send, Sleep, TransportFault, send
from lemon_ext.errors import LemonWarning
from lemon_ext.testing import instant
from tests.play import answer


def drive_blocking(flow, exchange=None, sleep=None):
    with instant(sleep=sleep):
        return _flow.run(flow, exchange)


def drive_async(flow, exchange=None, sleep=None):
    async def aexchange(effect):
        return exchange(effect)

    async def asleep(seconds):
        return sleep(seconds)

    with instant(asleep=asleep):
        return anyio.run(_flow.arun, flow, aexchange)


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

    assert drive(flow(), exchange) == "caught reset"


@both
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError, OSError])
@pytest.mark.parametrize("where", ["request", "sleep"])
def test_anything_else_passes_through_the_flow_that_can_add_words_and_leaves(drive, error, where):
    def flow():
        try:
            yield Sleep(1) if where == "sleep" else Send("GET", "u")
        except TransportFault:
            pytest.fail("it is no fault of a transport")
        except BaseException as exc:
            exc.add_note("the task is img_1")
            raise

    def stop(_):
        raise error("stop")

    with pytest.raises(error) as caught:
        drive(flow(), stop, stop)
    assert caught.value.__notes__ == ["the task is img_1"]


@both
def test_an_interrupt_in_a_callback_of_the_user_s_passes_through_the_flow_too(drive):
    def interrupted(_):
        raise KeyboardInterrupt

    def flow():
        try:
            yield Call(interrupted, None)
        except KeyboardInterrupt as exc:
            exc.add_note("the task is img_1")
            raise

    with pytest.raises(KeyboardInterrupt) as caught:
        drive(flow())
    assert caught.value.__notes__ == ["the task is img_1"]


@both
def test_a_flow_that_goes_on_after_an_interrupt_is_closed_when_it_ends(drive):
    ended = []

    def flow():
        try:
            yield Sleep(1)
        finally:
            ended.append("flow")

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(flow(), None, stop)
    assert ended == ["flow"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancellation_passes_through_the_flow(backend):
    seen = []

    def flow():
        try:
            yield Sleep(1)
        except BaseException as exc:
            seen.append(isinstance(exc, anyio.get_cancelled_exc_class()))
            raise

    async def main():
        with instant(asleep=lambda _: anyio.sleep_forever()), anyio.move_on_after(0.01):
            await _flow.arun(flow(), None)

    anyio.run(main, backend=backend)
    assert seen == [True]


def test_a_stop_iteration_that_leaks_from_an_effect_is_not_taken_for_a_result():
    def flow():
        yield Sleep(1)
        return "result"

    def sleep(seconds):
        raise StopIteration("leak")

    with pytest.raises(RuntimeError, match="StopIteration"):
        drive_blocking(flow(), None, sleep)


@both
def test_a_callback_that_fails_is_reported_and_does_not_end_the_wait(drive):
    def flow():
        yield Call(lambda task: 1 / 0, None)
        return "went on"

    with pytest.warns(LemonWarning, match="ZeroDivisionError"):
        assert drive(flow()) == "went on"


@both
def test_a_callback_that_fails_is_logged_where_warnings_are_errors(drive, caplog):
    def flow():
        yield Call(lambda task: 1 / 0, None)
        return "went on"

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drive(flow()) == "went on"
    assert [(record.name, record.levelname) for record in caplog.records] == [("lemon_ext", "WARNING")]
    assert "on_update raised ZeroDivisionError" in caplog.text


def test_a_blocking_sleep_longer_than_the_system_takes_is_slept_in_parts():
    slept = []

    def flow():
        yield Sleep(200_000)
        yield Sleep(86_400)
        return "awake"

    assert drive_blocking(flow(), None, slept.append) == "awake"
    assert slept == [86_400, 86_400, 27_200, 86_400]


def test_the_async_driver_awaits_an_async_callback():
    seen = []

    async def callback(argument):
        await anyio.lowlevel.checkpoint()
        seen.append(argument)

    def flow():
        yield Call(callback, "task")

    anyio.run(_flow.arun, flow(), None)
    assert seen == ["task"]
