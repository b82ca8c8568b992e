from __future__ import annotations

import asyncio

import pytest

from mesh.transport import pulse
from mesh.transport.pulse import Pulse, Standstill


async def test_a_loop_that_ticks_is_alive_and_one_that_does_not_is_not() -> None:
    beat = Pulse(asyncio.get_running_loop(), stall_s=60)
    beat.start()
    assert not beat.stalled()
    beat.stop()
    beat._last -= 61
    assert beat.stalled()
    beat.start()
    assert not beat.stalled()
    beat.stop()
    beat.stop()


def test_a_thread_that_stood_still_is_in_doubt_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    monkeypatch.setattr(pulse, "time", clock)
    standstill = Standstill(stall_s=5, doubt_s=10)
    assert [clock.after(standstill, s) for s in (1, 5)] == [False, False]
    assert [clock.after(standstill, s) for s in (6, 4, 4)] == [True, True, True]
    assert [clock.after(standstill, s) for s in (4, 5)] == [False, False]


class ManualClock:
    """What `time` is to the module."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def after(self, standstill: Standstill, seconds: float) -> bool:
        self.now += seconds
        return standstill.doubtful()
