"""Changes to shared state, and a bench that judges them at growing offsets as a processor does."""

from __future__ import annotations

from dataclasses import replace

from mesh.core.keys import Resolution, Rule, Rules
from mesh.core.shared import (
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
from mesh.core.values import Holder, Inbox

V = Verdict
RULES = Rules(
    1,
    ("risk", "cost", "speed"),
    (
        Rule("r/", Resolution.REJECT),
        Rule("m/max", Resolution.MERGE, "max"),
        Rule("m/set", Resolution.MERGE, "union"),
        Rule("a/", Resolution.ARBITRATE),
    ),
)
ADOPTED = RulesAdopted(rules=RULES, person="ann", because="first")
CHANGE = Change(
    change="c",
    by=Holder("sourcing-1", 3),
    agent="sourcing",
    scope=("*",),
    workflow="0-w",
    task="0-t",
    step="1.2",
    writes=(),
    objective="cost",
    because="cheaper",
    inbox=Inbox("m.inbox.sourcing", 0),
)


def change(
    name: str, *writes: tuple[str, int, bytes | None], objective: str = "cost", agent: str = "s"
) -> Change:
    made = tuple(Write(*write) for write in writes)
    return replace(CHANGE, change=name, writes=made, objective=objective, agent=agent)


def settlement(name: str, key: str, expected: int, value: bytes | None = b"S") -> Settlement:
    return Settlement(
        change=name, key=key, expected=expected, value=value, person="ann", because="I say so"
    )


class Bench:
    """A view, the offset that comes next, and what was written."""

    def __init__(self, rules: Rules | None = RULES) -> None:
        self.view = View()
        self.next = 0
        self.written: list[Entry | RulesEntry] = []
        self.log: list[Proposal] = []
        if rules is not None:
            self.judge(replace(ADOPTED, rules=rules))

    def judge(self, proposal: Proposal) -> Judgement:
        self.log.append(proposal)
        judgement = self.view.judge(proposal, self.next, 1_000 + self.next)
        assert judgement is not None
        self.next += 1
        self.written += judgement.written
        return judgement

    def write(
        self, name: str, key: str, expected: int, value: bytes | None, objective: str = "cost"
    ) -> Judgement:
        return self.judge(change(name, (key, expected, value), objective=objective))

    def entry(self, key: str) -> Entry:
        return self.view.entries[key]

    def restored(self, count: int) -> View:
        view = View()
        for kept in self.written[:count]:
            assert view.restore(kept) is None
        return view


def contest() -> Bench:
    """`a/k` has version 2: s wrote `x`, and t wants `y` for the same objective."""
    bench = Bench()
    bench.write("one", "a/k", 0, b"x")
    judged = bench.judge(change("two", ("a/k", 0, b"y"), agent="t"))
    assert judged.verdict is V.CONTESTED
    return bench


def same(one: View, other: View) -> bool:
    return (one.entries, one.rules, one.through) == (other.entries, other.rules, other.through)
