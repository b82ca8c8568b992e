"""Fan-out: what no list foresaw."""

from __future__ import annotations

from mesh.core.detectors.fan_out import FanOut, listed_by
from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.values import Amount
from tests.detection.story import SMALL, Part, Story

NARROW = {"fan_out_children": 5, "fan_out_open": 8}


def begin(given: object = None, **limits: int) -> Story:
    table = LimitTable(mesh=Limits(**{**NARROW, **limits}))
    return Story(given, limits=table, detectors=[FanOut()])


def spread(part: Part, inputs: list[object]) -> list[Part]:
    return [part.asks("demo.part", given, grant=SMALL) for given in inputs]


def test_children_that_nothing_foresaw() -> None:
    story = begin()
    spread(story.root, list(range(5)))
    assert story.found == []
    spread(story.root, [5])
    (finding,) = story.found
    assert (finding.kind, finding.seen, finding.limit) == ("fan-out", 6, 5)
    assert (finding.task, finding.thing) == ("0-root", "children of 0-root")
    assert finding.evidence == (1, 2, 3, 4, 5, 6, 7)
    assert "lead demo.root began 6 tasks without waiting for them" in finding.text


def test_a_list_that_was_given_foresaw_them() -> None:
    story = begin({"of": list(range(20))})
    spread(story.root, list(range(25)))
    assert story.found == []
    spread(story.root, [25])
    assert "has 20 items, so nothing foresaw 6 of them" in story.found[0].text


def test_a_list_that_was_read_foresaw_them() -> None:
    story = begin()
    spread(story.root, list(range(3)))
    story.root.calls("list", 1, list(range(20)))
    assert listed_by(story.root.state) == 20
    spread(story.root, list(range(3, 25)))
    assert story.found == []


def test_the_same_child_again_was_not_foreseen() -> None:
    story = begin({"of": list(range(20))})
    spread(story.root, [1] * 7)
    assert story.found[0].seen == 6


def test_children_that_were_awaited_are_over() -> None:
    story = begin()
    for batch in range(9):
        for part in spread(story.root, [batch * 4 + n for n in range(4)]):
            part.finishes(1)
    assert story.found == []


def test_children_that_end_while_others_go_on_count() -> None:
    story = begin()
    before: list[Part] = []
    for number in range(6):
        before += spread(story.root, [number])
        if number:
            before.pop(0).finishes(number)
    assert story.kinds == {"fan-out"}


def test_a_tree_of_narrow_tasks() -> None:
    story = begin()
    level = [story.root]
    for _ in range(3):
        level = [part.asks("demo.part", n) for part in level for n in range(2)]
    (finding,) = story.found
    assert (finding.thing, finding.seen, finding.limit) == ("open tasks", 9, 8)
    assert "9 tasks of this workflow are open at once" in finding.text


def test_a_workflow_is_looked_at_as_soon_as_it_may_be_too_wide() -> None:
    story = begin({"of": [1, 2, 3]}, fan_out_children=100)
    spread(story.root, list(range(10)))
    assert story.found == []
    spread(story.root, [10])
    (finding,) = story.found
    assert finding.seen == 9  # the root, and eleven but for three


def test_a_parent_that_is_tried_again_has_its_children_still() -> None:
    story = begin()
    part = story.root.asks("demo.part", 1)
    for number in range(4):
        part.asks("demo.leaf", number, grant=SMALL._replace(hops=1), award=None)
    part.fails("no")
    part.tries_again()
    assert story.found == []
    for number in range(4, 6):
        part.asks("demo.leaf", number, grant=SMALL._replace(hops=1), award=None)
    assert story.found[0].thing == f"children of {part.task}"


def test_a_tree_that_lists_foresaw() -> None:
    story = begin({"of": list(range(4))})
    for part in spread(story.root, [{"of": [n, n + 1, n + 2]} for n in range(4)]):
        for number in range(3):
            part.asks("demo.leaf", number, grant=Amount(1, 1, 1, 1, 1))
    assert story.found == []


def test_what_ended_is_not_open() -> None:
    story = begin(fan_out_children=100)
    for number in range(30):
        story.root.gets("demo.part", number, number)
    assert story.found == []


def test_a_task_that_ended_is_forgotten() -> None:
    story = begin()
    part = story.root.asks("demo.part", 1)
    part.gets("demo.leaf", 1, 1)
    (detector,) = story.watch.detectors
    assert isinstance(detector, FanOut)
    assert set(detector._workflows["0-root"].bursts) == {"0-root", part.task}
    part.finishes(1)
    assert set(detector._workflows["0-root"].bursts) == {"0-root"}
