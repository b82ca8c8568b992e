from __future__ import annotations

import asyncio

from mesh.testing.clock import START_MS, ManualClock, ProcessClock


async def test_calls_come_in_order_and_not_before_their_time() -> None:
    clock, rang = ManualClock(), []
    clock.call_at(START_MS + 20, lambda: rang.append("b"))
    clock.call_at(START_MS + 10, lambda: rang.append("a"))
    clock.call_at(START_MS + 20, lambda: rang.append("c"))
    clock.call_at(START_MS + 15, lambda: rang.append("never")).cancel()
    assert clock.next_ms() == START_MS + 10
    clock.move_to(START_MS + 10)
    assert rang == ["a"]
    assert clock.next_ms() == START_MS + 20
    clock.move_to(START_MS + 5)
    assert clock.now_ms() == START_MS + 10
    clock.move_to(START_MS + 100)
    assert rang == ["a", "b", "c"]
    assert clock.next_ms() is None
    assert str(clock.now_ms()) in repr(clock)


async def test_what_is_due_already_comes_soon_and_on_the_loop() -> None:
    clock, rang = ManualClock(), []
    clock.call_at(START_MS, lambda: rang.append("now"))
    clock.call_at(START_MS, lambda: rang.append("never")).cancel()
    assert rang == []
    await asyncio.sleep(0)
    assert rang == ["now"]


async def test_a_dead_process_is_not_called() -> None:
    clock, rang = ManualClock(), []
    own = ProcessClock(clock)
    assert own.now_ms() == START_MS
    own.call_at(START_MS + 1, lambda: rang.append("alive"))
    own.call_at(START_MS + 2, lambda: rang.append("dead"))
    clock.move_to(START_MS + 1)
    own.stop()
    clock.move_to(START_MS + 2)
    assert rang == ["alive"]
