"""The independent count: reads the log anew and adds up, with no code of the ledger's.

Who had the authority is told again here from the rules of the design: a lease ends at log time plus
its length or at the task's deadline, a worker's facts within it extend it, a supervision's renewals
do, nobody takes a running one away. Then it is plain counting: endings of each task, money of each
workflow at each prefix, effects at the target by key.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeGuard

from bench.chaos_agents import effects_of
from bench.target import Call
from mesh.core import facts as f
from mesh.core.ids import effect_key
from mesh.core.values import Holder, TaskPartition, Terms

GIVES_UP = f.AwardDeclined | f.WorkSuspended | f.WorkCancelled | f.WorkFinished
DIMENSIONS = ("micro_usd", "tokens", "tool_calls", "hops", "attempts")
ATTEMPTS = frozenset({"failed", "rejected", "died"})


class Lease:
    """Mutable: somebody's authority."""

    __slots__ = ("end", "gone", "holder", "length", "limit", "position")

    def __init__(self, position: int, holder: Holder, length: int, limit: int, now: int) -> None:
        self.position, self.holder, self.length, self.limit = position, holder, length, limit
        self.gone = False
        self.end = min(now + length, limit)

    def runs(self, now: int) -> bool:
        return not self.gone and now <= self.end


class Task:
    """Mutable: one task that was opened."""

    __slots__ = ("children", "ends", "lease", "opened", "parent", "reserved", "status")

    def __init__(self, opened: f.TaskOpened, parent: Task | None) -> None:
        self.opened = opened
        self.parent = parent
        self.children: list[Task] = []
        self.lease: Lease | None = None
        self.ends = 0
        self.status = ""
        self.reserved: dict[tuple[str, int], tuple[int, ...]] = {}

    def ended(self) -> bool:
        return self.ends > 0 or (self.parent is not None and self.parent.ended())


class Totals(NamedTuple):
    """What was counted. Everything in `problems` is a violation, in words."""

    facts: int
    tasks: int
    workflows: int
    lost: int
    doubled: int
    breaches: int
    twice: int
    statuses: Counter[str]
    problems: list[str]


class Partition:
    """Mutable: one audit partition, read from its beginning."""

    def __init__(self) -> None:
        self.now = 0
        self.tasks: dict[str, Task] = {}
        self.supervision: dict[TaskPartition, Lease] = {}
        self.awards: dict[int, Task] = {}
        self.seen: set[tuple[Holder, int]] = set()
        self.spent: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
        self.keys: dict[str, int] = {}
        self.problems: list[str] = []
        self.breaches = 0
        self.void = 0

    def add(self, record: f.Record) -> None:
        """Count one record."""
        fact = record.fact
        self.now = max(self.now, record.append_ms)
        if (fact.by, record.sequence) in self.seen:
            self.problems.append(f"{fact.by} wrote number {record.sequence} twice")
            return
        self.seen.add((fact.by, record.sequence))
        if isinstance(fact, f.SupervisionTaken):
            before = self.supervision.get(fact.source)
            if before is None or before.holder == fact.by or not before.runs(self.now):
                never = 2**62
                lease = Lease(record.offset, fact.by, fact.lease_ms, never, self.now)
                self.supervision[fact.source] = lease
        elif isinstance(fact, f.LeaseRenewed):
            for position in fact.awards:
                task = self.awards.get(position)
                if task is not None and task.lease is not None:
                    self._extended(task.lease, fact.by, position)
        elif self._is_late_end(fact):
            self._end(self.tasks[fact.task], type(fact).__name__)
        elif self._extended(
            self._authority(fact),
            fact.by,
            fact.authority,
            renewal=isinstance(fact, f.SupervisionRenewed),
        ):
            self._count(record, fact)
        else:
            self.void += 1

    def _is_late_end(self, fact: f.Fact) -> TypeGuard[f.EndFact]:
        """Tell whether a task that has ended is ended again, by somebody who had the authority."""
        if not isinstance(fact, f.EndFact):
            return False
        task = self.tasks.get(fact.task)
        if task is None or task.ends == 0:
            return False
        lease = self._above(task)
        held = lease is not None and lease.holder == fact.by and lease.position == fact.authority
        return held and lease is not None and lease.runs(self.now)

    def _extended(
        self, lease: Lease | None, by: Holder, position: int, *, renewal: bool = False
    ) -> bool:
        """Tell whether it is the author's and runs; supervision is extended by renewal alone."""
        if lease is None or lease.holder != by or lease.position != position:
            return False
        if not lease.runs(self.now):
            return False
        if position in self.awards or renewal:
            lease.end = max(lease.end, min(self.now + lease.length, lease.limit))
        return True

    def _authority(self, fact: f.Fact) -> Lease | None:
        if isinstance(fact, f.SupervisionFact):
            return self.supervision.get(fact.source)
        if isinstance(fact, f.LeaseRenewed):
            return None
        if isinstance(fact, f.TaskOpened):
            if not fact.parent:
                return self.supervision.get(fact.source)
            parent = self.tasks.get(fact.parent)
            return parent.lease if parent is not None and not parent.ended() else None
        task = self.tasks.get(fact.task)
        if task is None or task.ended():
            return None  # nobody has authority over what has ended
        return task.lease if isinstance(fact, f.WorkerFact) else self._above(task)

    def _above(self, task: Task) -> Lease | None:
        above = task.parent
        while above is not None:
            if above.lease is not None and above.lease.runs(self.now) and not above.ended():
                return above.lease
            above = above.parent
        return self.supervision.get(task.opened.source)

    def _count(
        self, record: f.Record, fact: f.SupervisionFact | f.SupervisorFact | f.WorkerFact
    ) -> None:
        if isinstance(fact, f.SupervisionFact):
            if isinstance(fact, f.SupervisionReleased):
                self.supervision[fact.source].gone = True
            return
        if isinstance(fact, f.TaskOpened):
            self._open(record, fact)
            return
        task = self.tasks[fact.task]
        if isinstance(fact, f.TaskAwarded):
            self._award(record.offset, task, fact.award)
        elif isinstance(fact, f.EndFact):
            self._end(task, type(fact).__name__)
        elif isinstance(fact, f.WorkerFact):
            self._work(record, task, fact)
        self._ceiling(record, task)

    def _open(self, record: f.Record, fact: f.TaskOpened) -> None:
        if fact.task in self.tasks:
            return  # void: the child is there already
        parent = self.tasks.get(fact.parent)
        task = self.tasks[fact.task] = Task(fact, parent)
        if parent is not None:
            parent.children.append(task)
            self._charge(fact.workflow, (0, 0, 0, 1, 0))
        if fact.award is not None:
            self._award(record.offset, task, fact.award)

    def _award(self, offset: int, task: Task, terms: Terms) -> None:
        if task.ended():
            return
        if task.lease is not None and task.lease.runs(self.now):
            self.problems.append(f"{offset}: {task.opened.task} is awarded while its lease runs")
        if terms.cause in ATTEMPTS:
            self._charge(task.opened.workflow, (0, 0, 0, 0, 1))
        limit = task.opened.deadline_ms
        task.lease = Lease(offset, terms.worker, terms.lease_ms, limit, self.now)
        task.reserved.clear()  # what was not settled stays charged
        self.awards[offset] = task

    def _work(self, record: f.Record, task: Task, fact: f.WorkerFact) -> None:
        if isinstance(fact, GIVES_UP):
            if isinstance(fact, f.WorkFinished | f.WorkCancelled) and self._runs_below(task):
                return
            assert task.lease is not None
            task.lease.gone = True
            automatic = task.opened.acceptance == "automatic"
            if isinstance(fact, f.WorkFinished) and fact.outcome == "completed" and automatic:
                self._end(task, "TaskCompleted")
        elif isinstance(fact, f.StepBegun):
            number = sum(1 for step, _ in task.reserved if step == fact.step)
            task.reserved[fact.step, number] = tuple(fact.reserve)
            self._charge(fact.workflow, fact.reserve)
            key = effect_key(fact.task, fact.step, fact.name)
            self.keys.setdefault(key, record.append_ms)
        elif isinstance(fact, f.SpendReserved):
            task.reserved[fact.step, fact.number] = tuple(fact.amount)
            self._charge(fact.workflow, fact.amount)
        elif isinstance(fact, f.SpendSettled):
            self._settle(task, (fact.step, fact.number), fact.amount)
        elif isinstance(fact, f.StepFinished):
            found = [name for name in task.reserved if name[0] == fact.step]
            if found:
                self._settle(task, found[-1], fact.spent)

    def _settle(self, task: Task, name: tuple[str, int], spent: Sequence[int]) -> None:
        reserved = task.reserved.pop(name, None)
        if reserved is not None:
            back = [took - kept for took, kept in zip(spent, reserved, strict=True)]
            self._charge(task.opened.workflow, back)

    def _end(self, task: Task, how: str) -> None:
        if task.lease is not None and task.lease.runs(self.now):
            return  # void: nobody takes a running lease away
        if self._runs_below(task):
            return
        if task.parent is None or not task.parent.ended():
            task.ends += 1
            task.status = task.status or how.removeprefix("Task").lower()

    def _runs_below(self, task: Task) -> bool:
        return any(
            (child.lease is not None and child.lease.runs(self.now) and not child.ends)
            or self._runs_below(child)
            for child in task.children
            if not child.ends
        )

    def _charge(self, workflow: str, amount: Iterable[int]) -> None:
        account = self.spent[workflow]
        for place, part in enumerate(amount):
            account[place] += part

    def _ceiling(self, record: f.Record, task: Task) -> None:
        root = self.tasks.get(task.opened.workflow)
        if root is None:
            return
        for name, limit, spent in zip(
            DIMENSIONS, root.opened.grant, self.spent[task.opened.workflow], strict=True
        ):
            if spent > limit:
                self.breaches += 1
                text = f"{record.offset}: {task.opened.workflow} has {spent} {name} of {limit}"
                self.problems.append(text)


def count(
    partitions: Mapping[int, Iterable[f.Record]], submitted: Iterable[str], calls: Sequence[Call]
) -> Totals:
    """Count a whole log against what was submitted and what reached the target."""
    read: list[Partition] = []
    facts = 0
    for number in sorted(partitions):
        partition = Partition()
        for record in partitions[number]:
            partition.add(record)
            facts += 1
        read.append(partition)
    problems = [text for partition in read for text in partition.problems]
    tasks = [task for partition in read for task in partition.tasks.values()]
    roots = [task for task in tasks if task.parent is None]
    opened = Counter(task.opened.event_id for task in roots)
    missing = [name for name in submitted if name not in opened]
    open_still = [task.opened.task for task in tasks if not task.ended()]
    ended_twice = [task.opened.task for task in tasks if task.ends > 1]
    opened_twice = [name for name, times in opened.items() if times > 1]
    problems += [f"{name} was submitted and never opened" for name in missing]
    problems += [f"{name} has no end" for name in open_still]
    problems += [f"{name} has ended more than once" for name in ended_twice]
    problems += [f"{name} became more than one workflow" for name in opened_twice]
    keys = {key: at for partition in read for key, at in partition.keys.items()}
    twice = _effects(calls, keys, roots, problems)
    return Totals(
        facts=facts,
        tasks=len(tasks),
        workflows=len(roots),
        lost=len(missing) + len(open_still),
        doubled=len(ended_twice) + len(opened_twice),
        breaches=sum(partition.breaches for partition in read) + _overpaid(calls, roots, problems),
        twice=twice,
        statuses=Counter(task.status or "open" for task in roots),
        problems=problems,
    )


def _effects(
    calls: Sequence[Call], keys: Mapping[str, int], roots: Sequence[Task], problems: list[str]
) -> int:
    """Compare what the target applied with what the log permits and what completed."""
    applied: dict[str, set[str]] = defaultdict(set)
    by_key: dict[str, set[str]] = defaultdict(set)
    times: Counter[str] = Counter()
    for call in calls:
        applied[call.what].add(call.key)
        by_key[call.key].add(call.what)
        times[call.key] += call.applied
        begun = keys.get(call.key)
        if begun is None or begun > call.at_ms + 1:
            problems.append(f"{call.what}: reached the target with no step that counts before it")
    more = [what for what, under in applied.items() if len(under) > 1]
    problems += [f"{what} was applied under {len(applied[what])} keys" for what in more]
    again = [key for key, count in times.items() if count != 1]
    problems += [f"key {key} was applied {times[key]} times" for key in again]
    shared = [key for key, whats in by_key.items() if len(whats) > 1]
    problems += [f"key {key} stands for {sorted(by_key[key])}" for key in shared]
    for root in roots:
        if root.status != "completed":
            continue
        number = int(root.opened.event_id.rpartition("-")[2])
        for what in effects_of(number):
            if what not in applied:
                problems.append(f"{what}: the workflow completed, and the target never saw it")
    return len(more) + len(again) + len(shared)


def _overpaid(calls: Sequence[Call], roots: Sequence[Task], problems: list[str]) -> int:
    """Compare what the target charged, repeats too, with what each workflow was given."""
    charged: Counter[str] = Counter()
    for call in calls:
        charged[call.workflow] += call.micro_usd
    over = [
        root.opened.workflow
        for root in roots
        if charged[root.opened.workflow] > root.opened.grant.micro_usd
    ]
    problems += [f"{name} paid {charged[name]} at the target, above its budget" for name in over]
    return len(over)
