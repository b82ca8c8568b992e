"""Workflows that sleep, kept small.

A workflow that is one suspended task, waiting for a time, is looked at by nobody before then, and
a supervisor may have many thousands. What is known of one (its watch, its state, where to read it)
is some thirty objects and five kilobytes. So it is *packed*: pickled, and compressed against
another one, to some 300 bytes. Whoever looks at it unpacks it first (`Desk.ledger`), so no other
part of the node can tell the difference, and a sleeper costs neither a fact nor a read. Packed
bytes never leave the process that packed them.
"""

from __future__ import annotations

import pickle  # only of what this very object has pickled
import zlib
from typing import Final, Generic, TypeVar

T = TypeVar("T")

DUE_BYTES: Final = 8
"""What is packed begins with when it is due, and is one object: a second would cost 100 bytes."""
PATTERN_BYTES: Final = 8 * 1024
"""A larger one holds somebody's contents, which no other has, and costs time with each. What was
packed before there was a pattern refers to none, and unpacks with any."""
RAW: Final = -15
"""Deflate without header and checksum: the bytes stay in memory."""
FASTEST: Final = 1
"""What the pattern does not take away is mostly hashes, which no effort makes smaller."""


class Asleep(Generic[T]):
    """Mutable: what is packed, by its workflow, with when to look at it."""

    def __init__(self) -> None:
        self._sleepers: dict[str, bytes] = {}
        self._pattern = b""
        self._earliest_ms = 0

    def __contains__(self, workflow: str) -> bool:
        return workflow in self._sleepers

    def __len__(self) -> int:
        return len(self._sleepers)

    def __repr__(self) -> str:
        return f"Asleep({len(self._sleepers)})"

    def pack(self, workflow: str, due_ms: int, awake: T) -> None:
        """Keep `awake` until it is unpacked."""
        whole = pickle.dumps(awake, pickle.HIGHEST_PROTOCOL)
        if not self._pattern and len(whole) <= PATTERN_BYTES:
            self._pattern = whole
        squeezer = zlib.compressobj(FASTEST, wbits=RAW, zdict=self._pattern)
        due = due_ms.to_bytes(DUE_BYTES)
        self._sleepers[workflow] = due + squeezer.compress(whole) + squeezer.flush()
        self._earliest_ms = min(self._earliest_ms, due_ms)

    def unpack(self, workflow: str) -> T:
        """Return what was packed, and keep it no longer."""
        packed = self._sleepers.pop(workflow)
        squeezer = zlib.decompressobj(wbits=RAW, zdict=self._pattern)
        whole = squeezer.decompress(packed[DUE_BYTES:])
        awake: T = pickle.loads(whole)  # noqa: S301  # `pack` has made it
        return awake

    def drop(self, workflow: str) -> bool:
        """Keep it no longer, and tell whether it was here."""
        return self._sleepers.pop(workflow, None) is not None

    def due(self, now_ms: int) -> list[str]:
        """Return which workflows are to be looked at by now."""
        if self._earliest_ms > now_ms:
            return []
        due = {name: int.from_bytes(own[:DUE_BYTES]) for name, own in self._sleepers.items()}
        left = (due_ms for due_ms in due.values() if due_ms > now_ms)
        self._earliest_ms = min(left, default=now_ms)
        return [name for name, due_ms in due.items() if due_ms <= now_ms]
