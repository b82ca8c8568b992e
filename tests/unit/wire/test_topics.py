from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core.settings import MAX_EVENT_BYTES, MAX_NAME, Settings
from mesh.errors import DefinitionError
from mesh.transport.kafka_settings import RECORD_BYTES_MAX
from mesh.wire import topics
from mesh.wire.topics import Kind, Partitions, Topic, parse, plans, table

NAMES = {
    topics.registry("demo"): Topic("demo", Kind.REGISTRY, ""),
    topics.policy("demo"): Topic("demo", Kind.POLICY, ""),
    topics.presence("demo"): Topic("demo", Kind.PRESENCE, ""),
    topics.tasks("demo", "procurement.review"): Topic("demo", Kind.TASKS, "procurement.review"),
    topics.inbox("demo", "sourcing-eu"): Topic("demo", Kind.INBOX, "sourcing-eu"),
    topics.inbox("demo", "eu.sourcing"): Topic("demo", Kind.INBOX, "eu_sourcing"),
    topics.audit("demo"): Topic("demo", Kind.AUDIT, ""),
    topics.changes("demo"): Topic("demo", Kind.CHANGES, ""),
    topics.state("demo"): Topic("demo", Kind.STATE, ""),
    topics.open_workflows("demo"): Topic("demo", Kind.OPEN, ""),
    topics.standing("demo"): Topic("demo", Kind.STANDING, ""),
    topics.control("demo"): Topic("demo", Kind.CONTROL, ""),
    topics.incidents("demo"): Topic("demo", Kind.INCIDENTS, ""),
    topics.replies("demo", "me"): Topic("demo", Kind.REPLIES, "me"),
    topics.dead_letters("demo"): Topic("demo", Kind.DEAD_LETTERS, ""),
}


@pytest.mark.parametrize(("name", "topic"), NAMES.items())
def test_a_name_is_taken_apart(name: str, topic: Topic) -> None:
    assert parse(name) == topic


def test_names_are_those_of_the_design() -> None:
    assert list(NAMES) == [
        "demo.registry",
        "demo.policy",
        "demo.presence",
        "demo.tasks.procurement.review",
        "demo.inbox.sourcing-eu",
        "demo.inbox.eu_sourcing",
        "demo.audit",
        "demo.changes",
        "demo.state",
        "demo.open",
        "demo.standing",
        "demo.control",
        "demo.incidents",
        "demo.replies.me",
        "demo.dead-letters",
    ]
    assert topics.supervisors("demo") == "demo.supervisors"
    assert topics.tasks_of("demo") == "demo.tasks."


@pytest.mark.parametrize(
    "name",
    [
        "",
        "demo",
        "demo.",
        "demo.other",
        "demo.audit.x",
        "demo.audit.",
        "Demo.audit",
        "demo.tasks",
        "demo.tasks.review",
        "demo.tasks.a.b.c",
        "demo.tasks.a.B",
        "demo.replies.",
        "demo.replies.a.b",
        "demo.inbox.a.b",
        ".audit",
        "demo.tasks.a." + "b" * 249,
        "demo.audit\n",
    ],
)
def test_what_is_no_topic_of_a_mesh(name: str) -> None:
    assert parse(name) is None


@pytest.mark.parametrize("name", ["", "Demo", "a.b", "a_b", "-a", "a-", "a b", "ä", "a\n"])
def test_a_mesh_is_one_segment(name: str) -> None:
    with pytest.raises(DefinitionError, match="mesh must be one segment"):
        topics.audit(name)


@pytest.mark.parametrize("name", ["", "review", "a.b.c", "A.b", "a.", ".b", "a..b", "a.b\n"])
def test_a_capability_is_domain_and_verb(name: str) -> None:
    with pytest.raises(DefinitionError, match=r"capability must be domain\.verb"):
        topics.tasks("demo", name)


@pytest.mark.parametrize("name", ["", "A", "a_b", "a..b", "x" * (MAX_NAME + 1)])
def test_a_pool_is_an_agent_s_name(name: str) -> None:
    with pytest.raises(DefinitionError, match="pool must be"):
        topics.inbox("demo", name)


def test_a_reply_topic_has_one_segment() -> None:
    with pytest.raises(DefinitionError, match="reply topic must be"):
        topics.replies("demo", "a.b")


def test_a_name_fits_kafka() -> None:
    with pytest.raises(DefinitionError, match="longer than 249"):
        topics.inbox("m" * 60, "a" * MAX_NAME)


SEGMENT = st.from_regex(r"[a-z0-9]{1,3}(-[a-z0-9]{1,2})?", fullmatch=True)
AGENT = st.lists(SEGMENT, min_size=1, max_size=3).map(".".join)
TOPIC = (
    st.builds(topics.inbox, SEGMENT, AGENT)
    | st.builds(topics.tasks, SEGMENT, st.tuples(SEGMENT, SEGMENT).map(".".join))
    | st.builds(topics.replies, SEGMENT, SEGMENT)
    | SEGMENT.map(topics.audit)
)


@given(TOPIC, TOPIC)
def test_with_a_dot_behind_it_no_name_begins_another(one: str, other: str) -> None:
    assert not other.startswith(f"{one}.")
    assert parse(one) is not None


@given(AGENT, AGENT)
def test_two_pools_never_share_a_topic(one: str, other: str) -> None:
    assert (topics.inbox("demo", one) == topics.inbox("demo", other)) == (one == other)


# --- settings -----------------------------------------------------------------------------------

ROWS = {row.kind: row for row in table(Partitions(), Settings())}


def test_every_kind_has_a_row_and_every_setting_a_reason() -> None:
    assert list(ROWS) == list(Kind)
    for row in ROWS.values():
        names = [setting.name for setting in row.settings]
        assert len(set(names)) == len(names)
        assert all(setting.reason for setting in row.settings)
        assert row.key


@pytest.mark.parametrize("kind", Kind)
def test_time_is_the_broker_s_and_size_is_limited_everywhere(kind: Kind) -> None:
    config = {setting.name: setting.value for setting in ROWS[kind].settings}
    assert config["message.timestamp.type"] == "LogAppendTime"
    # a batch of any client's defaults fits: librdkafka's has a million bytes, Java's 16 KiB
    assert MAX_EVENT_BYTES < RECORD_BYTES_MAX < int(config["max.message.bytes"]) < 2**21
    assert config["cleanup.policy"] in {"delete", "compact", "compact,delete"}
    assert ("retention.ms" in config) == ("delete" in config["cleanup.policy"])
    assert ("delete.retention.ms" in config) == ("compact" in config["cleanup.policy"])


def test_what_counts_partitions_never_changes() -> None:
    fixed = {kind for kind, row in ROWS.items() if row.fixed}
    assert fixed == {
        Kind.AUDIT,
        Kind.OPEN,
        Kind.STANDING,
        Kind.CHANGES,
        Kind.STATE,
        Kind.CONTROL,
    }
    assert ROWS[Kind.AUDIT].partitions == ROWS[Kind.OPEN].partitions
    assert ROWS[Kind.AUDIT].partitions == ROWS[Kind.STANDING].partitions
    assert ROWS[Kind.CHANGES].partitions == ROWS[Kind.STATE].partitions


def test_plans_name_every_topic() -> None:
    made = plans(
        "demo",
        capabilities=["procurement.review", "risk.screen"],
        pools=["risk"],
        reply_names=["me"],
        partitions=Partitions(audit=3, tasks=2),
        settings=Settings(retention_ms=1_000),
    )
    counts = {plan.name: plan.partitions for plan in made}
    assert counts == {
        "demo.registry": 1,
        "demo.policy": 1,
        "demo.presence": 1,
        "demo.tasks.procurement.review": 2,
        "demo.tasks.risk.screen": 2,
        "demo.inbox.risk": 16,
        "demo.audit": 3,
        "demo.open": 3,
        "demo.standing": 3,
        "demo.changes": 4,
        "demo.state": 4,
        "demo.control": 1,
        "demo.incidents": 1,
        "demo.replies.me": 4,
        "demo.dead-letters": 1,
    }
    config = {plan.name: plan.config for plan in made}
    assert config["demo.audit"]["retention.ms"] == "1000"
    assert "demo.inbox.risk" not in {plan.name for plan in plans("demo")}
