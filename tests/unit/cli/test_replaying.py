from __future__ import annotations

from decimal import Decimal

import pytest

from mesh import Agent, Context
from mesh.cli.replaying import Replay, Replayer, Verdict, replayable, shown, signature
from mesh.cli.story import Chronicle
from mesh.core import calls as c
from mesh.core.ledger import Ledger
from mesh.core.tasks import TaskState
from mesh.core.values import NOTHING, Amount, Effect, Mode, StepKind
from mesh.runtime.artifacts import MemoryArtifacts
from mesh.testing import MemoryMesh
from tests.unit.cli import office_changed
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


def test_signatures() -> None:
    body = NOTHING._replace(hash=b"\x01\x02")
    calls: list[tuple[c.Call, StepKind]] = [
        (c.Delegate(step="0", capability="x.y", input=body, mode=Mode.DIRECT), StepKind.DELEGATE),
        (c.Spend(step="0", amount=Amount(1), because=""), StepKind.SPEND),
        (
            c.Use(
                step="0", kind=StepKind.MODEL, name="m", input_hash=b"", effect=Effect.PURE,
                reserve=Amount(),
            ),
            StepKind.MODEL,
        ),
        (c.Keep(step="0", name="a", input_hash=b"", result=body), StepKind.ARTIFACT),
        (c.Decide(step="0", choice="c", because="", evidence=()), StepKind.DECISION),
        (c.Sleep(step="0", ms=1), StepKind.SLEEP),
    ]  # fmt: skip
    assert [signature(call)[0] for call, _ in calls] == [kind for _, kind in calls]
    assert shown(signature(calls[0][0])) == "delegate x.y (input 0102)"
    with pytest.raises(AssertionError):
        signature(c.Withdraw(step="0"))
