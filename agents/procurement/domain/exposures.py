"""Exposure: what was recommended to be awarded, by supplier and currency, each award once.

An amount stands under the name of its award, so what is counted again, for a repeated release or by
whoever goes on for a dead worker, changes nothing, and the sum is the same in any order. Where two
releases give one award different amounts, the larger counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING

from agents.procurement.domain.amounts import EXACT
from agents.procurement.dossier import Dossier, Money
from agents.procurement.models import Supplier

Exposure = dict[str, int]
"""Hundredths of a currency by award."""
MAX_HUNDREDTHS = 2**53 - 1
"""Above that JSON's readers disagree about digits; it is 90 trillion, in any currency."""


def exposures(dossier: Dossier, suppliers: Iterable[Supplier]) -> dict[tuple[str, str], Exposure]:
    """Return what the awards of a dossier add, by supplier's key and currency.

    An award to several counts for each of them in full: nobody published who owes what part. One
    without an amount, or to nobody who could be recognised, adds nothing.
    """
    key_of = {at: supplier.key for supplier in suppliers for at in supplier.mentions}
    found: dict[tuple[str, str], Exposure] = {}
    for award in dossier.distinct_awards():
        amount = hundredths(award.value)
        for party in award.suppliers if amount else ():
            key = key_of.get(party.at)
            if key and award.value:
                own = found.setdefault((key, award.value.currency), {})
                name = f"{dossier.ocid} {award.id or award.at}"
                own[name] = max(amount, own.get(name, 0))
    return found


def hundredths(value: Money | None) -> int:
    """Return an amount in hundredths, rounded up; 0 for what cannot be counted."""
    if value is None or value.amount <= 0:
        return 0
    exact = EXACT.multiply(value.amount, 100).to_integral_value(ROUND_CEILING)
    return int(exact) if exact <= MAX_HUNDREDTHS else 0


def joined(known: Mapping[str, int] | None, own: Mapping[str, int]) -> Exposure:
    """Return an exposure with more awards in it, of each award the larger amount."""
    both = dict(known or {})
    for award, amount in own.items():
        both[award] = max(amount, both.get(award, 0))
    return both
