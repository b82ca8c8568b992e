"""The scenarios: each function plays one on a stage, and its docstring heads the transcript."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mesh.core import calls as c
from mesh.core import messages as m
from mesh.core.values import Acceptance, Amount, Effect, Mode
from tests.scenarios.stage import Stage
from tests.unit.core.fleet import PART, ROOTS, Peer, bids, decide, delegate, offered, sleep, use
from tests.unit.core.orders import halt, lift

LEAF: Final = "demo.leaf"
SHORT_MS: Final = 2_000
"""A lease of a scenario in which one must run out."""
DIED_MS: Final = 5_000
"""Such a lease, the clocks' difference, the pause before the next attempt, and some patience."""


def refuses(call: m.CallForBids) -> m.Decline:
    """Pass, in an auction."""
    return m.Decline(task=call.task, call=call.call, reason="too little time")


def boss_on(stage: Stage) -> tuple[Peer, str]:
    """Return a boss at work on a root task."""
    boss = stage.join("boss", ROOTS.capability)
    boss.owns()
    return boss, boss.submit(reply_topic="demo.replies.eve", correlation_id="7")


# --- who does it --------------------------------------------------------------------------------


def done_by_its_own_supervisor(stage: Stage) -> None:
    """A root task that its supervisor does itself costs two facts, and is answered."""
    boss, task = boss_on(stage)
    stage.wait(1_000)
    boss.finish(task)
    stage.wait(1_000)


def delegated_directly(stage: Stage) -> None:
    """A part is given to one of two, nobody is asked: two facts and two messages."""
    ann, bob = stage.join("ann", PART), stage.join("bob", PART)
    boss, task = boss_on(stage)
    boss.delegate(task)
    worker = ann if ann.works else bob
    (part,) = worker.works
    worker.call(part, use("0"))
    stage.wait(500)
    worker.done(part, "0", spent=Amount(micro_usd=7))
    worker.finish(part)
    boss.finish(task)


def auctioned(stage: Stage) -> None:
    """Three bid, a fourth declines; every bid and its score stand in the award."""
    stage.join("ann", PART, bidder=bids(price=300, eta_ms=1_000))
    bob = stage.join("bob", PART, bidder=bids(price=100, eta_ms=9_000))
    stage.join("carl", PART, bidder=refuses)
    stage.join("dora", PART, bidder=bids(price=450, eta_ms=500))
    boss, task = boss_on(stage)
    part = boss.delegate(task, mode=Mode.AUCTION)
    bob.finish(part)
    boss.finish(task)


def named(stage: Stage) -> None:
    """The caller names an agent; it is waited for until it is there."""
    stage.join("ann", PART)
    boss, task = boss_on(stage)
    part = boss.delegate(task, mode=Mode.NAMED, named_agent="bob")
    stage.wait(1_500)
    bob = stage.join("bob", PART)
    bob.finish(part)
    boss.finish(task)


# --- who dies -----------------------------------------------------------------------------------


def a_worker_dies(stage: Stage) -> None:
    """Its successor replays the journal, does nothing twice, and adopts the child that runs."""
    ann = stage.join("ann", offered(PART, lease_ms=SHORT_MS))
    carl = stage.join("carl", LEAF)
    boss, task = boss_on(stage)
    part = boss.delegate(task)
    ann.call(part, use("0"))
    ann.done(part, "0", spent=Amount(micro_usd=7))
    leaf = ann.delegate(part, "1", capability=LEAF)
    bob = stage.join("bob", offered(PART, lease_ms=SHORT_MS))
    ann.die()
    stage.wait(DIED_MS)
    bob.call(part, use("0"))
    bob.call(part, delegate("1", capability=LEAF))
    carl.finish(leaf)
    bob.finish(part)
    boss.finish(task)


def a_supervisor_dies(stage: Stage) -> None:
    """The group gives its partition to another, who recovers the root task from the log."""
    ann = stage.join("ann", PART)
    boss, task = boss_on(stage)
    part = boss.delegate(task)
    heir = stage.join("boss", ROOTS.capability)
    boss.die()
    stage.wait(3_000)
    heir.owns()
    stage.wait(12_000)
    heir.call(task, delegate())
    ann.finish(part)
    heir.finish(task)


def a_zombie_wakes_up(stage: Stage) -> None:
    """Ann was cut off and replaced: all that she had still to say is void, nobody acts on it."""
    ann = stage.join("ann", offered(PART, lease_ms=SHORT_MS))
    boss, task = boss_on(stage)
    part = boss.delegate(task)
    ann.call(part, use("0"))
    ann.stall()
    ann.done(part, "0", spent=Amount(micro_usd=7))
    bob = stage.join("bob", offered(PART, lease_ms=SHORT_MS))
    stage.wait(DIED_MS)
    bob.call(part, use("0"))
    ann.finish(part)
    ann.flow()
    bob.done(part, "0", spent=Amount(micro_usd=7))
    bob.finish(part)
    boss.finish(task)


# --- what goes on later -------------------------------------------------------------------------


def a_result_is_refused(stage: Stage) -> None:
    """The check of who asked for it says why; the next attempt is told."""
    ann = stage.join("ann", PART)
    boss, task = boss_on(stage)
    part = boss.delegate(task, acceptance=Acceptance.REVIEWED)
    for refusal in ("the total is missing", ""):
        ann.finish(part)
        review = boss.heard(c.Review)[-1]
        boss.give(c.Reviewed(task, review.award, part, review.child_award, refusal))
        stage.wait(500)
    boss.finish(task)


def suspended_and_resumed(stage: Stage) -> None:
    """A long sleep gives slot and lease up; its end causes an award that is no attempt."""
    boss, task = boss_on(stage)
    boss.call(task, use("0"))
    boss.done(task, "0")
    boss.call(task, sleep("1", 60_000))
    boss.waiting(task, "1", since_ms=stage.now_ms)
    stage.wait(61_000)
    boss.call(task, use("0"))
    boss.call(task, sleep("1", 60_000))
    boss.finish(task)


def halted_and_lifted(stage: Stage) -> None:
    """A person stops a workflow: a call under way ends, nothing begins, and all goes on later."""
    ann = stage.join("ann", PART)
    boss, task = boss_on(stage)
    part = boss.delegate(task)
    ann.call(part, use("0"))
    stage.wait(1_000)
    for peer in stage.peers:
        stage.direct(peer, "sees that the workflow is halted")
    halt(stage, f"workflow/{task}")
    ann.done(part, "0", spent=Amount(micro_usd=7))
    ann.call(part, use("1"))
    stage.wait(5_000)
    for peer in stage.peers:
        stage.direct(peer, "sees that it is lifted")
    lift(stage, f"workflow/{task}")
    stage.wait(500)
    boss.call(task, delegate())
    ann.call(part, use("0"))
    ann.call(part, use("1"))
    ann.done(part, "1", spent=Amount(micro_usd=7))
    ann.finish(part)
    boss.finish(task)


# --- what does not end well ---------------------------------------------------------------------


def cancelled_with_children(stage: Stage) -> None:
    """A person ends a workflow: from below upwards, each in order, and each is answered."""
    ann, _ = stage.join("ann", PART), stage.join("carl", LEAF)
    boss, task = boss_on(stage)
    part = boss.delegate(task)
    ann.call(part, delegate("0", capability=LEAF))
    stage.direct(boss, "is told by a person to end the workflow")
    enough = m.Cancel(workflow=task, task=task, award=-1, because="not needed", person="eve")
    boss.send(boss, enough)
    stage.wait(1_000)


def a_budget_is_exceeded(stage: Stage) -> None:
    """A call that it cannot pay is refused before anything is written or spent."""
    boss, task = boss_on(stage)
    boss.call(task, use("0", reserve=Amount(micro_usd=900)))
    boss.call(task, use("1", reserve=Amount(micro_usd=101)))
    boss.done(task, "0", spent=Amount(micro_usd=600))
    boss.call(task, use("2", reserve=Amount(micro_usd=400), effect=Effect.IRREVERSIBLE))
    boss.done(task, "2", spent=Amount(micro_usd=400))
    boss.finish(task)


def expired_without_a_bidder(stage: Stage) -> None:
    """Nobody wants it; it is called for again, later and later, until its deadline has passed."""
    stage.join("ann", PART, bidder=refuses)
    boss, task = boss_on(stage)
    boss.delegate(task, mode=Mode.AUCTION, timeout_ms=2_500)
    stage.wait(4_000)
    boss.call(task, decide("1", "do without"))
    boss.finish(task)


PLAYS: Final[tuple[Callable[[Stage], None], ...]] = (
    done_by_its_own_supervisor,
    delegated_directly,
    auctioned,
    named,
    a_worker_dies,
    a_supervisor_dies,
    a_zombie_wakes_up,
    a_result_is_refused,
    suspended_and_resumed,
    halted_and_lifted,
    cancelled_with_children,
    a_budget_is_exceeded,
    expired_without_a_bidder,
)
