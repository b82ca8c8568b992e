"""What is a key, which prefix reaches it, which rule holds for it, and which rules are refused."""

from __future__ import annotations

import pytest

from mesh.core.keys import (
    MAX_RULES,
    NO_RULES,
    Resolution,
    Rule,
    Rules,
    apart,
    check_rules,
    group_of,
    is_key,
    is_prefix,
    reaches,
)
from mesh.core.settings import MAX_NAME, MAX_REASON
from mesh.errors import DefinitionError

REJECT, MERGE, ARBITRATE = Resolution.REJECT, Resolution.MERGE, Resolution.ARBITRATE
RULES = Rules(
    3,
    ("risk", "cost"),
    (
        Rule("*", REJECT),
        Rule("suppliers/", ARBITRATE),
        Rule("suppliers/acme", MERGE, "max"),
        Rule("suppliers/acme/notes", MERGE, "union"),
    ),
)


@pytest.mark.parametrize("key", ["a", "a/b", "Suppliers/acme:eu@2/x_y+z-1.0", "k" * MAX_NAME])
def test_a_key(key: str) -> None:
    assert is_key(key)
    assert is_prefix(key)


@pytest.mark.parametrize(
    "key",
    ["", "/", "/a", "a/", "a//b", "a b", "a\n", "*", "a/*", "é", "~rules", "\ud800"],
)
def test_no_key(key: str) -> None:
    assert not is_key(key)


def test_a_key_is_no_longer_than_a_name() -> None:
    assert not is_key("k" * (MAX_NAME + 1))
    assert not is_prefix("k" * (MAX_NAME + 1))


def test_prefixes() -> None:
    assert is_prefix("*")
    assert is_prefix("a/b/")
    assert not any(map(is_prefix, ("", "/", "a//", "a*", "a/*")))


@pytest.mark.parametrize(("key", "group"), [("a", ""), ("a/b", "a"), ("a/b/c", "a/b")])
def test_a_group_is_the_part_before_the_last_slash(key: str, group: str) -> None:
    assert group_of(key) == group


@pytest.mark.parametrize(
    ("prefix", "key", "reached"),
    [
        ("*", "a", True),
        ("a", "a", True),
        ("a", "a/b", True),
        ("a/", "a/b", True),
        ("a/b", "a/b/c", True),
        ("a/", "a", False),
        ("a", "ab", False),
        ("a/b", "a", False),
        ("", "a", False),
        ("/", "a", False),
    ],
)
def test_a_prefix_reaches_whole_segments(prefix: str, key: str, reached: bool) -> None:
    assert reaches(("x", prefix), key) is reached
    assert not reaches((), key)


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("orders/1", "*"),
        ("suppliers", "*"),
        ("suppliers/b", "suppliers/"),
        ("suppliers/acme", "suppliers/acme"),
        ("suppliers/acme2", "suppliers/"),
        ("suppliers/acme/notes", "suppliers/acme/notes"),
    ],
)
def test_the_longest_prefix_rules(key: str, prefix: str) -> None:
    rule = check_rules(RULES).rule_for(key)
    assert rule is not None
    assert rule.prefix == prefix


def test_where_no_prefix_reaches_there_is_no_rule() -> None:
    assert NO_RULES.rule_for("a") is None
    assert RULES._replace(rules=RULES.rules[1:]).rule_for("orders") is None


def test_what_is_no_objective_comes_last() -> None:
    assert [RULES.rank(name) for name in ("risk", "cost", "speed", "")] == [0, 1, 2, 2]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (Rules(1, (), (Rule("a//", REJECT),)), r"rules\[0\]\.prefix 'a//'"),
        (Rules(1, (), (Rule("k" * 201, REJECT),)), r"rules\[0\]\.prefix"),
        (Rules(1, (), (Rule("a", REJECT), Rule("b", MERGE, "sum"))), r"rules\[1\]\.merge 'sum'"),
        (Rules(1, (), (Rule("a", MERGE),)), r"it is one of all, any, max"),
        (Rules(1, (), (Rule("a", REJECT, "max"),)), r"only a rule that merges"),
        (Rules(1, (), (Rule("a", ARBITRATE),)), r"rules\[0\].*objectives"),
        (Rules(1, (), (Rule("a", REJECT), Rule("a/", REJECT))), "prefix 'a' is given twice"),
        (Rules(1, ("risk", "risk")), "objective 'risk' is given twice"),
        (Rules(1, ("risk", "")), r"objectives\[1\]"),
        (Rules(1, ("r" * 201,)), r"objectives\[0\]"),
        (Rules(1, (), (Rule("a", REJECT),) * (MAX_RULES + 1)), "rules: 201 are given"),
        (Rules(1, ("a",) * (MAX_RULES + 1)), "objectives: 201 are given"),
    ],
)
def test_rules_that_cannot_be_applied_name_the_reason(rules: Rules, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        check_rules(rules)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["a/b", "a/c"], ""),
        ([], ""),
        (["a/b", "a/b"], "each key once"),
        (["a/b", "c/d"], "do not: a/b, c/d"),
        (["a", "a/b"], "do not: a, a/b"),
        (["a", "\ud800"], r"'\ud800' is no key"),
    ],
)
def test_what_cannot_be_changed_together(keys: list[str], said: str) -> None:
    assert said in apart(keys)
    assert bool(apart(keys)) is bool(said)


def test_no_reason_is_too_long() -> None:
    assert len(apart([f"{number}/{'k' * 190}" for number in range(32)])) == MAX_REASON
    assert len(apart(["é" * 100_000])) < MAX_REASON
