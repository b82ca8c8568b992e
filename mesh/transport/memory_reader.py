"""Reading from the memory broker: from watched partitions into an inbox, whenever there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mesh.ports import Incoming, Place
from mesh.transport.handover import Room
from mesh.transport.inbox import Batch, Inbox, batch_of
from mesh.transport.kafka_settings import BATCH_RECORDS_MAX, READER_BYTES_MAX, READER_RECORDS_MAX
from mesh.transport.memory_store import Partition

Keep = Callable[[bytes | None], bool]


class Feed:
    """Moves records of some partitions to `send`, in one callback of the loop for many appends.

    `reachable` says whether the client is connected to the broker just now.
    """

    def __init__(
        self,
        send: Callable[[Batch], None],
        reachable: Callable[[], bool],
        *,
        keep: Keep | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._reachable = reachable
        self._keep = keep
        self._positions: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self._paused: set[Place] = set()
        self._due: asyncio.Handle | None = None
        self._room = Room(records_max=READER_RECORDS_MAX, bytes_max=READER_BYTES_MAX)

    def add(self, partition: Partition, position: int, end: int | None = None) -> None:
        """Read a partition from `position` on; `end` counts for `caught_up`."""
        self._positions[partition] = position
        if end is not None and position < end:
            self._ends[partition] = end
        partition.watch(self.wake)
        self.wake()

    def remove(self, partition: Partition) -> None:
        """Read it no more."""
        self._positions.pop(partition, None)
        partition.unwatch(self.wake)

    def pause(self, places: set[Place]) -> None:
        """Read all but these."""
        self._paused = places
        self.wake()

    def behind(self) -> bool:
        """Whether an end that was given to `add` is still ahead."""
        return bool(self._ends)

    def freed(self, records: int, size: int) -> None:
        """Note that records were taken or dropped."""
        self._room.take(records, size)
        self.wake()

    def wake(self) -> None:
        """Look for records soon."""
        if self._due is None:
            self._due = self._loop.call_soon(self._move)

    def stop(self) -> None:
        """Read nothing any more."""
        for partition in tuple(self._positions):
            self.remove(partition)
        if self._due is not None:
            self._due.cancel()

    def _move(self) -> None:
        self._due = None
        if not self._reachable():
            return
        for partition in tuple(self._positions):
            if partition.place in self._paused:
                continue
            while self._positions[partition] < partition.high and not self._room.full():
                self._move_some(partition)

    def _move_some(self, partition: Partition) -> None:
        position = max(self._positions[partition], partition.low)
        records, after = partition.read(position, BATCH_RECORDS_MAX)
        kept = [one for one in records if self._keep is None or self._keep(one.key)]
        self._positions[partition] = after
        was_behind = self.behind()
        if after >= self._ends.get(partition, after + 1):
            del self._ends[partition]
        batch = batch_of(kept)._replace(caught_up=was_behind and not self.behind())
        if batch.records or batch.caught_up:
            self._room.add(len(batch.records), batch.size)
            self._send(batch)


class MemoryTail:
    """A `mesh.ports.Reader`."""

    def __init__(self, reachable: Callable[[], bool], keep: Keep | None) -> None:
        # The inbox frees room in the feed, the feed fills the inbox.
        self._feed = Feed(self._hand, reachable, keep=keep)
        self._inbox = Inbox(self._feed.freed)

    def add(self, partition: Partition, position: int, end: int) -> None:
        """Read a partition from `position` on."""
        self._feed.add(partition, position, end)

    def opened(self) -> None:
        """Say that every partition was added."""
        if not self._feed.behind():
            self._inbox.nothing_to_catch_up()

    def wake(self) -> None:
        """Look for records: the client is connected again."""
        self._feed.wake()

    async def take(self, timeout_s: float | None = None) -> Sequence[Incoming]:
        """Return the next records; see `mesh.ports.Reader.take`."""
        return await self._inbox.take(timeout_s)

    async def caught_up(self) -> None:
        """See `mesh.ports.Reader.caught_up`."""
        await self._inbox.caught_up()

    async def close(self) -> None:
        """Stop."""
        self._feed.stop()
        self._inbox.close()

    def _hand(self, batch: Batch) -> None:
        self._inbox.hand(batch)
