"""Where a batch is: a folder, or an object store together with a folder of this machine, which has the journal.

A picture goes into the store before its row counts as saved, and its file here is removed once the journal says so.
What people read is written here and put there at the end. A store has a mark of the batch that it belongs to, so
nobody begins there who does not know what is paid for.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Final, Self, TypeAlias

from attrs import frozen

from lemon_ext._files import as_address, state_folder
from lemon_ext._picture import SUFFIXES
from lemon_ext.errors import ConfigurationError, JournalError, SaveError

from .address import is_address
from .journal import Entry, Journal, fact
from .objects import Store
from .output import GALLERY, HEAD, PAGE
from .sqlite import FILE

#: The object by which a store knows its batch, and the fact by which a journal knows its store.
MARK: Final = "lemon-batch.json"
STORE: Final = "store"
_ABOUT: Final = "The journal of this batch is with whoever began it. Without it, its pictures would be paid for again."

#: A folder, or the address of a store.
Place: TypeAlias = str | os.PathLike[str]


@frozen
class Destination:
    """The folder of a batch, and the store that its pictures go to, where there is one."""

    folder: Path
    store: Store | None = None

    @classmethod
    def of(cls, given: Place | Self) -> Self:
        """Return what a folder, or the address of a store, stands for. Raises ConfigurationError. Asks nobody."""
        if isinstance(given, Destination):
            return given
        if (address := as_address(given)) is None:
            return cls(Path(str(given)))
        if is_address(address):
            raise ConfigurationError(
                "A batch has a folder or a store; the address of its journal is another argument: journal=ADDRESS "
                "(--journal)."
            )
        store = Store(address)
        try:
            kept = state_folder() / "stores"
        except (ImportError, RuntimeError) as exc:  # no home
            raise ConfigurationError(
                "The journal of a batch whose pictures go to a store is kept where your system keeps such files, and "
                f"that cannot be told ({exc}): pip install 'lemon-ext[cloud]'"
            ) from None
        words = re.sub(r"[^\w.-]+", "-", store.shown.partition("://")[2]).strip("-.")[:60]
        return cls(kept / f"{words}-{sha256(store.identity.encode()).hexdigest()[:8]}", store)

    def __str__(self) -> str:
        return str(self.store or self.folder)

    @property
    def title(self) -> str:
        """What the gallery is called if nobody says."""
        return self.store.shown.rpartition("/")[2] if self.store is not None else self.folder.resolve().name

    def where(self, name: str) -> Path | str:
        """Return where a file of the batch is: its path, or its address in the store."""
        return self.folder / name if self.store is None else f"{self.store}/{name}"

    # ---- before anything is sent ----

    def look(self, journal: Journal | None) -> bool:
        """Tell whether the store has this batch's mark. Raises JournalError for one that is not this batch's, and
        ConfigurationError for none. Writes nothing.
        """
        if self.store is None:
            return True
        ours = None if journal is None else _number(journal)
        try:
            theirs = self.store.get(MARK)
            held = self.store.any_name() if theirs is None else None
            begun = journal is not None and _first_saved(journal)
            lost = theirs is None and begun and not self.store.has(begun)
        except OSError as exc:
            raise self._unusable(exc, "used") from None
        if theirs is not None and (ours is None or _read(theirs) != ours):
            raise JournalError(
                f"{self} holds the pictures of a batch whose journal is not the one here ({self.folder}). Another run "
                f"would pay for them again. Go on where it was begun, or choose another address: {self}/NAME. Nothing "
                "was sent.",
                path=self.folder / FILE,
            )
        if lost:
            raise JournalError(
                f"{self} does not hold the pictures that the journal in {self.folder} says are saved there. Is it "
                "another store of the same name, or was it emptied? To pay for them again, move that folder away, or "
                "choose another address. Nothing was sent.",
                path=self.folder / FILE,
            )
        if theirs is None and not begun and held is not None:
            raise JournalError(
                f"{self} holds {held} already, and a batch needs a place of its own: {self}/NAME. Nothing was sent."
            )
        return theirs is not None

    def expect_nothing(self) -> None:
        """Raise as `look` does where the batch has no journal here yet, so that none is made for nothing."""
        if not (self.folder / FILE).exists():
            self.look(None)

    def claim(self, journal: Journal) -> None:
        """Mark the store as this batch's, which also tells whether it can be written to. Raises as `look` does."""
        if self.store is None:
            return
        if (number := _number(journal)) is None:
            number = token_hex(8)
            journal.commit([fact(STORE, number)])
        put = self.store.replace if self.look(journal) else self.store.create
        try:
            put(MARK, (json.dumps({"batch": number, "about": _ABOUT}) + "\n").encode())
        except OSError as exc:
            raise self._unusable(exc, "written to") from None
        if not self.look(journal):  # of two that begin at once, one is second
            raise ConfigurationError(
                f"{self} has taken an object, and does not have it. Pictures would be lost there. Nothing was sent."
            )

    def _unusable(self, error: OSError, what: str) -> ConfigurationError:
        return ConfigurationError(f"{self} cannot be {what}: {error}. Nothing was sent.")

    # ---- pictures ----

    def keep(self, _row: int, path: Path) -> None:
        """Put a picture into the store. Raises SaveError: then its file stays."""
        assert self.store is not None  # noqa: S101 - who has none keeps nothing
        try:
            self.store.put(path.name, path)
        except OSError as exc:
            # Without its path: this will stand in the results, which everybody may see who sees the store.
            said = f"{path.name} cannot be put into {self}: {exc}. It is kept beside the journal for another run."
            raise SaveError(said, path=path) from None

    def drop(self, entry: Entry) -> None:
        """Remove the files of pictures that the journal knows to be in the store."""
        if self.store is not None:
            for name in entry.paths or ():
                if name is not None:
                    (self.folder / name).unlink(missing_ok=True)

    def read(self, name: str) -> Path | BytesIO:
        """Return a picture: its file, or what the store has of it. Raises FileNotFoundError, and ConfigurationError for
        a store that cannot be read.
        """
        if self.store is None:
            return self.folder / name
        try:
            found = self.store.get(name, patient=True)
        except OSError as exc:
            raise ConfigurationError(f"{self} cannot be read: {exc}.") from None
        if found is None:
            raise FileNotFoundError(f"{name} is not in {self}")
        return BytesIO(found)

    def sweep(self, journal: Journal) -> None:
        """Remove the files of all pictures that are in the store: a process that died has left some."""
        if self.store is not None and any(path.suffix in SUFFIXES.values() for path in self.folder.iterdir()):
            for entry in journal.entries():
                self.drop(entry)

    # ---- what people read ----

    def publish(self, names: Iterable[str], journal: Journal | None = None) -> None:
        """Put files of the folder into the store, as far as they are there. Raises SaveError, and FileExistsError for a
        page of somebody else's, which stays. With a ``journal``, makes sure that the store is still its batch's.
        """
        if self.store is None:
            return
        found = [name for name in names if (self.folder / name).is_file()]
        kept = False
        try:
            if journal is not None:
                self.look(journal)
            while found:
                there = self.store.beginning(PAGE, HEAD) if found[0] == PAGE else None
                kept = there is not None and GALLERY not in there
                if not kept:
                    self.store.put(found[0], self.folder / found[0])
                del found[0]
        except (OSError, ConfigurationError, JournalError) as exc:
            raise self.unpublished(found, exc) from None
        if kept:
            raise FileExistsError(
                f"{self.where(PAGE)} is not a gallery of this program, so it stays as it is. Move it away first. The "
                f"gallery is in {self.folder}."
            )

    def unpublished(self, names: Iterable[str], why: Exception | str) -> SaveError:
        """Return the error for files of the folder that a store does not have."""
        reason = str(why).removesuffix(" Nothing was sent.").rstrip(".")
        again = "" if isinstance(why, JournalError) else ", and the same command again puts it there"
        return SaveError(
            f"{', '.join(names)} could not be put into {self}: {reason}. Nothing is lost: it is in "
            f"{self.folder}{again}.",
            path=self.folder,
        )


def _number(journal: Journal) -> str | None:
    return journal.meta("batch_id") or journal.meta(STORE)


def _read(mark: bytes) -> str | None:
    try:
        return str(json.loads(mark)["batch"])
    except (ValueError, TypeError, KeyError):
        return None


def _first_saved(journal: Journal) -> str | None:
    return next((name for entry in journal.entries("saved", limit=1) for name in entry.paths or () if name), None)
