"""What a verdict says about a register, and which keys there are."""

from __future__ import annotations

from collections import Counter

from bench.chaos_state_check import PARTITIONS
from bench.chaos_state_keys import kind_of, mixed, wide
from bench.chaos_state_writer import answer_of
from mesh.core.keys import is_key
from mesh.core.messages import Current, Judged
from mesh.core.shared import RECENT, Verdict
from mesh.wire.state import state_partition
from tests.histories.operations import Accepted, Refused


def verdict(kind: Verdict, *, made: int = 0, version: int = 4) -> Judged:
    entry = Current("plain/g/x", version, b'"c1"', "writer", "", contested=False)
    return Judged(
        change="c",
        offset=1,
        verdict=kind,
        reason="",
        versions=(made,) if kind is Verdict.ACCEPTED else (),
        entries=(entry,),
    )


def test_a_verdict_is_an_answer_where_it_says_something() -> None:
    assert answer_of(verdict(Verdict.ACCEPTED, made=4), 3) == Accepted(version=4)
    assert answer_of(verdict(Verdict.ACCEPTED), 3) == Accepted(version=None)
    assert answer_of(verdict(Verdict.CONFLICT), 3) == Refused(version=4, value="c1")
    assert answer_of(verdict(Verdict.REFUSED), 3) is None


def test_a_conflict_that_comes_too_late_leaves_open_what_became_of_it() -> None:
    far = verdict(Verdict.CONFLICT, version=3 + RECENT)
    assert answer_of(far, 3) == Refused(version=3 + RECENT, value="c1")
    assert answer_of(far, 2) is None


def test_keys_are_of_all_kinds_and_in_every_partition() -> None:
    keys = [key for choice in mixed(1_000) for key in choice]
    assert len(set(keys)) == 1_000
    assert all(map(is_key, keys))
    kinds = Counter(map(kind_of, keys))
    assert kinds == {"plain": 880, "merged": 40, "weighed": 40, "together": 40}
    assert len({state_partition(key, PARTITIONS) for key in keys}) == PARTITIONS
    assert not {*wide("a")} & {*wide("b")}
