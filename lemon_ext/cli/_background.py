"""Async work in a thread of its own, so that Ctrl-C reaches a thread that only listens, and work can end gently."""

from __future__ import annotations

import queue
import threading
from collections.abc import Awaitable, Callable

import anyio
from anyio.from_thread import BlockingPortal


class Background:
    """Runs ``work`` in an event loop of another thread. What it says is said by the thread that calls `run`."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._queue: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._portal: BlockingPortal | None = None
        self._scope: anyio.CancelScope | None = None
        self._cancelled = False
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        # As a daemon it cannot keep a program alive that was interrupted again and again.
        self._thread = threading.Thread(target=self._run, name="lemon-work", daemon=True)

    def say(self, function: Callable[[], object]) -> None:
        """Have something said. Called by the work. It is cut off if Ctrl-C comes while it is said."""
        self._queue.put(function)

    def run(self) -> None:
        """Do the work. Raises KeyboardInterrupt while it goes on: then `wait`, after `call` or `cancel`."""
        self._thread.start()
        self.wait()

    def wait(self) -> None:
        """Listen until the work has ended, and raise what it raised."""
        while True:
            try:
                said = self._queue.get(timeout=0.5)  # without a timeout, Windows would not hear Ctrl-C
            except queue.Empty:
                if not self._thread.is_alive() and self._queue.empty():
                    break  # it was never started: Ctrl-C came before
                continue
            if said is None:
                break
            try:
                said()
            except Exception as exc:  # noqa: BLE001 - raised at the end: the work is paid for
                self._error = self._error or exc
        if self._thread.is_alive():
            self._thread.join()
        if self._error is not None:
            raise self._error

    def call(self, function: Callable[[], object]) -> None:
        """Call a function in the event loop, if the work has begun and not ended."""
        with self._lock:
            if self._portal is not None:
                self._portal.start_task_soon(function)

    def cancel(self) -> None:
        """Cancel the work."""
        self._cancelled = True
        self.call(lambda: self._scope.cancel() if self._scope is not None else None)

    def _run(self) -> None:
        try:
            anyio.run(self._main)
        except BaseException as exc:  # noqa: BLE001 - raised by `wait`
            self._error = self._error or exc
        finally:
            self._queue.put(None)

    async def _main(self) -> None:
        async with BlockingPortal() as portal:
            try:
                with anyio.CancelScope() as self._scope:
                    with self._lock:
                        self._portal = portal
                    if self._cancelled:
                        self._scope.cancel()
                    await self._work()
            finally:
                with self._lock:
                    self._portal = None
