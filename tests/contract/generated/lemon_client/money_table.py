# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
"""Money, as the contract tells it: what an answer says of its bill, and what is published of prices."""

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

    request_id: Told
    """What to name when asking the vendor about the request."""
    billing_id: Told
    """What the account's usage records call the charge."""
    cost: Told
    """What it cost, in the currency of the prices."""


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


BILLING: Final = BillingFields(
    request_id=Told(("x-request-id",), (("request_id",),)),
    billing_id=Told(("x-billing-transaction-id",), (("billing_transaction_id",),)),
    cost=Told((), (("cost_decimal",), ("cost",))),
)

#: In US dollars. A name with `*` is a family; of several prices, the first that fits counts.
PRICES: Final[Mapping[str, tuple[Price, ...]]] = MappingProxyType(
    {
        "dall-e-3": (
            Price(
                "image",
                "0.04",
                MappingProxyType({"size": ("1024x1024",), "quality": ("standard",)}),
                False,
                "E",
                "2026-01",
            ),
        ),
        "midjourney": (Price("request", "0.05", MappingProxyType({}), False, "E", "2026-01"),),
        "flux-*": (Price("token", None, MappingProxyType({}), False, "L", "2026-06"),),
        "flux-pro": (Price("request", "0.035", MappingProxyType({}), True, "E", "2026-01"),),
        "stable-diffusion-3": (
            Price("image", "0.02", MappingProxyType({"size": ("256x256", "512x512")}), False, "E", "2026-01"),
            Price("image", "0.03", MappingProxyType({}), False, "E", "2026-01"),
        ),
    }
)
