"""From which amount on a person is asked."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations

import pytest

from agents.procurement.domain import approvals
from agents.procurement.dossier import Severity, finding
from agents.procurement.models import Objective, Threshold
from tests.unit.agents.procurement.build import dossier

HIGH = finding("late-bid-won", Severity.HIGH, "Late.", "/a")
MEDIUM = finding("award-over-budget", Severity.MEDIUM, "Over.", "/a")


def threshold(amount: int, objective: Objective) -> Threshold:
    return Threshold(amount=Decimal(amount), currency="GBP", objective=objective)


@pytest.mark.parametrize(
    ("amount", "below", "above"),
    [("72000.5", 50_000, 100_000), ("50000", 50_000, 100_000), ("1", 1, 2), ("9.99", 5, 10),
     ("0.3", "0.2", "0.5"), ("199", 100, 200), ("200", 200, 500)],
)  # fmt: skip
def test_thresholds_are_round(amount: str, below: int | str, above: int | str) -> None:
    assert approvals.step_below(Decimal(amount)) == Decimal(below)
    assert approvals.step_above(Decimal(amount)) == Decimal(above)


def test_grave_findings_lower_it_and_sound_cases_raise_it() -> None:
    read = dossier()
    ((risk, because),) = approvals.lowered(read, Objective.RISK, (MEDIUM, HIGH))
    assert (int(risk.amount), risk.currency, risk.objective) == (50_000, "GBP", Objective.RISK)
    assert because == "late-bid-won in ocds-test-1"
    assert approvals.lowered(read, Objective.RISK, (MEDIUM,)) == ()
    ((cost, _),) = approvals.lowered(read, Objective.COST, (MEDIUM,))
    assert (int(cost.amount), cost.objective) == (50_000, Objective.COST)
    ((speed, _),) = approvals.raised(read)
    assert (int(speed.amount), speed.objective) == (100_000, Objective.SPEED)
    assert approvals.raised(dossier(lambda r: r.update(awards=[], contracts=[]))) == ()


def test_what_was_lowered_stays_so() -> None:
    risk, cost = threshold(50, Objective.RISK), threshold(20, Objective.COST)
    speed, faster = threshold(100, Objective.SPEED), threshold(500, Objective.SPEED)
    assert approvals.changed(None, speed) == speed
    assert approvals.changed(speed, faster) == faster
    assert approvals.changed(faster, speed) is None
    assert approvals.changed(risk, faster) is None
    assert approvals.changed(cost, faster) is None
    assert approvals.changed(faster, risk) == risk
    assert approvals.changed(risk, cost) == cost
    assert approvals.changed(cost, risk) is None
    ends = set()
    for order in permutations((risk, cost, speed, faster)):
        known = None
        for wanted in order:
            known = approvals.changed(known, wanted) or known
        ends.add(known)
    assert ends == {cost}, "one after the other they come to the same, in any order"


def test_awards_at_or_above_it_are_referred() -> None:
    awards = dossier().distinct_awards()
    assert approvals.referred(awards, threshold(72_001, Objective.RISK), "GBP") == []
    low = threshold(50_000, Objective.RISK)
    (award,) = approvals.referred(awards, low, "GBP")
    assert approvals.told([award], low) == "72,000.5 GBP: at or above 50,000 GBP, for risk"
    assert approvals.referred(awards, low, "EUR") == []
    assert approvals.referred(awards, None, "GBP") == [award]
    assert approvals.told([award], None) == "72,000.5 GBP, and no threshold holds for this buyer"
