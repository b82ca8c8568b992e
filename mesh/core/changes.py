"""What a fact that counts does to the book: one change for each kind."""

from __future__ import annotations

from collections.abc import Callable

from mesh.core import facts as f
from mesh.core.book import Book, End
from mesh.core.budget import ATTEMPT, ZERO
from mesh.core.calls import Result
from mesh.core.tasks import (
    ATTEMPT_CAUSES,
    Lease,
    Phase,
    StepState,
    TaskState,
)
from mesh.core.values import (
    NOTHING,
    Acceptance,
    Amount,
    Cause,
    Outcome,
    Status,
    StepKind,
    Terms,
)

END_STATUS: dict[type, Status] = {
    f.TaskCompleted: Status.COMPLETED,
    f.TaskFailed: Status.FAILED,
    f.TaskRejected: Status.REJECTED,
    f.TaskExpired: Status.EXPIRED,
    f.TaskCancelled: Status.CANCELLED,
}


def _opened(book: Book, record: f.Record, fact: f.TaskOpened) -> None:
    open_task(book, record, fact, book.tasks.get(fact.parent))


def open_task(book: Book, record: f.Record, fact: f.TaskOpened, parent: TaskState | None) -> None:
    """Add a task; without `parent` it stands alone, as for the worker that was sent it."""
    task = TaskState(fact, record.offset, record.append_ms)
    book.add_task(task)
    if parent is not None:
        parent.quiet = False
        parent.purse.grant(fact.grant)
        parent.children[fact.task] = None
        step = StepState(StepKind.DELEGATE, fact.capability, fact.input.hash, record.offset)
        step.child = fact.task
        parent.steps[fact.step] = step
    if fact.award is not None:
        _award(book, record, task, fact.award)


def _award(book: Book, record: f.Record, task: TaskState, terms: Terms) -> None:
    # the cause was judged; who learns of an award has not heard what became of those before it
    if terms.cause is Cause.DIED:
        task.attempts += 1
    if terms.cause in ATTEMPT_CAUSES:
        task.purse.fee(ATTEMPT)
    _charge(task, record)
    if task.lease is not None:
        book.awards.pop(task.lease.position, None)
    task.lease = Lease(
        record.offset,
        terms.worker,
        terms.lease_ms,
        now_ms=book.log_time_ms,
        limit_ms=task.opened.deadline_ms,
    )
    book.awards[record.offset] = task
    task.phase = Phase.WORKING
    task.terms = terms
    task.epoch = terms.epoch
    if task.revision != task.verdicts:
        task.revision, task.revised = task.verdicts, record.offset
    task.quiet = True
    task.finished = None
    task.waiting_for = ()


def learn_lease(task: TaskState, record: f.Record) -> None:
    """Let a lease that was learnt run from its record on, not from when it was heard of."""
    lease = task.lease
    if lease is not None and lease.position == record.offset:
        lease.end_ms = min(record.append_ms + lease.lease_ms, lease.limit_ms)
        lease.seen_ms = record.append_ms


def _charge(task: TaskState, record: f.Record) -> None:
    """Charge open reservations in full; a spending that was not settled is thereby finished."""
    for name, _ in task.reserved:
        step = task.steps[name]
        if step.kind is StepKind.SPEND and step.result is None:
            step.result = Result(record.offset, record.append_ms, Status.COMPLETED, "", NOTHING)
    task.reserved.clear()
    task.purse.charge()


def _awarded(book: Book, record: f.Record, fact: f.TaskAwarded) -> None:
    _award(book, record, book.tasks[fact.task], fact.award)


def _give_up(task: TaskState, phase: Phase, cause: Cause, reason: str = "") -> None:
    assert task.lease is not None
    task.lease.held = False
    task.phase = phase
    task.cause = cause
    task.reason = reason


def _declined(book: Book, _: f.Record, fact: f.AwardDeclined) -> None:
    # the award never was: what caused it still does, and a retry that was declined is one still
    task = book.tasks[fact.task]
    _give_up(task, Phase.OPEN, Cause.DECLINED, task.reason)


def _account(task: TaskState, spent: Amount) -> None:
    """Take over what the worker says that the task cost; a book that saw all knows it already."""
    if not task.children:
        task.purse.close(spent)


def _suspended(book: Book, record: f.Record, fact: f.WorkSuspended) -> None:
    task = book.tasks[fact.task]
    _charge(task, record)
    _give_up(task, Phase.SUSPENDED, Cause.RESUMED, task.reason)
    task.waiting_for = fact.waiting_for


def _work_cancelled(book: Book, record: f.Record, fact: f.WorkCancelled) -> None:
    task = book.tasks[fact.task]
    _charge(task, record)
    _give_up(task, Phase.OPEN, Cause.RESUMED, fact.reason)
    _account(task, fact.spent)


def _finished(book: Book, record: f.Record, fact: f.WorkFinished) -> None:
    task = book.tasks[fact.task]
    _charge(task, record)
    result = Result(record.offset, record.append_ms, Status.COMPLETED, fact.error, fact.result)
    task.finished = fact
    task.finished_at = result
    if fact.outcome is not Outcome.COMPLETED:
        task.attempts += 1
        task.verdicts += 1
        _give_up(task, Phase.OPEN, Cause.FAILED, fact.error)
        _account(task, fact.spent)
    elif task.opened.acceptance is Acceptance.AUTOMATIC:
        close_task(book, task, result, fact.spent)
    else:
        _give_up(task, Phase.REVIEW, Cause.REJECTED)
        _account(task, fact.spent)


def _result_rejected(book: Book, _: f.Record, fact: f.ResultRejected) -> None:
    task = book.tasks[fact.task]
    task.attempts += 1
    task.verdicts += 1
    _give_up(task, Phase.OPEN, Cause.REJECTED, fact.reason)


def _cancel_requested(book: Book, _: f.Record, fact: f.CancelRequested) -> None:
    task = book.tasks[fact.task]
    task.cancel = task.cancel or fact


def _completed(book: Book, record: f.Record, fact: f.TaskCompleted) -> None:
    task = book.tasks[fact.task]
    result = task.finished_at._replace(offset=record.offset, append_ms=record.append_ms)
    close_task(book, task, result, book.cost(task))


def _ended(book: Book, record: f.Record, fact: f.EndFact) -> None:
    task = book.tasks[fact.task]
    reason = "" if isinstance(fact, f.TaskCompleted) else fact.reason
    if isinstance(fact, f.TaskRejected) and fact.field:
        reason = f"{fact.field}: {reason}"  # whoever asked is told where, too
    result = Result(record.offset, record.append_ms, END_STATUS[type(fact)], reason, NOTHING)
    close_task(book, task, result, book.cost(task))


def close_task(book: Book, task: TaskState, result: Result, spent: Amount) -> None:
    """End a task and, as cancelled, what is open below it; its part of the budget returns."""
    for child in list(book.children(task)):
        cancelled = result._replace(
            status=Status.CANCELLED, reason="its parent ended", body=NOTHING
        )
        close_task(book, child, cancelled, book.cost(child))
    task.phase = Phase.ENDED
    task.purse.close(spent)
    book.forget(task)
    opened = task.opened
    parent = book.tasks.get(opened.parent)
    if parent is not None and opened.task in parent.children:
        del parent.children[opened.task]
        parent.purse.take_back(opened.grant, spent)
        parent.steps[opened.step].result = result
        parent.steps[opened.step].spent = spent
    if not opened.parent:
        book.remember(
            opened.task,
            End(
                result.status,
                result.reason,
                result.body,
                result.offset,
                result.append_ms,
                spent,
                book.log_time_ms,
                opened.event_id,
                opened.reply_topic,
                opened.correlation_id,
                opened.source,
                opened.offset,
            ),
        )


def _step(
    task: TaskState, record: f.Record, name: str, signed: tuple[StepKind, str, bytes]
) -> StepState:
    task.quiet = False
    step = task.steps.get(name)
    if step is None:
        step = task.steps[name] = StepState(*signed, record.offset)
    return step


def _begun(book: Book, record: f.Record, fact: f.StepBegun) -> None:
    task = book.tasks[fact.task]
    step = _step(task, record, fact.step, (fact.kind, fact.name, fact.input_hash))
    step.effect = fact.effect
    if step.begun_ms == 0:
        step.until_ms = fact.until_ms
        step.begun_ms = record.append_ms
    step.award = task.lease.position if task.lease is not None else -1
    if fact.reserve != ZERO:
        task.purse.reserve(fact.reserve)
        task.reserved[fact.step, step.reservations] = fact.reserve
        step.reservations += 1


def _step_finished(book: Book, record: f.Record, fact: f.StepFinished) -> None:
    task = book.tasks[fact.task]
    step = _step(task, record, fact.step, (fact.kind, fact.name, fact.input_hash))
    reserved = task.reserved.pop((fact.step, step.reservations - 1), None)
    if reserved is not None:
        task.purse.settle(reserved, fact.spent)
    status = Status.FAILED if fact.error else Status.COMPLETED
    step.result = Result(record.offset, record.append_ms, status, fact.error, fact.result)


def _reserved(book: Book, record: f.Record, fact: f.SpendReserved) -> None:
    task = book.tasks[fact.task]
    step = _step(task, record, fact.step, (StepKind.SPEND, "spend", b""))
    task.purse.reserve(fact.amount)
    task.reserved[fact.step, fact.number] = fact.amount
    step.reservations += 1


def _settled(book: Book, record: f.Record, fact: f.SpendSettled) -> None:
    task = book.tasks[fact.task]
    task.purse.settle(task.reserved.pop((fact.step, fact.number)), fact.amount)
    step = task.steps[fact.step]
    if step.kind is StepKind.SPEND:
        step.result = Result(record.offset, record.append_ms, Status.COMPLETED, "", NOTHING)


def _decided(book: Book, record: f.Record, fact: f.DecisionRecorded) -> None:
    task = book.tasks[fact.task]
    step = _step(task, record, fact.step, (StepKind.DECISION, fact.choice, b""))
    step.result = Result(record.offset, record.append_ms, Status.COMPLETED, "", NOTHING)


def _released(book: Book, _: f.Record, fact: f.SupervisionReleased) -> None:
    book.supervisions[fact.source].held = False


def _nothing(_: Book, __: f.Record, ___: f.Fact) -> None:
    """Extending the lease was all."""


CHANGES: dict[type, Callable[..., None]] = {
    f.SupervisionRenewed: _nothing,
    f.SupervisionReleased: _released,
    f.TaskOpened: _opened,
    f.BidsCalled: _nothing,
    f.TaskAwarded: _awarded,
    f.ResultRejected: _result_rejected,
    f.CancelRequested: _cancel_requested,
    f.TaskCompleted: _completed,
    f.TaskFailed: _ended,
    f.TaskRejected: _ended,
    f.TaskExpired: _ended,
    f.TaskCancelled: _ended,
    f.AwardDeclined: _declined,
    f.StepBegun: _begun,
    f.StepFinished: _step_finished,
    f.SpendReserved: _reserved,
    f.SpendSettled: _settled,
    f.DecisionRecorded: _decided,
    f.WorkSuspended: _suspended,
    f.WorkCancelled: _work_cancelled,
    f.WorkFinished: _finished,
}
