"""When a supervisor looks again at a task, and that a watch ends with it."""

from __future__ import annotations

from mesh.core import calls as c
from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.values import Mode, TaskPartition
from mesh.core.watches import Roots
from tests.unit.core.fleet import PART, ROOTS, Fleet, Peer, boss_and

OTHER = TaskPartition("demo.other", 0)


def delegated() -> tuple[Fleet, Peer, Peer, str, str]:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    return fleet, boss, ann, task, boss.delegate(task)


# --- when to look -------------------------------------------------------------------------------


def test_what_goes_well_is_not_looked_at() -> None:
    fleet, boss, _, _, child = delegated()
    before = boss.node.supervisor.watches[child].due_ms
    fleet.wait(4_000)
    assert boss.node.supervisor.watches[child].due_ms == before
    assert len(boss.reads) == 1, "the log is read when it takes the supervision, and never again"


def test_a_cancellation_that_is_not_answered_is_repeated_now_and_then() -> None:
    fleet, (boss, ann) = boss_and("ann")
    boss.delegate(boss.submit(), timeout_ms=6_000)
    ann.obedient = False
    fleet.wait(9_900)
    assert len(boss.sent(m.Cancel)) == 2, "one each two seconds after the deadline"


def test_nothing_is_looked_at_when_nothing_is_supervised() -> None:
    fleet, boss, ann, task, child = delegated()
    ann.finish(child)
    boss.finish(task)
    fleet.wait(1_000)
    assert not boss.node.supervisor.watches
    assert not boss.node.supervisor._sweeping


# --- what a watch shows and holds ---------------------------------------------------------------


def test_a_watch_shows_itself() -> None:
    _, boss, _, _, child = delegated()
    watch = boss.node.supervisor.watches[child]
    watch.busy = watch.adopting = True
    assert repr(watch) == f"Watch({child} busy adopting due={watch.due_ms})"


def test_a_watch_ends_with_its_task_and_nothing_is_kept() -> None:
    _, boss, ann, task, child = delegated()
    ann.finish(child)
    assert set(boss.node.supervisor.watches) == {task}
    boss.finish(task)
    assert not boss.node.supervisor.watches
    assert not boss.node.desk._homes
    assert not ann.node.desk._homes


def test_roots_that_nobody_keeps_are_heard_of_by_nobody() -> None:
    fleet, boss, _, task, _ = delegated()
    roots = Roots()
    roots.root_opened(fleet.task(task).opened, "")
    roots.root_suspended(task)
    roots.root_ended(task)
    assert boss.node.supervisor.roots is boss.node.partitions


# --- slots of its own ---------------------------------------------------------------------------


def test_an_award_to_itself_holds_a_slot_from_the_choice_on() -> None:
    fleet, (boss,) = boss_and(slots=1)
    fleet.hold(f.TaskOpened)
    boss.submit()
    assert boss.node.worker.free_slots == 0
    boss.submit()
    assert fleet.facts(f.TaskOpened)[1].award is None, "there is one slot only"
    fleet.let_go()
    assert boss.node.worker.free_slots == 0
    assert boss.node.worker.held_slots == 0


def test_a_task_that_found_no_slot_is_begun_when_one_is_free() -> None:
    fleet, (boss,) = boss_and(slots=1)
    first, second = boss.submit(), boss.submit()
    assert second not in boss.works
    boss.finish(first)
    assert second in boss.works
    assert len(fleet.facts(f.TaskAwarded)) == 1


def test_of_two_that_found_no_slot_the_older_is_begun() -> None:
    _, (boss,) = boss_and(slots=1)
    first, second, third = boss.submit(), boss.submit(), boss.submit()
    boss.finish(first)
    assert second in boss.works
    assert third not in boss.works


def test_who_waits_for_an_absent_agent_keeps_no_slot_from_the_others() -> None:
    fleet, (boss,) = boss_and(slots=2)
    first = boss.submit()
    child = boss.delegate(first, mode=Mode.NAMED, named_agent="bob")
    second, third = boss.submit(), boss.submit()
    assert third not in boss.works
    boss.finish(second)
    assert third in boss.works, "at once"
    bob = fleet.join("bob", PART)
    assert child in bob.works


def test_kinds_of_tasks_that_wait_for_a_slot_take_turns() -> None:
    fleet = Fleet(slots=1)
    boss = fleet.join("boss", ROOTS.capability, OTHER.capability)
    boss.owns()
    boss.owns(OTHER)
    first = boss.submit()
    roots = [boss.submit(), boss.submit()]
    others = [boss.submit(OTHER), boss.submit(OTHER)]
    for done, begun in zip(
        [first, roots[0], others[0]], [roots[0], others[0], roots[1]], strict=True
    ):
        boss.finish(done)
        assert begun in boss.works
    assert others[1] not in boss.works


def test_a_slot_is_given_back_if_the_award_does_not_count() -> None:
    fleet, (boss,) = boss_and(slots=1)
    fleet.now_ms += 1
    boss.stall()
    boss.submit()
    assert boss.node.worker.held_slots == 1
    fleet.wait(8_000)
    boss.flow()
    assert fleet.void()
    fleet.wait(8_000)
    assert boss.node.worker.held_slots == 0
    assert boss.works, "it took the supervision again, and opened the record again"


# --- the end of what is read to have ended ------------------------------------------------------


def overtaken() -> tuple[Fleet, Peer, str]:
    """Return Ann, whose appends were held up until Bob had done her task, and whom that escaped.

    She supervises two parts of it: one is worked on, the other in auction.
    """
    fleet, (boss, ann) = boss_and("ann", bids_wait_ms=60_000, bids_wait_max_ms=60_000)
    fleet.join("carl", "demo.sub")
    dora = fleet.join("dora", "demo.deep")
    fleet.lose(m.CallForBids, dora)
    task = boss.delegate(boss.submit())
    ann.delegate(task, "0", capability="demo.sub")
    in_auction = ann.delegate(task, "1", capability="demo.deep", mode=Mode.AUCTION)
    bob = fleet.join("bob", PART)
    ann.stall()
    fleet.wait(13_000)
    bob.finish(task)
    return fleet, ann, in_auction


def test_what_the_log_has_ended_is_let_go_when_it_is_read() -> None:
    fleet, ann, in_auction = overtaken()
    assert fleet.facts(f.WorkFinished)
    assert ann.node.worker.jobs
    fleet.wait(8_000)
    assert [one.why for one in ann.heard(c.Stop)] == ["lost"]
    assert set(ann.node.supervisor.watches) == {in_auction}


def test_an_auction_whose_task_the_log_has_ended_holds_nothing() -> None:
    fleet, ann, _ = overtaken()
    fleet.wait(60_000)
    assert not ann.node.supervisor.watches
    assert not ann.node.desk._homes
