"""A worker of the processor that needs neither Faust nor a broker."""

from __future__ import annotations

import asyncio

from mesh.core.values import Holder
from mesh.errors import MeshError
from mesh.processor.keeper import Keeper
from mesh.processor.watchman import Watchman
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics


class FakeProcessor:
    """Owns one partition in memory, without Faust."""

    def __init__(self, error: MeshError | None = None) -> None:
        self.ready = False
        self.failed: asyncio.Future[MeshError] | None = None
        self.keeper: Keeper | None = None
        self.watchman: Watchman | None = None
        self._error = error

    async def start(self) -> None:
        if self._error is not None:
            raise self._error
        self.failed = asyncio.get_running_loop().create_future()
        broker = MemoryBroker(lambda: 0)
        for plan in topics.plans("test"):
            broker.create_topic(plan)
        log = MemoryLog(broker)
        await log.open()
        self.keeper = Keeper(log, "test", Holder("p", 1), 4, failed=self.failed.set_result)
        await self.keeper.take(2, 0)
        self.watchman = Watchman(log, "test", failed=self.failed.set_result)
        await self.watchman.take(3, 0)
        self.ready = True

    def lag(self) -> dict[int, int]:
        return {2: 17}

    async def drain(self, limit_s: float) -> bool:
        self.ready = False
        return limit_s > 0

    async def close(self) -> None:
        self.ready = False
