"""Exact sums and shares. Nothing here converts between currencies."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal

from agents.procurement.dossier import Money

EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
"""Sums of amounts below 10**18 with up to 30 digits after the point stay exact."""


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Return the exact sum."""
    result = Decimal(0)
    for amount in amounts:
        result = EXACT.add(result, amount)
    return result


def by_currency(values: Iterable[Money]) -> dict[str, list[Money]]:
    """Return `values` by currency, in the order in which the currencies come up."""
    groups: dict[str, list[Money]] = {}
    for value in values:
        groups.setdefault(value.currency, []).append(value)
    return groups


def percent_above(amount: Decimal, base: Decimal) -> Decimal:
    """Return by how many percent `amount` exceeds `base` (below: negative), to one digit."""
    share = EXACT.divide(EXACT.multiply(amount - base, Decimal(100)), base)
    return share.quantize(Decimal("0.1"), context=EXACT)


def shown(value: Money) -> str:
    """Return the amount as people write it: `1,234,567.89 MXN`."""
    return f"{figure(value.amount)} {value.currency}"


def figure(amount: Decimal) -> str:
    """Return the exact digits in groups of three, without the zeros that say nothing."""
    return f"{amount.normalize(EXACT):,f}"
