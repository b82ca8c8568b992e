"""What answers a call after deaths, which a handler never notices, and after verdicts."""

from __future__ import annotations

import pytest

from mesh.core import calls as c
from mesh.core import effects as e
from mesh.core import inputs as i
from mesh.core.ids import effect_key
from mesh.core.recall import find, place_of, shown, signature
from mesh.core.values import Acceptance, Effect, Outcome, StepKind, Wait
from tests.unit.core.fleet import (
    PART,
    Fleet,
    Peer,
    body,
    boss_and,
    decide,
    delegate,
    keep,
    offered,
    sleep,
    spend,
    use,
)
from tests.unit.core.state_calls import read, write

DIED_MS = 18_000
PAUSE_MS = 1_000
PAY = "demo.pay"
MOVABLE = [Effect.PURE, Effect.IDEMPOTENT]
MARKING = [Effect.KEYED, Effect.COMPENSABLE, Effect.IRREVERSIBLE]


def delegated() -> tuple[Fleet, Peer, str]:
    fleet, (boss, ann) = boss_and("ann")
    return fleet, ann, boss.delegate(boss.submit())


def fail(fleet: Fleet, peer: Peer, task: str) -> None:
    """Let an attempt fail, and the next one begin."""
    peer.finish(task, "boom")
    fleet.wait(PAUSE_MS)


def used(peer: Peer, task: str, call: c.Use, error: str = "") -> None:
    """Call a tool that answers at once."""
    peer.call(task, call)
    peer.done(task, call.step, error=error)


def keys(peer: Peer) -> list[str]:
    return [one.key for one in peer.heard(c.Perform)]


def parked(fleet: Fleet, peer: Peer, task: str) -> list[Wait]:
    """Return what a parked task waits for."""
    assert all(one.kind == "journal-mismatch" for one in peer.said(e.Incident))
    return [wait for wait in fleet.task(task).waiting_for if wait.kind == "person"]


# --- the same is called again -------------------------------------------------------------------


def test_an_attempt_after_a_failure_is_answered_from_the_journal() -> None:
    fleet, ann, task = delegated()
    calls: list[c.Call] = [use("0"), spend("1"), decide("2"), keep("3")]
    for call in calls:
        ann.call(task, call)
    ann.done(task, "0")
    fail(fleet, ann, task)
    work = ann.works[task]
    assert (work.attempt, work.reason) == (2, "boom")
    before = fleet.story(task)
    for call in calls:
        ann.call(task, call)
    assert fleet.story(task) == before
    assert len(keys(ann)) == 1


def test_a_death_is_no_attempt_that_a_handler_could_notice() -> None:
    fleet, ann, task = delegated()
    bob = fleet.join("bob", PART)
    ann.call(task, decide())
    ann.die()
    fleet.wait(DIED_MS)
    assert (bob.works[task].epoch, bob.works[task].attempt, bob.works[task].reason) == (2, 1, "")
    assert fleet.task(task).attempts == 1, "but it counts as one"


@pytest.mark.parametrize("effect", [Effect.PURE, Effect.IDEMPOTENT, Effect.KEYED])
def test_a_call_that_failed_is_made_again_under_its_key(effect: Effect) -> None:
    fleet, ann, task = delegated()
    for _ in range(2):
        used(ann, task, use(effect=effect), error="no answer")
        fail(fleet, ann, task)
    used(ann, task, use(effect=effect))
    assert ann.results(task)["0"].body == body("done")
    assert keys(ann) == [effect_key(task, "0", "post")] * 3
    assert list(fleet.task(task).steps) == ["0", "0~1", "0~2"]
    assert not fleet.void()


def test_a_call_that_failed_is_not_made_again_within_its_attempt() -> None:
    fleet, ann, task = delegated()
    used(ann, task, use(), error="no answer")
    bob = fleet.join("bob", PART)
    ann.die()
    fleet.wait(DIED_MS)
    bob.call(task, use())
    assert bob.results(task)["0"].reason == "no answer"
    assert not keys(bob)


@pytest.mark.parametrize("effect", [Effect.COMPENSABLE, Effect.IRREVERSIBLE])
def test_what_must_not_happen_twice_is_not_tried_again(effect: Effect) -> None:
    fleet, ann, task = delegated()
    used(ann, task, use(effect=effect), error="no answer")
    fail(fleet, ann, task)
    ann.call(task, use(effect=effect))
    assert ann.results(task)["0"].reason == "no answer"
    assert len(keys(ann)) == 1


def test_an_attempt_reads_again_what_an_earlier_one_read() -> None:
    fleet, ann, task = delegated()
    used(ann, task, read())
    fail(fleet, ann, task)
    ann.call(task, read())
    assert len(ann.heard(c.Perform)) == 2
    ann.done(task, "0")
    assert list(fleet.task(task).steps) == ["0", "0~1"]
    assert fleet.void() == []


def test_a_write_of_an_earlier_attempt_is_not_made_again_unless_it_was_refused() -> None:
    fleet, ann, task = delegated()
    used(ann, task, write("0"))
    used(ann, task, write("1"), "conflict")
    fail(fleet, ann, task)
    ann.call(task, write("0"))
    assert len(keys(ann)) == 2
    ann.call(task, write("1"))
    assert keys(ann)[2] == keys(ann)[1]


def test_an_attempt_may_write_otherwise_than_the_one_before() -> None:
    """What it writes names the version that it expects, so it cannot double the first."""
    fleet, ann, task = delegated()
    used(ann, task, write("0"))
    fail(fleet, ann, task)
    ann.call(task, write("0", input_hash=b"other"))
    ann.call(task, write("1"))
    assert keys(ann)[1:] == [effect_key(task, "0~1", "a/b"), effect_key(task, "1", "a/b")]
    assert parked(fleet, ann, task) == []


def test_a_child_that_failed_had_its_own_attempts() -> None:
    fleet, (boss, ann) = boss_and("ann")
    root = boss.submit()
    child = boss.delegate(root)
    for _ in range(3):
        fail(fleet, ann, child)
    assert boss.results(root)["0"].reason.endswith("boom")
    fail(fleet, boss, root)
    assert not boss.delegate(root), "it is not opened again"


# --- something else is called -------------------------------------------------------------------


@pytest.mark.parametrize("effect", MOVABLE)
def test_an_attempt_after_a_verdict_may_do_otherwise(effect: Effect) -> None:
    fleet, ann, task = delegated()
    used(ann, task, use(effect=effect))
    ann.call(task, decide("1", "left"))
    fail(fleet, ann, task)
    used(ann, task, use(effect=effect, input_hash=b"told why"))
    ann.call(task, decide("1", "right"))
    assert list(fleet.task(task).steps) == ["0", "1", "0~1", "1~1"]
    assert len(set(keys(ann))) == 2
    assert set(ann.results(task)) == {"0", "1"}, "the handler knows places alone"
    bob = fleet.join("bob", PART)
    ann.die()
    fleet.wait(DIED_MS)
    bob.call(task, use(effect=effect, input_hash=b"told why"))
    bob.call(task, decide("1", "right"))
    assert set(bob.results(task)) == {"0", "1"}, "and is answered by what the attempt did"
    assert not keys(bob)


def test_an_attempt_may_come_back_to_what_an_earlier_one_did() -> None:
    fleet, ann, task = delegated()
    ann.call(task, decide("0", "left"))
    fail(fleet, ann, task)
    ann.call(task, decide("0", "right"))
    fail(fleet, ann, task)
    ann.call(task, decide("0", "left"))
    assert list(fleet.task(task).steps) == ["0", "0~1"]


def test_within_an_attempt_the_same_must_be_called() -> None:
    fleet, ann, task = delegated()
    ann.call(task, decide("0", "left"))
    fail(fleet, ann, task)
    ann.call(task, decide("0", "right"))
    bob = fleet.join("bob", PART)
    ann.die()
    fleet.wait(DIED_MS)
    bob.call(task, decide("0", "left"))
    (wait,) = parked(fleet, bob, task)
    assert wait.note == "step 0: the journal has decision right, the handler called decision left"


@pytest.mark.parametrize("error", ["", "no answer"])
@pytest.mark.parametrize("effect", MARKING)
def test_what_has_left_a_mark_is_not_left_behind(effect: Effect, error: str) -> None:
    fleet, ann, task = delegated()
    used(ann, task, use(effect=effect), error=error)
    fail(fleet, ann, task)
    ann.call(task, decide("0"))
    assert parked(fleet, ann, task)


@pytest.mark.parametrize("effect", MARKING)
def test_what_has_left_a_mark_is_not_done_at_another_place(effect: Effect) -> None:
    fleet, ann, task = delegated()
    used(ann, task, use("0", effect=Effect.PURE))
    used(ann, task, use("1", effect=effect, name="pay"))
    fail(fleet, ann, task)
    ann.call(task, use("0", effect=effect, name="pay"))
    (wait,) = parked(fleet, ann, task)
    assert "the journal has tool pay (input 696e) at 1" in wait.note


def test_the_same_effect_may_be_wanted_twice() -> None:
    fleet, ann, task = delegated()
    used(ann, task, use("0", name="pay"))
    fail(fleet, ann, task)
    ann.call(task, use("0", name="pay"))
    used(ann, task, use("1", name="pay"))
    assert len(set(keys(ann))) == 2
    assert not parked(fleet, ann, task)


def pay(step: str) -> c.Delegate:
    return delegate(step, capability=PAY, input=body("ten"))


def with_payment(effect: Effect) -> tuple[Fleet, Peer, str]:
    """Return a root task that has delegated a payment, and failed after it."""
    fleet, (boss,) = boss_and()
    payer = fleet.join("payer", offered(PAY, effect=effect))
    root = boss.submit()
    boss.call(root, pay("0"))
    (paid,) = payer.works
    payer.finish(paid)
    fail(fleet, boss, root)
    return fleet, boss, root


def test_a_child_that_may_be_done_twice_is_delegated_again_elsewhere() -> None:
    fleet, boss, root = with_payment(Effect.IDEMPOTENT)
    boss.call(root, decide("0"))
    boss.call(root, pay("1"))
    assert list(fleet.task(root).steps) == ["0", "0~1", "1"]


@pytest.mark.parametrize("call", [decide("0"), pay("1")], ids=lambda call: call.step)
def test_a_child_that_may_not_be_is_neither_left_behind_nor_delegated_elsewhere(
    call: c.Call,
) -> None:
    fleet, boss, root = with_payment(Effect.KEYED)
    boss.call(root, call)
    assert parked(fleet, boss, root)


def test_a_child_that_refused_its_input_has_done_nothing() -> None:
    fleet, (boss,) = boss_and()
    payer = fleet.join("payer", offered(PAY, effect=Effect.IRREVERSIBLE))
    root = boss.submit()
    child = boss.delegate(root, capability=PAY)
    payer.finish(child, "no such account", outcome=Outcome.REJECTED)
    fail(fleet, boss, root)
    boss.call(root, delegate("0", capability=PAY, input=body("another account")))
    assert payer.heard(c.Start)[-1].work.opened.input == body("another account")


def test_of_what_nobody_offers_any_more_the_worst_is_thought() -> None:
    fleet, boss, root = with_payment(Effect.PURE)
    boss.give(i.CardSeen("payer", None))
    boss.call(root, decide("0"))
    assert parked(fleet, boss, root)


# --- entries behind the first -------------------------------------------------------------------


def test_a_second_entry_sleeps_is_suspended_and_resumed() -> None:
    fleet, ann, task = delegated()
    ann.call(task, decide("0"))
    fail(fleet, ann, task)
    ann.call(task, sleep("0", 60_000))
    ann.waiting(task, "0")
    (wait,) = fleet.task(task).waiting_for
    assert (wait.step, wait.kind) == ("0~1", "sleep")
    fleet.wait(61_000)
    ann.call(task, sleep("0", 60_000))
    assert "0" in ann.results(task)


def test_a_second_entry_delegates_is_checked_and_withdrawn() -> None:
    fleet, (boss, ann) = boss_and("ann")
    root = boss.submit()
    boss.call(root, decide("0"))
    fail(fleet, boss, root)
    child = boss.delegate(root, acceptance=Acceptance.REVIEWED)
    assert fleet.task(root).steps["0~1"].child == child
    ann.finish(child)
    (review,) = boss.heard(c.Review)
    assert (review.step, review.child) == ("0", child)
    boss.give(c.Reviewed(root, review.award, child, review.child_award, "once more"))
    fleet.wait(PAUSE_MS)
    boss.call(root, c.Withdraw(step="0"))
    assert fleet.story(child)[-1] == "TaskCancelled boss-1"


def test_a_second_entry_is_probed_under_the_key_of_the_first() -> None:
    fleet, ann, task = delegated()
    used(ann, task, use(effect=Effect.PURE))
    fail(fleet, ann, task)
    asked = use(effect=Effect.IRREVERSIBLE, probe=True, name="pay")
    ann.call(task, asked)
    bob = fleet.join("bob", PART)
    ann.die()
    fleet.wait(DIED_MS)
    bob.call(task, asked)
    (probe,) = bob.heard(c.Probe)
    assert (probe.step, probe.key) == ("0", effect_key(task, "0~1", "pay"))


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (delegate(), StepKind.DELEGATE),
        (spend(), StepKind.SPEND),
        (use(), StepKind.TOOL),
        (keep(), StepKind.ARTIFACT),
        (decide(), StepKind.DECISION),
        (sleep(), StepKind.SLEEP),
    ],
)
def test_a_signature_is_what_must_be_equal(call: c.StepCall, kind: StepKind) -> None:
    assert signature(call)[0] is kind


def test_a_signature_in_words() -> None:
    assert shown(signature(use())) == "tool post (input 696e)"
    assert shown(signature(spend())) == "spend spend"


def test_a_place_may_have_been_started_over() -> None:
    assert place_of("r1/0.3~2") == "r1/0.3"
    fleet, _, task = delegated()
    entry = find(fleet.task(task), decide("r1/0"), (), lambda _: Effect.PURE)
    assert entry == ("r1/0", None)
