"""Async calls that are cancelled: at any moment, at any step, in every way that there is."""

from __future__ import annotations

import asyncio  # noqa: TID251 - its ways to cancel are what this is about
import random
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from attrs import define, field

from lemon_ext import AsyncLemon, LemonError
from lemon_ext.emulator import KEY

from .evidence import Call, begin, current, dice, report, say
from .leaks import MANY_EPISODES, left, objects, slower, sockets
from .orders import fast, order, short

Work = Callable[[], Coroutine[Any, Any, None]]
#: Seconds after which an episode hangs.
PATIENCE = 20.0
#: Episodes at once, and how many go by until all have ended.
AT_ONCE = 8
TURN = 200
#: Tasks that were named and are resumed at the end.
RESUMED = 100


class CancelledHere(Exception):  # noqa: N818 - a sibling's failure
    """What fails beside the calls."""


@define
class Run:
    """The episodes of one event loop, which share a client."""

    lemon: AsyncLemon
    folder: Path
    kind: str
    seed: int
    known: list[Call] = field(factory=list)

    async def episodes(self, numbers: range) -> None:
        """Run some episodes, several at once."""
        at_once = anyio.CapacityLimiter(AT_ONCE)

        async def one(number: int) -> None:
            async with at_once:
                begin(number)
                await self.episode(number)

        async with anyio.create_task_group() as group:
            for number in numbers:
                group.start_soon(one, number)

    async def episode(self, number: int) -> None:
        """Make some calls and cancel them."""
        chance = dice(self.kind, self.seed, number)
        count = 1 if chance.random() < 0.5 else chance.randint(2, 5)
        orders = [order(chance, self.kind, self.seed, number, which) for which in range(count)]
        calls = [call for call, _ in orders]
        works = [self._work(chance, call, options) for call, options in orders]
        ways = ASYNCIO if self.kind != "cancel-trio" else ANYWHERE
        way = chance.choice(ways)

        async def everything() -> None:
            if count == 1:
                await works[0]()
                return
            async with anyio.create_task_group() as group:
                for work in works:
                    group.start_soon(work)

        with anyio.move_on_after(PATIENCE) as scope:
            try:
                current.set(calls[0] if count == 1 else None)
                await way(everything, chance)
            except BaseException as exc:
                if scope.cancel_called:
                    raise
                for call in calls:
                    call.caught(exc, alone=count == 1)
                if not isinstance(exc, Exception | asyncio.CancelledError):
                    raise
            for call in calls:
                call.ended = f"{way.__name__}: {call.ended}"
        if scope.cancelled_caught:
            say(leak="it hangs", episode=number)
        report(*calls)
        self.known += [call for call in calls if call.ids and not call.result]

    def _work(self, chance: random.Random, call: Call, options: dict[str, Any]) -> Work:
        """Return what one caller does, who knows how errors are handled and leaves cancellations alone."""
        act = chance.choice(
            (self._generate, self._generate, self._submit, self._wait, self._updates, self._save, self._hook)
        )
        nap = short(chance) if chance.random() < 0.3 else 0.0
        own = random.Random(chance.random())

        async def work() -> None:
            current.set(call)
            await anyio.sleep(nap)
            try:
                await act(call, options, own)
            except LemonError as exc:
                call.caught(exc)

        return work

    async def _generate(self, call: Call, options: dict[str, Any], _: random.Random) -> None:
        result = await self.lemon.images.generate(call.prompt, **options)
        call.took([], result.task_id)
        with suppress(LemonError):
            call.took([await image.aread() for image in result])

    async def _submit(self, call: Call, options: dict[str, Any], _: random.Random) -> None:
        task = await self.lemon.images.submit(call.prompt, **options)
        call.took([], task.id)

    async def _wait(self, call: Call, options: dict[str, Any], _: random.Random) -> None:
        task = await self.lemon.images.submit(call.prompt, **options)
        call.ids.update([task.id] if task.id else [])
        call.result = task.id is None
        call.took([], (await task.result()).task_id)

    async def _updates(self, call: Call, options: dict[str, Any], _: random.Random) -> None:
        task = await self.lemon.images.submit(call.prompt, **options)
        call.ids.update([task.id] if task.id else [])
        call.result = task.id is None
        async for _update in task.updates():
            pass

    async def _save(self, call: Call, options: dict[str, Any], _: random.Random) -> None:
        result = await self.lemon.images.generate(call.prompt, **options)
        call.took([], result.task_id)
        try:
            paths = await result.asave(self.folder)
        except LemonError:
            return
        call.took([path.read_bytes() for path in paths])
        for path in paths:
            path.unlink()

    async def _hook(self, call: Call, options: dict[str, Any], chance: random.Random) -> None:
        async def on_update(_: object) -> None:
            await anyio.sleep(short(chance))

        result = await self.lemon.images.generate(call.prompt, on_update=on_update, **options)
        call.took([], result.task_id)

    def look_for_parts(self) -> None:
        """Look for half-written files."""
        for part in self.folder.glob(".*.part"):
            say(leak=f"{part.name} was left")

    async def resume(self) -> None:
        """Get what is paid for: the named tasks give their pictures."""
        with anyio.fail_after(PATIENCE * 5):
            for call in self.known[-RESUMED:]:
                if "fault:" in call.prompt:
                    continue
                for task_id in call.ids:
                    result = await self.lemon.images.task(task_id).result()
                    call.took([await image.aread() for image in result])
                    if call.wrong:
                        report(call)


# ---- ways to cancel ----


async def not_at_all(work: Work, _: random.Random) -> None:
    """Let it be."""
    await work()


async def by_scope(work: Work, chance: random.Random) -> None:
    """Cancel by a scope with a deadline."""
    with anyio.move_on_after(short(chance)):
        await work()


async def by_failing_scope(work: Work, chance: random.Random) -> None:
    """Cancel by a scope that raises."""
    with anyio.fail_after(short(chance)):
        await work()


async def by_group(work: Work, chance: random.Random) -> None:
    """Cancel the scope of a task group."""
    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await anyio.sleep(short(chance))
        group.cancel_scope.cancel()


async def by_failing_group(work: Work, chance: random.Random) -> None:
    """Let a sibling fail."""
    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await anyio.sleep(short(chance))
        raise CancelledHere


async def at_step_by_scope(work: Work, chance: random.Random) -> None:
    """Cancel a scope at a step."""
    with anyio.CancelScope() as scope:
        await Steps(work(), int(short(chance, 1, 120)), scope.cancel)


async def by_task(work: Work, chance: random.Random) -> None:
    """Cancel the task, sometimes twice."""
    task = asyncio.create_task(work())
    await asyncio.sleep(short(chance))
    task.cancel()
    if chance.random() < 0.3:
        await asyncio.sleep(short(chance, high=0.01) if chance.random() < 0.5 else 0)
        task.cancel()
    await task


async def by_wait_for(work: Work, chance: random.Random) -> None:
    """Cancel by wait_for."""
    await asyncio.wait_for(work(), short(chance))


async def by_timeout(work: Work, chance: random.Random) -> None:
    """Cancel by asyncio's scope."""
    async with asyncio.timeout(short(chance)):
        await work()


async def by_sibling(work: Work, chance: random.Random) -> None:
    """Let a sibling in asyncio's task group fail."""
    async with asyncio.TaskGroup() as group:
        group.create_task(work())
        await asyncio.sleep(short(chance))
        raise CancelledHere


async def at_step(work: Work, chance: random.Random) -> None:
    """Cancel the task at a step, at once or in the next turn of the loop."""
    task: asyncio.Task[None]
    soon, times = chance.random() < 0.5, chance.choice((1, 1, 2))

    def cancel() -> None:
        if soon:
            asyncio.get_running_loop().call_soon(task.cancel)
        else:
            task.cancel()

    async def steps() -> None:
        await Steps(work(), int(short(chance, 1, 120)), cancel, times)

    task = asyncio.create_task(steps())
    await task


ANYWHERE = (not_at_all, by_scope, by_failing_scope, by_group, by_failing_group, at_step_by_scope, at_step_by_scope)
ASYNCIO = (*ANYWHERE, by_task, by_wait_for, by_timeout, by_sibling, at_step, at_step)


class Steps:
    """Awaits a coroutine, and does something at its step ``at``, and at each of the ``times`` that follow."""

    def __init__(self, work: Coroutine[Any, Any, None], at: int, act: Callable[[], object], times: int = 1) -> None:
        self._work, self._at, self._act, self._times = work, at, act, times

    def __await__(self) -> Generator[Any, Any, None]:
        inner = self._work.__await__()
        step, value, error = 0, None, None
        while True:
            try:
                wanted = inner.send(value) if error is None else inner.throw(error)
            except StopIteration:
                return
            step, value, error = step + 1, None, None
            if self._at <= step < self._at + self._times:
                self._act()
            try:
                value = yield wanted
            except BaseException as exc:  # noqa: BLE001 - handed on
                error = exc


# ---- a worker ----


async def _speed(lemon: AsyncLemon, name: str) -> float:
    """Return the seconds of CPU of some plain submissions."""
    began = time.process_time()
    async with anyio.create_task_group() as group:
        for number in range(30):
            group.start_soon(_plain, lemon, f"{name} {number}")
    return time.process_time() - began


async def _plain(lemon: AsyncLemon, prompt: str) -> None:
    call = Call(-1, prompt)
    task = await lemon.images.submit(prompt, model="flux-schnell")
    call.took([], task.id)
    report(call)


async def _check(run: Run, url: str, before: Any) -> None:
    """Look whether the client is as new."""
    await anyio.sleep(0.3)
    for what in left(run.lemon, before):
        say(leak=what)
    async with AsyncLemon(KEY, base_url=url, requests_per_minute=None) as new:
        pairs = []
        for turn in range(6):
            old = await _speed(run.lemon, f"{run.kind} {run.seed} speed of the old client {turn}")
            pairs.append((old, await _speed(new, f"{run.kind} {run.seed} speed of a new client {turn}")))
    note, leaks = slower(pairs)
    for what in leaks:
        say(leak=what)
    say(note=note)


async def _main(kind: str, seed: int, url: str, numbers: range) -> None:
    with tempfile.TemporaryDirectory() as folder:
        none = sockets()
        async with AsyncLemon(KEY, base_url=url, requests_per_minute=100_000) as lemon:
            run = Run(lemon, Path(folder), kind, seed)
            before = objects()
            for start in range(0, len(numbers), TURN):
                await run.episodes(numbers[start : start + TURN])
                if start == 0:
                    before = objects()
            await run.resume()
            run.look_for_parts()
            if len(numbers) >= MANY_EPISODES:
                await _check(run, url, before)
        await anyio.sleep(0.2)
        if sockets() > none:
            say(leak=f"{sockets() - none} sockets are open after aclose()")


def main(kind: str, seed: int, url: str, numbers: range) -> None:
    """Run the episodes of one event loop."""
    if kind in ("cancel-asyncio", "cancel-trio"):
        sys.modules["httpx_aiohttp"] = None  # type: ignore[assignment]  # so it is not found
    backend = "trio" if kind == "cancel-trio" else "asyncio"
    with fast():
        anyio.run(
            _main,
            kind,
            seed,
            url,
            numbers,
            backend=backend,
            backend_options={"use_uvloop": True} if "uvloop" in kind else {},
        )
