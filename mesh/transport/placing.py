"""Appends that name no partition: the key decides, as in Java clients, else they take turns.

It is decided here and not in librdkafka, because an append's partition must be known before it
leaves: see *introduced* in `mesh.transport.gathering`. Until the brokers have said how many
partitions a topic has, its appends wait here, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, Protocol, Self, TypeVar

from mesh.errors import TransportError, Unreachable
from mesh.ports import Place
from mesh.transport.kafka_settings import UNKNOWN_TOPIC_MS
from mesh.transport.offsets import missing
from mesh.wire.partitioner import partition_of

AGAIN_S = 0.1
KNOWN_S = 300.0  # as other clients: so long a partition that was added gets nothing


class Unplaced(Protocol):
    """An append, as far as it matters here."""

    @property
    def place(self) -> Place:
        """Its topic; the partition is -1."""

    @property
    def key(self) -> bytes | None:
        """What decides the partition."""

    def put(self, place: Place) -> Self:
        """Return the same append with its partition."""


Record = TypeVar("Record", bound=Unplaced)


class Placing(Generic[Record]):
    """Gives appends their partitions, and asks how many there are where that is not known."""

    def __init__(
        self,
        partitions: Callable[[str], Awaitable[Sequence[int]]],
        bootstrap: str,
        placed: Callable[[Record], None],
        refused: Callable[[Record, str], None],
    ) -> None:
        """Begin with nothing known.

        Args:
            partitions: Asks the brokers; none for a topic that does not exist.
            bootstrap: The brokers' address, for messages.
            placed: Called with each append once it has its partition.
            refused: Called with each that cannot get one, and why.
        """
        self._partitions = partitions
        self._bootstrap = bootstrap
        self._placed = placed
        self._refused = refused
        self._known: dict[str, tuple[int, float]] = {}
        self._waiting: dict[str, list[Record]] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._turn = 0

    def place(self, record: Record) -> None:
        """Give an append its partition, now or when it is known."""
        topic = record.place.topic
        waiting = self._waiting.get(topic)
        if waiting is not None:
            waiting.append(record)
            return
        loop = asyncio.get_running_loop()
        count, asked_s = self._known.get(topic, (0, 0.0))
        if count and loop.time() - asked_s < KNOWN_S:
            self._put(record, count)
            return
        self._waiting[topic] = [record]
        asking = loop.create_task(self._ask(topic))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    def abandon(self) -> list[Record]:
        """Remove and return everything that waits, and ask no more."""
        abandoned = [record for waiting in self._waiting.values() for record in waiting]
        self._waiting.clear()
        for asking in self._asking:
            asking.cancel()
        return abandoned

    def asking(self) -> Sequence[asyncio.Task[None]]:
        """Return the questions under way."""
        return tuple(self._asking)

    async def _ask(self, topic: str) -> None:
        count, why = 0, str(missing(topic, self._bootstrap))
        try:
            count = await self._count(topic)
        except TransportError as failure:
            why = str(failure)
        self._known[topic] = (count, asyncio.get_running_loop().time())
        for record in self._waiting.pop(topic):
            if count:
                self._put(record, count)
            else:
                self._refused(record, why)

    async def _count(self, topic: str) -> int:
        """Ask until there is an answer; a broker may not know yet of a topic just created."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + UNKNOWN_TOPIC_MS / 1000
        while True:
            with suppress(Unreachable):  # that was asked for a while; an append waits for ever
                count = len(await self._partitions(topic))
                if count or loop.time() >= until_s:
                    return count
            await asyncio.sleep(AGAIN_S)

    def _put(self, record: Record, count: int) -> None:
        topic, key = record.place.topic, record.key
        if key is None:
            self._turn += 1
        number = self._turn % count if key is None else partition_of(key, count)
        self._placed(record.put(Place(topic, number)))
