"""Programs that tests start. Every one of them is over when its block is, whatever went wrong in there."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

#: Seconds that a program may take to end by itself after all was read of it.
PATIENCE = 60


@contextmanager
def child(*command: str, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a program beside the block. `Popen` as a context manager would wait for ever for one that nobody ends."""
    with subprocess.Popen(command, **options) as running:
        try:
            yield running
            running.wait(PATIENCE)
        except subprocess.TimeoutExpired as exc:
            exc.add_note(_where(running))
            raise
        finally:
            running.kill()


def _where(running: subprocess.Popen[Any]) -> str:
    """Return what a Python that hangs does: it writes that to stderr when it is aborted."""
    running.send_signal(signal.SIGABRT)
    try:
        return str(running.communicate(timeout=60)[1])
    except subprocess.TimeoutExpired:
        return "It cannot even be aborted."


def python(*arguments: str, **options: Any) -> AbstractContextManager[subprocess.Popen[str]]:
    """Run this Python beside the block, with its output in pipes of text."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return child(sys.executable, "-X", "faulthandler", *arguments, **pipes | options)
