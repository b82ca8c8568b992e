"""The named merges of shared state: each commutative, associative and idempotent.

So what concurrent writers contribute is the same in any order and however often it is repeated:
state-based convergent data types. Source: Shapiro, Preguiça, Baquero, Zawirski, "Conflict-free
Replicated Data Types", SSS 2011. Values are canonical JSON; the laws are property tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

MAX_DIGITS = 600
"""Of an integer: Python reads that many in any process, whatever limit was set for it, so every
process finds the same values mergeable."""


class Unmergeable(ValueError):
    """A value is not of the kind that its key's merge takes; says which kind that is."""


def merge(name: str, one: bytes, other: bytes) -> bytes:
    """Return both values merged.

    Raises:
        Unmergeable: One of them is not of the kind that this merge takes.
    """
    return MERGES[name](one, other)


def _maximum(one: bytes, other: bytes) -> bytes:
    return max(one, other, key=_number)


def _minimum(one: bytes, other: bytes) -> bytes:
    return min(one, other, key=_number)


def _any(one: bytes, other: bytes) -> bytes:
    return _write(_flag(one) | _flag(other))


def _all(one: bytes, other: bytes) -> bytes:
    return _write(_flag(one) & _flag(other))


def _union(one: bytes, other: bytes) -> bytes:
    return _write(sorted(_strings(one) | _strings(other)))


def _maximum_by_field(one: bytes, other: bytes) -> bytes:
    merged = dict(_counts(one))
    for name, count in _counts(other).items():
        merged[name] = max(count, merged.get(name, count))
    return _write(merged)


MERGES: Final[Mapping[str, Callable[[bytes, bytes], bytes]]] = {
    "max": _maximum,
    "min": _minimum,
    "any": _any,
    "all": _all,
    "union": _union,
    "max-by-field": _maximum_by_field,
}
"""`max`, `min`: numbers. `any`, `all`: true or false. `union`: sets, as lists of strings.
`max-by-field`: objects whose fields are integers, so what each writer counts under its own field
adds up for a reader."""


def _number(value: bytes) -> tuple[Decimal, bytes]:
    """Return what numbers are ordered by; of two ways to write one, the bytes decide."""
    number = _read(value)
    if isinstance(number, bool) or not isinstance(number, int | Decimal):
        raise Unmergeable("max and min take numbers")
    return Decimal(number), value


def _flag(value: bytes) -> bool:
    flag = _read(value)
    if not isinstance(flag, bool):
        raise Unmergeable("any and all take true or false")
    return flag


def _strings(value: bytes) -> set[str]:
    items = _read(value)
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise Unmergeable("union takes a list of strings")
    return set(items)


def _counts(value: bytes) -> dict[str, int]:
    counts = _read(value)
    if not isinstance(counts, dict) or not all(type(count) is int for count in counts.values()):
        raise Unmergeable("max-by-field takes an object whose fields are integers")
    return counts


def _read(value: bytes) -> object:
    """Return what any process reads: how deep one may nest differs, but no merge takes what nests.

    A field that is given twice would hide what nests, and readers differ in which one they take.
    """
    try:
        return json.loads(
            value.decode(),
            parse_float=Decimal,
            parse_int=_integer,
            object_pairs_hook=_once,
        )
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise Unmergeable(f"the value is no JSON that can be merged: {error}") from error


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits, {MAX_DIGITS} are allowed")
    return int(digits)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field is given twice")
    return fields


def _write(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    try:
        return text.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair, given as an escape
        raise Unmergeable(f"the value holds what is no text: {error.reason}") from error
