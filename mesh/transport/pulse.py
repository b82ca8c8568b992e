"""Whether the event loop is alive: a tick on the loop, looked at from other threads."""

from __future__ import annotations

import asyncio
import time

TICK_S = 0.5  # two wake-ups a second cost nothing; a stall is noticed this much late at most


class Pulse:
    """Tick on the loop from `start` to `stop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stall_s: float) -> None:
        self._loop = loop
        self._stall_s = stall_s
        self._last = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to tick."""
        self._last = time.monotonic()
        self._timer = self._loop.call_later(TICK_S, self.start)

    def stop(self) -> None:
        """Tick no more; from `stall_s` later on the loop counts as stalled."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stalled(self) -> bool:
        """Whether the loop has not ticked for so long that nobody should believe it alive."""
        return time.monotonic() - self._last > self._stall_s
