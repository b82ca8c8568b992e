"""A thread whose end, good or bad, is known on the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable


class Worker:
    """Run `run` on a thread of its own; `failed` gets, on the loop, what it raised.

    The thread is a daemon: a process whose loop died shall not hang at its exit.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        run: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._loop = loop
        self._run = run
        self._failed = failed
        self._finished = asyncio.Event()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def finished(self, timeout_s: float) -> bool:
        """Wait for the end of the thread; False when `timeout_s` passed first."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._finished.wait()
        except TimeoutError:
            return False
        return True

    def _main(self) -> None:
        failure: BaseException | None = None
        try:
            self._run()
        except BaseException as raised:  # noqa: BLE001 # whatever ends a thread belongs to the loop
            failure = raised
        try:
            self._loop.call_soon_threadsafe(self._end, failure)
        except RuntimeError:
            return  # the loop is closed: nobody is left to tell

    def _end(self, failure: BaseException | None) -> None:
        self._finished.set()
        if failure is not None:
            self._failed(failure)
