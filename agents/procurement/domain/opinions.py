"""Whom to ask after the first screen, and putting together what came back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agents.procurement.capabilities import PRICES, RED_FLAGS
from agents.procurement.dossier import Dossier, Finding
from agents.procurement.models import (
    Comparables,
    ContractReview,
    Diligence,
    FinanceReview,
    Gap,
    Resolution,
    Screening,
    Supplier,
)


class SecondOpinion(NamedTuple):
    """The rival to ask by name, and what the first screen's method cannot see."""

    agent: str
    because: str


def second_opinion(
    first: Screening, dossier: Dossier, comparables: Comparables
) -> SecondOpinion | None:
    """Return whom to ask as well; None where the rival could add nothing."""
    if first.agent == PRICES:
        if dossier.tender is None and not dossier.bids:
            return None
        return SecondOpinion(RED_FLAGS, "prices say nothing about the procedure")
    usable = sum(comparison.enough for comparison in comparables.comparisons)
    if not usable:
        return None
    return SecondOpinion(PRICES, f"{usable} prices have enough comparables in other processes")


def bring_together(
    resolution: Resolution | Gap | None,
    screenings: Sequence[Screening] | Gap | None,
    contracts: ContractReview | Gap | None,
    finance: FinanceReview | Gap | None,
) -> Diligence:
    """Return all results in one, with the gaps where there is none."""
    results = (resolution, screenings, contracts, finance)
    screened = () if screenings is None or isinstance(screenings, Gap) else tuple(screenings)
    resolved = resolution if isinstance(resolution, Resolution) else None
    reviewed = contracts if isinstance(contracts, ContractReview) else None
    audited = finance if isinstance(finance, FinanceReview) else None
    findings: list[Finding] = [f for screening in screened for f in screening.findings]
    for result in (reviewed, audited, resolved):
        findings += result.findings if result else ()
    return Diligence(
        suppliers=(*(resolved.suppliers if resolved else ()), *_known(reviewed)),
        screenings=screened,
        contracts=reviewed,
        finance=audited,
        findings=tuple(findings),
        gaps=tuple(result for result in results if isinstance(result, Gap)),
    )


def _known(reviewed: ContractReview | None) -> tuple[Supplier, ...]:
    return reviewed.suppliers if reviewed else ()
