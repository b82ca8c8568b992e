"""How authors write money, budgets and times, and what the core makes of them: exact integers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from typing import TypedDict

from mesh.core.values import Amount
from mesh.errors import UsageError

Money = str | int | Decimal
"""US dollars, exact: `"0.05"`, never a float."""
Duration = str | int | timedelta
"""`"30s"`, `"1h30m"`, `"250ms"`, or whole seconds."""

MAX_INTEGER = 2**63 - 1
"""What a long holds on the wire."""
MICRO = 1_000_000
DIMENSIONS = ("usd", "tokens", "tool_calls", "hops", "attempts")

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"(\d{1,12})(ms|s|m|h|d)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")


class Budget(TypedDict, total=False):
    """What something may cost; what is left out is decided elsewhere, see where it is used."""

    usd: Money
    tokens: int
    tool_calls: int
    hops: int
    attempts: int


def parse_duration(value: object, what: str) -> int:
    """Return a duration in milliseconds.

    Raises:
        UsageError: It is none, or not above zero; the message begins with `what`.
    """
    if isinstance(value, timedelta):
        milliseconds = value // timedelta(milliseconds=1)
    elif isinstance(value, str) and _DURATION.fullmatch(value):
        milliseconds = sum(int(n) * _UNITS_MS[unit] for n, unit in _PART.findall(value))
    elif isinstance(value, int) and not isinstance(value, bool):
        milliseconds = value * 1_000
    else:
        raise UsageError(f'{what}: {value!r} is no duration; write "30s", "1h30m" or whole seconds')
    if not 0 < milliseconds <= MAX_INTEGER:
        raise UsageError(f"{what}: {value!r} is out of range; it must be above zero")
    return milliseconds


def parse_usd(value: object, what: str) -> int:
    """Return money in millionths of a dollar, exactly.

    Raises:
        UsageError: It is no exact amount, or negative; the message begins with `what`.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise UsageError(f'{what}: {value!r} is not exact; write it as a string, like "0.05"')
    try:
        return _micro_usd(value)
    except ValueError as problem:
        raise UsageError(f"{what}: {value!r} {problem}") from None


@lru_cache(maxsize=1_024)
def _micro_usd(value: Money) -> int:
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError('is no amount of money; write it like "0.05"') from None
    if not number.is_finite() or number < 0 or number.adjusted() > len(str(MAX_INTEGER)):
        raise ValueError("must be zero or more, and finite")
    micro = Fraction(number) * MICRO
    if micro.denominator != 1 or micro > MAX_INTEGER:
        raise ValueError("must be a whole number of millionths of a dollar")
    return int(micro)


def parse_count(value: object, what: str) -> int:
    """Return a count of something: an integer, zero or more.

    Raises:
        UsageError: It is none; the message begins with `what`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_INTEGER:
        raise UsageError(f"{what}: {value!r} must be an integer, zero or more")
    return value


def parse_budget(budget: Budget | Mapping[str, object], rest: Amount, what: str) -> Amount:
    """Return a budget as the core counts it; dimensions that it leaves out are those of `rest`.

    Raises:
        UsageError: An unknown dimension or a value out of range; the message begins with `what`.
    """
    if not isinstance(budget, Mapping):
        raise UsageError(f'{what}: {budget!r} must be a mapping, like {{"usd": "0.50"}}')
    given = {}
    for name, value in budget.items():
        if name == "usd":
            given["micro_usd"] = parse_usd(value, f"{what}.usd")
        elif name in DIMENSIONS:
            given[name] = parse_count(value, f"{what}.{name}")
        else:
            raise UsageError(f"{what}: {name!r} is none of {', '.join(DIMENSIONS)}")
    return rest._replace(**given)
