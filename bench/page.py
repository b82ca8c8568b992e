"""What the page costs a browser: how soon 10,000 facts can be used, 200 a second, and for an hour.

Prints figures, and exits with 1 where one misses its goal. It needs Chromium; no part of it runs in
CI. An hour of facts is sent as fast as the page is told them: the heap grows by what comes, not by
the time that it takes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from playwright.sync_api import CDPSession, Page, sync_playwright

from tests.page.conftest import CHROMIUM, HOW_TO_GET_CHROMIUM, Served, launched
from tests.page.crowd import Crowd

MANY = 10_000
USABLE_S = 1.0
RATE = 200
SHARE = 0.10
HOUR = 720_000
HEAP_MB = 50
BURST = 600
"""Facts at a time, below what the server calls too much at once."""
MIB = 1024 * 1024


@dataclass(frozen=True)
class Figure:
    """One figure and its goal, which it must be below."""

    name: str
    value: float
    goal: float
    unit: str

    def __str__(self) -> str:
        verdict = "" if self.value < self.goal else "  MISSED"
        return f"{self.name:<52} {self.value:>8.2f} {self.unit:<3} goal < {self.goal:g}{verdict}"


def usable(page: Page, address: str) -> float:
    """Return how long it takes until the newest of many facts can be reached with a key."""
    began = time.monotonic()
    page.goto(f"{address}/audit")
    page.locator(".row[data-index='0']").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => document.activeElement.dataset.index === '1'")
    return time.monotonic() - began


def metric(session: CDPSession, name: str) -> float:
    found = session.send("Performance.getMetrics")["metrics"]
    return float(next(own["value"] for own in found if own["name"] == name))


def busy(session: CDPSession, served: Served, crowd: Crowd, seconds: int) -> float:
    """Return the share of the main thread while facts come at a rate."""
    began, before = time.monotonic(), metric(session, "TaskDuration")
    for tick in range(seconds * 5):
        served.do(lambda: crowd.work(RATE // 5))
        time.sleep(max(0.0, began + (tick + 1) / 5 - time.monotonic()))
    return (metric(session, "TaskDuration") - before) / (time.monotonic() - began)


def told(page: Page) -> int:
    text = page.locator("#own div", has_text="facts told").locator("dd").inner_text()
    return int(text.replace(",", ""))


def flood(page: Page, served: Served, crowd: Crowd, facts: int) -> int:
    """Send so many facts, no faster than the page is told them; return how many it was told."""
    first, start = told(page), crowd.facts
    while crowd.facts - start < facts:
        served.do(lambda: crowd.work(BURST))
        while (crowd.facts - start) - (told(page) - first) > 2 * BURST:
            time.sleep(0.01)
    page.wait_for_timeout(2_000)
    return told(page) - first


def heap(session: CDPSession) -> float:
    session.send("HeapProfiler.collectGarbage")
    return metric(session, "JSHeapUsedSize") / MIB


def main() -> int:
    """Measure; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=HOUR, help="of the flood")
    parser.add_argument("--seconds", type=int, default=20, help="at 200 facts a second")
    asked = parser.parse_args()
    if CHROMIUM is None:
        print(HOW_TO_GET_CHROMIUM)
        return 1
    crowd = Crowd(agents=20, owners=5)
    crowd.work(MANY)
    served = Served(crowd.broker)
    served.start()
    figures = []
    with sync_playwright() as playwright:
        browser = launched(playwright)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for own in measured(page, served, crowd, asked):
            print(own, flush=True)
            figures.append(own)
        browser.close()
    served.close()
    return int(any(own.value >= own.goal for own in figures))


def measured(
    page: Page, served: Served, crowd: Crowd, asked: argparse.Namespace
) -> Iterator[Figure]:
    """Yield each figure once it is known."""
    usable(page, served.address)  # the files are fetched: the figure is of a second visit
    yield Figure(f"{crowd.facts:,} facts, usable", usable(page, served.address), USABLE_S, "s")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    for path in ("/", "/map", "/audit"):
        page.goto(f"{served.address}{path}")
        page.wait_for_timeout(3_000)
        share = 100 * busy(session, served, crowd, asked.seconds)
        yield Figure(f"main thread at {RATE} facts/s on {path}", share, 100 * SHARE, "%")
    page.get_by_role("link", name="Health").click()
    page.wait_for_selector("#own")
    number = flood(page, served, crowd, asked.facts)
    page.get_by_role("link", name="Audit").click()
    page.wait_for_selector(".row")
    yield Figure(f"heap after {number:,} facts", heap(session), HEAP_MB, "MiB")


if __name__ == "__main__":
    sys.exit(main())
