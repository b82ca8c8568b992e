"""What is read from the log when somebody asks for it: a record, a stretch, an entry."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from hashlib import sha256
from typing import Any, NamedTuple

from mesh.core.facts import Fact
from mesh.core.ids import audit_partition_of
from mesh.core.shared import Entry
from mesh.dashboard.raw import raw
from mesh.dashboard.ring import Seen
from mesh.errors import WireError
from mesh.ports import Incoming, Log, Place
from mesh.telling import words
from mesh.telling.shapes import Shape, time
from mesh.wire import topics
from mesh.wire.facts import decode_fact
from mesh.wire.state import decode_kept, state_partition

Keep = Callable[[bytes | None], bool]


class Stretch(NamedTuple):
    """Records of one partition; `next` is the offset behind them."""

    low: int
    high: int
    records: list[Seen]
    next: int


class LogReader:
    """Reads single things of one mesh."""

    def __init__(self, log: Log, mesh: str) -> None:
        self._log = log
        self._audit = topics.audit(mesh)
        self._state = topics.state(mesh)

    def __repr__(self) -> str:
        return f"LogReader({self._audit})"

    async def stretch(self, partition: int, first: int, most: int) -> Stretch | None:
        """Return records of the audit stream from an offset on; None without that partition."""
        ends = await self._log.ends(self._audit)
        if partition not in ends:
            return None
        low, high = ends[partition]
        records: list[Seen] = []
        start = min(max(low, first), high)
        async with aclosing(self._scan(Place(self._audit, partition), start, high)) as found:
            async for incoming in found:
                if len(records) == most:
                    return Stretch(low, high, records, incoming.offset)
                records.append(unjudged(incoming))
        return Stretch(low, high, records, high)

    async def record(self, partition: int, offset: int) -> Shape | None:
        """Return one record with all that is in it; None if there is none."""
        low, high = (await self._log.ends(self._audit)).get(partition, (0, 0))
        if not low <= offset < high:
            return None
        place = Place(self._audit, partition)
        async with aclosing(self._scan(place, offset, offset + 1)) as found:
            async for incoming in found:
                return whole(incoming)
        return None

    async def fact(self, workflow: str, offset: int) -> Fact | None:
        """Return the fact that stands at an offset of a workflow's partition; None if none does."""
        found = await self.stretch(audit_partition_of(workflow), offset, 1)
        if found is None or not found.records or found.records[0].offset != offset:
            return None
        try:
            return decode_fact(found.records[0].value).fact
        except WireError:
            return None

    async def entry(self, key: str) -> tuple[Entry, int] | None:
        """Return the latest entry of a key, and its partition; None if there is none."""
        partitions = len(await self._log.ends(self._state))
        if not partitions:
            return None
        place = Place(self._state, state_partition(key, partitions))
        name, latest = key.encode("utf-8", "surrogatepass"), None
        async with aclosing(self._scan(place, 0, None, lambda own: own == name)) as found:
            async for incoming in found:
                latest = _later(latest, incoming)
        return None if latest is None else (latest, place.partition)

    async def _scan(
        self, place: Place, first: int, end: int | None, keep: Keep | None = None
    ) -> AsyncGenerator[Incoming, None]:
        async with aclosing(self._log.scan(place, first, end, keep=keep)) as batches:
            async for batch in batches:
                for incoming in batch:
                    yield incoming
                await asyncio.sleep(0)


def _later(known: Entry | None, incoming: Incoming) -> Entry | None:
    """Return the entry with the higher version: a replaced processor may have written late."""
    try:
        kept = decode_kept(incoming.value)
    except WireError:
        return known
    if not isinstance(kept, Entry) or (known is not None and known.version >= kept.version):
        return known
    return kept


def unjudged(incoming: Incoming) -> Seen:
    """Return a record of the audit stream that nobody judged."""
    place = (incoming.partition, incoming.offset, incoming.append_ms, incoming.value, None)
    try:
        fact = decode_fact(incoming.value).fact
    except WireError:
        return Seen(*place, "", "", "", "")
    workflow, task = getattr(fact, "workflow", ""), getattr(fact, "task", "")
    return Seen(*place, type(fact).__name__, workflow, task, fact.by.instance)


def whole(incoming: Incoming) -> Shape:
    """Return a record of the audit stream as it stands in the log."""
    value = incoming.value or b""
    shape: dict[str, Any] = {
        "where": f"{incoming.partition}/{incoming.offset}",
        "at": time(incoming.append_ms),
        "key": None if incoming.key is None else incoming.key.decode(errors="replace"),
        "headers": [
            {"name": name, "value": held.decode(errors="replace")}
            for name, held in incoming.headers
        ],
        "bytes": len(value),
        "sha256": sha256(value).hexdigest(),
        "base64": b64encode(value).decode(),
    }
    try:
        decoded = decode_fact(incoming.value)
    except WireError as error:
        blank = {"kind": "", "sequence": -1, "previous": "", "chain_hash": "", "fact": None}
        return shape | blank | {"text": f"no fact: {error}"}
    return shape | {
        "kind": type(decoded.fact).__name__,
        "sequence": decoded.sequence,
        "previous": decoded.previous.hex(),
        "chain_hash": decoded.chain_hash.hex(),
        "fact": raw(decoded.fact),
        "text": words.sentence(decoded.fact),
    }
