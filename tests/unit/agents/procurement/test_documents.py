"""No digit is lost, whatever the release came through, and what cannot be read is named."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agents.procurement.documents import (
    MAX_DEPTH,
    DocumentError,
    as_input,
    exact,
    load,
    parse,
    release_pointer,
)


@pytest.mark.parametrize(
    "digits", ["0.1", "72349.20000000001", "9404647864", "1e2", "12345678901234567890.123456789"]
)
def test_a_text_keeps_every_digit(digits: str) -> None:
    assert parse(f'{{"amount": {digits}}}') == {"amount": Decimal(digits)}


def test_a_float_becomes_the_number_that_was_published() -> None:
    assert exact({"a": [203179.71, 1, True, None, "x"]}) == {
        "a": [Decimal("203179.71"), 1, True, None, "x"]
    }


def test_an_object_is_handed_on_where_floats_carry_it() -> None:
    assert as_input('{"a": 203179.71, "b": [1, "x", false]}') == {
        "a": 203179.71,
        "b": [1, "x", False],
    }


@pytest.mark.parametrize("digits", ["0.12345678901234567890", "1e400", "9007199254740993"])
def test_the_text_is_handed_on_where_floats_would_round(digits: str) -> None:
    text = f'{{"a": [{digits}]}}'
    assert as_input(text) == text
    assert load(text) == parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1', "no JSON: Expecting ',' delimiter at line 1 column 8"),
        ("[1]", "not a JSON object"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ('{"a": -Infinity}', "-Infinity is no JSON number"),
        ('{"a": "\\ud800"}', "half of a surrogate pair"),
        ('{"a": ' + "[" * 5_000 + "]" * 5_000 + "}", "nested deeper"),
        ('{"a": ' + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1) + "}", "nested deeper"),
        ('{"a": ' + "9" * 5_000 + "}", "no JSON this can hold"),
        ('{"a": 1e999999999}', "a number beyond any use: 1E\\+999999999"),
        ('{"a": 1e-401}', "a number beyond any use"),
        ("", "no JSON"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, reason: str) -> None:
    with pytest.raises(DocumentError, match=reason):
        parse(text)


def test_the_deepest_that_is_read() -> None:
    assert "a" in parse('{"a": ' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}")


def test_a_float_that_is_no_number_is_refused() -> None:
    with pytest.raises(DocumentError, match="inf is no JSON number"):
        exact({"a": float("inf")})


@pytest.mark.parametrize(
    ("wrapped", "pointer"),
    [
        ({"ocid": "x"}, ""),
        ({"tender": {}}, ""),
        ({"release": {"ocid": "x"}}, "/release"),
        ({"releases": [{"ocid": "x"}]}, "/releases/0"),
        ({"records": [{"ocid": "x", "compiledRelease": {}}]}, "/records/0/compiledRelease"),
        ({"records": [{"ocid": "x", "releases": [{}]}]}, "/records/0/releases/0"),
        ({"ocid": "x", "compiledRelease": {}, "releases": [{}, {}]}, "/compiledRelease"),
    ],
)
def test_the_release_is_found_in_its_wrapping(wrapped: dict[str, object], pointer: str) -> None:
    assert release_pointer(load(wrapped)) == pointer  # type: ignore[arg-type]  # plain JSON


@pytest.mark.parametrize(
    ("wrapped", "reason"),
    [
        ({"releases": [{}, {}]}, "/releases holds 2 entries"),
        ({"releases": []}, "/releases holds 0 entries"),
        ({"records": ["x"]}, "/records/0 is no object"),
    ],
)
def test_several_releases_are_not_one(wrapped: dict[str, object], reason: str) -> None:
    with pytest.raises(DocumentError, match=reason):
        release_pointer(load(wrapped))  # type: ignore[arg-type]  # plain JSON
