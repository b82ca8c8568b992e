from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from mesh.core.shared import Settlement, Verdict, Write
from mesh.errors import NewerSchema, WireError, WrongTopic
from mesh.ports import Incoming, TopicPlan
from mesh.processor.inputs import check_topics, read_kept, read_proposal, view_of
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.schemas import MARKER
from mesh.wire.state import RULES_KEY, encode_proposal, state_partition
from tests.unit.processor.proposing import MESH, RULES, change, plans

NEWER = MARKER + bytes(range(8)) + b"whatever"
KEY = "suppliers/acme"
HOME = state_partition(KEY, 7)


def record(value: bytes | None, key: bytes = KEY.encode(), partition: int = HOME) -> Incoming:
    return Incoming(topics.changes(MESH), partition, 5, 1_000, key, value, ())


def refused(given: Incoming) -> str:
    with pytest.raises(WireError) as caught:
        read_proposal(given, 7)
    assert not isinstance(caught.value, NewerSchema)
    return str(caught.value)


async def opened(*created: TopicPlan) -> MemoryLog:
    broker = MemoryBroker(lambda: 0)
    for plan in created:
        broker.create_topic(plan)
    log = MemoryLog(broker)
    await log.open()
    return log


async def test_the_number_of_partitions_is_told() -> None:
    assert await check_topics(await opened(*plans(partitions=3)), MESH) == 3


async def test_every_topic_that_is_missing_is_named() -> None:
    only = TopicPlan(name=topics.state(MESH), partitions=2)
    with pytest.raises(WrongTopic) as caught:
        await check_topics(await opened(only), MESH)
    assert str(caught.value) == (
        "demo.changes is missing; demo.dead-letters is missing: see `mesh topics plan`, then "
        "`mesh topics apply`"
    )


async def test_topics_of_unlike_partitions_are_refused() -> None:
    wrong = [
        replace(plan, partitions=3) if plan.name == topics.state(MESH) else plan for plan in plans()
    ]
    with pytest.raises(WrongTopic, match=r"demo\.changes has 2 partitions, demo\.state has 3"):
        await check_topics(await opened(*wrong), MESH)


def test_a_proposal_is_read() -> None:
    proposed = change("c1", Write(KEY, 0, b"1"))
    settled = Settlement(change="s", key=KEY, expected=1, value=None, person="eve", because="so")
    for proposal in (proposed, settled):
        assert read_proposal(record(encode_proposal(proposal)), 7) == proposal
    for partition in range(7):
        given = record(encode_proposal(RULES), RULES_KEY, partition)
        assert read_proposal(given, 7) == RULES


def test_a_view_refuses_keys_that_live_elsewhere() -> None:
    for partition in range(7):
        view = view_of(partition, 7)
        view.judge(RULES, 0, 0)
        judgement = view.judge(change("c1", Write(KEY, 0, b"1")), 1, 0)
        assert judgement is not None
        expected = Verdict.ACCEPTED if partition == HOME else Verdict.REFUSED
        assert judgement.verdict is expected


def test_keys_of_several_groups_are_left_to_the_judge() -> None:
    apart = change("c1", Write(KEY, 0, b"1"), Write("other/thing", 0, b"1"))
    assert read_proposal(record(encode_proposal(apart)), 7) == apart
    nothing = change("c2")
    assert read_proposal(record(encode_proposal(nothing)), 7) == nothing


def test_garbage_is_refused_in_words() -> None:
    assert "null" in refused(record(None))
    assert "not with Avro's marker" in refused(record(b"{}"))
    assert "not with Avro's marker" in refused(record(b""))
    assert "ends within the fingerprint" in refused(record(MARKER))
    assert "Change" in refused(record(encode_proposal(change("c", Write(KEY, 0, b"1")))[:30]))


def test_a_newer_schema_under_a_key_in_its_place_stops() -> None:
    with pytest.raises(NewerSchema, match=r"demo\.changes\[\d\]@5 .*\(0001020304050607\)"):
        read_proposal(record(NEWER), 7)
    with pytest.raises(NewerSchema):
        read_proposal(record(NEWER, RULES_KEY, 3), 7)


@pytest.mark.parametrize("key", [b"", b"no key", b"\xff/x", b"other/group"])
def test_an_unknown_schema_under_any_other_key_is_garbage(key: bytes) -> None:
    places = itertools.product([key], range(7))
    reasons = [
        refused(record(NEWER, key, partition))
        for key, partition in places
        if not (key == b"other/group" and partition == state_partition("other/group", 7))
    ]
    assert all("unknown fingerprint 0001020304050607" in reason for reason in reasons)


def test_what_is_kept_is_read_or_refused() -> None:
    with pytest.raises(NewerSchema):
        read_kept(record(NEWER, b"anything"))
    for garbage in (None, b"{}", encode_proposal(RULES)):
        with pytest.raises(WireError) as caught:
            read_kept(record(garbage))
        assert not isinstance(caught.value, NewerSchema)
