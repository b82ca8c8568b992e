"""Workflows that look like runaways and are none: in these nothing may be found."""

from __future__ import annotations

from collections.abc import Callable

from mesh.core.detectors.limits import LimitTable
from mesh.core.values import Acceptance, Amount
from mesh.wire.canonical import body_of
from tests.detection.story import SMALL, START_MS, Part, Story

Tale = Callable[[], Story]
HEALTHY: dict[str, Tale] = {}
PAID = 20_000
TIGHT = Amount(micro_usd=1_000_000, tokens=10**6, tool_calls=10**4, hops=200, attempts=100)


def healthy(tale: Tale) -> Tale:
    """Add a scenario in which nothing is found."""
    HEALTHY[tale.__name__] = tale
    return tale


def uuid(number: int) -> str:
    return f"8f14e45f-ceea-467f-a0e6-{number:012x}"


# --- like loops ---------------------------------------------------------------------------------


@healthy
def pages_one_after_the_other() -> Story:
    story = Story({"read": "all"})
    for turn in story.turns(150):
        story.root.gets("demo.page", {"page": turn}, {"rows": [turn, turn + 1]}, "reader")
    return story


@healthy
def pages_each_asked_for_by_the_one_before() -> Story:
    story = Story({"cursor": "start"}, capability="demo.page")
    part = story.root
    for turn in story.turns(15):
        part.calls("fetch", {"cursor": turn}, {"rows": [turn]})
        part = part.asks("demo.page", {"cursor": f"c{turn}"}, "reader")
    return story


@healthy
def halves_of_a_list() -> Story:
    story = Story({"sort": list(range(64))}, capability="demo.sort", agent="sorter")

    def sort(part: Part, items: list[int]) -> None:
        if len(items) > 1:
            middle = len(items) // 2
            for half in (items[:middle], items[middle:]):
                below = part.asks("demo.sort", {"sort": half}, "sorter")
                sort(below, half)
        part.finishes({"sorted": sorted(items)})

    sort(story.root, list(range(64)))
    return story


@healthy
def halves_of_a_range_of_a_million() -> Story:
    story = Story({"from": 0, "to": 2**20}, capability="demo.bisect")
    part, high = story.root, 2**20
    while high > 1:
        high //= 2
        part.calls("test", {"at": high}, {"ok": high < 700})
        part = part.asks("demo.bisect", {"from": 0, "to": high}, "bisect")
    return story


@healthy
def head_and_tail_of_a_long_list() -> Story:
    items = [f"item {n}" for n in range(40)]
    story = Story({"items": items}, capability="demo.each")
    part = story.root
    while items:
        items = items[1:]
        part = part.asks("demo.each", {"items": items}, "worker")
    return story


@healthy
def down_a_tree_of_folders() -> Story:
    story = Story({"folder": uuid(0)}, capability="files.size", agent="files")
    part = story.root
    for turn in story.turns(5):
        part.calls("list", {"folder": uuid(turn - 1)}, {"folders": [uuid(turn)], "files": turn})
        part = part.asks("files.size", {"folder": uuid(turn)}, "files")
    return story


@healthy
def handed_down_unchanged_to_who_can() -> Story:
    story = Story({"contract": 9}, capability="legal.review", agent="office")
    lead = story.root.asks("legal.review", {"contract": 9}, "lead")
    lead.thinks({"contract": 9}, {"risk": "low"}, PAID)
    lead.finishes({"risk": "low"})
    return story


@healthy
def days_of_a_month() -> Story:
    story = Story({"date": "2026-01-01"}, capability="demo.day")
    part = story.root
    for turn in story.turns(18):
        part.calls("sales", {"date": turn}, {"sold": turn * 3})
        part = part.asks("demo.day", {"date": f"2026-01-{turn + 1:02d}"}, "days")
    return story


# --- like ping-pong -----------------------------------------------------------------------------


@healthy
def a_real_negotiation() -> Story:
    story = Story({"sell": "the house"})
    ask, bid = 500, 400
    while ask > bid:
        for who, price in (("seller", ask), ("buyer", bid)):
            given = {"their price": ask + bid - price, "round": 500 - ask}
            story.root.gets("trade.offer", given, {"price": price}, who)
        ask, bid = ask - 7, bid + 6
    return story


@healthy
def writer_and_editor_get_somewhere() -> Story:
    story = Story({"write": "a text"})
    text = "draft"
    for turn in story.turns(8):
        story.root.gets("demo.edit", {"text": text}, {"remarks": f"sentence {turn}"}, "editor")
        text = f"{text}, better {turn}"
        story.root.gets("demo.write", {"remarks": f"sentence {turn}"}, {"text": text}, "writer")
    return story


@healthy
def a_pipeline_of_two_agents_for_each_item() -> Story:
    items = [f"item {n}" for n in range(60)]
    story = Story({"items": items})
    for item in items:
        story.root.gets("demo.validate", {"item": item}, {"ok": True}, "validator")
        story.root.gets("demo.store", {"item": item}, {"stored": True}, "store")
    return story


@healthy
def each_with_each() -> Story:
    story = Story({"a": [1, 2, 3, 4], "b": [5, 6, 7, 8]})
    for a in (1, 2, 3, 4):
        for b in (5, 6, 7, 8):
            for who in ("left", "right"):
                story.root.gets("demo.compare", {"a": a, "b": b}, {"a wins": False}, who)
    return story


@healthy
def asked_back_once() -> Story:
    story = Story({"order": 3}, capability="shop.order", agent="shop")
    stock = story.root.asks("shop.stock", {"order": 3}, "stock")
    back = stock.asks("shop.clarify", {"order": 3}, "shop")
    back.finishes({"colour": "red"})
    stock.finishes({"left": 4})
    return story


@healthy
def through_five_departments() -> Story:
    story = Story({"request": 1}, capability="org.intake", agent="intake")
    part = story.root
    for name in ("triage", "legal", "finance", "board", "archive"):
        part = part.asks(f"org.{name}", {"request": 1}, name)
    return story


# --- like retry storms --------------------------------------------------------------------------


@healthy
def three_attempts_and_the_third_succeeds() -> Story:
    story = Story({"get": "it"})
    for turn in story.turns(10):
        part = story.root.asks("demo.get", {"part": turn}, "getter", grant=SMALL)
        for attempt in (1, 2):
            part.fails(f"timeout {attempt}")
            part.tries_again()
        part.finishes({"got": turn})
    return story


@healthy
def the_caller_asks_once_more() -> Story:
    story = Story({"get": "it"})
    for _ in story.turns(2):
        part = story.root.asks("demo.get", {"it": 1}, "getter", grant=SMALL)
        for attempt in (1, 2, 3):
            part.fails(f"timeout {attempt}")
            if attempt < 3:
                part.tries_again()
        part.ends("no attempt left")
    story.root.gets("demo.ask-a-person", {"it": 1}, {"it": "is here"}, "desk")
    return story


@healthy
def longer_and_longer_pauses() -> Story:
    story = Story({"get": "rates"}, timeout_ms=3_600_000)
    for turn in story.turns(12):
        story.root.calls("rates", {"of": "EUR"}, error="503 unavailable")
        story.root.sleeps(200 * 2**turn)
    story.root.calls("rates", {"of": "EUR"}, {"EUR": 109})
    return story


@healthy
def an_outage_that_hits_everybody_once() -> Story:
    story = Story({"items": list(range(60))})
    parts = [story.root.asks("demo.get", {"item": n}, "getter", grant=SMALL) for n in range(60)]
    for part in parts[:12]:
        part.fails("503 unavailable")
    for n, part in enumerate(parts):
        if n < 12:
            part.tries_again()
        part.finishes({"value": n})
    return story


@healthy
def five_attempts_that_were_granted_and_asked_once_more() -> Story:
    story = Story({"make": "it"})
    for _ in story.turns(2):
        part = story.root.asks("demo.make", {"it": 1}, grant=SMALL, max_attempts=5)
        for attempt in range(5):
            part.fails("no")
            if attempt < 4:
                part.tries_again()
        part.ends("no attempt left")
    return story


@healthy
def a_worker_that_dies_twice() -> Story:
    story = Story({"do": "it"})
    part = story.root.asks("demo.do", {"it": 1}, "doer", grant=SMALL)
    for attempt in (1, 2):
        part.fails(f"out of memory {attempt}")
        part.tries_again()
    part.finishes({"done": True})
    return story


@healthy
def a_review_that_finds_less_each_time() -> Story:
    story = Story({"write": "report"})
    terms = {"acceptance": Acceptance.REVIEWED, "max_attempts": 5}
    part = story.root.asks("demo.report", {"on": "Q3"}, "writer", **terms)
    for turn in story.turns(3):
        part.finishes({"report": turn})
        part.is_refused(f"{4 - turn} figures are missing")
        part.tries_again()
    part.finishes({"report": "good"})
    part.is_accepted()
    return story


# --- like fan-outs ------------------------------------------------------------------------------


@healthy
def three_hundred_suppliers_from_the_input() -> Story:
    suppliers = [f"s{n}" for n in range(300)]
    story = Story({"suppliers": suppliers})
    parts = [story.root.asks("demo.ask", {"supplier": s}, "buyer", grant=SMALL) for s in suppliers]
    for n, part in enumerate(parts):
        part.finishes({"price": n})
    return story


@healthy
def four_hundred_rows_that_a_tool_returned() -> Story:
    story = Story({"table": "orders"})
    story.root.calls("query", {"table": "orders"}, {"rows": [{"order": n} for n in range(400)]})
    for n in range(400):
        story.root.asks("demo.check", {"order": n}, "checker", grant=SMALL)
    return story


@healthy
def lists_of_lists() -> Story:
    story = Story({"regions": list(range(12))})
    for region in range(12):
        given = {"region": region, "shops": [f"shop {region} {n}" for n in range(20)]}
        part = story.root.asks("demo.region", given, f"region{region}")
        for n in range(20):
            part.asks("demo.shop", {"shop": f"shop {region} {n}"}, f"region{region}", grant=SMALL)
    return story


@healthy
def a_wide_capability_that_says_so() -> Story:
    limits = LimitTable(workflows={"demo.simulate": {"fan_out_children": 500, "fan_out_open": 500}})
    story = Story({"runs": 300}, capability="demo.simulate", limits=limits)
    for n in range(300):
        story.root.asks("demo.run", {"seed": n}, "runner", grant=SMALL)
    return story


@healthy
def batches_of_ten_each_awaited() -> Story:
    story = Story({"all": "of it"})
    for turn in story.turns(30):
        parts = [
            story.root.asks("demo.do", {"n": turn * 10 + n}, "worker", grant=SMALL)
            for n in range(10)
        ]
        for n, part in enumerate(parts):
            part.finishes({"did": turn * 10 + n})
    return story


@healthy
def a_company_of_eighty_in_five_levels() -> Story:
    story = Story({"report": "all"})
    level = [story.root]
    for depth in story.turns(4):
        level = [
            part.asks(f"org.level{depth}", {"unit": f"{depth}.{at}.{n}"}, f"u{depth}{at}{n}")
            for at, part in enumerate(level)
            for n in range((4, 3, 2, 2)[depth - 1])
        ]
    return story


# --- like depth ---------------------------------------------------------------------------------


@healthy
def eighteen_levels_down() -> Story:
    story = Story({"unit": "group"})
    part = story.root
    for turn in story.turns(18):
        part = part.asks(
            f"org.unit-{turn}", {"unit": f"unit {turn}", "of": "the group"}, f"u{turn}"
        )
    part.finishes({"done": True})
    return story


# --- like too much speed ------------------------------------------------------------------------


@healthy
def all_of_the_budget_in_its_time() -> Story:
    story = Story({"work": "for ten minutes"}, budget=TIGHT)
    for turn in story.turns(99):
        story.root.thinks({"q": turn}, {"a": turn}, 10_000)
        story.wait(5_000)
    return story


@healthy
def all_of_the_budget_in_three_payments() -> Story:
    story = Story({"buy": "three"}, budget=TIGHT)
    for turn in story.turns(3):
        story.root.calls("pay", {"invoice": turn}, {"paid": turn}, cost=333_000)
    return story


@healthy
def a_burst_and_then_patience() -> Story:
    story = Story({"read": "first"}, budget=TIGHT)
    for turn in story.turns(38):
        story.root.thinks({"q": turn}, {"a": turn}, 10_000)
    story.wait(120_000)
    for turn in story.turns(38):
        story.root.thinks({"later": turn}, {"a": -turn}, 10_000)
    return story


@healthy
def a_list_that_needs_most_of_the_hops() -> Story:
    story = Story({"items": list(range(150))}, budget=TIGHT)
    for n in range(150):
        story.root.asks("demo.do", {"n": n}, "worker", grant=Amount(1, 1, 1, 0, 0))
    return story


# --- like no progress ---------------------------------------------------------------------------


@healthy
def a_poll_whose_answers_change() -> Story:
    story = Story({"wait for": "the job"})
    for turn in story.turns(60):
        story.root.calls("status", {"job": 7}, {"percent": turn})
    return story


@healthy
def a_patient_poll() -> Story:
    story = Story({"wait for": "the approval"}, timeout_ms=3_600_000)
    for _ in story.turns(80):
        story.root.calls("approval", {"of": 7}, {"status": "open"})
        story.root.sleeps(5_000)
    story.root.calls("approval", {"of": 7}, {"status": "granted"})
    return story


@healthy
def many_items_and_all_are_well() -> Story:
    items = list(range(90))
    story = Story({"items": items})
    for item in items:
        story.root.calls("check", {"item": item}, {"ok": True})
        story.root.decides("next")
    return story


@healthy
def what_is_cached_is_asked_again() -> Story:
    story = Story({"items": list(range(30))})
    for turn in story.turns(30):
        for _ in range(5):
            story.root.calls("config", {}, {"currency": "EUR"})
        story.root.calls("price", {"item": turn}, {"price": turn * 2})
        story.root.keeps(f"note {turn}")
    return story


@healthy
def thirty_samples_taken_at_once() -> Story:
    story = Story({"text": "I am happy", "samples": list(range(30))})
    parts = [story.root.asks("demo.mood", {"text": "I am happy"}, "judge") for _ in range(30)]
    for part in parts:
        part.thinks({"text": "I am happy"}, {"words": part.task}, PAID)
        part.finishes({"mood": "good"})
    return story


@healthy
def chapters_from_the_same_notes() -> Story:
    story = Story({"write": "a book"})
    for turn in story.turns(30):
        story.root.calls("notes", {}, {"plot": "boy meets girl"})
        story.root.thinks({"chapter": turn}, {"text": f"Chapter {turn}: ..."})
        story.root.keeps(f"chapter {turn}")
    return story


@healthy
def a_patient_poll_that_is_paid() -> Story:
    story = Story({"wait for": "the parcel"}, timeout_ms=3_600_000)
    for _ in story.turns(30):
        story.root.calls("track", {"parcel": 7}, {"status": "on its way"}, cost=1_000)
        story.root.sleeps(60_000)
    return story


# --- clocks -------------------------------------------------------------------------------------


@healthy
def a_broker_whose_clock_jumps_ahead_and_back() -> Story:
    story = Story({"work": "on"}, budget=TIGHT, timeout_ms=3_600_000)
    for turn in story.turns(90):
        story.jump_ms = 600_000 if 20 <= turn < 80 else 0
        story.root.thinks({"q": turn}, {"a": turn}, 10_000)
        if turn % 5 == 0:
            story.root.calls("rates", {"of": "EUR"}, error="503 unavailable")
        story.wait(15_000)
    return story


@healthy
def contents_in_the_store_that_differ() -> Story:
    story = Story({"n": 0}, capability="demo.big")
    part = story.root
    for turn in story.turns(8):
        part = part.asks("demo.big", body_of({"n": turn})._replace(content=None), "big")
    return story


@healthy
def a_stamp_in_each_answer_and_a_new_figure() -> Story:
    story = Story({"watch": "the market"})
    for turn in story.turns(40):
        answer = {"timestamp": START_MS + turn, "price": 100 + turn % 37}
        story.root.calls("quote", {"of": "gold", "day": turn // 37}, answer)
    return story
