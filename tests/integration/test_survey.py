"""What only several partitions show, found by `mesh processor`, and found once.

Two drafts of one order are written at the same time, from a plan that is changed meanwhile, and a
third task waits for an agent that nobody runs. Workers are killed before there is anything to
find, and when all is found.
"""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest

from mesh import Agent, Context
from mesh.cli.output import Out
from mesh.cli.reading import AuditReader
from mesh.config import Config
from mesh.core import facts as f
from mesh.core.detectors.stale_read import KIND as STALE
from mesh.core.effects import Incident
from mesh.core.shared import RulesAdopted
from mesh.core.values import StepKind
from mesh.processor.inputs import load_schemas
from mesh.testing.processing import rules_of
from mesh.wire import topics
from mesh.wire.state import encode_proposal, proposal_key
from tests.integration.test_processor import Mesh as Fleet
from tests.integration.test_watchman import apply, written
from tests.integration.world import LEASE, Submitted, World
from tests.unit.processor.crossing import Done, Order, agents

TWO = topics.Partitions(tasks=2, inbox=4, audit=2, replies=1)
LIMITS = "[limits]\nstarved_ms = 2000\nduplicate_ms = 1000\n"
EVERY = {"duplicate-work": 1, "stale-read": 2, "starvation": 1}


@pytest.fixture(scope="module", autouse=True)
def schemas() -> None:
    """Read the schemas before a loop runs."""
    load_schemas()


def absent() -> Agent:
    """Return an agent that nobody runs."""
    agent = Agent("absent", owner="team")

    @agent.capability("absent.answer")
    async def answer(ctx: Context, order: Order) -> Done:
        return Done(version=0)

    return agent


async def prepare(world: World) -> None:
    """Run the agents, and let rules and limits hold."""
    working = agents(LEASE, takes="6s")
    await world.open(*working, absent(), partitions=TWO)
    for agent in working:
        await world.start(agent)
    await world.acquainted()
    await apply(world, 1, LIMITS)
    rules = rules_of({"plan": "reject"}, [])
    adopted = RulesAdopted(rules=rules, person="test", because="x")
    topic = topics.changes(world.mesh)
    for partition in range(TWO.state):
        value = encode_proposal(adopted)
        await world.append(topic, value, key=proposal_key(adopted), partition=partition)


async def change(world: World, order: int) -> None:
    answer = await world.ask("plan.change", Order(order=order))
    assert answer.status == "completed", answer.error


async def drafts(world: World) -> list[Submitted]:
    """Submit the same to both partitions; return when both have read the plan."""
    made = [
        await world.submit("draft.write", Order(order=7), partition=partition)
        for partition in range(2)
    ]
    assert len({own.workflow.partition("-")[0] for own in made}) == 2
    for own in made:
        await world.story.until(
            lambda own=own: any(  # type: ignore[misc] # each of them
                step.kind is StepKind.READ for step in world.story.of(own.workflow, f.StepFinished)
            )
        )
    return made


async def every(world: World) -> dict[str, Incident]:
    """Return what is told, by id."""
    return {own.incident.id: own.incident for own in await written(world)}


async def found(world: World) -> None:
    """Return when all is told that there is to tell."""
    await world.incidents.until(
        lambda: (
            Counter(own.kind for own in {i.id: i for i in world.incidents.found}.values()) == EVERY
        )
    )


@pytest.mark.slow  # half a minute: workers that were killed are missed first
@pytest.mark.timeout(240)
async def test_workers_that_are_killed_find_each_once(world: World, tmp_path: Path) -> None:
    """The results come while no worker is there; then one finds all, and another the same."""
    await prepare(world)
    fleet = Fleet(world.site, world.mesh, tmp_path)
    kind = {"MESH_EMBEDDED": str(world.site.embedded).lower()}
    workers = [fleet.start(**kind)]
    try:
        await workers[0].ready()
        await change(world, 1)
        made = await drafts(world)
        await change(world, 2)
        waiting = await world.submit("absent.answer", Order(order=1))
        workers[0].signal(signal.SIGKILL)
        assert not world.incidents.found
        for own in made:
            assert (await world.reply(own)).status == "completed"
        workers.append(fleet.start(**kind))
        await found(world)
        copies = len(world.incidents.found)
        workers[1].signal(signal.SIGKILL)
        workers.append(fleet.start(**kind))
        await world.incidents.until(lambda: len(world.incidents.found) > copies)
    finally:
        for worker in workers:
            await worker.stop()

    told = await every(world)
    assert Counter(own.kind for own in told.values()) == EVERY
    stale = [own for own in told.values() if own.kind == STALE]
    assert {own.workflow for own in stale} == {own.workflow for own in made}
    (twin,) = (own for own in told.values() if own.kind == "duplicate-work")
    assert {own.partition for own in twin.evidence} == {0, 1}
    (starved,) = (own for own in told.values() if own.kind == "starvation")
    assert starved.evidence[0][1:] == (waiting.place.partition, waiting.offset)
    await proved(world, told)
    copies = len(await written(world))
    print(f"{copies} records, {len(told)} incidents")
    assert copies > len(told), "nothing was told twice: the kills came too late to matter"


async def proved(world: World, told: dict[str, Incident]) -> None:
    """Assert that the coordinates in the evidence lead to what they prove."""
    reader = AuditReader(world.client, Config(mesh=world.mesh), Out(quiet=True))
    for incident in told.values():
        audit = [own for own in incident.evidence if own.stream == "audit"]
        assert audit or incident.kind == "starvation"
        named = {await reader.find(f"{own.partition}/{own.offset}") for own in audit}
        assert not audit or incident.workflow in named
