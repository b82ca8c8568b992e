"""A bounded pool of daemon threads: a function that hangs must not keep the process from ending.

(`concurrent.futures` joins its threads when the interpreter exits.)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

Value = TypeVar("Value")
Job = tuple[asyncio.Future[Any], Callable[[], Any]]


class Threads:
    """Mutable: at most `limit` threads, begun as they are needed; what is above that waits.

    `unfinished` counts the functions that have not returned.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._free = threading.Semaphore(0)
        self._begun = 0
        self.unfinished = 0

    def __repr__(self) -> str:
        waiting = self._queue.qsize()
        return f"Threads({self._name}, {self._begun} of {self._limit}, {waiting} waiting)"

    def run(self, function: Callable[[], Value]) -> asyncio.Future[Value]:
        """Call `function` in a thread, with the context variables of here.

        The future's cancellation does not end the function; its result is dropped then.
        """
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._queue.put((future, partial(copy_context().run, function)))
        self.unfinished += 1
        if not self._free.acquire(blocking=False) and self._begun < self._limit:
            self._begun += 1
            name = f"{self._name}-{self._begun}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        return future

    def close(self) -> None:
        """Let the threads end once they are free; nothing may be run afterwards."""
        for _ in range(self._begun):
            self._queue.put(None)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            self._execute(*item)
            del item
            self._free.release()

    def _execute(self, future: asyncio.Future[Any], function: Callable[[], Any]) -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as problem:  # noqa: BLE001  # it is raised where the future is awaited
            error = problem if isinstance(problem, Exception) else RuntimeError(repr(problem))
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
            future.get_loop().call_soon_threadsafe(self._returned, future, result, error)

    def _returned(
        self, future: asyncio.Future[Any], result: object, error: Exception | None
    ) -> None:
        self.unfinished -= 1
        _settle(future, result, error)


def _settle(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration):  # a future refuses it
        future.set_exception(RuntimeError(repr(error)))
    else:
        future.set_exception(error)
