"""Reading a range of one partition to its end, with a small pool of threads and their consumers.

A worker keeps its consumer, and so its connections, from one scan to the next; between scans it has
nothing assigned and costs nothing. Workers are made when they are first needed.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncGenerator, Sequence

from mesh.errors import TransportError
from mesh.ports import Incoming, Place
from mesh.transport.handover import Handover, Room
from mesh.transport.inbox import Inbox
from mesh.transport.kafka_cursor import Cursor, Keep
from mesh.transport.kafka_errors import failure_of
from mesh.transport.kafka_settings import (
    POLL_S,
    READER_BYTES_MAX,
    SCAN_FETCH_WAIT_MS,
    SCAN_PREFETCH_KIB,
    SCAN_RECORDS_MAX,
    Address,
)
from mesh.transport.worker import Worker

WORKERS_MAX = 4  # scans at a time; more wait. Each has a consumer: five threads and a megabyte
STOP_S = 5.0


class _Scan:
    """One scan: what to read, and the inbox it goes to."""

    def __init__(self, place: Place, first: int, end: int, keep: Keep | None) -> None:
        self.place = place
        self.first = first
        self.end = end
        self.keep = keep
        self.room = Room(records_max=SCAN_RECORDS_MAX, bytes_max=READER_BYTES_MAX)
        self.inbox = Inbox(self.room.take, finite=True)
        self.handover = Handover(asyncio.get_running_loop(), self.inbox.hand)
        self.failures = Handover(asyncio.get_running_loop(), self.inbox.fail)
        self.cancelled = False


class ScanPool:
    """Runs scans."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._jobs: queue.SimpleQueue[_Scan | None] = queue.SimpleQueue()
        self._workers: list[Worker] = []
        self._running: set[_Scan] = set()
        self._closed = False

    async def scan(
        self, place: Place, first: int, end: int, keep: Keep | None
    ) -> AsyncGenerator[Sequence[Incoming], None]:
        """Yield the records of `place` from `first` up to but not including `end`."""
        if self._closed:
            raise TransportError("the log is closed")
        job = _Scan(place, first, end, keep)
        self._running.add(job)
        if len(self._running) > len(self._workers) < WORKERS_MAX:
            self._add_worker()
        self._jobs.put(job)
        try:
            while not job.inbox.ended():
                yield await job.inbox.take()
        finally:
            job.cancelled = True
            self._running.discard(job)

    async def close(self) -> None:
        """End every scan and every worker."""
        self._closed = True
        for job in self._running:
            job.cancelled = True
            job.inbox.close()
        for _ in self._workers:
            self._jobs.put(None)
        for worker in self._workers:
            await worker.finished(STOP_S)

    def _add_worker(self) -> None:
        loop = asyncio.get_running_loop()
        worker = Worker(loop, f"mesh-scan-{len(self._workers)}", self._run, self._broken)
        self._workers.append(worker)
        worker.start()

    def _broken(self, raised: BaseException) -> None:
        for job in self._running:
            job.inbox.fail(failure_of(raised, doing=f"scan {job.place.topic}"))

    def _run(self) -> None:
        cursor = Cursor(self._address, SCAN_FETCH_WAIT_MS, SCAN_PREFETCH_KIB)
        try:
            while (job := self._jobs.get()) is not None:
                if job.cancelled:
                    continue
                try:
                    self._read(cursor, job)
                except TransportError as failure:
                    job.failures.send(failure)
                finally:
                    cursor.release()
        finally:
            cursor.close()

    @staticmethod
    def _read(cursor: Cursor, job: _Scan) -> None:
        number = job.place.partition
        cursor.place(job.place.topic, {number: job.first})
        reached = False
        while not job.cancelled and not reached:
            if job.room.full():
                job.room.wait(POLL_S)
                continue
            batch = cursor.fetch(POLL_S, job.keep)
            reached = cursor.positions[number] >= job.end
            if reached:
                within = [record for record in batch.records if record.offset < job.end]
                batch = batch._replace(records=within, caught_up=True)
            if batch.records or reached:
                job.room.add(len(batch.records), batch.size)
                if not job.handover.send(batch):
                    return
