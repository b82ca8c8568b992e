from __future__ import annotations

from pathlib import Path

import pytest

from mesh.cli.policies import (
    MAX_DOCUMENT_BYTES,
    Difference,
    Held,
    Step,
    differences,
    parse,
    plan,
    read_file,
)
from mesh.core.keys import NO_RULES, Resolution, Rule, Rules
from mesh.errors import UsageError
from mesh.wire.entries import PolicyDocument

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
RULE = 'version = 1\n[[state]]\nprefix = "{}"\nresolution = "reject"\n'
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


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(TEXT)
    text, document = read_file(path)
    assert (text, document.rules()) == (TEXT, RULES)
    assert parse("version = 1", "here").rules() == Rules(1)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("version = ", "here: no TOML: Invalid value"),
        ("", "here: version: it is missing; it is a number above 0 that grows"),
        ("version = 0", "here: version: input should be greater than or equal to 1; it is a"),
        ('version = "2"', "here: version: input should be a valid integer"),
        ("version = 1\nobjectivs = []", "objectivs: there is no such field; did you mean objec"),
        ("version = 1\nhalts = []", "halts: there is no such field; known are version, objec"),
        ('version = 1\nobjectives = ["a", 2]', r"objectives\[1\]: input should be a valid string"),
        ('version = 1\nobjectives = ["a", "a"]', "objective 'a' is given twice"),
        (
            'version = 1\n[[state]]\nprefix = "a"',
            r"state\[0\].resolution: it is missing; it is one",
        ),
        (
            'version = 1\n[[state]]\nprefix = "a"\nresolution = "merge"\nmerge = "sum"',
            r"state\[0\].merge 'sum': it is one of all, any, max",
        ),
        (
            f'{RULE.format("b")}[[state]]\nprefix = "/a"\nresolution = "reject"',
            r"state\[1\].prefix '/a': it is `\*`, or segments parted by `/`",
        ),
        (
            'version = 1\n[[state]]\nprefix = "a"\nresolution = "reject"\nmrge = "max"',
            r"state\[0\].mrge: there is no such field; did you mean merge",
        ),
        (
            'version = 1\n[[state]]\nprefix = "a"\nresolution = "arbitrate"',
            r"state\[0\]: to arbitrate needs objectives",
        ),
        ("a = 1\nb = 1\nc = 1", "and 1 more"),
    ],
)
def test_a_mistake_is_named_with_its_field(text: str, mistake: str) -> None:
    with pytest.raises(UsageError, match=mistake):
        parse(text, "here")


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
    assert list(differences(RULES, after)) == [
        Difference("objectives", "risk, cost", "cost, risk", "arbitration prefers the first"),
        Difference("*", "", "reject"),
        Difference("suppliers", "arbitrate", "", "the rule of * holds there"),
    ]
    last = list(differences(RULES, Rules(3, RULES.objectives)))
    assert [own.note for own in last] == ["writes there will be refused"] * 2
    merged = RULES._replace(rules=(Rule("exposure", Resolution.MERGE, "min"), RULES.rules[1]))
    assert list(differences(RULES, merged)) == [
        Difference("exposure", "merge by max", "merge by min")
    ]
