"""A large fleet that is there and does nothing: `python -m bench.fleet BOOTSTRAP MESH COUNT`.

One process keeps so many instances alive: their agents' cards, a presence each, renewed every
fifteen seconds, and a member each of the group of supervisors, subscribed to two capabilities.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bench.ground import Ground
from bench.membership import Connection, Member
from bench.spawn import ROOT
from mesh.core.registry import CapabilityCard, Card, Handler, Presence
from mesh.core.values import Acceptance, Effect, Holder, Inbox, Mode
from mesh.runtime.outside import Outside
from mesh.transport.kafka import KafkaLog
from mesh.wire import topics

AGENTS = 100
"""Of so many agents the instances are."""
CAPABILITIES = tuple(f"idle.c{number}" for number in range(AGENTS))
POOL = "idle"
HEARTBEAT_S = 15.0
BEAT_S = 4.0
"""Below the five seconds that Kafka's default asks for."""
CONNECTIONS = 4


@contextmanager
def fleet(ground: Ground, mesh: str, count: int) -> Iterator[int | None]:
    """Have so many idle instances for the time of a block; yields who keeps them, by its pid."""
    if count == 0:
        yield None
        return
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.fleet", ground.bootstrap, mesh, str(count)],
        stdout=subprocess.PIPE,
        stderr=(ground.scratch / "fleet.log").open("wb"),
        cwd=ROOT,
    )
    try:
        assert child.stdout is not None
        if child.stdout.readline().strip() != b"ready":
            raise RuntimeError((ground.scratch / "fleet.log").read_text("utf-8")[-2_000:])
        yield child.pid
    finally:
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _card(number: int) -> Card:
    names = (CAPABILITIES[number], CAPABILITIES[(number + 1) % AGENTS])
    offered = tuple(
        CapabilityCard(
            name=name,
            effect=Effect.PURE,
            mode=Mode.DIRECT,
            budget=None,
            timeout_ms=600_000,
            lease_ms=10_000,
            max_attempts=3,
            has_bid=False,
            input_schema='{"type":"object"}',
            output_schema='{"type":"object"}',
            digest="0123456789abcdef",
            acceptance=Acceptance.AUTOMATIC,
        )
        for name in names
    )
    return Card(
        agent=f"idle-{number}",
        owner="bench",
        version="1.0.0",
        purpose="to be there",
        capabilities=offered,
    )


def _presence(number: int) -> Presence:
    agent = f"idle-{number % AGENTS}"
    return Presence(
        instance=f"{agent}.f{number}",
        incarnation=1,
        agent=agent,
        inbox=Inbox(POOL, number % 16),
        load=0,
        slots=16,
        handlers=tuple(
            Handler(own.name, own.digest) for own in _card(number % AGENTS).capabilities
        ),
        draining=False,
    )


async def keep(bootstrap: str, mesh: str, count: int) -> None:
    """Keep them there for ever."""
    log = KafkaLog(bootstrap, client_id="fleet")
    await log.open()
    outside = Outside(log, mesh, Holder("fleet", 1))
    for number in range(AGENTS):
        outside.card(_card(number))
    for number in range(count):
        outside.presence(_presence(number))
    await log.flush(30)
    host, _, port = bootstrap.rpartition(":")
    # asking for it has the broker make the group's coordinator
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for asked in admin.describe_consumer_groups([topics.supervisors(mesh)]).values():
        with suppress(KafkaException):
            await asyncio.to_thread(asked.result)
    connections = [Connection(topics.supervisors(mesh)) for _ in range(CONNECTIONS)]
    members: list[list[Member]] = [[] for _ in connections]
    for number in range(count):
        members[number % CONNECTIONS].append(Member(_subscribed(mesh, number)))
    for connection in connections:
        await connection.open(host, int(port))
    pairs = list(zip(connections, members, strict=True))
    for _ in range(2):  # join, and own what one was given
        await asyncio.gather(*(_beat(connection, own) for connection, own in pairs))
    print("ready", flush=True)
    async with asyncio.TaskGroup() as group:
        for connection, own in pairs:
            group.create_task(_beat_for_ever(connection, own))
        group.create_task(_tell_for_ever(outside, count))


def _subscribed(mesh: str, number: int) -> list[str]:
    own = number % AGENTS
    names = (CAPABILITIES[own], CAPABILITIES[(own + 1) % AGENTS])
    return [topics.tasks(mesh, name) for name in names]


async def _beat(connection: Connection, members: list[Member]) -> None:
    for member in members:
        await connection.beat(member)


async def _beat_for_ever(connection: Connection, members: list[Member]) -> None:
    """Send each member's heartbeat once in a period, spread over it, as processes would."""
    while True:
        for member in members:
            await connection.beat(member)
            await asyncio.sleep(BEAT_S / len(members))


async def _tell_for_ever(outside: Outside, count: int) -> None:
    told = 0
    while True:
        outside.presence(_presence(told % count))
        told += 1
        await asyncio.sleep(HEARTBEAT_S / count)


if __name__ == "__main__":
    asyncio.run(keep(sys.argv[1], sys.argv[2], int(sys.argv[3])))
