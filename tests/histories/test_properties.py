"""The checker on histories that nobody chose."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.histories.checker import Verdict, check
from tests.histories.making import (
    KEY,
    PLANTS,
    STEP,
    Plant,
    acknowledged,
    explains,
    intervals,
    linearizable_by_force,
    made,
    operations,
)
from tests.histories.models import Model, Register, VersionedEntry
from tests.histories.operations import (
    Accepted,
    Answer,
    Call,
    CompareAndSet,
    Found,
    Operation,
    Outcome,
    Read,
    Refused,
    Write,
)

MODELS: dict[str, Model[Any]] = {"register": Register(), "entry": VersionedEntry()}
# Every order of every choice is tried: six take a millisecond, eight a second.
FORCED = 6
MANY = 400


class Hintless:
    """A model that says the least about its operations."""

    def __init__(self, model: Model[Any]) -> None:
        self.initial = model.initial
        self.step = model.step

    def changes(self, operation: Operation) -> bool:
        return True

    def spent(self, state: Any, operation: Operation) -> bool:
        return False


def judge(history: Sequence[Operation], kind: str) -> Verdict:
    verdicts = check(history, MODELS[kind], max_explored=100_000)
    return verdicts.get(KEY, Verdict(key=KEY, order=(), explored=0))


def assert_order(verdict: Verdict, history: Sequence[Operation], kind: str) -> None:
    """The order holds every answered operation once, no failed one, and explains the history."""
    count = Counter(map(id, verdict.order))
    for operation in history:
        least = operation.outcome is Outcome.OK
        most = operation.outcome is not Outcome.FAILED
        assert least <= count.pop(id(operation), 0) <= most
    assert not count
    assert explains(verdict.order, MODELS[kind])


@pytest.mark.parametrize("kind", MODELS)
@given(data=st.data())
def test_what_was_done_in_turn_is_linearizable(kind: str, data: st.DataObject) -> None:
    values = data.draw(st.sampled_from(((), ("a", "b"))))
    history = data.draw(st.permutations(operations(data.draw(made(kind, values=values)))))
    verdict = judge(history, kind)
    assert verdict.linearizable, verdict
    assert_order(verdict, history, kind)


@pytest.mark.parametrize(("kind", "plant"), PLANTS)
@given(data=st.data())
def test_what_is_planted_is_found(kind: str, plant: Plant, data: st.DataObject) -> None:
    history = data.draw(made(kind, change=True))
    victim = data.draw(st.sampled_from(acknowledged(history)))
    interval = data.draw(intervals(STEP * data.draw(st.integers(0, len(history)))))
    planted = [*operations(history), plant(victim, interval)]
    assert not judge(data.draw(st.permutations(planted)), kind).linearizable


# ------------------------------------------------------------------------------- brute force


def any_history(kind: str, dice: random.Random) -> list[Operation]:
    """A small history with answers that are often impossible; no two instants are equal."""
    instants = dice.sample(range(40), 2 * dice.randint(1, FORCED))
    history: list[Operation] = []
    for pair in zip(instants[::2], instants[1::2], strict=True):
        invoked, answered = sorted(pair)
        call, answer = any_call(kind, dice)
        outcome = dice.choice((Outcome.OK,) * 4 + (Outcome.UNKNOWN,) * 2 + (Outcome.FAILED,))
        ok = outcome is Outcome.OK
        history.append(
            Operation(
                key=KEY,
                client=str(len(history)),
                call=call,
                outcome=outcome,
                invoked=invoked,
                answered=answered if ok else None,
                answer=answer if ok else None,
            )
        )
    return history


def any_call(kind: str, dice: random.Random) -> tuple[Call, Answer]:
    value: Hashable = dice.choice("ab")
    version = dice.randint(0, 2)
    if kind == "register":
        change: Call = CompareAndSet(expected=dice.choice((None, "a", "b")), value=value)
        refused: Answer = Refused()
        accepted, found = Accepted(), Found(value=dice.choice((None, "a", "b")))
        write = Write(value=value), accepted
    else:
        change = Write(value=value, expected_version=version)
        refused = Refused(version=dice.randint(0, 3))
        accepted = Accepted(version=version + (dice.random() < 0.9))
        found = Found(value=value if version else None, version=version)
        write = Write(value=value), Accepted()
    return dice.choice(((Read(), found), (change, accepted), (change, refused), write))


def assert_agrees(history: Sequence[Operation], kind: str) -> bool:
    verdict = judge(history, kind)
    assert verdict.linearizable is linearizable_by_force(history, MODELS[kind]), verdict
    if verdict.blocked is None:
        assert_order(verdict, history, kind)
        return True
    assert explains(verdict.order, MODELS[kind])
    assert verdict.blocked not in verdict.order
    # That answer ends the longest prefix: just before it all is well, with it no longer.
    ends = verdict.blocked.answered
    assert ends is not None
    assert linearizable_by_force(history, MODELS[kind], until=ends - 1)
    assert not linearizable_by_force(history, MODELS[kind], until=ends)
    return False


@pytest.mark.parametrize("kind", MODELS)
@given(dice=st.randoms(use_true_random=False))
def test_brute_force_agrees(kind: str, dice: random.Random) -> None:
    assert_agrees(any_history(kind, dice), kind)


@pytest.mark.parametrize("kind", MODELS)
def test_brute_force_agrees_on_many_of_both_verdicts(kind: str) -> None:
    verdicts = Counter(
        assert_agrees(any_history(kind, random.Random(seed)), kind) for seed in range(MANY)
    )
    assert min(verdicts[True], verdicts[False]) > MANY // 5, verdicts


@pytest.mark.parametrize("kind", MODELS)
def test_hints_of_a_model_change_no_verdict(kind: str) -> None:
    """`changes` and `spent` are there for speed: without them the verdicts are the same."""
    for seed in range(MANY):
        history = any_history(kind, random.Random(seed))
        plain = check(history, Hintless(MODELS[kind]), max_explored=100_000)
        verdict = judge(history, kind)
        assert plain.get(KEY, verdict).blocked == verdict.blocked
