"""When a case is made, when it is incomplete, and when it is clear."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agents.procurement.domain.verdict import assess, confidence, decide
from agents.procurement.dossier import Finding, Missing, Severity, finding
from agents.procurement.models import Assessment, Decision, Gap, Step
from tests.unit.agents.procurement.build import document

HIGH, MEDIUM, LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW
ESSENTIAL = Missing(at="/date", nearest="", reason="not published", essential=True)
DETAIL = Missing(at="/awards/0/date", nearest="/awards/0", reason="not published", essential=False)
GAP = Gap(step=Step.FINANCE, because="finance.audit: no live agent")


def some(severity: Severity, code: str = "a-code", at: str = "/tender") -> Finding:
    return finding(code, severity, f"{code} at {at}", at)


def decided(
    findings: list[Finding] | None = None,
    defects: list[Finding] | None = None,
    missing: list[Missing] | None = None,
    gaps: list[Gap] | None = None,
) -> Decision:
    return decide(findings or [], defects or [], missing or [], gaps or [])[0]


@pytest.mark.parametrize(
    ("findings", "decision"),
    [
        ([], Decision.CLEAR),
        ([some(LOW)] * 5, Decision.CLEAR),
        ([some(MEDIUM)], Decision.CLEAR),
        ([some(MEDIUM), some(MEDIUM, at="/awards/0")], Decision.CLEAR),
        ([some(MEDIUM), some(MEDIUM, "b-code")], Decision.REVIEW),
        ([some(HIGH)], Decision.REVIEW),
    ],
)
def test_what_makes_a_case(findings: list[Finding], decision: Decision) -> None:
    assert decided(findings) is decision


def test_defects_of_the_data_make_a_case_only_when_they_are_high() -> None:
    assert decided(defects=[some(MEDIUM), some(MEDIUM, "b-code")]) is Decision.CLEAR
    assert decided([some(MEDIUM)], defects=[some(MEDIUM, "b-code")]) is Decision.CLEAR
    assert decided(defects=[some(HIGH)]) is Decision.REVIEW


def test_what_is_missing_or_was_not_done_leaves_it_open() -> None:
    assert decided(missing=[ESSENTIAL]) is Decision.INCOMPLETE
    assert decided(missing=[DETAIL]) is Decision.CLEAR
    assert decided(gaps=[GAP]) is Decision.INCOMPLETE


def test_a_case_is_a_case_even_when_data_is_missing() -> None:
    decision, reasons = decide([some(HIGH)], [], [ESSENTIAL], [GAP])
    assert decision is Decision.REVIEW
    assert [reason.because for reason in reasons] == [
        "a-code at /tender",
        "Essential and missing: /date (not published).",
        "The step finance could not be done: finance.audit: no live agent.",
    ]


def test_many_missing_places_are_counted() -> None:
    missing = [ESSENTIAL.model_copy(update={"at": f"/x{n}"}) for n in range(8)]
    _, (reason,) = decide([], [], missing, [])
    assert reason.because.endswith("/x5 (not published) and 2 more.")


def test_clear_says_why() -> None:
    _, (reason,) = decide([some(MEDIUM)], [], [], [])
    assert reason.because == "One flag of medium weight does not make a case: a-code at /tender"
    _, (reason,) = decide([some(LOW)], [], [DETAIL], [])
    assert reason.because == (
        "All that is essential is published, with 1 findings of low weight and 1 gaps of detail."
    )


def weighed(*findings: Finding) -> Assessment:
    return assess(document(), findings=findings, defects=[], missing=[], gaps=[], needs=10)


def test_a_finding_without_a_place_in_the_release_is_dismissed() -> None:
    astray = some(HIGH, at="/awards/7")
    found = weighed(astray, some(LOW))
    assert (found.decision, found.dismissed) == (Decision.CLEAR, (astray,))
    assert found.findings == (some(LOW),)


def test_the_same_finding_of_two_screens_counts_once() -> None:
    assert len(weighed(some(LOW), some(LOW)).findings) == 1


def test_the_weightiest_stand_first() -> None:
    found = weighed(some(LOW), some(HIGH, "b-code"), some(MEDIUM, "c-code"))
    assert [f.severity for f in found.findings] == [HIGH, MEDIUM, LOW]


def test_confidence_is_the_share_of_what_was_needed_and_published() -> None:
    assert confidence(20, 5) == Decimal("0.75")
    assert confidence(3, 0) == Decimal("1.00")
    assert confidence(4, 4) == confidence(0, 0) == Decimal("0.01")
