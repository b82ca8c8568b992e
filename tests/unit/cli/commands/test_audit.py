from __future__ import annotations

import json

from mesh.core import facts as f
from mesh.ports import Place
from mesh.transport.memory import MemoryBroker
from mesh.wire import topics
from tests.unit.cli.conftest import Cli, Recorded, copied


def test_a_log_that_holds(cli: Cli, recorded: Recorded) -> None:
    ran = cli("audit", "check", broker=recorded.broker)
    assert ran.code == 0
    assert "5 workflows, 10 tasks, 1 open" in ran.out
    assert "✗" not in ran.out
    shape = json.loads(cli("audit", "check", "-o", "json", broker=recorded.broker).out)
    assert shape["holds"] is True
    assert set(shape["invariants"].values()) == {0}


def test_a_log_that_was_tampered_with_is_code_5(cli: Cli, recorded: Recorded) -> None:
    broker = copied(recorded.broker)
    place = Place(topics.audit("test"), int(recorded.workflows["table"][0]))
    partition = broker.partition(place)
    first = partition.read(0, 1)[0][0]
    records = list(partition.read(0, partition.high)[0])
    for own in records[-2:]:
        # what was there once more, under another number: it breaks its emitter's chain
        partition.append(own.append_ms, own.key, own.value, own.headers)
    partition.append(first.append_ms, first.key, b"\xc3\x01junk", ())
    ran = cli("audit", "check", broker=broker)
    assert ran.code == 5
    assert "✗ every record is a fact: 1 violations" in ran.out
    assert f"{place.partition}/{len(records) + 2}" in ran.out
    assert "the log must not be trusted" in ran.err


def test_a_record_that_was_taken_out_breaks_an_invariant(cli: Cli, recorded: Recorded) -> None:
    """What is left is well-formed, every single record of it genuine."""
    topic = topics.audit("test")
    tampered = MemoryBroker(recorded.broker.clock)
    for plan in topics.plans("test", partitions=topics.Partitions(audit=2)):
        tampered.create_topic(plan)
    number, records = recorded.records(recorded.workflows["table"])
    begun = next(own for own in records if isinstance(own.fact, f.TaskAwarded))
    for own in recorded.broker.records(topic):
        if (own.partition, own.offset) != (number, begun.offset):
            place = Place(topic, own.partition)
            tampered.partition(place).append(own.append_ms, own.key, own.value, own.headers)
    ran = cli("audit", "check", "-o", "json", broker=tampered)
    assert ran.code == 5
    shape = json.loads(ran.out)
    assert shape["invariants"]["no gap in a sequence"] == 1
    where = {one["invariant"]: one["where"] for one in shape["violations"]}
    assert where["no gap in a sequence"].startswith(f"{number}/")


def test_many_violations_are_cut_short_and_a_lost_beginning_is_said(
    cli: Cli, recorded: Recorded
) -> None:
    broker = copied(recorded.broker)
    partition = broker.partition(Place(topics.audit("test"), 0))
    for _ in range(60):
        partition.append(0, b"x", b"junk", ())
    broker.trim(Place(topics.audit("test"), 0), 1)
    ran = cli("audit", "check", "-q", broker=broker)
    assert "more; -o json has them all" in ran.out
    assert "the beginning of partition 0 is gone (retention)" in ran.out
    assert cli("audit").code == 2 or cli("audit").out
