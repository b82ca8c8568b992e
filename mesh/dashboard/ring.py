"""The latest records of the audit stream, judged: what a page is sent that was away for a moment.

A record is kept as it stood in the log, and decoded again when somebody asks for it: that is
seldom, and takes a fifth of the memory. Records are numbered as they were folded, over all
partitions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

MAX_RECORDS = 20_000
"""A hundred seconds at 200 a second: longer than a page needs to come back."""
MAX_BYTES = 32 * 1024 * 1024
"""Of their values, for one record may have 256 KiB."""


class Seen(NamedTuple):
    """One record of the audit stream.

    `void` is "" for what counts, else why not; None where nobody can know, for its workflow began
    before the reading did. `kind` is "" for what is no fact.
    """

    partition: int
    offset: int
    append_ms: int
    value: bytes | None
    void: str | None
    kind: str
    workflow: str
    task: str
    instance: str


class Ring:
    """Mutable: the latest records; `first` and `next` are the numbers of the oldest and the next.

    `forgotten` says by partition up to where (exclusively) records are gone again.
    """

    def __init__(self, most: int = MAX_RECORDS, most_bytes: int = MAX_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._seen: deque[Seen] = deque()
        self.next = 0
        self.forgotten: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"Ring({self.first} to {self.next}, {self._bytes:,} bytes)"

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def first(self) -> int:
        """The number of the oldest that is kept."""
        return self.next - len(self._seen)

    def begin(self, partition: int, offset: int) -> None:
        """Say where a partition's reading began."""
        self.forgotten[partition] = offset

    def add(self, seen: Seen) -> None:
        """Keep a record; the oldest go."""
        self._seen.append(seen)
        self.next += 1
        self._bytes += len(seen.value or b"")
        while len(self._seen) > self._most or self._bytes > self._most_bytes:
            old = self._seen.popleft()
            self._bytes -= len(old.value or b"")
            self.forgotten[old.partition] = old.offset + 1

    def since(self, number: int) -> Iterator[Seen]:
        """Yield what has this number or a later one and is still there."""
        return islice(self._seen, max(0, number - self.first), None)

    def latest(self) -> Iterator[Seen]:
        """Yield all, the newest first."""
        return reversed(self._seen)
