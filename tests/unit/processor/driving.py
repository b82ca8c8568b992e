"""The plainest owner of a watchman: a member of a consumer group, and one loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from mesh.errors import MeshError
from mesh.ports import Commit, GroupReader, Log, Place
from mesh.processor.watchman import Watchman
from mesh.wire import topics

GROUP = "watchmen"


class Driver:
    """Mutable: gives a watchman what its group gives it; a `GroupListener`."""

    def __init__(self, log: Log, mesh: str, group: str = GROUP) -> None:
        self.failures: list[MeshError] = []
        self.watchman = Watchman(log, mesh, failed=self.failures.append)
        self._log = log
        self._audit = topics.audit(mesh)
        self._group = group
        self._reader: GroupReader | None = None
        self._taking: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None
        self._moved = asyncio.Condition()

    async def start(self) -> None:
        """Join the group, and watch from now on."""
        await self.watchman.start()
        self._reader = await self._log.join([self._audit], self._group, self)
        self._running = asyncio.create_task(self._run(self._reader))

    async def _run(self, reader: GroupReader) -> None:
        try:
            while True:
                for record in await reader.take(timeout_s=0.1):
                    await self.watchman.see(record)
                await self.watchman.look()
                self.commit()
                await self._tell()
        finally:
            await self._tell()

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def commit(self) -> None:
        """Commit what may be committed."""
        assert self._reader is not None
        offsets = self.watchman.commits()
        self._reader.commit(
            {Place(self._audit, at): Commit(offset, "") for at, offset in offsets.items()}
        )
        self.watchman.committed(offsets)

    async def until(self, condition: Callable[[], bool], within_s: float = 60.0) -> None:
        """Wait until something is so; it is looked at whenever records were seen."""
        async with asyncio.timeout(within_s), self._moved:
            await self._moved.wait_for(lambda: condition() or self._has_ended())
        assert condition(), self.failures

    def _has_ended(self) -> bool:
        return self._running is None or self._running.done()

    async def stop(self) -> None:
        """Leave in peace."""
        assert self._reader is not None
        await self._reader.close()
        await self.kill()

    async def kill(self) -> None:
        """Do nothing any more, as whoever is dead."""
        assert self._running is not None
        for task in (self._running, *self._taking):
            task.cancel()
        await asyncio.gather(self._running, *self._taking, return_exceptions=True)
        await self.watchman.close()

    async def assigned(self, places: Mapping[Place, Commit | None]) -> None:
        for place, commit in places.items():
            taking = self.watchman.take(place.partition, commit.offset if commit else 0)
            task = asyncio.create_task(taking)
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    async def revoked(self, places: Sequence[Place]) -> None:
        await self.watchman.settle(5.0)
        self.commit()
        await self.lost(places)

    async def lost(self, places: Sequence[Place]) -> None:
        for place in places:
            self.watchman.give_up(place.partition)
