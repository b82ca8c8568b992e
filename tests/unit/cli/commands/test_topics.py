from __future__ import annotations

import json

from mesh.ports import TopicPlan
from mesh.transport.memory import MemoryBroker
from tests.unit.cli.conftest import Cli
from tests.unit.cli.office import TARGETS


def test_first_the_difference_then_the_change(cli: Cli) -> None:
    broker = MemoryBroker(lambda: 0)
    ran = cli("topics", "plan", *TARGETS, broker=broker)
    assert ran.code == 5
    assert "test.tasks.office.order" in ran.out
    assert "mesh topics apply" in ran.err
    assert not broker.topics
    ran = cli("topics", "apply", *TARGETS, "--replies", "billing", broker=broker)
    assert ran.code == 0
    assert "create test.inbox.desk" in ran.err
    assert "test.replies.billing" in broker.topics
    ran = cli("topics", "plan", *TARGETS, "-o", "json", broker=broker)
    assert ran.code == 0
    assert {own["verdict"] for own in json.loads(ran.out)} == {"ok"}


def test_a_number_of_partitions_never_changes(cli: Cli) -> None:
    broker = MemoryBroker(lambda: 0)
    broker.create_topic(TopicPlan(name="test.audit", partitions=3))
    given = ("--capability", "a.b", "--pool", "desk")
    plan = cli("topics", "plan", *given, broker=broker)
    assert "partitions is 3, wanted 8 (a partition count never changes" in " ".join(
        plan.out.split()
    )
    ran = cli("topics", "apply", *given, broker=broker)
    assert ran.code == 4
    assert list(broker.topics) == ["test.audit"]
