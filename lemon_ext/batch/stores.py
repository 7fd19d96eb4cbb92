"""Opens the journal of a batch, wherever it is: in the batch's folder, or in a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lemon_ext.errors import ConfigurationError, JournalError

from .address import Address, is_address, known_address
from .destination import Destination, Place
from .folder import is_known, refuse_orphans
from .journal import Journal
from .sqlite import FILE, SqliteJournal

if TYPE_CHECKING:
    from .postgres import PostgresJournal


def open_journal(
    place: Place | Destination | None, address: str | None, *, create: bool = True
) -> tuple[Journal, bool]:
    """Open a journal to work at it, or start one. Tells also whether the folder held pictures of the batch before.
    Where the journal is in a database, it can be changed without a folder.

    Raises JournalError and ConfigurationError.
    """
    if place is None:
        return postgres_store().open(Path(), Address.of(str(address)), create=create), True
    destination = Destination.of(place)
    folder, where = destination.folder, known_address(destination.folder, address)
    if destination.store is not None and create:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it has prompts in it
    if where is None:
        if create:
            refuse_orphans(folder)
        else:
            _expect(destination)
        journal = SqliteJournal.open(folder, create=create)
        return journal, journal.count() > 0
    shared = postgres_store().open(folder, where, create=create)
    try:
        return shared, is_known(shared)
    except BaseException:
        shared.close()
        raise


def read_journal(place: Place | Destination, address: str | None = None) -> Journal:
    """Open a journal for reading only, also while others work at it. In the place of a folder, its address will do.

    Raises JournalError and ConfigurationError.
    """
    if address is None and is_address(place):
        place, address = ".", str(place)
    destination = Destination.of(place)
    if (where := known_address(destination.folder, address)) is not None:
        return postgres_store().read(destination.folder, where)
    _expect(destination)
    return SqliteJournal.read(destination.folder)


def _expect(place: Destination) -> None:
    """Raise JournalError where a store has no journal here."""
    if place.store is not None and not (place.folder / FILE).is_file():
        raise JournalError(
            f"This machine has no journal of a batch in {place}: it would be in {place.folder}. If it is in a "
            "database, give its address with --journal.",
            path=place.folder / FILE,
        )


def copied_journal(folder: Path, address: str | None = None) -> Journal | None:
    """Return a copy of a journal, to try what a run would do; None where there is none."""
    if (place := known_address(folder, address)) is not None:
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
