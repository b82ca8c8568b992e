"""Each merge takes its own kind of value, and refuses every other with the kind named."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from mesh.core.merges import MAX_DIGITS, MERGES, Unmergeable, merge


@pytest.mark.parametrize(
    ("name", "one", "other", "merged"),
    [
        ("max", b"2", b"10", b"10"),
        ("max", b"1.5", b"1.25", b"1.5"),
        ("max", b"-1", b"-2.5e3", b"-1"),
        ("max", b"0.1", b"0.10000000000000000000000000000000001", b"0.1" + b"0" * 33 + b"1"),
        ("max", b"1e999999999", b"9" * 500, b"1e999999999"),
        ("min", b"2", b"10", b"2"),
        ("min", b"-0.5", b"0", b"-0.5"),
        ("any", b"false", b"true", b"true"),
        ("any", b"false", b" false", b"false"),
        ("all", b"false", b"true", b"false"),
        ("all", b"true", b"true", b"true"),
        ("union", b'["b","a"]', b'["c","a"]', b'["a","b","c"]'),
        ("union", b"[]", b"[]", b"[]"),
        ("union", '["é"]'.encode(), b'["\\u00e9"]', '["é"]'.encode()),
        ("max-by-field", b'{"b":2}', b'{"a":1,"b":1}', b'{"a":1,"b":2}'),
        ("max-by-field", b"{}", b'{"a":-1}', b'{"a":-1}'),
    ],
)
def test_what_is_of_the_kind_is_merged(name: str, one: bytes, other: bytes, merged: bytes) -> None:
    assert merge(name, one, other) == merge(name, other, one) == merged


@pytest.mark.parametrize("name", ["max", "min"])
def test_of_two_ways_to_write_a_number_the_bytes_decide(name: str) -> None:
    assert merge(name, b"1", b"1.0") == merge(name, b"1.0", b"1")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max", b"true", "numbers"),
        ("min", b'"1"', "numbers"),
        ("max", b"NaN", "numbers"),
        ("min", b"-Infinity", "numbers"),
        ("any", b"1", "true or false"),
        ("all", b"null", "true or false"),
        ("union", b'"a"', "list of strings"),
        ("union", b'["a",1]', "list of strings"),
        ("union", b'["\\ud800"]', "no text"),
        ("max-by-field", b"[1]", "integers"),
        ("max-by-field", b'{"a":true}', "integers"),
        ("max-by-field", b'{"a":1.0}', "integers"),
        ("max-by-field", b'{"\\udfff":1}', "no text"),
        ("max", b"", "no JSON"),
        ("max", b"\xff", "no JSON"),
        ("max", b"1 2", "no JSON"),
        ("max", b"\xef\xbb\xbf1", "no JSON"),
        ("max", "1".encode("utf-16"), "no JSON"),
        ("min", b"1e9999999999999999999999", "no JSON"),
        ("union", b"[" * 40_000, "no JSON"),
    ],
)
def test_what_is_of_another_kind_is_refused(name: str, value: bytes, said: str) -> None:
    good = {"any": b"true", "all": b"true", "union": b"[]", "max-by-field": b"{}"}.get(name, b"1")
    with pytest.raises(Unmergeable, match=said):
        merge(name, value, good)
    with pytest.raises(Unmergeable, match=said):
        merge(name, good, value)


@pytest.fixture
def no_limit() -> Iterator[None]:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(before)


@pytest.mark.usefixtures("no_limit")
def test_how_long_a_number_may_be_is_no_setting_of_the_process() -> None:
    assert merge("max", b"1" * MAX_DIGITS, b"1") == b"1" * MAX_DIGITS
    with pytest.raises(Unmergeable, match="digits"):
        merge("max", b"1" * (MAX_DIGITS + 1), b"1")


@pytest.mark.parametrize("hidden", ["[" * 400 + "]" * 400, "1" * (MAX_DIGITS + 1), "2"])
def test_a_field_that_is_given_twice_hides_nothing(hidden: str) -> None:
    """How deep one may nest depends on the process: what is hidden must not be mergeable."""
    with pytest.raises(Unmergeable):
        merge("max-by-field", f'{{"a":{hidden},"a":1}}'.encode(), b"{}")


def test_the_names_are_those_of_the_rules() -> None:
    assert sorted(MERGES) == ["all", "any", "max", "max-by-field", "min", "union"]
