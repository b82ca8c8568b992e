from __future__ import annotations

import pytest

from mesh.core.facts import SupervisionTaken
from mesh.core.messages import Cancel
from mesh.core.values import Holder, Inbox, TaskPartition
from mesh.errors import WrongTopic
from mesh.ports import Place, TopicPlan
from mesh.runtime.orders import OrderDesk, ask_to_cancel
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import entries, messages
from mesh.wire.entries import decode_incident
from mesh.wire.messages import decode_envelope


@pytest.fixture(autouse=True)
def _schemas() -> None:
    """Read the schemas, which are files, before there is a loop to hold."""
    entries.codecs()
    messages.codecs()


async def opened(*names: str) -> tuple[MemoryBroker, MemoryLog, OrderDesk, list[str]]:
    broker = MemoryBroker(lambda: 5)
    for name in names:
        broker.create_topic(TopicPlan(name=name, partitions=1))
    log = MemoryLog(broker)
    await log.open()
    said: list[str] = []
    return broker, log, OrderDesk(log, "m", timeout_s=1.0, complain=said.append), said


async def test_an_order_is_read_back_and_told() -> None:
    broker, log, desk, said = await opened("m.control", "m.incidents", "m.audit")
    broker.partition(Place("m.control", 0)).append(1, b"k", b"garbage", ())
    orders = await desk.read()
    assert len(said) == 1
    first = orders.halts.next_order("agent/ann", halted=True, because="wrong", person="ada")
    second = orders.halts.next_order("agent/ann", halted=True, because="late", person="bob")
    assert (await desk.give(first)).order == first
    [finding] = [decode_incident(own.value) for own in broker.records("m.incidents")]
    assert "ada: wrong" in finding.text
    assert (await desk.give(second)).order == first, "the first in the log holds"
    standing = (await desk.read()).in_force("agent/ann")
    assert standing is not None
    assert "halted by ada because wrong" in str(standing)
    assert await desk.looked("workflow/0-a") == 0
    assert await desk.looked("agent/ann") == -1
    await log.close()


async def test_without_a_topic_for_halts_there_are_none() -> None:
    _, log, desk, _ = await opened()
    orders = await desk.read()
    assert orders.targets() == []
    with pytest.raises(WrongTopic):
        await desk.give(orders.halts.next_order("agent/a", halted=True, because="x", person="y"))
    await log.close()


async def test_a_supervisor_is_asked_in_its_inbox() -> None:
    broker, log, _, _ = await opened("m.inbox.desk")
    taken = SupervisionTaken(
        source=TaskPartition("a.b", 0),
        by=Holder("desk.1", 3),
        inbox=Inbox("m.inbox.desk", 0),
        lease_ms=9,
    )
    ask_to_cancel(log, taken, "0-a", because="twice", person="ada")
    await log.flush(1.0)
    [record] = broker.records("m.inbox.desk")
    content = decode_envelope(record.value).content
    assert isinstance(content, Cancel)
    assert (content.person, content.because, content.workflow) == ("ada", "twice", "0-a")
    await log.close()
