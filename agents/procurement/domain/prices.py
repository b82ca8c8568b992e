"""Judging a price by robust statistics: how far it lies from the median of comparable ones.

Prices spread over orders of magnitude, so their logarithms are compared. The distance is the
modified z-score of Iglewicz and Hoaglin (1993), 0.6745 (x - median) / MAD; above 3.5 it is an
outlier. Where more than half of the prices are one and the same, MAD is 0 and the mean absolute
deviation stands in (times 1.253314). Everything is decimal, so every machine finds the same.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from agents.procurement.domain.amounts import EXACT, shown, total
from agents.procurement.dossier import Finding, Money, Severity, finding
from agents.procurement.models import Basis, Comparison, Policy, Skipped

MAD_FACTOR = Decimal("0.6745")
MEAN_FACTOR = Decimal("1.253314")
MATERIAL = {Basis.UNIT: Decimal("1.25"), Basis.TOTAL: Decimal(2)}
"""How many times the median a price must be to be worth a look, however narrow the others lie."""
EXTREME = Decimal(10)
"""How many times the median a total must be to weigh: nobody knows how much was bought for it."""
NO_SPREAD_SCORE = Decimal(99)
"""The score of a price that differs where all the others agree."""


class Position(NamedTuple):
    """Where a price lies among comparable ones."""

    median: Decimal
    times_median: Decimal
    score: Decimal


def position(amount: Decimal, others: tuple[Decimal, ...]) -> Position:
    """Return the position of a positive `amount` among at least one positive others."""
    logs = sorted(EXACT.ln(other) for other in others)
    centre = _median(logs)
    deviations = [abs(log - centre) for log in logs]
    distance = EXACT.ln(amount) - centre
    middle, mean = _median(sorted(deviations)), total(deviations) / len(deviations)
    if middle:
        score = MAD_FACTOR * distance / middle
    elif mean:
        score = distance / (MEAN_FACTOR * mean)
    else:
        score = NO_SPREAD_SCORE.copy_sign(distance) if distance else Decimal(0)
    median = _median(sorted(others))
    return Position(median, _rounded(EXACT.divide(amount, median)), _rounded(score))


def judge(comparison: Comparison, policy: Policy) -> Finding | Skipped | None:
    """Return a finding for an outlier, why it could not be judged, or None for a usual price."""
    subject, number = comparison.subject, len(comparison.amounts)
    if not comparison.enough:
        because = (
            f"{number} comparable {subject.kind}s ({comparison.level or 'same class'}) in "
            f"{subject.currency}, {policy.min_comparables} are needed"
        )
        return Skipped(at=subject.at, because=because)
    found = position(subject.amount, comparison.amounts)
    material = MATERIAL[subject.basis]
    ratio = EXACT.divide(subject.amount, found.median)
    if abs(found.score) <= policy.outlier_score or 1 / material < ratio < material:
        return None
    money = Money(amount=subject.amount, currency=subject.currency, at=subject.at)
    what = f"per {subject.unit}" if subject.basis is Basis.UNIT else "in total"
    explanation = (
        f"{shown(money)} {what} is {found.times_median} times the median of {number} comparable "
        f"{subject.kind}s ({comparison.level}); modified z-score {found.score}."
    )
    code = "price-unusually-high" if found.score > 0 else "price-unusually-low"
    return finding(
        code, _severity(comparison, found), explanation, subject.at, source="Iglewicz-Hoaglin 1993"
    )


def _severity(comparison: Comparison, found: Position) -> Severity:
    if comparison.subject.kind == "estimate":
        return Severity.LOW
    if comparison.subject.basis is Basis.UNIT:
        return Severity.HIGH if found.score > 0 else Severity.MEDIUM
    return Severity.MEDIUM if found.times_median >= EXTREME else Severity.LOW


def _median(ordered: list[Decimal]) -> Decimal:
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"), context=EXACT)
