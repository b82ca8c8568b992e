"""Exact sums, budgets and limits, in each currency apart: no rate is applied, even a published one.

A price for each unit times the quantity is compared with the value only where every line of the
award or contract has both; taxes make up to a quarter of a difference in the world, so a total that
lies within that above its lines is not called wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from agents.procurement.domain.amounts import (
    EXACT,
    by_currency,
    figure,
    percent_above,
    shown,
    total,
)
from agents.procurement.dossier import (
    Award,
    Contract,
    Dossier,
    Finding,
    Money,
    Severity,
    finding,
)
from agents.procurement.models import Limit, Total

TAX_PERCENT = Decimal(27)
"""The highest standard rate of value-added tax (Hungary's)."""
ROUNDING_PERCENT = Decimal(1)
"""Of the sum of lines: what rounding of unit prices may leave."""
OVERPAID_PERCENT = Decimal(1)
"""Payments above the contract by no more than this are roundings and fees."""


def totals(dossier: Dossier) -> tuple[Total, ...]:
    """Return the sums by stage and currency. Repetitions and void entries are left out."""
    stages: dict[str, list[Money]] = {
        "budget": _given([dossier.budget]),
        "estimate": _given([dossier.tender.value if dossier.tender else None]),
        "awarded": _given(award.value for award in dossier.distinct_awards()),
        "contracted": _given(contract.value for contract in dossier.distinct_contracts()),
        "paid": _given(p.value for c in dossier.distinct_contracts() for p in c.payments),
    }
    return tuple(
        Total(
            stage=stage,
            money=Money(
                amount=total(value.amount for value in values), currency=code, at=values[0].at
            ),
            parts=tuple(value.at for value in values),
        )
        for stage, found in stages.items()
        for code, values in by_currency(found).items()
    )


def audit(dossier: Dossier, limits: Sequence[Limit]) -> list[Finding]:
    """Return what does not add up."""
    sums = totals(dossier)
    return [
        *_currencies(sums),
        *_signs(dossier),
        *_ladder(sums),
        *_estimate_range(dossier),
        *_payments(dossier),
        *_lines(dossier),
        *_limits(sums, limits),
    ]


def _given(values: Iterable[Money | None]) -> list[Money]:
    return [value for value in values if value is not None]


def _currencies(sums: tuple[Total, ...]) -> Iterator[Finding]:
    used = {entry.money.currency: entry for entry in sums}
    if len(used) > 1:
        names = " and ".join(sorted(used))
        explanation = f"Amounts are in {names}; they are not compared, and no rate is applied."
        places = [entry.money.at for entry in sums]
        yield finding("several-currencies", Severity.MEDIUM, explanation, *places)


def _signs(dossier: Dossier) -> Iterator[Finding]:
    standing: list[Award | Contract] = [*dossier.distinct_awards(), *dossier.distinct_contracts()]
    for subject in standing:
        value = subject.value
        if value is not None and value.amount <= 0:
            word = "is zero" if value.amount == 0 else "is negative"
            severity = Severity.LOW if value.amount == 0 else Severity.MEDIUM
            explanation = f"The amount {word}; it says nothing about the price."
            yield finding("amount-not-positive", severity, explanation, value.at)


def _ladder(sums: tuple[Total, ...]) -> Iterator[Finding]:
    """Compare each stage with the budget, and contracts with awards."""
    found = {(entry.stage, entry.money.currency): entry for entry in sums}
    steps = (
        ("estimate", "budget", "estimate-over-budget", Severity.LOW),
        ("awarded", "budget", "award-over-budget", Severity.MEDIUM),
        ("contracted", "budget", "contract-over-budget", Severity.MEDIUM),
        ("contracted", "awarded", "contracts-over-awards", Severity.MEDIUM),
    )
    for upper, lower, code, severity in steps:
        for (stage, currency), over in found.items():
            base = found.get((lower, currency))
            if stage != upper or base is None or base.money.amount <= 0:
                continue
            above = percent_above(over.money.amount, base.money.amount)
            if above > 0:
                explanation = (
                    (
                        f"The sum {upper}, {shown(over.money)}, is {above} % above the sum "
                        f"{lower}, {shown(base.money)}."
                    )
                    .replace("sum budget", "budget")
                    .replace("sum estimate", "estimate")
                )
                yield finding(code, severity, explanation, *over.parts, *base.parts)


def _estimate_range(dossier: Dossier) -> Iterator[Finding]:
    tender = dossier.tender
    if tender and tender.value and tender.minimum:
        value, minimum = tender.value, tender.minimum
        if value.currency == minimum.currency and minimum.amount > value.amount:
            explanation = f"The minimum, {shown(minimum)}, exceeds the value, {shown(value)}."
            yield finding("minimum-above-value", Severity.LOW, explanation, minimum.at, value.at)


def _payments(dossier: Dossier) -> Iterator[Finding]:
    for contract in dossier.distinct_contracts():
        value, paid = contract.value, _given(p.value for p in contract.payments)
        for currency, payments in by_currency(paid).items():
            summed = total(payment.amount for payment in payments)
            places = [payment.at for payment in payments]
            if value is None or value.amount <= 0 or value.currency != currency:
                continue
            above = percent_above(summed, value.amount)
            if above > OVERPAID_PERCENT:
                explanation = (
                    f"Paid were {figure(summed)} {currency} on {shown(value)}: {above} % more."
                )
                yield finding("paid-over-contract", Severity.HIGH, explanation, value.at, *places)
            elif contract.status in ("terminated", "complete") and above < 0:
                explanation = (
                    f"The contract is over; paid were {-above} % less than {shown(value)}."
                )
                yield finding("paid-under-contract", Severity.INFO, explanation, value.at, *places)


def _lines(dossier: Dossier) -> Iterator[Finding]:
    standing: list[Award | Contract] = [*dossier.distinct_awards(), *dossier.distinct_contracts()]
    for subject in standing:
        value, lines = subject.value, subject.lines
        priced = [(line.quantity, line.unit_price) for line in lines]
        if value is None or not lines or value.amount <= 0:
            continue
        products = [
            EXACT.multiply(quantity, price.amount)
            for quantity, price in priced
            if quantity is not None and price is not None and price.currency == value.currency
        ]
        summed = total(products)
        if len(products) < len(lines) or summed <= 0:
            continue
        above = percent_above(value.amount, summed)
        if not -ROUNDING_PERCENT <= above <= TAX_PERCENT + ROUNDING_PERCENT:
            explanation = (
                f"The lines add up to {figure(summed)} {value.currency}, the value is "
                f"{shown(value)}."
            )
            places = (value.at, *(line.at for line in lines))
            yield finding("lines-do-not-add-up", Severity.MEDIUM, explanation, *places)


def _limits(sums: tuple[Total, ...], limits: Sequence[Limit]) -> Iterator[Finding]:
    for limit in limits:
        for entry in sums:
            money = entry.money
            if entry.stage in ("awarded", "contracted", "paid") and (
                money.currency == limit.currency and money.amount > limit.amount
            ):
                explanation = (
                    f"{shown(money)} {entry.stage} is above the limit {limit.name!r} of "
                    f"{figure(limit.amount)} {limit.currency}."
                )
                yield finding("above-limit", Severity.HIGH, explanation, *entry.parts)
