"""What a handler delegates: opened, adopted, checked, withdrawn."""

from __future__ import annotations

from mesh.core import calls as c
from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.ids import child_id
from mesh.core.tasks import Phase
from mesh.core.values import (
    Acceptance,
    Amount,
    Cause,
    Mode,
    Status,
)
from mesh.errors import BudgetExceeded, ScopeError
from tests.unit.core.fleet import (
    BUDGET,
    PART,
    Fleet,
    Peer,
    body,
    boss_and,
    decide,
    delegate,
    offered,
    sleep,
)
from tests.unit.core.test_journal import DIED_MS, boss_task, delegated, handed_on, worked

# --- delegation ---------------------------------------------------------------------------------


def test_a_childs_end_is_the_steps_result() -> None:
    _, boss, ann, child = delegated()
    ann.finish(child)
    result = boss.results(boss_task(boss))["0"]
    assert (result.status, result.body) == (Status.COMPLETED, body("result"))


def test_a_childs_failure_is_the_steps_result_too() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    child = boss.delegate(task, grant=Amount(1, 1, 1, 1, 0))
    ann.finish(child, "boom")
    fleet.wait(1)
    result = boss.results(task)["0"]
    assert (result.status, result.reason) == (Status.FAILED, "attempt 1 of 3: boom")


def test_an_agent_delegates_within_its_scope_only() -> None:
    fleet, boss, task = worked()
    boss.call(task, delegate(capability="risk.screen"))
    (refused,) = boss.heard(c.Refuse)
    assert isinstance(refused.error, ScopeError)
    assert len(fleet.facts(f.TaskOpened)) == 1


def test_a_delegation_hands_down_half_of_what_is_free() -> None:
    fleet, _, _, child = delegated()
    assert fleet.task(child).purse.total == Amount(500, 500, 50, 9, 5)


def test_a_capabilitys_own_budget_is_handed_down_if_half_is_not_less() -> None:
    fleet, (boss,) = boss_and()
    fleet.join("ann", offered(PART, budget=Amount(20, 9_999, 3, 2, 1)))
    child = boss.delegate(boss.submit())
    assert fleet.task(child).purse.total == Amount(20, 500, 3, 2, 1)


def test_a_grant_is_handed_down_as_it_is_named() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    child = boss.delegate(task, grant=Amount(5, 5, 5, 5, 5))
    assert fleet.task(child).purse.total == Amount(5, 5, 5, 5, 5)
    assert ann.works[child].opened.grant == Amount(5, 5, 5, 5, 5)
    assert fleet.task(task).purse.free.hops == BUDGET.hops - 6, "and a hop is paid for it"


def test_a_grant_above_what_is_free_is_refused() -> None:
    fleet, boss, task = worked()
    fleet.hold(f.TaskOpened)
    boss.call(task, delegate("0", grant=Amount(hops=10)))
    boss.call(task, delegate("1", grant=Amount(hops=9)))
    (refused,) = boss.heard(c.Refuse)
    assert isinstance(refused.error, BudgetExceeded)
    assert str(refused.error) == "hops: asked for 10, free is 9"


def test_a_new_worker_finds_the_children_of_the_old_one() -> None:
    fleet, _, ann, task = delegated()
    carl = fleet.join("carl", "demo.sub")
    sub = ann.delegate(task, capability="demo.sub", mode=Mode.NAMED, named_agent="carl")
    assert sub == child_id(task, "0", body("0").hash)
    bob = handed_on(fleet, ann)
    adopts = [one for one in bob.sent(m.Adopt) if one.task == sub]
    assert adopts, "its children are adopted when it begins"
    bob.call(task, delegate(capability="demo.sub", mode=Mode.NAMED, named_agent="carl"))
    assert len(fleet.facts(f.TaskOpened)) == 3, "and no other is opened"
    carl.finish(sub)
    assert bob.results(task)["0"].body == body("result")


def test_a_childs_end_that_comes_before_the_call_waits_in_the_journal() -> None:
    fleet, _, ann, task = delegated()
    carl = fleet.join("carl", "demo.sub")
    sub = ann.delegate(task, capability="demo.sub")
    bob = handed_on(fleet, ann)
    carl.finish(sub)
    assert not bob.results(task)
    bob.call(task, delegate(capability="demo.sub"))
    assert bob.results(task)["0"].body == body("result")


def test_a_withdrawn_delegation_is_cancelled() -> None:
    fleet, boss, ann, child = delegated()
    boss.call(boss_task(boss), c.Withdraw(step="0"))
    assert [one.because for one in ann.sent(m.Cancel)] == []
    (cancel,) = boss.sent(m.Cancel)
    assert cancel.because == "its result is no longer awaited"
    assert fleet.story(child)[-3:] == [
        "CancelRequested boss-1", "WorkCancelled ann-1", "TaskCancelled boss-1",
    ]  # fmt: skip


def test_a_delegation_that_has_ended_cannot_be_withdrawn() -> None:
    fleet, boss, ann, child = delegated()
    ann.finish(child)
    before = fleet.story()
    boss.call(boss_task(boss), c.Withdraw(step="0"))
    boss.call(boss_task(boss), c.Withdraw(step="1"))
    assert fleet.story() == before


def test_a_delegation_is_withdrawn_even_before_it_is_in_the_log() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    fleet.hold(f.TaskOpened)
    child = boss.delegate(task)
    boss.call(task, c.Withdraw(step="0"))
    fleet.let_go()
    assert fleet.story(child)[-1] == "TaskCancelled boss-1"
    assert not ann.node.worker.jobs


# --- review -------------------------------------------------------------------------------------


def reviewed() -> tuple[Fleet, Peer, Peer, str, str]:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    child = boss.delegate(task, acceptance=Acceptance.REVIEWED)
    ann.finish(child)
    return fleet, boss, ann, task, child


def test_a_completed_result_is_checked_by_who_asked_for_it() -> None:
    fleet, boss, _, task, child = reviewed()
    (review,) = boss.heard(c.Review)
    assert (review.step, review.child, review.body) == ("0", child, body("result"))
    assert not boss.results(task)
    boss.give(c.Reviewed(task, review.award, child, review.child_award, ""))
    assert fleet.story(child)[-1] == "TaskCompleted boss-1"
    assert boss.results(task)["0"].body == body("result")


def test_a_refused_result_is_a_failed_attempt_and_its_reason_is_told() -> None:
    fleet, boss, ann, task, child = reviewed()
    (review,) = boss.heard(c.Review)
    boss.give(c.Reviewed(task, review.award, child, review.child_award, "too short"))
    fleet.wait(300)
    work = ann.works[child]
    assert (work.attempt, work.reason) == (2, "too short")
    terms = fleet.facts(f.TaskAwarded)[-1].award
    assert terms.cause is Cause.REJECTED


def test_a_result_is_checked_again_if_the_check_was_lost_with_its_award() -> None:
    fleet, boss, _, task, child = reviewed()
    boss.forfeit(task)
    fleet.wait(DIED_MS)
    assert boss.works[task].epoch == 2
    boss.call(task, delegate(acceptance=Acceptance.REVIEWED))
    first, second = boss.heard(c.Review)
    assert (second.award, second.child_award) == (boss.works[task].award, first.child_award)
    boss.give(c.Reviewed(task, first.award, child, first.child_award, "of a handler that is gone"))
    assert not fleet.facts(f.ResultRejected)
    boss.give(c.Reviewed(task, second.award, child, second.child_award, ""))
    assert boss.results(task)["0"].body == body("result")


def test_a_suspended_handler_is_woken_to_check_a_result() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    child = boss.delegate(task, acceptance=Acceptance.REVIEWED)
    boss.give_up(task)
    assert fleet.task(task).phase is Phase.SUSPENDED
    ann.finish(child)
    assert boss.works[task].epoch == 2
    boss.call(task, delegate(acceptance=Acceptance.REVIEWED))
    assert len(boss.heard(c.Review)) == 1


def test_a_handler_that_is_suspended_while_it_checks_checks_again() -> None:
    fleet, boss, _, task, _ = reviewed()
    boss.give_up(task)
    assert boss.works[task].epoch == 2
    boss.call(task, delegate(acceptance=Acceptance.REVIEWED))
    assert len(boss.heard(c.Review)) == 2
    assert not fleet.void()


def test_a_child_in_review_wakes_its_suspended_parent() -> None:
    """Nobody but the parent's handler can check the result, and it was unwound."""
    fleet, (boss, ann) = boss_and("ann")
    root = boss.submit()
    part = boss.delegate(root, acceptance=Acceptance.REVIEWED)
    fleet.wait(31_000)
    boss.give_up(root)
    assert fleet.facts(f.WorkSuspended)
    ann.finish(part)
    fleet.wait(1_000)
    assert len(boss.heard(c.Start)) == 2
    assert fleet.task(root).epoch == 2


# --- whose report comes too late ----------------------------------------------------------------


def test_a_delegation_whose_report_comes_too_late_starts_nothing() -> None:
    fleet, boss, ann, task = delegated()
    carl = fleet.join("carl", "demo.sub")
    ann.stall()
    ann.call(task, delegate(capability="demo.sub"))
    fleet.wait(11_000)
    ann.flow()
    assert not carl.works
    assert ann.heard(c.Stop)[-1].why == "lost"
    assert fleet.void()
    assert boss.node.supervisor.watches


def test_a_delegation_of_a_worker_that_was_stopped_meanwhile_is_not_told() -> None:
    fleet, _, ann, task = delegated()
    carl = fleet.join("carl", "demo.sub")
    fleet.lose(f.DecisionRecorded, ann)
    ann.call(task, decide("0"))
    ann.call(task, delegate("1", capability="demo.sub"))
    assert fleet.story(task)[-1] == "DecisionRecorded ann-1"
    assert len(fleet.facts(f.TaskOpened)) == 3
    assert not carl.works


def test_a_sleeper_that_lost_its_award_does_not_wake() -> None:
    fleet, boss, task = worked()
    boss.call(task, sleep("0", 1_000))
    boss.forfeit(task)
    fleet.wait(2_000)
    assert not fleet.facts(f.StepFinished)


def test_a_sleeper_that_is_being_unwound_does_not_wake() -> None:
    fleet, boss, task = worked()
    boss.obedient = False
    boss.call(task, sleep("0", 40_000))
    boss.give_up(task)
    fleet.wait(41_000)
    assert not fleet.facts(f.StepFinished)
    boss.stopped(task)
    assert boss.works[task].epoch == 2, "its time has come"
    boss.call(task, sleep("0", 40_000))
    assert "0" in boss.results(task)


def test_a_slept_step_whose_handler_returned_is_not_finished() -> None:
    fleet, boss, task = worked()
    boss.call(task, sleep("0", 1_000))
    boss.finish(task)
    fleet.wait(2_000)
    assert not fleet.facts(f.StepFinished)
