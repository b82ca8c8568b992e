from __future__ import annotations

import subprocess
import sys

import pytest

from mesh.errors import TransportError
from mesh.ports import Place, TopicPlan
from mesh.transport.embedded import EmbeddedAdmin, EmbeddedBroker
from mesh.transport.kafka import KafkaLog

CLIENT = """
import confluent_kafka, sys
client = confluent_kafka.Producer({"bootstrap.servers": sys.argv[1]})
topics = client.list_topics(timeout=10).topics
print(*[f"{name}:{len(topic.partitions)}" for name, topic in topics.items()])
"""


def test_another_process_sees_its_topics() -> None:
    with EmbeddedBroker() as broker:
        broker.create_topic("one", 3)
        broker.create_topic("one", 9)
        assert broker.topics == {"one": 3}
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, broker.bootstrap],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == ["one:3"]
    broker.close()


def test_several_brokers() -> None:
    with EmbeddedBroker(3) as broker:
        assert len(broker.bootstrap.split(",")) == 3
        assert "3" in repr(broker) or broker.bootstrap in repr(broker)


def test_what_it_refuses_is_said() -> None:
    with (
        EmbeddedBroker() as broker,
        pytest.raises(TransportError, match="delete records of nowhere: "),
    ):
        broker.delete_records("nowhere", 0, 5)


async def test_its_admin(cluster: EmbeddedBroker, unique: str) -> None:
    admin = EmbeddedAdmin(cluster)
    await admin.create([TopicPlan(name=unique, partitions=4, config={"cleanup.policy": "compact"})])
    assert await admin.describe([unique, "missing"]) == {
        unique: TopicPlan(name=unique, partitions=4)
    }


async def test_a_slow_broker(cluster: EmbeddedBroker, log: KafkaLog, topic: str) -> None:
    log.append(Place(topic, 0), None, b"")
    assert await log.flush(10)
    cluster.set_round_trip(150)
    log.append(Place(topic, 0), None, b"")
    assert not await log.flush(0.05)
    cluster.set_round_trip(0)
    assert await log.flush(10)
