"""What lies in a batch's folder: its own pictures, and nobody else's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lemon_ext._picture import SUFFIXES
from lemon_ext.errors import JournalError

from .address import Mark
from .columns import stem
from .destination import MARK as STORED
from .journal import Incoming, Journal
from .output import RESULTS
from .sqlite import FILE, SqliteJournal


def refuse_orphans(folder: Path) -> None:
    """Refuse to begin where pictures lie whose journal is gone or empty: they would be paid for again, and replaced."""
    if not folder.is_dir():
        return
    if (folder / FILE).is_file():
        with SqliteJournal.read(folder) as journal:
            if journal.count():
                return
    # A page and results of no rows are what `lemon gallery` makes of a batch that had not begun.
    ours = (path for path in folder.iterdir() if path.name in (RESULTS, STORED) or re.match(r"\d{5,}-", path.name))
    found = next((path for path in ours if path.stat().st_size), None)
    if found is not None:
        raise JournalError(
            f"{folder} holds {found.name}, and not the journal it belongs to ({FILE}). Another run would pay for its "
            "pictures again and replace them. Choose another folder, or move them away.",
            path=folder / FILE,
        )


def spare_pictures(folder: Path, rows: Iterator[Incoming]) -> Iterator[Incoming]:
    """Yield the rows of a new batch, and refuse one whose pictures would replace a file that is not the batch's."""
    there = {path.stem.rpartition("-")[0]: path.name for path in folder.iterdir() if path.suffix in SUFFIXES.values()}
    for number, row in enumerate(rows, 1):
        name = stem(row.id or number, row.request.get("prompt")) if there else ""
        if name in there:
            raise JournalError(
                f"{folder} holds {there[name]}, which a picture of this batch would replace. Choose another folder.",
                path=folder / FILE,
            )
        yield row


def is_known(journal: Journal) -> bool:
    """Tell whether a folder has the mark of a batch whose journal is elsewhere. Refuses one of another batch."""
    folder, batch = journal.folder, journal.meta("batch_id")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        reason = "it is a file" if isinstance(exc, FileExistsError) else exc.strerror or exc
        raise JournalError(f"The folder {folder} cannot be used: {reason}.") from exc
    known = Mark.in_folder(folder)
    if known is not None and known.batch_id != batch:
        raise JournalError(f"{folder} holds the pictures of another batch ({known.address}). Choose another folder.")
    if (folder / FILE).exists():
        raise JournalError(f"{folder} holds a batch that has its journal there ({FILE}). Choose another folder.")
    if known is None:
        refuse_orphans(folder)
    return known is not None


def mark(journal: Journal) -> None:
    """Let a folder know which batch its pictures are of, where the journal is elsewhere."""
    batch = journal.meta("batch_id")
    if batch is not None and Mark.in_folder(journal.folder) is None:
        Mark(batch, journal.name).leave(journal.folder)
