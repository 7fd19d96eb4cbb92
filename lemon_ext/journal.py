"""The record of a batch: what was submitted and what came back, on disk before it matters.

One SQLite file in the batch's folder, in WAL mode and fully synced, so that a row is known to be on its way before its
POST leaves and its task is known before the first look. Only one process at a time may write; anybody may read, also
with the ``sqlite3`` program. The tables and what their columns mean: docs/batch.md.

A row goes through these states, and nothing ever leads back from a sent one to ``unsent`` but a refusal::

    unsent -> submitting -> waiting -> completed -> saved
                  |            └-> failed     └-> (not fetched: error is set, resume fetches again)
                  ├-> completed   (answered at once)
                  ├-> refused     (certainly not accepted; not billed)
                  └-> uncertain   (the answer was lost, or the process died: may be billed, never re-sent by itself)

This module reads and writes; it decides nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

from attrs import field, frozen

from .errors import JournalError

__all__ = ("Entry", "Journal", "Statement")

FILE: Final = "journal.sqlite3"
LOCK: Final = "journal.lock"
#: "LEMN": tells our files from other people's databases.
APPLICATION_ID: Final = 0x4C454D4E
VERSION: Final = 1

#: A change of the record: SQL and its values.
Statement: TypeAlias = tuple[str, tuple[Any, ...]]

_SCHEMA: Final = f"""
BEGIN;
CREATE TABLE rows (
    row INTEGER PRIMARY KEY,     -- from 1, in the order of the input
    line INTEGER,                -- of the input file, where there was one
    request TEXT NOT NULL,       -- JSON: all that is sent
    images INTEGER NOT NULL,     -- how many are asked for
    status TEXT NOT NULL DEFAULT 'unsent',
    task_id TEXT,
    poll_url TEXT,
    answer TEXT,                 -- JSON: the final answer, picture data left out
    paths TEXT,                  -- JSON: names of the saved files, relative to the folder
    error TEXT,                  -- JSON: type, message, code, status_code
    note TEXT,                   -- what stopped nothing, such as fewer images than asked for
    doubts INTEGER NOT NULL DEFAULT 0,  -- earlier submissions of this row whose answers were lost
    submitted_at REAL,           -- Unix seconds
    finished_at REAL
);
CREATE INDEX rows_by_status ON rows (status, row);
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE durations (model TEXT PRIMARY KEY, learned TEXT NOT NULL);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""
_COLUMNS: Final = (
    "row, line, request, images, status, task_id, poll_url, answer, paths, error, note, submitted_at, finished_at"
)


@frozen
class Entry:
    """One row of the record. ``request`` is all that is sent; times are in Unix seconds."""

    row: int
    line: int | None
    request: dict[str, Any] = field(repr=False)
    images: int
    status: str
    task_id: str | None
    poll_url: str | None
    answer: dict[str, Any] | None = field(repr=False)
    paths: list[str]
    error: dict[str, Any] | None
    note: str | None
    submitted_at: float | None
    finished_at: float | None


class Journal:
    """The record of one batch. Raises JournalError, naming the file, for whatever makes it unusable."""

    def __init__(self, folder: Path, database: sqlite3.Connection, lock: sqlite3.Connection | None) -> None:
        self.folder = folder
        self.path = folder / FILE
        self._database = database
        self._lock = lock

    @classmethod
    def open(cls, folder: Path, *, create: bool = True) -> Journal:
        """Open the record in a folder for writing, or start one. Refuses a folder another process works in.

        Rows that were on their way when an earlier process died become uncertain.
        """
        path = folder / FILE
        with _explained(path), _reachable(path):
            if not create and not path.is_file():
                raise JournalError(f"There is no batch in {folder}: {FILE} is missing.", path=path)
            folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.touch()  # first of all: a folder with the other files and without this one has lost its record
            lock = _lock(folder)
            try:
                _inspect(path)
                database = _connect(path, "rwc")
            except BaseException:
                lock.close()
                raise
            journal = cls(folder, database, lock)
            try:
                journal._prepare()
            except BaseException:
                journal.close()
                raise
            return journal

    @classmethod
    def read(cls, folder: Path) -> Journal:
        """Open the record in a folder for reading only, also while another process writes.

        One whose process was killed while it created it has no rows.
        """
        path = folder / FILE
        with _explained(path), _reachable(path):
            if not path.is_file():
                raise JournalError(f"There is no batch in {folder}: {FILE} is missing.", path=path)
            _inspect(path)
            journal = cls(folder, _connect(path, "ro"), None)
            try:
                if journal._is_empty():
                    journal.close()
                    journal._database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                    journal._database.executescript(_SCHEMA)
                journal._check()
            except BaseException:
                journal.close()
                raise
            return journal

    def close(self) -> None:
        """Close the record and let another process have the folder."""
        self._database.close()
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def commit(self, statements: Iterable[Statement]) -> None:
        """Make changes, all or none; they are on disk when this returns."""
        with _explained(self.path), self._transaction():
            for sql, values in statements:
                self._database.execute(sql, [_storable(value) for value in values])

    def take_in(self, rows: Iterable[tuple[int | None, Mapping[str, Any], int]]) -> None:
        """Record the input: (line, request, images) per row, all or none.

        If there is a record already, the input has to be the same: raises JournalError at the first difference.
        """
        with _explained(self.path):
            if self.count():
                self._compare(rows)
                return
            with self._transaction():
                self._database.executemany(
                    "INSERT INTO rows (row, line, request, images) VALUES (?, ?, ?, ?)",
                    ((row, line, dumps(request), images) for row, (line, request, images) in enumerate(rows, 1)),
                )

    def count(self) -> int:
        """Return how many rows there are."""
        return int(self._one("SELECT count(*) FROM rows")[0])

    def counts(self) -> dict[str, int]:
        """Return how many rows are in each state; completed ones whose images could not be fetched count as failed."""
        with _explained(self.path):
            found = self._database.execute(
                "SELECT CASE WHEN status = 'completed' AND error IS NOT NULL THEN 'failed' ELSE status END, count(*) "
                "FROM rows GROUP BY 1"
            )
            return dict(found.fetchall())

    def images_sent(self) -> int:
        """Return how many images were asked for in requests that were, or may have been, accepted."""
        sent = "status NOT IN ('unsent', 'refused')"
        return int(self._one(f"SELECT total(images * (doubts + ({sent}))) FROM rows")[0])  # noqa: S608 - a constant

    def entries(self, status: str | None = None, *, after: int = 0, limit: int = -1) -> Iterator[Entry]:
        """Yield rows in order, all or those in one state."""
        with _explained(self.path):
            where, values = ("", ()) if status is None else ("AND status = ? ", (status,))
            cursor = self._database.cursor()
            for found in cursor.execute(
                f"SELECT {_COLUMNS} FROM rows WHERE row > ? {where}ORDER BY row LIMIT ?",  # noqa: S608 - constants
                (after, *values, limit),
            ):
                yield _entry(found)

    def entry(self, row: int) -> Entry:
        """Return one row."""
        return next(self.entries(after=row - 1, limit=1))

    def saved_images(self) -> int:
        """Return how many images are saved."""
        return sum(len(entry.paths) for entry in self.entries("saved"))

    def release(self, *, uncertain: bool = False) -> None:
        """Let rows be sent again: refused ones where that may pass, and uncertain ones only if the user says so."""
        rows = [entry.row for entry in self.entries("refused") if entry.error and entry.error.get("retryable")]
        doubtful = [entry.row for entry in self.entries("uncertain")] if uncertain else []
        self.commit(
            [
                *map(unsent, rows + doubtful),
                *(("UPDATE rows SET doubts = doubts + 1 WHERE row = ?", (r,)) for r in doubtful),
            ]
        )

    def meta(self, name: str) -> str | None:
        """Return a fact about the whole batch, such as its ``base_url``."""
        with _explained(self.path):
            found = self._database.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
            return None if found is None else str(found[0])

    def durations(self) -> dict[str, Any]:
        """Return what was learned of each model's durations, as plain JSON."""
        with _explained(self.path):
            return {model: json.loads(text) for model, text in self._database.execute("SELECT * FROM durations")}

    def _prepare(self) -> None:
        if self._is_empty():
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.executescript(_SCHEMA)
        self._check()
        if (found := self._one("PRAGMA quick_check(1)")[0]) != "ok":
            raise sqlite3.DatabaseError(found)
        self._database.execute("PRAGMA synchronous = FULL")
        self.commit([cut_off()])

    def _is_empty(self) -> bool:
        return self._one("PRAGMA user_version")[0] == 0 and not self._one("SELECT count(*) FROM sqlite_master")[0]

    def _check(self) -> None:
        if self._one("PRAGMA application_id")[0] != APPLICATION_ID:
            raise JournalError(f"{self.path} is a database of something else. Choose another folder.", path=self.path)
        if (version := self._one("PRAGMA user_version")[0]) != VERSION:
            raise JournalError(
                f"{self.path} has version {version} of the record, and this program reads version {VERSION}. "
                "Use the version of lemon-ext that wrote it.",
                path=self.path,
            )

    def _one(self, sql: str) -> Any:
        with _explained(self.path):
            return self._database.execute(sql).fetchone()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some failures, a full disk among them.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _compare(self, rows: Iterable[tuple[int | None, Mapping[str, Any], int]]) -> None:
        known = self._database.execute("SELECT request FROM rows ORDER BY row")
        for row, (old, new) in enumerate(zip_longest(known, rows), 1):
            if old is None or new is None:
                what = f"it has a row {row} now" if old is None else f"its row {row} is gone"
            elif (before := json.loads(old[0])) != (after := json.loads(dumps(new[1]))):
                line = "" if new[0] is None else f" (line {new[0]})"
                names = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
                what = f"in row {row}{line} {', '.join(names)} differ{'s' if len(names) == 1 else ''}"
            else:
                continue
            raise JournalError(
                f"The input is not the one this folder was started with: {what}. "
                "Use another folder for it, or go on with the old one: `lemon resume`.",
                path=self.path,
            )


def fact(name: str, value: str) -> Statement:
    """A fact about the whole batch."""
    return "INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value)


def submitting(row: int, at: float) -> Statement:
    """The POST of a row is about to leave."""
    return "UPDATE rows SET status = 'submitting', submitted_at = ?, error = NULL WHERE row = ?", (at, row)


def unsent(row: int, error: Mapping[str, Any] | None = None) -> Statement:
    """A row was certainly not accepted and may be sent again."""
    return (
        "UPDATE rows SET status = 'unsent', submitted_at = NULL, error = ? WHERE row = ?",
        (None if error is None else dumps(error), row),
    )


def waiting(row: int, task_id: str, poll_url: str | None) -> Statement:
    """A row was accepted as a task."""
    return "UPDATE rows SET status = 'waiting', task_id = ?, poll_url = ? WHERE row = ?", (task_id, poll_url, row)


def completed(row: int, answer: Mapping[str, Any], task_id: str | None, note: str | None) -> Statement:
    """The images of a row are there, though not saved yet."""
    return (
        "UPDATE rows SET status = 'completed', answer = ?, task_id = coalesce(?, task_id), note = ? WHERE row = ?",
        (dumps(answer), task_id, note, row),
    )


def saved(row: int, paths: list[str], at: float) -> Statement:
    """The images of a row are saved."""
    return (
        "UPDATE rows SET status = 'saved', paths = ?, error = NULL, finished_at = ? WHERE row = ?",
        (dumps(paths), at, row),
    )


def ended(row: int, status: str, error: Mapping[str, Any], at: float, reply: str | None = None) -> Statement:
    """A row ended without images: ``failed``, ``refused`` or ``uncertain``. ``reply``: what came, if it tells more."""
    return (
        "UPDATE rows SET status = ?, error = ?, finished_at = ?, answer = coalesce(?, answer) WHERE row = ?",
        (status, dumps(error), at, None if reply is None else dumps({"reply": reply}), row),
    )


def noted(row: int, error: Mapping[str, Any]) -> Statement:
    """Something went wrong with a row that another run goes on with."""
    return "UPDATE rows SET error = ? WHERE row = ?", (dumps(error), row)


def cut_off() -> Statement:
    """Nobody waits for the answers to rows on their way any more."""
    return "UPDATE rows SET status = 'uncertain', error = ? WHERE status = 'submitting'", (_CUT_OFF,)


def learned(model: str, durations: Mapping[str, Any]) -> Statement:
    """What is known of a model's durations."""
    return "INSERT OR REPLACE INTO durations VALUES (?, ?)", (model, dumps(durations))


def _lock(folder: Path) -> sqlite3.Connection:
    # A lock of SQLite's own: it works everywhere, and the system takes it back when the process dies.
    lock = sqlite3.connect(folder / LOCK, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as exc:
        lock.close()
        if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        raise JournalError(
            f"Another process is working in {folder}. Wait for it, or stop it; `lemon status` shows how far it is.",
            path=folder / FILE,
        ) from None
    return lock


def _inspect(path: Path) -> None:
    """Refuse what is no database, before it is opened for writing.

    Through SQLite: a file that is opened and closed beside it loses this process's locks on it, and then another
    process takes the write-ahead log for abandoned.
    """
    if not path.exists():
        return
    try:
        with closing(_connect(path, "ro")) as database:
            database.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as exc:
        if exc.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK:
            _roll_back(path)
            return
        if exc.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        raise JournalError(
            f"{path} is not a record of ours, and is left as it is. Choose another folder.", path=path
        ) from None


def _roll_back(path: Path) -> None:
    """Undo what a killed process had half written: it was creating the record. SQLite does so when it may write."""
    with closing(_connect(path, "rw")) as database:
        database.execute("PRAGMA schema_version")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    # The engine's writer runs in worker threads, one at a time.
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise JournalError(f"The record {path} cannot be used: {exc}. It is left as it is.", path=path) from exc


@contextmanager
def _reachable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise JournalError(f"The folder {path.parent} cannot be used: {exc.strerror or exc}.", path=path) from exc


def _entry(found: tuple[Any, ...]) -> Entry:
    row, line, request, images, status, task_id, poll_url, answer, paths, error, note, submitted, finished = found
    return Entry(
        row, line, json.loads(request), images, status, task_id, poll_url, _loads(answer), _loads(paths) or [],
        _loads(error), note, submitted, finished,
    )  # fmt: skip


def _loads(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def dumps(value: object) -> str:
    """Return JSON as it stands in the record: readable, and always storable."""
    text = json.dumps(value, ensure_ascii=False)
    return text if _storable(text) == text else json.dumps(value)


def _storable(value: Any) -> Any:
    """Return a value without half characters (lone surrogates), which some servers make by cutting a text."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) and not value.isascii() else value


_CUT_OFF: Final = dumps(
    {
        "type": "SubmissionUncertainError",
        "message": "The process ended while this request was on its way. It may have been accepted and billed: look at "
        "your account, then send it again with --resend-uncertain.",
        "code": None,
        "status_code": None,
    }
)
