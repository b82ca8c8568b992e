from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core import facts as f
from mesh.core.facts import Record
from mesh.core.values import Cause
from mesh.dashboard import strand as strands
from mesh.dashboard.rows import Rows
from mesh.dashboard.strand import Strand
from mesh.dashboard.window import Window
from mesh.telling.story import Chronicle, tell
from tests.simulation.scribe import ANN, BOB, BOSS, RIVAL, ROOT, SOURCE, Scribe, terms
from tests.unit.cli.conftest import Recorded


def folded(records: list[Record], first: int = 0, before: int = 0) -> tuple[Strand, Rows, Window]:
    rows, window = Rows(), Window()
    strand = Strand(0, first, rows, window)
    for record in records[before:first]:
        strand.prime(record)
    for record in records[first:]:
        strand.add(record)
    return strand, rows, window


def test_rows_agree_with_the_stories_that_the_command_tells(recorded: Recorded) -> None:
    for workflow in recorded.workflows.values():
        partition, records = recorded.records(workflow)
        _, rows, _ = folded(records)
        chronicle = Chronicle(workflow)
        for record in records:
            chronicle.add(record)
        story = tell(chronicle, partition)
        assert story is not None
        listed = {row.task: row for row in rows.members(workflow)}
        assert listed.keys() == {task.task for task in story.tasks}
        for task in story.tasks:
            row = listed[task.task]
            assert (row.phase, row.reason, row.agent) == (task.status, task.reason, task.agent)
            assert (row.began_ms, row.ended_ms) == (task.began_ms, task.ended_ms)
            assert row.spent(chronicle.ledger) == task.cost


def log_of_two_attempts() -> Scribe:
    log = Scribe()
    log.begin()
    assert not log.write(log.begun("0"))
    assert not log.write(log.done("0"))
    assert not log.write(log.awarded(terms(BOB, 2, Cause.DIED, attempt=2)), after_ms=2_000)
    assert not log.write(log.finished(spent=log.ledger.cost(log.task())))
    return log


def test_delegations_and_spending_are_counted_by_edge() -> None:
    log = log_of_two_attempts()
    _, rows, window = folded(log.records)
    flows = window.flows(log.now_ms)
    assert {edge.agent: flow[:3] for edge, flow in flows.items()} == {
        "ann": (1, 0, 1),
        "bob": (1, 1, 0),
    }
    assert sum(flow.spent_micro_usd for flow in flows.values()) == 7
    root = rows.get(ROOT)
    assert root is not None
    assert (root.failures, root.tries, root.caller) == (1, 2, "")


def test_what_does_not_count_is_void_and_changes_nothing() -> None:
    log = Scribe()
    log.begin()
    assert log.write(log.opened(by=RIVAL, task="0-other", workflow="0-other", authority=0))
    strand, rows, _ = folded(log.records)
    assert strand.void == 1
    assert rows.get("0-other") is None


def test_a_strand_that_begins_in_the_middle_knows_who_supervises() -> None:
    log = Scribe()
    assert not log.take(lease_ms=30_000)
    renewed = f.SupervisionRenewed(source=SOURCE, by=BOSS, authority=log.supervision)
    assert not log.write(renewed, after_ms=20_000)
    middle = len(log.records)
    assert not log.open_root(terms(ANN), deadline_ms=log.now_ms + 60_000)
    assert not log.write(log.finished(spent=log.ledger.cost(log.task())))
    strand, rows, _ = folded(log.records, middle)
    root = rows.get(ROOT)
    assert root is not None
    assert (root.phase, strand.void) == ("completed", 0)
    only_renewal, rows, _ = folded(log.records, middle, before=1)
    assert rows.get(ROOT) is not None, "the taking itself lies further back"
    assert only_renewal.void == 0


def test_an_earlier_supervision_does_not_replace_a_later_one() -> None:
    log = Scribe()
    assert not log.take(BOSS)
    assert not log.take(RIVAL, after_ms=5_000)
    stale = f.SupervisionRenewed(source=SOURCE, by=BOSS, authority=0)
    log.write(stale)
    middle = len(log.records)
    assert not log.open_root(terms(ANN), by=RIVAL)
    _, rows, _ = folded(log.records, middle)
    assert rows.get(ROOT) is not None


def test_of_a_workflow_that_began_before_nobody_can_judge_the_facts() -> None:
    log = log_of_two_attempts()
    rows = Rows()
    strand = Strand(0, 3, rows, Window())
    verdicts = [strand.add(record) for record in log.records[3:]]
    assert verdicts == [None] * len(verdicts)
    assert (strand.void, strand.facts) == (0, len(verdicts))


def test_names_that_nobody_would_write_are_not_listed() -> None:
    log = Scribe()
    assert not log.take()
    long = "0-" + "x" * 300
    assert not log.open_root(terms(ANN), task=long, workflow=long)
    strand, rows, _ = folded(log.records)
    assert len(strand.ledger.tasks) == 1
    assert len(rows) == 0


def test_what_a_ledger_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strands, "CUT_EVERY", 1)
    monkeypatch.setattr(strands, "MAX_EMITTERS", 2)
    strand = Strand(0, 0, Rows(), Window())
    for number in range(10):
        by = replace(f.LeaseRenewed(by=ANN, awards=()), by=ANN._replace(incarnation=number))
        strand.add(Record(number, number, 0, by))
    assert len(strand.ledger.sequences) <= 3
