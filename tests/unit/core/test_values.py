"""Values cannot be changed, and say the same word on the wire and in the code."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from mesh.core import values as v


@pytest.mark.parametrize("kind", [v.Charter, v.Terms])
def test_terms_and_charters_are_frozen_and_named(kind: type) -> None:
    given = {field.name: 0 for field in fields(kind)}
    made = kind(**given)
    assert made == kind(**given)
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(kind)[0].name, 1)
    with pytest.raises(TypeError):
        kind(*given.values())


def test_an_amount_is_nothing_unless_said_otherwise() -> None:
    assert v.Amount() == (0, 0, 0, 0, 0)
    assert v.Amount(tokens=3)._asdict() == {
        "micro_usd": 0, "tokens": 3, "tool_calls": 0, "hops": 0, "attempts": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    [v.Effect, v.Mode, v.Acceptance, v.Outcome, v.Status, v.StepKind, v.Cause],
)
def test_an_enumeration_reads_as_its_word(kind: type[v.Effect]) -> None:
    for word in kind:
        assert f"{word}" == word.value == word.name.lower()


def test_no_contents_have_no_hash() -> None:
    assert (v.NOTHING.hash, v.NOTHING.content) == (b"", None)
