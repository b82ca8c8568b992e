"""What sleeps is packed small, comes back as it was, and no part of a node can tell."""

from __future__ import annotations

import sys
from hashlib import sha256
from typing import Any

import pytest

from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.asleep import PATTERN_BYTES, Asleep
from mesh.core.ids import derive
from mesh.core.values import Holder
from mesh.core.watches import NAP_MS, PACKED_AT_ONCE, SWEEP_MS
from tests.unit.core.fleet import Fleet, Peer, body, boss_and, decide, delegate, sleep

HOUR_MS = 3_600_000
TWO_SWEEPS_MS = 2 * SWEEP_MS
REPLIES = "m.replies.x"


def settled(value: Any) -> Any:
    """Return what an object of the core says, all the way down, for a comparison."""
    slots = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    if slots:
        return type(value), {name: settled(getattr(value, name)) for name in slots}
    if isinstance(value, dict):
        return {key: settled(own) for key, own in value.items()}
    return tuple(map(settled, value)) if type(value) is tuple else value


def napping(ms: int = HOUR_MS, **other: Any) -> tuple[Fleet, Peer, str]:
    fleet, (boss,) = boss_and(timeout_ms=2 * HOUR_MS)
    task = boss.submit(**other)
    boss.call(task, sleep("0", ms))
    boss.give_up(task)
    return fleet, boss, task


def packed(boss: Peer) -> list[str]:
    return list(boss.node.supervisor._asleep._sleepers)


def cancellation(task: str) -> m.Cancel:
    return m.Cancel(workflow=task, task=task, award=-1, because="enough", person="eve")


# --- packing ------------------------------------------------------------------------------------


def test_what_is_packed_comes_back_once() -> None:
    asleep: Asleep[object] = Asleep()
    what = (Holder("ann", 1), {"tried": "it"}, None)
    asleep.pack("w", 5, what)
    assert ("w" in asleep, len(asleep), repr(asleep)) == (True, 1, "Asleep(1)")
    assert asleep.unpack("w") == what
    assert ("w" in asleep, len(asleep)) == (False, 0)
    assert not asleep.drop("w")


def test_what_is_large_is_no_pattern_for_others() -> None:
    asleep: Asleep[object] = Asleep()
    hashes = (sha256(b"%d" % number).digest() for number in range(PATTERN_BYTES // 32))
    large, small = b"".join(hashes), tuple(range(500))
    asleep.pack("large", 5, large)
    asleep.pack("small", 5, small)
    asleep.pack("other", 5, small)
    assert len(asleep._sleepers["large"]) > PATTERN_BYTES
    assert len(asleep._sleepers["other"]) < 50
    assert [asleep.unpack(name) for name in ("large", "small", "other")] == [large, small, small]


def test_what_is_dropped_is_gone() -> None:
    asleep: Asleep[object] = Asleep()
    asleep.pack("w", 5, None)
    assert asleep.drop("w")
    assert asleep.due(5) == []


def test_who_is_due_is_told() -> None:
    asleep: Asleep[int] = Asleep()
    for number, due_ms in enumerate((30, 10, 20)):
        asleep.pack(f"w{number}", due_ms, number)
    assert asleep.due(9) == []
    assert asleep.due(20) == ["w1", "w2"]
    for workflow in ("w1", "w2"):
        asleep.unpack(workflow)
    asleep.pack("early", 25, 4)
    assert asleep.due(24) == []
    assert asleep.due(30) == ["w0", "early"]


def test_a_sleeper_takes_little() -> None:
    fleet, (boss,) = boss_and(open_tasks=1_000, timeout_ms=2 * HOUR_MS)
    for number in range(10):
        name = derive("name", number)
        task = boss.submit(
            event_id=name, correlation_id=name, reply_topic=REPLIES, input=body(name)
        )
        boss.call(task, sleep("0", HOUR_MS))
        boss.give_up(task)
    fleet.wait(TWO_SWEEPS_MS)
    sizes = [sys.getsizeof(own) for own in boss.node.supervisor._asleep._sleepers.values()]
    assert len(sizes) == 10
    assert max(sizes[1:]) < 400


# --- who is packed ------------------------------------------------------------------------------


def test_a_root_task_that_sleeps_is_packed_and_awakes_as_it_was() -> None:
    fleet, boss, task = napping(event_id="once", reply_topic=REPLIES)
    supervisor, desk = boss.node.supervisor, boss.node.desk
    before = settled((supervisor.watches[task], desk.ledger(task).tasks[task], desk.headers[task]))
    held = desk.held_by(task)
    fleet.wait(TWO_SWEEPS_MS)
    assert packed(boss) == [task]
    assert (supervisor.watches, desk.headers, desk._homes, desk.held_by(task)) == ({}, {}, {}, 0)
    assert desk.ledger_of(0).tasks == {}
    assert supervisor.supervises(task)
    state = desk.ledger(task).tasks[task]
    assert packed(boss) == []
    watch = supervisor.watches[task]
    assert watch.due_ms == fleet.now_ms
    watch.due_ms = before[0][1]["due_ms"]
    assert settled((watch, state, desk.headers[task])) == before
    assert desk.held_by(task) == held


def test_a_sleeper_that_was_looked_at_is_packed_again() -> None:
    fleet, boss, task = napping()
    fleet.wait(TWO_SWEEPS_MS)
    boss.node.desk.ledger(task)
    fleet.wait(TWO_SWEEPS_MS)
    assert packed(boss) == [task]


def test_a_packed_sleeper_goes_on_in_time() -> None:
    fleet, boss, task = napping(60_000, reply_topic=REPLIES)
    fleet.wait(59_000)
    assert len(fleet.facts(f.TaskAwarded)) == 0
    assert packed(boss) == [task]
    fleet.wait(2_000)
    boss.call(task, sleep("0", 60_000))
    boss.finish(task)
    assert fleet.end(task).status == "completed"
    assert [reply.status for reply in boss.said(e.Reply)] == ["completed"]
    assert not fleet.void()


def test_a_packed_sleeper_expires() -> None:
    fleet, boss, task = napping(timeout_ms=50_000)
    fleet.wait(49_000)
    assert packed(boss) == [task]
    fleet.wait(3_000)
    assert fleet.end(task).status == "expired"


def test_who_sleeps_for_a_moment_is_not_packed() -> None:
    fleet, (boss,) = boss_and(suspend_after_ms=0)
    task = boss.submit()
    boss.call(task, sleep("0", NAP_MS))
    boss.give_up(task)
    fleet.wait(SWEEP_MS)
    assert fleet.task(task).phase == "suspended"
    assert packed(boss) == []


def test_who_has_a_child_is_not_packed() -> None:
    fleet, (boss, _) = boss_and("ann", timeout_ms=2 * HOUR_MS)
    task = boss.submit()
    boss.call(task, sleep("0", HOUR_MS))
    boss.call(task, delegate("1"))
    boss.give_up(task)
    fleet.wait(TWO_SWEEPS_MS)
    assert fleet.task(task).phase == "suspended"
    assert packed(boss) == []


def test_who_sleeps_beside_a_child_that_nobody_waits_for_is_not_packed() -> None:
    fleet, (boss, ann) = boss_and("ann", timeout_ms=2 * HOUR_MS)
    task = boss.submit()
    boss.call(task, delegate("1"))
    boss.node.worker.jobs[task].calls.pop("1")
    boss.call(task, sleep("0", HOUR_MS))
    boss.give_up(task)
    fleet.wait(TWO_SWEEPS_MS)
    assert [wait.kind for wait in fleet.task(task).waiting_for] == ["sleep"]
    assert packed(boss) == []
    ann.finish(next(iter(ann.works)))
    fleet.wait(TWO_SWEEPS_MS)


def test_who_is_being_cancelled_is_not_packed() -> None:
    fleet, boss, task = napping()
    boss.stall()
    boss.send(boss, cancellation(task))
    fleet.wait(TWO_SWEEPS_MS)
    assert packed(boss) == []
    boss.flow()
    assert fleet.end(task).status == "cancelled"


def test_who_has_ended_meanwhile_is_not_packed() -> None:
    fleet, boss, task = napping()
    boss.send(boss, cancellation(task))
    assert fleet.end(task).status == "cancelled"
    fleet.wait(TWO_SWEEPS_MS)
    assert packed(boss) == []


def test_so_many_are_packed_in_one_sweep() -> None:
    fleet, (boss,) = boss_and(open_tasks=1_000, timeout_ms=2 * HOUR_MS)
    for _ in range(PACKED_AT_ONCE + 1):
        task = boss.submit()
        boss.call(task, sleep("0", HOUR_MS))
        boss.give_up(task)
    fleet.wait(SWEEP_MS)
    assert len(packed(boss)) == PACKED_AT_ONCE
    fleet.wait(SWEEP_MS)
    assert len(packed(boss)) == PACKED_AT_ONCE + 1


# --- who looks at it ----------------------------------------------------------------------------


def test_a_repeat_of_its_record_is_answered_with_it() -> None:
    fleet, boss, task = napping(60_000, event_id="once", reply_topic=REPLIES)
    fleet.wait(TWO_SWEEPS_MS)
    assert boss.submit(event_id="once", reply_topic=REPLIES, correlation_id="again") == ""
    fleet.wait(TWO_SWEEPS_MS)
    assert packed(boss) == [task]
    fleet.wait(61_000)
    boss.call(task, sleep("0", 60_000))
    boss.finish(task)
    assert sorted(reply.correlation_id for reply in boss.said(e.Reply)) == ["", "again"]


def test_a_person_cancels_a_sleeper() -> None:
    fleet, (boss, ann) = boss_and("ann", timeout_ms=2 * HOUR_MS)
    task = boss.submit()
    boss.call(task, sleep("0", HOUR_MS))
    boss.give_up(task)
    fleet.wait(TWO_SWEEPS_MS)
    assert packed(boss) == [task]
    ann.send(boss, cancellation(task))
    assert fleet.end(task).status == "cancelled"
    assert boss.refusals == []


def test_a_worker_that_tells_of_a_sleeper_late_is_refused() -> None:
    fleet, boss, task = napping()
    fleet.wait(TWO_SWEEPS_MS)
    told = m.Progress(workflow=task, task=task, award=1, lease_end_ms=0, text="")
    boss.send(boss, told)
    assert boss.refusals == ["another award is current"]


def test_a_partition_goes_with_its_sleepers_and_comes_back_with_them() -> None:
    fleet, boss, task = napping(60_000)
    fleet.wait(TWO_SWEEPS_MS)
    put = boss.said(e.PutOpen)[0]
    boss.disowns()
    assert packed(boss) == []
    assert not boss.node.supervisor.supervises(task)
    assert (boss.node.desk.held_by(task), boss.node.desk.ledger(task).tasks) == (0, {})
    boss.owns(put.source, put.header, task)
    assert packed(boss) == [task], "what is recovered asleep is packed at once"
    fleet.wait(61_000)
    boss.call(task, sleep("0", 60_000))
    boss.call(task, decide("1"))
    boss.finish(task)
    assert fleet.end(task).status == "completed"
    assert not fleet.void()


def test_of_very_many_that_are_recovered_the_rest_is_packed_by_and_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mesh.core.partitions.PACKED_AT_ONCE", 0)
    fleet, boss, task = napping(60_000)
    fleet.wait(TWO_SWEEPS_MS)
    put = boss.said(e.PutOpen)[0]
    boss.disowns()
    boss.owns(put.source, put.header, task)
    assert packed(boss) == []
    fleet.wait(TWO_SWEEPS_MS)
    assert packed(boss) == [task]


def test_nothing_is_swept_when_the_last_sleeper_is_gone() -> None:
    fleet, boss, _ = napping()
    fleet.wait(TWO_SWEEPS_MS)
    assert boss.node.supervisor._sweeping
    boss.disowns()
    fleet.wait(TWO_SWEEPS_MS)
    assert not boss.node.supervisor._sweeping
