"""Every kind of fact is looked at; what the checks say is told in `test_ledger_work.py`."""

from __future__ import annotations

from typing import get_args

import pytest

from mesh.core import facts as f
from mesh.core.rules import BEGINS, CHECKS, check_opened
from mesh.core.settings import MAX_ANCESTORS
from mesh.core.values import Acceptance, Ancestor, Cause, StepKind
from tests.simulation.scribe import BOB, ROOT, Scribe, terms


@pytest.fixture
def log() -> Scribe:
    scribe = Scribe()
    scribe.begin()
    return scribe


def test_what_has_no_check_needs_none_but_its_phase() -> None:
    kinds = {*get_args(f.SupervisorFact), *get_args(f.WorkerFact)}
    assert kinds - set(CHECKS) == {
        f.TaskOpened,
        f.BidsCalled,
        f.CancelRequested,
        f.WorkSuspended,
    }


def test_steps_that_reach_outside_have_a_beginning() -> None:
    assert {StepKind.TOOL, StepKind.MODEL, StepKind.SLEEP, StepKind.WRITE} == BEGINS


def test_a_chain_of_delegations_is_limited(log: Scribe) -> None:
    above = Ancestor("0-a", "demo.work", "ann", b"")
    assert log.open_child(ancestors=(above,) * (MAX_ANCESTORS + 1)) == (
        f"a chain is at most {MAX_ANCESTORS} long"
    )
    assert log.open_child(ancestors=(above,) * MAX_ANCESTORS) == ""


def test_a_check_may_be_asked_before_anything_is_written(log: Scribe) -> None:
    assert check_opened(log.ledger, log.child()) == ""
    log.open_child()
    assert check_opened(log.ledger, log.child()) == "the task exists already"


def test_the_budget_s_attempts_are_a_limit_too(log: Scribe) -> None:
    log.write(log.reserved(amount=log.task().purse.free._replace(micro_usd=0, hops=0)))
    award = log.awarded(terms(BOB, 2, Cause.DIED))
    assert log.write(award, after_ms=2_000) == "the budget has no attempt left"


def test_a_check_names_the_award_that_it_checked() -> None:
    log = Scribe()
    log.begin(acceptance=Acceptance.REVIEWED)
    log.write(log.finished())
    accepted = f.TaskCompleted(**log.rule(), award=99)
    assert log.write(accepted) == "another award is current"
    assert log.write(f.TaskCompleted(**log.rule(), award=log.award())) == ""
    assert ROOT in log.ledger.ended
