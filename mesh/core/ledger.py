"""What counts: the fold over one audit partition that everything which judges a log uses.

An agent, the processor, the page, an auditor's verifier and the simulator run this same code, and
get the same answer from the same prefix of the log.

Authority is a lease in *log time*, the largest append time seen so far. There are two kinds of
lease: the supervision of a task partition, begun by `SupervisionTaken`, and the work on a task,
begun by an award. A fact counts if

1. its place in its emitter's sequence is new (else it is a replay),
2. its author holds the authority that its kind asks for, named by its log position, and log time
   has not passed the lease's end (`_authority`): a fact then extends an award's lease, whatever
   follows; the lease of a supervision is extended by `SupervisionRenewed` alone, so that who reads
   one workflow need not look at the others to know it,
3. the task's phase allows it (`tasks.NEXT`), and
4. the check of its kind finds nothing wrong (`rules.CHECKS`).

Then it is applied (`changes.CHANGES`); else it is *void*: recorded, never applied, nobody acts on
it. Whoever supervises a task is the nearest ancestor's worker whose lease is running, else the
supervisor of the task partition. Nobody takes a running lease away.

A ledger holds open tasks only. `add` judges; `learn` applies what a peer proved by a message, and
makes no judgement: a ledger that was fed by `learn` knows less than the log, and leases in it may
have been extended since. So whoever claims an authority of somebody else reads the log first.
"""

from __future__ import annotations

from collections.abc import Callable

from mesh.core import facts as f
from mesh.core.book import NEVER, Book
from mesh.core.changes import CHANGES, close_task, learn_lease, open_task
from mesh.core.rules import CHECKS, check_opened
from mesh.core.tasks import (
    AUTHORITY_OVER,
    NEXT,
    Lease,
    TaskState,
)

OF_NO_TASK = f.SupervisionFact | f.LeaseRenewed
"""Facts that are about no single task."""


class Ledger(Book):
    """Mutable: everything that counts so far in one audit partition, and the judge of what does."""

    __slots__ = ()

    def add(self, record: f.Record, margin_ms: int | None = None) -> str:
        """Judge a fact and apply it if it counts: return "" then, else why it is void.

        A holder judges its own fact with a margin, the largest difference between two brokers'
        clocks, before it acts on it; leases run from the record's own time then, for this ledger
        may have heard of later times before. A reader of history has no margin.
        """
        self.observe(record.append_ms)
        if margin_ms is None:
            return self._judge(record, 0, self.log_time_ms)
        fact = record.fact
        if isinstance(fact, f.SupervisionTaken):
            # only the log, read through it, says whether it counts; an earlier one is replaced
            self.supervisions.pop(fact.source, None)
            return ""
        ends = self.tasks.get(fact.task) if isinstance(fact, f.TaskExpired) else None
        if ends is not None and record.append_ms <= ends.opened.deadline_ms:
            return "whether the deadline had passed is not known"
        reason = self._judge(record, margin_ms, record.append_ms)
        task = self.awards.get(record.offset)
        if task is not None:
            learn_lease(task, record)
        return reason

    def _judge(self, record: f.Record, margin_ms: int, at_ms: int) -> str:
        fact = record.fact
        last = self.sequences.get(fact.by, -1)
        if record.sequence <= last:
            return "repeats an earlier fact of its emitter"
        self.sequences[fact.by] = record.sequence
        if isinstance(fact, f.SupervisionTaken):
            return self._take(record.offset, fact, at_ms)
        if isinstance(fact, f.LeaseRenewed):
            return self._renew(fact, margin_ms, at_ms)
        lease = self._authority(fact, margin_ms)
        if isinstance(lease, str):
            return lease
        if isinstance(fact, f.SupervisionRenewed) or lease.position in self.awards:
            lease.extend(at_ms)
        reason = self._refusal(record, fact)
        if not reason:
            self._apply(record)
        return reason

    def learn(self, record: f.Record, lease_end_ms: int = 0) -> None:
        """Apply a fact that a peer says counted, without judging it.

        `lease_end_ms` is how long that peer knows the lease of the task's award to run.
        """
        self.observe(record.append_ms)
        fact = record.fact
        if isinstance(fact, f.TaskOpened):
            if fact.task not in self.tasks:
                open_task(self, record, fact, None)
                learn_lease(self.tasks[fact.task], record)
            return
        if isinstance(fact, OF_NO_TASK):
            return
        task = self.tasks.get(fact.task)
        if task is None:
            return
        if task.lease is not None:
            task.lease.end_ms = max(task.lease.end_ms, lease_end_ms)
        if isinstance(fact, f.WorkFinished | f.WorkCancelled):
            # nothing runs below it any more, and `spent` covers what did
            for child in list(self.children(task)):
                self.forget(child)
            task.children.clear()
        if (task.phase, type(fact)) in NEXT:
            self._apply(record)
            learn_lease(task, record)

    def _apply(self, record: f.Record) -> None:
        fact = record.fact
        if not isinstance(fact, OF_NO_TASK):
            task = self.tasks.get(fact.task)
            if task is not None:
                task.last = record.offset
        CHANGES[type(fact)](self, record, fact)

    def _take(self, offset: int, fact: f.SupervisionTaken, at_ms: int) -> str:
        current = self.supervisions.get(fact.source)
        if current is not None and current.running(self.log_time_ms) and current.holder != fact.by:
            return f"{current.holder.instance} holds the supervision"
        self.supervisions[fact.source] = Lease(
            offset, fact.by, fact.lease_ms, now_ms=at_ms, limit_ms=NEVER
        )
        return ""

    def _renew(self, fact: f.LeaseRenewed, margin_ms: int, at_ms: int) -> str:
        void = "no award that is named is the author's and running"
        for position in fact.awards:
            task = self.awards.get(position)
            lease = task.lease if task is not None else None
            if lease is None or lease.holder != fact.by:
                continue
            if lease.held and self.log_time_ms + margin_ms <= lease.end_ms:
                lease.extend(at_ms)
                void = ""
        return void

    def _authority(
        self, fact: f.SupervisionFact | f.SupervisorFact | f.WorkerFact, margin_ms: int
    ) -> Lease | str:
        """Find the lease that this kind of fact needs, if its author holds it."""
        if isinstance(fact, f.SupervisionFact):
            lease = self.supervisions.get(fact.source)
        elif isinstance(fact, f.TaskOpened):
            lease = self._opener(fact)
        else:
            task = self.tasks.get(fact.task)
            if task is None or task.opened.workflow != fact.workflow:
                return "no such open task"
            over = isinstance(fact, f.SupervisorFact)
            lease = self.authority_over(task) if over else task.lease
        if lease is None:
            return "nobody holds the authority that it needs"
        if lease.position != fact.authority or lease.holder != fact.by:
            return f"the authority is {lease.holder.instance}'s, given at {lease.position}"
        if not lease.held:
            return "the authority was given up"
        if self.log_time_ms + margin_ms > lease.end_ms:
            return f"the lease was over {self.log_time_ms + margin_ms - lease.end_ms} ms before"
        return lease

    def _opener(self, fact: f.TaskOpened) -> Lease | None:
        """Return the lease under which a task is opened: its parent's award, or supervision."""
        if not fact.parent:
            return self.supervisions.get(fact.source)
        parent = self.tasks.get(fact.parent)
        return parent.lease if parent is not None else None

    def _refusal(
        self, record: f.Record, fact: f.SupervisionFact | f.SupervisorFact | f.WorkerFact
    ) -> str:
        """Return why a fact with authority is void all the same, "" if it is not."""
        if isinstance(fact, f.TaskOpened):
            return check_opened(self, fact)
        if isinstance(fact, f.SupervisionFact):
            return ""
        task = self.tasks[fact.task]
        if (task.phase, type(fact)) not in NEXT:
            return f"a task that is {task.phase} takes no {type(fact).__name__}"
        if type(fact) in AUTHORITY_OVER and self.is_running(task):
            return "the task's own lease is running"
        check = CHECKS.get(type(fact))
        return check(self, task, fact) if check is not None else ""

    def merge(self, read: Ledger, workflow: str, works: Callable[[str, int], bool]) -> None:
        """Take over what another ledger, read from the log, knows of a workflow.

        What this node works on is newer here, for it is the single writer of that part: `works`
        tells that of a task and an award. Of everything else the state that has seen the later
        record is kept; where that is the one that was here, it is noted in `unmerged`.
        """
        self.log_time_ms = max(self.log_time_ms, read.log_time_ms)
        end, known = read.ended.get(workflow), self.ended.get(workflow)
        root, opened = self.tasks.get(workflow), read.tasks.get(workflow)
        if known and root is None and (opened is None or opened.offset < known.offset):
            return  # it has ended since it was read
        if end is not None:
            self.ended.setdefault(workflow, end)
            if root is not None:
                self.forget(root)
            return
        self._merge_ends(read, workflow)
        for task in read.open_tasks(workflow):
            if self._is_newer(task, works):
                self.put(task)
                if task.lease is not None:
                    task.lease.seen_ms = read.log_time_ms
            elif task.opened.task in self.tasks:
                self.unmerged.add(task.opened.task)

    def _merge_ends(self, read: Ledger, workflow: str) -> None:
        """End the tasks that the log has ended, so that their parents have the results."""
        for task in self.open_tasks(workflow):
            opened = task.opened
            parent = read.tasks.get(opened.parent)
            step = parent.steps.get(opened.step) if parent is not None else None
            if step is not None and step.result is not None and opened.task in self.tasks:
                close_task(self, task, step.result, step.spent)

    def _is_newer(self, task: TaskState, works: Callable[[str, int], bool]) -> bool:
        """Tell whether a task, as read, shall stand in the place of what is known here."""
        known = self.tasks.get(task.opened.task)
        if known is None:
            parent = self.tasks.get(task.opened.parent)
            step = parent.steps.get(task.opened.step) if parent is not None else None
            return step is None or step.result is None
        lease, later = known.lease, task.lease
        ours = lease is not None and works(task.opened.task, lease.position)
        if ours and lease is not None and later is not None:
            ours = later.position <= lease.position  # else the log says that ours is over
        return not ours and known.last <= task.last
