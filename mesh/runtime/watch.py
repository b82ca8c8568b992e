"""Notices when the loop is held, and by whose code.

The loop says that it is alive by `tick`; a thread looks. Whoever must not let an instance seem
alive when it is not (the Kafka threads, the renewal of leases) asks `held_s`.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple

KEPT = 64
"""Findings that are remembered."""
LOOKS = 4
"""Looks within one limit: a finding comes at most a quarter too late."""


class Held(NamedTuple):
    """The loop was held for at least `for_s` seconds at `where`, the innermost frame first."""

    for_s: float
    where: str


class LoopWatch:
    """Mutable: watches one loop from a thread of its own."""

    def __init__(self, limit_s: float, found: Callable[[Held], None] | None = None) -> None:
        self.limit_s = limit_s
        self.findings: deque[Held] = deque(maxlen=KEPT)
        self._found = found
        self._seen = time.monotonic()
        self._thread_id = 0
        self._timer: asyncio.TimerHandle | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Watch the running loop."""
        self._thread_id = threading.get_ident()
        self._tick(asyncio.get_running_loop())
        threading.Thread(target=self._watch, name="mesh-watch", daemon=True).start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()

    def held_s(self) -> float:
        """Return for how long the loop has not moved; may be called from any thread."""
        return time.monotonic() - self._seen

    def is_stuck(self) -> bool:
        """Tell whether the loop has been held for longer than the limit; from any thread."""
        return self.held_s() > self.limit_s

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._seen = time.monotonic()
        self._timer = loop.call_later(self.limit_s / LOOKS, self._tick, loop)

    def _watch(self) -> None:
        told = 0.0
        while not self._stop.wait(self.limit_s / LOOKS):
            seen = self._seen
            held_s = time.monotonic() - seen
            if held_s > self.limit_s and told != seen:
                told = seen
                # a debugger's view of another thread: there is no public name for it
                frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001  # see above
                held = Held(held_s, _where(frame))
                self.findings.append(held)
                if self._found is not None:
                    self._found(held)


def _where(frame: FrameType | None) -> str:
    stack = traceback.extract_stack(frame)[-3:]
    return ", ".join(f"{own.filename}:{own.lineno} {own.name}" for own in reversed(stack))
