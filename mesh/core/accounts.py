"""The fold that makes standing: one audit partition, fact after fact, as the ledger judged them.

**The hard part is to begin again in the middle.** A processor that is killed is followed by one
that folds the partition from an earlier place once more, and what it writes must be what the first
would have written. So each tally carries the offset behind the last fact that changed it, its
version: what stands before that is in it, and is not added twice. Who begins at a place needs the
tallies as they were written last, and no more, if

1. every change by a fact before that place is in what was written (`mesh.processor.standings` sees
   to that before it is noted where to begin), and
2. what a fact adds follows from it and the facts of its workflow behind that place.

For the second, what is remembered between an award and its end (`_Job`) is of open workflows alone,
and is made again from their facts, also from those that are in the tallies. And nothing is added
once a workflow's deadline has passed by `PAST_MS`: a successor may begin behind such a workflow,
and does not know it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from mesh.core import facts as f
from mesh.core.ledger import OF_NO_TASK, Ledger
from mesh.core.shared import Verdict
from mesh.core.standing import UNIT, Standing, Tally, fade
from mesh.core.values import Cause, Mode, Outcome, StepKind, Terms

PAST_MS = 60_000
"""A workflow is not waited for once its deadline has passed so long ago: nothing can be awarded or
done in it any more, so nothing can be found in it, whether somebody ends it or nobody does."""
CONFLICTS = tuple(f"{verdict}:" for verdict in (Verdict.CONFLICT, Verdict.CONTESTED))
"""How the recorded error of a write begins that met another's."""


class _Job:
    """Mutable: an award as it is remembered until it comes to something.

    `since_ms` is when it was given or taken up again, -1 while nobody works on it. `call` is the
    call for bids whose answers are counted. `price` is the bid, -1 without one; `cost` what the
    task had cost before.
    """

    __slots__ = ("agent", "call", "capability", "cost", "own", "price", "since_ms", "spent",
                 "work_ms")  # fmt: skip

    def __init__(self, agent: str, capability: str, *, own: bool) -> None:
        self.agent = agent
        self.capability = capability
        self.own = own
        self.call = -1
        self.price = -1
        self.cost = 0
        self.spent = 0
        self.since_ms = -1
        self.work_ms = 0

    def pause(self, now_ms: int) -> None:
        """Stop the watch."""
        self.work_ms += max(0, now_ms - self.since_ms)
        self.since_ms = -1


class _Workflow:
    """Mutable: the awards of an open workflow."""

    __slots__ = ("deadline_ms", "jobs")

    def __init__(self, deadline_ms: int) -> None:
        self.deadline_ms = deadline_ms
        self.jobs: dict[str, _Job] = {}


class Accounts:
    """Mutable: the tallies of one audit partition.

    Give it every record after the ledger judged it, in the log's order, from the beginning or from
    where the module says.

    Args:
        partition: The audit partition.
        since: The offset of the first fact that is in the tallies.
    """

    def __init__(self, partition: int, since: int = 0) -> None:
        self.partition = partition
        self.since = since
        self._tallies: dict[str, dict[str, Tally]] = {}
        self._workflows: dict[str, _Workflow] = {}
        self._offset = 0
        self._changed: dict[str, bool] = {}
        self._see: dict[type, Callable[..., None]] = {
            f.TaskOpened: self._opened,
            f.TaskAwarded: self._awarded,
            f.AwardDeclined: self._declined,
            f.WorkSuspended: self._paused,
            f.WorkCancelled: self._paused,
            f.WorkFinished: self._finished,
            f.ResultRejected: self._rejected,
            f.TaskCompleted: self._completed,
            f.TaskFailed: self._lapsed,
            f.TaskExpired: self._lapsed,
            f.StepFinished: self._step,
        }

    def __repr__(self) -> str:
        return f"Accounts({self.partition}: {len(self._tallies)} agents)"

    def restore(self, standings: Iterable[Standing]) -> None:
        """Take what was written before; of each agent the latest."""
        for own in standings:
            self._tallies[own.agent] = {tally.capability: tally for tally in own.tallies}
            self.since = max(self.since, own.since)

    @property
    def agents(self) -> Collection[str]:
        """Who has a standing here."""
        return self._tallies.keys()

    def standing(self, agent: str) -> Standing:
        """Return what is known of an agent."""
        tallies = self._tallies.get(agent, {})
        return Standing(
            agent=agent,
            partition=self.partition,
            since=self.since,
            tallies=tuple(tallies[name] for name in sorted(tallies)),
        )

    def see(self, record: f.Record, ledger: Ledger, void: str) -> Collection[str]:
        """Take a record that `ledger` has just judged; return the agents whose figures changed."""
        fact = record.fact
        see = self._see.get(type(fact))
        if void or isinstance(fact, OF_NO_TASK):
            return ()
        if isinstance(fact, f.TaskOpened) and not fact.parent:
            self._workflows[fact.workflow] = _Workflow(fact.deadline_ms)
        self._changed = {}
        known = self._workflows.get(fact.workflow)
        if known is None:
            return ()
        if see is not None and ledger.log_time_ms <= known.deadline_ms + PAST_MS:
            self._offset = record.offset
            see(record, fact, ledger, known.jobs)
        self._tidy(fact, ledger, known)
        return [agent for agent, changed in self._changed.items() if changed]

    def _tidy(
        self, fact: f.SupervisorFact | f.WorkerFact, ledger: Ledger, known: _Workflow
    ) -> None:
        """Forget what ended."""
        members = ledger.members.get(fact.workflow)
        if members is None:
            del self._workflows[fact.workflow]
        elif len(known.jobs) > 2 * len(members) + 1:
            known.jobs = {task: job for task, job in known.jobs.items() if task in members}

    # --- awards ---------------------------------------------------------------------------------

    def _opened(
        self, record: f.Record, fact: f.TaskOpened, ledger: Ledger, jobs: dict[str, _Job]
    ) -> None:
        if fact.award is not None:
            self._award(record, fact, fact.award, ledger, jobs)

    def _awarded(
        self, record: f.Record, fact: f.TaskAwarded, ledger: Ledger, jobs: dict[str, _Job]
    ) -> None:
        self._award(record, fact, fact.award, ledger, jobs)

    def _award(
        self,
        record: f.Record,
        fact: f.TaskOpened | f.TaskAwarded,
        terms: Terms,
        ledger: Ledger,
        jobs: dict[str, _Job],
    ) -> None:
        task = ledger.tasks[fact.task]
        capability, before = task.opened.capability, jobs.get(fact.task)
        if before is not None and terms.cause is Cause.DIED:
            self._bad(before, lapsed=1)
        job = before
        if job is None or job.agent != terms.agent or terms.cause is not Cause.RESUMED:
            own = is_own(terms.agent, fact.by.instance, task.opened.caller)
            job = jobs[fact.task] = _Job(terms.agent, capability, own=own)
            job.call = before.call if before is not None else -1
            if terms.mode is Mode.AUCTION:
                job.cost = ledger.cost(task).micro_usd
                prices = {one.instance: one.price_micro_usd for one in terms.offers}
                job.price = prices.get(terms.worker.instance, -1)
            self._add(job, won=1, own=int(own))
        if terms.call > job.call:
            job.call = terms.call
            for agent in {one.agent for one in terms.offers if not one.declined}:
                self._add(_Job(agent, capability, own=False), offered=1)
        job.since_ms = record.append_ms

    # --- what came of them ----------------------------------------------------------------------

    def _declined(
        self, _: f.Record, fact: f.AwardDeclined, __: Ledger, jobs: dict[str, _Job]
    ) -> None:
        job = jobs[fact.task]
        job.since_ms = -1
        self._add(job, declined=1)

    def _paused(
        self,
        record: f.Record,
        fact: f.WorkSuspended | f.WorkCancelled,
        _: Ledger,
        jobs: dict[str, _Job],
    ) -> None:
        jobs[fact.task].pause(record.append_ms)

    def _finished(
        self, record: f.Record, fact: f.WorkFinished, ledger: Ledger, jobs: dict[str, _Job]
    ) -> None:
        job = jobs[fact.task]
        job.pause(record.append_ms)
        job.spent = max(0, fact.spent.micro_usd - job.cost)
        if fact.outcome is Outcome.FAILED:
            self._bad(job, failed=1)
        elif fact.outcome is Outcome.REJECTED:
            self._add(job, refused=1)
        elif fact.task not in ledger.tasks:  # nobody reviews it: that was its end
            self._good(job)

    def _rejected(
        self, _: f.Record, fact: f.ResultRejected, __: Ledger, jobs: dict[str, _Job]
    ) -> None:
        self._bad(jobs[fact.task], rejected=1)

    def _completed(
        self, _: f.Record, fact: f.TaskCompleted, __: Ledger, jobs: dict[str, _Job]
    ) -> None:
        self._good(jobs[fact.task])

    def _lapsed(
        self,
        _: f.Record,
        fact: f.TaskFailed | f.TaskExpired,
        __: Ledger,
        jobs: dict[str, _Job],
    ) -> None:
        job = jobs.get(fact.task)
        if job is not None and job.since_ms >= 0:
            self._bad(job, lapsed=1)

    def _step(self, _: f.Record, fact: f.StepFinished, __: Ledger, jobs: dict[str, _Job]) -> None:
        if fact.kind is StepKind.WRITE and fact.error.startswith(CONFLICTS):
            self._add(jobs[fact.task], conflicts=1)

    # --- figures --------------------------------------------------------------------------------

    def _good(self, job: _Job) -> None:
        priced = job.price >= 0
        self._add(
            job,
            finished=1,
            work_ms=job.work_ms,
            bid_micro_usd=job.price if priced else 0,
            spent_micro_usd=job.spent if priced else 0,
        )
        self._weigh(job, good=UNIT)

    def _bad(self, job: _Job, **figures: int) -> None:
        self._add(job, **figures)
        self._weigh(job, bad=UNIT)

    def _weigh(self, job: _Job, *, good: int = 0, bad: int = 0) -> None:
        """Add a result to those that are remembered, unless nobody else has seen it."""
        if job.own or not self._changed[job.agent]:
            return
        known = self._tallies[job.agent][job.capability]
        faded = known._replace(good=fade(known.good) + good, bad=fade(known.bad) + bad)
        self._tallies[job.agent][job.capability] = faded

    def _add(self, job: _Job, **figures: int) -> None:
        """Add to the figures of an agent, unless this fact is in them already."""
        tallies = self._tallies.setdefault(job.agent, {})
        known = tallies.get(job.capability) or Tally(job.capability)
        if self._changed.setdefault(job.agent, self._offset >= known.version):
            added = {name: getattr(known, name) + count for name, count in figures.items()}
            tallies[job.capability] = known._replace(version=self._offset + 1, **added)


def is_own(agent: str, supervisor: str, caller: str) -> bool:
    """Tell whether an agent was given a task by itself.

    That is by its own task above, or by one of its instances, whose names begin with the agent's.
    """
    return agent == caller or supervisor == agent or supervisor.startswith(f"{agent}.")
