"""Missed dependency: begun too early, or without what it builds on."""

from __future__ import annotations

import pytest

from mesh.core.detectors.missed_dependency import MAX_MADE, MissedDependency
from mesh.core.values import NOTHING
from tests.detection import disorder
from tests.detection.sharing import State
from tests.detection.story import Story

BOLTS = "stock/bolts"


@pytest.mark.parametrize("name", disorder.PLANTED)
def test_it_finds_its_own(name: str) -> None:
    kinds, tale = disorder.PLANTED[name]
    assert ("missed-dependency" in tale().kinds) is ("missed-dependency" in kinds)


def begin() -> tuple[Story, State]:
    story = Story({"first": "then"}, detectors=[MissedDependency()])
    return story, State(story)


def test_what_is_told_of_one_that_was_begun_too_early() -> None:
    story, _ = begin()
    first = story.root.asks("demo.design", {"x": 1}, "ann")
    then = story.root.asks("demo.build", {"y": 1}, "bob", after=(first.task,))
    (finding,) = story.found
    assert (finding.task, finding.seen, finding.limit) == (then.task, 1, 0)
    assert finding.evidence == (2, 3)
    assert finding.text == (
        "demo.build comes after demo.design and was begun before that ended: bob was awarded task "
        f"{then.task} while task {first.task} of ann was working. What it builds on may not be "
        "there."
    )


def test_a_later_award_is_no_beginning() -> None:
    story, _ = begin()
    first = story.root.asks("demo.design", {"x": 1}, "ann")
    then = story.root.asks("demo.build", {"y": 1}, "bob", after=(first.task,))
    then.fails("no")
    then.tries_again()
    then.finishes()
    assert len(story.found) == 1


def test_what_is_told_of_one_that_did_not_see() -> None:
    story, state = begin()
    first = story.root.asks("demo.take", {"x": 1}, "ann")
    state.updates(first, BOLTS, 9)
    state.updates(first, "stock/nuts", 9)
    first.finishes()
    then = story.root.asks("demo.count", {"y": 1}, "bob", after=(first.task,))
    state.reads(then, BOLTS, behind=1)
    then.finishes()
    (finding,) = story.found
    assert (finding.task, finding.seen, finding.limit) == (then.task, 1, 0)
    assert finding.evidence == (5, 11, 12)
    assert f"task {then.task} of bob found nothing when it last read that" in finding.text


def test_who_builds_on_nothing_or_on_who_wrote_nothing() -> None:
    story, state = begin()
    first = story.root.asks("demo.take", {"x": 1}, "ann")
    first.finishes()
    other = story.root.asks("demo.other", {"x": 2}, "carl")
    state.writes(other, {"elsewhere/x": 1}, 0)
    state.records = lambda _: NOTHING
    state.writes(other, {"stock/x": 1}, 0)
    story.root.asks("demo.count", {"y": 1}, "bob", after=(first.task,)).finishes()
    state.records = lambda own: own
    state.writes(other, {"stock/y": 1}, 0)
    other.finishes()
    story.root.asks("demo.count", {"y": 2}, "bob", after=(first.task,)).finishes()
    assert story.found == []


def test_what_is_kept_is_bounded() -> None:
    story, state = begin()
    detector = story.watch.detectors[0]
    assert isinstance(detector, MissedDependency)
    for number in range(MAX_MADE + 1):
        state.writes(story.root, {f"stock/{number}": 1}, 0)
    assert len(detector._made["0-root"]) == MAX_MADE
    story.root.finishes()
    assert detector._made == {}
