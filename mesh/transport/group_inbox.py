"""The loop's side of a group's member: batches and changes of ownership in one line.

A batch becomes ready to be taken when every event before it was told to the listener, and events
are told one after the other. So no record of a partition is taken before `assigned` returned, and
none once `revoked` or `lost` was called; what was ready then is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from mesh.ports import Commit, GroupListener, Incoming, Place
from mesh.transport.inbox import Batch, Inbox, batch_of


@dataclass(kw_only=True)
class GroupEvent:
    """Mutable: a change of a member's partitions on its way to the listener.

    `done` is called when the listener returned. A sender that stopped waiting sets `expired`; what
    was a revocation is a loss by then.
    """

    kind: Literal["assigned", "revoked", "lost"]
    places: Mapping[Place, Commit | None]
    done: Callable[[], None]
    expired: bool = False


class GroupInbox(Inbox):
    """An `Inbox` that tells a listener what is owned, and can pause partitions."""

    def __init__(self, freed: Callable[[int, int], None], listener: GroupListener) -> None:
        super().__init__(freed)
        self._listener = listener
        self._line: deque[Batch | GroupEvent] = deque()
        self._telling: asyncio.Task[None] | None = None
        self._readable: set[Place] = set()
        self._owned: set[Place] = set()
        self._paused: set[Place] = set()
        self._held: dict[Place, list[Incoming]] = {}

    def push(self, item: Batch | GroupEvent) -> None:
        """Add a batch or an event to the line."""
        self._line.append(item)
        self._advance()

    def owned(self, places: Iterable[Place]) -> set[Place]:
        """Return those of `places` that may be committed."""
        return self._owned.intersection(places)

    def pause(self, places: Iterable[Place]) -> None:
        """Hold back records of `places` until resumed."""
        self._paused.update(places)

    def resume(self, places: Iterable[Place]) -> None:
        """Let go of what was held back."""
        for place in places:
            self._paused.discard(place)
            held = self._held.pop(place, None)
            if held:
                self._ready.appendleft(batch_of(held))
                self._wake(found=True)

    def paused(self) -> set[Place]:
        """Return what is paused."""
        return set(self._paused)

    def close(self) -> None:
        """Drop what is there and raise for ever. Events go on being told."""
        self._drop(self._held.keys() | self._readable)
        super().close()

    def _advance(self) -> None:
        while self._line and self._telling is None:
            item = self._line.popleft()
            if isinstance(item, Batch):
                self._offer(item)
            else:
                self._telling = asyncio.get_running_loop().create_task(self._tell(item))
                self._telling.add_done_callback(self._told)

    def _offer(self, batch: Batch) -> None:
        if self._failure is None:
            self.hand(batch)
        else:
            self._freed(len(batch.records), batch.size)

    async def _tell(self, event: GroupEvent) -> None:
        places = tuple(event.places)
        try:
            if event.kind == "assigned":
                self._owned.update(places)
                await self._listener.assigned(event.places)
                self._readable.update(places)
                return
            self._drop(places)
            if event.kind == "revoked" and not event.expired:
                await self._listener.revoked(places)
                self._owned.difference_update(places)
            else:
                self._owned.difference_update(places)
                await self._listener.lost(places)
        finally:
            event.done()

    def _told(self, task: asyncio.Task[None]) -> None:
        self._telling = None
        if task.cancelled():
            return  # the loop is being torn down
        failure = task.exception()
        if failure is not None:
            self.fail(failure)  # the listener is broken; whoever takes must know
        self._advance()

    def _drop(self, places: Collection[Place]) -> None:
        """Forget everything that was fetched of these partitions."""
        gone = set(places)
        self._readable -= gone
        self._paused -= gone
        for place in gone:
            self._free(self._held.pop(place, []))
        for _ in range(len(self._ready)):
            batch = self._ready.popleft()
            kept = [record for record in batch.records if Place(*record[:2]) not in gone]
            if len(kept) == len(batch.records):
                self._ready.append(batch)
                continue
            self._free([record for record in batch.records if Place(*record[:2]) in gone])
            if kept:
                self._ready.append(batch_of(kept))

    def _free(self, records: list[Incoming]) -> None:
        if records:
            self._freed(len(records), batch_of(records).size)

    def _admit(self, batch: Batch) -> Batch:
        if not self._paused:
            return batch
        kept: list[Incoming] = []
        for record in batch.records:
            place = Place(record.topic, record.partition)
            if place in self._paused:
                self._held.setdefault(place, []).append(record)
            else:
                kept.append(record)
        return batch if len(kept) == len(batch.records) else batch_of(kept)
