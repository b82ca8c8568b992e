"""Histories that are linearizable because they were made in turn, and what breaks them.

The objects here are written apart from `models`, so that one does not repeat the other's mistake.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import NamedTuple

from hypothesis import strategies as st

from tests.histories.models import Model, State
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

KEY = "k"
# Operations take effect this far apart and last up to SPREAD either way: many overlap, not all.
STEP = 100
SPREAD = 350


class Fact(NamedTuple):
    """What was current: a value, and how many changes there had been."""

    value: Hashable
    version: int


@dataclass(frozen=True, kw_only=True)
class Happened:
    """One operation of a made history, and what was current before it took effect."""

    operation: Operation
    before: Fact


def ask_register(fact: Fact, call: Call) -> tuple[Fact, Answer]:
    """Have a register do what is asked."""
    if isinstance(call, Read):
        return fact, Found(value=fact.value)
    if isinstance(call, CompareAndSet) and call.expected != fact.value:
        return fact, Refused()
    return Fact(call.value, fact.version + 1), Accepted()


def ask_entry(fact: Fact, call: Call) -> tuple[Fact, Answer]:
    """Have a versioned entry do what is asked."""
    if isinstance(call, Read):
        return fact, Found(value=fact.value, version=fact.version)
    assert isinstance(call, Write)
    if call.expected_version in {None, fact.version}:
        return Fact(call.value, fact.version + 1), Accepted(version=fact.version + 1)
    return fact, Refused(version=fact.version, value=fact.value)


@st.composite
def register_calls(draw: st.DrawFn, fact: Fact, fresh: Hashable) -> Call:
    """Draw a call on a register, often one that is accepted."""
    expected = draw(st.sampled_from((fact.value, fact.value, f"not {fresh}")))
    kinds: tuple[Call, ...] = (
        Read(),
        Write(value=fresh),
        CompareAndSet(expected=expected, value=fresh),
    )
    return draw(st.sampled_from(kinds))


@st.composite
def entry_calls(draw: st.DrawFn, fact: Fact, fresh: Hashable) -> Call:
    """Draw a call on a versioned entry, often one that is accepted."""
    expected = draw(st.sampled_from((0, 0, 0, -1, 1, None)))
    version = None if expected is None else fact.version + expected
    kinds: tuple[Call, ...] = (Read(), Write(value=fresh, expected_version=version))
    return draw(st.sampled_from(kinds))


def over_register(fact: Fact, fresh: Hashable) -> Call:
    """A change of what is current, which it names."""
    return CompareAndSet(expected=fact.value, value=fresh)


def over_entry(fact: Fact, fresh: Hashable) -> Call:
    """A change of what is current, which it names."""
    return Write(value=fresh, expected_version=fact.version)


class Kind(NamedTuple):
    """How histories of one kind of object are made."""

    ask: Callable[[Fact, Call], tuple[Fact, Answer]]
    calls: Callable[[Fact, Hashable], st.SearchStrategy[Call]]
    over: Callable[[Fact, Hashable], Call]


KINDS = {
    "register": Kind(ask_register, register_calls, over_register),
    "entry": Kind(ask_entry, entry_calls, over_entry),
}
OUTCOMES = st.sampled_from((Outcome.OK,) * 5 + (Outcome.UNKNOWN,) * 2 + (Outcome.FAILED,))
MOST = 14


@st.composite
def made(
    draw: st.DrawFn, kind: str, *, change: bool = False, values: Sequence[Hashable] = ()
) -> list[Happened]:
    """Draw a history that was made in turn; its intervals overlap, some answers never came.

    Args:
        draw: Given by hypothesis.
        kind: One of `KINDS`.
        change: Whether at least one change is `acknowledged`.
        values: What is written; unless given, each value is written once only.
    """
    count = draw(st.integers(int(change), MOST))
    sure = draw(st.integers(0, count - 1)) if change else None
    fact = Fact(None, 0)
    history = []
    for number in range(count):
        fresh = draw(st.sampled_from(values)) if values else f"v{number}"
        if number == sure:
            call, outcome = KINDS[kind].over(fact, fresh), Outcome.OK
        else:
            call, outcome = draw(KINDS[kind].calls(fact, fresh)), draw(OUTCOMES)
        before, answer = fact, None
        if outcome is Outcome.OK or (outcome is Outcome.UNKNOWN and draw(st.booleans())):
            fact, answer = KINDS[kind].ask(fact, call)
        operation = draw(seen(number, call, outcome, answer))
        history.append(Happened(operation=operation, before=before))
    return history


@st.composite
def seen(
    draw: st.DrawFn, number: int, call: Call, outcome: Outcome, answer: Answer | None
) -> Operation:
    """Draw what the client saw of an operation."""
    invoked, ended = draw(intervals(number * STEP))
    answered: int | None = ended
    if outcome is Outcome.UNKNOWN:
        # Its client may give up at any time, also before the operation takes effect.
        answered = draw(st.sampled_from((None, ended, invoked + 1)))
    return Operation(
        key=KEY,
        client=f"c{number}",
        call=call,
        outcome=outcome,
        invoked=invoked,
        answered=answered,
        answer=answer if outcome is Outcome.OK else None,
    )


def intervals(at: int) -> st.SearchStrategy[tuple[int, int]]:
    """Draw when an operation begins and ends that takes effect at an instant."""
    some = st.integers(0, SPREAD)
    return st.tuples(some, some).map(lambda spread: (at - spread[0], at + spread[1]))


def operations(history: Sequence[Happened]) -> list[Operation]:
    """What the clients saw of it."""
    return [happened.operation for happened in history]


# ---------------------------------------------------------------------------------- violations


def acknowledged(history: Sequence[Happened]) -> list[Happened]:
    """The changes that were accepted over a value or version that they named."""
    return [happened for happened in history if _named(happened.operation)]


def _named(operation: Operation) -> bool:
    call = operation.call
    over = isinstance(call, CompareAndSet) or getattr(call, "expected_version", None) is not None
    return over and isinstance(operation.answer, Accepted)


def stale_read(victim: Happened, interval: tuple[int, int]) -> Operation:
    """A read, begun after a change was acknowledged, that finds what was before the change."""
    versioned = isinstance(victim.operation.call, Write)
    found = Found(value=victim.before.value, version=victim.before.version if versioned else None)
    return replace(_after(victim, interval), client="reader", call=Read(), answer=found)


def lost_update(victim: Happened, interval: tuple[int, int]) -> Operation:
    """A change, begun after another was acknowledged, accepted over what that one had replaced."""
    call = victim.operation.call
    assert not isinstance(call, Read)
    return replace(_after(victim, interval), client="rival", call=replace(call, value="rival"))


def version_used_twice(victim: Happened, interval: tuple[int, int]) -> Operation:
    """A change at any time that was given the same version as another."""
    invoked, answered = interval
    return replace(
        victim.operation,
        client="rival",
        call=Write(value="rival"),
        invoked=invoked,
        answered=answered,
    )


def _after(victim: Happened, interval: tuple[int, int]) -> Operation:
    invoked, answered = interval
    assert victim.operation.answered is not None
    begun = victim.operation.answered + 1
    return replace(victim.operation, invoked=begun, answered=begun + answered - invoked)


Plant = Callable[[Happened, tuple[int, int]], Operation]
PLANTS: list[tuple[str, Plant]] = [
    ("register", stale_read),
    ("register", lost_update),
    ("entry", stale_read),
    ("entry", lost_update),
    ("entry", version_used_twice),
]


# --------------------------------------------------------------------------------- brute force


def explains(order: Sequence[Operation], model: Model[State]) -> bool:
    """Whether an order keeps to real time, and the model can go along it."""
    for place, earlier in enumerate(order):
        for later in order[place + 1 :]:
            ends = later.answered if later.outcome is Outcome.OK else None
            if ends is not None and ends < earlier.invoked:
                return False
    states = {model.initial()}
    for operation in order:
        states = {after for state in states for after in model.step(state, operation)}
    return bool(states)


def linearizable_by_force(
    history: Sequence[Operation], model: Model[State], *, until: float = math.inf
) -> bool:
    """The definition, word by word: try every order of every choice of what may have happened.

    Args:
        history: All operations, of one key.
        model: The object.
        until: The instant at which the history is cut: what was not answered by then need not
            have happened, and if it did, then with the answer that it got later.
    """
    must: list[Operation] = []
    may: list[Operation] = []
    for operation in history:
        if operation.outcome is Outcome.FAILED or operation.invoked > until:
            continue
        ok = operation.outcome is Outcome.OK
        ended = ok and operation.answered is not None and operation.answered <= until
        (must if ended else may).append(operation)
    return any(
        explains(order, model)
        for size in range(len(may) + 1)
        for chosen in combinations(may, size)
        for order in permutations([*must, *chosen])
    )
