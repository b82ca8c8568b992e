from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from mesh.transport.worker import Worker


def waits_for(event: threading.Event) -> Callable[[], None]:
    def run() -> None:
        event.wait(10)

    return run


async def test_its_end_is_known_on_the_loop() -> None:
    go = threading.Event()
    failures: list[BaseException] = []
    worker = Worker(asyncio.get_running_loop(), "test", waits_for(go), failures.append)
    worker.start()
    assert not await worker.finished(0.001)
    go.set()
    assert await worker.finished(10)
    assert await worker.finished(0)
    assert failures == []


async def test_what_it_raises_is_told_on_the_loop() -> None:
    failures: list[BaseException] = []

    def fail() -> None:
        raise ZeroDivisionError("on the thread")

    worker = Worker(asyncio.get_running_loop(), "test", fail, failures.append)
    worker.start()
    assert await worker.finished(10)
    assert [str(failure) for failure in failures] == ["on the thread"]


def test_a_loop_that_is_gone_is_no_error() -> None:
    async def start() -> Worker:
        worker = Worker(asyncio.get_running_loop(), "test", waits_for(gone), print)
        worker.start()
        return worker

    gone = threading.Event()
    worker = asyncio.run(start())
    gone.set()
    worker._thread.join(10)
    assert not worker._thread.is_alive()
