"""Reading partitions for ever: a thread, its consumer, and the inbox on the loop.

When the inbox is full the thread does not fetch: librdkafka's own queue fills up to its bound, and
then the broker keeps the rest. There is no group whose membership could suffer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence

from mesh.ports import Incoming
from mesh.transport.handover import Handover, Room
from mesh.transport.inbox import Inbox
from mesh.transport.kafka_cursor import Cursor, Keep, ends_reached
from mesh.transport.kafka_errors import failure_of
from mesh.transport.kafka_settings import (
    FETCH_WAIT_MS,
    POLL_S,
    READER_BYTES_MAX,
    READER_RECORDS_MAX,
    Address,
)
from mesh.transport.worker import Worker

STOP_S = 5.0  # to finish a fetch and close a consumer; usually a tenth of a second


class KafkaTail:
    """A `Reader`. `starts` and `ends` are offsets by partition, of the time of opening."""

    def __init__(
        self,
        address: Address,
        topic: str,
        starts: Mapping[int, int],
        ends: Mapping[int, int],
        keep: Keep | None,
        every_s: float = 0.0,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._address = address
        self._topic = topic
        self._starts = starts
        self._ends = {number: end for number, end in ends.items() if starts[number] < end}
        self._keep = keep
        self._every_s = every_s
        self._room = Room(records_max=READER_RECORDS_MAX, bytes_max=READER_BYTES_MAX)
        self._inbox = Inbox(self._room.take)
        self._handover = Handover(loop, self._inbox.hand)
        self._stopping = threading.Event()
        self._worker = Worker(loop, f"mesh-tail-{topic}", self._run, self._broken)
        if not self._ends:
            self._inbox.nothing_to_catch_up()
        self._worker.start()

    def __repr__(self) -> str:
        return f"<tail of {self._topic} {list(self._starts)}>"

    async def take(self, timeout_s: float | None = None) -> Sequence[Incoming]:
        """Return the next records; see `mesh.ports.Reader.take`."""
        return await self._inbox.take(timeout_s)

    async def caught_up(self) -> None:
        """See `mesh.ports.Reader.caught_up`."""
        await self._inbox.caught_up()

    async def close(self) -> None:
        """Stop."""
        self._stopping.set()
        self._inbox.close()
        await self._worker.finished(STOP_S)

    def _broken(self, raised: BaseException) -> None:
        self._inbox.fail(failure_of(raised, doing=f"read {self._topic}"))

    def _run(self) -> None:
        cursor = Cursor(self._address, FETCH_WAIT_MS)
        try:
            cursor.place(self._topic, self._starts)
            behind = bool(self._ends)
            while not self._stopping.is_set():
                if self._room.full():
                    self._room.wait(POLL_S)
                    continue
                batch = cursor.fetch(POLL_S, self._keep)
                if behind and ends_reached(cursor.positions, self._ends):
                    behind = False
                    batch = batch._replace(caught_up=True)
                if batch.records or batch.caught_up:
                    self._room.add(len(batch.records), batch.size)
                    if not self._handover.send(batch):
                        return
                if self._every_s and not behind:
                    self._stopping.wait(self._every_s)
        finally:
            cursor.close()
