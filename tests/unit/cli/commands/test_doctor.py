from __future__ import annotations

import json

from mesh.transport.memory import MemoryBroker
from tests.unit.cli.conftest import Cli, Recorded, copied
from tests.unit.cli.office import TARGETS


def test_definitions_need_no_broker(cli: Cli) -> None:
    ran = cli("doctor", *TARGETS)
    assert ran.code == 0
    assert "✓ agent desk 0.1.0 of team-office offers office.order" in ran.out
    assert "no broker was asked" in ran.err


def test_each_line_says_why_and_what_to_do(cli: Cli, recorded: Recorded) -> None:
    ran = cli("doctor", *TARGETS, "--bootstrap", "k:1", broker=copied(recorded.broker))
    assert ran.code == 5
    assert "✗ topic to refuse test.audit" in ran.out
    assert "    why  agents do not start without it" in ran.out
    assert "    fix  `mesh topics apply`" in ran.out
    shape = json.loads(
        cli("doctor", "-o", "json", "--bootstrap", "k:1", broker=copied(recorded.broker)).out
    )
    assert {own["health"] for own in shape} == {"ok", "warn", "fail"}


def test_a_broker_that_does_not_answer_is_code_3(cli: Cli) -> None:
    broker = MemoryBroker(lambda: 0)
    broker.stop()
    ran = cli("doctor", broker=broker)
    assert ran.code == 3
    assert "does not answer" in ran.out
