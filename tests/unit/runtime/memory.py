"""A log in memory with the topics of a mesh, for the tests of the driver's parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from mesh.ports import Incoming, Place, Report
from mesh.runtime.process import load_schemas
from mesh.testing.clock import START_MS
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics

MESH = "demo"
PARTITIONS = topics.Partitions(tasks=2, inbox=2, audit=3, replies=1)


class World:
    """Mutable: a broker whose clock stands still, and one connection to it."""

    def __init__(self, broker: MemoryBroker, log: MemoryLog) -> None:
        self.broker = broker
        self.log = log

    async def put(self, topic: str, value: bytes | None, partition: int = 0) -> Report:
        landed: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        self.log.append(Place(topic, partition), None, value, (), landed.set_result)
        return await landed

    async def read(self, topic: str) -> list[Incoming]:
        await self.log.flush(10)
        return list(self.broker.records(topic))


async def settle() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


@asynccontextmanager
async def world(
    *, capabilities: Iterable[str] = (), pools: Iterable[str] = ()
) -> AsyncIterator[World]:
    await asyncio.to_thread(load_schemas)
    broker = MemoryBroker(lambda: START_MS)
    for plan in topics.plans(
        MESH,
        capabilities=capabilities,
        pools=pools,
        reply_names=["me"],
        partitions=PARTITIONS,
    ):
        broker.create_topic(plan)
    log = MemoryLog(broker)
    await log.open()
    try:
        yield World(broker, log)
    finally:
        await log.close()
