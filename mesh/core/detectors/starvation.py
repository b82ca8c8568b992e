"""Starvation: a task that was submitted waits, and nobody is there who could take it.

The question is not about the audit stream, where a task that nobody took leaves nothing. It is
answered from a picture of the mesh that is taken every few seconds: the cards in the registry, who
is alive by presence, and the records on the task topics behind what `M.supervisors` has committed.

**When it is said.** A capability starves if a record waits on its topic, and no instance is alive
that runs it under an active card. It is found when two pictures that lie `starved_ms` apart, and
all between, show it with the same oldest waiting record: somebody who took work in between would
have moved that. The record's place is the finding's name, so the same wait has the same name for
every watchman; it is said once, and a wait that begins later is another.

**What is no starvation**: a capability that nobody serves and nobody asks for; tasks that wait for
a busy instance (its supervisor takes them when it has room); one that is halted by a person, whose
instances are there; an instance that starts again within the time; a task that was finished by an
instance that died before it could commit that. The last is for whoever takes the picture: it leaves
records out whose workflow has ended.

What it cannot see: a task that is delegated to nobody (it is open on the audit stream, where the
detectors of a partition see it), and what waits for an instance that is alive and takes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mesh.core.detectors.limits import LimitTable
from mesh.core.effects import Incident, Position
from mesh.core.ids import derive
from mesh.core.registry import Directory

KIND = "starvation"
FEW = 5
"""Agents that are named: more is a list to read."""


class Waiting(NamedTuple):
    """Records that wait for a capability: how many, and which of them for longest."""

    capability: str
    records: int
    oldest: Position


class Starvation:
    """Mutable: who waits in vain, and since which picture."""

    def __init__(self, limits: LimitTable | None = None) -> None:
        self.limits = limits or LimitTable()
        self._since: dict[Position, int] = {}
        self._told: set[Position] = set()

    def __repr__(self) -> str:
        return f"Starvation({len(self._since)} wait, {len(self._told)} told)"

    def look(self, now_ms: int, waiting: Iterable[Waiting], directory: Directory) -> list[Incident]:
        """Take a picture; return what is found. `now_ms` is any clock that does not jump."""
        starving = {
            own.oldest: own for own in waiting if lacking(directory, own.capability) is not None
        }
        self._since = {at: self._since.get(at, now_ms) for at in starving}
        self._told &= starving.keys()
        found = []
        for at, own in starving.items():
            limit_ms = self._limit_ms(own.capability)
            waited_ms = now_ms - self._since[at]
            if at not in self._told and waited_ms >= limit_ms:
                self._told.add(at)
                found.append(_incident(own, directory, waited_ms, limit_ms))
        return found

    def _limit_ms(self, capability: str) -> int:
        limits = self.limits.of(agent="", capability=capability, root=capability, workflow="")
        return limits.starved_ms


def lacking(directory: Directory, capability: str) -> str | None:
    """Say in words why nobody serves a capability; None if somebody does."""
    if directory.offering(capability).instances:
        return None
    active = directory.agents_offering(capability)
    if active:
        return f"nobody is alive who serves it (it is offered by {_listed(active)})"
    retired = [
        name
        for name in directory.agents
        if (card := directory.card(name)) is not None and card.capability(capability) is not None
    ]
    if retired:
        return f"the agents that offer it are retired ({_listed(retired)})"
    return "no card in the registry offers it"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - FEW} more" if len(every) > FEW else ""
    return f"{', '.join(every[:FEW])}{more}"


def _incident(own: Waiting, directory: Directory, waited_ms: int, limit_ms: int) -> Incident:
    plural = "task waits" if own.records == 1 else "tasks wait"
    at = own.oldest
    text = (
        f"{own.records} {plural} for {own.capability}, and "
        f"{lacking(directory, own.capability)}; so it has been for {waited_ms / 1_000:.0f} s. "
        f"The oldest is record {at.partition}/{at.offset} of {at.stream}: start an agent that "
        "serves it, or they expire."
    )
    return Incident(
        kind=KIND,
        workflow="",
        task="",
        text=text,
        id=derive("incident", KIND, *at),
        detector=KIND,
        measure="milliseconds that a task waited with nobody there for it",
        seen=waited_ms,
        limit=limit_ms,
        evidence=(at,),
    )
