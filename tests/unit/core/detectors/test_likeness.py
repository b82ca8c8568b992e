"""Likeness: what is cosmetic, and what is not."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core.detectors.likeness import (
    DIGEST_BYTES,
    MAX_DEPTH,
    MAX_READ_BYTES,
    alike,
    alike_opaque,
    is_noise,
    leaves,
    longest_list,
    same_words,
)
from mesh.core.values import Body

UUID_1, UUID_2 = "8f14e45f-ceea-467f-a0e6-000000000001", "8F14E45F-CEEA-467F-A0E6-000000000002"


def body(value: object, media_type: str = "application/json") -> Body:
    return text(json.dumps(value), media_type)


def text(content: str, media_type: str = "application/json") -> Body:
    data = content.encode()
    return Body(sha256(data).digest(), media_type, data)


COSMETIC: list[tuple[object, object]] = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({"q": "Who  won?"}, {"q": " who won?\n"}),
    ({"q": "ﬁne"}, {"q": "fine"}),
    ({"n": 1}, {"n": 1.0}),
    ({"q": "x", "requestId": "r1"}, {"q": "x", "request_id": "r2"}),
    ({"q": "x", "trace-id": None}, {"q": "x"}),
    ({"q": "x", "Timestamp": 17}, {"q": "x", "timestamp": "noon"}),
    ({"q": "x", "attempt": 1}, {"q": "x", "attempt": 2}),
    ({"q": "x", "attempt": "1"}, {"q": "x"}),
    ({"in": [{"turn": 3, "q": 1}]}, {"in": [{"turn": 4, "q": 1}]}),
    ("This is attempt 3 of 5", "this is Attempt #4 / 5"),
    ("retry: 1, please", "retry: 22, please"),
]
SUBJECT: list[tuple[object, object]] = [
    ({"page": 1}, {"page": 2}),
    ({"id": "a"}, {"id": "b"}),
    ({"date": "2026-01-01"}, {"date": "2026-01-02"}),
    ({"depth": 1}, {"depth": 2}),
    ({"items": [1, 2]}, {"items": [2, 1]}),
    ({"q": "x"}, {"q": "x", "more": None}),
    ({"round": "semi-final"}, {"round": "final"}),
    ({"session_id": ["a"]}, {"session_id": ["b"]}),
    ({"n": 1.5}, {"n": 1}),
    ({"n": True}, {"n": "true"}),
    ("attempted murder 1", "attempted murder 2"),
]
OPAQUE: list[tuple[object, object]] = [
    ({"order": UUID_1}, {"order": UUID_2}),
    ({"at": "2026-01-02T10:00:00Z"}, {"at": "2026-11-30 09:12:01.5+01:00"}),
    ({"at": 1_763_700_000_000}, {"at": 1_763_700_999_999}),
    ({"of": "deadbeef00deadbeef00deadbeef0012"}, {"of": "0123456789abcdef01234567"}),
    ({"of": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, {"of": "01BX5ZZKBKACTAV9WEVGEMMVRZ"}),
    (f"look at {UUID_1} now", f"look at {UUID_2} now"),
]


@pytest.mark.parametrize(("one", "other"), COSMETIC)
def test_what_is_cosmetic_makes_no_difference(one: object, other: object) -> None:
    assert alike(body(one)) == alike(body(other))
    assert alike_opaque(body(one)) == alike_opaque(body(other))
    assert len(alike(body(one))) == DIGEST_BYTES


@pytest.mark.parametrize(("one", "other"), SUBJECT)
def test_what_is_the_subject_makes_one(one: object, other: object) -> None:
    assert alike(body(one)) != alike(body(other))
    assert alike_opaque(body(one)) != alike_opaque(body(other))


@pytest.mark.parametrize(("one", "other"), OPAQUE)
def test_identifiers_and_times_are_cosmetic_to_the_laxer_form_alone(
    one: object, other: object
) -> None:
    assert alike(body(one)) != alike(body(other))
    assert alike_opaque(body(one)) == alike_opaque(body(other))


@pytest.mark.parametrize("number", [3_000_000_000_000, 17, 1.5])
def test_another_number_is_no_time(number: float) -> None:
    assert alike_opaque(body({"n": number})) != alike_opaque(body({"n": 1_763_700_000_000}))


def deep(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "unreadable",
    [
        body({"attempt": 1})._replace(content=None),
        text(json.dumps("x" * MAX_READ_BYTES)),
        text("{"),
        text(deep(MAX_DEPTH + 2)),
        text(deep(100_000)[: MAX_READ_BYTES // 2] + "1"),
        text('{"a":' * 66 + "1" + "}" * 66),
        Body(b"\x01" * 32, "image/png", b"\xff\xfe"),
    ],
    ids=["absent", "large", "no JSON", "deep", "too deep to parse", "deep objects", "binary"],
)
def test_what_cannot_be_read_is_compared_by_its_hash(unreadable: Body) -> None:
    assert alike(unreadable) == alike_opaque(unreadable) == unreadable.hash
    assert leaves(unreadable) == frozenset([unreadable.hash.hex()])
    assert longest_list(unreadable) == 0


def nested(depth: int) -> str:
    return '{"a":' * depth + "[1]" + "}" * depth


def test_what_is_just_deep_enough_is_read() -> None:
    for deepest, too_deep in (
        (text(deep(MAX_DEPTH + 1)), text(deep(MAX_DEPTH + 2))),
        (text(nested(MAX_DEPTH - 1)), text(nested(MAX_DEPTH))),
    ):
        assert len(alike(deepest)) == DIGEST_BYTES
        assert alike(too_deep) == too_deep.hash
        assert deepest.hash.hex() not in leaves(deepest)
    assert leaves(text(nested(MAX_DEPTH - 1))) == {"1"}
    assert longest_list(text(nested(MAX_DEPTH - 1))) == 1
    assert longest_list(text(nested(MAX_DEPTH))) == 0
    assert longest_list(text(deep(MAX_DEPTH + 1))) == 1


def test_what_is_just_small_enough_is_read() -> None:
    largest = text(json.dumps("x" * (MAX_READ_BYTES - 2)))
    assert len(alike(largest)) == DIGEST_BYTES


def test_a_text_is_compared_as_one() -> None:
    one, other = text("Hello  World", "text/plain"), text("hello world ", "text/plain")
    assert alike(one) == alike(other)
    assert leaves(one) == leaves(other)


def test_leaves_are_texts_and_numbers_without_their_names() -> None:
    given = body({"say": ["Hi", {"n": 1.0}], "attempt": 4, "ok": True})
    assert leaves(given) == {'"hi"', "1", "true"}


@pytest.mark.parametrize(
    ("value", "length"),
    [(1, 0), ({}, 0), ([], 0), ([1, 2], 2), ({"a": [1], "b": {"c": [[1, 2, 3]]}}, 3)],
)
def test_the_longest_list_counts(value: object, length: int) -> None:
    assert longest_list(body(value)) == length


def test_the_words_of_an_error_without_what_is_cosmetic() -> None:
    assert same_words(f"Job {UUID_1} failed (attempt 2)") == same_words(
        f"job {UUID_2} failed  (attempt 3)"
    )
    assert same_words("line 3") != same_words("line 4")


def test_a_counter_counts_only_as_a_number() -> None:
    assert is_noise("Retry-Count", 3)
    assert is_noise("retry_count", " 3 ")
    assert not is_noise("retry_count", "three")
    assert not is_noise("count", 3)


# --- whatever somebody may have written ---------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=64), st.sampled_from(["application/json", "text/plain", ""]))
def test_no_bytes_break_it(content: bytes, media_type: str) -> None:
    given_ = Body(sha256(content).digest(), media_type, content)
    assert len(alike(given_)) in (DIGEST_BYTES, 32)
    assert len(alike_opaque(given_)) in (DIGEST_BYTES, 32)
    assert longest_list(given_) >= 0
    assert all(isinstance(leaf, str) for leaf in leaves(given_))


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=5))
def test_order_and_transmission_make_no_difference(members: dict[str, object]) -> None:
    turned = dict(reversed(members.items())) | {"requestId": "r", "attempt": 7}
    plain = {name: own for name, own in members.items() if name not in ("requestId", "attempt")}
    assert alike(body(turned)) == alike(body(plain))
    assert leaves(body(turned)) == leaves(body(plain))
