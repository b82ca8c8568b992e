"""Reading single values out of a release: what is unclear is noted, never guessed.

A `Node` is a place with what was published there. Each reader returns the value, or None and leaves
a note that says why it cannot be used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from agents.procurement.documents import Json
from agents.procurement.domain import currencies, pointers
from agents.procurement.dossier import Count, Finding, Moment, Money, Period, Severity, Text

MAX_EVIDENCE = 20
"""Places named in one finding; a release may have the same defect a thousand times."""
MAX_AMOUNT = Decimal(10) ** 18
"""Above this an amount is a slip of the keyboard: it exceeds any state's budget in any currency."""
MAX_NUMBER = Decimal(10) ** 30
"""Above this no quantity is meant."""
MAX_COUNT = 100_000
"""Above this a number of tenderers or of days is no number of tenderers or of days."""
FIRST_YEAR, LAST_YEAR = 1990, 2100
"""Years outside are placeholders (0001, 1900, 9999), not dates of a procurement."""

_AMOUNT = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?")
_DATE = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?P<zone>[Zz]|[+-]\d{2}:?\d{2})?)?"
)
_LANGUAGE = re.compile(r"_[a-z]{2,3}(-[A-Za-z]{2,4})?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A place in the release. `value` is None for null and for nothing at all alike."""

    at: str
    value: Json

    def __getitem__(self, name: str) -> Node:
        """Return the member `name`."""
        member = self.value.get(name) if isinstance(self.value, dict) else None
        return Node(at=pointers.join(self.at, name), value=member)

    def items(self) -> Iterator[Node]:
        """Yield the entries of a list; a lone object counts as a list of one."""
        if isinstance(self.value, list):
            for index, entry in enumerate(self.value):
                yield Node(at=pointers.join(self.at, index), value=entry)
        elif isinstance(self.value, dict):
            yield self

    @property
    def given(self) -> bool:
        """Tell whether anything stands here: not null, and no empty text, list or object."""
        value = self.value.strip() if isinstance(self.value, str) else self.value
        return value is not None and value not in ("", [], {})


class Notes:
    """The defects met while reading. The same defect at many places becomes one finding."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, Severity, str], list[str]] = {}

    def add(self, code: str, severity: Severity, explanation: str, *places: str) -> None:
        """Note a defect at `places`, which must stand in the release."""
        self._places.setdefault((code, severity, explanation), []).extend(places)

    def findings(self) -> tuple[Finding, ...]:
        """Return what was noted, in the order in which it was first met."""
        return tuple(
            Finding(
                code=code,
                severity=severity,
                explanation=explanation + _and_more(places),
                evidence=tuple(dict.fromkeys(places))[:MAX_EVIDENCE],
            )
            for (code, severity, explanation), places in self._places.items()
        )


def string(node: Node) -> str:
    """Return the text or number at `node` as a trimmed text, "" where there is none."""
    if isinstance(node.value, str):
        return " ".join(node.value.split())
    if isinstance(node.value, bool) or not isinstance(node.value, int | Decimal):
        return ""
    return format(node.value, "f") if isinstance(node.value, Decimal) else str(node.value)


def text(node: Node, name: str) -> Text | None:
    """Return the text of member `name`, or of the first of its translations (`name_en`)."""
    for member in (node[name], *_translations(node, name)):
        found = string(member)
        if found:
            return Text(text=found, at=member.at)
    return None


def translations(node: Node, name: str) -> tuple[str, ...]:
    """Return what the translations of member `name` say, in the order of their names."""
    found = (string(member) for member in _translations(node, name))
    return tuple(dict.fromkeys(text for text in found if text))


def number(node: Node, notes: Notes) -> Decimal | None:
    """Return the exact number at `node`, also where it was published as a plain text."""
    if not node.given:
        return None
    found = _as_number(node.value)
    if found is None:
        what = _quoted(node.value)
        explanation = f"{what} cannot be read as a number without guessing what its signs mean."
        notes.add("number-malformed", Severity.MEDIUM, explanation, node.at)
        return None
    if isinstance(node.value, str):
        notes.add("number-as-text", Severity.LOW, "A number is published as a text.", node.at)
    if not abs(found) < MAX_NUMBER:
        explanation = "A number is far beyond any quantity or amount, and is not used."
        notes.add("number-implausible", Severity.MEDIUM, explanation, node.at)
        return None
    return found


def _as_number(value: Json) -> Decimal | None:
    if isinstance(value, str):
        return Decimal(value.strip()) if _AMOUNT.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return Decimal(value)


def money(node: Node, notes: Notes) -> Money | None:
    """Return the amount with its currency; None without both, as no currency is assumed."""
    if not node.given:
        return None
    amount = number(node["amount"], notes)
    currency = _currency(node["currency"], notes)
    if amount is None:
        return None
    if currency is None:
        explanation = "An amount has no usable currency, so it is compared with nothing."
        if amount:
            notes.add("currency-missing", Severity.MEDIUM, explanation, node["amount"].at)
        return None
    if not abs(amount) < MAX_AMOUNT:
        explanation = f"The amount is not below {MAX_AMOUNT:f} and is not used."
        notes.add("amount-implausible", Severity.MEDIUM, explanation, node["amount"].at)
        return None
    _check_digits(amount, currency, node, notes)
    return Money(amount=amount, currency=currency, at=node.at)


def moment(node: Node, notes: Notes) -> Moment | None:
    """Return the day, and the instant if a zone was published; ISO 8601 only."""
    if not node.given:
        return None
    published = node.value.strip() if isinstance(node.value, str) else ""
    match = _DATE.fullmatch(published)
    try:
        instant = datetime.fromisoformat(published.upper()) if match else None
    except ValueError:
        instant = None
    if match is None or instant is None:
        explanation = f"{_quoted(node.value)} is no date of ISO 8601; it is not guessed what it is."
        notes.add("date-malformed", Severity.MEDIUM, explanation, node.at)
        return None
    if not FIRST_YEAR <= instant.year <= LAST_YEAR:
        explanation = f"The year {instant.year} is a placeholder, so the date is not used."
        notes.add("date-implausible", Severity.LOW, explanation, node.at)
        return None
    if match["zone"] is None:
        return Moment(day=date.fromisoformat(match[1]), at=node.at)
    return Moment(day=date.fromisoformat(match[1]), instant=instant.astimezone(UTC), at=node.at)


def period(node: Node, notes: Notes) -> Period | None:
    """Return start, end and published length; None where none of them can be used."""
    start, end = moment(node["startDate"], notes), moment(node["endDate"], notes)
    length = count(node["durationInDays"], notes)
    days = length.count if length else None
    if start is None and end is None and not days:
        return None
    return Period(start=start, end=end, days=days, at=node.at)


def status(node: Node, codes: frozenset[str], notes: Notes) -> str:
    """Return the status in lower case; noted where it is none of `codes` (a slipped column)."""
    found = string(node)
    if found and found.casefold() not in codes:
        explanation = f"{_quoted(found)} is no status of OCDS; nothing is concluded from it."
        notes.add("status-not-a-code", Severity.LOW, explanation, node.at)
    return found.casefold()


def count(node: Node, notes: Notes) -> Count | None:
    """Return the whole number at `node`."""
    found = number(node, notes)
    if found is None:
        return None
    if found != found.to_integral_value() or not 0 <= found <= MAX_COUNT:
        explanation = f"{_quoted(node.value)} is no plausible count and is not used."
        notes.add("count-implausible", Severity.LOW, explanation, node.at)
        return None
    return Count(count=int(found), at=node.at)


def _currency(node: Node, notes: Notes) -> str | None:
    code = string(node)
    if not code:
        return None
    if code.upper() not in currencies.KNOWN:
        explanation = f"{_quoted(code)} is no currency code of ISO 4217."
        notes.add("currency-unknown", Severity.MEDIUM, explanation, node.at)
        return None
    if code != code.upper():
        explanation = f"The currency code is written {_quoted(code)}; read as {code.upper()}."
        notes.add("currency-case", Severity.INFO, explanation, node.at)
    return code.upper()


def _check_digits(amount: Decimal, currency: str, node: Node, notes: Notes) -> None:
    exponent = amount.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > currencies.minor_digits(currency):
        explanation = (
            f"An amount in {currency} has more digits after the point than the currency, "
            "as binary arithmetic leaves behind; it is taken as it stands."
        )
        notes.add("amount-digits", Severity.INFO, explanation, node["amount"].at)


def _translations(node: Node, name: str) -> list[Node]:
    names = node.value if isinstance(node.value, dict) else ()
    return [
        node[key]
        for key in sorted(names)
        if key.startswith(name) and _LANGUAGE.fullmatch(key, len(name))
    ]


def _quoted(value: Json) -> str:
    if isinstance(value, dict | list):
        return "An object" if isinstance(value, dict) else "A list"
    return f'"{value!s:.60}"'


def _and_more(places: list[str]) -> str:
    more = len(dict.fromkeys(places)) - MAX_EVIDENCE
    return f" ({more} more places are not listed.)" if more > 0 else ""
