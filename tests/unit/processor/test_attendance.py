"""Who is there and what waits: from the topics of a mesh in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from mesh.core.detectors.starvation import Waiting
from mesh.core.effects import Position
from mesh.ports import Commit, Place
from mesh.processor import attendance as attendances
from mesh.processor.attendance import Attendance
from mesh.testing import MemoryMesh
from mesh.transport.memory import MemoryLog
from mesh.wire import topics
from tests.unit.processor.crossing import Done, Order, agents
from tests.unit.processor.quarrel import MESH

TASKS = topics.tasks(MESH, "plan.change")
AT = Position("tasks.plan.change", 0, 0)


class Site:
    """Mutable: a mesh, and who looks at it."""

    def __init__(self, mesh: MemoryMesh) -> None:
        self.mesh = mesh
        self.log = MemoryLog(mesh.broker)
        self.attendance = Attendance(self.log, MESH)

    async def look(self) -> Sequence[Waiting]:
        return await self.attendance.look(self.mesh.clock.now_ms())

    async def leave(self) -> None:
        """Kill the only instance that changes plans; wait until it counts as gone."""
        self.mesh.kill("planner.1")
        await self.mesh.advance("61s")

    async def put(self, value: bytes = b'{"order": 1}') -> None:
        place = Place(TASKS, 0)
        self.mesh.broker.partition(place).append(self.mesh.clock.now_ms(), b"k", value, ())


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with MemoryMesh(*agents()) as mesh:
        made = Site(mesh)
        await made.log.open()
        yield made
        await made.log.close(0.0)


async def test_where_all_are_there_nobody_is_asked_what_waits(site: Site) -> None:
    assert await site.look() == []
    await site.put()
    assert await site.look() == []
    assert "0 wait" in repr(site.attendance)


async def test_what_waits_for_nobody_is_seen_and_what_ended_does_not_wait(site: Site) -> None:
    done = await site.mesh.submit("plan.change", Order(order=1), Done)
    assert done.value.version == 1
    # it is killed before it could commit that
    group = site.mesh.broker.group(topics.supervisors(MESH))
    group.committed.pop(Place(TASKS, 0), None)
    await site.leave()
    assert await site.look() == []
    await site.put(b"garbage")
    await site.put()
    assert await site.look() == [Waiting("plan.change", 3, AT._replace(offset=2))]
    await site.put()
    assert await site.look() == [Waiting("plan.change", 4, AT._replace(offset=2))]


async def test_a_commit_says_what_waits(site: Site) -> None:
    await site.mesh.submit("plan.change", Order(order=1), Done)
    await site.mesh.advance("5s")
    await site.leave()
    assert await site.look() == []
    await site.put()
    assert await site.look() == [Waiting("plan.change", 1, AT._replace(offset=1))]


async def test_whoever_comes_ends_the_wait(site: Site) -> None:
    await site.leave()
    await site.put()
    assert len(await site.look()) == 1
    await site.mesh.start(agents()[1], 1)
    await site.mesh.settle()
    assert await site.look() == []
    assert "0 wait" in repr(site.attendance)


async def test_if_all_that_is_looked_at_has_ended_nothing_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.leave()
    monkeypatch.setattr(attendances, "LOOKED_AT", 1)
    await site.put(b"garbage")
    await site.put()
    assert await site.look() == []


async def test_what_cannot_be_read_is_passed_over(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    now_ms = site.mesh.clock.now_ms()
    for topic in (topics.registry(MESH), topics.presence(MESH)):
        site.mesh.broker.partition(Place(topic, 0)).append(now_ms, b"planner", b"garbage", ())
    site.mesh.broker.partition(Place(topics.registry(MESH), 0)).append(now_ms, None, None, ())
    site.mesh.broker.partition(Place(topics.presence(MESH), 0)).append(now_ms, b"x", None, ())
    audit = site.mesh.broker.partitions(topics.audit(MESH))
    await site.leave()
    await site.put()
    for part in audit:
        key = site.mesh.broker.records(topics.audit(MESH))[-1].key
        part.append(now_ms, key, b"garbage", ())
    assert len(await site.look()) == 1
    assert caplog.text.count("planner") + caplog.text.count("Avro's marker") >= 2


async def test_metadata_of_somebody_else_let_all_be_read(site: Site) -> None:
    await site.leave()
    await site.put()
    group = site.mesh.broker.group(topics.supervisors(MESH))
    group.committed[Place(TASKS, 0)] = Commit(0, "whatever")
    assert len(await site.look()) == 1


async def test_the_audit_stream_is_read_anew_only_when_something_has_changed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.mesh.submit("plan.change", Order(order=1), Done)
    group = site.mesh.broker.group(topics.supervisors(MESH))
    group.committed.pop(Place(TASKS, 0), None)
    await site.leave()
    read = 0
    oldest = site.attendance._oldest

    async def counted(*args: Any) -> Position | None:
        nonlocal read
        read += 1
        return await oldest(*args)

    monkeypatch.setattr(site.attendance, "_oldest", counted)
    for _ in range(3):
        assert await site.look() == []
    assert read == 1
    assert "0 wait" in repr(site.attendance)
    await site.put()
    for _ in range(3):
        assert len(await site.look()) == 1
    assert read == 2
    assert "1 wait" in repr(site.attendance)
