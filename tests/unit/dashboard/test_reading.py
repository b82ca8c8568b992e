from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from mesh.dashboard.reading import LogReader
from mesh.ports import Place
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.state import state_partition
from tests.unit.cli.conftest import MESH
from tests.unit.dashboard.conftest import check_shape
from tests.unit.dashboard.test_aside import entry


@asynccontextmanager
async def reading(broker: MemoryBroker) -> AsyncGenerator[LogReader, None]:
    log = MemoryLog(broker)
    await log.open()
    try:
        yield LogReader(log, MESH)
    finally:
        await log.close()


async def test_a_stretch_goes_on_where_the_last_one_ended(broker: MemoryBroker) -> None:
    every = [own for own in broker.records(topics.audit(MESH)) if own.partition == 0]
    async with reading(broker) as reader:
        read, due = [], 0
        while due < len(every):
            stretch = await reader.stretch(0, due, 7)
            assert stretch is not None
            assert stretch.next > due
            read += [own.offset for own in stretch.records]
            due = stretch.next
        assert read == [own.offset for own in every]
        beyond = await reader.stretch(0, 10**15, 7)
        assert beyond is not None
        assert beyond.records == []
        assert await reader.stretch(99, 0, 7) is None


async def test_a_record_is_shown_as_it_stands_whatever_it_is(broker: MemoryBroker) -> None:
    partition = broker.partition(Place(topics.audit(MESH), 0))
    headers = (("\u202e", b"\xff"),)
    partition.append(5, b"\xff", b"garbage", headers)
    partition.append(5, None, None, ())
    async with reading(broker) as reader:
        fact = await reader.record(0, 0)
        assert fact is not None
        assert fact["kind"] == "SupervisionTaken"
        for offset in (partition.high - 2, partition.high - 1):
            found = await reader.record(0, offset)
            assert found is not None
            assert found["fact"] is None
            check_shape("Record", found)
        assert await reader.record(0, partition.high) is None
        assert await reader.record(99, 0) is None


async def test_the_entry_with_the_highest_version_is_read(broker: MemoryBroker) -> None:
    topic = topics.state(MESH)
    number = state_partition("a/b", len(broker.partitions(topic)))
    partition = broker.partition(Place(topic, number))
    for value in (entry("a/b", 2), entry("a/b", 1), b"garbage"):
        partition.append(5, b"a/b", value, ())
    async with reading(broker) as reader:
        found = await reader.entry("a/b")
        assert found is not None
        assert (found[0].version, found[1]) == (2, number)
        assert await reader.entry("a/none") is None
    async with reading(MemoryBroker(lambda: 0)) as reader:
        assert await reader.entry("a/b") is None
