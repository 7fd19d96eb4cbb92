"""The journal of a batch: what was submitted and what came back, on disk before it matters.

A row is known to be in flight before its POST leaves, and its task is known before the first poll. `Journal` is what
all journals do; the SQL is what SQLite and PostgreSQL both take (`sqlite`, `postgres`). The tables and what their
columns mean: docs/batch.md.

A row goes through these states, and nothing leads from a sent one back to ``unsent`` but a certain "not accepted"::

    unsent -> submitting -> waiting -> completed -> saved
                  |            └-> failed     └-> (unfetched: error is set, another run fetches again)
                  ├-> completed   (answered at once)
                  ├-> refused     (not accepted for good; not billed)
                  ├-> unsent      (not accepted for now; not billed)
                  └-> uncertain   (the answer was lost, or the process died: may be billed, never re-sent by itself)

This module reads and writes; it decides nothing.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self, TypeAlias, TypeVar

from attrs import Attribute, field, fields, frozen

from lemon_ext._response import storable
from lemon_ext.errors import JournalError
from lemon_ext.rate_limit import RateLimit

from .limits import Limits, Spent, Wanted, weight

__all__ = ("Entry", "Incoming", "Journal", "Statement")

T = TypeVar("T")

#: Version 1 had no columns for ids, for what is carried along, and for what a row was billed as.
VERSION: Final = 2
STATUSES: Final = ("unsent", "submitting", "waiting", "completed", "saved", "failed", "refused", "uncertain")
#: The fact that says where rows were sent to besides `base_url`.
ELSEWHERE: Final = "base_url_too"
#: And the one that says with which keys: some letters of the fingerprint of each, with spaces between.
KEYS: Final = "keys"
#: The one that tells of an outage.
OUTAGE: Final = "outage"
#: Nothing was billed for a row in these states, unless an earlier try of it is in doubt.
UNPAID: Final = ("unsent", "refused")
#: The errors of rows that are paid for and that the API knows nothing of: see `Journal.unknown`.
UNKNOWN: Final = ("TaskNotFoundError", "ImageGoneError")
_PAID: Final = {"waiting": "is paid for", "completed": "is paid for", "saved": "is paid for"}
#: Rows that are read at once.
PAGE: Final = 500
#: What is known of one try, and not of the next: what it was billed, for example.
_OF_A_TRY: Final = ("task_id", "poll_url", "answer", "paths", "note", "request_id", "billing_id", "cost")
#: How deep JSON is stored; no answer that means anything is deeper.
DEEPEST: Final = 64

#: A change of the journal: SQL and its values.
Statement: TypeAlias = tuple[str, tuple[Any, ...]]


def _sql(kind: type, sql: str, about: str, *, json: bool = False) -> dict[str, Any]:
    """Say what a column is. A cell of another kind is damage; NULL is read as nothing where SQL allows it."""
    return {"kind": kind, "sql": sql, "about": about, "json": json}


def state(status: str, error: Any, finished_at: float | None) -> str:
    """Return what a row is counted as. A completed one with an error is ``unfetched``, or ``failed`` where its images
    came as data that nobody has any more.
    """
    if status != "completed" or error is None:
        return status
    return "unfetched" if finished_at is None else "failed"


class Incoming(NamedTuple):
    """A row of the input: its line in a file, the JSON of its request, how many images that asks for, the row's id, and
    what is carried along.
    """

    line: int | None
    request: Mapping[str, Any]
    images: int
    id: str | None = None
    extra: Mapping[str, Any] = MappingProxyType({})


class NoRoom(NamedTuple):
    """A limit leaves no room for a row now: the reason, and whether what others have in flight may come back."""

    reason: str
    may_come_back: bool


class Sign(NamedTuple):
    """A sign of life of a worker: its machine, how many seconds ago it was given, the outage that the worker has noted
    (JSON, or nothing), and how many seconds ago.
    """

    host: str
    silent: float
    outage: str
    passed: float


class Billable(NamedTuple):
    """What a charge of a row can be told by. ``request`` is empty where it cannot be read."""

    row: int
    status: str
    request: Mapping[str, Any]
    images: int
    at: float | None
    request_id: str | None
    billing_id: str | None


@frozen(repr=False)
class Entry:
    """One row of the journal. ``damage`` names the cells that cannot be read, which are empty here."""

    row: int = field(metadata=_sql(int, "INTEGER PRIMARY KEY", "from 1, in the order of the input"))
    line: int | None = field(metadata=_sql(int, "INTEGER", "of the input file, where there was one"))
    request: dict[str, Any] = field(metadata=_sql(dict, "TEXT NOT NULL", "JSON: all that is sent", json=True))
    images: int = field(metadata=_sql(int, "INTEGER NOT NULL", "how many are asked for"))
    status: str = field(metadata=_sql(str, "TEXT NOT NULL DEFAULT 'unsent'", "see docs/batch.md"))
    task_id: str | None = field(metadata=_sql(str, "TEXT", "once it is accepted as a task"))
    poll_url: str | None = field(metadata=_sql(str, "TEXT", "where the server wants to be asked for the task"))
    answer: dict[str, Any] | None = field(metadata=_sql(dict, "TEXT", "JSON, without picture data", json=True))
    paths: list[str | None] | None = field(
        metadata=_sql(list, "TEXT", "JSON: names of saved files, or null", json=True)
    )
    error: dict[str, Any] | None = field(metadata=_sql(dict, "TEXT", "JSON: type, message, code...", json=True))
    note: str | None = field(metadata=_sql(str, "TEXT", "what stopped nothing, such as fewer images than asked for"))
    doubts: int = field(metadata=_sql(int, "INTEGER NOT NULL DEFAULT 0", "earlier tries that may be billed"))
    submitted_at: float | None = field(metadata=_sql(float, "REAL", "Unix seconds"))
    finished_at: float | None = field(metadata=_sql(float, "REAL", "Unix seconds"))
    id: str | None = field(metadata=_sql(str, "TEXT", "what the user calls the row"))
    extra: dict[str, Any] | None = field(metadata=_sql(dict, "TEXT", "JSON: carried along, never sent", json=True))
    request_id: str | None = field(metadata=_sql(str, "TEXT", "what the API calls the request"))
    billing_id: str | None = field(metadata=_sql(str, "TEXT", "what the account's records call the charge"))
    cost: str | None = field(metadata=_sql(str, "TEXT", "US dollars, an exact decimal"))
    damage: tuple[str, ...] = ()

    @property
    def answered(self) -> list[dict[str, Any]]:
        """The images of the answer, without their data."""
        images = (self.answer or {}).get("images")
        return [image for image in images if isinstance(image, dict)] if isinstance(images, list) else []

    @classmethod
    def of(cls, found: Any) -> Entry:
        """Read a row as it stands in the journal."""
        cells, damage = {}, []
        there = found.keys()
        for column in _COLUMNS:
            try:
                cells[column.name] = _cell(found[column.name] if column.name in there else None, column)
            except (ValueError, TypeError, RecursionError):
                damage.append(column.name)
                cells[column.name] = _EMPTY.get(column.name)
        return cls(**cells, damage=tuple(damage))


_COLUMNS: Final[tuple[Attribute[Any], ...]] = tuple(column for column in fields(Entry) if column.metadata)
_EMPTY: Final = {"request": {}, "images": 1, "status": "uncertain", "doubts": 0}
_TABLE: Final = "\n".join(
    f"    {one.name} {one.metadata['sql']}{',' if one is not _COLUMNS[-1] else ''}  -- {one.metadata['about']}"
    for one in _COLUMNS
)
TABLES: Final = f"""
CREATE TABLE rows (
{_TABLE}
);
CREATE INDEX rows_by_status ON rows (status, row);
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


#: What is known of how a row was billed.
_BILL: Final = ("request_id", "billing_id", "cost")


def _billable(found: Any) -> Billable:
    try:
        asked = json.loads(found["request"])
    except (ValueError, TypeError, RecursionError):
        asked = None
    at = found["submitted_at"]
    there = found.keys()  # an earlier version had no ids
    ids = (found[name] if name in there and isinstance(found[name], str) else None for name in _BILL[:2])
    request = asked if isinstance(asked, dict) else {}
    images = found["images"] if isinstance(found["images"], int) else 1
    return Billable(found["row"], str(found["status"]), request, images, at if isinstance(at, float) else None, *ids)


def _cell(value: Any, column: Attribute[Any]) -> Any:
    """Return a cell as Python sees it. Raises ValueError or TypeError for what cannot stand there."""
    if value is None and "NOT NULL" not in column.metadata["sql"]:
        return None
    if isinstance(value, str):
        value.encode()  # bytes that are no text were read as lone surrogates
    if column.metadata["json"]:
        value = json.loads(value) if isinstance(value, str) else None
    kind: Any = column.metadata["kind"]
    if not isinstance(value, (int, float) if kind is float else kind):
        raise TypeError(f"not {kind.__name__}")
    if column.name == "status" and value not in STATUSES:
        raise ValueError("no state")
    if isinstance(value, list) and column.name == "paths" and not all(isinstance(one, str | None) for one in value):
        raise TypeError("not names")
    return value


class Journal(ABC):
    """The journal of one batch, wherever it is kept. Raises JournalError, naming it, for whatever makes it unusable.

    A cell that cannot be read spoils its row alone: see `Entry.damage` and `damaged`. Several processes may work at one
    journal if it says so (``beat``): then a row belongs to who took it (`take`) for as long as that one lives
    (`renew`).
    """

    folder: Path
    #: The journal's file, where it is one.
    path: Path | None
    #: What it is called in messages.
    name: str
    #: Seconds between two calls of `renew`; infinity where nobody else can be at work.
    beat: float = math.inf
    #: What a change of ours, and what is read, is bound to, beside the number of the row.
    _ours = _scope = ""
    #: What lets go of a row.
    _freed = ""
    #: Whether a row that failed may have changed in the input: it is sent again in this run.
    mends_failed = False

    @abstractmethod
    def _execute(self, sql: str, values: Iterable[Any] = ()) -> Any:
        """Run one statement: rows that are mappings, and ``rowcount``."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Any]:
        """All or none of what is done meanwhile, and nobody else in between."""

    @abstractmethod
    def _explained(self) -> AbstractContextManager[Any]:
        """Raise JournalError for what the database raises."""

    @abstractmethod
    def take_in(self, rows: Iterable[Incoming], *, part: bool = False) -> None:
        """Write down the input, all or none. A row that was not sent, or refused, may have changed, and one that failed
        where `mends_failed` says so. Raises JournalError at another difference. With ``part`` it is a part of the
        batch: see `PostgresJournal`.
        """

    @abstractmethod
    def worked_on(self) -> bool:
        """Tell whether a process, this one included, works at the batch."""

    @abstractmethod
    def take(self, status: str, limit: int | None = None) -> list[Entry]:
        """Return rows in a state to work on, in order, and make them ours. None is returned twice."""

    @abstractmethod
    def close(self) -> None:
        """Close the journal and let others have what is ours."""

    def renew(self) -> list[Entry]:
        """Say that we live. Returns rows of others that do not, whose requests nobody waits for: they are uncertain."""
        return []

    def lease(self) -> Callable[[], bool]:
        """Return what tells whether the rows that are ours now are so still, without a question to anybody."""
        return lambda: True

    def forget(self, row: int) -> None:  # noqa: B027 - nothing to forget where one process works
        """Somebody else has a row that we took. If it is left again, it may be taken again."""

    def signs(self) -> list[Sign]:
        """Return who works at the batch, where several can."""
        return []

    def note_outage(self, outage: str) -> Statement:
        """The API cannot be reached from here, or can be again (nothing)."""
        return fact(OUTAGE, outage)

    def share(self, limit: RateLimit, account: str) -> RateLimit:
        """Return the rate limit to keep to: that of this process, or a share in that of all who use the account."""
        return limit

    def top_up(self, limit: RateLimit) -> float | None:
        """Fetch more of a rate limit that is shared, where it `wants` that. Returns what is granted a minute now."""
        return limit.per_minute

    def others(self) -> bool:
        """Tell whether somebody else works on a row that has not ended, or left one."""
        return False

    def keep_to(self, limits: Limits) -> Limits:
        """Return limits that count what was sent before: for this process, or for all who work at the batch."""
        limits.images = self.images_sent()
        return limits

    def spent(self) -> Spent | None:
        """Return what is spent, where the journal counts it itself."""
        return None

    def no_room(self, wanted: Wanted, limits: Limits) -> NoRoom | None:
        """Tell why a row that is ours was not let pass when it was claimed. None: it is not ours any more."""
        return None

    def let_go(self, rows: Iterable[int]) -> int:
        """Let others have rows that we took and will not send. Returns how many that changes."""
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def commit(self, statements: Iterable[Statement]) -> list[int]:
        """Make changes, all or none; they are on disk when this returns. Returns how many rows each one changed."""
        with self._explained(), self._transaction():
            return [self._execute(*statement).rowcount for statement in statements]

    def count(self) -> int:
        """Return how many rows there are."""
        return int(self._one("SELECT count(*) AS many FROM rows")["many"])

    def counts(self) -> dict[str, int]:
        """Return how many rows are in each `state`."""
        with self._explained():
            found = self._execute(
                "SELECT CASE WHEN status != 'completed' OR error IS NULL THEN status "  # noqa: S608 - constants
                "WHEN finished_at IS NULL THEN 'unfetched' ELSE 'failed' END AS state, count(*) AS many FROM rows "
                f"WHERE row > 0{self._scope} GROUP BY 1"
            )
            counts: dict[str, int] = {}
            for status, count in ((one["state"], one["many"]) for one in found):
                known = status if status in (*STATUSES, "unfetched") else "uncertain"  # damaged: it may be billed
                counts[known] = counts.get(known, 0) + count
            return counts

    def unknown(self) -> int:
        """Return how many rows that have not ended have tasks that the API does not know, as the last run saw."""
        beginnings = [f'{{"type": "{kind}"%' for kind in UNKNOWN]  # as `described` and `dumps` write it
        which = " OR ".join("error LIKE ?" for _ in beginnings)
        sql = f"SELECT count(*) AS many FROM rows WHERE finished_at IS NULL AND ({which}){self._scope}"  # noqa: S608
        return int(self._one(f"{sql} AND status IN ('waiting', 'completed')", beginnings)["many"])

    def ended_since(self, since: float) -> tuple[int, float]:
        """Return how many rows have ended since a Unix second, and when the first of them was submitted."""
        sql = "SELECT count(*) AS many, min(submitted_at) AS first FROM rows WHERE finished_at >= ?"
        found = self._one(f"{sql}{self._scope}", (since,))
        return int(found["many"]), float(found["first"] or since)

    def images_sent(self) -> int:
        """Return how many images were asked for in requests that were, or may have been, accepted."""
        sent = "CASE WHEN status IN ('unsent', 'refused') THEN 0 ELSE 1 END"
        sql = f"SELECT sum(images * (doubts + {sent})) AS many FROM rows"  # noqa: S608 - a constant
        return int(self._one(sql)["many"] or 0)

    def entries(self, status: str | None = None, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
        """Yield rows in order, all or those in one state."""
        where, values = ("", ()) if status is None else ("AND status = ? ", (status,))
        sql = f"SELECT * FROM rows WHERE row > ?{self._scope} {where}ORDER BY row LIMIT ?"  # noqa: S608 - constants
        left = math.inf if limit is None else limit
        while left > 0:
            with self._explained():
                found = [Entry.of(one) for one in self._execute(sql, (after, *values, int(min(left, PAGE))))]
            yield from found
            if len(found) < PAGE:
                return
            after, left = found[-1].row, left - len(found)

    def entry(self, row: int) -> Entry:
        """Return one row."""
        return next(self.entries(after=row - 1, limit=1))

    def damaged(self) -> list[Entry]:
        """Return the rows with a cell that cannot be read. Raises JournalError where the file itself cannot be."""
        return [entry for entry in self.entries() if entry.damage]

    def billable(self) -> Iterator[Billable]:
        """Yield the rows that were, or may have been, accepted, with what a charge can be told by."""
        sql = "SELECT * FROM rows WHERE row > ? AND status NOT IN ('unsent', 'refused') ORDER BY row LIMIT ?"
        after = 0
        while True:
            with self._explained():
                found = [_billable(one) for one in self._execute(sql, (after, PAGE))]
            yield from found
            if len(found) < PAGE:
                return
            after = found[-1].row

    def billed(self) -> int:
        """Return how many rows are billed whose answers were lost."""
        return sum(bool(entry.billing_id or entry.cost) for entry in self.entries("uncertain"))

    def saved_images(self) -> int:
        """Return how many images are saved."""
        return sum(len(entry.paths or ()) for entry in self.entries("saved"))

    def release(self, *, refused: bool, uncertain: bool, failed: bool = False) -> None:
        """Let rows be sent again because the user says so: refused ones, those whose answer was lost, and those whose
        task failed. Both of the last may be billed already. A failed row keeps the pictures that came all the same.
        """
        nothing = ", ".join(f"{name} = NULL" for name in ("submitted_at", "finished_at", "error"))
        again = f"UPDATE rows SET status = 'unsent', {nothing}{self._freed}"  # noqa: S608 - constants
        doubtful = f"{again}, doubts = doubts + 1, {', '.join(f'{name} = NULL' for name in _OF_A_TRY)}"
        # Also what was answered at once and is no picture: see `outcome`.
        lost = "(status = 'failed' OR (status = 'completed' AND error IS NOT NULL AND finished_at IS NOT NULL))"
        statements = [f"{again} WHERE status = 'refused'{self._scope}"] if refused else []
        statements += [f"{doubtful} WHERE status = 'uncertain'{self._scope}"] if uncertain else []
        lost += f" AND coalesce(paths, '') NOT LIKE '%\"%'{self._scope}"
        statements += [f"{doubtful} WHERE {lost}"] if failed else []
        self.commit((statement, ()) for statement in statements)

    def meta(self, name: str) -> str | None:
        """Return a fact about the whole batch, such as its ``base_url``."""
        found = self._one("SELECT value FROM meta WHERE name = ?", (name,))
        return None if found is None else str(found["value"])

    def durations(self) -> dict[str, Any]:
        """Return what was learned of each model's durations, as plain JSON; what cannot be read is learned anew."""
        known = {}
        with self._explained():
            for one in self._execute("SELECT * FROM durations"):
                try:
                    known[str(one["model"])] = json.loads(one["learned"])
                except (ValueError, TypeError, RecursionError):
                    continue
        return known

    def update(self, row: int, **cells: Any) -> Statement:
        """These cells of a row that is ours have changed. Changes nothing if somebody else has taken it over."""
        sql, values = change(row, **cells)
        return f"{sql}{self._ours}", values

    def submitting(self, row: int, at: float, price: Decimal | None = None, limits: Limits | None = None) -> Statement:
        """The POST of a row is about to leave. Changes nothing if somebody else sends the row: then it is not ours.

        Where several are at work, nor if it would exceed the limits: see `no_room`.
        """
        sql = "UPDATE rows SET status = 'submitting', submitted_at = ?, error = NULL WHERE row = ?"
        return f"{sql} AND status = 'unsent'{self._ours}", (at, row)

    def cut_off(self, row: int) -> Statement:
        """Nobody waits for the answer to a row of ours in flight any more."""
        sql, values = CUT_OFF
        return f"{sql} AND row = ?{self._ours}", (*values, row)

    def settle(self, row: int, at: float | None, note: str | None = None, **bill: str | None) -> Statement:
        """What the account says of a row whose answer was lost: how it was billed, or None for all of it: not at all.

        A billed row stays uncertain, another one is unsent again. Changes nothing if it was sent anew since ``at``.
        """
        same = "row = ? AND status = 'uncertain' AND coalesce(submitted_at, -1) = ?"
        which = (row, -1.0 if at is None else at)
        if note is None:
            nothing = ", ".join(f"{name} = NULL" for name in ("submitted_at", "finished_at", "error", *_BILL, "note"))
            return f"UPDATE rows SET status = 'unsent', {nothing}{self._freed} WHERE {same}", which  # noqa: S608
        sets = ", ".join(f"{name} = coalesce(?, {name})" for name in bill)
        return f"UPDATE rows SET note = ?, {sets} WHERE {same}", (note, *bill.values(), *which)  # noqa: S608

    def _one(self, sql: str, values: Iterable[Any] = ()) -> Any:
        with self._explained():
            return self._execute(sql, values).fetchone()

    def _insert(self, row: int, new: Incoming, **more: Any) -> None:
        cells = {"row": row, "line": new.line, "request": dumps(new.request), "images": new.images, "id": new.id}
        cells |= {"extra": _json_or_null(new.extra), **more}
        marks = ", ".join("?" * len(cells))
        self._execute(f"INSERT INTO rows ({', '.join(cells)}) VALUES ({marks})", cells.values())  # noqa: S608

    def _bring_up_to_date(self, there: Iterable[str]) -> None:
        """Add the columns that an earlier version did not have."""
        for column in _COLUMNS:
            if column.name not in there:
                self._execute(f"ALTER TABLE rows ADD COLUMN {column.name} {column.metadata['sql']}")

    def _check_version(self, version: int) -> None:
        if not 1 <= version <= VERSION:
            raise JournalError(
                f"{self.name} is a journal of version {version}, and this program reads versions up to {VERSION}. "
                "Use the version of lemon-ext that wrote it.",
                path=self.path,
            )

    def _compare(self, old: Entry, new: Incoming) -> None:
        """Take in what is new of a row that was there before."""
        if "request" in old.damage:
            return
        before, after = {**old.request, "id": old.id}, {**json.loads(dumps(new.request)), "id": new.id}
        changed: dict[str, Any] = {}
        if (new.line, new.extra) != (old.line, old.extra or {}):
            changed |= {"line": new.line, "extra": new.extra or None}
        if before != after:
            tries = old.doubts + (old.status == "failed")
            # One that was mended and not sent yet may be mended once more.
            is_open = old.status in ("failed", "unsent") and tries
            mended = self.mends_failed and is_open and not any(old.paths or ()) and not old.damage
            if not mended and (old.status not in UNPAID or old.doubts or old.damage):
                names = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
                line = "" if new.line is None else f" (line {new.line})"
                paid = _PAID.get(old.status, "may be paid for")
                advice = " (with --resend-failed it is sent again, mended)" if is_open else ""
                differ = f"{', '.join(names)} differ{'s' if len(names) == 1 else ''}"
                raise self._another(f"in row {old.row}{line} {differ}, and it {paid}{advice}")
            changed |= {"request": new.request, "images": new.images, "id": new.id, "status": "unsent", "error": None}
            changed |= {"submitted_at": None, "finished_at": None}
            if mended:
                changed |= {"doubts": weight(tries, old, new), **dict.fromkeys(_OF_A_TRY)}
        if changed:
            self._mend(old.row, changed)

    def _mend(self, row: int, cells: Mapping[str, Any]) -> None:
        self._execute(*change(row, **cells))

    def _another(self, what: str) -> JournalError:
        return JournalError(
            f"The input is not the one this folder was started with: {what}. Rows may be added at the end. "
            "Use another folder for it, or go on with the old one: `lemon resume`.",
            path=self.path,
        )


def fact(name: str, value: str) -> Statement:
    """A fact about the whole batch."""
    return "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)


def fact_too(name: str, word: str) -> Statement:
    """One more word of a fact that has several, if it is not there: in one step, as others may add theirs."""
    sql, values = fact(name, word)
    longer = sql.replace("excluded.value", "meta.value || ' ' || excluded.value")
    return f"{longer} WHERE ' ' || meta.value || ' ' NOT LIKE ?", (*values, f"% {word} %")


def known_by(row: Incoming, seen: Counter[bytes]) -> str:
    """Return what a row is known by in its batch: its id, or what it asks for, and how often that was ``seen``."""
    if row.id is not None:
        return f"id {row.id}"
    digest = sha256(dumps(dict(sorted(row.request.items()))).encode()).digest()[:16]
    seen[digest] += 1
    return f"{digest.hex()} {seen[digest]}"


def learned(model: str, durations: Mapping[str, Any]) -> Statement:
    """What is known of a model's durations."""
    sql = "INSERT INTO durations VALUES (?, ?) ON CONFLICT (model) DO UPDATE SET learned = excluded.learned"
    return sql, (model, dumps(durations))


def costs(row: int, at: float | None, cost: str | None, billing_id: str | None) -> Statement:
    """What an accepted row was billed, as the account says. What its answer said stays."""
    sql = (
        "UPDATE rows SET cost = coalesce(cost, ?), billing_id = coalesce(billing_id, ?) WHERE row = ? "
        "AND coalesce(submitted_at, -1) = ? AND status NOT IN ('unsent', 'refused', 'uncertain') "
        "AND (cost IS NULL OR billing_id IS NULL)"
    )
    return sql, (cost, billing_id, row, -1.0 if at is None else at)


def change(row: int, **cells: Any) -> Statement:
    """These cells of a row have changed."""
    sets = ", ".join(f"{name} = ?" for name in cells)
    values = (dumps(cell) if isinstance(cell, dict | list) else cell for cell in cells.values())
    return f"UPDATE rows SET {sets} WHERE row = ?", (*values, row)  # noqa: S608 - names of columns


def _json_or_null(value: Mapping[str, Any]) -> str | None:
    return dumps(dict(value)) if value else None


def dumps(value: object) -> str:
    """Return JSON as it stands in the journal and in the results: readable, and JSON for every reader.

    What JSON does not have, such as NaN in an answer, becomes null.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        text = json.dumps(_plain(value, DEEPEST), ensure_ascii=False, allow_nan=False)
    return text if storable(text) == text else json.dumps(json.loads(text))


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict | list) and not depth:
        return None
    if isinstance(value, dict):
        return {name: _plain(one, depth - 1) for name, one in value.items()}
    return [_plain(one, depth - 1) for one in value] if isinstance(value, list) else value


_LOST_WITH_IT: Final = dumps(
    {
        "type": "SubmissionUncertainError",
        "message": "The process ended while this request was in flight. It may have been accepted and billed: ask "
        "`lemon reconcile DIR`, or look at your account, then send it again with --resend-uncertain.",
        "code": None,
        "status_code": None,
    }
)
#: Nobody waits for the answers to rows in flight any more.
CUT_OFF: Final[Statement] = (
    "UPDATE rows SET status = 'uncertain', error = ? WHERE status = 'submitting'",
    (_LOST_WITH_IT,),
)
