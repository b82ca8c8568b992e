"""Messages cannot be changed; every one is wrapped in an envelope that names its addressee."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import get_args

import pytest

from mesh.core import messages as m

KINDS = [own for own in vars(m).values() if is_dataclass(own) and own.__module__ == m.__name__]


def test_the_union_names_every_message() -> None:
    assert {*get_args(m.Content), m.Envelope} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_is_frozen(kind: type) -> None:
    made = kind(**{field.name: 1 for field in fields(kind)})
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(kind)[0].name, 2)


def test_every_message_says_what_task_it_is_about() -> None:
    for kind in set(get_args(m.Content)) - {m.Judged}:  # that is about a change
        assert "task" in {field.name for field in fields(kind)}
