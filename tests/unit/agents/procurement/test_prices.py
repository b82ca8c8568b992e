"""Robust statistics over comparable prices."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agents.procurement.domain.prices import judge, position
from agents.procurement.dossier import Finding, Severity
from agents.procurement.models import Basis, Comparison, Policy, PricePoint, Skipped

USUAL = tuple(Decimal(amount) for amount in (90, 95, 100, 100, 105, 110, 120))


def comparison(
    amount: str,
    others: tuple[Decimal, ...] = USUAL,
    *,
    basis: Basis = Basis.UNIT,
    kind: str = "award",
    enough: bool = True,
) -> Comparison:
    subject = PricePoint(
        ocid="x",
        at="/awards/0/value",
        kind=kind,
        basis=basis,
        scheme="CPV",
        code="1",
        label="",
        unit="piece" if basis is Basis.UNIT else "",
        amount=Decimal(amount),
        currency="GBP",
    )
    return Comparison(
        subject=subject, owner="/awards/0", level="CPV 1", amounts=others, enough=enough
    )


def judged(amount: str, **more: object) -> Finding | None:
    found = judge(comparison(amount, **more), Policy())  # type: ignore[arg-type]  # of `comparison`
    assert not isinstance(found, Skipped)
    return found


def test_the_median_has_no_score() -> None:
    found = position(Decimal(100), USUAL)
    assert (found.median, found.times_median, found.score) == (
        Decimal(100),
        Decimal("1.00"),
        Decimal(0),
    )


def test_the_score_is_that_of_iglewicz_and_hoaglin() -> None:
    # ln 4 = 1.38629; the median of the deviations is ln(100/95) = 0.05129; 0.6745 * 27.03 = 18.23
    found = position(Decimal(400), USUAL)
    assert found.times_median == Decimal("4.00")
    assert found.score == Decimal("18.23")


def test_one_outlier_among_the_others_changes_little() -> None:
    spoilt = (*USUAL[:-1], Decimal(10_000_000))
    assert position(Decimal(400), spoilt).score == position(Decimal(400), USUAL).score


def test_where_most_prices_agree_the_mean_deviation_stands_in() -> None:
    others = tuple(Decimal(amount) for amount in (100, 100, 100, 100, 130))
    assert position(Decimal(100), others).score == 0
    assert position(Decimal(200), others).score > 3


def test_where_all_prices_agree_any_other_is_far() -> None:
    others = (Decimal(100),) * 5
    assert position(Decimal(100), others).score == 0
    assert position(Decimal(200), others).score == 99
    assert position(Decimal(50), others).score == -99


@pytest.mark.parametrize(
    ("amount", "basis", "code", "severity"),
    [
        ("400", Basis.UNIT, "price-unusually-high", Severity.HIGH),
        ("25", Basis.UNIT, "price-unusually-low", Severity.MEDIUM),
        ("400", Basis.TOTAL, "price-unusually-high", Severity.LOW),
        ("4000", Basis.TOTAL, "price-unusually-high", Severity.MEDIUM),
        ("25", Basis.TOTAL, "price-unusually-low", Severity.LOW),
    ],
)
def test_outliers(amount: str, basis: Basis, code: str, severity: Severity) -> None:
    found = judged(amount, basis=basis)
    assert found is not None
    assert (found.code, found.severity) == (code, severity)
    assert found.evidence == ("/awards/0/value",)


def test_an_estimate_weighs_little() -> None:
    found = judged("4000", kind="estimate")
    assert found is not None
    assert found.severity is Severity.LOW


@pytest.mark.parametrize("amount", ["80", "100", "124", "130"])
def test_usual_prices_are_no_finding(amount: str) -> None:
    assert judged(amount) is None


def test_a_small_difference_is_none_however_narrow_the_market() -> None:
    assert judged("110", others=(Decimal(100), Decimal("100.1"), Decimal("99.9"))) is None
    assert judged("190", others=(Decimal(100),) * 5, basis=Basis.TOTAL) is None


def test_too_few_comparables_are_said_and_nothing_is_guessed() -> None:
    found = judge(comparison("4000", USUAL[:3], enough=False), Policy())
    assert isinstance(found, Skipped)
    assert found.because == "3 comparable awards (CPV 1) in GBP, 5 are needed"


def test_the_words_say_what_was_compared() -> None:
    found = judged("400")
    assert found is not None
    assert found.explanation == (
        "400 GBP per piece is 4.00 times the median of 7 comparable awards (CPV 1); "
        "modified z-score 18.23."
    )
