"""The replica: what a process knows of shared state, as far as its agents declare that they read.

It is fed from `M.state`, and read to its end before an instance is ready. Keys outside the declared
prefixes are dropped on the reader's thread, before anything is decoded. A processor that was
replaced may write an old version after a newer one, so the highest is kept.

An entry costs some 300 bytes beside its value: what an agent declares is what its process holds in
memory, at most 64 KiB of value for each key. Declare the prefixes that are needed, not `*`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from sys import intern
from typing import NamedTuple
from weakref import WeakSet

from mesh.core.keys import reaches
from mesh.core.shared import Entry
from mesh.errors import WireError
from mesh.ports import Incoming
from mesh.wire.state import RULES_KEY, decode_kept

_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """An entry as readers need it: version 0 for none, a value of None for none or a deleted one.

    `agent` is who wrote it, `task` for what; both are "" for a person's settlement.
    """

    version: int
    value: bytes | None
    agent: str
    task: str
    contested: bool


ABSENT = Row(0, None, "", "", contested=False)


class Replica:
    """Mutable: the entries under some prefixes, and who waits for them."""

    def __init__(self, prefixes: Iterable[str]) -> None:
        self.prefixes = tuple(prefixes)
        self.refused = 0
        self._rows: dict[str, Row] = {}
        self._waiting: dict[str, list[tuple[int, asyncio.Future[None]]]] = {}
        self._watching: WeakSet[Watching] = WeakSet()

    def __repr__(self) -> str:
        return f"Replica({', '.join(self.prefixes)}: {len(self)} entries)"

    def __len__(self) -> int:
        return len(self._rows)

    def keeps(self, key: bytes | None) -> bool:
        """Tell whether a record may be an entry under the prefixes; called on another thread."""
        if key is None or key == RULES_KEY:
            return False
        return reaches(self.prefixes, key.decode(errors="replace"))

    def take(self, incoming: Incoming) -> None:
        """Take a record of `M.state`; what is no entry of its key changes nothing."""
        try:
            entry = _entry(incoming)
        except WireError as error:
            self.refused += 1
            _log.warning("state: %s[%d]@%d is refused: %s", *incoming[:3], error)
            return
        if entry.version > self.row(entry.key).version:
            agent = intern(entry.agent)  # a few agents write very many entries
            row = Row(entry.version, entry.value, agent, entry.task, entry.contested)
            self._put(entry.key, row)

    def _put(self, key: str, row: Row) -> None:
        self._rows.pop(key, None)  # so that those that changed last stand last
        self._rows[key] = row
        for version, waiter in self._waiting.pop(key, ()):
            if version > row.version:
                self._waiting.setdefault(key, []).append((version, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        for watching in self._watching:
            watching.changed(key)

    def row(self, key: str) -> Row:
        """Return what is known of a key."""
        return self._rows.get(key, ABSENT)

    def under(self, prefix: str) -> Iterator[str]:
        """Yield the keys under a prefix, the one that changed last at the end."""
        return (key for key in self._rows if reaches((prefix,), key))

    async def at_least(self, key: str, version: int) -> Row:
        """Return an entry once it has come to a version."""
        while self.row(key).version < version:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(key, []).append((version, waiter))
            await waiter
        return self.row(key)

    def watch(self, prefix: str) -> Watching:
        """Watch the entries under a prefix, as long as what is returned lives."""
        watching = Watching(self, prefix)
        self._watching.add(watching)
        return watching


class Watching:
    """Mutable: the entries under one prefix that somebody has perhaps not seen yet."""

    __slots__ = ("__weakref__", "_moved", "_pending", "_prefix", "_replica")

    def __init__(self, replica: Replica, prefix: str) -> None:
        self._replica = replica
        self._prefix = prefix
        self._pending = dict.fromkeys(replica.under(prefix))
        self._moved = asyncio.Event()

    def changed(self, key: str) -> None:
        """Hear that an entry has changed."""
        if reaches((self._prefix,), key):
            self._pending.pop(key, None)
            self._pending[key] = None
            self._moved.set()

    async def next(self, seen: Mapping[str, int]) -> tuple[str, Row]:
        """Return the next entry that has come further than the version that was seen of it."""
        while True:
            self._moved.clear()
            for key in list(self._pending):
                row = self._replica.row(key)
                if row.version > seen.get(key, 0):
                    return key, row  # it stays until it is seen: the step may be given up
                del self._pending[key]
            await self._moved.wait()


def _entry(incoming: Incoming) -> Entry:
    """Return the entry that a record holds.

    Raises:
        WireError: It holds none, or another key's, which its reader may not see.
    """
    entry = decode_kept(incoming.value)
    if not isinstance(entry, Entry) or entry.key.encode() != incoming.key:
        raise WireError("it is no entry of its key")
    return entry
