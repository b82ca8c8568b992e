"""Incidents for the command line: read from `M.incidents`, each once, in words and as JSON.

A finding may be written several times: by a watchman that was started again, or by one that was
replaced and wrote on. Its id says that it is the same. What nodes and processes find about
themselves has no id, and is told each time. What a person answered to an incident is shown with it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mesh.cli.failures import not_found
from mesh.cli.output import Out
from mesh.core.effects import Incident, Position
from mesh.core.responses import CANCEL, Questions, Response
from mesh.core.values import Ancestor
from mesh.errors import WireError, WrongTopic
from mesh.ports import Incoming, Log, Place
from mesh.telling import shapes, words
from mesh.wire import topics
from mesh.wire.entries import decode_incident

if TYPE_CHECKING:
    from mesh.config import Config

STYLE = "red"
AUDIT = "audit"
"""The stream of which coordinates are given bare: that is what `mesh trace` and `mesh why` take."""
FEW = 6
"""Links of a chain, and events that prove it, in a table; `-o wide` has them all."""


class Found(NamedTuple):
    """An incident with the time at which it was written first, by what key, and its answer."""

    incident: Incident
    at_ms: int
    key: str
    answer: Answer | None = None

    @property
    def waits(self) -> bool:
        """Whether it waits for a person's answer."""
        own = self.incident
        return own.response == Response.ASK and bool(own.id) and self.answer is None


class Answer(NamedTuple):
    """What answered an incident: a word to it, or that its workflow was halted or cancelled."""

    kind: str
    person: str
    because: str
    at_ms: int


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which incidents are asked for; what is empty asks for all."""

    workflow: str = ""
    kinds: frozenset[str] = frozenset()
    detectors: frozenset[str] = frozenset()
    since_ms: int = 0
    since: str = ""
    waits: bool = False

    def has(self, found: Found) -> bool:
        """Tell whether an incident is asked for."""
        incident = found.incident
        return (
            found.at_ms >= self.since_ms
            and incident.workflow.startswith(self.workflow)
            and (not self.kinds or incident.kind in self.kinds)
            and (not self.detectors or incident.detector in self.detectors)
            and (found.waits or not self.waits)
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
        self._questions = Questions()
        self._answers: dict[str, Answer] = {}

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
        found = [own for own in self._new(records) if not own.incident.answers]
        return [own._replace(answer=self._answers.get(own.incident.id)) for own in found]

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
            self._note(incident, own.append_ms)
            if incident.id in self._seen:
                continue
            if incident.id:
                self._seen.add(incident.id)
            yield Found(incident, own.append_ms, (own.key or b"").decode(errors="replace"))

    def _note(self, incident: Incident, at_ms: int) -> None:
        """See what this asks, or answers."""
        answers = self._questions.answers
        known = len(answers)
        self._questions.see(incident)
        if len(answers) > known:
            for name in answers.keys() - self._answers.keys():
                given = answers[name]
                self._answers[name] = Answer(given.kind, given.person, given.text, at_ms)


def by_id(every: Sequence[Found], text: str) -> Found:
    """Return the incident that asks, and that the beginning of its id names.

    Raises:
        CommandError: None asks, or several do; what is open is told.
    """
    asking = [own for own in every if own.waits or own.answer is not None]
    found = [own for own in asking if own.incident.id.startswith(text)]
    if len(found) == 1:
        return found[0]
    names = words.listed([words.short(own.incident.id) for own in (found or asking) if own.waits])
    if found:
        raise not_found(f"{text} begins the ids of several: {names}")
    raise not_found(f"no incident that asks has the id {text}; open: {names or 'none'}")


# --- in words -----------------------------------------------------------------------------------


def told(found: Found, *, wide: bool = False) -> str:
    """Return an incident in a few lines: what, where, why it was found, and what proves it."""
    incident = found.incident
    subject = incident.workflow or found.key
    name = subject if wide or not incident.workflow else words.short(subject)
    lines = [f"✗ {incident.kind}  {name}  {words.clock(found.at_ms)}", f"  {incident.text}"]
    if incident.measure:
        lines.append(f"  seen    {incident.seen:,}, limit {incident.limit:,}: {incident.measure}")
    if incident.spent is not None:
        lines.append(f"  spent   {words.amount(incident.spent)} by the workflow until then")
    if incident.chain:
        lines.append(f"  chain   {chain(incident.chain, None if wide else FEW)}")
    if incident.evidence:
        lines.append(f"  proof   {proof(incident.evidence, None if wide else FEW)}")
    if incident.response:
        lines.append(f"  then    {_answered(found)}")
    if incident.answers:
        lines.append(f"  by      {incident.person}, to {words.short(incident.answers)}")
    if incident.workflow:
        lines.append(f"  look    mesh trace {name}")
    return "\n".join(lines)


def _answered(found: Found) -> str:
    """Say what answered an incident, and by whose word."""
    incident, answer = found.incident, found.answer
    says = f"by version {incident.policy} of the policy" if incident.policy else "by default"
    if incident.response == Response.HALT:
        return f"its workflow is halted, {says}"
    if incident.response == Response.WARN:
        return f"it is told, {says}"
    if answer is None:
        return f"it waits for an answer, {says}: mesh answer {words.short(incident.id)}"
    done = _DONE.get(answer.kind, "answered")
    return f"{done} by {answer.person} at {words.clock(answer.at_ms)}: {answer.because}"


_DONE = {"halt": "its workflow was halted", CANCEL: "its workflow was cancelled"}


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
    asked += ["that waits for an answer" if wanted.waits else ""]
    said = " ".join(part for part in asked if part)
    return f"no incident {said}; there are {len(every):,} others in {mesh}, of kind {kinds}"


# --- as JSON ------------------------------------------------------------------------------------


def shape(found: Found) -> dict[str, Any]:
    """Return an incident as `docs/cli.md` documents it."""
    incident = found.incident
    return shapes.incident(incident, found.at_ms, found.key) | {
        "open": found.waits,
        "answer": _answer(found.answer),
    }


def _answer(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    return {
        "kind": answer.kind,
        "person": answer.person,
        "because": answer.because,
        "at": shapes.time(answer.at_ms),
    }
