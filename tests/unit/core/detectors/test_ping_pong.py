"""Ping-pong: handed back and forth, in a chain or side by side, with nothing new."""

from __future__ import annotations

import pytest

from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.detectors.ping_pong import MAX_HANDOVERS, PingPong
from mesh.core.values import NOTHING, Acceptance
from tests.detection.story import SMALL, Part, Story


def begin(**limits: int) -> Story:
    return Story({"x": 1}, limits=LimitTable(mesh=Limits(**limits)), detectors=[PingPong()])


def chain(agents: str, same: bool = True) -> Story:
    story = begin()
    part: Part = story.root
    for number, agent in enumerate(agents):
        part = part.asks(f"demo.{agent}{number}", {"a": 1 if same else number}, agent)
    return story


def test_a_chain_that_hands_one_thing_back_and_forth() -> None:
    assert chain("abab").found == []
    (finding,) = chain("ababa").found
    assert (finding.kind, finding.seen, finding.limit) == ("ping-pong", 3, 2)
    assert finding.evidence == (2, 3, 4, 5, 6)
    assert finding.text.startswith("a and b hand the same input on to each other: 3 times")


@pytest.mark.parametrize("agents", ["abcabc", "aabbaba"])
def test_more_agents_and_pauses_within_one(agents: str) -> None:
    assert chain(agents).kinds == {"ping-pong"}


@pytest.mark.parametrize("agents", ["abcdefgh", "aaaaaaaa"])
def test_nobody_gets_back_what_it_had(agents: str) -> None:
    assert chain(agents).found == []


def test_the_root_task_may_be_part_of_it() -> None:
    story = begin()
    part: Part = story.root
    for agent in ("ann", "lead", "ann", "lead"):
        assert story.found == []
        part = part.asks(f"demo.{agent}", {"x": 1}, agent)
    assert len(story.found[0].evidence) == 5


def test_other_inputs_are_none() -> None:
    assert chain("ababababa", same=False).found == []


def test_an_award_of_its_own_is_looked_at_too() -> None:
    story = chain("abab")
    last = list(story.ledger.tasks)[-1]
    part = Part(story, last, "b").asks("demo.last", {"a": 1}, award=None)
    assert story.found == []
    part.tries_again("a")
    assert story.kinds == {"ping-pong"}


# --- side by side -------------------------------------------------------------------------------


def exchange(*handovers: tuple[str, object, object], **limits: int) -> Story:
    story = begin(**limits)
    for agent, given, answer in handovers:
        story.root.gets("demo.talk", given, answer, agent)
    return story


A, B = ("ann", {"t": "x"}, {"t": "y"}), ("bob", {"t": "y"}, {"t": "x"})


def test_the_same_asked_again_and_the_same_answered() -> None:
    assert exchange(A, B, A, B).found == []
    (finding,) = exchange(A, B, A, B, A).found
    assert (finding.seen, finding.limit) == (3, 2)
    assert finding.chain[0].agent == "lead"
    assert finding.text == (
        "ann and bob are asked in turn for what they have answered already: the last 3 answers in "
        "a row held nothing that had not been said before (2 allowed)."
    )
    assert exchange(A, B, A, B, A, ping_pong_returns=3).found == []


def test_a_new_answer_is_new() -> None:
    news = ("ann", {"t": "x"}, {"t": "new"})
    assert exchange(A, B, A, B, news, B, A).found == []
    assert exchange(A, B, A, B, news, B, A, B).kinds == {"ping-pong"}


def test_a_new_question_is_new() -> None:
    assert exchange(A, B, A, B, ("ann", {"t": "x", "and": "z"}, {"t": "y"})).found == []


def test_another_question_of_known_words_is_new() -> None:
    left, right = ("ann", {"t": "x"}, {"t": "y"}), ("ann", {"t": "y"}, {"t": "x"})
    assert exchange(left, B, right, B, left, B, right).found == []


def test_one_agent_alone_plays_no_ping_pong() -> None:
    assert exchange(*(A for _ in range(9))).found == []


def test_an_agent_that_is_asked_twice_gets_it_back_once() -> None:
    assert exchange(A, B, A, A, A, B).found == []
    assert exchange(A, B, A, A, A, B, A).kinds == {"ping-pong"}


def test_what_lies_too_far_back_is_forgotten() -> None:
    others = [("cyd", {"t": n}, {"t": -n}) for n in range(MAX_HANDOVERS)]
    assert exchange(A, B, A, B, *others, A).found == []


def test_contents_that_are_not_at_hand_are_compared_by_hash() -> None:
    story = begin()
    for number in range(5):
        agent = ("ann", "bob")[number % 2]
        story.root.asks("demo.talk", {"t": agent}, agent, grant=SMALL).finishes(NOTHING)
    assert story.kinds == {"ping-pong"}


def test_a_result_that_is_accepted_counts_as_one_that_needs_no_check() -> None:
    story = begin()
    for agent, given, answer in (A, B, A, B, A):
        part = story.root.asks(
            "demo.talk", given, agent, grant=SMALL, acceptance=Acceptance.REVIEWED
        )
        part.finishes(answer)
        part.is_accepted()
    assert story.kinds == {"ping-pong"}


def test_the_root_s_own_result_is_no_handover() -> None:
    story = exchange(A)
    story.root.finishes({"t": "y"})
    assert story.found == []
