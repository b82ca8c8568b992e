from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from mesh.cli import processing as processes
from mesh.cli.processing import Beside, ProcessorServer, quieten
from mesh.cli.serving import OFF, Serving
from mesh.config import Config
from mesh.core.shared import Entry, Past, Verdict
from mesh.errors import NewerSchema, WrongTopic
from tests.unit.cli.fake_processor import FakeProcessor


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[FakeProcessor]:
    """Those that will be made, and `FakeProcessor()` when there is none left."""
    queue: list[FakeProcessor] = []

    def processor(_: Config, *, skips_newer: bool) -> FakeProcessor:
        assert not skips_newer
        return queue.pop(0) if queue else FakeProcessor()

    monkeypatch.setattr("mesh.bootstrap.processor", processor)
    return queue


def server(drain_s: float, ready: Callable[[], None]) -> tuple[ProcessorServer, list[str]]:
    told: list[str] = []
    serving = Serving(drain_s=drain_s, health=OFF, told=told.append, ready=ready)
    return ProcessorServer(Config(mesh="test"), serving), told


async def test_it_tells_how_shared_state_stands(made: list[FakeProcessor]) -> None:
    ready = asyncio.Event()
    running, told = server(2.0, ready.set)
    assert "mesh_state_lag" not in running.metrics().text
    task = asyncio.create_task(running.run())
    await ready.wait()
    assert running.process is not None
    assert running.process.keeper is not None
    keeper = running.process.keeper
    keeper.verdicts[Verdict.ACCEPTED] = 3
    keeper.healed = 1
    keeper.parts[2].view.restore(entry())
    text = running.metrics().text
    assert 'mesh_state_lag{mesh="test",partition="2"} 17.0' in text
    assert 'mesh_state_rows{mesh="test",partition="2"} 1.0' in text
    assert 'mesh_state_through{mesh="test",partition="2"} 5.0' in text
    assert 'mesh_state_restored_ratio{mesh="test",partition="2"} 1.0' in text
    assert 'mesh_state_verdicts_total{mesh="test",verdict="accepted"} 3.0' in text
    assert 'mesh_state_events_total{kind="healed",mesh="test"} 1.0' in text
    watchman = running.process.watchman
    assert watchman is not None
    watchman.findings["loop"] = 2
    watchman.facts = 9
    text = running.metrics().text
    assert 'mesh_watch_lag{mesh="test",partition="3"} 0.0' in text
    assert 'mesh_watch_restored_ratio{mesh="test",partition="3"} 1.0' in text
    assert 'mesh_watch_open_workflows{mesh="test"} 0.0' in text
    assert 'mesh_watch_findings_total{kind="loop",mesh="test"} 2.0' in text
    assert 'mesh_watch_events_total{kind="fact",mesh="test"} 9.0' in text
    assert told == ["processor of partitions 2 in mesh test at 127.0.0.1:9092"]
    running.stop.set()
    assert await task


async def test_what_a_drain_left_is_told(made: list[FakeProcessor]) -> None:
    ready = asyncio.Event()
    running, told = server(0.0, ready.set)
    task = asyncio.create_task(running.run())
    await ready.wait()
    running.stop.set()
    assert not await task
    assert told[-1] == "0 changes were not settled; who comes next judges them again"


async def test_a_newer_schema_is_no_reason_to_start_again(made: list[FakeProcessor]) -> None:
    ready = asyncio.Event()
    running, _ = server(2.0, ready.set)
    task = asyncio.create_task(running.run())
    await ready.wait()
    assert running.process is not None
    assert running.process.failed is not None
    running.process.failed.set_result(NewerSchema("of tomorrow"))
    with pytest.raises(NewerSchema, match="of tomorrow"):
        await task


async def test_one_that_owns_nothing_stands_by(made: list[FakeProcessor]) -> None:
    running, _ = server(2.0, lambda: None)
    assert running.name() == "processor, standing by,"


async def test_beside_something_else(made: list[FakeProcessor]) -> None:
    told: list[str] = []
    beside = Beside(Config(mesh="test"), told.append, 1.0)
    await beside.stop()
    beside = Beside(Config(mesh="test"), told.append, 1.0)
    beside.start()
    await beside.ready()
    await beside.stop()
    assert told == []


async def test_one_that_cannot_be_started_is_told(made: list[FakeProcessor]) -> None:
    made.append(FakeProcessor(WrongTopic("no topic")))
    beside = Beside(Config(mesh="test"), print, 1.0)
    beside.start()
    with pytest.raises(WrongTopic, match="no topic"):
        await beside.ready()
    await beside.stop()


async def test_an_end_beside_something_else_is_told(made: list[FakeProcessor]) -> None:
    processor = FakeProcessor()
    made.append(processor)
    said = asyncio.Event()
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        said.set()

    beside = Beside(Config(mesh="test"), tell, 1.0)
    beside.start()
    await beside.ready()
    assert processor.failed is not None
    processor.failed.set_result(NewerSchema("of tomorrow"))
    await said.wait()
    await beside.stop()
    assert told == ["mesh: the processor ended, writes to shared state wait: of tomorrow"]


def test_faust_tells_warnings_alone() -> None:
    quieten()
    assert logging.getLogger("faust").level == logging.WARNING
    assert "aiokafka" in processes.CHATTY


def entry() -> Entry:
    return Entry(
        key="a",
        version=1,
        value=None,
        agent="a",
        writer="w",
        workflow="",
        task="",
        step="",
        objective="",
        because="",
        source=5,
        append_ms=0,
        candidates=(),
        recent=(Past(1, "c", Verdict.ACCEPTED, ""),),
    )
