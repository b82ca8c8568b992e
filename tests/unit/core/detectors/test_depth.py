"""Depth: delegations that make nothing smaller."""

from __future__ import annotations

from mesh.core.detectors.depth import Depth
from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.values import Body
from tests.detection.story import Story


def down(*inputs: object, depth: int = 3) -> Story:
    story = Story(inputs[0], limits=LimitTable(mesh=Limits(depth=depth)), detectors=[Depth()])
    part = story.root
    for given in inputs[1:]:
        part = part.asks("demo.part", given)
    return story


def test_a_chain_is_found_when_it_is_too_long() -> None:
    assert down(1, 2, 3, 4).found == []
    (finding,) = down(1, 2, 3, 4, 5).found
    assert (finding.kind, finding.seen, finding.limit) == ("depth", 4, 3)
    assert finding.evidence == (2, 3, 4, 5)
    assert finding.text.startswith("A chain of 5 tasks, each delegated by the one before; 4 of")


def test_a_chain_is_found_once() -> None:
    assert len(down(*range(9)).found) == 1


def test_what_gets_smaller_does_not_count() -> None:
    assert down("xxxxxx", "xxxxx", "xxxx", "xxx", "xx").found == []
    assert down("xxxxxx", "xxxxx", "xxxx", "xxx", "xx", *"abc").found == []
    assert down("xxx", "xx", "aa", "bb", "cc").found == []
    assert down("xxxxxx", "xxxxx", "xxxx", "xxx", "xx", "xx", *"abcd").kinds == {"depth"}


def test_what_cannot_be_seen_is_not_smaller() -> None:
    hidden = [Body(bytes([n]) * 32, "application/json", None) for n in range(5)]
    assert down(*hidden).kinds == {"depth"}
    assert down("x" * 90, hidden[0], "x" * 20, hidden[1], "x").kinds == {"depth"}


def test_it_keeps_nothing() -> None:
    detector = Depth()
    detector.forget("0-root")
    assert vars(detector) == {}
