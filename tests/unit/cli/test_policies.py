from __future__ import annotations

from pathlib import Path

import pytest

from mesh.cli.policies import (
    MAX_DOCUMENT_BYTES,
    Contents,
    Difference,
    Held,
    Step,
    differences,
    plan,
    read_file,
)
from mesh.core.keys import NO_RULES, Resolution, Rule, Rules
from mesh.errors import UsageError
from mesh.wire.entries import PolicyDocument
from mesh.wire.policies import parse

TEXT = """
version = 2
objectives = ["risk", "cost"]   # the board's order

[[state]]
prefix = "suppliers/"
resolution = "arbitrate"

[[state]]
prefix = "exposure/"
resolution = "merge"
merge = "max"
"""
WATCHING = """
[limits]
loop_returns = 2

[limits.capabilities."sales.mailing"]
fan_out_children = 5000

[incidents]
velocity = "halt"
"""
RULES = Rules(
    2,
    ("risk", "cost"),
    (
        Rule("exposure/", Resolution.MERGE, "max"),
        Rule("suppliers/", Resolution.ARBITRATE),
    ),
)


def applied(text: str) -> PolicyDocument:
    return PolicyDocument("mesh", parse(text, "held").version, text, "eve", "so")


def held(text: str, *rules: Rules) -> Held:
    return Held(applied(text) if text else None, dict(enumerate(rules)))


def changed(before: Rules, after: Rules) -> list[Difference]:
    return list(differences(Contents(before, {}), Contents(after, {})))


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(TEXT)
    text, document = read_file(path)
    assert (text, document.rules()) == (TEXT, RULES)
    assert parse("version = 1", "here").rules() == Rules(1)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone.toml: No such file or directory; name a policy"):
        read_file(tmp_path / "gone.toml")
    path = tmp_path / "policy.toml"
    path.write_bytes(b"version = 1 # \xff")
    with pytest.raises(UsageError, match="no UTF-8 at byte 14"):
        read_file(path)
    path.write_bytes(b"#" * (MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(UsageError, match="65,537 bytes, 65,536 are allowed"):
        read_file(path)


def test_a_first_policy_is_told_everywhere() -> None:
    made = plan(parse(TEXT, "here"), held("", NO_RULES, NO_RULES))
    assert (made.pending, made.document, made.held) == (True, True, 0)
    assert made.steps == (Step(0, 0, True), Step(1, 0, True))
    assert [own.what for own in made.differences] == ["objectives", "exposure", "suppliers"]


def test_what_holds_already_needs_nothing() -> None:
    made = plan(parse(TEXT, "here"), held(TEXT + "# another comment", RULES))
    assert not made.pending
    assert made.differences == ()


def test_what_was_interrupted_goes_on() -> None:
    made = plan(parse(TEXT, "here"), held(TEXT, RULES, Rules(1)))
    assert not made.done().pending
    assert (made.pending, made.document, made.held) == (True, False, 2)
    assert made.steps == (Step(0, 2, False), Step(1, 1, True))
    lost = plan(parse(TEXT, "here"), held("", RULES, RULES))
    assert (lost.document, [own.pending for own in lost.steps]) == (True, [False, False])


@pytest.mark.parametrize(
    "before",
    [
        held(TEXT.replace("cost", "speed"), RULES),
        held(TEXT.replace("version = 2", "version = 7"), RULES),
        held(TEXT, RULES, RULES._replace(objectives=("speed",))),
        held(TEXT, RULES, RULES._replace(version=7)),
    ],
)
def test_other_contents_need_a_larger_version(before: Held) -> None:
    with pytest.raises(
        UsageError, match=r"version 2 does not grow: version [27] holds, with other"
    ):
        plan(parse(TEXT, "here"), before)
    assert plan(parse(TEXT.replace("version = 2", "version = 8"), "here"), before).pending


def test_a_document_of_another_release_is_only_older() -> None:
    strange = PolicyDocument("mesh", 1, "version = 1\n[halts]\nloop = 'warn'", "eve", "so")
    made = plan(parse(TEXT, "here"), Held(strange, {0: Rules(1)}))
    assert (made.pending, made.held) == (True, 1)


def test_differences_say_what_becomes_of_keys() -> None:
    after = Rules(3, ("cost", "risk"), (Rule("*", Resolution.REJECT), RULES.rules[0]))
    assert changed(RULES, after) == [
        Difference("objectives", "risk, cost", "cost, risk", "arbitration prefers the first"),
        Difference("*", "", "reject"),
        Difference("suppliers", "arbitrate", "", "the rule of * holds there"),
    ]
    last = changed(RULES, Rules(3, RULES.objectives))
    assert [own.note for own in last] == ["writes there will be refused"] * 2
    merged = RULES._replace(rules=(Rule("exposure", Resolution.MERGE, "min"), RULES.rules[1]))
    assert changed(RULES, merged) == [Difference("exposure", "merge by max", "merge by min")]


def test_what_the_watchman_goes_by_is_compared_too() -> None:
    after = TEXT.replace("version = 2", "version = 3") + WATCHING
    made = plan(parse(after, "here"), held(TEXT, RULES))
    assert (made.pending, made.document) == (True, True)
    assert made.differences == (
        Difference("incidents.velocity", "", "halt"),
        Difference("limits.capabilities.sales.mailing.fan_out_children", "", "5000"),
        Difference("limits.loop_returns", "", "2"),
    )
    back = plan(parse(TEXT.replace("version = 2", "version = 4"), "here"), held(after, made.rules))
    assert [(own.before, own.after, own.note) for own in back.differences] == [
        ("halt", "", "it is ask then"),
        ("5000", "", "a more general limit holds then"),
        ("2", "", "1 are allowed then"),
    ]
    with pytest.raises(UsageError, match=r"version 2 does not grow.*write version = 3"):
        plan(parse(TEXT + WATCHING, "here"), held(TEXT, RULES))
