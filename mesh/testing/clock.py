"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

START_MS = 1_750_000_000_000
"""Where a test's time begins: the summer of 2025, an arbitrary moment."""


class Alarm:
    """Mutable: one call that was arranged."""

    __slots__ = ("at_ms", "callback", "cancelled")

    def __init__(self, at_ms: int, callback: Callable[[], None]) -> None:
        self.at_ms = at_ms
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Call it off."""
        self.cancelled = True

    def ring(self) -> None:
        """Call back, unless it was called off."""
        if not self.cancelled:
            self.callback()


class ManualClock:
    """Mutable: time in milliseconds since 1970, moved by hand; a `mesh.runtime.clock.Clock`."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self._now_ms = now_ms
        self._alarms: list[tuple[int, int, Alarm]] = []
        self._count = 0

    def __repr__(self) -> str:
        return f"ManualClock({self._now_ms}, {len(self._alarms)} alarms)"

    def now_ms(self) -> int:
        """Return the time."""
        return self._now_ms

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Alarm:
        """Call back on the loop when it is `at_ms`, soon if that is past."""
        alarm = Alarm(at_ms, callback)
        if at_ms <= self._now_ms:
            asyncio.get_running_loop().call_soon(alarm.ring)
        else:
            self._count += 1
            heapq.heappush(self._alarms, (at_ms, self._count, alarm))
        return alarm

    def next_ms(self) -> int | None:
        """Return when the next call is due, None if nothing waits for time."""
        while self._alarms and self._alarms[0][2].cancelled:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def move_to(self, at_ms: int) -> None:
        """Let it be `at_ms`, and call what is due by then; time never goes back."""
        self._now_ms = max(self._now_ms, at_ms)
        while self._alarms and self._alarms[0][0] <= self._now_ms:
            heapq.heappop(self._alarms)[2].ring()


class ProcessClock:
    """Mutable: a manual clock as one process has it; one that died is not called any more."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._alive = True

    def now_ms(self) -> int:
        """Return the time."""
        return self._clock.now_ms()

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Alarm:
        """Call back on the loop when it is `at_ms`, unless the process is dead by then."""
        return self._clock.call_at(at_ms, lambda: callback() if self._alive else None)

    def stop(self) -> None:
        """Let the process be dead."""
        self._alive = False
