"""What all detectors share: what they are shown, what they say, and small questions about tasks.

A detector is shown the facts that count, in the log's order, each after the ledger applied it. It
keeps what it needs of each open workflow, bounded, and forgets it when the workflow ends. Time is
`now_ms`: log time that survives a clock's jump (see `Pace`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from mesh.core import facts as f
from mesh.core.detectors.limits import Limits
from mesh.core.effects import Incident, Position
from mesh.core.ids import derive
from mesh.core.ledger import Ledger
from mesh.core.tasks import Phase, TaskState
from mesh.core.values import Amount, Ancestor, Body, Cause, Outcome

MAX_EVIDENCE = 32
"""Events that a finding names: enough to see the pattern, small enough for one record."""
ENDS = frozenset(
    {
        f.WorkFinished,
        f.TaskCompleted,
        f.TaskFailed,
        f.TaskRejected,
        f.TaskExpired,
        f.TaskCancelled,
    }
)
"""The facts with which a task may end."""
JUMP_MS = 10_000
"""A record so far back was written by a clock that was set: brokers differ by a second at most."""
MAX_TEXT = 200
"""Characters of an author's words that a finding quotes."""

_T = TypeVar("_T")


class Pace:
    """Mutable: log time that does not stand still after a clock has jumped.

    Log time is the largest append time so far. If a broker's clock jumps ahead and is set right,
    log time waits until it is reached again, and all that happens meanwhile would seem to happen
    at once. So a record that lies further back than clocks may differ is where time goes on from.
    A jump ahead passes for time without records: it can make a finding late, and cause none.

    `moved_ms` is the part of it in which records came one after the other. Who waits for something
    goes by that: while anything is open its supervisor renews every few seconds, so a longer pause
    is a clock that jumped, or a partition that stood still, and nobody can be blamed for either.
    """

    def __init__(self) -> None:
        self.now_ms = 0
        self.moved_ms = 0
        self._last_ms: int | None = None

    def observe(self, append_ms: int) -> int:
        """Take a record's append time; return the time since the first record."""
        if self._last_ms is None or append_ms < self._last_ms - JUMP_MS:
            self._last_ms = append_ms
        elif append_ms > self._last_ms:
            passed_ms = append_ms - self._last_ms
            self.now_ms += passed_ms
            self.moved_ms += passed_ms if passed_ms <= JUMP_MS else 0
            self._last_ms = append_ms
        return self.now_ms


class Sight(NamedTuple):
    """What a detector is shown: a fact that counts, and what is known after it.

    `task` is the fact's task as the ledger has it; one that ended with this fact is `ended`. `root`
    is the workflow's root task, the task itself where the root is not known.
    """

    record: f.Record
    fact: f.SupervisorFact | f.WorkerFact
    ledger: Ledger
    now_ms: int
    task: TaskState
    root: TaskState
    limits: Limits
    moved_ms: int

    @property
    def opened(self) -> f.TaskOpened:
        """The fact that opened the task."""
        return self.task.opened

    @property
    def result(self) -> Body | None:
        """The result, if this fact completed the task."""
        if self.task.phase is not Phase.ENDED or self.task.finished is None:
            return None
        return self.task.finished.result if isinstance(self.fact, _COMPLETES) else None

    @property
    def failure(self) -> str:
        """Why an attempt of the task failed, if this fact says so; else ""."""
        match self.fact:
            case f.WorkFinished(outcome=outcome, error=error) if outcome is not Outcome.COMPLETED:
                return error or outcome
            case f.ResultRejected(reason=reason):
                return f"result refused: {reason}"
            case f.TaskAwarded(award=terms) if terms.cause is Cause.DIED:
                return "its worker died"
        return ""


_COMPLETES = f.WorkFinished | f.TaskCompleted


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a detector found.

    `thing` is what it is about: of one thing in one workflow there is one finding. `measure` says
    what was counted, `seen` how much, `limit` how much is allowed. `chain` are the tasks that led
    there, the task itself last. `evidence` are offsets in the audit partition. The watch adds `at`,
    the offset by which it was found, and what the workflow had `spent` by then. `lift` is 0, or the
    number of the order by which a person let the workflow go on: what is found again after it is
    another finding.
    """

    detector: str
    kind: str
    workflow: str
    task: str
    thing: str
    measure: str
    seen: int
    limit: int
    chain: tuple[Ancestor, ...]
    evidence: tuple[int, ...]
    text: str
    at: int = -1
    spent: Amount | None = None
    lift: int = 0

    @property
    def id(self) -> str:
        """Derived from what it is about, so that a replay finds the same."""
        again = (self.lift,) if self.lift else ()
        return derive("incident", self.kind, self.detector, self.workflow, self.thing, *again)

    def incident(self, partition: int) -> Incident:
        """Return the finding as it is put on the incidents' topic."""
        return Incident(
            kind=self.kind,
            workflow=self.workflow,
            task=self.task,
            text=self.text,
            id=self.id,
            detector=self.detector,
            measure=self.measure,
            seen=self.seen,
            limit=self.limit,
            chain=self.chain,
            evidence=tuple(Position("audit", partition, offset) for offset in self.evidence),
            spent=self.spent,
        )


class Detector(Protocol):
    """One detector; its state is plain data, bounded, and follows from the log alone.

    `kinds` are the facts that it is shown; others tell it nothing.
    """

    name: str
    kinds: frozenset[type]

    def see(self, sight: Sight) -> Sequence[Finding]:
        """Take one fact that counts, of one of its kinds; return what is found by it."""

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow."""


@runtime_checkable
class Patient(Protocol):
    """A detector that also finds what does not happen, of which no fact tells.

    `due_ms` is the moved time (see `Pace`) at which it wants to look again.
    """

    due_ms: int

    def overdue(self, moved_ms: int) -> Sequence[Sight]:
        """Return what it has waited for long enough, as it saw it, and wait for it no more."""

    def late(self, sight: Sight) -> Sequence[Finding]:
        """Return what is found of one thing that is overdue."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What a detector counted: the part of a finding that is its own."""

    thing: str
    measure: str
    seen: int
    limit: int
    evidence: Sequence[int]
    text: str

    def of(self, detector: str, task: TaskState) -> Finding:
        """Return the finding about a task."""
        return Finding(
            detector=detector,
            kind=detector,
            workflow=task.opened.workflow,
            task=task.opened.task,
            thing=self.thing,
            measure=self.measure,
            seen=self.seen,
            limit=self.limit,
            chain=chain_of(task),
            evidence=tuple(sorted(set(self.evidence))[-MAX_EVIDENCE:]),
            text=self.text,
        )


def chain_of(task: TaskState) -> tuple[Ancestor, ...]:
    """Return the tasks from the root down to this one."""
    opened = task.opened
    own = Ancestor(opened.task, opened.capability, agent_of(task), opened.input.hash)
    return (*opened.ancestors, own)


def agent_of(task: TaskState) -> str:
    """Return the agent that has, or last had, the task; "" if nobody had."""
    return task.terms.agent if task.terms is not None else ""


def above(ledger: Ledger, task: TaskState) -> Iterator[TaskState]:
    """Yield the tasks above this one, nearest first, as far as they are known."""
    parent = ledger.tasks.get(task.opened.parent)
    while parent is not None:
        yield parent
        parent = ledger.tasks.get(parent.opened.parent)


def path(chain: Sequence[Ancestor], last: int = 6) -> str:
    """Return the end of a chain in words: `agent capability > agent capability`."""
    shown = [f"{own.agent or 'nobody'} {own.capability}" for own in chain[-last:]]
    return " > ".join(["..."] * (len(chain) > last) + shown)


def quote(words: str) -> str:
    """Return an author's words, short and on one line."""
    line = " ".join(words.split())
    return line if len(line) <= MAX_TEXT else f"{line[: MAX_TEXT - 3]}..."


def make_room(entries: dict[str, _T], most: int) -> None:
    """Drop the oldest entries until there is room for one more."""
    while len(entries) >= most:
        del entries[next(iter(entries))]
