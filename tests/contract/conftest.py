"""The worlds. Real brokers are started once for all tests of the run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mesh.errors import UsageError
from mesh.transport import broker
from mesh.transport.broker import BrokerSettings, BrokerStatus
from mesh.transport.embedded import EmbeddedBroker
from mesh.transport.kafka_admin import KafkaAdmin
from mesh.transport.kafka_settings import Security
from tests.contract.worlds import EmbeddedWorld, KafkaWorld, MemoryWorld, World

EVERY = [
    "memory",
    "embedded",
    pytest.param("kafka", marks=pytest.mark.broker),
    pytest.param("scram", marks=pytest.mark.broker),
]
MAY_DIE = ["memory", "embedded", pytest.param("own", marks=pytest.mark.broker)]
USER = Security(
    protocol="SASL_PLAINTEXT",
    mechanism="SCRAM-SHA-256",
    username="mesh",
    password="not-a-secret",
)
PREFIX = "test-"  # of every topic and group, and of the grants


@pytest.fixture(scope="session")
def embedded_cluster() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def own_broker(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerStatus]:
    """A real broker that tests may kill, with a quick cleaner."""
    assert kafka, "where the shared one is missing, its fixture has skipped or failed"
    settings = BrokerSettings(
        extra={
            "log.cleaner.backoff.ms": "200",
            # So that it is let in again a second after it was killed.
            "broker.session.timeout.ms": "1000",
            "broker.heartbeat.interval.ms": "200",
        }
    )
    yield from started(tmp_path_factory.mktemp("own"), settings)


@pytest.fixture(scope="session")
def scram_broker(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerStatus]:
    """A real broker with users and grants; `USER` may use what begins with `PREFIX`."""
    assert kafka, "where the shared one is missing, its fixture has skipped or failed"
    for status in started(tmp_path_factory.mktemp("scram"), BrokerSettings(scram=True)):
        asyncio.run(grant(status))
        yield status


def started(directory: Path, settings: BrokerSettings) -> Iterator[BrokerStatus]:
    try:
        with broker.running(directory, settings, environ=os.environ) as status:
            yield status
    except UsageError as missing:
        pytest.skip(str(missing))


async def grant(status: BrokerStatus) -> None:
    admin = KafkaAdmin(status.bootstrap, security=status.security)
    await admin.add_user(USER.username, USER.password)
    await admin.allow_write(USER.username, topics=PREFIX)
    await admin.allow_read(USER.username, topics=PREFIX, group=PREFIX)


@pytest.fixture(params=EVERY)
def built(request: pytest.FixtureRequest, unique: str) -> World:
    """Not async: session fixtures that start brokers block, and may not do so on a loop."""
    return build(request, unique)


@pytest.fixture(params=MAY_DIE)
def built_mortal(request: pytest.FixtureRequest, unique: str) -> World:
    return build(request, unique)


@pytest.fixture
async def world(built: World) -> AsyncIterator[World]:
    """Every implementation of the log."""
    yield built
    await built.close()


@pytest.fixture
async def mortal(built_mortal: World) -> AsyncIterator[World]:
    """Every implementation, with a broker that can be killed and started again."""
    yield built_mortal
    await built_mortal.close()


def build(request: pytest.FixtureRequest, unique: str) -> World:
    name = PREFIX + unique
    match request.param:
        case "memory":
            return MemoryWorld(name)
        case "embedded":
            return EmbeddedWorld(name, request.getfixturevalue("embedded_cluster"))
        case "kafka":
            return KafkaWorld(name, request.getfixturevalue("kafka"))
        case "own":
            status: BrokerStatus = request.getfixturevalue("own_broker")
            return KafkaWorld(name, status.bootstrap, directory=status.directory)
        case "scram":
            status = request.getfixturevalue("scram_broker")
            return KafkaWorld(name, status.bootstrap, USER, status.security)
        case other:
            raise AssertionError(other)
