from __future__ import annotations

import asyncio
import json

from mesh.core.effects import Incident
from mesh.core.facts import SupervisionTaken, TaskOpened
from mesh.core.messages import Cancel, Envelope
from mesh.core.values import Holder, Inbox
from mesh.ports import Place
from mesh.testing import MemoryMesh
from mesh.transport.memory import MemoryBroker
from mesh.wire import topics
from mesh.wire.entries import decode_incident, encode_entry
from mesh.wire.messages import decode_envelope, encode_envelope
from tests.unit.cli.conftest import Cli, Recorded, copied
from tests.unit.cli.office import AGENTS, Need, order


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


async def cancelled() -> tuple[MemoryBroker, str]:
    """Return a mesh in which one workflow was cancelled, and that."""
    async with MemoryMesh(*AGENTS) as mesh:
        submitted = await mesh.begin(order, Need(item="later"))
        await mesh.advance("2m")
        facts = mesh.facts()
        (source,) = {own.source for own in facts if isinstance(own, TaskOpened) and not own.parent}
        held = (own for own in facts if isinstance(own, SupervisionTaken))
        *_, taken = (own for own in held if own.source == source)
        content = Cancel(
            workflow=submitted.workflow,
            task=submitted.workflow,
            award=-1,
            because="so",
            person="eve",
        )
        envelope = Envelope(
            to=taken.by, sender=Holder("eve", 0), sender_inbox=Inbox("", 0), content=content
        )
        place = Place(taken.inbox.topic, taken.inbox.partition)
        mesh.broker.partition(place).append(1, b"desk.1", encode_envelope(envelope), ())
        await mesh.settle()
        return copied(mesh.broker), submitted.workflow


def test_what_was_asked_about_it_is_answered(cli: Cli) -> None:
    broker, workflow = asyncio.run(cancelled())
    topic = topics.incidents("test")
    asks = Incident("velocity", workflow, workflow, "It spends.", id="a1", response="ask")
    broker.partition(Place(topic, 0)).append(1, workflow.encode(), encode_entry(asks), ())
    for _ in range(2):
        ran = cli("cancel", workflow, "--because", "too dear", broker=broker)
        assert (ran.code, ran.out) == (0, f"{workflow} cancelled\n")
    words = [decode_incident(own.value) for own in broker.records(topic)]
    assert [(own.kind, own.workflow) for own in words[-2:]] == [
        ("velocity", workflow),
        ("cancel", workflow),
    ]
    assert (words[-1].text, bool(words[-1].person)) == ("too dear", True)
    assert "no incident that waits" in cli("incidents", "--open", broker=broker).err
