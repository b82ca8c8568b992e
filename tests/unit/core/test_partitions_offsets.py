"""What is committed and noted of a task partition, and when load waits in Kafka."""

from __future__ import annotations

from mesh.core import effects as e
from mesh.core import inputs as i
from mesh.core.tasks import Header
from tests.unit.core.fleet import (
    MORE_ROOTS,
    ROOTS,
    Peer,
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
    worked,
)

# --- offsets ------------------------------------------------------------------------------------


def test_the_offset_is_committed_behind_the_oldest_task_that_neither_ended_nor_is_noted() -> None:
    fleet, (boss,) = boss_and()
    first, second, third = boss.submit(), boss.submit(), boss.submit()
    boss.finish(second)
    fleet.wait(COMMIT_MS)
    assert offsets(boss) == [0]
    boss.finish(first)
    fleet.wait(COMMIT_MS)
    assert offsets(boss) == [0, 2]
    boss.finish(third)
    fleet.wait(COMMIT_MS)
    assert offsets(boss) == [0, 2, 3]


def test_one_slow_task_holds_nothing_up() -> None:
    fleet, boss, task = worked()
    fleet.wait(6_000)
    (put,) = boss.said(e.PutOpen)
    assert (put.source, put.workflow) == (ROOTS, task)
    assert offsets(boss) == [1]
    boss.finish(task)
    assert boss.said(e.DropOpen) == [e.DropOpen(ROOTS, task)]


def test_a_suspended_task_is_noted_at_once() -> None:
    fleet, boss, task = worked()
    boss.call(task, sleep("0", 60_000))
    boss.give_up(task)
    assert noted(boss) == (task,)
    fleet.wait(COMMIT_MS)
    assert offsets(boss) == [1]
    fleet.wait(61_000)
    boss.call(task, sleep("0", 60_000))
    boss.finish(task)
    assert noted(boss) == ()


def test_a_suspended_task_is_noted_under_its_own_partition() -> None:
    _, (boss,) = boss_and()
    boss.owns(MORE_ROOTS)
    task = boss.submit(MORE_ROOTS)
    boss.call(task, sleep("0", 60_000))
    boss.give_up(task)
    assert [(one.source, one.workflow) for one in boss.said(e.PutOpen)] == [(MORE_ROOTS, task)]


def test_what_may_never_have_been_opened_is_not_noted() -> None:
    fleet, (boss,) = boss_and()
    boss.stall()
    boss.submit()
    fleet.wait(5_500)
    assert not boss.said(e.PutOpen)
    boss.flow()
    fleet.wait(5_000)
    assert len(boss.said(e.PutOpen)) == 1, "later it is"


def test_a_record_that_went_to_the_dead_letters_passes() -> None:
    fleet, (boss,) = boss_and()
    boss.give(i.Skipped(ROOTS, 4))
    fleet.wait(COMMIT_MS)
    assert offsets(boss) == [5]


def test_nothing_is_committed_by_who_does_not_hold_the_supervision() -> None:
    fleet, old, new = two_bosses()
    old.submit()
    new.owns()
    new.give(i.Skipped(ROOTS, 4))
    fleet.wait(COMMIT_MS)
    assert not offsets(new)


def test_a_header_lies_a_lease_and_two_differences_before_what_it_leads_to() -> None:
    fleet, (boss,) = boss_and()
    boss.submit()
    fleet.wait(30_000)
    task = boss.submit()
    opened_ms = fleet.task(task).opened_ms
    found = boss.node.desk.headers[task]
    assert opened_ms - 2_000 - 7_000 - 1_000 <= found.log_time_ms <= opened_ms - 7_000
    (seen,) = found.supervisions
    assert (seen.source, seen.holder) == (ROOTS, boss.me)


def test_what_is_opened_at_the_same_time_shares_one_header() -> None:
    fleet, (boss,) = boss_and()
    boss.submit()
    fleet.wait(30_000)
    first, second = boss.submit(), boss.submit()
    headers = boss.node.desk.headers
    assert headers[first].supervisions
    assert headers[first] is headers[second]


def test_a_header_does_not_lie_before_the_supervisions_taking() -> None:
    fleet, (boss,) = boss_and()
    fleet.wait(100)
    task = boss.submit()
    assert boss.node.desk.headers[task] == Header(0, fleet.now_ms - 100, ())


def test_a_successor_finds_everything_from_a_header_on() -> None:
    fleet, old, new = two_bosses()
    slow = old.submit()
    old.call(slow, sleep("0", 10**6))
    old.give_up(slow)
    fleet.wait(40_000)
    late = old.submit(event_id="e")
    old.finish(late)
    fleet.wait(COMMIT_MS)
    old.die()
    put = old.said(e.PutOpen)[0]
    new.owns(ROOTS, put.header, slow)
    fleet.wait(TAKEN_OVER_MS)
    assert new.submit(event_id="e") == "", "it ended under this event id"
    assert fleet.task(slow).phase == "suspended"
    assert new.node.supervisor.supervises(slow)


def test_the_committed_header_leads_to_the_ends_that_may_be_asked_for_again() -> None:
    fleet, (boss,) = boss_and()
    boss.finish(boss.submit(event_id="e"))
    fleet.wait(60_000)
    boss.finish(boss.submit())
    fleet.wait(COMMIT_MS)
    assert header(boss).offset == 0
    assert offsets(boss) == [1, 2]


# --- flow ---------------------------------------------------------------------------------------


def intake(peer: Peer) -> list[tuple[int, bool]]:
    """Return which partitions were paused and resumed."""
    moves = [one for one in peer.commits if isinstance(one, e.Intake)]
    return [(source.partition, one.open) for one in moves for source in one.sources]


def test_above_a_number_of_open_tasks_load_waits_in_kafka() -> None:
    _, (boss,) = boss_and(open_tasks=8)
    tasks = [boss.submit() for _ in range(7)]
    assert intake(boss) == []
    tasks += [boss.submit(), boss.submit()]
    assert intake(boss) == [(0, False)]
    assert len(boss.works) == 9, "what had been fetched already is opened all the same"
    for task in tasks[:2]:
        boss.finish(task)
    assert intake(boss) == [(0, False)], "it does not flutter"
    boss.finish(tasks[2])
    assert intake(boss) == [(0, False), (0, True)]


def test_what_waits_for_a_supervision_counts_too() -> None:
    _, old, new = two_bosses(open_tasks=2)
    old.die()
    new.owns()
    new.submit()
    new.submit()
    assert intake(new) == [(0, False)]


def test_suspended_tasks_do_not_count() -> None:
    _, (boss,) = boss_and(open_tasks=2)
    for _ in range(4):
        task = boss.submit()
        boss.call(task, sleep("0", 10**6))
        boss.give_up(task)
    assert intake(boss) == []


def test_suspended_tasks_count_again_when_they_go_on() -> None:
    fleet, (boss,) = boss_and(open_tasks=2)
    task = boss.submit()
    boss.call(task, sleep("0", 60_000))
    boss.give_up(task)
    fleet.wait(61_000)
    assert boss.works[task].epoch == 2
    boss.submit()
    assert intake(boss) == [(0, False)]


def test_slow_tasks_do_count() -> None:
    fleet, (boss,) = boss_and(open_tasks=2)
    boss.submit()
    fleet.wait(8_000)
    assert boss.said(e.PutOpen)
    boss.submit()
    assert intake(boss) == [(0, False)]


def test_a_paused_partition_is_resumed_by_room_in_another() -> None:
    _, (boss,) = boss_and(open_tasks=4)
    boss.owns(MORE_ROOTS)
    tasks = [boss.submit(MORE_ROOTS) for _ in range(3)]
    boss.finish(boss.submit())
    assert intake(boss) == [(0, False), (0, True)]
    boss.submit()
    assert intake(boss)[2:] == [(0, False)]
    boss.finish(tasks[0])
    assert intake(boss)[2:] == [(0, False), (0, True)]


def test_a_paused_partition_is_resumed_when_another_is_given_away() -> None:
    _, (boss,) = boss_and(open_tasks=2)
    boss.owns(MORE_ROOTS)
    boss.submit(MORE_ROOTS)
    boss.submit()
    boss.disowns(MORE_ROOTS)
    assert intake(boss) == [(0, False), (0, True)]
