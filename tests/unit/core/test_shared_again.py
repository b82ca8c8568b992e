"""What is contested until a person speaks, what comes again, and what a crash leaves behind."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from mesh.core.keys import Resolution, Rule, Rules
from mesh.core.settings import MAX_NAME, MAX_REASON
from mesh.core.shared import (
    ACCEPTING,
    MAX_CANDIDATES,
    MAX_VALUE_BYTES,
    RECENT,
    Candidate,
    Judgement,
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
    contest,
    same,
    settlement,
)

MAX_EVENT_BYTES = 256 * 1024


class TestContested:
    def test_it_stays_whose_it_was_with_the_other_beside_it(self) -> None:
        entry = contest().entry("a/k")
        assert (entry.value, entry.agent, entry.version, entry.contested) == (b"x", "s", 2, True)
        assert entry.candidates == (Candidate(b"y", "two", "t", "0-t", "cost", "cheaper"),)
        assert (entry.change, entry.verdict) == ("two", V.CONTESTED)
        assert entry.verdict not in ACCEPTING

    def test_who_has_seen_it_does_not_end_it(self) -> None:
        bench = contest()
        assert bench.write("three", "a/k", 2, b"x").verdict is V.CONTESTED
        judged = bench.write("four", "a/k", 3, b"x")
        assert judged.verdict is V.CONFLICT
        assert judged.reason.startswith("a/k is contested until a person settles it")
        assert len(bench.entry("a/k").candidates) == MAX_CANDIDATES
        assert bench.write("five", "a/k", 3, b"x", "speed").verdict is V.CONFLICT

    def test_what_comes_before_all_of_them_ends_it(self) -> None:
        bench = contest()
        assert bench.write("three", "a/k", 2, b"z", "risk").verdict is V.PREFERRED
        entry = bench.entry("a/k")
        assert (entry.value, entry.contested, entry.version) == (b"z", False, 3)

    def test_who_contests_it_counts_also_for_who_has_seen_it(self) -> None:
        bench = Bench()
        bench.write("one", "a/k", 0, b"x", "risk")
        bench.write("two", "a/k", 1, b"y", "speed")
        assert bench.write("late", "a/k", 0, b"z", "risk").verdict is V.CONTESTED
        judged = bench.write("seen", "a/k", 3, b"z", "cost")
        assert judged.verdict is V.CONFLICT
        assert judged.reason.endswith("risk comes before cost")

    def test_a_person_settles_it(self) -> None:
        bench = contest()
        judged = bench.judge(settlement("s1", "a/k", 2))
        entry = bench.entry("a/k")
        assert judged == Judgement(V.SETTLED, "", (entry,), (3,), (entry,))
        assert (entry.value, entry.agent, entry.writer, entry.task) == (b"S", "", "ann", "")
        assert (entry.because, entry.objective, entry.contested) == ("I say so", "cost", False)
        assert (entry.source, entry.append_ms) == (3, 1_003)

    def test_a_settlement_is_judged_once(self) -> None:
        bench = contest()
        bench.judge(settlement("s1", "a/k", 2))
        first = bench.entry("a/k")
        assert bench.judge(settlement("s1", "a/k", 2)).versions == (3,)
        bench.write("next", "a/k", 3, b"x")
        again = bench.judge(settlement("s1", "a/k", 2))
        assert (again.verdict, again.versions, again.written) == (V.SETTLED, (3,), ())
        assert bench.view.judge(settlement("s1", "a/k", 2), first.source, 0) is not None

    @pytest.mark.parametrize(("key", "expected"), [("a/k", 1), ("a/k", 3), ("r/k", 0), ("a/l", 1)])
    def test_what_is_not_contested_is_not_settled(self, key: str, expected: int) -> None:
        bench = contest()
        bench.write("other", "r/k", 0, b"x")
        judged = bench.judge(settlement("s1", key, expected))
        assert judged.reason == f"{key} is not contested at version {expected}"
        assert judged == Judgement(V.REFUSED, judged.reason, (bench.view.entries.get(key),))
        assert bench.view.judge(settlement("s1", key, expected), 0, 0) is None

    @pytest.mark.parametrize("objective", ["risk", "cost"])
    def test_a_person_s_word_is_not_passed_by_who_has_not_seen_it(self, objective: str) -> None:
        bench = contest()
        bench.judge(settlement("s1", "a/k", 2))
        late = bench.write("late", "a/k", 2, b"S", objective)
        assert late.verdict is V.CONFLICT
        assert late.reason.startswith("a/k: version 2 was expected, and ann wrote version 3; a ")
        bench.write("seen", "a/k", 3, b"z", "speed")
        assert bench.write("late", "a/k", 2, b"S", objective).verdict is V.CONFLICT
        assert bench.write("later", "a/k", 3, b"S", objective).verdict is V.PREFERRED

    @pytest.mark.parametrize(
        "rule", [Rule("a/", Resolution.REJECT), Rule("a/", Resolution.MERGE, "max")]
    )
    def test_another_rule_does_not_end_it(self, rule: Rule) -> None:
        bench = Bench()
        bench.write("one", "a/k", 0, b"1")
        bench.write("two", "a/k", 0, b"2")
        bench.judge(replace(ADOPTED, rules=Rules(2, (), (rule,))))
        for expected in (1, 2):
            judged = bench.write(f"x{expected}", "a/k", expected, b"3")
            assert judged.verdict is V.CONFLICT
        assert bench.judge(settlement("s1", "a/k", 2, None)).verdict is V.SETTLED
        assert bench.write("three", "a/k", 3, b"4").verdict is V.ACCEPTED

    def test_with_the_longest_of_everything_it_is_one_event(self) -> None:
        bench = Bench()
        longest = replace(
            CHANGE,
            by=Holder("\U0001f600" * MAX_NAME, 1),
            agent="\U0001f600" * MAX_NAME,
            workflow="\U0001f600" * MAX_NAME,
            task="\U0001f600" * MAX_NAME,
            step="\U0001f600" * MAX_REASON,
            objective="\U0001f600" * MAX_NAME,
            because="\U0001f600" * MAX_REASON,
        )
        key = "a/" + "k" * (MAX_NAME - 2)
        last = RECENT + MAX_CANDIDATES
        for number in range(last):
            name = f"{number:03}" + "\U0001f600" * (MAX_NAME - 3)
            expected = min(number, RECENT - 1)
            value = bytes([number]) * MAX_VALUE_BYTES
            judged = bench.judge(
                replace(longest, change=name, writes=(Write(key, expected, value),))
            )
            assert judged.versions == (number + 1,)
        entry = bench.entry(key)
        assert (len(entry.candidates), len(entry.recent)) == (MAX_CANDIDATES, RECENT)
        assert size([getattr(entry, field.name) for field in fields(entry)]) < MAX_EVENT_BYTES


def size(value: object) -> int:
    """Return what a value takes in Avro, or a little more."""
    match value:
        case str():
            return 10 + len(value.encode())
        case bytes():
            return 10 + len(value)
        case tuple() | list():
            return 10 + sum(map(size, value))
        case _:
            return 10


class TestRepeats:
    def test_what_was_accepted_is_answered_and_not_done_again(self) -> None:
        bench = Bench()
        one = change("one", ("r/k", 0, b"x"), ("r/l", 0, b"x"))
        first = bench.judge(one)
        bench.write("two", "r/k", 1, b"y")
        again = bench.judge(one)
        assert (again.verdict, again.versions, again.written) == (V.ACCEPTED, first.versions, ())
        assert again.entries == (bench.entry("r/k"), bench.entry("r/l"))

    def test_it_is_answered_also_when_the_log_is_read_again(self) -> None:
        bench = Bench()
        bench.write("one", "m/max", 0, b"1")
        bench.write("two", "m/max", 0, b"2")
        bench.write("late", "r/k", 1, b"2")
        bench.write("three", "r/k", 0, b"2")
        again = bench.view.judge(bench.log[2], 2, 0)
        assert again is not None
        assert (again.verdict, again.versions, again.written) == (V.MERGED, (2,), ())
        assert again.reason == "it was merged before"
        assert bench.view.judge(bench.log[3], 3, 0) is None
        assert bench.view.judge(ADOPTED, 0, 0) is None

    def test_what_is_remembered_of_one_key_is_of_the_whole(self) -> None:
        bench = Bench()
        both = change("both", ("r/k", 0, b"x"), ("r/l", 0, b"x"))
        bench.judge(both)
        for number in range(RECENT):
            bench.write(f"{number}", "r/k", number + 1, b"x")
        assert bench.judge(both).versions == (0, 1)
        other = bench.judge(replace(both, change="other"))
        assert (other.verdict, other.forgotten) == (V.CONFLICT, False)
        for number in range(RECENT):
            bench.write(f"{number}", "r/l", number + 1, b"x")
        judged = bench.judge(both)
        assert (judged.verdict, judged.forgotten) == (V.CONFLICT, True)

    def test_what_the_rules_refuse_may_have_been_accepted_before(self) -> None:
        bench = Bench()
        own = change("own", ("r/k", 0, b"x"))
        bench.judge(own)
        for number in range(RECENT):
            judged = bench.judge(replace(own, scope=("m/",)))
            assert judged.verdict is V.ACCEPTED
            bench.write(f"{number}", "r/k", number + 1, b"x")
        judged = bench.judge(replace(own, scope=("m/",)))
        assert (judged.verdict, judged.forgotten) == (V.REFUSED, True)

    def test_who_lags_too_far_reads_again(self) -> None:
        bench = Bench()
        for number in range(RECENT + 1):
            bench.write(f"{number}", "a/k", number, b"x", "speed")
        assert "too much came since" in bench.write("far", "a/k", 0, b"y", "risk").reason
        assert bench.write("near", "a/k", 1, b"y", "risk").verdict is V.PREFERRED


class TestRestore:
    def test_a_view_is_what_was_written(self) -> None:
        bench = contest()
        assert same(bench.restored(len(bench.written)), bench.view)

    @pytest.mark.parametrize("count", range(1, 6))
    def test_what_was_written_in_part_is_finished(self, count: int) -> None:
        """Killed after so many appends; the rest of the change is judged as the first time."""
        bench = Bench()
        bench.write("old", "m/max", 0, b"1")
        bench.judge(change("many", ("m/max", 0, b"5"), ("m/set", 0, b"[]"), ("m/x", 0, b"1")))
        bench.judge(
            change("most", ("m/max", 0, b"5"), ("m/set", 0, b'["a"]')),
        )
        view = bench.restored(count)
        written = list(bench.written[:count])
        for offset, proposal in enumerate(bench.log):
            judged = view.judge(proposal, offset, 1_000 + offset)
            written += judged.written if judged is not None else ()
        assert same(view, bench.view)
        assert written == bench.written

    def test_what_a_replaced_writer_wrote_late_is_followed_by_the_latest(self) -> None:
        bench = Bench()
        bench.write("one", "r/k", 0, b"x")
        bench.write("two", "r/k", 1, b"y")
        bench.judge(replace(ADOPTED, rules=RULES._replace(version=2)))
        rules, first, second, last_rules = bench.written
        view = bench.restored(4)
        assert view.restore(first) == second
        assert view.restore(second) is None
        assert view.restore(rules) == last_rules
        assert view.restore(last_rules) is None
        assert same(view, bench.view)

    def test_what_this_view_wrote_itself_comes_back_without_an_answer(self) -> None:
        """Else a key that is written often would be written again for each version of its own."""
        bench = Bench()
        bench.write("one", "r/k", 0, b"x")
        bench.write("two", "r/k", 1, b"y")
        bench.judge(replace(ADOPTED, rules=RULES._replace(version=2)))
        rules, first, second, last_rules = bench.written
        assert bench.view.restore(rules) is None
        assert bench.view.restore(first) is None
        assert bench.view.restore(rules) is None
        assert bench.view.restore(second) is None
        assert bench.view.restore(last_rules) is None
        assert bench.view.restore(first) == second
        assert bench.view.restore(rules) == last_rules

    def test_who_was_replaced_may_be_ahead(self) -> None:
        """What it wrote is taken, also the half of a change, which is then finished."""
        bench = Bench()
        bench.write("one", "r/k", 0, b"x")
        bench.judge(change("two", ("r/k", 1, b"y"), ("r/l", 0, b"y")))
        view = bench.restored(1)
        assert view.restore(bench.written[1]) is None
        assert view.restore(bench.written[2]) is None
        assert view.judge(bench.log[1], 1, 1_001) is not None
        finished = view.judge(bench.log[2], 2, 1_002)
        assert finished is not None
        assert list(finished.written) == bench.written[3:]
        assert same(view, bench.view)
