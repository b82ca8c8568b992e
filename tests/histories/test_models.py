"""What the two objects do when their clients take turns."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from tests.histories.models import Entry, Register, VersionedEntry
from tests.histories.operations import (
    Accepted,
    Answer,
    Call,
    CompareAndSet,
    Found,
    HistoryError,
    Operation,
    Outcome,
    Read,
    Refused,
    Write,
)

CAS = CompareAndSet(expected=1, value=2)
AT_4 = Entry(version=4, value="x")
AT_5 = Entry(version=5, value="y")
OVER_4 = Write(value="y", expected_version=4)
OVER_3 = Write(value="y", expected_version=3)
ANYHOW = Write(value="y")


def operation(call: Call, answer: Answer | None) -> Operation:
    if answer is None:
        return Operation(key="k", client="c", call=call, outcome=Outcome.UNKNOWN, invoked=0)
    ok = Outcome.OK
    return Operation(
        key="k", client="c", call=call, outcome=ok, invoked=0, answered=1, answer=answer
    )


@pytest.mark.parametrize(
    ("call", "answer", "state", "after", "changes"),
    [
        (Read(), Found(value=1), 1, (1,), False),
        (Read(), Found(value=1), 2, (), False),
        (Read(), Found(value=None), None, (None,), False),
        (Read(), None, 1, (1,), False),
        (Write(value=3), Accepted(), 1, (3,), True),
        (Write(value=3), None, 1, (3,), True),
        (CAS, Accepted(), 1, (2,), True),
        (CAS, Accepted(), 2, (), True),
        (CAS, Refused(), 1, (), False),
        (CAS, Refused(), 2, (2,), False),
        (CAS, None, 1, (2,), True),
        (CAS, None, 3, (3,), True),
        (CompareAndSet(expected=1, value=1), Accepted(), 1, (1,), False),
    ],
)
def test_register(
    call: Call, answer: Answer | None, state: Hashable, after: tuple[Hashable, ...], changes: bool
) -> None:
    asked = operation(call, answer)
    assert Register().step(state, asked) == after
    assert Register().changes(asked) is changes
    assert not Register().spent(state, asked)


@pytest.mark.parametrize(
    ("call", "answer", "after", "changes", "spent"),
    [
        (Read(), Found(value="x", version=4), (AT_4,), False, False),
        (Read(), Found(value="x"), (AT_4,), False, False),
        (Read(), Found(value="x", version=3), (), False, False),
        (Read(), Found(value="y", version=4), (), False, False),
        (Read(), None, (AT_4,), False, False),
        (OVER_4, Accepted(version=5), (AT_5,), True, False),
        (OVER_4, Accepted(), (AT_5,), True, False),
        (OVER_4, Accepted(version=4), (), True, False),
        (OVER_3, Accepted(version=4), (), True, False),
        (OVER_3, Accepted(version=5), (), True, False),
        (OVER_3, Refused(version=4, value="x"), (AT_4,), False, False),
        (OVER_3, Refused(version=4), (AT_4,), False, False),
        (OVER_3, Refused(), (AT_4,), False, False),
        (OVER_3, Refused(version=5), (), False, False),
        (OVER_3, Refused(version=4, value="z"), (), False, False),
        (OVER_4, Refused(version=4), (), False, False),
        (OVER_4, None, (AT_5,), True, False),
        (OVER_3, None, (AT_4,), True, True),
        (Write(value="y", expected_version=5), None, (AT_4,), True, False),
        (ANYHOW, Accepted(version=5), (AT_5,), True, False),
        (ANYHOW, Accepted(version=6), (), True, False),
        (ANYHOW, Refused(version=4), (), False, False),
        (ANYHOW, None, (AT_5,), True, False),
    ],
)
def test_versioned_entry(
    call: Call, answer: Answer | None, after: tuple[Entry, ...], changes: bool, spent: bool
) -> None:
    asked = operation(call, answer)
    assert VersionedEntry().step(AT_4, asked) == after
    assert VersionedEntry().changes(asked) is changes
    assert VersionedEntry().spent(AT_4, asked) is spent


def test_an_entry_may_start_anywhere() -> None:
    assert VersionedEntry().initial() == Entry(version=0, value=None)
    assert VersionedEntry(AT_4).initial() == AT_4


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (OVER_4, Accepted()),
        (Write(value=1), Refused()),
        (Read(), Accepted()),
        (CAS, Found(value=1)),
    ],
)
def test_a_register_says_what_it_does_not_know(call: Call, answer: Answer) -> None:
    with pytest.raises(HistoryError, match="a register knows nothing of this: client c"):
        Register().step(1, operation(call, answer))


@pytest.mark.parametrize(
    ("call", "answer"),
    [(CAS, Accepted()), (CAS, None), (Read(), Accepted()), (OVER_4, Found(value=1))],
)
def test_an_entry_says_what_it_does_not_know(call: Call, answer: Answer | None) -> None:
    with pytest.raises(HistoryError, match="a versioned entry knows nothing of this: client c"):
        VersionedEntry().step(AT_4, operation(call, answer))


@pytest.mark.parametrize(
    ("outcome", "answered", "answer", "why"),
    [
        (Outcome.OK, None, Accepted(), "without an answer or its instant"),
        (Outcome.OK, 9, None, "without an answer or its instant"),
        (Outcome.FAILED, 9, Accepted(), "an answer, but not ok"),
        (Outcome.OK, 4, Accepted(), "answered before it was invoked"),
    ],
)
def test_an_operation_is_whole(
    outcome: Outcome, answered: int | None, answer: Answer | None, why: str
) -> None:
    with pytest.raises(HistoryError, match=why):
        Operation(
            key="k",
            client="c",
            call=Read(),
            outcome=outcome,
            invoked=5,
            answered=answered,
            answer=answer,
        )
