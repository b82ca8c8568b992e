"""Time and timers as the driver needs them; tests bring a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that was arranged and may be called off."""

    def cancel(self) -> None:
        """Call it off."""


class Clock(Protocol):
    """Local time in milliseconds since 1970: it may trigger a decision, never be one."""

    def now_ms(self) -> int:
        """Return the time."""

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        """Call back on the loop when it is `at_ms`, soon if that is past."""


class SystemClock:
    """The machine's clock and the loop's timers."""

    def now_ms(self) -> int:
        """Return the time."""
        return time.time_ns() // 1_000_000

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        """Call back on the loop when it is `at_ms`, soon if that is past."""
        delay_s = max(0.0, (at_ms - self.now_ms()) / 1_000)
        return asyncio.get_running_loop().call_later(delay_s, callback)
