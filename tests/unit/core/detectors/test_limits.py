"""Limits: which of them hold where, and what is no limit."""

from __future__ import annotations

import pytest

from mesh.core.detectors.limits import Limits, LimitTable
from mesh.errors import DefinitionError

TABLE = LimitTable(
    mesh=Limits(depth=10),
    agents={"a": {"depth": 11, "stale_results": 5}},
    capabilities={"demo.x": {"depth": 12}},
    workflows={"demo.root": {"depth": 13}, "0-1": {"depth": 14}},
)


@pytest.mark.parametrize(
    ("agent", "capability", "root", "workflow", "depth"),
    [
        ("", "", "", "", 10),
        ("a", "", "", "", 11),
        ("a", "demo.x", "", "", 12),
        ("a", "demo.x", "demo.root", "", 13),
        ("a", "demo.x", "demo.root", "0-1", 14),
        ("b", "demo.y", "demo.root", "0-2", 13),
    ],
)
def test_the_most_specific_wins(
    agent: str, capability: str, root: str, workflow: str, depth: int
) -> None:
    limits = TABLE.of(agent=agent, capability=capability, root=root, workflow=workflow)
    assert limits.depth == depth


def test_what_a_specific_one_does_not_name_comes_from_the_others() -> None:
    limits = TABLE.of(agent="a", capability="demo.x", root="", workflow="")
    assert (limits.depth, limits.stale_results) == (12, 5)
    assert limits.loop_returns == Limits().loop_returns


def test_a_limit_is_positive() -> None:
    with pytest.raises(DefinitionError, match="limit depth must be at least 1"):
        Limits(depth=0)
    with pytest.raises(DefinitionError, match="limit depth must be at least 1"):
        LimitTable(agents={"a": {"depth": 0}})


def test_a_name_that_is_no_limit_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"demo\.x: there is no limit deph"):
        LimitTable(capabilities={"demo.x": {"deph": 3}})
