"""Task partitions: who supervises them, what is opened, and what is committed."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.core import calls as c
from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core.ids import workflow_id
from mesh.core.policy import Policy
from mesh.core.settings import EVENT_WINDOW_MS
from mesh.core.tasks import Header
from mesh.core.values import Acceptance, Amount, Mode, Status
from tests.unit.core.fleet import (
    BUDGET,
    MORE_ROOTS,
    ROOTS,
    Fleet,
    Peer,
    body,
    boss_and,
    offered,
    request,
    use,
)

COMMIT_MS = 600
LEASE_MS = 6_000  # of a supervision
TAKEN_OVER_MS = 20_000
"""A supervision runs out, and the award that was running below it."""


def worked(**settings: Any) -> tuple[Fleet, Peer, str]:
    """Return a boss at work on a root task."""
    fleet, (boss,) = boss_and(**settings)
    return fleet, boss, boss.submit()


def two_bosses(**settings: Any) -> tuple[Fleet, Peer, Peer]:
    """Return one that owns the root tasks' partition, and one that may take its place."""
    fleet = Fleet(**settings)
    old, new = fleet.join("boss", ROOTS.capability), fleet.join("boss", ROOTS.capability)
    old.owns()
    return fleet, old, new


def offsets(peer: Peer) -> list[int]:
    """Return the offsets that were committed."""
    return [one.offset for one in peer.commits if isinstance(one, e.CommitOffset)]


def header(peer: Peer) -> Header:
    """Return where a successor begins to read."""
    return [one.header for one in peer.commits if isinstance(one, e.CommitOffset)][-1]


def noted(old: Peer) -> tuple[str, ...]:
    """Return what the entries of `M.open` are."""
    open_now: dict[str, None] = {}
    for one in old.messages:
        if isinstance(one, e.PutOpen):
            open_now[one.workflow] = None
        elif isinstance(one, e.DropOpen):
            del open_now[one.workflow]
    return tuple(open_now)


def tenure_state(peer: Peer) -> str:
    return peer.node.partitions.tenures[ROOTS].state


# --- taking a supervision -----------------------------------------------------------------------


def test_supervision_is_taken_and_read_through_before_anything_is_opened() -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability)
    fleet.hold(i.LogRead)
    boss.owns()
    assert boss.submit() == "", "what comes before waits"
    assert boss.reads[0].through == 0, "it reads through its own taking"
    assert fleet.story() == ["SupervisionTaken boss-1"]
    fleet.let_go()
    assert fleet.story() == ["SupervisionTaken boss-1", "TaskOpened boss-1"]


def test_a_taking_while_anothers_lease_runs_waits_for_its_end() -> None:
    fleet, old, new = two_bosses()
    old.submit()
    old.die()
    new.owns()
    assert fleet.story()[-1] == "void SupervisionTaken boss-2"
    assert tenure_state(new) == "waiting"
    fleet.wait(LEASE_MS + 400)
    assert tenure_state(new) == "waiting"
    fleet.wait(200)
    assert tenure_state(new) == "held"


def test_a_partition_that_was_revoked_meanwhile_is_not_taken_again() -> None:
    fleet, old, new = two_bosses()
    old.die()
    new.owns()
    new.disowns()
    fleet.wait(TAKEN_OVER_MS)
    assert len(fleet.facts(f.SupervisionTaken)) == 2


def test_a_taking_that_is_not_reported_is_repeated() -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability)
    fleet.lose(f.SupervisionTaken)
    boss.owns()
    fleet.wait(2 * LEASE_MS)
    assert len(fleet.facts(f.SupervisionTaken)) == 2
    assert tenure_state(boss) == "held"
    assert boss.submit()


def test_of_two_takings_the_later_holds() -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability)
    fleet.hold(f.SupervisionTaken)
    boss.owns()
    fleet.wait(2 * LEASE_MS)
    fleet.let_go()
    tenure = boss.node.partitions.tenures[ROOTS]
    assert (tenure.state, tenure.position) == ("held", 1)
    boss.submit()
    assert not fleet.void()


def test_a_reading_that_is_overtaken_by_another_taking_is_passed_over() -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability)
    fleet.hold(i.LogRead)
    boss.owns()
    fleet.wait(2 * LEASE_MS)
    boss.disowns()
    fleet.let_go()
    assert not boss.node.partitions.tenures


def test_what_was_revoked_while_its_taking_was_on_its_way_is_not_read() -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability)
    fleet.hold(f.SupervisionTaken)
    boss.owns()
    boss.disowns()
    fleet.let_go()
    assert not boss.reads


def test_a_supervision_that_nobody_took_at_that_place_is_taken_again() -> None:
    """The report was passed over, so that its place is not known."""
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability, MORE_ROOTS.capability.replace("root", "more"))
    fleet.lose(f.SupervisionTaken)
    boss.owns()
    boss.owns(MORE_ROOTS)
    fleet.wait(2 * LEASE_MS)
    assert tenure_state(boss) == "held"


def test_a_taking_that_the_log_holds_for_a_repeat_is_written_again() -> None:
    """A twin of this very incarnation has written before: one of them had to be void."""
    fleet, (boss,) = boss_and()
    boss._sequences.clear()
    boss.owns(MORE_ROOTS)
    assert fleet.void() == ["repeats an earlier fact of its emitter"]
    assert boss.node.partitions.tenures[MORE_ROOTS].state == "waiting"
    fleet.wait(fleet.settings.clock_skew_ms)
    assert boss.submit(MORE_ROOTS) in boss.works


# --- keeping it ---------------------------------------------------------------------------------


def test_supervision_is_renewed_while_tasks_are_open() -> None:
    fleet, boss, task = worked()
    fleet.wait(10_000)
    assert len(fleet.facts(f.SupervisionRenewed)) == 5
    boss.finish(task)
    fleet.wait(20_000)
    assert len(fleet.facts(f.SupervisionRenewed)) <= 6, "with nothing open it may lapse"


def test_a_supervision_that_lapsed_is_taken_by_the_next_task() -> None:
    fleet, (boss,) = boss_and()
    fleet.wait(20_000)
    assert not fleet.facts(f.SupervisionRenewed)
    boss.submit()
    assert fleet.story() == ["SupervisionTaken boss-1"] * 2 + ["TaskOpened boss-1"]
    assert boss.works
    fleet.wait(20_000)
    boss.submit()
    assert fleet.story().count("SupervisionTaken boss-1") == 2, "open tasks are renewed for"


def test_a_partition_that_others_renew_at_the_same_time_is_its_own_affair() -> None:
    fleet, (boss,) = boss_and()
    boss.owns(MORE_ROOTS)
    boss.submit()
    fleet.wait(6_500)
    assert {fact.source for fact in fleet.facts(f.SupervisionRenewed)} == {ROOTS}


def test_a_lost_supervision_is_taken_again_and_its_records_are_opened_again() -> None:
    fleet, (boss,) = boss_and()
    boss.stall()
    boss.submit()
    boss.submit()
    fleet.wait(7_000)
    boss.flow()
    assert fleet.story() == [
        "SupervisionTaken boss-1",
        "void TaskOpened boss-1",
        "void TaskOpened boss-1",
        "SupervisionTaken boss-1",
        "TaskOpened boss-1",
        "TaskOpened boss-1",
    ]
    assert len(boss.works) == 2
    opened = [fact.offset for fact in fleet.facts(f.TaskOpened)]
    assert opened == [0, 1, 0, 1], "in their order"


def test_a_renewal_that_comes_too_late_loses_it_and_what_is_open_goes_on() -> None:
    fleet, boss, task = worked()
    boss.stall()
    fleet.wait(7_000)
    boss.flow()
    assert [kind.split()[0] for kind in fleet.story()] == [
        "SupervisionTaken", "TaskOpened", "SupervisionTaken",
    ]  # fmt: skip
    assert tenure_state(boss) == "held"
    boss.finish(task)
    assert fleet.end(task).status is Status.COMPLETED
    fleet.wait(COMMIT_MS)
    assert offsets(boss) == [1]


def test_an_unfinished_renewal_of_a_partition_that_is_gone_does_nothing() -> None:
    fleet, boss, _ = worked()
    fleet.hold(f.SupervisionRenewed)
    fleet.wait(2_500)
    boss.disowns()
    fleet.let_go()
    assert not boss.node.partitions.tenures


# --- giving it up -------------------------------------------------------------------------------


def test_who_is_told_in_time_commits_and_releases() -> None:
    fleet, old, new = two_bosses()
    task = old.submit()
    old.finish(task)
    old.submit()
    old.disowns()
    assert offsets(old) == [1]
    assert fleet.story()[-1] == "SupervisionReleased boss-1"
    new.owns(ROOTS, header(old))
    assert tenure_state(new) == "held", "and the next one need not wait"


def test_who_is_told_too_late_writes_nothing() -> None:
    fleet, boss, _ = worked()
    before = fleet.story()
    boss.disowns(lost=True)
    boss.disowns(lost=True)
    assert fleet.story() == before
    assert not offsets(boss)
    assert not boss.node.supervisor.watches
    assert boss.node.worker.jobs, "but its work goes on"


def test_records_that_wait_are_forgotten_with_the_partition() -> None:
    fleet, (boss,) = boss_and()
    boss.owns(MORE_ROOTS)
    boss.stall()
    boss.submit()
    boss.submit(MORE_ROOTS)
    boss.disowns()
    assert len(boss.node.partitions._requests) == 1
    boss.flow()
    assert len(boss.works) == 1
    assert not fleet.void()


def test_a_record_of_a_partition_that_is_gone_is_passed_over() -> None:
    fleet, (boss,) = boss_and()
    boss.disowns()
    boss.submit()
    boss.give(i.Skipped(ROOTS, 1))
    assert not fleet.facts(f.TaskOpened)


# --- opening ------------------------------------------------------------------------------------


def test_a_root_task_is_opened_with_the_cards_figures() -> None:
    fleet = Fleet()
    budget = Amount(9, 9, 9, 9, 9)
    own = offered(ROOTS.capability, budget=budget, timeout_ms=7_000, lease_ms=900, max_attempts=2)
    boss = fleet.join("boss", own)
    boss.owns()
    task = boss.submit()
    opened = fleet.task(task).opened
    assert task == workflow_id(ROOTS, 0, "", 1)
    assert (opened.grant, opened.max_attempts, opened.lease_ms) == (budget, 2, 900)
    assert opened.deadline_ms == fleet.now_ms + 7_000
    assert (opened.mode, opened.acceptance) == (Mode.DIRECT, Acceptance.AUTOMATIC)


def test_what_the_record_asks_for_goes_before_the_cards() -> None:
    fleet, (boss,) = boss_and()
    asked = Amount(5, 5, 5, 5, 5)
    task = boss.submit(
        budget=asked, timeout_ms=1_000, mode=Mode.NAMED, named_agent="boss", correlation_id="c"
    )
    opened = fleet.task(task).opened
    assert (opened.grant, opened.mode, opened.named_agent) == (asked, Mode.NAMED, "boss")
    assert opened.deadline_ms == fleet.now_ms + 1_000


def test_who_does_not_offer_it_opens_with_the_settings() -> None:
    fleet = Fleet()
    boss = fleet.join("boss")
    boss.owns()
    task = boss.submit()
    opened = fleet.task(task).opened
    assert (opened.grant, opened.max_attempts) == (BUDGET, fleet.settings.max_attempts)
    assert opened.lease_ms == fleet.settings.work_lease_ms


def test_a_defect_is_opened_and_rejected_so_that_the_log_tells_of_it() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit(defect="no total", defect_field="/total", reply_topic="r")
    assert fleet.story(task) == ["TaskOpened boss-1", "TaskRejected boss-1"]
    (rejected,) = fleet.facts(f.TaskRejected)
    assert (rejected.reason, rejected.field) == ("no total", "/total")
    (reply,) = boss.said(e.Reply)
    assert (reply.status, reply.error) == ("rejected", "/total: no total")


def test_a_request_above_the_ceiling_is_rejected() -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability, policy=Policy(mesh=Amount(1, 1, 1, 1, 1)))
    boss.owns()
    boss.submit()
    (rejected,) = fleet.facts(f.TaskRejected)
    assert rejected.field == "budget.micro_usd"


def test_a_record_that_waited_too_long_is_opened_and_expires() -> None:
    fleet, (boss,) = boss_and()
    boss.give(i.Submitted(ROOTS, 0, fleet.now_ms - 700_000, request()))
    fleet.wait(1_000)
    assert fleet.story()[-2:] == ["TaskOpened boss-1", "TaskExpired boss-1"]
    assert not boss.works


# --- answering ----------------------------------------------------------------------------------


def test_a_submitter_who_asked_is_answered_when_the_end_counts() -> None:
    fleet, boss, _ = worked()
    task = boss.submit(reply_topic="m.replies.eve", correlation_id="7")
    fleet.hold(f.WorkFinished)
    boss.finish(task)
    assert not boss.said(e.Reply)
    fleet.let_go()
    (reply,) = boss.said(e.Reply)
    assert (reply.topic, reply.correlation_id, reply.workflow) == ("m.replies.eve", "7", task)
    assert (reply.status, reply.result) == ("completed", body("result").content)


def test_a_repeat_by_event_id_is_answered_not_run() -> None:
    fleet, boss, _ = worked()
    task = boss.submit(event_id="e", reply_topic="r", correlation_id="1")
    boss.submit(event_id="e", reply_topic="r", correlation_id="2")
    assert boss.submit(event_id="e", reply_topic="r", correlation_id="2") == ""
    boss.finish(task)
    assert [one.correlation_id for one in boss.said(e.Reply)] == ["1", "2"]
    boss.submit(event_id="e", reply_topic="r", correlation_id="3")
    assert [one.correlation_id for one in boss.said(e.Reply)] == ["1", "2", "3"]
    assert len(fleet.facts(f.TaskOpened)) == 2


def test_an_event_is_run_again_once_the_log_has_forgotten_it() -> None:
    fleet, (boss, ann) = boss_and("ann")

    def runs(event_id: str) -> str:
        task = boss.submit(event_id=event_id)
        part = boss.delegate(task)
        ann.call(part, use())
        ann.done(part)
        ann.finish(part)
        boss.finish(task)
        return task

    first = runs("e")
    assert boss.submit(event_id="e") == ""
    fleet.skip(EVENT_WINDOW_MS + 100_000)
    runs("other")
    assert runs("e") == first, "under its name, with the keys of its effects"
    assert len(ann.heard(c.Perform)) == 3
    assert [one.key for one in ann.heard(c.Perform)][2] == ann.heard(c.Perform)[0].key
    assert len(fleet.facts(f.WorkFinished)) == 6
    fleet.wait(EVENT_WINDOW_MS // 2)
    assert boss.submit(event_id="e") == ""


def test_ends_without_an_event_are_remembered_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mesh.core.partitions.KEPT_ENDS", 2)
    _, (boss,) = boss_and()
    for _ in range(4):
        boss.finish(boss.submit())
    assert len(boss.node.desk.ledger_of(0).ended) == 2
    assert boss.submit(offset=3) == "", "the latest are answered"


# --- the rest -----------------------------------------------------------------------------------


def test_a_tenure_shows_itself() -> None:
    _, boss, _ = worked()
    (tenure,) = boss.node.partitions.tenures.values()
    assert repr(tenure) == f"Tenure({ROOTS} held open=1 queue=0)"


def test_ends_of_what_is_nobodys_any_more_are_told_to_nobody() -> None:
    fleet, boss, task = worked()
    boss.node.partitions.root_ended("0-unknown")
    boss.node.partitions.root_opened(fleet.task(task).opened, "")
    assert not boss.said(e.Reply)
