from __future__ import annotations

from datetime import UTC
from typing import Any, get_args

import pytest

from mesh.core import facts as f
from mesh.core.values import NOTHING, Amount, Body, Cause, Holder, StepKind
from mesh.telling import words
from mesh.wire.canonical import body_of
from tests.simulation.scribe import ANN, ROOT, Scribe, terms


@pytest.mark.parametrize(
    ("micro", "text"),
    [(0, "$0.00"), (20_000, "$0.02"), (54_500, "$0.0545"), (1_000_000, "$1.00"), (1, "$0.000001")],
)
def test_money_is_exact(micro: int, text: str) -> None:
    assert words.money(micro) == text


def test_an_amount_names_what_is_not_zero() -> None:
    value = Amount(micro_usd=20_000, tokens=1, tool_calls=2_000, hops=3, attempts=1)
    assert words.amount(value) == "$0.02, 1 token, 2,000 calls, 3 hops, 1 further attempt"
    assert words.amount(value, hops=False) == "$0.02, 1 token, 2,000 calls, 1 further attempt"
    assert words.amount(Amount()) == "nothing"


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0 ms"), (999, "999 ms"), (1_234, "1.23 s"), (600_000, "10 min 00 s"),
     (3_723_000, "1 h 02 min")],
)  # fmt: skip
def test_durations_have_the_unit_that_fits(ms: int, text: str) -> None:
    assert words.duration(ms) == text


def test_small_words() -> None:
    assert words.clock(1_750_000_000_123, UTC) == "15:06:40.123"
    assert words.share(1_000) == "1"
    assert words.share(0) == "0"
    assert words.share(650) == "0.65"
    assert words.short("3-0123456789abcdef") == "3-01234567"
    assert words.clip("a\n  b") == "a b"
    assert words.clip("abcdef", 4) == "abc…"
    assert words.plural(1, "task") == "1 task"
    assert words.plural(2, "retry", "retries") == "2 retries"
    assert words.listed([]) == ""
    assert words.listed(["a", "b", "c"], "or") == "a, b or c"


def test_every_kind_of_fact_has_a_sentence() -> None:
    log = Scribe()
    log.begin()
    named: dict[str, Any] = {"workflow": ROOT, "task": ROOT, "by": ANN, "authority": 1}
    made: list[f.Fact] = [
        *(record.fact for record in log.records),
        log.opened(),
        log.begun(),
        log.done(),
        log.done(error="no"),
        log.reserved(),
        log.settled(),
        log.decided(),
        log.suspended(),
        log.suspended(waiting_for=()),
        log.cancelled(),
        log.finished(),
        log.finished(error="no", field="/x"),
        log.awarded(terms(ANN, 2, Cause.DIED, attempt=2, why="it is there")),
        f.SupervisionRenewed(source=log.opened().source, by=ANN, authority=0),
        f.SupervisionReleased(source=log.opened().source, by=ANN, authority=0),
        f.BidsCalled(
            **named, round=0, seed=1, candidates=("a", "b"), bids_until_ms=1, own_offer=None
        ),
        f.ResultRejected(**named, award=1, reason="short"),
        f.CancelRequested(**named, because="twice", person="eve"),
        f.TaskCompleted(**named, award=1),
        f.TaskFailed(**named, reason="r"),
        f.TaskRejected(**named, reason="r", field="/x"),
        f.TaskExpired(**named, reason="r"),
        f.TaskCancelled(**named, reason="r"),
        f.AwardDeclined(**named, reason="full"),
        f.LeaseRenewed(by=Holder("ann-1", 1), awards=(1, 2)),
    ]
    assert {type(fact) for fact in made} == set(get_args(f.Fact))
    said = [words.sentence(fact) for fact in made]
    assert all(said)
    assert "still at work on 2 tasks" in said
    assert "cancellation asked for by eve: twice" in said
    assert "task rejected at /x: r" in said
    assert "suspended, waits for its time" in said
    assert "suspended, waits for a free slot" in said
    assert (
        "awarded to ann-1 (direct, attempt 2, again because the worker fell silent): it is there"
    ) in said


# --- shared state -------------------------------------------------------------------------------


def entry(**other: object) -> dict[str, object]:
    basis = {"key": "a/b", "version": 3, "value": 1, "contested": False, "agent": "ann"}
    return basis | other


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (entry(), "version 3 by ann"),
        (entry(key="a/c"), "version 3 of a/c by ann"),
        (entry(value=None), "version 3 by ann, deleted"),
        (entry(contested=True), "version 3 by ann, contested"),
        (entry(agent=""), "version 3 by a person"),
        (entry(version=0), "nothing is there"),
        ({"key": "a/b"}, "recorded what cannot be read: 'version'"),
        (7, "recorded what cannot be read: 'int' object is not subscriptable"),
    ],
)
def test_a_read_in_words(found: object, text: str) -> None:
    assert words.state(StepKind.READ, "a/b", body_of(found)) == text


@pytest.mark.parametrize(
    ("name", "verdict", "versions", "reason", "text"),
    [
        ("a/b", "accepted", [4], "", "accepted as version 4"),
        ("a/*", "accepted", [4, 1], "", "accepted as version 4 of a/b and version 1 of a/c"),
        ("a/b", "merged", [4], "merged by union with version 3 of ann",
         "merged as version 4: merged by union with version 3 of ann"),
    ],
)  # fmt: skip
def test_a_write_in_words(
    name: str, verdict: str, versions: list[int], reason: str, text: str
) -> None:
    told = {
        "verdict": verdict,
        "reason": reason,
        "versions": versions,
        "entries": [entry(), entry(key="a/c")],
    }
    assert words.state(StepKind.WRITE, name, body_of(told)) == text


def test_other_steps_and_what_was_left_out_say_nothing_of_state() -> None:
    assert words.state(StepKind.TOOL, "a/b", body_of(entry())) == ""
    assert words.state(StepKind.READ, "a/b", NOTHING) == ""
    assert words.state(StepKind.READ, "a", Body(b"x", "", b"{")).startswith("recorded what")
