"""Planning a review from what the release contains: what is done, and what is left out and why."""

from __future__ import annotations

from typing import NamedTuple

from agents.procurement.domain.comparables import price_points
from agents.procurement.domain.contracts import parties_to_compare
from agents.procurement.domain.coverage import subjects
from agents.procurement.domain.finances import totals
from agents.procurement.dossier import Dossier
from agents.procurement.models import PricePoint, Skipped, Step


class Plan(NamedTuple):
    """The steps of an investigation, with the places in the release that call for each."""

    steps: tuple[Step, ...]
    evidence: tuple[str, ...]
    left_out: tuple[Skipped, ...]

    def told(self) -> str:
        """Return the plan in words."""
        done = ", ".join(self.steps) or "nothing"
        dropped = "; ".join(skipped.because for skipped in self.left_out)
        return f"{done}; left out: {dropped}" if dropped else done


def make_plan(dossier: Dossier, reference: tuple[PricePoint, ...]) -> Plan:
    """Return what to look into in `dossier`."""
    base = dossier.base
    called = [dossier.tender.at] if dossier.tender else []
    places = {
        Step.SUPPLIERS: [] if subjects(dossier) else [p.at for p in parties_to_compare(dossier)],
        Step.SCREEN: [*called, *(subject.at for subject in subjects(dossier))],
        Step.COMPARABLES: [point.at for point in price_points(dossier)] if reference else [],
        Step.CONTRACTS: [subject.at for subject in subjects(dossier)],
        Step.FINANCE: [part for entry in totals(dossier) for part in entry.parts],
    }
    lacking = {
        Step.SUPPLIERS: "no tenderer is named",
        Step.SCREEN: "neither a call nor an award is published",
        Step.COMPARABLES: "no amount has a class that others share",
        Step.CONTRACTS: "nothing was awarded yet, so there is no contract to hold against it",
        Step.FINANCE: "no amount with a currency is published",
    }
    if not reference:
        lacking[Step.COMPARABLES] = "no reference of other releases was given"
    if subjects(dossier):
        # Whoever verifies the contracts asks who is who; asking twice would be paid twice.
        del lacking[Step.SUPPLIERS]
    return Plan(
        steps=tuple(step for step, found in places.items() if found),
        evidence=tuple(dict.fromkeys(at for found in places.values() for at in found)) or (base,),
        left_out=tuple(
            Skipped(at=base, because=because)
            for step, because in lacking.items()
            if not places[step]
        ),
    )
