"""What `bench.chaos` found on real Kafka, each as the smallest story that shows it."""

from __future__ import annotations

from dataclasses import replace

from mesh.core import calls as c
from mesh.core import facts as f
from mesh.core.desk import BEGINNING
from mesh.core.values import Acceptance, Mode
from tests.unit.core.fleet import PART, ROOTS, Fleet, boss_and, card, delegate, sleep

LEAF = "demo.leaf"
DIED_MS = 13_000
LONG_MS = 31_000


def test_a_child_in_review_wakes_its_suspended_parent() -> None:
    """Nobody but the parent's handler can check the result, and it was unwound."""
    fleet, (boss, ann) = boss_and("ann")
    root = boss.submit()
    part = boss.delegate(root, acceptance=Acceptance.REVIEWED)
    fleet.wait(LONG_MS)
    boss.give_up(root)
    assert fleet.facts(f.WorkSuspended)
    ann.finish(part)
    fleet.wait(1_000)
    assert len(boss.heard(c.Start)) == 2
    assert fleet.task(root).epoch == 2


def test_the_scope_that_counts_is_that_of_who_delegated() -> None:
    """While the parent is suspended, who is further up awards: its own scope has no say."""
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability)
    ann = fleet.join("ann", PART)
    leaf, other = fleet.join("leaf", LEAF), fleet.join("other", LEAF)
    boss.card = replace(card("boss", ROOTS.capability), calls=(PART,), version="2.0")
    fleet.announce(boss)
    boss.owns()
    task = boss.delegate(boss.submit())
    below = ann.delegate(task, capability=LEAF, mode=Mode.AUCTION)
    worker, heir = (leaf, other) if below in leaf.works else (other, leaf)
    fleet.wait(LONG_MS)
    ann.give_up(task)
    worker.die()
    fleet.wait(2 * DIED_MS)
    assert below in heir.works


def test_a_worker_that_another_supervisor_found_is_watched() -> None:
    """The root was somebody's, who gave the part to Bob and was suspended; then Bob died."""
    fleet, (boss, ann) = boss_and("ann")
    root = boss.submit()
    part = boss.delegate(root, acceptance=Acceptance.REVIEWED)
    second = fleet.join("boss", ROOTS.capability, slots=0)
    third = fleet.join("boss", ROOTS.capability)
    boss.die()
    ann.finish(part)
    fleet.wait(DIED_MS)
    second.owns(ROOTS, BEGINNING)
    fleet.wait(1_000)
    third.call(root, delegate(acceptance=Acceptance.REVIEWED))
    bob = fleet.join("bob", PART)
    review = third.heard(c.Review)[0]
    third.give(c.Reviewed(root, third.works[root].award, part, review.child_award, "again"))
    fleet.wait(1_000)
    assert part in bob.works
    bob.call(part, sleep(ms=10**6))
    third.give_up(root)
    bob.die()
    fleet.wait(2 * DIED_MS)
    assert fleet.task(part).epoch == 3
