"""The clocks and the two sleeps of this package, in one place: `lemon_ext.testing` exchanges them, so no test waits."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import anyio
from attrs import frozen


@frozen
class Time:
    """Two clocks in seconds, monotonic and Unix time, and a sleep of each colour."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], object] = time.sleep  # noqa: TID251 - handed to the blocking driver, which does the sleeping
    asleep: Callable[[float], Awaitable[object]] = anyio.sleep


_present = Time()


def monotonic() -> float:
    """Return seconds that never go back."""
    return _present.monotonic()


def wall() -> float:
    """Return Unix seconds."""
    return _present.wall()


def sleep(seconds: float) -> object:
    """Wait, blocking."""
    return _present.sleep(seconds)


async def asleep(seconds: float) -> None:
    """Wait, async."""
    await _present.asleep(seconds)


@contextmanager
def replaced(time: Time) -> Iterator[None]:
    """Use other clocks and sleeps in this process while the block runs."""
    global _present
    before, _present = _present, time
    try:
        yield
    finally:
        _present = before
