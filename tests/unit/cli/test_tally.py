from __future__ import annotations

from mesh.cli.tally import Tally, outcome_of
from mesh.core.book import End
from mesh.core.budget import ZERO
from mesh.core.values import Amount, Body, Cause, Status
from tests.simulation.scribe import ANN, BOB, ROOT, SOURCE, Scribe, body, terms
from tests.unit.cli.conftest import Recorded


def end(status: Status, content: bytes | None) -> End:
    result = Body(b"h", "application/json", content)
    return End(status, "why", result, 1, 2, ZERO, 2, "", "", "", SOURCE, 0)


def test_a_recorded_mesh_in_figures(recorded: Recorded) -> None:
    tally = Tally()
    workflows = recorded.workflows
    ends = []
    for number in (0, 1):
        for record in recorded.records(f"{number}-")[1]:
            void, ended = tally.add(number, record)
            if ended is not None:
                assert not void
                ends.append((getattr(record.fact, "workflow", ""), ended.status))
    assert dict(ends) == {
        workflows["table"]: Status.COMPLETED,
        workflows["chair"]: Status.COMPLETED,
        workflows["ghost"]: Status.FAILED,
        workflows["gold"]: Status.FAILED,
    }
    assert (tally.workflows, tally.completed, tally.failed, tally.ended) == (5, 2, 2, 4)
    assert tally.tasks == 10
    assert tally.sent_back == 1
    assert tally.reawards >= 3
    assert dict(tally.outcomes) == {"buy": 2, "failed": 2}
    assert tally.auctions >= 5
    assert tally.deaths == 0


def test_what_is_void_is_counted_apart() -> None:
    log = Scribe()
    log.begin()
    log.write(log.finished(by=BOB))
    log.write(log.awarded(terms(BOB, 2, Cause.DIED, attempt=2)), after_ms=2_000)
    log.write(log.finished(by=ANN))
    tally = Tally()
    for record in log.records:
        tally.add(0, record)
    assert (tally.void, tally.deaths, tally.reawards, tally.records) == (2, 1, 1, 5)


def test_an_end_is_told_once() -> None:
    log = Scribe()
    log.begin()
    log.write(log.finished())
    tally = Tally()
    told = [tally.add(0, record)[1] for record in [*log.records, *log.records]]
    assert sum(one is not None for one in told) == 1
    assert tally.ledger(0).ended[ROOT].body != body("result"), "contents are let go"


def test_an_outcome_is_the_word_that_the_result_has_for_it() -> None:
    assert outcome_of(end(Status.COMPLETED, b'{"decision":"clear"}')) == "clear"
    assert outcome_of(end(Status.COMPLETED, b'{"decision":7}')) == "completed"
    assert outcome_of(end(Status.COMPLETED, b"[1]")) == "completed"
    assert outcome_of(end(Status.COMPLETED, None)) == "completed"
    assert outcome_of(end(Status.EXPIRED, None)) == "expired"


def test_what_a_workflow_spent_is_known_while_it_runs_and_after() -> None:
    log = Scribe()
    log.begin()
    log.write(log.reserved(amount=Amount(micro_usd=7)))
    log.write(log.settled(amount=Amount(micro_usd=5)))
    tally = Tally()
    for record in log.records:
        tally.add(0, record)
    spent, granted = tally.paid(ROOT)
    assert (spent, granted > 5) == (5, True)
    assert tally.paid("0-other") == (0, 0)
    log.write(log.finished())
    tally.add(0, log.records[-1])
    assert tally.paid(ROOT) == (5, 0)
