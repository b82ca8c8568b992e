"""Members of a consumer group without a client each: `ConsumerGroupHeartbeat` (KIP-848) by hand.

A real consumer has four threads: a thousand of them in one process would measure the scheduler. One
connection here speaks for many members, which is all that the broker sees of an idle instance.
Encoding after the protocol guide of Apache Kafka, API key 68, version 1.
"""

from __future__ import annotations

import asyncio
import struct
import uuid
from collections.abc import Sequence
from typing import NamedTuple

API_KEY, VERSION = 68, 1
JOIN, LEAVE = 0, -1
REBALANCE_MS = 60_000
CLIENT = b"fleet"
NULL = b"\x00"
NO_TAGS = b"\x00"
PASSING = frozenset({14, 15, 16})
"""The coordinator is being loaded, is not there yet, is not this broker: it will be."""
AGAIN_S = 0.2


class Assigned(NamedTuple):
    """Partitions of one topic."""

    topic_id: bytes
    partitions: tuple[int, ...]


class Member:
    """Mutable: one member; `owned` None means that the broker needs not be told."""

    def __init__(self, topics: Sequence[str]) -> None:
        self.id = str(uuid.uuid4())
        self.topics = tuple(topics)
        self.epoch = JOIN
        self.owned: tuple[Assigned, ...] | None = ()
        self.assigned: tuple[Assigned, ...] = ()


class Connection:
    """Mutable: one connection to the group's coordinator, for many members."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._count = 0

    async def open(self, host: str, port: int) -> None:
        self._reader, self._writer = await asyncio.open_connection(host, port)

    async def beat(self, member: Member) -> None:
        """Send one heartbeat of a member and take the answer.

        Raises:
            RuntimeError: The broker refuses it.
        """
        while True:
            if await self._beat(member):
                return
            await asyncio.sleep(AGAIN_S)

    async def _beat(self, member: Member) -> bool:
        joining = member.epoch == JOIN
        body = b"".join(
            (
                _text(self._group),
                _text(member.id),
                struct.pack(">i", member.epoch),
                NULL,  # no instance id
                NULL,  # no rack
                struct.pack(">i", REBALANCE_MS if joining else -1),
                _array([_text(name) for name in member.topics]) if joining else NULL,
                NULL,  # no pattern
                NULL,  # any assignor
                NULL if member.owned is None else _array(list(map(_owned, member.owned))),
                NO_TAGS,
            )
        )
        self._count += 1
        head = struct.pack(">hhih", API_KEY, VERSION, self._count, len(CLIENT)) + CLIENT + NO_TAGS
        message = head + body
        self._writer.write(struct.pack(">i", len(message)) + message)
        (size,) = struct.unpack(">i", await self._reader.readexactly(4))
        return _take(member, await self._reader.readexactly(size))


def _take(member: Member, data: bytes) -> bool:
    """Read an answer: header with correlation id and tags, then the body; False: ask again."""
    reader = _Reader(data, 5)
    reader.skip(4)  # throttle time
    (error,) = struct.unpack(">h", reader.bytes(2))
    message = reader.text()
    if error in PASSING:
        return False
    if error:
        raise RuntimeError(f"heartbeat of {member.id}: {error} {message}")
    reader.text()  # member id
    (member.epoch,) = struct.unpack(">i", reader.bytes(4))
    reader.skip(4)  # interval
    member.owned = None
    if reader.bytes(1) == b"\x01":
        member.assigned = member.owned = reader.assignment()
    return True


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def bytes(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def skip(self, count: int) -> None:
        self._at += count

    def count(self) -> int:
        """Read an unsigned variable-length integer."""
        value = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self) -> str:
        size = self.count()
        return self.bytes(size - 1).decode() if size else ""

    def assignment(self) -> tuple[Assigned, ...]:
        found = []
        for _ in range(self.count() - 1):
            topic_id = self.bytes(16)
            numbers = self.count() - 1
            partitions = struct.unpack(f">{numbers}i", self.bytes(4 * numbers))
            self.count()  # tags
            found.append(Assigned(topic_id, partitions))
        return tuple(found)


def _length(count: int) -> bytes:
    out = bytearray()
    while count >= 0x80:
        out.append(count & 0x7F | 0x80)
        count >>= 7
    out.append(count)
    return bytes(out)


def _text(text: str) -> bytes:
    data = text.encode()
    return _length(len(data) + 1) + data


def _array(items: Sequence[bytes]) -> bytes:
    return _length(len(items) + 1) + b"".join(items)


def _owned(assigned: Assigned) -> bytes:
    partitions = [struct.pack(">i", number) for number in assigned.partitions]
    return assigned.topic_id + _array(partitions) + NO_TAGS
