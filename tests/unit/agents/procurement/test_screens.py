"""What the rival screens look at, and what they bid."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agents.procurement import prices, red_flags
from agents.procurement.capabilities import PRICES, RED_FLAGS
from agents.procurement.domain.coverage import everything, first_pass
from agents.procurement.domain.opinions import second_opinion
from agents.procurement.dossier import Dossier
from agents.procurement.models import (
    Basis,
    Comparables,
    Comparison,
    PricePoint,
    Screening,
    ScreenRequest,
)
from agents.procurement.screening import left_out, to_cover
from mesh import Bid, Decline
from tests.unit.agents.procurement.build import dossier


def awards(*amounts: float | None, currencies: tuple[str, ...] = ()) -> Dossier:
    def spoil(r: dict[str, Any]) -> None:
        one = r["awards"][0]
        r["awards"] = [
            {
                **one,
                "id": f"a{n}",
                "value": {"amount": amount, "currency": currencies[n] if currencies else "GBP"},
            }
            for n, amount in enumerate(amounts)
        ]

    return dossier(spoil)


@pytest.mark.parametrize(
    ("amounts", "taken"),
    [
        ((5,), {0}),
        ((70, 20, 10), {0}),
        ((10, 20, 70), {2}),
        ((40, 30, 30), {0, 1}),
        ((50, 50, 50), {0, 1}),
        ((70, None, 10), {0, 1}),
        ((0, 0), {0, 1}),
        ((), {0}),
    ],
)
def test_a_first_pass_takes_the_largest_up_to_two_thirds(
    amounts: tuple[float | None, ...], taken: set[int]
) -> None:
    section = "awards" if amounts else "contracts"
    assert first_pass(awards(*amounts)) == {f"/{section}/{n}" for n in taken}


def test_each_currency_has_its_own_two_thirds() -> None:
    assert first_pass(awards(70, 30, 9, currencies=("GBP", "GBP", "USD"))) == {
        "/awards/0",
        "/awards/2",
    }


def test_repetitions_cost_nothing_to_look_at() -> None:
    def repeat(r: dict[str, Any]) -> None:
        r["awards"] *= 3

    assert first_pass(dossier(repeat)) == {"/awards/0", "/awards/1", "/awards/2"}


def test_a_refusal_that_names_an_award_makes_it_look_at_all() -> None:
    read = awards(70, 20, 10)
    assert to_cover(read, "") == first_pass(read)
    assert to_cover(read, "the worker died") == first_pass(read)
    assert to_cover(read, "not looked at: /awards/1, /awards/2") == everything(read)
    assert [skipped.at for skipped in left_out(read, first_pass(read))] == [
        "/awards/1",
        "/awards/2",
    ]


def comparison(count: int, *, basis: Basis = Basis.UNIT, owner: str = "/awards/0") -> Comparison:
    subject = PricePoint(
        ocid="x",
        at="/awards/0/value",
        kind="award",
        basis=basis,
        scheme="CPV",
        code="1",
        label="",
        unit="piece",
        amount=Decimal(100),
        currency="GBP",
    )
    return Comparison(
        subject=subject,
        owner=owner,
        level="CPV 1",
        amounts=(Decimal(100),) * count,
        enough=count >= 5,
    )


def request(read: Dossier, *comparisons: Comparison) -> ScreenRequest:
    return ScreenRequest(dossier=read, comparables=Comparables(comparisons=comparisons))


def test_the_price_screen_declines_without_comparables() -> None:
    assert prices.bid(request(dossier())) == Decline(
        because="0 comparable prices at most, 5 are needed"
    )
    assert isinstance(prices.bid(request(dossier(), comparison(4))), Decline)


def test_the_price_screen_is_surer_of_unit_prices() -> None:
    unit = prices.bid(request(dossier(), comparison(10)))
    whole = prices.bid(request(dossier(), comparison(10, basis=Basis.TOTAL)))
    assert isinstance(unit, Bid)
    assert isinstance(whole, Bid)
    assert unit.confidence > whole.confidence
    assert unit.price_micro_usd == 10_000 + 500 * 10


def test_the_price_screen_asks_more_for_more_prices() -> None:
    few = prices.bid(request(dossier(), comparison(5)))
    many = prices.bid(request(dossier(), comparison(50)))
    assert isinstance(few, Bid)
    assert isinstance(many, Bid)
    assert few.price_micro_usd < many.price_micro_usd


def test_the_red_flag_screen_always_bids_surer_the_more_is_known() -> None:
    known = red_flags.bid(request(dossier()))
    unknown = red_flags.bid(request(dossier(lambda r: r.pop("tender"))))
    assert isinstance(known, Bid)
    assert isinstance(unknown, Bid)
    assert known.confidence > unknown.confidence
    assert known.price_micro_usd == 12_000


def test_rivals_bid_differently_for_the_same_work() -> None:
    asked = request(dossier(), comparison(30))
    ours, theirs = red_flags.bid(asked), prices.bid(asked)
    assert isinstance(ours, Bid)
    assert isinstance(theirs, Bid)
    assert ours.price_micro_usd != theirs.price_micro_usd
    assert ours.confidence != theirs.confidence


def test_the_rival_is_asked_for_what_the_winner_cannot_see() -> None:
    enough = Comparables(comparisons=(comparison(9),))
    flagged = Screening(agent=RED_FLAGS, covered=())
    priced = Screening(agent=PRICES, covered=())
    asked = second_opinion(flagged, dossier(), enough)
    assert asked is not None
    assert asked.agent == PRICES
    back = second_opinion(priced, dossier(), enough)
    assert back is not None
    assert back.agent == RED_FLAGS
    assert second_opinion(flagged, dossier(), Comparables(comparisons=())) is None
    assert second_opinion(priced, dossier(lambda r: r.pop("tender")), enough) is None
