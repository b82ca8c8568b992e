"""What organisations are called in keys, and what is known of them."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from agents.procurement.domain import register
from agents.procurement.dossier import Identifier, Party
from agents.procurement.models import Supplier


def supplier(name: str, *identifiers: str, confidence: str = "1") -> Supplier:
    return Supplier(
        name=name,
        spellings=(name, name.upper()),
        identifiers=identifiers,
        roles=("supplier",),
        mentions=("/a",),
        confidence=Decimal(confidence),
        because="",
    )


@pytest.mark.parametrize(
    ("name", "identifiers", "key"),
    [
        ("Axel Works Ltd", ("gb-coh:0111", "duns:7"), "duns:7"),
        ("Axel Works Ltd", ("unspecified:1",), "name:axel-works-ltd"),
        ("AXEL  works, Limited", (), "name:axel-works-ltd"),
        ("S.C. ARTANIS S.R.L.", (), "name:artanis-srl"),
        ("Artanis SRL", (), "name:artanis-srl"),
        ("---", (), ""),
    ],
)
def test_a_supplier_has_one_key_however_it_is_written(
    name: str, identifiers: tuple[str, ...], key: str
) -> None:
    assert register.supplier_key(supplier(name, *identifiers)) == key


def test_names_that_no_key_carries_are_told_apart() -> None:
    names = ["«Степнафта»", "立新營造有限公司", "大同文化股份有限公司", "x" * 300, "x" * 299]
    keys = [register.supplier_key(supplier(name)) for name in names]
    assert len(set(keys)) == len(names)
    assert all(register._STRANGE.search(key) is None and len(key) < 80 for key in keys)


def test_a_buyer_is_known_by_its_register_before_its_name() -> None:
    numbers = (Identifier(scheme="local", id="b1"), Identifier(scheme="DE-HR", id="B 7"))
    buyer = Party(name="Freie Stadt", identifiers=numbers, role="buyer", at="/buyer")
    assert register.buyer_key(buyer) == "de-hr:B7"
    assert register.buyer_key(buyer.model_copy(update={"identifiers": ()})) == "name:freie-stadt"
    nameless = buyer.model_copy(update={"identifiers": (), "name": ""})
    assert register.buyer_key(nameless) == register.buyer_key(None) == ""


def test_what_is_known_of_a_supplier_is_the_same_in_any_order() -> None:
    met = [
        supplier("Axel Works", "gb-coh:0111", confidence="0.9"),
        supplier("Axel Works Ltd", "gb-coh:0111", "duns:7"),
        supplier("AXEL WORKS", "gb-coh:0111"),
    ]
    ends = set()
    for seed in range(20):
        random.Random(seed).shuffle(met)
        identity, names = None, None
        for one in (*met, met[0]):
            identity = register.identified(identity, one)
            names = register.spelled(names, one)
        ends.add((identity, tuple(names or ())))
    ((identity, spellings),) = ends
    assert identity is not None
    assert (identity.name, identity.confidence) == ("Axel Works Ltd", Decimal("0.9"))
    assert identity.identifiers == ("duns:7", "gb-coh:0111")
    assert spellings == ("AXEL WORKS", "AXEL WORKS LTD", "Axel Works", "Axel Works Ltd")


def test_more_spellings_than_an_entry_holds_are_left_out() -> None:
    known = [f"a{number:03}" for number in range(register.MAX_SPELLINGS)]
    assert register.spelled(known, supplier("z")) == ["Z", *known[:-1]]
