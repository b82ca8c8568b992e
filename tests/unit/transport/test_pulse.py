from __future__ import annotations

import asyncio

from mesh.transport.pulse import Pulse


async def test_a_loop_that_ticks_is_alive_and_one_that_does_not_is_not() -> None:
    pulse = Pulse(asyncio.get_running_loop(), stall_s=60)
    pulse.start()
    assert not pulse.stalled()
    pulse.stop()
    pulse._last -= 61
    assert pulse.stalled()
    pulse.start()
    assert not pulse.stalled()
    pulse.stop()
    pulse.stop()
