"""How an award begins and ends at the node that holds it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.core import calls as c
from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core import messages as m
from mesh.core.jobs import Job
from mesh.core.tasks import Phase, TaskState
from mesh.core.values import Amount, Mode, Outcome
from mesh.core.worker import restart_of
from mesh.errors import IllegalMove
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

DIED_MS = 18_000


def delegated(**settings: Any) -> tuple[Fleet, Peer, Peer, str]:
    """Return a boss, and Ann who works on the part that it delegated."""
    fleet, (boss, ann) = boss_and("ann", **settings)
    return fleet, boss, ann, boss.delegate(boss.submit())


def last(sender: Peer, kind: type[m.Award]) -> m.Award:
    return sender.sent(kind)[-1]


# --- bids ---------------------------------------------------------------------------------------


def called(capability: str = PART, caller: str = "boss") -> m.CallForBids:
    _, (boss, ann) = boss_and("ann")
    boss.delegate(boss.submit(), mode=Mode.AUCTION)
    (call,) = boss.sent(m.CallForBids)
    assert ann.sent(m.Bid)
    return replace(call, capability=capability, caller=caller)


def answer_to(call: m.CallForBids, *, draining: bool = False) -> m.Bid | m.Decline:
    fleet = Fleet()
    boss, ann = fleet.join("boss"), fleet.join("ann", PART, "risk.screen")
    if draining:
        ann.give(i.Drain())
    boss.send(ann, call)
    answers: list[m.Bid | m.Decline] = [*ann.sent(m.Bid), *ann.sent(m.Decline)]
    return answers[-1]


def test_a_call_for_bids_is_answered_by_the_agents_own_function() -> None:
    answer = answer_to(called())
    assert isinstance(answer, m.Bid)
    assert (answer.price_micro_usd, answer.eta_ms) == (10, 100)
    assert isinstance(answer_to(called(caller="")), m.Bid), "a submitter's scope is not asked for"
    assert isinstance(answer_to(called(caller="eve")), m.Bid), "nor what is not known"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (called("demo.other"), "ann does not offer demo.other"),
        (called("risk.screen"), "agent boss may call demo.*, and that does not cover risk.screen"),
    ],
)
def test_a_call_that_cannot_be_served_is_declined(call: m.CallForBids, reason: str) -> None:
    answer = answer_to(call)
    assert isinstance(answer, m.Decline)
    assert answer.reason == reason


def test_who_drains_declines() -> None:
    answer = answer_to(called(), draining=True)
    assert isinstance(answer, m.Decline)
    assert answer.reason == "draining"


# --- awards that are taken ----------------------------------------------------------------------


def test_a_first_award_is_begun_without_reading() -> None:
    fleet, boss, ann, task = delegated()
    work = ann.works[task]
    assert (work.epoch, work.attempt, work.reason, work.restart) == (1, 1, "", 0)
    assert work.opened == fleet.task(task).opened
    assert not ann.reads
    assert last(boss, m.Award).awarded is None, "it stands in the opening"


def test_an_award_of_its_own_comes_with_the_opening() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit()
    child = boss.delegate(task)
    ann = fleet.join("ann", PART)
    assert ann.works[child].award == last(boss, m.Award).awarded.offset  # type: ignore[union-attr] # it is there


def test_an_award_with_a_journal_is_begun_when_that_was_read() -> None:
    fleet, _, ann, task = delegated()
    ann.call(task, decide())
    bob = fleet.join("bob", PART)
    ann.die()
    fleet.hold(i.LogRead, bob)
    fleet.wait(DIED_MS)
    assert not bob.works
    fleet.let_go()
    assert bob.works[task].attempt == 1
    assert bob.node.desk.ledger(task).tasks[task].steps["0"].result is not None


def test_an_award_that_is_over_when_its_journal_was_read_is_not_begun() -> None:
    fleet, _, ann, task = delegated()
    ann.call(task, decide())
    bob = fleet.join("bob", PART)
    ann.die()
    fleet.hold(i.LogRead, bob)
    fleet.wait(DIED_MS)
    fleet.join("carl", PART)
    fleet.wait(DIED_MS)
    (held,) = fleet.held
    (read,) = bob.reads
    fleet.held[0] = held._replace(given=bob.answer(read))
    fleet.let_go()
    assert not bob.works


def test_an_award_of_a_task_that_is_held_already_takes_its_place() -> None:
    fleet, boss, ann, task = delegated()
    first = ann.works[task].award
    ann.stall()
    fleet.wait(DIED_MS)
    assert fleet.facts(f.TaskAwarded), "nobody else was there"
    work = ann.works[task]
    assert work.award != first
    assert [one.why for one in ann.heard(c.Stop)] == ["lost"]
    assert task in boss.node.supervisor.watches


def test_an_earlier_award_that_comes_late_changes_nothing() -> None:
    fleet, (boss, ann) = boss_and("ann")
    fleet.hold(m.Award, ann, times=1)
    task = boss.delegate(boss.submit())
    fleet.wait(DIED_MS)
    assert ann.works[task].epoch == 2
    fleet.let_go()
    assert ann.works[task].epoch == 2
    assert not ann.heard(c.Stop)
    assert ann.refusals == ["a later award is held"]
    ann.finish(task)
    assert not fleet.void()


def test_an_award_that_takes_the_place_of_another_needs_no_slot_of_its_own() -> None:
    fleet, (boss,) = boss_and()
    ann = fleet.join("ann", PART, slots=1)
    task = boss.delegate(boss.submit())
    ann.stall()
    fleet.wait(DIED_MS)
    ann.flow()
    assert not fleet.facts(f.AwardDeclined)
    assert ann.works[task].epoch == 2
    assert ann.node.worker.free_slots == 0


# --- awards that are not ------------------------------------------------------------------------


def test_who_reads_of_a_later_award_lets_its_own_go() -> None:
    fleet, _, ann, task = delegated()
    carl = fleet.join("carl", "demo.sub")
    ann.delegate(task, capability="demo.sub")
    bob = fleet.join("bob", PART)
    fleet.wait(6_000)
    ann.stall()
    fleet.wait(5_000)
    carl.die()
    fleet.wait(7_000)
    assert bob.works[task].epoch == 2
    assert ann.node.worker.jobs
    fleet.wait(4_000)
    assert [one.why for one in ann.heard(c.Stop)] == ["lost"], "it suspected Carl, and read"


def test_who_has_no_slot_declines() -> None:
    fleet, (boss,) = boss_and()
    ann = fleet.join("ann", PART, slots=1)
    fleet.announce(ann, slots=2)
    task = boss.submit()
    first = boss.delegate(task, "0")
    second = boss.delegate(task, "1")
    (declined,) = fleet.facts(f.AwardDeclined)
    assert (declined.task, declined.reason) == (second, "no slot is free")
    assert set(ann.works) == {first}
    ann.finish(first)
    assert not ann.node.desk._homes


def test_who_drains_declines_an_award() -> None:
    fleet, (boss, ann) = boss_and("ann")
    ann.give(i.Drain())
    boss.delegate(boss.submit())
    assert fleet.facts(f.AwardDeclined)[0].reason == "draining"


def test_an_award_beyond_the_callers_scope_is_declined() -> None:
    fleet, (boss, ann) = boss_and("ann")
    ann.give(i.CardSeen("boss", replace(boss.card, calls=("risk.*",))))
    boss.delegate(boss.submit())
    assert "does not cover demo.part" in fleet.facts(f.AwardDeclined)[0].reason


def test_a_declined_award_that_does_not_count_is_forgotten() -> None:
    fleet, (boss, ann) = boss_and("ann")
    ann.give(i.Drain())
    ann.stall()
    task = boss.submit()
    child = boss.delegate(task)
    fleet.wait(DIED_MS)
    ann.flow()
    assert "void AwardDeclined ann-1" in fleet.story(child)
    assert not ann.node.desk._homes


def forged(boss: Peer, **other: Any) -> m.Award:
    return replace(last(boss, m.Award), **other)


def test_a_repeated_award_is_refused() -> None:
    fleet, (boss, ann) = boss_and("ann")
    fleet.double(m.Award)
    boss.delegate(boss.submit())
    assert len(ann.heard(c.Start)) == 1
    assert ann.refusals == ["the award is known already"]


def test_a_repeat_after_the_end_is_refused_too() -> None:
    _, boss, ann, task = delegated()
    award = last(boss, m.Award)
    ann.finish(task)
    boss.send(ann, award)
    assert len(ann.heard(c.Start)) == 1
    assert ann.refusals == ["the award is known already"]


def test_somebody_elses_award_is_refused() -> None:
    fleet, boss, _, task = delegated()
    bob = fleet.join("bob", PART)
    boss.send(bob, last(boss, m.Award))
    assert not bob.works
    assert bob.refusals == ["the award is not this incarnation's"]
    assert task not in bob.node.desk.ledger(task).tasks


def test_an_award_to_an_earlier_incarnation_is_refused() -> None:
    _, boss, ann, _ = delegated()
    award = last(boss, m.Award)
    ann.reboot()
    boss.send(ann, award)
    assert not ann.works
    assert ann.refusals == ["the award is not this incarnation's"]


def facts_for(ann: Peer, task: str) -> list[f.Fact]:
    """Return facts that carry no award of this task, though they may look as if."""
    about: dict[str, Any] = {"workflow": task, "task": task, "by": ann.me, "authority": 1}
    return [
        f.TaskCompleted(**about, award=1),
        f.ResultRejected(**about, award=1, reason=""),
        f.LeaseRenewed(by=ann.me, awards=(1,)),
    ]


@pytest.mark.parametrize("number", range(3))
def test_what_carries_no_award_is_refused(number: int) -> None:
    _, boss, ann, task = delegated()
    award = last(boss, m.Award)
    record = replace_fact(award.opened, facts_for(ann, task)[number])
    running = ann.node.worker.jobs[task]
    boss.send(ann, replace(award, awarded=record))
    boss.send(ann, replace(award, opened=record))
    assert len(ann.refusals) == 2
    assert ann.node.worker.jobs[task] is running


def replace_fact(record: f.Record, fact: f.Fact) -> f.Record:
    return record._replace(fact=fact, offset=77)


def test_an_award_whose_parts_do_not_belong_together_is_refused() -> None:
    fleet, boss, ann, task = delegated()
    award = last(boss, m.Award)
    opened = award.opened.fact
    assert isinstance(opened, f.TaskOpened)
    assert opened.award is not None
    about: dict[str, Any] = {"by": boss.me, "authority": 1, "award": opened.award}
    other = replace_fact(award.opened, replace(opened, task="0-other", step="1"))
    elsewhere = replace_fact(award.opened, replace(opened, workflow="0-other"))
    foreign = f.TaskAwarded(workflow=opened.workflow, task="0-other", **about)
    before = ann.node.worker.jobs[task]
    for wrong in (
        replace(award, opened=other),
        replace(award, opened=elsewhere),
        replace(award, awarded=replace_fact(award.opened, foreign)),
        replace(award, task="0-other"),
        replace(award, workflow="0-other"),
    ):
        boss.send(ann, wrong)
    assert len(ann.refusals) == 5
    assert ann.node.worker.jobs[task] is before
    fleet.wait(20_000)
    ann.finish(task)
    assert not fleet.void()


@pytest.mark.parametrize("workflow", ["7-abc", "abc", "-1-abc"])
def test_an_award_of_a_workflow_that_lives_nowhere_is_refused(workflow: str) -> None:
    _, boss, ann, _ = delegated()
    award = last(boss, m.Award)
    opened = award.opened.fact
    assert isinstance(opened, f.TaskOpened)
    record = replace_fact(award.opened, replace(opened, workflow=workflow, task=workflow))
    boss.send(ann, replace(award, workflow=workflow, task=workflow, opened=record))
    assert len(ann.refusals) == 1
    ann.node.receive(i.Tick(), 10**12)


def test_nothing_is_begun_without_an_award() -> None:
    fleet, _, ann, task = delegated()
    with pytest.raises(IllegalMove, match="has no award to begin"):
        ann.node.worker.begin(TaskState(fleet.task(task).opened, 1, 1))


def test_an_award_whose_repeat_was_forgotten_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.core.jobs.KEPT", 1)
    fleet, boss, ann, task = delegated()
    ann.call(task, decide())
    bob = fleet.join("bob", PART)
    ann.die()
    fleet.wait(DIED_MS)
    bob.call(task, decide("1"))
    award = last(boss, m.Award)
    bob.node.worker._seen.clear()
    bob.give(i.Drain())
    bob.obedient = False
    boss.send(bob, award)
    assert bob.works[task]


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


# --- adoption -----------------------------------------------------------------------------------


def adopt(task: str, award: int) -> m.Adopt:
    return m.Adopt(workflow=task, task=task, award=award)


def test_a_running_worker_says_so_and_reports_to_the_new_supervisor() -> None:
    fleet, _, ann, task = delegated()
    new = fleet.join("new")
    new.send(ann, adopt(task, ann.works[task].award))
    (adopted,) = ann.sent(m.Adopted)
    assert (adopted.status, adopted.lease_end_ms) == ("running", fleet.now_ms + 10_000)
    ann.finish(task)
    assert ann.said(e.Send)[-1].inbox == new.inbox


def test_a_worker_that_has_finished_says_what_came_of_it() -> None:
    fleet, _, ann, task = delegated()
    ann.finish(task)
    new = fleet.join("new")
    new.send(ann, adopt(task, ann.works[task].award))
    first, again = ann.sent(m.Outcome)
    assert again == first
    assert ann.said(e.Send)[-1].inbox == new.inbox


def test_an_award_that_is_unknown_is_refused_from_then_on() -> None:
    fleet, (boss, ann) = boss_and("ann")
    fleet.hold(m.Award)
    task = boss.delegate(boss.submit())
    position = fleet.task(task).lease.position  # type: ignore[union-attr] # it was awarded
    boss.send(ann, adopt(task, position))
    assert [one.status for one in ann.sent(m.Adopted)] == ["unknown"]
    fleet.let_go()
    assert not ann.works
    assert ann.refusals == ["the award is known already"]


def test_who_is_still_reading_a_journal_says_nothing_yet() -> None:
    fleet, boss, ann, task = delegated()
    ann.call(task, decide())
    bob = fleet.join("bob", PART)
    ann.die()
    fleet.hold(i.LogRead, bob)
    fleet.wait(DIED_MS)
    award = last(boss, m.Award)
    assert award.awarded is not None
    boss.send(bob, adopt(task, award.awarded.offset))
    assert not bob.sent(m.Adopted)
    fleet.let_go()
    assert bob.works[task].epoch == 2


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "restart"), [("0", 0), ("0.1", 0), ("r2/0.1", 2), ("x/0", 0)])
def test_a_restart_is_read_off_a_steps_name(step: str, restart: int) -> None:
    assert restart_of(step) == restart


def test_a_sleeper_that_was_suspended_leaves_little_behind() -> None:
    """Thousands may sleep for hours: no job, no fact of the worker's, one header for all."""
    _, (boss,) = boss_and()
    naps = [boss.submit() for _ in range(3)]
    for nap in naps:
        boss.call(nap, sleep(ms=3_600_000))
        boss.give_up(nap)
    desk = boss.node.desk
    assert not boss.node.worker.jobs
    held = [one for *_, about in desk._timers for one in about]
    assert not [one for one in held if isinstance(one, Job)]
    assert not any(boss.node.worker._seen.values())
    assert len({id(desk.headers[nap]) for nap in naps}) == 1
