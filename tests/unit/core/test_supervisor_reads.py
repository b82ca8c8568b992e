"""What a supervisor does when the log, as it was read, says other things than it knew."""

from __future__ import annotations

from typing import Any

from mesh.core import calls as c
from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core import messages as m
from mesh.core.desk import BEGINNING
from mesh.core.tasks import Phase
from mesh.core.values import Acceptance, Cause, Mode
from tests.unit.core.fleet import (
    PART,
    ROOTS,
    Fleet,
    Peer,
    bids,
    boss_and,
    decide,
    delegate,
    offered,
    sleep,
)

SUB = "demo.sub"
DIED_MS = 18_000


def delegated(**settings: Any) -> tuple[Fleet, Peer, Peer, str]:
    fleet, (boss, ann) = boss_and("ann", **settings)
    return fleet, boss, ann, boss.delegate(boss.submit())


# --- what is heard while the log is read --------------------------------------------------------


def test_a_read_that_was_overtaken_by_a_workers_word_is_repeated() -> None:
    """The worker was silent, and gave up just after the log had been read."""
    fleet, boss, ann, task = delegated()
    bob = fleet.join("bob", PART)
    fleet.lose(m.Progress, times=100)
    fleet.hold(i.LogRead, boss, times=1)
    fleet.wait(11_000)
    assert len(boss.reads) == 2, "it suspects, and reads"
    ann.finish(task, "boom")
    fleet.let_go()
    assert len(boss.reads) == 3, "what it was told is not in what it has read"
    fleet.wait(1_000)
    assert (bob.works[task].reason, fleet.task(task).cause) == ("boom", Cause.FAILED)
    assert not fleet.void()


def test_who_was_given_the_task_meanwhile_is_adopted() -> None:
    """Nobody told this node, which was paused, that another went on in its place."""
    fleet = Fleet()
    first = fleet.join("boss", ROOTS.capability, slots=0)
    second = fleet.join("boss", ROOTS.capability, retry_pause_ms=60_000)
    ann = fleet.join("ann", PART)
    first.owns()
    root = first.submit()
    task = second.delegate(root)
    ann.finish(task, "boom")
    second.up = False
    third = fleet.join("boss", ROOTS.capability)
    bob = fleet.join("bob", PART)
    fleet.wait(2 * DIED_MS)
    assert third.works[root].epoch == 2
    assert task in bob.works
    first.disowns()
    second.up = True
    second.owns(ROOTS, BEGINNING)
    assert [one.why for one in second.heard(c.Stop)] == ["lost"]
    fleet.wait(DIED_MS)
    bob.finish(task)
    third.call(root, delegate())
    third.finish(root)
    assert root in fleet.logs[0].fold.ended


def test_a_worker_that_another_supervisor_found_is_watched() -> None:
    """The root was somebody's, who gave the part to Bob and was suspended; then Bob died."""
    fleet, (boss, ann) = boss_and("ann")
    root = boss.submit()
    part = boss.delegate(root, acceptance=Acceptance.REVIEWED)
    second = fleet.join("boss", ROOTS.capability, slots=0)
    third = fleet.join("boss", ROOTS.capability)
    boss.die()
    ann.finish(part)
    fleet.wait(13_000)
    second.owns(ROOTS, BEGINNING)
    fleet.wait(1_000)
    third.call(root, delegate(acceptance=Acceptance.REVIEWED))
    bob = fleet.join("bob", PART)
    review = third.heard(c.Review)[0]
    third.give(c.Reviewed(root, third.works[root].award, part, review.child_award, "again"))
    fleet.wait(1_000)
    assert part in bob.works
    bob.call(part, sleep(ms=10**6))
    third.give_up(root)
    bob.die()
    fleet.wait(26_000)
    assert fleet.task(part).epoch == 3


# --- what is below a task that somebody else has now --------------------------------------------


def suspended() -> tuple[Fleet, Peer, Peer, Peer, str, str]:
    """Return a boss that supervises what Carl does, for Ann's task is suspended until later."""
    fleet, boss, ann, task = delegated()
    carl = fleet.join("carl", offered(SUB, lease_ms=2_000))
    sub = ann.delegate(task, capability=SUB)
    ann.call(task, sleep("1", 35_000))
    ann.waiting(task, "0", "1")
    assert fleet.task(task).phase is Phase.SUSPENDED
    assert sub in boss.node.supervisor.watches
    return fleet, boss, ann, carl, task, sub


def test_what_is_read_of_a_child_is_not_acted_on_while_its_parent_may_work() -> None:
    """Its worker fell silent; while its supervisor read, the parent was awarded once more.

    Then the parent's worker died. Its lease is over in the log, but nobody has read for the parent.
    """
    fleet, boss, ann, carl, task, sub = suspended()
    (root,) = boss.works
    fleet.wait(31_000)
    fleet.lose(m.Progress, boss, times=100)
    fleet.lose(m.Adopt, carl, times=100)
    fleet.hold(i.LogRead, boss)
    fleet.wait(5_000)
    assert ann.works[task].epoch == 2, "her sleep is over"
    ann.die()
    carl.finish(sub, "boom")
    fleet.wait(9_200)
    boss.call(root, decide("1"))
    told = fleet.story()
    fleet.let_go()
    assert fleet.task(sub).phase is Phase.OPEN
    fleet.wait(200)
    assert fleet.story() == told
    bob, dora = fleet.join("bob", PART), fleet.join("dora", SUB)
    fleet.wait(2_000)
    assert bob.works[task].epoch == 3
    fleet.wait(DIED_MS)
    assert sub in dora.works or sub in carl.works
    assert not fleet.void()


# --- who may write no more ----------------------------------------------------------------------


def test_an_auction_that_is_decided_after_its_caller_was_suspended_is_held_again_above() -> None:
    fleet, boss, ann, task = delegated()
    carl = fleet.join("carl", SUB)
    fleet.hold(m.Bid, ann)
    sub = ann.delegate(task, capability=SUB, mode=Mode.AUCTION)
    ann.give_up(task)
    assert not ann.node.worker.jobs
    fleet.let_go()
    assert not ann.node.supervisor.watches
    fleet.wait(1_000)
    assert carl.works[sub].epoch == 1
    assert [fact.by for fact in fleet.facts(f.TaskAwarded)] == [boss.me]
    assert not fleet.void()


def test_an_own_award_that_counts_when_the_task_is_given_away_frees_its_slot() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit()
    boss.finish(task, "boom")
    fleet.hold(f.TaskAwarded)
    fleet.wait(300)
    assert boss.node.worker.held_slots == 1
    boss.disowns(lost=True)
    fleet.let_go()
    assert (boss.node.worker.held_slots, boss.node.worker.jobs) == (0, {})
    assert boss.works[task].epoch == 1, "it runs out, and is found by who takes the partition"


def test_an_end_that_counts_when_the_task_is_given_away_is_the_successors_to_tell() -> None:
    fleet, (boss,) = boss_and()
    heir = fleet.join("boss", ROOTS.capability)
    task = boss.submit(defect="no total")
    fleet.hold(f.TaskRejected)
    other = boss.submit(defect="no sum")
    boss.disowns(lost=True)
    fleet.let_go()
    assert {task, other} <= set(fleet.logs[0].fold.ended)
    assert not boss.node.supervisor.watches
    heir.owns()
    assert not heir.node.supervisor.watches


def test_an_opening_whose_partition_is_lost_in_the_same_moment_is_adopted_later() -> None:
    """The report passes another's over: that one may never have been opened."""
    fleet, (boss,) = boss_and()
    ann = fleet.join("boss", ROOTS.capability)
    fleet.lose(f.TaskOpened)
    first = boss.submit(named_agent="boss")
    second = boss.submit()
    assert first
    assert not boss.heard(c.Start, second)
    fleet.wait(2 * DIED_MS)
    assert second in boss.works or second in ann.works
    assert first in boss.works or first in ann.works
    assert not fleet.void()


# --- slots --------------------------------------------------------------------------------------


def test_who_won_its_own_auction_and_has_no_slot_any_more_waits_for_one() -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability, PART, bidder=bids(price=1), slots=2)
    fleet.join("ann", PART, bidder=bids(price=90))
    boss.owns()
    root = boss.submit()
    fleet.hold(m.Bid)
    task = boss.delegate(root, mode=Mode.AUCTION)
    other = boss.submit()
    fleet.let_go()
    assert other in boss.works
    assert task not in boss.works
    boss.finish(other)
    assert task in boss.works
    boss.call(task, decide())
    assert boss.node.worker.free_slots == 0
