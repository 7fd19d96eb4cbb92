"""Places among those who fetch pictures: few rows do so at once, and who waits for another try holds up nobody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

import anyio
from attrs import define

from lemon_ext import _clock


@define(eq=False)
class Place:
    """A place among those who fetch pictures. Who waits for another try waits outside, and then at the end of the
    queue: pictures that are not there do not hold up those that are.
    """

    _places: anyio.Semaphore
    _aside: anyio.Semaphore
    _is_mine: bool = False
    _before: Any = None

    async def __aenter__(self) -> None:
        await self._take()
        self._before = _PLACE.set(self)

    async def __aexit__(self, *_: object) -> None:
        _PLACE.reset(self._before)
        self._leave()

    async def sleep(self, seconds: float) -> None:
        """Sleep outside, where there is room."""
        try:
            self._aside.acquire_nowait()
        except anyio.WouldBlock:
            await _clock.asleep(seconds)
            return
        try:
            self._leave()
            await _clock.asleep(seconds)
        finally:
            self._aside.release()
        await self._take()

    async def _take(self) -> None:
        await self._places.acquire()
        self._is_mine = True

    def _leave(self) -> None:
        if self._is_mine:
            self._is_mine = False
            self._places.release()


#: The place of the row whose pictures are being fetched.
_PLACE: Final[ContextVar[Place | None]] = ContextVar("_PLACE", default=None)


def sleep_outside() -> Callable[[float], Awaitable[None]] | None:
    """Return what a row that fetches pictures sleeps with; None for who has no place."""
    place = _PLACE.get()
    return None if place is None else place.sleep
