"""What answers an incident: it is told, a person is asked, or its workflow is halted.

**A halt that a person lifted stays lifted.** Whoever watches may be started again and find what
it found before, so it must know what a person has dealt with. Ids do not tell: an order has one
place in a compacted topic, its target's latest, and a lift says nothing of the halt before. Times
do not either: two topics have two clocks, and a clock may jump. So every order for a workflow says
up to which offset of the audit stream its author looked (`HaltOrder.through`), and a fact before
it halts nothing any more. A fact after it does, though it be of the same kind.

**A halt needs no arbiter.** An order is made for what its author saw; of two that race the first in
the log has the number, and both halt. If a person's word came first, it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from mesh.core.effects import Incident
from mesh.core.halts import HaltOrder, Halts, Target, TargetKind
from mesh.core.settings import MAX_REASON


class Response(StrEnum):
    """What answers an incident.

    `warn`: it is told. `ask`: it is told, and open until a person answers; the chain goes on within
    its budget meanwhile. `halt`: its workflow is halted, until a person lifts that.
    """

    WARN = "warn"
    ASK = "ask"
    HALT = "halt"


class Default(NamedTuple):
    """What answers a kind of incident where no policy says so, and why."""

    response: Response
    reason: str


DEFAULTS: Mapping[str, Default] = {
    "loop": Default(
        Response.HALT, "an input came back into its own ancestry: the next turn will, too, and pays"
    ),
    "ping-pong": Default(
        Response.HALT, "the same thing went to and fro, and nothing was learnt: so will the next"
    ),
    "retry-storm": Default(
        Response.HALT, "what failed so often fails again, and each attempt costs"
    ),
    "fan-out": Default(
        Response.HALT, "no list foresaw so many tasks, and they multiply faster than a person reads"
    ),
    "depth": Default(
        Response.HALT, "a chain so long that does not make its input smaller has no end in sight"
    ),
    "no-progress": Default(
        Response.HALT, "it is told what it knows, again and again, and was paid for where it cost"
    ),
    "velocity": Default(
        Response.ASK,
        "money that goes fast may be meant, and the budget is a ceiling: a person knows which",
    ),
    "stale-read": Default(
        Response.WARN, "the result is there: who builds on it knows whether the change matters"
    ),
    "duplicate-work": Default(
        Response.WARN, "it costs twice and harms nobody: their askers know which one is meant"
    ),
    "starvation": Default(
        Response.WARN, "nothing runs that could be halted; it ends when somebody is there"
    ),
    "lost-update": Default(
        Response.WARN, "nothing was lost, and its writer was told: to stop it would lose its work"
    ),
    "contradiction": Default(
        Response.WARN, "a rule decided, and what is contested stays so until a person settles it"
    ),
    "missed-dependency": Default(
        Response.ASK, "a result does not know of what it builds on: a person knows if that matters"
    ),
    "nobody-bids": Default(
        Response.WARN, "a worker that comes ends it, and so does the deadline; nothing is spent"
    ),
    "detector-failed": Default(
        Response.WARN, "a detector of ours is broken: no reason to stop somebody's work"
    ),
}
"""The kinds of incidents that a policy may name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Responses:
    """What a policy says of incidents; `version` is the policy's, 0 for none."""

    version: int = 0
    chosen: Mapping[str, Response] = field(default_factory=dict)

    def to(self, kind: str) -> Response:
        """Return what answers a kind of incident; one that nobody named is told."""
        if kind in self.chosen:
            return self.chosen[kind]
        default = DEFAULTS.get(kind)
        return default.response if default is not None else Response.WARN

    def answered(self, incident: Incident) -> Incident:
        """Return an incident with what answers it; what has no workflow cannot be halted."""
        response = self.to(incident.kind)
        if response is Response.HALT and not incident.workflow:
            response = Response.ASK
        return incident._replace(response=response.value, policy=self.version)


def halt_for(incident: Incident, offset: int, halts: Halts) -> HaltOrder | None:
    """Return the order that halts an incident's workflow, None where none is due.

    None is due while the workflow is halted, nor where its latest order was given by somebody who
    had looked at the fact at `offset` of the audit stream, by which the incident was found.
    """
    target = str(Target(TargetKind.WORKFLOW, incident.workflow))
    latest = halts.orders.get(target)
    if latest is not None and (latest.halted or offset < latest.through):
        return None
    return halts.next_order(
        target,
        halted=True,
        because=incident.text[:MAX_REASON],
        detector=incident.detector,
        incident=incident.id,
        through=offset + 1,
    )


# --- what waits for a person --------------------------------------------------------------------

ANSWER = "answer"
"""The kind of the entry by which a person answers an incident."""
CANCEL = "cancel"
"""The kind of the entry by which a person who cancelled a workflow answers what was asked."""
_ENDS = frozenset({"halt", CANCEL})


def answer(incident: Incident, *, person: str, because: str) -> Incident:
    """Return a person's answer to an incident, as it stands beside it on the topic."""
    return Incident(
        kind=ANSWER,
        workflow=incident.workflow,
        task=incident.task,
        text=because,
        person=person,
        answers=incident.id,
    )


def cancelled(workflow: str, *, person: str, because: str) -> Incident:
    """Return the answer to all that was asked about a workflow: a person has cancelled it."""
    return Incident(kind=CANCEL, workflow=workflow, task=workflow, text=because, person=person)


class Questions:
    """Mutable: which incidents wait for a person, read in the order in which they were written.

    An answer names its incident. Who halts or cancels a workflow has answered all that was asked
    about it until then. The first answer holds; a copy of an incident asks nothing anew.
    """

    __slots__ = ("_asked", "answers")

    def __init__(self) -> None:
        self._asked: dict[str, Incident] = {}
        self.answers: dict[str, Incident] = {}

    def __repr__(self) -> str:
        return f"Questions({len(self.open())} open, {len(self.answers)} answered)"

    def see(self, incident: Incident) -> None:
        """Take an entry of the incidents' topic."""
        if incident.answers:
            self.answers.setdefault(incident.answers, incident)
        elif incident.person and incident.kind in _ENDS:
            for name, own in self._asked.items():
                if own.workflow == incident.workflow:
                    self.answers.setdefault(name, incident)
        elif incident.response == Response.ASK and incident.id:
            self._asked.setdefault(incident.id, incident)

    def open(self) -> list[Incident]:
        """Return what waits for an answer, the oldest first."""
        return [own for name, own in self._asked.items() if name not in self.answers]
