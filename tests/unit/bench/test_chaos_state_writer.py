"""What a verdict says about a register, and which keys there are."""

from __future__ import annotations

from collections import Counter

from bench.chaos_state_check import PARTITIONS
from bench.chaos_state_keys import kind_of, mixed, wide
from bench.chaos_state_writer import answer_of
from mesh.core.keys import is_key
from mesh.core.messages import Current, Judged
from mesh.core.shared import Verdict
from mesh.wire.state import state_partition
from tests.histories.operations import Accepted, Refused


def verdict(kind: Verdict, *, made: int = 0, forgotten: bool = False) -> Judged:
    entry = Current("plain/g/x", 4, b'"c1"', "writer", "", contested=False)
    return Judged(
        change="c",
        offset=1,
        verdict=kind,
        reason="",
        versions=(made,) if kind is Verdict.ACCEPTED else (),
        entries=(entry,),
        forgotten=forgotten,
    )


def test_a_verdict_is_an_answer_where_it_says_something() -> None:
    assert answer_of(verdict(Verdict.ACCEPTED, made=4)) == Accepted(version=4)
    assert answer_of(verdict(Verdict.ACCEPTED)) == Accepted(version=None)
    assert answer_of(verdict(Verdict.CONFLICT)) == Refused(version=4, value="c1")
    assert answer_of(verdict(Verdict.REFUSED)) is None


def test_a_conflict_of_which_nobody_knows_with_whom_is_no_answer() -> None:
    assert answer_of(verdict(Verdict.CONFLICT, forgotten=True)) is None


def test_keys_are_of_all_kinds_and_in_every_partition() -> None:
    keys = [key for choice in mixed(1_000) for key in choice]
    assert len(set(keys)) == 1_000
    assert all(map(is_key, keys))
    kinds = Counter(map(kind_of, keys))
    assert kinds == {"plain": 880, "merged": 40, "weighed": 40, "together": 40}
    assert len({state_partition(key, PARTITIONS) for key in keys}) == PARTITIONS
    assert not {*wide("a")} & {*wide("b")}
