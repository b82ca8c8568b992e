"""Whether the event loop is alive, and whether the process stood still as a whole."""

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


class Standstill:
    """Whether a thread did not run for so long that others may have replaced its process.

    A process that was stopped (SIGSTOP, a frozen container, a laptop's lid) does not know it: what
    it is asked next may be about something that others own by now. So there is doubt for a while,
    long enough for the group's next heartbeat to be answered.
    """

    def __init__(self, stall_s: float, doubt_s: float) -> None:
        self._stall_s = stall_s
        self._doubt_s = doubt_s
        self._last = time.monotonic()
        self._doubt_until = self._last

    def turn(self) -> None:
        """Note that the thread runs. To be called again within `stall_s`, or there is doubt."""
        now = time.monotonic()
        if now - self._last > self._stall_s:
            self._doubt_until = now + self._doubt_s
        self._last = now

    def doubtful(self) -> bool:
        """Whether the thread stood still a moment ago."""
        self.turn()
        return self._last < self._doubt_until
