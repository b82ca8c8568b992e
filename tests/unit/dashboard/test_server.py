from __future__ import annotations

import pytest

from mesh.dashboard.access import People, Person, Role, Token
from mesh.dashboard.server import NOBODY, Dashboard, Plan
from mesh.errors import UsageError, WrongTopic
from mesh.transport.memory import MemoryBroker, MemoryLog
from tests.unit.cli.conftest import MESH
from tests.unit.dashboard.conftest import serving

SOMEBODY = People([Token(person=Person("ada", frozenset({Role.VIEWER})), digest=bytes(32))])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "dashboard.example"])
def test_away_from_loopback_it_does_not_start_without_tokens(host: str) -> None:
    with pytest.raises(UsageError, match="--tokens"):
        Plan(mesh=MESH, host=host).doors()
    assert Plan(mesh=MESH, host=host, people=SOMEBODY).doors().local is None


def test_on_loopback_it_is_who_started_it_unless_there_are_tokens() -> None:
    local = Plan(mesh=MESH, person="eve").doors().local
    assert local == Person("eve", frozenset(Role))
    assert Plan(mesh=MESH, people=SOMEBODY).doors().local is None
    assert not NOBODY


async def test_a_port_that_is_taken_is_told(broker: MemoryBroker) -> None:
    async with serving(broker) as asker:
        port = int(asker.dashboard.address.rpartition(":")[2])
        second = Dashboard(MemoryLog(broker), Plan(mesh=MESH, port=port))
        with pytest.raises(UsageError, match="choose another port"):
            await second.start()
        assert not second.ready


async def test_a_mesh_that_is_not_there_is_told_and_everything_is_let_go() -> None:
    broker = MemoryBroker(lambda: 0)
    dashboard = Dashboard(MemoryLog(broker), Plan(mesh=MESH))
    with pytest.raises(WrongTopic):
        await dashboard.start()
    await dashboard.close()
    assert repr(dashboard) == "Dashboard(test, not started)"


async def test_it_drains(broker: MemoryBroker) -> None:
    async with serving(broker) as asker:
        assert asker.dashboard.ready
        assert asker.dashboard.failed is not None
        assert await asker.dashboard.drain(1.0)
        assert not asker.dashboard.ready
