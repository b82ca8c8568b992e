from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core import facts as f
from mesh.core.meters import BOUNDS_MS, MAX_CAPABILITIES, OTHER, Meter, Name, Spread
from mesh.core.values import (
    Acceptance,
    Amount,
    Cause,
    Holder,
    Mode,
    Offer,
    Outcome,
    Status,
    StepKind,
)
from tests.simulation.scribe import ANN, BOB, BOSS, ROOT, Scribe, terms

WORK = "demo.work"


class Metered(Scribe):
    """Meters every fact that counts, as if all were one instance's own."""

    def __init__(self) -> None:
        super().__init__()
        self.meter = Meter()

    def write(self, fact: f.Fact, *, after_ms: int = 1, repeat: f.Record | None = None) -> str:
        before = self.ledger.tasks.get(getattr(fact, "task", ""))
        void = super().write(fact, after_ms=after_ms, repeat=repeat)
        task = before or self.ledger.tasks.get(getattr(fact, "task", ""))
        if task is not None and not void:
            self.meter.see(self.records[-1], task)
        return void

    def count(self, what: str, *of: str, capability: str = WORK) -> int:
        return self.meter.counts[Name(what, capability, of)]

    def spread(self, what: str, *of: str) -> Spread:
        return self.meter.spreads[Name(what, WORK, of)]


@pytest.fixture
def log() -> Metered:
    scribe = Metered()
    scribe.begin()
    return scribe


def offer(declined: str = "") -> Offer:
    return Offer("bob-1", "bob", 1, 1, 900, True, 1000, 500, declined)


def test_a_root_task_is_opened_awarded_done_and_paid(log: Metered) -> None:
    log.write(log.begun())
    log.write(log.done())
    log.write(log.finished(), after_ms=90)
    assert log.count("tasks_opened", "root", "direct") == 1
    assert log.count("awards", "direct", "first") == 1
    assert log.count("granted", "micro_usd") == 1_000
    assert log.count("steps", "tool", "done") == 1
    assert (log.count("spent", "micro_usd"), log.count("spent", "tool_calls")) == (7, 1)
    assert log.count("spent", "tokens") == 0
    assert log.count("tasks_ended", "completed") == 1
    assert log.spread("award_ms", "direct").total == 0
    assert log.spread("task_ms").total == 92
    assert log.spread("task_ms").counts[BOUNDS_MS.index(100)] == 1


def test_a_child_is_counted_as_one_and_its_grant_is_not_new_money(log: Metered) -> None:
    log.open_child(award=terms(BOB))
    assert log.count("tasks_opened", "child", "direct") == 1
    assert log.count("granted", "micro_usd") == 1_000


def test_an_auction_is_counted_with_its_bids_and_its_wait() -> None:
    log = Metered()
    log.take(lease_ms=30_000)
    log.open_root(None, mode=Mode.AUCTION)
    called = f.BidsCalled(
        **log.rule(), round=1, seed=1, candidates=("bob",), bids_until_ms=0, own_offer=None
    )
    log.write(called)
    terms_of = terms(BOB, mode=Mode.AUCTION, call=log.last, offers=(offer(), offer("busy")))
    assert not log.write(log.awarded(terms_of), after_ms=39)
    assert log.count("awards", "auction", "first") == 1
    assert (log.spread("bids").total, log.spread("bids").counts[:3]) == (1, [0, 1, 0])
    assert log.spread("award_ms", "auction").total == 40


def test_an_award_after_a_death_is_no_first_one_and_waits_for_nobody(log: Metered) -> None:
    log.write(log.awarded(terms(BOB, 2, Cause.DIED)), after_ms=1_001)
    assert log.count("awards", "direct", "died") == 1
    assert sum(log.spread("award_ms", "direct").counts) == 1, "the first alone"


def test_steps_that_fail_settled_money_and_decisions(log: Metered) -> None:
    log.write(log.begun())
    log.write(log.done(error="ToolFailed: no", spent=Amount()))
    log.write(log.reserved("1"))
    log.write(log.settled("1"))
    log.write(log.decided("2"))
    assert log.count("steps", "tool", "failed") == 1
    assert log.count("steps", StepKind.DECISION, "done") == 1
    assert log.count("spent", "micro_usd") == 30


def test_suspended_and_declined(log: Metered) -> None:
    log.write(log.suspended())
    log.write(log.awarded(terms(BOB, 2, Cause.RESUMED)))
    log.write(f.AwardDeclined(**log.work(), reason="full"))
    assert (log.count("suspensions"), log.count("declined")) == (1, 1)


def test_a_result_that_waits_for_a_check_is_no_end_and_may_be_refused() -> None:
    log = Metered()
    log.begin(acceptance=Acceptance.REVIEWED)
    award = log.award()
    log.write(log.finished())
    assert log.count("tasks_ended", "completed") == 0
    log.write(f.ResultRejected(**log.rule(), award=award, reason="thin"))
    assert log.count("results_rejected") == 1
    log.write(log.awarded(terms(ANN, 2, Cause.REJECTED)))
    award = log.award()
    log.write(log.finished())
    log.write(f.TaskCompleted(**log.rule(), award=award))
    assert log.count("tasks_ended", "completed") == 1


def test_an_attempt_that_failed_is_no_end_and_an_end_has_its_status() -> None:
    log = Metered()
    log.begin()
    log.write(log.finished(outcome=Outcome.FAILED, error="no"))
    assert log.count("tasks_ended", "failed") == 0
    assert not log.write(f.TaskFailed(**log.rule(), reason="no attempt is left"))
    assert log.count("tasks_ended", "failed") == 1


def test_what_is_void_or_about_no_task_is_not_counted(log: Metered) -> None:
    before = dict(log.meter.counts)
    assert log.write(log.awarded(terms(BOB, 2)))
    assert log.write(replace(log.done(), by=Holder("eve-1", 1)))
    log.write(f.LeaseRenewed(by=ANN, awards=(log.award(),)))
    log.write(
        f.CancelRequested(workflow=ROOT, task=ROOT, by=BOSS, authority=log.supervision,
                          because="no need", person="")
    )  # fmt: skip
    assert dict(log.meter.counts) == before


def test_what_a_journal_answers_is_counted() -> None:
    meter = Meter()
    meter.replayed(WORK)
    meter.replayed(WORK)
    assert +meter.counts == {Name("replayed", WORK): 2}


def test_what_did_not_happen_is_there_with_nothing(log: Metered) -> None:
    assert {own.of: n for own, n in log.meter.counts.items() if own.what == "tasks_ended"} == {
        (status,): 0 for status in Status
    }
    awards = {own.of: n for own, n in log.meter.counts.items() if own.what == "awards"}
    assert awards == {("direct", cause): int(cause is Cause.FIRST) for cause in Cause}


def test_capabilities_beyond_the_most_share_their_numbers() -> None:
    meter = Meter()
    for number in range(MAX_CAPABILITIES + 5):
        meter.replayed(f"demo.c{number}")
    assert len(+meter.counts) == MAX_CAPABILITIES + 1
    assert meter.counts[Name("replayed", OTHER)] == 5
    assert repr(meter).endswith(" 0 spreads)")


def test_a_value_on_a_bound_is_within_it_and_one_above_all_is_beyond() -> None:
    spread = Spread((1, 2))
    for value in (0, 1, 2, 3):
        spread.add(value)
    assert (spread.counts, spread.total) == ([2, 1, 1], 6)
    assert repr(spread) == "Spread(4 of 6)"
