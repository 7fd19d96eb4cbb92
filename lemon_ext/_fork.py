"""Locks in a process that was forked: a thread that did not come along may hold them, so they are made anew."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Locked(Protocol):
    """Something with a lock of its own."""

    def after_fork(self) -> None:
        """Make the lock anew."""


_watched: WeakSet[Locked] = WeakSet()


def watch(*things: Locked) -> None:
    """Have things make their locks anew in every child of this process, for as long as they live."""
    _watched.update(things)


def _after_fork() -> None:
    for thing in _watched:
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
