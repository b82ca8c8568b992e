"""What recommended awards add to a supplier's exposure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agents.procurement.domain import exposures
from agents.procurement.domain.contracts import parties_to_compare
from agents.procurement.domain.register import keyed
from agents.procurement.domain.resolution import resolve_suppliers
from agents.procurement.dossier import Money
from tests.unit.agents.procurement.build import dossier


def found(spoil: Any = None) -> dict[tuple[str, str], exposures.Exposure]:
    read = dossier(spoil)
    suppliers = keyed(resolve_suppliers(parties_to_compare(read), read.buyer).suppliers)
    return exposures.exposures(read, suppliers)


def test_an_award_counts_for_its_supplier_in_hundredths() -> None:
    assert found() == {("gb-coh:0111", "GBP"): {"ocds-test-1 a1": 7_200_050}}


def test_an_award_to_several_counts_for_each() -> None:
    several = found(lambda r: r["awards"][0]["suppliers"].append({"id": "y"}))
    assert set(several) == {("gb-coh:0111", "GBP"), ("gb-coh:0222", "GBP")}
    assert len({str(own) for own in several.values()}) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "cancelled"},
        {"value": None},
        {"value": {"amount": -3, "currency": "GBP"}},
        {"suppliers": []},
        {"suppliers": [{"id": "nobody"}]},
    ],
)
def test_what_cannot_be_counted_adds_nothing(changes: dict[str, Any]) -> None:
    assert found(lambda r: r["awards"][0].update(changes)) == {}


@pytest.mark.parametrize(
    ("amount", "counted"),
    [("0.001", 1), ("1.239", 124), ("90071992547409.91", 2**53 - 1), ("90071992547409.92", 0)],
)
def test_amounts_are_rounded_up_and_have_a_limit(amount: str, counted: int) -> None:
    assert exposures.hundredths(Money(amount=Decimal(amount), currency="EUR", at="")) == counted


def test_joining_is_the_same_again_and_in_any_order() -> None:
    one, other = {"a": 1, "b": 5}, {"b": 3, "c": 2}
    joined = exposures.joined(one, other)
    assert joined == exposures.joined(other, one) == {"a": 1, "b": 5, "c": 2}
    assert exposures.joined(joined, other) == joined
    assert exposures.joined(None, one) == one
    assert one == {"a": 1, "b": 5}
