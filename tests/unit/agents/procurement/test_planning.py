"""The plan follows from what the release contains."""

from __future__ import annotations

from typing import Any

from agents.procurement.domain.comparables import price_points
from agents.procurement.domain.normalise import normalise
from agents.procurement.domain.planning import make_plan
from agents.procurement.domain.pointers import dangling
from agents.procurement.models import Step
from tests.unit.agents.procurement.build import document, dossier

REFERENCE = price_points(dossier())


def steps(spoil: Any = None) -> tuple[Step, ...]:
    return make_plan(dossier(spoil), REFERENCE).steps


def test_a_contract_is_looked_into_from_all_sides() -> None:
    assert steps() == (Step.SCREEN, Step.COMPARABLES, Step.CONTRACTS, Step.FINANCE)


def test_before_the_award_suppliers_are_resolved_and_no_contract_is_verified() -> None:
    plan = make_plan(dossier(lambda r: r.update(awards=[], contracts=[])), REFERENCE)
    assert plan.steps == (Step.SUPPLIERS, Step.SCREEN, Step.COMPARABLES, Step.FINANCE)
    assert [s.because for s in plan.left_out] == [
        "nothing was awarded yet, so there is no contract to hold against it"
    ]


def test_nothing_is_planned_for_nothing() -> None:
    plan = make_plan(normalise({}), ())
    assert plan.steps == ()
    assert plan.evidence == ("",)
    assert len(plan.left_out) == len(Step)
    assert plan.told().startswith("nothing; left out: no tenderer is named; ")


def test_without_a_reference_no_prices_are_compared() -> None:
    plan = make_plan(dossier(), ())
    assert Step.COMPARABLES not in plan.steps
    assert "no reference of other releases was given" in plan.told()


def test_the_places_that_call_for_a_step_stand_in_the_release() -> None:
    plan = make_plan(dossier(), REFERENCE)
    assert dangling(document(), plan.evidence) == []
    assert "/awards/0/value" in plan.evidence
