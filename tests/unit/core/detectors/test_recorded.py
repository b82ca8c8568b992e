"""What a step of shared state recorded, as it was meant; nothing follows from the rest."""

from __future__ import annotations

import json

import pytest

from mesh.core.detectors.recorded import Version, judged_of, other, read_of, reads, side, told
from mesh.core.keys import Resolution
from mesh.core.messages import Rival
from mesh.core.shared import Verdict
from mesh.core.values import NOTHING, Body
from tests.detection.sharing import State
from tests.detection.story import Story

BOLTS = "stock/bolts"
RIVAL = Rival(
    key=BOLTS,
    version=4,
    agent="ann",
    person="",
    workflow="0-w",
    task="0-t",
    objective="risk",
    because="it is so",
    same=False,
    prefix="stock/",
    resolution=Resolution.REJECT,
)
WRITE = {
    "asked": {"because": "b", "expected": [3], "objective": "cost"},
    "entries": [{"key": BOLTS, "version": 4, "agent": "ann", "task": "0-t", "value": 1}],
    "reason": "late",
    "rivals": [RIVAL._asdict()],
    "verdict": "conflict",
    "versions": [],
}


def recorded(found: object) -> Body:
    return Body(b"h", "application/json", json.dumps(found).encode())


def test_a_read() -> None:
    found = {"key": BOLTS, "version": 2, "agent": "ann", "task": "0-t", "value": {"left": 1}}
    assert read_of(recorded(found)) == Version(BOLTS, 2, "ann", "0-t", {"left": 1})


@pytest.mark.parametrize(
    "contents",
    [
        NOTHING,
        Body(b"h", "application/json", b"{"),
        Body(b"h", "application/json", b"[" * 100_000),
        recorded([1]),
        recorded({"key": 1, "version": 1}),
        recorded({"key": BOLTS, "version": "1"}),
    ],
)
def test_what_is_no_read(contents: Body) -> None:
    assert read_of(contents) is None


def test_a_verdict() -> None:
    judged = judged_of(recorded(WRITE))
    assert judged is not None
    assert (judged.verdict, judged.reason, judged.in_force) == (Verdict.CONFLICT, "late", False)
    assert (judged.objective, judged.because, judged.rivals) == ("cost", "b", (RIVAL,))
    assert (judged.expects(BOLTS), judged.expects("stock/nuts")) == (3, None)


def test_a_verdict_of_an_earlier_release() -> None:
    before = {name: own for name, own in WRITE.items() if name not in ("asked", "rivals")}
    judged = judged_of(recorded(before))
    assert judged is not None
    assert (judged.expects(BOLTS), judged.objective, judged.rivals) == (None, "", ())


def test_expected_versions_of_other_keys_tell_nothing() -> None:
    judged = judged_of(recorded({**WRITE, "asked": {**WRITE["asked"], "expected": [3, 4]}}))  # type: ignore[dict-item]  # as above
    assert judged is not None
    assert judged.expects(BOLTS) is None


@pytest.mark.parametrize(
    "found",
    [
        [],
        {},
        {**WRITE, "verdict": "fine"},
        {**WRITE, "entries": 7},
        {**WRITE, "entries": [7]},
        {**WRITE, "rivals": [{}]},
        {**WRITE, "asked": {"expected": ["x"]}},
    ],
)
def test_what_is_no_verdict(found: object) -> None:
    assert judged_of(recorded(found)) is None


def test_what_a_task_was_told_of_a_key() -> None:
    story = Story({"x": 1})
    state = State(story)
    state.reads(story.root, "stock/nuts")
    state.reads(story.root, BOLTS)
    state.writes(story.root, {BOLTS: 1, "stock/nuts": 1}, 0)
    state.reads(story.root, BOLTS)
    story.root.calls("look", 1, 2)
    task, end = story.root.state, len(story.records)
    assert [own.key for own, _ in reads(task, end)] == [BOLTS, BOLTS, "stock/nuts"]
    assert list(told(task, BOLTS, end)) == [(1, 6), (0, 3), (1, 5)]
    assert list(told(task, BOLTS, 5)) == [(0, 3)]


def test_what_cannot_be_read_tells_nothing() -> None:
    story = Story({"x": 1})
    state = State(story)
    state.records = lambda _: NOTHING
    state.reads(story.root, BOLTS)
    state.writes(story.root, {BOLTS: 1}, 0)
    assert list(told(story.root.state, BOLTS, 99)) == []


def test_the_sides_in_words() -> None:
    assert side("", "", "", "") == "somebody in task unknown"
    assert side("ann", "0-t", "risk", "so") == 'ann in task 0-t for risk because "so"'
    assert other(RIVAL, "0-w") == 'ann in task 0-t for risk because "it is so"'
    assert other(RIVAL, "0-x") == ('ann in task 0-t of workflow 0-w for risk because "it is so"')
    assert other(RIVAL._replace(agent="", person="eve"), "") == 'eve (a person) because "it is so"'
