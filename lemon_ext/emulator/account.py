"""The emulator's account: a balance, and a record of every charge, as the management routes tell of them.

Prices are those of the contract; where it has none, one is made up (`Account.price`), so that every charge has an
amount. Where an answer tells what is read from the contract's table of usage records.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from attrs import define, field, frozen
from lemon_client.usage_table import USAGE, Paths

from .contract import Operation
from .records import KEY, Refusal, Response, code_of, refuse, reply

BALANCE: Final = "get_balance"
KEYS: Final = "list_api_keys"
RECORDS: Final = "get_api_key_usage"
#: Characters of a key that its shortened form shows.
SHOWN: Final = 7
#: Records on a page, where nobody says how many.
USUAL: Final = 50


@frozen
class UsageRecord:
    """One charge in the account's books. ``at`` is how it is dated, and it is shown from ``shown_at`` on; both are
    Unix seconds. It has a billing id from ``settled_at`` on.
    """

    key: str
    model: str
    cost: Decimal
    at: float
    shown_at: float
    request_id: str | None = None
    billing_id: str | None = None
    settled_at: float = 0.0
    #: Whether another program made the request.
    foreign: bool = False


@define(eq=False)
class Account:
    """The books. ``balance`` is what was paid in, in US dollars: None is more than can be spent."""

    balance: Decimal | None
    #: What an image costs whose price the contract does not know.
    price: Decimal
    records: list[UsageRecord] = field(factory=list)
    #: What all charges cost together.
    spent: Decimal = Decimal(0)
    _keys: dict[str, str] = field(factory=dict)
    _lock: threading.Lock = field(factory=threading.Lock, repr=False)

    def __attrs_post_init__(self) -> None:
        self.key_id(KEY)

    def key_id(self, key: str) -> str:
        """Return what the management routes call a key. Keys are counted as they are first used."""
        with self._lock:
            return self._keys.setdefault(key, f"key_{len(self._keys) + 1}")

    def charge(self, record: UsageRecord) -> None:
        """Write down a charge. Raises Refusal, with the documented 402, if the balance does not cover it."""
        self.key_id(record.key)
        with self._lock:
            left = None if self.balance is None else self.balance - self.spent
            if left is not None and record.cost > left and not record.foreign:
                raise Refusal(_no_money(left, record.cost))
            self.spent += record.cost
            self.records.append(record)

    def foreign(self, key: str, model: str, now: float, *, cost: Decimal | None = None) -> None:
        """Write down a charge of another program that uses the same key."""
        number = len(self.records) + 1
        ids = (f"req_foreign_{number}", f"txn_foreign_{number}")
        self.charge(UsageRecord(key, model, self.price if cost is None else cost, now, now, *ids, foreign=True))

    def answer(self, operation: Operation, params: Mapping[str, str], query: Mapping[str, str], now: float) -> Response:
        """Answer one of the management routes. Raises Refusal."""
        if operation.id == BALANCE:
            return reply(self._left(operation))
        limit, number = int(query.get(USAGE.limit, USUAL)), int(query.get(USAGE.page, 1))
        shown = operation.example("200")
        if operation.id == KEYS:
            return reply(_page(USAGE.key.entries, [self._key(shown, key) for key in self._keys], number, limit))
        key = next((key for key, name in self._keys.items() if name in params.values()), None)
        if key is None:
            raise Refusal(reply(operation.example("404"), 404))
        found = list(self._found(key, query, now))
        body = _page(USAGE.entries, [_record(shown, one, now) for one in found], number, limit)
        _put(body, USAGE.sum, sum((one.cost for one in found), Decimal(0)), shown)
        return reply(body)

    def _left(self, operation: Operation) -> Any:
        body = deepcopy(operation.example("200"))
        if self.balance is not None:
            amounts = {"left": self.balance - self.spent, "added": self.balance, "used": self.spent}
            for name, amount in amounts.items():
                _put(body, getattr(USAGE.balance, name), amount, body)
        return body

    def _key(self, shown: Any, key: str) -> Any:
        entry: dict[str, Any] = deepcopy(next(iter(_get(shown, USAGE.key.entries)), {}))
        name = self._keys[key]
        told = {"id": name, "shown": f"{key[:SHOWN]}...", "name": f"Key {name.rpartition('_')[2]}"}
        for what, text in told.items():
            _put(entry, getattr(USAGE.key, what), text)
        return entry

    def _found(self, key: str, query: Mapping[str, str], now: float) -> Iterator[UsageRecord]:
        """Yield the records that are asked for, the newest first: no page says in which order."""
        since = _moment(query.get(USAGE.since), USAGE.since, late=False)
        until = _moment(query.get(USAGE.until), USAGE.until, late=True)
        if since is not None and until is not None and since > until:
            raise Refusal(refuse(400, f"{USAGE.since} is after {USAGE.until}", code="invalid_value", param=USAGE.since))
        model, scene = (query.get(paths[0][-1]) for paths in (USAGE.record.model, USAGE.record.scene))
        for one in sorted(self.records, key=lambda one: -one.at):
            at = _whole(one.at)
            if (
                one.key == key
                and one.shown_at <= now
                and (since is None or since <= at)
                and (until is None or at <= until)
                and model in (None, one.model)
                and scene in (None, USAGE.scene)
            ):
                yield one


def _record(shown: Any, one: UsageRecord, now: float) -> Any:
    entry: dict[str, Any] = deepcopy(next(iter(_get(shown, USAGE.entries)), {}))
    told = {
        "request_id": one.request_id,
        "billing_id": one.billing_id if one.settled_at <= now else None,
        "model": one.model,
        "scene": USAGE.scene,
        "at": _whole(one.at).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "cost": one.cost,
    }
    for name, value in told.items():
        _put(entry, getattr(USAGE.record, name), value, entry)
    return entry


def _page(entries: Paths, found: Sequence[Any], number: int, limit: int) -> dict[str, Any]:
    first = (number - 1) * limit
    body: dict[str, Any] = {}
    _put(body, entries[:1], found[first : first + limit])
    for paths, value in (
        (USAGE.last[:1], -(-len(found) // limit)),
        (USAGE.total[:1], len(found)),
        (((*USAGE.last[0][:-1], USAGE.page),), number),
        (((*USAGE.last[0][:-1], USAGE.limit),), limit),
    ):
        _put(body, paths, value)
    return body


def _get(body: Any, paths: Paths) -> Any:
    for key in paths[0]:
        body = body[key]
    return body


def _put(body: dict[str, Any], paths: Paths, value: Any, like: Any = None) -> None:
    """Put a value where the contract has it: an amount as text or as number, as in the documented example."""
    for path in paths:
        inner, example = body, like
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
            example = example.get(key, {}) if isinstance(example, dict) else {}
        if isinstance(value, Decimal):
            text = not isinstance((example or {}).get(path[-1]), int | float)
            inner[path[-1]] = f"{value:f}" if text else float(value)
        else:
            inner[path[-1]] = value


def _whole(at: float) -> datetime:
    """Return a time as records show it: to the millisecond."""
    return datetime.fromtimestamp(round(at, 3), UTC)


def _moment(text: str | None, name: str, *, late: bool) -> datetime | None:
    """Read a bound. A day counts whole; a time needs its zone."""
    if text is None:
        return None
    try:
        if len(text) == len("2026-01-31"):
            day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            return day + timedelta(days=1, milliseconds=-1) if late else day
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment
    except ValueError:
        pass
    raise Refusal(
        refuse(400, f"{name} is no day, and no time with its zone", code="invalid_value", param=name)
    ) from None


def _no_money(left: Decimal, cost: Decimal) -> Response:
    return refuse(
        402, "Your balance does not cover this request", "insufficient_balance", code_of(402, "money"),
        balance_usd=float(left), estimated_cost_usd=float(cost),
    )  # fmt: skip
