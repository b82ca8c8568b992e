"""Ceilings combine to the lowest; what cannot be served is refused with the field named."""

from __future__ import annotations

import pytest

from mesh.core.policy import Ceiling, Objection, Policy, Target
from mesh.core.settings import Settings
from mesh.core.values import Amount
from mesh.errors import DefinitionError

SETTINGS = Settings()
MESH = Amount(micro_usd=1_000, tokens=1_000, tool_calls=100, hops=100, attempts=10)
RISK = Amount(micro_usd=500, tokens=2_000, tool_calls=100, hops=100, attempts=10)
TEAM = Amount(micro_usd=700, tokens=900, tool_calls=0, hops=100, attempts=10)
POLICY = Policy(
    mesh=MESH,
    ceilings=(
        Ceiling(Target.CAPABILITY, "risk.*", RISK),
        Ceiling(Target.OWNER, "team-risk", TEAM),
    ),
)
ASKED = Amount(micro_usd=100, attempts=3)


def refusal(budget: Amount = ASKED, timeout_ms: int = 1_000) -> Objection | None:
    return POLICY.refusal(budget, timeout_ms, "risk.screen", "team-risk", SETTINGS)


@pytest.mark.parametrize(
    ("capability", "owner", "ceiling"),
    [
        ("finance.check", "team-finance", MESH),
        ("finance.check", "", MESH),
        ("risk.screen", "", RISK._replace(tokens=1_000)),
        ("finance.check", "team-risk", TEAM),
        ("risk.screen", "team-risk", TEAM._replace(micro_usd=500)),
    ],
)
def test_the_lowest_ceiling_holds(capability: str, owner: str, ceiling: Amount) -> None:
    assert POLICY.ceiling_for(capability, owner) == ceiling


def test_an_owner_s_ceiling_is_no_pattern() -> None:
    policy = Policy(mesh=MESH, ceilings=(Ceiling(Target.OWNER, "*", TEAM),))
    assert policy.ceiling_for("risk.screen", "team-risk") == MESH


def test_a_ceiling_may_not_be_negative() -> None:
    with pytest.raises(DefinitionError, match="mesh"):
        Policy(mesh=Amount(tokens=-1))
    with pytest.raises(DefinitionError, match="risk"):
        Policy(mesh=MESH, ceilings=(Ceiling(Target.OWNER, "risk", Amount(hops=-1)),))


def test_what_stays_within_is_not_refused() -> None:
    assert refusal() is None
    assert refusal(timeout_ms=SETTINGS.retention_ms) is None
    assert refusal(Amount(500, 900, 0, 100, 10)) is None


@pytest.mark.parametrize(
    ("budget", "field", "word"),
    [
        (Amount(), "budget.attempts", "zero"),
        (Amount(micro_usd=1), "budget.attempts", "zero"),
        (Amount(hops=5, attempts=3), "budget", "zero"),
        (ASKED._replace(tokens=-1), "budget.tokens", "negative"),
        (ASKED._replace(attempts=-3), "budget.attempts", "negative"),
        (ASKED._replace(micro_usd=501), "budget.micro_usd", "ceiling of 500"),
        (ASKED._replace(attempts=11), "budget.attempts", "ceiling of 10"),
    ],
)
def test_a_budget_is_refused(budget: Amount, field: str, word: str) -> None:
    objection = refusal(budget)
    assert objection is not None
    assert objection.field == field
    assert word in objection.reason


@pytest.mark.parametrize(
    ("timeout_ms", "word"),
    [(0, "past"), (-5, "5 ms in the past"), (SETTINGS.retention_ms + 1, "kept for")],
)
def test_a_deadline_is_refused(timeout_ms: int, word: str) -> None:
    objection = refusal(timeout_ms=timeout_ms)
    assert objection is not None
    assert objection.field == "timeout_ms"
    assert word in objection.reason
