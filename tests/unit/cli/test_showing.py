from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest

from mesh.cli import showing
from mesh.cli.serving import OFF, Serving
from mesh.cli.showing import Asked, BesideDashboard, DashboardServer, plan_of
from mesh.config import Config
from mesh.dashboard.server import Dashboard, Plan
from mesh.errors import UsageError
from mesh.transport.memory import MemoryLog
from tests.unit.cli.conftest import MESH, Recorded, copied
from tests.unit.dashboard.conftest import until


@pytest.fixture
def memory(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = copied(recorded.broker)
    monkeypatch.setattr(
        "mesh.bootstrap.dashboard", lambda _, plan: Dashboard(MemoryLog(broker), plan)
    )


@pytest.mark.usefixtures("memory")
async def test_it_is_served_until_it_is_stopped_and_tells_where() -> None:
    told: list[str] = []
    ready = asyncio.Event()
    serving = Serving(drain_s=1.0, health=OFF, told=told.append, ready=ready.set)
    server = DashboardServer(Config(mesh=MESH), serving, Plan(mesh=MESH))
    assert "mesh_dashboard_lag" not in server.metrics().text
    running = asyncio.create_task(server.run())
    await ready.wait()
    assert server.process is not None
    assert server.process.address in told[0]
    assert server.plan.port > 0, "the next incarnation listens where this one did"
    asked = f"{server.process.address}/api/v1/me"
    async with aiohttp.ClientSession() as session, session.get(asked) as answer:
        assert (await answer.json())["local"]
    api = server.process.api
    assert api is not None
    await until(lambda: api.model.ring.next > 0)
    text = server.metrics().text
    assert 'mesh_dashboard_pages{mesh="test"} 0' in text
    assert 'mesh_dashboard_facts_total{mesh="test",partition="0"}' in text
    assert "nothing undone" in server.left(server.process)
    server.stop.set()
    assert await running


@pytest.mark.usefixtures("memory")
async def test_beside_a_mesh_it_takes_another_port_if_its_own_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(showing, "PORT", port)
        beside = BesideDashboard(Config(mesh=MESH), lambda _: None, 1.0)
        assert beside.address == ""
        beside.start()
        await beside.ready()
        assert beside.address.startswith("http://127.0.0.1:")
        assert not beside.address.endswith(f":{port}")
        await beside.stop()


def test_a_plan_is_made_of_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(mesh=MESH)
    monkeypatch.delenv(showing.TOKENS, raising=False)
    plan = plan_of(config, Asked(since="1h", port=7))
    assert plan.since_ms > 0
    assert (plan.port, plan.host, bool(plan.people)) == (7, "127.0.0.1", False)
    with pytest.raises(UsageError, match="--tokens"):
        plan_of(config, Asked(host="0.0.0.0"))
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[people.ada]\ntoken = "a token that is long enough"\nroles = ["viewer"]\n')
    monkeypatch.setenv(showing.TOKENS, str(tokens))
    assert plan_of(config, Asked(host="0.0.0.0")).doors().local is None
