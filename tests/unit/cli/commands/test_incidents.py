from __future__ import annotations

import json

import pytest

from mesh.ports import TopicPlan
from mesh.transport.memory import MemoryBroker
from mesh.wire import topics
from tests.unit.cli.conftest import Cli, Recorded
from tests.unit.cli.test_findings import HELD, LOOP, PARKED, broker_of


@pytest.fixture
def broker() -> MemoryBroker:
    return broker_of(PARKED, LOOP, LOOP, HELD)


def test_all_of_them_the_newest_last(cli: Cli, broker: MemoryBroker) -> None:
    ran = cli("incidents", broker=broker)
    assert (ran.code, ran.err) == (0, "")
    heads = [line.split()[1] for line in ran.out.splitlines() if line.startswith("✗")]
    assert heads == ["void", "loop", "loop-held"]
    assert "  proof   0/0, 0/1, 0/2, 0/3, 0/4, 0/5 and 2 more\n" in ran.out
    assert "state 1/9" in cli("incidents", "-o", "wide", broker=broker).out


def test_some_of_them_as_json(cli: Cli, broker: MemoryBroker) -> None:
    ran = cli("incidents", "--kind", "loop", "--kind", "void", "-o", "json", broker=broker)
    assert [own["kind"] for own in json.loads(ran.out)] == ["void", "loop"]
    given = ("--detector", "loop", "--workflow", "0-work", "--since", "1970-01-01T00:00:01Z")
    ran = cli("incidents", *given, "-o", "jsonl", broker=broker)
    assert json.loads(ran.out)["id"] == LOOP.id


def test_nothing_is_said_to_be_nothing(cli: Cli, broker: MemoryBroker) -> None:
    ran = cli("incidents", "--since", "1h", broker=broker)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == (
        "no incident since 1h; there are 3 others in test, of kind loop, loop-held and void\n"
    )
    ran = cli("incidents", "--workflow", "9-", "-o", "json", broker=broker)
    assert (ran.code, json.loads(ran.out)) == (0, [])
    ran = cli("incidents", "-o", "json", broker=broker_of())
    assert (json.loads(ran.out), ran.err) == ([], "no incident was found in test\n")


def test_they_are_followed(cli: Cli, broker: MemoryBroker) -> None:
    ran = cli("incidents", "--follow", "-n", "2", "--workflow", "0", broker=broker)
    assert ran.code == 0
    assert ran.err.startswith("incidents of test at ")
    assert [line[0] for line in ran.out.splitlines() if line[0] != " "] == ["✗", "✗"]
    ran = cli("incidents", "-f", "-n", "1", "-o", "json", "-q", broker=broker)
    assert (json.loads(ran.out)["kind"], ran.err) == ("void", "")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("-n", "3"), "--count ends --follow"),
        (("--since", "yesterday"), "--since"),
        (("--since", "2026-01-01T00:00:00"), "names no time zone"),
    ],
)
def test_wrong_usage(cli: Cli, broker: MemoryBroker, given: tuple[str, ...], said: str) -> None:
    ran = cli("incidents", *given, broker=broker)
    assert ran.code == 2
    assert said in ran.err


def test_there_is_no_such_mesh(cli: Cli) -> None:
    broker = MemoryBroker(lambda: 0)
    broker.create_topic(TopicPlan(name=topics.audit("test"), partitions=1))
    ran = cli("incidents", broker=broker)
    assert ran.code == 4
    assert "no topic test.incidents" in ran.err


def test_the_coordinates_of_a_proof_lead_to_the_workflow(cli: Cli, recorded: Recorded) -> None:
    workflow = recorded.workflows["chair"]
    partition, records = recorded.records(workflow)
    own = next(one for one in records if getattr(one.fact, "workflow", "") == workflow)
    where = f"{partition}/{own.offset}"
    ran = cli("trace", where, "-o", "json", broker=recorded.broker)
    assert json.loads(ran.out)["workflow"] == workflow
    ran = cli("why", where, "-o", "json", broker=recorded.broker)
    assert json.loads(ran.out)["task"] == workflow
