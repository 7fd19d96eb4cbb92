"""What a database is like that a batch is to have its journal in: looked at before somebody relies on it.

Nothing is left behind: what is tried is rolled back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psycopg
from attrs import frozen

from lemon_ext import _clock
from lemon_ext.errors import ConfigurationError, JournalError

from .address import Address
from .journal import Statement
from .postgres import PostgresJournal

#: The oldest version of PostgreSQL, as it gives it itself.
OLDEST: Final = 120_000
#: What ends a statement, a transaction or a session that takes long.
TIMEOUTS: Final = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")

LOCKED: Final = "no answer in time: somebody may hold a lock (ALTER TABLE, LOCK), or the database is very busy"

_FACTS: Final = """
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
    current_setting('server_encoding') AS encoding, current_setting('max_connections')::int AS connections,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
        + current_setting('superuser_reserved_connections')::int AS taken,
    extract(epoch FROM clock_timestamp())::float8 AS now,
    current_setting('transaction_read_only')::bool OR pg_is_in_recovery() AS is_read_only,
    coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), '') AS tls
"""
_TIMES: Final = "SELECT name, setting::int AS ms FROM pg_settings WHERE name = ANY(%s) AND setting::int > 0"


@frozen
class Condition:
    """What was found. ``lacks`` is why nothing can be written, None if it can. ``fault`` is what a run would be told of
    the batch. ``rows`` are counted by state, None where there is no batch yet. ``ahead``: seconds of this machine's
    clock before the database's. ``timeouts`` are in seconds.
    """

    seconds: float
    tls: str
    version: str
    number: int
    encoding: str
    is_session: bool
    lacks: str | None
    fault: str | None
    rows: Mapping[str, int] | None
    ahead: float
    connections: int
    left: int
    workers: tuple[str, ...]
    timeouts: Mapping[str, float]


def look(address: Address, seconds: float) -> Condition:
    """Look at the database of a journal. ``seconds`` is for the connection, and for each question: somebody may hold a
    lock. Raises JournalError where there is no connection, and ConfigurationError.
    """
    began = time.monotonic()
    journal = PostgresJournal(Path(), address, works=True)
    with journal._explained(), journal.plain_connection(connect_timeout=max(int(seconds), 2)) as database:
        took = time.monotonic() - began
        before = _clock.wall()
        facts: Any = database.execute(_FACTS).fetchone()
        ahead = (before + _clock.wall()) / 2 - facts["now"]
        times: list[Any] = database.execute(_TIMES, (list(TIMEOUTS),)).fetchall()
        is_session = journal._is_session(database)
        bound = "SELECT set_config('statement_timeout', ?, false)", (str(max(int(seconds * 1000), 1)),)
        database.execute(bound[0].replace("?", "%s"), bound[1])
        fault, rows, workers = _batch(address, bound)
        return Condition(
            took, facts["tls"], facts["version"], facts["number"], facts["encoding"], is_session,
            "it is read-only" if facts["is_read_only"] else _lacks(database, journal._schema), fault, rows, ahead,
            facts["connections"], max(facts["connections"] - facts["taken"], 0), workers,
            {one["name"]: one["ms"] / 1000 for one in times},
        )  # fmt: skip


def _batch(address: Address, bound: Statement) -> tuple[str | None, dict[str, int] | None, tuple[str, ...]]:
    """Return what is wrong with a batch, its rows, and who works at it."""
    journal = PostgresJournal(Path(), address, works=False)
    try:
        with journal._explained():
            journal._execute(*bound)
            if not (version := journal._version()):
                return None, None, ()
            journal._check_version(version)
        return None, journal.counts(), tuple(one.host for one in journal.signs())
    except (JournalError, ConfigurationError) as exc:
        late = isinstance(exc.__cause__, psycopg.errors.QueryCanceled)
        return LOCKED if late else str(exc), None, ()
    finally:
        journal.close()


def _lacks(database: psycopg.Connection[Any], schema: str) -> str | None:
    """Try what a run would write, and roll it back. Returns why it cannot be."""
    try:
        for name, table in ((schema, "meta"), ("lemon", "durations")):
            with database.transaction(force_rollback=True):
                if _is_there(database, "to_regclass", f"{name}.{table}"):
                    database.execute(f"INSERT INTO {name}.{table} VALUES ('tried', '')")  # noqa: S608 - names of ours
                    continue
                if not _is_there(database, "to_regnamespace", name):
                    database.execute(f"CREATE SCHEMA {name}")
                database.execute(f"CREATE TABLE {name}.tried (x INTEGER)")
    except psycopg.errors.QueryCanceled:
        return LOCKED
    except psycopg.Error as exc:
        return exc.diag.message_primary or str(exc)
    return None


def _is_there(database: psycopg.Connection[Any], function: str, name: str) -> bool:
    found: Any = database.execute(f"SELECT {function}(%s) AS found", (name,)).fetchone()
    return found["found"] is not None
