"""A warm client in a process that forks: parent and child use it at once, and each gets its own answers."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import define

from lemon_ext import AsyncLemon, Lemon, LemonError
from lemon_ext.emulator import KEY

from .evidence import Call, begin, current, dice, report, say
from .leaks import held, sockets
from .orders import fast, order, short

#: Seconds after which a child hangs.
PATIENCE: Final = 15.0


@define
class Run:
    """The episodes of one process, which share two warm clients."""

    lemon: Lemon
    alemon: AsyncLemon
    portal: BlockingPortal
    seed: int

    def episode(self, number: int) -> None:
        """Fork, and use a client on both sides at once, sometimes while a thread uses it, too."""
        chance = dice("fork", self.seed, number)
        call = self._in_async if chance.random() < 0.3 else self._in_threads
        beside = threading.Thread(target=self._in_threads, args=(chance.random(), number, "beside", True))
        if chance.random() < 0.5:
            beside.start()
            threading.Event().wait(short(chance, high=0.03))
        child = self._fork(chance, lambda: call(0.1, number, "child", False))
        call(chance.random(), number, "parent", True)
        if beside.ident is not None:
            beside.join()
        self._wait(child, number)

    def _fork(self, chance: random.Random, work: Callable[[], None]) -> int:
        if chance.random() < 0.3:
            process = multiprocessing.get_context("fork").Process(target=work)
            process.start()
            return process.pid or 0
        pid = os.fork()
        if pid == 0:
            try:
                work()
            finally:
                os._exit(0)
        return pid

    def _wait(self, child: int, number: int) -> None:
        end = time.monotonic() + PATIENCE
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                say(leak="the child hangs", episode=number)
                return
            threading.Event().wait(0.002)

    def _in_threads(self, seed: float, number: int, who: str, parent: bool) -> None:
        chance = random.Random(seed)
        threads = [
            threading.Thread(target=self._one, args=(chance.random(), number, f"{who} {i}"))
            for i in range(chance.randint(1, 3))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _one(self, seed: float, number: int, who: str) -> None:
        chance = random.Random(seed)
        for turn in range(2):
            call, options = self._order(chance, number, f"{who} {turn}")
            try:
                result = self.lemon.images.generate(call.prompt, **options)
                call.took([], result.task_id)
                call.took([image.read() for image in result])
            except LemonError as exc:
                call.caught(exc)
            report(call)

    def _in_async(self, seed: float, number: int, who: str, parent: bool) -> None:
        async def all_of_them() -> None:
            async with anyio.create_task_group() as group:
                for which in range(3):
                    group.start_soon(self._aone, random.Random(f"{seed} {which}"), number, f"{who} {which}")

        if parent:
            self.portal.call(all_of_them)
        else:
            anyio.run(all_of_them)

    async def _aone(self, chance: random.Random, number: int, who: str) -> None:
        call, options = self._order(chance, number, who)
        try:
            result = await self.alemon.images.generate(call.prompt, **options)
            call.took([], result.task_id)
            call.took([await image.aread() for image in result])
        except LemonError as exc:
            call.caught(exc)
        report(call)

    def _order(self, chance: random.Random, number: int, who: str) -> tuple[Call, dict[str, Any]]:
        call, options = order(chance, "fork", self.seed, number, faulty=0.2)
        call.prompt = f"{who}, {call.prompt}"
        current.set(call)
        return call, options


def main(kind: str, seed: int, url: str, numbers: range) -> None:
    """Run the episodes."""
    options: dict[str, Any] = {"base_url": url, "requests_per_minute": 100_000}
    with fast(), ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal("asyncio"))
        none = sockets()
        lemon, alemon = Lemon(KEY, **options), AsyncLemon(KEY, **options)
        run = Run(lemon, alemon, portal, seed)
        run._in_threads(0.0, -1 - numbers.start, "warm", True)
        run._in_async(0.0, -1 - numbers.start, "warm", True)
        for number in numbers:
            begin(number)
            run.episode(number)
        for what in (*held(lemon), *held(alemon)):
            say(leak=what)
        lemon.close()
        portal.call(alemon.aclose)
        if sockets() > none:
            say(leak=f"{sockets() - none} sockets are open after close()")
