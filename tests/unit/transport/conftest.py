from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from mesh.transport.embedded import EmbeddedBroker
from mesh.transport.kafka import KafkaLog
from mesh.transport.kafka_settings import Address


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedBroker]:
    """One embedded broker for all; who sets it down sets it up again."""
    with EmbeddedBroker() as cluster:
        yield cluster


@pytest.fixture
def address(cluster: EmbeddedBroker) -> Address:
    return Address(bootstrap=cluster.bootstrap, embedded=True)


@pytest.fixture
async def log(cluster: EmbeddedBroker) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(cluster.bootstrap, embedded=True)
    await log.open()
    yield log
    await log.close(1.0)


@pytest.fixture
def topic(cluster: EmbeddedBroker, unique: str) -> str:
    """A topic with two partitions."""
    cluster.create_topic(unique, 2)
    return unique
