"""How a supervised task comes to its end, and who checks its result."""

from __future__ import annotations

from mesh.core import calls as c
from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core import messages as m
from mesh.core.tasks import Phase
from mesh.core.values import Acceptance, Mode, Outcome, Status
from tests.unit.core.fleet import (
    Fleet,
    Peer,
    boss_and,
    decide,
    delegate,
)
from tests.unit.core.test_supervisor import DIED_MS, LEASE_MS, delegated

# --- the end ------------------------------------------------------------------------------------


def cancellation(task: str, person: str = "eve") -> m.Cancel:
    return m.Cancel(workflow=task, task=task, award=-1, because="enough", person=person)


def test_a_person_may_end_a_task() -> None:
    fleet, boss, ann, root, task = delegated()
    ann.send(boss, cancellation(root))
    assert [one.why for one in boss.heard(c.Stop)] == ["cancelled"]
    assert fleet.end(root).status is Status.CANCELLED
    assert fleet.end(root).reason == "enough"
    assert fleet.story(task)[-1] == "TaskCancelled boss-1"
    assert not fleet.void()


def test_a_repeated_request_is_one_fact() -> None:
    fleet, boss, ann, root, _ = delegated()
    boss.obedient = ann.obedient = False
    ann.send(boss, cancellation(root))
    ann.send(boss, cancellation(root))
    assert len([fact for fact in fleet.facts(f.CancelRequested) if fact.task == root]) == 1


def test_two_requests_at_once_are_one_fact() -> None:
    fleet, boss, ann, root, _ = delegated()
    fleet.hold(f.CancelRequested)
    ann.send(boss, cancellation(root))
    ann.send(boss, cancellation(root))
    assert len(fleet.facts(f.CancelRequested)) == 1


def test_a_cancellation_that_is_lost_is_repeated() -> None:
    fleet, boss, ann, _, task = delegated()
    fleet.lose(m.Cancel, ann)
    ann.send(boss, cancellation(task))
    assert ann.node.worker.jobs
    fleet.wait(2_100)
    assert not ann.node.worker.jobs
    assert fleet.story(task)[-1] == "TaskCancelled boss-1"


def test_a_cancelled_worker_that_does_not_answer_runs_out() -> None:
    fleet, boss, ann, root, task = delegated()
    ann.die()
    ann_is_gone = cancellation(task)
    boss.send(boss, ann_is_gone)
    fleet.wait(DIED_MS)
    assert fleet.story(task) == [
        "TaskOpened boss-1",
        "CancelRequested boss-1",
        "TaskCancelled boss-1",
    ]
    assert boss.results(root)["0"].status is Status.CANCELLED


def test_a_cancellation_that_does_not_count_is_read_about() -> None:
    fleet, boss, _, root, task = delegated()
    boss.stall()
    boss.send(boss, cancellation(task))
    fleet.wait(LEASE_MS + 1_000)
    boss.flow()
    assert "void CancelRequested boss-1" in fleet.story(task)
    fleet.wait(DIED_MS)
    assert boss.works[root].epoch == 2


def test_a_cancellation_whose_report_is_passed_over_has_cancelled() -> None:
    fleet, boss, ann, root, task = delegated()
    fleet.lose(f.CancelRequested)
    boss.send(boss, cancellation(task))
    boss.finish(root)
    fleet.wait(DIED_MS)
    assert task not in fleet.logs[0].fold.tasks
    assert not ann.node.worker.jobs


def test_a_task_that_is_nobodys_here_cannot_be_cancelled_here() -> None:
    fleet, _, ann, _, task = delegated()
    ann.send(ann, cancellation(task))
    assert ann.refusals == ["the task is not supervised here"]
    assert not fleet.facts(f.CancelRequested)


def test_a_task_may_be_cancelled_while_it_is_opened() -> None:
    fleet, (boss, _) = boss_and("ann")
    root = boss.submit()
    fleet.hold(f.TaskOpened)
    task = boss.delegate(root)
    boss.send(boss, cancellation(task))
    fleet.let_go()
    assert fleet.story(task)[-2:] == ["WorkCancelled ann-1", "TaskCancelled boss-1"]


def test_a_task_in_auction_may_be_cancelled() -> None:
    fleet, (boss, ann) = boss_and("ann")
    root = boss.submit()
    fleet.hold(m.Bid)
    task = boss.delegate(root, mode=Mode.AUCTION)
    boss.send(boss, cancellation(task))
    fleet.let_go()
    fleet.wait(1_000)
    assert fleet.story(task)[-2:] == ["CancelRequested boss-1", "TaskCancelled boss-1"]
    assert not ann.works


def test_a_task_that_expires_stops_its_worker_and_ends() -> None:
    fleet, (boss, ann) = boss_and("ann")
    root = boss.submit()
    task = boss.delegate(root, timeout_ms=8_000)
    fleet.wait(12_000)
    assert [one.because for one in boss.sent(m.Cancel)] == ["the deadline has passed"]
    assert fleet.story(task)[-1] == "TaskExpired boss-1"
    result = boss.results(root)["0"]
    assert (result.status, result.reason) == (Status.EXPIRED, "the deadline passed")
    assert [one.why for one in ann.heard(c.Stop)] == ["cancelled", "lost"]


def test_an_end_waits_until_nothing_runs_below() -> None:
    fleet, boss, ann, root, task = delegated()
    carl = fleet.join("carl", "demo.sub")
    sub = ann.delegate(task, capability="demo.sub")
    ann.die()
    carl.obedient = False
    boss.send(boss, cancellation(task))
    fleet.wait(DIED_MS)
    assert carl.node.worker.jobs
    assert task in fleet.logs[0].fold.tasks, "its lease is over, but one below it runs"
    carl.stopped(sub)
    fleet.wait(3_000)
    assert boss.results(root)["0"].status is Status.CANCELLED
    assert not fleet.void()


def test_an_end_that_comes_too_late_is_written_again_by_who_may() -> None:
    fleet, boss, ann, root, task = delegated()
    ann.finish(task, "boom", outcome=Outcome.REJECTED)
    assert fleet.story(task)[-1] == "TaskRejected boss-1"
    boss.finish(root)
    assert not fleet.void()


def test_an_end_whose_report_is_passed_over_is_found_by_reading() -> None:
    fleet, boss, ann, root, task = delegated()
    fleet.lose(f.TaskRejected)
    ann.finish(task, "no", outcome=Outcome.REJECTED)
    boss.delegate(root, "1")
    fleet.wait(DIED_MS)
    assert fleet.story(task)[-1] == "TaskRejected boss-1"
    assert not boss.node.supervisor.watches.get(task)


# --- review -------------------------------------------------------------------------------------


def in_review() -> tuple[Fleet, Peer, Peer, str, str, c.Review]:
    fleet, (boss, ann) = boss_and("ann")
    root = boss.submit()
    task = boss.delegate(root, acceptance=Acceptance.REVIEWED)
    ann.finish(task)
    (review,) = boss.heard(c.Review)
    return fleet, boss, ann, root, task, review


def test_a_check_of_another_award_says_nothing() -> None:
    fleet, boss, _, root, task, review = in_review()
    boss.give(c.Reviewed(root, review.award, task, 99, ""))
    boss.give(c.Reviewed(root, review.award, "0-other", 1, ""))
    assert task in fleet.logs[0].fold.tasks
    boss.give(c.Reviewed(root, review.award, task, review.child_award, ""))
    boss.give(c.Reviewed(root, review.award, task, review.child_award, "no"))
    assert not fleet.facts(f.ResultRejected)


def test_a_result_that_nobody_checks_in_time_expires() -> None:
    fleet, (boss, ann) = boss_and("ann")
    root = boss.submit()
    task = boss.delegate(root, acceptance=Acceptance.REVIEWED, timeout_ms=5_000)
    ann.finish(task)
    fleet.wait(6_000)
    assert boss.results(root)["0"].status is Status.EXPIRED


def test_a_check_that_comes_too_late_counts_for_nothing() -> None:
    fleet, boss, _, root, task, review = in_review()
    boss.stall()
    boss.give(c.Reviewed(root, review.award, task, review.child_award, ""))
    fleet.wait(LEASE_MS + 1_000)
    boss.flow()
    assert "void TaskCompleted boss-1" in fleet.story(task)
    fleet.wait(DIED_MS)
    assert boss.works[root].epoch == 2
    boss.call(root, delegate(acceptance=Acceptance.REVIEWED))
    again = boss.heard(c.Review)[-1]
    boss.give(c.Reviewed(root, again.award, task, again.child_award, ""))
    assert boss.results(root)["0"].status is Status.COMPLETED


def test_a_verdict_that_never_reached_the_log_is_asked_for_again() -> None:
    fleet, boss, _, root, task, review = in_review()
    boss.swallow(f.TaskCompleted)
    boss.give(c.Reviewed(root, review.award, task, review.child_award, ""))
    boss.call(root, decide("1"))
    fleet.wait(1_000)
    assert boss.heard(c.Review) == [review, review]
    boss.give(c.Reviewed(root, review.award, task, review.child_award, ""))
    assert boss.results(root)["0"].status is Status.COMPLETED


def test_a_verdict_that_comes_while_the_log_is_read_is_asked_for_again() -> None:
    fleet, boss, _, root, task, review = in_review()
    boss.swallow(f.CancelRequested)
    boss.send(boss, cancellation(task))
    fleet.hold(i.LogRead, boss)
    boss.call(root, decide("1"))
    boss.give(c.Reviewed(root, review.award, task, review.child_award, ""))
    assert not fleet.facts(f.TaskCompleted)
    fleet.let_go()
    assert boss.heard(c.Review) == [review, review]


def test_a_result_is_not_checked_twice_at_a_time() -> None:
    fleet, boss, _, root, task, review = in_review()
    boss.swallow(f.CancelRequested)
    boss.send(boss, cancellation(task))
    boss.call(root, decide("1"))
    assert len(boss.reads) == 2, "it looked again"
    assert boss.heard(c.Review) == [review]
    assert fleet.task(task).phase is Phase.REVIEW
