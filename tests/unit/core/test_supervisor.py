"""What is done next about a task, whoever works on it."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core import messages as m
from mesh.core.tasks import Phase
from mesh.core.values import Amount, Cause, Mode, Outcome, Status
from tests.unit.core.fleet import (
    PART,
    ROOTS,
    Fleet,
    Peer,
    body,
    boss_and,
    decide,
    delegate,
    offered,
    sleep,
)

LEASE_MS = 10_000
DIED_MS = 18_000


def delegated(**settings: Any) -> tuple[Fleet, Peer, Peer, str, str]:
    """Return a boss at work on a root task, and Ann who works on a part of it."""
    fleet, (boss, ann) = boss_and("ann", **settings)
    root = boss.submit()
    return fleet, boss, ann, root, boss.delegate(root)


# --- awards -------------------------------------------------------------------------------------


def test_an_award_is_not_told_before_it_counts() -> None:
    fleet, (boss, ann) = boss_and("ann")
    root = boss.submit()
    fleet.hold(f.TaskOpened)
    task = boss.delegate(root)
    assert not boss.sent(m.Award)
    fleet.let_go()
    assert ann.works[task].epoch == 1


def test_an_award_whose_report_comes_too_late_is_not_told_to_anybody() -> None:
    fleet, (boss, ann) = boss_and("ann")
    root = boss.submit()
    boss.stall()
    boss.delegate(root)
    fleet.wait(LEASE_MS + 500)
    boss.flow()
    assert not boss.sent(m.Award)
    assert not ann.works


def test_a_later_award_that_comes_too_late_is_not_told_either() -> None:
    fleet, boss, ann, _, task = delegated()
    bob = fleet.join("bob", PART)
    ann.finish(task, "boom")
    boss.stall()
    fleet.wait(LEASE_MS + 2_000)
    boss.flow()
    assert any(kind == "void TaskAwarded boss-1" for kind in fleet.story(task))
    assert not bob.works


def test_an_award_that_is_passed_over_is_read_before_another_is_written() -> None:
    fleet, boss, ann, root, task = delegated()
    fleet.lose(f.TaskAwarded)
    ann.finish(task, "boom")
    bob = fleet.join("bob", PART)
    fleet.wait(1_000)
    assert fleet.task(task).epoch == 2, "it counts, and nobody knows of it"
    boss.call(root, decide("1"))
    assert not boss.works.get(task)
    fleet.wait(2 * DIED_MS)
    assert fleet.task(task).epoch == 3, "it had to run out"
    assert not fleet.void()
    assert task in bob.works or task in ann.works


def test_an_award_says_how_it_was_decided() -> None:
    fleet, _, ann, _, task = delegated()
    terms = fleet.task(task).terms
    assert terms is not None
    assert (terms.worker, terms.worker_inbox, terms.agent) == (ann.me, ann.inbox, "ann")
    assert (terms.digest, terms.lease_ms, terms.free) == (
        "d1",
        LEASE_MS,
        ann.works[task].opened.grant,
    )
    assert (terms.mode, terms.resume_from, terms.cause) == (Mode.DIRECT, -1, Cause.FIRST)


# --- the death of a worker ----------------------------------------------------------------------


def test_the_next_award_comes_only_after_the_lease_is_over_in_the_log() -> None:
    fleet, _, ann, _, task = delegated()
    bob = fleet.join("bob", PART)
    ann.die()
    fleet.wait(LEASE_MS)
    assert not bob.works
    fleet.wait(DIED_MS - LEASE_MS)
    assert (bob.works[task].epoch, bob.works[task].attempt) == (2, 1)
    assert fleet.facts(f.TaskAwarded)[0].award.cause is Cause.DIED
    assert not fleet.void()


def test_a_worker_that_is_only_quiet_keeps_its_award() -> None:
    fleet, boss, ann, _, task = delegated()
    fleet.lose(m.Progress, times=100)
    fleet.wait(60_000)
    assert ann.works[task].epoch == 1
    assert not fleet.facts(f.TaskAwarded)
    assert len(boss.reads) > 1, "it was suspected, and the log was read"
    ann.finish(task)
    assert not fleet.void()


def test_no_award_is_written_while_the_log_does_not_move() -> None:
    fleet, boss, ann, _, task = delegated()
    fleet.join("bob", PART)
    ann.die()
    boss.stall()
    fleet.wait(60_000)
    assert not [one for one in boss.stalled or () if isinstance(one.fact, f.TaskAwarded)]
    assert len(boss.reads) < 200, "and it is read with some patience"
    assert fleet.task(task).epoch == 1


def test_attempts_are_limited_and_paused_longer_each_time() -> None:
    fleet, boss, ann, root, task = delegated()
    times = []
    for _ in range(3):
        ann.finish(task, "boom")
        before = fleet.now_ms
        fleet.wait(1_000)
        awards = [r for r in fleet.logs[0].records if isinstance(r.fact, f.TaskAwarded)]
        times.append(awards[-1].append_ms - before)
    assert times[:2] == [200, 400]
    result = boss.results(root)["0"]
    assert (result.status, result.reason) == (Status.FAILED, "attempt 3 of 3: boom")
    assert fleet.story(task)[-1] == "TaskFailed boss-1"


def test_deaths_are_attempts_too() -> None:
    fleet, (boss,) = boss_and()
    ann = fleet.join("ann", offered(PART, max_attempts=1))
    root = boss.submit()
    boss.delegate(root)
    ann.die()
    fleet.wait(DIED_MS)
    assert boss.results(root)["0"].reason == "attempt 1 of 1: its lease ran out"


def test_attempts_draw_on_the_budget() -> None:
    fleet, (boss, ann) = boss_and("ann")
    root = boss.submit()
    task = boss.delegate(root, grant=Amount(1, 1, 1, 1, 1))
    ann.finish(task, "boom")
    fleet.wait(1_000)
    assert ann.works[task].attempt == 2
    ann.finish(task, "boom")
    fleet.wait(1_000)
    assert boss.results(root)["0"].reason == "attempt 2 of 3: boom"


def test_a_request_that_the_worker_rejects_is_rejected_and_not_tried_again() -> None:
    fleet, boss, ann, root, task = delegated()
    ann.finish(task, "no total", outcome=Outcome.REJECTED, field="/total")
    fleet.wait(1_000)
    assert fleet.story(task)[-1] == "TaskRejected boss-1"
    (rejected,) = fleet.facts(f.TaskRejected)
    assert (rejected.reason, rejected.field) == ("no total", "/total")
    assert boss.results(root)["0"].status is Status.REJECTED
    assert not fleet.facts(f.TaskAwarded)


def test_who_lost_its_own_award_reads_and_goes_on() -> None:
    fleet, (boss,) = boss_and()
    root = boss.submit()
    boss.forfeit(root)
    fleet.wait(DIED_MS)
    assert (boss.works[root].epoch, boss.works[root].attempt) == (2, 1)
    boss.call(root, decide("lost"))
    assert "lost" in boss.results(root), "it was in the log all the same"


# --- declines -----------------------------------------------------------------------------------


def test_a_declined_award_is_no_attempt_and_another_gets_it_at_once() -> None:
    fleet, (boss,) = boss_and()
    full = fleet.join("full", PART, slots=0)
    fleet.announce(full, slots=1)
    root = boss.submit()
    fleet.hold(m.Award, full)
    task = boss.delegate(root)
    ann = fleet.join("ann", PART)
    fleet.let_go()
    assert (ann.works[task].epoch, ann.works[task].attempt) == (2, 1)
    assert fleet.task(task).purse.spent == Amount()
    assert fleet.story(task) == [
        "TaskOpened boss-1", "AwardDeclined full-1", "TaskAwarded boss-1",
    ]  # fmt: skip


def test_who_declined_is_not_asked_again_at_once() -> None:
    fleet, (boss,) = boss_and()
    full = fleet.join("full", PART, slots=0)
    fleet.announce(full, slots=100)
    boss.delegate(boss.submit())
    assert len(fleet.facts(f.AwardDeclined)) == 1
    fleet.wait(10_000)
    assert 10 <= len(fleet.facts(f.AwardDeclined)) <= 13, "no storm"
    ann = fleet.join("ann", PART)
    fleet.wait(1_100)
    assert ann.works
    assert not full.works


def test_who_was_given_as_much_as_it_has_slots_is_not_asked_until_one_is_free() -> None:
    """Its presence tells its load once a second: until then a thousand awards would be declined."""
    fleet, (boss,) = boss_and()
    ann = fleet.join("ann", PART, slots=1)
    root = boss.submit()
    first, second, third = (boss.delegate(root, step) for step in "012")
    assert set(ann.node.worker.jobs) == {first}
    ann.finish(first)
    assert set(ann.node.worker.jobs) == {second}, "its outcome says that a slot is free"
    fleet.announce(ann, slots=1, load=1)
    ann.finish(second)
    assert set(ann.node.worker.jobs) == {third}
    assert not fleet.facts(f.AwardDeclined)


def test_who_declined_is_full_until_it_tells_its_load() -> None:
    fleet, (boss,) = boss_and()
    full = fleet.join("full", PART, slots=0)
    fleet.announce(full, slots=1)
    root = boss.submit()
    for step in "012":
        boss.delegate(root, step)
    fleet.wait(10_000)
    assert len(fleet.facts(f.AwardDeclined)) == 1
    fleet.announce(full)
    fleet.wait(1_000)
    assert len(fleet.facts(f.AwardDeclined)) == 2


def test_a_change_of_the_fleet_is_no_reason_to_look_at_all_that_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet, (boss,) = boss_and()
    ann = fleet.join("ann", PART, slots=1)
    root = boss.submit()
    for step in range(4):
        boss.delegate(root, str(step))
    allocation, looked = boss.node.supervisor.allocation, []
    choose = allocation.choose

    def counted(opened: f.TaskOpened, *others: Any) -> Any:
        looked.append(opened.task)
        return choose(opened, *others)

    monkeypatch.setattr(allocation, "choose", counted)
    fleet.announce(ann, load=1)
    assert len(looked) == 2, "one for its card, one for its presence"
    fleet.join("bob", PART, slots=2)
    assert len(looked) == 2 + 1 + 2 + 1


def test_a_last_fact_that_counts_after_its_award_was_let_go_ends_the_task() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit(reply_topic="m.replies.eve", correlation_id="c1")
    boss.stall()
    boss.finish(task)
    fleet.wait(LEASE_MS // 2)
    boss.node.worker.lose(boss.node.worker.jobs[task])
    boss.flow()
    fleet.wait(DIED_MS)
    assert [reply.status for reply in boss.said(e.Reply)] == ["completed"]


# --- suspension ---------------------------------------------------------------------------------


def test_a_suspended_task_s_child_is_adopted_and_its_end_wakes_the_parent() -> None:
    fleet, boss, ann, root, task = delegated()
    carl = fleet.join("carl", "demo.sub")
    sub = ann.delegate(task, capability="demo.sub")
    ann.give_up(task)
    assert fleet.task(task).phase is Phase.SUSPENDED
    assert not ann.node.supervisor.watches
    assert sub in boss.node.supervisor.watches, "whoever is above supervises it now"
    assert [one.task for one in boss.sent(m.Adopt)] == [sub]
    carl.finish(sub)
    assert carl.said_to(boss)
    assert (ann.works[task].epoch, ann.works[task].attempt) == (2, 1)
    ann.call(task, delegate(capability="demo.sub"))
    assert ann.results(task)["0"].body == body("result")
    ann.finish(task)
    assert boss.results(root)["0"].status is Status.COMPLETED
    assert not fleet.void()


def test_a_child_of_a_suspended_task_that_dies_is_awarded_by_who_is_above() -> None:
    fleet, boss, ann, _, task = delegated()
    carl = fleet.join("carl", "demo.sub")
    sub = ann.delegate(task, capability="demo.sub")
    ann.give_up(task)
    dora = fleet.join("dora", "demo.sub")
    carl.die()
    boss.goodbye(carl)
    fleet.wait(2 * DIED_MS)
    assert dora.works[sub].epoch == 2
    dora.finish(sub)
    assert ann.works[task].epoch == 2
    assert not fleet.void()


def test_nothing_is_written_below_an_award_that_is_on_its_way() -> None:
    fleet, boss, ann, root, task = delegated()
    carl = fleet.join("carl", "demo.sub")
    sub = ann.delegate(task, capability="demo.sub")
    ann.call(task, sleep("1", 500))
    ann.waiting(task, "0", "1")
    carl.finish(sub, "boom")
    fleet.skip(5_000)  # the sleep is over, and so is the pause before the child's next attempt
    fleet.lose(f.TaskAwarded, boss)
    boss.give(i.Tick())
    boss.call(root, decide("passes it over"))
    assert fleet.task(task).epoch == 2
    assert carl.works[sub].epoch == 1
    assert not fleet.void()


def test_a_suspended_task_is_not_awarded_before_its_time() -> None:
    fleet, boss, ann, _, task = delegated()
    ann.call(task, sleep("0", 60_000))
    ann.call(task, sleep("1", 90_000))
    ann.waiting(task, "0", "1")
    fleet.wait(59_000)
    assert fleet.task(task).phase is Phase.SUSPENDED
    fleet.wait(2_000)
    assert ann.works[task].epoch == 2
    assert task in boss.node.supervisor.watches


def test_a_suspended_parent_finds_that_its_child_has_ended_meanwhile() -> None:
    fleet, _, ann, _, task = delegated()
    carl = fleet.join("carl", "demo.sub")
    sub = ann.delegate(task, capability="demo.sub")
    ann.obedient = False
    ann.give_up(task)
    fleet.hold(m.Outcome, ann)
    carl.finish(sub)
    ann.stopped(task)
    assert ann.works[task].epoch == 2, "the log says so"


# --- adoption -----------------------------------------------------------------------------------


def three_bosses() -> tuple[Fleet, Peer, Peer, Peer]:
    """Return one that supervises root tasks, one that does them, one that may take over."""
    fleet = Fleet()
    old = fleet.join("boss", ROOTS.capability, slots=0)
    worker = fleet.join("boss", ROOTS.capability)
    new = fleet.join("boss", ROOTS.capability, slots=0)
    old.owns()
    return fleet, old, worker, new


def takes_over(new: Peer, old: Peer) -> None:
    old.disowns()
    old.die()
    new.goodbye(old)
    new.owns()


def test_who_takes_over_adopts_the_running_worker() -> None:
    fleet, old, worker, new = three_bosses()
    task = old.submit()
    takes_over(new, old)
    assert [one.status for one in worker.sent(m.Adopted)] == ["running"]
    fleet.wait(30_000)
    assert worker.works[task].epoch == 1
    worker.finish(task)
    assert fleet.end(task).status is Status.COMPLETED
    assert not new.node.supervisor.watches


def test_an_adoption_is_repeated_until_it_is_answered() -> None:
    fleet, old, worker, new = three_bosses()
    old.submit()
    fleet.lose(m.Adopt, worker)
    takes_over(new, old)
    assert len(new.sent(m.Adopt)) == 1
    fleet.wait(2_100)
    assert len(new.sent(m.Adopt)) == 2
    fleet.wait(4_000)
    assert len(new.sent(m.Adopt)) == 2


def test_an_award_that_nobody_knows_of_runs_out() -> None:
    fleet, old, worker, new = three_bosses()
    fleet.lose(m.Award)
    task = old.submit()
    takes_over(new, old)
    assert [one.status for one in worker.sent(m.Adopted)] == ["unknown"]
    fleet.wait(DIED_MS)
    assert worker.works[task].epoch == 2


def test_a_worker_that_gave_up_meanwhile_is_found_by_reading_or_tells_its_adopter() -> None:
    fleet, old, worker, new = three_bosses()
    task = old.submit()
    fleet.hold(i.LogRead, new)
    takes_over(new, old)
    worker.finish(task, "boom")
    fleet.let_go()
    fleet.wait(2_000)
    assert worker.works[task].epoch == 2
    assert not fleet.void()


def test_a_dead_worker_s_task_is_given_on_by_who_takes_over() -> None:
    fleet, old, worker, new = three_bosses()
    task = old.submit()
    worker.die()
    new.goodbye(worker)
    takes_over(new, old)
    heir = fleet.join("boss", ROOTS.capability)
    fleet.wait(DIED_MS)
    assert heir.works[task].attempt == 1


# --- deadlines ----------------------------------------------------------------------------------


def test_a_childs_deadline_is_its_parents_at_most() -> None:
    fleet, (boss, _) = boss_and("ann")
    root = boss.submit(timeout_ms=20_000)
    task = boss.delegate(root, timeout_ms=60_000)
    assert fleet.task(task).opened.deadline_ms == fleet.task(root).opened.deadline_ms


@pytest.mark.parametrize("known", [True, False])
def test_a_childs_figures_are_the_cards_or_the_settings(known: bool) -> None:
    fleet, (boss,) = boss_and()
    if known:
        fleet.join("ann", offered(PART, timeout_ms=5_000, lease_ms=700, max_attempts=2))
    opened = fleet.task(boss.delegate(boss.submit())).opened
    settings = fleet.settings
    assert opened.lease_ms == (700 if known else settings.work_lease_ms)
    assert opened.max_attempts == (2 if known else settings.max_attempts)
    assert opened.deadline_ms - fleet.now_ms == (5_000 if known else settings.timeout_ms)


def test_ancestors_travel_with_every_task() -> None:
    fleet, _, ann, root, task = delegated()
    sub = fleet.task(ann.delegate(task, capability="demo.sub")).opened
    assert [(one.task, one.agent) for one in sub.ancestors] == [(root, "boss"), (task, "ann")]
    assert sub.charter == fleet.task(root).opened.charter
    assert sub.caller == "ann"
