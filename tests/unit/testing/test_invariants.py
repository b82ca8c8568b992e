"""The audit of a log: what it must not hold against one, and what it must."""

from __future__ import annotations

import pytest

from mesh.core.settings import EVENT_WINDOW_MS
from mesh.testing.invariants import check
from tests.simulation.scribe import ANN, BOB, Scribe, terms


def run(log: Scribe, *, after_ms: int) -> None:
    """Let an event be run, with a step, a child, and a step of that."""
    log.take(lease_ms=30_000, after_ms=after_ms)
    given = {"event_id": "e", "deadline_ms": log.now_ms + 60_000}
    assert log.open_root(terms(ANN), **given) == ""
    assert log.write(log.decided("1")) == ""
    assert log.open_child("2", award=terms(BOB), deadline_ms=log.now_ms + 9_000) == ""
    child = log.child_name("2")
    for fact in (log.begun(of=child), log.done(of=child)):
        assert log.write(fact) == ""
    assert log.write(log.finished(child)) == ""
    assert log.write(log.finished()) == ""


def broken(log: Scribe) -> list[str]:
    return [violation.invariant for violation in check({0: log.records}, all_ended=True)[1]]


def test_an_event_may_run_again_after_the_window_in_which_it_is_answered() -> None:
    log = Scribe()
    run(log, after_ms=1)
    run(log, after_ms=EVENT_WINDOW_MS + 60_000)
    assert broken(log) == []


def test_an_event_that_runs_again_too_early_is_a_task_that_is_opened_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = Scribe()
    run(log, after_ms=1)
    monkeypatch.setattr("mesh.core.book.EVENT_WINDOW_MS", 1_000)
    run(log, after_ms=EVENT_WINDOW_MS - 60_000)
    assert "a task is opened once" in broken(log)


def test_a_second_run_that_does_not_end_is_missed() -> None:
    log = Scribe()
    run(log, after_ms=1)
    log.take(lease_ms=30_000, after_ms=EVENT_WINDOW_MS + 60_000)
    log.open_root(terms(ANN), event_id="e", deadline_ms=log.now_ms + 60_000)
    assert broken(log) == ["every task ends"]
