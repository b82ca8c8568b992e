"""A dashboard over the recorded mesh of the command's tests, asked as a page asks it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import jsonschema
import pytest

from mesh.dashboard.routes import BASE, ROUTES
from mesh.dashboard.schemas import SCHEMAS
from mesh.dashboard.server import Dashboard, Plan
from mesh.transport.memory import MemoryBroker, MemoryLog
from tests.unit.cli.conftest import MESH, Recorded, copied, recorded

__all__ = ["recorded"]

Serve = Callable[..., Any]


class Asker:
    """Asks one dashboard; every answer of the API is held against its schema."""

    def __init__(self, session: aiohttp.ClientSession, dashboard: Dashboard) -> None:
        self.session = session
        self.dashboard = dashboard
        self.headers: dict[str, str] = {}

    def url(self, path: str) -> str:
        return f"{self.dashboard.address}{path}"

    async def get(self, path: str, status: int = 200, /, **query: Any) -> Any:
        """Ask a path of the API, check status and shape, return what was answered."""
        address = self.url(f"{BASE}{path}")
        async with self.session.get(address, params=query, headers=self.headers) as answer:
            text = await answer.text()
            assert answer.status == status, text
            shape = json.loads(text)
        check_shape("Problem" if status >= 400 else _answer_of(path), shape)
        return shape

    async def until_read(self) -> None:
        follower = self.dashboard._follower
        assert follower is not None
        await follower.caught_up.wait()


async def until(found: Callable[[], object]) -> None:
    """Let others run until something is so."""
    async with asyncio.timeout(10):
        while True:
            if found():
                return
            await asyncio.sleep(0)


def _answer_of(path: str) -> str:
    """Return the schema of a path's answer: of the routes that match, the most literal one."""
    parts = path.strip("/").split("/")
    for route in sorted(ROUTES, key=lambda own: own.path.count("{")):
        wanted = route.path.strip("/").split("/")
        if len(wanted) == len(parts) and all(
            own.startswith("{") or own == part for own, part in zip(wanted, parts, strict=True)
        ):
            return route.answer
    raise AssertionError(f"no route {path}")


def check_shape(name: str, shape: object) -> None:
    """Hold a value against one of the schemas."""
    if name:
        document = {"components": {"schemas": SCHEMAS}, "$ref": f"#/components/schemas/{name}"}
        jsonschema.Draft202012Validator(document).validate(shape)


@asynccontextmanager
async def serving(
    broker: MemoryBroker, plan: Plan | None = None, clock: Callable[[], int] | None = None
) -> AsyncGenerator[Asker, None]:
    """Serve a dashboard over a broker in memory."""
    own = clock or broker.clock
    dashboard = Dashboard(MemoryLog(broker), plan or Plan(mesh=MESH), own)
    await dashboard.start()
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            asker = Asker(session, dashboard)
            await asker.until_read()
            yield asker
    finally:
        await dashboard.close()


@pytest.fixture
def broker(recorded: Recorded) -> MemoryBroker:
    """The recorded mesh, to be read and written to."""
    return copied(recorded.broker)
