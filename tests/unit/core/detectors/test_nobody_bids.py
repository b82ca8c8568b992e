"""Nobody bids: tries that come to nothing, and time without a worker."""

from __future__ import annotations

import pytest

from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.detectors.nobody_bids import MAX_ASKED, MAX_ROWS, NEVER_MS, NobodyBids
from mesh.core.values import Offer
from tests.detection import disorder
from tests.detection.story import SMALL, Part, Story


def begin(**limits: int) -> tuple[Story, Part, NobodyBids]:
    """Begin a task that nobody is awarded; a row of tries counts however short it was."""
    detector = NobodyBids()
    table = LimitTable(mesh=Limits(**{"fruitless_ms": 1, **limits}))
    story, part = disorder.wanted(limits=table, detectors=[detector])
    return story, part, detector


@pytest.mark.parametrize("name", disorder.PLANTED)
def test_it_finds_its_own(name: str) -> None:
    kinds, tale = disorder.PLANTED[name]
    assert ("nobody-bids" in tale().kinds) is ("nobody-bids" in kinds)


def test_what_is_told_of_calls() -> None:
    story, part, _ = begin(fruitless_calls=1)
    for _ in range(2):
        part.is_called_out("ann", "bob", declines="I am full")
    assert story.found == []
    part.is_called_out("ann")
    (finding,) = story.found
    assert (finding.task, finding.seen, finding.limit) == (part.task, 2, 1)
    assert finding.evidence == (3, 4, 5)
    assert finding.text == (
        f"Nobody takes demo.rare (task {part.task}): 2 tries in a row came to nothing within 0 s "
        "(1 allowed). Nobody began the work: ann-1 (asked 3 times), bob-1 (asked 2 times), lead-1 "
        '(asked 2 times, said "I am full").'
    )


def test_an_award_tells_what_the_others_answered() -> None:
    story, part, _ = begin(fruitless_calls=1)
    offers = (
        Offer("ann-1", "ann", 5, 5, 900, True, 500, 700, ""),
        Offer("bob-1", "bob", 0, 0, 0, False, 500, 0, "no answer"),
    )
    part.is_called_out("ann", "bob")
    part.tries_again("ann", offers=offers)
    part.is_declined("halted")
    part.is_called_out("ann", "bob")
    assert story.found == []
    part.is_called_out("bob")
    (finding,) = story.found
    assert finding.seen == 2
    assert 'bob-1 (asked 3 times, said "no answer")' in finding.text
    assert 'ann-1 (asked 2 times, declined once, said "halted")' in finding.text


def test_tries_that_came_at_once_are_no_row_yet() -> None:
    story, part, _ = begin(fruitless_calls=1, fruitless_ms=5_000)
    for _ in range(9):
        part.is_called_out("ann")
    assert story.found == []
    story.wait(6_000)
    part.is_called_out("ann")
    assert len(story.found) == 1


def test_work_ends_the_row() -> None:
    story, part, _ = begin(fruitless_calls=1)
    for turn in range(4):
        part.is_called_out("ann")
        part.is_called_out("ann")
        part.tries_again("ann")
        part.calls("look", turn, turn)
        part.suspends()
    assert story.found == []


def test_not_all_that_were_asked_are_named() -> None:
    story, part, _ = begin(fruitless_calls=1)
    for _ in range(3):
        part.is_called_out(*(f"a{number}" for number in range(MAX_ASKED + 3)))
    assert story.found[0].text.endswith("a7-1 (asked 3 times) and 3 more.")


def test_what_is_told_of_time() -> None:
    story, part, _ = begin(unawarded_ms=70_000)
    part.is_called_out("ann")
    story.wait(73_000)
    (finding,) = story.found
    assert (finding.task, finding.limit, finding.evidence) == (part.task, 70_000, (2, 3))
    assert 70_000 < finding.seen < 73_000
    assert finding.text == (
        f"Nobody takes demo.rare (task {part.task}): it waited 70 s for a worker and was never "
        "awarded (70 s allowed). Nobody began the work: ann-1 (asked once)."
    )


def test_who_is_awarded_waits_no_more() -> None:
    story, part, detector = begin(unawarded_ms=70_000)
    other = story.root.asks("demo.other", {"y": 1}, "worker", award=None)
    gone = story.root.asks("demo.gone", {"y": 1}, "worker", award=None)
    story.wait(20_000)
    late = story.root.asks("demo.late", {"y": 1}, "worker", award=None)
    part.tries_again()
    gone.tries_again()
    gone.finishes()
    story.wait(55_000)
    assert [finding.task for finding in story.found] == [other.task]
    story.wait(400_000)
    assert [finding.task for finding in story.found] == [other.task, late.task]
    assert detector.due_ms == NEVER_MS


def test_who_ended_with_its_parent_waits_no_more() -> None:
    story, part, detector = begin(unawarded_ms=70_000)
    middle = story.root.asks("demo.middle", {"y": 1}, "mid")
    middle.asks("demo.below", {"y": 1}, "worker", award=None, grant=SMALL)
    middle.is_cancelled()
    part.tries_again()
    story.wait(100_000)
    assert story.found == []
    assert detector._waiting == {"0-root": {}}


@pytest.mark.parametrize(("timeout_ms", "found"), [(50_000, 0), (90_000, 1)])
def test_an_end_without_a_worker(timeout_ms: int, found: int) -> None:
    story, part = disorder.wanted(timeout_ms=timeout_ms, detectors=[NobodyBids()])
    part.expires()
    assert len(story.found) == found


def test_an_end_of_who_had_a_worker() -> None:
    story, part, _ = begin()
    story.wait(90_000)
    part.tries_again()
    part.fails("no")
    part.ends("no attempt is left")
    assert story.found == []


def test_a_halt_stops_the_clock() -> None:
    story, part, _ = begin(unawarded_ms=70_000, fruitless_calls=1)
    story.root.waits_for_lifting()
    for _ in range(4):
        part.is_called_out("ann")
    story.wait(100_000)
    part.ends("enough")
    assert story.found == []


def test_a_detector_that_is_set_aside_is_not_asked() -> None:
    story, _, detector = begin(unawarded_ms=70_000)
    story.watch.detectors.remove(detector)
    story.wait(100_000)
    assert story.found == []


def test_what_is_kept_is_bounded() -> None:
    story, _, detector = begin()
    for number in range(MAX_ROWS + 1):
        part = story.root.asks("demo.x", {"n": number}, "w", grant=SMALL, award=None)
        part.is_called_out("ann")
    assert len(detector._rows["0-root"]) == MAX_ROWS
    detector.forget("0-root")
    assert (detector._rows, detector._waiting) == ({}, {})
