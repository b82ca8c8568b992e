"""Appending: order, reports, partitions by key, what a record may hold."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from mesh.errors import TransportError
from mesh.ports import Place, Report
from tests.contract.worlds import SOON_S, World, append_all, scan_all

# murmur2 of Kafka's Java client, signed: org.apache.kafka.common.utils.UtilsTest.testMurmur2
JAVA_HASHES = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


async def test_one_producers_appends_keep_their_order_in_each_partition(world: World) -> None:
    log, topic = await world.log(), await world.topic(3)
    count = 6_000
    reports: dict[int, list[tuple[int, int]]] = {0: [], 1: [], 2: []}

    for number in range(count):

        def note(report: Report, number: int = number) -> None:
            assert report.error is None
            reports[report.partition].append((number, report.offset))

        log.append(Place(topic, number % 3), b"k", str(number).encode(), (), note)
        if number % 500 == 0:
            await asyncio.sleep(0)
    assert await log.flush(SOON_S)

    for partition in range(3):
        expected = list(range(partition, count, 3))
        assert reports[partition] == list(zip(expected, range(len(expected)), strict=True))
        records = await scan_all(log, Place(topic, partition))
        assert [int(record.value or b"") for record in records] == expected


async def test_a_report_has_the_place_and_the_append_time_that_readers_see(world: World) -> None:
    log, topic = await world.log(), await world.topic()
    before_ms = int(time.time() * 1000)
    reports = await append_all(log, [(Place(topic, 0), b"k", b"%d" % n) for n in range(20)])
    after_ms = int(time.time() * 1000)

    records = await scan_all(log, Place(topic, 0))
    assert [report.offset for report in reports] == list(range(20))
    assert [report.append_ms for report in reports] == [record.append_ms for record in records]
    assert [report.topic for report in reports] == [topic] * 20
    times = [record.append_ms for record in records]
    assert times == sorted(times)
    if world.kind != "memory":
        assert before_ms <= times[0] <= times[-1] <= after_ms


async def test_a_key_goes_where_java_clients_put_it(world: World) -> None:
    log, topic = await world.log(), await world.topic(7)
    places = {}
    for key in JAVA_HASHES:
        [report] = await append_all(log, [(Place(topic, -1), key, b"")])
        places[key] = report.partition
    assert places == {key: (hash_ & 0x7FFFFFFF) % 7 for key, hash_ in JAVA_HASHES.items()}


async def test_without_a_key_the_log_chooses_a_partition(world: World) -> None:
    log, topic = await world.log(), await world.topic(3)
    reports = await append_all(log, [(Place(topic, -1), None, b"")] * 10)
    assert {report.error for report in reports} == {None}
    assert {report.partition for report in reports} <= {0, 1, 2}


async def test_a_record_comes_back_as_it_was(world: World) -> None:
    log, topic = await world.log(), await world.topic()
    headers = (("b", b"1"), ("a", b""), ("b", b"2"), ("ä", bytes(range(256))))
    sent = [
        (b"key", b"value", headers),
        (None, b"", ()),
        (b"", None, ()),
        (bytes(range(256)), bytes(1000), ()),
    ]
    for key, value, given in sent:
        log.append(Place(topic, 0), key, value, given)
    assert await log.flush(SOON_S)
    records = await scan_all(log, Place(topic, 0))
    assert [(record.key, record.value, record.headers) for record in records] == sent


async def test_pending_counts_what_has_no_report(world: World) -> None:
    log, topic = await world.log(), await world.topic()
    assert log.pending() == 0
    seen: list[int] = []
    for _ in range(3):
        log.append(Place(topic, 0), None, b"", (), lambda _: seen.append(log.pending()))
    assert log.pending() == 3
    assert await log.flush(SOON_S)
    assert (log.pending(), seen) == (0, [2, 1, 0])


async def test_a_report_that_raises_does_not_keep_the_others_back(world: World) -> None:
    log, topic = await world.log(), await world.topic()
    caught: list[str] = []

    def catch(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        caught.append(str(context["exception"]))

    asyncio.get_running_loop().set_exception_handler(catch)
    offsets: list[int] = []

    def note(report: Report) -> None:
        if report.offset == 1:
            raise ValueError("a broken report")
        offsets.append(report.offset)

    for _ in range(4):
        log.append(Place(topic, 0), None, b"", (), note)
    assert await log.flush(SOON_S)
    await asyncio.sleep(0)
    assert (offsets, caught) == ([0, 2, 3], ["a broken report"])


async def test_a_record_that_is_too_large_is_refused_at_once(world: World) -> None:
    log, topic = await world.log(), await world.topic()
    with pytest.raises(TransportError, match="artifact store"):
        log.append(Place(topic, 0), None, bytes(1_100_000))
    assert log.pending() == 0
    assert log.failure() is None
    [report] = await append_all(log, [(Place(topic, 0), None, b"small")])
    assert report.error is None


async def test_an_append_to_a_topic_that_is_not_there_is_reported(world: World) -> None:
    if world.kind == "embedded":
        return  # the mock cluster makes every topic that a producer asks for: no way to forbid it
    log = await world.log()
    [report] = await append_all(log, [(Place(f"{world.unique}.missing", 0), None, b"")])
    assert report.error is not None
    assert "mesh topics apply" in report.error or "grant" in report.error


async def test_a_closed_log_refuses_appends(world: World) -> None:
    log, topic = await world.log(), await world.topic()
    await log.close()
    with pytest.raises(TransportError, match="not open"):
        log.append(Place(topic, 0), None, b"")


async def test_closing_flushes(world: World) -> None:
    log, topic = await world.log(), await world.topic()
    reports: list[Report] = []
    for _ in range(100):
        log.append(Place(topic, 0), None, b"", (), reports.append)
    await log.close()
    assert [report.offset for report in reports] == list(range(100))
