"""Halts: what an order covers, and what nodes do and leave undone under one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core import calls as c
from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.effects import Incident
from mesh.core.halts import (
    HaltOrder,
    Halts,
    Target,
    TargetKind,
    finding,
    halt_wait,
    has_ended,
    target_of,
)
from mesh.core.tasks import Phase
from mesh.core.values import Ancestor, Cause, Effect, Mode, Status, Wait
from tests.unit.core.fleet import (
    PART,
    ROOTS,
    Fleet,
    Peer,
    bids,
    boss_and,
    decide,
    delegate,
    keep,
    offered,
    sleep,
    spend,
    use,
)
from tests.unit.core.orders import halt, lift, see

LEAF = "demo.leaf"
ORDER = HaltOrder(
    target="workflow/0-a",
    halted=True,
    number=1,
    person="eve",
    detector="",
    because="too dear",
    incident="5f",
)
AT_A_STEP = (f.StepBegun, f.StepFinished, f.SpendReserved, f.DecisionRecorded, f.TaskOpened)


def halted_by(wait: Wait) -> str:
    assert wait.kind == "halt"
    return wait.note


# --- orders and what they cover -----------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "boss", "agent", "agent/", "person/eve", "/eve"])
def test_only_a_kind_and_a_name_are_a_target(text: str) -> None:
    assert target_of(text) is None


def test_a_target_is_said_as_it_is_read() -> None:
    target = Target(TargetKind.CAPABILITY, "demo.*")
    assert str(target) == "capability/demo.*"
    assert target_of(str(target)) == target


def test_the_first_order_of_a_number_holds_whatever_comes_after_it() -> None:
    halts = Halts()
    lifted = replace(ORDER, halted=False, number=2)
    late = replace(ORDER, number=2, because="it had not seen the other")
    assert [halts.see(own) for own in (ORDER, ORDER, lifted, late)] == [True, False, True, False]
    assert halts.orders == {ORDER.target: lifted}
    assert not halts
    assert repr(halts) == "Halts([] of 1)"
    assert halts.in_force(ORDER.target) is None


def test_an_order_is_made_for_what_was_seen() -> None:
    halts = Halts()
    first = halts.next_order("agent/ann", halted=True, because="odd", detector="loop")
    halts.see(first)
    second = halts.next_order("agent/ann", halted=False, because="not so", person="eve")
    assert (first.number, second.number) == (1, 2)
    assert (first.author, second.author) == ("detector loop", "eve")
    assert first.incident != second.incident
    assert (first.through, second.through) == (-1, -1)
    found = halts.next_order("agent/ann", halted=True, because="", incident="5f", through=7)
    assert (found.incident, found.through) == ("5f", 7)


@pytest.mark.parametrize(
    ("target", "agent", "covered"),
    [
        ("workflow/0-a", "", True),
        ("workflow/0-b", "", False),
        ("agent/ann", "ann", True),
        ("agent/ann", "bob", False),
        ("agent/ann", "", False),
        ("capability/demo.part", "", True),
        ("capability/demo.*", "", True),
        ("capability/demo.root", "", True),
        ("capability/more.*", "", True),
        ("capability/other.*", "", False),
        ("capability/demo.leaf", "", False),
    ],
)
def test_an_order_covers_its_target_and_what_a_capability_delegated(
    target: str, agent: str, covered: bool
) -> None:
    halts = Halts()
    halts.see(replace(ORDER, target=target))
    above = [Ancestor("0-a", "demo.root", "ann", b""), Ancestor("0-b", "more.of", "ann", b"")]
    assert bool(halts.over("0-a", "demo.part", above, agent)) is covered


def test_without_an_order_nothing_is_covered() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit()
    assert Halts().over("0-a", "demo.part", ()) is None
    assert Halts().covering(fleet.task(task).opened) is None


def test_an_order_is_a_finding_with_the_chain_that_led_to_it() -> None:
    chain = (Ancestor("0-a", "demo.root", "ann", b""),)
    told = finding(ORDER, chain)
    assert told == Incident(
        "halt",
        "0-a",
        "",
        "workflow/0-a is halted by eve: too dear",
        "5f",
        chain=chain,
        person="eve",
    )
    lifted = finding(replace(ORDER, target="agent/ann", halted=False, person="", detector="loop"))
    assert (lifted.kind, lifted.workflow, lifted.detector) == ("lift", "", "loop")


def test_a_wait_is_over_when_its_target_is_lifted_or_others_may_have_the_task() -> None:
    halts = Halts()
    halts.see(ORDER)
    assert not has_ended(halt_wait(ORDER), halts)
    assert has_ended(halt_wait(replace(ORDER, target="agent/ann")), halts)
    halts.see(replace(ORDER, halted=False, number=2))
    assert has_ended(halt_wait(ORDER), halts)


# --- the worker ---------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [use(), spend(), decide(), keep(), sleep(), delegate()])
def test_a_new_call_under_a_halt_begins_nothing_and_suspends(call: c.StepCall) -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit()
    halt(fleet, f"workflow/{task}")
    assert fleet.story()[-1] == "TaskOpened boss-1"
    boss.call(task, call)
    assert fleet.story()[-1] == "WorkSuspended boss-1"
    assert [halted_by(wait) for wait in fleet.task(task).waiting_for] == [f"workflow/{task}"]
    fleet.wait(60_000)
    assert fleet.story()[-1] == "WorkSuspended boss-1"
    lift(fleet, f"workflow/{task}")
    assert fleet.facts(f.TaskAwarded)[-1].award.cause is Cause.RESUMED
    assert fleet.facts(f.TaskAwarded)[-1].award.attempt == 1
    boss.finish(task)
    assert fleet.end(task).status is Status.COMPLETED


def test_a_handler_that_takes_no_further_step_may_finish() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit()
    halt(fleet, "capability/demo.*")
    boss.finish(task)
    assert fleet.end(task).status is Status.COMPLETED


def test_what_was_begun_ends_and_is_recorded_before_the_halt_is_obeyed() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit()
    boss.call(task, use("0"))
    boss.call(task, sleep("1.0", 60_000))
    halt(fleet, f"workflow/{task}")
    boss.call(task, decide("2.0"))
    assert boss.heard(c.Stop) == []
    boss.done(task, "0")
    assert fleet.story(task)[-2:] == ["StepFinished boss-1", "WorkSuspended boss-1"]
    assert fleet.facts(f.DecisionRecorded) == []
    assert fleet.task(task).purse.reserved == (0, 0, 0, 0, 0)


def test_a_result_of_the_last_call_goes_to_a_handler_that_may_be_at_its_end() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit()
    boss.call(task, use("0"))
    halt(fleet, f"workflow/{task}")
    boss.done(task, "0")
    assert list(boss.results(task)) == ["0"]
    boss.finish(task)
    assert fleet.end(task).status is Status.COMPLETED


def test_what_only_waits_is_suspended_at_once_and_what_is_below_it_too() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    part = boss.delegate(task)
    ann.call(part, sleep("0", 60_000))
    halt(fleet, f"workflow/{task}")
    assert fleet.task(task).phase is Phase.SUSPENDED
    assert fleet.task(part).phase is Phase.SUSPENDED
    fleet.wait(60_000)
    assert fleet.void() == []
    lift(fleet, f"workflow/{task}")
    fleet.wait(500)  # ann may have declined what came before she heard of the lift
    assert fleet.task(part).phase is Phase.WORKING
    boss.call(task, delegate())
    ann.call(part, sleep("0", 60_000))
    fleet.wait(100)
    ann.finish(part)
    boss.finish(task)
    assert fleet.end(task).status is Status.COMPLETED


def test_a_halt_that_comes_with_a_fact_on_its_way_waits_for_its_report() -> None:
    fleet, (boss, _) = boss_and("ann")
    task = boss.submit()
    fleet.hold(f.TaskOpened)
    boss.call(task, delegate())
    halt(fleet, f"workflow/{task}")
    assert boss.heard(c.Stop) == []
    fleet.let_go()
    assert fleet.task(task).phase is Phase.SUSPENDED


def test_calls_held_back_are_made_when_it_is_lifted_before_the_job_could_stop() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit()
    boss.call(task, use("0"))
    halt(fleet, f"workflow/{task}")
    halt(fleet, "capability/demo.root")
    boss.call(task, decide("1.0"))
    lift(fleet, "capability/demo.root")
    assert fleet.facts(f.DecisionRecorded) == []
    lift(fleet, f"workflow/{task}")
    assert [fact.step for fact in fleet.facts(f.DecisionRecorded)] == ["1.0"]
    boss.done(task, "0")
    boss.finish(task)
    assert fleet.end(task).status is Status.COMPLETED


def test_a_delegation_that_was_held_back_and_is_not_awaited_any_more_is_cancelled() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    boss.call(task, use("0"))
    halt(fleet, f"workflow/{task}")
    boss.call(task, delegate("1.0"))
    boss.call(task, c.Withdraw(step="1.0"))
    boss.call(task, c.Withdraw(step="9"))
    assert len(fleet.facts(f.TaskOpened)) == 1
    lift(fleet, f"workflow/{task}")
    part = fleet.facts(f.TaskOpened)[-1].task
    assert [fact.task for fact in fleet.facts(f.CancelRequested)] == [part]
    fleet.wait(100)
    assert boss.results(task)["1.0"].status is Status.CANCELLED
    assert not ann.node.worker.jobs


@pytest.mark.parametrize("found", [True, False])
def test_what_a_probe_does_not_find_is_not_done_under_a_halt(found: bool) -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    part = boss.delegate(task)
    call = use("0", effect=Effect.IRREVERSIBLE, probe=True)
    ann.call(part, call)
    bob = fleet.join("bob", PART)
    ann.die()
    fleet.wait(15_000)
    bob.call(part, call)
    assert [probe.step for probe in bob.heard(c.Probe)] == ["0"]
    halt(fleet, "capability/demo.part")
    begun = len(fleet.facts(f.StepBegun))
    body = fleet.task(part).opened.input if found else None
    bob.give(c.Probed(part, bob.works[part].award, "0", body))
    assert len(fleet.facts(f.StepBegun)) == begun
    if found:
        bob.finish(part)
    else:
        assert fleet.task(part).phase is Phase.SUSPENDED
        lift(fleet, "capability/demo.part")
        fleet.wait(1_000)
        bob.call(part, call)
        bob.give(c.Probed(part, bob.works[part].award, "0", None))
        bob.done(part, "0")
        bob.finish(part)
    boss.finish(task)
    assert fleet.end(task).status is Status.COMPLETED


def test_a_replay_is_answered_from_the_journal_and_stops_where_it_ends() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    part = boss.delegate(task)
    ann.call(part, use("0"))
    ann.done(part, "0")
    ann.call(part, use("1"))
    bob = fleet.join("bob", PART)
    ann.die()
    fleet.wait(15_000)
    halt(fleet, "capability/demo.part", bob)
    bob.call(part, use("0"))
    assert list(bob.results(part)) == ["0"]
    bob.call(part, use("1"))
    assert [fact.step for fact in fleet.facts(f.StepBegun)] == ["0", "1"]
    assert "WorkSuspended bob-1" in fleet.story(part)


def test_a_cancellation_works_under_a_halt() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    part = boss.delegate(task)
    ann.call(part, sleep("0", 60_000))
    halt(fleet, f"workflow/{task}")
    enough = m.Cancel(workflow=task, task=task, award=-1, because="not needed", person="eve")
    boss.send(boss, enough)
    fleet.wait(5_000)
    assert fleet.end(task).status is Status.CANCELLED


def test_a_cancellation_overtakes_a_job_that_is_being_halted() -> None:
    fleet, (boss,) = boss_and()
    boss.obedient = False
    task = boss.submit()
    halt(fleet, f"workflow/{task}")
    boss.call(task, use("0"))
    boss.send(boss, m.Cancel(workflow=task, task=task, award=-1, because="no", person="eve"))
    lift(fleet, f"workflow/{task}")
    boss.stopped(task)
    fleet.wait(1_000)
    assert fleet.end(task).status is Status.CANCELLED
    assert fleet.facts(f.StepBegun) == []


def test_a_worker_that_saw_the_halt_declines_what_its_supervisor_gives() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    halt(fleet, "agent/ann", ann)
    part = boss.delegate(task)
    declined = fleet.facts(f.AwardDeclined)
    assert {fact.reason for fact in declined} == {"agent/ann is halted by eve: enough"}
    bob = fleet.join("bob", PART)
    fleet.wait(2_000)
    assert part in bob.works
    assert fleet.facts(f.TaskAwarded)[-1].award.attempt == 1


def test_a_worker_that_saw_the_halt_makes_no_bid() -> None:
    fleet, (boss, ann, bob) = boss_and("ann", "bob")
    task = boss.submit()
    halt(fleet, "agent/ann", ann)
    part = boss.delegate(task, mode=Mode.AUCTION)
    fleet.wait(1_000)
    assert [own.reason for own in ann.sent(m.Decline)] == ["agent/ann is halted by eve: enough"]
    assert part in bob.works


# --- the supervisor -----------------------------------------------------------------------------


def test_a_new_task_of_what_is_halted_waits_and_is_awarded_when_it_is_lifted() -> None:
    fleet, (boss,) = boss_and()
    halt(fleet, "capability/demo.root")
    task, other = boss.submit(), boss.submit()
    fleet.wait(60_000)
    assert fleet.facts(f.TaskAwarded) == []
    assert boss.works == {}
    lift(fleet, "capability/demo.root")
    assert set(boss.works) == {task, other}
    assert [fact.award.cause for fact in fleet.facts(f.TaskAwarded)] == [Cause.FIRST] * 2


def test_no_bids_are_called_for_under_a_halt_and_none_are_spent() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    halt(fleet, "capability/demo.part", boss)
    part = boss.delegate(task, mode=Mode.AUCTION)
    fleet.wait(10_000)
    assert fleet.facts(f.BidsCalled) == []
    lift(fleet, "capability/demo.part", boss)
    fleet.wait(1_000)
    assert [fact.round for fact in fleet.facts(f.BidsCalled)] == [0]
    assert part in ann.works


def test_an_auction_under_way_gives_no_award_under_a_halt() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    fleet.hold(m.Bid)
    part = boss.delegate(task, mode=Mode.AUCTION, timeout_ms=5_000)
    halt(fleet, "capability/demo.part")
    fleet.let_go()
    fleet.wait(1_000)
    assert fleet.task(part).phase is Phase.OPEN
    fleet.wait(6_000)
    assert boss.results(task)["0"].status is Status.EXPIRED
    assert ann.works == {}


def test_a_bidder_that_was_halted_since_does_not_win() -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability)
    ann = fleet.join("ann", PART, bidder=bids(price=10))
    bob = fleet.join("bob", PART, bidder=bids(price=20))
    boss.owns()
    task = boss.submit()
    fleet.hold(m.Bid)
    part = boss.delegate(task, mode=Mode.AUCTION)
    halt(fleet, "agent/ann", boss)
    fleet.let_go()
    fleet.wait(3_000)
    assert part in bob.works
    assert part not in ann.works


def test_of_the_next_ranked_those_who_are_halted_are_passed_over() -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability)
    peers = [fleet.join(name, PART, bidder=bids(price)) for name, price in NAMES.items()]
    boss.owns()
    task = boss.submit()
    part = boss.delegate(task, mode=Mode.AUCTION)
    ann, bob, carl = peers
    assert part in ann.works
    halt(fleet, "agent/bob", boss)
    ann.finish(part, "it failed")
    fleet.wait(5_000)
    assert part in carl.works
    assert part not in bob.works
    assert len(fleet.facts(f.BidsCalled)) == 1


NAMES = {"ann": 10, "bob": 20, "carl": 30}


def test_who_died_under_a_halt_is_replaced_when_it_is_lifted() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    part = boss.delegate(task)
    halt(fleet, "capability/demo.part")
    ann.die()
    bob = fleet.join("bob", PART)
    fleet.wait(60_000)
    assert bob.works == {}
    lift(fleet, "capability/demo.part")
    fleet.wait(1_000)
    assert part in bob.works
    assert fleet.facts(f.TaskAwarded)[-1].award.cause is Cause.DIED


def test_no_attempt_is_left_is_said_under_a_halt_too() -> None:
    fleet, (boss, ann) = boss_and("ann")
    ann.card = replace(ann.card, capabilities=(offered(PART, max_attempts=1),))
    fleet.announce(ann)
    task = boss.submit()
    part = boss.delegate(task)
    halt(fleet, "capability/demo.part")
    ann.finish(part, "it failed")
    fleet.wait(100)
    assert boss.results(task)["0"].status is Status.FAILED


def test_a_halted_task_keeps_nobody_behind_it_waiting() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit()
    first = boss.delegate(task, "0", capability=PART)
    second = boss.delegate(task, "1", capability=PART)
    other = boss.submit()
    third = boss.delegate(other, "0", capability=PART)
    halt(fleet, f"workflow/{task}", boss)
    ann = fleet.join("ann", PART)
    assert set(ann.works) == {third}
    assert {first, second} & set(ann.works) == set()


def test_a_sleeper_whose_time_comes_under_a_halt_goes_on_when_it_is_lifted() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit()
    boss.call(task, sleep("0", 60_000))
    boss.waiting(task, "0", since_ms=fleet.now_ms)
    fleet.wait(10_000)
    halt(fleet, f"workflow/{task}")
    fleet.wait(100_000)
    assert fleet.task(task).phase is Phase.SUSPENDED
    lift(fleet, f"workflow/{task}")
    assert fleet.task(task).phase is Phase.WORKING


def test_of_a_halted_agent_the_supervisor_gives_the_task_to_another() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.submit()
    part = boss.delegate(task)
    halt(fleet, "agent/ann")
    ann.call(part, use("0"))
    fleet.wait(5_000)
    assert fleet.story(part)[-1] == "WorkSuspended ann-1"
    bob = fleet.join("bob", PART)
    assert fleet.facts(f.TaskAwarded)[-1].award.cause is Cause.RESUMED
    bob.finish(part)
    boss.finish(task)
    assert fleet.end(task).status is Status.COMPLETED


def test_who_recovers_a_halted_task_waits_for_the_lift_and_goes_on_if_it_was_lifted() -> None:
    for lifted in (False, True):
        fleet, (boss, ann) = boss_and("ann")
        task = boss.submit()
        part = boss.delegate(task)
        order = halt(fleet, f"workflow/{task}")
        ann.call(part, use("0"))
        heir = fleet.join("boss", ROOTS.capability)
        boss.die()
        fleet.wait(10_000)
        if lifted:
            order = lift(fleet, f"workflow/{task}")
        see(heir, order)
        heir.owns()
        fleet.wait(10_000)
        assert (task in heir.works) is lifted
        assert fleet.void() == []


def test_an_order_that_is_known_changes_nothing() -> None:
    fleet, (boss,) = boss_and()
    task = boss.submit()
    order = halt(fleet, f"workflow/{task}")
    lift(fleet, f"workflow/{task}")
    see(boss, order)
    boss.call(task, decide())
    assert len(fleet.facts(f.DecisionRecorded)) == 1


def test_nothing_of_a_halted_workflow_moves_at_all() -> None:
    fleet, (boss, ann) = boss_and("ann")
    carl = fleet.join("carl", LEAF)
    task = boss.submit()
    part = boss.delegate(task)
    leaf = ann.delegate(part, "0", capability=LEAF)
    carl.call(leaf, use("0"))
    halt(fleet, f"workflow/{task}")
    before = [len(fleet.facts(kind)) for kind in AT_A_STEP]
    carl.done(leaf, "0")
    carl.call(leaf, use("1"))
    fleet.wait(30_000)
    after = [len(fleet.facts(kind)) for kind in AT_A_STEP]
    assert [late - early for late, early in zip(after, before, strict=True)] == [0, 1, 0, 0, 0]
    phases = {name: fleet.task(name).phase for name in (task, part, leaf)}
    assert set(phases.values()) == {Phase.SUSPENDED}
    _ends(fleet, boss, ann, carl, task)


def _ends(fleet: Fleet, boss: Peer, ann: Peer, carl: Peer, task: str) -> None:
    lift(fleet, f"workflow/{task}")
    fleet.wait(1_000)
    boss.call(task, delegate())
    (part,) = ann.works
    ann.call(part, delegate("0", capability=LEAF))
    (leaf,) = carl.works
    carl.call(leaf, use("0"))
    for peer, name in ((carl, leaf), (ann, part), (boss, task)):
        fleet.wait(100)
        peer.finish(name)
    assert fleet.end(task).status is Status.COMPLETED
    assert fleet.void() == []
