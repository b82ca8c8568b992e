"""Tender, awards and contracts against each other."""

from __future__ import annotations

from typing import Any

import pytest

from agents.procurement.domain.contracts import (
    parties_to_compare,
    review_contracts,
    review_parties,
)
from agents.procurement.domain.resolution import resolve_suppliers
from agents.procurement.dossier import Finding, Severity
from tests.unit.agents.procurement.build import codes, dossier, only


def review(spoil: Any = None) -> list[Finding]:
    return review_contracts(dossier(spoil))


def parties(spoil: Any = None) -> list[Finding]:
    read = dossier(spoil)
    return review_parties(read, resolve_suppliers(parties_to_compare(read), read.buyer).suppliers)


def contract(**changes: object) -> Any:
    return lambda r: r["contracts"][0].update(changes)


def pay(**payment: object) -> Any:
    return contract(implementation={"transactions": [payment]})


def test_a_sound_release_contradicts_nothing() -> None:
    assert review() == parties() == []


@pytest.mark.parametrize(
    ("spoil", "code", "severity", "evidence"),
    [
        (contract(dateSigned="2024-02-01T00:00:00Z"), "signed-before-deadline", Severity.HIGH,
         ("/contracts/0/dateSigned", "/tender/tenderPeriod/endDate")),
        (contract(dateSigned="2024-03-05T00:00:00Z"), "signed-before-award", Severity.MEDIUM,
         ("/contracts/0/dateSigned", "/awards/0/date")),
        (contract(dateSigned="2024-05-01T00:00:00Z"), "begun-before-signature", Severity.MEDIUM,
         ("/contracts/0/period/startDate", "/contracts/0/dateSigned")),
        (contract(dateSigned="2025-02-01T00:00:00Z"), "signed-after-end", Severity.HIGH,
         ("/contracts/0/period/endDate", "/contracts/0/dateSigned")),
        (contract(period={"startDate": "2024-12-31T00:00:00Z", "endDate": "2024-04-02T00:00:00Z"}),
         "period-reversed", Severity.MEDIUM,
         ("/contracts/0/period/endDate", "/contracts/0/period/startDate")),
        (lambda r: r["awards"][0].update(date="2024-02-10T00:00:00Z"), "awarded-before-deadline",
         Severity.HIGH, ("/awards/0/date", "/tender/tenderPeriod/endDate")),
    ],
)  # fmt: skip
def test_dates_out_of_order(
    spoil: Any, code: str, severity: Severity, evidence: tuple[str, ...]
) -> None:
    found = only(review(spoil), code)
    assert (found.severity, found.evidence) == (severity, evidence)


def test_without_competition_an_early_award_weighs_little() -> None:
    def direct(r: dict[str, Any]) -> None:
        r["tender"]["procurementMethod"] = "direct"
        r["awards"][0]["date"] = "2024-02-10T00:00:00Z"

    assert only(review(direct), "awarded-before-deadline").severity is Severity.LOW

    def signed(r: dict[str, Any]) -> None:
        r["tender"]["procurementMethod"] = "direct"
        r["contracts"][0]["dateSigned"] = "2024-02-10T00:00:00Z"

    assert only(review(signed), "signed-before-deadline").severity is Severity.LOW


def test_a_day_may_be_the_zones() -> None:
    assert review(lambda r: r["awards"][0].update(date="2024-04-02")) == []
    assert codes(review(lambda r: r["awards"][0].update(date="2024-04-03"))) == [
        "signed-before-award"
    ]


@pytest.mark.parametrize(
    ("amount", "code", "severity"),
    [
        (72_001, "contract-above-award", Severity.MEDIUM),
        (90_000, "contract-above-award", Severity.HIGH),
        (70_000, "contract-below-award", Severity.LOW),
    ],
)
def test_amounts_from_award_to_contract(amount: float, code: str, severity: Severity) -> None:
    found = only(review(contract(value={"amount": amount, "currency": "GBP"})), code)
    assert found.severity is severity
    assert found.evidence == ("/contracts/0/value", "/awards/0/value")


def test_a_currency_that_changes_is_not_converted() -> None:
    found = only(review(contract(value={"amount": 90_000, "currency": "EUR"})), "currency-changed")
    assert "nothing is converted" in found.explanation


@pytest.mark.parametrize(
    ("former", "severity"),
    [
        (60_000, Severity.MEDIUM),
        (48_000.34, Severity.MEDIUM),  # by 50.0 %
        (40_000, Severity.HIGH),
        (72_000.5, None),
        (80_000, None),
    ],
)
def test_growth_by_amendments(former: float, severity: Severity | None) -> None:
    changes = [{"property": "value/amount", "former_value": former}]
    found = review(contract(amendment={"changes": changes}))
    assert [f.severity for f in found] == ([severity] if severity else [])


def test_an_award_that_came_to_nothing() -> None:
    found = only(review(lambda r: r["awards"][0].update(status="cancelled")), "award-is-void")
    assert (found.severity, found.evidence) == (Severity.HIGH, ("/contracts/0", "/awards/0"))


def test_links_that_lead_nowhere() -> None:
    found = review(contract(awardID="a9"))
    assert [(f.code, f.severity) for f in found] == [
        ("award-not-found", Severity.MEDIUM),
        ("award-without-contract", Severity.LOW),
    ]


def test_payments_out_of_time() -> None:
    early = {"date": "2024-03-01T00:00:00Z", "value": {"amount": 1, "currency": "GBP"}}
    late = {"date": "2026-03-01T00:00:00Z", "value": {"amount": 1, "currency": "GBP"}}
    assert only(review(pay(**early)), "paid-before-contract").severity is Severity.MEDIUM
    assert only(review(pay(**late)), "paid-long-after").severity is Severity.LOW


def test_a_year_after_the_end_is_not_long() -> None:
    assert review(pay(date="2025-12-31T00:00:00Z")) == []
    assert codes(review(pay(date="2026-01-01T00:00:00Z"))) == ["paid-long-after"]


def test_a_winner_who_did_not_bid() -> None:
    found = only(
        parties(lambda r: r["awards"][0].update(suppliers=[{"name": "Quarry Stone Ltd"}])),
        "winner-did-not-bid",
    )
    assert (found.severity, found.evidence) == (Severity.HIGH, ("/awards/0/suppliers/0",))


def test_a_winner_under_another_spelling_did_bid() -> None:
    spelt = [{"name": "AXEL WORKS LIMITED"}]
    assert parties(lambda r: r["awards"][0].update(suppliers=spelt)) == []


def test_without_named_tenderers_nobody_is_a_stranger() -> None:
    def unnamed(r: dict[str, Any]) -> None:
        r["tender"]["tenderers"] = [{"id": "h", "name": ""}]

    assert parties(unnamed) == []


def test_who_signs_or_is_paid_and_did_not_win() -> None:
    assert codes(parties(contract(suppliers=[{"name": "Quarry Stone Ltd"}]))) == [
        "signed-by-another"
    ]
    assert codes(parties(pay(payee={"name": "Quarry Stone Ltd"}))) == ["paid-to-another"]
    assert parties(pay(payee={"name": "Axel Works Ltd."})) == []


def test_a_stranger_paid_twice_is_named_once() -> None:
    twice = [{"payee": {"name": "Quarry Stone Ltd"}}, {"payee": {"name": "QUARRY STONE LTD"}}]
    found = parties(contract(implementation={"transactions": twice}))
    assert len(found) == 1


def test_void_contracts_are_left_alone() -> None:
    def void(r: dict[str, Any]) -> None:
        contract(status="cancelled", suppliers=[{"name": "Quarry Stone Ltd"}])(r)

    assert parties(void) == []
