"""Reading partitions that are assigned by hand: tails and scans."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from mesh.errors import TransportError, UsageError, WrongTopic
from mesh.ports import Place
from tests.contract.worlds import SOON_S, World, append_all, read_to_end, scan_all, take_many


def values(records: list) -> list[int]:  # type: ignore[type-arg] # records of any kind with a value
    return [int(record.value) for record in records]


async def fill(world: World, count: int, partitions: int = 1) -> str:
    topic = await world.topic(partitions)
    log = await world.log()
    records = [
        (Place(topic, n % partitions), b"even" if n % 2 == 0 else b"odd", b"%d" % n)
        for n in range(count)
    ]
    reports = await append_all(log, records)
    assert not [report.error for report in reports if report.error]
    return topic


async def test_a_tail_reads_from_the_beginning_and_goes_on(world: World) -> None:
    topic, log = await fill(world, 1_200), await world.log()
    reader = await log.tail(topic, {0: 0})
    assert values(await take_many(reader, 1_200)) == list(range(1_200))
    await append_all(log, [(Place(topic, 0), None, b"1200")])
    assert values(await take_many(reader, 1)) == [1_200]


async def test_a_tail_that_looks_seldom_misses_nothing(world: World) -> None:
    topic, log = await fill(world, 1_200), await world.log()
    reader = await log.tail(topic, {0: 0}, every_s=0.2)
    assert values(await take_many(reader, 1_200)) == list(range(1_200))
    for number in range(1_200, 1_220):
        await append_all(log, [(Place(topic, 0), None, b"%d" % number)])
    assert values(await take_many(reader, 20)) == list(range(1_200, 1_220))


async def test_a_tail_from_the_end_reads_what_is_appended_after_it_was_opened(
    world: World,
) -> None:
    topic, log = await fill(world, 50), await world.log()
    reader = await log.tail(topic, {0: None})
    log.append(Place(topic, 0), None, b"50")
    assert values(await take_many(reader, 1)) == [50]


async def test_a_tail_from_an_offset(world: World) -> None:
    topic, log = await fill(world, 50), await world.log()
    reader = await log.tail(topic, {0: 42})
    assert values(await read_to_end(reader)) == list(range(42, 50))


async def test_a_tail_of_several_partitions_keeps_the_order_in_each(world: World) -> None:
    topic, log = await fill(world, 900, partitions=3), await world.log()
    reader = await log.tail(topic, {0: 0, 1: 100, 2: None})
    records = await read_to_end(reader)
    by_partition = {n: [r.offset for r in records if r.partition == n] for n in range(3)}
    assert by_partition == {0: list(range(300)), 1: list(range(100, 300)), 2: []}


async def test_nothing_to_read_is_caught_up_at_once(world: World) -> None:
    empty, log = await world.topic(2), await world.log()
    reader = await log.tail(empty, {0: 0, 1: None})
    async with asyncio.timeout(SOON_S):
        await reader.caught_up()
    assert await reader.take(0) == ()
    full = await fill(world, 10)
    reader = await log.tail(full, {0: 10})
    async with asyncio.timeout(SOON_S):
        await reader.caught_up()
    assert await reader.take(0) == ()


async def test_caught_up_waits_for_the_last_record_to_be_dealt_with(world: World) -> None:
    topic, log = await fill(world, 700), await world.log()
    reader = await log.tail(topic, {0: 0})
    caught_up = asyncio.ensure_future(reader.caught_up())
    dealt_with = 0
    async with asyncio.timeout(SOON_S):
        while dealt_with < 700:
            records = await reader.take()
            await asyncio.sleep(0)
            assert not caught_up.done()
            dealt_with += len(records)
        assert await reader.take(0.05) == ()
        await caught_up


async def test_caught_up_does_not_hang_on_what_was_filtered_away(world: World) -> None:
    topic, log = await fill(world, 600), await world.log()
    reader = await log.tail(topic, {0: 0}, keep=lambda key: key == b"odd")
    records = await read_to_end(reader)
    assert values(records) == list(range(1, 600, 2))
    nothing = await log.tail(topic, {0: 0}, keep=lambda _: False)
    assert await read_to_end(nothing) == []


async def test_a_take_that_times_out_loses_nothing(world: World) -> None:
    topic, log = await world.topic(), await world.log()
    reader = await log.tail(topic, {0: 0})
    assert await reader.take(0.01) == ()
    assert await reader.take(0) == ()
    await append_all(log, [(Place(topic, 0), None, b"0")])
    assert values(await take_many(reader, 1)) == [0]


async def test_a_take_that_is_cancelled_loses_nothing(world: World) -> None:
    topic, log = await world.topic(), await world.log()
    reader = await log.tail(topic, {0: 0})
    taking = asyncio.ensure_future(reader.take())
    await asyncio.sleep(0)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    await append_all(log, [(Place(topic, 0), None, b"0")])
    assert values(await take_many(reader, 1)) == [0]


async def test_two_tasks_may_not_take_from_one_reader(world: World) -> None:
    topic, log = await world.topic(), await world.log()
    reader = await log.tail(topic, {0: 0})
    taking = asyncio.ensure_future(reader.take())
    await asyncio.sleep(0)
    with pytest.raises(UsageError, match="two tasks"):
        await reader.take()
    taking.cancel()


async def test_a_closed_reader_raises(world: World) -> None:
    topic, log = await fill(world, 10), await world.log()
    reader = await log.tail(topic, {0: 0})
    waiting = await log.tail(topic, {0: None})
    taking = asyncio.ensure_future(waiting.take())
    await take_many(reader, 10)
    await reader.close()
    await reader.close()
    with pytest.raises(TransportError, match="closed"):
        await reader.take()
    await log.close()
    with pytest.raises(TransportError, match="closed"):
        await taking


async def test_a_slow_taker_gets_everything_in_order(world: World) -> None:
    count, body = 24_000, bytes(100)
    topic, log = await world.topic(), await world.log()
    reader = await log.tail(topic, {0: 0})
    for number in range(count):
        log.append(Place(topic, 0), b"%d" % number, body)
        if number % 1_000 == 0:
            await asyncio.sleep(0)
    assert await log.flush(SOON_S)
    records = await take_many(reader, count)
    assert [int(record.key or b"") for record in records] == list(range(count))


async def test_what_retention_took_is_passed_over(world: World) -> None:
    topic, log = await fill(world, 100), await world.log()
    await world.trim(Place(topic, 0), 60)
    assert await log.ends(topic) == {0: (60, 100)}
    reader = await log.tail(topic, {0: 0})
    assert values(await read_to_end(reader)) == list(range(60, 100))
    assert values(await scan_all(log, Place(topic, 0))) == list(range(60, 100))


async def test_a_scan_yields_the_range_and_nothing_else(world: World) -> None:
    topic, log = await fill(world, 1_500), await world.log()
    batches = [list(batch) async for batch in log.scan(Place(topic, 0), 10, 1_300)]
    assert values([record for batch in batches for record in batch]) == list(range(10, 1_300))
    assert len(batches) > 1


async def test_a_scan_without_an_end_stops_at_that_of_the_call(world: World) -> None:
    topic, log = await fill(world, 20), await world.log()
    seen = []
    async with aclosing(log.scan(Place(topic, 0), 0)) as scan:
        async for batch in scan:
            seen += values(list(batch))
            await append_all(log, [(Place(topic, 0), None, b"99")])
    assert seen == list(range(20))


async def test_a_scan_of_nothing_yields_one_empty_batch(world: World) -> None:
    topic, log = await fill(world, 20), await world.log()
    empty = await world.topic()
    assert [list(batch) async for batch in log.scan(Place(empty, 0), 0)] == [[]]
    assert [list(batch) async for batch in log.scan(Place(topic, 0), 20)] == [[]]
    assert [list(batch) async for batch in log.scan(Place(topic, 0), 5, 5)] == [[]]


async def test_a_scan_filters_by_key_and_still_ends(world: World) -> None:
    topic, log = await fill(world, 1_200), await world.log()
    scan = log.scan(Place(topic, 0), 0, keep=lambda key: key == b"even")
    assert values([r async for batch in scan for r in batch]) == list(range(0, 1_200, 2))
    nothing = log.scan(Place(topic, 0), 0, keep=lambda _: False)
    assert [r async for batch in nothing for r in batch] == []


async def test_a_scan_waits_for_an_end_that_is_not_there_yet(world: World) -> None:
    topic, log = await fill(world, 10), await world.log()

    async def scan() -> list[int]:
        batches = [list(batch) async for batch in log.scan(Place(topic, 0), 0, 12)]
        return values([record for batch in batches for record in batch])

    scanning = asyncio.ensure_future(scan())
    await asyncio.sleep(0)
    await append_all(log, [(Place(topic, 0), None, b"%d" % n) for n in range(10, 14)])
    async with asyncio.timeout(SOON_S):
        assert await scanning == list(range(12))


async def test_many_scans_at_once_and_one_that_is_left_early(world: World) -> None:
    topic, log = await fill(world, 3_000, partitions=3), await world.log()
    async with aclosing(log.scan(Place(topic, 0), 0)) as scan:
        async for _ in scan:
            break
    found = await asyncio.gather(*(scan_all(log, Place(topic, n % 3)) for n in range(12)))
    assert [len(records) for records in found] == [1_000] * 12
    assert all([r.offset for r in records] == list(range(1_000)) for records in found)


async def test_ends(world: World) -> None:
    topic, log = await fill(world, 5, partitions=2), await world.log()
    assert await log.ends(topic) == {0: (0, 3), 1: (0, 2)}
    if world.kind != "scram":  # there a missing topic is a forbidden one, see test_permissions
        assert await log.ends(f"{world.unique}.missing") == {}


async def test_what_is_missing_is_said(world: World) -> None:
    topic, log = await world.topic(2), await world.log()
    name = f"{world.unique}.missing"
    with pytest.raises(WrongTopic, match="mesh topics apply"):
        await log.tail(name, {0: 0})
    with pytest.raises(WrongTopic, match="mesh topics apply"):
        await scan_all(log, Place(name, 0))
    with pytest.raises(WrongTopic, match="has 2 partitions"):
        await log.tail(topic, {0: 0, 2: 0})
