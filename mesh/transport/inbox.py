"""The loop's side of a reader: what was handed over and not yet taken.

Shared by memory and Kafka, so that order, pausing, revocation and "caught up" mean the same in
both. Everything here runs on the event loop and no call blocks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mesh.errors import TransportError, UsageError
from mesh.ports import Incoming

CLOSED = "the reader is closed"


class Batch(NamedTuple):
    """Records handed over together; `size` is their bytes.

    With `caught_up` everything below the ends of the time of opening has been handed over.
    """

    records: Sequence[Incoming]
    size: int
    caught_up: bool = False


def weight(key: bytes | None, value: bytes | None) -> int:
    """Return the bytes of a record that count against the bounds."""
    return (len(key) if key else 0) + (len(value) if value else 0)


def batch_of(records: Sequence[Incoming]) -> Batch:
    """Return records with their size."""
    return Batch(records, sum(weight(record.key, record.value) for record in records))


class Inbox:
    """Batches in a line, one taker."""

    def __init__(self, freed: Callable[[int, int], None], *, finite: bool = False) -> None:
        """Make an empty one; `freed` is told how many records and bytes were taken or dropped.

        A `finite` one ends with the batch that is marked `caught_up`, even if that is empty.
        """
        self._freed = freed
        self._finite = finite
        self._ready: deque[Batch] = deque()
        self._waiter: asyncio.Future[bool] | None = None
        self._failure: BaseException | None = None
        self._caught_up = asyncio.Event()
        self._end_taken = False

    def hand(self, batch: Batch) -> None:
        """Add a batch to the line."""
        self._ready.append(batch)
        self._wake(found=True)

    def fail(self, failure: BaseException) -> None:
        """Deliver what is there, then raise `failure` for ever; the first failure stays."""
        if self._failure is None:
            self._failure = failure
        self._caught_up.set()
        self._wake(found=True)

    def close(self) -> None:
        """Drop what is there and raise for ever."""
        for batch in self._ready:
            self._freed(len(batch.records), batch.size)
        self._ready.clear()
        self.fail(TransportError(CLOSED))

    async def take(self, timeout_s: float | None = None) -> Sequence[Incoming]:
        """Return the next batch; nothing after `timeout_s`."""
        if self._waiter is not None:
            raise UsageError("two tasks take from one reader; give each its own")
        if self._end_taken:
            self._caught_up.set()
        while True:
            records = self._next()
            if records:
                return records
            if self._failure is not None:
                raise self._failure
            if (self._finite and self._end_taken) or not await self._found(timeout_s):
                return ()

    def nothing_to_catch_up(self) -> None:
        """Say that there was nothing to read at the time of opening."""
        self._caught_up.set()

    def ended(self) -> bool:
        """Whether the batch that is marked `caught_up` was taken."""
        return self._end_taken

    async def caught_up(self) -> None:
        """Return when all below the ends of the time of opening was dealt with."""
        await self._caught_up.wait()
        if self._failure is not None:
            raise self._failure

    def _next(self) -> Sequence[Incoming]:
        while self._ready:
            batch = self._admit(self._ready.popleft())
            if batch.caught_up:
                self._end_taken = True
                if not batch.records:
                    self._caught_up.set()  # the taker is here, so it has dealt with all before
            if batch.records:
                self._freed(len(batch.records), batch.size)
                return batch.records
        return ()

    def _admit(self, batch: Batch) -> Batch:
        return batch

    def _wake(self, *, found: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(found)

    async def _found(self, timeout_s: float | None) -> bool:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = None
        if timeout_s is not None:
            timer = loop.call_later(timeout_s, lambda: self._wake(found=False))
        try:
            return await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
