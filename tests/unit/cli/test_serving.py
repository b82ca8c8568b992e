from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
from collections.abc import Callable

import pytest

from mesh.cli import serving
from mesh.cli.serving import OFF, Lateness, Server, Serving, log_to_stderr, stopping
from mesh.config import Config
from mesh.errors import Unreachable
from mesh.ports import Place
from mesh.runtime.process import Process
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from tests.unit.cli.office import ann


def broker_with_topics() -> MemoryBroker:
    broker = MemoryBroker(lambda: 1_750_000_000_000)
    for plan in topics.plans("test", capabilities=ann.capabilities, pools=["ann"]):
        broker.create_topic(plan)
    return broker


def server(
    monkeypatch: pytest.MonkeyPatch, broker: MemoryBroker, ready: Callable[[], None], **other: str
) -> tuple[Server, list[str]]:
    def process(config: Config, agents: list[object]) -> Process:
        return Process(MemoryLog(broker), config.mesh, [ann])

    monkeypatch.setattr("mesh.bootstrap.process", process)
    monkeypatch.setattr(serving, "FIRST_PAUSE_S", 0.0)
    told: list[str] = []
    how = Serving(drain_s=2.0, health=other.get("health", OFF), told=told.append, ready=ready)
    return Server(Config(mesh="test"), [ann], how), told


async def test_it_serves_until_it_is_told_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = asyncio.Event()
    running, told = server(monkeypatch, broker_with_topics(), ready.set, health="127.0.0.1:0")
    task = asyncio.create_task(running.run())
    await ready.wait()
    assert running.readyz().status == 200
    assert running.healthz().text == "alive\n"
    text = running.metrics().text
    assert 'mesh_ready{mesh="test"} 1.0' in text
    assert 'mesh_slots{agent="ann",mesh="test"} 64.0' in text
    assert 'mesh_loop_lag_seconds_count{mesh="test"}' in text
    running.stop.set()
    assert (running.readyz().status, running.readyz().text) == (503, "draining\n")
    assert await task
    assert told[0].startswith("ann in mesh test at 127.0.0.1:9092; health at http://127.0.0.1:")
    assert told[-1] == "draining, for at most 2 s"


async def test_a_first_start_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = broker_with_topics()
    broker.stop()
    running, _ = server(monkeypatch, broker, lambda: None)
    assert running.readyz().text == "not connected\n"
    with pytest.raises(Unreachable):
        await running.run()


async def test_a_lost_connection_is_a_new_incarnation(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    starts: list[Process] = []
    started = Process.start

    async def start(self: Process) -> None:
        if len(starts) == 1 and "starting again in" not in caplog.text:
            raise Unreachable("not there yet")
        await started(self)

    def ready() -> None:
        process = running.process
        assert process is not None
        starts.append(process)
        if len(starts) == 1:
            assert process.failed is not None
            process.failed.set_result(Unreachable("gone"))
        else:
            running.stop.set()

    monkeypatch.setattr(Process, "start", start)
    running, _ = server(monkeypatch, broker_with_topics(), ready)
    with caplog.at_level(logging.WARNING):
        assert await running.run()
    assert len(starts) == 2
    assert running.starts == 2
    assert "starting again in 0.0 s: not there yet" in caplog.text


async def test_work_that_outlasts_the_drain_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = asyncio.Event()
    running, told = server(monkeypatch, broker_with_topics(), ready.set)

    async def drain(self: Process, limit_s: float) -> bool:
        await self.close()
        return False

    monkeypatch.setattr(Process, "drain", drain)
    task = asyncio.create_task(running.run())
    await ready.wait()
    running.stop.set()
    assert not await task
    assert told[-1].startswith("0 tasks were not finished")


async def test_the_first_signal_stops_and_the_second_interrupts() -> None:
    stop = asyncio.Event()
    terminate, interrupt = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        with stopping(stop.set):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(stop.wait(), 5)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, terminate)
        signal.signal(signal.SIGINT, interrupt)


def test_logs_go_to_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, int] = {}
    registered: list[int] = []
    monkeypatch.setattr(logging, "basicConfig", given.update)
    monkeypatch.setattr(faulthandler, "register", lambda number, file: registered.append(number))
    log_to_stderr(quiet=True)
    assert given.pop("level") == logging.WARNING
    log_to_stderr(quiet=False)
    assert given["level"] == logging.INFO
    assert registered == [signal.SIGUSR1] * 2
    assert logging.getLogger("mesh.transport").level == 30
    logging.getLogger("mesh.transport").setLevel(logging.NOTSET)


async def test_it_tells_what_waits_and_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = asyncio.Event()
    broker = broker_with_topics()
    running, _ = server(monkeypatch, broker, ready.set)
    task = asyncio.create_task(running.run())
    await ready.wait()
    process = running.process
    assert process is not None
    (name,) = ann.capabilities
    lag = f'mesh_tasks_lag{{agent="ann",capability="{name}",mesh="test",partition="0"}}'
    while f"{lag} 0.0" not in running.metrics().text:
        await running.look(process)
        await asyncio.sleep(0)
    process.instances[0].node.desk.meter.replayed(name)
    log = MemoryLog(broker)
    await log.open()
    log.append(Place(topics.tasks("test", name), 0), None, b"no JSON")
    await running.look(process)
    text = running.metrics().text
    assert f"{lag} 1.0" in text
    assert f'mesh_steps_replayed_total{{agent="ann",capability="{name}",mesh="test"}} 1.0' in text
    running.stop.set()
    assert await task


async def test_a_loop_that_comes_late_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lateness, "EVERY_S", 0.0)
    late = Lateness()
    late.start()
    for _ in range(50):
        await asyncio.sleep(0)
    late.stop()
    seen = sum(late.spread.counts)
    assert seen > 3
    for _ in range(10):
        await asyncio.sleep(0)
    assert sum(late.spread.counts) == seen
