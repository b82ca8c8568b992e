from __future__ import annotations

from decimal import Decimal

import pytest

from mesh import Agent, Context
from mesh.cli.replaying import Replay, Replayer, Verdict, replayable
from mesh.core.ids import audit_partition_of
from mesh.core.ledger import Ledger
from mesh.core.tasks import TaskState
from mesh.runtime.artifacts import MemoryArtifacts
from mesh.telling.story import Chronicle
from mesh.testing import MemoryMesh
from tests.unit.cli import office_changed, sharing
from tests.unit.cli.conftest import Recorded
from tests.unit.cli.office import AGENTS, Need, Order, ann, desk

NAMED = {agent.name: agent for agent in AGENTS}


def states_of(recorded: Recorded, item: str) -> list[TaskState]:
    workflow = recorded.workflows[item]
    chronicle = Chronicle(workflow, Ledger())
    for record in recorded.records(workflow)[1]:
        chronicle.add(record)
    return list(chronicle.states.values())


async def replayed(state: TaskState, agent: Agent) -> Replay:
    replayer = Replayer(agent, MemoryArtifacts())
    try:
        return await replayer.replay(state)
    finally:
        await replayer.close()


@pytest.mark.parametrize("item", ["table", "chair", "ghost", "gold"])
async def test_the_same_code_takes_the_recorded_steps(recorded: Recorded, item: str) -> None:
    for state in states_of(recorded, item):
        assert state.terms is not None
        found = await replayed(state, NAMED[state.terms.agent])
        assert (found.verdict, found.step, found.called) == (Verdict.SAME, "", "")
        assert found.same_code
        assert found.steps == len(state.steps)


async def test_a_handler_that_waited_waits_again(recorded: Recorded) -> None:
    root = states_of(recorded, "later")[0]
    found = await replayed(root, desk)
    assert found.verdict is Verdict.WAITS
    assert found.steps == 3


async def test_changed_code_names_the_first_step_that_differs(recorded: Recorded) -> None:
    root = states_of(recorded, "table")[0]
    found = await replayed(root, office_changed.desk)
    assert found.verdict is Verdict.DIVERGES
    assert found.step == "2"
    assert found.recorded.startswith("tool post (input ")
    assert found.called == "decision buy"
    assert not found.same_code


async def test_another_result_is_a_difference_at_the_end(recorded: Recorded) -> None:
    other = Agent("desk", owner="team-office", calls=["*"], tools=["*"])

    @other.capability("office.order")
    async def order(ctx: Context, need: Need) -> Order:
        return Order(decision="sell", total=Decimal(0))

    root = states_of(recorded, "table")[0]
    found = await replayed(root, other)
    assert found.verdict is Verdict.DIVERGES
    assert (found.step, found.called) == ("0", "the end")


async def test_a_step_that_the_journal_does_not_have(recorded: Recorded) -> None:
    seller = Agent("ann", owner="team-ann")

    @seller.capability("office.quote")
    async def quote(ctx: Context, need: Need) -> Order:
        await ctx.spend(usd="0.01", because="new")
        return Order(decision="sell", total=Decimal(0))

    state = next(own for own in states_of(recorded, "table") if own.opened.parent)
    found = await replayed(state, seller)
    assert found.verdict is Verdict.DIVERGES
    assert (found.recorded, found.called) == ("the end", "spend spend")


async def test_a_result_that_changed() -> None:
    first, second = Agent("desk", owner="o"), Agent("desk", owner="o")

    @first.capability("office.order")
    async def order(ctx: Context, need: Need) -> Order:
        return Order(decision="buy", total=Decimal(1))

    @second.capability("office.order")
    async def order_again(ctx: Context, need: Need) -> Order:
        return Order(decision="buy", total=Decimal(2))

    async with MemoryMesh(first) as mesh:
        result = await mesh.submit(order, Need(item="x"))
        chronicle = Chronicle(result.workflow, Ledger())
        for _, record in mesh._records():
            if record is not None:
                chronicle.add(record)
    found = await replayed(chronicle.states[result.workflow], second)
    assert found.verdict is Verdict.DIVERGES
    assert found.step == ""
    assert found.recorded.startswith("completed, result ")
    assert found.recorded != found.called


def test_what_cannot_be_replayed_says_why(recorded: Recorded) -> None:
    root = states_of(recorded, "table")[0]
    assert replayable(root, NAMED) == ""
    assert replayable(root, {}) == "the code of desk was not given"
    assert replayable(root, {"desk": ann}) == "desk as given does not offer office.order"
    terms, root.terms = root.terms, None
    assert replayable(root, NAMED) == "nobody was awarded it"
    root.terms = terms


async def test_of_several_attempts_the_last_is_run() -> None:
    """It was told why the first was refused, took one of its steps and did another anew."""
    agent = Agent("desk", owner="team", calls=["office.*"])

    @agent.capability("office.draft")
    async def draft(ctx: Context, need: Need) -> Order:
        await ctx.record_decision("begin", because="always the same")
        if ctx.attempt.reason:
            await ctx.record_decision("short", because=ctx.attempt.reason)
            return Order(decision="short", total=Decimal(1))
        await ctx.record_decision("long", because="nobody said otherwise")
        return Order(decision="long", total=Decimal(1))

    @agent.capability("office.publish")
    async def publish(ctx: Context, need: Need) -> Order:
        return await ctx.delegate(
            draft, need, check=lambda made: "too long" if made.decision == "long" else None
        )

    async with MemoryMesh(agent) as mesh:
        result = await mesh.submit(publish, Need(item="x"))
        assert result.value == Order(decision="short", total=Decimal(1))
        chronicle = Chronicle(result.workflow, Ledger())
        for partition, record in mesh._records():
            if partition == audit_partition_of(result.workflow):
                chronicle.add(record)
    assert any("1~1" in state.steps for state in chronicle.states.values())
    for task in chronicle.states:
        assert (await replayed(chronicle.states[task], agent)).verdict is Verdict.SAME


# --- shared state -------------------------------------------------------------------------------


@pytest.mark.parametrize("disturbed", [False, True])
async def test_reads_and_verdicts_are_those_of_the_journal(disturbed: bool) -> None:
    """The state is another by now, and there is no replica and nobody who judges."""
    (state,) = (await sharing.taken(disturbed=disturbed)).states.values()
    assert ("0~1" in state.steps) is disturbed
    found = await replayed(state, sharing.store)
    assert (found.verdict, found.step, found.called) == (Verdict.SAME, "", "")
    assert found.steps == 6


async def test_a_write_of_something_else_is_a_difference() -> None:
    (state,) = (await sharing.taken()).states.values()
    found = await replayed(state, sharing.changed)
    assert (found.verdict, found.step) == (Verdict.DIVERGES, "2")
    assert found.recorded.startswith("write stock/desk (input ")
    assert found.called.startswith("write stock/desk (input ")
    assert found.recorded != found.called


async def test_a_write_that_nobody_judged_yet_waits() -> None:
    (state,) = (await sharing.interrupted()).states.values()
    assert (await replayed(state, sharing.store)).verdict is Verdict.WAITS
