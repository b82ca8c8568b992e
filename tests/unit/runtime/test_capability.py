from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from mesh.core.values import Amount, Effect, Mode
from mesh.errors import DefinitionError, InputRejected, UsageError
from mesh.runtime.agent import Agent
from mesh.runtime.capability import Bid, Capability, Decline, permille
from mesh.runtime.context import Context


class Need(BaseModel):
    qty: int


class Quote(BaseModel):
    total: int


def offered(**options: Any) -> Capability[Need, Quote]:
    agent = Agent("tester", owner="team")

    @agent.capability("test.it", **options)
    async def handler(ctx: Context, need: Need) -> Quote:
        return Quote(total=need.qty)

    return handler


def test_bids_are_integers_inside() -> None:
    bid = Bid(price_usd="0.05", eta_s=2, confidence=0.9)
    assert (bid.price_micro_usd, bid.eta_ms, bid.confidence_permille) == (50_000, 2_000, 900)
    assert Bid(eta_s=0.0015).eta_ms == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"eta_s": -1},
        {"eta_s": float("inf")},
        {"eta_s": 1, "price_usd": 0.05},
        {"eta_s": 1, "price_usd": "-1"},
        {"eta_s": 1, "confidence": 1.1},
        {"eta_s": 1, "confidence": True},
    ],
)
def test_malformed_bids(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^Bid\."):
        Bid(**fields)


def test_permille() -> None:
    assert [permille(share, "x") for share in (0, 0.0004, 0.5, 1)] == [0, 0, 500, 1_000]


def test_bid_function_is_asked() -> None:
    quote = offered()

    @quote.bid
    def bid(need: Need) -> Bid | Decline | None:
        if need.qty > 100:
            return Decline(because="too many")
        return Bid(eta_s=need.qty) if need.qty else None

    assert bid(Need(qty=0)) is None
    assert quote.offer(b'{"qty":3}') == Bid(eta_s=3)
    assert quote.offer(b'{"qty":101}') == Decline(because="too many")
    assert quote.offer(b'{"qty":0}') == Decline(because="passes")
    assert quote.offer(b'{"qty":"x"}') != quote.offer(b'{"qty":0}')
    assert quote.card().has_bid


def test_without_a_bid_function_the_bid_is_neutral() -> None:
    assert offered(timeout="1m").offer(b'{"qty":3}') == Bid(eta_s=60, price_usd=0, confidence=0.5)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ValueError("no"), "raised ValueError: no"),
        (InputRejected("bad", field="/qty"), "/qty: bad"),
        (7, "returned int"),
    ],
)
def test_whatever_a_bid_function_does_an_answer_comes(answer: object, words: str) -> None:
    quote = offered()

    @quote.bid
    def bid(need: Need) -> Bid | None:
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]  # what the test is about

    offer = quote.offer(b'{"qty":3}')
    assert isinstance(offer, Decline)
    assert words in offer.because


def test_bid_functions_are_plain_and_single() -> None:
    quote = offered()

    async def later(need: Need) -> Bid:
        return Bid(eta_s=1)

    def nothing() -> Bid:
        return Bid(eta_s=1)

    for wrong in (later, nothing, Bid):
        with pytest.raises(DefinitionError, match=r"capability test\.it: bid"):
            quote.bid(wrong)  # type: ignore[arg-type]  # what the test is about
    quote.bid(lambda need: None)
    with pytest.raises(DefinitionError, match="already"):
        quote.bid(lambda need: None)


def test_card_has_every_default() -> None:
    card = offered(
        effect="keyed", mode="auction", budget={"usd": "1"}, timeout=5, lease="2s", max_attempts=1
    ).card()
    assert (card.effect, card.mode) == (Effect.KEYED, Mode.AUCTION)
    assert card.budget == Amount(1_000_000, 1_000_000, 10_000, 1_000, 100)
    assert (card.timeout_ms, card.lease_ms, card.max_attempts) == (5_000, 2_000, 1)
    assert json.loads(card.input_schema)["properties"] == {
        "qty": {"title": "Qty", "type": "integer"}
    }
    assert json.loads(card.output_schema)["required"] == ["total"]
    assert not card.has_bid
    assert len(card.digest) == 16
    assert offered().card().budget is None


def test_repr_tells_the_types() -> None:
    assert repr(offered()) == "Capability(test.it: Need -> Quote, idempotent, direct)"
