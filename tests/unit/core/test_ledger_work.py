"""What counts: journals and budgets. Authority and time are in `test_ledger.py`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core import facts as f
from mesh.core.budget import ZERO
from mesh.core.tasks import StepState
from mesh.core.values import Amount, Cause, Effect, Outcome, Status, StepKind
from tests.simulation.scribe import ANN, BOB, BUDGET, LEASE_MS, ROOT, Scribe, body, terms

OVER = LEASE_MS + 1


@pytest.fixture
def log() -> Scribe:
    scribe = Scribe()
    scribe.begin()
    return scribe


def step(log: Scribe, name: str = "0") -> StepState:
    return log.task().steps[name]


# --- steps --------------------------------------------------------------------------------------


def test_a_step_begins_and_is_finished_once(log: Scribe) -> None:
    assert log.write(log.begun()) == ""
    assert step(log).result is None
    assert log.write(log.done()) == ""
    result = step(log).result
    assert result is not None
    assert (result.status, result.body, result.offset) == (Status.COMPLETED, body("done"), log.last)
    assert log.write(log.done()) == "the step is finished"
    assert log.write(log.begun()) == "the step is finished"


def test_a_failed_step_keeps_its_error(log: Scribe) -> None:
    log.write(log.begun())
    log.write(log.done(error="KeyError"))
    result = step(log).result
    assert result is not None
    assert (result.status, result.reason) == (Status.FAILED, "KeyError")


def test_a_step_is_begun_once_under_each_award(log: Scribe) -> None:
    log.write(log.begun())
    assert log.write(log.begun()) == "the step was begun under this award"
    log.write(log.awarded(terms(BOB, 2, Cause.DIED)), after_ms=OVER)
    assert log.write(log.begun(kind=StepKind.MODEL)) == "the journal has another step under this id"
    begun_ms = step(log).begun_ms
    assert log.write(log.begun()) == ""
    assert step(log).begun_ms == begun_ms, "a sleep goes on from its first beginning"


def test_a_step_that_does_not_match_its_beginning_is_void(log: Scribe) -> None:
    log.write(log.begun())
    for wrong in ({"kind": StepKind.MODEL}, {"name": "get"}, {"input_hash": b"other"}):
        assert log.write(log.done(**wrong)) == "the journal has another step under this id"


def test_only_an_artifact_needs_no_beginning(log: Scribe) -> None:
    assert log.write(log.done()) == "the step was not begun"
    kept = log.done(kind=StepKind.ARTIFACT, spent=ZERO)
    assert log.write(replace(kept, spent=Amount(tokens=1))) == "it was not reserved"
    assert log.write(kept) == ""
    assert log.write(kept) == "the step is finished"


@pytest.mark.parametrize("kind", [StepKind.DELEGATE, StepKind.SPEND, StepKind.DECISION])
def test_other_kinds_have_other_facts(log: Scribe, kind: StepKind) -> None:
    assert log.write(log.begun(kind=kind)) == f"a {kind} has no such beginning"


def test_a_delegation_ends_with_its_child_alone(log: Scribe) -> None:
    log.open_child()
    child = log.task(log.child_name()).opened
    claim = log.done(kind=StepKind.DELEGATE, name=child.capability, input_hash=child.input.hash)
    assert log.write(claim) == "a delegate has no such end"
    assert step(log).result is None


def test_a_decision_is_a_step(log: Scribe) -> None:
    assert log.write(log.decided()) == ""
    assert log.write(log.decided()) == "the step is finished"
    assert step(log).kind is StepKind.DECISION


def test_steps_are_limited(log: Scribe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.core.rules.MAX_STEPS", 1)
    log.write(log.begun("0"))
    void = "a task has at most 1 steps"
    assert log.write(log.begun("1")) == void
    assert log.write(log.done("1", kind=StepKind.ARTIFACT, spent=ZERO)) == void
    assert log.write(log.reserved("1")) == void
    assert log.write(log.decided("1")) == void
    assert log.open_child("1") == void
    assert log.write(log.done("0")) == ""


# --- budgets ------------------------------------------------------------------------------------


def test_a_call_settles_what_it_reserved(log: Scribe) -> None:
    log.write(log.begun(reserve=Amount(micro_usd=10, tool_calls=1)))
    assert log.task().purse.reserved == Amount(micro_usd=10, tool_calls=1)
    assert log.write(log.done(spent=Amount(micro_usd=11))) == "it cost more than was reserved"
    assert log.write(log.done(spent=Amount(micro_usd=-1))) == "it cost more than was reserved"
    assert log.write(log.done(spent=Amount(micro_usd=4, tool_calls=1))) == ""
    assert log.task().purse.spent == Amount(micro_usd=4, tool_calls=1)
    assert log.task().purse.free == Amount(996, 1_000, 99, 20, 10)


def test_a_step_without_a_price_costs_nothing(log: Scribe) -> None:
    log.write(log.begun(kind=StepKind.SLEEP, reserve=ZERO))
    assert log.write(log.done(kind=StepKind.SLEEP, spent=ZERO)) == ""
    assert log.task().purse.free == BUDGET


@pytest.mark.parametrize("amount", [Amount(micro_usd=1_001), Amount(tokens=-1)])
def test_nothing_is_reserved_beyond_what_is_free(log: Scribe, amount: Amount) -> None:
    void = "the reservation is above what is free"
    assert log.write(log.begun(reserve=amount)) == void
    assert log.write(log.reserved(amount=amount)) == void
    assert log.task().purse.free == BUDGET


def test_a_spending_is_reserved_and_settled(log: Scribe) -> None:
    assert log.write(log.reserved()) == ""
    assert log.write(log.settled(amount=Amount(micro_usd=51))) == "it cost more than was reserved"
    assert log.write(log.settled()) == ""
    assert step(log).result is not None
    assert log.write(log.settled()) == "no such reservation is open"
    assert log.write(log.reserved(number=1)) == "the step is finished"
    assert log.task().purse.spent == Amount(micro_usd=30)


def test_reservations_of_a_step_are_numbered(log: Scribe) -> None:
    assert log.write(log.reserved(number=1)) == "another number is the step's next reservation"
    assert log.write(log.reserved()) == ""
    assert log.write(log.reserved()) == "another number is the step's next reservation"
    assert log.write(log.reserved(number=1)) == ""


def test_what_a_call_cost_above_its_reservation_is_reserved_anew(log: Scribe) -> None:
    log.write(log.begun())
    log.write(log.done())
    assert log.write(log.reserved(number=1)) == ""
    assert log.write(log.settled(number=1)) == ""
    assert log.task().purse.spent == Amount(micro_usd=37, tool_calls=1)
    assert step(log).kind is StepKind.TOOL


def test_open_reservations_are_charged_when_the_worker_dies(log: Scribe) -> None:
    log.write(log.begun("0"))
    log.write(log.reserved("1"))
    log.write(log.awarded(terms(BOB, 2, Cause.DIED)), after_ms=OVER)
    purse = log.task().purse
    assert (purse.reserved, purse.spent) == (ZERO, Amount(60, 0, 1, 0, 1))
    assert step(log, "0").result is None, "the call may be made again"
    assert step(log, "1").result is not None, "the money is gone, so the spending is done"
    assert log.write(log.settled("1")) == "no such reservation is open"
    log.write(log.begun("0"))
    log.write(log.done("0"))
    assert purse.spent == Amount(67, 0, 2, 0, 1)


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.FAILED])
def test_open_reservations_are_charged_when_the_work_ends(log: Scribe, outcome: Outcome) -> None:
    log.write(log.begun())
    assert log.write(log.finished(outcome=outcome)) == ""
    if outcome is Outcome.FAILED:
        assert log.task().purse.spent == Amount(micro_usd=10, tool_calls=1)
        log.write(f.TaskFailed(**log.rule(), reason="no"))
    assert log.ledger.ended[ROOT].spent == Amount(micro_usd=10, tool_calls=1)


def test_who_gives_up_must_say_what_it_cost(log: Scribe) -> None:
    log.write(log.begun())
    cost = tuple(Amount(micro_usd=10, tool_calls=1))
    for fact in (log.finished(spent=ZERO), log.cancelled(spent=ZERO)):
        assert log.write(fact) == f"the log says that it cost {cost}"


def test_giving_up_charges_what_is_open(log: Scribe) -> None:
    log.write(log.begun())
    assert log.write(log.suspended()) == ""
    assert log.task().purse.spent == Amount(micro_usd=10, tool_calls=1)
    log.write(log.awarded(terms(BOB, 2, Cause.RESUMED)))
    log.write(log.reserved("1"))
    assert log.write(log.cancelled()) == ""
    assert log.task().purse.spent == Amount(micro_usd=60, tool_calls=1)
    assert log.task().purse.balanced()


# --- children -----------------------------------------------------------------------------------


def test_a_child_brings_back_what_it_did_not_spend(log: Scribe) -> None:
    log.open_child(award=terms(BOB))
    name, purse = log.child_name(), log.task().purse
    assert purse.granted == Amount(100, 100, 10, 5, 2)
    assert purse.spent == Amount(hops=1)
    log.write(log.begun(of=name))
    log.write(log.done(of=name))
    log.write(log.finished(name))
    assert purse.granted == ZERO
    assert purse.spent == Amount(micro_usd=7, tool_calls=1, hops=1)
    assert purse.balanced()
    assert step(log).spent == Amount(micro_usd=7, tool_calls=1)


def test_a_childs_end_is_the_delegations_result(log: Scribe) -> None:
    log.open_child()
    assert (
        log.write(
            f.TaskFailed(workflow=ROOT, task=log.child_name(), **log.under(), reason="nobody")
        )
        == ""
    )
    result = step(log).result
    assert result is not None
    assert (result.status, result.reason) == (Status.FAILED, "nobody")
    assert log.open_child() == "the step has a result or a child already"


def test_an_end_above_charges_what_is_open_below(log: Scribe) -> None:
    log.open_child(award=terms(BOB))
    log.write(log.begun(of=log.child_name()))
    assert log.write(log.finished(), after_ms=1) == "a lease below is running"
    log.write(log.awarded(terms(ANN, 2, Cause.DIED)), after_ms=2 * LEASE_MS)
    log.write(log.finished())
    assert log.ledger.ended[ROOT].spent == Amount(10, 0, 1, 1, 1)


def test_money_granted_is_not_free(log: Scribe) -> None:
    log.open_child("0", grant=BUDGET._replace(hops=19))
    assert log.write(log.reserved("1")) == "the reservation is above what is free"
    assert log.open_child("1", grant=ZERO) == "the grant is above what is free", "no hop is left"


def test_effects_keep_their_class(log: Scribe) -> None:
    log.write(log.begun(effect=Effect.IRREVERSIBLE))
    assert step(log).effect is Effect.IRREVERSIBLE
