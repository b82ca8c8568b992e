"""The frame: time, findings, and what is asked of tasks."""

from __future__ import annotations

from mesh.core.detectors.frame import (
    JUMP_MS,
    MAX_EVIDENCE,
    MAX_TEXT,
    Pace,
    Seen,
    above,
    agent_of,
    chain_of,
    make_room,
    path,
    quote,
)
from mesh.core.effects import Position
from mesh.core.values import Acceptance
from tests.detection.story import Story
from tests.unit.core.detectors.seeing import Looker


def test_time_passes_with_the_records() -> None:
    pace = Pace()
    assert [pace.observe(at) for at in (1_000, 1_100, 1_050, 1_200)] == [0, 100, 100, 200]


def test_a_jump_back_is_where_time_goes_on_from() -> None:
    pace = Pace()
    times = (0, 100, 5_000_100, 200, 300)
    assert [pace.observe(at) for at in times] == [0, 100, 5_000_100, 5_000_100, 5_000_200]


def test_what_brokers_may_differ_is_no_jump() -> None:
    pace = Pace()
    assert [pace.observe(at) for at in (0, JUMP_MS, 0, JUMP_MS + 1)] == [0, 10_000, 10_000, 10_001]


def test_what_moves_leaves_out_jumps_and_pauses() -> None:
    pace = Pace()
    moved = []
    for at in (0, 4_000, 14_000, 3_614_000, 15_000, 16_000):
        pace.observe(at)
        moved.append(pace.moved_ms)
    assert moved == [0, 4_000, 14_000, 14_000, 14_000, 15_000]


def seen(**other: object) -> Seen:
    basis = {
        "thing": "x",
        "measure": "things",
        "seen": 2,
        "limit": 1,
        "evidence": [3, 1, 3],
        "text": "too many",
    }
    return Seen(**{**basis, **other})  # type: ignore[arg-type]  # a test's own fields


def test_a_finding_is_stored_whole() -> None:
    story = Story({"x": 1})
    part = story.root.asks("demo.part", {"y": 1}, "worker")
    finding = seen().of("loop", part.state)
    incident = finding.incident(4)
    assert (incident.kind, incident.detector, incident.id) == ("loop", "loop", finding.id)
    assert (incident.workflow, incident.task) == ("0-root", part.task)
    assert (incident.measure, incident.seen, incident.limit) == ("things", 2, 1)
    assert [own.task for own in incident.chain] == ["0-root", part.task]
    assert incident.evidence == (Position("audit", 4, 1), Position("audit", 4, 3))
    assert incident.text == "too many"


def test_a_finding_is_named_by_what_it_is_about() -> None:
    state = Story().root.state
    ids = [seen().of("loop", state).id, seen(seen=9, evidence=[]).of("loop", state).id]
    assert ids[0] == ids[1]
    assert ids[0] not in {seen(thing="y").of("loop", state).id, seen().of("depth", state).id}


def test_of_much_evidence_the_last_is_kept() -> None:
    finding = seen(evidence=range(100)).of("loop", Story().root.state)
    assert finding.evidence == tuple(range(100 - MAX_EVIDENCE, 100))


def test_chain_and_agents_of_a_task() -> None:
    story = Story({"x": 1})
    one = story.root.asks("demo.one", {"y": 1}, "ann")
    two = one.asks("demo.two", {"z": 1}, "bob", award=None)
    assert [own.agent for own in chain_of(two.state)] == ["lead", "ann", ""]
    assert agent_of(two.state) == ""
    assert list(above(story.ledger, two.state)) == [one.state, story.root.state]
    assert list(above(story.ledger, story.root.state)) == []
    assert path(chain_of(two.state)) == "lead demo.root > ann demo.one > nobody demo.two"
    assert path(chain_of(two.state), 1) == "... > nobody demo.two"


def test_words_are_quoted_short_and_on_one_line() -> None:
    assert quote("a\n  b") == "a b"
    assert quote("x" * MAX_TEXT) == "x" * MAX_TEXT
    assert len(quote("x" * 500)) == MAX_TEXT
    assert quote("x" * 500).endswith("...")


def test_room_is_made_by_dropping_the_oldest() -> None:
    entries = {"a": 1, "b": 2, "c": 3}
    make_room(entries, 2)
    assert entries == {"c": 3}


def test_results_and_failures_are_seen() -> None:
    looker = Looker()
    story = Story({"x": 1}, detectors=[looker])
    part = story.root.asks("demo.part", {"y": 1}, acceptance=Acceptance.REVIEWED, max_attempts=9)
    part.fails("no luck")
    part.tries_again()
    part.finishes({"v": 1})
    part.is_refused("not good")
    part.tries_again()
    part._finished(outcome="rejected")
    part.tries_again()
    part.finishes({"v": 2})
    part.is_accepted()
    story.root.gets("demo.part", {"z": 2}, {"v": 3})
    said = [(result and result.content, failure) for result, failure in looker.said]
    assert [one for one in said if any(one)] == [
        (None, "no luck"),
        (None, "result refused: not good"),
        (None, "rejected"),
        (b'{"v":2}', ""),
        (b'{"v":3}', ""),
    ]
