"""A batch for a thread that blocks: it works in another one, and Ctrl-C reaches who reads, not the work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final

import anyio
from attrs import define, field

from lemon_ext._signals import Terminated, terminations_as_interrupts
from lemon_ext._warn import on_behalf

from .work import Batch

#: Seconds after which the batch notices at the latest that it is to end.
ATTENTION: Final = 0.1


def read(batch: Batch) -> Iterator[dict[str, Any]]:
    """Run a batch in a thread with an event loop, and yield its rows."""
    bridge = _Bridge(batch)
    failure: BaseException | None = None
    with terminations_as_interrupts():
        try:
            bridge.thread.start()
            while (row := bridge.next()) is not None:
                yield row
        except BaseException as exc:  # noqa: BLE001 - raised below
            failure = exc
        waiting = True
        while waiting:
            try:
                bridge.stop = failure is not None
                # Not Thread.join: one that is interrupted takes its thread for ended (Python 3.11).
                waiting = not bridge.ended.wait(0.5) and bridge.thread.ident is not None
            except KeyboardInterrupt as exc:
                if failure is None:
                    failure = exc
                elif not isinstance(exc, Terminated):  # a second Ctrl-C cuts off requests in flight
                    failure, bridge.cut = exc, True
    if failure is not None:
        if batch.left:
            failure.add_note(batch.left)
        raise failure from bridge.error or batch.unpublished
    if bridge.error is not None:
        raise bridge.error


@define(eq=False)
class _Bridge:
    """Between the thread that reads the rows of a batch and the one that works, which is told by two flags."""

    batch: Batch
    stop: bool = False
    cut: bool = False
    error: BaseException | None = None
    reader: threading.Thread = field(factory=threading.current_thread)
    thread: threading.Thread = field(init=False)
    ended: threading.Event = field(factory=threading.Event, init=False)
    _rows: SimpleQueue[dict[str, Any] | None] = field(factory=SimpleQueue)

    def __attrs_post_init__(self) -> None:
        self.thread = threading.Thread(target=on_behalf().run, args=(self._run,), name="lemon-batch")

    def next(self) -> dict[str, Any] | None:
        """Return the next row, or None at the end."""
        self.reader = threading.current_thread()
        while True:
            with suppress(Empty):
                return self._rows.get(timeout=0.5)  # without a timeout, Windows would not hear Ctrl-C

    def _run(self) -> None:
        try:
            anyio.run(self._work)
        except BaseException as exc:  # noqa: BLE001 - raised by who reads
            self.error = exc
        finally:
            self.ended.set()
            self._rows.put(None)

    async def _work(self) -> None:
        async def emit(row: dict[str, Any]) -> None:
            self._rows.put(row)

        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, group.cancel_scope)
            try:
                await self.batch.run(emit)
            except Exception as exc:  # noqa: BLE001 - raised by who reads: a task group would wrap it
                self.error = exc
            group.cancel_scope.cancel()

    async def _watch(self, scope: anyio.CancelScope) -> None:
        main = threading.main_thread()
        while not self.cut:
            if self.stop:
                self.batch.stop("interrupted")
            elif not main.is_alive() and (self.reader.daemon or not self.reader.is_alive()):
                self.batch.stop("the program ended")  # Python waits at its end for this thread
            await anyio.sleep(ATTENTION)
        scope.cancel()
