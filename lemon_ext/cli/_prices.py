"""What things cost, in words: a price with its source and age, and the sum of what is to be sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lemon_ext._words import count

if TYPE_CHECKING:
    from lemon_client.money_table import Price

    from lemon_ext.money import Budget, Estimate


def told(price: Price) -> str:
    """Say what a price is."""
    if price.usd is None:
        return f"unknown: billed by {price.per}s"
    return f"{'about ' if price.about else ''}${price.usd} per {price.per}"


def where(price: Price) -> str:
    """Say for which requests a price holds."""
    return ", ".join(f"{name} {' or '.join(map(str, values))}" for name, values in price.when.items())


def origin(price: Price) -> str:
    """Say which page names a price, when that was published, and how long ago that is."""
    from datetime import UTC, datetime

    from lemon_ext import _clock

    now = datetime.fromtimestamp(_clock.wall(), UTC)
    year, month = (int(part) for part in price.date.split("-")[:2])
    months = max((now.year - year) * 12 + now.month - month, 0)
    return f"{price.source}, {price.date}, {count(months, 'month')} ago"


def to_dict(price: Price) -> dict[str, Any]:
    """Return the JSON of a price."""
    return {**price._asdict(), "when": {name: list(values) for name, values in price.when.items()}}


def cost(estimate: Estimate) -> dict[str, Any]:
    """Return the JSON of what requests will cost together."""
    known = {"usd": f"{estimate.usd:f}" if estimate.known else None, "about": estimate.about}
    return {**known, "unknown": estimate.unknown, "unknown_models": sorted(estimate.models)}


def cover(budget: Budget | None, planned: Estimate) -> dict[str, Any]:
    """Return the JSON of whether a budget covers what is planned, beside what is spent of it."""
    if budget is None:
        return {}
    known = {"usd": f"{budget.limit:f}", "spent": f"{budget.spent:f}"}
    return {"budget": {**known, "covers": is_covered(budget, planned)}}


def is_covered(budget: Budget | None, planned: Estimate) -> bool:
    """Tell whether a budget covers what is planned, beside what is spent of it, as far as prices are known."""
    return budget is None or budget.spent + planned.usd <= budget.limit


def covered(budget: Budget, planned: Estimate) -> str:
    """Say whether a budget covers what is planned, beside what is spent of it."""
    from lemon_ext._amount import dollars

    left = budget.limit - budget.spent - planned.usd
    known = f", of which {dollars(budget.spent)} is spent," if budget.spent else ""
    what = "what has a known price" if planned.unknown else "it"
    lead = f"The budget of {dollars(budget.limit)}{known}"
    if left >= 0:
        return f"{lead} covers {what}, and leaves {dollars(left)}."
    return f"{lead} does not cover {what}: {dollars(-left)} is missing. What it does not cover would not be sent."


def lines(estimate: Estimate, models: Iterable[str]) -> list[str]:
    """Say what requests to these models will cost together, and what that rests on."""
    from lemon_ext.money import prices

    said = [f"The cost is {estimate}."]
    for model in models:
        for price in prices(model):
            condition = f" for {where(price)}" if price.when else ""
            said.append(f"  {model}: {told(price)}{condition} ({origin(price)})")
    return said
