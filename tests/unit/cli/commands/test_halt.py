from __future__ import annotations

import asyncio
import json

import pytest

from mesh import Agent, Context
from mesh.ports import Place
from mesh.testing import MemoryMesh
from mesh.transport.memory import MemoryBroker
from mesh.wire import topics
from mesh.wire.entries import decode_halt, decode_incident, encode_entry
from tests.unit.cli.conftest import Cli, Recorded, copied
from tests.unit.cli.office import Need

CONTROL = Place(topics.control("test"), 0)


def orders(broker: MemoryBroker) -> list[tuple[str, bool, int]]:
    every = [decode_halt(own.value) for own in broker.records(CONTROL.topic)]
    return [(own.target, own.halted, own.number) for own in every]


def test_a_workflow_is_halted_and_lifted(cli: Cli, recorded: Recorded) -> None:
    broker, workflow = copied(recorded.broker), recorded.workflows["later"]
    ran = cli("halt", "workflow", workflow[:14], "--because", "too dear", broker=broker)
    assert ran.code == 0, ran.err
    assert ran.out == f"workflow/{workflow} is halted; it covers 1 open task\n"
    told = cli("trace", workflow, broker=broker).out
    assert f"workflow/{workflow} is halted by " in told
    assert "because too dear, since 20" in told.replace("\n", " ")
    (halt,) = json.loads(cli("trace", workflow, "-o", "json", broker=broker).out)["halts"]
    assert (halt["target"], halt["because"]) == (f"workflow/{workflow}", "too dear")
    again = cli("halt", "workflow", workflow, "--because", "once more", broker=broker)
    assert again.code == 0
    assert "nothing was ordered" in again.err
    ran = cli("lift", workflow[:14], "--because", "not so", "-o", "json", broker=broker)
    shape = json.loads(ran.out)
    assert (shape["halted"], shape["number"], shape["open_tasks"]) == (False, 2, 1)
    assert shape["person"]
    target = f"workflow/{workflow}"
    assert orders(broker) == [(target, True, 1), (target, False, 2)]
    found = [decode_incident(own.value) for own in broker.records(topics.incidents("test"))]
    assert [own.kind for own in found][-2:] == ["halt", "lift"]
    assert json.loads(cli("trace", workflow, "-o", "json", broker=broker).out)["halts"] == []


def test_a_halted_agent_is_marked(cli: Cli, recorded: Recorded) -> None:
    broker = copied(recorded.broker)
    ran = cli("halt", "agent", "ann", "--because", "odd prices", broker=broker)
    assert ran.out == "agent/ann is halted; it covers 0 open tasks\n"
    assert "HALTED" in cli("agents", broker=broker).out
    assert "because odd prices" in cli("agents", "ann", broker=broker).out
    shapes = json.loads(cli("agents", "-o", "json", broker=broker).out)
    assert {own["agent"]: own["halt"] is not None for own in shapes} == {
        "ann": True,
        "bob": False,
        "desk": False,
    }


@pytest.mark.parametrize("name", ["office.order", "office.*"])
def test_a_capability_is_halted(cli: Cli, recorded: Recorded, name: str) -> None:
    broker = copied(recorded.broker)
    ran = cli("halt", "capability", name, "--because", "stock-taking", broker=broker)
    assert ran.out == f"capability/{name} is halted; it covers 1 open task\n"
    assert cli("lift", f"capability/{name}", "--because", "done", broker=broker).code == 0


def test_what_is_not_known_is_said_with_near_names_and_may_be_forced(
    cli: Cli, recorded: Recorded
) -> None:
    broker = copied(recorded.broker)
    ran = cli("halt", "agent", "desc", "--because", "x", broker=broker)
    assert (ran.code, "did you mean desk?" in ran.err) == (4, True)
    ran = cli("halt", "capability", "zzz", "--because", "x", broker=broker)
    assert (ran.code, "`mesh agents` lists" in ran.err) == (4, True)
    ran = cli("halt", "workflow", "0-zzz", "--because", "x", broker=broker)
    assert ran.code == 4
    assert orders(broker) == []
    ran = cli("halt", "agent", "desc", "--because", "x", "--force", broker=broker)
    assert (ran.code, "halted all the same" in ran.err) == (0, True)
    for name in ("0-zzz", "zzz"):
        assert cli("halt", "workflow", name, "--because", "x", "--force", broker=broker).code == 0
    assert cli("halt", "agent/bob", "--because", "x", broker=broker).code == 0
    assert cli("halt", "person", "eve", "--because", "x", broker=broker).code == 2
    assert cli("halt", "agent", "--because", "x", broker=broker).code == 2
    assert cli("halt", "agent", "ann", "--because", " ", broker=broker).code == 2


def test_what_is_not_halted_cannot_be_lifted(cli: Cli, recorded: Recorded) -> None:
    broker = copied(recorded.broker)
    ran = cli("lift", "ann", "--because", "x", broker=broker)
    assert (ran.code, "halted: nothing" in ran.err) == (4, True)
    for name in ("ann", "bob"):
        cli("halt", "agent", name, "--because", "x", broker=broker)
    assert "did you mean" in cli("lift", "anna", "--because", "x", broker=broker).err
    ran = cli("lift", "agent/", "--because", "x", broker=broker)
    assert (ran.code, "names several" in ran.err) == (4, True)


def test_who_orders_second_is_told_and_the_first_stands_last(
    cli: Cli, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = copied(recorded.broker)
    cli("halt", "agent", "ann", "--because", "mine", broker=broker)
    (mine,) = broker.records(CONTROL.topic)
    other = copied(recorded.broker)

    def late(*_: object) -> str:
        if not other.records(CONTROL.topic):
            value = encode_entry(decode_halt(mine.value))
            other.partition(CONTROL).append(0, mine.key, value, ())
        return "late"

    monkeypatch.setattr("mesh.cli.ordering.person", late)
    ran = cli("halt", "agent", "ann", "--because", "late", broker=other)
    assert ran.code == 6
    assert "gave another order for agent/ann first (because mine)" in ran.err
    assert [decode_halt(own.value).because for own in other.records(CONTROL.topic)] == [
        "mine",
        "late",
        "mine",
    ]


def test_without_the_topic_and_with_what_is_no_order(cli: Cli, recorded: Recorded) -> None:
    bare = MemoryBroker(lambda: 0)
    for plan in topics.plans("test"):
        if plan.name != CONTROL.topic:
            bare.create_topic(plan)
    ran = cli("halt", "agent", "ann", "--because", "x", "--force", broker=bare)
    assert (ran.code, "create its topics" in ran.err) == (4, True)
    broker = copied(recorded.broker)
    broker.partition(CONTROL).append(0, b"agent/ann", b"junk", ())
    ran = cli("agents", broker=broker)
    assert (ran.code, "the halt at 0 cannot be read" in ran.err) == (0, True)


napper = Agent("napper", owner="team")


@napper.capability("office.nap")
async def nap(ctx: Context, need: Need) -> Need:
    await ctx.sleep("10s")
    return need


def test_a_task_that_was_halted_says_so(cli: Cli) -> None:
    async def record() -> tuple[MemoryBroker, str]:
        async with MemoryMesh(napper) as mesh:
            submitted = await mesh.begin(nap, Need(item="chair"))
            await mesh.halt("capability/office.*", because="stock-taking", person="eve")
            await mesh.advance("5s")
            return mesh.broker, submitted.workflow

    broker, workflow = asyncio.run(record())
    told = cli("trace", workflow, broker=broker).out
    assert "capability/office.* is halted by eve because stock-taking" in told.replace("\n", " ")
    reasons = json.loads(cli("why", workflow, "-o", "json", broker=broker).out)["reasons"]
    assert [(own["kind"], own["text"]) for own in reasons][-1] == (
        "halted",
        "capability/office.* was halted",
    )
    shape = json.loads(cli("trace", workflow, "-o", "json", broker=broker).out)
    assert (shape["root"]["waiting_for"], shape["root"]["parked"]) == (["halt"], "")


def test_what_was_halted_and_lifted_replays(cli: Cli) -> None:
    async def record() -> tuple[MemoryBroker, str]:
        async with MemoryMesh(napper) as mesh:
            submitted = await mesh.begin(nap, Need(item="chair"))
            await mesh.halt("capability/office.*", because="stock-taking")
            await mesh.lift("capability/office.*", because="done")
            await mesh.finish(submitted)
            await mesh.begin(nap, Need(item="table"))
            await mesh.halt("capability/office.*", because="stock-taking")
            return mesh.broker, submitted.workflow

    broker, workflow = asyncio.run(record())
    told = cli("trace", workflow, broker=broker).out
    assert "suspended: capability/office.* was halted" in told
    code = ("--with", "tests.unit.cli.commands.test_halt:napper")
    ran = cli("replay", "--all", *code, broker=broker)
    assert ran.code == 0, ran.err
    assert cli("audit", "check", broker=broker).code == 0
