from __future__ import annotations

import asyncio
import time

from mesh.runtime.clock import SystemClock


async def test_the_machine_s_time_in_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    assert before <= SystemClock().now_ms() <= time.time_ns() // 1_000_000


async def test_calls_come_when_they_are_due_and_soon_if_that_is_past() -> None:
    clock, loop = SystemClock(), asyncio.get_running_loop()
    late, due = loop.create_future(), loop.create_future()
    clock.call_at(clock.now_ms() + 1, lambda: due.set_result(clock.now_ms()))
    clock.call_at(0, lambda: late.set_result("late"))
    clock.call_at(0, lambda: late.set_result("never")).cancel()
    assert await late == "late"
    assert await due <= clock.now_ms()
