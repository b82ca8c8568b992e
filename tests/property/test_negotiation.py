"""Laws of the negotiation: monotone scores, full and stable rankings, choices that stay put."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from mesh.core.facts import BidsCalled
from mesh.core.messages import Bid, Decline
from mesh.core.negotiation import (
    WINDOW,
    Means,
    Self,
    asked,
    candidates,
    choose_direct,
    decide,
    explain,
    fault,
    rendezvous,
    rerank,
    score,
)
from mesh.core.registry import Directory, Offering, Presence
from mesh.core.standing import PERMILLE, UNIT, Known
from mesh.core.values import Holder, Inbox, Offer

permille = st.integers(0, PERMILLE)
money = st.integers(0, 10**9)
moments = st.integers(0, 10**7)
means_ = st.builds(Means, money, st.integers(-100, 10**7))
tasks = st.text("0123456789abcdef", min_size=1, max_size=8)
instances = st.lists(st.integers(0, 999), min_size=1, max_size=60, unique=True).map(
    lambda numbers: [f"{'abcdefghijklmnop'[n % 16]}-{n:03}" for n in numbers]
)
few = instances.map(lambda names: names[:WINDOW])


def offering(names: list[str]) -> Offering:
    return Offering(
        "x.y",
        (
            Presence(name, 1, name[0], Inbox("t", 0), sum(map(ord, name)) % 5, 5, ())
            for name in names
        ),
    )


@st.composite
def sound_offers(draw: st.DrawFn, means: Means) -> Offer:
    price = draw(st.integers(0, means.price_micro_usd))
    figures = (price, draw(moments), draw(permille), draw(st.booleans()), draw(permille))
    return Offer("i", "a", *figures, 0, "")


@given(means_, st.data())
def test_a_score_is_between_nothing_and_a_thousand(means: Means, data: st.DataObject) -> None:
    offer = data.draw(sound_offers(means))
    assert fault(offer, means) == ""
    assert 0 <= score(offer, means) <= PERMILLE


@given(means_, st.data())
def test_cheaper_faster_surer_never_scores_less(means: Means, data: st.DataObject) -> None:
    offer = data.draw(sound_offers(means))
    better = offer._replace(
        price_micro_usd=data.draw(st.integers(0, offer.price_micro_usd)),
        eta_ms=data.draw(st.integers(0, offer.eta_ms)),
        confidence_permille=data.draw(st.integers(offer.confidence_permille, PERMILLE)),
        standing_permille=data.draw(st.integers(offer.standing_permille, PERMILLE)),
    )
    assert score(better, means) >= score(offer, means)


bids = st.builds(
    Bid,
    task=st.just("t"),
    call=st.just(1),
    price_micro_usd=st.integers(-5, 2_000),
    eta_ms=st.integers(-5, 2_000),
    confidence_permille=st.integers(-5, 1_100),
    slot=st.booleans(),
)
declines = st.builds(
    Decline, task=st.just("t"), call=st.just(1), reason=st.sampled_from(("", "full"))
)
answers_ = st.dictionaries(
    st.sampled_from([f"{c}-{n}" for c in "abc" for n in range(4)]), st.none() | bids | declines
)
weights = st.integers(0, 40 * UNIT)
standings = st.dictionaries(st.sampled_from("abc"), st.builds(Known, weights, weights))


@st.composite
def calls(draw: st.DrawFn) -> BidsCalled:
    names = st.sampled_from([f"{c}-{n}" for c in "abc" for n in range(4)])
    own = st.builds(
        Offer,
        names,
        st.sampled_from("abc"),
        st.integers(-5, 2_000),
        moments,
        permille,
        st.booleans(),
        st.just(0),
        st.just(0),
        st.just(""),
    )
    return BidsCalled(
        workflow="w",
        task=draw(tasks),
        by=Holder("boss", 1),
        authority=1,
        round=0,
        seed=0,
        candidates=tuple(draw(st.lists(names, unique=True))),
        bids_until_ms=0,
        own_offer=draw(st.none() | own),
    )


def known() -> Directory:
    directory = Directory()
    for name in (f"{c}-{n}" for c in "abc" for n in range(3)):
        directory.see_presence(name, Presence(name, 1, name[0], Inbox("t", 0), 0, 5, ()), 0)
    return directory


Answers = dict[str, Bid | Decline | None]
MEANS = Means(1_000, 1_000)


@given(calls(), answers_, standings)
def test_a_decision_ranks_exactly_those_asked(
    called: BidsCalled, answers: Answers, standing: dict[str, Known]
) -> None:
    offers = decide(called, answers, known(), MEANS, standing)
    assert sorted(own.instance for own in offers) == sorted(asked(called))
    declined = [bool(own.declined) for own in offers]
    assert declined == sorted(declined)
    taken = [(own.slot, own.score_permille) for own in offers if not own.declined]
    assert taken == sorted(taken, reverse=True)
    assert explain(offers)


@given(calls(), answers_, standings, st.data())
def test_a_decision_does_not_depend_on_who_answered_first(
    called: BidsCalled, answers: Answers, standing: dict[str, Known], data: st.DataObject
) -> None:
    shuffled = dict(data.draw(st.permutations(list(answers.items()))))
    first = decide(called, answers, known(), MEANS, standing)
    assert decide(called, shuffled, known(), MEANS, standing) == first


@given(calls(), answers_, standings)
def test_ranking_again_without_news_changes_nothing(
    called: BidsCalled, answers: Answers, standing: dict[str, Known]
) -> None:
    offers = decide(called, answers, known(), MEANS, standing)
    assert rerank(called.task, offers, {}, MEANS) == offers


@given(calls(), answers_, standings)
def test_the_next_ranked_wins_when_the_winner_is_tried(
    called: BidsCalled, answers: Answers, standing: dict[str, Known]
) -> None:
    offers = decide(called, answers, known(), MEANS, standing)
    bidders = [own.instance for own in offers if not own.declined]
    assume(bidders)
    again = rerank(called.task, offers, {bidders[0]: "tried"}, MEANS)
    assert [own.instance for own in again if not own.declined] == bidders[1:]


@given(tasks, few, st.data())
def test_only_the_tasks_of_an_instance_that_leaves_move(
    task: str, names: list[str], data: st.DataObject
) -> None:
    left = data.draw(st.sampled_from(names))
    winner = max(names, key=lambda name: rendezvous(task, name))
    rest = [name for name in names if name != left]
    if winner != left:
        assert max(rest, key=lambda name: rendezvous(task, name)) == winner


@given(tasks, few, st.data())
def test_a_direct_choice_stays_when_another_leaves(
    task: str, names: list[str], data: st.DataObject
) -> None:
    """It moves only if the one that leaves was one of the two that were compared."""
    everyone = offering(names)
    chosen = choose_direct(task, everyone, None)
    ranked = sorted(
        (own for own in everyone if own.load < own.slots),
        key=lambda own: -rendezvous(task, own.instance),
    )
    left = data.draw(st.sampled_from(names))
    everyone.drop(left)
    if left not in [own.instance for own in ranked[:2]]:
        assert choose_direct(task, everyone, None) == chosen


@given(tasks, instances, st.sets(st.integers(0, 59)), st.sampled_from(("", "a", "b")))
def test_a_direct_choice_is_fresh_if_anyone_is(
    task: str, names: list[str], places: set[int], agent: str
) -> None:
    exclude = {names[place] for place in places if place < len(names)}
    among = offering(names).only(agent) if agent else offering(names)
    chosen = choose_direct(task, among, None, exclude)
    asked_ = [name for name in names if agent in ("", name[0])]
    assert (chosen is not None) is bool(asked_)
    if chosen is not None:
        assert chosen.instance in asked_
        assert chosen.instance not in exclude or set(asked_) <= exclude


@given(tasks, instances)
def test_a_choice_does_not_depend_on_the_order_in_which_instances_came(
    task: str, names: list[str]
) -> None:
    forth, back = offering(names), offering(names[::-1])
    assert choose_direct(task, forth, None) == choose_direct(task, back, None)
    assert candidates(task, forth, 4, 7) == candidates(task, back, 4, 7)


@given(tasks, instances)
def test_oneself_is_taken_when_there_is_a_slot(task: str, names: list[str]) -> None:
    chosen = choose_direct(task, offering(names), Self(names[0], 1))
    assert chosen is not None
    assert chosen.instance == names[0]


@given(tasks, instances, st.integers(1, 20), st.integers(), st.sets(st.integers(0, 59)))
def test_candidates_are_of_distinct_agents_and_as_many_as_can_be(
    task: str, names: list[str], count: int, seed: int, places: set[int]
) -> None:
    exclude = {names[place] for place in places if place < len(names)}
    fresh = [name for name in names if name not in exclude] or names
    found = candidates(task, offering(names), count, seed, exclude)
    assert {own.instance for own in found} <= set(fresh)
    agents = {name[0] for name in fresh}
    assert len({own.agent for own in found}) == len(found) == min(count, len(agents))
