"""What a node takes over of a log that it has read, beside what it knows itself."""

from __future__ import annotations

import pytest

from mesh.core import facts as f
from mesh.core.ledger import Ledger
from mesh.core.settings import EVENT_WINDOW_MS
from mesh.core.tasks import Phase
from mesh.core.values import Cause, Outcome, Status
from tests.simulation.scribe import ANN, BOB, LEASE_MS, ROOT, Scribe, terms

OVER = LEASE_MS + 1
LONG_MS = EVENT_WINDOW_MS + 100_000


@pytest.fixture
def log() -> Scribe:
    scribe = Scribe()
    scribe.begin()
    return scribe


def works_on_nothing(_: str, __: int) -> bool:
    return False


def read(log: Scribe, end: int | None = None) -> Ledger:
    """Fold the log up to an offset, as an answer to a read does."""
    ledger = Ledger()
    for record in log.records[:end]:
        ledger.add(record)
    return ledger


def test_an_end_is_taken_over_by_who_knew_nothing_of_the_task(log: Scribe) -> None:
    log.write(log.finished())
    here = Ledger()
    here.merge(read(log), ROOT, works_on_nothing)
    assert here.ended[ROOT].status is Status.COMPLETED
    assert not here.tasks


def test_what_the_log_has_ended_is_open_no_more(log: Scribe) -> None:
    here = read(log)
    log.write(log.finished())
    here.merge(read(log), ROOT, works_on_nothing)
    assert here.ended[ROOT].status is Status.COMPLETED
    assert (here.tasks, here.awards) == ({}, {})


def test_who_has_seen_the_later_record_knows_better(log: Scribe) -> None:
    before = len(log.records)
    log.write(log.finished(outcome=Outcome.FAILED, error="boom"))
    here = read(log)
    here.merge(read(log, before), ROOT, works_on_nothing)
    assert here.tasks[ROOT].phase is Phase.OPEN
    assert here.unmerged == {ROOT}
    behind = read(log, before)
    behind.merge(read(log), ROOT, works_on_nothing)
    assert behind.tasks[ROOT].phase is Phase.OPEN
    assert not behind.unmerged


def test_what_a_node_works_on_is_newer_than_what_it_reads(log: Scribe) -> None:
    here, award = read(log), log.award()
    log.write(log.begun())
    here.merge(read(log), ROOT, lambda task, position: (task, position) == (ROOT, award))
    assert not here.tasks[ROOT].steps, "the reports of its own facts are on their way"
    log.write(log.awarded(terms(BOB, 2, Cause.DIED)), after_ms=OVER)
    here.merge(read(log), ROOT, lambda task, position: (task, position) == (ROOT, award))
    assert here.tasks[ROOT].epoch == 2, "unless the log says that its award is over"


def test_a_task_that_has_ended_here_does_not_come_back_from_an_earlier_read(log: Scribe) -> None:
    earlier = read(log)
    log.write(log.finished())
    here = read(log)
    here.merge(earlier, ROOT, works_on_nothing)
    assert here.ended[ROOT].status is Status.COMPLETED
    assert not here.tasks


def test_a_child_that_has_ended_here_does_not_come_back_from_an_earlier_read(log: Scribe) -> None:
    log.open_child(award=terms(BOB))
    earlier = read(log)
    log.write(log.finished(log.child_name()))
    log.write(log.decided("1"))
    here = read(log)
    here.merge(earlier, ROOT, works_on_nothing)
    assert set(here.tasks) == {ROOT}
    result = here.tasks[ROOT].steps["0"].result
    assert result is not None
    assert result.status is Status.COMPLETED


def test_a_child_that_the_log_has_ended_is_a_result_here_too(log: Scribe) -> None:
    log.open_child(award=terms(BOB))
    here = read(log)
    log.write(log.finished(log.child_name()))
    here.merge(read(log), ROOT, works_on_nothing)
    assert set(here.tasks) == {ROOT}
    result = here.tasks[ROOT].steps["0"].result
    assert result is not None
    assert result.status is Status.COMPLETED


def test_a_lease_is_over_only_as_far_as_the_log_was_read(log: Scribe) -> None:
    here = Ledger()
    here.merge(read(log), ROOT, works_on_nothing)
    here.observe(log.now_ms + OVER)
    assert here.is_running(here.tasks[ROOT]), "others' facts may have extended it"
    log.take(after_ms=OVER)
    here.merge(read(log), ROOT, works_on_nothing)
    assert not here.is_running(here.tasks[ROOT])


# --- events that are run again ------------------------------------------------------------------


@pytest.fixture
def again() -> Scribe:
    """Return a log in which an event was run, was forgotten, and is run again."""
    scribe = Scribe()
    scribe.take(lease_ms=30_000)
    scribe.open_root(terms(ANN), event_id="e")
    scribe.write(scribe.finished())
    scribe.take(lease_ms=30_000, after_ms=LONG_MS)
    opened = {"event_id": "e", "deadline_ms": scribe.now_ms + 60_000}
    assert scribe.open_root(terms(ANN), **opened) == ""
    return scribe


def test_an_event_that_runs_again_has_not_ended(again: Scribe) -> None:
    assert again.task().phase is Phase.WORKING
    assert ROOT not in again.ledger.ended


def test_who_reads_of_both_runs_goes_on_with_the_second(again: Scribe) -> None:
    here = Ledger()
    here.merge(read(again), ROOT, works_on_nothing)
    assert here.tasks[ROOT].phase is Phase.WORKING
    assert not here.ended


def test_the_end_of_the_second_run_is_the_end(again: Scribe) -> None:
    again.write(again.finished(outcome=Outcome.FAILED, error="boom"))
    assert again.write(f.TaskFailed(**again.rule(), reason="boom")) == ""
    assert again.ledger.ended[ROOT].status is Status.FAILED
    here = read(again, 3)
    here.merge(read(again, 5), ROOT, works_on_nothing)
    here.merge(read(again), ROOT, works_on_nothing)
    assert here.ended[ROOT].status is Status.FAILED
