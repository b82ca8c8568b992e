"""A handler that runs again takes the same steps, whatever ran at the same time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.runtime.trees import Tree, prefix, walk

LEAF = st.sampled_from([Tree("step"), Tree("tool")])
KINDS = st.sampled_from(["seq", "gather", "group", "first", "completed", "spawn"])
TREES = st.recursive(
    LEAF,
    lambda inner: st.builds(Tree, KINDS, st.lists(inner, min_size=1, max_size=4).map(tuple)),
    max_leaves=12,
)
SEEDS = st.integers(0, 2**32)


@pytest.mark.slow
@settings(max_examples=700)
@given(TREES, SEEDS, SEEDS)
def test_a_full_replay_takes_the_same_steps(tree: Tree, seed: int, again: int) -> None:
    first = walk(tree, seed)
    replay = walk(tree, again, first.journal)
    assert list(replay.calls.items()) == list(first.calls.items())
    assert replay.result == first.result


@pytest.mark.slow
@settings(max_examples=300)
@given(TREES, SEEDS, SEEDS, st.integers(0, 12))
def test_a_replay_of_a_part_goes_on_where_it_ended(
    tree: Tree, seed: int, again: int, count: int
) -> None:
    """The fake core asserts that each call fits what the journal has under its step."""
    first = walk(tree, seed)
    part = prefix(first.journal, count)
    resumed = walk(tree, again, part)
    assert set(part) <= set(resumed.calls)
    replay = walk(tree, seed, resumed.journal)
    assert replay.result == resumed.result


@pytest.mark.parametrize("seed", range(20))
def test_racing_paths_replay_the_same_race(seed: int) -> None:
    step, tool = Tree("step"), Tree("tool")
    lane = Tree("seq", (step, tool, step))
    tree = Tree("first", (lane, Tree("gather", (step, lane)), Tree("completed", (step, step))))
    first = walk(tree, seed)
    assert walk(tree, seed + 1, first.journal).result == first.result
