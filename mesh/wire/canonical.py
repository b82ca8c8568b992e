"""JSON read strictly, and written in its one canonical form, over which hashes are made.

Canonical is RFC 8785: members sorted by their names' UTF-16 code units, no spaces, numbers as
ECMAScript writes doubles. What JSON allows and two readers understand differently is refused:
members of one name, numbers that a double cannot hold exactly, NaN, half of a surrogate pair.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from hashlib import sha256
from json.encoder import encode_basestring
from math import isfinite
from typing import Any

from mesh.core.values import Body
from mesh.errors import WireError

JSON = "application/json"
MAX_DEPTH = 64
"""Arrays and objects within each other: deeper than any form, far from the interpreter's limit."""
MAX_EXACT = 2**53 - 1
"""The largest integer up to which a double keeps every one (RFC 7493)."""
SHOWN = 60
"""Characters of a foreign name that an error shows."""
INEXACT = "an integer whose digits a double does not keep: send it as a string"
_PLAIN_DIGITS = 21
"""ECMAScript writes integers of up to so many digits out,"""
_PLAIN_LIMIT = 10**_PLAIN_DIGITS
_PLAIN_ZEROS = -6
"""and so many zeros behind the point."""
_CONSTANTS = {None: "null", True: "true", False: "false"}


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text in UTF-8.

    Raises:
        WireError: It is no JSON, names a member twice, or holds NaN.
    """
    try:
        return json.loads(data.decode(), object_pairs_hook=_members, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise WireError(f"no UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise WireError(f"deeper than {MAX_DEPTH}") from error
    except json.JSONDecodeError as error:
        raise WireError(f"no JSON: {error}") from error
    except ValueError as error:  # thousands of digits
        raise WireError(INEXACT) from error


def canonical_json(value: object) -> bytes:
    """Return the canonical form of a value made of dict, list, str, int, float, bool and None.

    Raises:
        WireError: It holds something else, a number that is not exact, or is deeper than
            `MAX_DEPTH`.
    """
    parts: list[str] = []
    _write(value, 0, parts.append)
    try:
        return "".join(parts).encode()
    except UnicodeEncodeError as error:
        raise WireError("half of a surrogate pair in a string") from error


def body_of(value: object) -> Body:
    """Return a JSON value as the body of a fact: its canonical form and that form's hash.

    Raises:
        WireError: As `canonical_json`.
    """
    content = canonical_json(value)
    return Body(sha256(content).digest(), JSON, content)


def content_of(body: Body) -> bytes:
    """Return the content of a body.

    Raises:
        WireError: It was left out, or is not what the hash says.
    """
    if body.content is None:
        raise WireError("the content is not at hand")
    if sha256(body.content).digest() != body.hash:
        raise WireError("the content is not what its hash says")
    return body.content


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise WireError(f"member {twice[:SHOWN]!r} is there twice")
    return members


def _constant(name: str) -> None:
    raise WireError(f"{name} is no JSON")


def _write(value: object, depth: int, put: Callable[[str], None]) -> None:
    if isinstance(value, str):
        put(encode_basestring(value))
    elif value is None or isinstance(value, bool):
        put(_CONSTANTS[value])
    elif isinstance(value, int):
        put(_integer(value))
    elif isinstance(value, float):
        put(_number(value))
    elif depth == MAX_DEPTH:
        raise WireError(f"deeper than {MAX_DEPTH}")
    elif isinstance(value, dict):
        _write_members(value, depth, put)
    elif isinstance(value, (list, tuple)):
        separator = "["
        for item in value:
            put(separator)
            _write(item, depth + 1, put)
            separator = ","
        put("]" if value else "[]")
    else:
        raise WireError(f"{type(value).__name__} is no JSON")


def _write_members(members: dict[str, object], depth: int, put: Callable[[str], None]) -> None:
    separator = "{"
    for name in sorted(members, key=_sort_key):
        put(separator)
        put(encode_basestring(name))
        put(":")
        _write(members[name], depth + 1, put)
        separator = ","
    put("}" if members else "{}")


def _sort_key(name: object) -> bytes:
    """Order names by their UTF-16 code units."""
    if not isinstance(name, str):
        raise WireError(f"{type(name).__name__} is no member's name")
    return name.encode("utf-16-be", "surrogatepass")


def _integer(number: int) -> str:
    """Write an integer, if a double gives back all of its digits."""
    text = int.__repr__(number) if abs(number) < _PLAIN_LIMIT else ""
    if abs(number) > MAX_EXACT and (not text or _number(float(number)) != text):
        raise WireError(INEXACT)
    return text


def _number(number: float) -> str:
    """Write a double as ECMAScript does: the fewest digits that give it back."""
    if not isfinite(number):
        raise WireError(f"{number} is no JSON")
    if number == 0:
        return "0"  # also -0.0
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    text = "".join(map(str, digits))
    point = len(text) + int(exponent)  # where the decimal point is, counted from the first digit
    if len(text) <= point <= _PLAIN_DIGITS:
        text += "0" * (point - len(text))
    elif 0 < point <= _PLAIN_DIGITS:
        text = f"{text[:point]}.{text[point:]}"
    elif _PLAIN_ZEROS < point <= 0:
        text = f"0.{'0' * -point}{text}"
    else:
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        text = f"{text[0]}{fraction}e{point - 1:+d}"
    return f"-{text}" if sign else text
