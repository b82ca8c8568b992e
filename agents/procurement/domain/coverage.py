"""Which awards and contracts a screen has to look at, and which a first, cheap pass takes."""

from __future__ import annotations

from decimal import Decimal

from agents.procurement.domain.amounts import by_currency, total
from agents.procurement.dossier import Award, Contract, Dossier

FIRST_PASS_SHARE = Decimal(2) / 3
"""Of the value awarded in each currency: what a first pass looks at, the largest awards first."""


def subjects(dossier: Dossier) -> tuple[Award | Contract, ...]:
    """Return what a screen is to cover: the awards, or the contracts where none are published."""
    return dossier.awards or dossier.contracts


def first_pass(dossier: Dossier) -> frozenset[str]:
    """Return the pointers of the largest subjects, up to two thirds of the value.

    Subjects without an amount, void ones and repetitions cost nothing to look at: all are taken.
    """
    awarded = {s.at: s.value for s in subjects(dossier) if s.value and s.duplicate_of is None}
    taken = {s.at for s in subjects(dossier) if s.at not in awarded}
    owner = {value.at: at for at, value in awarded.items()}
    for values in by_currency(awarded.values()).values():
        goal = total(value.amount for value in values) * FIRST_PASS_SHARE
        reached = Decimal(0)
        for value in sorted(values, key=lambda value: (-value.amount, value.at)):
            if reached >= goal and reached > 0:
                break
            taken.add(owner[value.at])
            reached += value.amount
    return frozenset(taken)


def everything(dossier: Dossier) -> frozenset[str]:
    """Return the pointers of all subjects."""
    return frozenset(subject.at for subject in subjects(dossier))
