"""The facts: everything that is ever written to the audit stream, one class a kind.

A fact is immutable and says who wrote it (`by`: instance and incarnation) and under which
`authority`: the log position of the supervision's taking or of the award, -1 where it needs none.
Whether it *counts* is decided by `mesh.core.ledger` alone. `docs/protocol.md` is the catalogue in
prose; `schemas/` the same on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mesh.core.values import (
    Acceptance,
    Amount,
    Ancestor,
    Body,
    Charter,
    Effect,
    Holder,
    Inbox,
    Mode,
    Offer,
    Outcome,
    StepKind,
    TaskPartition,
    Terms,
    Wait,
)

# --- by the supervisor of a task partition ------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisionTaken:
    """An instance takes the supervision of a task partition.

    Counts if no other holder's lease on it is running.
    """

    source: TaskPartition
    by: Holder
    inbox: Inbox
    lease_ms: int
    authority: int = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisionRenewed:
    """The holder extends its lease; this also moves log time."""

    source: TaskPartition
    by: Holder
    authority: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisionReleased:
    """The holder gives its lease up; it writes nothing under it afterwards."""

    source: TaskPartition
    by: Holder
    authority: int


# --- by the supervisor of a task ----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskOpened:
    """A task exists from here on; with `award` in it, it is awarded by the same record.

    A root task has parent `""`, step `""` and the `offset` of its record in `source`; a child has
    the step that delegated it, and -1. `source` is the workflow's task partition for both.
    `deadline_ms` is absolute, in log time. `grant` leaves the parent's budget. `after` names tasks
    that were finished before this one was asked for.
    """

    workflow: str
    task: str
    by: Holder
    authority: int
    source: TaskPartition
    offset: int
    parent: str
    step: str
    capability: str
    input: Body
    charter: Charter
    ancestors: tuple[Ancestor, ...]
    after: tuple[str, ...]
    grant: Amount
    deadline_ms: int
    lease_ms: int
    max_attempts: int
    mode: Mode
    named_agent: str
    acceptance: Acceptance
    event_id: str
    reply_topic: str
    correlation_id: str
    traceparent: str
    award: Terms | None

    @property
    def caller(self) -> str:
        """The agent whose scope must cover the capability, "" for a root task.

        That is whoever delegated it, also when another supervises it since.
        """
        return self.ancestors[-1].agent if self.ancestors else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class BidsCalled:
    """An auction begins: whom the supervisor asks, and its own bid before it sees the others."""

    workflow: str
    task: str
    by: Holder
    authority: int
    round: int
    seed: int
    candidates: tuple[str, ...]
    bids_until_ms: int
    own_offer: Offer | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskAwarded:
    """The supervisor's decision who works on the task; its log position is the award's name."""

    workflow: str
    task: str
    by: Holder
    authority: int
    award: Terms


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultRejected:
    """The supervisor's check refused a completed result; the next award carries the reason."""

    workflow: str
    task: str
    by: Holder
    authority: int
    award: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelRequested:
    """The supervisor wants the task ended; changes no lease. `person` is "" if no person asked."""

    workflow: str
    task: str
    by: Holder
    authority: int
    because: str
    person: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskCompleted:
    """An end: the check accepted the result of `award`."""

    workflow: str
    task: str
    by: Holder
    authority: int
    award: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFailed:
    """An end: no attempt is left, or none may be made."""

    workflow: str
    task: str
    by: Holder
    authority: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRejected:
    """An end: the request itself cannot be served. `field` is a JSON pointer into the input."""

    workflow: str
    task: str
    by: Holder
    authority: int
    reason: str
    field: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskExpired:
    """An end: log time passed the deadline."""

    workflow: str
    task: str
    by: Holder
    authority: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskCancelled:
    """An end: it was cancelled and nobody works on it any more."""

    workflow: str
    task: str
    by: Holder
    authority: int
    reason: str


# --- by the worker ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class AwardDeclined:
    """The worker gives the award up before it began; not an attempt."""

    workflow: str
    task: str
    by: Holder
    authority: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StepBegun:
    """The worker is about to do a step that reaches outside.

    `reserve` leaves what is free until the step finishes. `until_ms` is a sleep's end.
    """

    workflow: str
    task: str
    by: Holder
    authority: int
    step: str
    kind: StepKind
    name: str
    input_hash: bytes
    effect: Effect
    reserve: Amount
    until_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StepFinished:
    """A step's recorded result, handed back on every replay.

    `error` is "" for success, else the exception's summary. `spent` settles the reservation. A
    step that needs no beginning (an artifact, a decision's twin) finishes without a `StepBegun`.
    """

    workflow: str
    task: str
    by: Holder
    authority: int
    step: str
    kind: StepKind
    name: str
    input_hash: bytes
    spent: Amount
    error: str
    result: Body


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendReserved:
    """Money, tokens or calls are set aside before they go.

    `number` counts this step's reservations that counted, from 0.
    """

    workflow: str
    task: str
    by: Holder
    authority: int
    step: str
    number: int
    amount: Amount
    because: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendSettled:
    """What a reservation really cost, at most its amount; the rest is free again."""

    workflow: str
    task: str
    by: Holder
    authority: int
    step: str
    number: int
    amount: Amount


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionRecorded:
    """One line of the decision chain, in words; a step with no result."""

    workflow: str
    task: str
    by: Holder
    authority: int
    step: str
    choice: str
    because: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseRenewed:
    """A quiet worker extends the leases of all these awards, named by their log positions."""

    by: Holder
    awards: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkSuspended:
    """The worker gives slot and lease up until one of the things waited for happens.

    Nothing to wait for: any worker may go on at once. It says nothing of costs: children go on, and
    the worker cannot know what they have cost by now.
    """

    workflow: str
    task: str
    by: Holder
    authority: int
    waiting_for: tuple[Wait, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkCancelled:
    """The worker gives the award up because it was asked to; void with a lease running below.

    `spent` as in `WorkFinished`.
    """

    workflow: str
    task: str
    by: Holder
    authority: int
    reason: str
    spent: Amount


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkFinished:
    """The worker is done and gives the lease up; void with a lease running below.

    `spent` is everything that this task and its descendants cost, over all attempts, unsettled
    reservations charged in full: it must agree with the log. `error` and `field` say what went
    wrong when `outcome` is not completed.
    """

    workflow: str
    task: str
    by: Holder
    authority: int
    outcome: Outcome
    spent: Amount
    confidence_permille: int
    sources: tuple[str, ...]
    error: str
    field: str
    result: Body


SupervisionFact = SupervisionTaken | SupervisionRenewed | SupervisionReleased
EndFact = TaskCompleted | TaskFailed | TaskRejected | TaskExpired | TaskCancelled
SupervisorFact = TaskOpened | BidsCalled | TaskAwarded | ResultRejected | CancelRequested | EndFact
StepFact = StepBegun | StepFinished | SpendReserved | SpendSettled | DecisionRecorded
WorkerFact = StepFact | AwardDeclined | WorkSuspended | WorkCancelled | WorkFinished
Fact = SupervisionFact | SupervisorFact | WorkerFact | LeaseRenewed


class Record(NamedTuple):
    """A fact in its place: the audit partition's offset, and the broker's append time.

    `sequence` numbers the facts of one instance, incarnation and audit partition from 0.
    """

    offset: int
    append_ms: int
    sequence: int
    fact: Fact
