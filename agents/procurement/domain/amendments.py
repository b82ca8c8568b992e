"""Finding out what a contract was worth before it was amended.

OCDS 1.0 lists changes with the former value. Some publishers write the history in words instead:
`amendmentNumber: 000, ..., value: 2200000.00 | amendmentNumber: 001, ..., value: 600000.00`. Such a
history is believed only where it begins with number 0 and adds up to the contract's value.
"""

from __future__ import annotations

import re
from decimal import Decimal

from agents.procurement.domain.amounts import figure, shown
from agents.procurement.domain.reading import Node, Notes, number, string
from agents.procurement.dossier import Money, Severity

MAX_HISTORY = 20_000
"""Characters of a history that are read; a thousand amendments need no more."""
_ENTRY = re.compile(r"amendmentNumber: (\d{1,6})\b[^|]*?\bvalue: (-?\d{1,20}(?:\.\d{1,4})?)")


def original_value(contract: Node, value: Money | None, notes: Notes) -> Money | None:
    """Return the contract's first value, where its amendments tell it."""
    if value is None:
        return None
    amendments = [*contract["amendments"].items(), *contract["amendment"].items()]
    for amendment in amendments:
        former = _former_value(amendment, value, notes)
        if former is not None:
            return former
    for amendment in amendments:
        history = _ENTRY.findall(string(amendment["rationale"])[:MAX_HISTORY])
        if history:
            return _first_of(history, amendment["rationale"], value, notes)
    return None


def _former_value(amendment: Node, value: Money, notes: Notes) -> Money | None:
    for change in amendment["changes"].items():
        place = string(change["property"]).replace("/", ".").strip(".")
        if not place.endswith(("value", "value.amount")):
            continue
        former = change["former_value"]
        amount = former["amount"] if isinstance(former.value, dict) else former
        found = number(amount, notes)
        if found is not None:
            return Money(amount=found, currency=value.currency, at=change.at)
    return None


def _first_of(
    history: list[tuple[str, str]], rationale: Node, value: Money, notes: Notes
) -> Money | None:
    total = sum((Decimal(amount) for _, amount in history), Decimal(0))
    if int(history[0][0]) != 0 or total != value.amount:
        explanation = (
            f"The history of amendments tells of {figure(total)} {value.currency}, "
            f"the contract of {shown(value)}."
        )
        notes.add("amendments-do-not-add-up", Severity.MEDIUM, explanation, rationale.at, value.at)
        return None
    return Money(amount=Decimal(history[0][1]), currency=value.currency, at=rationale.at)
