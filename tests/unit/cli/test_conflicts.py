"""A conflict from both writers' sides: in the trace of either workflow, in the key's history."""

from __future__ import annotations

import asyncio
import json
from functools import cache

import pytest

from mesh.cli.conflicts import Conflict, Conflicts, Side, conflicts_of, keys_written
from mesh.cli.histories import Event, History, Kind
from mesh.telling.story import Chronicle
from mesh.wire import topics
from tests.unit.cli.conftest import MESH, Cli, Recorded, copied
from tests.unit.cli.quarrel import KEY, quarrelled
from tests.unit.cli.sharing import taken

BLOCKED = 'wrote {"status": "blocked"} as version 1, where nothing had been, for'
LIST, CHEAP = 'because "sanctions list of Monday"', 'because "cheapest of three bids"'
EVENT = Event(
    where="0/4",
    at_ms=0,
    kind=Kind.CHANGE,
    agent="ann",
    workflow="0-w",
    task="0-t",
    verdict="merged",
)


@cache
def recorded(first: str, second: str) -> Recorded:
    return asyncio.run(quarrelled(first=first, second=second))


def flat(text: str) -> str:
    """Return what is told without the tree's lines and the terminal's breaks."""
    return " ".join(text.translate(dict.fromkeys(map(ord, "│├└─"), " ")).split())


@pytest.mark.parametrize(
    ("first", "second", "first_word", "second_word", "why"),
    [
        ("risk", "cost", "won against", "lost to", "risk comes before cost"),
        ("cost", "risk", "lost to", "won against", "risk comes before cost"),
        ("risk", "risk", "contested by", "contests", "both serve risk"),
    ],
)
def test_the_traces_of_both_and_the_history_tell_both_sides_and_why(
    cli: Cli, first: str, second: str, first_word: str, second_word: str, why: str
) -> None:
    mesh = recorded(first, second)
    auditor, buyer = mesh.workflows["auditor"], mesh.workflows["buyer"]
    verb = "wrote" if second_word == "won against" else "wanted"
    for own, other, word, who in (
        (auditor, buyer, first_word, "buyer"),
        (buyer, auditor, second_word, "auditor"),
    ):
        told = flat(cli("trace", own, broker=mesh.broker).out)
        assert f"{word} {who} in workflow {other[:10]}, who " in told
        assert f"{BLOCKED} {first}, {LIST}" in told
        assert f'{verb} {{"status": "approved"}}' in told
        assert f"for {second}, {CHEAP}" in told
        assert why in told.partition("why: ")[2]
        assert "rule: arbitrate (under suppliers/)" in told
    told = flat(cli("state", "history", KEY, broker=mesh.broker).out)
    assert f"{first_word} 0/2, buyer in task {buyer}: " in told
    assert f"{second_word} 0/1, auditor in task {auditor}" in told
    assert told.count("sanctions list of Monday") == told.count("cheapest of three bids") == 1
    assert why in told


def test_as_json(cli: Cli) -> None:
    mesh = recorded("risk", "cost")
    told = json.loads(cli("trace", mesh.workflows["buyer"], "-o", "json", broker=mesh.broker).out)
    (conflict,) = told["conflicts"]
    assert (conflict["key"], conflict["own"]["verdict"]) == (KEY, "conflict")
    (other,) = conflict["others"]
    assert (other["side"], other["agent"], other["objective"]) == ("lost to", "auditor", "risk")


def test_a_workflow_that_wrote_nothing_reads_nothing(cli: Cli, recorded: Recorded) -> None:
    told = cli("trace", recorded.workflows["chair"], "-o", "json", broker=recorded.broker)
    assert json.loads(told.out)["conflicts"] == []


def test_what_is_too_much_to_read_is_said(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = recorded("risk", "cost")
    monkeypatch.setattr("mesh.cli.conflicts.MAX_RECORDS", 2)
    ran = cli("trace", mesh.workflows["buyer"], broker=mesh.broker)
    assert ran.code == 0
    assert f"who else wrote {KEY} was not read; `mesh state history KEY` tells it" in ran.out


def test_a_history_that_is_gone_hides_no_story(cli: Cli) -> None:
    mesh = recorded("risk", "cost")
    broker = copied(mesh.broker)
    del broker.topics[topics.changes(MESH)]
    ran = cli("trace", mesh.workflows["buyer"], broker=broker)
    assert ran.code == 0
    assert "who else wrote its keys cannot be told: there is no shared state of test" in ran.out
    assert "failed: conflict:" in ran.out


def test_the_keys_of_a_workflow() -> None:
    assert keys_written(asyncio.run(taken())) == ["stock/desk"]
    assert keys_written(Chronicle("0-none")) == []


def test_who_the_others_are() -> None:
    person = Event(
        where="0/3", at_ms=0, kind=Kind.SETTLEMENT, person="eve", verdict="settled", version=2
    )
    peer = Event(
        where="0/5", at_ms=0, kind=Kind.CHANGE, agent="bob", workflow="0-w", task="0-u",
        verdict="merged", version=3, expected=2, value=b"[1]", rule="merge by union (under tags/)",
    )  # fmt: skip
    far = Event(
        where="0/6", at_ms=0, kind=Kind.CHANGE, agent="bob", workflow="0-x", task="0-y",
        verdict="conflict", reason="it is late",
    )  # fmt: skip
    others = (Side("lost to", person), Side("merged with", peer), Side("won against", far))
    lines = Conflicts(met=(Conflict(key="tags/x", own=EVENT, others=others),)).lines()
    told = lines[EVENT.task, EVENT.step]
    assert told[0] == "tags/x: this task deleted it, as version 0, where nothing had been"
    assert told[1].startswith("lost to eve (a person), who deleted it, as version 2")
    assert told[3:5] == [
        "merged with bob in task 0-u of this workflow, who wrote [1] as version 3 over version 2",
        "why: rule: merge by union (under tags/)",
    ]
    assert told[5].startswith(
        "won against bob in task 0-y of workflow 0-x, who wanted to delete it"
    )
    assert told[6] == "why: it is late; rule: "


def test_changes_of_others_and_without_others_are_left_out() -> None:
    events = (EVENT, Event(where="0/5", at_ms=0, kind=Kind.CHANGE, workflow="0-x", verdict="x"))
    told = History(key="k", partition=0, low=0, events=events, base=None, entry=None, kept=None)
    assert list(conflicts_of(told, "0-w")) == []
