"""The laws of the merges, and that any bytes either merge or are refused, by whichever side."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core.merges import MERGES, Unmergeable, merge

numbers = st.one_of(
    st.integers(-5, 5).map(str),
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str).map(str.lower),
    st.sampled_from(["0", "-0", "0.0", "1", "1.0", "1e0", "10e-1", "1E+400", "1e999999999"]),
)
texts = st.text(st.characters(codec="utf-8"), max_size=3)
sets = st.lists(st.one_of(st.sampled_from("abc"), texts), max_size=4)
counts = st.dictionaries(st.one_of(st.sampled_from("abc"), texts), st.integers(), max_size=4)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


def written(values: st.SearchStrategy[object]) -> st.SearchStrategy[bytes]:
    """Draw JSON as people write it: with blanks, escapes and fields in any order."""
    return st.builds(
        lambda value, ascii_only, blank: json.dumps(
            value, ensure_ascii=ascii_only, indent=blank
        ).encode("utf-8", "replace"),
        values,
        st.booleans(),
        st.sampled_from([None, 0, 1]),
    )


FIT = {
    "max": numbers.map(str.encode),
    "min": numbers.map(str.encode),
    "any": written(st.booleans()),
    "all": written(st.booleans()),
    "union": written(sets),
    "max-by-field": written(counts),
}
JUNK = (b'["\\ud800"]', b'{"\\udfff":1}', b'{"a":2,"a":1}', b"NaN", b"[" * 5_000, b"1" * 5_000)
anything = st.one_of(
    st.sampled_from(JUNK), st.binary(max_size=20), written(ANY_JSON), *FIT.values()
)


def merged(name: str, one: bytes | None, other: bytes | None) -> bytes | None:
    """Merge, None where that is refused; what was refused stays so."""
    try:
        return None if one is None or other is None else merge(name, one, other)
    except Unmergeable:
        return None


def some_of(name: str) -> st.SearchStrategy[bytes]:
    """Draw values mostly of a merge's kind (`one_of` would flatten to mostly not)."""
    return st.integers(0, 3).flatmap(lambda number: FIT[name] if number else anything)


@pytest.mark.parametrize("name", sorted(MERGES))
@given(st.data())
def test_the_laws_hold_for_any_bytes(name: str, data: st.DataObject) -> None:
    a, b, c = (data.draw(some_of(name)) for _ in range(3))
    once = merged(name, a, b)
    assert once == merged(name, b, a)
    assert merged(name, once, c) == merged(name, a, merged(name, b, c))
    assert merged(name, once, b) == once
    assert merged(name, a, once) == once
    assert merged(name, merged(name, a, a), a) == merged(name, a, a)


@pytest.mark.parametrize("name", sorted(MERGES))
@given(st.data())
def test_what_merges_with_itself_merges_with_its_kind(name: str, data: st.DataObject) -> None:
    a, b = (data.draw(some_of(name)) for _ in range(2))
    fit = [merged(name, value, value) is not None for value in (a, b)]
    assert (merged(name, a, b) is not None) is all(fit)


@given(st.sampled_from(sorted(FIT)), st.data())
def test_what_is_of_the_kind_is_never_refused(name: str, data: st.DataObject) -> None:
    assert merged(name, data.draw(FIT[name]), data.draw(FIT[name])) is not None


@given(sets, sets)
def test_a_union_holds_what_both_hold(one: list[str], other: list[str]) -> None:
    union = merge("union", json.dumps(one).encode(), json.dumps(other).encode())
    assert json.loads(union) == sorted({*one, *other})


@given(counts, counts)
def test_each_field_is_the_larger(one: dict[str, int], other: dict[str, int]) -> None:
    both = merge("max-by-field", json.dumps(one).encode(), json.dumps(other).encode())
    assert json.loads(both) == {
        name: max(counts[name] for counts in (one, other) if name in counts)
        for name in {*one, *other}
    }


@pytest.mark.parametrize("name", sorted(MERGES))
def test_every_merge_is_under_test(name: str) -> None:
    assert name in FIT
