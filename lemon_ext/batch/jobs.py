"""The jobs of a run: many at once, and why it ends."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable

import anyio

from lemon_ext import _clock


class Jobs:
    """Runs jobs, until all have ended. ``changed`` is called when the run is stopped.

    Nothing that a job raises cancels the others, whose requests may be billed: it stops the run, and is `crash`.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.began = _clock.monotonic()
        #: How many there are of each kind.
        self.running: Counter[str] = Counter()
        #: Why nothing more is sent.
        self.stopped: str | None = None
        #: Whether it is a limit of the user's that stopped it, and whether the key was refused.
        self.limited = self.rejected = False
        #: Whether nobody waits for tasks any more. Who makes jobs wait for something has to let them go then.
        self.leaving = False
        self.at_leaving: list[Callable[[], None]] = []
        self.crash: Exception | None = None
        self._changed = changed
        self._wake = anyio.Event()

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return _clock.monotonic() - self.began

    async def run(self, loop: Callable[[], Awaitable[None]]) -> None:
        """Run a loop that starts jobs, and all that it starts."""
        async with anyio.create_task_group() as self._group:
            self.start("loop", loop)

    def start(self, kind: str, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Start a job."""

        async def run() -> None:
            try:
                await work(*arguments)
            except Exception as exc:  # noqa: BLE001 - raised again at the end of the run
                self.crash = self.crash or exc
                self.stop(f"{type(exc).__name__}: {exc}")
            finally:
                self.running[kind] -= 1
                self.wake()

        self.running[kind] += 1
        self._group.start_soon(run)

    def stop(self, reason: str, *, leave: bool = True, limited: bool = False) -> None:
        """Send nothing more. With ``leave``, do not wait for running tasks either: another run goes on with them."""
        self.limited = self.limited or (limited and self.stopped is None)
        self.stopped = self.stopped or reason
        self.leaving = self.leaving or leave
        for let_go in self.at_leaving if self.leaving else ():
            let_go()
        self.wake()
        self._changed()

    def wake(self) -> None:
        """End the pause of the loop, or the next one."""
        self._wake.set()

    def look(self) -> None:
        """Say that the loop looks at everything now: what wakes it from here on is not seen yet."""
        self._wake = anyio.Event()

    async def pause(self, seconds: float) -> None:
        """Wait until something is due, or a job has ended."""
        async with anyio.create_task_group() as group:

            async def timer() -> None:
                await _clock.asleep(seconds)
                group.cancel_scope.cancel()

            if seconds < math.inf:
                group.start_soon(timer)
            await self._wake.wait()
            group.cancel_scope.cancel()
