from __future__ import annotations

import pytest

from mesh.dashboard.follower import Follower
from mesh.dashboard.model import Model
from mesh.errors import WrongTopic
from mesh.ports import Place, TopicPlan
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from tests.simulation.scribe import ANN, BOSS, SOURCE, Scribe, terms
from tests.unit.cli.conftest import MESH
from tests.unit.dashboard.conftest import until
from tests.unit.dashboard.test_chains import laid


async def followed(broker: MemoryBroker, since_ms: int = 0) -> Model:
    model, log = Model(), MemoryLog(broker)
    await log.open()
    follower = Follower(log, MESH, model, since_ms)
    try:
        await follower.start()
        await follower.caught_up.wait()
    finally:
        await follower.close()
        await log.close()
    return model


async def test_everything_that_stands_beside_the_audit_stream_is_followed(
    broker: MemoryBroker,
) -> None:
    model, log = Model(), MemoryLog(broker)
    await log.open()
    follower = Follower(log, MESH, model)
    await follower.start()
    await follower.caught_up.wait()
    await until(lambda: model.directory.agents == ("ann", "bob", "desk"))
    assert "registry" in model.changed
    await follower.close()
    await log.close()
    assert sum(own.facts for own in model.strands.values()) == len(
        broker.records(topics.audit(MESH))
    )
    assert all(own.lag == 0 and own.first == 0 for own in model.strands.values())


async def test_a_mesh_that_is_not_there_is_told() -> None:
    with pytest.raises(WrongTopic, match="no mesh test"):
        await followed(MemoryBroker(lambda: 0))


async def test_a_mesh_without_the_newer_topics_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    log = Scribe()
    log.begin()
    model = await followed(laid(log))
    assert len(model.rows) == 1
    assert "there is no topic test.control" in caplog.text


def many(count: int) -> Scribe:
    """Return a log of workflows that ended, one each second."""
    log = Scribe()
    assert not log.take(lease_ms=30_000)
    for number in range(count):
        if number % 5 == 0:
            assert not log.write(_renewed(log), after_ms=500)
        name = f"0-{number}"
        opened = log.opened(
            award=terms(ANN), task=name, workflow=name, offset=number, deadline_ms=10**9
        )
        assert not log.write(opened, after_ms=1_000)
        spent = log.ledger.cost(log.task(name))
        assert not log.write(log.finished(name, workflow=name, spent=spent))
    return log


def _renewed(log: Scribe):  # type: ignore[no-untyped-def] # a fact
    from mesh.core import facts as f

    return f.SupervisionRenewed(source=SOURCE, by=BOSS, authority=log.supervision)


async def test_it_begins_where_the_given_time_began() -> None:
    log = many(40)
    broker = laid(log)
    middle = log.records[len(log.records) // 2]
    model = await followed(broker, middle.append_ms)
    strand = model.strands[0]
    assert log.records[strand.first].append_ms >= middle.append_ms
    assert log.records[strand.first - 1].append_ms < middle.append_ms
    assert 15 <= len(model.rows) <= 21
    assert {row.phase for row in model.rows.every()} == {"completed"}
    assert strand.void == 0
    later = await followed(broker, log.now_ms + 1)
    assert later.strands[0].first == len(log.records)
    assert len(later.rows) == 0


async def test_what_is_still_open_is_read_from_its_beginning() -> None:
    from mesh.core.tasks import Header
    from mesh.wire.entries import OpenWorkflow, encode_entry
    from mesh.wire.headers import open_key

    log = many(40)
    broker = laid(log)
    broker.create_topic(TopicPlan(name=topics.open_workflows(MESH), partitions=1))
    partition = broker.partition(Place(topics.open_workflows(MESH), 0))
    for name, offset in (("0-3", 8), ("0-gone", 2)):
        value = encode_entry(OpenWorkflow(SOURCE, name, Header(offset, 0, ())))
        partition.append(1, open_key(SOURCE, name), value, ())
    partition.append(1, open_key(SOURCE, "0-gone"), None, ())
    partition.append(1, b"garbage", b"garbage", ())
    model = await followed(broker, log.now_ms)
    assert model.strands[0].first == 8
    assert model.rows.get("0-3") is not None


async def test_a_log_that_was_trimmed_says_so() -> None:
    log = many(10)
    broker = laid(log)
    broker.partition(Place(topics.audit(MESH), 0)).trim(10)
    model = await followed(broker)
    strand = model.strands[0]
    assert (strand.first, strand.low) == (10, 10)
    assert strand.first_ms == log.records[10].append_ms
