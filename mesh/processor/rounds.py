"""Goes round all partitions of the audit stream, for what no single one shows: duplicate work.

The worker that owns audit partition 0 does it, beside the watch over its own partitions. It reads
every partition once more and looks at each record's first ten bytes: all but openings and ends of
tasks are passed over without being decoded. What those mean is said in
`mesh.core.detectors.duplicate_work`.

**Through which time all was read.** Each round looks up where the partitions end and reads each up
to there. So whatever was appended before the round began is known after it: that is, all up to
the largest append time that was seen before, less what brokers' clocks differ by. A partition that
is too long for one round holds that time back until it was read to its end.

**Where a successor begins.** With the oldest task that is still kept, of each partition: these
places are noted in `M.open` under `survey/PARTITION` (see `notes`), together and only once all that
was found is acknowledged. Without such notes it begins where the watchmen do.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from functools import cache

from mesh.core import facts as f
from mesh.core.detectors.duplicate_work import Twins
from mesh.core.effects import Incident
from mesh.core.tasks import Header
from mesh.errors import WireError
from mesh.ports import Incoming, Log, Place, Report
from mesh.processor import notes
from mesh.wire import topics
from mesh.wire.facts import decode_fact, prefixes_of
from mesh.wire.schemas import PREFIX

ROUND_RECORDS = 20_000
"""Records of one partition that are read in a round, so that other things are looked at meanwhile:
some 0.2 s."""
NOTE_EVERY = 20_000
"""Records after which it is noted anew where to begin: less than a second of reading."""
SKEW_MS = 500
"""By which the clocks of two brokers may differ: the setting of the mesh that `mesh doctor` checks
says the same by default."""

_log = logging.getLogger(__name__)


class Rounds:
    """Mutable: how far each partition was read, and the tasks that are open in all of them."""

    def __init__(self, log: Log, mesh: str) -> None:
        self.twins = Twins()
        self.read = 0
        """Records that were looked at."""
        self.decoded = 0
        """Those of them that were openings or ends."""
        self._log = log
        self._topic = topics.audit(mesh)
        self._open = topics.open_workflows(mesh)
        self._next: dict[int, int] = {}
        self._begun: dict[int, int] = {}
        self._last_ms: dict[int, int] = {}
        self._seen_ms = 0
        self._noted = 0
        self._wanted = wanted()

    def __repr__(self) -> str:
        return f"<Rounds, next {self._next}, {self.twins}>"

    async def go(self) -> list[Incident]:
        """Go round once; return what is found.

        Raises:
            TransportError: The log cannot be read just now; the next round goes on.
        """
        ends = await self._log.ends(self._topic)
        through_ms = self._seen_ms
        for partition, (low, high) in ends.items():
            if partition not in self._next:
                self._next[partition] = await self._begin(partition, low, high)
                self._begun[partition] = high
            first = max(low, self._next[partition])
            end = min(high, first + ROUND_RECORDS)
            await self._read(partition, first, end)
            if end < high:
                through_ms = min(through_ms, self._last_ms.get(partition, 0))
        return self.twins.advance(through_ms - SKEW_MS)

    def is_known_elsewhere(self, found: Incident) -> bool:
        """Tell whether whoever went round before may have told it: it was there at our beginning.

        What came later only a worker that was replaced and goes on may tell, too: the same, once
        more.
        """
        last = found.evidence[-1]
        return last.offset < self._begun[last.partition]

    async def _begin(self, partition: int, low: int, high: int) -> int:
        place = Place(self._open, partition)
        note = await notes.read_note(self._log, place, notes.SURVEY, notes.PREFIX)
        return min(max(low, note.offset), high)

    async def _read(self, partition: int, first: int, end: int) -> None:
        if first < end:
            place = Place(self._topic, partition)
            async with aclosing(self._log.scan(place, first, end)) as batches:
                async for batch in batches:
                    for record in batch:
                        self._see(record)
                    await asyncio.sleep(0)  # what is there already would come without a pause
        self._next[partition] = max(end, first)

    def _see(self, record: Incoming) -> None:
        self.read += 1
        at_ms = self._last_ms[record.partition] = record.append_ms
        self._seen_ms = max(self._seen_ms, at_ms)
        value = record.value
        if value is None or value[:PREFIX] not in self._wanted:
            return
        self.decoded += 1
        try:
            decoded = decode_fact(value)
        except WireError:
            return  # the watchman of its partition says so
        fact = f.Record(record.offset, at_ms, decoded.sequence, decoded.fact)
        self.twins.take(record.partition, fact)

    # --- where to begin again -------------------------------------------------------------------

    def note(self, *, least: int = NOTE_EVERY) -> None:
        """Note where to begin, after so many records; call it when all that was found is told."""
        if self.read < self._noted + least:
            return
        self._noted = self.read
        for partition, following in self._next.items():
            offset = self.twins.begin(partition, following)
            header = Header(offset, self._seen_ms, ())
            key = notes.note_key(partition, notes.SURVEY)
            value = notes.encode_note(partition, header)
            self._log.append(Place(self._open, partition), key, value, (), _noted)


def _noted(report: Report) -> None:
    if report.error is not None:  # the next note says the same, and more
        _log.warning("where to begin again was not noted: %s", report.error)


@cache
def wanted() -> frozenset[bytes]:
    """Return how the values begin that are looked at."""
    ends = (f.TaskCompleted, f.TaskFailed, f.TaskRejected, f.TaskExpired, f.TaskCancelled)
    return prefixes_of(f.TaskOpened, f.WorkFinished, *ends)
