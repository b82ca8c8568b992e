"""The page in a browser, over logs that a test wrote: what is shown, and how it is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page
from playwright.sync_api import expect as assert_that

from tests.page.conftest import PAGES, Served, Viewer
from tests.page.crowd import Crowd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Serve = Callable[[Crowd], Served]
View = Callable[..., Viewer]
HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=alert(1)>",
    "back\u202eslash\u0007\u0000bell\u200b",
    "javascript:alert(1)//" + "x" * 400,
)


@pytest.fixture(scope="module")
def office() -> Iterator[Served]:
    """Five agents of two owners, some workflows, one that failed, an incident."""
    crowd = Crowd(agents=5, owners=2)
    crowd.work(200)
    crowd.workflow("0-failing", "Order from nobody", failing=True)
    crowd.find("loop", "demo.work comes back in its own ancestry", "0-failing")
    served = Served(crowd.broker)
    served.start()
    yield served
    served.close()


def chain_of(served: Served, workflow: str = "0-00000000") -> str:
    return f"/chain?workflow={workflow}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(office: Served, view: View, scheme: str) -> None:
    window = view(office.address, color_scheme=scheme)
    more = [f"/chain?workflow=0-failing&view={own}" for own in ("story", "list", "tree", "time")]
    found = []
    for path in (
        *PAGES,
        *more,
        "/registry?agent=agent-000",
        "/audit?record=0/1",
        "/map?agent=agent-001",
    ):
        window.go(path)
        found += [f"{path} {own}" for own in window.axe()]
    assert not found, "\n".join(found)


def test_every_page_shows_what_is_there(office: Served, view: View) -> None:
    window = view(office.address)
    page = window.go("/")
    assert_that(page.get_by_role("status").first).to_have_text("Live")
    assert_that(page.locator(".recent li").first).to_be_visible()
    window.go("/map")
    assert_that(page.locator("g.node")).to_have_count(5)
    assert_that(page.locator("g.lane")).to_have_count(2)
    window.go("/map?view=list")
    assert_that(
        page.get_by_role("group", name="Agents by owner").locator("tbody tr")
    ).to_have_count(5)
    window.go("/tasks")
    assert_that(page.locator(".total")).to_have_text("20 workflows")
    window.go("/registry")
    assert_that(page.locator(".card")).to_have_count(5)
    window.go("/incidents")
    assert_that(page.locator(".incident")).to_contain_text("comes back in its own ancestry")
    window.go("/audit")
    assert_that(page.locator(".rows .row").first).to_contain_text("0/")
    window.go("/health")
    assert_that(page.get_by_text("caught up")).to_be_visible()
    window.go("/budgets")
    assert_that(page.get_by_text("No workflow is open.")).to_be_visible()
    window.go("/state")
    assert_that(page.get_by_text("Nothing is in shared state.")).to_be_visible()


def test_an_empty_mesh_says_what_to_do(serve: Serve, view: View) -> None:
    window = view(serve(Crowd()).address)
    for path in PAGES:
        page = window.go(path)
        assert page.locator("h1").inner_text()
    assert "mesh run" in window.go("/map").locator("main").inner_text()
    assert "mesh submit" in window.go("/tasks").locator("main").inner_text()


def test_a_chain_is_told_with_its_evidence(office: Served, view: View) -> None:
    window = view(office.address)
    page = window.go(chain_of(office))
    lines = page.locator(".line-of")
    assert_that(lines.first).to_contain_text("Somebody outside the mesh asks for demo.work")
    page.get_by_text("What was handed down").nth(1).click()
    handed = page.locator(".handed").first
    assert_that(handed).to_contain_text("$0.10")
    assert_that(handed).to_contain_text("asks for demo.work")
    where = lines.first.locator(".where")
    place = where.inner_text()
    where.click()
    assert_that(page.locator("h1")).to_contain_text(place)
    assert_that(page.get_by_text("have the SHA-256 that the server states")).to_be_visible()
    window.go(f"{chain_of(office)}&view=list")
    assert_that(page.locator("tbody tr")).to_have_count(4)
    window.go(f"{chain_of(office)}&view=time")
    assert_that(page.locator(".gantt-row")).to_have_count(4)
    window.go(f"{chain_of(office)}&view=tree")
    page.get_by_role("button", name="why did it go so?").first.click()
    assert_that(page.get_by_text("everything agrees")).to_be_visible()


def test_filters_live_in_the_address(office: Served, view: View) -> None:
    window = view(office.address)
    page = window.go("/tasks?failing=true")
    assert_that(page.locator(".total")).to_have_text("1 workflow")
    page.get_by_label("Failed only").uncheck()
    assert_that(page.locator(".total")).to_have_text("20 workflows")
    page.get_by_label("Goal, reason or id").fill("Order 7")
    assert_that(page.locator(".total")).to_have_text("1 workflow")
    assert "text=Order+7" in page.url
    page.reload()
    assert_that(page.locator(".total")).to_have_text("1 workflow")


def test_long_lists_hold_few_rows_and_every_key_moves(serve: Serve, view: View) -> None:
    crowd = Crowd(agents=5, owners=2)
    crowd.work(10_000)
    window = view(serve(crowd).address)
    page = window.go("/tasks?level=tasks")
    assert_that(page.locator(".total")).to_have_text("3,636 tasks")
    assert page.locator(".row").count() < 60
    page.locator(".row").first.focus()
    page.keyboard.press("End")
    assert_that(page.locator(".row[data-index='3635']")).to_be_focused()
    assert_that(page.locator(".row[data-index='3635']")).to_contain_text("demo.work")
    page.keyboard.press("Home")
    assert_that(page.locator(".row[data-index='0']")).to_be_focused()
    page.keyboard.press("ArrowDown")
    assert_that(page.locator(".row[data-index='1']")).to_be_focused()
    page.keyboard.press("Enter")
    assert_that(page.locator("main.chain h1")).to_be_focused()


def test_three_hundred_agents_are_drawn_and_more_are_counted(serve: Serve, view: View) -> None:
    crowd = Crowd(agents=330, owners=12)
    crowd.work(2_000)
    page = view(serve(crowd).address).go("/map")
    assert_that(page.locator("g.node")).to_have_count(300)
    assert_that(page.locator(".lead")).to_contain_text("30 agents that did least")


def test_keys_alone_lead_through_every_page(office: Served, view: View) -> None:
    window = view(office.address)
    page = window.go("/")
    page.keyboard.press("Tab")
    assert_that(page.get_by_role("link", name="To the content")).to_be_focused()
    names = page.locator("nav a")
    for number in range(names.count()):
        link = names.nth(number)
        text = link.locator("span").first.inner_text()
        _tab_to(page, link)
        page.keyboard.press("Enter")
        window.shown()
        assert_that(page.locator("h1")).to_have_text(re.compile(f"^{text}"))
        assert_that(page.locator("h1")).to_be_focused() if number else None
        assert page.title().startswith(text)
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    window.go("/map")
    node = page.locator("g.node[tabindex='0']")
    _tab_to(page, node)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert_that(page.locator(".chosen h2")).to_be_visible()


def _tab_to(page: Page, target: Locator, most: int = 60) -> None:
    """Press Tab until something has the focus, and see that the focus can be seen."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if target.evaluate("own => own === document.activeElement"):
            return
    raise AssertionError(f"{most} times Tab did not lead to {target}")


def test_a_strangers_words_are_text(serve: Serve, view: View) -> None:
    crowd = Crowd()
    for number, own in enumerate(HOSTILE):
        crowd.names.append(f"agent-{number:03}")
        crowd.join(crowd.names[-1], own[:200], own)
    for number, own in enumerate((*HOSTILE, "y" * 100_000)):
        crowd.workflow(f"0-hostile{number}", own)
        crowd.find(f"kind{number}", own, f"0-hostile{number}")
    window = view(serve(crowd).address)
    more = [
        f"/chain?workflow=0-hostile{number}&view={own}"
        for number in range(4)
        for own in ("story", "time")
    ]
    for path in (*PAGES, *more, "/registry?agent=agent-000"):
        page = window.go(path)
        assert "owned" not in page.title()
        assert page.locator("img[src='x']").count() == 0
        assert len(page.locator("main").inner_text()) < 60_000
        text = page.locator("body").inner_text()
        assert not set(text) & set("\u202e\u0007\u0000\u200b")
    page = window.go("/incidents")
    assert "⟨U+202E⟩" in page.locator("main").inner_text()
    assert "<script>" in page.locator("main").inner_text()


def test_policy_and_hosts(office: Served, view: View) -> None:
    window = view(office.address)
    answers = []
    window.page.on("response", lambda own: answers.append(own))  # noqa: PLW0108 - it wraps functions
    window.go("/")
    document = next(own for own in answers if own.url == f"{office.address}/")
    policy = document.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert all(own.status < 400 for own in answers)
    assert window.page.locator("script:not([src])").count() == 0


def test_an_order_asks_for_a_reason(serve: Serve, view: View) -> None:
    crowd = Crowd(agents=2)
    crowd.work(50)
    window = view(serve(crowd).address)
    page = window.go("/registry?agent=agent-000")
    page.get_by_role("button", name="Halt").click()
    dialog = page.get_by_role("dialog", name="Halt agent/agent-000")
    assert_that(dialog.get_by_label("Because")).to_be_focused()
    page.keyboard.press("Escape")
    assert_that(dialog).to_have_count(0)
    assert_that(page.get_by_text("Halted since")).to_have_count(0)
    page.get_by_role("button", name="Halt").click()
    dialog.get_by_label("Because").fill("it orders twice")
    assert window.axe() == []
    dialog.get_by_role("button", name="Halt").click()
    assert_that(dialog).to_contain_text("agent/agent-000 is halted")
    page.keyboard.press("Escape")
    assert_that(page.locator(".note.warn")).to_contain_text("it orders twice")
    window.go("/incidents?view=halts")
    page.get_by_role("button", name="Lift").click()
    page.get_by_role("dialog").get_by_label("Because").fill("it was a test")
    page.get_by_role("dialog").get_by_role("button", name="Lift").click()
    assert_that(page.get_by_text("Nothing is halted.")).to_be_visible()


def test_a_phone_needs_no_scrolling_sideways(office: Served, view: View) -> None:
    window = view(office.address, viewport={"width": 375, "height": 740})
    for path in (*PAGES, chain_of(office), f"{chain_of(office)}&view=time"):
        page = window.go(path)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 375, path


def test_what_the_log_lost_is_said(serve: Serve, view: View) -> None:
    crowd = Crowd(agents=3)
    crowd.work(300)
    crowd.broker.partitions("crowd.audit")[0].trim(100)
    page = view(serve(crowd).address).go("/")
    assert_that(page.get_by_text("The story is complete since")).to_be_visible()
