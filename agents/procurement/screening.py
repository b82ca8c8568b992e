"""What both risk screens share: how much they look at.

A screen first looks at the largest awards, up to two thirds of the value in each currency: most
releases have one award, and then that is all of them. A caller who wants the small ones too refuses
the result and says which were left out; the next attempt reads the reason and looks at every one.
Its journal still has the first pass as paid, so it pays for the rest only.
"""

from __future__ import annotations

from decimal import Decimal

from agents.procurement.domain.coverage import everything, first_pass, subjects
from agents.procurement.dossier import Dossier
from agents.procurement.models import Skipped

BASE_USD = Decimal("0.01")
"""What a screen costs, whatever it looks at."""


def to_cover(dossier: Dossier, refusal: str) -> frozenset[str]:
    """Return what to look at: the largest awards, or all once a refusal names one of them."""
    named = refusal.replace(",", " ").split()
    if any(subject.at in named for subject in subjects(dossier)):
        return everything(dossier)
    return first_pass(dossier)


def left_out(dossier: Dossier, covered: frozenset[str]) -> tuple[Skipped, ...]:
    """Return what was not looked at, with the reason."""
    because = "a small award; a first pass looks at the largest, up to two thirds of the value"
    return tuple(
        Skipped(at=subject.at, because=because)
        for subject in subjects(dossier)
        if subject.at not in covered
    )
