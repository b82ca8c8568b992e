from __future__ import annotations

from typing import Any

import pytest

from mesh import Agent, Context
from mesh.cli.checkup import Broker, Finding, Health, definitions, machine
from mesh.cli.output import Out
from mesh.config import Config
from mesh.errors import NotPermitted
from mesh.transport.memory import Fate, MemoryBroker, MemoryLog
from mesh.wire import topics
from tests.unit.cli.conftest import Recorded, copied
from tests.unit.cli.office import AGENTS, Need, Order, desk


def texts(findings: list[Finding], health: Health) -> str:
    return "\n".join(own.what for own in findings if own.health is health)


async def examined(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch, *agents: Agent, **config: Any
) -> tuple[list[Finding], Broker]:
    monkeypatch.setattr("mesh.bootstrap.connect", lambda *_, **__: MemoryLog(broker))
    monkeypatch.setattr("mesh.bootstrap.administer", lambda *_, **__: MemoryLog(broker))
    doctor = Broker(Config(mesh="test", **config), agents, Out(quiet=True))
    return [own async for own in doctor.examine()], doctor


def test_the_machine() -> None:
    (found,) = machine()
    assert found.what.startswith("Python 3")


def test_definitions_that_are_well_and_that_are_not() -> None:
    found = list(definitions(AGENTS))
    assert all(own.health is Health.OK for own in found)
    idle = Agent("idle", owner="o")
    loose = Agent("loose", owner="o", calls=["*", "office.order"])

    @loose.capability("loose.do", mode="auction", effect="irreversible")
    async def do(ctx: Context, need: Need) -> Order:
        raise NotImplementedError

    warned = [own for own in definitions([idle, loose]) if own.health is Health.WARN]
    assert [own.what for own in warned] == [
        "agent idle offers nothing and may call nobody",
        "agent idle has no purpose",
        "agent loose has no purpose",
        "agent loose may call everything (*)",
        "loose.do is auctioned, and has no bid function",
    ]
    assert all(own.why and own.fix for own in warned)
    said = texts(list(definitions([loose])), Health.OK)
    assert "parked for a person unless a probe" in said
    assert "agent loose calls office.order, offered elsewhere" in said


@pytest.mark.parametrize(
    ("terms", "what"),
    [
        ({"budget": {"usd": "99999999"}}, "no budget: the budget of"),
        ({"budget": {"usd": 0, "tokens": 0, "tool_calls": 0}}, "no budget: the budget is zero"),
        ({"timeout": "30d"}, "no timeout: the deadline is in 2592000000 ms"),
    ],
)
def test_a_capability_whose_own_limits_no_supervisor_takes(
    terms: dict[str, Any], what: str
) -> None:
    agent = Agent("greedy", owner="o", purpose="to be refused")

    @agent.capability("greedy.do", **terms)
    async def do(ctx: Context, need: Need) -> Order:
        raise NotImplementedError

    (failed,) = [own for own in definitions([agent]) if own.health is Health.FAIL]
    assert f"greedy.do refuses every task that names {what}" in failed.what
    assert "@agent.capability" in failed.fix


async def test_a_mesh_that_is_well(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = copied(recorded.broker)
    found, doctor = await examined(broker, monkeypatch, partitions={"audit": 2, "tasks": 1})
    assert doctor.reached
    well = texts(found, Health.OK)
    assert "127.0.0.1:9092 answers" in well
    assert "this user may write to test.presence" in well
    assert "3 agents" in well
    assert "nobody alive offers office.order" in texts(found, Health.WARN)


async def test_topics_that_are_missing_and_an_owner_that_differs(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    thief = Agent("desk", owner="somebody-else", purpose="p")
    found, _ = await examined(copied(recorded.broker), monkeypatch, thief)
    failed = texts(found, Health.FAIL)
    assert "topic to refuse test.audit: partitions is 2, wanted 8" in failed
    assert "agent desk belongs to team-office, and somebody-else asks for its name" in failed


async def test_a_broker_without_this_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = await examined(MemoryBroker(lambda: 0), monkeypatch, desk)
    assert "topic to create test.audit" in texts(found, Health.FAIL)


async def test_a_broker_that_does_not_answer_or_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = MemoryBroker(lambda: 0)
    broker.stop()
    found, doctor = await examined(broker, monkeypatch)
    assert not doctor.reached
    assert "does not answer: connect to the memory broker" in texts(found, Health.FAIL)

    async def refuse(self: MemoryLog) -> None:
        raise NotPermitted("no such user")

    monkeypatch.setattr(MemoryLog, "open", refuse)
    found, _ = await examined(MemoryBroker(lambda: 0), monkeypatch)
    assert "refuses us: no such user" in texts(found, Health.FAIL)


async def test_topics_that_may_not_be_described_and_writing_that_is_refused(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: MemoryLog, names: object) -> None:
        raise NotPermitted("DESCRIBE_CONFIGS")

    monkeypatch.setattr(MemoryLog, "describe", refuse)
    broker = copied(recorded.broker)
    broker.fate = lambda _: Fate.LOST
    found, _ = await examined(broker, monkeypatch)
    assert "topics cannot be described: DESCRIBE_CONFIGS" in texts(found, Health.WARN)
    assert "nothing can be written to test.presence" in texts(found, Health.FAIL)


async def test_clocks_that_differ_are_found(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = copied(recorded.broker)
    times = iter(range(0, 10_000_000, 2_000))
    broker.clock = lambda: next(times)
    found, _ = await examined(broker, monkeypatch)
    assert "brokers' clocks differ by" in texts(found, Health.FAIL)


async def test_the_embedded_broker_says_what_it_is(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = await examined(copied(recorded.broker), monkeypatch, embedded=True)
    assert "this is the embedded broker" in texts(found, Health.WARN)
    assert "one clock" in texts(found, Health.OK)


def test_the_topic_that_is_touched_is_read_by_keys_that_have_a_slash() -> None:
    from mesh.cli.checkup import NOBODY

    assert b"/" not in NOBODY
    assert topics.open_workflows("test") == "test.open"
