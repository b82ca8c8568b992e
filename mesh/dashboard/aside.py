"""What stands beside the audit stream: incidents, halts, dead letters, and what shared state holds.

Each is fed with the records of its topic, in any order between partitions, and has a limit.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from mesh.core.effects import Incident
from mesh.core.halts import HaltOrder, Halts
from mesh.core.responses import Questions, Response
from mesh.core.shared import Entry, RulesEntry
from mesh.errors import WireError
from mesh.ports import Incoming
from mesh.wire.entries import DeadLetter, decode_dead_letter, decode_halt, decode_incident
from mesh.wire.state import decode_kept

MAX_INCIDENTS = 2_000
"""The latest; `mesh incidents` has them all."""
MAX_LETTERS = 500
"""The latest dead letters, without their contents."""
MAX_KEYS = 50_000
"""Keys of shared state that are listed: some 20 MB. What is beyond is counted, and read by key."""
MAX_ORDERS = 10_000
"""Targets that were ever halted; a person gives each of these orders."""


class Found(NamedTuple):
    """An incident, when it was written first, by what key, and where it stands."""

    incident: Incident
    at_ms: int
    key: str
    where: str


class Incidents:
    """Mutable: the latest incidents, each once: what is written again has the id that is known."""

    def __init__(self, most: int = MAX_INCIDENTS) -> None:
        self.questions = Questions()
        self._found: dict[str, Found] = {}
        self._most = most
        self.count = 0
        self.unreadable = 0

    def __repr__(self) -> str:
        return f"Incidents({len(self._found)} of {self.count})"

    def add(self, incoming: Incoming) -> None:
        """Take a record of `M.incidents`."""
        try:
            incident = decode_incident(incoming.value)
        except WireError:
            self.unreadable += 1
            return
        self.questions.see(incident)
        if incident.answers:
            return
        where = f"{incoming.partition}/{incoming.offset}"
        name = incident.id or where
        if name in self._found:
            return
        key = (incoming.key or b"").decode(errors="replace")
        self._found[name] = Found(incident, incoming.append_ms, key, where)
        self.count += 1
        while len(self._found) > self._most:
            del self._found[next(iter(self._found))]

    def waits(self, found: Found) -> bool:
        """Tell whether an incident asks a person, and nobody has answered."""
        own, questions = found.incident, self.questions
        return own.response == Response.ASK and bool(own.id) and own.id not in questions.answers

    def open(self) -> list[Found]:
        """Return what waits for an answer, the oldest first."""
        return [own for own in self._found.values() if self.waits(own)]

    def latest(self) -> list[Found]:
        """Return what is kept, the newest first."""
        return sorted(self._found.values(), key=lambda own: own.at_ms, reverse=True)


class Letter(NamedTuple):
    """A dead letter without its contents, when it was written and where it stands."""

    letter: DeadLetter
    at_ms: int
    where: str


class Letters:
    """Mutable: the latest dead letters."""

    def __init__(self, most: int = MAX_LETTERS) -> None:
        self.letters: deque[Letter] = deque(maxlen=most)
        self.count = 0
        self.unreadable = 0

    def __repr__(self) -> str:
        return f"Letters({len(self.letters)} of {self.count})"

    def add(self, incoming: Incoming) -> None:
        """Take a record of `M.dead-letters`."""
        try:
            letter = decode_dead_letter(incoming.value)
        except WireError:
            self.unreadable += 1
            return
        kept = letter._replace(value=None, headers=())
        where = f"{incoming.partition}/{incoming.offset}"
        self.letters.append(Letter(kept, incoming.append_ms, where))
        self.count += 1


class Orders:
    """Mutable: the halts and liftings that stand on `M.control`, and since when."""

    def __init__(self) -> None:
        self.halts = Halts()
        self.since_ms: dict[str, int] = {}
        self.unreadable = 0

    def __repr__(self) -> str:
        return f"Orders({self.halts})"

    def add(self, incoming: Incoming) -> None:
        """Take a record of `M.control`."""
        try:
            order = decode_halt(incoming.value)
        except WireError:
            self.unreadable += 1
            return
        if order.target not in self.since_ms and len(self.since_ms) >= MAX_ORDERS:
            return
        if self.halts.see(order):
            self.since_ms[order.target] = incoming.append_ms

    def in_force(self) -> list[tuple[HaltOrder, int]]:
        """Return the orders that hold and since when, the newest first."""
        held = (own for own in self.halts.orders.values() if own.halted)
        found = [(own, self.since_ms[own.target]) for own in held]
        return sorted(found, key=lambda own: own[1], reverse=True)


class Kept(NamedTuple):
    """An entry of shared state without its values."""

    key: str
    partition: int
    version: int
    agent: str
    writer: str
    workflow: str
    deleted: bool
    candidates: int
    source: int
    append_ms: int
    size: int


class StateIndex:
    """Mutable: the keys of shared state; of each the highest version, as for every reader."""

    def __init__(self, most: int = MAX_KEYS) -> None:
        self.keys: dict[str, Kept] = {}
        self.through: dict[int, int] = {}
        self.rules: dict[int, RulesEntry] = {}
        self.contested: dict[str, Kept] = {}
        self.left_out = 0
        self.unreadable = 0
        self._most = most

    def __repr__(self) -> str:
        return f"StateIndex({len(self.keys)} keys, {len(self.contested)} contested)"

    def add(self, incoming: Incoming) -> None:
        """Take a record of `M.state`."""
        try:
            kept = decode_kept(incoming.value)
        except WireError:
            self.unreadable += 1
            return
        at = incoming.partition
        self.through[at] = max(self.through.get(at, -1), kept.source)
        if isinstance(kept, RulesEntry):
            known = self.rules.get(at)
            if known is None or known.source < kept.source:
                self.rules[at] = kept
            return
        self._put(at, kept)

    def _put(self, partition: int, entry: Entry) -> None:
        known = self.keys.get(entry.key)
        if known is not None and known.version >= entry.version:
            return
        if known is None and len(self.keys) >= self._most:
            self.left_out += 1
            return
        kept = Kept(
            key=entry.key,
            partition=partition,
            version=entry.version,
            agent=entry.agent,
            writer=entry.writer,
            workflow=entry.workflow,
            deleted=entry.value is None,
            candidates=len(entry.candidates),
            source=entry.source,
            append_ms=entry.append_ms,
            size=len(entry.value or b""),
        )
        self.keys[entry.key] = kept
        self.contested.pop(entry.key, None)
        if entry.candidates:
            self.contested[entry.key] = kept
