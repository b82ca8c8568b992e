"""What a successor finds of a task partition in the log, and goes on with."""

from __future__ import annotations

from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core.settings import EVENT_WINDOW_MS
from mesh.core.tasks import Header
from mesh.core.values import Status
from tests.unit.core.fleet import (
    MORE_ROOTS,
    PART,
    ROOTS,
    boss_and,
    sleep,
)
from tests.unit.core.test_partitions import (
    COMMIT_MS,
    TAKEN_OVER_MS,
    header,
    noted,
    offsets,
    two_bosses,
)

# --- recovery -----------------------------------------------------------------------------------


def test_a_successor_goes_on_with_every_open_task() -> None:
    fleet, old, new = two_bosses()
    task = old.submit(reply_topic="r", correlation_id="7")
    old.call(task, sleep("0", 10**6))
    old.die()
    new.owns()
    fleet.wait(TAKEN_OVER_MS)
    assert new.works[task].attempt == 1
    new.finish(task)
    (reply,) = new.said(e.Reply)
    assert reply.correlation_id == "7"


def test_what_ends_while_the_log_is_read_after_a_retaking_is_answered() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit(reply_topic="r", correlation_id="7")
    boss.stall()
    fleet.wait(7_000)  # the supervision is over, the award is not
    fleet.hold(i.LogRead, boss)
    boss.flow()
    boss.finish(task)
    assert fleet.end(task).status is Status.COMPLETED
    assert not boss.said(e.Reply)
    fleet.let_go()
    (reply,) = boss.said(e.Reply)
    assert reply.correlation_id == "7"
    assert not boss.node.partitions.tenures[ROOTS].open


def test_a_successor_answers_for_what_has_ended() -> None:
    fleet, old, new = two_bosses()
    task = old.submit(reply_topic="r", correlation_id="7")
    old.finish(task)
    old.die()
    new.owns()
    fleet.wait(TAKEN_OVER_MS)
    assert new.submit(offset=0, reply_topic="r", correlation_id="7") == ""
    (reply,) = new.said(e.Reply)
    assert reply.workflow == task
    fleet.wait(COMMIT_MS)
    assert offsets(new) == [1]


def test_what_ended_before_its_record_came_again_is_found_by_the_next_successor() -> None:
    fleet, old, new = two_bosses()
    first, second = old.submit(), old.submit()
    old.finish(second)
    old.die()
    new.owns()
    fleet.wait(TAKEN_OVER_MS)
    new.submit(offset=0)
    new.finish(first)
    fleet.wait(COMMIT_MS)
    assert offsets(new) == [1]
    new.die()
    old.reboot()
    old.owns(ROOTS, header(new))
    fleet.wait(TAKEN_OVER_MS)
    assert old.submit(offset=1) == "", "it is not run a second time"


def test_a_record_that_a_successor_is_given_again_is_not_opened_again() -> None:
    fleet, old, new = two_bosses()
    task = old.submit()
    old.disowns()
    new.owns()
    assert new.submit(offset=0) == ""
    old.finish(task)
    assert fleet.end(task)
    fleet.wait(COMMIT_MS)
    assert offsets(new) == [1]


def test_a_successor_answers_the_repeat_of_an_event_that_it_found_open() -> None:
    fleet, old, new = two_bosses()
    task = old.submit(event_id="e", reply_topic="r", correlation_id="1")
    old.disowns()
    new.owns()
    old.finish(task)
    assert new.submit(event_id="e", reply_topic="r", correlation_id="2") == ""
    assert [one.correlation_id for one in new.said(e.Reply)] == ["1", "2"]
    fleet.wait(60_000)
    new.finish(new.submit())
    fleet.wait(COMMIT_MS)
    assert header(new).offset == 0, "and so will the next one"


def test_another_partitions_tasks_are_not_taken_over() -> None:
    _, old, new = two_bosses()
    old.owns(MORE_ROOTS)
    old.submit(MORE_ROOTS)
    old.disowns()
    new.owns()
    assert not new.node.partitions.tenures[ROOTS].open


def test_an_end_of_another_partition_says_nothing_of_this_ones_records() -> None:
    """A reader may hand over more than was asked for."""
    fleet, old, new = two_bosses()
    old.owns(MORE_ROOTS)
    old.finish(old.submit(MORE_ROOTS))
    elsewhere = old.submit(MORE_ROOTS)
    old.finish(elsewhere)
    old.disowns()
    fleet.hold(i.LogRead, new)
    new.owns()
    (held,) = fleet.held
    (read,) = new.reads
    more = fleet.logs[0].read(read.header, read.through + 1, {elsewhere}, ROOTS)
    fleet.held[0] = held._replace(given=i.LogRead(read.token, more))
    fleet.let_go()
    new.finish(new.submit())
    fleet.wait(COMMIT_MS)
    assert offsets(new) == [1]
    assert header(new).offset > 0, "the next one need not read from the beginning"


def test_children_are_adopted_with_their_root() -> None:
    fleet, old, new = two_bosses()
    ann = fleet.join("ann", PART)
    task = old.submit()
    child = old.delegate(task)
    old.die()
    new.owns()
    fleet.wait(TAKEN_OVER_MS)
    assert ann.works[child].epoch == 1
    new.call(task, sleep("1", 1))
    assert child in new.node.supervisor.watches


def test_an_end_that_was_not_told_is_told_by_the_successor() -> None:
    fleet, old, new = two_bosses()
    task = old.submit(reply_topic="r", correlation_id="7")
    fleet.wait(6_000)
    assert noted(old) == (task,)
    fleet.hold(f.WorkFinished)
    old.finish(task)
    old.die()
    new.owns(ROOTS, Header(0, 0, ()), task)
    fleet.wait(TAKEN_OVER_MS)
    assert [one.correlation_id for one in new.said(e.Reply)] == ["7"]
    assert new.said(e.DropOpen) == [e.DropOpen(ROOTS, task)]


def test_a_note_of_what_ended_so_long_ago_that_nobody_knows_is_dropped() -> None:
    fleet, old, new = two_bosses()
    task = old.submit()
    fleet.wait(6_000)
    fleet.hold(f.WorkFinished, times=1)
    old.finish(task)
    old.die()
    new.owns()
    fleet.skip(EVENT_WINDOW_MS + 100_000)
    new.finish(new.submit())
    new.disowns()
    third = fleet.join("boss", ROOTS.capability)
    third.owns(ROOTS, Header(0, 0, ()), task)
    fleet.wait(TAKEN_OVER_MS)
    assert third.said(e.DropOpen) == [e.DropOpen(ROOTS, task)]


def test_what_is_noted_by_the_successor_is_not_noted_twice() -> None:
    fleet, old, new = two_bosses()
    task = old.submit()
    fleet.wait(6_000)
    old.disowns()
    new.owns(ROOTS, Header(0, 0, ()), task)
    fleet.wait(6_000)
    assert not new.said(e.PutOpen)
    old.finish(task)
    assert new.said(e.DropOpen) == [e.DropOpen(ROOTS, task)]


def test_a_slow_task_holds_nothing_up_at_its_second_owner_either() -> None:
    fleet, old, new = two_bosses()
    task = old.submit()
    old.disowns()
    new.owns()
    assert new.submit(offset=0) == ""
    fleet.wait(8_000)
    assert new.said(e.PutOpen) == [e.PutOpen(ROOTS, task, Header(0, 0, ()))]
    assert offsets(new) == [1]


def test_a_slow_task_holds_nothing_up_when_its_supervision_was_taken_again() -> None:
    fleet, (boss,) = boss_and()
    fleet.lose(f.TaskOpened)
    task = boss.submit()
    fleet.wait(16_000)
    assert boss.works[task].epoch == 2
    assert noted(boss) == (task,)
    assert offsets(boss) == [1]
