"""Root tasks come in: one member of the group that owns the task partitions.

What Kafka hands over is decoded, checked against the capability's input type, and given to the
node. A record that cannot be decoded goes to the dead letters, and only its offset counts; one that
can, and does not fit, is opened and rejected, so that the log and a reply tell of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Protocol

from mesh.core import effects as e
from mesh.core import inputs as i
from mesh.core.desk import BEGINNING, earliest
from mesh.core.ids import audit_partition
from mesh.core.settings import MAX_BODY_BYTES, Settings
from mesh.core.tasks import Header
from mesh.core.values import Amount, TaskPartition
from mesh.errors import InputRejected, MeshError, WireError
from mesh.ports import Commit, GroupReader, Incoming, Log, Place
from mesh.runtime.agent import Agent
from mesh.runtime.artifacts import Artifacts
from mesh.runtime.bodies import decode
from mesh.runtime.reading import patiently
from mesh.wire import topics
from mesh.wire.entries import decode_header, decode_open, encode_header
from mesh.wire.headers import source_key
from mesh.wire.requests import decode_request

NO_STORE = "an artifact store, and this mesh has none"

_log = logging.getLogger(__name__)


class Owner(Protocol):
    """The instance whose task partitions these are."""

    agent: Agent

    def give(self, given: i.Input) -> None:
        """Give an input to the node."""

    async def give_up(self, source: TaskPartition, *, lost: bool) -> None:
        """Give a task partition up; return when that is acknowledged, or took too long."""

    def put_aside(self, incoming: Incoming, reason: str) -> None:
        """Send a record to the dead letters."""


class Intake:
    """Mutable: an instance's membership; a `GroupListener`."""

    def __init__(
        self,
        owner: Owner,
        log: Log,
        mesh: str,
        audit_partitions: int,
        artifacts: Artifacts | None = None,
    ) -> None:
        self._owner = owner
        self._artifacts = artifacts
        self._log = log
        self._mesh = mesh
        self._audit_partitions = audit_partitions
        self.done: dict[Place, int] = {}
        """The committed offset of each partition that is ours, 0 where there is none."""
        self._reader: GroupReader | None = None

    async def start(self) -> None:
        """Join the group with the topics of the agent's capabilities."""
        names = [topics.tasks(self._mesh, name) for name in self._owner.agent.capabilities]
        self._reader = await self._log.join(names, topics.supervisors(self._mesh), self)

    async def run(self) -> None:
        """Give every record, until the membership is closed."""
        reader = self._reader
        while reader is not None and reader is self._reader:
            for incoming in await reader.take():
                await self._submitted(incoming)

    async def close(self) -> None:
        """Give up the partitions in order and leave the group."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    # --- the group ------------------------------------------------------------------------------

    async def assigned(self, places: Mapping[Place, Commit | None]) -> None:
        """Have the node take the supervision of new partitions."""
        for place, commit in places.items():
            self.done[place] = commit.offset if commit is not None else 0
            source = self._source(place)
            headers, opened = await patiently(self._log, partial(self._open_workflows, source))
            if commit is not None:
                headers.extend(_header_of(commit, place))
            header = earliest(headers) if commit is not None and headers else None
            self._owner.give(i.PartitionAssigned(source, header, frozenset(opened)))

    async def revoked(self, places: Sequence[Place]) -> None:
        """Have the node release them."""
        self._drop(places)
        await asyncio.gather(
            *(self._owner.give_up(self._source(place), lost=False) for place in places)
        )

    async def lost(self, places: Sequence[Place]) -> None:
        """Have the node forget them."""
        self._drop(places)
        for place in places:
            await self._owner.give_up(self._source(place), lost=True)

    def _drop(self, places: Sequence[Place]) -> None:
        for place in places:
            self.done.pop(place, None)

    async def _open_workflows(self, source: TaskPartition) -> tuple[list[Header], list[str]]:
        """Read the partition's entries in `M.open`: the latest of each workflow."""
        home = audit_partition(source, self._audit_partitions)
        place = Place(topics.open_workflows(self._mesh), home)
        prefix = source_key(source) + b"/"
        found: dict[bytes, Incoming] = {}
        async with aclosing(self._log.scan(place, 0, keep=_begins(prefix))) as batches:
            async for batch in batches:
                for incoming in batch:
                    if incoming.key is not None:
                        found[incoming.key] = incoming
        headers, opened = [], []
        for incoming in found.values():
            if incoming.value is None:
                continue
            try:
                entry = decode_open(incoming.value)
            except WireError as error:
                self._owner.put_aside(incoming, str(error))
                continue
            headers.append(entry.header)
            opened.append(entry.workflow)
        return headers, opened

    def commit(self, effect: e.CommitOffset) -> None:
        """Commit an offset, with where a successor begins to read."""
        if self._reader is not None:
            place, metadata = self._place(effect.source), encode_header(effect.header)
            self._reader.commit({place: Commit(effect.offset, metadata)})
            if place in self.done:
                self.done[place] = effect.offset

    def flow(self, effect: e.Intake) -> None:
        """Pause or resume partitions."""
        if self._reader is not None:
            places = [self._place(source) for source in effect.sources]
            if effect.open:
                self._reader.resume(places)
            else:
                self._reader.pause(places)

    # --- records --------------------------------------------------------------------------------

    async def _submitted(self, incoming: Incoming) -> None:
        source = self._source(Place(incoming.topic, incoming.partition))
        try:
            request = decode_request(incoming, self._budget(source.capability))
        except WireError as error:
            self._owner.put_aside(incoming, str(error))
            self._owner.give(i.Skipped(source, incoming.offset))
            return
        request = await self._kept(self._checked(request))
        if request.defect:
            self._owner.put_aside(incoming, f"{request.defect_field} {request.defect}".strip())
        self._owner.give(i.Submitted(source, incoming.offset, incoming.append_ms, request))

    def _budget(self, capability: str) -> Amount:
        """Return what a budget that names some dimensions only means in the others."""
        own = self._owner.agent.capabilities.get(capability)
        return (own.terms.budget if own is not None else None) or Settings().budget

    def _checked(self, request: i.Request) -> i.Request:
        """Check the input against the handler's type, so that nobody has to try it."""
        capability = self._owner.agent.capabilities.get(request.capability)
        content = request.input.content
        if request.defect or capability is None or content is None:
            return request
        try:
            decode(capability.input_type, content)
        except InputRejected as error:
            return replace(request, defect=error.reason, defect_field=error.field)
        return request

    async def _kept(self, request: i.Request) -> i.Request:
        """Have a large input stored: the fact that opens the task, and messages, have no room."""
        content = request.input.content
        if content is None or len(content) <= MAX_BODY_BYTES:
            return request
        request = replace(request, input=request.input._replace(content=None))
        if request.defect:
            return request
        if self._artifacts is None:
            return replace(request, defect=f"{len(content)} bytes need {NO_STORE}")
        try:
            await asyncio.to_thread(self._artifacts.put, content)
        except (OSError, MeshError) as error:
            return replace(request, defect=f"the input could not be stored: {error}")
        return request

    def _source(self, place: Place) -> TaskPartition:
        topic = topics.parse(place.topic)
        return TaskPartition(topic.name if topic is not None else "", place.partition)

    def _place(self, source: TaskPartition) -> Place:
        return Place(topics.tasks(self._mesh, source.capability), source.partition)


def _header_of(commit: Commit, place: Place) -> list[Header]:
    try:
        header = decode_header(commit.metadata)
    except WireError as error:
        _log.warning("%s[%d]: the whole audit partition is read: %s", *place, error)
        header = None
    return [header or BEGINNING]


def _begins(prefix: bytes) -> Callable[[bytes | None], bool]:
    return lambda key: key is not None and key.startswith(prefix)
