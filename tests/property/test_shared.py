"""Whatever is proposed, however often, and whoever dies over it: there is one history."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core.keys import NO_RULES, Resolution, Rule, Rules
from mesh.core.shared import (
    MAX_VALUE_BYTES,
    RECENT,
    Change,
    Entry,
    Judgement,
    Proposal,
    RulesAdopted,
    RulesEntry,
    Settlement,
    Verdict,
    View,
    Write,
)
from tests.unit.core.writers import ADOPTED, CHANGE, RULES, same, settlement

Kept = Entry | RulesEntry

GROUPS = (("a/a", "a/b"), ("m/max", "m/set"), ("r/a", "r/b"), ("free",))
KEYS = tuple(key for group in GROUPS for key in group)
OBJECTIVES = ("cost", "risk", "speed", "")
NUMBERS = (b"1", b"2", b"3", None)
SETS = (b'["a"]', b'["b"]', None)
VALUES = (*NUMBERS, *SETS)
JUNK = (b"", b"\xff", b"[" * 5_000, b'["\\ud800"]', b"v" * (MAX_VALUE_BYTES + 1))
TEXTS = ("", "\ud800", "x" * 5_000, "\x00", "é")
OTHER_RULES = (
    NO_RULES,
    RULES,
    Rules(1, (), (Rule("a/", Resolution.ARBITRATE),)),
    Rules(2, ("cost", "risk"), (Rule("*", Resolution.ARBITRATE),)),
    Rules(2, (), (Rule("*", Resolution.REJECT), Rule("a/a", Resolution.MERGE, "max"))),
    Rules(3, (), (Rule("r", Resolution.REJECT),)),
    Rules(4, ("speed",), (*RULES.rules, Rule("*", Resolution.MERGE, "union"))),
)
REFUSALS = (Verdict.REFUSED, Verdict.CONFLICT)


def fold(log: Sequence[Proposal]) -> tuple[View, list[Judgement | None], list[Kept]]:
    """Judge a log once, in order; offsets have holes, as those of a real one."""
    view = View()
    judged = [view.judge(each, offset_of(at), append_ms(at)) for at, each in enumerate(log)]
    return view, judged, [kept for each in judged if each is not None for kept in each.written]


def offset_of(at: int) -> int:
    return 2 * at


def append_ms(at: int) -> int:
    return 1_000 - at  # a clock may run backwards


@st.composite
def honest(draw: st.DrawFn, view: View, name: str) -> Proposal:
    keys = GROUPS[draw(st.sampled_from((0, 0, 0, 1, 1, 2, 2, 3)))]
    chosen = keys[: draw(st.sampled_from((1, 1, 2)))]
    writes = []
    for key in draw(st.permutations(chosen)):
        latest = view.entries[key].version if key in view.entries else 0
        lag = draw(st.sampled_from((1, 0, 0, 1, 2, 3, -1, RECENT, RECENT + 1)))
        value = draw(st.sampled_from(SETS if key == "m/set" else NUMBERS))
        writes.append(Write(key, max(0, latest - lag), value))
    return replace(
        CHANGE,
        change=name,
        agent=draw(st.sampled_from(("s", "t"))),
        objective=draw(st.sampled_from(OBJECTIVES)),
        writes=tuple(writes),
    )


@st.composite
def hostile(draw: st.DrawFn, name: str) -> Proposal:
    name = draw(st.sampled_from((name, "c0", "c1", *TEXTS)))
    key = st.one_of(st.sampled_from((*KEYS, "a//", "*", "no/rule")), st.sampled_from(TEXTS))
    value = st.one_of(st.sampled_from((*VALUES, *JUNK)), st.binary(max_size=4))
    expected = st.integers(-2, 3) | st.just(2**63 - 1)
    word = st.sampled_from((*TEXTS, "cost"))
    kind = draw(st.sampled_from((RulesAdopted, Settlement, Change, Change)))
    if kind is RulesAdopted:
        rules = draw(st.sampled_from(OTHER_RULES))
        return RulesAdopted(rules=rules, person=draw(word), because=draw(word))
    if kind is Settlement:
        made = settlement(name, draw(key), draw(expected), draw(value))
        return replace(made, because=draw(word))
    writes = draw(st.lists(st.builds(Write, key, expected, value), max_size=3))
    return replace(
        CHANGE,
        change=name,
        agent=draw(word),
        objective=draw(word),
        because=draw(word),
        scope=draw(st.sampled_from((("*",), (), ("a",), ("r/a", "m/"), TEXTS))),
        writes=tuple(writes) * draw(st.sampled_from((1, 1, 1, 2, 20))),
    )


@st.composite
def logs(draw: st.DrawFn, most: int = 24) -> list[Proposal]:
    """Draw what several writers propose, each knowing the entries more or less."""
    log: list[Proposal] = [ADOPTED]
    view = View()
    view.judge(ADOPTED, 0, append_ms(0))
    for number in range(draw(st.integers(1, most))):
        contested = [entry for entry in view if entry.contested]
        name = f"c{number}"
        kind = draw(st.sampled_from("hhhhhhhhrrrssbx"))
        new: list[Proposal]
        if kind == "r":
            new = [log[-draw(st.integers(1, min(len(log), 6)))]]
        elif kind == "s" and contested:
            entry = draw(st.sampled_from(contested))
            new = [settlement(name, entry.key, entry.version, draw(st.sampled_from(VALUES)))]
        elif kind == "b":
            new = burst(view, name, draw(st.sampled_from(KEYS)), draw(st.integers(1, RECENT + 2)))
        elif kind == "x":
            new = [draw(hostile(name))]
        else:
            new = [draw(honest(view, name))]
        for proposal in new:
            view.judge(proposal, offset_of(len(log)), append_ms(len(log)))
            log.append(proposal)
    return log


def burst(view: View, name: str, key: str, count: int) -> list[Proposal]:
    """Make a key move on by many versions."""
    latest = view.entries[key].version if key in view.entries else 0
    value = b'["a"]' if key.startswith("m/set") else b"1"
    return [
        replace(CHANGE, change=f"{name}-{at}", writes=(Write(key, latest + at, value),))
        for at in range(count)
    ]


@settings(max_examples=120)
@given(logs())
def test_versions_grow_by_one_and_a_change_makes_at_most_one(log: list[Proposal]) -> None:
    view, judged, written = fold(log)
    latest: dict[str, int] = {}
    made: set[tuple[int, str]] = set()
    first = {repr(proposal): at for at, proposal in reversed(list(enumerate(log)))}
    for at, (proposal, judgement) in enumerate(zip(log, judged, strict=True)):
        for kept in judgement.written if judgement is not None else ():
            assert kept.source == offset_of(at)
            if isinstance(kept, Entry):
                assert kept.version == latest.get(kept.key, 0) + 1
                latest[kept.key] = kept.version
                by = first[repr(proposal)], kept.key
                assert by not in made
                made.add(by)
    assert latest == {entry.key: entry.version for entry in view}
    assert view.through == max((kept.source for kept in written), default=-1)


@settings(max_examples=120)
@given(logs())
def test_a_change_is_all_or_nothing_and_what_is_refused_is_nothing(log: list[Proposal]) -> None:
    view = View()
    for at, proposal in enumerate(log):
        before = dict(view.entries), view.rules, view.through
        judgement = view.judge(proposal, offset_of(at), append_ms(at))
        assert judgement is not None
        written = judgement.written
        if not written or judgement.verdict in REFUSALS:
            assert not written
            assert (view.entries, view.rules, view.through) == before
        if isinstance(proposal, Change) and written:
            keys = [kept.key for kept in written if isinstance(kept, Entry)]
            assert keys == [write.key for write in proposal.writes]
            assert judgement.entries == written
            assert judgement.versions == tuple(view.entries[key].version for key in keys)
            assert all(kept.change == proposal.change for kept in view if kept in written)
        if isinstance(proposal, Change) and judgement.entries:
            held = tuple(view.entries.get(write.key) for write in proposal.writes)
            assert judgement.entries == held


@settings(max_examples=120)
@given(logs())
def test_what_was_judged_is_judged_so_again(log: list[Proposal]) -> None:
    """What was accepted while it is remembered; what was in conflict while the rules stay.

    Of merges a conflict may end: a deleted key may be written anew.
    """
    view = View()
    before: dict[str, tuple[Verdict, int]] = {}
    for at, proposal in enumerate(log):
        if not isinstance(proposal, Change):
            view.judge(proposal, offset_of(at), append_ms(at))
            continue
        recent = [
            past
            for write in proposal.writes
            if write.key in view.entries
            for past in view.entries[write.key].recent
        ]
        judgement = view.judge(proposal, offset_of(at), append_ms(at))
        assert judgement is not None
        known = before.setdefault(repr(proposal), (judgement.verdict, view.rules.source))
        if judgement.entries and any(past.change == proposal.change for past in recent):
            assert not judgement.written
            assert judgement.verdict in {past.verdict for past in recent}
        elif known[0] is Verdict.CONFLICT and known[1] == view.rules.source:
            merging = (view.rules.rules.rule_for(write.key) for write in proposal.writes)
            if not any(rule and rule.merge for rule in merging):
                assert judgement.verdict is Verdict.CONFLICT


@settings(max_examples=120)
@given(logs(), st.data())
def test_a_view_goes_on_from_whatever_was_written(log: list[Proposal], data: st.DataObject) -> None:
    """Cut between any two appends, with what a replaced writer repeats, late and out of order."""
    whole, _, written = fold(log)
    cut = data.draw(st.integers(0, len(written)))
    view = View()
    for at in range(cut):
        assert view.restore(written[at]) is None
        for late in data.draw(st.lists(st.integers(0, at), max_size=2)):
            latest = held(view, written[late])
            assert view.restore(written[late]) == (None if latest == written[late] else latest)
    committed = written[cut].source // 2 if cut < len(written) else len(log)
    begin = data.draw(st.integers(0, committed))
    rest: list[Kept] = []
    for at in range(begin, len(log)):
        judgement = view.judge(log[at], offset_of(at), append_ms(at))
        rest += judgement.written if judgement is not None else ()
    assert rest == written[cut:]
    assert same(view, whole)


def held(view: View, kept: Kept) -> Kept | None:
    return view.entries.get(kept.key) if isinstance(kept, Entry) else view.rules


def key_of(kept: Kept) -> str:
    return kept.key if isinstance(kept, Entry) else "~rules"


class Processor:
    """One that believes to own the partition: judges, appends, reads behind itself, dies."""

    def __init__(self, log: Sequence[Proposal], state: list[Kept], begin: int) -> None:
        self.log = log
        self.state = state
        self.view = View()
        self.next = begin
        self.read = 0
        self.queue: deque[Kept] = deque()
        overtaken: dict[str, Kept] = {}
        for kept in state:  # to the end before it judges; only what is overtaken there counts
            later = self.view.restore(kept)
            overtaken.pop(key_of(kept), None)
            if later is not None:
                overtaken[key_of(kept)] = later
        self.read = len(state)
        self.queue.extend(overtaken.values())
        self.shown: dict[str, Kept] = {}
        for kept in state:
            self.show(kept)

    def show(self, kept: Kept) -> bool:
        """Note what `M.state` has shown; say whether something later was shown before."""
        before = self.shown.get(key_of(kept))
        if before is not None and before.source > kept.source:
            return True
        self.shown[key_of(kept)] = kept
        return False

    @property
    def safe(self) -> int:
        """The position that it may commit: all below is judged, and what it made is appended."""
        return min([self.next, *(kept.source // 2 for kept in self.queue)])

    def judge(self) -> None:
        if self.next < len(self.log):
            at, self.next = self.next, self.next + 1
            judgement = self.view.judge(self.log[at], offset_of(at), append_ms(at))
            self.queue += judgement.written if judgement is not None else ()

    def append(self) -> None:
        if self.queue:
            self.state.append(self.queue.popleft())

    def tail(self) -> None:
        if self.read < len(self.state):
            kept, self.read = self.state[self.read], self.read + 1
            older = self.show(kept)
            later = self.view.restore(kept)
            latest = held(self.view, kept)
            due = older and self.shown[key_of(kept)] == latest
            assert later == (latest if due else None)
            if later is not None:
                self.queue.append(later)

    @property
    def idle(self) -> bool:
        return not self.queue and self.read == len(self.state) and self.next == len(self.log)


moves = st.lists(st.tuples(st.integers(0, 1), st.sampled_from("jjjaaaatttcx")), max_size=120)


@settings(max_examples=100)
@given(logs(most=12), moves, st.data())
def test_two_that_believe_to_own_a_partition_write_one_history(
    log: list[Proposal], steps: list[tuple[int, str]], data: st.DataObject
) -> None:
    whole, _, written = fold(log)
    state: list[Kept] = []
    committed = 0
    both = [Processor(log, state, 0), Processor(log, state, 0)]
    for who, step in steps:
        one = both[who]
        match step:
            case "j":
                one.judge()
            case "a":
                one.append()
            case "t":
                one.tail()
            case "c":
                committed = one.safe  # who was replaced may also commit late, and lower
            case _:
                both[who] = Processor(log, state, data.draw(st.integers(0, committed)))
    for _ in range(100 * len(log) + 1_000):
        for one in both:
            one.judge()
            one.append()
            one.tail()
    assert all(one.idle for one in both)
    assert all(same(one.view, whole) for one in both)
    assert list(dict.fromkeys(map(repr, state))) == list(map(repr, written))
    last = {key_of(kept): kept for kept in state}
    assert last == {key_of(kept): kept for kept in written}
