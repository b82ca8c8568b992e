"""Racing several paths so that a replay sees the same race."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, Generic, TypeVar

from mesh.runtime.running import Running

Value = TypeVar("Value")


class Completed(Generic[Value]):
    """Mutable: several paths at once, and their results in the order in which they ended.

    Results are handed to paths one at a time and in log order, so this order is the log's.
    """

    def __init__(self, running: Running, steps: Sequence[Coroutine[Any, Any, Value]]) -> None:
        parent = running.here()
        self._tasks = [running.spawn(step, parent) for step in steps]
        self._done: deque[asyncio.Future[Value]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.left = len(self._tasks)
        for task in self._tasks:
            task.add_done_callback(self._ended)

    def __aiter__(self) -> Completed[Value]:
        return self

    async def __anext__(self) -> Value:
        if not self.left:
            raise StopAsyncIteration
        return await self.next()

    async def next(self) -> Value:
        """Return the result of the next path that ends, or raise what it raised."""
        if not self._done:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self.left -= 1
        return self._done.popleft().result()

    async def cancel(self) -> None:
        """Cancel the paths that have not ended, and wait until they have."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.exception()  # seen: the race is over, nobody else will ask

    def _ended(self, task: asyncio.Future[Value]) -> None:
        self._done.append(task)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
