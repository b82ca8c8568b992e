from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from hashlib import sha256

import pytest
from pydantic import BaseModel, Field

from mesh.errors import InputRejected, UsageError
from mesh.runtime.bodies import (
    adapter,
    body,
    check_order,
    decode,
    encode_input,
    encode_output,
    encode_value,
    hash_arguments,
)


class Inner(BaseModel):
    b: int
    a: float = 1.0


class Outer(BaseModel):
    names: list[Inner] = Field(default=[], alias="a/b~c")
    word: str = "ä"


class Sets(BaseModel):
    tags: set[str] = set()
    deeper: list[frozenset[int]] = []


class Odd(BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    call: Callable[[], int]


def test_input_is_canonical_and_hashed() -> None:
    given = encode_input(Inner(b=2, a=2.0))
    assert given.content == b'{"a":2,"b":2}'
    assert given.hash == sha256(given.content).digest()
    assert given.media_type == "application/json"


@pytest.mark.parametrize("model", [Inner.model_construct(b="x"), Inner(b=1, a=float("inf"))])
def test_what_has_no_canonical_form_is_rejected(model: BaseModel) -> None:
    with pytest.raises(InputRejected, match="Inner has no JSON form"):
        encode_input(model)


@pytest.mark.parametrize(
    ("content", "field", "words"),
    [
        (b'{"a/b~c":[{"b":1},{"b":"x"}]}', "/a~1b~0c/1/b", "valid integer"),
        (b'{"a/b~c":[{"b":[]},{}],"word":1}', "/a~1b~0c/0/b", "and 2 more"),
        (b"{", "", "JSON"),
    ],
)
def test_what_does_not_fit_is_rejected_with_a_pointer(
    content: bytes, field: str, words: str
) -> None:
    with pytest.raises(InputRejected, match=words) as problem:
        decode(Outer, content)
    assert problem.value.field == field


def test_output_is_as_its_type_says() -> None:
    class More(Inner):
        c: int = 3

    assert encode_output(More(b=1), Inner).content == b'{"b":1,"a":1.0}'
    assert decode(Inner, b'{"b":1}') == Inner(b=1)


def test_adapters_are_made_once() -> None:
    assert adapter(list[int]) is adapter(list[int])
    assert body(b"x", "text/plain").media_type == "text/plain"


class Share(BaseModel):
    part: float = 0.5
    more: dict[str, list[float | None]] = {}


@pytest.mark.parametrize(
    ("share", "place"),
    [
        (Share(part=float("nan")), "Share.part"),
        (Share(more={"x": [None, float("-inf")]}), r"Share.more.x.1"),
    ],
)
def test_a_result_that_is_no_number_is_refused(share: Share, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        encode_output(share, Share)


def test_null_is_a_value() -> None:
    assert encode_output(Share(more={"x": [None, 1.0]}), Share).content == (
        b'{"part":0.5,"more":{"x":[null,1.0]}}'
    )


def test_arguments_hash_alike_in_whatever_order_sets_are() -> None:
    one = hash_arguments({"b": {3, 1, 2}, "a": (1, Inner(b=1))}, frozenset({"x", "y"}))
    other = hash_arguments({"a": [1, Inner(b=1)], "b": [1, 2, 3]}, ["x", "y"])
    assert one == other
    assert one != hash_arguments({"b": {3, 1}, "a": (1, Inner(b=1))}, frozenset({"x", "y"}))


@pytest.mark.parametrize("place", ["tags", "deeper"])
def test_sets_in_models_are_refused(place: str) -> None:
    only = type(place, (BaseModel,), {"__annotations__": {place: Sets.__annotations__[place]}})
    with pytest.raises(UsageError, match=f"{place}.{place} is a set"):
        check_order(only)
    with pytest.raises(UsageError, match="is a set"):
        hash_arguments(Sets())


def test_model_without_a_schema_may_be_an_argument() -> None:
    check_order(Odd)
    assert hash_arguments(Inner(b=1)) == hash_arguments(Inner(b=1))


# --- values of shared state ---------------------------------------------------------------------


class Part(BaseModel):
    name: str
    price: Decimal = Decimal("1.50")


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (Part(name="é"), b'{"name":"\xc3\xa9","price":"1.50"}'),
        ({"b": 1, "a": [Part(name="x"), None, 2.50]},
         b'{"a":[{"name":"x","price":"1.50"},null,2.5],"b":1}'),
        ({"b", "a"}, b'["a","b"]'),
        (False, b"false"),
        ("", b'""'),
    ],
)  # fmt: skip
def test_a_value_of_shared_state_is_canonical(value: object, content: bytes) -> None:
    assert encode_value(value) == content


@pytest.mark.parametrize("value", [object(), float("inf"), 2**60 + 1, "\ud800", Sets()])
def test_a_value_without_one_form_is_refused(value: object) -> None:
    with pytest.raises(UsageError):
        encode_value(value)
