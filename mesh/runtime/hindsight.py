"""Finds out what became of a change that its entry has forgotten, from what stands in `M.state`.

An entry remembers the last changes that made a version of it. A copy of a change that comes when
that is past is a conflict, whatever became of an earlier copy; to tell its writer so would be to
tell it that its own accepted write is somebody else's, and `update` would apply it twice.

By then it is settled. What expects a version that old conflicts under every rule, so no copy of it
is accepted any more; and every version that was ever made stands in `M.state` before a verdict is
told that knows of it. Compaction leaves the topic alone for an hour. So it is read backwards from
its end, in growing pieces, until the change is found among what the entries remember, or every
version since the expected one is known to be somebody else's. Where compaction was faster, nobody
can tell any more, and that is what is said.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace

from mesh.core.messages import Judged
from mesh.core.shared import Change, Entry, Past, worst
from mesh.errors import NotPermitted, TransportError, WireError, WrongTopic
from mesh.ports import Incoming, Log, Place
from mesh.runtime.clock import Clock
from mesh.wire import topics
from mesh.wire.state import decode_kept

PIECE = 2_000
"""Records read at first; each further piece has twice as many. A key that changed so often in the
time of a few retries is a busy one, and stands close to the end."""
RETRY_MS = 1_000
"""A log that cannot be read just now is asked again after this."""

_log = logging.getLogger(__name__)


class Hindsight:
    """Looks back for the changes of one instance, one at a time: it is seldom, and reads much."""

    def __init__(self, log: Log, mesh: str, clock: Clock) -> None:
        self._log = log
        self._topic = topics.state(mesh)
        self._clock = clock
        self._turn = asyncio.Lock()

    async def judged(
        self, change: Change, partition: int, judged: Judged, *, again: bool
    ) -> Judged:
        """Return a verdict as it is true of all copies of a change.

        `again` says whether there may be others than the one that was judged. What is `forgotten`
        in what is returned nobody can tell any more.
        """
        if not judged.forgotten:
            return judged
        if not again:
            return replace(judged, forgotten=False)
        async with self._turn:
            while True:
                try:
                    return await self._look_back(change, Place(self._topic, partition), judged)
                except (NotPermitted, WrongTopic) as error:
                    _log.warning("what became of %s is not to be seen: %s", change.change, error)
                    return judged
                except TransportError as error:
                    _log.info("what became of %s is not known yet: %s", change.change, error)
                    await self._pause()

    async def _pause(self) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_at(self._clock.now_ms() + RETRY_MS, lambda: woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()

    async def _look_back(self, change: Change, place: Place, judged: Judged) -> Judged:
        """Read backwards until it is known.

        Raises:
            TransportError: It cannot be read just now.
        """
        sought = {
            write.key: _Sought(change.change, write.expected, current.version)
            for write, current in zip(change.writes, judged.entries, strict=False)
        }
        ends = await self._log.ends(place.topic)
        low, end = ends.get(place.partition, (0, 0))
        size = PIECE
        while end > low and not all(one.is_known for one in sought.values()):
            first = max(low, end - size)
            await self._read(place, first, end, sought)
            end, size = first, 2 * size
        return _told(judged, list(sought.values()))

    async def _read(self, place: Place, first: int, end: int, sought: dict[str, _Sought]) -> None:
        keys = {key.encode() for key in sought}
        async with aclosing(self._log.scan(place, first, end, keep=keys.__contains__)) as batches:
            async for batch in batches:
                for record in batch:
                    entry = _entry(record)
                    if entry is not None and entry.key in sought:
                        sought[entry.key].see(entry)


class _Sought:
    """Mutable: one key of a change, and which of its versions are known not to be the change's."""

    __slots__ = ("_change", "_missing", "found")

    def __init__(self, change: str, expected: int, current: int) -> None:
        self._change = change
        self._missing = set(range(expected + 1, current + 1))
        self.found: Past | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether every version is known, and none is the change's."""
        return self.found is None and not self._missing

    @property
    def is_known(self) -> bool:
        return self.found is not None or not self._missing

    def see(self, entry: Entry) -> None:
        """Take what an entry remembers."""
        for past in entry.recent:
            self._missing.discard(past.version)
            if past.change == self._change:
                self.found = past


def _told(judged: Judged, sought: list[_Sought]) -> Judged:
    """Return the verdict as it is known now; all keys of a change are written, or none."""
    found = [one.found for one in sought if one.found is not None]
    if found:
        verdict = worst(past.verdict for past in found)
        return replace(
            judged,
            verdict=verdict,
            reason=f"it was {verdict} before",
            versions=tuple(0 if one.found is None else one.found.version for one in sought),
            rivals=(),
            forgotten=False,
        )
    return replace(judged, forgotten=not any(one.is_elsewhere for one in sought))


def _entry(record: Incoming) -> Entry | None:
    """Return the entry that a record holds; one that cannot be read leaves a gap."""
    try:
        kept = decode_kept(record.value)
    except WireError:
        return None
    return kept if isinstance(kept, Entry) else None
