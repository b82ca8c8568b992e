"""Who may be asked, who is taken, who wins, and that anyone can check it."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from mesh.core.facts import BidsCalled, TaskOpened
from mesh.core.messages import Bid, Decline
from mesh.core.negotiation import (
    HAS_LEFT,
    NEUTRAL_STANDING,
    NO_ANSWER,
    WINDOW,
    Means,
    Self,
    Weights,
    asked,
    candidates,
    choose_direct,
    decide,
    eligible,
    explain,
    fault,
    looping,
    means_of,
    recompute,
    refuse_call,
    rendezvous,
    rerank,
    score,
)
from mesh.core.registry import CapabilityCard, Card, Directory, Handler, Offering, Presence
from mesh.core.standing import UNIT, Known
from mesh.core.values import (
    Acceptance,
    Amount,
    Ancestor,
    Body,
    Cause,
    Charter,
    Effect,
    Holder,
    Inbox,
    Mode,
    Offer,
    TaskPartition,
    Terms,
    Version,
)
from mesh.errors import ScopeError

CAPABILITY = "risk.screen"
TASK = "3-abc"
HASH = b"h" * 32
HOLDER = Holder("boss-1", 1)
MEANS = Means(1_000, 10_000)
GOOD = Known(3 * UNIT, 0, (Version(0, 7),))
FAIR = Known(2 * UNIT, UNIT, (Version(2, 9),))


def presence(instance: str, *, load: int = 0, slots: int = 4, digest: str = "d1") -> Presence:
    """Make an instance of the agent that its id names before the dash."""
    agent = instance.partition("-")[0]
    handlers = (Handler(CAPABILITY, digest),)
    return Presence(instance, 1, agent, Inbox(f"m.inbox.{agent}", 0), load, slots, handlers)


def offering(*instances: str | Presence) -> Offering:
    found = (own if isinstance(own, Presence) else presence(own) for own in instances)
    return Offering(CAPABILITY, found)


def fleet(*instances: str, calls: tuple[str, ...] = ("risk.*",)) -> Directory:
    offered = CapabilityCard(
        name=CAPABILITY,
        effect=Effect.PURE,
        mode=Mode.DIRECT,
        budget=None,
        timeout_ms=1_000,
        lease_ms=1_000,
        max_attempts=3,
        has_bid=True,
        input_schema="{}",
        output_schema="{}",
        digest="d1",
        acceptance=Acceptance.AUTOMATIC,
    )
    made = Directory()
    for instance in instances:
        own = presence(instance)
        card = Card(
            agent=own.agent,
            owner="o",
            version="1",
            purpose="",
            calls=calls,
            capabilities=(offered,),
        )
        assert made.see_card(own.agent, card) == ""
        assert made.see_presence(instance, own, 0) == ""
    return made


def name_of(chosen: Presence | None) -> str:
    return chosen.instance if chosen is not None else ""


class TestEligible:
    def test_a_scope_that_does_not_cover_is_our_own_mistake(self) -> None:
        directory = fleet("a-1", calls=("finance.*", "legal.read"))
        with pytest.raises(ScopeError, match=r"a may call finance\.\*, legal\.read.*risk\.screen"):
            eligible(directory, CAPABILITY, HASH, (), "a")

    def test_a_caller_without_a_card_may_call_nothing(self) -> None:
        with pytest.raises(ScopeError, match="ghost has no card"):
            eligible(fleet("a-1"), CAPABILITY, HASH, (), "ghost")

    def test_a_peer_is_told_why(self) -> None:
        card = fleet("a-1", calls=()).card("a")
        assert card is not None
        assert "may call nothing" in refuse_call(card, CAPABILITY)
        assert refuse_call(replace(card, calls=("*",)), CAPABILITY) == ""

    def test_a_submitter_and_a_caller_within_scope_see_all(self) -> None:
        directory = fleet("a-1", "b-1")
        for caller in (None, "a"):
            found = eligible(directory, CAPABILITY, HASH, (), caller)
            assert [own.instance for own in found] == ["a-1", "b-1"]

    def test_an_ancestor_is_asked_only_if_the_input_differs(self) -> None:
        directory = fleet("a-1", "b-1", "c-1")
        above = (
            Ancestor("t1", CAPABILITY, "a", HASH),
            Ancestor("t2", "risk.rate", "b", HASH),
            Ancestor("t3", CAPABILITY, "c", b"other"),
        )
        assert looping(CAPABILITY, HASH, above) == {"a"}
        found = eligible(directory, CAPABILITY, HASH, above, None)
        assert [own.instance for own in found] == ["b-1", "c-1"]


class TestRendezvous:
    def test_is_what_the_docstring_says(self) -> None:
        """The figures another implementation has to meet."""
        task, name = (int.from_bytes(sha256(x).digest()[:8], "big") for x in (b"t", b"n"))
        product = (task ^ name) * 0x9E3779B97F4A7C15
        assert rendezvous("t", "n") == (product & (2**64 - 1)) ^ (product >> 64)

    def test_shares_are_even(self) -> None:
        names = [f"a-{number}" for number in range(8)]
        won = dict.fromkeys(names, 0)
        for task in range(8_000):
            won[max(names, key=lambda name, task=f"t{task}": rendezvous(task, name))] += 1  # type: ignore[misc]  # a default binds the loop's variable
        assert all(900 < count < 1_100 for count in won.values())


class TestDirect:
    def test_oneself_first_if_there_is_a_slot(self) -> None:
        among = offering("a-1", "a-2", "b-1")
        assert name_of(choose_direct(TASK, among, Self("b-1", 1))) == "b-1"

    def test_oneself_only_if_it_offers_is_fresh_and_named(self) -> None:
        among = offering("a-1", "b-1")
        assert name_of(choose_direct(TASK, among, Self("c-1", 1))) in {"a-1", "b-1"}
        assert name_of(choose_direct(TASK, among, Self("b-1", 1), {"b-1"})) == "a-1"
        assert name_of(choose_direct(TASK, among.only("a"), Self("b-1", 1))) == "a-1"
        assert name_of(choose_direct(TASK, among.only("b"), Self("b-1", 1))) == "b-1"

    def test_without_a_slot_the_less_loaded_of_two(self) -> None:
        busy, idle = presence("a-1", load=3), presence("a-2", load=1)
        assert name_of(choose_direct("t", offering(busy, idle), Self("a-1", 0))) == "a-2"

    def test_a_supervisor_without_a_slot_is_never_chosen(self) -> None:
        full = Self("a-1", 0)
        for number in range(8):
            among = offering("a-1", "b-1", "c-1")
            assert name_of(choose_direct(f"t{number}", among, full)) != "a-1"
            assert name_of(choose_direct(f"t{number}", among, full, {"b-1"}, "d1")) == "c-1"
            assert name_of(choose_direct(f"t{number}", among, full, {"b-1", "c-1"})) != "a-1"
        assert choose_direct(TASK, offering("a-1"), full) is None
        # 3 of 8 is less than 2 of 4
        big, small = presence("a-1", load=3, slots=8), presence("a-2", load=2)
        assert name_of(choose_direct("t", offering(big, small), None)) == "a-1"

    def test_equal_loads_go_by_the_hash(self) -> None:
        among = offering("a-1", "a-2", "a-3")
        highest = max(("a-1", "a-2", "a-3"), key=lambda name: rendezvous(TASK, name))
        assert name_of(choose_direct(TASK, among, None)) == highest

    def test_who_has_no_slot_is_passed_over_unless_nobody_has(self) -> None:
        full = [presence(f"a-{n}", load=4) for n in range(5)]
        among = offering(*full, presence("a-9", load=3))
        for number in range(20):
            assert name_of(choose_direct(f"t{number}", among, None)) == "a-9"
        assert choose_direct(TASK, offering(*full), None) in full

    def test_excluded_ones_are_last(self) -> None:
        among = offering("a-1", "a-2")
        assert name_of(choose_direct(TASK, among, None, {"a-2"})) == "a-1"
        assert name_of(choose_direct(TASK, among, None, {"a-1", "a-2"})) in {"a-1", "a-2"}

    def test_the_same_code_is_preferred(self) -> None:
        among = offering("a-1", "a-2", presence("a-3", digest="d2"))
        mine = Self("a-1", 1)
        assert name_of(choose_direct(TASK, among, mine, prefer_digest="d2")) == "a-3"
        assert name_of(choose_direct(TASK, among, mine, {"a-3"}, "d2")) == "a-1"
        assert name_of(choose_direct(TASK, among, mine, prefer_digest="d9")) == "a-1"

    def test_nobody_is_nobody(self) -> None:
        assert choose_direct(TASK, offering(), Self("a-1", 1)) is None
        assert choose_direct(TASK, offering("a-1").only("b"), None) is None
        assert choose_direct(TASK, offering(), None, {"a-1"}, "d1") is None

    def test_in_a_large_fleet_all_are_taken_about_as_often(self) -> None:
        among = offering(*(f"a-{number:03}" for number in range(100)))
        won: dict[str, int] = {}
        for task in range(5_000):
            name = name_of(choose_direct(f"t{task}", among, None))
            won[name] = won.get(name, 0) + 1
        assert len(won) == 100
        assert all(20 < count < 90 for count in won.values())

    def test_in_a_large_fleet_the_one_that_is_left_is_found(self) -> None:
        names = [f"a-{number:03}" for number in range(3 * WINDOW)]
        for left in names:
            others = frozenset(names) - {left}
            assert name_of(choose_direct(TASK, offering(*names), None, others)) == left


class TestCandidates:
    AMONG = offering(*(f"{agent}-{n}" for agent in "abcdef" for n in range(3)))

    def test_one_instance_an_agent(self) -> None:
        found = candidates(TASK, self.AMONG, 4, seed=7)
        assert len({own.agent for own in found}) == len(found) == 4

    def test_all_but_one_are_those_of_highest_weight(self) -> None:
        ranked = sorted("abcdef", key=lambda agent: -rendezvous(TASK, agent))
        found = candidates(TASK, self.AMONG, 4, seed=7)
        assert [own.agent for own in found[:3]] == ranked[:3]

    def test_the_seed_draws_the_last(self) -> None:
        drawn = {candidates(TASK, self.AMONG, 4, seed=seed)[-1].agent for seed in range(50)}
        first = {own.agent for own in candidates(TASK, self.AMONG, 4, seed=0)[:3]}
        assert drawn == set("abcdef") - first

    def test_all_there_are_if_that_is_fewer(self) -> None:
        assert [own.agent for own in candidates(TASK, offering("a-1"), 4, 0)] == ["a"]
        assert len(candidates(TASK, self.AMONG, 40, 0)) == 6
        assert len(candidates(TASK, self.AMONG, 1, 0)) == 1
        assert candidates(TASK, offering(), 4, 0) == ()

    def test_excluded_instances_give_way_to_their_siblings(self) -> None:
        found = candidates(TASK, self.AMONG, 6, 0, {"a-0", "a-1"})
        assert "a-2" in [own.instance for own in found]
        found = candidates(TASK, self.AMONG, 6, 0, {"a-0", "a-1", "a-2", "gone"})
        assert sorted(own.agent for own in found) == list("bcdef")

    def test_if_all_are_excluded_all_are_asked(self) -> None:
        assert len(candidates(TASK, offering("a-1", "b-1"), 4, 0, {"a-1", "b-1"})) == 2


def offer(instance: str, *figures: int, slot: bool = True, declined: str = "") -> Offer:
    """Make an offer of price, time, confidence and standing, not yet scored."""
    price, eta, confidence, standing = (*figures, *(0, 0, 1_000, 500)[len(figures) :])
    agent = instance.partition("-")[0]
    return Offer(instance, agent, price, eta, confidence, slot, standing, 0, declined)


def bid(price: int = 0, eta: int = 0, confidence: int = 1_000, *, slot: bool = True) -> Bid:
    return Bid(
        task=TASK,
        call=5,
        price_micro_usd=price,
        eta_ms=eta,
        confidence_permille=confidence,
        slot=slot,
    )


def passes(reason: str) -> Decline:
    return Decline(task=TASK, call=5, reason=reason)


class TestScore:
    @pytest.mark.parametrize(
        ("figures", "points"),
        [
            ((0, 0, 1_000, 1_000), 1_000),
            ((1_000, 10_000, 0, 1_000), 0),
            ((500, 10_000, 0, 0), 200),
            ((1_000, 5_000, 0, 0), 150),
            ((1_000, 99_000, 1_000, 500), 150),
            ((250, 2_500, 800, 500), 300 + 225 + 120),
        ],
    )
    def test_adds_what_is_saved_and_what_is_trusted(
        self, figures: tuple[int, ...], points: int
    ) -> None:
        assert score(offer("a-1", *figures), MEANS) == points

    def test_a_task_without_money_or_time_gives_points_for_using_none(self) -> None:
        assert score(offer("a-1", 0, 0, 0, 0), Means(0, 0)) == 700
        assert score(offer("a-1", 0, 5, 0, 0), Means(0, -3)) == 400

    def test_weights_may_be_others(self) -> None:
        assert score(offer("a-1", 500, 0, 0, 0), MEANS, Weights(1_000, 0, 0)) == 500

    @pytest.mark.parametrize(
        ("figures", "word"),
        [
            ((1_001,), "above the task's means"),
            ((-1,), "negative"),
            ((0, -1), "negative"),
            ((0, 0, 1_001), "1001 per mille"),
            ((0, 0, -1), "-1 per mille"),
            ((0, 0, 0, 1_001), "1001 per mille"),
        ],
    )
    def test_a_faulty_bid_is_told_why(self, figures: tuple[int, ...], word: str) -> None:
        assert word in fault(offer("a-1", *figures), MEANS)

    def test_a_bid_at_the_limit_has_no_fault(self) -> None:
        assert fault(offer("a-1", 1_000, 99_000, 1_000, 1_000), MEANS) == ""


CALLED = BidsCalled(
    workflow="3-w",
    task=TASK,
    by=HOLDER,
    authority=3,
    round=0,
    seed=7,
    candidates=("a-1", "b-1", "c-1", "d-1"),
    bids_until_ms=90_000,
    own_offer=None,
)
DIRECTORY = fleet("a-1", "b-1", "c-1", "d-1")


class TestDecide:
    def test_ranks_all_and_says_why_not(self) -> None:
        answers: dict[str, Bid | Decline] = {
            "b-1": bid(100),
            "a-1": bid(200),
            "c-1": passes("holiday"),
        }
        offers = decide(CALLED, answers, DIRECTORY, MEANS, {"b": GOOD})
        assert [found.instance for found in offers[:2]] == ["b-1", "a-1"]
        assert offers[0].standing_permille == 800
        assert offers[0][-3:] == GOOD
        assert offers[1].standing_permille == NEUTRAL_STANDING
        assert [found.score_permille for found in offers] == [900, 770, 0, 0]
        reasons = {found.instance: found.declined for found in offers}
        assert reasons == {"b-1": "", "a-1": "", "c-1": "holiday", "d-1": NO_ANSWER}

    def test_who_has_left_meanwhile_cannot_win(self) -> None:
        here = fleet("a-1", "b-1", "c-1")
        offers = decide(CALLED, {"a-1": bid(900), "d-1": bid(0)}, here, MEANS, {})
        assert offers[0].instance == "a-1"
        left = next(found for found in offers if found.instance == "d-1")
        assert (left.agent, left.declined) == ("", HAS_LEFT)

    def test_what_is_too_dear_keeps_its_figures_and_its_reason(self) -> None:
        offers = decide(CALLED, {"a-1": bid(1_001), "b-1": bid(1_000)}, DIRECTORY, MEANS, {})
        assert offers[0].instance == "b-1"
        dear = next(found for found in offers if found.instance == "a-1")
        assert dear.price_micro_usd == 1_001
        assert "above the task's means" in dear.declined

    def test_a_free_slot_goes_before_a_better_score(self) -> None:
        answers = {"a-1": bid(0, slot=False), "b-1": bid(900)}
        offers = decide(CALLED, answers, DIRECTORY, MEANS, {})
        assert offers[0].instance == "b-1"
        assert offers[0].score_permille < offers[1].score_permille
        assert "has no slot free" in explain(offers)

    def test_the_supervisor_s_own_bid_stands_among_the_others(self) -> None:
        called = replace(CALLED, own_offer=offer("e-1", 10, 0, 900, 0))
        assert asked(called) == ("a-1", "b-1", "c-1", "d-1", "e-1")
        offers = decide(called, {"a-1": bid(500)}, DIRECTORY, MEANS, {"e": FAIR})
        expected = offer("e-1", 10, 0, 900, 600)._replace(
            good=FAIR.good, bad=FAIR.bad, versions=FAIR.versions
        )
        assert offers[0] == expected._replace(score_permille=score(expected, MEANS))

    def test_it_stands_once_if_the_supervisor_is_a_candidate_too(self) -> None:
        called = replace(CALLED, own_offer=offer("a-1", 10))
        assert asked(called) == CALLED.candidates
        offers = decide(called, {"a-1": bid(0)}, DIRECTORY, MEANS, {})
        assert offers[0].price_micro_usd == 10

    def test_an_empty_reason_is_still_a_no(self) -> None:
        offers = decide(CALLED, {"a-1": passes("")}, DIRECTORY, MEANS, {})
        assert all(found.declined for found in offers)

    def test_ties_go_by_the_hash(self) -> None:
        names = CALLED.candidates
        offers = decide(CALLED, dict.fromkeys(names, bid(5)), DIRECTORY, MEANS, {})
        ranked = sorted(names, key=lambda name: -rendezvous(TASK, name))
        assert [found.instance for found in offers] == ranked
        assert "by the hash" in explain(offers)


class TestExplain:
    def test_three_bids(self) -> None:
        answers = {"a-1": bid(100), "b-1": bid(200), "c-1": bid(300)}
        offers = decide(CALLED, answers, DIRECTORY, MEANS, {})
        assert explain(offers) == "3 bids: a-1 won with 810 against 770 of b-1"

    def test_one_bid_is_said(self) -> None:
        offers = decide(CALLED, {"a-1": bid(100)}, DIRECTORY, MEANS, {})
        assert explain(offers) == "1 bid only: a-1 won with 810"

    def test_no_bid_is_said(self) -> None:
        assert explain(decide(CALLED, {}, DIRECTORY, MEANS, {})) == "no bid from 4 asked"


class TestRerank:
    OFFERS = decide(
        CALLED, {"a-1": bid(100), "b-1": bid(200), "c-1": bid(300)}, DIRECTORY, MEANS, {}
    )

    def test_who_had_its_turn_comes_last_with_the_reason(self) -> None:
        offers = rerank(TASK, self.OFFERS, {"a-1": "its lease ran out"}, MEANS)
        assert [found.instance for found in offers[:2]] == ["b-1", "c-1"]
        assert {found.instance: found.declined for found in offers}["a-1"] == "its lease ran out"
        assert {found.instance: found.declined for found in offers}["d-1"] == NO_ANSWER

    def test_what_is_free_now_counts(self) -> None:
        offers = rerank(TASK, self.OFFERS, {"a-1": "full"}, Means(250, 10_000))
        assert [found.instance for found in offers if not found.declined] == ["b-1"]
        assert offers[0].score_permille == score(offers[0], Means(250, 10_000))


OPENED = TaskOpened(
    workflow="3-w",
    task=TASK,
    by=HOLDER,
    authority=3,
    source=TaskPartition(CAPABILITY, 0),
    offset=9,
    parent="",
    step="",
    capability=CAPABILITY,
    input=Body(HASH, "application/json", b"{}"),
    charter=Charter(goal="", constraints=(), root_hash=HASH),
    ancestors=(),
    after=(),
    grant=Amount(micro_usd=2_000),
    deadline_ms=100_000,
    lease_ms=1_000,
    max_attempts=3,
    mode=Mode.AUCTION,
    named_agent="",
    acceptance=Acceptance.AUTOMATIC,
    event_id="",
    reply_topic="",
    correlation_id="",
    traceparent="",
    award=None,
)
OFFERS = decide(CALLED, {"a-1": bid(100), "b-1": bid(200)}, DIRECTORY, MEANS, {})
TERMS = Terms(
    epoch=1,
    worker=Holder("a-1", 1),
    worker_inbox=Inbox("m.inbox.a", 0),
    agent="a",
    digest="d1",
    lease_ms=1_000,
    free=Amount(micro_usd=1_000),
    resume_from=-1,
    cause=Cause.FIRST,
    attempt=1,
    reason="",
    mode=Mode.AUCTION,
    call=5,
    offers=OFFERS,
    why=explain(OFFERS),
)


def tampered(instance: str, **figures: int | str) -> Terms:
    """Change one offer's figures in the recorded terms."""
    changed = tuple(
        own._replace(**figures) if own.instance == instance else own  # type: ignore[arg-type]  # fields of either type
        for own in OFFERS
    )
    return replace(TERMS, offers=changed)


class TestRecompute:
    def test_agrees_with_what_was_decided(self) -> None:
        assert means_of(OPENED, CALLED, TERMS.free) == MEANS
        assert recompute(OPENED, CALLED, TERMS) == ""

    def test_agrees_with_an_award_after_a_death(self) -> None:
        free = Amount(micro_usd=700)
        means = means_of(OPENED, CALLED, free)
        offers = rerank(TASK, OFFERS, {"a-1": "its lease ran out"}, means)
        again = replace(
            TERMS,
            epoch=2,
            worker=Holder("b-1", 1),
            agent="b",
            free=free,
            cause=Cause.DIED,
            offers=offers,
        )
        assert recompute(OPENED, CALLED, again) == ""

    @pytest.mark.parametrize("mode", [Mode.DIRECT, Mode.NAMED])
    def test_agrees_with_an_award_without_bids(self, mode: Mode) -> None:
        opened = replace(OPENED, mode=mode, named_agent="a")
        assert recompute(opened, None, replace(TERMS, mode=mode, call=-1, offers=())) == ""

    def test_a_resumed_task_is_awarded_without_another_auction(self) -> None:
        terms = replace(TERMS, mode=Mode.DIRECT, call=-1, offers=(), cause=Cause.RESUMED)
        assert recompute(OPENED, None, terms) == ""

    @pytest.mark.parametrize(
        ("opened", "called", "terms", "word"),
        [
            (
                replace(OPENED, ancestors=(Ancestor("t", CAPABILITY, "a", HASH),)),
                CALLED,
                TERMS,
                "further up",
            ),
            (
                replace(OPENED, mode=Mode.NAMED, named_agent="b"),
                None,
                replace(TERMS, mode=Mode.NAMED, call=-1, offers=()),
                "names b",
            ),
            (
                OPENED,
                None,
                replace(TERMS, mode=Mode.DIRECT, call=-1, offers=()),
                "asks for auction",
            ),
            (replace(OPENED, mode=Mode.DIRECT), None, replace(TERMS, mode=Mode.DIRECT), "without"),
            (
                replace(OPENED, mode=Mode.DIRECT),
                CALLED,
                replace(TERMS, mode=Mode.DIRECT, offers=()),
                "without",
            ),
            (OPENED, None, TERMS, "without a call"),
            (OPENED, replace(CALLED, task="3-other"), TERMS, "3-other"),
            (OPENED, CALLED, replace(TERMS, offers=OFFERS[:3]), "not those"),
            (OPENED, CALLED, replace(TERMS, offers=(*OFFERS, OFFERS[0])), "not those"),
            (OPENED, CALLED, tampered("b-1", score_permille=999), "figures give 770"),
            (OPENED, CALLED, tampered("b-1", price_micro_usd=90), "figures give 814"),
            (OPENED, CALLED, tampered("b-1", price_micro_usd=1_001), "above the task's means"),
            (OPENED, CALLED, tampered("a-1", standing_permille=1_200), "1200 per mille"),
            (OPENED, CALLED, tampered("d-1", score_permille=1), "figures give 0"),
            (OPENED, CALLED, tampered("a-1", bad=4 * UNIT), "a has a standing of 500, and its"),
            (OPENED, CALLED, replace(TERMS, free=Amount(micro_usd=500)), "figures give"),
            (
                OPENED,
                CALLED,
                replace(TERMS, offers=(OFFERS[1], OFFERS[0], *OFFERS[2:])),
                "not in the order",
            ),
            (OPENED, CALLED, replace(TERMS, worker=Holder("b-1", 1), agent="b"), "a-1 of a bid"),
            (OPENED, CALLED, replace(TERMS, agent="b"), "a-1 of a bid"),
            (OPENED, replace(CALLED, own_offer=offer("a-1", 99)), TERMS, "otherwise"),
            (
                OPENED,
                CALLED,
                replace(TERMS, offers=decide(CALLED, {}, DIRECTORY, MEANS, {})),
                "nobody bid",
            ),
        ],
    )
    def test_names_the_first_disagreement(
        self, opened: TaskOpened, called: BidsCalled | None, terms: Terms, word: str
    ) -> None:
        assert word in recompute(opened, called, terms)

    def test_the_supervisor_s_own_bid_is_compared_with_the_call(self) -> None:
        called = replace(CALLED, own_offer=offer("e-1", 10))
        offers = decide(called, {}, DIRECTORY, MEANS, {})
        terms = replace(TERMS, worker=Holder("e-1", 1), agent="e", offers=offers)
        assert recompute(OPENED, called, terms) == ""
