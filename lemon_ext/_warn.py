"""Warnings that point at the caller's line and never stop what is being paid for."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

from .errors import LemonWarning

_OURS = ("lemon_ext", "lemon_client")


def warn(message: str) -> None:
    """Warn with `LemonWarning`. Never raises: where a filter makes warnings errors, the message is logged instead."""
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        level, frame = level + 1, frame.f_back
    try:
        warnings.warn(LemonWarning(message), stacklevel=level)
    except LemonWarning:
        from logging import getLogger  # for this alone

        getLogger("lemon_ext").warning("%s", message)
