"""Who gets a task: at once, or after a call for bids."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.negotiation import HAS_LEFT, NO_ANSWER
from mesh.core.values import Cause, Mode, Terms
from tests.unit.core.fleet import PART, ROOTS, Fleet, Peer, bids, boss_and, card, decide, offered

DIED_MS = 18_000


def refuses(reason: str) -> m.Bidder:
    """Return a bid function that always passes."""
    return lambda call: m.Decline(task=call.task, call=call.call, reason=reason)


def auctioneer(**bidders: m.Bidder) -> tuple[Fleet, Peer, list[Peer]]:
    """Return a boss, and workers with these bid functions."""
    fleet, (boss,) = boss_and()
    return fleet, boss, [fleet.join(name, PART, bidder=own) for name, own in bidders.items()]


def auctioned(boss: Peer, step: str = "0", task: str = "") -> str:
    return boss.delegate(task or boss.submit(), step, mode=Mode.AUCTION)


def terms_of(fleet: Fleet, task: str) -> Terms:
    terms = fleet.task(task).terms
    assert terms is not None
    return terms


# --- direct and named ---------------------------------------------------------------------------


def test_the_supervisor_takes_it_itself_if_it_has_a_slot() -> None:
    fleet, (boss, _) = boss_and("ann")
    fleet.join("boss", ROOTS.capability)
    terms = terms_of(fleet, boss.submit())
    assert (terms.worker, terms.why) == (
        boss.me,
        "the supervisor offers it and has a slot free",
    )


def test_else_the_less_loaded_of_two_gets_it() -> None:
    fleet, (boss, ann, bob) = boss_and("ann", "bob")
    fleet.announce(ann, load=60)
    task = boss.delegate(boss.submit())
    assert task in bob.works
    assert terms_of(fleet, task).why == "the less loaded of two by hash, of 2"


def test_a_supervisor_without_a_slot_does_not_wait_for_itself() -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability, slots=0)
    other = fleet.join("boss", ROOTS.capability)
    boss.owns()
    task = boss.submit()
    assert other.works[task].epoch == 1
    other.finish(task, "boom")
    fleet.wait(1_000)
    assert other.works[task].epoch == 2, "though it was tried"
    assert not boss.works


def test_a_named_agent_gets_it() -> None:
    fleet, (boss, ann, bob) = boss_and("ann", "bob")
    root = boss.submit()
    for number in range(3):
        boss.delegate(root, str(number), mode=Mode.NAMED, named_agent="bob")
    assert len(bob.works) == 3
    assert not ann.works
    assert {fact.award.why for fact in fleet.facts(f.TaskOpened)[1:] if fact.award} == {
        "the caller named bob"
    }


def test_a_named_agent_that_is_not_there_is_waited_for() -> None:
    fleet, (boss, _) = boss_and("ann")
    task = boss.delegate(boss.submit(), mode=Mode.NAMED, named_agent="bob")
    fleet.wait(5_000)
    assert not fleet.facts(f.TaskAwarded)
    bob = fleet.join("bob", PART)
    assert bob.works[task].epoch == 1


def test_a_task_that_nobody_takes_expires() -> None:
    fleet, (boss,) = boss_and()
    root = boss.submit()
    task = boss.delegate(root, timeout_ms=5_000)
    fleet.wait(7_000)
    assert fleet.story(task) == ["TaskOpened boss-1", "TaskExpired boss-1"]
    assert boss.results(root)["0"].reason == "nobody took demo.part before the deadline"


def test_who_was_tried_is_asked_last() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.delegate(boss.submit())
    ann.call(task, decide())
    ann.finish(task, "boom")
    bob = fleet.join("bob", PART)
    fleet.wait(1_000)
    assert bob.works[task].reason == "boom"
    bob.die()
    boss.goodbye(bob)
    fleet.wait(DIED_MS)
    assert ann.works[task].epoch == 3
    assert terms_of(fleet, task).why == (
        "the less loaded of two by hash, of 1; "
        "nobody is left who was not tried (its attempt failed)"
    )


def test_the_same_code_is_preferred_for_what_it_began() -> None:
    fleet, (boss,) = boss_and()
    old = fleet.join("old", offered(PART, digest="d1"))
    root = boss.submit()
    task = boss.delegate(root)
    for number in range(3):
        fleet.join(f"new{number}", offered(PART, digest="d2"))
    same = fleet.join("same", offered(PART, digest="d1"))
    old.die()
    fleet.wait(DIED_MS)
    assert task in same.works


def test_who_is_asked_already_further_up_is_left_out() -> None:
    fleet, (boss, ann) = boss_and("ann")
    task = boss.delegate(boss.submit())
    again = ann.delegate(task)
    assert again == "" or again not in ann.works
    fleet.wait(3_000)
    assert len(ann.works) == 1
    bob = fleet.join("bob", PART)
    assert len(bob.works) == 1


def test_the_scope_that_counts_is_that_of_who_delegated() -> None:
    """While the parent is suspended, who is further up awards: its own scope has no say."""
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability)
    ann = fleet.join("ann", PART)
    leaf, other = fleet.join("leaf", "demo.leaf"), fleet.join("other", "demo.leaf")
    boss.card = replace(card("boss", ROOTS.capability), calls=(PART,), version="2.0")
    fleet.announce(boss)
    boss.owns()
    task = boss.delegate(boss.submit())
    below = ann.delegate(task, capability="demo.leaf", mode=Mode.AUCTION)
    worker, heir = (leaf, other) if below in leaf.works else (other, leaf)
    fleet.wait(31_000)
    ann.give_up(task)
    worker.die()
    fleet.wait(2 * DIED_MS)
    assert below in heir.works


# --- an auction ---------------------------------------------------------------------------------


def test_an_auction_is_a_call_answers_and_an_award_that_holds_them_all() -> None:
    fleet, boss, (ann, bob) = auctioneer(ann=bids(price=90), bob=bids(price=10))
    task = auctioned(boss)
    assert fleet.story(task) == ["TaskOpened boss-1", "BidsCalled boss-1", "TaskAwarded boss-1"]
    terms = terms_of(fleet, task)
    assert terms.worker == bob.me
    assert [offer.instance for offer in terms.offers] == ["bob-1", "ann-1"]
    assert terms.offers[0].score_permille > terms.offers[1].score_permille
    assert terms.call == 3
    assert terms.why.startswith("2 bids: bob-1 won with")
    (call, _) = boss.sent(m.CallForBids)
    assert (call.task, call.call, call.caller) == (task, terms.call, "boss")
    assert not ann.works


def test_the_supervisors_own_bid_stands_in_the_call_before_it_sees_the_others() -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability, PART, bidder=bids(price=1))
    ann = fleet.join("ann", PART, bidder=bids(price=50))
    boss.owns()
    task = auctioned(boss)
    (called,) = fleet.facts(f.BidsCalled)
    assert called.own_offer is not None
    assert (called.own_offer.instance, called.own_offer.price_micro_usd) == ("boss-1", 1)
    assert called.candidates == ("ann-1",)
    assert task in boss.works
    assert not ann.works


@pytest.mark.parametrize(("reason", "said"), [("no time", "no time"), ("", "declined")])
def test_the_supervisor_may_pass_too(reason: str, said: str) -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability, PART, bidder=refuses(reason))
    ann = fleet.join("ann", PART)
    boss.owns()
    task = auctioned(boss)
    assert task in ann.works
    own = terms_of(fleet, task).offers[-1]
    assert (own.instance, own.declined) == ("boss-1", said)


def test_an_auction_without_other_candidates_is_decided_at_once() -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability, PART)
    boss.owns()
    task = auctioned(boss)
    assert task in boss.works
    assert terms_of(fleet, task).why.startswith("1 bid only")


def test_who_does_not_answer_in_time_is_not_waited_for() -> None:
    fleet, boss, (ann, bob) = auctioneer(ann=bids(), bob=bids())
    fleet.hold(m.CallForBids, bob)
    task = auctioned(boss)
    assert task not in ann.works
    fleet.wait(fleet.settings.bids_wait_ms)
    assert task in ann.works
    assert terms_of(fleet, task).offers[-1].declined == NO_ANSWER
    fleet.let_go()
    assert boss.refusals == ["no such call for bids is open"]


def test_who_has_left_before_the_call_counts_is_not_asked() -> None:
    fleet, boss, (ann, bob) = auctioneer(ann=bids(), bob=bids())
    fleet.hold(f.BidsCalled)
    task = auctioned(boss)
    boss.goodbye(bob)
    fleet.let_go()
    assert task in ann.works
    assert len(boss.sent(m.CallForBids)) == 1
    assert terms_of(fleet, task).offers[-1].declined == HAS_LEFT


def test_who_has_left_before_the_choice_cannot_win() -> None:
    fleet, boss, (ann, bob) = auctioneer(ann=bids(price=90), bob=bids(price=1))
    fleet.hold(m.Bid, boss)
    task = auctioned(boss)
    boss.goodbye(bob)
    fleet.let_go()
    assert task in ann.works


def test_answers_that_nobody_asked_for_are_refused() -> None:
    fleet, boss, (ann, bob) = auctioneer(ann=bids(), bob=bids())
    eve = fleet.join("eve", "demo.other")
    fleet.hold(m.Bid, boss)
    task = auctioned(boss)
    bid = ann.sent(m.Bid)[0]
    eve.send(boss, bid)
    ann.send(boss, replace(bid, call=99))
    ann.send(boss, replace(bid, task="0-other"))
    ann.send(boss, bid)
    ann.send(boss, bid)
    assert boss.refusals == [
        "it was not asked, or has answered",
        "no such call for bids is open",
        "no such call for bids is open",
        "it was not asked, or has answered",
    ]
    fleet.let_go()
    assert task in ann.works or task in bob.works


def test_a_call_that_does_not_count_asks_nobody() -> None:
    fleet, boss, (ann,) = auctioneer(ann=bids())
    root = boss.submit()
    boss.stall()
    boss.delegate(root, mode=Mode.AUCTION)
    fleet.wait(DIED_MS)
    boss.flow()
    assert "void BidsCalled boss-1" in fleet.story()
    assert not boss.sent(m.CallForBids)
    assert not ann.works


def test_a_call_whose_report_is_passed_over_is_written_again() -> None:
    fleet, boss, (ann,) = auctioneer(ann=bids())
    root = boss.submit()
    fleet.lose(f.BidsCalled)
    task = boss.delegate(root, mode=Mode.AUCTION)
    boss.delegate(root, "1", mode=Mode.NAMED, named_agent="nobody")
    fleet.wait(3_000)
    assert ann.works[task].epoch == 1
    assert [fact.round for fact in fleet.facts(f.BidsCalled)] == [0, 1]


# --- after an auction ---------------------------------------------------------------------------


def test_after_a_decline_the_next_ranked_of_the_same_call_gets_it() -> None:
    fleet, boss, _ = auctioneer(ann=bids(price=90))
    bob = fleet.join("bob", PART, bidder=bids(price=1), slots=0)
    task = auctioned(boss)
    assert [fact.award.worker for fact in fleet.facts(f.TaskAwarded)] == [bob.me, ("ann-1", 1)]
    terms = terms_of(fleet, task)
    assert (terms.cause, terms.attempt) == (Cause.DECLINED, 1), "it is no attempt"
    assert len(fleet.facts(f.BidsCalled)) == 1
    assert [offer.declined for offer in terms.offers] == ["", "no slot is free"]


def test_after_a_death_the_next_ranked_of_the_same_call_gets_it() -> None:
    fleet, boss, (ann, bob) = auctioneer(ann=bids(price=90), bob=bids(price=1))
    task = auctioned(boss)
    bob.die()
    fleet.wait(DIED_MS)
    assert ann.works[task].attempt == 1
    assert len(fleet.facts(f.BidsCalled)) == 1
    assert terms_of(fleet, task).offers[-1].declined == "its lease ran out"


def test_when_nobody_is_left_of_a_call_bids_are_called_for_again() -> None:
    fleet, boss, (ann,) = auctioneer(ann=bids())
    task = auctioned(boss)
    ann.finish(task, "boom")
    fleet.wait(1_000)
    assert ann.works[task].attempt == 2
    calls = fleet.facts(f.BidsCalled)
    assert [call.round for call in calls] == [0, 1]
    assert calls[0].seed != calls[1].seed


def test_a_next_ranked_that_has_left_is_not_chosen() -> None:
    fleet, boss, (ann,) = auctioneer(ann=bids(price=90))
    carl = fleet.join("carl", PART, bidder=bids(price=95))
    bob = fleet.join("bob", PART, bidder=bids(price=1), slots=0)
    fleet.hold(m.Award, bob)
    task = auctioned(boss)
    boss.goodbye(ann)
    fleet.let_go()
    fleet.wait(1_000)
    assert task in carl.works
    assert task not in ann.works
    assert len(fleet.facts(f.BidsCalled)) == 1, "the next after it is"
    marks = {offer.agent: offer.declined for offer in terms_of(fleet, task).offers}
    assert marks == {"carl": "", "ann": HAS_LEFT, "bob": "no slot is free"}


def test_what_nobody_bids_for_is_called_again_later() -> None:
    fleet, boss, (ann,) = auctioneer(ann=refuses("busy"))
    task = auctioned(boss)
    fleet.wait(3_500)
    assert len(fleet.facts(f.BidsCalled)) >= 3
    assert not fleet.facts(f.TaskAwarded)
    bob = fleet.join("bob", PART)
    fleet.wait(1_500)
    assert task in bob.works
    assert not ann.works


def test_nobody_is_called_for_what_is_past_its_deadline() -> None:
    """Between the deadline and its certain end lies the difference of two clocks."""
    fleet, boss, (ann,) = auctioneer(ann=refuses("busy"))
    task = boss.delegate(boss.submit(), mode=Mode.AUCTION, timeout_ms=2_900)
    fleet.wait(4_000)
    assert len(fleet.facts(f.BidsCalled)) == 3, "at 0, 1 and 2 s, and not at 3"
    assert fleet.story(task)[-1] == "TaskExpired boss-1"
    assert not ann.works


def test_without_candidates_nothing_is_called() -> None:
    fleet, (boss,) = boss_and()
    task = auctioned(boss)
    fleet.wait(3_000)
    assert not fleet.facts(f.BidsCalled)
    ann = fleet.join("ann", PART)
    assert task in ann.works


def test_a_root_task_may_be_auctioned_too() -> None:
    fleet, (boss,) = boss_and()
    other = fleet.join("boss", ROOTS.capability, bidder=bids(price=1))
    task = boss.submit(mode=Mode.AUCTION)
    assert fleet.story(task)[:2] == ["TaskOpened boss-1", "BidsCalled boss-1"]
    assert task in other.works or task in boss.works
    assert not [call for call in boss.sent(m.CallForBids) if call.caller]


def test_an_auction_is_forgotten_with_its_task() -> None:
    _, boss, (ann,) = auctioneer(ann=bids())
    root = boss.submit()
    ann.finish(auctioned(boss, task=root))
    allocation = boss.node.supervisor.allocation
    assert not allocation.auctions
    assert not allocation.ranked
    assert not allocation.rounds
