from __future__ import annotations

import pytest

from mesh.errors import WrongTopic
from mesh.ports import TopicPlan
from mesh.transport.embedded import EmbeddedAdmin, EmbeddedBroker
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.transport.topics import TopicChange, Verdict, apply_topics, plan_topics


def plan(name: str, partitions: int = 1, **config: str) -> TopicPlan:
    return TopicPlan(
        name=name,
        partitions=partitions,
        config={setting.replace("_", "."): value for setting, value in config.items()},
    )


@pytest.fixture
def admin() -> MemoryLog:
    return MemoryLog(MemoryBroker(lambda: 0))


async def test_first_the_difference_then_the_change(admin: MemoryLog) -> None:
    await admin.create([plan("same", 3, cleanup_policy="compact,delete")])
    await admin.create([plan("other", 1, cleanup_policy="delete", retention_ms="1")])
    wanted = [
        plan("new", 2, cleanup_policy="compact"),
        plan("same", 3, cleanup_policy="delete,compact"),
        plan("other", 1, cleanup_policy="compact"),
    ]
    changes = await plan_topics(admin, wanted)
    assert [change.verdict for change in changes] == [Verdict.CREATE, Verdict.OK, Verdict.ALTER]
    assert [str(change) for change in changes] == [
        "create new",
        "ok same",
        "alter other: cleanup.policy is delete, wanted compact",
    ]
    made: list[TopicChange] = []
    await apply_topics(admin, changes, progress=made.append)
    assert [change.plan.name for change in made] == ["new", "other"]
    after = await plan_topics(admin, wanted)
    assert {change.verdict for change in after} == {Verdict.OK}
    described = await admin.describe(["other"])
    assert described["other"].config["retention.ms"] == "1", "what is not mentioned stays"


async def test_a_partition_count_never_changes_and_nothing_else_is_done_then(
    admin: MemoryLog,
) -> None:
    await admin.create([plan("audit", 12)])
    changes = await plan_topics(admin, [plan("new"), plan("audit", 24)])
    assert changes[1].verdict is Verdict.REFUSE
    with pytest.raises(WrongTopic, match=r"audit: partitions is 12, wanted 24 .*never changes"):
        await apply_topics(admin, changes)
    assert await admin.describe(["new"]) == {}


async def test_a_setting_that_the_broker_does_not_know(admin: MemoryLog) -> None:
    await admin.create([plan("t", 1, a="1")])
    [change] = await plan_topics(admin, [plan("t", 1, b="2")])
    assert "b is unknown here, wanted 2" in str(change)


async def test_a_broker_without_settings_has_none_to_differ(
    cluster: EmbeddedBroker, unique: str
) -> None:
    admin = EmbeddedAdmin(cluster)
    wanted = [plan(unique, 3, cleanup_policy="compact")]
    await apply_topics(admin, await plan_topics(admin, wanted))
    [change] = await plan_topics(admin, wanted)
    assert change.verdict is Verdict.OK
    with pytest.raises(WrongTopic, match="no topic settings"):
        await admin.alter(unique, {"cleanup.policy": "compact"})
