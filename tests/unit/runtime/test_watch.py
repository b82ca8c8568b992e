from __future__ import annotations

import asyncio
import threading
import time

import pytest

from mesh.runtime.watch import Held, LoopWatch


@pytest.mark.parametrize("limit_s", [0.1])
async def test_a_held_loop_is_found_with_its_place(limit_s: float) -> None:
    found = threading.Event()
    told: list[Held] = []

    def hear(held: Held) -> None:
        told.append(held)
        found.set()

    watch = LoopWatch(limit_s, hear)
    watch.start()
    assert not watch.is_stuck()

    def hold_the_loop() -> None:
        end = time.monotonic() + 60
        while not found.is_set() and time.monotonic() < end:
            pass

    hold_the_loop()
    assert watch.is_stuck()
    await asyncio.sleep(0)
    watch.close()
    (held,) = watch.findings
    assert told == [held]
    assert held.for_s > limit_s
    assert "hold_the_loop" in held.where


async def test_a_loop_that_moves_is_not_stuck() -> None:
    watch = LoopWatch(30.0)
    watch.start()
    await asyncio.sleep(0)
    assert watch.held_s() < 30
    assert not watch.is_stuck()
    watch.close()
    assert list(watch.findings) == []
