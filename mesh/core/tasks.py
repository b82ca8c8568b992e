"""The life of one task: its phases as a table, and what is known of it.

A task is `open` while nobody has it, `working` under an award, `suspended` while it waits with no
slot, in `review` when a completed result waits for the check of somebody else, and `ended`. The
table says which fact may follow in which phase and where it leads; what else must hold (who wrote
it, leases, budgets) is `mesh.core.ledger`'s. A missing entry is an illegal move.

While `working`, the supervisor's next award or end needs the lease to be over. That is the only
guard that the table itself needs, and it is one column.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from mesh.core import facts as f
from mesh.core.budget import ZERO, Purse, add
from mesh.core.calls import Result
from mesh.core.values import (
    Amount,
    Cause,
    Effect,
    Holder,
    Status,
    StepKind,
    TaskPartition,
    Terms,
    Wait,
)

ATTEMPT_CAUSES = frozenset({Cause.FAILED, Cause.REJECTED, Cause.DIED})
"""An award for one of these begins a new attempt."""


class Phase(StrEnum):
    """Where a task stands."""

    OPEN = "open"
    WORKING = "working"
    SUSPENDED = "suspended"
    REVIEW = "review"
    ENDED = "ended"


AUTHORITY_OVER = frozenset(
    {f.TaskAwarded, f.BidsCalled, f.TaskFailed, f.TaskRejected, f.TaskExpired, f.TaskCancelled}
)
"""Facts of the supervisor that, while a task is `working`, need its lease to be over."""

NEXT: dict[tuple[Phase, type], Phase] = {
    (Phase.OPEN, f.BidsCalled): Phase.OPEN,
    (Phase.OPEN, f.TaskAwarded): Phase.WORKING,
    (Phase.OPEN, f.CancelRequested): Phase.OPEN,
    (Phase.OPEN, f.TaskFailed): Phase.ENDED,
    (Phase.OPEN, f.TaskRejected): Phase.ENDED,
    (Phase.OPEN, f.TaskExpired): Phase.ENDED,
    (Phase.OPEN, f.TaskCancelled): Phase.ENDED,
    (Phase.WORKING, f.AwardDeclined): Phase.OPEN,
    (Phase.WORKING, f.StepBegun): Phase.WORKING,
    (Phase.WORKING, f.StepFinished): Phase.WORKING,
    (Phase.WORKING, f.SpendReserved): Phase.WORKING,
    (Phase.WORKING, f.SpendSettled): Phase.WORKING,
    (Phase.WORKING, f.DecisionRecorded): Phase.WORKING,
    (Phase.WORKING, f.WorkSuspended): Phase.SUSPENDED,
    (Phase.WORKING, f.WorkCancelled): Phase.OPEN,
    (Phase.WORKING, f.WorkFinished): Phase.REVIEW,  # or open, or ended: see `after_finish`
    (Phase.WORKING, f.BidsCalled): Phase.WORKING,
    (Phase.WORKING, f.TaskAwarded): Phase.WORKING,
    (Phase.WORKING, f.CancelRequested): Phase.WORKING,
    (Phase.WORKING, f.TaskFailed): Phase.ENDED,
    (Phase.WORKING, f.TaskRejected): Phase.ENDED,
    (Phase.WORKING, f.TaskExpired): Phase.ENDED,
    (Phase.WORKING, f.TaskCancelled): Phase.ENDED,
    (Phase.SUSPENDED, f.BidsCalled): Phase.SUSPENDED,
    (Phase.SUSPENDED, f.TaskAwarded): Phase.WORKING,
    (Phase.SUSPENDED, f.CancelRequested): Phase.SUSPENDED,
    (Phase.SUSPENDED, f.TaskFailed): Phase.ENDED,
    (Phase.SUSPENDED, f.TaskExpired): Phase.ENDED,
    (Phase.SUSPENDED, f.TaskCancelled): Phase.ENDED,
    (Phase.REVIEW, f.ResultRejected): Phase.OPEN,
    (Phase.REVIEW, f.TaskCompleted): Phase.ENDED,
    (Phase.REVIEW, f.CancelRequested): Phase.REVIEW,
    (Phase.REVIEW, f.TaskFailed): Phase.ENDED,
    (Phase.REVIEW, f.TaskExpired): Phase.ENDED,
    (Phase.REVIEW, f.TaskCancelled): Phase.ENDED,
}


class Supervision(NamedTuple):
    """The supervision of a task partition as a reader needs it to begin in the middle of a log."""

    source: TaskPartition
    position: int
    holder: Holder
    lease_ms: int
    end_ms: int


class Header(NamedTuple):
    """Where to begin to read an audit partition, and what held there.

    `offset` lies far enough before what is looked for that log time and leases are exact by then.
    """

    offset: int
    log_time_ms: int
    supervisions: tuple[Supervision, ...]


class Lease:
    """Mutable: time-limited authority, named by the log position of the fact that gave it.

    The end itself is still inside. `held` turns False when the holder gives it up.

    Who folds a log knows all of a lease. A node does not: others' facts extend it. So it has to
    read before it can say that a lease is over, and `seen_ms` is the log time through which it has;
    None in a fold.
    """

    __slots__ = (
        "end_ms", "held", "holder", "lease_ms", "limit_ms", "position", "seen_ms",
    )  # fmt: skip

    def __init__(
        self, position: int, holder: Holder, lease_ms: int, *, now_ms: int, limit_ms: int
    ) -> None:
        self.position = position
        self.holder = holder
        self.lease_ms = lease_ms
        self.limit_ms = limit_ms
        self.held = True
        self.seen_ms: int | None = None
        self.end_ms = min(now_ms + lease_ms, limit_ms)

    def __repr__(self) -> str:
        state = f"until {self.end_ms}" if self.held else "given up"
        return f"Lease({self.position} {self.holder.instance}/{self.holder.incarnation} {state})"

    def running(self, log_time_ms: int) -> bool:
        """Tell whether it is held and not known to be over at this log time."""
        if self.seen_ms is not None:
            log_time_ms = min(log_time_ms, self.seen_ms)
        return self.held and log_time_ms <= self.end_ms

    def extend(self, log_time_ms: int) -> None:
        """Let it run its length from now, never beyond its limit and never shorter."""
        end_ms = min(log_time_ms + self.lease_ms, self.limit_ms)
        self.end_ms = max(self.end_ms, end_ms)


class StepState:
    """Mutable: what the journal has of one step. `result` is None until it is finished."""

    __slots__ = (
        "award", "begun_ms", "child", "effect", "input_hash", "kind", "name", "offset",
        "reservations", "result", "spent", "until_ms",
    )  # fmt: skip

    def __init__(self, kind: StepKind, name: str, input_hash: bytes, offset: int) -> None:
        self.kind = kind
        self.offset = offset
        self.name = name
        self.input_hash = input_hash
        self.effect = Effect.PURE
        self.award = -1
        self.begun_ms = 0
        self.until_ms = 0
        self.reservations = 0
        self.child = ""
        self.result: Result | None = None
        self.spent = ZERO

    def __repr__(self) -> str:
        state = self.result.status if self.result else "begun"
        return f"StepState({self.kind} {self.name} {state})"


class TaskState:
    """Mutable: what a ledger knows of one task that has not ended.

    `verdicts` counts the attempts that failed or were refused, `attempts` those that died, too;
    `revision` is the number of verdicts that the current award is told of, `revised` the offset
    of the first award that was (see `mesh.core.recall`).
    """

    __slots__ = (
        "attempts", "cancel", "cause", "children", "epoch", "finished", "finished_at", "last",
        "lease", "offset", "opened", "opened_ms", "phase", "purse", "quiet", "reason", "reserved",
        "revised", "revision", "steps", "terms", "verdicts", "waiting_for",
    )  # fmt: skip

    def __init__(self, opened: f.TaskOpened, offset: int, append_ms: int) -> None:
        self.opened = opened
        self.offset = offset
        self.last = offset
        self.opened_ms = append_ms
        self.phase = Phase.OPEN
        self.purse = Purse(opened.grant)
        self.lease: Lease | None = None
        self.terms: Terms | None = None
        self.epoch = 0
        self.attempts = 0
        self.verdicts = 0
        self.revision = 0
        self.revised = -1
        self.cause = Cause.FIRST
        self.reason = ""
        self.quiet = True
        self.steps: dict[str, StepState] = {}
        self.reserved: dict[tuple[str, int], Amount] = {}
        self.children: dict[str, None] = {}
        self.cancel: f.CancelRequested | None = None
        self.waiting_for: tuple[Wait, ...] = ()
        self.finished: f.WorkFinished | None = None
        self.finished_at = Result(-1, 0, Status.COMPLETED, "", opened.input)

    def __repr__(self) -> str:
        return (
            f"TaskState({self.opened.task} {self.opened.capability} {self.phase} "
            f"epoch={self.epoch} attempts={self.attempts} {self.lease})"
        )


def next_cause(task: TaskState) -> Cause:
    """Return why an award of this task, written now, would be written."""
    return Cause.DIED if task.phase is Phase.WORKING else task.cause


def own_cost(task: TaskState) -> Amount:
    """Return what a task has cost, without what its open children have; reservations in full."""
    return add(task.purse.spent, task.purse.reserved)


def attempts_made(task: TaskState) -> int:
    """Return how many awards of the task ended in failure, rejection or death, so far."""
    return task.attempts + (1 if task.phase is Phase.WORKING else 0)
