from __future__ import annotations

import asyncio

import pytest

from mesh.errors import TransportError
from mesh.ports import Place
from mesh.transport.kafka import KafkaLog
from mesh.transport.kafka_scan import WORKERS_MAX, ScanPool
from mesh.transport.kafka_settings import Address


async def test_workers_are_made_when_needed_and_kept(
    log: KafkaLog, address: Address, topic: str
) -> None:
    for number in range(100):
        log.append(Place(topic, 0), None, b"%d" % number)
    assert await log.flush(10)
    pool = ScanPool(address)

    async def scan() -> int:
        batches = pool.scan(Place(topic, 0), 0, 100, None)
        return sum([len(batch) async for batch in batches])

    assert await scan() == 100
    assert await scan() == 100
    assert len(pool._workers) == 1
    assert await asyncio.gather(*(scan() for _ in range(10))) == [100] * 10
    assert len(pool._workers) == WORKERS_MAX
    await pool.close()
    with pytest.raises(TransportError, match="closed"):
        await scan()


async def test_closing_ends_a_scan_that_waits(log: KafkaLog, topic: str) -> None:
    async def scan() -> None:
        async for _ in log.scan(Place(topic, 0), 0, 5):
            pass

    scanning = asyncio.ensure_future(scan())
    await log.ends(topic)
    await log.ends(topic)  # the scan has asked before
    await log.close()
    with pytest.raises(TransportError):
        await asyncio.wait_for(scanning, 10)
