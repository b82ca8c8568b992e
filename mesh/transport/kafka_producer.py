"""The one producer of a log, and the thread that polls it for delivery reports.

`append` runs on the loop and puts the record where `gathering` decides when it leaves. The thread
collects reports and hands over whatever one poll brought with one wake-up. The idempotent producer
keeps the order of a partition and retries for ever; what it cannot retry without losing order or
records is fatal, and then this producer is over: every pending append is reported, and `failure`
says why.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from mesh.errors import TransportError, Unreachable
from mesh.ports import Headers, Place, Report
from mesh.transport.gathering import Gathering
from mesh.transport.handover import Handover
from mesh.transport.kafka_errors import (
    NOT_PERMITTED,
    ClientLog,
    explain,
    translate,
    translate_raised,
)
from mesh.transport.kafka_settings import POLL_S, Address
from mesh.transport.pending import Pending
from mesh.transport.placing import Placing
from mesh.transport.worker import Worker

NOT_OPEN = "the log is not open"
CONNECT_S = 0.4
STOP_S = 2.0  # the thread looks up from its poll every POLL_S
MILLISECONDS = 1000
NOWHERE = -1
UNPLACED = (
    "the broker took it for a repeat of a record that it had, and did not say where: it may be lost"
)
"""librdkafka reports success then (DUPLICATE_SEQUENCE_NUMBER), and it was seen to be none."""


class _Record(NamedTuple):
    place: Place
    key: bytes | None
    value: bytes | None
    headers: Headers
    report: Callable[[Report], None] | None
    size: int

    def put(self, place: Place) -> _Record:
        """Return the same append with its partition."""
        return self._replace(place=place)


# The record, its time where we stamped it, and what librdkafka reports. Not a named tuple, whose
# construction is dear: there is one for each append.
_Delivered = tuple[_Record, int, KafkaError | None, Message]


class KafkaProducer:
    """Appends and their reports."""

    def __init__(
        self, address: Address, partitions: Callable[[str], Awaitable[Sequence[int]]]
    ) -> None:
        self._address = address
        self._placing = Placing(partitions, address.bootstrap, self._hold, self._drop)
        self._log = ClientLog()
        self._producer: Producer | None = None
        self._pending = Pending()
        self._failure: TransportError | None = None
        self._stopping = False
        self._last_error: KafkaError | None = None
        self._gathering: Gathering[_Record] = Gathering()
        self._leaving: asyncio.Handle | None = None

    async def open(self, limit_s: float) -> None:
        """Connect and get a producer id."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._reports = Handover(loop, self._report)
        self._opened: asyncio.Future[None] = loop.create_future()
        config = self._address.producer() | {"error_cb": self._complain}
        self._producer = await loop.run_in_executor(
            None, partial(Producer, config, logger=self._log)
        )
        self._worker = Worker(loop, "mesh-producer", self._run, self._broken)
        self._worker.start()
        # Without this librdkafka looks for a broker half a second after it found none at first.
        connecting = loop.run_in_executor(None, _connect, self._producer)
        try:
            async with asyncio.timeout(limit_s):
                await self._opened
                await connecting
        except TimeoutError:
            await self.close(0.0)
            raise self._unreachable(limit_s) from None
        except TransportError:
            await self.close(0.0)
            raise

    def append(
        self,
        place: Place,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        report: Callable[[Report], None] | None,
    ) -> None:
        """Let a record leave as soon as it should; see `mesh.ports.Log.append`."""
        if self._failure is not None:
            raise self._failure
        if self._producer is None or self._stopping:
            raise TransportError(NOT_OPEN)
        size = (len(key) if key else 0) + (len(value) if value else 0)
        self._pending.begin(place.topic, size)
        record = _Record(place, key, value, headers, report, size)
        if place.partition == NOWHERE:
            self._placing.place(record)
        else:
            self._hold(record)

    def _hold(self, record: _Record) -> None:
        """Let a record wait for the moment at which it leaves."""
        may_leave = self._gathering.hold(record)
        if may_leave and self._leaving is None:
            if self._gathering.flying:
                self._leaving = self._loop.call_later(self._gathering.hold_s(), self._leave)
            else:
                self._leaving = self._loop.call_soon(self._leave)

    def _leave(self) -> None:
        """Let leave what may."""
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        producer = self._producer
        if producer is None:  # closed, and what waited was given up
            return
        # The embedded broker keeps the producer's time, so we must know it: zero lets Kafka choose.
        stamp_ms = int(time.time() * MILLISECONDS) if self._address.embedded else 0
        leaving = [
            (record, partial(self._delivered, record, stamp_ms))
            for record in self._gathering.leave(self._loop.time())
        ]
        # Without a pause between them: librdkafka's thread sends what is there when it wakes, and
        # what comes later waits until that is acknowledged.
        for record, report in leaving:
            (topic, partition), key, value, headers, _, _ = record
            try:
                producer.produce(
                    *(topic, value, key, partition, report),
                    timestamp=stamp_ms,
                    headers=list(headers),
                )
            except (BufferError, KafkaException) as raised:
                failure = translate_raised(raised, doing=f"append to {topic}")
                self._loop.call_soon(self._give_up, record, str(failure))

    def pending(self) -> int:
        """Return how many appends have no report yet."""
        return self._pending.count

    def failure(self) -> TransportError | None:
        """Return why nothing can be appended any more."""
        return self._failure

    def producer_ids(self) -> int:
        """Return how often librdkafka got an id or a new epoch of it."""
        return self._log.producer_ids

    async def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is pending."""
        return await self._pending.drained(timeout_s)

    async def close(self, timeout_s: float) -> None:
        """Flush for at most `timeout_s`; what is pending then is reported as unknown."""
        if self._producer is None:
            return
        if not await self.flush(timeout_s):
            self._purge("the log was closed before this was acknowledged")
            await self.flush(STOP_S)
        self._stopping = True
        await self._worker.finished(STOP_S)
        self._producer = None

    # --- on the thread

    def _run(self) -> None:
        producer = self._producer
        assert producer is not None
        known = 0
        while not self._stopping:
            try:
                producer.poll(POLL_S)
            except KafkaException as raised:  # so confluent-kafka tells what is fatal
                self._loop.call_soon_threadsafe(self._fail_for, raised)
            if not self._reports.flush():
                return
            if self._log.producer_ids != known:
                known = self._log.producer_ids
                self._loop.call_soon_threadsafe(self._note_open)

    def _delivered(
        self, record: _Record, stamp_ms: int, error: KafkaError | None, message: Message
    ) -> None:
        self._reports.put((record, stamp_ms, error, message))

    def _complain(self, error: KafkaError) -> None:
        self._log.say(error.name(), explain(error, doing="broker connection"))
        if error.name() != "_ALL_BROKERS_DOWN":  # it follows an error that says more
            self._last_error = error
        if error.name() in NOT_PERMITTED:
            failure = translate(error, doing=f"connect to {self._address.bootstrap}")
            self._loop.call_soon_threadsafe(self._refuse, failure)

    # --- on the loop

    def _report(self, delivered: _Delivered) -> None:
        record, stamp_ms, error, message = delivered
        partition, offset = message.partition(), message.offset()
        why: str | None = None
        if error is not None:
            why = explain(error, doing=f"append to {record.place.topic}")
        elif offset is None:
            why = f"append to {record.place.topic}: {UNPLACED}"
        self._finish(
            record,
            Report(
                record.place.topic,
                NOWHERE if partition is None else partition,
                NOWHERE if offset is None or error is not None else offset,
                stamp_ms or message.timestamp()[1],
                why,
            ),
        )

    def _give_up(self, record: _Record, why: str) -> None:
        self._finish(record, _unknown(record, why))

    def _drop(self, record: _Record, why: str) -> None:
        """Report a record that never got a partition."""
        self._tell(record, _unknown(record, why))

    def _finish(self, record: _Record, report: Report) -> None:
        gathering, acknowledged = self._gathering, report.error is None
        free = gathering.back(record.place, self._loop.time(), acknowledged=acknowledged)
        # All are back, or those of the partition for which the timer let something wait on.
        if gathering.waiting() and (not gathering.flying or (free and self._leaving is None)):
            if self._leaving is not None:
                self._leaving.cancel()
            self._leaving = self._loop.call_soon(self._leave)
        self._tell(record, report)

    def _tell(self, record: _Record, report: Report) -> None:
        self._pending.end(record.size)
        if record.report is not None:
            record.report(report)

    def _purge(self, why: str) -> None:
        """Let everything that is pending be reported, now and without an outcome."""
        for record in self._placing.abandon():
            self._loop.call_soon(self._drop, record, why)
        for record in self._gathering.abandon():
            self._loop.call_soon(self._give_up, record, why)
        if self._producer is not None:
            self._producer.purge(in_queue=True, in_flight=True, blocking=False)

    def _note_open(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _refuse(self, failure: TransportError) -> None:
        if not self._opened.done():
            self._opened.set_exception(failure)

    def _fail_for(self, raised: KafkaException) -> None:
        what = "appending to" if self._opened.done() else "connect to"
        over = " is over" if self._opened.done() else ""
        doing = f"{what} {self._address.bootstrap}{over}"
        self._fail(translate_raised(raised, doing=doing))

    def _fail(self, failure: TransportError) -> None:
        if self._failure is None:
            self._failure = failure
        self._refuse(failure)
        self._purge(str(failure))

    def _broken(self, raised: BaseException) -> None:
        self._fail(TransportError(f"the producer's thread ended: {raised!r}"))

    def _unreachable(self, limit_s: float) -> TransportError:
        doing = f"connect to {self._address.bootstrap}"
        if self._last_error is None:
            return Unreachable(f"{doing}: no producer id within {limit_s:g} s; is it a broker?")
        return translate(self._last_error, doing=doing)


def _unknown(record: _Record, why: str) -> Report:
    return Report(*record.place, NOWHERE, int(time.time() * MILLISECONDS), why)


def _connect(producer: Producer) -> None:
    with suppress(KafkaException):  # whether it worked is told by the producer's id
        producer.list_topics(timeout=CONNECT_S)
