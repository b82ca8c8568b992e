"""The count of a shared-state run finds what is planted, and nothing in what is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bench import chaos_state_count as counting
from bench.chaos_state_count import Changes, Log, State
from mesh.core.keys import Resolution, Rule, Rules
from mesh.core.shared import Change, Entry, Past, Proposal, RulesAdopted, Verdict, View, Write
from mesh.core.values import Holder, Inbox
from mesh.ports import Incoming
from mesh.wire.partitioner import partition_of
from mesh.wire.state import encode_kept, encode_proposal
from tests.histories.operations import Accepted, Operation, Outcome, Refused
from tests.histories.operations import Write as Asked

RULES = RulesAdopted(
    rules=Rules(
        1, (), (Rule("*", Resolution.REJECT), Rule("merged", Resolution.MERGE, "max-by-field"))
    ),
    person="eve",
    because="a test",
)


def proposed(name: str, *writes: Write) -> Change:
    return Change(
        change=name,
        by=Holder("writer1", 1),
        agent="writer",
        scope=("*",),
        workflow="",
        task="",
        step="",
        writes=writes,
        objective="",
        because="",
        inbox=Inbox("demo.inbox.writers", 0),
    )


def record(offset: int, value: bytes) -> Incoming:
    return Incoming("topic", 0, offset, 1_000 + offset, b"", value, ())


class Story:
    """Mutable: changes of one partition, and the entries that the fold makes of them."""

    def __init__(self, *proposals: Proposal) -> None:
        self.changes = Changes()
        self.entries: list[Entry] = []
        view = View()
        for offset, proposal in enumerate((RULES, *proposals)):
            self.changes.see(record(offset, encode_proposal(proposal)))
            judgement = view.judge(proposal, offset, 1_000 + offset)
            written = judgement.written if judgement is not None else ()
            self.entries += [kept for kept in written if isinstance(kept, Entry)]

    def state(self, entries: Sequence[Entry] | None = None) -> State:
        state = State()
        for offset, entry in enumerate(self.entries if entries is None else entries):
            state.see(record(offset, encode_kept(entry)))
        return state

    def problems(self, entries: Sequence[Entry] | None = None) -> list[str]:
        state = self.state(entries)
        return [*state.judge(), *self.changes.judge(state, 1)]


@pytest.fixture
def story() -> Story:
    return Story(
        proposed("c1", Write("plain/g/x", 0, b'"c1"')),
        proposed("c2", Write("plain/g/x", 0, b'"c2"')),
        proposed("c3", Write("plain/g/x", 1, b'"c3"')),
        proposed("c1", Write("plain/g/x", 0, b'"c1"')),
        proposed("c4", Write("together/g/a", 0, b'"c4"'), Write("together/g/b", 0, b'"c4"')),
        proposed("c5", Write("plain/g/x", 2, b'"c5"')),
    )


def test_what_is_right_is_found_right(story: Story) -> None:
    assert [entry.version for entry in story.entries] == [1, 2, 1, 1, 3]
    assert story.problems() == []
    assert story.changes.copies == 1
    state = story.state([*story.entries, story.entries[0], story.entries[4]])
    assert (list(state.judge()), state.repeats, state.stale) == ([], 2, 1)
    assert list(counting.pairs(state)) == []
    assert partition_of(b"plain/g", 1) == 0


def test_a_gap_a_repeat_and_an_older_end_are_found(story: Story) -> None:
    first, second, *others = story.entries
    assert any("without [2]" in text for text in story.problems([first, *others]))
    assert any("the view has None" in text for text in story.problems([first, *others]))
    [text] = story.state([first, second, *others, second]).judge()
    assert text == "plain/g/x ends with version 2, its highest is 3"
    other = replace(second, value=b'"somebody"')
    assert any("two entries" in text for text in story.problems([*story.entries, other, others[2]]))
    again = replace(second, version=4, recent=(Past(4, "c1", Verdict.ACCEPTED, ""),), source=9)
    found = story.problems([*story.entries, again])
    assert any("c1 made 2 versions" in text for text in found)
    assert any("is not of the change at its source" in text for text in found)
    moved = [first, replace(second, source=first.source), *others]
    assert any("sources of plain/g/x do not grow" in text for text in story.problems(moved))


def test_a_pair_that_is_not_in_step_is_found(story: Story) -> None:
    entries = [entry for entry in story.entries if entry.key != "together/g/b"]
    assert [text.split()[0] for text in counting.pairs(story.state(entries))] == ["together/g/a"]


def asked(name: str, outcome: Outcome, answer: Any = None) -> Operation:
    return Operation(
        key="plain/g/x",
        client="w",
        call=Asked(value=f'"{name}"', expected_version=0),
        outcome=outcome,
        invoked=1,
        answered=2,
        answer=answer,
    )


def test_answers_that_the_view_does_not_bear_out_are_found(story: Story) -> None:
    state = story.state()
    right = [
        asked("c1", Outcome.OK, Accepted(version=1)),
        asked("c3", Outcome.OK, Accepted(version=None)),
        asked("c2", Outcome.OK, Refused(version=1)),
        asked("c9", Outcome.UNKNOWN),
    ]
    assert list(counting.histories(right, state)) == []
    wrong = [
        asked("c2", Outcome.OK, Accepted(version=1)),
        asked("c2", Outcome.OK, Accepted(version=None)),
        asked("c9", Outcome.OK, Accepted(version=9)),
        asked("c3", Outcome.OK, Refused(version=1)),
        asked("c3", Outcome.FAILED),
    ]
    found = list(counting.histories(wrong, state))
    assert len(found) == len(wrong)
    assert sum(text.startswith("lost") for text in found) == 3


def told(change: str, verdict: str, version: int = 0, *, forgotten: bool = False) -> dict[str, Any]:
    return {
        "change": change,
        "keys": ["plain/g/x"],
        "expected": [0],
        "verdict": verdict,
        "versions": [version],
        "now": [3],
        "reason": "",
        "forgotten": forgotten,
        "again": True,
    }


def test_verdicts_that_the_view_does_not_bear_out_are_found(story: Story) -> None:
    state = story.state()
    late = told("c1", "conflict", forgotten=True)
    right = [told("c1", "accepted", 1), told("c2", "conflict"), late]
    assert list(counting.verdicts(right, state)) == []
    wrong = [told("c1", "accepted", 2), told("c1", "conflict"), told("c9", "refused")]
    assert len(list(counting.verdicts(wrong, state))) == len(wrong)


@pytest.mark.parametrize(("second", "lost"), [(b'{"a":2,"b":1}', 0), (b'{"b":1}', 1)])
def test_what_somebody_added_to_a_merge_must_stay(second: bytes, lost: int) -> None:
    story = Story(
        proposed("m1", Write("merged/g/x", 0, b'{"a":2}')),
        proposed("m2", Write("merged/g/x", 1, second)),
    )
    log = Log(state=story.state(), changes=story.changes, told=(), dead_letters=0, partitions=1)
    lines = [
        {"change": name, "keys": ["merged/g/x"], "verdict": "accepted"} for name in ("m1", "m2")
    ]
    assert len(list(counting.merges(lines, log))) == lost
