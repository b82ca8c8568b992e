"""From a thread to the event loop: items in order, one wake-up for many, never a wait.

No lock: `deque` and the counters are each changed by one side or atomically, and whoever is told
"a wake-up is under way" has put his item before, so the loop will see it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Handover(Generic[Item]):
    """Hand items to `receive`, which runs on the loop. One thread sends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Callable[[Item], None]) -> None:
        self._loop = loop
        self._receive = receive
        self._items: deque[Item] = deque()
        self._waking = False
        self.put: Callable[[Item], None] = self._items.append
        """Add an item without waking the loop (on the thread). A method would cost more."""

    def flush(self) -> bool:
        """Wake the loop for what was put (on the thread); False once the loop is closed."""
        if self._items and not self._waking:
            self._waking = True
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # the loop was closed under us: nobody is left to tell
                return False
        return True

    def send(self, item: Item) -> bool:
        """`put` and `flush`."""
        self._items.append(item)
        return self.flush()

    def _drain(self) -> None:
        self._waking = False
        try:
            while self._items:
                self._receive(self._items.popleft())
        finally:
            # A receiver that raised is the loop's exception handler's business; the rest goes on.
            if self._items and not self._waking:
                self._waking = True
                self._loop.call_soon(self._drain)


class Room:
    """How much was handed over and not yet taken, against a bound. One side adds, one takes.

    The thread may wait for room; the loop never waits.
    """

    def __init__(self, *, records_max: int, bytes_max: int) -> None:
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._sent = (0, 0)
        self._taken = (0, 0)
        self._freed = threading.Event()

    def add(self, records: int, size: int) -> None:
        """Count what is handed over (on the thread)."""
        self._sent = (self._sent[0] + records, self._sent[1] + size)

    def take(self, records: int, size: int) -> None:
        """Count what was taken or dropped (on the loop)."""
        self._taken = (self._taken[0] + records, self._taken[1] + size)
        if not self._freed.is_set() and not self.above(1, 2):
            self._freed.set()

    def full(self) -> bool:
        """Whether nothing more may be handed over."""
        return self.above(1, 1)

    def above(self, part: int, of: int) -> bool:
        """Whether more than `part`/`of` of a bound is in use; for switching with hysteresis."""
        records = self._sent[0] - self._taken[0]
        size = self._sent[1] - self._taken[1]
        return records * of > self._records_max * part or size * of > self._bytes_max * part

    def wait(self, timeout_s: float) -> bool:
        """Wait until half of it is free (on the thread); False when `timeout_s` passed first."""
        self._freed.clear()
        if not self.above(1, 2):
            return True
        return self._freed.wait(timeout_s)
