"""How much a run may send: so many images, and so many US dollars, in all runs of its batch together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any, Final, NamedTuple, Protocol

from attrs import define

from lemon_ext._words import count
from lemon_ext.money import Budget, quote


class Asked(Protocol):
    """What a row asks for."""

    @property
    def request(self) -> Mapping[str, Any]: ...
    @property
    def images(self) -> int: ...


class Wanted(Asked, Protocol):
    """A row that is to be sent."""

    @property
    def row(self) -> int: ...


class Spent(NamedTuple):
    """What was asked for in requests that were, or may have been, accepted: images, and US dollars."""

    images: int = 0
    usd: Decimal = Decimal(0)


def price(wanted: Asked) -> Decimal | None:
    """Return what a row will cost, None where that is not known."""
    return quote(wanted.request, wanted.images).usd


def weight(tries: int, before: Asked, after: Asked) -> int:
    """Return as how many tries of a row that was mended those before count: no less than they were, in images and in
    money. What is counted is what the row asks for now.
    """
    was, now = price(before), price(after)
    images = Fraction(before.images, after.images)
    return ceil(tries * max(images, Fraction(was) / Fraction(now) if was and now else images))


@define
class Limits:
    """The limits of a run. It counts what was sent before, and what it lets pass, for the one process that sends."""

    max_images: int | None = None
    budget: Budget | None = None
    images: int = 0

    @property
    def are_set(self) -> bool:
        """Whether there is any."""
        return self.max_images is not None or self.budget is not None

    def take(self, wanted: Wanted) -> str | None:
        """Count a row as sent. Where a limit leaves no room for it, nothing is counted: return the reason."""
        if self.max_images is not None and self.images + wanted.images > self.max_images:
            return f"the next row would exceed {count(self.max_images, 'image')}"
        if self.budget is not None and not self.budget.reserve(wanted.row, cost := price(wanted)):
            return self.budget.refusal(cost)
        self.images += wanted.images
        return None

    def never(self, wanted: Asked) -> str | None:
        """Return why there is no room for a row, however little is spent: its price has to be known, and is not."""
        if self.budget is None or self.budget.allow_unknown or price(wanted) is not None:
            return None
        return f"a budget needs prices, and none is known of {wanted.request.get('model')}"

    def give_back(self, wanted: Wanted) -> None:
        """Count a row as one that was certainly not accepted."""
        self.images -= wanted.images
        if self.budget is not None:
            self.budget.release(wanted.row)

    def settle(self, row: Hashable, cost: Decimal) -> None:
        """Count what a row really cost."""
        if self.budget is not None:
            self.budget.settle(row, cost)


class SharedLimits(Limits):
    """The limits of a run that is one of several: a database counts for all, and decides about a row as it is claimed
    (`CLAIM`). What this run may send is bound by its own numbers, and what is counted is everybody's.
    """

    def take(self, wanted: Wanted) -> str | None:
        """There is always room here."""
        return None

    def give_back(self, wanted: Wanted) -> None: ...

    def settle(self, row: Hashable, cost: Decimal) -> None: ...

    def reason(self, wanted: Wanted, spent: Spent) -> str | None:
        """Return why a row was not let pass with so much spent. None: it would be now."""
        self.images = spent.images
        if self.budget is not None:
            self.budget.spent = spent.usd
        return super().take(wanted)


_SENT: Final = "CASE WHEN {0}.status IN ('unsent', 'refused') THEN 0 ELSE 1 END"
_IMAGES: Final = f"{{0}}.images * ({{0}}.doubts + {_SENT})"
#: What cannot be a number counts as its price: a journal that cannot be written is worse.
_COST: Final = "CASE WHEN {0}.cost ~ '^[0-9]{{1,9}}([.][0-9]{{1,12}})?$' THEN {0}.cost::numeric ELSE {0}.price END"
_USD: Final = f"coalesce({{0}}.price, 0) * {{0}}.doubts + {_SENT} * coalesce({_COST}, 0)"


def _differ(amount: str) -> str:
    return f"({amount.format('new')}) IS DISTINCT FROM ({amount.format('old')})"


def _change(amount: str) -> str:
    return f"({amount.format('new')}) - ({amount.format('old')})"


#: What is spent is counted with each change of a row, whoever makes it. Each connection adds up what it changed, so
#: nobody waits for another. Rows that are there already are counted first.
TABLES: Final = f"""
CREATE TABLE spent (by INTEGER PRIMARY KEY, images BIGINT NOT NULL, usd NUMERIC NOT NULL);
INSERT INTO spent SELECT 0, coalesce(sum({_IMAGES.format("r")}), 0), coalesce(sum({_USD.format("r")}), 0) FROM rows r;
CREATE FUNCTION count_spent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO spent AS had VALUES (pg_backend_pid(), {_change(_IMAGES)}, {_change(_USD)})
    ON CONFLICT (by) DO UPDATE SET images = had.images + excluded.images, usd = had.usd + excluded.usd;
    RETURN NULL;
END $$;
CREATE TRIGGER count_spent AFTER UPDATE ON rows FOR EACH ROW
WHEN ({_differ(_IMAGES)} OR {_differ(_USD)}) EXECUTE FUNCTION count_spent();
CREATE FUNCTION claim(_row BIGINT, _owner TEXT, _at FLOAT8, _price NUMERIC, _images BIGINT, _usd NUMERIC)
RETURNS SETOF BIGINT LANGUAGE plpgsql AS $$
BEGIN
    -- One at a time of those that have limits, until the end of the transaction: each sees what the others have spent.
    PERFORM pg_advisory_xact_lock(hashtextextended(current_schema() || ' limits', 0));
    RETURN QUERY
    UPDATE rows SET status = 'submitting', submitted_at = _at, error = NULL, price = _price
    WHERE row = _row AND owner = _owner AND ((status = 'submitting' AND submitted_at = _at) OR (
        status = 'unsent' AND NOT EXISTS (
            SELECT FROM spent HAVING sum(spent.images) + rows.images > _images
            OR sum(spent.usd) + coalesce(_price, 0) > _usd)
    )) RETURNING rows.row;
END $$;
"""  # noqa: S608 - constants
SPENT: Final = "SELECT sum(images)::bigint AS images, sum(usd) AS usd FROM spent"
#: Changes nothing if the row is not the owner's to send, or if it would exceed the limits.
CLAIM: Final = "SELECT * FROM claim(?, ?, ?, ?, ?, ?)"
