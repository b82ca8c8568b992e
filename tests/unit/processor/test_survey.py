"""The survey as a whole: what two partitions show is told once, by whoever owns the first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping

import pytest

from mesh.core.detectors import duplicate_work, stale_read, starvation
from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.detectors.watch import BROKEN, MAX_FAILURES
from mesh.core.effects import Incident
from mesh.core.responses import Response
from mesh.ports import Place
from mesh.processor import survey as surveys
from mesh.processor.survey import OWN, Survey
from mesh.processor.watchman import Watchman
from mesh.testing import MemoryMesh
from mesh.transport.memory import MemoryLog
from mesh.wire import topics
from mesh.wire.entries import decode_halt
from tests.unit.processor.crossing import Done, Order, agents
from tests.unit.processor.quarrel import MESH, incidents

AUDIT = topics.audit(MESH)
LIMITS = LimitTable(mesh=Limits(starved_ms=1, duplicate_ms=1_000))


class Worker:
    """Mutable: a watchman with its survey, over the log of a mesh."""

    def __init__(self, mesh: MemoryMesh) -> None:
        self.mesh = mesh
        self.log = MemoryLog(mesh.broker)
        self.watchman = Watchman(self.log, MESH, failed=self._fail, limits=LIMITS)
        now_ms = mesh.clock.now_ms
        self.survey = Survey(
            self.log,
            MESH,
            self.watchman,
            clock=lambda: now_ms() * 1_000_000,
            ticks=lambda: now_ms() * 1_000_000,
        )

    def _fail(self, error: Exception) -> None:
        raise error

    async def start(self, *partitions: int) -> Worker:
        await self.log.open()
        await self.watchman.start()
        for partition in partitions:
            await self.watchman.take(partition, 0)
        return self

    async def see(self) -> None:
        for record in self.mesh.broker.records(AUDIT):
            await self.watchman.see(record)

    async def look(self, times: int = 3) -> None:
        for _ in range(times):
            await self.survey.look()
        await self.mesh.settle()

    def found(self, kind: str) -> list[Incident]:
        return [own for own in incidents(self.mesh.broker) if own.kind == kind]

    async def stop(self) -> None:
        await self.watchman.close()
        await self.log.close(0.0)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take each picture at once."""
    monkeypatch.setattr(surveys, "ATTENDANCE_MS", 1)


@pytest.fixture
async def mesh() -> AsyncIterator[MemoryMesh]:
    async with MemoryMesh(*agents()) as made:
        await made.submit("plan.change", Order(order=1), Done)
        yield made


async def workers(mesh: MemoryMesh, *owned: tuple[int, ...]) -> list[Worker]:
    return [await Worker(mesh).start(*partitions) for partitions in owned]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # nobody tells when it has looked
        await asyncio.sleep(0)


async def crossed(mesh: MemoryMesh) -> None:
    """Let two draft the same from a plan that a third changes meanwhile."""
    first = await mesh.begin("draft.write", Order(order=7), Done)
    second = await mesh.begin("draft.write", Order(order=7), Done)
    await mesh.settle()
    await mesh.submit("plan.change", Order(order=2), Done)
    await mesh.finish(first)
    await mesh.finish(second)
    await mesh.advance("5s")


async def test_each_is_told_once_whoever_looks(mesh: MemoryMesh) -> None:
    await crossed(mesh)
    mesh.kill("planner.1")
    place = Place(topics.tasks(MESH, "plan.change"), 0)
    mesh.broker.partition(place).append(mesh.clock.now_ms(), b"k", b'{"order": 1}', ())
    await mesh.advance("61s")
    one, other = await workers(mesh, (0,), (1,))
    for worker in (one, other):
        await worker.see()
        await worker.look()
    await mesh.advance("1s")
    await one.look()
    await other.look()
    assert len(one.found("duplicate-work")) == 1
    assert len(one.found("starvation")) == 1
    stale = one.found("stale-read")
    assert len({own.workflow for own in stale}) == len(stale) == 2
    keys = {own.key for own in mesh.broker.records(topics.incidents(MESH))}
    assert b"plan.change" in keys
    assert other.survey.rounds is None
    assert "Rounds" in repr(one.survey)

    (again,) = await workers(mesh, (0, 1))
    await again.see()
    await again.look()
    await mesh.advance("1s")
    await again.look()
    every = incidents(mesh.broker)
    assert len({own.id for own in every}) == 4
    await asyncio.gather(*(worker.stop() for worker in (one, other, again)))


async def test_whoever_loses_the_first_partition_goes_round_no_more(mesh: MemoryMesh) -> None:
    (worker,) = await workers(mesh, (0, 1))
    await worker.look()
    assert worker.survey.rounds is not None
    worker.watchman.give_up(OWN)
    await crossed(mesh)
    await worker.look()
    assert worker.survey.rounds is None
    assert worker.found("duplicate-work") == []
    await worker.stop()


async def test_a_policy_may_halt_whoever_came_second(mesh: MemoryMesh) -> None:
    (worker,) = await workers(mesh, (0, 1))
    responder = worker.watchman.responder
    responder.responses = type(responder.responses)(
        version=1, chosen={"duplicate-work": Response.HALT}
    )
    first = await mesh.begin("draft.write", Order(order=7), Done)
    await mesh.advance("200ms")
    second = await mesh.begin("draft.write", Order(order=7), Done)
    for _ in range(3):
        await mesh.advance("900ms")
        await worker.look(1)
    await worker.see()
    await worker.look()
    orders = [decode_halt(own.value) for own in mesh.broker.records(topics.control(MESH))]
    assert [own.target for own in orders] == [f"workflow/{second.workflow}"]
    (incident,) = worker.found("duplicate-work")
    assert incident.workflow == second.workflow
    assert first.workflow in incident.text
    await worker.stop()


async def test_what_ended_is_not_halted(mesh: MemoryMesh) -> None:
    await crossed(mesh)
    (worker,) = await workers(mesh, (0, 1))
    responder = worker.watchman.responder
    responder.responses = type(responder.responses)(
        version=1, chosen={"duplicate-work": Response.HALT, "stale-read": Response.HALT}
    )
    await worker.see()
    await worker.look()
    assert len(worker.found("duplicate-work")) == 1
    assert len(worker.found("stale-read")) == 2
    assert mesh.broker.records(topics.control(MESH)) == []
    await worker.stop()


async def test_what_cannot_be_looked_at_is_looked_at_again(
    mesh: MemoryMesh, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await crossed(mesh)
    monkeypatch.setattr(surveys, "LOOK_S", 0)
    (worker,) = await workers(mesh, (0, 1))
    await worker.see()
    mesh.broker.cut(worker.log)
    running = asyncio.ensure_future(worker.survey.run())
    async with asyncio.timeout(5):
        await until(lambda: caplog.text.count("cannot look") >= 3)
        mesh.broker.heal(worker.log)
        await until(lambda: bool(worker.found("duplicate-work")))
        await until(lambda: bool(worker.found("stale-read")))
    running.cancel()
    assert not worker.watchman.inquiries
    await worker.stop()


async def test_a_detector_that_raises_is_an_incident_and_the_others_go_on(
    mesh: MemoryMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    await crossed(mesh)
    (worker,) = await workers(mesh, (0, 1))
    await worker.see()

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a broken detector")

    monkeypatch.setattr(stale_read.Versions, "judge", fail)
    await worker.look()
    assert not worker.watchman.inquiries, "nothing is held back by it"
    parts = mesh.broker.partitions(AUDIT)
    assert dict(worker.watchman.settled()) == {part.place.partition: part.high for part in parts}
    (broken,) = worker.found(BROKEN)
    assert (broken.detector, broken.seen, broken.workflow) == ("stale-read", 1, "")
    assert broken.text == (
        "The detector stale-read failed (ZeroDivisionError: a broken detector); the others go on."
    )
    assert len(worker.found("duplicate-work")) == 1
    await worker.stop()


async def test_a_detector_that_raises_too_often_is_set_aside(
    mesh: MemoryMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    (worker,) = await workers(mesh, (0, 1))

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a broken detector")

    for owner, name in (
        (duplicate_work.Twins, "advance"),
        (starvation.Starvation, "look"),
        (stale_read.Versions, "judge"),
    ):
        monkeypatch.setattr(owner, name, fail)
    for _ in range(MAX_FAILURES + 3):
        await crossed(mesh)
        await worker.see()
        await worker.look(1)
    assert set(worker.survey._failures.values()) == {MAX_FAILURES}
    assert not worker.watchman.inquiries
    ids = {(own.detector, own.id) for own in worker.found(BROKEN)}
    assert len(ids) == 6, "each failed, and each was set aside"
    assert "set aside" in worker.found(BROKEN)[-1].text
    await worker.stop()


async def test_whoever_takes_the_first_partition_again_goes_round_anew(mesh: MemoryMesh) -> None:
    (worker,) = await workers(mesh, (0, 1))
    await crossed(mesh)
    await worker.see()
    await worker.look(1)
    before = worker.survey.rounds
    assert before is not None
    await worker.watchman.take(OWN, 0)
    await worker.look()
    assert worker.survey.rounds is not before, "what was on its way may be told by nobody else"
    assert len({own.id for own in worker.found("duplicate-work")}) == 1
    await worker.stop()


async def test_incidents_are_read_for_what_somebody_else_may_have_told_alone(
    mesh: MemoryMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    (worker,) = await workers(mesh, (0, 1))
    await worker.look()
    asked: list[object] = []
    responder = worker.watchman.responder
    read = responder.told

    async def told(workflows: Collection[str]) -> Mapping[str, Incident]:
        asked.extend(workflows)
        return await read(workflows)

    monkeypatch.setattr(responder, "told", told)
    await crossed(mesh)
    await worker.look()
    assert len(worker.found("duplicate-work")) == 1
    assert not asked, "it came after this worker began"

    (later,) = await workers(mesh, (0, 1))
    monkeypatch.setattr(later.watchman.responder, "told", told)
    await later.look()
    assert len(set(asked)) == 1
    await asyncio.gather(worker.stop(), later.stop())
