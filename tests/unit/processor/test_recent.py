"""Answers about stale reads: from a mesh in memory, whose log a watchman reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mesh.core.effects import Incident
from mesh.errors import MeshError
from mesh.ports import Incoming, Place
from mesh.processor import recent as recents
from mesh.processor import watchman as watchmen
from mesh.processor.recent import Recent
from mesh.processor.watchman import Watchman
from mesh.testing import MemoryMesh
from mesh.transport.memory import MemoryLog
from mesh.wire import topics
from mesh.wire.state import state_partition
from tests.unit.processor.crossing import Done, Order, agents
from tests.unit.processor.quarrel import MESH, incidents

STATE = topics.state(MESH)


class Desk:
    """Mutable: a watchman over the log of a mesh, and who answers it."""

    def __init__(self, mesh: MemoryMesh) -> None:
        self.mesh = mesh
        self.log = MemoryLog(mesh.broker)
        self.failures: list[MeshError] = []
        self.watchman = Watchman(self.log, MESH, failed=self.failures.append)
        self.recent = Recent(self.log, MESH)

    async def take(self, *commits: int) -> None:
        """Own both partitions, from what was committed."""
        for partition in range(2):
            first = commits[partition] if commits else 0
            await self.watchman.take(partition, first)

    async def see(self) -> None:
        for record in self.records():
            await self.watchman.see(record)

    def records(self) -> list[Incoming]:
        return list(self.mesh.broker.records(topics.audit(MESH)))

    def ends(self) -> dict[int, int]:
        parts = self.mesh.broker.partitions(topics.audit(MESH))
        return {part.place.partition: part.high for part in parts}

    async def change(self, number: int) -> None:
        done = await self.mesh.submit("plan.change", Order(order=number), Done)
        assert done.value.version

    async def stale(self) -> None:
        """Let a draft be written from a plan that is changed meanwhile."""
        draft = await self.mesh.begin("draft.write", Order(order=7), Done)
        await self.mesh.settle()
        await self.change(2)
        await self.mesh.finish(draft)

    def found(self) -> list[Incident]:
        return [own for own in incidents(self.mesh.broker) if own.kind == "stale-read"]


@asynccontextmanager
async def opened() -> AsyncIterator[Desk]:
    async with MemoryMesh(*agents()) as mesh:
        desk = Desk(mesh)
        await desk.log.open()
        await desk.change(1)
        yield desk
        await desk.log.close(0.0)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with opened() as made:
        yield made


async def test_a_result_that_rests_on_what_was_replaced_is_told(desk: Desk) -> None:
    await desk.stale()
    await desk.take()
    await desk.see()
    held = dict(desk.watchman.settled())
    assert held != desk.ends(), "what led to an inquiry is not settled before its answer"
    await desk.recent.answer(desk.watchman)
    await desk.mesh.settle()
    (incident,) = desk.found()
    assert (incident.seen, incident.limit) == (5_000, 1_000)
    assert "version 1 was read" in incident.text
    assert "planner in task" in incident.text
    assert [own.stream for own in incident.evidence] == ["audit", "audit", "state"]
    where = incident.evidence[-1]
    kept = desk.mesh.broker.records(STATE)
    assert (where.partition, where.offset) in {(own.partition, own.offset) for own in kept}
    assert dict(desk.watchman.settled()) == desk.ends()
    assert desk.watchman.is_told


async def test_what_is_current_is_settled_and_nothing_told(desk: Desk) -> None:
    done = await desk.mesh.submit("draft.write", Order(order=7), Done)
    assert done.value.version == 1
    await desk.take()
    await desk.see()
    await desk.recent.answer(desk.watchman)
    assert dict(desk.watchman.settled()) == desk.ends()
    assert desk.found() == []
    assert desk.recent.asked == 1
    assert "1 asked" in repr(desk.recent)


async def test_a_restart_before_the_answer_asks_again_and_one_after_it_does_not(
    desk: Desk,
) -> None:
    await desk.stale()
    await desk.take()
    await desk.see()
    commits = desk.watchman.settled()
    await desk.take(commits[0], commits[1])
    await desk.see()
    await desk.recent.answer(desk.watchman)  # also what was asked for what is given up
    await desk.mesh.settle()
    assert len(desk.found()) == 1
    commits = desk.watchman.settled()
    await desk.take(commits[0], commits[1])
    await desk.see()
    assert not desk.watchman.inquiries


async def test_a_drain_waits_for_the_answer(desk: Desk) -> None:
    await desk.stale()
    await desk.take()
    await desk.see()
    assert not await desk.watchman.settle(0.01)
    await desk.recent.answer(desk.watchman)
    assert await desk.watchman.settle(5)


async def test_nothing_is_read_while_nobody_asks(desk: Desk) -> None:
    await desk.recent.answer(desk.watchman)
    assert desk.recent._next == {}
    assert len(desk.recent.versions) == 0


async def test_what_is_known_is_read_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.take()
    for _ in range(2):
        await desk.stale()
        await desk.see()
        await desk.recent.answer(desk.watchman)
    await desk.mesh.settle()
    assert len(desk.found()) == 1  # the second change wrote the same value
    monkeypatch.setattr(recents, "BACK", 1)
    for number in (3, 4, 5):
        await desk.change(number)
    await desk.stale()
    await desk.see()
    await desk.recent.answer(desk.watchman)  # only the last version is known, and the rules
    await desk.mesh.settle()
    assert len(desk.recent.versions) == 1
    assert len(desk.found()) == 2


async def test_what_cannot_be_read_is_passed_over(desk: Desk) -> None:
    await desk.stale()
    for partition in range(len(desk.mesh.broker.partitions(STATE))):
        where = desk.mesh.broker.partition(Place(STATE, partition))
        where.append(desk.mesh.clock.now_ms(), b"plan/x", b"garbage", ())
    await desk.take()
    await desk.see()
    await desk.recent.answer(desk.watchman)
    await desk.mesh.settle()
    assert len(desk.found()) == 1


async def test_without_shared_state_the_answer_is_that_nothing_is_known(desk: Desk) -> None:
    await desk.stale()
    del desk.mesh.broker.topics[STATE]
    await desk.take()
    await desk.see()
    await desk.recent.answer(desk.watchman)
    assert dict(desk.watchman.settled()) == desk.ends()
    assert desk.found() == []


async def test_watching_waits_while_too_much_is_asked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchmen, "MAX_ASKED", 1)
    for _ in range(3):
        await desk.stale()
    await desk.take()
    seeing = asyncio.ensure_future(desk.see())
    await desk.mesh.settle()
    assert not seeing.done()
    while not seeing.done():
        await desk.recent.answer(desk.watchman)
        await asyncio.sleep(0)
    await seeing


async def test_only_what_is_asked_about_is_decoded_and_only_so_much_is_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.take()
    await desk.stale()
    part = state_partition("plan/x", len(desk.mesh.broker.partitions(STATE)))
    where = desk.mesh.broker.partition(Place(STATE, part))
    for number in range(30):
        where.append(1, b"plan/%d" % (number % 3), b"garbage" * 100, ())
    await desk.see()
    await desk.recent.answer(desk.watchman)
    assert len(desk.recent.versions) == 1
    kept = {key: len(raw) for key, raw in desk.recent._raw.items()}
    assert kept == {b"plan/0": 8, b"plan/1": 8, b"plan/2": 8}
    assert desk.recent._bytes == 24 * (700 + recents.RECORD_BYTES)
    monkeypatch.setattr(recents, "MAX_BYTES", 10 * (700 + recents.RECORD_BYTES))
    await desk.stale()
    where.append(1, b"plan/3", b"garbage" * 100, ())
    await desk.see()
    await desk.recent.answer(desk.watchman)
    assert list(desk.recent._raw) == [b"plan/2", b"plan/3"]
    await desk.mesh.settle()
    assert len(desk.found()) == 1  # of the second nothing more is known, or it was the same
