"""What is known of one audit partition: open tasks, leases, remembered ends. It judges nothing.

`mesh.core.ledger` decides what gets in. A book holds open tasks only; what ended is kept for a time
by its name, so that its repeat is answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

from mesh.core.budget import add
from mesh.core.settings import EVENT_WINDOW_MS
from mesh.core.tasks import (
    Header,
    Lease,
    Supervision,
    TaskState,
    own_cost,
)
from mesh.core.values import (
    Amount,
    Body,
    Holder,
    Status,
    TaskPartition,
)

NEVER = 2**62
"""A limit for leases that no deadline limits."""


class End(NamedTuple):
    """How a root task ended: kept for a time so that its repeat is answered, not run again.

    `record` is the offset in `source` of the record that asked for it.
    """

    status: Status
    reason: str
    body: Body
    offset: int
    append_ms: int
    spent: Amount
    log_time_ms: int
    event_id: str
    reply_topic: str
    correlation_id: str
    source: TaskPartition
    record: int


class Book:
    """Mutable: the state that counts so far, and questions about it."""

    __slots__ = (
        "awards", "ended", "log_time_ms", "members", "sequences", "supervisions", "tasks",
        "unmerged",
    )  # fmt: skip

    def __init__(self) -> None:
        self.log_time_ms = 0
        self.tasks: dict[str, TaskState] = {}
        self.awards: dict[int, TaskState] = {}
        self.members: dict[str, dict[str, None]] = {}
        self.supervisions: dict[TaskPartition, Lease] = {}
        self.ended: dict[str, End] = {}
        self.sequences: dict[Holder, int] = {}
        self.unmerged: set[str] = set()

    def __repr__(self) -> str:
        counts = f"open={len(self.tasks)}, ended={len(self.ended)}"
        return f"{type(self).__name__}(log_time={self.log_time_ms}, {counts})"

    @classmethod
    def begin(cls, header: Header) -> Self:
        """Return a ledger that reads from `header` on."""
        ledger = cls()
        ledger.log_time_ms = header.log_time_ms
        for seen in header.supervisions:
            lease = Lease(seen.position, seen.holder, seen.lease_ms, now_ms=0, limit_ms=NEVER)
            lease.end_ms = seen.end_ms
            ledger.supervisions[seen.source] = lease
        return ledger

    def observe(self, append_ms: int) -> None:
        """Let log time see a record whose fact is not looked at."""
        self.log_time_ms = max(self.log_time_ms, append_ms)

    def is_running(self, task: TaskState) -> bool:
        """Tell whether somebody's lease on this task is running."""
        return task.lease is not None and task.lease.running(self.log_time_ms)

    def running_below(self, task: TaskState) -> bool:
        """Tell whether somebody's lease on a descendant is running."""
        return any(
            self.is_running(child) or self.running_below(child) for child in self.children(task)
        )

    def children(self, task: TaskState) -> Iterator[TaskState]:
        """Yield the children that have not ended, in the order of their opening."""
        return (self.tasks[child] for child in task.children if child in self.tasks)

    def descendants(self, task: TaskState) -> Iterator[TaskState]:
        """Yield everything below that has not ended, parents first."""
        for child in self.children(task):
            yield child
            yield from self.descendants(child)

    def authority_over(self, task: TaskState) -> Lease | None:
        """Return the lease of whoever supervises this task; it may be over.

        None: nobody took it yet, or this ledger does not know the task's ancestors.
        """
        opened = task.opened
        while opened.parent:
            parent = self.tasks.get(opened.parent)
            if parent is None:
                return None
            if self.is_running(parent):
                return parent.lease
            opened = parent.opened
        return self.supervisions.get(opened.source)

    def cost(self, task: TaskState) -> Amount:
        """Return what the task has cost if it ended now: open reservations charged in full."""
        total = own_cost(task)
        for child in self.children(task):
            total = add(total, self.cost(child))
        return total

    def remembers(self, workflow: str) -> bool:
        """Tell whether a root task ended so lately that its repeat is not run again."""
        end = self.ended.get(workflow)
        return end is not None and self.log_time_ms <= end.log_time_ms + EVENT_WINDOW_MS

    def remember(self, workflow: str, end: End) -> None:
        """Keep how a root task ended, and forget what ended too long ago."""
        self.ended.pop(workflow, None)
        self.ended[workflow] = end
        while not self.remembers(oldest := next(iter(self.ended))):
            del self.ended[oldest]

    def supervision(self, source: TaskPartition) -> Supervision | None:
        """Return the supervision of `source` as a header carries it."""
        lease = self.supervisions.get(source)
        if lease is None or not lease.held:
            return None
        return Supervision(source, lease.position, lease.holder, lease.lease_ms, lease.end_ms)

    def put(self, task: TaskState) -> None:
        """Let an open task stand in the place of what was known of it."""
        known = self.tasks.get(task.opened.task)
        if known is not None and known.lease is not None:
            self.awards.pop(known.lease.position, None)
        self.add_task(task)
        if task.lease is not None:
            self.awards[task.lease.position] = task

    def add_task(self, task: TaskState) -> None:
        """Add an open task that was not known; what ended under its name so long ago is over."""
        opened = task.opened
        self.tasks[opened.task] = task
        self.ended.pop(opened.task, None)
        self.members.setdefault(opened.workflow, {})[opened.task] = None

    def open_tasks(self, workflow: str) -> list[TaskState]:
        """Return what is known of a workflow's open tasks, in the order in which it was learnt."""
        return [self.tasks[name] for name in self.members.get(workflow, ())]

    def forget_workflow(self, workflow: str) -> None:
        """Drop all open tasks of a workflow from memory; says nothing about the log."""
        for task in self.open_tasks(workflow):
            self.forget(task)

    def forget(self, task: TaskState) -> None:
        """Drop an open task and all below it from memory; says nothing about the log."""
        for child in list(self.children(task)):
            self.forget(child)
        opened = task.opened
        if self.tasks.pop(opened.task, None) is None:
            return
        members = self.members[opened.workflow]
        del members[opened.task]
        if not members:
            del self.members[opened.workflow]
        if task.lease is not None:
            self.awards.pop(task.lease.position, None)
