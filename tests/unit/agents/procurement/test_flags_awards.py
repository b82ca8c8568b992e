"""Red flags in what was awarded."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from agents.procurement.domain.coverage import everything, first_pass
from agents.procurement.domain.flags_awards import award_flags, category
from agents.procurement.domain.thresholds import THRESHOLDS, in_force, just_below
from agents.procurement.dossier import Finding, Severity
from agents.procurement.models import Policy, Skipped
from tests.unit.agents.procurement.build import codes, dossier, only


def flags(spoil: Any = None, policy: Policy | None = None) -> list[Finding | Skipped]:
    read = dossier(spoil)
    return list(award_flags(read, policy or Policy(), everything(read)))


def awarded(*amounts: float, suppliers: tuple[str, ...] = (), currency: str = "GBP") -> Any:
    def spoil(r: dict[str, Any]) -> None:
        one = r["awards"][0]
        r["awards"] = [
            {
                **one,
                "id": f"a{n}",
                "value": {"amount": amount, "currency": currency},
                "suppliers": [{"name": suppliers[n] if suppliers else "Axel Works Ltd"}],
            }
            for n, amount in enumerate(amounts)
        ]

    return spoil


@pytest.mark.parametrize(
    ("amount", "code", "severity"),
    [
        (101_000, "price-above-estimate", Severity.HIGH),
        (90_000, "price-above-estimate", Severity.MEDIUM),
        (80_000, "price-at-estimate", Severity.MEDIUM),
        (79_500, "price-at-estimate", Severity.MEDIUM),
        (39_000, "price-far-below-estimate", Severity.LOW),
    ],
)
def test_price_against_estimate(amount: float, code: str, severity: Severity) -> None:
    flag = only(flags(awarded(amount)), code)
    assert flag.severity is severity
    assert flag.evidence == ("/tender/value", "/awards/0/value")


@pytest.mark.parametrize("amount", [88_000, 79_000, 41_000])
def test_usual_prices_raise_nothing(amount: float) -> None:
    assert codes(flags(awarded(amount))) == []


def test_the_sum_of_all_awards_is_compared() -> None:
    assert "price-above-estimate" in codes(flags(awarded(60_000, 45_000)))


def test_nothing_is_converted_for_the_comparison() -> None:
    found = flags(awarded(72_000, currency="USD"))
    assert codes(found) == []
    assert any("nothing is converted" in f.because for f in found if isinstance(f, Skipped))


def test_an_estimate_of_nothing_is_none() -> None:
    found = flags(lambda r: r["tender"]["value"].update(amount=0))
    assert any("no estimate is published" in f.because for f in found if isinstance(f, Skipped))


def test_a_direct_award_at_its_estimate_is_nothing_special() -> None:
    def spoil(r: dict[str, Any]) -> None:
        awarded(80_000)(r)
        r["tender"]["procurementMethod"] = "direct"

    assert "price-at-estimate" not in codes(flags(spoil))


def test_part_of_the_awards_is_not_held_against_the_estimate() -> None:
    read = dossier(awarded(100_000, 90_000, 1_000))
    found = list(award_flags(read, Policy(), first_pass(read)))
    assert "price-above-estimate" not in codes(found)


@pytest.mark.parametrize(
    ("amount", "kind", "severity"),
    [
        (139_000, "goods", Severity.MEDIUM),
        (139_000, None, Severity.LOW),
        (214_000, "services", Severity.MEDIUM),
        (139_688, "goods", None),
        (120_000, "goods", None),
        (139_000, "works", None),
    ],
)
def test_just_below_a_threshold(amount: float, kind: str | None, severity: Severity | None) -> None:
    def spoil(r: dict[str, Any]) -> None:
        awarded(amount)(r)
        r["tender"]["mainProcurementCategory"] = kind
        r["tender"]["items"] = r["awards"][0]["items"] = []

    found = [f for f in flags(spoil) if isinstance(f, Finding) and f.code == "just-below-threshold"]
    assert [f.severity for f in found] == ([severity] if severity else [])
    assert all(f.evidence == ("/awards/0/value",) for f in found)


def test_a_currency_without_known_thresholds_is_said() -> None:
    found = flags(awarded(139_000, currency="UGX"))
    assert any("no legal threshold in UGX" in f.because for f in found if isinstance(f, Skipped))


def test_splitting_among_awards_to_one_supplier() -> None:
    flag = only(flags(awarded(90_000, 80_000)), "possible-splitting")
    assert flag.evidence == ("/awards/0", "/awards/1")
    assert "139,688 GBP" in flag.explanation


def test_awards_to_different_suppliers_are_no_splitting() -> None:
    found = flags(awarded(90_000, 80_000, suppliers=("Axel Works Ltd", "Yew Trees Ltd")))
    assert "possible-splitting" not in codes(found)


def test_the_same_amount_to_different_suppliers() -> None:
    found = flags(awarded(30_000, 30_000, suppliers=("Axel Works Ltd", "Yew Trees Ltd")))
    assert only(found, "identical-awards").severity is Severity.LOW
    assert "identical-awards" not in codes(flags(awarded(30_000, 30_000)))
    nothing = flags(awarded(0, 0, suppliers=("Axel Works Ltd", "Yew Trees Ltd")))
    assert "identical-awards" not in codes(nothing)


@pytest.mark.parametrize(
    ("codes_", "kind"),
    [(["45210000-2"], "works"), (["39113600"], "goods"), (["90919200"], "services"), ([], ""),
     (["03000000"], "goods"), (["44000000", "48000000"], "goods"), (["50000000"], "services"),
     (["45210000", "90919200"], "")],
)  # fmt: skip
def test_the_category_follows_from_the_class(codes_: list[str], kind: str) -> None:
    def spoil(r: dict[str, Any]) -> None:
        del r["tender"]["mainProcurementCategory"]
        of = [{"classification": {"scheme": "CPV", "id": code}} for code in codes_]
        r["tender"]["items"] = r["awards"][0]["items"] = of

    assert category(dossier(spoil)) == kind


def test_thresholds_have_an_order_in_time_and_a_rule() -> None:
    assert all(row.since < row.until and row.rule for row in THRESHOLDS)
    assert [row.amount for row in in_force("TWD", "goods", date(2014, 1, 1))] == [
        100_000, 1_000_000, 50_000_000,
    ]  # fmt: skip
    assert in_force("TWD", "goods", date(1998, 12, 31)) == []
    last, first = date(2022, 12, 31), date(2023, 1, 1)
    assert [row.amount for row in in_force("TWD", "goods", last)][:2] == [100_000, 1_000_000]
    assert [row.amount for row in in_force("TWD", "goods", first)][:2] == [150_000, 1_500_000]


def test_just_below_excludes_the_threshold_itself() -> None:
    row = THRESHOLDS[0]
    assert not just_below(row.amount, row, Decimal(5))
    assert just_below(row.amount - 1, row, Decimal(5))
    assert just_below(row.amount * Decimal("0.95"), row, Decimal(5))
    assert not just_below(row.amount * Decimal("0.94"), row, Decimal(5))
