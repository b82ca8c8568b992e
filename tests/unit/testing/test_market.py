"""Who gets the work: newcomers are not starved, the bad lose their share, and may come back.

The figures are those of fixed seeds; `pytest -s` prints them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from mesh.core.standing import is_known, permille
from mesh.testing.market import Deal, Market, Trader

SEEDS = range(5)


def share(deals: Sequence[Deal], name: str) -> float:
    """Return the part of the auctions that an agent won."""
    return sum(own.winner == name for own in deals) / len(deals)


def stands(market: Market, name: str) -> int:
    """Return the standing of an agent, in per mille."""
    weights = list(market.standing(name))
    return permille(sum(good for good, _ in weights), sum(bad for _, bad in weights))


def test_a_newcomer_wins_beside_one_who_never_failed() -> None:
    firsts, halves = [], []
    for seed in SEEDS:
        market = Market([Trader(name="old")], seed=seed)
        market.hold(100)
        market.enter(Trader(name="new"))
        firsts.append(market.until(lambda deal: deal.winner == "new", 60))
        market.hold(200)
        halves.append(share(market.hold(200), "new"))
        assert stands(market, "new") == stands(market, "old") == 1_000
    print(f"\na newcomer's first task: auction {firsts}; later it has {halves} of them")
    assert all(0 < first <= 20 for first in firsts)
    assert all(0.35 < half < 0.65 for half in halves)


@pytest.mark.parametrize("partitions", [1, 8])
def test_a_newcomer_among_many_is_not_starved(partitions: int) -> None:
    for seed in SEEDS:
        names = ["a", "b", "c", "d", "e"]
        market = Market([Trader(name=own) for own in names], seed=seed, partitions=partitions)
        market.hold(300)
        market.enter(Trader(name="new"))
        assert market.until(lambda deal: deal.winner == "new", 80)


def test_a_newcomer_that_fails_costs_little() -> None:
    lost = []
    for seed in SEEDS:
        market = Market([Trader(name="old")], seed=seed)
        market.hold(100)
        market.enter(Trader(name="new", finishes=0))
        lost.append(sum(not deal.finished for deal in market.hold(300)))
    print(f"\na newcomer that always fails loses {lost} of 300 tasks")
    assert max(lost) <= 30


def test_a_bad_agent_loses_its_share_and_comes_back_when_it_has_mended() -> None:
    seed = 2
    market = Market([Trader(name="good"), Trader(name="bad", finishes=10)], seed=seed)
    falls = [share(market.hold(100), "bad") for _ in range(3)]
    assert all(part < 0.2 for part in falls)
    assert stands(market, "bad") <= 400
    market.enter(Trader(name="bad"))
    rises = [share(market.hold(200), "bad") for _ in range(8)]
    print(f"\na bad agent's share: {falls}; once it has mended: {rises}")
    assert rises[0] < 0.1
    assert rises[-1] > 0.35
    assert stands(market, "bad") == 1_000


def test_a_price_wins_against_a_standing() -> None:
    market = Market(
        [Trader(name="dear", price_micro_usd=900), Trader(name="cheap", price_micro_usd=100)],
        seed=1,
    )
    market.enter(Trader(name="cheap", price_micro_usd=100, finishes=70))
    deals = market.hold(200)
    assert share(deals, "cheap") > 0.9


def test_equals_share_the_work() -> None:
    market = Market([Trader(name=own) for own in "abcd"], seed=4, partitions=8)
    market.hold(400)
    won = Counter(deal.winner for deal in market.hold(400))
    assert set(won) == set("abcd")
    assert max(won.values()) < 2 * min(won.values())


def test_a_seed_is_a_market() -> None:
    def deals(seed: int) -> list[Deal]:
        return Market([Trader(name="a"), Trader(name="b", finishes=50)], seed=seed).hold(50)

    assert deals(1) == deals(1)
    assert deals(1) != deals(2)


def test_it_says_how_long_it_waited_in_vain() -> None:
    market = Market([Trader(name="a")], seed=1)
    assert market.until(lambda deal: deal.winner == "b", 3) == 0
    assert "3 auctions" in repr(market)
    assert not is_known(*next(market.standing("a")))
