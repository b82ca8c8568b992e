"""Single values: what is unclear is noted and not used, nothing is guessed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from agents.procurement.documents import Json
from agents.procurement.domain.reading import (
    MAX_EVIDENCE,
    Node,
    Notes,
    count,
    moment,
    money,
    number,
    period,
    status,
    string,
    text,
    translations,
)
from agents.procurement.dossier import Severity


def node(value: Json, at: str = "/x") -> Node:
    return Node(at=at, value=value)


def noted(notes: Notes) -> list[str]:
    return [finding.code for finding in notes.findings()]


@pytest.mark.parametrize(
    ("published", "amount"),
    [(5, "5"), (Decimal("0.10"), "0.10"), ("12500.00", "12500.00"), (" -3 ", "-3")],
)
def test_a_number_is_read_exactly(published: Json, amount: str) -> None:
    assert number(node(published), Notes()) == Decimal(amount)


@pytest.mark.parametrize(
    "published", ["1,234.56", "1.234,56", "12 500", "$5", "5e3", True, [1], {"a": 1}]
)
def test_an_unclear_number_is_named_and_not_guessed(published: Json) -> None:
    notes = Notes()
    assert number(node(published), notes) is None
    assert noted(notes) == ["number-malformed"]


@pytest.mark.parametrize("published", [10**31, Decimal("-1e31"), "1" + "0" * 30])
def test_a_number_beyond_all_measure_is_not_used(published: Json) -> None:
    notes = Notes()
    assert number(node(published), notes) is None
    assert "number-implausible" in noted(notes)


def test_a_number_as_text_is_used_and_noted() -> None:
    notes = Notes()
    assert number(node("12.50"), notes) == Decimal("12.50")
    assert noted(notes) == ["number-as-text"]


def test_money_needs_a_currency() -> None:
    notes = Notes()
    assert money(node({"amount": 5, "currency": None}), notes) is None
    assert noted(notes) == ["currency-missing"]


def test_an_unknown_currency_is_not_used() -> None:
    notes = Notes()
    assert money(node({"amount": 5, "currency": "XYZ"}), notes) is None
    assert noted(notes) == ["currency-unknown", "currency-missing"]


def test_a_currency_in_small_letters_is_read_and_noted() -> None:
    notes = Notes()
    found = money(node({"amount": 5, "currency": "mdl"}), notes)
    assert found is not None
    assert (found.amount, found.currency, found.at) == (Decimal(5), "MDL", "/x")
    assert noted(notes) == ["currency-case"]


def test_empty_money_is_nothing_and_no_defect() -> None:
    notes = Notes()
    assert money(node({"amount": "", "currency": ""}), notes) is None
    assert money(node(None), notes) is None
    assert money(node({"amount": 0, "currency": None}), notes) is None
    assert noted(notes) == []


@pytest.mark.parametrize(
    ("amount", "code"), [("1" + "0" * 18, "amount-implausible"), ("1.005", "amount-digits")]
)
def test_strange_amounts_are_named(amount: str, code: str) -> None:
    notes = Notes()
    money(node({"amount": Decimal(amount), "currency": "EUR"}), notes)
    assert noted(notes) == [code]


def test_digits_are_counted_as_the_currency_has_them() -> None:
    notes = Notes()
    money(node({"amount": Decimal("1.005"), "currency": "KWD"}), notes)
    money(node({"amount": Decimal("7.000"), "currency": "JPY"}), notes)
    assert noted(notes) == []


DATES = [
    ("2013-10-29", date(2013, 10, 29), None),
    ("2017-01-03T00:00:00.000Z", date(2017, 1, 3), datetime(2017, 1, 3, tzinfo=UTC)),
    ("2017-05-27T00:00:00-04:00", date(2017, 5, 27), datetime(2017, 5, 27, 4, tzinfo=UTC)),
    ("2011-02-26T22:06:51", date(2011, 2, 26), None),
    ("2017-10-10 10:40:04.5z", date(2017, 10, 10), datetime(2017, 10, 10, 10, 40, 4, 500_000, UTC)),
    ("2016-06-30T21:53:42.25Z", date(2016, 6, 30), datetime(2016, 6, 30, 21, 53, 42, 250_000, UTC)),
]


@pytest.mark.parametrize(("published", "day", "instant"), DATES)
def test_a_date_is_read_with_and_without_time_and_zone(
    published: str, day: date, instant: datetime | None
) -> None:
    notes = Notes()
    found = moment(node(published), notes)
    assert found is not None
    assert (found.day, found.instant) == (day, instant)
    assert noted(notes) == []


@pytest.mark.parametrize(
    "published",
    ["14.03.2017", "03/04/2017", "2017-3-4", "2017-02-30", "2017-01-01T25:00Z", "soon", 20170304],
)
def test_a_malformed_date_is_reported_and_not_guessed(published: Json) -> None:
    notes = Notes()
    assert moment(node(published), notes) is None
    (finding,) = notes.findings()
    assert (finding.code, finding.evidence) == ("date-malformed", ("/x",))
    assert str(published) in finding.explanation


@pytest.mark.parametrize("published", ["0001-01-01", "1900-01-01T00:00:00Z", "9999-12-31"])
def test_a_placeholder_is_no_date(published: str) -> None:
    notes = Notes()
    assert moment(node(published), notes) is None
    assert noted(notes) == ["date-implausible"]


def test_a_period_of_nothing_is_none() -> None:
    notes = Notes()
    assert period(node({"startDate": None, "endDate": "", "durationInDays": 0}), notes) is None
    assert period(node({"startDate": None, "durationInDays": 736903}), notes) is None
    assert noted(notes) == ["count-implausible"]


def test_a_count_is_whole_and_plausible() -> None:
    notes = Notes()
    found = count(node(Decimal("3.0")), notes)
    assert found is not None
    assert found.count == 3
    assert count(node(Decimal("2.5")), notes) is None
    assert count(node(-1), notes) is None


def test_a_status_from_a_slipped_column_is_noted() -> None:
    notes = Notes()
    assert status(node("ACTIVE"), frozenset({"active"}), notes) == "active"
    assert status(node("Servicios"), frozenset({"active"}), notes) == "servicios"
    assert [(f.code, f.severity) for f in notes.findings()] == [("status-not-a-code", Severity.LOW)]


def test_text_comes_from_the_field_or_its_translations() -> None:
    place = node({"name": " ", "name_fr": "Vérification", "name_en": "Audit", "named": "no"})
    found = text(place, "name")
    assert found is not None
    assert (found.text, found.at) == ("Audit", "/x/name_en")
    assert translations(place, "name") == ("Audit", "Vérification")


def test_string_trims_and_takes_numbers() -> None:
    assert string(node(" 81101508 \n x")) == "81101508 x"
    assert string(node(Decimal("1E+3"))) == "1000"
    assert string(node(True)) == ""


def test_a_lone_object_counts_as_a_list_of_one() -> None:
    assert [entry.at for entry in node({"a": 1}).items()] == ["/x"]
    assert [entry.at for entry in node([1, 2]).items()] == ["/x/0", "/x/1"]
    assert list(node("text").items()) == []


def test_how_much_each_defect_weighs() -> None:
    notes = Notes()
    for value in ("12.50", "1,2", 10**31):
        number(node(value), notes)
    for value in ("soon", "0001-01-01"):
        moment(node(value), notes)
    for currency in (None, "eur", "?"):
        money(node({"amount": 5, "currency": currency}), notes)
    money(node({"amount": Decimal("1.005"), "currency": "EUR"}), notes)
    money(node({"amount": 10**18, "currency": "EUR"}), notes)
    count(node(-1), notes)
    assert {finding.code: finding.severity.value for finding in notes.findings()} == {
        "number-as-text": "low",
        "number-malformed": "medium",
        "number-implausible": "medium",
        "date-malformed": "medium",
        "date-implausible": "low",
        "currency-missing": "medium",
        "currency-case": "info",
        "currency-unknown": "medium",
        "amount-digits": "info",
        "amount-implausible": "medium",
        "count-implausible": "low",
    }


def test_one_defect_at_many_places_is_one_finding() -> None:
    notes = Notes()
    for number_ in range(MAX_EVIDENCE + 5):
        notes.add("a-code", Severity.LOW, "Something.", f"/{number_}")
    (finding,) = notes.findings()
    assert len(finding.evidence) == MAX_EVIDENCE
    assert finding.explanation == "Something. (5 more places are not listed.)"
