"""The watchman in a worker on the embedded broker, beside the keeper: how it starts and ends.

What it finds there, in the log of agents at work, is tests/integration/test_watchman.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from mesh.errors import NewerSchema, WrongTopic
from mesh.ports import Place
from mesh.processor.app import Processor
from mesh.processor.brokers import Brokers
from mesh.transport.embedded import EmbeddedBroker
from mesh.transport.kafka import KafkaLog
from mesh.wire import topics
from mesh.wire.schemas import MARKER
from tests.unit.processor.proposing import plans
from tests.unit.processor.quarrel import PARTITION

pytestmark = pytest.mark.slow  # a start of Faust takes a second
SOON_S = 30.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as cluster:
        yield cluster


class Mesh:
    """Mutable: the topics of one mesh on the embedded broker, and a client."""

    def __init__(self, name: str, cluster: EmbeddedBroker, log: KafkaLog) -> None:
        self.name = name
        self.cluster = cluster
        self.log = log

    @asynccontextmanager
    async def processor(self) -> AsyncIterator[Processor]:
        address = self.cluster.bootstrap
        brokers = Brokers(bootstrap=address, embedded=True)
        processor = Processor(KafkaLog(address, embedded=True), self.name, brokers)
        await processor.start()
        try:
            yield processor
        finally:
            await processor.close()


@pytest.fixture
async def mesh(cluster: EmbeddedBroker, unique: str) -> AsyncIterator[Mesh]:
    name = unique.replace("--", "-")
    for plan in plans(name):
        cluster.create_topic(plan.name, plan.partitions)
    log = KafkaLog(cluster.bootstrap, embedded=True)
    await log.open()
    yield Mesh(name, cluster, log)
    await log.close(1.0)


async def test_a_newer_fact_ends_it(mesh: Mesh) -> None:
    mesh.log.append(Place(topics.audit(mesh.name), PARTITION), b"0-w", MARKER + bytes(20))
    async with mesh.processor() as processor, asyncio.timeout(SOON_S):
        assert processor.failed is not None
        assert isinstance(await processor.failed, NewerSchema)
        assert not processor.ready


async def test_it_refuses_to_start_without_its_topics(cluster: EmbeddedBroker, unique: str) -> None:
    name = unique.replace("--", "-")
    for plan in plans(name):
        if plan.name != topics.audit(name):
            cluster.create_topic(plan.name, plan.partitions)
    log = KafkaLog(cluster.bootstrap, embedded=True)
    brokers = Brokers(bootstrap=cluster.bootstrap, embedded=True)
    processor = Processor(log, name, brokers)
    with pytest.raises(WrongTopic, match=rf"{name}\.audit is missing"):
        await processor.start()
    assert await processor.drain(1.0)
