"""The order of effects is part of their type."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args, get_type_hints

from mesh.core import calls as c
from mesh.core import effects as e


def test_facts_come_first_then_messages_then_handlers_then_commits() -> None:
    order = [field.name for field in fields(e.Step)]
    assert order == ["appends", "reads", "messages", "handlers", "commits"]


def test_each_kind_of_effect_has_one_place() -> None:
    places = [get_args(hint)[0] for hint in get_type_hints(e.Step).values()]
    kinds = [kind for place in places for kind in get_args(place) or (place,)]
    assert len(kinds) == len(set(kinds))
    assert {e.Append, e.Read, e.Send, e.Reply, c.Start, c.Stop, e.CommitOffset} <= set(kinds)


def test_a_step_is_its_own() -> None:
    one, other = e.Step(), e.Step()
    one.commits.append(e.Intake((), open=True))
    assert not other.commits
