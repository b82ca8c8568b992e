"""The journal of a handler's steps: each call becomes facts, each report a result.

A call whose step the journal has is answered from it. A step that was begun under an earlier award
and never finished is treated by its own effect class; what must not happen twice and cannot be
asked about parks the task for a person. The order is always: append the fact, see by its report
that it counts, then act.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Final

from mesh.core import calls as c
from mesh.core import facts as f
from mesh.core.budget import HOP, ZERO, add, half, lacking, subtract
from mesh.core.halts import HaltOrder
from mesh.core.ids import child_id
from mesh.core.jobs import Job, Jobs, Under
from mesh.core.negotiation import refuse_call
from mesh.core.recall import CALLS_OUT, REPEATABLE, Entry, find, key_of, place_of, signature
from mesh.core.settings import MAX_STEPS
from mesh.core.tasks import StepState, TaskState
from mesh.core.values import (
    NOTHING,
    Amount,
    Body,
    Effect,
    StepKind,
)
from mesh.errors import BudgetExceeded, IllegalMove, JournalMismatch, ScopeError

ASLEEP_MS: Final = 1_000
"""A sleep is looked at so often: its timer does not outlast its job by more."""
ONE_CALL: Final = Amount(tool_calls=1)
"""Each call of a tool or a model is one of `tool_calls`."""


class Journal(Jobs):
    """Mutable: jobs, and what their handlers do."""

    def called(self, task_id: str, award: int, call: c.Call) -> None:
        """Take a call: from the journal if it is there, else by a fact."""
        job = self._job(task_id, award)
        if job is None or job.state != "running":
            return
        task = self._task(job)
        if isinstance(call, c.Withdraw):
            self._withdraw(job, call)
            return
        if call.step in job.calls:
            raise IllegalMove(f"step {call.step} of {task_id} was called twice")
        entry = find(task, call, job.taken, self._effect_of)
        if isinstance(entry, JournalMismatch):
            self._mismatch(job, task, entry)
            return
        step = entry.step
        if (step is None or step.result is None) and self._halt_over(job) is not None:
            self._hold(job, call)
        else:
            self._answer(job, task, call, entry)

    def _answer(self, job: Job, task: TaskState, call: c.StepCall, entry: Entry) -> None:
        """Answer a call from its entry, or make it."""
        place, step = call.step, entry.step
        if entry.name != place:
            call = replace(call, step=entry.name)
        job.taken.add(entry.name)
        job.calls[place] = call
        if step is None and len(task.steps) >= MAX_STEPS:
            self._refuse(job, place, IllegalMove(f"a task has at most {MAX_STEPS} steps"))
        elif step is None:
            self._issue(job, task, call)
        elif step.result is not None:
            self.desk.meter.replayed(task.opened.capability)
            self._resolve(job, place, step.result)
        else:
            self._again(job, task, step, call)

    def _withdraw(self, job: Job, call: c.Withdraw) -> None:
        """Cancel what a delegation asked for; one that is held back is asked for first."""
        if any(own.step == call.step for own in job.held):
            job.held.append(call)
        awaited = job.calls.get(call.step)
        if isinstance(awaited, c.Delegate):
            child = child_id(job.task, awaited.step, awaited.input.hash)
            self.supervisor.cancel(child, "its result is no longer awaited", "")

    def _halt_over(self, job: Job) -> HaltOrder | None:
        """Return the halt that covers a job, None if none does."""
        halts = self.desk.halts
        return halts.covering(self._task(job).opened, self.desk.card.agent) if halts else None

    def _hold(self, job: Job, call: c.StepCall) -> None:
        """Hold a call back under a halt: nothing of it is begun."""
        job.held.append(call)
        self._obey(job)

    def _effect_of(self, capability: str) -> Effect:
        """Return a capability's effect class; of one that nobody offers now, the worst."""
        offered = self.desk.directory.capability(capability)
        return offered.effect if offered is not None else Effect.IRREVERSIBLE

    def _issue(self, job: Job, task: TaskState, call: c.StepCall) -> None:
        """Append the first fact of a step that the journal does not have."""
        match call:
            case c.Delegate():
                self._delegate(job, task, call)
            case c.Spend():
                self._spend(job, task, call)
            case c.Use() if call.kind is StepKind.READ:
                place = place_of(call.step)
                self.desk.step.handlers.append(c.Perform(job.task, job.award, place, ""))
            case c.Use():
                self._use(job, task, call)
            case c.Sleep():
                until_ms = self.desk.log_now(job.workflow) + call.ms
                self._append(job, _begun(self._under(job), call, until_ms=until_ms), self._slept)
            case c.Decide():
                decided = f.DecisionRecorded(
                    **self._under(job),
                    step=call.step,
                    choice=call.choice,
                    because=call.because,
                    evidence=call.evidence,
                )
                self._append(job, decided, self._stepped)
            case _:
                self._append(job, self._finish_step(job, call, NOTHING), self._stepped)

    def _again(self, job: Job, task: TaskState, step: StepState, call: c.StepCall) -> None:
        """Go on with a step that the journal has begun and not finished."""
        match call:
            case c.Sleep():
                self._wake(job.task, job.award, call.step, step)
            case c.Use():
                if step.effect in REPEATABLE:
                    self._use(job, task, call)
                elif call.probe:
                    place, key = place_of(call.step), key_of(task, call.step)
                    self.desk.step.handlers.append(c.Probe(job.task, job.award, place, key))
                else:
                    note = (
                        f"step {call.step} ({call.name}, {step.effect}) was begun and its outcome "
                        "is unknown"
                    )
                    self._park(job, call.step, note, "unknown-outcome")
            case _:  # a delegation: whatever else was begun under an earlier award is finished
                self.supervisor.look(step.child)

    def _delegate(self, job: Job, task: TaskState, call: c.Delegate) -> None:
        reason = refuse_call(self.desk.card, call.capability)
        if reason:
            self._refuse(job, call.step, ScopeError(reason))
            return
        free = subtract(task.purse.free, job.promised)
        grant = call.grant
        if grant is None or min(grant) < 0:
            usual = self._grant(call.capability, free)
            asked = grant if grant is not None else usual
            grant = Amount(*(a if a >= 0 else u for a, u in zip(asked, usual, strict=True)))
        if self._affordable(job, task, call.step, add(grant, HOP)):
            job.unsettled += 1
            self.supervisor.open_child(job, task, call, grant)

    def _grant(self, capability: str, free: Amount) -> Amount:
        """Return what a delegation hands down that says nothing: the default, at most half."""
        most = half(free)
        offered = self.desk.directory.capability(capability)
        if offered is None or offered.budget is None:
            return most
        return Amount(*map(min, offered.budget, most))

    def child_opened(self, job: Job, grant: Amount, void: str) -> bool:
        """Hear the report of a delegation's first fact; tell whether the job goes on."""
        job.unsettled -= 1
        job.promised = subtract(job.promised, add(grant, HOP))
        if self.jobs.get(job.task) is not job:
            return False
        if void:
            self.lose(job)
            return False
        job.renewed_ms = self.desk.now_ms
        self._settled(job)
        return True

    def child_ended(self, task_id: str, step: str) -> bool:
        """Hand a child's end to the step that delegated it; tell whether this node works on it."""
        job = self.jobs.get(task_id)
        if job is None:
            return False
        result = self._task(job).steps[step].result
        if job.state == "running" and place_of(step) in job.calls and result is not None:
            self._resolve(job, step, result)
        self._leave(job)
        return True

    def review(self, task_id: str, step: str, child: TaskState) -> bool:
        """Ask the handler to check a child's result; False while it does not await it."""
        job = self.jobs.get(task_id)
        finished = child.finished
        place = place_of(step)
        if job is None or job.state != "running" or place not in job.calls or finished is None:
            return False
        award = child.lease.position if child.lease is not None else -1
        self.desk.step.handlers.append(
            c.Review(job.task, job.award, place, child.opened.task, award, finished.result)
        )
        return True

    def reviewed(self, reviewed: c.Reviewed) -> None:
        """Pass on what the handler's check said of a child's result."""
        if self._job(reviewed.task, reviewed.award) is not None:
            self.supervisor.reviewed(reviewed.child, reviewed.child_award, reviewed.refusal)

    def _spend(self, job: Job, task: TaskState, call: c.Spend) -> None:
        if not self._affordable(job, task, call.step, call.amount):
            return
        under = self._under(job)
        reserved = f.SpendReserved(
            **under, step=call.step, number=0, amount=call.amount, because=call.because
        )
        settled = f.SpendSettled(**under, step=call.step, number=0, amount=call.amount)
        self._append(job, reserved, self._noted)
        self._append(job, settled, self._stepped)

    def _use(self, job: Job, task: TaskState, call: c.Use) -> None:
        reserve = add(call.reserve, _fee(call))
        if self._affordable(job, task, call.step, reserve):
            self._append(job, _begun(self._under(job), call, reserve=reserve), self._perform)

    def _affordable(self, job: Job, task: TaskState, step: str, amount: Amount) -> bool:
        free = subtract(task.purse.free, job.promised)
        short = lacking(amount, free)
        if short:
            error = BudgetExceeded(short, asked=getattr(amount, short), free=getattr(free, short))
            self._refuse(job, step, error)
            return False
        job.promised = add(job.promised, amount)
        return True

    def _perform(self, job: Job, record: f.Record) -> None:
        fact = record.fact
        assert isinstance(fact, f.StepBegun)
        job.promised = subtract(job.promised, fact.reserve)
        place, key = place_of(fact.step), key_of(self._task(job), fact.step)
        self.desk.step.handlers.append(c.Perform(job.task, job.award, place, key))

    def performed(self, done: c.StepDone) -> None:
        """Record what an effect came to; a job that is being unwound still records it."""
        job = self._job(done.task, done.award)
        call = job.calls.get(done.step) if job is not None else None
        if job is None or not isinstance(call, c.Use) or job.state == "leaving":
            return
        allowed = add(call.reserve, _fee(call))
        asked = add(done.spent, _fee(call))
        spent = Amount(*map(min, asked, allowed))
        fact = f.StepFinished(
            **self._under(job),
            step=call.step,
            kind=call.kind,
            name=call.name,
            input_hash=call.input_hash,
            spent=spent,
            error=done.error,
            result=done.body,
        )
        self._append(job, fact, self._stepped)
        over = subtract(asked, spent)
        if over != ZERO:
            self._overrun(job, call, over)

    def _overrun(self, job: Job, call: c.Use, over: Amount) -> None:
        """Charge what a call cost above its reservation, as far as the budget has it."""
        task = self._task(job)
        free = subtract(task.purse.free, job.promised)
        charged = Amount(*map(min, over, free))
        under, number = self._under(job), task.steps[call.step].reservations
        because = f"{call.name} cost more than was reserved"
        if charged != over:
            text = f"{because}: {tuple(over)} above it, and {tuple(free)} was left"
            self.desk.incident("overrun", job.workflow, job.task, text)
        job.promised = add(job.promised, charged)
        self._append(
            job,
            f.SpendReserved(
                **under, step=call.step, number=number, amount=charged, because=because
            ),
            self._noted,
        )
        self._append(
            job,
            f.SpendSettled(**under, step=call.step, number=number, amount=charged),
            self._nothing_more,
        )

    def probed(self, probed: c.Probed) -> None:
        """Go on after a probe: record what it found, or do the effect now."""
        job = self._job(probed.task, probed.award)
        call = job.calls.get(probed.step) if job is not None else None
        if job is None or job.state != "running" or not isinstance(call, c.Use):
            return
        if probed.body is None and self._halt_over(job) is not None:
            del job.calls[probed.step]
            job.taken.discard(call.step)
            self._hold(job, replace(call, step=probed.step))
        elif probed.body is None:
            self._use(job, self._task(job), call)
        else:
            self._append(job, self._finish_step(job, call, probed.body), self._stepped)

    def _slept(self, job: Job, record: f.Record) -> None:
        assert isinstance(record.fact, f.StepBegun)
        step = self._task(job).steps[record.fact.step]
        self._wake(job.task, job.award, record.fact.step, step)

    def _wake(self, task: str, award: int, name: str, step: StepState) -> None:
        """Finish a sleep when its time has come, else look again then.

        A job that is suspended meanwhile would be outlasted by its timers for hours.
        """
        job, place = self.jobs.get(task), place_of(name)
        if job is None or job.award != award:
            return
        if job.state != "running" or place not in job.calls:
            return
        if self.desk.log_now(job.workflow) < step.until_ms:
            at_ms = self.desk.local_time(job.workflow, step.until_ms)
            at_ms = min(at_ms, self.desk.now_ms + ASLEEP_MS)
            self.desk.at(at_ms, self._wake, task, award, name, step)
            return
        call = job.calls[place]
        assert isinstance(call, c.Sleep)
        self._append(job, self._finish_step(job, call, NOTHING), self._stepped)

    def _noted(self, job: Job, record: f.Record) -> None:
        assert isinstance(record.fact, f.SpendReserved)
        job.promised = subtract(job.promised, record.fact.amount)

    def _stepped(self, job: Job, record: f.Record) -> None:
        """Hand over the result that a fact of this job has just recorded."""
        step = getattr(record.fact, "step", "")
        result = self._task(job).steps[step].result
        if result is not None and place_of(step) in job.calls:
            self._resolve(job, step, result)

    def _nothing_more(self, _: Job, __: f.Record) -> None:
        """The fact was all."""

    def _finish_step(self, job: Job, call: c.Keep | c.Sleep | c.Use, body: Body) -> f.StepFinished:
        kind, name, input_hash = signature(call)
        return f.StepFinished(
            **self._under(job),
            step=call.step,
            kind=kind,
            name=name,
            input_hash=input_hash,
            spent=ZERO,
            error="",
            result=call.result if isinstance(call, c.Keep) else body,
        )

    def _mismatch(self, job: Job, task: TaskState, error: JournalMismatch) -> None:
        """Park the task, or start over where its author allows that."""
        if task.opened.capability not in self.restarts:
            self._park(job, error.step, str(error), "journal-mismatch")
            return
        job.restart += 1
        job.calls.clear()
        job.taken.clear()
        job.held.clear()
        self.desk.incident("journal-restart", job.workflow, job.task, str(error))
        self.desk.step.handlers.append(c.Stop(job.task, job.award, "restarted"))
        self._start(task, job)

    def _start(self, task: TaskState, job: Job) -> None:
        self.desk.step.handlers.append(
            c.Start(
                c.Work(
                    job.workflow,
                    job.task,
                    job.award,
                    task.epoch,
                    task.revision + 1,
                    task.reason,
                    task.opened,
                    task.opened_ms,
                    job.restart,
                )
            )
        )

    @abstractmethod
    def _park(self, job: Job, step: str, note: str, kind: str) -> None:
        """Give the task up until a person has looked at it."""


def _fee(call: c.Use) -> Amount:
    """Return what a call costs beside its price."""
    return ONE_CALL if call.kind in CALLS_OUT else ZERO


def _begun(
    under: Under, call: c.Use | c.Sleep, *, reserve: Amount = ZERO, until_ms: int = 0
) -> f.StepBegun:
    kind, name, input_hash = signature(call)
    return f.StepBegun(
        **under,
        step=call.step,
        kind=kind,
        name=name,
        input_hash=input_hash,
        effect=call.effect if isinstance(call, c.Use) else Effect.PURE,
        reserve=reserve,
        until_ms=until_ms,
    )
