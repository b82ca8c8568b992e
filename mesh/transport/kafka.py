"""The log on Apache Kafka, or on the embedded broker, by confluent-kafka.

One producer, one consumer for each reader, each with a thread of its own that hands batches to the
event loop; nothing here blocks the loop. The parts are named in `mesh.transport`.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing

from mesh.errors import TransportError
from mesh.ports import Commit, GroupListener, Headers, Incoming, Place, Report
from mesh.transport.kafka_cursor import Keep
from mesh.transport.kafka_group import KafkaGroup
from mesh.transport.kafka_lookup import KafkaLookup
from mesh.transport.kafka_producer import KafkaProducer
from mesh.transport.kafka_scan import ScanPool
from mesh.transport.kafka_settings import Address, Limits, Security
from mesh.transport.kafka_tail import KafkaTail
from mesh.transport.offsets import resolve
from mesh.transport.pulse import Pulse

NOT_OPEN = "the log is not open"
READ_ONLY = "this log was opened for reading only"


class KafkaLog:
    """A `mesh.ports.Log`."""

    def __init__(
        self,
        bootstrap: str,
        *,
        client_id: str = "mesh",
        security: Security | None = None,
        embedded: bool = False,
        writes: bool = True,
        limits: Limits | None = None,
    ) -> None:
        """Describe a connection; `open` makes it.

        Args:
            bootstrap: `host:port`, several separated by commas.
            client_id: Names this client in the brokers' logs and quotas.
            security: How to authenticate.
            embedded: Whether that is the embedded broker, which needs other settings.
            writes: False for a reader that may have no right to write; saves the producer.
            limits: Times; the defaults have their reasons.
        """
        self._address = Address(
            bootstrap=bootstrap,
            client_id=client_id,
            security=security or Security(),
            embedded=embedded,
        )
        self._limits = limits or Limits()
        self._producer = KafkaProducer(self._address, self._partitions) if writes else None
        # Weak: a reader that was closed is nobody's any more, one that runs is its thread's.
        self._readers: weakref.WeakSet[KafkaTail | KafkaGroup] = weakref.WeakSet()
        self._is_open = False

    def __repr__(self) -> str:
        state = "open" if self._is_open else "closed"
        return (
            f"<KafkaLog {self._address.bootstrap} {state}, {self.pending()} pending, "
            f"{len(self._readers)} readers>"
        )

    async def open(self) -> None:
        """Connect; see `mesh.ports.Log.open`."""
        self._lookup = KafkaLookup(self._address, self._limits.lookup_s)
        self._scans = ScanPool(self._address)
        self._pulse = Pulse(asyncio.get_running_loop(), self._limits.stall_s)
        try:
            if self._producer is None:
                await self._lookup.reach(self._limits.open_s)
            else:
                await self._producer.open(self._limits.open_s)
        except TransportError:
            await self._lookup.close()
            raise
        self._pulse.start()
        self._is_open = True

    async def close(self, timeout_s: float = 10.0) -> None:
        """Leave the groups, flush, let go; see `mesh.ports.Log.close`."""
        if not self._is_open:
            return
        self._is_open = False
        # The listeners may still append what gives their authority up; so the producer is closed
        # after them, and the lookup after it: it tells where what names no partition belongs.
        await asyncio.gather(*(reader.close() for reader in tuple(self._readers)))
        self._readers.clear()
        if self._producer is not None:
            await self._producer.close(timeout_s)
        await asyncio.gather(self._scans.close(), self._lookup.close())
        self._pulse.stop()

    def append(
        self,
        place: Place,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        report: Callable[[Report], None] | None = None,
    ) -> None:
        """Append without waiting; see `mesh.ports.Log.append`."""
        if self._producer is None:
            raise TransportError(READ_ONLY)
        self._producer.append(place, key, value, headers, report)

    def pending(self) -> int:
        """Return how many appends have no report yet."""
        return 0 if self._producer is None else self._producer.pending()

    def failure(self) -> TransportError | None:
        """Return why nothing can be appended any more."""
        return None if self._producer is None else self._producer.failure()

    def producer_ids(self) -> int:
        """Return how often the producer got an id, or numbered its records anew (its epoch)."""
        return 0 if self._producer is None else self._producer.producer_ids()

    async def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is pending; False if `timeout_s` passed first."""
        return self._producer is None or await self._producer.flush(timeout_s)

    async def tail(
        self,
        topic: str,
        start: Mapping[int, int | None],
        *,
        keep: Keep | None = None,
        every_s: float = 0.0,
    ) -> KafkaTail:
        """Read partitions for ever; see `mesh.ports.Log.tail`."""
        self._require_open()
        known = await self.ends(topic)
        starts, ends = resolve(topic, start, known, self._address.bootstrap)
        reader = KafkaTail(self._address, topic, starts, ends, keep, every_s)
        self._readers.add(reader)
        return reader

    async def scan(
        self, place: Place, first: int, end: int | None = None, *, keep: Keep | None = None
    ) -> AsyncGenerator[Sequence[Incoming], None]:
        """Read a range of one partition; see `mesh.ports.Log.scan`."""
        self._require_open()
        known = await self.ends(place.topic)
        starts, ends = resolve(
            place.topic, {place.partition: first}, known, self._address.bootstrap
        )
        begin = starts[place.partition]
        stop = ends[place.partition] if end is None else end
        if begin >= stop:
            yield ()
            return
        async with aclosing(self._scans.scan(place, begin, stop, keep)) as batches:
            async for records in batches:
                yield records

    async def join(self, topics: Sequence[str], group: str, listener: GroupListener) -> KafkaGroup:
        """Become a member of a group; see `mesh.ports.Log.join`."""
        self._require_open()
        await self._lookup.require(topics)
        reader = KafkaGroup(self._address, topics, group, listener, self._pulse, self._limits)
        self._readers.add(reader)
        return reader

    async def ends(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """Return low and high watermark by partition; empty when there is no such topic."""
        self._require_open()
        return await self._lookup.ends(topic)

    async def named(self, prefix: str) -> Sequence[str]:
        """Return the topics whose names begin so; see `mesh.ports.Log.named`."""
        self._require_open()
        return await self._lookup.named(prefix)

    async def committed(self, group: str, places: Sequence[Place]) -> Mapping[Place, Commit | None]:
        """Return what a group has committed; see `mesh.ports.Log.committed`."""
        self._require_open()
        return await self._lookup.committed(group, places)

    async def _partitions(self, topic: str) -> Sequence[int]:
        return await self._lookup.partitions(topic)

    def _require_open(self) -> None:
        if not self._is_open:
            raise TransportError(NOT_OPEN)
