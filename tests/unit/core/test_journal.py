"""A handler's steps: appended, seen to count, then done; and found again by the next worker."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.core import calls as c
from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core import messages as m
from mesh.core.budget import ZERO
from mesh.core.ids import effect_key
from mesh.core.tasks import Phase
from mesh.core.values import (
    Amount,
    Effect,
    Status,
    StepKind,
)
from mesh.errors import BudgetExceeded, IllegalMove, JournalMismatch
from tests.unit.core.fleet import (
    BUDGET,
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
from tests.unit.core.state_calls import read, write

DIED_MS = 18_000
"""Longer than a lease and its margin: the death of a worker is known, and its task given on."""


def worked() -> tuple[Fleet, Peer, str]:
    """Return a worker of its own root task."""
    fleet, (boss,) = boss_and()
    return fleet, boss, boss.submit()


def delegated(**settings: Any) -> tuple[Fleet, Peer, Peer, str]:
    """Return a boss, and Ann who works on the part that it delegated."""
    fleet, (boss, ann) = boss_and("ann", **settings)
    return fleet, boss, ann, boss.delegate(boss.submit())


def handed_on(fleet: Fleet, dead: Peer, **other: Any) -> Peer:
    """Let a worker die, and return the one that takes its place."""
    bob = fleet.join("bob", PART, **other)
    dead.die()
    fleet.wait(DIED_MS)
    return bob


# --- shared state ---------------------------------------------------------------------------------


def test_a_read_is_done_at_once_and_is_one_fact() -> None:
    fleet, boss, task = worked()
    boss.call(task, read())
    assert boss.heard(c.Perform) == [c.Perform(task, boss.works[task].award, "0", "")]
    assert not fleet.facts(f.StepBegun)
    boss.done(task, "0", body=body("found"))
    (finished,) = fleet.facts(f.StepFinished)
    assert (finished.kind, finished.spent, finished.result) == (StepKind.READ, ZERO, body("found"))
    assert boss.heard(c.Resolve)[0].result.body == body("found")
    assert fleet.void() == []


def test_a_read_is_answered_from_the_journal() -> None:
    fleet, _, ann, task = delegated()
    ann.call(task, read())
    ann.done(task, "0", body=body("found"))
    bob = handed_on(fleet, ann)
    bob.call(task, read())
    assert not bob.heard(c.Perform)
    assert bob.heard(c.Resolve)[0].result.body == body("found")


def test_a_read_that_nobody_answered_is_done_by_the_next_worker() -> None:
    fleet, _, ann, task = delegated()
    ann.call(task, read())
    bob = handed_on(fleet, ann)
    bob.call(task, read())
    assert len(bob.heard(c.Perform)) == 1


def test_a_write_begins_in_the_log_and_is_no_call_of_a_tool() -> None:
    fleet, boss, task = worked()
    fleet.hold(f.StepBegun)
    boss.call(task, write())
    assert not boss.heard(c.Perform)
    fleet.let_go()
    (perform,) = boss.heard(c.Perform)
    assert perform.key == effect_key(task, "0", "a/b")
    (begun,) = fleet.facts(f.StepBegun)
    assert (begun.kind, begun.effect, begun.reserve) == (StepKind.WRITE, Effect.KEYED, ZERO)
    boss.done(task, "0", body=body("accepted"))
    assert fleet.facts(f.StepFinished)[0].spent == ZERO
    assert fleet.task(task).purse.spent.tool_calls == 0
    assert fleet.void() == []


def test_a_write_whose_worker_died_is_proposed_again_under_its_key() -> None:
    fleet, _, ann, task = delegated()
    ann.call(task, write())
    bob = handed_on(fleet, ann)
    bob.call(task, write())
    assert [one.key for one in bob.heard(c.Perform)] == [one.key for one in ann.heard(c.Perform)]
    bob.done(task, "0", body=body("accepted"))
    assert bob.heard(c.Resolve)[0].result.body == body("accepted")
    assert fleet.void() == []


def test_who_waits_long_for_a_verdict_is_suspended_and_asks_again_later() -> None:
    fleet, _, ann, task = delegated(suspend_after_ms=3_000)
    ann.call(task, write())
    since_ms = fleet.now_ms
    fleet.wait(1_000)
    ann.waiting(task, "0", since_ms=since_ms)
    assert not ann.heard(c.Stop)
    fleet.wait(2_000)
    ann.waiting(task, "0", since_ms=since_ms)
    (wait,) = fleet.task(task).waiting_for
    assert (wait.step, wait.kind, wait.note) == ("0", "sleep", "")
    assert 2_900 <= wait.until_ms - fleet.now_ms <= 3_100
    fleet.wait(3_500)
    ann.call(task, write())
    first, second = ann.heard(c.Perform)
    assert first.key == second.key
    ann.done(task, "0", body=body("accepted"))
    assert fleet.task(task).steps["0"].result is not None
    assert fleet.void() == []


def test_who_waits_for_what_is_read_is_not_suspended() -> None:
    _, _, ann, task = delegated(suspend_after_ms=3_000)
    ann.call(task, read())
    ann.waiting(task, "0")
    assert not ann.heard(c.Stop)


# --- tools --------------------------------------------------------------------------------------


def test_an_effect_waits_until_its_beginning_counts() -> None:
    fleet, boss, task = worked()
    fleet.hold(f.StepBegun)
    boss.call(task, use())
    assert not boss.heard(c.Perform)
    fleet.let_go()
    assert boss.heard(c.Perform) == [
        c.Perform(task, boss.works[task].award, "0", effect_key(task, "0", "post"))
    ]


def test_a_result_is_told_when_it_is_in_the_log() -> None:
    fleet, boss, task = worked()
    boss.call(task, use())
    fleet.hold(f.StepFinished)
    boss.done(task)
    assert not boss.results(task)
    fleet.let_go()
    result = boss.results(task)["0"]
    assert (result.status, result.body) == (Status.COMPLETED, body("done"))


def test_a_failed_effect_is_a_result_too() -> None:
    _, boss, task = worked()
    boss.call(task, use())
    boss.done(task, error="KeyError")
    result = boss.results(task)["0"]
    assert (result.status, result.reason) == (Status.FAILED, "KeyError")


def test_what_was_reserved_and_not_spent_is_free_again() -> None:
    fleet, boss, task = worked()
    boss.call(task, use(reserve=Amount(micro_usd=10)))
    assert fleet.task(task).purse.reserved == Amount(micro_usd=10, tool_calls=1)
    boss.done(task, spent=Amount(micro_usd=7))
    purse = fleet.task(task).purse
    assert (purse.reserved, purse.spent) == (ZERO, Amount(micro_usd=7, tool_calls=1))


def test_what_the_budget_does_not_have_is_refused_before_anything_is_written() -> None:
    fleet, boss, task = worked()
    before = fleet.story()
    boss.call(task, use(reserve=BUDGET._replace(micro_usd=1_001)))
    (refused,) = boss.heard(c.Refuse)
    assert isinstance(refused.error, BudgetExceeded)
    assert str(refused.error) == "micro_usd: asked for 1001, free is 1000"
    assert fleet.story() == before


def test_what_is_on_its_way_is_promised() -> None:
    fleet, boss, task = worked()
    fleet.hold(f.StepBegun)
    fleet.hold(f.SpendReserved)
    boss.call(task, use("0", reserve=Amount(micro_usd=600)))
    boss.call(task, use("1", reserve=Amount(micro_usd=600)))
    boss.call(task, spend("2", 300))
    boss.call(task, spend("3", 300))
    assert [one.step for one in boss.heard(c.Refuse)] == ["1", "3"]
    fleet.let_go()
    boss.call(task, use("4", reserve=Amount(micro_usd=101)))
    assert [one.step for one in boss.heard(c.Refuse)] == ["1", "3", "4"]
    assert not fleet.void()


def test_a_call_that_cost_more_than_was_reserved_is_charged_what_it_cost() -> None:
    fleet, boss, task = worked()
    boss.call(task, use(reserve=Amount(micro_usd=10)))
    boss.done(task, spent=Amount(micro_usd=25))
    purse = fleet.task(task).purse
    assert purse.spent == Amount(micro_usd=25, tool_calls=1)
    assert purse.reserved == ZERO
    assert not boss.said(e.Incident)
    assert boss.results(task)["0"].status is Status.COMPLETED


def test_an_overrun_is_charged_as_far_as_the_budget_has_it() -> None:
    fleet, boss, task = worked()
    boss.call(task, use(reserve=Amount(micro_usd=10)))
    boss.done(task, spent=Amount(micro_usd=2_000))
    purse = fleet.task(task).purse
    assert purse.spent == Amount(micro_usd=1_000, tool_calls=1)
    assert purse.free.micro_usd == 0
    (incident,) = boss.said(e.Incident)
    assert (incident.kind, incident.task) == ("overrun", task)
    assert not fleet.void()


# --- the other steps ----------------------------------------------------------------------------


def test_spending_reserves_and_settles_at_once() -> None:
    fleet, boss, task = worked()
    boss.call(task, spend("0", 30))
    assert fleet.story(task)[-2:] == ["SpendReserved boss-1", "SpendSettled boss-1"]
    assert fleet.task(task).purse.spent == Amount(micro_usd=30)
    assert boss.results(task)["0"].status is Status.COMPLETED


def test_decisions_and_artifacts_are_one_fact_each() -> None:
    fleet, boss, task = worked()
    boss.call(task, decide("0"))
    boss.call(task, keep("1"))
    assert fleet.story(task)[-2:] == ["DecisionRecorded boss-1", "StepFinished boss-1"]
    assert boss.results(task)["1"].body == body("kept")


def test_a_sleep_ends_in_the_logs_time() -> None:
    fleet, boss, task = worked()
    boss.call(task, sleep("0", 1_000))
    fleet.wait(999)
    assert not boss.results(task)
    fleet.wait(1)
    assert boss.results(task)["0"].append_ms == fleet.now_ms


def test_a_clock_that_goes_slow_does_not_lengthen_a_sleep() -> None:
    fleet, boss, task = worked()
    fleet.logs[0].skew_ms = 400
    boss.call(task, decide("0"))
    boss.call(task, sleep("1", 300))
    assert fleet.task(task).steps["1"].until_ms == fleet.now_ms + 700
    fleet.wait(299)
    assert "1" not in boss.results(task)
    fleet.wait(1)
    assert "1" in boss.results(task)


def test_a_step_of_no_time_ends_at_once() -> None:
    _, boss, task = worked()
    boss.call(task, sleep("0", 0))
    assert "0" in boss.results(task)


# --- what the runner must not do ----------------------------------------------------------------


def test_a_step_is_called_once() -> None:
    _, boss, task = worked()
    boss.call(task, use())
    with pytest.raises(IllegalMove, match="called twice"):
        boss.call(task, use())


def test_steps_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.core.journal.MAX_STEPS", 1)
    fleet, boss, task = worked()
    boss.call(task, decide("0"))
    boss.call(task, decide("1"))
    (refused,) = boss.heard(c.Refuse)
    assert (refused.step, str(refused.error)) == ("1", "a task has at most 1 steps")
    assert len(fleet.facts(f.DecisionRecorded)) == 1


def test_a_handler_that_is_gone_calls_nothing() -> None:
    fleet, boss, task = worked()
    before = fleet.story()
    boss.give(c.Called(task, 99, decide()))
    boss.give(c.Called("0-unknown", 1, decide()))
    boss.give(c.StepDone(task, 99, "0", "", ZERO, body("done")))
    boss.give(c.Probed(task, 99, "0", None))
    boss.give(c.Reviewed(task, 99, "0-unknown", 1, ""))
    boss.done(task, "7")
    boss.give(c.Probed(task, boss.works[task].award, "7", None))
    assert fleet.story() == before


def test_a_handler_that_is_being_unwound_calls_nothing_and_finishes_what_it_began() -> None:
    fleet, boss, task = worked()
    boss.call(task, use())
    boss.obedient = False
    boss.give(i.Drain())
    boss.call(task, decide("1"))
    boss.give(c.Probed(task, boss.works[task].award, "0", None))
    assert not fleet.facts(f.DecisionRecorded)
    boss.done(task)
    assert fleet.task(task).steps["0"].result is not None


def test_what_is_done_after_the_handler_returned_is_not_recorded() -> None:
    fleet, boss, task = worked()
    boss.call(task, decide("0"))
    boss.call(task, use("1"))
    fleet.hold(f.DecisionRecorded)
    boss.call(task, decide("2"))
    boss.finish(task)
    boss.done(task, "1")
    boss.call(task, decide("3"))
    fleet.let_go()
    assert "2" not in boss.results(task), "nobody waits for it any more"
    assert fleet.story(task)[-2:] == ["DecisionRecorded boss-1", "WorkFinished boss-1"]


# --- replay -------------------------------------------------------------------------------------


def test_the_next_worker_is_answered_from_the_journal() -> None:
    fleet, boss, ann, task = delegated()
    calls: list[c.Call] = [use("0"), spend("1"), decide("2"), keep("3"), sleep("4", 0)]
    for call in calls:
        ann.call(task, call)
    ann.done(task, "0")
    first = ann.results(task)
    bob = handed_on(fleet, ann)
    assert bob.works[task].attempt == 1
    before = fleet.story()
    for call in calls:
        bob.call(task, call)
    assert bob.results(task) == first
    assert not bob.heard(c.Perform), "and nothing is done again"
    assert fleet.story() == before
    bob.finish(task)
    assert boss.results(boss_task(boss))["0"].status is Status.COMPLETED


def boss_task(boss: Peer) -> str:
    (task,) = boss.works
    return task


@pytest.mark.parametrize("effect", [Effect.PURE, Effect.IDEMPOTENT, Effect.KEYED])
def test_what_may_be_done_twice_is_done_again_under_the_same_key(effect: Effect) -> None:
    fleet, _, ann, task = delegated()
    ann.call(task, use(effect=effect))
    bob = handed_on(fleet, ann)
    assert fleet.task(task).purse.spent == Amount(10, 0, 1, 0, 1), "the first try is charged"
    bob.call(task, use(effect=effect))
    assert [one.key for one in bob.heard(c.Perform)] == [one.key for one in ann.heard(c.Perform)]
    bob.done(task)
    assert bob.results(task)["0"].body == body("done")


def probed(found: bool) -> tuple[Fleet, Peer, str]:
    fleet, _, ann, task = delegated()
    asked = use(effect=Effect.IRREVERSIBLE, probe=True)
    ann.call(task, asked)
    bob = handed_on(fleet, ann)
    bob.call(task, asked)
    (probe,) = bob.heard(c.Probe)
    assert not bob.heard(c.Perform)
    assert probe.key == effect_key(task, "0", "post")
    bob.give(c.Probed(task, probe.award, "0", body("found") if found else None))
    return fleet, bob, task


def test_a_probe_that_finds_the_effect_is_its_result() -> None:
    fleet, bob, task = probed(found=True)
    assert bob.results(task)["0"].body == body("found")
    assert not bob.heard(c.Perform)
    assert not fleet.void()


def test_an_effect_that_a_probe_does_not_find_is_done_now() -> None:
    fleet, bob, task = probed(found=False)
    assert len(bob.heard(c.Perform)) == 1
    bob.done(task)
    assert bob.results(task)["0"].body == body("done")
    assert not fleet.void()


def parked() -> tuple[Fleet, Peer, Peer, str]:
    fleet, boss, ann, task = delegated()
    asked = use(effect=Effect.IRREVERSIBLE)
    ann.call(task, asked)
    bob = handed_on(fleet, ann)
    bob.call(task, asked)
    return fleet, boss, bob, task


def test_what_cannot_be_asked_about_parks_the_task_for_a_person() -> None:
    fleet, _, bob, task = parked()
    (incident,) = bob.said(e.Incident)
    assert (incident.kind, incident.task) == ("unknown-outcome", task)
    assert "irreversible) was begun and its outcome is unknown" in incident.text
    assert [one.why for one in bob.heard(c.Stop)] == ["suspended"]
    (wait,) = fleet.task(task).waiting_for
    assert (wait.step, wait.kind, wait.note) == ("0", "person", incident.text)


def test_a_parked_task_is_ended_by_a_cancellation_only() -> None:
    fleet, boss, bob, task = parked()
    bob.stopped(task)
    awards = len(fleet.facts(f.TaskAwarded))
    fleet.wait(60_000)
    assert fleet.task(task).phase is Phase.SUSPENDED
    assert len(fleet.facts(f.TaskAwarded)) == awards
    cancel = m.Cancel(workflow=boss_task(boss), task=task, award=-1, because="enough", person="eve")
    boss.send(boss, cancel)
    assert fleet.story(task)[-2:] == ["CancelRequested boss-1", "TaskCancelled boss-1"]
    assert fleet.facts(f.CancelRequested)[0].person == "eve"
    assert boss.results(boss_task(boss))["0"].status is Status.CANCELLED


@pytest.mark.parametrize(
    ("now", "shown"),
    [
        (use(name="get"), "tool get (input 696e)"),
        (use(kind=StepKind.MODEL), "model post (input 696e)"),
        (use(input_hash=b"out"), "tool post (input 6f7574)"),
        (spend(), "spend spend"),
        (decide(), "decision left"),
        (keep(), "artifact report (input 696e)"),
        (sleep(), "sleep sleep"),
        (delegate(), f"delegate {PART} (input {body('0').hash.hex()[:8]})"),
    ],
)
def test_code_that_does_not_fit_the_journal_parks_the_task(now: c.Call, shown: str) -> None:
    fleet, _, ann, task = delegated()
    ann.call(task, use())
    ann.done(task)
    bob = handed_on(fleet, ann)
    bob.call(task, now)
    (incident,) = bob.said(e.Incident)
    assert incident.kind == "journal-mismatch"
    assert incident.text == str(
        JournalMismatch("0", recorded="tool post (input 696e)", called=shown)
    )
    assert fleet.task(task).waiting_for[0].kind == "person"
    assert fleet.task(task).attempts == 1, "no attempt is lost by it"


def restarted() -> tuple[Fleet, Peer, str]:
    fleet, _, ann, task = delegated()
    ann.call(task, use())
    bob = handed_on(fleet, ann, restarts=frozenset({PART}))
    bob.call(task, decide("0"))
    return fleet, bob, task


def test_code_may_start_over_under_names_of_its_own() -> None:
    fleet, bob, task = restarted()
    assert [one.kind for one in bob.said(e.Incident)] == ["journal-restart"]
    assert [one.why for one in bob.heard(c.Stop)] == ["restarted"]
    assert [one.work.restart for one in bob.heard(c.Start)] == [0, 1]
    bob.call(task, decide("r1/0"))
    bob.finish(task)
    assert not fleet.void()


def test_who_starts_over_is_found_there_by_the_next_worker() -> None:
    fleet, bob, task = restarted()
    bob.call(task, decide("r1/0"))
    carl = fleet.join("carl", PART)
    bob.die()
    fleet.wait(DIED_MS)
    assert carl.works[task].restart == 1
    carl.call(task, decide("r1/0"))
    assert "r1/0" in carl.results(task)
