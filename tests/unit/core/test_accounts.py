"""Figures from facts: what each adds, and that beginning again adds nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.core import facts as f
from mesh.core.accounts import PAST_MS, Accounts, is_own
from mesh.core.facts import Fact, Record
from mesh.core.ledger import Ledger
from mesh.core.standing import UNIT, Standing, Tally, fade
from mesh.core.values import (
    Acceptance,
    Amount,
    Cause,
    Effect,
    Holder,
    Mode,
    Offer,
    Outcome,
    StepKind,
)
from tests.simulation.scribe import ANN, BOB, BOSS, BUDGET, DEADLINE_MS, LEASE_MS, ROOT, Scribe
from tests.simulation.scribe import terms as plain_terms

CAPABILITY = "demo.work"


class Counting(Scribe):
    """Mutable: a log, and the accounts that are kept of it."""

    def __init__(self) -> None:
        super().__init__()
        self.accounts = Accounts(0)
        self.changed: list[str] = []

    def write(self, fact: Fact, *, after_ms: int = 1, repeat: Record | None = None) -> str:
        verdict = super().write(fact, after_ms=after_ms, repeat=repeat)
        self.changed = sorted(self.accounts.see(self.records[-1], self.ledger, verdict))
        return verdict

    def tally(self, agent: str = "ann") -> Tally:
        """Return what is known of an agent."""
        (tally,) = self.accounts.standing(agent).tallies
        return tally

    def figures(self, agent: str = "ann") -> dict[str, int]:
        """Return the figures that are not 0, but for weights, time and version."""
        left_out = {"capability", "version", "work_ms", "good", "bad"}
        told = self.tally(agent)._asdict().items()
        return {name: figure for name, figure in told if figure and name not in left_out}


@pytest.fixture
def log() -> Counting:
    return Counting()


def terms(worker: Holder, epoch: int = 1, cause: Cause = Cause.FIRST, **other: Any) -> Any:
    return plain_terms(worker, epoch, cause, **other)


def offer(worker: Holder, price: int, declined: str = "") -> Offer:
    agent = worker.instance[:-2]
    return Offer(worker.instance, agent, price, 5, 900, True, 500, 700, declined)


def test_nobody_is_known_at_first(log: Counting) -> None:
    assert log.accounts.standing("ann") == Standing(agent="ann", partition=0, since=0, tallies=())
    log.take()
    assert log.changed == []
    assert list(log.accounts.agents) == []
    assert "0 agents" in repr(log.accounts)


def test_a_result_that_is_accepted_is_good(log: Counting) -> None:
    log.begin()
    assert log.changed == ["ann"]
    assert log.figures() == {"won": 1}
    log.write(log.finished(), after_ms=400)
    assert log.figures() == {"won": 1, "finished": 1}
    assert log.tally().work_ms == 400
    assert (log.tally().good, log.tally().bad) == (UNIT, 0)
    assert log.tally().version == log.last + 1


def test_what_is_void_adds_nothing(log: Counting) -> None:
    log.begin()
    assert log.write(log.finished(spent=BUDGET))
    assert log.changed == []
    assert log.figures() == {"won": 1}


@pytest.mark.parametrize(
    ("outcome", "figure", "bad"), [(Outcome.FAILED, "failed", 1), (Outcome.REJECTED, "refused", 0)]
)
def test_a_failure_is_bad_and_a_refusal_is_not(
    log: Counting, outcome: Outcome, figure: str, bad: int
) -> None:
    log.begin()
    assert not log.write(log.finished(outcome=outcome, error="no"))
    assert log.figures() == {"won": 1, figure: 1}
    assert (log.tally().good, log.tally().bad) == (0, bad * UNIT)
    assert log.tally().work_ms == 0


def test_a_review_decides(log: Counting) -> None:
    log.begin(acceptance=Acceptance.REVIEWED)
    log.write(log.finished(), after_ms=100)
    assert log.figures() == {"won": 1}
    refused = f.ResultRejected(**log.rule(), award=log.award(), reason="too short")
    assert not log.write(refused, after_ms=500)
    assert log.figures() == {"won": 1, "rejected": 1}
    assert not log.write(log.awarded(terms(ANN, 2, Cause.REJECTED)))
    log.write(log.finished(), after_ms=50)
    assert not log.write(f.TaskCompleted(**log.rule(), award=log.award()), after_ms=500)
    assert log.figures() == {"won": 2, "rejected": 1, "finished": 1}
    assert (log.tally().good, log.tally().bad) == (UNIT, fade(UNIT))
    assert log.tally().work_ms == 50, "a review's time is not its worker's"


def test_who_dies_has_a_lapsed_lease(log: Counting) -> None:
    log.begin()
    assert not log.write(log.awarded(terms(BOB, 2, Cause.DIED)), after_ms=LEASE_MS + 1)
    assert log.changed == ["ann", "bob"]
    assert log.figures("ann") == {"won": 1, "lapsed": 1}
    assert log.figures("bob") == {"won": 1}
    assert log.tally("ann").bad == UNIT


def test_who_is_too_late_has_a_lapsed_lease(log: Counting) -> None:
    log.begin(deadline_ms=log.now_ms + 500)
    log.write(f.TaskExpired(**log.rule(), reason="late"), after_ms=600)
    assert log.figures() == {"won": 1, "lapsed": 1}


def test_a_task_that_nobody_had_expires_without_blame(log: Counting) -> None:
    log.take(lease_ms=90_000)
    log.open_root(deadline_ms=log.now_ms + 500)
    assert not log.write(f.TaskExpired(**log.rule(), reason="late"), after_ms=600)
    assert list(log.accounts.agents) == []


def test_one_that_failed_is_not_blamed_again_at_the_end(log: Counting) -> None:
    log.begin(max_attempts=1)
    log.write(log.finished(outcome=Outcome.FAILED, error="no"))
    assert not log.write(f.TaskFailed(**log.rule(), reason="no attempt is left"))
    assert log.figures() == {"won": 1, "failed": 1}


def test_a_declined_award_is_neither_good_nor_bad(log: Counting) -> None:
    log.begin()
    assert not log.write(f.AwardDeclined(**log.work(), reason="full"))
    assert not log.write(log.awarded(terms(BOB, 2, Cause.DECLINED)))
    assert log.figures("ann") == {"won": 1, "declined": 1}
    assert (log.tally("ann").good, log.tally("ann").bad) == (0, 0)


def test_going_on_after_a_suspension_is_no_new_award(log: Counting) -> None:
    log.begin()
    assert not log.write(log.suspended(), after_ms=100)
    assert not log.write(log.awarded(terms(ANN, 2, Cause.RESUMED)), after_ms=5_000)
    assert not log.write(log.finished(), after_ms=30)
    assert log.figures() == {"won": 1, "finished": 1}
    assert log.tally().work_ms == 130


def test_who_takes_over_after_a_suspension_is_another(log: Counting) -> None:
    log.begin()
    assert not log.write(log.suspended(), after_ms=100)
    assert not log.write(log.awarded(terms(BOB, 2, Cause.RESUMED)))
    assert not log.write(log.finished(), after_ms=30)
    assert log.figures("ann") == {"won": 1}
    assert log.figures("bob") == {"won": 1, "finished": 1}
    assert log.tally("bob").work_ms == 30


def test_a_cancelled_task_is_neither_good_nor_bad(log: Counting) -> None:
    log.begin()
    log.write(f.CancelRequested(**log.rule(), because="enough", person="eve"))
    assert not log.write(log.cancelled())
    assert not log.write(f.TaskCancelled(**log.rule(), reason="enough"))
    assert log.figures() == {"won": 1}
    assert (log.tally().good, log.tally().bad) == (0, 0)


def test_bids_and_what_they_came_to(log: Counting) -> None:
    log.take(lease_ms=30_000)
    log.open_root(mode=Mode.AUCTION)
    called = f.BidsCalled(
        **log.rule(),
        round=0,
        seed=1,
        candidates=("ann-1", "bob-1", "cyd-1"),
        bids_until_ms=log.now_ms,
        own_offer=None,
    )
    assert not log.write(called)
    offers = (offer(ANN, 40), offer(BOB, 60), offer(Holder("cyd-1", 1), 0, "holiday"))
    auction: dict[str, Any] = {"mode": Mode.AUCTION, "call": log.last, "offers": offers}
    assert not log.write(log.awarded(terms(ANN, 1, **auction)))
    assert sorted(log.accounts.agents) == ["ann", "bob"]
    assert not log.write(log.begun())
    assert not log.write(log.done(spent=Amount(micro_usd=7, tool_calls=1)))
    assert not log.write(log.finished(outcome=Outcome.FAILED, error="no"))
    again: dict[str, Any] = {**auction, "offers": (offer(BOB, 60), offer(ANN, 40, "failed"))}
    assert not log.write(log.awarded(terms(BOB, 2, Cause.FAILED, **again)))
    assert not log.write(log.begun("1"))
    assert not log.write(log.done("1", spent=Amount(micro_usd=9, tool_calls=1)))
    assert not log.write(log.finished())
    assert log.figures("ann") == {"offered": 1, "won": 1, "failed": 1}
    bob = {"offered": 1, "won": 1, "finished": 1, "bid_micro_usd": 60, "spent_micro_usd": 9}
    assert log.figures("bob") == bob, "of what the task cost before, Bob spent nothing"


def test_a_conflict_is_counted(log: Counting) -> None:
    log.begin()
    for step, error in enumerate(
        ("", "conflict: version 3 is current", "refused: no", "contested: x")
    ):
        kind: dict[str, Any] = {"kind": StepKind.WRITE, "name": "k/a"}
        assert not log.write(log.begun(str(step), effect=Effect.KEYED, reserve=Amount(), **kind))
        assert not log.write(log.done(str(step), error=error, spent=Amount(), **kind))
    assert not log.write(log.begun("9"))
    assert not log.write(log.done("9", error="conflict: a tool's own word"))
    assert log.figures() == {"won": 1, "conflicts": 2}


# --- whose word it is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("supervisor", "caller", "own"),
    [
        ("ann.host-1", "", True),
        ("ann", "", True),
        ("bob.host-1", "ann", True),
        ("bob.host-1", "bob", False),
        ("anna.host-1", "", False),
    ],
)
def test_an_agent_can_give_itself_a_task(supervisor: str, caller: str, own: bool) -> None:
    assert is_own("ann", supervisor, caller) is own


def test_what_an_agent_gave_to_itself_does_not_weigh(log: Counting) -> None:
    ann = Holder("ann.host-1", 1)
    log.take(by=ann, lease_ms=30_000)
    award = terms(ann, agent="ann")
    assert not log.open_root(award, by=ann)
    log.write(log.finished())
    assert log.figures() == {"won": 1, "own": 1, "finished": 1}
    assert (log.tally().good, log.tally().bad) == (0, 0)


# --- beginning again ----------------------------------------------------------------------------


def test_what_is_in_the_tallies_is_not_added_twice(log: Counting) -> None:
    log.begin()
    written = log.accounts.standing("ann")
    log.write(log.suspended(), after_ms=100)
    log.write(log.awarded(terms(ANN, 2, Cause.RESUMED)))
    log.write(log.finished(), after_ms=30)
    for known in (written, log.accounts.standing("ann")):
        again, ledger = Accounts(0), Ledger()
        again.restore([known])
        for record in log.records:
            again.see(record, ledger, ledger.add(record))
        assert again.standing("ann") == log.accounts.standing("ann")


def test_a_partition_says_where_its_figures_begin() -> None:
    accounts = Accounts(3)
    accounts.restore([Standing(agent="ann", partition=3, since=17, tallies=())])
    assert accounts.standing("bob").since == 17


def test_what_comes_long_after_the_deadline_adds_nothing(log: Counting) -> None:
    """A successor may not know the workflow any more, and must come to the same."""
    log.take(lease_ms=10**6)
    log.open_root(terms(ANN))
    expired = f.TaskExpired(**log.rule(), reason="late")
    assert not log.write(expired, after_ms=DEADLINE_MS + PAST_MS + 1 - log.now_ms)
    assert log.figures() == {"won": 1}


def test_a_workflow_that_is_not_known_adds_nothing(log: Counting) -> None:
    log.begin()
    accounts = Accounts(0)
    log.write(log.finished())
    assert accounts.see(log.records[-1], log.ledger, "") == ()


def test_memory_is_that_of_what_is_open(log: Counting) -> None:
    log.begin()
    for number in range(9):
        step = str(number)
        child = log.child_name(step)
        given = terms(BOB)
        assert not log.open_child(step, given, grant=Amount(10, 10, 1, 1, 1))
        assert not log.write(log.finished(child))
    (workflow,) = log.accounts._workflows.values()
    assert set(workflow.jobs) <= {ROOT, *map(log.child_name, "678")}
    log.write(log.finished())
    assert not log.accounts._workflows
    assert log.figures("bob") == {"won": 9, "finished": 9}


def test_a_capability_has_a_tally_of_its_own(log: Counting) -> None:
    log.begin()
    assert not log.open_child("0", terms(ANN), by=ANN, capability="demo.other")
    assert not log.write(log.finished(log.child_name("0")))
    assert not log.write(log.finished())
    work, other = sorted(log.accounts.standing("ann").tallies, reverse=True)
    assert (work.capability, work.version) == (CAPABILITY, log.last + 1)
    assert (other.capability, other.version) == ("demo.other", log.last)
    assert (work.finished, other.finished) == (1, 1)


def test_boss_is_no_worker() -> None:
    assert not is_own("ann", BOSS.instance, "")
