"""What is known of a log, and for how long. What gets in is judged in `test_ledger.py`."""

from __future__ import annotations

import pytest

from mesh.core.book import Book, End
from mesh.core.budget import ZERO
from mesh.core.ledger import Ledger
from mesh.core.settings import EVENT_WINDOW_MS
from mesh.core.tasks import Header, Supervision, TaskState
from mesh.core.values import NOTHING, Status
from tests.simulation.scribe import BOB, BOSS, ELSEWHERE, ROOT, SOURCE, Scribe, terms


@pytest.fixture
def log() -> Scribe:
    scribe = Scribe()
    scribe.begin()
    return scribe


def end(log_time_ms: int) -> End:
    spent, source, record = ZERO, SOURCE, 0
    return End(
        Status.COMPLETED,
        "",
        NOTHING,
        1,
        log_time_ms,
        spent,
        log_time_ms,
        "",
        "",
        "",
        source,
        record,
    )


def test_a_book_shows_itself(log: Scribe) -> None:
    assert repr(log.ledger) == f"Ledger(log_time={log.now_ms}, open=1, ended=0)"
    assert repr(Book()) == "Book(log_time=0, open=0, ended=0)"
    assert repr(log.task()).startswith(f"TaskState({ROOT} demo.work working epoch=1 attempts=0")


def test_a_book_that_begins_in_the_middle_knows_the_supervision_from_its_header() -> None:
    seen = Supervision(SOURCE, 3, BOSS, 1_000, 2_000)
    book = Book.begin(Header(7, 1_500, (seen,)))
    assert book.log_time_ms == 1_500
    assert book.supervision(SOURCE) == seen
    assert book.supervision(ELSEWHERE) is None
    assert book.supervisions[SOURCE].running(2_000)
    assert not book.supervisions[SOURCE].running(2_001)


def test_log_time_only_grows() -> None:
    book = Book()
    book.observe(5)
    book.observe(3)
    assert book.log_time_ms == 5


def test_the_nearest_running_award_above_is_the_authority(log: Scribe) -> None:
    log.open_child(award=terms(BOB))
    child = log.task(log.child_name())
    assert log.ledger.authority_over(child) is log.task().lease
    log.write(log.suspended())
    assert log.ledger.authority_over(child) is log.ledger.supervisions[SOURCE]


def test_who_does_not_know_the_ancestors_knows_no_authority(log: Scribe) -> None:
    log.open_child()
    alone = Ledger()
    alone.learn(log.records[-1])
    assert alone.authority_over(alone.tasks[log.child_name()]) is None


def test_what_is_below_costs_too_and_runs_too(log: Scribe) -> None:
    log.open_child(award=terms(BOB))
    name = log.child_name()
    log.write(log.begun(of=name))
    book, root = log.ledger, log.task()
    assert book.running_below(root)
    assert list(book.descendants(root)) == [log.task(name)]
    assert book.cost(root) == ZERO._replace(micro_usd=10, tool_calls=1, hops=1)


def test_an_end_is_remembered_for_a_window_of_log_time() -> None:
    book = Book()
    book.observe(1_000)
    book.remember("0-a", end(1_000))
    book.observe(1_000 + EVENT_WINDOW_MS)
    book.remember("0-b", end(book.log_time_ms))
    assert book.remembers("0-a")
    book.observe(book.log_time_ms + 1)
    assert not book.remembers("0-a")
    assert not book.remembers("0-c")
    book.remember("0-c", end(book.log_time_ms))
    assert list(book.ended) == ["0-b", "0-c"]


def test_an_end_that_comes_again_is_the_latest() -> None:
    book = Book()
    for name in ("0-a", "0-b", "0-a"):
        book.remember(name, end(0))
    assert list(book.ended) == ["0-b", "0-a"]


def test_what_is_put_takes_the_place_of_what_was_known(log: Scribe) -> None:
    old = log.task()
    position = log.award()
    new = TaskState(old.opened, 0, 0)
    log.ledger.put(new)
    assert log.task() is new
    assert position not in log.ledger.awards
    log.ledger.put(old)
    assert log.ledger.awards == {position: old}


def test_a_workflow_is_forgotten_with_all_that_is_below(log: Scribe) -> None:
    log.open_child(award=terms(BOB))
    book, root = log.ledger, log.task()
    assert [task.opened.task for task in book.open_tasks(ROOT)] == [ROOT, log.child_name()]
    book.forget_workflow(ROOT)
    assert (book.tasks, book.awards, book.members) == ({}, {}, {})
    book.forget(root)
    assert not book.ended, "that says nothing of the log"


def test_children_that_are_not_known_are_passed_over(log: Scribe) -> None:
    log.open_child()
    log.ledger.forget(log.task(log.child_name()))
    assert list(log.ledger.children(log.task())) == []


def test_a_supervision_that_was_given_up_is_nobodys(log: Scribe) -> None:
    log.ledger.supervisions[SOURCE].held = False
    assert log.ledger.supervision(SOURCE) is None
