# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
"""The account's usage records, as the contract tells of them: how to read them, and which field says what."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

#: Fields in order of preference, each as the keys that lead to it from the outside to the inside.
Paths: TypeAlias = tuple[tuple[str, ...], ...]


class KeyFields(NamedTuple):
    """Which field of a key says what."""

    entries: Paths
    """Where the list of keys is."""
    id: Paths
    """Names the key."""
    shown: Paths
    """Is the key, shortened."""
    name: Paths
    """Is what people call it."""


class RecordFields(NamedTuple):
    """Which field of a record says what."""

    request_id: Paths
    """Is what the API calls the request."""
    billing_id: Paths
    """Is what it calls the charge."""
    model: Paths
    """Is the model that was asked for."""
    scene: Paths
    """Is what kind of request it was."""
    at: Paths
    """Is when the record was made."""
    cost: Paths
    """Is what it cost; the exact amount first."""
    currency: Paths
    """Is in which currency."""


class BalanceFields(NamedTuple):
    """Which field of a balance says what."""

    left: Paths
    """Is what is left."""
    added: Paths
    """Is what was paid in."""
    used: Paths
    """Is what was spent."""


class Usage(NamedTuple):
    """How the records are read. A page is chosen by `page` and `limit`, which is `most` at most."""

    page: str
    limit: str
    most: int
    last: Paths
    total: Paths
    since: str
    """The parameter of the first moment."""
    until: str
    """The parameter of the last moment."""
    entries: Paths
    """Where the records of a page are."""
    sum: Paths
    """Is what all records cost together."""
    key: KeyFields
    record: RecordFields
    balance: BalanceFields
    scene: str
    """What the records of images call themselves."""
    token: str
    """How a token begins that may read them."""
    keys_begin: tuple[str, ...]
    """How keys begin that may not."""


USAGE: Final = Usage(
    page="page",
    limit="limit",
    most=100,
    last=(("pagination", "totalPages"),),
    total=(("pagination", "total"),),
    since="startDate",
    until="endDate",
    entries=(("items",),),
    sum=(("summary", "total_cost_decimal"), ("summary", "total_cost")),
    key=KeyFields(entries=(("data",),), id=(("id",),), shown=(("key_prefix",),), name=(("name",),)),
    record=RecordFields(
        request_id=(("request_id",),),
        billing_id=(("billing_transaction_id",),),
        model=(("model",), ("logical_model",)),
        scene=(("scene",),),
        at=(("created_at",),),
        cost=(("cost_decimal",), ("cost",)),
        currency=(("currency",),),
    ),
    balance=BalanceFields(
        left=(("balance_decimal",), ("balance",)),
        added=(("total_recharge_decimal",), ("total_recharge",)),
        used=(("total_used_decimal",), ("total_used",)),
    ),
    scene="image",
    token="mt-",
    keys_begin=("sk-",),
)
