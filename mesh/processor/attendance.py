"""Who is there, and what waits for nobody: the picture that starvation is found in.

It reads the registry and presence as they come, and asks for the task topics of those capabilities
alone that nobody serves: in a mesh in order that is one question for the topics' names. What waits
there is what stands behind the supervisors' committed offset, except what has ended all the same:
an instance that is killed commits nothing of the last moment.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from itertools import islice
from typing import NamedTuple

from mesh.core.detectors.duplicate_work import is_end
from mesh.core.detectors.starvation import Waiting, lacking
from mesh.core.effects import Position
from mesh.core.ids import audit_partition_of, workflow_id
from mesh.core.registry import Directory
from mesh.core.values import TaskPartition
from mesh.errors import WireError
from mesh.ports import Commit, Incoming, Log, Place
from mesh.wire import topics
from mesh.wire.entries import decode_card, decode_header, decode_presence
from mesh.wire.facts import decode_fact
from mesh.wire.requests import decode_request

LOOKED_AT = 5_000
"""Records of a partition among which one is looked for that has not ended: more than are finished
between two commits. If there is none among them, nothing is said."""

_log = logging.getLogger(__name__)


class _Known(NamedTuple):
    """The oldest task that waits for a capability, as long as nothing more is committed.

    None if all have ended, as long as nothing is behind them, either.
    """

    committed: Mapping[Place, Commit | None]
    behind: Mapping[Place, tuple[int, int]]
    oldest: Position | None

    def holds(
        self, committed: Mapping[Place, Commit | None], behind: Mapping[Place, tuple[int, int]]
    ) -> bool:
        """Tell whether it is still so: to find it out anew reads the audit stream."""
        same = self.committed == committed
        return same and (self.oldest is not None or self.behind == behind)


class Attendance:
    """Mutable: the cards and presence of one mesh, as far as they were read."""

    def __init__(self, log: Log, mesh: str) -> None:
        self.directory = Directory()
        self._log = log
        self._mesh = mesh
        self._next: dict[Place, int] = {}
        self._known: dict[str, _Known] = {}

    def __repr__(self) -> str:
        wait = sum(own.oldest is not None for own in self._known.values())
        return f"<Attendance {self.directory}, {wait} wait>"

    async def look(self, now_ms: int) -> list[Waiting]:
        """Return what waits for a capability that nobody serves. `now_ms` is since 1970.

        Raises:
            TransportError: The log cannot be asked just now.
        """
        await self._read(topics.registry(self._mesh), self._card)
        await self._read(topics.presence(self._mesh), self._presence)
        self.directory.expire(now_ms)
        lonely = []
        for name in await self._log.named(topics.tasks_of(self._mesh)):
            topic = topics.parse(name)
            if topic is not None and lacking(self.directory, topic.name) is not None:
                lonely.append(topic.name)
        found = [await self._waiting(capability) for capability in lonely]
        waiting = [own for own in found if own is not None]
        self._known = {name: own for name, own in self._known.items() if name in lonely}
        return waiting

    # --- who is there ---------------------------------------------------------------------------

    async def _read(self, topic: str, take: Callable[[str, Incoming], str]) -> None:
        for partition, (low, high) in (await self._log.ends(topic)).items():
            place = Place(topic, partition)
            first = max(low, self._next.get(place, 0))
            if first < high:
                async with aclosing(self._log.scan(place, first, high)) as batches:
                    async for batch in batches:
                        for record in batch:
                            self._take(record, take)
            self._next[place] = high

    @staticmethod
    def _take(record: Incoming, take: Callable[[str, Incoming], str]) -> None:
        name = (record.key or b"").decode(errors="replace")
        try:
            refused = take(name, record)
        except WireError as error:
            refused = str(error)
        if refused:
            _log.warning("%s[%d]@%d: %s", *record[:3], refused)

    def _card(self, agent: str, record: Incoming) -> str:
        card = decode_card(record.value) if record.value is not None else None
        return self.directory.see_card(agent, card)

    def _presence(self, instance: str, record: Incoming) -> str:
        presence = decode_presence(record.value) if record.value is not None else None
        return self.directory.see_presence(instance, presence, record.append_ms)

    # --- what waits -----------------------------------------------------------------------------

    async def _waiting(self, capability: str) -> Waiting | None:
        topic = topics.tasks(self._mesh, capability)
        ends = await self._log.ends(topic)
        places = [Place(topic, number) for number in ends]
        group = topics.supervisors(self._mesh)
        committed = await self._log.committed(group, places)
        behind = {}
        for place in places:
            low, high = ends[place.partition]
            commit = committed[place]
            first = max(low, commit.offset if commit is not None else 0)
            if first < high:
                behind[place] = (first, high)
        if not behind:
            return None
        known = self._known.get(capability)
        if known is None or not known.holds(committed, behind):
            oldest = await self._oldest(capability, behind, committed)
            known = self._known[capability] = _Known(committed, behind, oldest)
        if known.oldest is None:
            return None
        records = sum(high - first for first, high in behind.values())
        return Waiting(capability, records, known.oldest)

    async def _oldest(
        self,
        capability: str,
        behind: Mapping[Place, tuple[int, int]],
        committed: Mapping[Place, Commit | None],
    ) -> Position | None:
        """Return the oldest record that has not ended; None for none."""
        found: list[tuple[int, Position]] = []
        for place, (first, high) in behind.items():
            workflows = await self._workflows(capability, place, first, high)
            ended = await self._ended(workflows, committed[place])
            left = (record for name, record in workflows.items() if name not in ended)
            for record in islice(left, 1):
                stream = f"{topics.Kind.TASKS}.{capability}"
                found.append((record.append_ms, Position(stream, *record[1:3])))
        return min(found)[1] if found else None

    async def _workflows(
        self, capability: str, place: Place, first: int, high: int
    ) -> dict[str, Incoming]:
        """Return the first records that may wait, by the workflows that they are the roots of."""
        partitions = len(await self._log.ends(topics.audit(self._mesh)))
        source = TaskPartition(capability, place.partition)
        workflows: dict[str, Incoming] = {}
        async for record in self._records(place, first, min(high, first + LOOKED_AT)):
            try:
                event_id = decode_request(record).event_id
            except WireError:
                continue  # it goes to the dead letters, and is no task
            workflow = workflow_id(source, record.offset, event_id, partitions)
            workflows.setdefault(workflow, record)
        return workflows

    async def _ended(
        self, workflows: Mapping[str, Incoming], commit: Commit | None
    ) -> frozenset[str]:
        """Return those of one task partition's workflows whose root has an end."""
        if not workflows:
            return frozenset()
        place = Place(topics.audit(self._mesh), audit_partition_of(next(iter(workflows))))
        keys = {workflow.encode() for workflow in workflows}
        ended = set()
        async for record in self._records(place, _resume(commit), None, keys):
            try:
                fact = decode_fact(record.value).fact
            except WireError:
                continue
            if is_end(fact) and fact.task == fact.workflow:
                ended.add(fact.workflow)
        return frozenset(ended)

    async def _records(
        self, place: Place, first: int, end: int | None, keys: set[bytes] | None = None
    ) -> AsyncIterator[Incoming]:
        keep = None if keys is None else keys.__contains__
        async with aclosing(self._log.scan(place, first, end, keep=keep)) as batches:
            async for batch in batches:
                for record in batch:
                    yield record


def _resume(commit: Commit | None) -> int:
    """Return the audit offset from which the tasks behind a commit are known."""
    try:
        header = decode_header(commit.metadata) if commit is not None else None
    except WireError:
        header = None
    return header.offset if header is not None else 0
