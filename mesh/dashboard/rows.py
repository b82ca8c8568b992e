"""Tasks as the page lists them: one row each, what runs and what ended lately.

What is open is kept as long as it is; of what ended, whole workflows go, the oldest first, by count
and by age. They are read back from the log when somebody asks for one (`mesh.dashboard.chains`).
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.core import facts as f
from mesh.core.budget import ZERO
from mesh.core.ledger import Ledger
from mesh.core.tasks import ATTEMPT_CAUSES, Phase, TaskState
from mesh.core.values import Amount, Status, Terms

MAX_ENDED = 30_000
"""Tasks of ended workflows: some 20 MB, and more than anybody pages through."""
ENDED_MS = 24 * 3_600_000
"""A day: what is older is looked for by its id, or in the audit."""
MAX_TEXT = 300
"""Characters that a row keeps of a goal or a reason: the chain has them whole."""
PARENT_ENDED = "its parent ended"
ORDINARY_WAITS = frozenset({"sleep", "task"})
"""What ends by itself; everything else waits for a person."""


class Row:
    """Mutable: one task. `status` is "" while it is open; `state` is the ledger's, until then.

    Of a root task `tasks` counts the tasks of the workflow, `failures` what went wrong in them:
    attempts that failed, were sent back or died, and tasks that ended otherwise than completed.
    """

    __slots__ = (
        "agent",
        "began_ms",
        "caller",
        "capability",
        "cost",
        "deadline_ms",
        "ended_ms",
        "failures",
        "goal",
        "grant",
        "instance",
        "latest_ms",
        "offset",
        "open_children",
        "parent",
        "partition",
        "reason",
        "root",
        "state",
        "status",
        "task",
        "tasks",
        "tries",
        "workflow",
    )  # fmt: skip

    def __init__(
        self, partition: int, record: f.Record, fact: f.TaskOpened, root: Row | None
    ) -> None:
        self.task = fact.task
        self.workflow = fact.workflow
        self.parent = fact.parent
        self.capability = fact.capability
        self.caller = fact.caller
        self.partition = partition
        self.offset = record.offset
        self.began_ms = record.append_ms
        self.latest_ms = record.append_ms
        self.ended_ms: int | None = None
        self.deadline_ms = fact.deadline_ms
        self.grant = fact.grant
        self.cost = ZERO
        self.status = ""
        self.reason = ""
        self.agent = ""
        self.instance = ""
        self.tries = 0
        self.failures = 0
        self.state: TaskState | None = None
        self.open_children: dict[str, Row] | None = None
        self.root = self if root is None else root
        self.tasks = 0
        self.goal = fact.charter.goal[:MAX_TEXT] if root is None else ""

    def __repr__(self) -> str:
        return f"Row({self.task} {self.phase})"

    @property
    def phase(self) -> str:
        """How it ended, or where it stands."""
        if self.state is None or self.status:
            return self.status
        return self.state.phase.value

    def spent(self, ledger: Ledger) -> Amount:
        """Return what it and all below it cost so far, open reservations in full."""
        return self.cost if self.state is None else ledger.cost(self.state)

    def waits(self) -> list[str]:
        """Return what a person must see to before it goes on, in words."""
        if self.state is None or self.state.phase is not Phase.SUSPENDED:
            return []
        waits = (own for own in self.state.waiting_for if own.kind not in ORDINARY_WAITS)
        return [f"{own.note} is halted" if own.kind == "halt" else own.note for own in waits]


class Rows:
    """Mutable: the tasks that are known; `waiting` are those that wait for a person."""

    def __init__(self, most: int = MAX_ENDED, ended_ms: int = ENDED_MS) -> None:
        self._most = most
        self._ended_ms = ended_ms
        self._tasks: dict[str, Row] = {}
        self._members: dict[str, list[Row]] = {}
        self._ended: dict[str, Row] = {}
        self._kept = 0
        self.open: dict[str, Row] = {}
        self.waiting: dict[str, Row] = {}
        self.evicted = 0

    def __repr__(self) -> str:
        return f"Rows({len(self.open)} open workflows, {len(self._tasks)} tasks)"

    def __len__(self) -> int:
        return len(self._tasks)

    def get(self, task: str) -> Row | None:
        """Return a task's row, None if it is not known, or no more."""
        return self._tasks.get(task)

    def roots(self) -> Iterator[Row]:
        """Yield the root tasks: the open ones, the newest first, then those that ended, too."""
        yield from reversed(self.open.values())
        yield from reversed(self._ended.values())

    def members(self, workflow: str) -> list[Row]:
        """Return all tasks of a workflow, in the order of their opening."""
        return self._members.get(workflow, [])

    def every(self) -> Iterator[Row]:
        """Yield every task, the newest workflow first."""
        for root in self.roots():
            yield from self._members.get(root.task, ())

    # --- the fold

    def opened(
        self, partition: int, record: f.Record, fact: f.TaskOpened, state: TaskState
    ) -> Row | None:
        """Take a task that counts; None if its workflow is not known."""
        root = self._tasks.get(fact.workflow)
        if fact.parent and root is None:
            return None
        if not fact.parent and root is not None:
            self._forget(root)  # its id was used long ago, and may be again
            root = None
        row = Row(partition, record, fact, root)
        row.state = state
        self._tasks[row.task] = row
        self._members.setdefault(row.workflow, []).append(row)
        row.root.tasks += 1
        row.root.latest_ms = record.append_ms
        if not fact.parent:
            self.open[row.task] = row
        parent = self._tasks.get(fact.parent)
        if parent is not None:
            if parent.open_children is None:
                parent.open_children = {}
            parent.open_children[row.task] = row
        return row

    def awarded(self, row: Row, terms: Terms) -> None:
        """Take an award that counts."""
        row.agent, row.instance = terms.agent, terms.worker.instance
        row.tries = terms.attempt
        self.waiting.pop(row.task, None)
        if terms.cause in ATTEMPT_CAUSES:
            row.root.failures += 1

    def suspended(self, row: Row) -> None:
        """Take note of what a task waits for."""
        if row.waits():
            self.waiting[row.task] = row

    def ended(self, row: Row, at_ms: int, status: Status, reason: str) -> None:
        """Take the end of a task, and with it of all below it."""
        for child in list((row.open_children or {}).values()):
            self.ended(child, at_ms, Status.CANCELLED, PARENT_ENDED)
        assert row.state is not None, "it was open"
        row.cost, row.state, row.open_children = row.state.purse.spent, None, None
        row.status, row.reason, row.ended_ms = status.value, reason[:MAX_TEXT], at_ms
        self.waiting.pop(row.task, None)
        if status is not Status.COMPLETED:
            row.root.failures += 1
        parent = self._tasks.get(row.parent)
        if parent is not None and parent.open_children:
            parent.open_children.pop(row.task, None)
        if row.root is row:
            self._root_ended(row, at_ms)

    def _root_ended(self, root: Row, at_ms: int) -> None:
        del self.open[root.task]
        self._ended[root.task] = root
        self._kept += len(self._members[root.task])
        while self._ended and self._is_old(oldest := next(iter(self._ended.values())), at_ms):
            self._forget(oldest)
            self.evicted += 1

    def _is_old(self, root: Row, now_ms: int) -> bool:
        over = self._kept > self._most and len(self._ended) > 1
        return over or (root.ended_ms or 0) < now_ms - self._ended_ms

    def _forget(self, root: Row) -> None:
        members = self._members.pop(root.task)
        for row in members:
            self._tasks.pop(row.task, None)
            self.waiting.pop(row.task, None)
        self.open.pop(root.task, None)
        if self._ended.pop(root.task, None) is not None:
            self._kept -= len(members)
