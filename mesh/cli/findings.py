"""Incidents for the command line: read from `M.incidents`, each once, in words and as JSON.

A finding may be written several times: by a watchman that was started again, or by one that was
replaced and wrote on. Its id says that it is the same. What nodes and processes find about
themselves has no id, and is told each time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mesh.cli.output import Out
from mesh.core.effects import Incident, Position
from mesh.core.values import Ancestor
from mesh.errors import WireError, WrongTopic
from mesh.ports import Incoming, Log, Place
from mesh.telling import words
from mesh.wire import topics
from mesh.wire.entries import decode_incident
from mesh.wire.headers import format_time

if TYPE_CHECKING:
    from mesh.config import Config

STYLE = "red"
AUDIT = "audit"
"""The stream of which coordinates are given bare: that is what `mesh trace` and `mesh why` take."""
FEW = 6
"""Links of a chain, and events that prove it, in a table; `-o wide` has them all."""


class Found(NamedTuple):
    """An incident with the time at which it was written first, and by what key."""

    incident: Incident
    at_ms: int
    key: str


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which incidents are asked for; what is empty asks for all."""

    workflow: str = ""
    kinds: frozenset[str] = frozenset()
    detectors: frozenset[str] = frozenset()
    since_ms: int = 0
    since: str = ""

    def has(self, found: Found) -> bool:
        """Tell whether an incident is asked for."""
        incident = found.incident
        return (
            found.at_ms >= self.since_ms
            and incident.workflow.startswith(self.workflow)
            and (not self.kinds or incident.kind in self.kinds)
            and (not self.detectors or incident.detector in self.detectors)
        )


class IncidentReader:
    """Mutable: reads the incidents of one mesh, each once."""

    def __init__(self, log: Log, config: Config, out: Out) -> None:
        self.topic = topics.incidents(config.mesh)
        self.position: dict[int, int] = {}
        self._log = log
        self._where = config.bootstrap
        self._out = out
        self._seen: set[str] = set()

    async def read(self) -> list[Found]:
        """Return what was found so far, the newest last.

        Raises:
            WrongTopic: There is no such mesh.
        """
        ends = await self._log.ends(self.topic)
        if not ends:
            raise WrongTopic(
                f"there is no mesh of that name at {self._where}: no topic {self.topic}; "
                "choose one with --mesh, or create its topics with `mesh topics apply`"
            )
        records: list[Incoming] = []
        for partition, (low, high) in sorted(ends.items()):
            self.position[partition] = high
            place = Place(self.topic, partition)
            async with aclosing(self._log.scan(place, low, high)) as batches:
                async for batch in batches:
                    records += batch
        records.sort(key=lambda own: own.append_ms)  # a partition's order stays
        return list(self._new(records))

    async def follow(self) -> AsyncGenerator[Found, None]:
        """Yield what was found, and then what is found as it comes, for ever."""
        for found in await self.read():
            yield found
        reader = await self._log.tail(self.topic, dict(self.position))
        try:
            while True:
                for found in self._new(await reader.take()):
                    yield found
        finally:
            await reader.close()

    def _new(self, records: Iterable[Incoming]) -> Iterator[Found]:
        for own in records:
            try:
                incident = decode_incident(own.value)
            except WireError as error:
                where = f"{own.partition}/{own.offset}"
                self._out.complain(f"the record at {where} of {self.topic} is no incident: {error}")
                continue
            if incident.id in self._seen:
                continue
            if incident.id:
                self._seen.add(incident.id)
            yield Found(incident, own.append_ms, (own.key or b"").decode(errors="replace"))


# --- in words -----------------------------------------------------------------------------------


def told(found: Found, *, wide: bool = False) -> str:
    """Return an incident in a few lines: what, where, why it was found, and what proves it."""
    incident = found.incident
    subject = incident.workflow or found.key
    name = subject if wide or not incident.workflow else words.short(subject)
    lines = [f"✗ {incident.kind}  {name}  {words.clock(found.at_ms)}", f"  {incident.text}"]
    if incident.measure:
        lines.append(f"  seen    {incident.seen:,}, limit {incident.limit:,}: {incident.measure}")
    if incident.chain:
        lines.append(f"  chain   {chain(incident.chain, None if wide else FEW)}")
    if incident.evidence:
        lines.append(f"  proof   {proof(incident.evidence, None if wide else FEW)}")
    if incident.workflow:
        lines.append(f"  look    mesh trace {name}")
    return "\n".join(lines)


def chain(links: tuple[Ancestor, ...], most: int | None = None) -> str:
    """Return what led to a task, from the root down, or the last `most` of it."""
    shown = links if most is None else links[-most:]
    left = len(links) - len(shown)
    above = [f"({words.plural(left, 'task')} above)"] if left else []
    return " > ".join([*above, *(f"{own.agent or 'nobody'} {own.capability}" for own in shown)])


def proof(evidence: tuple[Position, ...], most: int | None = None) -> str:
    """Return the coordinates of events, or of the first `most`."""
    shown = evidence if most is None else evidence[:most]
    named = [where(own) if own.stream == AUDIT else f"{own.stream} {where(own)}" for own in shown]
    left = len(evidence) - len(shown)
    return ", ".join(named) + (f" and {left:,} more" if left else "")


def where(position: Position) -> str:
    """Return coordinates as every command writes and takes them."""
    return f"{position.partition}/{position.offset}"


def nothing(wanted: Wanted, every: list[Found], mesh: str) -> str:
    """Return what to say where nothing is to be shown."""
    if not every:
        return f"no incident was found in {mesh}"
    asked = [wanted.since and f"since {wanted.since}", wanted.workflow and f"in {wanted.workflow}"]
    asked += [f"of kind {words.listed(sorted(wanted.kinds), 'or')}" if wanted.kinds else ""]
    asked += [f"by {words.listed(sorted(wanted.detectors), 'or')}" if wanted.detectors else ""]
    kinds = words.listed(sorted({own.incident.kind for own in every}))
    said = " ".join(part for part in asked if part)
    return f"no incident {said}; there are {len(every):,} others in {mesh}, of kind {kinds}"


# --- as JSON ------------------------------------------------------------------------------------


def shape(found: Found) -> dict[str, Any]:
    """Return an incident as `docs/cli.md` documents it."""
    incident = found.incident
    return {
        "id": incident.id,
        "at": format_time(found.at_ms),
        "kind": incident.kind,
        "detector": incident.detector,
        "workflow": incident.workflow,
        "task": incident.task,
        "instance": "" if incident.workflow else found.key,
        "text": incident.text,
        "measure": incident.measure,
        "seen": incident.seen,
        "limit": incident.limit,
        "chain": [
            {"task": own.task, "capability": own.capability, "agent": own.agent}
            for own in incident.chain
        ],
        "evidence": [{"stream": own.stream, "where": where(own)} for own in incident.evidence],
    }
