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
from mesh.core.values import Mode, Status
from mesh.core.worker import restart_of
from mesh.errors import IllegalMove
from tests.unit.core.fleet import (
    PART,
    Fleet,
    Peer,
    boss_and,
    decide,
    sleep,
)

DIED_MS = 18_000
LEAF = "demo.leaf"


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
    assert ann.refusals == ["a later award is known"]
    ann.finish(task)
    assert not fleet.void()


def test_nor_does_it_where_the_later_one_was_lost_meanwhile() -> None:
    fleet, (boss, ann) = boss_and("ann")
    fleet.hold(m.Award, ann, times=1)
    task = boss.delegate(boss.submit())
    fleet.wait(DIED_MS)
    below = ann.delegate(task, capability=PART)
    ann.node.worker.lose(ann.node.worker.jobs[task])
    fleet.let_go()
    assert ann.works[task].epoch == 2
    assert below in ann.node.desk.ledger(task).tasks
    assert ann.refusals == ["a later award is known"]


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


def test_an_award_of_a_task_that_was_read_of_before_is_begun_as_it_is_awarded() -> None:
    """Ann had read of it when it was open still: nobody had a slot."""
    fleet, (boss,) = boss_and()
    ann, dora = fleet.join("ann", PART, LEAF), fleet.join("dora", "demo.sub")
    task = boss.delegate(boss.submit())
    sub = ann.delegate(task, capability="demo.sub")
    fleet.announce(ann, load=fleet.settings.slots)
    leaf = dora.delegate(sub, capability=LEAF)
    assert leaf not in ann.works
    fleet.lose(m.Progress, ann, times=100)
    fleet.wait(14_000)
    assert ann.node.desk.ledger(leaf).tasks[leaf].phase is Phase.OPEN
    fleet.announce(ann, load=1)
    fleet.wait(2_000)
    assert ann.works[leaf].epoch == 1
    ann.finish(leaf)
    assert dora.results(sub)["0"].status is Status.COMPLETED
    assert not fleet.void()


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
