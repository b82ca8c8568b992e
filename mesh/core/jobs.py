"""The awards that a node holds, and the plumbing between their facts and the log.

A `Job` is one award, from its acceptance until the fact that gives it up has a report. `Jobs`
appends a job's facts, brings each report back, renews the leases of quiet jobs, and lets go of a
job whose authority is lost. What a job does between is `mesh.core.journal`'s (its steps) and
`mesh.core.worker`'s (how it begins and ends).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Protocol, TypedDict

from mesh.core import calls as c
from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.book import NEVER
from mesh.core.budget import ZERO
from mesh.core.desk import Desk
from mesh.core.halts import HaltOrder
from mesh.core.recall import place_of
from mesh.core.tasks import TaskState
from mesh.core.values import (
    Amount,
    Holder,
    Inbox,
    Wait,
)

KEPT: Final = 4_096
"""Awards remembered after their end, to answer an `Adopt` and refuse a repeat."""


class Under(TypedDict):
    """The fields that every fact of a worker begins with."""

    workflow: str
    task: str
    by: Holder
    authority: int


class Supervises(Protocol):
    """What a worker needs of the same node's supervisor; `mesh.core.supervisor` is it."""

    def open_child(self, job: Job, parent: TaskState, call: c.Delegate, grant: Amount) -> None:
        """Have a task opened and awarded; `Worker.child_opened` is told of the first report."""

    def supervises(self, task_id: str) -> bool:
        """Tell whether a task is watched here."""

    def look(self, task_id: str) -> None:
        """Do what is to be done next about a task."""

    def adopt(self, task: TaskState) -> None:
        """Supervise a task that somebody else has opened."""

    def cancel(self, task_id: str, because: str, person: str) -> None:
        """End a supervised task in order."""

    def reviewed(self, task_id: str, award: int, refusal: str) -> None:
        """Accept or refuse a completed result."""

    def given_up(self, task_id: str) -> None:
        """Go on with a task that this node no longer works on, if it supervises it."""

    def look_below(self, task_id: str) -> None:
        """Look at the children of a task whose worker has just given it up, or tried to."""

    def slot_freed(self) -> None:
        """Hear that one more award could be taken."""

    def lost(self, task_id: str) -> None:
        """Go on with a task whose award this node held and lost, if it supervises it."""


class Job:
    """Mutable: one award that this node holds.

    `calls` are those that are not answered yet, by place, each with the name of its entry in the
    journal as its step; `taken` are the entries that answered one (see `mesh.core.recall`). `held`
    are the calls that a halt holds back, `halt` is the order under which the job is suspended.
    """

    __slots__ = (
        "award", "calls", "done", "drained", "gone", "halt", "held", "lease_ms", "parked",
        "promised", "renewed_ms", "restart", "state", "supervisor", "taken", "task", "unsettled",
        "waiting", "why", "workflow",
    )  # fmt: skip

    def __init__(self, workflow: str, task: str, award: int) -> None:
        self.workflow = workflow
        self.task = task
        self.award = award
        self.supervisor: tuple[Holder, Inbox] | None = None
        self.state = "running"
        self.why = ""
        self.calls: dict[str, c.StepCall] = {}
        self.taken: set[str] = set()
        self.held: list[c.Call] = []
        self.halt: HaltOrder | None = None
        self.unsettled = 0
        self.drained = False
        self.gone = False
        self.promised = ZERO
        self.lease_ms = 0
        self.renewed_ms = 0
        self.restart = 0
        self.done: c.HandlerFinished | None = None
        self.waiting: c.Waiting | None = None
        self.parked: Wait | None = None

    def __repr__(self) -> str:
        return f"Job({self.task}@{self.award} {self.state} open={list(self.calls)})"


class Jobs(ABC):
    """Mutable: the jobs of one node."""

    def __init__(
        self, desk: Desk, bidder: m.Bidder, supervisor: Supervises, restarts: frozenset[str]
    ) -> None:
        self.restarts = restarts
        self.desk = desk
        self.bidder = bidder
        self.supervisor = supervisor
        self.jobs: dict[str, Job] = {}
        self.held_slots = 0
        self._seen: dict[tuple[str, int], m.Outcome | None] = {}
        self._resuming: set[tuple[str, int]] = set()
        self._sweep_ms = NEVER

    @property
    def free_slots(self) -> int:
        """Return how many more awards this node takes."""
        taken = len(self.jobs) + self.held_slots
        return 0 if self.desk.draining else self.desk.settings.slots - taken

    def _append(self, job: Job, fact: f.WorkerFact, then: Callable[[Job, f.Record], None]) -> None:
        job.unsettled += 1
        self.desk.append(self._partition(job), fact, self._appended, job, then)

    def _appended(
        self, record: f.Record, void: str, job: Job, then: Callable[[Job, f.Record], None]
    ) -> None:
        job.unsettled -= 1
        if self.jobs.get(job.task) is not job:
            return
        if void:
            self.lose(job)
            return
        job.renewed_ms = self.desk.now_ms
        then(job, record)
        if job.waiting is not None and not job.unsettled:
            waiting, job.waiting = job.waiting, None
            self.waiting(waiting)
        self._settled(job)

    def lose(self, job: Job) -> None:
        """Let go of a job whose authority is gone, without a word."""
        if self.jobs.get(job.task) is job:
            del self.jobs[job.task]
            self._let_go(job)
            self.supervisor.slot_freed()

    def _let_go(self, job: Job) -> None:
        """Stop the handler of a job that is held no more."""
        self.desk.step.handlers.append(c.Stop(job.task, job.award, "lost"))
        self.supervisor.lost(job.task)
        self.desk.release(job.workflow)

    def _has_time(self, job: Job) -> bool:
        ledger = self.desk.ledger(job.workflow)
        lease = self._task(job).lease
        at_ms = ledger.log_time_ms + self.desk.settings.clock_skew_ms
        return lease is not None and lease.held and at_ms <= lease.end_ms

    def _sweep_later(self, lease_ms: int) -> None:
        """Look within a sixth of a lease, unless that is done sooner for a shorter one."""
        at_ms = self.desk.now_ms + lease_ms // 6
        if at_ms < self._sweep_ms:
            self._sweep_ms = at_ms
            self.desk.at(at_ms, self._sweep, at_ms)

    def _sweep(self, at_ms: int) -> None:
        """Renew the leases of the jobs that were quiet for a third of theirs."""
        if at_ms != self._sweep_ms:
            return  # a shorter lease came, and has been looked at
        self._sweep_ms = NEVER
        quiet: dict[int, list[Job]] = {}
        for job in list(self.jobs.values()):
            if self._job(job.task, job.award) is None or job.gone:
                continue
            lease = self._task(job).lease
            if lease is not None and self.desk.now_ms - job.renewed_ms >= lease.lease_ms // 3:
                quiet.setdefault(self._partition(job), []).append(job)
        for partition, jobs in quiet.items():
            for job in jobs:
                job.renewed_ms = self.desk.now_ms
            fact = f.LeaseRenewed(by=self.desk.me, awards=tuple(job.award for job in jobs))
            self.desk.append(partition, fact, self._renewed, jobs)
        if self.jobs:
            self._sweep_later(min(job.lease_ms for job in self.jobs.values()))

    def _renewed(self, record: f.Record, _: str, jobs: list[Job]) -> None:
        for job in jobs:
            if self._job(job.task, job.award) is not job:
                continue
            lease = self._task(job).lease
            if lease is None or lease.end_ms < record.append_ms + self.desk.settings.clock_skew_ms:
                self.lose(job)
            elif job.supervisor is not None:
                progress = m.Progress(
                    workflow=job.workflow,
                    task=job.task,
                    award=job.award,
                    lease_end_ms=lease.end_ms,
                    text="",
                )
                self.desk.send(*job.supervisor, progress)

    def _remember(self, key: tuple[str, int], outcome: m.Outcome | None) -> None:
        self._seen.pop(key, None)
        self._seen[key] = outcome
        if len(self._seen) > KEPT:
            del self._seen[next(iter(self._seen))]

    def _job(self, task_id: str, award: int) -> Job | None:
        job = self.jobs.get(task_id)
        if job is None or job.award != award:
            return None
        if job.task not in self.desk.ledger(job.workflow).tasks:
            if not job.gone:  # else its own last fact may have: the report says
                self.lose(job)  # an ancestor's end, as read from the log, has ended it
            return None
        return job

    def _task(self, job: Job) -> TaskState:
        # a job's task stays in the ledger until the job ends: `settle` ends jobs first
        return self.desk.ledger(job.workflow).tasks[job.task]

    def _partition(self, job: Job) -> int:
        return int(job.workflow.partition("-")[0])

    def _under(self, job: Job) -> Under:
        return {
            "workflow": job.workflow,
            "task": job.task,
            "by": self.desk.me,
            "authority": job.award,
        }

    def _resolve(self, job: Job, step: str, result: c.Result) -> None:
        place = place_of(step)
        job.calls.pop(place, None)
        self.desk.step.handlers.append(c.Resolve(job.task, job.award, place, result))

    def _refuse(self, job: Job, step: str, error: Exception) -> None:
        place = place_of(step)
        job.calls.pop(place, None)
        self.desk.step.handlers.append(c.Refuse(job.task, job.award, place, error))

    def _settled(self, job: Job) -> None:
        """Go on with a job whose facts may all have their reports."""
        self._obey(job)
        self._leave(job)

    @abstractmethod
    def _obey(self, job: Job) -> None:
        """Suspend a job that a halt covers, once nothing of it goes on outside."""

    @abstractmethod
    def waiting(self, waiting: c.Waiting) -> None:
        """Suspend a handler that will wait long."""

    @abstractmethod
    def _leave(self, job: Job) -> None:
        """Append the fact that gives an award up, once everything of its job has settled."""
