"""Answers whether what tasks have read was still current: reads what `M.state` had lately.

A watchman asks when a task delivers (`mesh.core.detectors.stale_read`), and commits nothing past
that before it is answered. Nothing is read while nobody asks; then `M.state` is read to an end that
is looked up after the inquiry was there, of the partitions that it is about, from where the
last reading ended. If that is too far behind, what is known is dropped and reading begins closer to
the end: what was replaced longer ago is not found then, and nothing false is.

Records are kept as they are, and decoded for a key once somebody asks about it: that is dearer than
all the rest, and few keys are asked about.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from mesh.core.detectors.stale_read import KEPT, Versions
from mesh.core.effects import Position
from mesh.errors import WireError
from mesh.ports import Incoming, Log, Place
from mesh.processor.inputs import read_kept
from mesh.processor.watchman import Watchman
from mesh.wire import topics
from mesh.wire.state import RULES_KEY, state_partition

BACK = 20_000
"""Records of a partition that are read back: a tenth of a second of reading, and minutes of a mesh
that writes a hundred times a second."""
MAX_BYTES = 32 * 1024 * 1024
"""Of records that are kept as they are; then the keys that were written first are forgotten."""
RECORD_BYTES = 400
"""What a record takes beside its value."""

_log = logging.getLogger(__name__)


class Recent:
    """Mutable: the entries of shared state that changed lately, as far as somebody asked."""

    def __init__(self, log: Log, mesh: str) -> None:
        self.versions = Versions()
        self.asked = 0
        self._log = log
        self._topic = topics.state(mesh)
        self._next: dict[int, int] = {}
        self._raw: dict[bytes, list[Incoming]] = {}
        self._bytes = 0

    def __repr__(self) -> str:
        return f"<Recent of {sorted(self._next)}, {self.versions}, {self.asked} asked>"

    async def answer(self, watchman: Watchman) -> None:
        """Answer what is asked so far.

        Raises:
            TransportError: The log cannot be read just now; ask again.
        """
        asked = tuple(watchman.inquiries)
        if not asked:
            return
        ends = await self._log.ends(self._topic)
        keys = sorted({key for own in asked for key, _ in own.inquiry.reads})
        for partition in sorted({state_partition(key, len(ends)) for key in keys} if ends else ()):
            await self._read(partition, *ends[partition])
        for key in keys:
            self._decode(key.encode())
        for own in asked:
            # one that cannot be judged stays there, to be answered all the same: see the survey
            incident = self.versions.judge(own.inquiry, own.post.partition)
            watchman.inquiries.popleft()
            watchman.answer(own, incident)
        self.asked += len(asked)

    async def _read(self, partition: int, low: int, high: int) -> None:
        """Read a partition up to `high`."""
        first = self._next.get(partition)
        if first is not None and high - first > BACK:
            # a gap would make an old version seem to be the latest
            self.versions, self._next, first = Versions(), {}, None
            self._raw, self._bytes = {}, 0
        if first is None:
            first = max(low, high - BACK)
            await self._take(partition, low, first, rules=True)
        await self._take(partition, first, high)
        self._next[partition] = high

    async def _take(self, partition: int, first: int, end: int, *, rules: bool = False) -> None:
        if first >= end:
            return
        keep = _is_rules if rules else None
        scan = self._log.scan(Place(self._topic, partition), first, end, keep=keep)
        async with aclosing(scan) as batches:
            async for batch in batches:
                for record in batch:
                    self._note(record)
                await asyncio.sleep(0)  # what is there already would come without a pause

    def _note(self, record: Incoming) -> None:
        key = record.key or b""
        if key == RULES_KEY:
            self._understand(record)
            return
        kept = self._raw.pop(key, [])
        self._raw[key] = kept  # so that those that were written last stand last
        kept.append(record)
        self._bytes += _size(record)
        if len(kept) > KEPT:
            self._bytes -= _size(kept.pop(0))
        while self._bytes > MAX_BYTES:
            oldest = next(iter(self._raw))
            self._bytes -= sum(map(_size, self._raw.pop(oldest)))
            # a gap would make an old version seem to be the latest
            self.versions.forget(oldest.decode(errors="replace"))

    def _decode(self, key: bytes) -> None:
        """Let what is known of a key be understood."""
        for record in self._raw.pop(key, ()):
            self._bytes -= _size(record)
            self._understand(record)

    def _understand(self, record: Incoming) -> None:
        try:
            kept = read_kept(record)
        except WireError as error:
            # its keeper says what is to be done about it
            _log.warning("%s[%d]@%d: %s", self._topic, record.partition, record.offset, error)
            return
        where = Position("state", record.partition, record.offset)
        self.versions.take(kept, where, record.append_ms)


def _size(record: Incoming) -> int:
    return len(record.value or b"") + RECORD_BYTES


def _is_rules(key: bytes | None) -> bool:
    return key == RULES_KEY
