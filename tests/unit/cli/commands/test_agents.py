from __future__ import annotations

import json

from mesh.ports import Place
from mesh.transport.memory import MemoryBroker
from mesh.wire import topics
from tests.unit.cli.conftest import Cli, Recorded, copied


def test_who_is_there(cli: Cli, recorded: Recorded) -> None:
    ran = cli("agents", broker=recorded.broker)
    assert ran.code == 0
    assert "desk" in ran.out
    assert "team-bob" in ran.out
    assert "office.quote" in ran.out
    assert "Orders what is needed." not in ran.out
    assert "Orders what is needed." in cli("agents", "-o", "wide", broker=recorded.broker).out


def test_one_agent_with_its_instances(cli: Cli, recorded: Recorded) -> None:
    broker = copied(recorded.broker)
    topic = topics.presence("test")
    now = 4_000_000_000_000
    for own in broker.records(topic):
        if own.value is not None:
            broker.partition(Place(topic, 0)).append(now, own.key, own.value, ())
    ran = cli("agents", "desk", broker=broker)
    assert "may call  office.quote" in ran.out
    assert "$2.00" in ran.out
    assert "desk.1" in ran.out
    shape = json.loads(cli("agents", "desk", "-o", "json", broker=broker).out)
    assert shape["instances"][0]["instance"] == "desk.1"
    assert "1   0/64" in cli("agents", broker=broker).out


def test_an_agent_that_is_not_there_names_near_misses(cli: Cli, recorded: Recorded) -> None:
    ran = cli("agents", "desc", broker=recorded.broker)
    assert ran.code == 4
    assert "did you mean desk?" in ran.err
    assert "`mesh agents` lists them" in cli("agents", "zzz", broker=recorded.broker).err


def test_an_empty_mesh_and_none(cli: Cli) -> None:
    broker = MemoryBroker(lambda: 0)
    assert cli("agents", broker=broker).code == 4
    for plan in topics.plans("test"):
        broker.create_topic(plan)
    ran = cli("agents", "-o", "json", broker=broker)
    assert json.loads(ran.out) == []
    assert "no agent has registered in test yet" in ran.err
