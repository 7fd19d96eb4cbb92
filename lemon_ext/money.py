"""What requests cost before they are sent, and a budget that they keep to.

Prices are the contract's (``x-lemon-prices``): what a page has published, with its source and date. All amounts are
exact decimals, in US dollars. Where no price is published it is unknown, never zero.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from attrs import define, field, frozen
from lemon_client.money_table import PRICES, Price

from ._amount import amount, dollars
from ._inputs import OPERATION
from .capabilities import capabilities, key_of
from .errors import BudgetError

__all__ = ("Budget", "Estimate", "Quote", "prices", "quote")


@frozen
class Quote:
    """What one request will cost: ``usd``, None where that is not known. ``price`` is what it was read from."""

    usd: Decimal | None
    price: Price | None = None

    def __str__(self) -> str:
        if self.usd is not None and self.price is not None:
            return f"{'about ' if self.price.about else ''}{dollars(self.usd)}"
        return "unknown" if self.price is None else f"unknown (billed by {self.price.per}s)"


def prices(model: str) -> tuple[Price, ...]:
    """Return what is published of a model's price: its own, or that of the longest pattern that fits."""
    key = key_of(model, PRICES)
    return () if key is None else PRICES[key]


def quote(request: Mapping[str, Any], images: int = 1) -> Quote:
    """Return what a request for so many images will cost. What it leaves out is what the server uses.

    The published prices are those of generations: what an edit costs is not known.
    """
    model = request.get("model") if OPERATION not in request else None
    for price, defaults in _known(model) if isinstance(model, str) else ():
        given = (request.get(name) if request.get(name) is not None else defaults.get(name) for name in price.when)
        if all(value in allowed for value, allowed in zip(given, price.when.values(), strict=True)):
            return Quote(None if price.usd is None else Decimal(price.usd) * images, price)
    return Quote(None)


@lru_cache(256)  # a batch asks it of the same few names again and again
def _known(model: str) -> tuple[tuple[Price, Mapping[str, Any]], ...]:
    rules = capabilities(model).parameters
    defaults = {name: rule["default"] for name, rule in rules.items() if rule is not False and "default" in rule}
    return tuple((price, defaults) for price in prices(model))


@define
class Estimate:
    """What several requests will cost together: ``usd`` for those whose price is known, ``unknown`` are the others.

    ``least`` is the cheapest of them. ``about``: a page rounds one of the prices.
    """

    usd: Decimal = Decimal(0)
    least: Decimal | None = None
    about: bool = False
    known: int = 0
    unknown: int = 0
    #: Of the requests without a known price.
    models: set[str] = field(factory=set)

    def add(self, request: Mapping[str, Any], images: int) -> None:
        """Count a request."""
        found = quote(request, images)
        if found.usd is None or found.price is None:
            self.unknown += 1
            self.models.add(str(request.get("model")))
            return
        self.usd, self.known = self.usd + found.usd, self.known + 1
        self.least = found.usd if self.least is None else min(self.least, found.usd)
        self.about = self.about or found.price.about

    def __str__(self) -> str:
        if not self.unknown:
            return f"{'about ' if self.about else ''}{dollars(self.usd)}"
        what = f"no price is known of {', '.join(sorted(self.models)[:5])}{' and others' if self.models_left else ''}"
        return f"at least {dollars(self.usd)}: {what}" if self.known else f"unknown: {what}"

    @property
    def models_left(self) -> bool:
        """Whether there are more models without a price than a message names."""
        return len(self.models) > 5


class Budget:
    """An amount that is not exceeded: reserve before a request is sent, then settle or release. Safe between threads.

    What is reserved counts as spent until it is released, so a request whose answer was lost stays spent. Raises
    BudgetError for what is no amount.
    """

    def __init__(self, limit: object, *, allow_unknown: bool = False) -> None:
        exact = amount(limit)
        if exact is None:
            raise BudgetError(
                f"A budget is an amount in US dollars, zero or more, for example 2.50, and not {limit!r}. "
                "Nothing was sent."
            )
        self.limit, self.allow_unknown, self.spent = exact, allow_unknown, Decimal(0)
        self._reserved: dict[Hashable, Decimal] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, limit: object, allow_unknown: bool) -> Budget | None:
        """Make one of what a user gave; None is no budget."""
        return None if limit is None else cls(limit, allow_unknown=allow_unknown)

    def check(self, planned: Estimate, *, whole: bool = False) -> None:
        """Raise BudgetError if nothing of what is planned fits (``whole``: not all), or a price is not known."""
        if planned.unknown and not self.allow_unknown:
            raise BudgetError(
                f"A budget needs prices, and what this costs is {planned}. Nothing was sent. To count as nothing what "
                "is not known: --allow-unknown-price, or allow_unknown_price=True."
            )
        if planned.least is not None and planned.least > self.limit:
            raise BudgetError(
                f"The budget of {dollars(self.limit)} does not cover the cheapest request, which costs "
                f"{dollars(planned.least)}. Nothing was sent."
            )
        if whole and planned.usd > self.limit:
            raise BudgetError(
                f"The {planned.known} requests cost {dollars(planned.usd)} together, and the budget is "
                f"{dollars(self.limit)}. Nothing was sent."
            )

    def commit(self, key: Hashable, usd: Decimal) -> None:
        """Count what was spent before, also beyond the limit."""
        with self._lock:
            self.spent += usd - self._reserved.get(key, Decimal(0))
            self._reserved[key] = usd

    def reserve(self, key: Hashable, usd: Decimal | None) -> bool:
        """Set aside what a request costs (None: not known, nothing). False if that would exceed the budget."""
        with self._lock:
            cost = usd or Decimal(0)
            if self.spent + cost > self.limit or (usd is None and not self.allow_unknown):
                return False
            self.spent += cost
            self._reserved[key] = cost
            return True

    def release(self, key: Hashable) -> None:
        """Give back what was set aside: the request was certainly not accepted."""
        with self._lock:
            self.spent -= self._reserved.pop(key, Decimal(0))

    def settle(self, key: Hashable, cost: Decimal) -> None:
        """Put what a request really cost in the place of what was set aside."""
        if key in self._reserved:
            self.commit(key, cost)

    def refusal(self, usd: Decimal | None) -> str:
        """Say why a request is not sent."""
        cost = "something unknown" if usd is None else dollars(usd)
        return (
            f"the next request costs {cost}, and {dollars(self.spent)} of the budget of {dollars(self.limit)} is spent"
        )
