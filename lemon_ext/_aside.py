"""Work that blocks, in a thread that nobody has to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

import anyio
from anyio.from_thread import run_sync as from_thread
from anyio.lowlevel import current_token

T = TypeVar("T")


async def run_aside(work: Callable[..., T], *arguments: Any) -> T:
    """Run what blocks and return what it returns, or raise what it raises. Who is cancelled leaves it behind, and so
    does the end of the program: it may go on for a while, or end half-way.
    """
    ended, found, failed = anyio.Event(), list[T](), list[BaseException]()
    token, context = current_token(), copy_context()

    def run() -> None:
        try:
            found.append(context.run(work, *arguments))
        except BaseException as exc:  # noqa: BLE001 - raised by who waits
            failed.append(exc)
        with suppress(RuntimeError):  # the loop has ended
            from_thread(ended.set, token=token)

    threading.Thread(target=run, name="lemon-aside", daemon=True).start()
    await ended.wait()
    for error in failed:
        raise error
    return found[0]
