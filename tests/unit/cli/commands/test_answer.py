from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.core.responses import answer
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire.entries import decode_incident
from tests.unit.cli.conftest import Cli
from tests.unit.cli.test_findings import ASKED, LOOP, TOPIC, broker_of, put

ANSWER = ("answer", "a1", "--because")


@pytest.fixture
def broker() -> MemoryBroker:
    return broker_of(LOOP, ASKED, now_ms=9_000)


def test_what_asks_is_answered_and_open_no_more(cli: Cli, broker: MemoryBroker) -> None:
    ran = cli("incidents", "--open", broker=broker)
    assert ran.out.startswith("✗ velocity")
    assert "mesh answer a1a1" in ran.out
    ran = cli(*ANSWER, "it is month's end", broker=broker)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{ASKED.id[:10]} is answered by ")
    word = decode_incident(broker.records(TOPIC)[-1].value)
    assert (word.kind, word.answers, word.text) == ("answer", ASKED.id, "it is month's end")
    assert word.person
    assert word.workflow == ASKED.workflow
    ran = cli("incidents", "--open", broker=broker)
    assert (ran.code, ran.out) == (0, "")
    assert "no incident that waits for an answer; there are 2 others" in ran.err
    assert "answered by" in cli("incidents", broker=broker).out


def test_who_comes_second_is_told(cli: Cli, broker: MemoryBroker) -> None:
    assert cli(*ANSWER, "yes", broker=broker).code == 0
    count = len(broker.records(TOPIC))
    ran = cli(*ANSWER, "no", "-o", "json", broker=broker)
    assert ran.code == 6
    assert "had answered a1a1" in ran.err
    assert json.loads(ran.out)["answer"]["because"] == "yes"
    assert len(broker.records(TOPIC)) == count


def test_of_two_at_once_the_first_holds(
    cli: Cli, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = MemoryLog.append

    def overtaken(log: MemoryLog, *given: Any, **more: Any) -> None:
        if not any(decode_incident(own.value).answers for own in broker.records(TOPIC)):
            put(broker, answer(ASKED, person="bob", because="mine"), 2)
        whole(log, *given, **more)

    monkeypatch.setattr(MemoryLog, "append", overtaken)
    ran = cli(*ANSWER, "no", broker=broker)
    assert ran.code == 6
    assert "bob had answered a1a1" in ran.err


def test_what_does_not_ask_cannot_be_answered(cli: Cli, broker: MemoryBroker) -> None:
    ran = cli("answer", LOOP.id, "--because", "so", broker=broker)
    assert ran.code == 4
    assert "no incident that asks has the id" in ran.err
    assert cli(*ANSWER, " ", broker=broker).code == 2
