"""Reads shared state for the command line: entries on `M.state`, proposals on `M.changes`.

`M.state` is compacted, and a processor that was replaced may have written an old version after a
newer one: of each key the highest version is the one that holds.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mesh.cli.output import Out
from mesh.core.keys import reaches
from mesh.core.shared import Entry, Proposal, RulesEntry
from mesh.errors import NewerSchema, WireError, WrongTopic
from mesh.ports import Incoming, Log, Place
from mesh.processor.inputs import read_kept, read_proposal
from mesh.wire import topics
from mesh.wire.state import RULES_KEY, state_partition

if TYPE_CHECKING:
    from mesh.config import Config

Kept = Entry | RulesEntry
Keep = Callable[[bytes | None], bool]


class Row(NamedTuple):
    """One record of `M.state`. `kept` is None for one that holds no entry; `error` says why."""

    partition: int
    offset: int
    kept: Kept | None
    error: str = ""


class Proposed(NamedTuple):
    """One record of `M.changes`. `proposal` is None for one that holds none."""

    offset: int
    append_ms: int
    proposal: Proposal | None


@dataclass(frozen=True, kw_only=True)
class Replica:
    """What `M.state` held when it was read: of each key the highest version, and its partition."""

    entries: dict[str, Entry] = field(default_factory=dict)
    homes: dict[str, int] = field(default_factory=dict)
    rules: dict[int, RulesEntry] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)

    def see(self, row: Row) -> bool:
        """Take a row; tell whether it is the latest of its key."""
        known: Kept | None
        match row.kept:
            case Entry() as entry:
                known = self.entries.get(entry.key)
                if known is not None and known.version >= entry.version:
                    return False
                self.entries[entry.key] = entry
                self.homes[entry.key] = row.partition
            case RulesEntry() as rules:
                known = self.rules.get(row.partition)
                if known is not None and known.source >= rules.source:
                    return False
                self.rules[row.partition] = rules
            case None:
                return False
        return True


class StateReader:
    """Mutable: reads the shared state of one mesh.

    What cannot be read is told, never fatal, except what a newer release wrote: whoever leaves that
    out has another state.
    """

    def __init__(self, log: Log, config: Config, out: Out) -> None:
        self.log = log
        self.changes = topics.changes(config.mesh)
        self.state = topics.state(config.mesh)
        self._config = config
        self._out = out
        self._read = 0
        self._partitions = 0

    def __repr__(self) -> str:
        return f"StateReader({self.state}, {self._read} records read)"

    async def ends(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """Return low and high watermark by partition.

        Raises:
            WrongTopic: There is no such mesh, or it has no shared state.
        """
        found = await self.log.ends(topic)
        if not found:
            raise WrongTopic(
                f"there is no shared state of {self._config.mesh} at {self._config.bootstrap}: no "
                f"topic {topic}; choose a mesh with --mesh, or create its topics with "
                "`mesh topics apply`"
            )
        return found

    async def home(self, key: str) -> int:
        """Return the partition in which a key lives."""
        return state_partition(key, await self.partitions())

    async def partitions(self) -> int:
        """Return how many partitions shared state has."""
        if not self._partitions:
            self._partitions = len(await self.ends(self.changes))
        return self._partitions

    def progress(self) -> str:
        """Return how far the reading is."""
        return f"reading shared state, {self._read:,} records"

    # --- entries

    async def rows(self, partition: int, *, keep: Keep | None = None) -> AsyncIterator[Row]:
        """Yield the rows of one partition of `M.state`, to its end as it is now."""
        async for incoming in self._scan(Place(self.state, partition), 0, keep):
            yield self._row(incoming)

    async def replica(self, target: str = "") -> Replica:
        """Read the entries under a prefix, all if it is "", of every partition."""
        found = Replica()
        for partition, (_, high) in sorted((await self.ends(self.state)).items()):
            found.ends[partition] = high
            async for row in self.rows(partition, keep=_under(target)):
                found.see(row)
        return found

    async def follow(self, start: Mapping[int, int], target: str = "") -> AsyncGenerator[Row, None]:
        """Yield rows from these offsets on as they come, for ever."""
        reader = await self.log.tail(self.state, start, keep=_under(target))
        try:
            while True:
                for incoming in await reader.take():
                    yield self._row(incoming)
        finally:
            await reader.close()

    def _row(self, incoming: Incoming) -> Row:
        try:
            return Row(incoming.partition, incoming.offset, read_kept(incoming))
        except NewerSchema:
            raise
        except WireError as error:
            self._tell(incoming, "entry", error)
            return Row(incoming.partition, incoming.offset, None, str(error))

    # --- proposals

    async def proposals(
        self, partition: int, *, first: int = 0, keep: Keep | None = None
    ) -> AsyncIterator[Proposed]:
        """Yield what was proposed in one partition, from its oldest record to its end.

        Raises:
            NewerSchema: A newer release wrote one of them.
        """
        count = await self.partitions()
        async for incoming in self._scan(Place(self.changes, partition), first, keep):
            proposal: Proposal | None = None
            try:
                proposal = read_proposal(incoming, count)
            except NewerSchema:
                raise
            except WireError as error:
                self._tell(incoming, "proposal", error)
            yield Proposed(incoming.offset, incoming.append_ms, proposal)

    async def _scan(self, place: Place, first: int, keep: Keep | None) -> AsyncIterator[Incoming]:
        async with aclosing(self.log.scan(place, first, keep=keep)) as batches:
            async for batch in batches:
                for incoming in batch:
                    self._read += 1
                    yield incoming

    def _tell(self, incoming: Incoming, what: str, error: WireError) -> None:
        where = f"{incoming.topic} {incoming.partition}/{incoming.offset}"
        self._out.complain(f"the record at {where} holds no {what}: {error}")


def of_rules(key: bytes | None) -> bool:
    """Tell whether a record is of the rules, on either topic."""
    return key == RULES_KEY


def _under(target: str) -> Keep | None:
    """Return what keeps the records of the keys that a prefix reaches; None keeps all."""
    if not target:
        return None
    prefixes = (target,)
    return lambda key: key is not None and reaches(prefixes, key.decode(errors="replace"))
