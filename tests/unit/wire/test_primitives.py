from __future__ import annotations

import pytest

from mesh.errors import WireError
from mesh.wire.primitives import (
    LENGTHS,
    MAX_LONG,
    REMEMBERED,
    REMEMBERED_CHARACTERS,
    Integers,
    Strings,
    Texts,
    encode_bytes,
    encode_fixed,
    encode_nullable_fixed,
    read_count,
    read_integer,
    read_length,
)

MIN_LONG = -(2**63)
# From the examples of the Avro specification, and the ends of what 64 bits hold.
ENCODINGS = {
    0: "00",
    -1: "01",
    1: "02",
    -64: "7f",
    64: "8001",
    MAX_LONG: "feffffffffffffffff01",
    MIN_LONG: "ffffffffffffffffff01",
}


@pytest.mark.parametrize(("number", "encoded"), ENCODINGS.items())
def test_integers_are_zigzag(number: int, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    assert Integers(MIN_LONG, MAX_LONG)[number] == data
    assert read_integer(data, 0, MIN_LONG, MAX_LONG) == (number, len(data))


@pytest.mark.parametrize("number", [-1, 11, 2**70, "1", None, 1.5])
def test_an_integer_out_of_range_is_not_encoded(number: int) -> None:
    with pytest.raises(WireError):
        Integers(0, 10)[number]


def test_integers_are_remembered_up_to_a_number() -> None:
    integers = Integers(0, MAX_LONG)
    for number in range(REMEMBERED + 1):
        integers[number]
    assert list(integers) == [REMEMBERED]


def test_strings_are_remembered_up_to_a_number_and_a_length() -> None:
    strings = Strings()
    long = "x" * (REMEMBERED_CHARACTERS + 1)
    assert strings[long] == LENGTHS[len(long)] + long.encode()
    assert not strings
    for number in range(REMEMBERED + 1):
        strings[str(number)]
    assert list(strings) == [str(REMEMBERED)]


def test_a_lone_surrogate_is_spelled_out() -> None:
    assert Strings()["a\udc80"] == b"\x0ea\\udc80"


def test_bytes_have_their_length_before_them() -> None:
    assert encode_bytes(b"ab") == b"\x04ab"


def test_fixed_has_its_length() -> None:
    assert encode_fixed(b"ab", 2) == b"ab"
    assert encode_nullable_fixed(b"ab", 2) == b"\x02ab"
    assert encode_nullable_fixed(b"", 2) == b"\x00"
    with pytest.raises(WireError, match="3 bytes where 2 are due"):
        encode_fixed(b"abc", 2)


@pytest.mark.parametrize(
    ("encoded", "what"),
    [
        ("16", "11 is not between -1 and 10"),
        ("03", "-2 is not between -1 and 10"),
        ("ff" * 9 + "7f", "is not between"),  # 70 bits
        ("80" * 10 + "00", "more than 10 bytes"),
    ],
)
def test_an_integer_out_of_range_is_refused(encoded: str, what: str) -> None:
    with pytest.raises(WireError, match=what):
        read_integer(bytes.fromhex(encoded), 0, -1, 10)


@pytest.mark.parametrize("encoded", ["", "80", "ffff"])
def test_an_integer_that_ends_early(encoded: str) -> None:
    with pytest.raises(IndexError):
        read_integer(bytes.fromhex(encoded), 0, 0, 10)


def test_a_length_is_never_negative() -> None:
    assert read_length(b"\x04", 0) == (2, 1)
    with pytest.raises(WireError):
        read_length(b"\x01", 0)


def test_a_negative_count_is_followed_by_a_size() -> None:
    assert read_count(b"\x04", 0) == (2, 1)
    assert read_count(b"\x03\x10", 0) == (2, 2)


def test_a_text_that_comes_again_is_the_same_object() -> None:
    texts = Texts()
    first = texts[b"sleeper.p1"]
    assert first == "sleeper.p1"
    assert texts[b"sleeper.p1"] is first
    long = b"x" * (REMEMBERED_CHARACTERS + 1)
    assert texts[long] == long.decode()
    assert list(texts) == [b"sleeper.p1"]
    for number in range(REMEMBERED):
        assert texts[str(number).encode()] == str(number)
    assert list(texts) == [str(REMEMBERED - 1).encode()]
    with pytest.raises(UnicodeDecodeError):
        texts[b"\xff"]
