"""Opens the journal of a batch, wherever it is: in the batch's folder, or in a database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lemon_ext.errors import ConfigurationError

from .address import found, is_address
from .folder import is_known, refuse_orphans
from .journal import FILE, Journal, SqliteJournal

if TYPE_CHECKING:
    from .postgres import PostgresJournal


def open_journal(folder: Path, address: str | None, *, create: bool = True) -> tuple[Journal, bool]:
    """Open a journal to work at it, or start one. Tells also whether the folder held pictures of the batch before.

    Raises JournalError and ConfigurationError.
    """
    place = found(folder, address)
    if place is None:
        if create:
            refuse_orphans(folder)
        journal = SqliteJournal.open(folder, create=create)
        return journal, journal.count() > 0
    shared = postgres_store().open(folder, place, create=create)
    try:
        return shared, is_known(shared)
    except BaseException:
        shared.close()
        raise


def read_journal(folder: str | os.PathLike[str], address: str | None = None) -> Journal:
    """Open a journal for reading only, also while others work at it. In the place of a folder, an address will do.

    Raises JournalError and ConfigurationError.
    """
    if address is None and is_address(folder):
        folder, address = ".", str(folder)
    place = found(folder := Path(folder), address)
    return SqliteJournal.read(folder) if place is None else postgres_store().read(folder, place)


def copied_journal(folder: Path, address: str | None = None) -> Journal | None:
    """Return a copy of a journal, to try what a run would do; None where there is none."""
    if (place := found(folder, address)) is not None:
        return postgres_store().copy(folder, place)
    return SqliteJournal.copy(folder) if (folder / FILE).is_file() else None


def postgres_store() -> type[PostgresJournal]:
    """Return what keeps journals in PostgreSQL. Raises ConfigurationError where the extra is missing."""
    try:
        from .postgres import PostgresJournal
    except ImportError as exc:
        raise ConfigurationError(
            f"A journal in PostgreSQL needs what is not installed ({exc.name or 'libpq'}): "
            "pip install 'lemon-ext[postgres]'"
        ) from None
    return PostgresJournal
