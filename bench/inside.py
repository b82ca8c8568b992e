"""Both sides of a delegation without Kafka: `python -m bench.inside [IN_FLIGHT] [TASKS]`.

Lead and worker on one loop over the log in memory: microseconds of CPU a task, and how many of them
went into garbage collection. The least of some rounds is what other processes disturb least.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from typing import Any

from bench.speed import BUDGET, CAPABILITIES, SETTINGS
from bench.speed_agents import lead, worker
from mesh.core.settings import Settings
from mesh.ports import Place, Reader
from mesh.runtime.collecting import settle
from mesh.runtime.process import Process
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.requests import decode_reply

MESH = "inside"
ROUNDS = 5


class Collections:
    """Mutable: the CPU time that garbage collection took."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            self.seconds += time.thread_time() - self._began


async def submit(client: MemoryLog, replies: Reader, in_flight: int, tasks: int) -> None:
    """Have the lead delegate so many tasks, and wait until all are done."""
    headers = {
        "reply-topic": topics.replies(MESH, MESH),
        "correlation-id": "1",
        "timeout-ms": "600000",
        "budget": json.dumps(BUDGET),
    }
    load = json.dumps({"tasks": tasks, "in_flight": in_flight}).encode()
    place = Place(topics.tasks(MESH, "lead.run"), -1)
    client.append(place, b"", load, tuple((name, own.encode()) for name, own in headers.items()))
    (record,) = await replies.take()
    answer: Any = decode_reply(record.value)
    assert answer.status == "completed", answer


async def measure(in_flight: int, tasks: int) -> None:
    """Print what a task costs, round by round."""
    broker = MemoryBroker(lambda: time.time_ns() // 1_000_000)
    wanted = topics.plans(
        MESH,
        capabilities=CAPABILITIES,
        pools=("lead", "worker"),
        reply_names=(MESH,),
        partitions=topics.Partitions(),
        settings=Settings(),
    )
    for plan in wanted:
        broker.create_topic(plan)
    settings = Settings(**SETTINGS)  # type: ignore[arg-type] # all are numbers
    for agent in (lead, worker):
        await Process(MemoryLog(broker), MESH, [agent], settings=settings, name=agent.name).start()
    client = MemoryLog(broker)
    await client.open()
    topic = topics.replies(MESH, MESH)
    replies = await client.tail(topic, dict.fromkeys(await client.ends(topic), None))
    settle()
    collections = Collections()
    for _ in range(ROUNDS):
        before, collected = time.thread_time(), collections.seconds
        await submit(client, replies, in_flight, tasks)
        each_us = (time.thread_time() - before) * 1e6 / tasks
        share_us = (collections.seconds - collected) * 1e6 / tasks
        print(f"{each_us:.0f} us of CPU a task, {share_us:.0f} of them for garbage", flush=True)


def main() -> None:
    in_flight = int(sys.argv[1]) if len(sys.argv) > 1 else 128
    tasks = int(sys.argv[2]) if len(sys.argv) > 2 else 3_000
    asyncio.run(measure(in_flight, tasks))


if __name__ == "__main__":
    main()
