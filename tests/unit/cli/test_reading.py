from __future__ import annotations

import asyncio

import pytest

from mesh.cli.failures import CommandError
from mesh.cli.output import Out
from mesh.cli.reading import AuditReader, connected, read_directory
from mesh.config import Config
from mesh.errors import WrongTopic
from mesh.ports import Place
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from tests.unit.cli.conftest import Recorded, copied

CONFIG = Config(mesh="test")
AUDIT = topics.audit("test")


async def reader_of(broker: MemoryBroker, mesh: str = "test") -> AuditReader:
    log = MemoryLog(broker)
    await log.open()
    return AuditReader(log, Config(mesh=mesh), Out(quiet=True))


async def test_a_workflow_is_found_by_the_beginning_of_its_id_or_a_tasks(
    recorded: Recorded,
) -> None:
    reader = await reader_of(recorded.broker)
    workflow = recorded.workflows["chair"]
    assert await reader.find(workflow) == workflow
    assert await reader.find(workflow[:12]) == workflow
    chronicle = await reader.chronicle(workflow)
    assert chronicle.ended
    child = list(chronicle.states)[1]
    assert await reader.find(child[:14]) == workflow
    assert reader.task_of(child[:14], chronicle) == child
    assert reader.task_of(workflow, chronicle) == workflow
    own = chronicle.entries[-1].record
    where = f"{workflow[0]}/{own.offset}"
    assert await reader.find(where) == workflow
    assert reader.task_of(where, chronicle) == getattr(own.fact, "task", "")
    assert await reader.latest() in recorded.workflows.values()
    assert "of 0" not in reader.progress()


async def test_what_cannot_be_found_is_said(recorded: Recorded) -> None:
    reader = await reader_of(recorded.broker)
    for name, message in (
        ("nonsense", "names no workflow"),
        ("9-abc", "0 to 1"),
        ("0-zzz", "no workflow or task 0-zzz"),
        ("0-", "is the beginning of several"),
        ("9/0", "no fact of a workflow stands at 9/0"),
        ("0/999999", "no fact of a workflow stands at 0/999999"),
        ("0/0", "no fact of a workflow stands at 0/0"),
        ("0/x", "no fact of a workflow stands at 0/x"),
    ):
        with pytest.raises(CommandError, match=message):
            await reader.find(name)
    with pytest.raises(WrongTopic, match="there is no mesh of that name"):
        await (await reader_of(recorded.broker, "other")).ends()
    chronicle = await reader.chronicle(recorded.workflows["chair"])
    with pytest.raises(CommandError, match="several"):
        reader.task_of("", chronicle)


async def test_nothing_yet() -> None:
    broker = MemoryBroker(lambda: 0)
    for plan in topics.plans("test"):
        broker.create_topic(plan)
    with pytest.raises(CommandError, match=r"there is no workflow in test\.audit yet"):
        await (await reader_of(broker)).latest()


async def test_a_story_may_be_incomplete(
    recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    broker = copied(recorded.broker)
    workflow = recorded.workflows["table"]
    number = int(workflow[0])
    broker.trim(Place(AUDIT, number), 1)
    reader = await reader_of(broker)
    await reader.chronicle(workflow)
    assert f"the log's records below {number}/1 are gone" in capsys.readouterr().err


async def test_a_record_that_is_no_fact_is_told_and_passed_over(
    recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    broker = copied(recorded.broker)
    workflow = recorded.workflows["table"]
    number = int(workflow[0])
    broker.partition(Place(AUDIT, number)).append(0, workflow.encode(), b"junk", ())
    reader = await reader_of(broker)
    assert (await reader.chronicle(workflow)).ended
    assert reader.unreadable == 1
    assert "is no fact: begins with" in capsys.readouterr().err


async def test_every_workflow_in_one_pass(recorded: Recorded) -> None:
    found = await (await reader_of(recorded.broker)).every_chronicle()
    assert {own.workflow for own in found} == set(recorded.workflows.values())
    assert sum(own.ended for own in found) == 4


async def test_a_workflow_is_followed_as_it_goes(recorded: Recorded) -> None:
    workflow = recorded.workflows["chair"]
    reader = await reader_of(recorded.broker)
    seen = []
    async for chronicle, entry in reader.live(workflow, 0):
        seen.append(type(entry.record.fact).__name__)
        if chronicle.ended:
            break
    whole = await reader.chronicle(workflow)
    assert seen == [type(own.record.fact).__name__ for own in whole.entries]


async def test_who_supervises_a_workflow(recorded: Recorded) -> None:
    reader = await reader_of(recorded.broker)
    chronicle = await reader.chronicle(recorded.workflows["later"])
    taken = await reader.supervisor(chronicle)
    assert taken is not None
    assert taken.by.instance == "desk.1"
    chronicle.states.clear()
    assert await reader.supervisor(chronicle) is None
    reader.forget_ends()
    assert await reader.ends()


async def test_the_directory_of_a_mesh(recorded: Recorded) -> None:
    log = MemoryLog(recorded.broker)
    await log.open()
    directory = await read_directory(log, CONFIG, Out(quiet=True))
    assert directory.agents == ("ann", "bob", "desk")
    with pytest.raises(WrongTopic, match="there is no mesh other"):
        await read_directory(log, Config(mesh="other"), Out(quiet=True))


async def test_an_entry_that_cannot_be_read_is_told(
    recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    broker = copied(recorded.broker)
    broker.partition(Place(topics.registry("test"), 0)).append(0, b"eve", b"junk", ())
    broker.partition(Place(topics.presence("test"), 0)).append(0, b"eve.1", b"junk", ())
    log = MemoryLog(broker)
    await log.open()
    directory = await read_directory(log, CONFIG, Out(quiet=True))
    assert "eve" not in directory.agents
    said = capsys.readouterr().err
    assert "the card of eve cannot be read" in said
    assert "the presence of eve.1 cannot be read" in said


async def test_a_connection_lasts_as_long_as_its_command(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = MemoryLog(recorded.broker)
    monkeypatch.setattr("mesh.bootstrap.connect", lambda *_, **__: log)
    async with connected(CONFIG, Out(quiet=True)) as found:
        assert found is log
        assert await found.ends(AUDIT)
    await asyncio.sleep(0)
