"""The conflicts on shared state that one workflow met, from both sides.

A workflow's own records say what became of its writes, and who was there first. Who came too late
for a write of its own is not in them: the winner was judged before. So the histories of the keys
that it wrote are read, and each of its changes is shown with those that it met.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mesh.cli import state_shapes
from mesh.cli.histories import Event, History, Kind, read_history
from mesh.cli.state_picture import opponents, value
from mesh.core.detectors.recorded import judged_of
from mesh.core.facts import StepFinished
from mesh.core.shared import ACCEPTING
from mesh.core.values import StepKind
from mesh.errors import MeshError
from mesh.telling import words

if TYPE_CHECKING:
    from mesh.cli.keeping import StateReader
    from mesh.telling.story import Chronicle

MAX_RECORDS = 50_000
"""Proposals that are read for it: some seconds. The partition of a key is read as a whole."""


class Side(NamedTuple):
    """Another change that one met, and what it was to it."""

    word: str
    event: Event


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """One change of a workflow, with those that it met."""

    key: str
    own: Event
    others: tuple[Side, ...]

    @property
    def step(self) -> tuple[str, str]:
        """The task and the step that wrote."""
        return self.own.task, self.own.step


@dataclass(frozen=True, kw_only=True)
class Conflicts:
    """What a workflow met; `unread` names the keys of which that was too much to read."""

    met: tuple[Conflict, ...] = ()
    unread: tuple[str, ...] = ()
    problem: str = ""

    def lines(self) -> dict[tuple[str, str], list[str]]:
        """Return what is told of each step, by task and step."""
        found: dict[tuple[str, str], list[str]] = {}
        for own in self.met:
            found.setdefault(own.step, []).extend(_lines(own))
        return found

    def notes(self) -> Iterator[str]:
        """Yield what a person should know of the reading."""
        if self.unread:
            named = words.listed(self.unread)
            yield f"who else wrote {named} was not read; `mesh state history KEY` tells it"
        if self.problem:
            yield f"who else wrote its keys cannot be told: {self.problem}"

    def shapes(self) -> list[dict[str, Any]]:
        """Return them as `docs/cli.md` documents it."""
        return [
            {
                "key": own.key,
                "own": state_shapes.event(own.own),
                "others": [
                    {"side": side.word, **state_shapes.event(side.event)} for side in own.others
                ],
            }
            for own in self.met
        ]


def keys_written(chronicle: Chronicle) -> list[str]:
    """Return the keys that a workflow has written, or tried to, in the order of its records."""
    keys: dict[str, None] = {}
    for entry in chronicle.entries:
        fact = entry.record.fact
        if isinstance(fact, StepFinished) and fact.kind is StepKind.WRITE and not entry.void:
            judged = judged_of(fact.result)
            keys |= dict.fromkeys(own.key for own in judged.entries) if judged is not None else {}
    return list(keys)


async def read_conflicts(reader: StateReader, chronicle: Chronicle) -> Conflicts:
    """Read the histories of the keys that a workflow wrote; what cannot be read is said."""
    most = MAX_RECORDS
    met: list[Conflict] = []
    unread: list[str] = []
    keys = keys_written(chronicle)
    try:
        ends = await reader.ends(reader.changes) if keys else {}
        for key in keys:
            low, high = ends[await reader.home(key)]
            most -= high - low
            if most < 0:
                unread.append(key)
                continue
            met += conflicts_of((await read_history(reader, key)).history(), chronicle.workflow)
    except MeshError as problem:  # the story itself is told all the same
        return Conflicts(met=tuple(met), unread=tuple(unread), problem=str(problem))
    return Conflicts(met=tuple(met), unread=tuple(unread))


def conflicts_of(told: History, workflow: str) -> Iterator[Conflict]:
    """Yield the changes of a workflow in the history of a key that met others."""
    by_place = {event.where: event for event in told.events}
    for event in told.events:
        if event.kind is Kind.CHANGE and event.workflow == workflow:
            others = tuple(Side(*own) for own in opponents(event, by_place))
            if others:
                yield Conflict(key=told.key, own=event, others=others)


def _lines(conflict: Conflict) -> Iterator[str]:
    own = conflict.own
    yield f"{conflict.key}: this task {_what(own)}"
    for word, other in conflict.others:
        yield f"{word} {_who(own, other)}, who {_what(other)}"
        yield f"why: {_why(max((own, other), key=_offset))}"


def _who(own: Event, other: Event) -> str:
    """Return who made the other change, and where."""
    if not other.task:
        return f"{other.person} (a person)"
    if other.workflow == own.workflow:
        return f"{other.agent} in task {words.short(other.task)} of this workflow"
    task = f"task {words.short(other.task)} of " if other.task != other.workflow else ""
    return f"{other.agent} in {task}workflow {words.short(other.workflow)}"


def _why(later: Event) -> str:
    """Return what decided between two, as the verdict on the later one says."""
    late, parted, rest = later.reason.partition("; ")
    reason = rest if parted and "was expected" in late else later.reason
    decided = f"{words.clip(reason, 2 * words.MAX_TEXT)}; " if reason else ""
    return f"{decided}rule: {later.rule}"


def _what(event: Event) -> str:
    """Return what a change wanted, over which version, for what, and why."""
    done = event.verdict in ACCEPTING
    if event.value is None:
        wrote = f"deleted it, as version {event.version}" if done else "wanted to delete it"
    else:
        shown = value(event.value)
        wrote = f"wrote {shown} as version {event.version}" if done else f"wanted {shown}"
    over = f" over version {event.expected}" if event.expected else ", where nothing had been"
    serves = f", for {event.objective}" if event.objective else ""
    why = f', because "{words.clip(event.because)}"' if event.because else ""
    return f"{wrote}{over}{serves}{why}"


def _offset(event: Event) -> int:
    return int(event.where.partition("/")[2])
