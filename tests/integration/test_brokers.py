"""Brokers that are not there, that lack something, or that go away while work is under way."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from pydantic import BaseModel

from mesh import Agent, Context
from mesh.errors import MeshError, NotPermitted, Unreachable, WrongTopic
from mesh.ports import Place, Report
from mesh.runtime.process import Process
from mesh.transport import broker
from mesh.transport.broker import BrokerSettings, BrokerStatus
from mesh.transport.kafka import KafkaLog
from mesh.transport.kafka_admin import KafkaAdmin
from mesh.transport.kafka_settings import Limits, Security
from mesh.wire import topics
from tests.integration.conftest import real_site
from tests.integration.world import LEASE, SETTINGS, WITHIN_S, Site, World, eventually

WITHIN = Limits(open_s=1.5, lookup_s=1.5)


class Number(BaseModel):
    n: int


def agent() -> Agent:
    made = Agent("solo", owner="team")

    @made.capability("solo.go", lease=LEASE)
    async def go(ctx: Context, number: Number) -> Number:
        return number

    return made


async def start_fails(
    log: KafkaLog, error: type[MeshError], mesh: str = "m", within_s: float = 30.0
) -> str:
    """Start a process, and return the one line with which it fails in time."""
    process = Process(log, mesh, [agent()], settings=SETTINGS)
    began = time.monotonic()
    with pytest.raises(error) as raised:
        await process.start()
    assert time.monotonic() - began < within_s
    assert not process.ready
    await process.close()
    text = str(raised.value)
    assert "\n" not in text
    return text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_broker_that_is_not_there() -> None:
    address = f"127.0.0.1:{free_port()}"
    text = await start_fails(KafkaLog(address, limits=WITHIN), Unreachable, within_s=9)
    assert address in text
    assert "is the broker running, and is the address right?" in text


async def test_an_address_that_is_none() -> None:
    log = KafkaLog("nowhere.invalid:9092", limits=WITHIN)
    text = await start_fails(log, Unreachable)
    assert "nowhere.invalid:9092" in text
    assert "host" in text


async def test_a_server_that_is_no_broker() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = await start_fails(KafkaLog(f"127.0.0.1:{port}", limits=WITHIN), Unreachable)
    assert str(port) in text
    server.close()


@pytest.mark.parametrize("missing", ["audit", "registry", "presence", "inbox", "tasks"])
async def test_a_missing_topic(site: Site, unique: str, missing: str) -> None:
    mesh = unique.replace("--", "-")
    plans = topics.plans(
        mesh,
        capabilities=["solo.go"],
        pools=["solo"],
        partitions=topics.Partitions(tasks=1, inbox=1, audit=1, replies=1),
    )
    await site.create([plan for plan in plans if not plan.name.startswith(f"{mesh}.{missing}")])
    text = await start_fails(site.log("late", WITHIN), WrongTopic, mesh)
    assert f"{mesh}.{missing}" in text
    assert "`mesh topics apply`" in text


@pytest.mark.broker
async def test_no_permission(start_kafka: Callable[..., BrokerStatus]) -> None:
    status = await asyncio.to_thread(start_kafka, BrokerSettings(scram=True))
    admin = KafkaAdmin(status.bootstrap, security=status.security)
    plans = topics.plans("m", capabilities=["solo.go"], pools=["solo"])
    await admin.create(plans)
    await admin.add_user("guest", "secret-of-guest")
    login = partial(
        Security, protocol="SASL_PLAINTEXT", mechanism="SCRAM-SHA-256", username="guest"
    )
    limits = Limits(open_s=5, lookup_s=5)
    wrong = KafkaLog(status.bootstrap, security=login(password="guessed"), limits=limits)
    assert "check user, password and mechanism" in await start_fails(wrong, NotPermitted)
    until = time.monotonic() + WITHIN_S
    while True:  # a user is known a moment after it was made
        right = KafkaLog(
            status.bootstrap, security=login(password="secret-of-guest"), limits=limits
        )
        text = await start_fails(right, NotPermitted)
        if "grant this user" in text or time.monotonic() > until:
            break
    assert "grant this user" in text


class Site2(World):
    """Mutable: a mesh on a broker of its own, which may be stopped."""

    def __init__(self, status: BrokerStatus, mesh: str) -> None:
        super().__init__(real_site(status.bootstrap), mesh)
        self.status = status

    async def down(self, end: Callable[..., object]) -> None:
        await asyncio.to_thread(end, self.status.directory)

    async def up(self) -> None:
        await asyncio.to_thread(broker.start, self.status.directory, environ=os.environ)


@pytest.fixture
async def own_world(start_kafka: Callable[..., BrokerStatus]) -> AsyncIterator[Site2]:
    made = Site2(await asyncio.to_thread(start_kafka), "restarted")
    yield made
    await made.close()
    made.story.check()


@pytest.mark.broker
async def test_work_outlives_its_broker(own_world: Site2) -> None:
    """Stopped, then killed, each time while handlers run and for longer than every lease."""
    world = own_world
    lead = Agent("lead", owner="team", calls=["work.*"])
    worker = Agent("worker", owner="team")
    gates, tasks = [asyncio.Event(), asyncio.Event()], 20

    @lead.capability("lead.ask", lease=LEASE, max_attempts=10)
    async def ask(ctx: Context, number: Number) -> Number:
        await ctx.spend(usd="0.01", because="asking")
        return await ctx.delegate("work.wait", number, Number)

    @worker.capability("work.wait", lease=LEASE, max_attempts=10)
    async def wait(ctx: Context, number: Number) -> Number:
        await ctx.spend(usd="0.01", because="waiting")
        await gates[number.n // tasks].wait()
        await ctx.spend(usd="0.01", because="done")
        return Number(n=number.n * 2)

    await world.run(lead, worker)
    working = world.processes[1].instances[0].node
    for round_, end in enumerate((broker.stop, broker.kill)):
        numbers = range(round_ * tasks, (round_ + 1) * tasks)
        submitted = [await world.submit("lead.ask", Number(n=n)) for n in numbers]
        await eventually(lambda: working.load == tasks)
        await world.down(end)
        gates[round_].set()
        await asyncio.sleep(SETTINGS.work_lease_ms / 1_000 + 0.5)  # no hope: an outage so long
        await world.up()
        for n, one in zip(numbers, submitted, strict=True):
            answer = await world.reply(one)
            assert (answer.status, answer.result) == ("completed", {"n": 2 * n})
            await world.ended(one.workflow)
        assert all(process.ready for process in world.processes)


@pytest.mark.broker
async def test_a_burst_of_facts_fits_into_the_topics(kafka_world: World) -> None:
    """A batch is as large as what waits; the broker's limit is one of batches."""
    world = kafka_world
    await world.open(agent())
    reports: list[Report] = []
    place = Place(topics.replies(world.mesh, "tests"), 0)
    for _ in range(3_000):
        world.client.append(place, b"c", b'{"x":"' + b"x" * 1_000 + b'"}', (), reports.append)
    assert await world.client.flush(20)
    assert {report.error for report in reports} == {None}
