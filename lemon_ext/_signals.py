"""SIGTERM and SIGHUP as a Ctrl-C: who asks a program to end does not lose what it has paid for."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ("INTERRUPTED", "Terminated", "exit_status", "hold", "patiently", "terminations_as_interrupts")

#: The exit status after a Ctrl-C, as in a shell: 128 and the number of the signal.
INTERRUPTED: Final = 128 + signal.SIGINT
#: Seconds in which another signal is the same request: who closes a terminal sends SIGHUP twice.
ONCE: Final = 1.0
#: What asks a process to end, where the system has it.
_SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(KeyboardInterrupt, SystemExit):
    """SIGTERM or SIGHUP came.

    Code that handles Ctrl-C handles it too. Where nobody does, the process exits quietly with 128 and the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.code = 128 + signum

    def __str__(self) -> str:
        return f"the signal {signal.Signals(int(self.code or 0) - 128).name}"


def exit_status(interrupt: BaseException) -> int:
    """Return the exit status of a process that an interrupt ends."""
    return int(interrupt.code or 0) if isinstance(interrupt, Terminated) else INTERRUPTED


def patiently(wait: Callable[[], None]) -> None:
    """Wait for work that is ending gently. Another SIGTERM or SIGHUP changes nothing; Ctrl-C is raised."""
    while True:
        try:
            wait()
        except Terminated:
            continue
        return


@contextmanager
def terminations_as_interrupts() -> Iterator[None]:
    """Raise `Terminated` in this block when a signal asks the process to end, as Ctrl-C raises KeyboardInterrupt.

    A signal that somebody else handles, or that is ignored (``nohup``), is left alone, and so are all of them outside
    the main thread, where Python does not hear of signals. At the end everything is as it was.
    """
    last = -math.inf

    def terminate(signum: int, _frame: object) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before > ONCE:
            raise Terminated(signum)

    ours = [each for each in _SIGNALS if signal.getsignal(each) is signal.SIG_DFL] if _in_main_thread() else []
    for each in ours:
        signal.signal(each, terminate)
    try:
        yield
    finally:
        # A generator that holds this block may be closed in another thread; there it cannot be put back.
        for each in ours if _in_main_thread() else ():
            if signal.getsignal(each) is terminate:
                signal.signal(each, signal.SIG_DFL)


def hold() -> Callable[[], None]:
    """Let no signal in until the function that is returned is called: what cannot be interrupted is done in between.

    Where the system does not know how, and outside the main thread, it changes nothing.
    """
    if not (_in_main_thread() and hasattr(signal, "pthread_sigmask")):
        return lambda: None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *_SIGNALS})

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    return release


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
