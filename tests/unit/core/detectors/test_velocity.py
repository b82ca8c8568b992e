"""Velocity: against the workflow's own plan, over a window, with a floor."""

from __future__ import annotations

from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.detectors.velocity import Velocity
from mesh.core.detectors.watch import Watch
from mesh.core.values import Amount
from tests.detection.story import Story

BUDGET = Amount(micro_usd=1_000, tokens=1_000, tool_calls=0, hops=100, attempts=10)


def begin(given: object = None, budget: Amount = BUDGET, **limits: int) -> Story:
    """Begin a workflow that may spend 1000 in 600 s: 20 in the 12 s of the window."""
    table = LimitTable(mesh=Limits(**{"velocity_payments": 5, **limits}))
    return Story(given, budget=budget, limits=table, detectors=[Velocity()])


def test_a_budget_that_goes_too_fast() -> None:
    story = begin()
    for turn in range(13):
        story.root.calls("tool", turn, cost=30)
    assert story.found == []
    story.root.calls("tool", 13, cost=30)
    (finding,) = story.found
    assert (finding.kind, finding.thing) == ("velocity", "micro_usd")
    assert (finding.seen, finding.limit) == (21, 20)
    assert finding.text == (
        "42 % of the money that this workflow may use in 600 s went within 12.0 s (420 of 1,000 "
        "micro_usd): 21 times as fast as planned (20 allowed)."
    )


def test_the_same_in_more_time_is_none() -> None:
    story = begin()
    for turn in range(30):
        story.root.calls("tool", turn, cost=30)
        story.wait(1_500)
    assert story.found == []


def test_few_payments_are_none() -> None:
    story = begin()
    for _ in range(5):
        story.root.pays(190)
    assert story.found == []


def test_money_that_is_no_step_s_counts() -> None:
    story = begin()
    for _ in range(6):
        story.root.pays(100)
    assert story.kinds == {"velocity"}


def test_delegations_are_counted_against_the_hops() -> None:
    story = begin()
    for number in range(43):
        story.root.asks("demo.part", number, grant=Amount(1, 1, 0, 0, 0)).finishes(number)
    (finding,) = story.found
    assert (finding.thing, finding.seen) == ("hops", 21)
    assert "42 % of the delegations" in finding.text


def test_delegations_that_a_list_foresaw_are_none() -> None:
    story = begin({"of": list(range(60))})
    for number in range(60):
        story.root.asks("demo.part", number, grant=Amount(1, 1, 0, 0, 0))
    assert story.found == []


def test_what_is_not_limited_is_not_judged() -> None:
    story = begin(budget=BUDGET._replace(micro_usd=10**9, hops=10**6))
    for number in range(60):
        story.root.calls("tool", number, cost=1)
    assert story.found == []


def test_without_the_root_there_is_no_plan() -> None:
    story = begin()
    part = story.root.asks("demo.part", 1, grant=BUDGET._replace(micro_usd=500, tokens=1, hops=1))
    watch = Watch(story.watch.limits, detectors=[Velocity()])
    for turn in range(30):
        part.calls("tool", turn, cost=10)
    root = story.ledger.tasks.pop("0-root")
    assert [watch.see(own, story.ledger, "") for own in story.records[3:]] == [[]] * 60
    story.ledger.tasks["0-root"] = root


def test_where_the_parent_is_not_known_delegations_are_none_of_a_list() -> None:
    story = begin()
    for number in range(43):
        part = story.root.asks("demo.part", number, grant=Amount(1, 1, 0, 0, 0))
        story.ledger.tasks.pop(part.task)
    assert story.kinds == {"velocity"}
