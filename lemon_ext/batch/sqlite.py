"""The journal of a batch as one SQLite file in its folder, in WAL mode and fully synced.

Only one process at a time may write, anybody may read, also with the ``sqlite3`` program.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final

from lemon_ext._response import storable
from lemon_ext.errors import JournalError

from .journal import CUT_OFF, TABLES, VERSION, Entry, Incoming, Journal

__all__ = ("SqliteJournal",)

FILE: Final = "journal.sqlite3"
LOCK: Final = "journal.lock"
#: "LEMN": tells our files from other people's databases.
APPLICATION_ID: Final = 0x4C454D4E
_SCHEMA: Final = f"""
BEGIN;{TABLES}CREATE TABLE durations (model TEXT PRIMARY KEY, learned TEXT NOT NULL);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""


class SqliteJournal(Journal):
    """The journal of one batch as a file in its folder."""

    def __init__(self, folder: Path, database: sqlite3.Connection, lock: sqlite3.Connection | None) -> None:
        self.folder = folder
        self.path: Path = folder / FILE
        self.name = str(self.path)
        self._database = database
        self._database.row_factory = sqlite3.Row
        self._database.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        self._lock = lock
        #: The last row of each state that was taken.
        self._taken: dict[str, int] = {}
        #: One transaction at a time, also if a thread that was given up still commits.
        self._turn = threading.RLock()

    @classmethod
    def open(cls, folder: Path, *, create: bool = True) -> SqliteJournal:
        """Open the journal in a folder for writing, or start one. Refuses a folder another process works in.

        Rows that were in flight when an earlier process died become uncertain.
        """
        path = folder / FILE
        with _explained(path):
            if not create and not path.is_file():
                raise JournalError(f"There is no batch in {folder}: {FILE} is missing.", path=path)
            folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.touch()  # first of all: a folder with the other files and without this one has lost its journal
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
    def read(cls, folder: Path) -> SqliteJournal:
        """Open the journal in a folder for reading only, also while another process writes.

        One whose process was killed while it created it has no rows.
        """
        path = folder / FILE
        with _explained(path):
            if not path.is_file():
                raise JournalError(f"There is no batch in {folder}: {FILE} is missing.", path=path)
            journal = cls(folder, _connect(path, _inspect(path)), None)
            try:
                if journal._is_empty():
                    journal.close()
                    journal = cls(folder, sqlite3.connect(":memory:", isolation_level=None), None)
                    journal._database.executescript(_SCHEMA)
                journal._check()
            except BaseException:
                journal.close()
                raise
            return journal

    @classmethod
    def copy(cls, folder: Path) -> SqliteJournal:
        """Return a copy in memory, to try what a run would do."""
        copy = cls(folder, sqlite3.connect(":memory:", isolation_level=None), None)
        with cls.read(folder) as found, _explained(found.path):
            found._database.backup(copy._database)
            if copy._is_empty():
                copy._database.executescript(_SCHEMA)
            copy._migrate()
        return copy

    def close(self) -> None:
        """Close the journal and let another process have the folder."""
        self._database.close()
        if self._lock is not None:
            self._lock.close()

    def take_in(self, rows: Iterable[Incoming], *, part: bool = False) -> None:
        """Write down the input, all or none. If there is one already, rows at its end are new, and a row that was not
        sent, or refused, may have changed. Raises JournalError at the first other difference.
        """
        with self._explained(), self._transaction():
            # Read to its end before anything is appended.
            old: Iterator[Entry | None] = chain(self.entries(), repeat(None))
            row = 0
            for row, new in enumerate(rows, 1):
                if (entry := next(old)) is None:
                    self._insert(row, new)
                else:
                    self._compare(entry, new)
            if next(old) is not None:
                raise self._another(f"its row {row + 1} is gone")

    def take(self, status: str, limit: int | None = None) -> list[Entry]:
        """Return rows in a state to work on, in order. None is returned twice, also if it is in that state again."""
        found = list(self.entries(status, after=self._taken.get(status, 0), limit=limit))
        if found:
            self._taken[status] = found[-1].row
        return found

    def worked_on(self) -> bool:
        """Tell whether a process has the journal open for writing."""
        return worked_on(self.folder)

    def _prepare(self) -> None:
        if self._is_empty():
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.executescript(_SCHEMA)
        self._check()
        if (found := self._one("PRAGMA quick_check(1)")[0]) != "ok":
            raise sqlite3.DatabaseError(found)
        self._database.execute("PRAGMA synchronous = FULL")
        self._migrate()
        self.commit([CUT_OFF])

    def _migrate(self) -> None:
        if self._one("PRAGMA user_version")[0] == VERSION:
            return
        with self._transaction():
            self._bring_up_to_date({column["name"] for column in self._execute("PRAGMA table_info(rows)")})
            self._execute(f"PRAGMA user_version = {VERSION}")

    def _is_empty(self) -> bool:
        return self._one("PRAGMA user_version")[0] == 0 and not self._one("SELECT count(*) FROM sqlite_master")[0]

    def _check(self) -> None:
        if self._one("PRAGMA application_id")[0] != APPLICATION_ID:
            raise JournalError(f"{self.path} is a database of something else. Choose another folder.", path=self.path)
        self._check_version(self._one("PRAGMA user_version")[0])

    def _execute(self, sql: str, values: Iterable[Any] = ()) -> Any:
        return self._database.execute(sql, [storable(value) for value in values])

    def _explained(self) -> AbstractContextManager[None]:
        return _explained(self.path)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._turn:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some failures, a full disk among them.
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise


def _lock(folder: Path) -> sqlite3.Connection:
    # A lock of SQLite's own: it works everywhere, and the system takes it back when the process dies.
    # The moment is for who only asks, as `worked_on` does.
    lock = sqlite3.connect(folder / LOCK, timeout=0.1, isolation_level=None, check_same_thread=False)
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


def worked_on(folder: Path) -> bool:
    """Tell whether a process, this one included, has the journal of a folder open for writing."""
    uri = f"{(folder / LOCK).absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=0)) as lock:
            lock.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as exc:
        return exc.sqlite_errorcode == sqlite3.SQLITE_BUSY
    return False


#: SQLite keeps two files beside the journal, for readers too. A read-only folder takes none; if no log is there, the
#: journal holds all there is, and nobody writes to it.
_NO_FILE_BESIDE: Final = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def _inspect(path: Path) -> str:
    """Refuse what is no database, before it is opened for writing. Returns the mode in which it can be read.

    Through SQLite: a file that is opened and closed beside it loses this process's locks on it, and then another
    process takes the write-ahead log for abandoned.
    """
    if not path.exists():
        return "ro"
    try:
        with closing(_connect(path, "ro")) as database:
            database.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as exc:
        if exc.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK:
            _roll_back(path)
            return "ro"
        if exc.sqlite_errorcode & 0xFF in _NO_FILE_BESIDE and not path.with_name(f"{FILE}-wal").exists():
            return "ro&immutable=1"
        if exc.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        raise JournalError(
            f"{path} is not a journal of ours, and is left as it is. Choose another folder.", path=path
        ) from None
    return "ro"


def _roll_back(path: Path) -> None:
    """Undo what a killed process had half written: it was creating the journal. SQLite does so when it may write."""
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
        raise JournalError(f"The journal {path} cannot be used: {exc}. It is left as it is.", path=path) from exc
    except FileExistsError as exc:
        raise JournalError(f"{path.parent} is a file. Give a folder.", path=path) from exc
    except OSError as exc:
        raise JournalError(f"The folder {path.parent} cannot be used: {exc.strerror or exc}.", path=path) from exc
