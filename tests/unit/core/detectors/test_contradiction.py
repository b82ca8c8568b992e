"""Contradiction: two that want different values for one key, and which side is in force."""

from __future__ import annotations

import json

import pytest

from mesh.core.detectors.contradiction import MAX_KEYS, Contradiction
from mesh.core.values import NOTHING, Body
from mesh.wire.canonical import body_of
from tests.detection import disorder
from tests.detection.sharing import State
from tests.detection.story import Part, Story

ACME, BOLTS = "suppliers/acme", "stock/bolts"


def begin() -> tuple[Story, State, Part, Part]:
    return disorder.side_by_side(detectors=[Contradiction()])


@pytest.mark.parametrize("name", disorder.PLANTED)
def test_it_finds_its_own(name: str) -> None:
    kinds, tale = disorder.PLANTED[name]
    assert ("contradiction" in tale().kinds) is ("contradiction" in kinds)


@pytest.mark.parametrize("name", disorder.LOOK_ALIKES)
def test_it_finds_nothing_in_what_looks_alike(name: str) -> None:
    assert disorder.LOOK_ALIKES[name][1]().kinds == set()


@pytest.mark.parametrize(
    ("objective", "outcome"),
    [
        (
            "risk",
            (
                "bob won by the rule for suppliers/ (arbitrate): risk comes before cost. Version 1 "
                "of ann is replaced."
            ),
        ),
        (
            "speed",
            (
                "ann won by the rule for suppliers/ (arbitrate): cost comes before speed. Version "
                "1 stays, and bob was told."
            ),
        ),
        (
            "cost",
            (
                "The rule for suppliers/ (arbitrate) does not decide between equal objectives. The "
                "value of ann stays until a person chooses: mesh state settle suppliers/acme"
            ),
        ),
    ],
)
def test_both_sides_are_told_and_which_is_in_force(objective: str, outcome: str) -> None:
    story, state, ann, bob = begin()
    version = state.reads(bob, ACME)
    state.writes(ann, {ACME: "approved"}, 0, "cost", "cheapest")
    state.writes(bob, {ACME: "blocked"}, version, objective, "on a list")
    (finding,) = story.found
    assert (finding.task, finding.seen, finding.limit) == (bob.task, 2, 1)
    assert finding.evidence == (4, 7, 8)
    assert finding.text == (
        f"Two sides want different values for suppliers/acme: bob in task {bob.task} for "
        f'{objective} because "on a list"; and ann in task {ann.task} for cost because "cheapest". '
        f"Neither had seen what the other decided. {outcome}"
    )


def test_a_quarrel_that_becomes_a_contest_is_told_again() -> None:
    story, state, ann, bob = begin()
    state.writes(ann, {ACME: "approved"}, 0, "cost")
    state.writes(bob, {ACME: "blocked"}, 0, "speed")
    state.writes(bob, {ACME: "blocked"}, 0, "cost")
    state.writes(bob, {ACME: "watched"}, 0, "cost")
    assert [own.thing for own in story.found] == [ACME, f"{ACME} contested"]


def test_a_record_that_nobody_understands() -> None:
    story, state, ann, bob = begin()
    state.records = lambda _: NOTHING
    state.writes(ann, {ACME: 9}, 0)
    state.writes(bob, {ACME: 8}, 0)
    assert story.found == []


def test_what_may_have_been_accepted_before_is_no_quarrel() -> None:
    story, state, ann, bob = begin()
    state.writes(ann, {ACME: 9}, 0, "risk")
    state.records = forgotten
    state.writes(bob, {ACME: 8}, 0, "cost")
    assert story.found == []


def forgotten(record: Body) -> Body:
    return body_of({**json.loads(record.content or b""), "forgotten": True})


def test_a_guess() -> None:
    story, state, ann, bob = begin()
    state.reads(bob, BOLTS)
    state.writes(ann, {BOLTS: 10}, 0)
    bob.thinks("what version?", "1")
    state.writes(bob, {BOLTS: 3}, 1)
    (finding,) = story.found
    assert (finding.seen, finding.limit, finding.evidence) == (2, 1, (4, 6, 9, 10))
    assert "bob replaced it by version 2" in finding.text


@pytest.mark.parametrize("way", ["tool", "child"])
def test_who_may_have_heard_of_a_version_does_not_guess(way: str) -> None:
    story, state, ann, bob = begin()
    state.writes(ann, {BOLTS: 10}, 0)
    if way == "tool":
        bob.calls("look", 1, 1)
    else:
        bob.asks("demo.look", {"x": 1}, "carl").finishes(1)
    state.writes(bob, {BOLTS: 3}, 1)
    assert story.found == []


def test_what_is_kept_is_bounded() -> None:
    story, state, ann, _ = begin()
    detector = story.watch.detectors[0]
    assert isinstance(detector, Contradiction)
    for number in range(MAX_KEYS + 1):
        state.writes(ann, {f"stock/{number}": 1}, 0)
    assert len(detector._last["0-root"]) == MAX_KEYS
    detector.forget("0-root")
    assert detector._last == {}
