"""The records of the memory broker: partitions with offsets, append times, trimming, compaction."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

from mesh.ports import Headers, Incoming, Place

OFFSET = attrgetter("offset")


class Partition:
    """One log. Watchers are called when it grew, in the order in which they came."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.low = 0
        self.high = 0
        self._records: list[Incoming] = []
        self._watchers: dict[Callable[[], None], None] = {}

    def append(
        self, append_ms: int, key: bytes | None, value: bytes | None, headers: Headers
    ) -> Incoming:
        """Append a record and return it."""
        record = Incoming(*self.place, self.high, append_ms, key, value, headers)
        self._records.append(record)
        self.high += 1
        for watcher in tuple(self._watchers):
            watcher()
        return record

    def read(self, position: int, limit: int) -> tuple[Sequence[Incoming], int]:
        """Return at most `limit` records from `position` on, and the position after them."""
        first = bisect_left(self._records, position, key=OFFSET)
        records = self._records[first : first + limit]
        whole = first + limit >= len(self._records)
        return records, self.high if whole else records[-1].offset + 1

    def trim(self, before: int) -> None:
        """Forget the records below an offset, as retention does."""
        self.low = min(max(self.low, before), self.high)
        del self._records[: bisect_left(self._records, self.low, key=OFFSET)]

    def compact(self) -> None:
        """Keep the last record of each key, without tombstones, and the last of all.

        As on a broker, the end stays; unlike there, it happens at once and to the last record but
        one, which makes the most of the holes.
        """
        last: dict[bytes | None, int] = {record.key: record.offset for record in self._records}
        self._records = [
            record
            for record in self._records
            if record.offset == self.high - 1
            or (record.value is not None and last[record.key] == record.offset)
        ]

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` whenever the log grew."""
        self._watchers[watcher] = None

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Call it no more."""
        self._watchers.pop(watcher, None)


class Topic:
    """Partitions of one name, and settings that have no effect here."""

    def __init__(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        self.partitions = [Partition(Place(name, number)) for number in range(partitions)]
        self.config = dict(config)
