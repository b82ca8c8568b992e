"""Lost update, prevented: a write that came too late and was never made good."""

from __future__ import annotations

import pytest

from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.detectors.lost_update import MAX_KEYS, MAX_LATE, LostUpdate
from mesh.core.values import NOTHING
from tests.detection import disorder
from tests.detection.sharing import State
from tests.detection.story import SMALL, Part, Story

BOLTS = "stock/bolts"


def begin(**limits: int) -> tuple[Story, State, Part, Part]:
    table = LimitTable(mesh=Limits(**limits))
    return disorder.side_by_side(limits=table, detectors=[LostUpdate()])


@pytest.mark.parametrize("name", disorder.PLANTED)
def test_it_finds_its_own(name: str) -> None:
    kinds, tale = disorder.PLANTED[name]
    assert ("lost-update" in tale().kinds) is ("lost-update" in kinds)


def test_what_is_told() -> None:
    story, state, ann, bob = begin()
    state.elsewhere(BOLTS, 10, "clerk")
    version = state.reads(bob, BOLTS)
    state.writes(ann, {BOLTS: 9}, version, "cost", "one was taken")
    state.writes(bob, {BOLTS: 8}, version)
    assert story.found == []
    bob.finishes()
    (finding,) = story.found
    assert (finding.task, finding.thing, finding.seen, finding.limit) == (bob.task, BOLTS, 1, 0)
    assert finding.evidence == (4, 7, 8, 9)
    assert finding.text == (
        f"bob in task {bob.task} wanted to write stock/bolts over version 1 and came too late: "
        f'ann in task {ann.task} for cost because "one was taken" had written version 2 (rule: '
        "reject under stock/). Nothing was lost: the write was refused, and its writer told. The "
        "task ended without having written stock/bolts again."
    )


def test_a_key_is_told_once() -> None:
    story, state, ann, bob = begin()
    carl = story.root.asks("demo.carl", {"z": 1}, "carl", grant=SMALL)
    state.writes(ann, {BOLTS: 9}, 0)
    for part in (bob, carl):
        state.writes(part, {BOLTS: 8}, 0)
        part.finishes()
    assert len(story.found) == 1


def test_what_is_made_good_is_not_told() -> None:
    story, state, ann, bob = begin()
    state.writes(ann, {BOLTS: 9}, 0)
    state.writes(bob, {BOLTS: 8}, 0)
    state.writes(bob, {"elsewhere/x": 8}, 0)  # refused, and about another key
    state.writes(bob, {BOLTS: 7}, 1)
    for part in (bob, ann):
        part.finishes()
    assert story.found == []


def test_what_a_person_settled_and_an_older_record() -> None:
    story, state, ann, _ = begin()
    state.old = True
    state.elsewhere("suppliers/x", 1, "clerk", "risk")
    state.elsewhere("suppliers/x", 2, "buyer", "risk", over=0)
    state.settles("suppliers/x", 2)
    state.writes(ann, {"suppliers/x": 3}, 1, "risk")
    ann.finishes()
    (finding,) = story.found
    assert "a person had written version 3." in finding.text


def test_a_record_that_nobody_understands() -> None:
    story, state, ann, bob = begin()
    state.records = lambda _: NOTHING
    state.writes(ann, {BOLTS: 9}, 0)
    state.writes(bob, {BOLTS: 8}, 0)
    bob.finishes()
    assert story.found == []


def test_a_contended_key() -> None:
    story, state, ann, bob = begin(lost_updates=2)
    for turn in range(3):
        assert story.found == []
        state.writes(ann, {BOLTS: turn}, turn)
        state.writes(bob, {BOLTS: -1 - turn}, turn)
    (finding,) = story.found
    assert (finding.seen, finding.limit, len(finding.evidence)) == (3, 2, 3)
    assert "its writers hinder each other" in finding.text


def test_what_is_kept_is_bounded() -> None:
    story, state, ann, bob = begin()
    detector = story.watch.detectors[0]
    assert isinstance(detector, LostUpdate)
    for number in range(MAX_KEYS + 1):
        state.writes(ann, {f"stock/{number}": 1}, 0)
        state.writes(bob, {f"stock/{number}": 2}, 0)
    known = detector._workflows["0-root"]
    assert (len(known.late), len(known.conflicts)) == (MAX_LATE, MAX_KEYS)
    story.root.is_cancelled_with(ann, bob)
    assert len(story.found) == 64
    assert detector._workflows == {}
