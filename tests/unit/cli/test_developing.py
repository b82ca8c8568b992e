from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mesh.cli import developing
from mesh.cli.brokers import Ready
from mesh.cli.developing import Dev, Item, Plan
from mesh.cli.failures import CommandError
from mesh.cli.findings import Found
from mesh.cli.options import Session, Shared
from mesh.cli.output import Format
from mesh.cli.pilot import Crew
from mesh.cli.tally import Tally
from mesh.config import DEV, Config, Contexts, config_folder, environment
from mesh.core.book import End
from mesh.core.effects import Incident
from mesh.core.facts import Record
from mesh.core.values import Amount, Wait
from mesh.errors import UsageError
from mesh.runtime.process import Process
from mesh.telling.words import money
from mesh.testing.ordering import Ordering
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.state import decode_proposal
from tests.simulation.scribe import ANN, ROOT, Scribe, terms
from tests.unit.cli.fake_processor import FakeProcessor
from tests.unit.cli.office import AGENTS, Need

NAMES = tuple(agent.name for agent in AGENTS)
RULES_TEXT = """
version = 1
objectives = ["risk", "cost"]
[[state]]
prefix = "stock/"
resolution = "arbitrate"
"""
CAPABILITIES = tuple(name for agent in AGENTS for name in agent.capabilities)


class FakePilot:
    """Runs the office in this process instead of a child."""

    broker: MemoryBroker
    files: tuple[Path, ...] = ()
    fail: Sequence[str] = ()
    made = 0
    all: ClassVar[list[FakePilot]] = []
    third = asyncio.Event()

    def __init__(self, *_: object) -> None:
        type(self).made += 1
        self.number = self.made
        self.all.append(self)
        self.process: Process | None = None
        self.end: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def prepare(self) -> Crew:
        if self.number <= len(self.fail) and self.fail[self.number - 1]:
            raise UsageError(self.fail[self.number - 1])
        return Crew(agents=NAMES, capabilities=CAPABILITIES, files=self.files)

    async def go(self) -> None:
        self.process = Process(MemoryLog(self.broker), "test", AGENTS, name=f"p{self.number}")
        await self.process.start()
        if self.number == 3:
            self.third.set()

    async def ended(self) -> int:
        return await asyncio.shield(self.end)

    async def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            await process.drain(1.0)
        if not self.end.done():
            self.end.set_result(0)


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakePilot]:
    for name in [name for name in os.environ if name.startswith(("MESH_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MESH_NAME", "test")
    monkeypatch.setenv("MESH_PARTITIONS_AUDIT", "2")
    monkeypatch.setenv("MESH_PARTITIONS_TASKS", "1")
    broker = MemoryBroker(_now_ms)

    @asynccontextmanager
    async def ready(kind: str, config: Config, out: object) -> AsyncIterator[Ready]:
        yield Ready(config, MemoryLog(broker), f"in memory ({kind})")

    class Pilot(FakePilot):
        made = 0
        all: ClassVar[list[FakePilot]] = []
        third = asyncio.Event()

    Pilot.broker = broker
    monkeypatch.setattr(developing, "broker", ready)
    monkeypatch.setattr(developing, "Pilot", Pilot)
    monkeypatch.setattr("mesh.bootstrap.connect", lambda *_, **__: MemoryLog(broker))
    monkeypatch.setattr("mesh.bootstrap.processor", lambda *_, **__: FakeProcessor())
    return Pilot


def _now_ms() -> int:
    return int(time.time() * 1_000)


class Watched(Tally):
    """Mutable: tells when the first workflow is there."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()

    def add(self, partition: int, record: Record) -> tuple[str, End | None]:
        found = super().add(partition, record)
        if self.workflows:
            self.began.set()
        return found


def items(*names: str) -> list[Item]:
    return [Item(name, Need(item=name).model_dump(), "") for name in names]


def dev(work: Sequence[Item], *, form: Format = Format.TABLE, **other: Any) -> Dev:
    given = {"exit_when_done": True, "reload": False} | other
    plan = Plan(
        targets=("x:y",), broker="memory", capability="office.order", load=lambda: work, **given
    )
    return Dev(Session(Shared(output=form)), plan)


def contexts() -> dict[str, Any]:
    return Contexts(config_folder(environment())).read()[1]


def run(one: Dev) -> None:
    """Outside of pytest's loop: files of the user's own are read and written in between."""
    asyncio.run(one.run())


def test_work_is_submitted_followed_and_summed_up(
    office: type[FakePilot], capsys: pytest.CaptureFixture[str]
) -> None:
    one = dev([*items("table", "chair"), Item("bad", None, "no JSON")], form=Format.JSON)
    run(one)
    one.finish()
    said = capsys.readouterr()
    figures = json.loads(said.out)
    wanted = {"workflows": 2, "completed": 2, "failed": 0, "tasks": 4, "sent_back": 1}
    assert {name: figures[name] for name in wanted} == wanted
    assert figures["auctions"] >= 2
    assert figures["reawards"] == 1
    assert figures["wall_s"] > 0
    assert figures["outcomes"] == {"buy": 2}
    assert figures["not_submitted"] == 1
    assert "broker   in memory (memory)" in said.err
    assert "not submitted  bad: no JSON" in said.err
    assert "table  office.quote: auction won by ann" in said.err
    assert "chair  office.quote sent back: no seller named" in said.err
    assert "✓ buy  office.order" in said.err
    assert DEV not in contexts()


def test_a_workflow_that_fails_is_code_6(
    office: type[FakePilot], capsys: pytest.CaptureFixture[str]
) -> None:
    one = dev(items("gold"))
    run(one)
    with pytest.raises(CommandError, match="1 workflow did not complete") as raised:
        one.finish()
    assert raised.value.code == 6
    assert "1 workflow ended in" in capsys.readouterr().out


def test_an_interrupt_is_told_and_other_commands_find_the_mesh_meanwhile(
    office: type[FakePilot], capsys: pytest.CaptureFixture[str]
) -> None:
    one = dev(items("later"))

    async def interrupt() -> None:
        one.tally = tally = Watched()
        running = asyncio.create_task(one.run())
        await tally.began.wait()
        assert contexts()[DEV]["pid"] == os.getpid()
        one.stop.set()
        await running

    asyncio.run(interrupt())
    with pytest.raises(CommandError, match="interrupted before everything was done") as raised:
        one.finish()
    assert raised.value.code == 130


def test_agents_go_on_after_the_example_until_they_are_stopped(
    office: type[FakePilot], capsys: pytest.CaptureFixture[str]
) -> None:
    one = dev(items("table"), exit_when_done=False)

    async def stop_when_done() -> None:
        running = asyncio.create_task(one.run())
        await one._done.wait()
        one.stop.set()
        await running

    asyncio.run(stop_when_done())
    one.finish()
    said = capsys.readouterr()
    assert "The agents go on; Ctrl-C ends them" in said.err
    assert said.out == ""


def test_agents_that_end_by_themselves_are_a_failure(office: type[FakePilot]) -> None:
    one = dev(items("later"))

    async def end() -> None:
        one.tally = tally = Watched()
        running = asyncio.create_task(one.run())
        await tally.began.wait()
        office.all[-1].end.set_result(3)
        with pytest.raises(CommandError, match="the agents' process ended with 3"):
            await running

    asyncio.run(end())


def test_saved_files_are_loaded_again(
    office: type[FakePilot],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    office.files = (tmp_path / "hello.py",)
    office.fail = ("", "hello:agent: its import raised SyntaxError", "")
    saved: asyncio.Queue[Path] = asyncio.Queue()
    watched: list[Path] = []

    async def awatch(*folders: Path, **_: object) -> AsyncIterator[set[tuple[int, str]]]:
        watched.extend(folders)
        while True:
            yield {(2, str(await saved.get()))}

    monkeypatch.setattr("watchfiles.awatch", awatch)
    one = dev([], exit_when_done=False, reload=True)

    async def save() -> None:
        running = asyncio.create_task(one.run())
        for _ in range(2):
            saved.put_nowait(tmp_path / "hello.py")
        await office.third.wait()
        one.stop.set()
        await running

    asyncio.run(asyncio.wait_for(save(), 30))
    said = capsys.readouterr().err
    assert watched[0] == tmp_path
    assert "hello.py was saved: loading the agents again" in said
    assert "its import raised SyntaxError; waiting for the next save" in said
    assert office.made == 3


# --- shared state, incidents, halts ---------------------------------------------------------------


def test_a_policy_holds_before_the_agents_start_and_the_summary_shows_what_they_wrote(
    office: type[FakePilot], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(RULES_TEXT)
    values: list[Mapping[str, Any]] = []

    def shows(given: Mapping[str, Any]) -> list[str]:
        values.append(given)
        return ["  all is well"]

    one = dev(items("table"), policy=file, shows=shows)
    run(one)
    one.finish()
    said = capsys.readouterr()
    assert f"policy   version 1 of {file}: risk before cost" in said.err
    assert "  all is well" in said.out
    assert values == [{}]
    records = office.broker.records(topics.changes("test"))
    assert {decode_proposal(own.value).rules.objectives for own in records} == {("risk", "cost")}  # type: ignore[union-attr] # nothing else was proposed


def test_a_halted_workflow_holds_up_nobody_until_it_is_lifted() -> None:
    one = dev([])
    one._submitted, one._all_submitted = {ROOT}, True
    log = Scribe()
    log.begin()
    log.write(log.reserved(amount=Amount(micro_usd=500)))
    log.write(log.settled(amount=Amount(micro_usd=500)))
    log.write(log.suspended(waiting_for=(Wait("", "halt", "", 0, "agent/ann"),)))
    for record in log.records:
        one.tally.add(0, record)
        one._note(record.fact, ended=False)
    assert one._done.is_set()
    assert one.figures()["halted"] == 1
    assert "1 workflow halted, which a person may lift" in one._summary()
    assert list(one._commands()) == [f"  mesh lift workflow/{ROOT} --because …"]
    found = Found(Incident("loop", ROOT, "", "it returns"), 0, ROOT)
    one.incidents.append(found)
    granted = money(one.tally.paid(ROOT)[1])
    assert one._told(found) == f"{ROOT}  ✗ incident loop after $0.0005 of {granted}: it returns"
    assert list(one._found()) == [f"incident loop: {ROOT}, spent $0.0005 of {granted}, halted"]
    one._note(log.awarded(terms(ANN, 2)), ended=False)
    assert one.figures()["halted"] == 0


def test_incidents_are_told_as_they_are_found(
    office: type[FakePilot], capsys: pytest.CaptureFixture[str]
) -> None:
    one = dev(items("later"), exit_when_done=False)

    class Heard(list[Found]):
        """Stops the run at the first."""

        def append(self, found: Found) -> None:
            super().append(found)
            one.stop.set()

    one.incidents = Heard()

    async def find() -> None:
        one.tally = tally = Watched()
        running = asyncio.create_task(one.run())
        await tally.began.wait()
        log = MemoryLog(office.broker)
        await log.open()
        Ordering(office.broker, log, "test").order("agent/ann", "so", "eve", halted=True)
        await running
        await log.close()

    asyncio.run(find())
    assert "✗ incident halt: agent/ann is halted by eve: so" in capsys.readouterr().err
    assert "  mesh incidents" in list(one._commands())
