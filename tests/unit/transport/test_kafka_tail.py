from __future__ import annotations

import asyncio

import pytest

from mesh.errors import TransportError
from mesh.ports import Place
from mesh.transport.embedded import EmbeddedBroker
from mesh.transport.kafka import KafkaLog


async def test_a_reader_whose_log_lost_its_end_says_so(
    log: KafkaLog, topic: str, cluster: EmbeddedBroker
) -> None:
    reader = await log.tail(topic, {0: 50})
    log.append(Place(topic, 0), None, b"")
    with pytest.raises(TransportError, match="50 was read before"):
        await asyncio.wait_for(reader.take(), 10)
    with pytest.raises(TransportError, match="50 was read before"):
        await asyncio.wait_for(reader.caught_up(), 10)


async def test_closing_takes_no_half_second(log: KafkaLog, topic: str) -> None:
    readers = [await log.tail(topic, {0: None, 1: None}) for _ in range(3)]
    for reader in readers:
        assert await reader.take(0.05) == ()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await log.close()
    assert loop.time() - began < 1.0
