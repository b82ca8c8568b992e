from __future__ import annotations

import json
import struct
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core.values import Body
from mesh.errors import WireError
from mesh.wire.canonical import (
    JSON,
    MAX_DEPTH,
    body_of,
    canonical_json,
    content_of,
    parse_json,
)

# RFC 8785, appendix B: doubles by their bits, and how they are written.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_are_written_as_ecmascript_does(bits: str, text: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_json(number) == text.encode()


def test_the_example_of_the_standard() -> None:
    """RFC 8785, section 3.2.2 to 3.2.4."""
    given_text = rb"""{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }"""
    assert canonical_json(parse_json(given_text)).hex() == (
        "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b333333"
        "3333333333332e333333333333332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e"
        "67223a22e282ac245c75303030665c6e4127425c225c5c5c5c5c222f227d"
    )


def test_members_are_sorted_by_utf_16() -> None:
    """RFC 8785, section 3.2.3."""
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    written = canonical_json(dict.fromkeys(names, 0))
    assert list(json.loads(written)) == [
        "\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["9007199254740992", "-295147905179352830000", "1000000000000000"])
def test_a_large_integer_keeps_its_digits(text: str) -> None:
    assert canonical_json(parse_json(text.encode())) == text.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [({}, "{}"), ([], "[]"), ((), "[]"), ((1, "a"), '[1,"a"]'), ({"a": [{}]}, '{"a":[{}]}')],
)
def test_empty_and_nested(value: object, text: str) -> None:
    assert canonical_json(value) == text.encode()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON_VALUES)
def test_canonical_is_the_same_value_and_stays_as_it_is(value: Any) -> None:
    written = canonical_json(value)
    assert doubles(written) == doubles(json.dumps(value))
    assert canonical_json(parse_json(written)) == written


def doubles(text: str | bytes) -> Any:
    """Read JSON as the standard does: every number is a double."""
    return json.loads(text, parse_int=float)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_depth_has_a_limit() -> None:
    assert canonical_json(parse_json(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(WireError, match="deeper than 64"):
        canonical_json(parse_json(nested(MAX_DEPTH + 1)))
    with pytest.raises(WireError, match="deeper than 64"):
        parse_json(nested(100_000))


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (float("nan"), "nan is no JSON"),
        (float("inf"), "inf is no JSON"),
        (2**53 + 1, "digits a double does not keep"),
        (-(2**53) - 1, "digits a double does not keep"),
        (10**21, "digits a double does not keep"),
        ([10**5000], "digits a double does not keep"),
        (b"bytes", "bytes is no JSON"),
        ({"a": object()}, "object is no JSON"),
        ({1: 2}, "int is no member's name"),
        ("\ud800", "half of a surrogate pair"),
        ({"\udfff": 1}, "half of a surrogate pair"),
    ],
)
def test_what_has_no_canonical_form(value: object, what: str) -> None:
    with pytest.raises(WireError, match=what):
        canonical_json(value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"{'a':1}", "no JSON"),
        (b"1 2", "no JSON"),
        (b"\xef\xbb\xbf1", "no JSON"),
        (b"\xff", "no UTF-8 at byte 0"),
        ("é".encode("latin-1"), "no UTF-8"),
        ("1".encode("utf-16"), "no UTF-8"),
        (b"NaN", "NaN is no JSON"),
        (b"[-Infinity]", "-Infinity is no JSON"),
        (b'{"a":1,"b":2,"a":1}', "member 'a' is there twice"),
        (b'[{"' + b"x" * 99 + b'":1,"' + b"x" * 99 + b'":1}]', "member 'x{60}' is there twice"),
        (b"9" * 5_000, "digits a double does not keep"),
    ],
)
def test_what_is_no_strict_json(text: bytes, what: str) -> None:
    with pytest.raises(WireError, match=what):
        parse_json(text)


def test_a_body_has_the_hash_of_its_canonical_form() -> None:
    body = body_of({"b": 1.0, "a": "é"})
    assert body == Body(sha256(b'{"a":"\xc3\xa9","b":1}').digest(), JSON, b'{"a":"\xc3\xa9","b":1}')
    assert content_of(body) == body.content


def test_content_that_is_not_the_body_s_is_refused() -> None:
    body = body_of([1])
    with pytest.raises(WireError, match="not at hand"):
        content_of(body._replace(content=None))
    with pytest.raises(WireError, match="not what its hash says"):
        content_of(body._replace(content=b"[2]"))
