"""What a supervisor refuses, and that the refusal tells the worker enough."""

from __future__ import annotations

from typing import Any

import pytest

from agents.procurement.domain import checks
from agents.procurement.domain.contracts import parties_to_compare
from agents.procurement.domain.finances import totals
from agents.procurement.domain.normalise import normalise
from agents.procurement.domain.resolution import resolve_suppliers
from agents.procurement.domain.verdict import assess
from agents.procurement.dossier import Missing, Severity, finding
from agents.procurement.models import (
    Assessment,
    AssessRequest,
    ContractReview,
    Decision,
    Diligence,
    FinanceReview,
    Gap,
    Screening,
    Step,
)
from tests.unit.agents.procurement.build import document, dossier, release

ASTRAY = finding("a-code", Severity.HIGH, "Astray.", "/awards/7")
SOUND = finding("a-code", Severity.HIGH, "Sound.", "/awards/0")


def several(r: dict[str, Any]) -> None:
    r["awards"] = [{**r["awards"][0], "id": f"a{n}"} for n in range(3)]


def test_a_dossier_must_hold_every_award_and_contract() -> None:
    check = checks.dossier_stands(document(several))
    read = dossier(several)
    assert check(read) is None
    short = read.model_copy(update={"awards": read.awards[:1], "contracts": ()})
    assert check(short) == "not read: /awards/1, /awards/2, /contracts/0"


def test_a_dossier_must_point_into_the_release() -> None:
    check = checks.dossier_stands(document(lambda r: r["tender"].pop("value")))
    assert check(dossier()) == "does not stand in the release: /tender/value"


def test_what_is_missing_need_not_stand() -> None:
    spoilt = document(lambda r: r.pop("tender"))
    assert checks.dossier_stands(spoilt)(normalise(spoilt)) is None


@pytest.mark.parametrize(
    ("covered", "refusal"),
    [
        (("/awards/0", "/awards/1", "/awards/2"), None),
        (("/awards/1",), "not looked at: /awards/0, /awards/2"),
        ((), "not looked at: /awards/0, /awards/1, /awards/2"),
        (
            ("/awards/0", "/awards/1", "/awards/2", "/awards/3"),
            "does not stand in the release: /awards/3",
        ),
    ],
)
def test_a_screening_must_look_at_every_award(
    covered: tuple[str, ...], refusal: str | None
) -> None:
    check = checks.screening_covers(document(several), dossier(several))
    assert check(Screening(agent="x", covered=covered)) == refusal


def test_a_screening_must_not_point_astray() -> None:
    check = checks.screening_covers(document(), dossier())
    refusal = check(Screening(agent="x", covered=("/awards/0",), findings=(ASTRAY,)))
    assert refusal == "does not stand in the release: /awards/7"


def test_a_refusal_stays_short() -> None:
    def many(r: dict[str, Any]) -> None:
        r["awards"] = [{**r["awards"][0], "id": str(n)} for n in range(50)]

    refusal = checks.screening_covers(document(many), dossier(many))(
        Screening(agent="x", covered=())
    )
    assert refusal is not None
    assert refusal.endswith(" and 30 more")


def test_each_mention_belongs_to_one_supplier() -> None:
    mentions = parties_to_compare(dossier())
    resolution = resolve_suppliers(mentions)
    check = checks.each_mention_once(mentions)
    assert check(resolution) is None
    first, *rest = resolution.suppliers
    lost = resolution.model_copy(update={"suppliers": tuple(rest)})
    assert str(check(lost)).startswith("belongs to no supplier: /tender/tenderers/0")
    twice = resolution.model_copy(update={"suppliers": (first, first, *rest)})
    assert str(check(twice)).startswith("belongs to two suppliers: ")
    stranger = first.model_copy(update={"mentions": (*first.mentions, "/buyer")})
    added = resolution.model_copy(update={"suppliers": (stranger, *rest)})
    assert check(added) == "was not asked about: /buyer"


def test_every_contract_must_be_verified() -> None:
    check = checks.contracts_covered(document(), dossier())
    assert check(ContractReview(covered=("/contracts/0",))) is None
    assert check(ContractReview(covered=())) == "not looked at: /contracts/0"


def test_every_sum_names_its_parts() -> None:
    check = checks.sums_stand(document())
    sums = totals(dossier())
    assert check(FinanceReview(totals=sums)) is None
    empty = sums[0].model_copy(update={"parts": ()})
    assert check(FinanceReview(totals=(empty,))) == "a sum of nothing: budget"


def test_every_planned_step_is_done_or_explained() -> None:
    check = checks.plan_followed(document(), [Step.SCREEN, Step.FINANCE, Step.COMPARABLES])
    screened = Diligence(screenings=(Screening(agent="x", covered=()),))
    assert check(screened) == "planned, and neither done nor explained: finance"
    gap = Gap(step=Step.FINANCE, because="expired")
    assert check(screened.model_copy(update={"gaps": (gap,)})) is None


def request(**changes: object) -> AssessRequest:
    base: dict[str, Any] = {"release": release(), "needs": 10, "missing": (), "findings": (SOUND,)}
    return AssessRequest(**{**base, **changes})


def verdict(asked: AssessRequest) -> Assessment:
    return assess(
        document(),
        findings=asked.findings,
        defects=asked.defects,
        missing=asked.missing,
        gaps=asked.gaps,
        needs=asked.needs,
    )


def test_a_verdict_must_follow_from_the_findings() -> None:
    asked = request(findings=(SOUND, ASTRAY))
    check, sound = checks.verdict_follows(document(), asked), verdict(asked)
    assert check(sound) is None
    lenient = sound.model_copy(update={"decision": Decision.CLEAR})
    assert check(lenient) == "the findings amount to review, not to clear"
    forgetful = sound.model_copy(update={"dismissed": ()})
    assert check(forgetful) == "neither kept nor dismissed: a-code"


def test_a_verdict_may_not_dismiss_what_stands() -> None:
    asked = request()
    lenient = Assessment(
        decision=Decision.CLEAR,
        reasons=verdict(asked).reasons,
        dismissed=(SOUND,),
        confidence=verdict(asked).confidence,
    )
    refusal = checks.verdict_follows(document(), asked)(lenient)
    assert refusal == "dismissed, and stands in the release: a-code"


def test_a_verdict_may_not_overlook_what_is_missing() -> None:
    missing = Missing(at="/date", nearest="", reason="not published", essential=True)
    asked = request(missing=(missing,), findings=())
    lenient = verdict(asked).model_copy(update={"decision": Decision.CLEAR})
    assert checks.verdict_follows(document(), asked)(lenient) == (
        "the findings amount to incomplete, not to clear"
    )
