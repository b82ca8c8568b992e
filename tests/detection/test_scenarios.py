"""Every disorder is found, by its own detectors, while it is cheap; nothing is found in the others.

`findings.txt` says what is told of each, when, and what it had cost by then; `--rewrite`
writes it anew.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from mesh.core.detectors.frame import Finding
from mesh.core.detectors.watch import Watch
from mesh.core.facts import StepFinished
from mesh.core.ledger import Ledger
from mesh.core.tasks import Header
from mesh.processor.beat import Beat
from mesh.wire.entries import decode_incident, encode_entry
from tests.detection.disorder import LOOK_ALIKES, PLANTED
from tests.detection.healthy import HEALTHY as NO_RUNAWAYS
from tests.detection.runaways import RUNAWAYS
from tests.detection.story import Story, replayed

DISORDERS = {**RUNAWAYS, **PLANTED}
HEALTHY = {**NO_RUNAWAYS, **{name: tale for name, (_, tale) in LOOK_ALIKES.items()}}
MISCOORDINATION = ("lost-update", "contradiction", "missed-dependency", "nobody-bids")
GOLDEN = Path(__file__).parent / "findings.txt"
LOOPS = sorted(
    name
    for name, (kinds, _) in RUNAWAYS.items()
    if {"loop", "ping-pong"} & kinds or "_paid_" in name
)
FAN_OUTS = sorted(name for name, (kinds, _) in RUNAWAYS.items() if "fan-out" in kinds)


@cache
def told(name: str) -> Story:
    return DISORDERS[name][1]()


def test_there_are_enough() -> None:
    assert len(RUNAWAYS) >= 20
    assert len(NO_RUNAWAYS) >= 20


@pytest.mark.parametrize("kind", MISCOORDINATION)
def test_there_are_enough_of_each_kind_of_miscoordination(kind: str) -> None:
    assert sum(kind in kinds for kinds, _ in PLANTED.values()) >= 3


def test_no_scenario_hides_another() -> None:
    every = (RUNAWAYS, PLANTED, NO_RUNAWAYS, LOOK_ALIKES)
    assert len(DISORDERS) + len(HEALTHY) == sum(len(tales) for tales in every)


@pytest.mark.parametrize("name", DISORDERS)
def test_a_disorder_is_found_by_its_own_detectors(name: str) -> None:
    assert told(name).kinds == DISORDERS[name][0]


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_found_in_a_healthy_workflow(name: str) -> None:
    assert [(finding.kind, finding.text) for finding in HEALTHY[name]().found] == []


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_found_before_its_12th_turn(name: str) -> None:
    story = told(name)
    price = paid(story) // story.turn
    for first in story.first.values():
        assert first.turn < 12
        assert first.micro_usd <= 11 * price


def paid(story: Story) -> int:
    """Return what all calls of a story cost, found or not."""
    facts = [record.fact for record in story.records]
    return sum(fact.spent.micro_usd for fact in facts if isinstance(fact, StepFinished))


def test_most_loops_have_a_paid_call_in_them() -> None:
    assert sum(paid(told(name)) > 0 for name in LOOPS) >= 8


@pytest.mark.parametrize("name", FAN_OUTS)
def test_a_fan_out_is_found_before_its_200th_task(name: str) -> None:
    assert told(name).first["fan-out"].tasks < 200


@pytest.mark.parametrize("name", DISORDERS)
def test_a_replay_finds_the_same(name: str) -> None:
    story = told(name)
    assert replayed(story, story.watch.limits) == story.found


@pytest.mark.parametrize("name", PLANTED)
def test_a_successor_that_begins_anywhere_finds_the_same(name: str) -> None:
    story = told(name)
    assert len({finding.id for finding in story.found}) == len(story.found)
    for cut in range(1, len(story.records), max(1, len(story.records) // 9)):
        first = Beat(Header(0, 0, ()), story.watch.limits)
        found = [own.id for record in story.records[:cut] for own in first.add(record)[1]]
        begin = first.begin()
        second = Beat(begin, story.watch.limits)
        found += [
            own.id for record in story.records[begin.offset :] for own in second.add(record)[1]
        ]
        assert set(found) == {finding.id for finding in story.found}


@pytest.mark.parametrize("name", PLANTED)
def test_a_clock_that_jumps_changes_nothing(name: str) -> None:
    story = told(name)
    assert {own.id for own in jumping(story)} == {own.id for own in story.found}


@pytest.mark.parametrize("name", RUNAWAYS)
def test_a_clock_that_jumps_hides_nothing(name: str) -> None:
    assert {finding.kind for finding in jumping(told(name))} == RUNAWAYS[name][0]


@pytest.mark.parametrize("name", HEALTHY)
def test_a_clock_that_jumps_makes_nothing_up(name: str) -> None:
    assert jumping(HEALTHY[name]()) == []


def jumping(story: Story) -> list[Finding]:
    """Return what is found if the clock is an hour ahead between the log's first and last tenth."""
    ledger, watch = Ledger(), Watch(story.watch.limits)
    tenth = len(story.records) // 10
    found: list[Finding] = []
    for at, record in enumerate(story.records):
        ahead = 3_600_000 if tenth < at < len(story.records) - tenth else 0
        void = ledger.add(record)
        found += watch.see(record._replace(append_ms=record.append_ms + ahead), ledger, void)
    return found


@pytest.mark.parametrize("name", DISORDERS)
def test_each_finding_is_told_once_and_proved(name: str) -> None:
    story = told(name)
    assert len({finding.id for finding in story.found}) == len(story.found)
    for finding in story.found:
        assert finding.seen > finding.limit
        assert finding.chain[-1].task == finding.task
        assert list(finding.evidence) == sorted(set(finding.evidence))
        assert all(story.verdicts[offset] == "" for offset in finding.evidence)
        incident = finding.incident(3)
        assert [event.offset for event in incident.evidence] == list(finding.evidence)
        assert decode_incident(encode_entry(incident)) == incident


def test_what_is_told_is_what_was_written_down(rewrite: bool) -> None:
    text = "\n".join(tale(name) for name in DISORDERS)
    if rewrite:
        GOLDEN.write_text(text, "utf-8")
    assert text == GOLDEN.read_text("utf-8"), "run with --rewrite and read the diff"


def tale(name: str) -> str:
    """Return what is told of a disorder, and when."""
    story = told(name)
    lines = [name.replace("_", " ")]
    for finding in story.found:
        first = story.first[finding.kind]
        at = f"turn {first.turn}, {first.tasks} tasks, {first.micro_usd / 1_000_000:.2f} USD"
        lines += [f"  {finding.kind} ({at}), {finding.seen} seen, {finding.limit} allowed"]
        lines += [f"    {finding.text}"]
    return "\n".join([*lines, ""])
