"""Bad input gets an error that names the field."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from pydantic import ValidationError

from agents.procurement.dossier import Finding, Money, Severity
from agents.procurement.models import MAX_REFERENCE, ReviewRequest

POINT = {
    "ocid": "x", "at": "", "kind": "award", "basis": "total", "scheme": "CPV", "code": "1",
    "label": "", "amount": "1", "currency": "GBP",
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        ({}, "release", "Field required"),
        ({"release": []}, "release", "Input should be"),
        ({"release": "{"}, "release", "no JSON: Expecting property name"),
        ({"release": "[1]"}, "release", "not a JSON object"),
        ({"release": {"releases": [{}, {}]}}, "release", "/releases holds 2 entries"),
        ({"release": {}, "relase": 1}, "relase", "Extra inputs are not permitted"),
        ({"release": {}, "policy": {"min_comparables": 1}}, "min_comparables", "greater than or"),
        ({"release": {}, "policy": {"outlier_score": 3.5}}, "outlier_score", "float is not exact"),
        ({"release": {}, "reference": [{}]}, "reference", "Field required"),
        ({"release": {}, "reference": [POINT] * (MAX_REFERENCE + 1)}, "reference", "at most 2000"),
    ],
)
def test_bad_input_names_the_field(given: object, field: str, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ReviewRequest.model_validate_json(json.dumps(given))
    told = [(".".join(map(str, e["loc"])), e["msg"]) for e in caught.value.errors()]
    assert any(field in where and reason in what for where, what in told), told


def test_money_is_never_a_float() -> None:
    with pytest.raises(ValidationError, match="a float is not exact"):
        Money.model_validate({"amount": 0.1, "currency": "GBP", "at": ""})
    with pytest.raises(ValidationError, match="finite number"):
        Money.model_validate({"amount": "NaN", "currency": "GBP", "at": ""})


def test_money_keeps_every_digit_on_its_way() -> None:
    money = Money(amount=Decimal("1E+3") + Decimal("1e-30"), currency="GBP", at="/a")
    text = money.model_dump_json()
    assert '"1000.000000000000000000000000000001"' in text or "1000" in text
    assert Money.model_validate_json(text) == money


def test_a_finding_has_evidence_by_pointer() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        Finding(code="x", severity=Severity.LOW, explanation="x", evidence=())
    with pytest.raises(ValidationError, match="should match pattern"):
        Finding(code="x", severity=Severity.LOW, explanation="x", evidence=("tender",))


def test_nothing_can_be_changed_afterwards() -> None:
    money = Money(amount=Decimal(1), currency="GBP", at="")
    with pytest.raises(ValidationError, match="frozen"):
        money.amount = Decimal(2)
