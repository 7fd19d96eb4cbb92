"""Where the pictures of a block are kept before their rows count as saved: machines die, and their disks with them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lemon_ext._files import as_address
from lemon_ext.errors import ConfigurationError

from .address import Address
from .objects import Store

if TYPE_CHECKING:
    from .postgres import PostgresJournal


class Keeper(Protocol):
    """Keeps pictures under the name that they have in a row's results; ``batch`` is its id. All of it blocks."""

    def put(self, batch: str, row: int, path: Path) -> None:
        """Keep a picture of a row. Raises OSError or LemonError."""

    def get(self, batch: str, row: int, name: str) -> bytes:
        """Return a picture again."""

    def address(self, batch: str, row: int, name: str) -> str | None:
        """Return where others find it, if they do."""


def name_of(row: int, name: str) -> str:
    """Return a name that no other row of the batch has."""
    number = f"{row:05d}-"
    return name if name.startswith(number) else number + name


def _apart(batch: str, row: int, name: str) -> str:
    """Return a name that no row of another batch has either."""
    return f"{batch[:8]}-{name_of(row, name)}"


class DatabaseKeeper:
    """Keeps pictures in the database of the journal, with its batch, for a laptop and for some thousand of them."""

    def __init__(self, address: Address) -> None:
        from .stores import postgres_store

        self._journal: PostgresJournal = postgres_store()(Path(), address, works=True)

    def put(self, _batch: str, row: int, path: Path) -> None:
        """Keep a picture."""
        data = path.read_bytes()
        self._journal.outlast(lambda: self._journal.put_picture(name_of(row, path.name), data))

    def get(self, _batch: str, row: int, name: str) -> bytes:
        """Return a picture again. Raises FileNotFoundError."""
        return self._journal.outlast(lambda: self._journal.get_picture(name_of(row, name)))

    def address(self, _batch: str, row: int, name: str) -> str | None:
        """Nobody else finds it there."""
        return None

    def close(self) -> None:
        """Close the connection."""
        self._journal.close()


class StoreKeeper:
    """Keeps pictures in an object store (``s3://...``, ``gs://...``, ``az://...``, as obstore takes it), or in a folder
    that all machines see. Several batches may keep theirs in the same: none replaces a picture of another.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        address = as_address(url)
        if address is None:
            folder = Path(url).absolute()
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise ConfigurationError(f"The store {folder} cannot be used: {exc.strerror}.") from exc
            self._store, self._shown = Store(folder.resolve().as_uri()), str(folder)
        else:
            self._store = Store(address)
            self._shown = self._store.shown
        self._store.open()

    def put(self, batch: str, row: int, path: Path) -> None:
        """Keep a picture."""
        try:
            self._store.put(_apart(batch, row, path.name), path)
        except OSError as exc:
            raise OSError(f"{path.name} cannot be put into {self._shown}: {exc}") from None

    def get(self, batch: str, row: int, name: str) -> bytes:
        """Return a picture again."""
        kept = _apart(batch, row, name)
        try:
            found = self._store.get(kept, patient=True)
        except OSError as exc:
            raise OSError(f"{kept} cannot be read from {self._shown}: {exc}") from None
        if found is None:
            raise FileNotFoundError(f"{kept} is not in {self._shown}")
        return found

    def address(self, batch: str, row: int, name: str) -> str | None:
        """Return where it is."""
        return f"{self._shown}/{_apart(batch, row, name)}"

    def close(self) -> None:
        """There is nothing to close."""
