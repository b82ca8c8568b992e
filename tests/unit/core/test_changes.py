"""What a fact that counts does. Stories of whole logs are in `test_ledger_work.py`."""

from __future__ import annotations

from typing import get_args

import pytest

from mesh.core import facts as f
from mesh.core.budget import ZERO
from mesh.core.changes import CHANGES, END_STATUS, learn_lease
from mesh.core.ledger import Ledger
from mesh.core.tasks import Phase, TaskState
from mesh.core.values import Acceptance, Amount, Cause, Outcome, Status
from tests.simulation.scribe import BOB, LEASE_MS, ROOT, SOURCE, Scribe, body, terms

OVER = LEASE_MS + 1


@pytest.fixture
def log() -> Scribe:
    scribe = Scribe()
    scribe.begin()
    return scribe


def test_every_end_has_a_status() -> None:
    assert set(END_STATUS) == set(get_args(f.EndFact))
    assert set(END_STATUS.values()) == set(Status)


def test_every_supervisors_and_workers_fact_changes_something() -> None:
    assert {*get_args(f.SupervisorFact), *get_args(f.WorkerFact)} <= set(CHANGES)


def test_a_child_leaves_its_parents_budget_and_is_a_step_of_it(log: Scribe) -> None:
    log.open_child("3")
    root = log.task()
    assert root.purse.granted == Amount(100, 100, 10, 5, 2)
    assert list(root.children) == [log.child_name("3")]
    assert root.steps["3"].child == log.child_name("3")


def test_who_was_sent_a_task_knows_it_without_its_parent(log: Scribe) -> None:
    log.open_child(award=terms(BOB))
    alone = Ledger()
    alone.learn(log.records[-1])
    task = alone.tasks[log.child_name()]
    assert (task.phase, task.epoch, task.lease is not None) == (Phase.WORKING, 1, True)


def test_each_award_begins_anew_with_what_is_left(log: Scribe) -> None:
    log.write(log.begun())
    log.write(log.awarded(terms(BOB, 4, Cause.DIED)), after_ms=OVER)
    task = log.task()
    assert (task.epoch, task.attempts, task.quiet) == (4, 1, True)
    assert task.purse.spent == Amount(10, 0, 1, 0, 1), "and costs an attempt"
    assert log.ledger.awards == {log.last: task}


def test_a_failure_a_refusal_and_a_rejection_leave_their_reason(log: Scribe) -> None:
    log.write(log.finished(outcome=Outcome.FAILED, error="boom"))
    assert (log.task().phase, log.task().cause, log.task().reason) == (
        Phase.OPEN, Cause.FAILED, "boom",
    )  # fmt: skip
    assert log.task().attempts == 1


def test_what_a_failed_attempt_left_open_below_is_there_for_the_next(log: Scribe) -> None:
    log.open_child()
    child = log.child_name()
    assert log.write(log.finished(outcome=Outcome.FAILED, error="boom")) == ""
    task = log.task()
    assert list(task.children) == [child]
    assert task.purse.granted == Amount(100, 100, 10, 5, 2), "with what it was granted"
    assert log.write(log.awarded(terms(BOB, 2, Cause.FAILED))) == ""
    given = log.awarded(terms(BOB), child, **log.under())
    assert log.write(given) == "", "whom Bob finds for it"
    assert log.write(log.finished(child)) == ""
    assert task.purse.granted == ZERO


def test_a_refused_result_is_an_attempt() -> None:
    log = Scribe()
    log.begin(acceptance=Acceptance.REVIEWED)
    log.write(log.finished())
    assert log.task().phase is Phase.REVIEW
    log.write(f.ResultRejected(**log.rule(), award=log.award(), reason="too short"))
    assert (log.task().cause, log.task().attempts) == (Cause.REJECTED, 1)


def test_a_decline_leaves_no_trace_but_its_cause(log: Scribe) -> None:
    log.write(f.AwardDeclined(**log.work(), reason="full"))
    task = log.task()
    assert (task.phase, task.cause, task.attempts, task.purse.spent) == (
        Phase.OPEN, Cause.DECLINED, 0, ZERO,
    )  # fmt: skip


def test_the_first_request_to_end_a_task_is_its_reason(log: Scribe) -> None:
    for because in ("first", "second"):
        log.write(f.CancelRequested(**log.rule(), because=because, person=""))
    cancel = log.task().cancel
    assert cancel is not None
    assert cancel.because == "first"


def test_an_end_ends_what_is_below_and_tells_the_parent(log: Scribe) -> None:
    log.open_child("0")
    log.open_child("1")
    failed = f.TaskFailed(**{**log.work(log.child_name("0")), **log.under()}, reason="no")
    assert log.write(failed) == ""
    result = log.task().steps["0"].result
    assert result is not None
    assert (result.status, result.reason) == (Status.FAILED, "no")
    log.write(log.finished())
    assert (log.ledger.tasks, log.ledger.awards) == ({}, {})
    assert log.ledger.ended[ROOT].body == body("result")


def test_a_lease_that_is_learnt_runs_from_its_record_on(log: Scribe) -> None:
    task, record = log.task(), log.records[-1]
    assert task.lease is not None
    task.lease.end_ms = 0
    learn_lease(task, record._replace(offset=99))
    assert task.lease.end_ms == 0, "another award's"
    learn_lease(task, record)
    assert task.lease.end_ms == record.append_ms + LEASE_MS
    learn_lease(TaskState(task.opened, 0, 0), record)


def test_a_release_gives_the_supervision_up(log: Scribe) -> None:
    rule = {"source": SOURCE, "by": log.rule()["by"], "authority": log.supervision}
    assert log.write(f.SupervisionReleased(**rule)) == ""
    assert not log.ledger.supervisions[SOURCE].held
