from __future__ import annotations

import asyncio

from mesh.ports import Place
from mesh.transport.inbox import Batch
from mesh.transport.kafka_settings import READER_RECORDS_MAX
from mesh.transport.memory_reader import Feed, MemoryTail
from mesh.transport.memory_store import Partition


def filled(count: int) -> Partition:
    partition = Partition(Place("t", 0))
    for number in range(count):
        partition.append(number, b"%d" % number, b"", ())
    return partition


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_feed_stops_when_there_is_no_room_and_goes_on_when_there_is() -> None:
    sent: list[Batch] = []
    feed = Feed(sent.append, lambda: True)
    feed.add(filled(READER_RECORDS_MAX + 2_000), 0)
    await settle()
    moved = sum(len(batch.records) for batch in sent)
    assert READER_RECORDS_MAX < moved <= READER_RECORDS_MAX + 500
    feed.freed(moved, sum(batch.size for batch in sent))
    await settle()
    assert sum(len(batch.records) for batch in sent) == READER_RECORDS_MAX + 2_000


async def test_a_client_that_is_cut_off_reads_nothing_until_it_is_back() -> None:
    connected = False
    tail = MemoryTail(lambda: connected, None)
    tail.add(filled(3), 0, 3)
    tail.opened()
    assert await tail.take(0) == ()
    await settle()
    assert await tail.take(0) == ()
    connected = True
    tail.wake()
    await settle()
    assert len(await tail.take(0)) == 3


async def test_a_feed_that_was_stopped_moves_nothing() -> None:
    sent: list[Batch] = []
    feed, partition = Feed(sent.append, lambda: True), filled(3)
    feed.add(partition, 0)
    feed.stop()
    partition.append(0, None, None, ())
    await settle()
    assert sent == []


async def test_a_paused_partition_is_not_read() -> None:
    sent: list[Batch] = []
    feed = Feed(sent.append, lambda: True)
    feed.pause({Place("t", 0)})
    feed.add(filled(3), 0)
    await settle()
    assert sent == []
    feed.pause(set())
    await settle()
    assert len(sent) == 1
