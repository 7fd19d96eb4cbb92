"""The ledger of single calls: what was submitted is on disk before it leaves, and what came of it behind it.

A batch has its journal; a call of `Lemon` or ``lemon generate`` has this, so that a killed terminal, a closed laptop or
a lost answer leaves a trail. One SQLite file for all processes of a user, readable by its owner alone. It never holds
the key, and prompts only if that is wanted. The states are those of a batch's row (``batch.journal``).

Before a request leaves, its line is synced to disk; what follows is not, because the line alone is enough to look for
it. A ledger that cannot be written stops nothing: that is a warning.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from . import _clock
from ._amount import amount
from ._files import state_folder
from ._fork import watch
from ._response import storable
from ._warn import warn
from ._words import LOST
from .errors import ConfigurationError

__all__ = ("Call", "Ledger", "opened")

FILE: Final = "ledger.sqlite3"
#: "LEML": tells our file from other people's databases.
APPLICATION_ID: Final = 0x4C454D4C
#: Version 1 did not know which key sent a call.
VERSION: Final = 2
#: Lines that are kept. Of older ones, those that have not ended stay.
KEPT: Final = 10_000
#: After so many new lines, older ones are removed.
ROTATE: Final = 100
#: Seconds to wait for other processes.
PATIENCE: Final = 5.0
#: Seconds after which a call that is submitting is taken for cut off: a number of a process may be another's by then.
LONGEST: Final = 3600.0
#: States in which something is paid for, or may be, and not in hand.
OPEN: Final = ("submitting", "waiting", "completed", "uncertain")

_SAVED_STAYS: Final = "CASE status WHEN 'saved' THEN status ELSE ? END"
_SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,      -- Unix seconds: when it was submitted
    process INTEGER,       -- that submitted it
    base_url TEXT NOT NULL,
    status TEXT NOT NULL,  -- as in a batch's journal
    model TEXT,
    prompt TEXT,           -- NULL where prompts are left out
    n INTEGER,
    asked TEXT,            -- JSON: what the request asked of its pictures
    task_id TEXT,
    poll_url TEXT,
    request_id TEXT,
    billing_id TEXT,
    cost TEXT,             -- US dollars, an exact decimal
    error TEXT,            -- what went wrong
    paths TEXT,            -- JSON: where the pictures are
    key TEXT               -- which key sent it: some letters of a digest, NULL where that is not known
);
CREATE INDEX calls_by_task ON calls (task_id);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""


@frozen
class Call:
    """One line of the ledger. ``status`` is that of a batch's row; ``cost`` is in US dollars."""

    id: int
    at: float
    base_url: str
    status: str
    model: str | None
    prompt: str | None
    n: int | None
    task_id: str | None
    cost: Decimal | None
    request_id: str | None
    billing_id: str | None
    error: str | None
    paths: Sequence[str]
    #: What `Images.task_from_dict` makes a handle of. Empty where there is no task.
    handle: Mapping[str, Any]
    #: Which key sent it: some letters of a digest of it. None where that is not known.
    key: str | None = None


class Ledger:
    """The ledger in a file; None is the user's own, in their state folder. Safe between threads and processes.

    ``prompts``: whether prompts are written down. Raises ConfigurationError if there is no place for it.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, prompts: bool = True) -> None:
        self._database: sqlite3.Connection | None = None
        self._process = 0
        self.path = Path(path) if path is not None else _users_own()
        self.prompts = prompts
        self._lock = threading.Lock()
        self._new = 0
        self._warned = False
        watch(self)

    def after_fork(self) -> None:
        """Forget a lock that a thread of the parent process may hold for ever."""
        self._lock = threading.Lock()

    def submitting(
        self, base_url: str, request: Mapping[str, Any], n: int, asked: Mapping[str, Any], key: str | None = None
    ) -> int | None:
        """Write down, on disk, that a request is about to leave. Returns its line, None if it cannot be written.

        ``key`` tells the key that sends it from others, and does not tell the key.
        """
        prompt, model = request.get("prompt"), request.get("model")
        cells = {
            "at": _clock.wall(), "process": os.getpid(), "base_url": base_url, "status": "submitting",
            "model": model if isinstance(model, str) else None,
            "prompt": prompt if self.prompts and isinstance(prompt, str) else None,
            "n": n, "asked": json.dumps(dict(asked)) if asked else None, "key": key or None,
        }  # fmt: skip
        names = ", ".join(cells)
        sql = f"INSERT INTO calls ({names}) VALUES ({', '.join('?' * len(cells))})"  # noqa: S608 - names of columns
        written = self._write(sql, [storable(value) for value in cells.values()], sync=True)
        line = None if written is None else written.lastrowid
        self._new += 1
        if line is not None and self._new % ROTATE == 1:
            self._write(
                f"DELETE FROM calls WHERE id <= ? AND status NOT IN ({', '.join('?' * len(OPEN))})",  # noqa: S608
                [line - KEPT, *OPEN],
            )
        return line

    def change(self, line: int | None, task_id: str | None, base_url: str | None = None, /, **cells: Any) -> None:
        """Write down what became of a call: its line, or that of a task which another process submitted to an address.

        What is saved stays saved, whatever a later poll says.
        """
        where, which = ("id = ?", [line]) if line is not None else ("task_id = ? AND base_url = ?", [task_id, base_url])
        if None in which:
            return
        sets = ", ".join(f"{name} = {_SAVED_STAYS if name == 'status' else '?'}" for name in cells)
        values = [storable(str(cell) if isinstance(cell, Decimal) else cell) for cell in cells.values()]
        self._write(f"UPDATE calls SET {sets} WHERE {where}", [*values, *which])  # noqa: S608 - names of columns

    def settle(self, line: int, **cells: Any) -> bool:
        """Write down what became of a call whose answer was lost. False if it is not uncertain any more."""
        names = ", ".join(f"{name} = coalesce(?, {name})" for name in cells)
        sql = f"UPDATE calls SET {names} WHERE id = ? AND status IN ('uncertain', 'submitting')"  # noqa: S608 - names
        values = [storable(str(cell) if isinstance(cell, Decimal) else cell) for cell in cells.values()]
        written = self._write(sql, [*values, line], sync=True)
        return written is not None and written.rowcount == 1

    def complete(self, line: int, **cells: str | Decimal | None) -> None:
        """Write down what was not known of a call. What is known stays."""
        names = ", ".join(f"{name} = coalesce({name}, ?)" for name in cells)
        values = [None if cell is None else str(cell) for cell in cells.values()]
        self._write(f"UPDATE calls SET {names} WHERE id = ?", [*values, line])  # noqa: S608 - names of columns

    def calls(self, limit: int = -1, *, base_url: str | None = None) -> Iterator[Call]:
        """Yield the calls, the latest first, ``limit`` at most (-1: all); with ``base_url``, those to that address.

        One whose process ended while it was submitting is uncertain. Raises ConfigurationError for a file that is no
        ledger or cannot be read.
        """
        if not self.path.is_file():
            return
        try:
            with closing(_connect(self.path, "ro")) as database:
                if _is_empty(database):  # it is being made
                    return
                _check(database, (1, VERSION))
                database.row_factory = sqlite3.Row
                which, values = ("", ()) if base_url is None else ("WHERE base_url = ? ", (base_url,))
                sql = f"SELECT * FROM calls {which}ORDER BY id DESC LIMIT ?"  # noqa: S608 - constants
                for found in database.execute(sql, (*values, limit)):
                    yield _call(found)
        except (sqlite3.Error, ValueError) as exc:  # ValueError: a damaged cell
            raise ConfigurationError(
                f"The ledger {self.path} cannot be read ({exc}). Move it away, or name another file: "
                "LEMONDATA_LEDGER, or ledger=... in Python."
            ) from exc

    def __del__(self) -> None:
        # A ledger lives as long as its client; nobody has to close it. A parent's connection is left alone.
        if self._database is not None and self._process == os.getpid():
            self._database.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _write(self, sql: str, values: Sequence[Any], *, sync: bool = False) -> sqlite3.Cursor | None:
        """Write one change, and wait for the disk with ``sync``. None if that failed."""
        try:
            with self._lock:
                database = self._opened()
                database.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
                return database.execute(sql, values)
        except (sqlite3.Error, OSError) as exc:
            if not self._warned:  # once is enough: it is the same for every call
                self._warned = True
                warn(f"The ledger {self.path} cannot be written ({exc}). Calls go on and are not written down.")
            return None

    def _opened(self) -> sqlite3.Connection:
        """Return the connection of this process: one that came along a fork must not be used."""
        if self._database is None or self._process != os.getpid():
            self._process = os.getpid()
            self._database = _create(self.path)
        return self._database


def opened(given: bool | str | os.PathLike[str] | Ledger | None) -> Ledger | None:
    """Return the ledger that a client was given: True is the user's own, a path that file, False and None nothing."""
    if given is None or given is False:
        return None
    return given if isinstance(given, Ledger) else Ledger(None if given is True else given)


def of_environment() -> Ledger | None:
    """Return the ledger of this user, as LEMONDATA_LEDGER says: ``off``, ``no-prompts``, or the path of the file."""
    told = os.environ.get("LEMONDATA_LEDGER", "")
    if told == "off":
        return None
    return Ledger(prompts=False) if told == "no-prompts" else Ledger(told or None)


def _users_own() -> Path:
    try:
        return state_folder() / FILE
    except ImportError:
        raise ConfigurationError(
            "The user's own ledger needs platformdirs: pip install 'lemon-ext[cli]'. Or give a path: ledger='calls.db'."
        ) from None


def _create(path: Path) -> sqlite3.Connection:
    """Open the file for writing, made if missing, for its owner alone. The files beside it get the same rights."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    database = _connect(path, "rw")
    try:
        if _is_empty(database):  # never anything of somebody else's
            with suppress(sqlite3.OperationalError):  # another process makes it at this moment
                database.execute("PRAGMA journal_mode = WAL")
            try:
                database.executescript(_SCHEMA)
            except sqlite3.OperationalError:
                if database.in_transaction:
                    database.execute("ROLLBACK")
        _check(database, (1, VERSION))
        _bring_up_to_date(database)
    except BaseException:
        database.close()
        raise
    return database


def _is_empty(database: sqlite3.Connection) -> bool:
    return not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def _check(database: sqlite3.Connection, versions: Sequence[int]) -> None:
    found = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    if found[0] != APPLICATION_ID or found[1] not in versions:
        raise sqlite3.DatabaseError("it is a database of something else, or of another version")


def _bring_up_to_date(database: sqlite3.Connection) -> None:
    """Add the columns that an earlier version had not. Nobody knows which key sent its calls."""
    if database.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:  # nobody did it in the meantime
            database.execute("ALTER TABLE calls ADD COLUMN key TEXT")
            database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=PATIENCE)


def _call(found: sqlite3.Row) -> Call:
    status, error = found["status"], found["error"]
    if status == "submitting" and (found["at"] < _clock.wall() - LONGEST or not _is_running(found["process"])):
        status, error = "uncertain", f"The process ended while this request was in flight. It may be billed: {LOST}."
    handle = {}
    if found["task_id"] is not None:
        names = ("poll_url", "model", "n", "prompt", "request_id", "billing_id", "cost")
        handle = {"id": found["task_id"], **{name: found[name] for name in names if found[name] is not None}}
        if found["asked"] is not None:
            handle["asked"] = json.loads(found["asked"])
    return Call(
        found["id"], found["at"], found["base_url"], status, found["model"], found["prompt"], found["n"],
        found["task_id"], amount(found["cost"]), found["request_id"], found["billing_id"], error,
        json.loads(found["paths"] or "[]"), handle, found["key"] if "key" in found.keys() else None,  # noqa: SIM118
    )  # fmt: skip


def _is_running(process: int | None) -> bool:
    """Tell whether a process still runs, as far as that can be told."""
    if process is None or os.name == "nt":  # there, asking would end it
        return process == os.getpid()
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
