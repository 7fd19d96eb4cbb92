"""For tests of programs that use this package: waiting takes no time.

::

    from lemon_ext.testing import instant

    with instant():
        result = lemon.images.generate("a white cat", model="flux-pro")   # polled as often as ever, at once

The pytest fixture ``lemon_emulator`` does so by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import anyio.lowlevel

from ._clock import Time, replaced

__all__ = ("instant",)


@contextmanager
def instant(
    *,
    clock: Callable[[], float] | None = None,
    sleep: Callable[[float], object] | None = None,
    asleep: Callable[[float], Awaitable[object]] | None = None,
    wall: Callable[[], float] | None = None,
) -> Iterator[None]:
    """Let every sleep of this package return at once, with its clocks moved on by as much, in the whole process.

    Holds for clients made before and inside the block, blocking and async. Deadlines, backoff and polling behave as
    ever; only the real time is not spent. The time that a request is under way is real. Give ``clock`` (monotonic
    seconds), ``wall`` (Unix seconds), ``sleep`` and ``asleep`` to use a clock of your own instead.
    """
    skipped = 0.0
    lock = threading.Lock()

    def skip(seconds: float) -> None:
        nonlocal skipped
        with lock:
            skipped += max(seconds, 0.0)

    async def askip(seconds: float) -> None:
        skip(seconds)
        await anyio.lowlevel.checkpoint()

    with replaced(
        Time(
            clock or (lambda: time.monotonic() + skipped),
            wall or (lambda: time.time() + skipped),
            sleep or skip,
            asleep or askip,
        )
    ):
        yield
