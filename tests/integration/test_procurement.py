"""Reviews of one supplier's releases at once, on each kind of broker: what they write is one truth.

Nobody judges until the writes of both wait, so that neither can know of the other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from agents.procurement import demo, lead
from agents.procurement.capabilities import REVIEW
from agents.procurement.models import Decision, Objective, Review, ReviewRequest, Threshold
from mesh import Agent
from mesh.core import facts as f
from mesh.core.shared import Change, Entry, RulesAdopted, Verdict
from mesh.core.values import StepKind
from mesh.testing.processing import rules_of
from mesh.wire import topics
from mesh.wire.state import decode_proposal, encode_proposal, proposal_key
from tests.integration.test_shared_state import entries, judged
from tests.integration.world import WITHIN_S, Submitted, World, eventually
from tests.unit.agents.procurement.build import policy, release

EVERYONE: list[Agent] = [
    getattr(import_module(entry.split(":")[0]), entry.split(":")[1]) for entry in demo.AGENTS
]
THRESHOLD = "thresholds/name:city-of-arden/GBP"
EXPOSURE = "exposure/gb-coh:0111/GBP"
RISKY = {"dateSigned": "2024-01-20T00:00:00Z"}
POLICY = policy()


def case(ocid: str, amount: int, **contract: str) -> ReviewRequest:
    """Return a release of one buyer and supplier; signed before the deadline it is a risk."""

    def spoil(r: dict[str, Any]) -> None:
        value = {"amount": amount, "currency": "GBP"}
        r["ocid"] = ocid
        r["awards"][0]["value"] = r["contracts"][0]["value"] = value
        r["tender"]["value"] = r["planning"]["budget"]["amount"] = {**value, "amount": amount + 9}
        r["contracts"][0].update(contract)

    return ReviewRequest(release=release(spoil))


async def with_policy(world: World) -> None:
    rules = rules_of(POLICY["rules"], POLICY["objectives"])
    adopted = RulesAdopted(rules=rules, person="test", because="x")
    topic = topics.changes(world.mesh)
    for partition in range(len(await world.client.ends(topic))):
        value = encode_proposal(adopted)
        await world.append(topic, value, key=proposal_key(adopted), partition=partition)


async def proposed(world: World) -> dict[str, set[str]]:
    """Return the workflows that proposed to change each key so far."""
    topic, found = topics.changes(world.mesh), dict[str, set[str]]()
    reader = await world.client.tail(topic, dict.fromkeys(await world.client.ends(topic), 0))
    while records := await reader.take(timeout_s=0.3):
        for record in records:
            change = decode_proposal(record.value)
            if isinstance(change, Change):
                found.setdefault(change.writes[0].key, set()).add(change.workflow)
    await reader.close()
    return found


async def all_wait(world: World, wanted: Mapping[str, set[str]]) -> None:
    """Return when each of these workflows has proposed to change its key."""
    until = time.monotonic() + WITHIN_S
    while True:
        found = await proposed(world)
        if all(own <= found.get(key, set()) for key, own in wanted.items()):
            return
        assert time.monotonic() < until, f"{wanted} were not proposed: {found}"


def verdicts(world: World, asked: Submitted, key: str) -> list[tuple[str, str]]:
    """Return what became of a workflow's writes of a key: verdict and reason."""
    return [
        (said["verdict"], said["reason"])
        for fact in world.story.of(asked.workflow, f.StepFinished)
        if fact.kind is StepKind.WRITE and fact.name == key
        for said in [json.loads(fact.result.content or b"{}")]
    ]


async def review(world: World, asked: Submitted) -> Review:
    answer = await world.reply(asked)
    assert answer.error == ""
    return Review.model_validate(answer.result)


async def latest(world: World, key: str) -> Entry:
    return (await entries(world, key))[-1]


async def test_of_two_cases_of_one_supplier_the_risk_comes_before_the_speed(world: World) -> None:
    await world.run(*EVERYONE)
    await with_policy(world)
    async with judged(world):
        first = await world.submit(REVIEW, case("a", 72_000))
        assert (await review(world, first)).decision is Decision.CLEAR
    risky = await world.submit(REVIEW, case("risky", 30_000, **RISKY))
    quick = await world.submit(REVIEW, case("quick", 150_000))
    both = {risky.workflow, quick.workflow}
    await all_wait(world, {THRESHOLD: both, EXPOSURE: {quick.workflow}})
    async with judged(world):
        decisions = [(await review(world, own)).decision for own in (risky, quick)]
        assert decisions == [Decision.REVIEW, Decision.CLEAR]
        entry = await latest(world, THRESHOLD)
        threshold = Threshold.model_validate_json(entry.value or b"")
        assert (threshold.objective, int(threshold.amount)) == (Objective.RISK, 20_000)
        assert not entry.contested
        told = [*verdicts(world, risky, THRESHOLD), *verdicts(world, quick, THRESHOLD)]
        # whichever the log has first: the later one is preferred, or yields
        assert any("risk comes before speed" in reason for _, reason in told)
        assert {own for own, _ in told} <= {Verdict.ACCEPTED, Verdict.PREFERRED, Verdict.CONFLICT}
        exposure = json.loads((await latest(world, EXPOSURE)).value or b"")
        assert exposure == {"a a1": 7_200_000, "quick a1": 15_000_000}
    world.story.check()


async def test_an_award_counts_once_though_its_lead_ends_before_the_verdict(world: World) -> None:
    await world.run(*EVERYONE)
    await with_policy(world)
    async with judged(world):
        await review(world, await world.submit(REVIEW, case("a", 72_000)))
    asked = await world.submit(REVIEW, case("b", 50_000))
    await all_wait(world, {EXPOSURE: {asked.workflow}})
    (begun, *_) = [
        own for own in world.story.of(asked.workflow, f.StepBegun) if own.name == EXPOSURE
    ]
    (process,) = [
        own
        for own in world.processes
        if any(one.me.instance == begun.by.instance for one in own.instances)
    ]
    await world.end(process)
    await world.start(lead.agent, name="successor")
    await eventually(
        lambda: [
            own
            for own in world.story.of(asked.workflow, f.StepBegun)
            if own.name == EXPOSURE and own.by.instance != begun.by.instance
        ],
        what="the other lead goes on",
    )
    async with judged(world):
        assert (await review(world, asked)).decision is Decision.CLEAR
        kept = await entries(world, EXPOSURE)
        assert [own.version for own in kept] == [1, 2], "one change, one version"
        assert json.loads(kept[-1].value or b"") == {"a a1": 7_200_000, "b a1": 5_000_000}
    world.story.check()
