"""Which prices are compared with which."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agents.procurement.domain.comparables import compare, price_points
from agents.procurement.models import Basis, Comparison, PricePoint
from tests.unit.agents.procurement.build import dossier


def point(number: int, **changes: object) -> PricePoint:
    base: dict[str, Any] = {
        "ocid": f"ocds-{number}", "at": "/awards/0/value", "kind": "award", "basis": Basis.TOTAL,
        "scheme": "CPV", "code": "39113600", "label": "", "amount": str(70_000 + number),
        "currency": "GBP",
    }  # fmt: skip
    return PricePoint(**{**base, **changes})


def points(count: int, **changes: object) -> tuple[PricePoint, ...]:
    return tuple(point(number, **changes) for number in range(count))


def award_comparison(*reference: PricePoint, spoil: Any = None) -> Comparison:
    found = compare(dossier(spoil), reference, 5).comparisons
    (comparison,) = [entry for entry in found if entry.owner == "/awards/0"]
    return comparison


def test_a_release_tells_its_prices() -> None:
    award, estimate = price_points(dossier())
    assert (award.kind, award.amount, award.at) == ("award", Decimal("72000.5"), "/awards/0/value")
    assert (estimate.kind, estimate.at, estimate.code) == ("estimate", "/tender/value", "39113600")


def test_enough_of_the_same_class() -> None:
    found = award_comparison(*points(5))
    assert (found.enough, found.level) == (True, "CPV 39113600")
    assert found.amounts == tuple(Decimal(70_000 + number) for number in range(5))


def test_too_few_are_handed_over_and_said() -> None:
    found = award_comparison(*points(4))
    assert (found.enough, len(found.amounts)) == (False, 4)


def test_the_class_is_widened_as_its_scheme_allows() -> None:
    near, far = points(4, code="39113700"), (point(9, code="39113200"),)
    assert award_comparison(*near, *far).level == "CPV 39113"
    assert not award_comparison(*points(5, code="39200000")).enough


@pytest.mark.parametrize(
    "changes",
    [
        {"currency": "EUR"}, {"kind": "estimate"}, {"scheme": "UNSPSC"}, {"ocid": "ocds-test-1"},
        {"basis": Basis.UNIT, "unit": "piece"}, {"amount": "0"},
    ],
)  # fmt: skip
def test_what_is_not_comparable(changes: dict[str, object]) -> None:
    assert award_comparison(*points(9, **changes)).amounts == ()


def test_one_process_counts_once() -> None:
    found = award_comparison(*[point(1, at=f"/awards/{n}/value", amount=n + 1) for n in range(9)])
    assert not found.enough


def test_unit_prices_are_compared_by_unit() -> None:
    def priced(r: dict[str, Any]) -> None:
        value = {"amount": 7, "currency": "GBP"}
        r["awards"][0]["items"][0].update(unit={"name": "Bench", "value": value})

    found = compare(dossier(priced), points(5, basis=Basis.UNIT, unit="BENCH", amount="6"), 5)
    unit = next(entry for entry in found.comparisons if entry.subject.basis is Basis.UNIT)
    assert (unit.enough, unit.subject.at) == (True, "/awards/0/items/0/unit/value")


def test_a_class_without_a_code_is_compared_by_its_words() -> None:
    of = {"classification": {"scheme": "UNSPSC", "description": "Servicios de Aseo"}}
    reference = points(5, scheme="UNSPSC", code="", label="SERVICIOS DE  ASEO")
    found = award_comparison(*reference, spoil=lambda r: r["awards"][0].update(items=[of]))
    assert (found.enough, found.level) == (True, 'UNSPSC "servicios de aseo"')


def test_an_amount_for_several_classes_is_not_compared() -> None:
    def mixed(r: dict[str, Any]) -> None:
        r["awards"][0]["items"].append({"classification": {"scheme": "CPV", "id": "45000000"}})

    found = compare(dossier(mixed), points(9), 5)
    assert [entry.owner for entry in found.comparisons] == ["/tender"]
    assert [entry.at for entry in found.unusable] == ["/awards/0/value"]


def test_lines_that_share_a_wider_class_are_compared_there() -> None:
    def alike(r: dict[str, Any]) -> None:
        r["awards"][0]["items"].append({"classification": {"scheme": "CPV", "id": "39113700"}})

    assert award_comparison(*points(5), spoil=alike).level == "CPV 39113"


def test_a_single_award_without_classes_has_those_of_the_tender() -> None:
    found = award_comparison(*points(5), spoil=lambda r: r["awards"][0].update(items=[]))
    assert found.enough


def test_what_costs_nothing_has_no_price() -> None:
    def free(r: dict[str, Any]) -> None:
        nothing = {"amount": 0, "currency": "GBP"}
        r["awards"][0]["value"] = r["tender"]["value"] = nothing
        r["awards"][0]["items"][0]["unit"] = {"name": "bench", "value": nothing}

    assert price_points(dossier(free)) == ()


def test_void_and_repeated_awards_have_no_price() -> None:
    def void(r: dict[str, Any]) -> None:
        r["awards"] = [r["awards"][0], dict(r["awards"][0]), {**r["awards"][0], "id": "2"}]
        r["awards"][2]["status"] = "cancelled"

    assert [p.at for p in price_points(dossier(void)) if p.kind == "award"] == ["/awards/0/value"]
