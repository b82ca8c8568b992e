"""Amounts from which the law asks for a stricter procedure, with the rule that sets them.

The list is short on purpose: only what was looked up. Where a currency is not in it, no threshold
is assumed and the screen says that the test was not made.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import NamedTuple

GOODS, SERVICES, WORKS = "goods", "services", "works"
ANYTHING = frozenset({GOODS, SERVICES, WORKS})
SUPPLIES = frozenset({GOODS, SERVICES})
BUILDING = frozenset({WORKS})


class Threshold(NamedTuple):
    """One limit: in force from `since`, until before `until`, for these categories."""

    currency: str
    amount: Decimal
    categories: frozenset[str]
    since: date
    until: date
    rule: str


_OPEN_END = date(2100, 1, 1)
_PCR = "Public Contracts Regulations"
_EU = "Directive 2014/24/EU, article 4"
_TW = "Government Procurement Act (Taiwan)"
_MD = "Law 131/2015 (Moldova)"


def _row(
    currency: str, amount: int, categories: frozenset[str], years: tuple[int, int], rule: str
) -> Threshold:
    until = date(years[1], 1, 1) if years[1] else _OPEN_END
    return Threshold(currency, Decimal(amount), categories, date(years[0], 1, 1), until, rule)


THRESHOLDS = (
    _row("EUR", 134_000, SUPPLIES, (2014, 2016), f"{_EU}, central government"),
    _row("EUR", 207_000, SUPPLIES, (2014, 2016), f"{_EU}, other authorities"),
    _row("EUR", 5_186_000, BUILDING, (2014, 2016), f"{_EU}, works"),
    _row("EUR", 135_000, SUPPLIES, (2016, 2018), f"{_EU}, central government"),
    _row("EUR", 209_000, SUPPLIES, (2016, 2018), f"{_EU}, other authorities"),
    _row("EUR", 5_225_000, BUILDING, (2016, 2018), f"{_EU}, works"),
    _row("GBP", 111_676, SUPPLIES, (2014, 2016), f"{_PCR}, central government"),
    _row("GBP", 172_514, SUPPLIES, (2014, 2016), f"{_PCR}, other authorities"),
    _row("GBP", 4_322_012, BUILDING, (2014, 2016), f"{_PCR}, works"),
    _row("GBP", 106_047, SUPPLIES, (2016, 2018), f"{_PCR}, central government"),
    _row("GBP", 164_176, SUPPLIES, (2016, 2018), f"{_PCR}, other authorities"),
    _row("GBP", 4_104_394, BUILDING, (2016, 2018), f"{_PCR}, works"),
    _row("GBP", 139_688, SUPPLIES, (2024, 2026), f"{_PCR}, central government"),
    _row("GBP", 214_904, SUPPLIES, (2024, 2026), f"{_PCR}, other authorities"),
    _row("GBP", 5_372_609, BUILDING, (2024, 2026), f"{_PCR}, works"),
    _row("CAD", 25_000, ANYTHING, (1990, 2019), "Government Contracts Regulations, section 6(b)"),
    _row("MDL", 80_000, SUPPLIES, (2016, 2019), f"{_MD}, article 2(1)(a)"),
    _row("MDL", 100_000, BUILDING, (2016, 2019), f"{_MD}, article 2(1)(b)"),
    _row("MDL", 400_000, SUPPLIES, (2016, 2019), f"{_MD}, article 57: request for quotations"),
    _row("MDL", 1_500_000, BUILDING, (2016, 2019), f"{_MD}, article 57: request for quotations"),
    _row("MDL", 200_000, SUPPLIES, (2019, 0), f"{_MD}, article 2(1)(a)"),
    _row("MDL", 250_000, BUILDING, (2019, 0), f"{_MD}, article 2(1)(b)"),
    _row("MDL", 800_000, SUPPLIES, (2019, 0), f"{_MD}, article 57: request for quotations"),
    _row("MDL", 2_000_000, BUILDING, (2019, 0), f"{_MD}, article 57: request for quotations"),
    _row("TWD", 100_000, ANYTHING, (1999, 2023), f"{_TW}, article 47: small procurement"),
    _row("TWD", 1_000_000, ANYTHING, (1999, 2023), f"{_TW}, article 13: public notice"),
    _row("TWD", 150_000, ANYTHING, (2023, 0), f"{_TW}, article 47: small procurement"),
    _row("TWD", 1_500_000, ANYTHING, (2023, 0), f"{_TW}, article 13: public notice"),
    _row("TWD", 10_000_000, frozenset({SERVICES}), (1999, 0), f"{_TW}, article 12: inspection"),
    _row("TWD", 50_000_000, frozenset({GOODS, WORKS}), (1999, 0), f"{_TW}, article 12: inspection"),
)


def in_force(currency: str, category: str, day: date) -> list[Threshold]:
    """Return the thresholds that held on `day`, all categories' where `category` is not known."""
    return [
        row
        for row in THRESHOLDS
        if row.currency == currency
        and row.since <= day < row.until
        and (category not in ANYTHING or category in row.categories)
    ]


def just_below(amount: Decimal, threshold: Threshold, percent: Decimal) -> bool:
    """Tell whether `amount` lies below the threshold by at most `percent` of it."""
    margin = threshold.amount * percent / 100
    return threshold.amount - margin <= amount < threshold.amount
