"""Fan-out: more tasks at once than anything foresaw.

Width alone says little: 300 suppliers are 300 inquiries. What is planned comes from data, so a task
may have as many different children as the longest list that it was given or has read has items;
what is beyond that nobody foresaw. Two counts: of one task, the children opened since it last had
none open (a loop that awaits each child is no fan-out); of a workflow, all that are open.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from mesh.core import facts as f
from mesh.core.detectors.frame import ENDS, MAX_EVIDENCE, Finding, Seen, Sight, chain_of, path
from mesh.core.detectors.likeness import longest_list
from mesh.core.ledger import Ledger
from mesh.core.tasks import TaskState


class FanOut:
    """Mutable: the children that each open task began since it last had none open."""

    name = "fan-out"
    kinds: frozenset[type] = frozenset({f.TaskOpened, *ENDS})

    def __init__(self) -> None:
        self._workflows: dict[str, _Width] = {}

    def see(self, sight: Sight) -> Sequence[Finding]:
        """Take one fact; see `frame.Detector`."""
        workflow = sight.opened.workflow
        if not isinstance(sight.fact, f.TaskOpened):
            width = self._workflows.get(workflow)
            if width is not None and sight.opened.task not in sight.ledger.tasks:
                width.bursts.pop(sight.opened.task, None)
            return ()
        parent = sight.ledger.tasks.get(sight.opened.parent)
        if parent is None:
            return ()
        width = self._workflows.get(workflow)
        if width is None:
            width = self._workflows[workflow] = _Width()
        wide = width.of_task(sight, parent)
        whole = width.of_workflow(sight)
        about = [(wide, parent), (whole, sight.task)]
        return [seen.of(self.name, task) for seen, task in about if seen is not None]

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow."""
        self._workflows.pop(workflow, None)


class _Burst:
    """Mutable: the children of one task since it last had none open.

    `check_at` is the count below which there cannot be too many: each child adds one at most.
    """

    def __init__(self, limit: int) -> None:
        self.count = 0
        self.inputs: set[bytes] = set()
        self.offsets: deque[int] = deque(maxlen=MAX_EVIDENCE)
        self.check_at = limit + 1


class _Width:
    """Mutable: how wide one workflow is."""

    def __init__(self) -> None:
        self.bursts: dict[str, _Burst] = {}
        self.offsets: deque[int] = deque(maxlen=MAX_EVIDENCE)
        self.check_at = 0

    def of_task(self, sight: Sight, parent: TaskState) -> Seen | None:
        """Count a child; return what was counted if its parent has too many."""
        limit, name = sight.limits.fan_out_children, parent.opened.task
        if name not in self.bursts or len(parent.children) <= 1:
            self.bursts[name] = _Burst(limit)
        burst = self.bursts[name]
        burst.count += 1
        burst.inputs.add(sight.opened.input.hash)
        burst.offsets.append(sight.record.offset)
        if burst.count < burst.check_at:
            return None
        listed = listed_by(parent)
        beyond = burst.count - min(len(burst.inputs), listed)
        burst.check_at = burst.count + max(1, limit + 1 - beyond)
        if beyond <= limit:
            return None
        return Seen(
            thing=f"children of {name}",
            measure="tasks of one task, begun while others were open, that no list foresaw",
            seen=beyond,
            limit=limit,
            evidence=[parent.offset, *list(burst.offsets)[1 - MAX_EVIDENCE :]],
            text=(
                f"{path(chain_of(parent), 1)} began {burst.count} tasks without waiting for them; "
                f"the longest list that it was given or has read has {listed} items, so nothing "
                f"foresaw {beyond} of them ({limit} allowed)."
            ),
        )

    def of_workflow(self, sight: Sight) -> Seen | None:
        """Count an open task; return what was counted if the workflow has too many."""
        limit, workflow = sight.limits.fan_out_open, sight.opened.workflow
        self.offsets.append(sight.record.offset)
        count = len(sight.ledger.members[workflow])
        if count <= limit or count < self.check_at:
            return None
        beyond = count - _foreseen(sight.ledger, workflow)
        self.check_at = count + max(1, limit + 1 - beyond)
        if beyond <= limit:
            return None
        return Seen(
            thing="open tasks",
            measure="open tasks of a workflow that no list foresaw",
            seen=beyond,
            limit=limit,
            evidence=self.offsets,
            text=(
                f"{count} tasks of this workflow are open at once, and nothing foresaw {beyond} of "
                f"them ({limit} allowed); the last one: {path(chain_of(sight.task))}."
            ),
        )


def _foreseen(ledger: Ledger, workflow: str) -> int:
    """Return how many open tasks of a workflow are on lists that their parents have."""
    children = Counter(task.opened.parent for task in ledger.open_tasks(workflow))
    del children[""]
    return sum(min(count, listed_by(ledger.tasks[name])) for name, count in children.items())


def listed_by(task: TaskState) -> int:
    """Return the length of the longest list that a task was given or has read."""
    results = (step.result.body for step in task.steps.values() if step.result is not None)
    return max(map(longest_list, (task.opened.input, *results)))
