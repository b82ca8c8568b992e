from __future__ import annotations

import pytest

from mesh.core.tasks import Header, Supervision
from mesh.core.values import Holder, TaskPartition
from mesh.errors import WireError
from mesh.ports import Place, TopicPlan
from mesh.processor.notes import BEGINNING, encode_note, note_key, read_note, within
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire.headers import open_key

PLACE = Place("demo.open", 1)
HELD = Supervision(TaskPartition("work.do", 1), 3, Holder("ann.1", 7), 6_000, 9_000)
HEADER = Header(20, 8_000, (HELD,))


def test_no_workflow_has_such_a_key() -> None:
    assert note_key(12) == b"watchman/12"
    assert not open_key(TaskPartition("watchman.do", 1), "1-w").startswith(b"watchman/")


async def test_the_latest_of_a_partition_is_read() -> None:
    broker = MemoryBroker(lambda: 0)
    broker.create_topic(TopicPlan(name=PLACE.topic, partitions=2))
    log = MemoryLog(broker)
    await log.open()
    partition = broker.partition(PLACE)
    assert await read_note(log, PLACE) == BEGINNING
    partition.append(0, note_key(1), encode_note(1, Header(5, 0, ())), ())
    partition.append(0, note_key(1), encode_note(1, HEADER), ())
    partition.append(0, note_key(2), encode_note(2, Header(6, 0, ())), ())
    partition.append(0, b"work.do/1/1-w", encode_note(1, Header(7, 0, ())), ())
    assert await read_note(log, PLACE) == HEADER
    for useless in (b"garbage", None):
        partition.append(0, note_key(1), useless, ())
        assert await read_note(log, PLACE) == BEGINNING


def test_what_a_log_no_longer_has_is_not_asked_for() -> None:
    assert within(HEADER, 0, 20, "demo.audit[1]") == HEADER
    assert within(HEADER, 20, 30, "demo.audit[1]") == HEADER
    assert within(HEADER, 25, 30, "demo.audit[1]") == HEADER._replace(offset=25)
    assert within(HEADER, 2, 19, "demo.audit[1]") == BEGINNING._replace(offset=2)


def test_one_that_is_too_large_is_refused() -> None:
    with pytest.raises(WireError):
        encode_note(1, Header(0, 0, (HELD,) * 20_000))
