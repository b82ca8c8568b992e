from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mesh.cli.auditing import INVARIANTS, READABLE, audit, report
from mesh.cli.chains import HASH
from mesh.cli.output import Out
from mesh.cli.reading import AuditReader
from mesh.config import Config
from mesh.ports import Place
from mesh.testing import invariants
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from tests.unit.cli.conftest import Recorded, copied

AUDIT = topics.audit("test")


async def checked(broker: MemoryBroker, *, all_ended: bool = False) -> dict[str, Any]:
    log = MemoryLog(broker)
    await log.open()
    reader = AuditReader(log, Config(mesh="test"), Out(quiet=True))
    return report(await audit(reader, all_ended=all_ended))


async def test_a_log_that_holds(recorded: Recorded) -> None:
    found = await checked(recorded.broker)
    assert found["holds"] is True
    assert found["violations"] == []
    assert (found["workflows"], found["tasks"], found["open_tasks"]) == (5, 10, 1)
    assert sum(found["kinds"].values()) == found["records"]


async def test_a_task_without_an_end_where_all_must_have_ended(recorded: Recorded) -> None:
    found = await checked(recorded.broker, all_ended=True)
    (violation,) = found["violations"]
    assert violation["invariant"] == "every task ends"


async def test_a_record_that_was_cut_out_is_found(recorded: Recorded) -> None:
    broker = copied(recorded.broker)
    place = Place(AUDIT, int(recorded.workflows["table"][0]))
    partition = broker.partition(place)
    kept = [own for own in partition.read(0, partition.high)[0] if own.offset != 4]
    tampered = MemoryBroker(broker.clock)
    for plan in topics.plans("test", partitions=topics.Partitions(audit=2)):
        tampered.create_topic(plan)
    for own in kept:
        tampered.partition(place).append(own.append_ms, own.key, own.value, own.headers)
    found = await checked(tampered)
    broken = {own["invariant"] for own in found["violations"]}
    assert "no gap in a sequence" in broken
    assert found["holds"] is False


async def test_a_changed_byte_breaks_the_chain_or_the_record(recorded: Recorded) -> None:
    broker = copied(recorded.broker)
    place = Place(AUDIT, int(recorded.workflows["table"][0]))
    records = broker.partition(place).read(0, 100)[0]
    victim = next(own for own in records if own.value is not None and b"compare the" in own.value)
    tampered = MemoryBroker(broker.clock)
    for plan in topics.plans("test", partitions=topics.Partitions(audit=2)):
        tampered.create_topic(plan)
    for own in records:
        value = own.value
        if own.offset == victim.offset and value is not None:
            value = value.replace(b"compare the", b"compore the")
        tampered.partition(place).append(own.append_ms, own.key, value, own.headers)
    tampered.partition(place).append(0, b"x", b"junk", ())
    found = await checked(tampered)
    broken = {own["invariant"]: own["where"] for own in found["violations"]}
    assert HASH in broken
    assert broken[READABLE] == f"{place.partition}/{len(records)}"


async def test_a_log_whose_beginning_is_gone_says_so(recorded: Recorded) -> None:
    broker = copied(recorded.broker)
    number = int(recorded.workflows["table"][0])
    broker.trim(Place(AUDIT, number), 2)
    assert (await checked(broker))["incomplete_partitions"] == [number]


def test_the_names_are_those_that_the_checks_give() -> None:
    source = Path(invariants.__file__).read_text("utf-8")
    given = set(re.findall(r'yield\s*\(?\s*"([a-z][^"]+)"', source))
    assert given <= {*INVARIANTS}, given - {*INVARIANTS}
    assert {*INVARIANTS} <= given, {*INVARIANTS} - given
