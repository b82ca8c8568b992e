"""Members of a group in processes of their own: stopped, and killed while they commit."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from mesh.ports import Place, TopicPlan
from mesh.transport.kafka import KafkaLog
from mesh.transport.kafka_admin import KafkaAdmin

ROOT = Path(__file__).resolve().parents[2]
SOON_S = 60.0

MEMBER = """
import asyncio, json, sys
from mesh.ports import Commit, Place
from mesh.transport.kafka import KafkaLog

def say(**what):
    print(json.dumps(what), flush=True)

class Owner:
    async def assigned(self, places):
        say(event="assigned", places=sorted(place.partition for place in places))
    async def revoked(self, places):
        say(event="revoked", places=sorted(place.partition for place in places))
    async def lost(self, places):
        say(event="lost", places=sorted(place.partition for place in places))

async def main(bootstrap, topic):
    log = KafkaLog(bootstrap)
    await log.open()
    reader = await log.join([topic], topic, Owner())
    while True:
        for record in await reader.take():
            place = Place(record.topic, record.partition)
            say(took=record.offset, partition=record.partition)
            reader.commit({place: Commit(record.offset + 1, "")})

asyncio.run(main(*sys.argv[1:]))
"""


class Member:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def hears(self, **expected: object) -> dict[str, object]:
        """Return the next line that has these values; lines before it are passed over."""
        assert self.process.stdout is not None
        passed: list[object] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(SOON_S):
                while line := await self.process.stdout.readline():
                    said: dict[str, object] = json.loads(line)
                    if expected.items() <= said.items():
                        return said
                    passed.append(said)
        raise AssertionError(f"it never said {expected}, but {passed}")


@asynccontextmanager
async def member(bootstrap: str, topic: str) -> AsyncIterator[Member]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MEMBER, bootstrap, topic, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        yield Member(process)
    finally:
        process.kill()
        await process.wait()


@pytest.mark.broker
async def test_a_process_that_is_stopped_loses_its_partitions_and_hears_of_it(
    kafka: str, unique: str
) -> None:
    await KafkaAdmin(kafka).create([TopicPlan(name=unique, partitions=2)])
    async with member(kafka, unique) as stopped:
        await stopped.hears(event="assigned", places=[0, 1])
        stopped.process.send_signal(signal.SIGSTOP)
        async with member(kafka, unique) as heir:
            async with asyncio.timeout(SOON_S):
                owned: set[int] = set()
                while owned != {0, 1}:
                    said = await heir.hears(event="assigned")
                    owned.update(said["places"])  # type: ignore[arg-type] # a list of numbers
            stopped.process.send_signal(signal.SIGCONT)
            await stopped.hears(event="lost", places=[0, 1])
            again = await stopped.hears(event="assigned")
            assert again["places"] in ([0], [1]), "it shares with its heir from now on"


@pytest.mark.broker
async def test_what_a_killed_process_took_and_did_not_commit_is_taken_again(
    kafka: str, unique: str
) -> None:
    await KafkaAdmin(kafka).create([TopicPlan(name=unique, partitions=1)])
    log = KafkaLog(kafka)
    await log.open()
    place = Place(unique, 0)
    taken: list[int] = []
    async with member(kafka, unique) as first:
        await first.hears(event="assigned", places=[0])
        for number in range(50):
            log.append(place, None, b"%d" % number)
        taken += [int(str((await first.hears(partition=0))["took"])) for _ in range(50)]
    log.append(place, None, b"50")
    async with member(kafka, unique) as second:
        while 50 not in taken:
            taken.append(int(str((await second.hears(partition=0))["took"])))
    await log.close()
    again = taken[50:]
    assert taken[:50] == list(range(50))
    assert again == list(range(again[0], 51)), "from the committed offset on, without a hole"
