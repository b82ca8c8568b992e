"""The supervisor's side: every task whose authority this node holds, whoever works on it.

Supervision is level-triggered. Whatever happens to a task, `look` compares what the ledger knows of
it with what ought to be, and does the one next thing; a task that has an append or a read under way
is `busy` and is looked at again when that is answered. So there is one place to read what happens
next, and a lost message or a repeated one makes no difference:

    no longer ours   forget it
    to be ended      (cancelled, expired, out of attempts) first its worker, then all below, then it
    working          wait; when the worker was silent past its lease, read
    suspended        wait for what it waits for, then award it again
    in review        have the parent's handler check the result
    open             award it

Two things must be known before anything is written about a task that somebody else worked on. An
end needs `exact` (what it has cost), an award needs `known` (its journal, too): both come from
reading the log, the first also from the worker's last fact.
"""

from __future__ import annotations

from typing import Final

from mesh.core import calls as c
from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.allocation import Allocation, Choice
from mesh.core.budget import ZERO
from mesh.core.desk import Desk
from mesh.core.halts import WAIT, has_ended
from mesh.core.hearing import NOBODY_MS, Hearing
from mesh.core.ids import audit_partition_of, child_id
from mesh.core.jobs import Job
from mesh.core.ledger import Ledger
from mesh.core.tasks import ATTEMPT_CAUSES, Phase, TaskState, attempts_made, next_cause
from mesh.core.values import Amount, Ancestor, Cause, Holder, Mode, Outcome, Terms, Wait
from mesh.core.watches import FAR, NOT_ASKED, Defect, Watch

NEEDS_JOURNAL: Final = frozenset({Cause.FAILED, Cause.REJECTED, Cause.DIED, Cause.RESUMED})
WHY_TRIED: Final = {
    Cause.FAILED: "its attempt failed",
    Cause.REJECTED: "its result was refused",
    Cause.DIED: "its lease ran out",
}
"""Why another worker is looked for first."""
NEEDS_CHILDREN: Final = frozenset({"task", WAIT})
"""Who waits for these may have children that go on, and are to be supervised."""


class Supervisor(Hearing):
    """Mutable: the watches of one node, and what is done about them."""

    def __init__(self, desk: Desk, bidder: m.Bidder) -> None:
        super().__init__(desk)
        self.allocation = Allocation(desk, bidder, self._allocated)

    def open_child(self, job: Job, parent: TaskState, call: c.Delegate, grant: Amount) -> None:
        """Open a child of this node's own work and, if nobody must be asked, award it at once."""
        above, desk = parent.opened, self.desk
        offered = desk.directory.capability(call.capability)
        settings = desk.settings
        timeout_ms = call.timeout_ms or (offered.timeout_ms if offered else settings.timeout_ms)
        ancestor = Ancestor(job.task, above.capability, desk.card.agent, above.input.hash)
        opened = f.TaskOpened(
            workflow=job.workflow,
            task=child_id(job.task, call.step, call.input.hash),
            by=desk.me,
            authority=job.award,
            source=above.source,
            offset=-1,
            parent=job.task,
            step=call.step,
            capability=call.capability,
            input=call.input,
            charter=above.charter,
            ancestors=(*above.ancestors, ancestor),
            after=call.after,
            grant=grant,
            deadline_ms=min(above.deadline_ms, desk.log_now(job.workflow) + timeout_ms),
            lease_ms=offered.lease_ms if offered else settings.work_lease_ms,
            max_attempts=offered.max_attempts if offered else settings.max_attempts,
            mode=call.mode or (offered.mode if offered else Mode.DIRECT),
            named_agent=call.named_agent,
            acceptance=call.acceptance,
            event_id="",
            reply_topic="",
            correlation_id="",
            traceparent=above.traceparent,
            award=None,
        )
        self.open(opened, job)

    def open(self, opened: f.TaskOpened, job: Job | None, defect: Defect | None = None) -> None:
        """Append a task's first fact, with its award in it where that needs no bids.

        A task with a `defect` is opened to be rejected, so that the log tells of it.
        """
        before = self.watches.get(opened.task)
        if before is not None:
            self._drop(before)  # under an award that was lost it was opened, too: its report is due
        watch = self._watch(opened)
        watch.defect = defect
        served = defect is None and self.desk.log_now(opened.workflow) <= opened.deadline_ms
        served = served and self.desk.halts.covering(opened) is None
        auction = opened.mode is Mode.AUCTION
        if served and not auction:
            choice = self._usable(
                watch, self.allocation.choose(opened, watch.tried, self.worker.free_slots)
            )
            if choice is not None:
                _put_award(opened, self._terms(opened, choice, Cause.FIRST))
        watch.busy = True
        self.desk.append(audit_partition_of(opened.workflow), opened, self._opened, watch, job)
        if served and auction:
            # the call goes out with the opening: an auction costs no round trip more than it must
            task = TaskState(opened, -1, self.desk.now_ms)
            slots = self.worker.free_slots
            watch.calling = self.allocation.call(task, opened.authority, watch.tried, slots)

    def _opened(self, record: f.Record, void: str, watch: Watch, job: Job | None) -> None:
        fact = record.fact
        assert isinstance(fact, f.TaskOpened)
        watch.busy = False
        self._settle_slot(fact.award)
        if job is not None:
            if not self.worker.child_opened(job, fact.grant, void):
                return self._adopt_anew(watch)
        else:
            self.roots.root_opened(fact, void)
            if void:
                return self._drop(watch)
        if watch.unwanted is not None:
            self.cancel(fact.task, *watch.unwanted)
        if watch.calling:
            watch.calling, watch.busy = False, True
            return None
        if fact.award is None:
            return self.look(fact.task)
        self._deliver(watch, record, record)
        end_ms = fact.deadline_ms + self.desk.settings.clock_skew_ms + 1
        due_ms = self.desk.local_time(fact.workflow, end_ms)
        return self._look_at(watch, min(due_ms, watch.silent_ms or due_ms))

    def _adopt_anew(self, watch: Watch) -> None:
        """Leave a child to whoever has the parent now: it may be a later award of this node."""
        self._drop(watch)
        task = self._task(watch.task)
        if task is not None:
            self.adopt(task)

    def _allocated(self, task_id: str, choice: Choice | None) -> None:
        """Write the award that an allocation came to; None: nobody can be had now."""
        watch, task = self.watches[task_id], self._task(task_id)
        watch.busy = False
        stays = task is None or not self._may_write(task) or self._must_end(watch, task)
        if task is None or stays or self._is_halted(watch, task):
            self._after(watch)
            return
        if choice is not None and self._rests(watch, task, choice):
            self._look_at(watch, watch.rests_ms)
            return
        choice = self._usable(watch, choice)
        if choice is None:
            self._look_at(watch, self.desk.now_ms + NOBODY_MS)
            return
        terms = self._terms(task.opened, choice, next_cause(task), task)
        self._append(task, f.TaskAwarded(**self._over(task), award=terms), self._awarded, watch)

    def _rests(self, watch: Watch, task: TaskState, choice: Choice) -> bool:
        """Tell whether nobody is left but who declined, and must not be asked again so soon."""
        again = task.cause is Cause.DECLINED and choice.presence.instance in watch.tried
        return again and watch.rests_ms > self.desk.now_ms

    def look_below(self, task_id: str) -> None:
        """Look at the children of a task whose worker has just given it up, or tried to."""
        task = self._task(task_id)
        for child in list(self.desk.ledger(task_id).children(task)) if task else ():
            self.look(child.opened.task)

    def _terms(
        self, opened: f.TaskOpened, choice: Choice, cause: Cause, task: TaskState | None = None
    ) -> Terms:
        presence = choice.presence
        resume = cause in NEEDS_JOURNAL or (task is not None and _has_journal(task))
        return Terms(
            epoch=task.epoch + 1 if task is not None else 1,
            worker=Holder(presence.instance, presence.incarnation),
            worker_inbox=presence.inbox,
            agent=presence.agent,
            digest=presence.digest(opened.capability),
            lease_ms=opened.lease_ms,
            free=task.purse.free if task is not None else opened.grant,
            resume_from=self.desk.headers[opened.workflow].offset if resume else -1,
            cause=cause,
            attempt=attempts_made(task) + 1 if task is not None else 1,
            reason=task.reason if task is not None else "",
            mode=choice.mode,
            call=choice.call,
            offers=choice.offers,
            why=choice.why,
        )

    def _awarded(self, record: f.Record, void: str, watch: Watch) -> None:
        assert isinstance(record.fact, f.TaskAwarded)
        self._settle_slot(record.fact.award)
        task = self._known(watch)
        if void or task is None:
            self._read(watch)
            return
        if not watch.parent:
            self.roots.root_awarded(watch.workflow)
        opened = f.Record(task.offset, task.opened_ms, 0, task.opened)
        self._deliver(watch, opened, record)
        self.look(watch.task)

    def _deliver(self, watch: Watch, opened: f.Record, awarded: f.Record) -> None:
        """Tell the worker of an award that counts."""
        task = self._known(watch)
        if task is None:
            return  # its supervision was lost in this very moment: whoever takes it again adopts it
        terms = task.terms
        assert terms is not None
        if terms.worker == self.desk.me:
            self.worker.begin(task)
            return
        watch.known = watch.exact = False
        self._leave_below(task)
        watch.silent_ms = self.desk.now_ms + terms.lease_ms + self.desk.settings.clock_skew_ms
        self.desk.send(
            terms.worker,
            terms.worker_inbox,
            m.Award(
                workflow=watch.workflow,
                task=watch.task,
                header=self.desk.headers[watch.workflow],
                caller=task.opened.caller,
                opened=opened,
                awarded=None if awarded is opened else awarded,
            ),
        )

    def _leave_below(self, task: TaskState) -> None:
        """Leave to a worker what is below its task: from here on this node knows less of it."""
        for below in list(self.desk.ledger(task.opened.workflow).descendants(task)):
            watch = self.watches.get(below.opened.task)
            if watch is None:
                continue
            watch.known = watch.exact = False
            if not watch.busy:
                self._drop(watch)

    def look(self, task_id: str) -> None:
        """Do what is to be done next about a task."""
        watch = self.watches.get(task_id)
        if watch is None or watch.busy:
            return
        task = self._task(task_id)
        if task is None:
            self._after(watch)  # it ended, and who worked on it here had let go of it
            return
        if not self._is_ours(task):
            self._drop(watch)
            return
        watch.due_ms = FAR
        if not self._may_write(task):
            # somebody above may hold it still, and give it up without a word to this watch
            self._look_at(watch, self.desk.now_ms + self.desk.settings.repeat_ms)
            return
        if watch.again_ms > self.desk.now_ms:
            self._look_at(watch, watch.again_ms)
            return
        end_ms = task.opened.deadline_ms + self.desk.settings.clock_skew_ms + 1
        expired_ms = self.desk.local_time(watch.workflow, end_ms)
        if expired_ms > self.desk.now_ms:
            self._look_at(watch, expired_ms)
        self._look_by_phase(watch, task)

    def _look_by_phase(self, watch: Watch, task: TaskState) -> None:
        if self._must_end(watch, task):
            self._look_to_end(watch, task)
        elif task.phase is Phase.WORKING:
            self._look_at_work(watch, task)
        elif task.phase is Phase.SUSPENDED:
            self._look_at_suspended(watch, task)
        elif task.phase is Phase.REVIEW:
            self._look_at_result(watch, task)
        else:
            self._look_at_open(watch, task)

    def _must_end(self, watch: Watch, task: TaskState) -> bool:
        limit_ms = task.opened.deadline_ms + self.desk.settings.clock_skew_ms
        expired = self.desk.log_now(watch.workflow) > limit_ms
        asked = bool(watch.failing) or watch.defect is not None or task.cancel is not None
        return asked or expired

    def _look_at_work(self, watch: Watch, task: TaskState) -> None:
        lease = task.lease
        if lease is None or self._own_job(watch) is not None:
            return
        if watch.known:
            self._award_again(watch, task)
        elif watch.silent_ms <= self.desk.now_ms:
            self._read(watch)
        else:
            self._look_at(watch, watch.silent_ms)
            if watch.adopting and task.terms is not None:
                adopt = m.Adopt(workflow=watch.workflow, task=watch.task, award=lease.position)
                self.desk.send(lease.holder, task.terms.worker_inbox, adopt)
                self._look_at(watch, self.desk.now_ms + self.desk.settings.repeat_ms)

    def _look_at_suspended(self, watch: Watch, task: TaskState) -> None:
        if not task.opened.parent:
            self.roots.root_suspended(watch.workflow)
        waits = task.waiting_for
        if any(wait.kind in NEEDS_CHILDREN for wait in waits) and not watch.known:
            self._read(watch)
            return
        if not waits or any(self._is_over(watch, task, wait) for wait in waits):
            self._award_again(watch, task)
            return
        for wait in waits:
            if wait.kind == "sleep":
                self._look_at(watch, self.desk.local_time(watch.workflow, wait.until_ms))
        for child in list(self.desk.ledger(watch.workflow).children(task)):
            if child.opened.task not in self.watches:
                self.adopt(child)
        if not task.opened.parent and all(wait.kind == "sleep" for wait in waits):
            self._tired[watch.task] = None

    def _is_over(self, watch: Watch, task: TaskState, wait: Wait) -> bool:
        """Tell whether what a suspended task waits for has happened."""
        if wait.kind == "person":
            return False  # it may be parked at a step that has its result: its code has changed
        if wait.kind == "sleep":
            return wait.until_ms <= self.desk.log_now(watch.workflow)
        if wait.kind == WAIT:
            return has_ended(wait, self.desk.halts)
        step = task.steps.get(wait.step)
        return (step is not None and step.result is not None) or self._waits_for_check(wait)

    def _waits_for_check(self, wait: Wait) -> bool:
        """Tell whether a child is in review: only the handler that waits for it can check it."""
        child = self._task(wait.task) if wait.kind == "task" else None
        return child is not None and child.phase is Phase.REVIEW

    def _look_at_result(self, watch: Watch, task: TaskState) -> None:
        if not watch.exact:
            self._read(watch)
            return
        job = self.worker.jobs.get(watch.parent)
        asked = (task.lease.position if task.lease is not None else -1, job.award if job else -1)
        if watch.reviewing == asked:
            return
        if self.worker.review(watch.parent, watch.step, task):
            watch.reviewing = asked
        elif job is None:
            self.look(watch.parent)  # it was suspended meanwhile

    def _look_at_open(self, watch: Watch, task: TaskState) -> None:
        finished = task.finished
        if finished is not None and finished.outcome is Outcome.REJECTED:
            watch.defect = Defect(finished.error, finished.field)
            self._look_to_end(watch, task)
        else:
            self._award_again(watch, task)

    def _award_again(self, watch: Watch, task: TaskState) -> None:
        """Award a task that nobody works on any more, unless no attempt is left."""
        cause = next_cause(task)
        if self.desk.log_now(watch.workflow) > task.opened.deadline_ms:
            return  # it would be void; the end is due as soon as no clock can say otherwise
        if not watch.known:
            self._read(watch)
            return
        made = attempts_made(task)
        spent = made >= task.opened.max_attempts or task.purse.free.attempts < 1
        if cause in ATTEMPT_CAUSES and spent:
            what = WHY_TRIED[cause] if cause is Cause.DIED else task.reason
            watch.failing = f"attempt {made} of {task.opened.max_attempts}: {what}"
            self._look_to_end(watch, task)
            return
        if self._is_halted(watch, task):
            return
        if cause in ATTEMPT_CAUSES:
            if watch.paused_ms == 0:
                pause_ms = self.desk.settings.retry_pause_ms << max(0, made - 1)
                watch.paused_ms = self.desk.now_ms + pause_ms
            if watch.paused_ms > self.desk.now_ms:
                self._look_at(watch, watch.paused_ms)
                return
            assert task.terms is not None
            watch.tried[task.terms.worker.instance] = WHY_TRIED[cause]
        watch.paused_ms = 0
        watch.busy = True
        over = self._over(task)["authority"]
        self.allocation.begin(task, over, watch.tried, self.worker.free_slots)

    def _is_halted(self, watch: Watch, task: TaskState) -> bool:
        """Tell whether a halt covers a task that waits for a worker: then others come first."""
        halted = self.desk.halts.covering(task.opened) is not None
        if halted:
            self._wants_no_more(watch)
        return halted

    def lifted(self) -> None:
        """Look at all that a halt may have kept waiting."""
        for task_id in list(self.watches):
            self.look(task_id)

    def _look_to_end(self, watch: Watch, task: TaskState) -> None:
        """Bring a task to its end: first whoever works on it, then all below it, then itself."""
        ledger = self.desk.ledger(watch.workflow)
        because = task.cancel.because if task.cancel is not None else "the deadline has passed"
        own = self._own_job(watch) is not None  # nothing was sent, so nothing had to be read
        if task.phase is Phase.WORKING and (own or not watch.known):
            self._stop_worker(watch, task, because)
            return
        if not watch.exact or (task.children and not watch.fresh):
            self._read(watch)
            return
        running = [child for child in ledger.children(task) if _runs(ledger, child)]
        for child in running:
            self.adopt(child)
            self.cancel(child.opened.task, "what it was for has ended", "")
        if running:
            self._look_at(watch, self.desk.now_ms + self.desk.settings.repeat_ms)
            return
        over = self._over(task)
        fact: f.EndFact
        if task.cancel is not None:
            fact = f.TaskCancelled(**over, reason=because)
        elif watch.defect is not None:
            fact = f.TaskRejected(**over, **watch.defect._asdict())
        elif watch.failing:
            fact = f.TaskFailed(**over, reason=watch.failing)
        else:
            waited = f"nobody took {task.opened.capability} before the deadline"
            fact = f.TaskExpired(**over, reason="the deadline passed" if task.epoch else waited)
        self._append(task, fact, self._end_written, watch)

    def _stop_worker(self, watch: Watch, task: TaskState, because: str) -> None:
        """Ask the worker to stop, again and again; at the latest its lease runs out."""
        job, lease = self._own_job(watch), task.lease
        if job is not None:
            self.worker.cancel_job(job, because)
            return
        if watch.silent_ms <= self.desk.now_ms or lease is None or task.terms is None:
            self._read(watch)
            return
        cancel = m.Cancel(
            workflow=watch.workflow,
            task=watch.task,
            award=lease.position,
            because=because,
            person="",
        )
        self.desk.send(lease.holder, task.terms.worker_inbox, cancel)
        self._look_at(watch, min(watch.silent_ms, self.desk.now_ms + self.desk.settings.repeat_ms))

    def _end_written(self, record: f.Record, void: str, watch: Watch) -> None:
        if void:
            self._read(watch)
        else:
            self._after(watch)

    def adopt(self, task: TaskState, *, read: bool = False) -> None:
        """Supervise a task that somebody else has opened; `read`: the log was read just now."""
        if task.opened.task in self.watches:
            return
        watch = self._watch(task.opened)
        ledger = self.desk.ledger(watch.workflow)
        running = ledger.is_running(task)
        watch.known = watch.exact = read and not running
        watch.adopting = running
        if running and task.lease is not None:
            left_ms = task.lease.end_ms - ledger.log_time_ms
            watch.silent_ms = self.desk.now_ms + left_ms + self.desk.settings.clock_skew_ms
        self.look(watch.task)

    def cancel(self, task_id: str, because: str, person: str) -> None:
        """Ask for a supervised task's end; goes on until it has ended."""
        task, watch = self._task(task_id), self.watches.get(task_id)
        if task is None and watch is not None:
            watch.unwanted = because, person  # its opening is on its way
        if task is None or not self._may_write(task):
            return
        self.adopt(task)
        watch = self.watches.get(task_id)
        if watch is not None and task.cancel is None and not watch.asking:
            watch.asking = True
            fact = f.CancelRequested(**self._over(task), because=because, person=person)
            partition = audit_partition_of(watch.workflow)
            self.desk.append(partition, fact, self._cancel_asked, watch)

    def _cancel_asked(self, _: f.Record, void: str, watch: Watch) -> None:
        watch.asking = False
        if void and not watch.busy:
            self._read(watch)
        else:
            self.look(watch.task)

    def reviewed(self, task_id: str, award: int, refusal: str) -> None:
        """Accept or refuse a completed result, as the parent's check said."""
        task, watch = self._task(task_id), self.watches.get(task_id)
        if watch is None or task is None or task.phase is not Phase.REVIEW:
            return
        if task.lease is None or task.lease.position != award:
            return
        watch.reviewing = NOT_ASKED  # whatever becomes of this answer, it was one
        if watch.busy or not self._may_write(task):
            return
        over = self._over(task)
        if refusal:
            rejected = f.ResultRejected(**over, award=award, reason=refusal)
            self._append(task, rejected, self._end_written, watch)
        else:
            self._append(task, f.TaskCompleted(**over, award=award), self._end_written, watch)

    def lost(self, task_id: str) -> None:
        """Go on with a task whose award this node held and lost, if it supervises it."""
        watch = self.watches.get(task_id)
        if watch is not None:
            watch.known = watch.exact = False
            watch.silent_ms = 0
            self._look_at(watch, self.desk.now_ms)

    def source_lost(self, workflow: str) -> None:
        """Forget all that is supervised of a workflow by the authority over its root."""
        ledger = self.desk.ledger(workflow)
        for task in ledger.open_tasks(workflow):
            watch = self.watches.get(task.opened.task)
            if watch is not None and not self._is_ours(task):
                self._drop(watch)

    def _may_write(self, task: TaskState) -> bool:
        """Tell whether this node holds the authority over a task, and is not giving it up.

        An award above that was somebody's must have been seen to be over in the log; one that is
        on its way there gives the authority away, whether or not its report comes.
        """
        ledger = self.desk.ledger(task.opened.workflow)
        lease = ledger.authority_over(task)
        if lease is None or not lease.held or lease.holder != self.desk.me:
            return False
        above = ledger.tasks.get(task.opened.parent)
        while above is not None:
            if above.lease is lease:
                return self.worker.works(above.opened.task, lease.position)
            watch = self.watches.get(above.opened.task)
            if watch is not None and watch.busy:
                return False
            if above.phase is Phase.WORKING and (watch is None or not watch.known):
                return False
            above = ledger.tasks.get(above.opened.parent)
        return True


def _put_award(opened: f.TaskOpened, terms: Terms) -> None:
    """Complete a fact that nobody else has seen yet; a copy of all its fields costs too much."""
    object.__setattr__(opened, "award", terms)


def _has_journal(task: TaskState) -> bool:
    return bool(task.steps) or task.verdicts > 0 or task.purse.spent != ZERO


def _runs(ledger: Ledger, task: TaskState) -> bool:
    return ledger.is_running(task) or ledger.running_below(task)
