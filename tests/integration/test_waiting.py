"""What waits long holds nothing up: no slot, no partition, and it outlives its supervisor."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from pydantic import BaseModel

from mesh import Agent, Context
from mesh.core import facts as f
from mesh.ports import Incoming, Place
from mesh.wire import topics
from mesh.wire.entries import decode_open
from tests.integration.world import LEASE, SETTINGS, Tail, World, eventually

TWO_HOURS = {"timeout-ms": str(2 * 3_600_000)}


class Number(BaseModel):
    n: int


class OpenEntries(Tail):
    """Mutable: what `M.open` holds, by workflow, as a reader of the compacted topic sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: set[str] = set()

    def add(self, incoming: Incoming) -> None:
        workflow = (incoming.key or b"").decode().rpartition("/")[2]
        if incoming.value is None:
            self.entries.discard(workflow)
        else:
            assert decode_open(incoming.value).workflow == workflow
            self.entries.add(workflow)


def sleeper(starts: list[int]) -> Agent:
    agent = Agent("sleeper", owner="team", calls=["sleep.*"])

    @agent.capability("sleep.go", lease=LEASE)
    async def go(ctx: Context, number: Number) -> Number:
        starts.append(number.n)
        if number.n == 1:
            await ctx.sleep("1h")
        elif number.n == 2:
            await asyncio.Event().wait()
        elif number.n == 3:
            return await ctx.delegate("sleep.go", Number(n=1), Number)
        return number

    return agent


async def test_a_task_that_waits_for_an_hour_keeps_no_partition_from_moving_on(
    world: World,
) -> None:
    """One sleeps, one only takes long, one waits for a child that sleeps."""
    world.settings = replace(SETTINGS, suspend_after_ms=300, open_after_ms=300)
    starts: list[int] = []
    await world.run(sleeper(starts))
    entries = OpenEntries()
    reading = await entries.open(world.client, topics.open_workflows(world.mesh))
    task = asyncio.get_running_loop().create_task(reading)
    waiting = [await world.submit("sleep.go", Number(n=n), TWO_HOURS) for n in (1, 2, 3)]
    for n in range(10, 15):
        assert (await world.ask("sleep.go", Number(n=n))).result == {"n": n}
    names = {one.workflow for one in waiting}
    await entries.until(lambda: names <= entries.entries)
    place = Place(topics.tasks(world.mesh, "sleep.go"), 0)
    await eventually(lambda: world.committed(place) == 8, what="the offset moves behind them all")
    story, node = world.story, world.processes[0].instances[0].node
    asleep = [waiting[0].workflow, waiting[2].workflow]
    await story.until(lambda: all(story.of(name, f.WorkSuspended) for name in asleep))
    await eventually(lambda: node.load == 1, what="only the one that is at work holds a slot")

    # the next owner knows them from M.open, runs nothing twice, and can end them
    await world.end(world.processes[0])
    await world.start(sleeper(starts), name="next")
    assert (await world.ask("sleep.go", Number(n=20))).result == {"n": 20}
    next_ = world.processes[0]
    await eventually(lambda: starts.count(2) == 2, what="what was at work is at work again")
    assert starts.count(1) == 2
    assert starts.count(3) == 1
    for one in waiting:
        await world.cancel(next_, one.workflow, "enough")
        answer = await world.reply(one)
        assert (answer.status, answer.error) == ("cancelled", "enough")
    await entries.until(lambda: not entries.entries & names)
    task.cancel()


async def test_records_wait_for_the_first_instance(world: World) -> None:
    """It serves what it finds in time, and expires the rest by the time of its record."""
    starts: list[int] = []
    agent = sleeper(starts)
    await world.open(agent)
    early = await world.submit("sleep.go", Number(n=10), {"timeout-ms": "1"})
    patient = await world.submit("sleep.go", Number(n=11))
    await world.start(agent)
    answer = await world.reply(patient)
    assert (answer.status, answer.result) == ("completed", {"n": 11})
    answer = await world.reply(early)
    assert answer.status == "expired"
    assert answer.error == "nobody took sleep.go before the deadline"
    assert starts == [11]
