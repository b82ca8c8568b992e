"""On real Kafka; the embedded broker has no admin API."""

from __future__ import annotations

import pytest

from mesh.errors import Unreachable, WrongTopic
from mesh.ports import TopicPlan
from mesh.transport.kafka_admin import KafkaAdmin
from mesh.transport.topics import Verdict, apply_topics, plan_topics


@pytest.mark.broker
async def test_plan_and_apply(kafka: str, unique: str) -> None:
    admin = KafkaAdmin(kafka)
    settings = {
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "compact,delete",
        "retention.ms": "86400000",
    }
    wanted = [TopicPlan(name=unique, partitions=3, config=settings)]
    assert await admin.describe([]) == {}
    assert await admin.describe([unique]) == {}
    await apply_topics(admin, await plan_topics(admin, wanted))
    await admin.create(wanted)
    described = (await admin.describe([unique, f"{unique}.missing"]))[unique]
    assert described.partitions == 3
    assert described.config.items() >= settings.items()
    assert {change.verdict for change in await plan_topics(admin, wanted)} == {Verdict.OK}

    longer = [TopicPlan(name=unique, partitions=3, config={"retention.ms": "172800000"})]
    changes = await plan_topics(admin, longer)
    assert [str(change) for change in changes] == [
        f"alter {unique}: retention.ms is 86400000, wanted 172800000"
    ]
    await apply_topics(admin, changes)
    described = (await admin.describe([unique]))[unique]
    assert described.config["retention.ms"] == "172800000"
    assert described.config["message.timestamp.type"] == "LogAppendTime"


@pytest.mark.broker
async def test_a_setting_that_does_not_exist(kafka: str, unique: str) -> None:
    plan = TopicPlan(name=unique, partitions=1, config={"no.such.setting": "1"})
    with pytest.raises(WrongTopic, match=r"create topic .*no\.such\.setting"):
        await KafkaAdmin(kafka).create([plan])


async def test_nobody_there() -> None:
    admin = KafkaAdmin("127.0.0.1:9", request_s=0.2)
    with pytest.raises(
        Unreachable, match=r"describe topics at 127\.0\.0\.1:9: .*Connection refused"
    ):
        await admin.describe(["t"])
