"""Every page over a real mesh: `mesh dev` with agents in processes, on either broker."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect as assert_that

from tests.e2e.conftest import ROOT, Running, Shell
from tests.page.conftest import PAGES, Viewer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TARGETS = ("office:desk", "office:ann", "office:bob")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    own = Shell(tmp_path)
    shutil.copy(ROOT / "tests/e2e/office.py", own.folder)
    own.environ |= {
        "OFFICE_LEDGER": str(own.folder / "ledger"),
        "OFFICE_HOLD": str(own.folder / "hold"),
    }
    yield own
    own.close()


def check_every_page(shell: Shell, dev: Running, view: Callable[..., Viewer]) -> None:
    """Have a desk ordered, and look for it wherever it should be told."""
    dev.wait_for("submit ")
    address = dev.wait_for("page ").split()[-1]
    window = view(address)
    page = window.go("/map")
    order = ("office.order", "--json", '{"item": "desk", "qty": 10}', "--wait")
    assert shell.run("submit", *order).code == 0
    assert_that(page.locator("g.node")).to_have_count(3)
    assert_that(page.locator(".edge")).to_have_count(2, timeout=15_000)
    for path in PAGES:
        window.go(path)
    page = window.go("/tasks")
    assert_that(page.locator(".row")).to_have_count(1)
    page.locator(".row a").click()
    window.shown()
    story = page.locator(".story")
    assert_that(story).to_contain_text("ann bid $")
    page.get_by_text("answers to the call").click()
    assert_that(page.locator("tr.won")).to_contain_text("ann")
    assert_that(page.locator(".handed")).to_contain_text("Scope of ann")
    assert window.axe() == []


def test_on_the_embedded_broker(shell: Shell, view: Callable[..., Viewer]) -> None:
    check_every_page(shell, shell.start("dev", *TARGETS), view)


@pytest.mark.broker
def test_on_kafka(shell: Shell, kafka: str, unique: str, view: Callable[..., Viewer]) -> None:
    shell.environ |= {"MESH_BOOTSTRAP": kafka, "MESH_NAME": unique}
    check_every_page(shell, shell.start("dev", *TARGETS, "--broker", kafka), view)
