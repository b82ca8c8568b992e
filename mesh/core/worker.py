"""The worker's side: the awards that this node holds, and the journals of their handlers.

One `Job` for each award, from its acceptance until the fact that gives it up has a report::

    running   the handler runs; its calls become facts, reports become its results
    stopping  the handler is being unwound (suspension, cancellation)
    leaving   the children are ended, then the last fact is appended

A call whose step the journal has is answered from the journal. A step that was begun under an
earlier award and never finished is treated by its own effect class. What must not happen twice and
cannot be asked about parks the task for a person.

The order is always: append the fact, see by its report that it counts, then act. A report that
comes too late ends the job without a word (`lost`): whoever supervises the task finds the lease
over in the log and awards it again.
"""

from __future__ import annotations

from mesh.core import calls as c
from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.desk import UNKNOWN
from mesh.core.halts import HaltOrder, halt_wait
from mesh.core.ids import audit_partition_of
from mesh.core.jobs import Job
from mesh.core.journal import Journal
from mesh.core.negotiation import refuse_call
from mesh.core.settings import MAX_REASON
from mesh.core.tasks import StepState, TaskState
from mesh.core.values import (
    Holder,
    Inbox,
    StepKind,
    Terms,
    Wait,
)
from mesh.errors import IllegalMove


class Worker(Journal):
    """Mutable: jobs, and how they begin and end."""

    def holds(self, task_id: str, award: int) -> bool:
        """Tell whether this node works under an award."""
        job = self.jobs.get(task_id)
        return job is not None and job.award == award

    def works(self, task_id: str, award: int) -> bool:
        """Tell whether an award is held, and the fact that gives it up not on its way."""
        return self.holds(task_id, award) and not self.jobs[task_id].gone

    def bid(self, envelope: m.Envelope, call: m.CallForBids) -> None:
        """Answer a call for bids at once."""
        answer: m.Bid | m.Decline
        desk = self.desk
        reason = self._objection(call.capability, call.caller)
        halt = desk.halts.over(call.workflow, call.capability, call.ancestors, desk.card.agent)
        if halt is not None:
            reason = _told(halt)
        if reason:
            answer = m.Decline(task=call.task, call=call.call, reason=reason)
        else:
            answer = self.bidder(call)
        desk.send(envelope.sender, envelope.sender_inbox, answer)

    def _objection(self, capability: str, caller: str) -> str:
        """Say why this node may not or cannot take work, "" if it may."""
        desk = self.desk
        if desk.card.capability(capability) is None:
            return f"{desk.card.agent} does not offer {capability}"
        if desk.draining:
            return "draining"
        if caller:
            card = desk.directory.card(caller)
            if card is not None:
                return refuse_call(card, capability)
        return ""

    def offered(self, envelope: m.Envelope, award: m.Award) -> None:
        """Take an award from a supervisor, or decline it."""
        desk = self.desk
        position = (award.awarded or award.opened).offset
        terms = _terms_of(award)
        if terms is None or audit_partition_of(award.workflow) not in range(desk.audit_partitions):
            return desk.refuse(envelope, "its parts do not make an award")
        if terms.worker != desk.me:
            return desk.refuse(envelope, "the award is not this incarnation's")
        key = (award.task, position)
        if key in self._seen:
            return desk.refuse(envelope, "the award is known already")
        known = desk.ledger(award.workflow).tasks.get(award.task)
        if known is not None and known.lease is not None and known.lease.position > position:
            return desk.refuse(envelope, "a later award is known")
        self._remember(key, None)
        desk.hold(award.workflow)
        desk.headers.setdefault(award.workflow, award.header)
        supervisor = (envelope.sender, envelope.sender_inbox)
        if terms.resume_from >= 0:
            self._resuming.add(key)
            desk.read(
                award.workflow, self._resumed, award.workflow, award.task, position, supervisor
            )
            return None
        ledger = desk.ledger(award.workflow)
        if known is not None:
            ledger.forget(known)
        ledger.learn(award.opened)
        if award.awarded is not None:
            ledger.learn(award.awarded)
        self._take(ledger.tasks.get(award.task), position, supervisor, award.caller)
        return desk.release(award.workflow)

    def _resumed(
        self, workflow: str, name: str, position: int, supervisor: tuple[Holder, Inbox]
    ) -> None:
        """Go on with an award whose journal was read."""
        self._resuming.discard((name, position))
        task = self.desk.ledger(name).tasks.get(name)
        self._take(task, position, supervisor, "")
        self.desk.release(workflow)

    def _take(
        self,
        task: TaskState | None,
        position: int,
        supervisor: tuple[Holder, Inbox] | None,
        caller: str,
    ) -> None:
        if task is None or task.lease is None or task.lease.position != position:
            return
        opened = task.opened
        job = Job(opened.workflow, opened.task, position)
        job.supervisor = supervisor
        job.renewed_ms = self.desk.now_ms
        reason = self._objection(opened.capability, caller)
        if not reason and self.free_slots < 1 and opened.task not in self.jobs:
            reason = "no slot is free"
        halt = self.desk.halts.covering(opened, self.desk.card.agent)
        if halt is not None:
            reason = _told(halt)
        if reason and task.quiet:
            self.desk.hold(job.workflow)
            fact = f.AwardDeclined(**self._under(job), reason=reason)
            self._append_last(job, fact)
            return
        self.begin(task, job)

    def begin(self, task: TaskState, job: Job | None = None) -> None:
        """Run the handler of an award that counts; without `job` this node is the supervisor."""
        if task.lease is None:
            raise IllegalMove(f"task {task.opened.task} has no award to begin")
        if job is None:
            job = Job(task.opened.workflow, task.opened.task, task.lease.position)
            job.renewed_ms = self.desk.now_ms
        before = self.jobs.get(job.task)
        job.lease_ms = task.opened.lease_ms
        job.restart = max((restart_of(name) for name in task.steps), default=0)
        self.jobs[job.task] = job
        self.desk.hold(job.workflow)
        if before is not None:
            self._let_go(before)  # its slot is this one's
        self._remember((job.task, job.award), None)
        self._start(task, job)
        for child in list(self.desk.ledger(job.workflow).children(task)):
            if self.supervisor.supervises(child.opened.task):
                self.supervisor.look(child.opened.task)  # it may have waited for this very award
            else:
                self.supervisor.adopt(child)
        self._sweep_later(job.lease_ms)

    def waiting(self, waiting: c.Waiting) -> None:
        """Suspend a handler that will wait long."""
        job = self._job(waiting.task, waiting.award)
        if job is None or job.state != "running":
            return
        if job.unsettled:
            job.waiting = waiting  # looked at again when the reports that are due are there
            return
        if set(waiting.steps) != set(job.calls):
            return
        task, desk = self._task(job), self.desk
        waits = self._waits(job, task)
        if not waits or not all(waits):
            return
        now, limit = desk.log_now(job.workflow), desk.settings.suspend_after_ms
        sleeps = [wait.until_ms for wait in waits if wait is not None and wait.kind == "sleep"]
        long_sleep = len(sleeps) == len(waits) and min(sleeps) - now > limit
        if long_sleep or desk.draining or desk.now_ms - waiting.since_ms >= limit:
            self._stop(job, "suspended")

    def _waits(self, job: Job, task: TaskState) -> list[Wait | None]:
        """Return what each open step of a job waits for, None for nothing that lasts."""
        again_ms = self.desk.log_now(job.workflow) + self.desk.settings.suspend_after_ms
        steps = [(call.step, task.steps.get(call.step)) for call in job.calls.values()]
        return [_wait_of(name, step, again_ms) for name, step in steps]

    def cancel(self, envelope: m.Envelope, cancel: m.Cancel) -> None:
        """Obey the supervisor: unwind, end the children, give the award up."""
        job = self.jobs.get(cancel.task)
        if job is None or job.award != cancel.award:
            return self.desk.refuse(envelope, "no such award is held here")
        job.supervisor = (envelope.sender, envelope.sender_inbox)
        return self.cancel_job(job, cancel.because)

    def cancel_job(self, job: Job, because: str) -> None:
        """Unwind a job because its task is cancelled."""
        if job.state == "running" or job.why == "suspended":
            job.why = because or "cancelled"
            if job.state == "running":
                self._stop(job, "cancelled")

    def drain(self) -> None:
        """Suspend every job, so that its supervisor gives it to somebody else at once.

        It waits for nothing: whether all of its paths wait for the steps that are open, or one of
        them was at work between two steps, only its handler knows.
        """
        for job in list(self.jobs.values()):
            if job.state == "running":
                job.drained = True
                self._stop(job, "suspended")

    def halted(self) -> None:
        """Obey the halts that are seen, where that can be done at once."""
        for job in list(self.jobs.values()):
            self._obey(job)

    def lifted(self) -> None:
        """Make the calls that were held back, as far as no other halt covers them."""
        for job in list(self.jobs.values()):
            held, job.held = job.held, []
            for call in held:
                self.called(job.task, job.award, call)

    def _obey(self, job: Job) -> None:
        """Suspend a job that a halt covers, once nothing of it goes on outside.

        What was begun ends first, and is recorded. A handler that is at work between two steps is
        not disturbed: it may have come to its end, and its next call is held back.
        """
        if not self.desk.halts or job.state != "running" or job.unsettled:
            return
        if self._job(job.task, job.award) is None or not (job.held or job.calls):
            return
        halt = self._halt_over(job)
        if halt is not None and all(self._waits(job, self._task(job))):
            job.halt = halt
            self._stop(job, "suspended")

    def _stop(self, job: Job, why: str) -> None:
        job.state = "stopping"
        if why == "suspended":
            job.why = why
        self.desk.step.handlers.append(c.Stop(job.task, job.award, why))

    def stopped(self, stopped: c.HandlerStopped) -> None:
        """Go on when the handler is unwound."""
        job = self._job(stopped.task, stopped.award)
        if job is not None and job.state == "stopping":
            job.state = "leaving"
            self._leave(job)

    def finished(self, finished: c.HandlerFinished) -> None:
        """Take a handler's result; first its children must end."""
        job = self._job(finished.task, finished.award)
        if job is None or job.state == "leaving":
            return
        job.done = finished
        job.state = "leaving"
        job.calls.clear()
        self._leave(job)

    def _leave(self, job: Job) -> None:
        """Append the fact that gives the award up, once everything of this job has settled."""
        if job.state != "leaving" or job.unsettled or self._job(job.task, job.award) is not job:
            return
        task, ledger = self._task(job), self.desk.ledger(job.workflow)
        if job.parked is not None:
            self._suspend(job, (job.parked,))
            return
        if job.done is None and job.why == "suspended":
            if job.halt is not None:
                self._suspend(job, (halt_wait(job.halt),))
                return
            waits = [] if job.drained else self._waits(job, task)
            waiting_for = tuple(wait for wait in waits if wait is not None)
            if len(waiting_for) < len(waits):
                waiting_for = ()
            self._suspend(job, waiting_for)
            return
        children = list(ledger.children(task))
        for child in children:
            self.supervisor.cancel(child.opened.task, "its parent ends", "")
        if children:
            return
        cost, under = ledger.cost(task), self._under(job)
        done = job.done
        if done is None:
            self._append_last(job, f.WorkCancelled(**under, reason=job.why, spent=cost))
            return
        self._append_last(
            job,
            f.WorkFinished(
                **under,
                outcome=done.outcome,
                spent=cost,
                confidence_permille=done.confidence_permille,
                sources=done.sources,
                error=done.error,
                field=done.field,
                result=done.body,
            ),
        )

    def _suspend(self, job: Job, waiting_for: tuple[Wait, ...]) -> None:
        self._append_last(job, f.WorkSuspended(**self._under(job), waiting_for=waiting_for))

    def _park(self, job: Job, step: str, note: str, kind: str) -> None:
        """Give the task up until a person has looked at it; only a cancellation ends that."""
        self.desk.incident(kind, job.workflow, job.task, note)
        job.state = "leaving"
        job.parked = Wait(step, "person", "", 0, note)
        self.desk.step.handlers.append(c.Stop(job.task, job.award, "suspended"))
        self._leave(job)

    def _append_last(self, job: Job, fact: f.WorkerFact) -> None:
        job.state = "leaving"
        job.unsettled += 1
        job.gone = True
        self.desk.append(self._partition(job), fact, self._left, job)

    def _left(self, record: f.Record, void: str, job: Job) -> None:
        """The award is given up: tell the supervisor, unless the fact does not count."""
        job.unsettled -= 1
        job.gone = False
        held = self.jobs.get(job.task) is job
        declined = isinstance(record.fact, f.AwardDeclined)
        if void == UNKNOWN and held:
            self.lose(job)
        elif void and held:
            self._void(job, void)
        elif void:
            if declined:
                self.desk.release(job.workflow)
        elif held or declined:
            outcome = m.Outcome(
                workflow=job.workflow, task=job.task, award=job.award, record=record
            )
            # who supervises its own work was told; a successor reads the log
            asked = job.supervisor is not None or not isinstance(record.fact, f.WorkSuspended)
            self._remember((job.task, job.award), outcome if asked else None)
            if held:
                del self.jobs[job.task]
            if job.supervisor is not None:
                self.desk.send(*job.supervisor, outcome)
            self.supervisor.given_up(job.task)
            self.supervisor.look_below(job.task)
            self.desk.release(job.workflow)
            self.supervisor.slot_freed()

    def _void(self, job: Job, void: str) -> None:
        """A fact does not count: the authority is lost, or the log knows of more than this node."""
        task = self.desk.ledger(job.workflow).tasks.get(job.task)
        lease = task.lease if task is not None else None
        if lease is None or lease.position != job.award or not self._has_time(job):
            self.lose(job)
        else:
            self.supervisor.look_below(job.task)
            self.desk.incident("void", job.workflow, job.task, void)
            self.desk.read(job.workflow, self._leave_again, job)

    def _leave_again(self, job: Job) -> None:
        if self.jobs.get(job.task) is job:
            if self.desk.ledger(job.workflow).tasks.get(job.task) is None:
                self.lose(job)
            else:
                self._leave(job)

    def adopted(self, envelope: m.Envelope, adopt: m.Adopt) -> None:
        """Answer a new supervisor, and tell it from now on."""
        job = self._job(adopt.task, adopt.award)
        key = (adopt.task, adopt.award)
        if job is not None:
            job.supervisor = (envelope.sender, envelope.sender_inbox)
            lease = self._task(job).lease
            content: m.Content = m.Adopted(
                workflow=adopt.workflow,
                task=adopt.task,
                award=adopt.award,
                status="running",
                lease_end_ms=lease.end_ms if lease is not None else 0,
            )
        elif key in self._resuming:
            return
        elif self._seen.get(key) is not None:
            content = self._seen[key] or adopt
        else:
            self._remember(key, None)
            content = m.Adopted(
                workflow=adopt.workflow,
                task=adopt.task,
                award=adopt.award,
                status="unknown",
                lease_end_ms=0,
            )
        self.desk.send(envelope.sender, envelope.sender_inbox, content)


def _terms_of(award: m.Award) -> Terms | None:
    """Return an award's terms, None if its parts do not belong together."""
    opened = award.opened.fact
    fact = opened if award.awarded is None else award.awarded.fact
    if not isinstance(opened, f.TaskOpened) or not isinstance(fact, f.TaskOpened | f.TaskAwarded):
        return None
    named = (award.workflow, award.task)
    fits = named == (opened.workflow, opened.task) == (fact.workflow, fact.task)
    return fact.award if fits else None


def _told(halt: HaltOrder) -> str:
    """Return why work is refused under a halt."""
    return f"{halt.target} is halted by {halt.author}: {halt.because}"[:MAX_REASON]


def restart_of(step: str) -> int:
    """Return the restart that a step's id names, 0 for none."""
    head, slash, _ = step.partition("/")
    return int(head[1:]) if slash and head[:1] == "r" else 0


def _wait_of(name: str, step: StepState | None, again_ms: int) -> Wait | None:
    """Return what an open step waits for, None if it waits for nothing that lasts.

    Whoever judges a write may be away for long: it is proposed again at `again_ms`.
    """
    if step is None or step.result is not None:
        return None
    if step.kind is StepKind.SLEEP:
        return Wait(name, "sleep", "", step.until_ms, "")
    if step.kind is StepKind.DELEGATE:
        return Wait(name, "task", step.child, 0, "")
    if step.kind is StepKind.WRITE:
        return Wait(name, "sleep", "", again_ms, "")
    return None
