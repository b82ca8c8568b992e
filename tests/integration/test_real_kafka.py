"""The broker that the tests are given is a real one."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

pytestmark = pytest.mark.broker


def test_broker_keeps_what_the_embedded_one_does_not(kafka: str, unique: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    topic = NewTopic(unique, num_partitions=3, config={"cleanup.policy": "compact"})
    admin.create_topics([topic])[unique].result(timeout=30)
    listed = admin.list_topics(unique, timeout=30).topics[unique]
    assert len(listed.partitions) == 3
    admin.delete_topics([unique])[unique].result(timeout=30)
