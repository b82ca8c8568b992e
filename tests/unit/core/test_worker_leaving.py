"""How an award ends: suspended, cancelled, finished, or lost on the way there."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.core import calls as c
from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core import messages as m
from mesh.core.tasks import Phase
from mesh.core.values import Amount, Outcome
from tests.unit.core.fleet import (
    PART,
    Fleet,
    Peer,
    body,
    boss_and,
    decide,
    delegate,
    keep,
    sleep,
    spend,
    use,
)
from tests.unit.core.test_worker import DIED_MS, delegated

# --- suspension ---------------------------------------------------------------------------------


def worked(**settings: Any) -> tuple[Fleet, Peer, str]:
    fleet, (boss,) = boss_and(**settings)
    return fleet, boss, boss.submit()


def test_a_long_sleep_gives_the_slot_up_at_once() -> None:
    fleet, boss, task = worked()
    boss.call(task, sleep("0", 60_000))
    boss.waiting(task, "0", since_ms=fleet.now_ms)
    (wait,) = fleet.task(task).waiting_for
    assert (wait.kind, wait.step, wait.until_ms) == ("sleep", "0", fleet.now_ms + 60_000)
    assert boss.node.load == 0
    fleet.wait(61_000)
    work = boss.works[task]
    assert (work.epoch, work.attempt) == (2, 1), "a suspension is no attempt"
    boss.call(task, sleep("0", 60_000))
    assert "0" in boss.results(task)
    boss.finish(task)
    assert not fleet.void()


def test_a_short_sleep_keeps_it() -> None:
    fleet, boss, task = worked()
    boss.call(task, sleep("0", 29_000))
    boss.waiting(task, "0", since_ms=fleet.now_ms)
    assert fleet.task(task).phase is Phase.WORKING


def test_of_many_sleeps_the_shortest_decides() -> None:
    fleet, boss, task = worked()
    boss.call(task, sleep("0", 29_000))
    boss.call(task, sleep("1", 90_000))
    boss.waiting(task, "0", "1", since_ms=fleet.now_ms)
    assert fleet.task(task).phase is Phase.WORKING


def test_a_wait_for_a_child_gives_it_up_after_a_while() -> None:
    fleet, boss, ann, child = delegated()
    (task,) = boss.works
    boss.waiting(task, "0", since_ms=fleet.now_ms)
    assert fleet.task(task).phase is Phase.WORKING
    boss.waiting(task, "0", since_ms=fleet.now_ms - 30_000)
    (wait,) = fleet.task(task).waiting_for
    assert (wait.kind, wait.task) == ("task", child)
    assert ann.node.worker.jobs, "the child goes on"


@pytest.mark.parametrize("call", [use(), spend(), decide(), keep()])
def test_what_is_done_or_on_its_way_is_nothing_to_wait_for(call: c.Call) -> None:
    fleet, boss, task = worked()
    fleet.hold(f.SpendReserved)
    boss.call(task, call)
    boss.waiting(task, "0")
    assert fleet.task(task).phase is Phase.WORKING


def test_who_does_not_wait_on_every_path_is_not_unwound() -> None:
    fleet, boss, task = worked()
    boss.call(task, sleep("0", 60_000))
    boss.call(task, sleep("1", 60_000))
    boss.waiting(task, "0")
    boss.waiting(task)
    assert fleet.task(task).phase is Phase.WORKING


def test_who_waits_for_nothing_is_not_unwound() -> None:
    fleet, boss, task = worked()
    boss.waiting(task)
    assert fleet.task(task).phase is Phase.WORKING


def test_a_handler_that_is_gone_waits_for_nothing() -> None:
    fleet, boss, task = worked()
    before = fleet.story()
    boss.give(c.Waiting(task, 99, ("0",), 0))
    boss.give(c.HandlerStopped(task, 99))
    boss.stopped(task)
    boss.give(c.HandlerFinished(task, 99, Outcome.COMPLETED, body("x"), "", "", 0, ()))
    assert fleet.story() == before


def test_what_was_answered_while_the_handler_was_unwound_is_not_waited_for() -> None:
    fleet, boss, ann, child = delegated()
    (task,) = boss.works
    boss.obedient = False
    boss.give_up(task)
    ann.finish(child)
    boss.stopped(task)
    assert fleet.facts(f.WorkSuspended)[0].waiting_for == ()
    assert boss.works[task].epoch == 2, "so it goes on at once"
    boss.call(task, delegate())
    assert boss.results(task)["0"].body == body("result")


def test_who_drains_gives_everything_up_at_once() -> None:
    fleet, boss, ann, task = delegated()
    bob = fleet.join("bob", PART)
    ann.call(task, sleep("0", 500))
    ann.give(i.Drain())
    assert fleet.facts(f.WorkSuspended)[0].waiting_for == ()
    assert ann.node.idle
    assert bob.works[task].attempt == 1
    assert task in boss.node.supervisor.watches


def test_who_drains_suspends_whoever_begins_to_wait() -> None:
    fleet, boss, task = worked()
    boss.node.desk.draining = True
    boss.call(task, sleep("0", 500))
    boss.waiting(task, "0", since_ms=fleet.now_ms)
    assert fleet.task(task).phase is Phase.SUSPENDED


def test_a_handler_that_finishes_while_it_is_unwound_has_finished() -> None:
    fleet, _, ann, task = delegated()
    ann.obedient = False
    ann.give(i.Drain())
    ann.give(i.Drain())
    ann.finish(task)
    ann.stopped(task)
    ann.finish(task)
    assert fleet.story(task)[-1] == "WorkFinished ann-1"
    assert not fleet.facts(f.WorkSuspended)


# --- cancellation -------------------------------------------------------------------------------


def test_a_cancelled_worker_unwinds_ends_its_children_and_gives_up() -> None:
    fleet, boss, ann, task = delegated()
    carl = fleet.join("carl", "demo.sub")
    sub = ann.delegate(task, capability="demo.sub")
    boss.call(boss_task(boss), c.Withdraw(step="0"))
    assert [one.why for one in ann.heard(c.Stop)] == ["cancelled"]
    assert [one.why for one in carl.heard(c.Stop)] == ["cancelled"]
    assert fleet.story(sub)[-1] == "TaskCancelled ann-1"
    assert fleet.story(task)[-2:] == ["WorkCancelled ann-1", "TaskCancelled boss-1"]
    (given_up,) = [fact for fact in fleet.facts(f.WorkCancelled) if fact.task == task]
    assert given_up.reason == "its result is no longer awaited"
    assert not fleet.void()


def boss_task(boss: Peer) -> str:
    (task,) = boss.works
    return task


def cancellation(task: str, award: int, because: str = "") -> m.Cancel:
    return m.Cancel(workflow=task, task=task, award=award, because=because, person="")


def test_a_cancellation_of_another_award_is_refused() -> None:
    _, boss, ann, task = delegated()
    boss.send(ann, cancellation(task, 99))
    boss.send(ann, cancellation("0-other", 1))
    assert ann.refusals == ["no such award is held here"] * 2
    assert ann.node.worker.jobs


def test_a_cancellation_without_a_reason_is_one() -> None:
    fleet, boss, ann, task = delegated()
    boss.send(ann, cancellation(task, ann.works[task].award))
    assert fleet.facts(f.WorkCancelled)[0].reason == "cancelled"


def test_a_repeated_cancellation_does_nothing_more() -> None:
    fleet, boss, ann, task = delegated()
    ann.obedient = False
    award = ann.works[task].award
    boss.send(ann, cancellation(task, award, "first"))
    boss.send(ann, cancellation(task, award, "second"))
    ann.stopped(task)
    assert fleet.facts(f.WorkCancelled)[0].reason == "first"


def test_a_cancellation_is_stronger_than_a_suspension() -> None:
    fleet, boss, ann, task = delegated()
    ann.obedient = False
    ann.call(task, sleep("0", 60_000))
    ann.waiting(task, "0")
    boss.send(ann, cancellation(task, ann.works[task].award, "enough"))
    ann.stopped(task)
    assert fleet.story(task)[-1].startswith("WorkCancelled") or fleet.facts(f.WorkCancelled)
    assert not fleet.facts(f.WorkSuspended)
    assert [one.why for one in ann.heard(c.Stop)] == ["suspended"], "it is unwound once"


# --- finishing ----------------------------------------------------------------------------------


def test_a_result_ends_the_task_and_is_told_when_it_counts() -> None:
    fleet, boss, ann, task = delegated()
    ann.call(task, spend("0", 30))
    fleet.hold(f.WorkFinished)
    ann.finish(task)
    assert not ann.sent(m.Outcome)
    fleet.let_go()
    (outcome,) = ann.sent(m.Outcome)
    assert isinstance(outcome.record.fact, f.WorkFinished)
    assert outcome.record.fact.spent == Amount(micro_usd=30)
    assert boss.results(boss_task(boss))["0"].body == body("result")


def test_children_end_before_their_parent_says_so() -> None:
    fleet, boss, ann, child = delegated()
    task = boss_task(boss)
    ann.obedient = False
    boss.finish(task)
    assert not fleet.facts(f.WorkFinished)
    ann.stopped(child)
    assert fleet.story()[-3:] == [
        "WorkCancelled ann-1",
        "TaskCancelled boss-1",
        "WorkFinished boss-1",
    ]
    assert not fleet.void()


def test_what_is_on_its_way_is_waited_for() -> None:
    fleet, boss, task = worked()
    fleet.hold(f.DecisionRecorded)
    boss.call(task, decide())
    boss.finish(task)
    assert not fleet.facts(f.WorkFinished)
    fleet.let_go()
    assert fleet.facts(f.WorkFinished)


def test_a_result_whose_report_is_passed_over_is_not_told() -> None:
    fleet, boss, ann, task = delegated()
    other = boss.delegate(boss_task(boss), "1")
    fleet.lose(f.WorkFinished, ann)
    ann.finish(task)
    ann.call(other, decide())
    assert not ann.sent(m.Outcome)
    assert [one.why for one in ann.heard(c.Stop, task)] == ["lost"]
    fleet.wait(DIED_MS)
    assert boss.results(boss_task(boss))["0"].body == body("result"), "it is found by reading"


def test_a_result_that_comes_too_late_is_not_told() -> None:
    fleet, _, ann, task = delegated()
    ann.stall()
    ann.finish(task)
    fleet.wait(11_000)
    ann.flow()
    assert not ann.sent(m.Outcome)
    assert [one.why for one in ann.heard(c.Stop)] == ["lost"]
    assert not ann.node.worker.jobs


def test_a_result_that_comes_too_late_does_not_touch_a_later_award_of_the_same_node() -> None:
    fleet, _, ann, task = delegated()
    ann.stall()
    ann.finish(task)
    fleet.wait(DIED_MS)
    ann.flow()
    assert "void WorkFinished ann-1" in fleet.story(task)
    assert ann.works[task].epoch == 2
    ann.finish(task)
    assert len(ann.sent(m.Outcome)) == 1
    assert fleet.story(task)[-1] == "WorkFinished ann-1"


def miscounted(boss: Peer, task: str, micro_usd: int) -> None:
    """Let what a node knows of a cost be wrong, as it must never be."""
    boss.node.desk.ledger(task).tasks[task].purse.fee(Amount(micro_usd=micro_usd))


def test_a_result_that_the_log_holds_void_is_written_again_after_reading() -> None:
    fleet, boss, task = worked()
    miscounted(boss, task, 1)
    fleet.hold(f.WorkFinished)
    boss.finish(task)
    assert fleet.void() == ["the log says that it cost (0, 0, 0, 0, 0)"]
    miscounted(boss, task, -1)
    fleet.let_go()
    assert [one.kind for one in boss.said(e.Incident)] == ["void"]
    assert len(boss.reads) == 2
    assert fleet.story()[-2:] == ["void WorkFinished boss-1", "WorkFinished boss-1"]
    assert fleet.end(task)


def test_an_award_that_is_lost_while_its_result_is_read_about_is_left_alone() -> None:
    fleet, _, ann, task = delegated()
    miscounted(ann, task, 1)
    fleet.hold(f.WorkFinished)
    ann.finish(task)
    miscounted(ann, task, -1)
    fleet.lose(i.LogRead, ann)
    fleet.let_go()
    (read,) = ann.reads
    ann.stall()
    fleet.wait(11_000)
    ann.flow()
    assert [one.why for one in ann.heard(c.Stop)] == ["lost"]
    before = fleet.story()
    ann.give(ann.answer(read))
    assert fleet.story() == before


def test_a_result_that_the_log_counts_after_all_has_ended_the_task() -> None:
    fleet, boss, task = worked()
    fleet.hold(f.WorkFinished)
    boss.finish(task)
    miscounted(boss, task, 1)
    fleet.let_go()
    assert fleet.end(task)
    fleet.wait(1_000)
    assert not boss.node.worker.jobs
    assert not boss.node.supervisor.watches
    assert len(fleet.facts(f.WorkFinished)) == 1
