"""Which mentions are one company, how sure that is, and what contradicts it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agents.procurement.domain.resolution import (
    CUT_OFF,
    MAX_PAIRED,
    SAME_CORE,
    SAME_IDENTIFIER,
    SAME_LOCAL_ID,
    SAME_NAME,
    link,
    resolve_suppliers,
)
from agents.procurement.dossier import Identifier, Party, Severity
from tests.unit.agents.procurement.build import codes, only


def party(
    name: str, number: str = "", *, scheme: str = "RFC", role: str = "supplier", at: str = ""
) -> Party:
    identifiers = (Identifier(scheme=scheme, id=number),) if number else ()
    at = at or f"/{role}/{name.replace('/', '~1').replace('~', '~0')}{number}"
    return Party(name=name, identifiers=identifiers, role=role, at=at)


@pytest.mark.parametrize(
    ("first", "second", "confidence"),
    [
        (party("Alfa SA", "XAX-1"), party("Beta SRL", "xax1"), SAME_IDENTIFIER),
        (party("Alfa", "h1", scheme="local"), party("Alpha", "h1", scheme="local"), SAME_LOCAL_ID),
        (party("Hectárea Obras S.A. de C.V."), party("Hectarea Obras SA DE CV"), SAME_NAME),
        (party("Integridata, S.A. de C.V."), party("Integridata"), SAME_CORE),
        (party("TIENDAS DEL PACIFICO S.A DE C"), party("TIENDAS DEL PACIFICO S.A D"), CUT_OFF),
    ],
)  # fmt: skip
def test_agreement_has_a_confidence(first: Party, second: Party, confidence: Decimal) -> None:
    found = link(first, second)
    assert found is not None
    assert found.confidence == confidence
    assert found == link(second, first)


def test_a_misspelling_is_found_with_less_confidence() -> None:
    found = link(party("Nordlicht Gebaudedienste GmbH"), party("Nordlicht Gebäudedinste GmbH"))
    assert found is not None
    assert Decimal("0.8") < found.confidence < SAME_CORE


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (party("Alfa SA", "1A"), party("Alfa SA", "2B")),
        (party("Acme Ltd"), party("Acme GmbH")),
        (party("9079-3068 Québec inc."), party("9079-3069 Québec inc.")),
        (party("Construcciones del Norte SA"), party("Construcciones del Sur SA")),
        (party("", "1A"), party("", "2B")),
        (party("Alfa", "0", scheme="X"), party("Beta", "0", scheme="X")),
        (party("Alfa", "n/a", scheme="X"), party("Beta", "N/A", scheme="X")),
    ],
)
def test_what_is_not_the_same(first: Party, second: Party) -> None:
    assert link(first, second) is None


def test_numbers_without_a_register_do_not_contradict() -> None:
    first, second = (
        party("Alfa SA", "1", scheme="unspecified"),
        party("Alfa SA", "2", scheme="unspecified"),
    )
    assert link(first, second) is not None


def test_the_weakest_link_is_the_confidence_of_the_group() -> None:
    mentions = [party("Alfa SA", "1A"), party("ALFA, S.A."), party("Alfa", at="/z")]
    (supplier,) = resolve_suppliers(mentions).suppliers
    assert supplier.confidence == SAME_CORE
    assert supplier.mentions == ("/supplier/Alfa SA1A", "/supplier/ALFA, S.A.", "/z")
    assert supplier.identifiers == ("rfc:1A",)


def test_two_registered_companies_are_never_joined_by_a_third_mention() -> None:
    mentions = [party("Alfa SA", "1A"), party("Alfa SA"), party("Alfa SA", "2B")]
    resolution = resolve_suppliers(mentions)
    assert sorted(len(supplier.mentions) for supplier in resolution.suppliers) == [1, 2]
    assert only(resolution.findings, "one-name-two-numbers").severity is Severity.LOW


def test_one_number_with_unlike_names_is_named() -> None:
    resolution = resolve_suppliers([party("Alfa Obras SA", "1A"), party("Zumos Iberia SL", "1A")])
    assert len(resolution.suppliers) == 1
    assert only(resolution.findings, "one-number-two-names").severity is Severity.MEDIUM
    akin = resolve_suppliers([party("Alfa Obras SA", "1A"), party("Grupo Alfa", "1A")])
    assert "one-number-two-names" not in codes(akin.findings)


def test_tenderers_that_are_one_are_no_competition() -> None:
    bidders = [party("Alfa SA", role="tenderer"), party("ALFA S. A.", role="tenderer")]
    found = only(resolve_suppliers(bidders).findings, "tenderers-are-one")
    assert found.severity is Severity.HIGH
    assert found.evidence == tuple(bidder.at for bidder in bidders)


def test_one_tenderer_listed_twice_weighs_less() -> None:
    bidders = [party("Alfa", role="tenderer", at=at) for at in ("/a", "/b")]
    assert (
        only(resolve_suppliers(bidders).findings, "tenderers-are-one").severity is Severity.MEDIUM
    )


def test_a_winner_who_also_bid_is_no_rival_of_himself() -> None:
    mentions = [party("Alfa SA", role="tenderer"), party("Alfa SA", role="supplier")]
    assert codes(resolve_suppliers(mentions).findings) == []


def test_who_buys_from_itself_is_named() -> None:
    buyer = party("Obras Públicas SA", "1A", role="buyer")
    found = only(
        resolve_suppliers([party("OBRAS PUBLICAS S.A.")], buyer).findings, "supplier-is-buyer"
    )
    assert found.severity is Severity.HIGH
    assert found.evidence == (buyer.at, "/supplier/OBRAS PUBLICAS S.A.")


def test_the_buyer_under_another_legal_form_is_named_and_a_likeness_is_not() -> None:
    buyer = party("Obras Publicas", role="buyer")
    assert codes(resolve_suppliers([party("Obras Publicas SA")], buyer).findings) == [
        "supplier-is-buyer"
    ]
    alike = party("Obras Publica", role="supplier")
    assert link(buyer, alike) is not None
    assert codes(resolve_suppliers([alike], buyer).findings) == []


def test_a_payee_may_be_the_buyer() -> None:
    buyer = party("Alfa SA", role="buyer")
    assert codes(resolve_suppliers([party("Alfa SA", role="payee")], buyer).findings) == []


def test_spellings_are_told() -> None:
    found = only(
        resolve_suppliers([party("Alfa SA"), party("ALFA, S. A.")]).findings, "spelled-differently"
    )
    assert (
        found.explanation == 'Written in 2 ways, held to be one supplier: "Alfa SA", "ALFA, S. A.".'
    )


def test_the_order_of_mentions_does_not_matter() -> None:
    mentions = [party("Alfa SA", "1A"), party("Alfa"), party("Beta SRL"), party("S.C. Beta S.R.L.")]
    forth, back = resolve_suppliers(mentions), resolve_suppliers(reversed(mentions))
    assert {frozenset(s.mentions) for s in forth.suppliers} == {
        frozenset(s.mentions) for s in back.suppliers
    }


def test_too_many_mentions_are_said_and_none_is_lost() -> None:
    mentions = [party(f"Company number {n}") for n in range(MAX_PAIRED + 1)]
    resolution = resolve_suppliers(mentions)
    assert len(resolution.suppliers) == len(mentions)
    assert codes(resolution.findings) == ["too-many-mentions"]


def test_nobody_is_nobody() -> None:
    assert resolve_suppliers([party("")]).suppliers == ()
