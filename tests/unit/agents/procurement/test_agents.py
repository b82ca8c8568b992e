"""The agents at work together, on a mesh in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from pydantic import BaseModel

from agents.procurement import diligence, lead
from agents.procurement.capabilities import (
    ASSESS,
    AUDIT,
    INVESTIGATE,
    NORMALISE,
    PRICES,
    RED_FLAGS,
    RESOLVE,
    RETRIEVE,
    REVIEW,
    SCREEN,
    VERIFY,
)
from agents.procurement.demo import AGENTS
from agents.procurement.domain.normalise import normalise
from agents.procurement.models import (
    Basis,
    Decision,
    PricePoint,
    Review,
    ReviewRequest,
    Screening,
    Step,
)
from mesh import Agent
from mesh.testing import MemoryMesh, crash_at_every_step
from tests.unit.agents.procurement.build import document, policy, release, review

EVERYONE: list[Agent] = [
    getattr(import_module(entry.split(":")[0]), entry.split(":")[1]) for entry in AGENTS
]


def without(*names: str) -> list[Agent]:
    return [agent for agent in EVERYONE if agent.name not in names]


def points(count: int) -> tuple[PricePoint, ...]:
    return tuple(
        PricePoint(
            ocid=f"ocds-{number}",
            at="/awards/0/value",
            kind="award",
            basis=Basis.TOTAL,
            scheme="CPV",
            code="39113600",
            label="",
            amount=Decimal(70_000 + number),
            currency="GBP",
        )
        for number in range(count)
    )


def several(r: dict[str, Any]) -> None:
    r["awards"] = [
        {**r["awards"][0], "id": f"a{n}", "value": {"amount": amount, "currency": "GBP"}}
        for n, amount in enumerate((50_000, 12_000, 9_000))
    ]
    r["contracts"][0].update(awardID="a0", value={"amount": 50_000, "currency": "GBP"})


@pytest.fixture
async def mesh() -> AsyncIterator[MemoryMesh]:
    async with MemoryMesh(*EVERYONE, **policy()) as everyone:
        yield everyone
        assert everyone.violations() == []
        assert everyone.incidents() == []


def opened(mesh: MemoryMesh, workflow: str) -> dict[str, list[str]]:
    """Return the capabilities that were called, each with those that called it."""
    tasks = facts(mesh, workflow, "TaskOpened")
    capability = {fact.task: fact.capability for fact in tasks}
    callers: dict[str, list[str]] = {}
    for fact in tasks:
        callers.setdefault(fact.capability, []).append(capability.get(fact.parent, ""))
    return callers


def facts(mesh: MemoryMesh, workflow: str, kind: str) -> Sequence[Any]:
    return [fact for fact in mesh.facts(workflow) if type(fact).__name__ == kind]


async def test_a_sound_release_goes_through_all_hands(mesh: MemoryMesh) -> None:
    result = await mesh.submit(lead.review, ReviewRequest(release=release(), reference=points(6)))
    found = result.value
    assert (found.decision, found.ocid, found.gaps) == (Decision.CLEAR, "ocds-test-1", ())
    assert opened(mesh, result.workflow) == {
        REVIEW: [""],
        NORMALISE: [REVIEW],
        INVESTIGATE: [REVIEW],
        RETRIEVE: [INVESTIGATE],
        SCREEN: [INVESTIGATE, INVESTIGATE],
        VERIFY: [INVESTIGATE],
        RESOLVE: [VERIFY],  # asked by a peer, not by a lead
        AUDIT: [INVESTIGATE],
        ASSESS: [REVIEW],
    }


async def test_the_auction_has_two_bids_and_the_loser_is_asked_by_name(mesh: MemoryMesh) -> None:
    request = ReviewRequest(release=release(), reference=points(6))
    result = await mesh.submit(lead.review, request)
    awards = [a for a in facts(mesh, result.workflow, "TaskAwarded") if a.award.offers]
    (auction,) = awards
    assert {offer.agent for offer in auction.award.offers} == {RED_FLAGS, PRICES}
    assert set(result.value.screened_by) == {RED_FLAGS, PRICES}
    decisions = facts(mesh, result.workflow, "DecisionRecorded")
    assert [d.choice.split(":")[0] for d in decisions] == [
        "plan",
        f"ask {PRICES} as well",
        "clear",
        "ask a person before the award",
    ]


async def test_without_comparables_the_price_screen_declines(mesh: MemoryMesh) -> None:
    result = await mesh.submit(lead.review, ReviewRequest(release=release()))
    assert result.value.screened_by == (RED_FLAGS,)
    assert Step.COMPARABLES not in result.value.steps


async def test_a_screening_that_skips_small_awards_is_sent_back_and_improved(
    mesh: MemoryMesh,
) -> None:
    result = await mesh.submit(lead.review, ReviewRequest(release=release(several)))
    (refused,) = facts(mesh, result.workflow, "ResultRejected")
    assert refused.reason == "not looked at: /awards/1, /awards/2"
    attempts = [
        (fact.award.agent, fact.award.attempt, fact.award.reason)
        for fact in facts(mesh, result.workflow, "TaskAwarded")
        if fact.task == refused.task
    ]
    assert attempts == [(RED_FLAGS, 1, ""), (RED_FLAGS, 2, refused.reason)]
    spent = [
        (fact.because, fact.amount.micro_usd)
        for fact in facts(mesh, result.workflow, "SpendReserved")
        if fact.task == refused.task
    ]
    assert spent == [
        ("red flags of the procedure and of the 1 largest awards or contracts", 12_000),
        ("red flags of the 2 awards or contracts left out before", 4_000),
    ]
    assert result.value.gaps == ()


async def test_a_rival_whose_turn_comes_after_a_refusal_looks_at_all(mesh: MemoryMesh) -> None:
    request = ReviewRequest(release=release(several), reference=points(6))
    result = await mesh.submit(lead.review, request)
    refused = facts(mesh, result.workflow, "ResultRejected")
    assert {fact.reason for fact in refused} == {"not looked at: /awards/1, /awards/2"}
    assert set(result.value.screened_by) == {RED_FLAGS, PRICES}
    assert result.value.gaps == ()


async def test_before_an_award_the_lead_plans_less(mesh: MemoryMesh) -> None:
    call = release(lambda r: r.update(awards=[], contracts=[], tag=["tender"]))
    result = await mesh.submit(lead.review, ReviewRequest(release=call))
    assert result.value.steps == (Step.SUPPLIERS, Step.SCREEN, Step.FINANCE)
    callers = opened(mesh, result.workflow)
    assert VERIFY not in callers
    assert callers[RESOLVE] == [INVESTIGATE]


async def test_a_release_with_nothing_in_it_is_incomplete(mesh: MemoryMesh) -> None:
    result = await mesh.submit(lead.review, ReviewRequest(release={}))
    assert (result.value.decision, result.value.steps) == (Decision.INCOMPLETE, ())
    assert set(opened(mesh, result.workflow)) == {REVIEW, NORMALISE, ASSESS}


async def test_digits_that_no_float_carries_come_through(mesh: MemoryMesh) -> None:
    text = (
        '{"ocid": "x", "awards": [{"value": {"amount": 0.1234567890123456789, "currency": "EUR"}}]}'
    )
    result = await mesh.submit(lead.review, ReviewRequest(release=text))
    (awarded,) = [entry for entry in result.value.totals if entry.stage == "awarded"]
    assert str(awarded.money.amount) == "0.1234567890123456789"


class Given(BaseModel):
    """Some JSON that is no request."""

    release: Any = None
    relase: Any = None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Given(release="{"), "no JSON: Expecting property name"),
        (Given(release={"releases": [{}, {}]}), "/releases holds 2 entries"),
        (Given(release={}, relase=1), "/relase: Extra inputs are not permitted"),
    ],
)
async def test_bad_input_is_rejected_with_the_field(
    mesh: MemoryMesh, given: Given, told: str
) -> None:
    result = await mesh.submit(REVIEW, given, Review)
    assert result.status == "rejected"
    assert told in result.error


async def test_a_specialist_who_is_not_there_leaves_a_gap() -> None:
    async with MemoryMesh(*without("procurement-finance"), **policy()) as mesh:
        result = await mesh.submit(lead.review, ReviewRequest(release=release()))
        (gap,) = result.value.gaps
        assert gap.step is Step.FINANCE
        assert result.value.decision is Decision.INCOMPLETE
        assert mesh.violations() == []


async def test_without_diligence_every_step_is_a_gap() -> None:
    async with MemoryMesh(*without("procurement-diligence"), **policy()) as mesh:
        result = await mesh.submit(lead.review, ReviewRequest(release=release()))
        assert [gap.step for gap in result.value.gaps] == list(result.value.steps)
        assert result.value.decision is Decision.INCOMPLETE


async def test_a_worker_who_points_astray_is_refused_and_his_step_a_gap() -> None:
    async with MemoryMesh(*without(RED_FLAGS, PRICES), **policy()) as mesh:
        mesh.script(SCREEN, Screening(agent="liar", covered=("/awards/7",)))
        result = await mesh.submit(lead.review, ReviewRequest(release=release()))
        refused = facts(mesh, result.workflow, "ResultRejected")
        assert {fact.reason for fact in refused} == {"does not stand in the release: /awards/7"}
        (gap,) = result.value.gaps
        assert gap.step is Step.SCREEN


async def test_what_the_agents_say_is_what_their_functions_say(mesh: MemoryMesh) -> None:
    for spoil in (None, several, lambda r: r["contracts"][0].update(dateSigned="2024-02-01")):
        request = ReviewRequest(release=release(spoil), reference=points(6))
        result = await mesh.submit(lead.review, request)
        _, verdict = review(request)
        assert result.value.decision is verdict.decision
        assert {(f.code, f.evidence) for f in result.value.findings} == {
            (f.code, f.evidence) for f in verdict.findings
        }
        assert result.value.missing == normalise(document(spoil)).missing


@pytest.mark.slow
@pytest.mark.parametrize("victim", [lead.agent, diligence.agent], ids=lambda agent: agent.name)
async def test_supervisors_may_die_at_every_step(victim: Agent) -> None:
    peers = without(victim.name)
    request = ReviewRequest(release=release(several))
    crashes = await crash_at_every_step(victim, lead.review, request, peers=peers, **policy())
    assert crashes > 20
