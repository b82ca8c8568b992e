"""The watchman over agents at work: what runs away is found once, and halted while it is cheap.

The agents ask each other one question for ever, each time under a new request id, and pay a model
for it each time. Others open tasks for ever. On real Kafka, with workers that are killed.
"""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import BaseModel

from mesh import Agent, Context, Priced, tool
from mesh.cli.findings import IncidentReader
from mesh.cli.output import Out
from mesh.config import Config
from mesh.core.effects import Incident
from mesh.core.halts import WAIT, HaltOrder, Halts
from mesh.core.ids import audit_partition_of
from mesh.ports import Place
from mesh.processor.inputs import load_schemas
from mesh.runtime.quantities import Budget
from mesh.wire import topics
from mesh.wire.entries import PolicyDocument, decode_halt, decode_incident, encode_entry
from mesh.wire.policies import NAME
from tests.integration.test_processor import Mesh as Fleet
from tests.integration.world import LEASE, Told, World
from tests.unit.processor.quarrel import BUDGET, Question, agents

NEVER = 2**62
MOST_TURNS, MOST_TASKS = 12, 200
"""Of a runaway with the default policy: it is halted before these."""
THINKS_S = 0.02
"""What thinks of a task takes so long, as the fastest model does."""


ONLY_TOLD = "".join(
    f"{kind} = 'warn'\n"
    for kind in ("loop", "ping-pong", "retry-storm", "fan-out", "depth", "no-progress")
)


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


class Given(NamedTuple):
    """An order as it stands in the log."""

    at_ms: int
    order: HaltOrder


async def orders(world: World) -> list[Given]:
    """Return the orders, of all that were written."""
    found = []
    async for batch in world.client.scan(Place(topics.control(world.mesh), 0), 0):
        found += [Given(own.append_ms, decode_halt(own.value)) for own in batch]
    return found


async def apply(world: World, version: int, text: str) -> None:
    """Bring a policy into force."""
    document = PolicyDocument(NAME, version, f"version = {version}\n{text}", "eve", "a test")
    value = encode_entry(document)
    await world.append(topics.policy(world.mesh), value, key=NAME.encode(), partition=0)


async def lift(world: World, workflow: str) -> None:
    """Lift a halt as a person does who has seen all that stands in the log by now."""
    halts = Halts()
    for own in await orders(world):
        halts.see(own.order)
    target, partition = f"workflow/{workflow}", audit_partition_of(workflow)
    _, end = (await world.client.ends(topics.audit(world.mesh)))[partition]
    order = halts.next_order(target, halted=False, because="a test", person="eve", through=end)
    await world.append(topics.control(world.mesh), encode_entry(order), key=target.encode())


async def halted(world: World, workflow: str) -> None:
    """Return when a workflow is halted and every task of it has been suspended for that."""

    def stands() -> bool:
        tasks = [
            task
            for audit in world.story.audits.values()
            for task in audit.ledger.open_tasks(workflow)
        ]
        return bool(tasks) and all(any(own.kind == WAIT for own in t.waiting_for) for t in tasks)

    await world.story.until(stands)


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
    """One is killed before there was anything to find, one right after it has found the loop.

    By this policy it is only told, and goes on.
    """
    world = kafka_world
    await world.run(*agents(LEASE, lambda: asyncio.sleep(0.8)))
    await apply(world, 1, f"[incidents]\n{ONLY_TOLD}")
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
    assert {(own.incident.response, own.incident.policy) for own in told} <= {
        ("warn", 1),
        ("ask", 1),
    }
    assert await orders(world) == []


@pytest.mark.broker
@pytest.mark.timeout(240)
async def test_a_loop_that_pays_is_halted_before_its_twelfth_turn(
    kafka_world: World, tmp_path: Path
) -> None:
    """Its first watchman is killed meanwhile. What is lifted goes on, and is not halted for it."""
    world = kafka_world
    await world.run(*agents(LEASE, lambda: asyncio.sleep(1.5)))
    fleet = Fleet(world.site, world.mesh, tmp_path)
    workers = [fleet.start()]
    try:
        await workers[0].ready()
        workflow = await ask(world)
        await world.story.until(lambda: turns(world, workflow, NEVER) >= 2)
        workers[0].signal(signal.SIGKILL)
        workers.append(fleet.start())
        await halted(world, workflow)
        (first,) = await orders(world)
        assert turns(world, workflow, NEVER) < MOST_TURNS
        (loop,) = {own.incident for own in await written(world) if own.incident.kind == "loop"}
        assert (loop.response, loop.id) == ("halt", first.order.incident)
        assert loop.spent is not None
        print(
            f"halted in turn {turns(world, workflow, first.at_ms)}, the last began in turn "
            f"{turns(world, workflow, NEVER)}; {loop.spent.micro_usd / 1e6} USD were spent"
        )
        await lift(world, workflow)
        workers[1].signal(signal.SIGKILL)  # who comes next finds the same again
        workers.append(fleet.start())
        before = turns(world, workflow, NEVER)
        await world.story.until(lambda: turns(world, workflow, NEVER) >= before + 2)
        await stop(world, workflow)
    finally:
        for worker in workers:
            await worker.stop()
    given = await orders(world)
    halting = [own.order.incident for own in given if own.order.halted]
    assert len(halting) == len(set(halting)), "nothing was halted twice for one finding"
    assert all(own.detector for own in (one.order for one in given) if own.halted)
    paid = [own.task for own in of(world, workflow) if own.kind == "SpendReserved"]
    assert len(paid) == len(set(paid)), "what was paid for stands in the journal"


class Flood(BaseModel):
    tasks: int


class Drop(BaseModel):
    number: int


@tool(effect="pure")
async def think(number: int) -> Priced[int]:
    await asyncio.sleep(THINKS_S)
    return Priced(number, usd="0.001")


@tool(effect="idempotent")
async def work(number: int) -> int:
    await asyncio.sleep(1)
    return number


spring = Agent("spring", owner="team", calls=["water.*"], tools=[think, work])


@spring.capability("water.flow", lease=LEASE)
async def flow(ctx: Context, flood: Flood) -> Drop:
    """Think of one thing more to do, and have it done, again and again."""
    share: Budget = {"usd": "0.001", "tokens": 1, "hops": 1, "tool_calls": 400, "attempts": 1}
    async with asyncio.TaskGroup() as group:
        for number in range(flood.tasks):
            await ctx.tool(think, number, reserve={"usd": "0.001"})
            own = ctx.delegate("water.drip", Drop(number=number), Drop, budget=share)
            group.create_task(own)
    return Drop(number=flood.tasks)


@spring.capability("water.drip", lease=LEASE)
async def drip(ctx: Context, drop: Drop) -> Drop:
    for number in range(300):
        await ctx.tool(work, number)
    return drop


@pytest.mark.broker
@pytest.mark.timeout(180)
async def test_a_fan_out_is_halted_before_its_two_hundredth_task(
    kafka_world: World, tmp_path: Path
) -> None:
    world = kafka_world
    await world.run(spring, settings=replace(world.settings, slots=300))
    worker = Fleet(world.site, world.mesh, tmp_path).start()
    try:
        await worker.ready()
        budget = {"usd": "5", "tokens": 1_000, "hops": 1_000, "tool_calls": 900_000}
        budget["attempts"] = 900
        headers = {"budget": json.dumps(budget), "timeout-ms": "170000"}
        workflow = (await world.submit("water.flow", Flood(tasks=400), headers)).workflow
        await halted(world, workflow)
        (own,) = await orders(world)
        opened = turns(world, workflow, NEVER)
        assert opened < MOST_TASKS
        (found,) = {own.incident for own in await written(world) if own.incident.kind == "fan-out"}
        assert (found.response, found.id) == ("halt", own.order.incident)
        assert found.spent is not None
        print(
            f"halted with {turns(world, workflow, own.at_ms)} tasks, {opened} were opened in all; "
            f"{found.spent.micro_usd / 1e6} USD were spent"
        )
        await stop(world, workflow)
    finally:
        await worker.stop()
