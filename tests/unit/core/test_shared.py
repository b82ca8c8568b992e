"""The verdict on each change: accepted, resolved by the rule of its key, or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core.keys import Resolution, Rule, Rules
from mesh.core.settings import MAX_NAME, MAX_REASON
from mesh.core.shared import (
    MAX_SCOPE,
    MAX_VALUE_BYTES,
    MAX_WRITES,
    RECENT,
    Against,
    Change,
    Entry,
    Judgement,
    Past,
    Proposal,
    RulesEntry,
    Verdict,
    View,
    Write,
)
from mesh.core.values import Holder
from tests.unit.core.writers import (
    ADOPTED,
    CHANGE,
    RULES,
    Bench,
    V,
    change,
    settlement,
)


class TestAcceptance:
    def test_the_first_of_a_key_is_version_one(self) -> None:
        bench = Bench()
        judged = bench.write("one", "r/k", 0, b"x")
        entry = Entry(
            key="r/k",
            version=1,
            value=b"x",
            agent="s",
            writer="sourcing-1",
            workflow="0-w",
            task="0-t",
            step="1.2",
            objective="cost",
            because="cheaper",
            source=1,
            append_ms=1_001,
            candidates=(),
            recent=(Past(1, "one", V.ACCEPTED, "cost"),),
        )
        assert judged == Judgement(V.ACCEPTED, "", (entry,), (1,), (entry,))
        assert (entry.change, entry.verdict, entry.contested) == ("one", V.ACCEPTED, False)
        assert list(bench.view) == [entry]
        assert repr(bench.view) == "View(through=1, entries=1, rules=1)"

    @pytest.mark.parametrize("key", ["r/k", "m/max", "a/k"])
    def test_the_expected_version_is_followed_by_the_next(self, key: str) -> None:
        bench = Bench()
        bench.write("one", key, 0, b"1")
        assert bench.write("two", key, 1, b"0").versions == (2,)
        assert bench.entry(key).value == b"0"

    def test_a_deletion_is_a_version(self) -> None:
        bench = Bench()
        bench.write("one", "r/k", 0, b"x")
        assert bench.write("two", "r/k", 1, None).verdict is V.ACCEPTED
        assert bench.entry("r/k").value is None
        assert bench.write("three", "r/k", 0, b"y").verdict is V.CONFLICT
        assert bench.write("four", "r/k", 2, b"y").versions == (3,)

    def test_keys_of_a_group_are_written_together(self) -> None:
        bench = Bench()
        judged = bench.judge(change("one", ("r/k", 0, b"x"), ("r/l", 0, b"y")))
        assert judged.versions == (1, 1)
        assert [entry.key for entry in bench.written[1:] if isinstance(entry, Entry)] == [
            "r/k",
            "r/l",
        ]

    def test_keys_are_refused_together(self) -> None:
        bench = Bench()
        bench.write("one", "r/l", 0, b"x")
        before = bench.view.through
        judged = bench.judge(change("two", ("r/k", 0, b"x"), ("r/l", 0, b"y")))
        entry = bench.entry("r/l")
        against = (Against(entry, b"y", RULES.rules[0]),)
        said = Judgement(V.CONFLICT, judged.reason, (None, entry), against=against)
        assert judged == said
        assert "r/l: version 0 was expected, and s wrote version 1 in task 0-t" in judged.reason
        assert bench.view.through == before

    def test_the_worst_is_the_verdict_on_the_whole(self) -> None:
        bench = Bench()
        bench.write("one", "m/max", 0, b"1")
        judged = bench.judge(change("two", ("m/max", 0, b"2"), ("m/set", 0, b"[]")))
        assert (judged.verdict, judged.versions) == (V.MERGED, (2, 1))
        assert judged.reason == "merged by max with version 1 of s"


class TestRefusal:
    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            (change("x"), "1 to 32 keys, this has 0"),
            (change("x", *[(f"r/{n}", 0, b"") for n in range(MAX_WRITES + 1)]), "this has 33"),
            (change("x", ("r/k", 0, b""), ("r/k", 0, b"")), "each key once"),
            (change("x", ("r/k", 0, b""), ("a/k", 0, b"")), "do not: a/k, r/k"),
            (change("x", ("r//k", 0, b"")), "'r//k' is no key"),
            (change("x", ("r/\ud800", 0, b"")), r"'r/\ud800' is no key"),
            (change("x", ("r/k", 0, b"v" * (MAX_VALUE_BYTES + 1))), "a value has 61441 bytes"),
            (change("", ("r/k", 0, b"")), "change has 0 characters"),
            (change("x" * (MAX_NAME + 1), ("r/k", 0, b"")), "change has 201 characters"),
            (change("x", ("r/k", 0, b""), agent=""), "agent has 0 characters"),
            (change("x", ("r/k", 0, b""), objective="o" * 201), "objective has 201"),
            (change("x", ("r/k", 0, b""), objective="\udfff"), "objective holds half of"),
            (replace(CHANGE, writes=(Write("r/k", 0, b""),), because="b" * 2_001), "because has"),
            (replace(CHANGE, writes=(Write("r/k", 0, b""),), step="b" * 2_001), "step has"),
            (replace(CHANGE, writes=(Write("r/k", 0, b""),), workflow="b" * 201), "workflow has"),
            (replace(CHANGE, writes=(Write("r/k", 0, b""),), task="b" * 201), "task has"),
            (
                replace(CHANGE, writes=(Write("r/k", 0, b""),), by=Holder("i" * 201, 1)),
                "by.instance has",
            ),
            (
                replace(CHANGE, writes=(Write("r/k", 0, b""),), scope=("*",) * (MAX_SCOPE + 1)),
                "scope has 1001 prefixes",
            ),
            (settlement("", "a/k", 1), "change has 0"),
            (settlement("x", "a/", 1), "'a/' is no key"),
            (settlement("x", "a/k", 1, b"v" * (MAX_VALUE_BYTES + 1)), "a value has"),
            (replace(settlement("x", "a/k", 1), person=""), "person has 0"),
            (replace(settlement("x", "a/k", 1), because="b" * 2_001), "because has"),
            (replace(ADOPTED, person="p" * 201), "person has 201"),
            (replace(ADOPTED, because="\ud800"), "because holds"),
        ],
    )
    def test_what_is_malformed(self, bad: Proposal, said: str) -> None:
        """It is told no entries: what it names may be more than a message can hold."""
        bench = Bench()
        judged = bench.judge(bad)
        assert (judged.verdict, judged.entries, judged.written) == (V.REFUSED, (), ())
        assert said in judged.reason
        assert bench.view.judge(bad, 0, 0) == judged

    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            (change("x", ("r/k", 2, b"")), "r/k has no version 2; its latest is 1"),
            (change("x", ("r/k", -1, b"")), "r/k has no version -1; its latest is 1"),
            (change("x", ("r/new", 1, b"")), "r/new has no version 1; its latest is none"),
            (change("x", ("none", 0, b"")), "no rule reaches none; add one"),
            (
                replace(CHANGE, writes=(Write("r/k", 1, b""),), scope=("a", "r/k/", "\ud800")),
                "r/k is outside the scope of sourcing: a, r/k/",
            ),
            (
                replace(CHANGE, writes=(Write("r/k", 1, b""),), scope=()),
                "r/k is outside the scope of sourcing: nothing",
            ),
            (change("x", ("m/max", 0, b"much")), "m/max: the value is no JSON"),
            (change("x", ("m/max", 0, b"true")), "m/max: max and min take numbers"),
        ],
    )
    def test_what_is_refused_with_the_current_entry(self, bad: Change, said: str) -> None:
        bench = Bench()
        bench.write("one", "r/k", 0, b"x")
        judged = bench.judge(bad)
        known = bench.view.entries.get(bad.writes[0].key)
        assert judged == Judgement(V.REFUSED, judged.reason, (known,))
        assert said in judged.reason

    def test_without_rules_nothing_is_written(self) -> None:
        assert Bench(None).write("one", "r/k", 0, b"x").verdict is V.REFUSED

    def test_a_key_of_another_partition(self) -> None:
        view = View(lambda key: not key.startswith("r/"))
        view.judge(ADOPTED, 0, 0)
        judged = view.judge(change("x", ("r/k", 0, b"")), 1, 0)
        assert judged is not None
        assert judged.verdict is V.REFUSED
        assert "r/k lives in another partition" in judged.reason

    def test_no_reason_is_too_long(self) -> None:
        bench = Bench()
        wide = replace(CHANGE, writes=(Write("r/k", 0, b""),), scope=("k" * MAX_NAME,) * MAX_SCOPE)
        assert len(bench.judge(wide).reason) == MAX_REASON
        keys = [f"r/{number}{'k' * 190}" for number in range(MAX_WRITES)]
        bench.judge(change("one", *[(key, 0, b"x") for key in keys]))
        judged = bench.judge(change("two", *[(key, 0, b"y") for key in keys]))
        assert (judged.verdict, len(judged.reason)) == (V.CONFLICT, MAX_REASON)


class TestMerge:
    def test_a_stale_value_is_merged(self) -> None:
        bench = Bench()
        bench.write("one", "m/set", 0, b'["a"]')
        judged = bench.write("two", "m/set", 0, b'["b"]')
        assert (judged.verdict, judged.versions) == (V.MERGED, (2,))
        assert bench.entry("m/set").value == b'["a","b"]'

    def test_what_adds_nothing_is_a_version_too(self) -> None:
        """Else nobody would remember it, and its repeat would undo what came between."""
        bench = Bench()
        bench.write("one", "m/max", 0, b"5")
        assert bench.write("two", "m/max", 0, b"3").versions == (2,)
        bench.write("reset", "m/max", 2, b"1")
        assert bench.write("two", "m/max", 0, b"3").versions == (2,)
        assert bench.entry("m/max").value == b"1"

    def test_what_is_repeated_after_much_else_is_not_merged_again(self) -> None:
        bench = Bench()
        bench.write("one", "m/max", 0, b"1")
        bench.write("two", "m/max", 0, b"9")
        bench.write("reset", "m/max", 2, b"0")
        for number in range(RECENT):
            bench.write(f"more-{number}", "m/max", number + 3, b"0")
        judged = bench.write("two", "m/max", 0, b"9")
        assert (judged.verdict, judged.forgotten) == (V.CONFLICT, True)
        assert "too much came since to tell whether this was accepted before" in judged.reason
        assert bench.entry("m/max").value == b"0"

    def test_a_deletion_is_not_merged(self) -> None:
        bench = Bench()
        bench.write("one", "m/max", 0, b"1")
        bench.write("two", "m/max", 1, b"2")
        assert "a deletion is not merged" in bench.write("late", "m/max", 1, None).reason
        bench.write("gone", "m/max", 2, None)
        judged = bench.write("later", "m/max", 2, b"3")
        assert (judged.verdict, bench.entry("m/max").value) == (V.CONFLICT, None)

    def test_what_stands_there_from_an_earlier_rule_is_a_conflict(self) -> None:
        bench = Bench()
        bench.write("one", "r/k", 0, b"words")
        bench.judge(replace(ADOPTED, rules=Rules(2, (), (Rule("r/", Resolution.MERGE, "max"),))))
        judged = bench.write("two", "r/k", 0, b"1")
        assert judged.verdict is V.CONFLICT
        assert "as it stands, the value is no JSON" in judged.reason
        assert bench.write("three", "r/k", 1, b"1").verdict is V.ACCEPTED

    def test_too_large_a_union(self) -> None:
        bench = Bench()
        half = MAX_VALUE_BYTES // 2 + 10
        bench.write("one", "m/set", 0, b'["%b"]' % (b"a" * half))
        judged = bench.write("two", "m/set", 0, b'["%b"]' % (b"b" * half))
        assert (judged.verdict, judged.written) == (V.REFUSED, ())
        assert "merged, the value has" in judged.reason


class TestAgainst:
    """Whom a verdict was decided by: what its writer is told of the other side."""

    @pytest.mark.parametrize(
        ("objective", "verdict"),
        [("risk", V.PREFERRED), ("speed", V.CONFLICT), ("cost", V.CONTESTED)],
    )
    def test_who_stands_against_a_late_change(self, objective: str, verdict: Verdict) -> None:
        bench = Bench()
        bench.write("one", "a/k", 0, b"x")
        before = bench.entry("a/k")
        judged = bench.write("two", "a/k", 0, b"y", objective=objective)
        assert judged.verdict is verdict
        assert judged.against == (Against(before, b"y", RULES.rules[3]),)

    def test_one_that_is_merged(self) -> None:
        bench = Bench()
        bench.write("one", "m/max", 0, b"5")
        (against,) = bench.write("two", "m/max", 0, b"3").against
        assert (against.entry.value, against.wanted, against.rule.merge) == (b"5", b"3", "max")

    def test_nobody_stands_against_what_is_accepted_refused_or_a_repeat(self) -> None:
        bench = Bench()
        assert bench.write("one", "a/k", 0, b"x").against == ()
        assert bench.write("two", "a/k", 9, b"x").against == ()
        assert bench.write("risk", "a/k", 0, b"y", objective="risk").against != ()
        assert bench.write("risk", "a/k", 0, b"y", objective="risk").against == ()

    def test_only_the_keys_that_decided_count(self) -> None:
        bench = Bench()
        bench.write("one", "m/max", 0, b"5")
        bench.write("old", "m/set", 0, b'["a"]')
        bench.write("gone", "m/set", 1, None)
        judged = bench.judge(change("two", ("m/max", 0, b"7"), ("m/set", 0, b'["b"]')))
        assert judged.verdict is V.CONFLICT
        assert [own.entry.key for own in judged.against] == ["m/set"]


class TestArbitration:
    @pytest.mark.parametrize(
        ("stands", "comes", "verdict"),
        [
            ("cost", "risk", V.PREFERRED),
            ("speed", "cost", V.PREFERRED),
            ("", "speed", V.PREFERRED),
            ("risk", "cost", V.CONFLICT),
            ("cost", "", V.CONFLICT),
            ("risk", "risk", V.CONTESTED),
            ("", "unknown", V.CONTESTED),
        ],
    )
    def test_the_order_of_the_objectives(self, stands: str, comes: str, verdict: Verdict) -> None:
        bench = Bench()
        bench.write("one", "a/k", 0, b"x", stands)
        judged = bench.write("two", "a/k", 0, b"y", comes)
        assert judged.verdict is verdict
        assert bench.entry("a/k").value == (b"y" if verdict is V.PREFERRED else b"x")
        assert judged.written == ((bench.entry("a/k"),) if verdict is not V.CONFLICT else ())

    def test_it_says_why(self) -> None:
        bench = Bench()
        bench.write("one", "a/k", 0, b"x", "")
        assert bench.write("two", "a/k", 0, b"y", "cost").reason == "cost comes before no objective"
        said = bench.write("three", "a/k", 0, b"z", "speed").reason
        assert said.endswith("cost comes before speed")

    def test_everything_since_is_looked_at(self) -> None:
        bench = Bench()
        bench.write("one", "a/k", 0, b"x", "risk")
        bench.write("two", "a/k", 1, b"y", "speed")
        assert bench.write("late", "a/k", 0, b"z", "cost").verdict is V.CONFLICT
        assert bench.write("seen", "a/k", 1, b"z", "cost").verdict is V.PREFERRED

    def test_the_same_value_for_the_same_objective_agrees(self) -> None:
        """It makes a version, so that its repeat is answered and contests nothing."""
        bench = Bench()
        bench.write("one", "a/k", 0, b"x")
        judged = bench.write("two", "a/k", 0, b"x")
        assert (judged.verdict, judged.versions) == (V.ACCEPTED, (2,))
        assert judged.reason == "somebody wrote the same before"
        bench.write("three", "a/k", 2, b"y")
        assert bench.write("two", "a/k", 0, b"x").verdict is V.ACCEPTED
        assert bench.entry("a/k").version == 3

    def test_a_tie_of_several_keys_is_a_conflict(self) -> None:
        """Also where the values agree: it stays one, whatever is written later."""
        bench = Bench()
        both = change("both", ("a/k", 0, b"x"), ("a/l", 0, b"x"))
        bench.write("one", "a/k", 0, b"y")
        assert bench.judge(both).verdict is V.CONFLICT
        bench.write("two", "a/k", 1, b"x")
        judged = bench.judge(both)
        assert judged.verdict is V.CONFLICT
        assert judged.reason.endswith("both serve cost")


class TestRules:
    def test_they_are_adopted_by_growing_versions(self) -> None:
        bench = Bench()
        kept = RulesEntry(rules=RULES, person="ann", because="first", source=0)
        assert bench.written == [kept]
        assert bench.view.rules == kept
        assert bench.judge(ADOPTED) == Judgement(V.ACCEPTED, "", ())
        other = bench.judge(replace(ADOPTED, rules=RULES._replace(objectives=("cost",))))
        assert other == Judgement(V.REFUSED, "version 1 of the rules holds", ())
        assert bench.judge(replace(ADOPTED, rules=Rules(7))).written == (
            RulesEntry(rules=Rules(7), person="ann", because="first", source=3),
        )
        assert bench.judge(replace(ADOPTED, rules=RULES)).verdict is V.REFUSED

    def test_what_cannot_be_applied_is_refused(self) -> None:
        bench = Bench()
        bad = Rules(2, (), (Rule("p" * 5_000, Resolution.REJECT),))
        judged = bench.judge(replace(ADOPTED, rules=bad))
        assert judged.verdict is V.REFUSED
        assert judged.reason.startswith("rules[0].prefix")
        assert len(judged.reason) == MAX_REASON
