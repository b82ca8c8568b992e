"""The story of one workflow: a fold of its records into a tree of tasks, awards and steps.

`Chronicle` is fed with all records of the workflow's audit partition, in log order, and lets the
ledger judge them; what counts makes the story, what is void is kept beside it with the reason.
`tell` then returns the story as plain values. The tree comes from recorded parents alone, never
from times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from mesh.core import facts as f
from mesh.core.budget import ZERO, add
from mesh.core.ledger import Ledger
from mesh.core.tasks import Phase, TaskState
from mesh.core.values import (
    Acceptance,
    Amount,
    Body,
    Cause,
    Charter,
    Effect,
    Offer,
    Outcome,
    Status,
    StepKind,
    Terms,
)
from mesh.telling import words

PARENT_ENDED = "its parent ended"
DIED = "its lease ran out"

_ENDS: dict[type, Status] = {
    f.TaskCompleted: Status.COMPLETED,
    f.TaskFailed: Status.FAILED,
    f.TaskRejected: Status.REJECTED,
    f.TaskExpired: Status.EXPIRED,
    f.TaskCancelled: Status.CANCELLED,
}


class Books(NamedTuple):
    """Where a task's budget was when a record was judged: its total is the sum of the others."""

    total: Amount
    spent: Amount
    reserved: Amount
    granted: Amount
    free: Amount


class Entry(NamedTuple):
    """One record of the workflow, with the ledger's verdict: "" if it counts, else why not.

    `books` are those of its task just before it, None where there was no such open task.
    """

    record: f.Record
    void: str
    books: Books | None


class Chronicle:
    """Mutable: what one audit partition says of one workflow, as far as it was read.

    `states` holds the ledger's own view of every task that was opened, also after its end.
    """

    def __init__(self, workflow: str, ledger: Ledger | None = None) -> None:
        self.workflow = workflow
        self.ledger = Ledger() if ledger is None else ledger
        self.entries: list[Entry] = []
        self.states: dict[str, TaskState] = {}

    def __repr__(self) -> str:
        return f"Chronicle({self.workflow}, {len(self.entries)} records, ended={self.ended})"

    def add(self, record: f.Record) -> Entry | None:
        """Judge the partition's next record; return it with its verdict if it is the workflow's."""
        fact = record.fact
        if getattr(fact, "workflow", None) != self.workflow:
            self.ledger.add(record)
            return None
        books = self._books(getattr(fact, "task", ""))
        void = self.ledger.add(record)
        entry = Entry(record, void, books)
        self.entries.append(entry)
        if isinstance(fact, f.TaskOpened) and not void:
            self.states[fact.task] = self.ledger.tasks[fact.task]
        return entry

    def _books(self, task: str) -> Books | None:
        state = self.ledger.tasks.get(task)
        if state is None:
            return None
        purse = state.purse
        return Books(purse.total, purse.spent, purse.reserved, purse.granted, purse.free)

    @property
    def ended(self) -> bool:
        """Tell whether the root task has ended."""
        root = self.states.get(self.workflow)
        return root is not None and root.phase is Phase.ENDED

    def cost(self, task: str) -> Amount:
        """Return what a task and all below it cost so far."""
        state = self.states[task]
        return state.purse.spent if state.phase is Phase.ENDED else self.ledger.cost(state)


@dataclass(frozen=True, kw_only=True, slots=True)
class AwardStory:
    """One award of a task, and what became of it. `ended_ms` is None while it runs."""

    epoch: int
    offset: int
    at_ms: int
    agent: str
    instance: str
    incarnation: int
    cause: Cause
    attempt: int
    reason: str
    mode: str
    why: str
    call: int
    offers: tuple[Offer, ...]
    ended_ms: int | None
    ending: str
    because: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StepStory:
    """One step of a handler. `tries` counts its beginnings, `child` is what it delegated."""

    step: str
    kind: StepKind
    name: str
    offset: int
    began_ms: int
    ended_ms: int | None
    cost: Amount
    text: str
    error: str
    tries: int
    evidence: tuple[str, ...]
    child: TaskStory | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStory:
    """One task: who did it, what it cost with all below it, and what it consisted of.

    `status` is the task's end, or its phase while it is open. `parked` is what a person must look
    at. `result` is the last one that a worker handed in.
    """

    task: str
    capability: str
    parent: str
    offset: int
    status: str
    reason: str
    agent: str
    began_ms: int
    ended_ms: int | None
    grant: Amount
    cost: Amount
    deadline_ms: int
    max_attempts: int
    confidence_permille: int
    sources: tuple[str, ...]
    parked: str
    waiting: tuple[str, ...]
    cancelled_because: str
    result: Body | None
    awards: tuple[AwardStory, ...]
    steps: tuple[StepStory, ...]

    def walk(self) -> Iterator[TaskStory]:
        """Yield this task and all below it, parents first."""
        yield self
        for step in self.steps:
            if step.child is not None:
                yield from step.child.walk()


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """A whole workflow. `now_ms` is log time when it was read; `void` is what did not count."""

    workflow: str
    partition: int
    charter: Charter
    root: TaskStory
    now_ms: int
    records: int
    void: tuple[Entry, ...]

    @property
    def tasks(self) -> tuple[TaskStory, ...]:
        """All tasks, parents first."""
        return tuple(self.root.walk())


def tell(chronicle: Chronicle, partition: int, now_ms: int = 0) -> Story | None:
    """Return the story so far, None while the workflow's root task was not opened.

    `now_ms` is when it is told; what still runs has taken until then.
    """
    if chronicle.workflow not in chronicle.states:
        return None
    told = _Telling(chronicle)
    for entry in chronicle.entries:
        if not entry.void:
            told.see(entry.record)
    root = told.tasks[chronicle.workflow]
    return Story(
        workflow=chronicle.workflow,
        partition=partition,
        charter=root.opened.charter,
        root=told.task(chronicle.workflow),
        now_ms=max(chronicle.ledger.log_time_ms, now_ms),
        records=len(chronicle.entries),
        void=tuple(entry for entry in chronicle.entries if entry.void),
    )


class _Award:
    """Mutable: an award as it goes."""

    def __init__(self, record: f.Record, terms: Terms) -> None:
        self.record = record
        self.terms = terms
        self.ended_ms: int | None = None
        self.ending = "running"
        self.because = ""

    def end(self, at_ms: int, ending: str, because: str = "") -> None:
        if self.ended_ms is None:
            self.ended_ms = at_ms
        self.ending = ending
        self.because = because

    def story(self) -> AwardStory:
        terms = self.terms
        return AwardStory(
            epoch=terms.epoch,
            offset=self.record.offset,
            at_ms=self.record.append_ms,
            agent=terms.agent,
            instance=terms.worker.instance,
            incarnation=terms.worker.incarnation,
            cause=terms.cause,
            attempt=terms.attempt,
            reason=terms.reason,
            mode=terms.mode.value,
            why=terms.why,
            call=terms.call,
            offers=terms.offers,
            ended_ms=self.ended_ms,
            ending=self.ending,
            because=self.because,
        )


class _Step:
    """Mutable: a step as it goes."""

    def __init__(self, record: f.Record, step: str, kind: StepKind, name: str) -> None:
        self.record = record
        self.step = step
        self.kind = kind
        self.name = name
        self.ended_ms: int | None = None
        self.cost = ZERO
        self.text = ""
        self.error = ""
        self.tries = 0
        self.evidence: tuple[str, ...] = ()
        self.child = ""
        self.open: dict[int, Amount] = {}

    def charge(self) -> None:
        """Charge open reservations in full; a spending is thereby finished."""
        for reserved in self.open.values():
            self.cost = add(self.cost, reserved)
        self.open.clear()


class _Task:
    """Mutable: a task as it goes."""

    def __init__(self, record: f.Record, opened: f.TaskOpened) -> None:
        self.record = record
        self.opened = opened
        self.awards: list[_Award] = []
        self.steps: dict[str, _Step] = {}
        self.status: Status | None = None
        self.reason = ""
        self.ended_ms: int | None = None
        self.finished: f.WorkFinished | None = None
        self.cancel = ""

    def end(self, at_ms: int, status: Status, reason: str) -> None:
        if self.status is None:
            self.status, self.reason, self.ended_ms = status, reason, at_ms

    def step(self, record: f.Record, name: str, kind: StepKind, label: str) -> _Step:
        found = self.steps.get(name)
        if found is None:
            found = self.steps[name] = _Step(record, name, kind, label)
        return found


class _Telling:
    """Mutable: the fold of what counted."""

    def __init__(self, chronicle: Chronicle) -> None:
        self.chronicle = chronicle
        self.tasks: dict[str, _Task] = {}
        self._see: dict[type, Callable[[f.Record, _Task, Any], None]] = {
            f.TaskAwarded: self._awarded,
            f.ResultRejected: self._sent_back,
            f.CancelRequested: self._cancel,
            f.AwardDeclined: self._declined,
            f.StepBegun: self._begun,
            f.StepFinished: self._step_finished,
            f.SpendReserved: self._reserved,
            f.SpendSettled: self._settled,
            f.DecisionRecorded: self._decided,
            f.WorkSuspended: self._suspended,
            f.WorkCancelled: self._given_up,
            f.WorkFinished: self._finished,
        }
        for end in _ENDS:
            self._see[end] = self._ended

    def see(self, record: f.Record) -> None:
        fact = record.fact
        if isinstance(fact, f.TaskOpened):
            self._opened(record, fact)
            return
        if isinstance(fact, f.SupervisionFact | f.LeaseRenewed):
            return
        handler = self._see.get(type(fact))
        if handler is not None:
            handler(record, self.tasks[fact.task], fact)

    def _opened(self, record: f.Record, fact: f.TaskOpened) -> None:
        task = self.tasks[fact.task] = _Task(record, fact)
        parent = self.tasks.get(fact.parent)
        if parent is not None:
            step = parent.step(record, fact.step, StepKind.DELEGATE, fact.capability)
            step.child = fact.task
            step.tries = 1
        if fact.award is not None:
            task.awards.append(_Award(record, fact.award))

    def _awarded(self, record: f.Record, task: _Task, fact: f.TaskAwarded) -> None:
        if task.awards and task.awards[-1].ended_ms is None:
            task.awards[-1].end(record.append_ms, "died", DIED)
        for step in task.steps.values():
            step.charge()
        task.awards.append(_Award(record, fact.award))

    def _award_ends(self, record: f.Record, task: _Task, ending: str, because: str) -> None:
        if task.awards:
            task.awards[-1].end(record.append_ms, ending, because)

    def _sent_back(self, record: f.Record, task: _Task, fact: f.ResultRejected) -> None:
        self._award_ends(record, task, "sent back", fact.reason)

    def _cancel(self, _: f.Record, task: _Task, fact: f.CancelRequested) -> None:
        who = f" ({fact.person})" if fact.person else ""
        task.cancel = task.cancel or f"{fact.because}{who}"

    def _declined(self, record: f.Record, task: _Task, fact: f.AwardDeclined) -> None:
        self._award_ends(record, task, "declined", fact.reason)

    def _begun(self, record: f.Record, task: _Task, fact: f.StepBegun) -> None:
        step = task.step(record, fact.step, fact.kind, fact.name)
        step.tries += 1
        if fact.effect is not Effect.PURE and not step.text:
            step.text = fact.effect.value
        if fact.reserve != ZERO:
            step.open[len(step.open)] = fact.reserve

    def _step_finished(self, record: f.Record, task: _Task, fact: f.StepFinished) -> None:
        step = task.step(record, fact.step, fact.kind, fact.name)
        step.open.clear()
        step.cost = add(step.cost, fact.spent)
        step.text = words.state(fact.kind, fact.name, fact.result) or step.text
        step.error = fact.error
        step.ended_ms = record.append_ms

    def _reserved(self, record: f.Record, task: _Task, fact: f.SpendReserved) -> None:
        step = task.step(record, fact.step, StepKind.SPEND, "spend")
        step.text = step.text or fact.because
        step.open[fact.number] = fact.amount
        if step.kind is StepKind.SPEND:
            step.tries += 1

    def _settled(self, record: f.Record, task: _Task, fact: f.SpendSettled) -> None:
        step = task.steps[fact.step]
        step.open.pop(fact.number, None)
        step.cost = add(step.cost, fact.amount)
        step.ended_ms = record.append_ms

    def _decided(self, record: f.Record, task: _Task, fact: f.DecisionRecorded) -> None:
        step = task.step(record, fact.step, StepKind.DECISION, fact.choice)
        step.text = fact.because
        step.evidence = fact.evidence
        step.tries = 1
        step.ended_ms = record.append_ms

    def _leave(self, record: f.Record, task: _Task, ending: str, because: str) -> None:
        for step in task.steps.values():
            step.charge()
        self._award_ends(record, task, ending, because)

    def _suspended(self, record: f.Record, task: _Task, fact: f.WorkSuspended) -> None:
        halted = {
            wait: f"{wait.note} was halted" for wait in fact.waiting_for if wait.kind == "halt"
        }
        notes = [halted.get(wait) or wait.note or wait.kind for wait in fact.waiting_for]
        self._leave(record, task, "suspended", ", ".join(notes))

    def _given_up(self, record: f.Record, task: _Task, fact: f.WorkCancelled) -> None:
        self._leave(record, task, "cancelled", fact.reason)

    def _finished(self, record: f.Record, task: _Task, fact: f.WorkFinished) -> None:
        task.finished = fact
        self._leave(record, task, fact.outcome.value, fact.error)
        automatic = task.opened.acceptance is Acceptance.AUTOMATIC
        if automatic and fact.outcome is Outcome.COMPLETED:
            task.end(record.append_ms, Status.COMPLETED, "")
            self._end_below(record, task)

    def _ended(self, record: f.Record, task: _Task, fact: f.EndFact) -> None:
        reason = "" if isinstance(fact, f.TaskCompleted) else fact.reason
        if isinstance(fact, f.TaskRejected) and fact.field:
            reason = f"{fact.field}: {reason}"
        if task.awards and task.awards[-1].ended_ms is None:
            task.awards[-1].end(record.append_ms, "died", DIED)
        task.end(record.append_ms, _ENDS[type(fact)], reason)
        self._end_below(record, task)

    def _end_below(self, record: f.Record, task: _Task) -> None:
        for step in task.steps.values():
            child = self.tasks.get(step.child)
            if child is not None:
                step.ended_ms = step.ended_ms or child.ended_ms or record.append_ms
                if child.status is None:
                    if child.awards and child.awards[-1].ended_ms is None:
                        child.awards[-1].end(record.append_ms, "died", DIED)
                    child.end(record.append_ms, Status.CANCELLED, PARENT_ENDED)
                    self._end_below(record, child)

    # --- the result -----------------------------------------------------------------------------

    def task(self, name: str) -> TaskStory:
        """Return a task with all below it."""
        task, state = self.tasks[name], self.chronicle.states[name]
        opened, finished = task.opened, task.finished
        waits = state.waiting_for if state.phase is Phase.SUSPENDED else ()
        parked = [wait.note for wait in waits if wait.kind == "person"]
        terms = task.awards[-1].terms if task.awards else None
        return TaskStory(
            task=name,
            capability=opened.capability,
            parent=opened.parent,
            offset=task.record.offset,
            status=(task.status or state.phase).value,
            reason=task.reason,
            agent=terms.agent if terms is not None else "",
            began_ms=task.record.append_ms,
            ended_ms=task.ended_ms,
            grant=opened.grant,
            cost=self.chronicle.cost(name),
            deadline_ms=opened.deadline_ms,
            max_attempts=opened.max_attempts,
            confidence_permille=finished.confidence_permille if finished is not None else 0,
            sources=finished.sources if finished is not None else (),
            parked="; ".join(parked),
            waiting=tuple(wait.kind for wait in waits),
            cancelled_because=task.cancel,
            result=finished.result if finished is not None else None,
            awards=tuple(award.story() for award in task.awards),
            steps=tuple(self._step(step) for step in task.steps.values()),
        )

    def _step(self, step: _Step) -> StepStory:
        child = self.task(step.child) if step.child else None
        cost = step.cost
        for reserved in step.open.values():
            cost = add(cost, reserved)
        return StepStory(
            step=step.step,
            kind=step.kind,
            name=step.name,
            offset=step.record.offset,
            began_ms=step.record.append_ms,
            ended_ms=step.ended_ms if child is None else child.ended_ms,
            cost=cost if child is None else child.cost,
            text=step.text,
            error=step.error,
            tries=step.tries,
            evidence=step.evidence,
            child=child,
        )
