"""A journal in PostgreSQL: several machines work at one batch, and any of them may stop or die.

It does what every journal does (`Journal`), in a schema of its own for each batch. Besides, every row that somebody
works on has an owner, and every worker a lease, by the clock of the database. Work is taken in blocks that no two take
(``SKIP LOCKED``), and only the owner of a row changes it. A worker that lets its lease run out is taken for dead: what
it had in flight is uncertain, and the rest of its rows are anybody's. If it lives after all, its rows are its own as
long as nobody has taken them.

The database may go away for a while: whatever is written here may be written twice.
"""

from __future__ import annotations

import logging
import math
import os
import re
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from lemon_ext import _clock
from lemon_ext._response import storable
from lemon_ext.errors import ConfigurationError, JournalError
from lemon_ext.money import quote
from lemon_ext.rate_limit import RateLimit

from .address import ESCAPES, Address
from .allowance import TABLES as COMMON
from .allowance import TAKE_BLOCK, Allowance, Block
from .journal import (
    CUT_OFF,
    PAGE,
    TABLES,
    UNPAID,
    VERSION,
    Entry,
    Incoming,
    Journal,
    NoRoom,
    Sign,
    Statement,
    change,
    fact,
    known_by,
)
from .limits import CLAIM, SPENT, Limits, SharedLimits, Spent, Wanted, price
from .limits import TABLES as COUNTED

T = TypeVar("T")

# What it warns of when a connection is lost is raised, too, and told by us. Without a handler Python would print it.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

#: Seconds without a sign of life after which a worker is taken for dead, and between two such signs.
LEASE: Final = 60.0
BEAT: Final = 5.0
#: Seconds for which a database that went away is tried again, and between two tries.
GRACE: Final = 30.0
PAUSE: Final = 0.5
#: How often a pooler is given the occasion to hand a connection to somebody else.
POOL_TRIES: Final = 5
#: How often a transaction is tried again that another one was in the way of.
CLASHES: Final = 10
#: What notices within half a minute that the other end is gone.
_CONNECTION: Final[Mapping[str, Any]] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_KINDS: Final = {"INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION"}
_MORE: Final = """
ALTER TABLE rows ADD COLUMN key TEXT NOT NULL, ADD COLUMN owner TEXT, ADD COLUMN price NUMERIC;
CREATE UNIQUE INDEX rows_by_key ON rows (key);
CREATE TABLE pictures (name TEXT PRIMARY KEY, data BYTEA NOT NULL);
CREATE TABLE workers (id TEXT PRIMARY KEY, lease TIMESTAMPTZ NOT NULL, outage TEXT, noted TIMESTAMPTZ);
"""
_POOLED: Final = (
    "The journal {} cannot be used: a pooler stands before its database and hands the connection to others between two "
    "transactions. Give the address of the database itself, or of a pooler in session mode."
)
#: What a database ends because it took too long.
_TIMEOUTS: Final = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.IdleInTransactionSessionTimeout,
)
#: Nobody living owns a row. Not as NOT IN, for which a million rows are read in their order instead of by status.
_DEAD: Final = (
    "(owner IS NULL OR NOT EXISTS (SELECT 1 FROM workers WHERE workers.id = owner AND lease > clock_timestamp()))"
)
#: Rows that another run, or another worker, goes on with.
_OPEN: Final = "status IN ('unsent', 'submitting', 'waiting', 'completed') AND finished_at IS NULL"


class PostgresJournal(Journal):
    """The journal of one batch in a database. `open` makes a worker of this process, `read` looks only."""

    beat = BEAT
    _freed = ", owner = NULL"

    def __init__(self, folder: Path, address: Address, *, works: bool) -> None:
        self.folder, self.path, self.name = folder, None, address.shown
        self._address, self._works = address, works
        host = re.sub(r"[^A-Za-z0-9.]", "-", socket.gethostname())[:40]
        self._worker = f"{host}-{os.getpid()}-{secrets.token_hex(4)}"
        self._ours = f" AND owner = '{self._worker}'"
        self._database: psycopg.Connection[Any] | None = None
        self._taken: set[int] = set()
        #: When the lease was renewed last, by both clocks: one of them stands still while a computer sleeps. And how
        #: often it had run out by then.
        self._renewed, self._lapses = (-math.inf, -math.inf), 0
        #: Rows may be ours without our knowing it: the connection was lost.
        self._doubtful = False
        #: One transaction at a time, also if a thread that was given up still commits.
        self._turn = threading.RLock()
        self._inside = False

    @classmethod
    def open(cls, folder: Path, address: Address, *, create: bool = True) -> PostgresJournal:
        """Open a journal to work at it, or start one. What dead workers had in flight becomes uncertain."""
        journal = cls(folder, address, works=True)
        try:
            with journal._explained(), journal._transaction():
                journal._lock_batch()
                journal._prepare(create)
            journal.renew()
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def read(cls, folder: Path, address: Address) -> PostgresJournal:
        """Open a journal for reading only, also while others work at it."""
        journal = cls(folder, address, works=False)
        try:
            with journal._explained():
                journal._check_version(journal._version() or journal._no_batch())
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def copy(cls, folder: Path, address: Address) -> PostgresJournal | None:
        """Return a copy, to try what a run would do, None where there is no batch. It is a temporary table of this
        connection's, filled by one query, so nobody waits for it.
        """
        copy = _Copy(folder, address, works=True)
        try:
            with copy._explained(), copy._transaction():
                if version := copy._version():
                    copy._check_version(version)
                    copy._fill()
                    return copy
        except BaseException:
            copy.close()
            raise
        copy.close()
        return None

    @staticmethod
    def outlast(work: Callable[[], T]) -> T:
        """Do what may be done twice, and do it again while the database cannot be reached: for who begins at any
        moment, also while it is started again.
        """
        until = time.monotonic() + GRACE
        while True:
            try:
                return work()
            except JournalError as exc:
                if not isinstance(exc.__cause__, psycopg.OperationalError) or time.monotonic() >= until:
                    raise
            threading.Event().wait(PAUSE)

    def close(self) -> None:
        """Close the connection. What is ours is anybody's again."""
        if self._database is not None:
            with suppress(psycopg.Error):
                if self._works:
                    self._database.execute("DELETE FROM workers WHERE id = %s", (self._worker,))
            self._database.close()

    def commit(self, statements: Iterable[Statement]) -> list[int]:
        """Make changes, all or none; they are on disk when this returns. Returns how many rows each one changed."""
        statements = list(statements)

        def write() -> list[int]:
            assert self._database is not None  # noqa: S101 - `_persist` has seen to it
            with self._database.pipeline(), self._transaction():
                cursors = [self._execute(*statement) for statement in statements]
            return [cursor.rowcount for cursor in cursors]

        with self._explained():
            return self._persist(write)

    def submitting(self, row: int, at: float, price: Decimal | None = None, limits: Limits | None = None) -> Statement:
        """The POST of a row is about to leave. Changes nothing if the row is not ours to send, or if a limit leaves no
        room for it: what all have spent counts, and is known when this one is let pass.
        """
        if limits is not None and limits.are_set:
            usd = None if limits.budget is None else limits.budget.limit
            return CLAIM, (row, self._worker, at, price, limits.max_images, usd)
        # Once more, if the answer to the first was lost: it is the same change.
        sql = "UPDATE rows SET status = 'submitting', submitted_at = ?, error = NULL, price = ? WHERE row = ?"
        before = "(status = 'unsent' OR (status = 'submitting' AND submitted_at = ?))"
        return f"{sql} AND {before}{self._ours}", (at, price, row, at)

    def keep_to(self, limits: Limits) -> Limits:
        """Return limits that all who work at the batch keep to together."""
        return SharedLimits(limits.max_images, limits.budget)

    def spent(self) -> Spent | None:
        """Return what all have spent. None where an earlier version wrote, which did not count: the next run does."""
        return Spent(**self._one(SPENT)) if self._is_counted() else None

    def images_sent(self) -> int:
        """Return how many images were asked for in requests that were, or may have been, accepted."""
        return super().images_sent() if (spent := self.spent()) is None else spent.images

    def no_room(self, wanted: Wanted, limits: Limits) -> NoRoom | None:
        """Tell why a row that is ours was not let pass when it was claimed. None: it is not ours any more."""
        sql = f"SELECT 1 FROM rows WHERE row = ? AND status = 'unsent'{self._ours}"  # noqa: S608 - a constant
        if not isinstance(limits, SharedLimits) or not limits.are_set or self._one(sql, (wanted.row,)) is None:
            return None
        sql = "SELECT 1 FROM rows WHERE status = 'submitting' AND owner IS DISTINCT FROM ? LIMIT 1"
        in_flight = self._one(sql, (self._worker,)) is not None
        reason = limits.reason(wanted, Spent(**self._one(SPENT)))
        return NoRoom(reason or "what was in flight came back", in_flight or reason is None)

    def let_go(self, rows: Iterable[int]) -> int:
        """Let others have rows that we took and will not send. Returns how many that changes."""
        sql = f"UPDATE rows SET owner = NULL WHERE row = ANY(?) AND status = 'unsent'{self._ours}"  # noqa: S608
        return self.commit([(sql, ([*rows],))])[0]

    def take_in(self, rows: Iterable[Incoming], *, part: bool = False) -> None:
        """Write down the input, all or none, in any order: a row is known by its id, or by what it asks for and how
        often that came before. With ``part`` the input is a part of the batch, and only its rows are seen afterwards.

        A row that was not sent, or refused, may have changed. Raises JournalError at another difference.
        """
        seen: Counter[bytes] = Counter()
        found: set[int] = set()
        with self._explained(), self._transaction():
            self._lock_batch()
            last, before = int(self._one("SELECT max(row) AS last FROM rows")["last"] or 0), self.count()
            left = iter(rows)
            while block := {known_by(one, seen): one for one in islice(left, PAGE)}:
                new = self._compared(block, found)
                assert self._database is not None  # noqa: S101 - we are in a transaction
                with self._database.pipeline():
                    for last, (key, one) in enumerate(new.items(), last + 1):  # noqa: B020 - goes on from there
                        self._insert(last, one, key=key)
                        found.add(last)
            if not part and len([row for row in found if row <= before]) < before:
                gone = next(entry.row for entry in self.entries() if entry.row not in found)
                raise self._another(f"its row {gone} is not in it")
        if part:
            self._scope = f" AND row = ANY('{{{','.join(map(str, sorted(found)))}}}'::bigint[])"

    def _compared(self, block: Mapping[str, Incoming], found: set[int]) -> dict[str, Incoming]:
        """Compare rows with those that are there. Returns the others."""
        new = dict(block)
        for one in self._execute("SELECT * FROM rows WHERE key = ANY(?)", (list(block),)).fetchall():
            entry = Entry.of(one)
            found.add(entry.row)
            self._compare(entry, new.pop(one["key"]))
        return new

    def take(self, status: str, limit: int | None = None) -> list[Entry]:
        """Return rows in a state that nobody living works on, and make them ours. None is returned twice."""
        sql = (
            "WITH free AS MATERIALIZED (SELECT row AS free FROM rows "  # noqa: S608 - constants
            f"WHERE status = ? AND {_DEAD}{self._scope} ORDER BY row LIMIT ? FOR UPDATE SKIP LOCKED) "
            "UPDATE rows SET owner = ? FROM free WHERE row = free RETURNING rows.*"
        )
        with self._explained():
            found = self._execute(sql, (status, limit, self._worker)).fetchall()
            if self._doubtful:
                again = f"SELECT * FROM rows WHERE status = ?{self._ours}"  # noqa: S608 - a constant
                found = [*found, *self._execute(again, (status,)).fetchall()]
        entries = {entry.row: entry for entry in map(Entry.of, found) if entry.row not in self._taken}
        self._taken.update(entries)
        return [entry for _, entry in sorted(entries.items())]

    def renew(self) -> list[Entry]:
        """Say that we live. Returns rows of dead workers whose requests nobody waits for: they are uncertain."""
        lost, values = CUT_OFF
        asked = _clock.monotonic(), _clock.wall()
        with self._explained():
            self._execute(
                "INSERT INTO workers (id, lease) VALUES (?, clock_timestamp() + make_interval(secs => ?)) "
                "ON CONFLICT (id) DO UPDATE SET lease = excluded.lease",
                (self._worker, LEASE),
            )
            if not self._is_leased():
                self._lapses += 1
            self._renewed = asked
            self._execute("DELETE FROM workers WHERE lease < clock_timestamp() AND id <> ?", (self._worker,))
            found = self._execute(f"{lost} AND {_DEAD}{self._scope} RETURNING *", values).fetchall()
        return [entry for entry in map(Entry.of, found) if not entry.damage]

    def lease(self) -> Callable[[], bool]:
        """Return what tells whether the rows that are ours now are so still, without a question to anybody: whoever
        was stopped, or slept, for longer than its lease may have been taken for dead.
        """
        lapses = self._lapses
        return lambda: self._is_leased() and self._lapses == lapses

    def _is_leased(self) -> bool:
        monotonic, wall = self._renewed
        return max(_clock.monotonic() - monotonic, _clock.wall() - wall) < LEASE

    def forget(self, row: int) -> None:
        """Somebody else has a row that we took. If it is left again, it may be taken again."""
        self._taken.discard(row)

    def signs(self) -> list[Sign]:
        """Return who works at the batch."""
        ago = "extract(epoch FROM clock_timestamp() - {})::float8 AS {}"
        silent, passed = ago.format("lease", "silent"), ago.format("(cells ->> 'noted')::timestamptz", "passed")
        sql = (  # an earlier version has not all of the columns
            f"SELECT id, cells ->> 'outage' AS outage, {silent}, {passed} FROM workers, to_jsonb(workers) AS cells "  # noqa: S608
            "WHERE lease > clock_timestamp() ORDER BY id"
        )
        with self._explained():
            found = self._execute(sql).fetchall()
        return [
            Sign(one["id"].rsplit("-", 2)[0], one["silent"] + LEASE, one["outage"] or "", one["passed"] or 0.0)
            for one in found
        ]

    def note_outage(self, outage: str) -> Statement:
        """The API cannot be reached by this worker, or can be again (nothing)."""
        return "UPDATE workers SET outage = ?, noted = clock_timestamp() WHERE id = ?", (outage, self._worker)

    def share(self, limit: RateLimit, account: str) -> RateLimit:
        """Return a share in the rate limit that all keep who use the account and this database."""
        return limit if limit.per_minute is None else Allowance(limit, account, self._worker)

    def top_up(self, limit: RateLimit) -> float | None:
        """Fetch a block of a rate limit. Returns our share in it."""
        if isinstance(limit, Allowance):
            asked = _clock.monotonic()
            limit.take(Block(**self._one(TAKE_BLOCK, limit.question(asked))), asked, _clock.monotonic())
        return limit.per_minute

    def others(self) -> bool:
        """Tell whether somebody else works on a row that has not ended, or left one."""
        sql = f"SELECT 1 FROM rows WHERE {_OPEN} AND owner IS DISTINCT FROM ?{self._scope} LIMIT 1"  # noqa: S608
        return self._one(sql, (self._worker,)) is not None

    def saved_images(self) -> int:
        """Return how many images are saved."""
        each = "json_array_elements_text(paths::json) AS one (path)"
        sql = f"SELECT count(path) AS many FROM rows, {each} WHERE status = 'saved'{self._scope}"  # noqa: S608
        return int(self._one(sql)["many"])

    def damaged(self) -> list[Entry]:
        """A database keeps watch over its cells itself."""
        return []

    def worked_on(self) -> bool:
        """Tell whether any worker lives."""
        return self._one("SELECT 1 FROM workers WHERE lease > clock_timestamp() LIMIT 1") is not None

    def put_picture(self, name: str, data: bytes) -> None:
        """Keep a picture, in the place of one of that name."""
        sql = "INSERT INTO pictures VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET data = excluded.data"
        self.commit([(sql, (name, data))])

    def get_picture(self, name: str) -> bytes:
        """Return a picture that is kept. Raises FileNotFoundError."""
        if (found := self._one("SELECT data FROM pictures WHERE name = ?", (name,))) is None:
            raise FileNotFoundError(f"{name} is not kept at {self.name}.")
        return bytes(found["data"])

    # ---- the schema ----

    def _lock_batch(self) -> None:
        """Let nobody else change the schema, or take in an input, until this transaction ends."""
        self._execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (self._schema,))

    @property
    def _schema(self) -> str:
        return f"lemon_{self._address.batch}"

    def _version(self) -> int:
        """Return the version of the journal, 0 if there is none."""
        if self._one("SELECT to_regclass(?) AS there", (f"{self._schema}.meta",))["there"] is None:
            return 0
        text = self.meta("version") or ""
        return int(text) if text.isdecimal() else VERSION + 1

    def _no_batch(self) -> int:
        known = self._execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'lemon\\_%' ORDER BY 1 LIMIT 20")
        names = ", ".join(one["nspname"].removeprefix("lemon_") for one in known)
        raise JournalError(
            f"There is no batch at {self.name}. {f'There are: {names}' if names else 'There is none in this database'}."
        )

    def _prepare(self, create: bool) -> None:
        version = self._version()
        if version:
            self._check_version(version)
        elif not create:
            self._no_batch()
        else:
            tables = re.sub("|".join(_KINDS), lambda found: _KINDS[found[0]], TABLES)
            self._create_schema(self._schema)
            self._execute("SELECT pg_advisory_xact_lock(hashtextextended('lemon', 0))")
            self._create_schema("lemon")
            if self._one("SELECT to_regproc('lemon.take_block') AS there")["there"] is None:
                self._execute(COMMON)
            self._execute(tables + _MORE + COUNTED)
            self._execute(*fact("batch_id", secrets.token_hex(16)))
            self._execute(*fact("version", str(VERSION)))
        if 0 < version < VERSION:
            self._bring_up_to_date(self._columns())
            self._execute(*fact("version", str(VERSION)))
        if version and not self._is_counted():
            for column in ("workers.outage TEXT", "workers.noted TIMESTAMPTZ", "rows.price NUMERIC"):
                self._execute(f"ALTER TABLE {column.replace('.', ' ADD COLUMN IF NOT EXISTS ')}")
            sent = (entry for entry in self.entries() if entry.doubts or entry.status not in UNPAID)
            for entry in sent:  # as it is counted from now on
                self._execute(*change(entry.row, price=price(entry)))
            self._execute(COUNTED)

    def _create_schema(self, name: str) -> None:
        """Make a schema, unless somebody who may has made it for us: IF NOT EXISTS asks for that right all the same."""
        if self._one("SELECT to_regnamespace(?) AS there", (name,))["there"] is None:
            self._execute(f'CREATE SCHEMA "{name}"')

    def _is_counted(self) -> bool:
        return self._one("SELECT to_regclass('spent') AS there")["there"] is not None

    def _columns(self) -> list[str]:
        sql = "SELECT attname FROM pg_attribute WHERE attrelid = 'rows'::regclass AND attnum > 0 AND NOT attisdropped"
        return [one["attname"] for one in self._execute(sql)]

    def _mend(self, row: int, cells: Mapping[str, Any]) -> None:
        asks = "request" in cells
        # Whoever had it and was taken for dead may wake up with what it asked for before.
        more = {"price": quote(cells["request"], cells["images"]).usd, "owner": None} if asks else {}
        sql, values = change(row, **cells, **more)
        if asks:
            failed = ", 'failed'" if self.mends_failed else ""
            sql = f"{sql} AND {_DEAD} AND status IN ('unsent', 'refused'{failed})"
        if not self._execute(sql, values).rowcount:
            raise self._another(f"row {row} differs, and another worker has just taken it")

    def _another(self, what: str) -> JournalError:
        return JournalError(
            f"The input is not the one that the batch {self._address.batch!r} was started with: {what}. Rows may be "
            "added. Give another name for it (postgresql://...?batch=NAME), or go on with the old one: `lemon resume`."
        )

    # ---- the connection ----

    def _execute(self, sql: str, values: Iterable[Any] = ()) -> Any:
        bound = [_bound(value) for value in values]

        def run() -> Any:
            assert self._database is not None  # noqa: S101 - `_persist` has seen to it
            text = sql.replace("%", "%%").replace("?", "%s") if bound else sql
            return self._database.execute(text, bound or None)

        return run() if self._inside else self._persist(run)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._turn:
            if self._database is None:
                self._database = self._connect()
            outer = self._inside
            with self._database.transaction():
                self._inside = True
                try:
                    yield
                finally:
                    self._inside = outer

    def _persist(self, work: Callable[[], T]) -> T:
        """Do what may be done twice, and do it again if the database went away, or two were in each other's way."""
        with self._turn:
            until, clashes = math.inf, 0
            while True:
                try:
                    if self._database is None or self._database.closed:
                        self._database = self._connect()
                    return work()
                except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                    clashes += 1
                    if clashes > CLASHES:
                        raise
                except (psycopg.OperationalError, psycopg.InterfaceError):
                    now = time.monotonic()  # the real one: it is a real database that is waited for
                    until = min(until, now + GRACE)
                    if self._inside or now >= until or self._database is None or not self._database.closed:
                        raise
                    self._doubtful = True
                    threading.Event().wait(PAUSE)

    def plain_connection(self, **options: Any) -> psycopg.Connection[Any]:
        """Connect to the database, whatever it is like."""
        try:
            conninfo_to_dict(self._address.url)
        except psycopg.ProgrammingError:  # it quotes what it does not understand, and that may be a password
            raise ConfigurationError(f"The address of the journal cannot be read. {ESCAPES}") from None
        return psycopg.connect(
            self._address.url, autocommit=True, row_factory=dict_row, client_encoding="UTF8",
            fallback_application_name="lemon", prepare_threshold=None, **{**_CONNECTION, **options},
        )  # fmt: skip

    def _connect(self) -> psycopg.Connection[Any]:
        database = self.plain_connection()
        encoding = database.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            database.close()
            raise JournalError(f"The database of {self.name} holds texts as {encoding}. Use one with UTF8.")
        if not self._is_session(database):
            database.close()
            raise ConfigurationError(_POOLED.format(self.name))
        # Whatever the database, or its user, is set to: a transaction is on disk when its commit returns, and what
        # waits for a lock sees what was changed meanwhile.
        settings = {"search_path": f'"{self._schema}", lemon', "default_transaction_isolation": "read committed"}
        settings |= {"synchronous_commit": "on"} if self._works else {"default_transaction_read_only": "on"}
        calls = ", ".join("set_config(%s, %s, false)" for _ in settings)
        database.execute(f"SELECT {calls}", [*chain.from_iterable(settings.items())])
        return database

    def _is_session(self, database: psycopg.Connection[Any]) -> bool:
        """Tell whether a connection stays with one process of the database. A pooler may give that to somebody else
        after each transaction, and with it the batch that it works at.
        """

        def process() -> int:
            found: Any = database.execute("SELECT pg_backend_pid() AS pid").fetchone()
            return int(found["pid"])

        if (before := process()) == database.info.backend_pid:
            return True
        for _ in range(POOL_TRIES):
            with psycopg.connect(self._address.url, **_CONNECTION) as other:  # takes the process, if it is free
                other.execute("SELECT 1")
                if process() != before:
                    return False
        return True

    def _explained(self) -> AbstractContextManager[None]:
        return _explained(self.name)


class _Copy(PostgresJournal):
    """A copy of a journal, without the answers. Nobody works at it but who made it."""

    keep_to, spent, images_sent = Journal.keep_to, Journal.spent, Journal.images_sent

    def _fill(self) -> None:
        names = ", ".join(name for name in self._columns() if name not in ("answer", "poll_url", "owner"))
        self._execute("CREATE TEMPORARY TABLE rows (LIKE rows INCLUDING ALL)")  # it is found first from now on
        self._execute(f'INSERT INTO rows ({names}) SELECT {names} FROM "{self._schema}".rows')  # noqa: S608 - names
        self._execute("ANALYZE rows")
        self._bring_up_to_date(self._columns())
        self._execute("SET default_transaction_read_only = on")  # but for temporary tables

    def _connect(self) -> psycopg.Connection[Any]:
        if self._database is not None:  # the copy is gone, and the journal itself is not to be tried with
            raise JournalError(f"The connection to {self.name} was lost while the rows were counted. Try it again.")
        return super()._connect()

    def _lock_batch(self) -> None: ...

    def close(self) -> None:
        """Close the connection, and forget all."""
        if self._database is not None:
            self._database.close()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.ReadOnlySqlTransaction as exc:
        raise JournalError(
            f"The journal {name} cannot be written: its database is read-only. It may be a standby: give the address "
            "of the server that takes changes."
        ) from exc
    except psycopg.errors.InsufficientPrivilege as exc:
        raise JournalError(
            f"The journal {name} cannot be used: {_said(exc)}. A new batch needs the right to create a schema in the "
            "database, or its schema and the schema `lemon`, made by somebody else, with all rights in them; and so "
            "does each of several users."
        ) from exc
    except _TIMEOUTS as exc:
        raise JournalError(
            f"The journal {name} cannot be used: {_said(exc)}. It is left as it is. Such a time is set in the "
            "database, for its user, or in the address: have it made longer (ALTER ROLE ... SET statement_timeout = "
            "'5min')."
        ) from exc
    except psycopg.Error as exc:
        said = _said(exc)
        hint = " A password stands in the address, in PGPASSWORD or in ~/.pgpass." if "password" in said else ""
        raise JournalError(f"The journal {name} cannot be used: {said}. It is left as it is.{hint}") from exc


def _said(error: psycopg.Error) -> str:
    """Return the first line of what a database says. Others may quote a row, and so a prompt."""
    return " ".join((error.diag.message_primary or str(error)).split()).rstrip(".") or type(error).__name__


def _bound(value: Any) -> Any:
    """Return a value as PostgreSQL takes it: in a text it has no NUL."""
    return storable(value).replace("\x00", "\ufffd") if isinstance(value, str) else value
