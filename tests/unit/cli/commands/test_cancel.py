from __future__ import annotations

import json

from mesh.core.messages import Cancel
from mesh.wire import topics
from mesh.wire.messages import decode_envelope
from tests.unit.cli.conftest import Cli, Recorded, copied


def test_its_supervisor_is_asked(cli: Cli, recorded: Recorded) -> None:
    broker = copied(recorded.broker)
    workflow = recorded.workflows["later"]
    given = ("--because", "ordered twice", "--timeout", "0.2")
    ran = cli("cancel", workflow, *given, broker=broker)
    assert ran.code == 3, "nobody is alive to answer"
    assert "is its supervisor alive?" in ran.err
    (record,) = [
        own
        for own in broker.records(topics.inbox("test", "desk"))
        if own.key == b"desk.1" and isinstance(decode_envelope(own.value).content, Cancel)
    ]
    envelope = decode_envelope(record.value)
    assert envelope.to.instance == "desk.1"
    content = envelope.content
    assert isinstance(content, Cancel)
    assert (content.task, content.award, content.because) == (workflow, -1, "ordered twice")
    assert content.person


def test_one_that_has_ended_is_told(cli: Cli, recorded: Recorded) -> None:
    workflow = recorded.workflows["table"]
    ran = cli("cancel", workflow, "--because", "late", "-o", "json", broker=recorded.broker)
    assert ran.code == 6
    assert json.loads(ran.out)["status"] == "completed"
    assert "had ended already: completed" in ran.err


def test_a_reason_is_needed(cli: Cli, recorded: Recorded) -> None:
    assert cli("cancel", "0-x", "--because", " ", broker=recorded.broker).code == 2
    long = cli("cancel", "0-x", "--because", "x" * 2_001, broker=recorded.broker)
    assert (long.code, "at most 2000 characters" in long.err) == (2, True)
    assert cli("cancel", "0-x", broker=recorded.broker).code == 2
