"""Whether a fault hit is told by who judged what, before and afterwards."""

from __future__ import annotations

from bench.chaos_state_faults import HELD_MS, Amounts, Fault, Told, judge, plan, wanted

AT = 50_000
OLD, NEW = 1_000, 2_000


def fault(kind: str, until_ms: int = 0) -> Fault:
    return Fault(kind, AT, "p0", 7, (OLD - 10, OLD + 10), until_ms)


def judged(one: Fault, *told: Told) -> Fault:
    judge([one], sorted(told), {7: 3})
    return one


def test_a_plan_has_more_than_is_wanted() -> None:
    kinds = plan(1, Amounts())
    assert all(kinds.count(kind) > count for kind, count in wanted(Amounts()).items())
    assert plan(1, Amounts()) == kinds != plan(2, Amounts())


def test_a_killed_worker_had_what_another_judges_afterwards() -> None:
    had = Told(AT - 100, 3, OLD)
    one = judged(fault("kill worker"), had, Told(AT + 700, 3, NEW))
    assert (one.hit, one.owned, one.away_ms) == (True, [3], 700)
    assert not judged(fault("kill worker"), had, Told(AT + 700, 4, NEW)).hit
    assert not judged(fault("kill worker"), had, Told(AT + 700, 3, OLD)).hit
    long_ago = Told(AT - HELD_MS - 1, 3, OLD)
    assert not judged(fault("kill worker"), long_ago, Told(AT + 700, 3, NEW)).hit


def test_a_stopped_worker_was_replaced_before_it_woke() -> None:
    had, wakes = Told(AT - 100, 3, OLD), AT + 12_000
    late, again = Told(wakes + 5, 3, OLD), Told(wakes + 9_000, 3, OLD)
    one = judged(fault("stop worker", wakes), had, Told(AT + 700, 3, NEW), late, again)
    assert (one.hit, one.late) == (True, 1)
    assert not judged(fault("stop worker", wakes), had, Told(wakes + 1, 3, NEW), late).hit


def test_a_rebalance_moves_partitions() -> None:
    assert judged(fault("rebalance"), Told(AT + 900, 2, OLD)).hit
    assert not judged(fault("rebalance"), Told(AT + 900, 2, NEW)).hit
    left = Told(AT - 10, 2, OLD)
    assert judged(fault("rebalance", AT), left, Told(AT + 900, 2, NEW)).hit
    assert not judged(fault("rebalance", AT), left).hit


def test_a_killed_writer_had_open_writes() -> None:
    assert judged(fault("kill writer")).open_writes == 3
    one = fault("kill writer")
    judge([one], [], {})
    assert not one.hit
