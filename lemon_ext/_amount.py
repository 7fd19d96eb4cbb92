"""Amounts of money: exact decimals, never floats."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

_CENT = Decimal("0.01")


def amount(value: object) -> Decimal | None:
    """Return an exact amount, or None for what is none: below zero, no number, or beyond all sense (0E+999999999)."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        exact = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):
        return None
    exponent = exact.as_tuple().exponent
    return exact if isinstance(exponent, int) and abs(exponent) <= 12 and 0 <= exact < 10**9 else None


def as_json(exact: Decimal | None) -> str | None:
    """Return an amount as it stands in JSON and in a journal."""
    return None if exact is None else f"{exact:f}"


def dollars(exact: Decimal) -> str:
    """Return an amount as people write it, with all that is behind the point."""
    return f"${exact:,.2f}" if exact == exact.quantize(_CENT) else f"${exact.normalize():,f}"
