from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mesh.core import facts as f
from mesh.core.accounts import PAST_MS
from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.facts import Record
from mesh.core.tasks import Header
from mesh.processor import beat
from mesh.processor.beat import Beat
from mesh.testing.sim_run import Simulation
from tests.unit.processor.quarrel import Recorded, fact, record

BEGINNING = Header(0, 0, ())
STRICT = LimitTable(
    mesh=Limits(
        loop_returns=1,
        ping_pong_returns=1,
        retries_alike=1,
        retries=1,
        fan_out_children=1,
        fan_out_open=1,
        depth=1,
        stale_results=1,
    )
)
"""So strict that healthy workflows are found. Velocity is not: its slices of time begin with the
watch, so what is just above or below its limit may differ after a restart."""


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return asyncio.run(record())


def all_of(one: Beat, records: Sequence[Record]) -> list[tuple[bool, list[str]]]:
    """Return, for each record, whether it counts and the ids of what is found by it."""
    told = []
    for own in records:
        void, found = one.add(own)
        told.append((not void, [finding.id for finding in found]))
    return told


@pytest.mark.parametrize("seed", range(12))
def test_a_successor_judges_and_finds_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat, "MARK_EVERY", 20)
    simulation = Simulation(seed)
    simulation.run()
    saved = 0
    for partition in simulation.partitions:
        records = partition.records
        first = Beat(BEGINNING, STRICT)
        headers = []
        whole = []
        for own in records:
            headers.append(first.begin())
            whole += all_of(first, [own])
        for cut in range(0, len(records), 11):
            header = headers[cut]
            assert header.offset <= cut
            saved += header.offset
            second = Beat(header, STRICT)
            for own in records[max(0, header.offset - beat.RECALLED) : header.offset]:
                second.recall(own)
            again = all_of(second, records[header.offset :])
            assert again[cut - header.offset :] == whole[cut:], f"from {header.offset} at {cut}"
    assert saved, "every restart began at the beginning: nothing was shown"


def test_nothing_is_read_again_where_nothing_is_open(recorded: Recorded) -> None:
    one = Beat(BEGINNING)
    for own in recorded.records:
        one.add(fact(own))
    header = one.begin()
    assert header.offset == one.next == len(recorded.records)
    assert [seen.source.capability for seen in header.supervisions] == ["buying.ask"]
    assert "0 workflows" in repr(one)


def test_the_oldest_open_workflow_holds_the_beginning(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beat, "MARK_EVERY", 5)
    records = [fact(own) for own in recorded.records]
    opened = next(
        own.offset
        for own in records
        if isinstance(own.fact, f.TaskOpened) and own.fact.task == recorded.endless
    )
    one = Beat(BEGINNING)
    header = BEGINNING
    for own in records[: opened + 100]:
        one.add(own)
        header = one.begin()
        assert header.offset <= (opened if own.offset >= opened else own.offset + 1)
    assert opened - 5 <= header.offset <= opened
    assert one.is_open(recorded.endless)
    assert not one.is_open(recorded.short)


def test_marks_are_bounded_and_the_beginning_stays_right(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beat, "MARK_EVERY", 1)
    monkeypatch.setattr(beat, "MAX_MARKS", 8)
    records = [fact(own) for own in recorded.records]
    end = len(records) - 5
    one = Beat(BEGINNING, STRICT)
    whole = all_of(one, records[:end])
    header = one.begin()
    opened = min(one.ledger.tasks[name].offset for name in one.ledger.members)
    assert header.offset == opened
    second = Beat(header, STRICT)
    assert all_of(second, records[header.offset : end]) == whole[header.offset :]


def test_a_workflow_whose_deadline_is_long_past_is_not_waited_for(recorded: Recorded) -> None:
    records = [fact(own) for own in recorded.records]
    one = Beat(BEGINNING)
    for own in records[:-5]:
        one.add(own)
    root = one.ledger.tasks[recorded.endless].opened
    at_ms = root.deadline_ms + PAST_MS
    one.skip(one.next, at_ms)
    assert one.begin().offset < one.next
    one.skip(one.next, at_ms + 1)
    assert one.begin().offset == one.next
    assert one.begin().supervisions == ()


def test_what_grows_is_cut(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat, "MARK_EVERY", 1)
    monkeypatch.setattr(beat, "MAX_ENDED", 1)
    monkeypatch.setattr(beat, "MAX_EMITTERS", 2)
    one = Beat(BEGINNING)
    records = [fact(own) for own in recorded.records]
    for own in records:
        one.add(own)
    assert all(end.body.content is None for end in one.ledger.ended.values())
    last = records[-1]
    renewed = f.LeaseRenewed(by=last.fact.by, awards=())
    for number in range(1, 9):
        by = last.fact.by._replace(incarnation=100 + number)
        one.add(Record(one.next, last.append_ms, 0, replace(renewed, by=by)))
    assert list(one.ledger.ended) == [recorded.endless]
    assert len(one.ledger.sequences) <= 3


def test_a_repeat_of_what_stands_before_the_beginning_is_known(recorded: Recorded) -> None:
    records = [fact(own) for own in recorded.records]
    one = Beat(Header(1, 0, ()))
    one.recall(records[0])
    assert isinstance(records[0].fact, f.SupervisionTaken)
    void, _ = one.add(records[0]._replace(offset=1))
    assert void == "repeats an earlier fact of its emitter"
