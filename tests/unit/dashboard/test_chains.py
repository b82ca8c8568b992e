from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from mesh.dashboard import chains as modules
from mesh.dashboard.chains import Chain, Chains, TooLong
from mesh.ports import Place, TopicPlan
from mesh.telling.story import Chronicle, tell
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from tests.simulation.scribe import ROOT, Scribe
from tests.unit.cli.conftest import MESH, Recorded
from tests.unit.dashboard.logs import incoming


@asynccontextmanager
async def reading(broker: MemoryBroker) -> AsyncGenerator[Chains, None]:
    log = MemoryLog(broker)
    await log.open()
    try:
        yield Chains(log, MESH)
    finally:
        await log.close()


def records_of(chain: Chain) -> int:
    return len(chain.chronicle.entries)


async def test_a_workflow_is_read_as_the_command_reads_it(
    recorded: Recorded, broker: MemoryBroker
) -> None:
    async with reading(broker) as chains:
        for workflow in recorded.workflows.values():
            partition, records = recorded.records(workflow)
            chronicle = Chronicle(workflow)
            for record in records:
                chronicle.add(record)
            for _ in range(2):  # from the log, and as it is kept
                story = await chains.told(
                    workflow, None, lambda own: tell(own.chronicle, own.partition)
                )
                expected = tell(chronicle, partition)
                assert story is not None
                assert expected is not None
                assert story.root == expected.root
        assert len(chains._kept) == len(recorded.workflows)


async def test_what_is_not_there_is_none(broker: MemoryBroker) -> None:
    async with reading(broker) as chains:
        for name in ("0-none", "99-none", "none", "", "0-\ud800"):
            assert await chains.told(name, None, records_of) is None


def laid(log: Scribe) -> MemoryBroker:
    """Return a broker whose audit stream is what a scribe wrote."""
    broker = MemoryBroker(lambda: log.now_ms)
    broker.create_topic(TopicPlan(name=topics.audit(MESH), partitions=1))
    put(broker, log)
    return broker


def put(broker: MemoryBroker, log: Scribe) -> None:
    partition = broker.partition(Place(topics.audit(MESH), 0))
    for own in list(incoming(log))[partition.high :]:
        partition.append(own.append_ms, own.key, own.value, own.headers)


async def test_a_chain_is_read_on_from_where_it_was() -> None:
    log = Scribe()
    log.begin()
    broker = laid(log)
    async with reading(broker) as chains:
        assert await chains.told(ROOT, None, records_of) == 1
        log.write(log.reserved("0"))
        put(broker, log)
        assert await chains.told(ROOT, 1, records_of) == 2
        counts = await asyncio.gather(*(chains.told(ROOT, 1, records_of) for _ in range(3)))
        assert counts == [2, 2, 2]
        assert chains._locks == {}


async def test_where_supervision_was_taken_long_before_it_is_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(modules, "BACK", 3)
    log = Scribe()
    assert not log.take(lease_ms=30_000)
    for _ in range(10):
        log.write(log.opened(authority=99, task="0-x", workflow="0-x"))  # void
    assert not log.open_root()
    async with reading(laid(log)) as chains:
        counted = await chains.told(
            ROOT, None, lambda own: [entry.void for entry in own.chronicle.entries]
        )
    assert counted == [""]


async def test_what_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "MAX_RECORDS", 1)
    log = Scribe()
    log.begin()
    log.write(log.reserved("0"))
    async with reading(laid(log)) as chains:
        with pytest.raises(TooLong):
            await chains.told(ROOT, None, records_of)


async def test_reading_stops_some_way_behind_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "AFTER", 0)
    log = Scribe()
    log.begin()
    log.write(log.finished(spent=log.ledger.cost(log.task())))
    for _ in range(600):
        log.write(log.opened(authority=99, task="0-x", workflow="0-x"))
    broker = laid(log)
    async with reading(broker) as chains:
        due = await chains.told(ROOT, None, lambda own: own.next)
        assert due is not None
        assert due < len(log.records)
        assert await chains.told(ROOT, None, lambda own: own.next) == due
