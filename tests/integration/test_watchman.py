"""The watchman over agents at work: a loop that pays is found, and found once.

The agents ask each other one question for ever, each time under a new request id, and pay a model
for it each time. On real Kafka, with workers that are killed.
"""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import NamedTuple

import pytest

from mesh.cli.findings import IncidentReader
from mesh.cli.output import Out
from mesh.config import Config
from mesh.core.effects import Incident
from mesh.ports import Place
from mesh.processor.inputs import load_schemas
from mesh.wire import topics
from mesh.wire.entries import decode_incident
from tests.integration.test_processor import Mesh as Fleet
from tests.integration.world import LEASE, Told, World
from tests.unit.processor.quarrel import BUDGET, Question, agents

NEVER = 2**62


class Written(NamedTuple):
    """An incident as it stands on the topic."""

    at_ms: int
    incident: Incident


@pytest.fixture(scope="module", autouse=True)
def schemas() -> None:
    """Read the schemas before a loop runs."""
    load_schemas()


async def written(world: World) -> list[Written]:
    """Return what was written, every copy of it."""
    found = []
    async for batch in world.client.scan(Place(topics.incidents(world.mesh), 0), 0):
        found += [Written(own.append_ms, decode_incident(own.value)) for own in batch]
    return found


def turns(world: World, workflow: str, until_ms: int) -> int:
    """Return how many tasks of a workflow were opened by a time, as far as they count."""
    return sum(
        told.kind == "TaskOpened" and told.record.append_ms <= until_ms
        for told in of(world, workflow)
    )


def of(world: World, workflow: str) -> list[Told]:
    """Return what counts of a workflow."""
    return [
        told
        for told in world.story.told
        if not told.void and getattr(told.fact, "workflow", "") == workflow
    ]


async def ask(world: World) -> str:
    """Let the agents begin; return the workflow."""
    headers = {"budget": json.dumps(BUDGET, default=str), "timeout-ms": "90000"}
    question = Question(text="who pays?")
    return (await world.submit("buying.ask", question, headers)).workflow


async def stop(world: World, workflow: str) -> None:
    """End a workflow as a person does who has seen the incident."""
    await world.cancel(world.processes[0], workflow, "the test has seen it")
    await world.ended(workflow)


async def found(world: World, workflow: str, *kinds: str) -> None:
    """Return when incidents of these kinds are there."""
    wanted = {(workflow, kind) for kind in kinds}
    await world.incidents.until(
        lambda: wanted <= {(own.workflow, own.kind) for own in world.incidents.found}
    )


@pytest.mark.broker
@pytest.mark.timeout(180)
async def test_workers_that_are_killed_find_it_once(kafka_world: World, tmp_path: Path) -> None:
    """One is killed before there was anything to find, one right after it has found the loop."""
    world = kafka_world
    await world.run(*agents(LEASE, lambda: asyncio.sleep(0.8)))
    fleet = Fleet(world.site, world.mesh, tmp_path)
    workers = [fleet.start()]
    try:
        await workers[0].ready()
        workflow = await ask(world)
        await world.story.until(lambda: turns(world, workflow, NEVER) >= 2)
        workers[0].signal(signal.SIGKILL)
        assert not world.incidents.found
        workers.append(fleet.start())
        await found(world, workflow, "loop")
        workers[1].signal(signal.SIGKILL)
        workers.append(fleet.start())
        await found(world, workflow, "depth")
        await stop(world, workflow)
    finally:
        for worker in workers:
            await worker.stop()

    copies = await written(world)
    ids = {(own.incident.kind, own.incident.id) for own in copies}
    assert len(ids) == len({kind for kind, _ in ids}), "one incident of each kind, by its id"
    told = await IncidentReader(world.client, Config(mesh=world.mesh), Out(quiet=True)).read()
    kinds = [own.incident.kind for own in told]
    print(f"{len(copies)} records, {len(kinds)} incidents: {', '.join(kinds)}")
    assert kinds.count("loop") == 1
    assert len(copies) > len(kinds), "nothing was told twice: the kills came too late to matter"
