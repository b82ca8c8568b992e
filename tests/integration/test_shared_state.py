"""Handlers that share state, on each kind of broker: what they read and write is one truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from pydantic import BaseModel

from mesh import Agent, Context
from mesh.core import facts as f
from mesh.core.shared import Entry, RulesAdopted
from mesh.core.values import Holder, StepKind
from mesh.errors import MeshError, TransportError
from mesh.processor.inputs import check_topics
from mesh.processor.keeper import Keeper
from mesh.testing.processing import rules_of
from mesh.wire import topics
from mesh.wire.state import decode_kept, encode_proposal, proposal_key
from tests.integration.world import LEASE, World


class Count(BaseModel):
    name: str
    times: int = 1


class Made(BaseModel):
    versions: list[int]


def counter(name: str = "counter") -> Agent:
    agent = Agent(name, owner="team", reads=["counts"], writes=["counts"])

    @agent.capability("count.up", lease=LEASE)
    async def up(ctx: Context, ask: Count) -> Made:
        key = f"counts/{ask.name}"
        updates = [
            ctx.shared.update(key, lambda known: (known or 0) + 1, type=int, retries=100)
            for _ in range(ask.times)
        ]
        made = await asyncio.gather(*updates)
        latest = max(own.version for own in made)
        assert (await ctx.shared.read(key, type=int)).version >= latest
        return Made(versions=sorted(own.version for own in made))

    return agent


@asynccontextmanager
async def judged(world: World) -> AsyncIterator[None]:
    """Have a keeper judge every change, from the beginning."""
    log = world.site.log("judge")
    await log.open()
    problems: list[MeshError] = []
    partitions = await check_topics(log, world.mesh)
    keeper = Keeper(log, world.mesh, Holder("judge", 1), partitions, failed=problems.append)
    for partition in range(partitions):
        await keeper.take(partition, 0)
    reader = await log.tail(topics.changes(world.mesh), dict.fromkeys(range(partitions), 0))

    async def judge() -> None:
        with suppress(TransportError):
            while True:
                for record in await reader.take():
                    await keeper.judge(record)

    judging = asyncio.ensure_future(judge())
    try:
        yield
    finally:
        await keeper.settle(10)
        judging.cancel()
        await reader.close()
        await log.close()
    assert problems == []


async def with_rules(world: World) -> None:
    adopted = RulesAdopted(rules=rules_of({"counts": "reject"}, []), person="test", because="x")
    topic = topics.changes(world.mesh)
    for partition in range(len(await world.client.ends(topic))):
        value = encode_proposal(adopted)
        await world.append(topic, value, key=proposal_key(adopted), partition=partition)


async def entries(world: World, key: str) -> list[Entry]:
    """Return what stands in the log under a key, from the first version on."""
    found: list[Entry] = []
    topic = topics.state(world.mesh)
    reader = await world.client.tail(topic, dict.fromkeys(await world.client.ends(topic), 0))
    while records := await reader.take(timeout_s=0.5):
        kept = [decode_kept(record.value) for record in records]
        found += [own for own in kept if isinstance(own, Entry) and own.key == key]
    await reader.close()
    return found


async def test_many_count_at_once_and_nothing_is_lost(world: World) -> None:
    await world.run(counter("ann"), counter("bob"))
    await with_rules(world)
    async with judged(world):
        asked = [await world.submit("count.up", Count(name="x", times=3)) for _ in range(6)]
        answers = [await world.reply(own) for own in asked]
        made = sorted(n for answer in answers for n in Made.model_validate(answer.result).versions)
        assert made == list(range(1, 19))
        kept = await entries(world, "counts/x")
        assert [own.version for own in kept] == made
        assert kept[-1].value == b"18"
        verdicts = [
            fact
            for own in asked
            for fact in world.story.of(own.workflow, f.StepFinished)
            if fact.kind is StepKind.WRITE
        ]
        assert len([fact for fact in verdicts if not fact.error]) == 18


async def test_a_write_waits_for_who_judges_and_goes_on_after_its_worker(world: World) -> None:
    """Nobody judges, the worker is gone, and another one goes on: one change, one version."""
    await world.run(counter("ann"), counter("bob"))
    await with_rules(world)
    asked = await world.submit("count.up", Count(name="y"))
    begun = await world.story.until(
        lambda: [
            fact
            for fact in world.story.of(asked.workflow, f.StepBegun)
            if fact.kind is StepKind.WRITE
        ]
    )
    worker = begun[0].by.instance
    (process,) = [
        own for own in world.processes if any(i.me.instance == worker for i in own.instances)
    ]
    await world.end(process)
    await world.story.until(
        lambda: [
            fact
            for fact in world.story.of(asked.workflow, f.StepBegun)
            if fact.by.instance != worker
        ]
    )
    async with judged(world):
        answer = await world.reply(asked)
        assert Made.model_validate(answer.result).versions == [1]
        assert [own.version for own in await entries(world, "counts/y")] == [1]
