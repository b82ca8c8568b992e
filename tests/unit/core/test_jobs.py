"""Awards that a node holds: their leases are renewed, and what is lost ends without a word."""

from __future__ import annotations

import pytest

from mesh.core import calls as c
from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.values import Status
from tests.unit.core.fleet import PART, Fleet, Peer, boss_and, decide, offered, sleep, use

LEASE_MS = 10_000


def delegated() -> tuple[Fleet, Peer, Peer, str]:
    fleet, (boss, ann) = boss_and("ann")
    return fleet, boss, ann, boss.delegate(boss.submit())


def lost(peer: Peer) -> bool:
    """Tell whether a worker was told that its award is gone, and forgot it."""
    return [one.why for one in peer.heard(c.Stop)] == ["lost"] and not peer.node.worker.jobs


# --- leases -------------------------------------------------------------------------------------


def test_a_quiet_worker_renews_its_lease_each_third() -> None:
    fleet, _, ann, task = delegated()
    fleet.wait(3 * LEASE_MS)
    mine = [fact for fact in fleet.facts(f.LeaseRenewed) if fact.by == ann.me]
    assert len(mine) in (6, 7, 8, 9)
    ann.finish(task)
    assert not fleet.void()


def test_steps_renew_it_too() -> None:
    fleet, _, ann, task = delegated()
    for number in range(8):
        ann.call(task, decide(str(number)))
        fleet.wait(2_000)
    assert not [fact for fact in fleet.facts(f.LeaseRenewed) if fact.by == ann.me]
    assert ann.works[task].epoch == 1


def test_one_renewal_names_all_quiet_awards() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    awards = [ann.works[boss.delegate(task, str(number))].award for number in range(3)]
    fleet.wait(6_000)
    (fact,) = [fact for fact in fleet.facts(f.LeaseRenewed) if fact.by == ann.me]
    assert sorted(fact.awards) == sorted(awards)
    assert len(ann.sent(m.Progress)) == 3, "and each supervisor is told"


def test_who_supervises_its_own_work_tells_nobody() -> None:
    fleet, (boss,) = boss_and()
    boss.submit()
    fleet.wait(6_000)
    assert fleet.facts(f.LeaseRenewed)
    assert not boss.sent(m.Progress)


def test_nothing_is_renewed_when_nothing_is_held() -> None:
    fleet, _, ann, task = delegated()
    fleet.wait(6_000)
    ann.finish(task)
    fleet.wait(60_000)
    assert len([fact for fact in fleet.facts(f.LeaseRenewed) if fact.by == ann.me]) == 1


def test_a_renewal_that_comes_too_late_loses_the_award() -> None:
    fleet, _, ann, _ = delegated()
    ann.stall()
    fleet.wait(LEASE_MS + 1_000)
    assert ann.node.worker.jobs
    ann.flow()
    assert lost(ann)


def test_a_last_fact_whose_report_passes_a_lost_one_over_is_told_all_the_same() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit(reply_topic="m.replies.eve", correlation_id="c1")
    fleet.lose(f.LeaseRenewed, boss)
    fleet.wait(LEASE_MS // 2)
    boss.finish(task)
    assert fleet.end(task).status is Status.COMPLETED
    assert [reply.status for reply in boss.said(e.Reply)] == ["completed"]


@pytest.mark.parametrize(("before_end_ms", "is_lost"), [(600, False), (400, True)])
def test_a_renewal_counts_for_its_holder_up_to_the_margin(
    before_end_ms: int, is_lost: bool
) -> None:
    fleet, _, ann, _ = delegated()
    ann.stall()
    fleet.wait(LEASE_MS - before_end_ms)
    ann.flow()
    assert lost(ann) is is_lost
    assert not fleet.void(), "history has no margin"


def test_no_renewal_lasts_beyond_the_deadline() -> None:
    fleet, (boss, ann) = boss_and("ann")
    child = boss.delegate(boss.submit(), timeout_ms=6_000)
    ann.obedient = False
    fleet.wait(12_500)
    assert [one.why for one in ann.heard(c.Stop)] == ["cancelled", "lost"]
    assert fleet.story(child)[-1] == "TaskExpired boss-1"


def test_nothing_is_renewed_after_the_fact_that_gives_it_up() -> None:
    fleet, _, ann, task = delegated()
    fleet.hold(f.WorkFinished, ann)
    ann.finish(task)
    fleet.wait(6_000)
    assert not [fact for fact in fleet.facts(f.LeaseRenewed) if fact.by == ann.me]


# --- what must not be acted on ------------------------------------------------------------------


def test_a_step_whose_report_comes_too_late_is_not_done() -> None:
    fleet, _, ann, task = delegated()
    ann.stall()
    ann.call(task, use())
    fleet.wait(LEASE_MS - 400)
    ann.flow()
    assert not ann.heard(c.Perform), "it lies within the difference between two clocks of the end"
    assert lost(ann)
    assert fleet.task(task).steps["0"].result is None


def test_a_step_whose_report_is_passed_over_is_not_done() -> None:
    fleet, _, ann, task = delegated()
    fleet.lose(f.StepBegun, ann)
    ann.call(task, use())
    ann.call(task, decide("1"))
    assert not ann.heard(c.Perform)
    assert lost(ann), "it may count, so nothing else may be done under the award"


def test_reports_of_a_job_that_was_lost_do_nothing() -> None:
    fleet, _, ann, task = delegated()
    fleet.lose(f.DecisionRecorded, ann)
    ann.call(task, decide())
    fleet.wait(6_000)
    assert fleet.facts(f.LeaseRenewed), "its report passes the decision's over"
    assert not ann.sent(m.Progress)
    assert lost(ann)


def test_an_award_is_lost_once() -> None:
    _, _, ann, task = delegated()
    job = ann.node.worker.jobs[task]
    ann.node.worker.lose(job)
    ann.node.worker.lose(job)
    assert not ann.node.worker.jobs


def test_what_an_ancestors_end_has_ended_is_let_go_at_the_next_word() -> None:
    _, _, ann, task = delegated()
    ledger = ann.node.desk.ledger(task)
    ledger.forget(ledger.tasks[task])
    ann.call(task, decide())
    assert lost(ann)


def test_a_result_that_counts_is_told_even_if_a_renewal_was_passed_over() -> None:
    fleet, boss, ann, task = delegated()
    fleet.lose(f.LeaseRenewed, ann)
    fleet.wait(6_000)
    ann.finish(task)
    assert not ann.heard(c.Stop)
    assert len(ann.sent(m.Outcome)) == 1
    assert task not in boss.node.supervisor.watches


@pytest.mark.parametrize("lease_ms", [1_500, 2_000, 5_000])
def test_a_short_lease_is_renewed_in_time_beside_a_long_one(lease_ms: int) -> None:
    fleet, (boss,) = boss_and()
    ann = fleet.join("ann", PART, offered("demo.short", lease_ms=lease_ms))
    root = boss.submit()
    tasks = boss.delegate(root, "0"), boss.delegate(root, "1", capability="demo.short")
    fleet.wait(30_000)
    assert [ann.works[task].epoch for task in tasks] == [1, 1]
    assert not ann.heard(c.Stop)
    assert not fleet.void()


def test_a_wait_that_is_told_before_its_step_is_in_the_log_counts_once_it_is() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit()
    fleet.hold(f.StepBegun)
    boss.call(task, sleep("0", 60_000))
    boss.waiting(task, "0", since_ms=fleet.now_ms)
    assert not boss.heard(c.Stop)
    fleet.let_go()
    assert [one.why for one in boss.heard(c.Stop)] == ["suspended"]
    assert fleet.task(task).waiting_for[0].kind == "sleep"


# --- memory -------------------------------------------------------------------------------------


def test_awards_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.core.jobs.KEPT", 2)
    _, (boss, ann) = boss_and("ann")
    task = boss.submit()
    for number in range(3):
        ann.finish(boss.delegate(task, str(number)))
    assert len(ann.node.worker._seen) == 2


def test_a_job_shows_itself() -> None:
    _, _, ann, task = delegated()
    ann.call(task, use())
    (job,) = ann.node.worker.jobs.values()
    assert repr(job) == f"Job({task}@{job.award} running open=['0'])"
