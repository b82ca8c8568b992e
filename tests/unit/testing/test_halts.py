"""Halts as an author meets them: a whole mesh in memory, halted and lifted."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from mesh import Agent, Context
from mesh.core import facts as f
from mesh.core.settings import Settings
from mesh.core.values import Cause, Status
from mesh.errors import UsageError
from mesh.ports import Place
from mesh.testing import MemoryMesh
from mesh.wire import topics
from mesh.wire.entries import decode_halt, decode_incident

CONTROL = topics.control("test")


class Count(BaseModel):
    n: int = 0


def boss_and_hand(calls: list[str]) -> tuple[Agent, Agent]:
    """Return two agents; a child is asked for between two calls of a tool."""
    boss = Agent("boss", owner="team", calls=["*"], tools=["*"])
    hand = Agent("hand", owner="team", calls=["*"], tools=["*"])

    async def note(text: str) -> str:
        calls.append(text)
        return text

    @boss.capability("demo.root")
    async def root(ctx: Context, count: Count) -> Count:
        await ctx.tool(note, "before", effect="idempotent")
        part = await ctx.delegate("demo.part", count, Count)
        await ctx.tool(note, "after", effect="idempotent")
        return part

    @hand.capability("demo.part")
    async def part(ctx: Context, count: Count) -> Count:
        await ctx.sleep("2s")
        await ctx.sleep("1s")
        return Count(n=count.n + 1)

    return boss, hand


def after_the_halt(facts: list[f.Fact]) -> list[str]:
    """Return the kinds that follow the last fact which gives an award up to a halt."""
    last = max(place for place, fact in enumerate(facts) if isinstance(fact, f.WorkSuspended))
    return [type(fact).__name__ for fact in facts[last + 1 :]]


@pytest.mark.parametrize("what", ["workflow", "capability"])
async def test_a_halted_workflow_stops_with_all_below_it_and_goes_on_when_it_is_lifted(
    what: str,
) -> None:
    calls: list[str] = []
    async with MemoryMesh(*boss_and_hand(calls)) as mesh:
        submitted = await mesh.begin("demo.root", Count(n=1), Count)
        await mesh.advance("500ms")
        target = f"workflow/{submitted.workflow}" if what == "workflow" else "capability/demo.root"
        await mesh.halt(target, because="it costs too much", person="eve")
        facts = mesh.facts(submitted.workflow)
        waits = [fact.waiting_for[0] for fact in facts if isinstance(fact, f.WorkSuspended)]
        assert {(wait.kind, wait.note) for wait in waits} == {("halt", target)}
        assert len(waits) == 2
        await mesh.advance("60s")
        assert after_the_halt(mesh.facts(submitted.workflow)) == []
        assert calls == ["before"]
        await mesh.lift(target, because="it does not", person="eve")
        result = await mesh.finish(submitted)
        assert result.value == Count(n=2)
        assert calls == ["before", "after"]
        again = [fact for fact in mesh.facts() if isinstance(fact, f.TaskAwarded)]
        assert {own.award.cause for own in again} == {Cause.RESUMED}
        assert {own.award.attempt for own in again} == {1}
        assert mesh.violations() == []
        found = [
            decode_incident(own.value) for own in mesh.broker.records(topics.incidents("test"))
        ]
        assert [(own.kind, own.text) for own in found] == [
            ("halt", f"{target} is halted by eve: it costs too much"),
            ("lift", f"{target} is lifted by eve: it does not"),
        ]
        orders = [decode_halt(own.value) for own in mesh.broker.records(CONTROL)]
        assert [(own.halted, own.number) for own in orders] == [(True, 1), (False, 2)]
        assert [own.incident for own in orders] == [own.id for own in found]


async def test_a_new_task_of_what_is_halted_waits_and_deadlines_run_on() -> None:
    async with MemoryMesh(*boss_and_hand([])) as mesh:
        await mesh.halt("capability/demo.*", because="not today")
        late = await mesh.begin("demo.root", Count(), Count, timeout="3s")
        submitted = await mesh.begin("demo.root", Count(), Count)
        await mesh.advance("5s")
        assert (await mesh.finish(late)).status is Status.EXPIRED
        assert mesh.kinds(submitted.workflow) == ["TaskOpened"]
        await mesh.lift("capability/demo.*", because="today")
        assert (await mesh.finish(submitted)).status is Status.COMPLETED
        assert mesh.violations() == []


async def test_of_a_halted_agent_others_take_over() -> None:
    boss, hand = boss_and_hand([])
    other = Agent("other", owner="team")

    @other.capability("demo.part")
    async def part(ctx: Context, count: Count) -> Count:
        return Count(n=count.n + 10)

    async with MemoryMesh(boss, hand) as mesh:
        submitted = await mesh.begin("demo.root", Count(), Count)
        await mesh.advance("500ms")
        await mesh.halt("agent/hand", because="it is odd")
        await mesh.advance("5s")
        assert mesh.kinds(submitted.workflow)[-1] == "WorkSuspended"
        await mesh.start(other)
        assert (await mesh.finish(submitted)).value == Count(n=10)
        assert mesh.violations() == []


async def test_who_starts_under_a_halt_knows_it_and_an_order_that_comes_too_late_is_healed() -> (
    None
):
    calls: list[str] = []
    boss, hand = boss_and_hand(calls)
    async with MemoryMesh(boss, hand, settings=Settings(supervision_lease_ms=2_000)) as mesh:
        submitted = await mesh.begin("demo.root", Count(), Count)
        await mesh.advance("500ms")
        target = f"workflow/{submitted.workflow}"
        await mesh.halt(target, because="wait")
        first = mesh.broker.records(CONTROL)[0].value
        await mesh.lift(target, because="go")
        await mesh.halt(target, because="wait again")
        mesh.broker.partition(Place(CONTROL, 0)).append(0, target.encode(), first, ())
        mesh.broker.partition(Place(CONTROL, 0)).append(0, target.encode(), b"garbage", ())
        await mesh.advance("1s")
        orders = [own.value for own in mesh.broker.records(CONTROL)]
        assert len(orders) in (6, 7)
        assert decode_halt(orders[-1]).because == "wait again"
        await mesh.start(boss)
        mesh.kill("boss.1")
        await mesh.advance("30s")
        assert calls == ["before"]
        await mesh.lift(target, because="go")
        assert (await mesh.finish(submitted)).value == Count(n=1)
        assert mesh.violations() == []


async def test_what_is_no_target_is_refused() -> None:
    async with MemoryMesh() as mesh:
        with pytest.raises(UsageError, match="no target"):
            await mesh.halt("boss", because="no")
