from __future__ import annotations

import asyncio
from contextlib import aclosing

from mesh.cli.exporting import document, ended, ending, line, release
from mesh.cli.output import Format, Out
from mesh.cli.reading import AuditReader
from mesh.config import Config
from mesh.ports import Place, TopicPlan
from mesh.telling.story import Chronicle
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from tests.unit.cli.conftest import MESH, Recorded


async def reader_of(log: MemoryLog) -> AuditReader:
    await log.open()
    return AuditReader(log, Config(mesh=MESH), Out(Format.TABLE, quiet=True))


async def test_each_workflow_is_told_once_when_it_has_ended(recorded: Recorded) -> None:
    reader = await reader_of(MemoryLog(recorded.broker))
    found = [own.workflow async for own in ended(reader)]
    assert sorted(found) == sorted(
        workflow for item, workflow in recorded.workflows.items() if item != "later"
    )


async def test_what_ends_from_now_on_is_told_as_it_does(recorded: Recorded) -> None:
    workflow = recorded.workflows["chair"]
    number, records = recorded.records(workflow)
    told = Chronicle(workflow)
    last = next(own.offset for own in records if told.add(own) and told.ended)
    topic = topics.audit(MESH)
    values = [own for own in recorded.broker.records(topic) if own.partition == number]
    broker = MemoryBroker(lambda: values[last].append_ms)
    broker.create_topic(TopicPlan(name=topic, partitions=number + 1))
    audit = broker.partition(Place(topic, number))
    for own in values[:last]:
        audit.append(own.append_ms, own.key, own.value, own.headers)
    reader = await reader_of(MemoryLog(broker))
    async with aclosing(ending(reader)) as every:
        first = asyncio.ensure_future(anext(every))
        for _ in range(20):  # until it reads on from here
            await asyncio.sleep(0)
        end = values[last]
        log = MemoryLog(broker)
        await log.open()
        log.append(Place(topic, number), end.key, end.value or b"", end.headers)
        chronicle = await first
    assert chronicle.workflow == workflow
    shown = document(chronicle, 0, "1")
    assert shown is not None
    assert "\n" not in line(shown)


def test_nothing_is_exported_of_what_was_never_opened() -> None:
    assert document(Chronicle("0-nix"), 0, "1") is None


def test_our_release_is_known() -> None:
    assert release()[0].isdigit()
