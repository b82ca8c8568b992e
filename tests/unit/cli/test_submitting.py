from __future__ import annotations

import pytest

from mesh.cli.submitting import Asked, Submitter, audit_partitions
from mesh.core.ids import workflow_id
from mesh.core.settings import MAX_BODY_BYTES
from mesh.core.values import Amount, Mode, TaskPartition
from mesh.errors import TransportError, UsageError, WrongTopic
from mesh.runtime.artifacts import MemoryArtifacts
from mesh.transport.memory import Fate, MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.requests import decode_request

TOPIC = topics.tasks("test", "office.order")


def made() -> tuple[MemoryBroker, Submitter, MemoryArtifacts, MemoryLog]:
    broker = MemoryBroker(lambda: 1_750_000_000_000)
    for plan in topics.plans("test", capabilities=["office.order"]):
        broker.create_topic(plan)
    log, artifacts = MemoryLog(broker), MemoryArtifacts()
    return broker, Submitter(log, "test", 8, artifacts), artifacts, log


async def test_a_task_is_in_the_log_and_its_workflow_has_a_name() -> None:
    broker, submitter, _, log = made()
    await log.open()
    asked = Asked(
        goal="furnish", budget=Amount(1, 2, 3, 4, 5), timeout_ms=9, mode=Mode.NAMED, agent="desk"
    )
    submitted = await submitter.submit("office.order", {"item": "desk"}, asked)
    (record,) = broker.records(TOPIC)
    request = decode_request(record)
    assert (request.charter.goal, request.timeout_ms, request.named_agent) == ("furnish", 9, "desk")
    assert request.input.content == b'{"item":"desk"}'
    source = TaskPartition("office.order", record.partition)
    assert submitted.workflow == workflow_id(source, record.offset, request.event_id, 8)
    assert (submitted.topic, submitted.partition) == (TOPIC, record.partition)


async def test_the_same_id_names_the_same_workflow() -> None:
    _, submitter, _, log = made()
    await log.open()
    asked = Asked(event_id="order-7")
    first = await submitter.submit("office.order", {"item": "desk"}, asked)
    again = await submitter.submit("office.order", {"item": "desk"}, asked)
    other = await submitter.submit("office.order", {"item": "desk"}, Asked())
    assert first.workflow == again.workflow != other.workflow


async def test_a_large_input_goes_to_the_store() -> None:
    broker, submitter, artifacts, log = made()
    await log.open()
    await submitter.submit("office.order", {"item": "x" * MAX_BODY_BYTES}, Asked())
    request = decode_request(broker.records(TOPIC)[0])
    assert request.input.content is None
    assert len(artifacts.get(request.input.hash)) > MAX_BODY_BYTES


async def test_what_cannot_be_submitted_is_refused() -> None:
    broker, submitter, _, log = made()
    await log.open()
    with pytest.raises(UsageError, match="the input"):
        await submitter.submit("office.order", {"item": float("nan")}, Asked())
    broker.fate = lambda _: Fate.LOST
    with pytest.raises(TransportError, match=f"submit to {TOPIC}"):
        await submitter.submit("office.order", {}, Asked())


async def test_a_mesh_that_is_not_there() -> None:
    _, _, _, log = made()
    await log.open()
    assert await audit_partitions(log, "test") == 8
    with pytest.raises(WrongTopic, match="there is no mesh other"):
        await audit_partitions(log, "other")
