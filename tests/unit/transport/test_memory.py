"""The fault switches; what is common with Kafka is in tests/contract."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from mesh.errors import TransportError, Unreachable
from mesh.ports import Place, Report, TopicPlan
from mesh.transport.memory import Appending, Fate, MemoryBroker, MemoryLog

PLACE = Place("t", 0)


@pytest.fixture
def broker() -> MemoryBroker:
    ticks = itertools.count(1_000)
    broker = MemoryBroker(lambda: next(ticks))
    broker.create_topic(TopicPlan(name="t", partitions=2))
    return broker


@pytest.fixture
async def log(broker: MemoryBroker) -> AsyncIterator[MemoryLog]:
    log = MemoryLog(broker)
    await log.open()
    yield log
    await log.close(0.1)


def values(broker: MemoryBroker) -> list[bytes | None]:
    return [record.value for record in broker.records("t")]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def appended(log: MemoryLog, *payloads: bytes) -> list[Report]:
    reports: list[Report] = []
    for payload in payloads:
        log.append(PLACE, None, payload, (), reports.append)
    await settle()
    return reports


async def test_append_times_come_from_the_clock(broker: MemoryBroker, log: MemoryLog) -> None:
    reports = await appended(log, b"a", b"b")
    assert [report.append_ms for report in reports] == [1_000, 1_001]
    assert [record.append_ms for record in broker.records("t")] == [1_000, 1_001]


@pytest.mark.parametrize(
    ("fate", "errors", "landed"),
    [
        (Fate.LANDS, 0, [b"x", b"y"]),
        (Fate.LOST, 1, [b"y"]),
        (Fate.UNKNOWN, 1, [b"x", b"y"]),
        (Fate.TWICE, 0, [b"x", b"x", b"y"]),
        (Fate.LATE, 1, [b"y"]),
    ],
)
async def test_fates(
    broker: MemoryBroker, log: MemoryLog, fate: Fate, errors: int, landed: list[bytes]
) -> None:
    broker.fate = lambda appending: fate if appending.value == b"x" else Fate.LANDS
    reports = await appended(log, b"x", b"y")
    assert len(reports) == 2
    assert len([report for report in reports if report.error]) == errors
    assert values(broker) == landed
    broker.release()
    assert values(broker) == ([b"y", b"x"] if fate is Fate.LATE else landed)


async def test_what_is_held_keeps_its_partition_in_order(
    broker: MemoryBroker, log: MemoryLog
) -> None:
    broker.fate = lambda appending: Fate.HELD if appending.value == b"1" else Fate.LANDS
    reports = await appended(log, b"0", b"1", b"2")
    log.append(Place("t", 1), None, b"other")
    await settle()
    assert values(broker) == [b"0", b"other"]
    assert (len(reports), log.pending()) == (1, 2)
    broker.release()
    await settle()
    assert values(broker) == [b"0", b"1", b"2", b"other"]
    assert [report.offset for report in reports] == [0, 1, 2]
    assert log.pending() == 0


async def test_a_fault_sees_what_is_appended(broker: MemoryBroker, log: MemoryLog) -> None:
    seen: list[Appending] = []

    def fate(appending: Appending) -> Fate:
        seen.append(appending)
        return Fate.LANDS

    broker.fate = fate
    log.append(PLACE, b"k", b"v", (("h", b"x"),))
    [appending] = seen
    assert (appending.log, appending.place, appending.key) == (log, PLACE, b"k")
    assert appending.headers == (("h", b"x"),)


async def test_a_client_that_is_cut_off(broker: MemoryBroker, log: MemoryLog) -> None:
    other = MemoryLog(broker)
    await other.open()
    reader = await log.tail("t", {0: 0})
    broker.cut(log)
    reports = await appended(log, b"waits")
    await appended(other, b"passes")
    assert (values(broker), reports, log.pending()) == ([b"passes"], [], 1)
    assert await reader.take(0) == ()
    with pytest.raises(Unreachable):
        await log.ends("t")
    broker.heal(log)
    await settle()
    assert values(broker) == [b"passes", b"waits"]
    assert len(await reader.take(0)) == 2
    await other.close()


async def test_a_scan_waits_while_its_client_is_cut_off(
    broker: MemoryBroker, log: MemoryLog
) -> None:
    await appended(log, b"0", b"1")

    async def scan() -> list[bytes | None]:
        return [record.value async for batch in log.scan(PLACE, 0, 3) for record in batch]

    scanning = asyncio.ensure_future(scan())
    await settle()
    broker.cut(log)
    broker.partition(PLACE).append(0, None, b"2", ())
    await settle()
    assert not scanning.done()
    broker.heal(log)
    assert await scanning == [b"0", b"1", b"2"]


async def test_a_broker_that_is_stopped_takes_no_new_client(broker: MemoryBroker) -> None:
    broker.stop()
    with pytest.raises(Unreachable):
        await MemoryLog(broker).open()
    broker.start()
    log = MemoryLog(broker)
    await log.open()
    await log.close()


async def test_a_log_that_cannot_append_any_more(broker: MemoryBroker, log: MemoryLog) -> None:
    broker.fate = lambda _: Fate.HELD
    reports: list[Report] = []
    for payload in (b"0", b"1"):
        log.append(PLACE, None, payload, (), reports.append)
    log.fail(TransportError("over"))
    await settle()
    assert [report.error for report in reports] == ["over", "over"]
    assert str(log.failure()) == "over"
    with pytest.raises(TransportError, match="over"):
        log.append(PLACE, None, b"2")


async def test_closing_reports_what_cannot_be_flushed(broker: MemoryBroker) -> None:
    log = MemoryLog(broker)
    await log.open()
    broker.cut(log)
    reports: list[Report] = []
    log.append(PLACE, None, b"", (), reports.append)
    await log.close(0.001)
    assert [report.error for report in reports] == [
        "the log was closed before this was acknowledged"
    ]


async def test_the_same_calls_give_the_same_log(broker: MemoryBroker) -> None:
    async def run() -> list[tuple[int, int, bytes | None]]:
        ticks = itertools.count()
        broker = MemoryBroker(lambda: next(ticks))
        broker.create_topic(TopicPlan(name="t", partitions=3))
        log = MemoryLog(broker)
        await log.open()
        for number in range(50):
            log.append(Place("t", -1), b"%d" % number if number % 2 else None, b"%d" % number)
        await log.close()
        return [
            (record.partition, record.append_ms, record.value) for record in broker.records("t")
        ]

    assert await run() == await run()
