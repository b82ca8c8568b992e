"""Reading JSON so that no digit of an amount is lost, and finding the release in its wrapping.

A number written with a point becomes a `Decimal` of exactly the digits published. Where a document
has already been through a decoder that makes floats, `Decimal(repr(x))` gives back what was
published up to 15 significant digits (IEEE 754 guarantees no more), and `as_input` falls back on
the text of the document where that would not be enough.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NoReturn, TypeAlias

Json: TypeAlias = "bool | int | Decimal | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]
# What a JSON decoder gives, floats included; the agents turn it into `Json` before they look at it.
Decoded: TypeAlias = (
    "bool | int | float | Decimal | str | Sequence[Decoded] | Mapping[str, Decoded] | None"
)

MAX_DEPTH = 64
"""Levels of nesting; OCDS needs about ten, and a walk must not run out of stack."""
EXACT_INTEGER = 2**53
"""Integers up to this survive any JSON library (RFC 7493)."""
MAX_EXPONENT = 400
"""Of ten, up or down: beyond any float, and still short when written out."""


class DocumentError(ValueError):
    """The text or value is no JSON object that holds one release."""


def parse(text: str) -> JsonObject:
    """Parse `text` exactly; raises `DocumentError` saying what is wrong and where."""
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        raise DocumentError("holds half of a surrogate pair, which is no text") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise DocumentError(f"no JSON: {error.msg} at {where}") from error
    except RecursionError as error:
        raise DocumentError(f"nested deeper than {MAX_DEPTH} levels") from error
    except DocumentError:
        raise
    except ValueError as error:
        raise DocumentError(f"no JSON this can hold: {error}") from error
    return _object(exact(value))


def load(release: str | Mapping[str, Decoded]) -> JsonObject:
    """Return the document of an input, which may be the JSON text or an object already decoded."""
    return parse(release) if isinstance(release, str) else _object(exact(release))


def exact(value: Decoded, depth: int = 0) -> Json:
    """Return `value` with every float replaced by the shortest decimal that means it."""
    if depth > MAX_DEPTH:
        raise DocumentError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, float | Decimal):
        return _number(value)
    if isinstance(value, Mapping):
        return {key: exact(member, depth + 1) for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [exact(member, depth + 1) for member in value]
    return value


def as_input(text: str) -> str | dict[str, Decoded]:
    """Return the input for a review: the object where floats carry every digit, else the text.

    Raises:
        DocumentError: `text` is no JSON object.
    """
    document = parse(text)
    if not _survives(document):
        return text
    decoded: dict[str, Decoded] = json.loads(text)
    return decoded


def release_pointer(document: JsonObject) -> str:
    """Return the pointer of the release inside `document`: "" where it is not wrapped.

    Release packages, record packages, records and `{"release": {...}}` are looked into.

    Raises:
        DocumentError: the wrapping holds no release, or several.
    """
    if "ocid" in document and not _is_record(document):
        return ""
    for key in ("compiledRelease", "release"):
        if isinstance(document.get(key), dict):
            return f"/{key}"
    for key in ("releases", "records"):
        members = document.get(key)
        if isinstance(members, list):
            return f"/{key}/0" + _inside(key, members)
    return ""


def _number(value: float | Decimal) -> Decimal:
    number = Decimal(repr(value)) if isinstance(value, float) else value
    if not number.is_finite():
        raise DocumentError(f"{value} is no JSON number")
    exponent = number.as_tuple().exponent
    if abs(number.adjusted()) > MAX_EXPONENT or abs(int(exponent)) > MAX_EXPONENT:
        raise DocumentError(f"a number beyond any use: {value!s:.40}")
    return number


def _inside(key: str, members: list[Json]) -> str:
    if len(members) != 1:
        raise DocumentError(f"/{key} holds {len(members)} entries; give them one by one")
    only = members[0]
    if not isinstance(only, dict):
        raise DocumentError(f"/{key}/0 is no object")
    return release_pointer(only) if key == "records" else ""


def _is_record(document: JsonObject) -> bool:
    return isinstance(document.get("compiledRelease"), dict) or isinstance(
        document.get("releases"), list
    )


def _survives(value: Json) -> bool:
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return abs(value) <= EXACT_INTEGER
    if isinstance(value, Decimal):
        return Decimal(repr(float(value))) == value
    if isinstance(value, dict):
        return all(_survives(member) for member in value.values())
    return all(_survives(member) for member in value) if isinstance(value, list) else True


def _object(value: Json) -> JsonObject:
    if not isinstance(value, dict):
        raise DocumentError("not a JSON object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise DocumentError(f"{name} is no JSON number")
