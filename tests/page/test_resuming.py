"""Connections that are cut and servers that start again: no gap, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page
from playwright.sync_api import expect as assert_that

from tests.page.conftest import Served, Viewer
from tests.page.crowd import Crowd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def told(page: Page) -> dict[str, str]:
    """Return what the page says of itself."""
    names = page.locator("#own dt").all_inner_texts()
    return dict(zip(names, page.locator("#own dd").all_inner_texts(), strict=True))


def see_all(page: Page, crowd: Crowd, before: int) -> None:
    """See that the page was told every fact since, each once."""
    value = page.locator("#own div", has_text="facts told").locator("dd")
    assert_that(value).to_have_text(f"{crowd.facts - before:,}", timeout=30_000)
    assert told(page)["told twice, and dropped"] == "0"
    assert told(page)["times it had to load again"] == "0"


def test_a_server_that_starts_again_and_a_cut_connection(
    serve: Callable[[Crowd], Served], view: Callable[..., Viewer]
) -> None:
    crowd = Crowd(agents=5, owners=2)
    crowd.work(100)
    served = serve(crowd)
    window = view(served.address)
    page = window.go("/health")
    before = crowd.facts
    assert_that(page.locator(".link")).to_have_text("Live")

    served.do(lambda: crowd.work(50))
    see_all(page, crowd, before)

    served.stop()
    assert_that(page.locator(".link")).to_contain_text("Cut off")
    served.do(lambda: crowd.work(500))
    served.start(int(served.address.rpartition(":")[2]))
    assert_that(page.locator(".link")).to_have_text("Live", timeout=30_000)
    served.do(lambda: crowd.work(50))
    see_all(page, crowd, before)

    window.context.set_offline(True)
    served.do(lambda: crowd.work(200))
    window.context.set_offline(False)
    served.do(lambda: crowd.work(50))
    see_all(page, crowd, before)
    window.complaints.clear()  # the browser itself says that it was cut off


def test_the_audit_stream_as_it_comes_and_while_it_is_paused(
    serve: Callable[[Crowd], Served], view: Callable[..., Viewer]
) -> None:
    crowd = Crowd(agents=5, owners=2)
    crowd.work(60)
    served = serve(crowd)
    page = view(served.address).go("/audit")
    assert_that(page.locator(".link")).to_have_text("Live")
    lead = page.locator("p.lead")
    assert_that(lead).to_have_text(f"{crowd.facts} facts")
    served.do(lambda: crowd.work(40))
    assert_that(lead).to_have_text(f"{crowd.facts} facts")
    page.get_by_role("button", name="Pause").click()
    shown = crowd.facts
    served.do(lambda: crowd.work(40))
    assert_that(lead).to_contain_text(f"{crowd.facts - shown} facts since")
    page.get_by_role("button", name="Resume").click()
    assert_that(lead).to_have_text(f"{crowd.facts} facts")
    places = [own.inner_text() for own in page.locator(".row .where").all()]
    assert places == sorted(places, key=lambda own: -int(own.partition("/")[2]))
    assert len(set(places)) == len(places)
