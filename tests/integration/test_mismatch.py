"""A handler whose code changed under a running journal: parked for a person, or started over."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from mesh import Agent, Context
from mesh.core import facts as f
from mesh.core.values import Cause
from mesh.runtime.process import Process
from tests.integration.world import LEASE, Submitted, World, eventually


class Number(BaseModel):
    n: int


def agent_that_decides(*choices: str, on_mismatch: str = "park", waits: bool = False) -> Agent:
    agent = Agent("decider", owner="team")

    @agent.capability("decide.all", lease=LEASE, on_mismatch=on_mismatch)
    async def decide(ctx: Context, number: Number) -> Number:
        for choice in choices:
            await ctx.record_decision(choice, because="the code says so")
            await ctx.spend(usd="0.01", because=choice)
        if waits:
            await asyncio.Event().wait()
        return Number(n=ctx.attempt.number)

    @agent.capability("decide.nothing", lease=LEASE)
    async def nothing(ctx: Context, number: Number) -> Number:
        return number

    return agent


async def change(world: World, before: Agent, after: Agent) -> tuple[Submitted, Process]:
    """Have a task begun by one version of the code and continued by another."""
    await world.run(before)
    submitted = await world.submit("decide.all", Number(n=1))
    story = world.story
    await story.until(lambda: len(story.of(submitted.workflow, f.SpendSettled)) == 2)
    await world.end(world.processes[0])
    return submitted, await world.start(after)


async def test_parked_until_a_person_ends_it(world: World) -> None:
    submitted, now = await change(
        world, agent_that_decides("a", "b", waits=True), agent_that_decides("a", "c")
    )
    found, story, workflow = world.incidents.found, world.story, submitted.workflow
    await world.incidents.until(lambda: [i for i in found if i.kind == "journal-mismatch"])
    text = found[-1].text
    assert "step 2: the journal has decision b" in text
    assert "the handler called decision c" in text
    await story.until(lambda: story.of(workflow, f.WorkSuspended))
    wait = story.of(workflow, f.WorkSuspended)[0].waiting_for
    assert [(one.kind, one.note) for one in wait] == [("person", text)]
    # nothing that happens besides has it tried again
    for n in range(3):
        assert (await world.ask("decide.nothing", Number(n=n))).result == {"n": n}
    await eventually(lambda: not now.instances[0].node.load)
    await world.cancel(now, workflow, "the code has changed")
    answer = await world.reply(submitted)
    assert (answer.status, answer.error) == ("cancelled", "the code has changed")
    await world.ended(workflow)
    awards = story.awards(workflow)
    assert [(a.epoch, a.attempt, a.cause) for a in awards] == [
        (1, 1, Cause.FIRST),
        (2, 2, Cause.DIED),
    ]
    assert len([i for i in found if i.kind == "journal-mismatch"]) == 1
    assert len(story.of(workflow, f.SpendReserved)) == 2


async def test_started_over_where_the_author_allows_it(world: World) -> None:
    submitted, _ = await change(
        world,
        agent_that_decides("a", "b", waits=True, on_mismatch="restart"),
        agent_that_decides("a", "c", on_mismatch="restart"),
    )
    answer = await world.reply(submitted)
    await world.ended(submitted.workflow)
    assert answer.status == "completed"
    decided = [d.choice for d in world.story.of(submitted.workflow, f.DecisionRecorded)]
    assert decided == ["a", "b", "a", "c"]
    steps = [d.step for d in world.story.of(submitted.workflow, f.DecisionRecorded)]
    assert steps == ["0", "2", "r1/0", "r1/2"]
    # what was paid before was paid; the ceiling counts both
    end = world.story.of(submitted.workflow, f.WorkFinished)[0]
    assert end.spent.micro_usd == 40_000
