"""Handlers that do what they should not: the task fails or expires, the instance goes on."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from pydantic import BaseModel

from mesh import Agent, Context
from mesh.core import facts as f
from mesh.core.settings import MAX_STEPS
from tests.integration import blocking_agents
from tests.integration.remote import Remote
from tests.integration.world import LEASE, World, eventually


class Number(BaseModel):
    n: int


class Sum(BaseModel):
    total: int


STUBBORN = ["stays"]
"""Emptied when the loop shall be able to end."""
BEGAN: list[str] = []
"""Handlers that never end, and ran: on a busy machine a deadline may pass before one is begun."""


def bad_agent() -> Agent:
    agent = Agent("bad", owner="team", calls=["bad.*"])
    for offer in (fail, recurse, never_end):
        offer(agent)

    @agent.capability("bad.fine", lease=LEASE)
    async def fine(ctx: Context, number: Number) -> Sum:
        return Sum(total=number.n)

    return agent


def fail(agent: Agent) -> None:
    @agent.capability("bad.raises", lease=LEASE)
    async def raises(ctx: Context, number: Number) -> Sum:
        raise LookupError(f"attempt {ctx.attempt.number} after {ctx.attempt.reason[:18]!r}")

    @agent.capability("bad.type", lease=LEASE, max_attempts=2)
    async def wrong_type(ctx: Context, number: Number) -> Sum:
        return number  # type: ignore[return-value]  # that is the point

    @agent.capability("bad.exit", lease=LEASE, max_attempts=1)
    async def leaves(ctx: Context, number: Number) -> Sum:
        raise SystemExit(3)

    @agent.capability("bad.group", lease=LEASE, max_attempts=1)
    async def group(ctx: Context, number: Number) -> Sum:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_raise(KeyError("one")))
            tasks.create_task(_raise(ValueError("two")))
        raise AssertionError

    @agent.capability("bad.scope", lease=LEASE, max_attempts=1)
    async def scope(ctx: Context, number: Number) -> Sum:
        return await ctx.delegate("work.double", number, Sum)


def recurse(agent: Agent) -> None:
    @agent.capability("bad.deep", lease=LEASE, max_attempts=1)
    async def deep(ctx: Context, number: Number) -> Sum:
        def below(n: int) -> int:
            return below(n + 1)

        return Sum(total=below(0))

    @agent.capability("bad.delegates", lease=LEASE)
    async def delegates(ctx: Context, number: Number) -> Sum:
        return await ctx.delegate("bad.delegates", Number(n=number.n + 1), Sum)

    @agent.capability("bad.same", lease=LEASE, max_attempts=1)
    async def same(ctx: Context, number: Number) -> Sum:
        return await ctx.delegate("bad.same", number, Sum)


def never_end(agent: Agent) -> None:
    @agent.capability("bad.hangs", lease=LEASE)
    async def hangs(ctx: Context, number: Number) -> Sum:
        BEGAN.append("bad.hangs")
        await asyncio.Event().wait()
        raise AssertionError

    @agent.capability("bad.stays", lease=LEASE)
    async def stays(ctx: Context, number: Number) -> Sum:
        BEGAN.append("bad.stays")
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not STUBBORN:
                    raise

    @agent.capability("bad.spins", lease=LEASE)
    async def spins(ctx: Context, number: Number) -> Sum:
        BEGAN.append("bad.spins")
        while True:  # noqa: ASYNC110 - that is the point
            await asyncio.sleep(0)


async def _raise(error: Exception) -> None:
    raise error


FAILURES: list[tuple[str, int, list[str]]] = [
    (
        "bad.raises",
        3,
        ["attempt 3 of 3: LookupError", "attempt 3 after 'LookupError: attem", "raises)"],
    ),
    ("bad.type", 2, ["attempt 2 of 2: the handler returned Number, not Sum"]),
    ("bad.exit", 1, ["attempt 1 of 1: SystemExit: 3", "leaves)"]),
    ("bad.group", 1, ["attempt 1 of 1: KeyError: 'one'", "ValueError: two"]),
    ("bad.deep", 1, ["attempt 1 of 1: RecursionError", "below"]),
    ("bad.scope", 1, ["attempt 1 of 1: mesh.errors.ScopeError", "bad", "work.double"]),
]


async def test_it_fails_with_the_summary_and_the_attempt(embedded_world: World) -> None:
    world = embedded_world
    await world.run(bad_agent())
    for capability, attempts, said in FAILURES:
        answer = await world.ask(capability, Number(n=1))
        assert answer.status == "failed"
        assert [part for part in said if part not in answer.error] == [], answer.error
        assert str(Path(__file__).parents[2]) not in answer.error
        assert len(world.story.of(answer.workflow, f.WorkFinished)) == attempts
        assert (await world.ask("bad.fine", Number(n=7))).result == {"total": 7}


async def test_it_fails_on_each_broker(world: World) -> None:
    await world.run(bad_agent())
    answers = [await world.submit("bad.raises", Number(n=n)) for n in range(3)]
    for submitted in answers:
        answer = await world.reply(submitted)
        assert answer.status == "failed"
        assert "attempt 3 of 3: LookupError" in answer.error
    assert (await world.ask("bad.fine", Number(n=7))).result == {"total": 7}


async def test_what_never_ends_expires(
    embedded_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = embedded_world
    BEGAN.clear()
    monkeypatch.setattr("mesh.runtime.running.UNWIND_LIMIT_S", 0.3)
    await world.run(bad_agent())
    instance = world.processes[0].instances[0]
    for capability in ("bad.hangs", "bad.spins", "bad.stays"):
        while capability not in BEGAN:
            answer = await world.ask(capability, Number(n=1), {"timeout-ms": "600"})
            assert (answer.status, answer.error) == ("expired", "the deadline passed")
        await eventually(lambda: instance.node.load == 0)
        assert (await world.ask("bad.fine", Number(n=7))).result == {"total": 7}
    await eventually(lambda: instance._runner.abandoned == 1, what="bad.stays is abandoned")
    STUBBORN.clear()


async def test_a_plain_handler_that_hangs_holds_its_thread_and_nothing_else(
    embedded_world: World,
) -> None:
    world = embedded_world
    agent = bad_agent()
    go = threading.Event()

    @agent.capability("bad.thread", lease=LEASE)
    def thread(number: Number) -> Sum:
        go.wait()
        return Sum(total=number.n)

    await world.run(agent)
    try:
        answer = await world.ask("bad.thread", Number(n=1), {"timeout-ms": "600"})
        assert (answer.status, answer.error) == ("expired", "the deadline passed")
        assert (await world.ask("bad.fine", Number(n=7))).result == {"total": 7}
    finally:
        go.set()
    assert (await world.ask("bad.thread", Number(n=3))).result == {"total": 3}
    assert not [told for told in world.story.void() if told.kind == "WorkFinished"]


async def test_a_handler_that_delegates_to_itself_comes_to_an_end(embedded_world: World) -> None:
    """Each level hands down half of what is free, so depth and repeats end with the budget."""
    world = embedded_world
    await world.run(bad_agent())
    budget = {"budget": '{"attempts": 20, "hops": 40}'}
    answer = await world.ask("bad.delegates", Number(n=0), budget)
    assert answer.status == "failed"
    assert "TaskFailed: bad.delegates: attempt" in answer.error
    assert "hops: asked for" in answer.error
    opened = world.story.children(answer.workflow)
    assert len(opened) <= 40
    assert len(world.story.of(answer.workflow, f.TaskAwarded)) <= 20
    assert (await world.ask("bad.fine", Number(n=7))).result == {"total": 7}


async def test_a_handler_that_asks_itself_the_same_finds_nobody(embedded_world: World) -> None:
    world = embedded_world
    await world.run(bad_agent())
    answer = await world.ask("bad.same", Number(n=0), {"timeout-ms": "600"})
    assert answer.status == "expired"
    assert len(world.story.children(answer.workflow)) == 1


async def test_the_10_001st_step_is_one_too_many(embedded_world: World) -> None:
    world = embedded_world
    agent = bad_agent()

    @agent.capability("bad.steps", lease="60s", max_attempts=1)
    async def steps(ctx: Context, number: Number) -> Sum:
        async def many(count: int) -> None:
            for n in range(count):
                await ctx.record_decision(f"d{n}", because="there is no end")

        await asyncio.gather(*(many(MAX_STEPS // 100) for _ in range(100)))
        await many(number.n)
        return Sum(total=MAX_STEPS + number.n)

    await world.run(agent)
    exactly, beyond = [await world.submit("bad.steps", Number(n=n)) for n in (0, 1)]
    assert (await world.reply(exactly)).result == {"total": MAX_STEPS}
    answer = await world.reply(beyond)
    assert answer.status == "failed"
    assert "attempt 1 of 1" in answer.error
    assert f"a handler may take {MAX_STEPS} steps, and this is one more" in answer.error
    assert (await world.ask("bad.fine", Number(n=7))).result == {"total": 7}
    assert len(world.story.of(beyond.workflow, f.DecisionRecorded)) == MAX_STEPS


@pytest.mark.broker
async def test_a_blocked_loop_loses_its_leases_and_partitions_and_says_so(
    kafka_world: World,
) -> None:
    """Two processes of one agent; the one that owns the partition blocks for seven seconds."""
    world = kafka_world
    agent = blocking_agents.agent
    await world.open(agent)
    short = {"max_poll_interval_ms": 3_000, "stall_s": 0.5}
    name = "tests.integration.blocking_agents:agent"
    first = await Remote.start(world.site, world.mesh, "first", name, limits=short)
    try:
        submitted = await world.submit("block.first", Number(n=7))
        story = world.story
        await story.until(lambda: story.of(submitted.workflow, f.TaskOpened))
        second = await world.start(agent, name="second")
        answer = await world.reply(submitted)
        # the second attempt is by the peer, which supervises the partition now
        assert answer.result == {"total": 7, "note": "not held"}
        award = story.awards(submitted.workflow)[-1]
        assert (award.attempt, award.worker.instance) == (2, "blocker.second")
        said = [line for line in first.said if "the event loop is held for" in line]
        assert said
        assert "blocking_agents.py" in said[0]
        # the first is back, and nothing that it has to say changes anything
        found = world.incidents.found
        await world.incidents.until(lambda: [i for i in found if i.kind == "loop-held"])
        assert (await world.ask("block.never", Number(n=3))).result["total"] == 3
        # it may answer what ended again, with the same: replies come at least once
        assert set(map(str, world.replies.answers[submitted.correlation_id])) == {str(answer)}
        assert story.awards(submitted.workflow)[-1] == award
        assert second.ready
    finally:
        await first.stop()
    assert first.told == ["ready", "drained"]
