"""What workers tell of the tasks that a node supervises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mesh.core import facts as f
from mesh.core import messages as m
from tests.unit.core.fleet import PART, Fleet, Peer, boss_and, use

DIED_MS = 18_000


def delegated() -> tuple[Fleet, Peer, Peer, str, str]:
    """Return a boss at work on a root task, and Ann who works on a part of it."""
    fleet, (boss, ann) = boss_and("ann")
    root = boss.submit()
    return fleet, boss, ann, root, boss.delegate(root)


def outcome_of(ann: Peer, **other: Any) -> m.Outcome:
    return replace(ann.sent(m.Outcome)[-1], **other)


def test_an_outcome_of_an_award_that_is_not_current_is_refused() -> None:
    fleet, boss, ann, _, task = delegated()
    ann.finish(task, "boom")
    fleet.wait(1_000)
    ann.send(boss, outcome_of(ann))
    assert boss.refusals == ["another award is current"]
    assert ann.works[task].epoch == 2


def test_an_outcome_by_somebody_else_is_refused() -> None:
    fleet, boss, ann, _, task = delegated()
    fleet.lose(m.Outcome)
    ann.finish(task)
    eve = fleet.join("eve", PART)
    eve.send(boss, outcome_of(ann))
    assert boss.refusals == ["another award is current"]
    assert task in boss.node.supervisor.watches


def test_an_outcome_whose_fact_gives_nothing_up_is_refused() -> None:
    fleet, boss, ann, root, task = delegated()
    fleet.lose(m.Outcome)
    ann.call(task, use())
    ann.finish(task)
    record = ann.sent(m.Outcome)[0].record
    begun = next(r for r in fleet.logs[0].records if isinstance(r.fact, f.StepBegun))
    fact = record.fact
    assert isinstance(fact, f.WorkFinished)
    for wrong in (
        begun,
        record._replace(fact=replace(fact, task=root)),
        record._replace(fact=replace(fact, authority=99)),
        record._replace(fact=replace(fact, by=boss.me)),
        record._replace(fact=f.LeaseRenewed(by=ann.me, awards=(1,))),
    ):
        ann.send(boss, outcome_of(ann, record=wrong))
    assert boss.refusals == ["the fact is not the award's"] * 5
    ann.send(boss, outcome_of(ann))
    assert "0" in boss.results(root)


def test_what_is_said_of_a_task_that_is_not_supervised_here_is_refused() -> None:
    _, boss, ann, root, task = delegated()
    ann.finish(task)
    boss.finish(root)
    ann.send(boss, outcome_of(ann))
    progress = m.Progress(workflow=root, task=task, award=2, lease_end_ms=0, text="")
    adopted = m.Adopted(workflow=root, task=task, award=2, status="running", lease_end_ms=0)
    ann.send(boss, progress)
    ann.send(boss, adopted)
    assert boss.refusals == ["the task is not supervised here"] * 3


def test_a_claim_of_a_long_lease_is_believed_for_one_lease_at_most() -> None:
    fleet, boss, ann, root, task = delegated()
    award = ann.works[task].award
    claim = m.Progress(workflow=root, task=task, award=award, lease_end_ms=10**12, text="")
    ann.send(boss, claim)
    bob = fleet.join("bob", PART)
    ann.die()
    fleet.wait(DIED_MS)
    assert task in bob.works
