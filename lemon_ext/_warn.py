"""Warnings that point at the caller's line and never stop what is being paid for."""

from __future__ import annotations

import sys
import warnings
from contextvars import Context, ContextVar, copy_context
from types import FrameType
from typing import Any, Final, NamedTuple

from .errors import LemonWarning

_OURS: Final = ("lemon_ext", "lemon_client")
#: What stands between a caller and a coroutine that runs as a task. The line that started the loop is the nearest then.
_LOOPS: Final = ("anyio", "asyncio", "concurrent", "contextlib", "outcome", "threading", "trio")


class _Place(NamedTuple):
    """A line of somebody's program."""

    file: str
    line: int
    names: dict[str, Any]


#: The caller, for a thread of ours that has none among its frames.
_FOR: ContextVar[_Place | None] = ContextVar("_FOR", default=None)


def warn(message: str) -> None:
    """Warn with `LemonWarning`. Never raises: where a filter makes warnings errors, the message is logged instead."""
    place = _caller()
    # Not by counting frames: which ones count differs between versions of Python.
    registry = place.names.setdefault("__warningregistry__", {})
    module = place.names.get("__name__", "<unknown>")
    try:
        warnings.warn_explicit(LemonWarning(message), None, place.file, place.line, module=module, registry=registry)
    except LemonWarning:
        from logging import getLogger  # for this alone

        getLogger("lemon_ext").warning("%s", message)


def on_behalf() -> Context:
    """Return a copy of the present context for a thread of ours: what warns there points at the caller of this one."""
    context = copy_context()
    context.run(_FOR.set, _caller())
    return context


def _caller() -> _Place:
    """Return the nearest line that is neither of this package nor of an event loop; else the nearest not of ours."""
    frame: FrameType | None = sys._getframe()
    place = nearest = None
    while frame is not None and place is None:
        module = frame.f_globals.get("__name__", "").partition(".")[0]
        if module not in _OURS:
            here = _Place(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)
            nearest = nearest or here
            place = None if module in _LOOPS else here
        frame = frame.f_back
    return place or _FOR.get() or nearest or _Place("sys", 1, {})
