"""What else must hold for a fact with authority to count: one check for each kind.

A check returns "" or why the fact is void. Phases (`tasks.NEXT`) and leases were looked at before.
"""

from __future__ import annotations

from collections.abc import Callable

from mesh.core import facts as f
from mesh.core.book import Book
from mesh.core.budget import HOP, ZERO, add, fits
from mesh.core.ids import child_id
from mesh.core.settings import MAX_ANCESTORS, MAX_STEPS
from mesh.core.tasks import (
    ATTEMPT_CAUSES,
    TaskState,
    attempts_made,
    next_cause,
)
from mesh.core.values import (
    Cause,
    StepKind,
)

BEGINS = frozenset({StepKind.TOOL, StepKind.MODEL, StepKind.SLEEP, StepKind.WRITE})
"""Steps that begin with `StepBegun` and end with `StepFinished`."""
ONLY_ENDS = frozenset({StepKind.ARTIFACT, StepKind.READ})
"""Steps that change nothing outside before their end, and have that alone."""


def check_opened(book: Book, fact: f.TaskOpened) -> str:
    """Return why a task cannot be opened, "" if it can; its parent is open, or it is a root."""
    if fact.task in book.tasks or book.remembers(fact.task):
        return "the task exists already"
    terms = fact.award
    if book.log_time_ms > fact.deadline_ms and (terms is not None or fact.parent):
        return "the deadline has passed"
    if terms is not None and (terms.epoch < 1 or terms.cause is not Cause.FIRST):
        return "a task's first award begins with the first epoch and cause"
    if min(fact.grant) < 0:
        return "a grant is not negative"
    if not fact.parent:
        named = fact.task and fact.task == fact.workflow
        return "" if named else "a root task is named like its workflow"
    return _check_child(book.tasks[fact.parent], fact)


def _check_child(parent: TaskState, fact: f.TaskOpened) -> str:
    if fact.workflow != parent.opened.workflow or fact.source != parent.opened.source:
        return "a child belongs to its parent's workflow"
    if fact.task != child_id(fact.parent, fact.step, fact.input.hash):
        return "the child's id does not follow from parent, step and input"
    if fact.step in parent.steps:
        return "the step has a result or a child already"
    if len(parent.steps) >= MAX_STEPS:
        return f"a task has at most {MAX_STEPS} steps"
    if len(fact.ancestors) > MAX_ANCESTORS:
        return f"a chain is at most {MAX_ANCESTORS} long"
    if fact.deadline_ms > parent.opened.deadline_ms:
        return "a child's deadline is not after its parent's"
    if not fits(add(fact.grant, HOP), parent.purse.free):
        return "the grant is above what is free"
    return ""


def _check_awarded(book: Book, task: TaskState, fact: f.TaskAwarded) -> str:
    terms, cause = fact.award, next_cause(task)
    if book.log_time_ms > task.opened.deadline_ms:
        return "the deadline has passed"
    if terms.epoch <= task.epoch:
        return f"epoch {terms.epoch} is not above {task.epoch}"
    if terms.cause is not cause:
        return f"the log says that the award's cause is {cause}"
    if cause in ATTEMPT_CAUSES:
        if attempts_made(task) >= task.opened.max_attempts:
            return "no attempt is left"
        if task.purse.free.attempts < 1:
            return "the budget has no attempt left"
    return ""


def _check_rejected(_: Book, task: TaskState, fact: f.ResultRejected | f.TaskCompleted) -> str:
    lease = task.lease
    return "" if lease is not None and lease.position == fact.award else "another award is current"


def _check_end(book: Book, task: TaskState, _: f.EndFact) -> str:
    return "a lease below is running" if book.running_below(task) else ""


def _check_expired(book: Book, task: TaskState, fact: f.TaskExpired) -> str:
    if book.log_time_ms <= task.opened.deadline_ms:
        return "the deadline has not passed"
    return _check_end(book, task, fact)


def _check_cancelled(book: Book, task: TaskState, fact: f.TaskCancelled) -> str:
    return "nobody asked for it" if task.cancel is None else _check_end(book, task, fact)


def _check_declined(_: Book, task: TaskState, __: f.AwardDeclined) -> str:
    return "" if task.quiet else "the work has begun"


def _check_begun(_: Book, task: TaskState, fact: f.StepBegun) -> str:
    if fact.kind not in BEGINS:
        return f"a {fact.kind} has no such beginning"
    step = task.steps.get(fact.step)
    if step is None:
        if len(task.steps) >= MAX_STEPS:
            return f"a task has at most {MAX_STEPS} steps"
    elif step.result is not None:
        return "the step is finished"
    elif task.lease is not None and step.award == task.lease.position:
        return "the step was begun under this award"
    elif (step.kind, step.name, step.input_hash) != (fact.kind, fact.name, fact.input_hash):
        return "the journal has another step under this id"
    return "" if fits(fact.reserve, task.purse.free) else "the reservation is above what is free"


def _check_step_finished(_: Book, task: TaskState, fact: f.StepFinished) -> str:
    step = task.steps.get(fact.step)
    if step is None:
        if fact.kind not in ONLY_ENDS:
            return "the step was not begun"
        if len(task.steps) >= MAX_STEPS:
            return f"a task has at most {MAX_STEPS} steps"
        return "" if fact.spent == ZERO else "it was not reserved"
    if step.result is not None:
        return "the step is finished"
    if (step.kind, step.name, step.input_hash) != (fact.kind, fact.name, fact.input_hash):
        return "the journal has another step under this id"
    if fact.kind not in BEGINS:
        return f"a {fact.kind} has no such end"
    reserved = task.reserved.get((fact.step, step.reservations - 1), ZERO)
    return "" if fits(fact.spent, reserved) else "it cost more than was reserved"


def _check_reserved(_: Book, task: TaskState, fact: f.SpendReserved) -> str:
    step = task.steps.get(fact.step)
    if step is None and len(task.steps) >= MAX_STEPS:
        return f"a task has at most {MAX_STEPS} steps"
    if step is not None and step.result is not None and step.kind is StepKind.SPEND:
        return "the step is finished"
    if fact.number != (step.reservations if step is not None else 0):
        return "another number is the step's next reservation"
    return "" if fits(fact.amount, task.purse.free) else "the reservation is above what is free"


def _check_settled(_: Book, task: TaskState, fact: f.SpendSettled) -> str:
    reserved = task.reserved.get((fact.step, fact.number))
    if reserved is None:
        return "no such reservation is open"
    return "" if fits(fact.amount, reserved) else "it cost more than was reserved"


def _check_decision(_: Book, task: TaskState, fact: f.DecisionRecorded) -> str:
    if fact.step in task.steps:
        return "the step is finished"
    return f"a task has at most {MAX_STEPS} steps" if len(task.steps) >= MAX_STEPS else ""


def _check_given_up(book: Book, task: TaskState, fact: f.WorkFinished | f.WorkCancelled) -> str:
    if book.running_below(task):
        return "a lease below is running"
    cost = book.cost(task)
    return "" if fact.spent == cost else f"the log says that it cost {tuple(cost)}"


CHECKS: dict[type, Callable[..., str]] = {
    f.TaskAwarded: _check_awarded,
    f.ResultRejected: _check_rejected,
    f.TaskCompleted: _check_rejected,
    f.TaskFailed: _check_end,
    f.TaskRejected: _check_end,
    f.TaskExpired: _check_expired,
    f.TaskCancelled: _check_cancelled,
    f.AwardDeclined: _check_declined,
    f.StepBegun: _check_begun,
    f.StepFinished: _check_step_finished,
    f.SpendReserved: _check_reserved,
    f.SpendSettled: _check_settled,
    f.DecisionRecorded: _check_decision,
    f.WorkCancelled: _check_given_up,
    f.WorkFinished: _check_given_up,
}
