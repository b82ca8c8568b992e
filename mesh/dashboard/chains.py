"""One workflow in full, read back from the log when somebody asks for it.

What is read is judged as every reader judges it: from before the taking of supervision that the
root task names, and if that was long before, from the opening on, with that taking trusted. Records
of other workflows only move the time. The latest few chronicles are kept, and read on from where
they were.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing
from typing import NamedTuple, TypeVar

from mesh.core.book import NEVER
from mesh.core.facts import Record, SupervisionTaken, TaskOpened
from mesh.core.ids import audit_partition_of
from mesh.core.ledger import Ledger
from mesh.core.tasks import Lease
from mesh.errors import WireError
from mesh.ports import Incoming, Log, Place
from mesh.telling.story import Chronicle
from mesh.wire import topics
from mesh.wire.facts import decode_fact

Told = TypeVar("Told")

BACK = 20_000
"""Records before the taking that a workflow names, so that it is known whether that counted."""
MAX_KEPT = 8
"""Chronicles that are kept: as many as people look at just now."""
MAX_RECORDS = 100_000
"""Records of one chronicle; a longer one is told by `mesh trace`, not by a page."""
AFTER = 5_000
"""Records that are read after a workflow's end: what comes late is void, and told if it is near."""
STEP = 200
"""Records judged between two looks of the loop at what else is to do."""


class TooLong(Exception):
    """A workflow has more records than a page shows."""


class Chain(NamedTuple):
    """A workflow as far as it was read; `next` is the offset that is due, `whole` if all is there.

    `low` is the oldest offset of the partition that is still in the log.
    """

    chronicle: Chronicle
    partition: int
    next: int
    low: int
    whole: bool


class Chains:
    """Mutable: reads workflows of one mesh."""

    def __init__(self, log: Log, mesh: str) -> None:
        self._log = log
        self._topic = topics.audit(mesh)
        self._kept: OrderedDict[str, Chain] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    def __repr__(self) -> str:
        return f"Chains({len(self._kept)} kept)"

    async def told(
        self, workflow: str, first: int | None, tell: Callable[[Chain], Told]
    ) -> Told | None:
        """Return what `tell` makes of a workflow as it is now; None if the log does not have it.

        Args:
            workflow: Its id.
            first: Where its first record stands, if that is known.
            tell: Called on another thread, for a long story takes a while.

        Raises:
            TooLong: It has more records than a page shows.
            TransportError: The log cannot be read.
        """
        lock = self._locks.setdefault(workflow, asyncio.Lock())
        try:
            async with lock:
                chain = await self._read(workflow, first)
                return None if chain is None else await asyncio.to_thread(tell, chain)
        finally:
            if not lock.locked():
                self._locks.pop(workflow, None)

    async def _read(self, workflow: str, first: int | None) -> Chain | None:
        partition = audit_partition_of(workflow)
        ends = await self._log.ends(self._topic)
        if partition not in ends:
            return None
        low, high = ends[partition]
        chain = self._kept.pop(workflow, None)
        if chain is None:
            chain = await self._begin(workflow, Place(self._topic, partition), low, first)
        if chain is None:
            return None
        if chain.next < high and not (chain.chronicle.ended and chain.next > _past(chain)):
            chain = chain._replace(next=await self._on(chain, high))
        chain = chain._replace(low=low)
        self._kept[workflow] = chain
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return chain

    async def _begin(
        self, workflow: str, place: Place, low: int, first: int | None
    ) -> Chain | None:
        """Find out from where a workflow must be read, and what is known there."""
        start = low if first is None else max(low, first)
        name = workflow.encode("utf-8", "surrogatepass")
        found = await self._first(place, start, None, name)
        if found is None or not isinstance(found.fact, TaskOpened):
            return None
        chronicle, opened = Chronicle(workflow, Ledger()), found.fact
        begins = max(low, opened.authority - BACK)
        whole = opened.authority >= low
        if whole and found.offset - opened.authority > BACK:
            await self._trust(chronicle.ledger, place, found, opened)
            begins = found.offset
        return Chain(chronicle, place.partition, begins, low, whole)

    async def _trust(
        self, ledger: Ledger, place: Place, record: Record, opened: TaskOpened
    ) -> None:
        """Let the supervision hold that a workflow was opened under."""
        taking = await self._first(place, opened.authority, opened.authority + 1)
        if taking is not None and isinstance(taking.fact, SupervisionTaken):
            fact, at_ms = taking.fact, record.append_ms
            lease = Lease(taking.offset, fact.by, fact.lease_ms, now_ms=at_ms, limit_ms=NEVER)
            ledger.supervisions[fact.source] = lease

    async def _first(
        self, place: Place, first: int, end: int | None, name: bytes | None = None
    ) -> Record | None:
        """Return the first opening or taking of supervision, under a key if one is given."""
        keep = None if name is None else (lambda key: key == name)
        async with aclosing(self._log.scan(place, first, end, keep=keep)) as batches:
            async for batch in batches:
                for incoming in batch:
                    record = _record(incoming)
                    if record and isinstance(record.fact, TaskOpened | SupervisionTaken):
                        return record
                await asyncio.sleep(0)
        return None

    async def _on(self, chain: Chain, end: int) -> int:
        """Judge what came since, to a little beyond the end; return the offset that is due."""
        chronicle = chain.chronicle
        name = chronicle.workflow.encode("utf-8", "surrogatepass")
        place = Place(self._topic, chain.partition)
        judged, due, last = 0, chain.next, end
        async with aclosing(self._log.scan(place, chain.next, end)) as batches:
            async for batch in batches:
                for incoming in batch:
                    judged += _judge(chronicle, name, incoming)
                    due = incoming.offset + 1
                    if judged >= STEP:
                        judged = 0
                        await asyncio.sleep(0)
                if len(chronicle.entries) > MAX_RECORDS:
                    raise TooLong
                if chronicle.ended:
                    last = min(last, chronicle.entries[-1].record.offset + AFTER)
                    if due >= last:
                        return due
                await asyncio.sleep(0)
        return end


def _past(chain: Chain) -> int:
    """Return the offset of the latest record of a workflow."""
    return chain.chronicle.entries[-1].record.offset


def _judge(chronicle: Chronicle, name: bytes, incoming: Incoming) -> int:
    """Let a record be judged, or only move the time; return what that costs."""
    key = incoming.key
    if key is None or key == name or b"/" in key:
        record = _record(incoming)
        if record is not None:
            chronicle.add(record)
            return 1
    chronicle.ledger.observe(incoming.append_ms)
    return 0


def _record(incoming: Incoming) -> Record | None:
    try:
        own = decode_fact(incoming.value)
    except WireError:
        return None
    return Record(incoming.offset, incoming.append_ms, own.sequence, own.fact)
