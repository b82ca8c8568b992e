"""Messages cannot be changed; every one is wrapped in an envelope that names its addressee."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from typing import get_args

import pytest

from mesh.core import messages as m
from mesh.core.keys import Resolution, Rule
from mesh.core.shared import Against, Judgement, Verdict
from tests.unit.core.writers import Bench, change, settlement

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


def told(judgement: Judgement | None) -> m.Judged:
    assert judgement is not None
    return m.judged(change("late", ("a/k", 0, b"y")), 9, judgement)


def test_a_writer_is_told_who_stood_against_it() -> None:
    bench = Bench()
    bench.write("one", "a/k", 0, b"x", "risk")
    (rival,) = told(bench.write("late", "a/k", 0, b"y", "cost")).rivals
    assert rival == m.Rival(
        key="a/k",
        version=1,
        agent="s",
        person="",
        workflow="0-w",
        task="0-t",
        objective="risk",
        because="cheaper",
        same=False,
        prefix="a/",
        resolution=Resolution.ARBITRATE,
    )


def test_a_writer_is_told_of_what_contests_an_entry_too() -> None:
    bench = Bench()
    bench.write("one", "a/k", 0, b"x")
    bench.write("two", "a/k", 0, b"y")
    rivals = told(bench.write("three", "a/k", 0, b"y")).rivals
    assert [(own.version, own.same) for own in rivals] == [(2, False), (2, True)]
    assert [own.workflow for own in rivals] == ["0-w", ""]  # of a candidate it is not kept


def test_a_writer_is_told_of_a_person_s_word() -> None:
    bench = Bench()
    bench.write("one", "a/k", 0, b"x")
    bench.write("two", "a/k", 0, b"y")
    bench.judge(settlement("word", "a/k", 2))
    (rival,) = told(bench.write("three", "a/k", 1, b"z")).rivals
    assert (rival.agent, rival.person, rival.because) == ("", "ann", "I say so")


def test_rivals_and_their_reasons_are_cut() -> None:
    bench = Bench()
    bench.write("one", "a/k", 0, b"x")
    known = bench.entry("a/k")
    against = Against(replace(known, because="b" * 900), b"y", Rule("a/", Resolution.ARBITRATE))
    judgement = Judgement(Verdict.CONFLICT, "late", (known,), against=(against,) * 20)
    rivals = told(judgement).rivals
    assert len(rivals) == m.MAX_RIVALS
    assert len(rivals[0].because) == m.MAX_WORDS
