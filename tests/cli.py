"""What the tests of the command line share: a run in this process, a process of its own, and an emulator."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lemon_ext import _clock
from lemon_ext.cli._app import app
from lemon_ext.cli._screen import Screen
from lemon_ext.emulator import KEY, Emulator
from lemon_ext.testing import instant
from tests.children import python


def lemon(*args: str, input: str | None = None) -> Result:  # noqa: A002 - as in click's own runner
    result = CliRunner().invoke(app, args, input=input, prog_name="lemon")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="session")
def server() -> Iterator[Emulator]:
    with Emulator(task_seconds=0.02, clock=_clock.monotonic, wall=_clock.wall) as emulator:
        yield emulator


@pytest.fixture
def emulator(server: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator that the environment leads to, and an empty folder as the current one. Waiting takes no time."""
    server.reset()
    server.task_seconds, server.latency = 0.02, 0.0
    monkeypatch.setenv("LEMONDATA_BASE_URL", server.url)
    monkeypatch.setenv("LEMONDATA_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    with instant():
        yield server


def process(*args: str, **options: Any) -> AbstractContextManager[subprocess.Popen[str]]:
    """Run the command as a process of its own, beside the block."""
    return python("-m", "lemon_ext", *args, **options)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command draw as on a terminal, into what is captured of stderr."""
    monkeypatch.setattr(Screen, "interactive", True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")


@contextmanager
def ctrl_c(when: Callable[[], bool], times: int = 1, how: signal.Signals = signal.SIGINT) -> Iterator[None]:
    """Press Ctrl-C once ``when`` holds, while the block runs, in real time. ``how``: or send another signal."""
    ended = threading.Event()

    def press() -> None:
        while not when():
            if ended.wait(0.01):
                return
        for _ in range(times):
            signal.pthread_kill(threading.main_thread().ident or 0, how)  # to the thread that waits
            ended.wait(0.2)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        with _clock.replaced(_clock.Time()):
            yield
    finally:
        ended.set()
        thread.join()
