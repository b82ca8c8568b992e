"""Loop: what comes back in its own ancestry, and what does not."""

from __future__ import annotations

from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.detectors.loop import Loop
from mesh.core.halts import HaltOrder
from mesh.core.values import Body
from tests.detection.story import Part, Story


def story_of(*inputs: object, capability: str = "demo.plan", **limits: int) -> Story:
    story = Story({"x": 1}, limits=LimitTable(mesh=Limits(**limits)), detectors=[Loop()])
    part: Part = story.root
    for given in inputs:
        part = part.asks(capability, given)
    return story


def test_an_input_that_comes_back_twice_is_a_loop() -> None:
    assert story_of({"a": 1}, {"a": 1}).found == []
    (finding,) = story_of({"a": 1}, {"a": 1}, {"a": 1}).found
    assert (finding.kind, finding.seen, finding.limit) == ("loop", 2, 1)
    assert finding.measure == "returns of one input of demo.plan below itself"
    assert finding.evidence == (2, 3, 4)
    assert len(finding.chain) == 4
    assert "with the same input 3 times in one chain" in finding.text


def test_what_goes_on_below_a_loop_is_that_loop() -> None:
    assert len(story_of(*({"a": 1} for _ in range(9))).found) == 1


def test_another_branch_is_another_finding() -> None:
    story = story_of({"a": 1}, {"a": 1}, {"a": 1})
    part = story.root
    for _ in range(3):
        part = part.asks("demo.plan", {"b": 1})
    assert len({finding.id for finding in story.found}) == len(story.found) == 2


def test_another_input_between_them_does_not_hide_it() -> None:
    assert story_of({"a": 1}, {"b": 1}, {"a": 1}, {"c": 1}, {"a": 1}).kinds == {"loop"}


def test_one_return_among_others_is_none() -> None:
    assert story_of({"a": 1}, {"b": 1}, {"a": 1}, {"c": 1}).found == []


def test_other_inputs_are_none() -> None:
    assert story_of({"a": 1}, {"a": 2}, {"a": 3}).found == []


def test_another_capability_is_none() -> None:
    story = Story({"x": 1}, detectors=[Loop()])
    part = story.root
    for turn in range(6):
        part = part.asks(f"demo.plan-{turn}", {"a": 1})
    assert story.found == []


def test_brothers_are_none() -> None:
    story = Story({"x": 1}, detectors=[Loop()])
    for _ in range(6):
        story.root.gets("demo.plan", {"a": 1}, {"b": 1})
    assert story.found == []


def test_cosmetic_changes_are_named() -> None:
    (finding,) = story_of(*({"a": 1, "attempt": n} for n in range(3))).found
    assert "differs in what is cosmetic alone" in finding.text


def test_identifiers_need_more_returns() -> None:
    inputs = [{"at": 1_763_700_000_000 + n} for n in range(7)]
    assert story_of(*inputs[:6]).found == []
    (finding,) = story_of(*inputs).found
    assert (finding.seen, finding.limit) == (6, 5)
    assert "differs in identifiers and times alone" in finding.text


def test_the_limit_is_a_setting() -> None:
    assert story_of({"a": 1}, {"a": 1}, {"a": 1}, loop_returns=2).found == []
    (finding,) = story_of(*({"a": 1} for _ in range(4)), loop_returns=2).found
    assert "(2 returns allowed)" in finding.text


def test_contents_that_are_not_at_hand_are_compared_by_hash() -> None:
    bodies = [Body(bytes([n]) * 32, "application/json", None) for n in (1, 1, 1, 2)]
    assert story_of(*bodies[:3]).kinds == {"loop"}
    assert story_of(*bodies[1:]).found == []


def test_a_loop_that_a_person_lets_go_on_is_found_again_at_twice_as_many_returns() -> None:
    story = Story({"x": 1}, detectors=[Loop()])
    part = story.root
    for _ in range(3):
        part = part.asks("demo.plan", {"a": 1})
    story.watch.lifts = {"0-root": lift(2)}
    for _ in range(4):
        part = part.asks("demo.plan", {"a": 1})
    assert [own.seen for own in story.found] == [2, 4]


def test_what_else_comes_back_below_a_loop_is_that_loop() -> None:
    story = Story({"x": 1}, detectors=[Loop()])
    part = story.root
    for _ in range(5):
        part = part.asks("demo.plan", {"a": 1}).asks("demo.check", {"b": 1})
    assert len(story.found) == 1


def lift(number: int) -> HaltOrder:
    return HaltOrder(
        target="workflow/0-root", halted=False, number=number, person="ann", detector="",
        because="go on", incident="", through=0,
    )  # fmt: skip
