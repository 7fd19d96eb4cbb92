"""Money in the contract: what an answer says of its bill (`x-lemon-billing`), and prices (`x-lemon-prices`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from contract import GENERATION, Contract, Finding, hint, is_field_path, keys_of, place_of

BILLING, PRICES = "x-lemon-billing", "x-lemon-prices"
#: What an answer can say of its bill.
FIELDS = {
    "request_id": "What to name when asking the vendor about the request",
    "billing_id": "What the account's usage records call the charge",
    "cost": "What it cost, in the currency of the prices",
}
UNITS = ("image", "request", "token")
WORDS = ("per", "usd", "when", "about", "source", "date")

HEAD = '''"""Money, as the contract tells it: what an answer says of its bill, and what is published of prices."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

#: The keys that lead to a field, from the outside to the inside.
FieldPath: TypeAlias = tuple[str, ...]


class Told(NamedTuple):
    """Where an answer tells something, in order of preference: headers (in lower case), then fields of the body."""

    headers: tuple[str, ...]
    body: tuple[FieldPath, ...]


class BillingFields(NamedTuple):
    """What an answer can say of its bill."""

'''
PRICE = '''

class Price(NamedTuple):
    """A published price. `usd` is an exact decimal, None where none is published; `about`: the page rounds.

    It counts for a request in which each parameter of `when` has one of the values.
    """

    per: Literal["image", "request", "token"]
    usd: str | None
    when: Mapping[str, tuple[str | int | float | bool, ...]]
    about: bool
    source: str
    date: str


'''


def faults(contract: Contract, _: str = "") -> Iterator[Finding]:
    """Yield what is wrong with what the contract says of money."""
    for path, method, operation in contract.operations():
        if BILLING in operation:
            place = place_of(["paths", path, method, BILLING])
            yield from _billing(contract, place, operation)
    prices = contract.data.get(PRICES, {"currency": "USD", "models": {}})
    shaped = isinstance(prices, dict) and prices.keys() == {"currency", "models"} and isinstance(prices["models"], dict)
    if not shaped or prices["currency"] != "USD":
        yield Finding(PRICES, "is {currency: USD, models: {...}}: another currency is not understood")
        return
    for model, entries in prices["models"].items():
        at = place_of([PRICES, "models", model])
        if not isinstance(entries, list) or not entries:
            yield Finding(
                at, 'is a list of prices, for example [{per: image, usd: "0.04", source: E, date: "2026-01"}]'
            )
            continue
        for entry in entries:
            yield from (Finding(at, reason) for reason in _price(contract, entry))


def _billing(contract: Contract, place: str, operation: dict[str, Any]) -> Iterator[Finding]:
    given = operation[BILLING]
    sent = {
        name.lower()
        for status, answer in operation["responses"].items()
        if str(status).startswith("2")
        for name in contract.resolve(answer).get("headers", {})
    }
    for name, told in given.items() if isinstance(given, dict) else ():
        if name not in FIELDS:
            yield Finding(place_of([place, name]), hint(name, FIELDS))
        elif (
            not isinstance(told, dict)
            or not told.keys() <= {"headers", "body"}
            or not all(map(_is_list, told.values()))
        ):
            yield Finding(f"{place}.{name}", "is {headers: [...], body: [...]}: names of headers, and fields")
        else:
            for path in told.get("body", ()):
                if not is_field_path(path):
                    yield Finding(f"{place}.{name}", f"{path!r} is no field, such as cost or usage.cost")
            for header in told.get("headers", ()):
                if header.lower() not in sent:
                    yield Finding(f"{place}.{name}", f"no successful answer documents the header {header}")
    if not isinstance(given, dict):
        yield Finding(place, f"is a mapping of {', '.join(FIELDS)} to where they stand")


def _is_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) and one for one in value)


def _price(contract: Contract, entry: Any) -> Iterator[str]:
    if not isinstance(entry, dict) or not entry.keys() <= set(WORDS) or not {"per", "source", "date"} <= entry.keys():
        yield f"a price says per, source and date, and can say usd, when and about; not {entry!r}"
        return
    if entry["per"] not in UNITS:
        yield f"{entry['per']!r} is nothing to pay for: {', '.join(UNITS)}"
    if "usd" in entry and not _is_amount(entry["usd"]):
        yield f'usd is an exact amount in quotes, for example "0.04", not {entry["usd"]!r}'
    if "usd" not in entry and entry["per"] != "token":
        yield "usd is missing: only what is billed by tokens has no price of an image"
    if not isinstance(entry.get("about", False), bool):
        yield "about is true where the page rounds"
    if not re.fullmatch(r"\d{4}-\d\d(-\d\d)?", str(entry["date"])):
        yield f"{entry['date']!r} is no date: 2026-01, or 2026-01-31"
    yield from contract.unknown_sources(entry["source"])
    yield from _conditions(contract, entry.get("when", {}))


def _conditions(contract: Contract, when: object) -> Iterator[str]:
    if not isinstance(when, dict):
        yield f"when is a mapping of parameters to values, not {when!r}"
        return
    properties = contract.request_schema["properties"]
    for name, value in when.items():
        if name not in properties:
            yield f"when: the request schema has no parameter {name!r}"
        elif isinstance(value, dict) or value == []:
            yield f"when: {name}: give a value, or a list of some, not {value!r}"
        else:
            for one in _values(value):
                yield from (f"when: {name}: {error}" for error in contract.errors(one, properties[name]))


def _is_amount(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d{1,6}(\.\d{1,9})?", value) is not None and Decimal(value) > 0


def money_table(contract: Contract) -> str:
    """Return the module ``money_table``."""
    operation = next(one for _, _, one in contract.operations() if one["operationId"] == GENERATION)
    given = operation.get(BILLING, {})
    lines = [HEAD, *(f'    {name}: Told\n    """{what}."""\n' for name, what in FIELDS.items())]
    lines += [PRICE, "BILLING: Final = BillingFields(\n"]
    for name in FIELDS:
        told = given.get(name, {})
        headers = tuple(header.lower() for header in told.get("headers", ()))
        body = keys_of(told.get("body", ()))
        lines.append(f"    {name}=Told({headers!r}, {body!r}),\n")
    lines.append(
        ")\n\n#: In US dollars. A name with `*` is a family; of several prices, the first that fits counts.\n"
        "PRICES: Final[Mapping[str, tuple[Price, ...]]] = MappingProxyType({\n"
    )
    for model, entries in _prices(contract):
        lines.append(f"    {model!r}: ({''.join(f'{_literal(entry)}, ' for entry in entries)}),\n")
    return "".join([*lines, "})\n"])


def _prices(contract: Contract) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    yield from contract.data.get(PRICES, {"models": {}})["models"].items()


def _literal(entry: dict[str, Any]) -> str:
    values = {name: _values(value) for name, value in entry.get("when", {}).items()}
    when = f"MappingProxyType({values!r})"
    about = entry.get("about", False)
    return f"Price({entry['per']!r}, {entry.get('usd')!r}, {when}, {about!r}, {entry['source']!r}, {entry['date']!r})"


def _values(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


def prices_section(contract: Contract) -> str:
    """Return what docs/models.md says of prices."""
    lines = [
        "\n## Prices\n\n",
        "In US dollars, as far as a page says them. Any other model, and what is billed by tokens, has no known ",
        "price; docs/money.md says what follows from that.\n\n",
        "| model | price | where | source |\n| --- | --- | --- | --- |\n",
    ]
    entries = [(model, entry) for model, some in _prices(contract) for entry in some]
    for model, entry in entries:
        amount = f"{'about ' if entry.get('about') else ''}${entry.get('usd')}"
        conditions = (
            f"`{name}` is {' or '.join(f'`{one}`' for one in _values(value))}"
            for name, value in entry.get("when", {}).items()
        )
        said = f"{amount} per {entry['per']}" if "usd" in entry else "by tokens; not published"
        lines.append(f"| `{model}` | {said} | {', '.join(conditions) or '-'} | {entry['source']}, {entry['date']} |\n")
    return "".join(lines) if entries else ""
