"""Whoever leaves a call early, in whatever way, is told what has been paid for; and the client works as before."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from contextlib import contextmanager
from contextvars import copy_context
from weakref import WeakSet

import anyio
import httpcore
import httpx
import pytest
import trio
from trio.testing import MockClock

from lemon_ext import AsyncLemon, Lemon, LemonWarning, _connections
from lemon_ext._flow import Send
from lemon_ext._network import Network
from lemon_ext.testing import instant
from tests.conftest import KEY
from tests.outcomes import INLINE
from tests.play import Clock
from tests.sockets import listening, reply, request_line

PENDING = {"task_id": "img_1", "status": "pending"}
DONE = {"task_id": "img_1", "status": "completed", "data": [{"url": "https://img.example.net/a.png"}]}
BILLED = (
    "The request had been sent. It may have been accepted and billed: ask `lemon reconcile` "
    "(in Python: reconcile()), or look at your account, before sending it again."
)
RESUME = "lemon.images.task('img_1').result(), or `lemon task --wait -- img_1`"
RUNS = f"The task img_1 is accepted and paid for; resume it with {RESUME}."
ENDED = f"The task img_1 has ended and is paid for; get its images with {RESUME}."
#: Where a call can be left, and what is told there.
PHASES = {
    "rate limit": None,
    "submit": BILLED,
    "accepted": RUNS,
    "sleep": RUNS,
    "poll": RUNS,
    "completed": ENDED,
}


class Stuck:
    """A gateway with a client that gets stuck in one phase of a call: there, ``here`` is called, or awaited."""

    def __init__(self, phase, here):
        self.phase, self.here = phase, here
        self.sleeps = 0

    def at(self, phase):
        return self.here() if phase == self.phase else None

    def handler(self, request):
        post = request.method == "POST"
        self.at("submit" if post else "poll")
        return httpx.Response(200, json=PENDING if post else DONE)

    async def ahandler(self, request):
        post = request.method == "POST"
        if self.phase == ("submit" if post else "poll"):
            await self.here()
        return httpx.Response(200, json=PENDING if post else DONE)

    def sleep(self, seconds):
        self.at("rate limit" if seconds > 30 else "sleep")

    async def asleep(self, seconds):
        if self.phase == ("rate limit" if seconds > 30 else "sleep"):
            await self.here()

    def on_update(self, task):
        self.at({"pending": "accepted"}.get(task.status, task.status))

    async def aon_update(self, task):
        if self.phase == {"pending": "accepted"}.get(task.status, task.status):
            await self.here()

    def client(self, *, blocking):
        # A limit of one request a minute, used up, is a sleep of a minute before the POST.
        limit = 1 if self.phase == "rate limit" else None
        if blocking:
            http = httpx.Client(transport=httpx.MockTransport(self.handler))
            lemon = Lemon(KEY, http_client=http, requests_per_minute=limit)
        else:
            transport = httpx.MockTransport(self.ahandler)
            lemon = AsyncLemon(KEY, http_client=httpx.AsyncClient(transport=transport), requests_per_minute=limit)
        if limit:
            lemon._core.session.rate_limit.acquire(0.0)
            lemon._core.session.rate_limit.acquire(lemon._core.session.clock())
        return lemon

    @contextmanager
    def time(self):
        with instant(sleep=self.sleep, asleep=self.asleep):
            yield


# ---- interrupts ----


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("phase", PHASES)
def test_an_interrupt_names_the_task_or_says_that_it_may_be_billed(phase, error):
    def here():
        raise error

    stuck = Stuck(phase, here)
    lemon = stuck.client(blocking=True)
    with stuck.time(), warnings.catch_warnings(record=True, action="always") as heard, pytest.raises(error) as caught:
        lemon.images.generate("x", model="midjourney", on_update=stuck.on_update)
    told = PHASES[phase]
    assert getattr(caught.value, "__notes__", []) == ([told] if told else [])
    assert (getattr(caught.value, "task", None) is not None) == ("img_1" in (told or ""))
    # A note is part of the traceback of an interrupt. SystemExit shows none, so it is a warning too.
    assert [str(one.message) for one in heard] == ([told] if told and error is SystemExit else [])
    stuck.phase = None
    with stuck.time():
        assert len(lemon.images.generate("x", model="midjourney")) == 1


def test_waiting_with_a_handle_names_the_task_in_every_way_of_waiting():
    def here():
        raise KeyboardInterrupt

    for wait in (lambda task: task.result(), lambda task: list(task.updates()), lambda task: task.refresh()):
        stuck = Stuck("poll", here)
        task = stuck.client(blocking=True).images.task("img_1")
        with stuck.time(), pytest.raises(KeyboardInterrupt) as caught:
            wait(task)
        assert caught.value.__notes__ == [RUNS]
        assert caught.value.task is task


@contextmanager
def interrupted_at(moment, packages=("lemon_ext",)):
    """Raise KeyboardInterrupt at one of the moments at which Python lets a signal in: a call, a return from C.

    Yields a list that holds the place, once it was reached.
    """
    place, left = [], moment

    def watch(frame, event, arg):
        nonlocal left
        if event in ("call", "c_return") and frame.f_globals.get("__name__", "").partition(".")[0] in packages:
            left -= 1
            if left == 0:
                sys.setprofile(None)
                place.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {event} {frame.f_code.co_name}")
                raise KeyboardInterrupt

    # What collects garbage calls finalizers, of objects of other tests too; Python lets no interrupt out of those.
    gc.disable()
    sys.setprofile(watch)
    try:
        yield place
    finally:
        sys.setprofile(None)
        gc.enable()


@pytest.mark.parametrize("call", ["generate", "submit"])
@pytest.mark.parametrize("answer", [PENDING, INLINE], ids=["task", "images"])
def test_an_interrupt_at_any_moment_tells_what_is_paid_for(call, answer):
    """Also between the answer and the moment at which the caller has it."""
    posts = []

    def handler(request):
        if request.method == "POST":
            posts.append(request)
            return httpx.Response(200, json=answer)
        return httpx.Response(200, json=DONE)

    untold, moment = [], 0
    http = httpx.Client(transport=httpx.MockTransport(handler))
    with Lemon(KEY, http_client=http, requests_per_minute=None) as lemon, instant():
        lemon.images.generate("x", model="midjourney")
        while True:
            moment += 1
            posts.clear()
            try:
                with interrupted_at(moment) as place:
                    getattr(lemon.images, call)("x", model="midjourney")
            except KeyboardInterrupt as exc:
                if posts and not getattr(exc, "__notes__", None):
                    untold.append(place)
            else:
                if not place:
                    break
        assert len(lemon.images.generate("x", model="midjourney")) == 1
    assert untold == []
    assert moment > 200


class Streams(httpcore.NetworkBackend):
    """Connections without sockets: each answers a request with its first line."""

    def __init__(self):
        self.open = WeakSet()  # as with sockets, one that nobody holds any more is closed

    def connect_tcp(self, *args, **kwargs):
        return Stream(self.open)


class Stream(httpcore.NetworkStream):
    def __init__(self, all_open):
        self.all_open, self.answers = all_open, []
        all_open.add(self)

    def write(self, buffer, timeout=None):
        line, found, _ = buffer.partition(b" HTTP/1.1\r\n")
        if found:
            self.answers.append(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(line), line))

    def read(self, max_bytes, timeout=None):
        return self.answers.pop(0)

    def close(self):
        self.all_open.discard(self)

    def get_extra_info(self, info):
        return False if info == "is_readable" else None


def test_an_interrupt_at_any_moment_of_an_exchange_leaves_a_client_that_works(monkeypatch):
    """Connections of which nobody knows the state are not used again, and none stays open. Nothing that was set for
    the exchange holds for others: bug, its deadline did, and `lemon.raw` had no time left from then on.
    """
    streams = Streams()

    def network(guard):
        network = Network(guard)
        network._inner = streams
        return network

    monkeypatch.setattr(_connections, "Network", network)
    lemon = Lemon(KEY, base_url="http://127.0.0.1")
    http, moment, most = lemon._core.http, 0, 0
    connections, before = http.connections["submit"], dict(copy_context())
    while True:
        moment += 1
        try:
            with interrupted_at(moment, ("lemon_ext", "httpx", "httpcore")) as place:
                http.exchange(Send("POST", "http://127.0.0.1/cut", {}, kind="submit"))
        except KeyboardInterrupt:
            pass
        else:
            if not place:
                break
        assert dict(copy_context()) == before, place
        answer = http.exchange(Send("POST", f"http://127.0.0.1/{moment}", {}, kind="submit"))
        assert answer.text == f"POST /{moment}", place
        assert len(connections._idle) == 1, place
        if len(streams.open) > 2:  # an interrupt while one was taken out
            gc.collect()
        most = max(most, len(streams.open))
    lemon.close()
    assert moment > 300
    assert most <= 2
    gc.collect()
    assert not streams.open


# ---- cancellations ----


#: Seconds that a call may take which is cancelled for its time.
LIMIT = 1.0


def stopped_loop(backend):
    """Return options of a loop whose clock stands still, and what moves it on: no limit is waited for, or missed."""
    if backend == "trio":
        clock = MockClock()
        return {"clock": clock}, clock.jump
    clock = Clock()

    def loop():
        made = asyncio.new_event_loop()
        made.time = clock
        return made

    return {"loop_factory": loop}, clock.sleep


class Siblings(Exception):
    pass


async def _fail(reached):
    await reached.wait()
    raise Siblings


async def task_cancel(call, reached):
    task = asyncio.ensure_future(call())
    await reached.wait()
    task.cancel()
    await task


async def wait_for(call, reached):
    await asyncio.wait_for(call(), LIMIT)


async def timeout(call, reached):
    async with asyncio.timeout(LIMIT):
        await call()


async def task_group(call, reached):
    async with asyncio.TaskGroup() as group:
        group.create_task(call())
        group.create_task(_fail(reached))


async def anyio_scope(call, reached):
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def cancel():
                await reached.wait()
                scope.cancel()

            group.start_soon(cancel)
            await call()


async def anyio_fail_after(call, reached):
    with anyio.fail_after(LIMIT):
        await call()


async def anyio_task_group(call, reached):
    async with anyio.create_task_group() as group:
        group.start_soon(call)
        group.start_soon(_fail, reached)


async def trio_move_on(call, reached):
    with trio.move_on_after(LIMIT):
        await call()


async def trio_nursery(call, reached):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        nursery.start_soon(_fail, reached)


WAYS = [
    ("asyncio", task_cancel),
    ("asyncio", wait_for),
    ("asyncio", timeout),
    ("asyncio", task_group),
    *((backend, way) for backend in ("asyncio", "trio") for way in (anyio_scope, anyio_fail_after, anyio_task_group)),
    ("trio", trio_move_on),
    ("trio", trio_nursery),
]


@pytest.mark.parametrize(("backend", "way"), WAYS, ids=[f"{backend}-{way.__name__}" for backend, way in WAYS])
def test_a_cancelled_call_warns_of_what_is_paid_for(backend, way):
    """Frameworks put an exception of their own in the place of a cancellation and drop its notes."""

    async def main(phase, leap):
        reached = anyio.Event()

        async def here():
            reached.set()
            leap(2 * LIMIT)
            await anyio.sleep_forever()

        stuck = Stuck(phase, here)
        lemon = stuck.client(blocking=False)

        async def call():
            await lemon.images.generate("x", model="midjourney", on_update=stuck.aon_update)

        with stuck.time(), warnings.catch_warnings(record=True, action="always") as heard:
            try:
                await way(call, reached)
            except (TimeoutError, asyncio.CancelledError, BaseExceptionGroup) as exc:
                ended = exc
            else:
                ended = None
        assert reached.is_set(), phase
        stuck.phase = None
        with stuck.time():
            assert len(await lemon.images.generate("x", model="midjourney")) == 1
        return [str(one.message) for one in heard if issubclass(one.category, LemonWarning)], ended

    for phase, told in PHASES.items():
        options, leap = stopped_loop(backend)
        heard, ended = anyio.run(main, phase, leap, backend=backend, backend_options=options)
        assert heard == ([told] if told else []), phase
        assert (ended is None) == (way in (anyio_scope, trio_move_on))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_task_that_its_loop_abandons_warns_too(backend):
    """A program that ends while a call is under way: the loop cancels it, or closes it."""
    heard = []

    async def main():
        reached = anyio.Event()

        async def here():
            reached.set()
            await anyio.sleep_forever()

        stuck = Stuck("poll", here)
        lemon = stuck.client(blocking=False)
        with stuck.time():
            if backend == "asyncio":
                heard.append(asyncio.ensure_future(lemon.images.generate("x", model="midjourney")))
            else:
                trio.lowlevel.spawn_system_task(lemon.images.generate, "x")
            await reached.wait()

    with pytest.warns(LemonWarning, match="img_1 is accepted and paid for"):
        anyio.run(main, backend=backend)


async def cut_off(call, turns, seconds):
    """Cancel a call after some turns of the loop, and some seconds."""
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def cut():
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                await anyio.sleep(seconds)
                scope.cancel()

            group.start_soon(cut)
            await call()


# On its way from a connected socket to a connection, aiohttp leaves one that is cancelled to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("backend", ["asyncio", "aiohttp", "trio"])
@pytest.mark.parametrize("when", ["connecting", "waiting", "reading", "closing"])
def test_a_cancellation_in_any_phase_of_an_exchange_leaves_a_client_that_works(backend, when, monkeypatch):
    """While a response was being closed it left a dead connection on top, and every later call failed."""
    if backend == "asyncio":
        monkeypatch.setattr(_connections, "find_spec", lambda name: None)

    def serve(connection, number):
        while (line := request_line(connection)) is not None:
            if "slow" not in line or when == "closing":
                reply(connection, line.encode())
            elif when == "reading":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")

    async def main(address):
        lemon = AsyncLemon(KEY, base_url=address)
        http = lemon._core.http
        connections = http.connections["submit"]
        for turn in range(10):

            async def slow():
                await http.exchange(Send("POST", f"{address}/slow", {}, kind="submit"))

            seconds = 0.0 if when == "connecting" else 0.001 * turn if when == "closing" else 0.005
            await cut_off(slow, turn, seconds)
            answer = await http.exchange(Send("POST", f"{address}/{turn}", {}, kind="submit"))
            assert answer.text == f"POST /{turn} HTTP/1.1"
            assert len(connections._idle) == 1
        await lemon.aclose()
        assert not connections._idle

    with listening(serve, threads=64) as address:
        anyio.run(main, address, backend=backend.replace("aiohttp", "asyncio"))
