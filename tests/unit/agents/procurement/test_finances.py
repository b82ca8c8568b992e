"""Exact sums, in each currency apart."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agents.procurement.domain.amounts import figure, percent_above, total
from agents.procurement.domain.finances import audit, totals
from agents.procurement.dossier import Finding, Severity
from agents.procurement.models import Limit
from tests.unit.agents.procurement.build import codes, dossier, only


def findings(spoil: Any = None, *limits: Limit) -> list[Finding]:
    return audit(dossier(spoil), limits)


def paid(*amounts: float, currency: str = "GBP") -> Any:
    payments = [{"value": {"amount": amount, "currency": currency}} for amount in amounts]
    return lambda r: r["contracts"][0].update(implementation={"transactions": payments})


def test_a_sound_release_adds_up() -> None:
    assert findings() == []
    assert [(t.stage, t.money.amount, t.money.currency) for t in totals(dossier())] == [
        ("budget", Decimal(90000), "GBP"),
        ("estimate", Decimal(80000), "GBP"),
        ("awarded", Decimal("72000.5"), "GBP"),
        ("contracted", Decimal("72000.5"), "GBP"),
    ]


def test_sums_are_exact() -> None:
    amounts = [Decimal("0.1")] * 3 + [Decimal(10) ** 17, Decimal("1e-12")]
    assert total(amounts) == Decimal("100000000000000000.300000000001")
    assert percent_above(Decimal("0.3"), Decimal("0.1")) == Decimal("200.0")
    assert figure(Decimal("1234567.50")) == "1,234,567.5"


def test_repetitions_and_void_awards_are_left_out_of_sums() -> None:
    def spoil(r: dict[str, Any]) -> None:
        one = r["awards"][0]
        r["awards"] = [one, dict(one), {**one, "id": "a2", "status": "cancelled"}]

    (awarded,) = [t for t in totals(dossier(spoil)) if t.stage == "awarded"]
    assert (awarded.money.amount, awarded.parts) == (Decimal("72000.5"), ("/awards/0/value",))


def test_each_currency_is_summed_apart_and_none_is_converted() -> None:
    def spoil(r: dict[str, Any]) -> None:
        rate = {"amount": 100, "currency": "USD", "exchangeRate": 0.8}
        r["awards"].append({**r["awards"][0], "id": "a2", "value": rate})

    awarded = [t.money for t in totals(dossier(spoil)) if t.stage == "awarded"]
    assert [(m.amount, m.currency) for m in awarded] == [
        (Decimal("72000.5"), "GBP"),
        (Decimal(100), "USD"),
    ]
    assert "no rate is applied" in only(findings(spoil), "several-currencies").explanation


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda r: r["tender"]["value"].update(amount=95_000), ["estimate-over-budget"]),
        (lambda r: r["planning"]["budget"]["amount"].update(amount=71_000),
         ["estimate-over-budget", "award-over-budget", "contract-over-budget"]),
        (lambda r: r["contracts"][0]["value"].update(amount=75_000), ["contracts-over-awards"]),
        (lambda r: r["awards"][0]["value"].update(amount=0), ["amount-not-positive"]),
        (lambda r: r["awards"][0]["value"].update(amount=-5), ["amount-not-positive"]),
        (lambda r: r["tender"].update(minValue={"amount": 81_000, "currency": "GBP"}),
         ["minimum-above-value"]),
        (paid(36_000, 36_000.5), []),
        (paid(36_000, 36_500), []),
        (paid(72_720.51), []),  # 1.0 % more
        (paid(72_800), ["paid-over-contract"]),  # 1.1 %
        (lambda r: r["tender"].update(minValue={"amount": 81_000, "currency": "USD"}), []),
        (lambda r: r["tender"].update(minValue={"amount": 80_000, "currency": "GBP"}), []),
        (paid(40_000, 40_000), ["paid-over-contract"]),
        (paid(400_000, currency="UGX"), ["several-currencies"]),
    ],
)  # fmt: skip
def test_what_does_not_add_up(spoil: Any, expected: list[str]) -> None:
    assert codes(findings(spoil)) == expected


def test_severities() -> None:
    def spoil(r: dict[str, Any]) -> None:
        r["planning"]["budget"]["amount"]["amount"] = 60_000
        r["tender"]["minValue"] = {"amount": 99_000, "currency": "GBP"}
        r["contracts"][0]["value"]["amount"] = 75_000
        r["awards"].append({"id": "a2", "value": {"amount": 0, "currency": "GBP"}})
        r["awards"].append({"id": "a3", "value": {"amount": -1, "currency": "GBP"}})

    assert [(f.code, f.severity) for f in findings(spoil)] == [
        ("amount-not-positive", Severity.LOW),
        ("amount-not-positive", Severity.MEDIUM),
        ("estimate-over-budget", Severity.LOW),
        ("award-over-budget", Severity.MEDIUM),
        ("contract-over-budget", Severity.MEDIUM),
        ("contracts-over-awards", Severity.MEDIUM),
        ("minimum-above-value", Severity.LOW),
    ]


@pytest.mark.parametrize(("amount", "word"), [(0, "is zero"), (-1, "is negative")])
def test_amounts_that_are_no_price(amount: int, word: str) -> None:
    found = findings(lambda r: r["awards"][0]["value"].update(amount=amount))
    assert only(found, "amount-not-positive").explanation == (
        f"The amount {word}; it says nothing about the price."
    )


def test_payments_on_a_contract_of_nothing_are_not_compared() -> None:
    def spoil(r: dict[str, Any]) -> None:
        paid(10)(r)
        r["contracts"][0]["value"]["amount"] = 0

    assert "paid-over-contract" not in codes(findings(spoil))


@pytest.mark.parametrize(
    ("status", "amount", "told"),
    [("terminated", 70_000, True), ("terminated", 72_000.5, False), ("active", 70_000, False)],
)
def test_a_contract_that_is_over_and_not_all_paid(status: str, amount: float, told: bool) -> None:
    def spoil(r: dict[str, Any]) -> None:
        paid(amount)(r)
        r["contracts"][0]["status"] = status

    assert [(f.code, f.severity) for f in findings(spoil)] == (
        [("paid-under-contract", Severity.INFO)] if told else []
    )


def test_payments_over_the_contract_name_every_payment() -> None:
    found = only(findings(paid(40_000, 40_000)), "paid-over-contract")
    assert found.severity is Severity.HIGH
    assert found.explanation == "Paid were 80,000 GBP on 72,000.5 GBP: 11.1 % more."
    assert found.evidence == (
        "/contracts/0/value",
        "/contracts/0/implementation/transactions/0/value",
        "/contracts/0/implementation/transactions/1/value",
    )


def lines(*pairs: tuple[object, float | None]) -> Any:
    def spoil(r: dict[str, Any]) -> None:
        r["awards"][0]["items"] = [
            {"quantity": quantity, "unit": {"value": {"amount": price, "currency": "GBP"}}}
            for quantity, price in pairs
        ]

    return spoil


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (lines((1, 72_000.5)), False),
        (lines((10, 6_000), (2, 500)), False),  # with 18 % tax on top
        (lines((1, 50_000)), True),
        (lines((1, 90_000)), True),
        (lines((1, 50_000), (1, None)), False),  # not every line has a price
        (lines(("x", 50_000)), False),
    ],
)
def test_lines_against_the_value(spoil: Any, wrong: bool) -> None:
    assert ("lines-do-not-add-up" in codes(findings(spoil))) is wrong


def test_limits_of_the_caller() -> None:
    limit = Limit(name="delegated authority", amount=Decimal(50_000), currency="GBP")
    found = [f for f in findings(None, limit) if f.code == "above-limit"]
    assert [f.evidence for f in found] == [("/awards/0/value",), ("/contracts/0/value",)]
    dollars = limit.model_copy(update={"currency": "USD"})
    assert findings(None, dollars) == []
