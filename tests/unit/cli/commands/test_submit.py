from __future__ import annotations

import json

import pytest

from mesh.wire import topics
from mesh.wire.requests import decode_request
from tests.unit.cli.conftest import Cli, Recorded, copied

NEED = '{"item": "desk"}'


def test_a_task_is_submitted(cli: Cli, recorded: Recorded) -> None:
    broker = copied(recorded.broker)
    given = ("--budget", "usd=0.50", "--within", "2m", "--goal", "furnish", "--constraint", "cheap")
    ran = cli("submit", "office.order", "--json", NEED, *given, "-o", "json", broker=broker)
    assert ran.code == 0, ran.err
    shape = json.loads(ran.out)
    record = broker.records(topics.tasks("test", "office.order"))[-1]
    request = decode_request(record)
    assert (shape["partition"], shape["offset"]) == (record.partition, record.offset)
    assert shape["workflow"].startswith(("0-", "1-"))
    assert request.budget is not None
    assert (request.budget.micro_usd, request.timeout_ms) == (500_000, 120_000)
    assert (request.charter.goal, request.charter.constraints) == ("furnish", ("cheap",))
    assert "no instance of desk is alive: the task waits in Kafka" in ran.err
    assert f"mesh trace {shape['workflow']}" in ran.err


def test_the_id_alone_is_printed_for_people(cli: Cli, recorded: Recorded) -> None:
    ran = cli("submit", "office.order", "-", broker=copied(recorded.broker), stdin=NEED.encode())
    assert ran.code == 0
    assert ran.out.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (("office.ordr", NEED), 4, "nobody offers office.ordr; did you mean office.order"),
        (("office.order",), 2, "give the input once"),
        (("office.order", NEED, "--json", NEED), 2, "give the input once"),
        (("office.order", "{"), 2, "the input is no JSON"),
        (("office.order", NEED, "--budget", "usd=0,tokens=0,tool_calls=0"), 2, "is zero"),
        (("office.order", NEED, "--budget", "usd=-1"), 2, "must be zero or more"),
        (("office.order", NEED, "--budget", "usd=100000"), 2, "above the ceiling"),
        (("office.order", NEED, "--within", "30d"), 2, "the log is kept for"),
        (("office.order", NEED, "--within", "soon"), 2, "is no duration"),
        (("office.order", NEED, "--mode", "lottery"), 2, "must be direct or auction"),
        (("office.order", NEED, "--agent", "bob"), 4, "bob does not offer office.order; desk does"),
        (("office.quote", NEED, "--wait", "--timeout", "0.1"), 3, "has not ended within 0.1 s"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_one_line(
    cli: Cli, recorded: Recorded, given: tuple[str, ...], code: int, message: str
) -> None:
    ran = cli("submit", *given, "-q", broker=copied(recorded.broker))
    assert ran.code == code, ran.err
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert ran.out == ""


def test_modes_and_named_agents(cli: Cli, recorded: Recorded) -> None:
    broker = copied(recorded.broker)
    assert cli("submit", "office.quote", NEED, "--mode", "auction", broker=broker).code == 0
    assert cli("submit", "office.quote", NEED, "--agent", "bob", broker=broker).code == 0
    records = broker.records(topics.tasks("test", "office.quote"))
    requests = [decode_request(own) for own in records]
    modes = {(request.mode, request.named_agent) for request in requests}
    assert modes == {("auction", ""), ("named", "bob")}
