from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from mesh.runtime.threads import Threads

WORD: ContextVar[str] = ContextVar("word", default="")


async def test_results_errors_and_variables() -> None:
    threads = Threads(2, "test")
    WORD.set("here")
    assert await threads.run(WORD.get) == "here"
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)

    def leave() -> None:
        raise SystemExit(1)

    with pytest.raises(RuntimeError, match="SystemExit"):
        await threads.run(leave)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await threads.run(lambda: next(iter(())))
    threads.close()


async def test_at_most_so_many_at_a_time_and_threads_are_used_again() -> None:
    threads = Threads(2, "test")
    gate, inside, most = threading.Event(), [0], [0]
    lock = threading.Lock()

    def work() -> str:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        gate.wait(10)
        with lock:
            inside[0] -= 1
        return threading.current_thread().name

    futures = [threads.run(work) for _ in range(6)]
    assert repr(threads).startswith("Threads(test, 2 of 2, ")
    gate.set()
    assert set(await asyncio.gather(*futures)) <= {"test-1", "test-2"}
    assert most[0] <= 2
    threads.close()


async def test_what_is_cancelled_goes_on_and_its_result_is_dropped() -> None:
    threads = Threads(1, "test")
    gate, ended = threading.Event(), threading.Event()

    def work() -> None:
        gate.wait(10)
        ended.set()

    future = threads.run(work)
    future.cancel()
    gate.set()
    assert await threads.run(lambda: "next") == "next"
    assert ended.is_set()
    assert future.cancelled()


def test_threads_do_not_keep_a_process_from_ending() -> None:
    async def begin() -> threading.Event:
        gate = threading.Event()
        Threads(1, "held").run(lambda: gate.wait(10))
        return gate

    gate = asyncio.run(begin())
    (held,) = (own for own in threading.enumerate() if own.name == "held-1")
    assert held.daemon
    gate.set()
