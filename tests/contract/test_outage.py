"""A broker that dies and comes back, a compacted log, a broker that cannot be had."""

from __future__ import annotations

import asyncio
import time

import pytest

from mesh.errors import Unreachable
from mesh.ports import Commit, Incoming, Log, Place, Report
from mesh.transport.kafka import KafkaLog
from mesh.transport.kafka_settings import Limits
from tests.contract.worlds import (
    SOON_S,
    MemoryWorld,
    Owner,
    World,
    append_all,
    read_to_end,
    scan_all,
    take_many,
    until,
)

BELOW_DEFAULT_S = 9.0  # a limit that is not heeded is the default, 10 s
NOBODY = "127.0.0.1:9"  # the discard port: nobody listens there


class Appender:
    """Appends numbers to all partitions of a topic, and keeps what was reported."""

    def __init__(self, log: Log, topic: str, partitions: int) -> None:
        self.log, self.topic, self.partitions = log, topic, partitions
        self.count = 0
        self.reports: list[tuple[int, Report]] = []

    def append(self, count: int) -> None:
        for number in range(self.count, self.count + count):
            place = Place(self.topic, number % self.partitions)

            def note(report: Report, number: int = number) -> None:
                self.reports.append((number, report))

            self.log.append(place, b"k", b"%d" % number, (), note)
        self.count += count

    async def check_nothing_lost(self) -> None:
        """Each append was reported once, in order, and is in the log where the report says."""
        assert await self.log.flush(60)
        assert {report.error for _, report in self.reports} == {None}
        for partition in range(self.partitions):
            mine = [(number, r) for number, r in self.reports if r.partition == partition]
            expected = list(range(partition, self.count, self.partitions))
            assert [number for number, _ in mine] == expected
            records = await scan_all(self.log, Place(self.topic, partition))
            assert [int(record.value or b"") for record in records] == expected
            assert [record.offset for record in records] == [r.offset for _, r in mine]


async def test_appends_outlive_a_broker_that_is_killed(mortal: World) -> None:
    log, topic = await mortal.log(), await mortal.topic(3)
    appender = Appender(log, topic, 3)
    for _ in range(20):
        appender.append(100)
        await asyncio.sleep(0)
    async with mortal.outage():
        appender.append(1_000)
        await asyncio.sleep(0)
        assert log.pending() > 0
        assert log.failure() is None
    appender.append(500)
    await appender.check_nothing_lost()


async def test_a_partition_that_was_never_appended_to_before_the_outage(mortal: World) -> None:
    """The broker comes back and knows nothing of this producer there: the order must hold."""
    log, topic = await mortal.log(), await mortal.topic(3)
    appender = Appender(log, topic, 3)
    async with mortal.outage():
        appender.append(600)
        await asyncio.sleep(0)
    for _ in range(20):
        appender.append(30)
        await asyncio.sleep(0)
    await appender.check_nothing_lost()


async def test_a_tail_outlives_a_broker_that_is_killed(mortal: World) -> None:
    log, topic = await mortal.log(), await mortal.topic()
    reader = await log.tail(topic, {0: 0})
    await append_all(log, [(Place(topic, 0), None, b"%d" % n) for n in range(100)])
    first = await take_many(reader, 100)
    async with mortal.outage():
        assert await reader.take(0.01) == ()
        log.append(Place(topic, 0), None, b"100")
    rest = await take_many(reader, 1)
    assert [int(record.value or b"") for record in first + rest] == list(range(101))


async def test_a_member_outlives_a_broker_that_is_killed(mortal: World) -> None:
    log, topic, owner = await mortal.log(), await mortal.topic(2), Owner()
    reader = await log.join([topic], f"{mortal.unique}.g", owner)
    await owner.owns(2)
    await append_all(log, [(Place(topic, n % 2), None, b"%d" % n) for n in range(20)])
    await take_many(reader, 20)
    reader.commit({Place(topic, 0): Commit(10, "before"), Place(topic, 1): Commit(10, "before")})
    async with mortal.outage():
        reader.commit({Place(topic, 0): Commit(10, "in between")})
        log.append(Place(topic, 0), None, b"20")
    records: list[Incoming] = []
    async with asyncio.timeout(SOON_S):
        while not any(record.value == b"20" for record in records):
            records += await reader.take()
    await until(lambda: len(owner.owned) == 2)
    await reader.close()
    heir = Owner()
    await log.join([topic], f"{mortal.unique}.g", heir)
    await heir.owns(2)
    assert heir.owned[Place(topic, 0)] == Commit(10, "in between")


async def test_closing_without_a_broker_ends_in_time_and_reports(mortal: World) -> None:
    log, topic, owner = await mortal.another_log(), await mortal.topic(), Owner()
    await log.join([topic], f"{mortal.unique}.g", owner)
    await owner.owns(1)
    reports: list[Report] = []
    await append_all(log, [(Place(topic, 0), None, b"")])
    async with mortal.outage():
        for _ in range(10):
            log.append(Place(topic, 0), None, b"", (), reports.append)
        began = time.monotonic()
        await log.close(0.2)
        assert time.monotonic() - began < 8
    assert len(reports) == 10
    assert all(report.error for report in reports)


async def test_the_holes_of_a_compacted_log(mortal: World) -> None:
    if mortal.kind == "embedded":
        return  # it has no compaction
    log = await mortal.log()
    topic = await mortal.topic(
        1,
        **{
            "cleanup.policy": "compact",
            "segment.ms": "100",
            "min.cleanable.dirty.ratio": "0.01",
            "delete.retention.ms": "100",
        },
    )
    place = Place(topic, 0)
    for value in range(5):
        await append_all(log, [(place, b"%d" % n, b"%d" % value) for n in range(20)])
    await append_all(log, [(place, b"gone", None)])
    await mortal.compact(topic)

    [(low, high)] = (await log.ends(topic)).values()
    records = await scan_all(log, place)
    kept = {record.key: record.value for record in records if record.value is not None}
    assert low == 0
    assert len(records) < high
    assert kept.keys() >= {b"%d" % n for n in range(20)}
    assert {kept[b"%d" % n] for n in range(20)} == {b"4"}

    # The cleaner may go on meanwhile: what is read may be less, never more, and it must end.
    offsets = {record.offset for record in records}
    last_hole = max(set(range(high)) - offsets)
    for start in (0, last_hole):
        reader = await log.tail(topic, {0: start})
        found = {record.offset for record in await read_to_end(reader)}
        assert found <= {offset for offset in offsets if offset >= start}
        assert high - 1 in found
    scan = log.scan(place, 0, last_hole + 1)
    assert {record.offset async for batch in scan for record in batch} <= set(range(last_hole))


async def test_an_address_where_nobody_listens() -> None:
    limits = Limits(open_s=0.5)
    for writes in (True, False):
        began = time.monotonic()
        with pytest.raises(Unreachable, match=f"{NOBODY}.*Connection refused.*mesh doctor"):
            await KafkaLog(NOBODY, writes=writes, limits=limits).open()
        assert time.monotonic() - began < BELOW_DEFAULT_S


async def test_a_question_to_a_broker_that_is_away_is_answered_in_time(mortal: World) -> None:
    log: Log
    if isinstance(mortal, MemoryWorld):
        log = await mortal.log()
    else:
        bootstrap = (await mortal.log())._address.bootstrap  # type: ignore[attr-defined] # Kafka's
        limits = Limits(lookup_s=0.5)
        log = KafkaLog(bootstrap, embedded=mortal.kind == "embedded", limits=limits)
        await log.open()
    topic = await mortal.topic()
    assert await log.ends(topic) == {0: (0, 0)}
    async with mortal.outage():
        began = time.monotonic()
        with pytest.raises(Unreachable):
            await log.ends(topic)
        assert time.monotonic() - began < BELOW_DEFAULT_S
    await log.close(1)
