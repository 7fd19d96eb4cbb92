"""What many tasks write into a journal at the same time, in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import anyio
from anyio.to_thread import run_sync
from attrs import define, field

from lemon_ext.errors import JournalError

from .journal import Journal, Statement

T = TypeVar("T")


@define
class _Group:
    statements: list[Statement] = field(factory=list)
    #: Of these statements, the ones that must not be forgotten if the group cannot be written.
    kept: list[Statement] = field(factory=list)
    done: bool = False
    changed: list[int] = field(factory=list)
    #: What to call with what which statements changed.
    then: list[tuple[slice, Callable[[list[int]], None]]] = field(factory=list)
    error: Exception | None = None


class Writer:
    """Commits what many tasks write at the same time in one go: a sync to disk takes longer than a POST's turn."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = anyio.Lock()
        self._next = _Group()
        self._failed: list[Statement] = []

    async def write(
        self, *statements: Statement, keep: bool = True, then: Callable[[list[int]], None] | None = None
    ) -> list[int]:
        """Return once the statements are on disk: how many rows each changed. Raises JournalError.

        What could not be written, `flush` tries again, unless ``keep`` is false. Not to be cancelled.

        then: called with that, too, before anybody reads the journal: what counts along must not count a row twice.
        """
        group = self._next
        ours = slice(len(group.statements), len(group.statements) + len(statements))
        group.statements += statements
        group.kept += statements if keep else ()
        group.then += [] if then is None else [(ours, then)]
        with anyio.CancelScope(shield=True):
            async with self._lock:
                if not group.done:
                    self._next, group.done = _Group(), True
                    try:
                        group.changed = await run_sync(self._journal.commit, group.statements)
                        for which, call in group.then:
                            call(group.changed[which])
                    except BaseException as exc:
                        # Raised by everyone who waits for this group. An event loop that is torn down gets here too.
                        group.error = exc if isinstance(exc, Exception) else JournalError("The write was cut off.")
                        self._failed += group.kept
                        if not isinstance(exc, Exception):
                            raise
        if group.error is not None:
            raise group.error
        return group.changed[ours]

    async def read(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function of the journal's. Not to be cancelled."""
        with anyio.CancelScope(shield=True):
            async with self._lock:
                result = await run_sync(function, *arguments)
        return result

    def later(self, *statements: Statement) -> None:
        """Have statements written by the next who writes."""
        self._next.statements += statements
        self._next.kept += statements

    def flush(self, statements: Iterable[Statement]) -> None:
        """Write what could not be written, or was not waited for, once more, and these statements. For the very end.

        Raises JournalError.
        """
        self._journal.commit([*self._failed, *self._next.kept, *statements])
