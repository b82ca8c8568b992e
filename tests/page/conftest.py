"""A real browser, and a dashboard to look at with it.

Chromium is Debian's. Where it is not there, these tests are skipped with a word on how to get it;
in CI that is a failure, like every skip. Nothing is asked for that is not on this machine: a
request to another host is refused by the browser, recorded, and fails the test.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from mesh.dashboard.server import Dashboard, Plan
from mesh.transport.memory import MemoryBroker, MemoryLog
from tests.page.crowd import MESH, Crowd

CHROMIUM = os.environ.get("MESH_TEST_CHROMIUM") or shutil.which("chromium")
HOW_TO_GET_CHROMIUM = (
    "install chromium (Debian: apt-get install chromium), or name one: MESH_TEST_CHROMIUM=PATH"
)
ARGUMENTS = ("--disable-dev-shm-usage", "--js-flags=--expose-gc", "--enable-precise-memory-info")
AXE = Path(__file__).parent / "vendor/axe.min.js"
LIMIT_MS = 20_000
PAGES = (
    "/",
    "/map",
    "/map?view=list",
    "/tasks",
    "/tasks?level=tasks",
    "/budgets",
    "/incidents",
    "/incidents?view=halts",
    "/incidents?view=letters",
    "/registry",
    "/state",
    "/audit",
    "/health",
)
"""Every page that needs no name of anything."""

Value = TypeVar("Value")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is here needs a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "vendor" not in item.path.name:
            item.add_marker(pytest.mark.browser)


class Served:
    """Mutable: dashboards over one broker in memory, on a thread of their own."""

    def __init__(self, broker: MemoryBroker, mesh: str = MESH) -> None:
        self.broker = broker
        self.mesh = mesh
        self.address = ""
        self._dashboard: Dashboard | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], Value]) -> Value:
        """Call something on the thread of the broker, which belongs to it."""

        async def wrapped() -> Value:
            return work()

        return self.run(wrapped())

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def start(self, port: int = 0) -> None:
        self.run(self._start(port))

    async def _start(self, port: int) -> None:
        dashboard = Dashboard(MemoryLog(self.broker), Plan(mesh=self.mesh, port=port))
        await dashboard.start()
        self._dashboard, self.address = dashboard, dashboard.address
        follower = dashboard._follower
        assert follower is not None
        await follower.caught_up.wait()

    def stop(self) -> None:
        if self._dashboard is not None:
            self.run(self._dashboard.close())
            self._dashboard = None

    def again(self) -> None:
        """Stop, and start again at the same address, as after a crash."""
        port = int(self.address.rpartition(":")[2])
        self.stop()
        self.start(port)

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(f"no browser here: {HOW_TO_GET_CHROMIUM}")
    with sync_playwright() as playwright:
        own = launched(playwright)
        yield own
        own.close()


def launched(playwright: Playwright) -> Browser:
    """Start Chromium; who is root has no sandbox."""
    root = () if os.geteuid() else ("--no-sandbox",)
    return playwright.chromium.launch(
        executable_path=CHROMIUM, args=[*ARGUMENTS, *root], timeout=60_000
    )


class Viewer:
    """Mutable: one person's browser window; what it complains about is kept."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.context = context
        self.address = address
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        context.set_default_timeout(LIMIT_MS)
        context.on("request", lambda asked: self._asked(asked.url))
        self.page = self._followed(context.new_page())

    def _asked(self, url: str) -> None:
        if not url.startswith((f"{self.address}/", "data:")):
            self.foreign.append(url)

    def _followed(self, page: Page) -> Page:
        page.on(
            "console",
            lambda said: (
                self.complaints.append(said.text) if said.type in ("error", "warning") else None
            ),
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def go(self, path: str) -> Page:
        """Open a page and wait until it shows what it was asked for."""
        self.page.goto(f"{self.address}{path}")
        return self.shown()

    def shown(self) -> Page:
        self.page.wait_for_selector("h1")
        self.page.wait_for_selector(".loading", state="detached")
        return self.page

    def axe(self) -> list[str]:
        """Return what axe finds wrong, one line each."""
        found = self.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{own['id']}: {node['target']} {node['failureSummary']}"
            for own in found["violations"]
            for node in own["nodes"]
        ]


@pytest.fixture
def view(browser: Browser) -> Iterator[Callable[..., Viewer]]:
    """Open a window: `view(address, color_scheme="dark")`; at the end it must have no complaint."""
    windows: list[Viewer] = []

    def opened(address: str, **options: Any) -> Viewer:
        context = browser.new_context(
            viewport=options.pop("viewport", {"width": 1280, "height": 900}), **options
        )
        context.add_init_script(path=AXE)
        windows.append(Viewer(context, address))
        return windows[-1]

    yield opened
    for window in windows:
        window.context.close()
    assert [own for window in windows for own in window.foreign] == []
    assert [own for window in windows for own in window.complaints] == []


@pytest.fixture
def serve() -> Iterator[Callable[[Crowd], Served]]:
    """Serve a dashboard over a crowd."""
    every: list[Served] = []

    def served(crowd: Crowd) -> Served:
        every.append(Served(crowd.broker))
        every[-1].start()
        return every[-1]

    yield served
    for own in every:
        own.close()
