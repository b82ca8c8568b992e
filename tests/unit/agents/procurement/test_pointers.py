"""RFC 6901, with the examples of its section 5."""

from __future__ import annotations

import pytest

from agents.procurement.documents import JsonObject
from agents.procurement.domain.pointers import dangling, exists, join, nearest, resolve, split

RFC: JsonObject = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6,
    " ": 7, "m~n": 8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2),
        ("/e^f", 3), ("/g|h", 4), ("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8),
    ],
)  # fmt: skip
def test_examples_of_the_rfc(pointer: str, value: object) -> None:
    assert resolve(RFC, pointer) == value


@pytest.mark.parametrize("token", ["a/b", "m~n", "~1", "", "0", "contractacion ñ"])
def test_what_is_joined_splits_again(token: str) -> None:
    assert split(join("/x", token, 3)) == ["x", token, "3"]


@pytest.mark.parametrize(
    "pointer", ["/foo/2", "/foo/-", "/foo/01", "/foo/-1", "/foo/٣", "/foo/bar", "/no", "//"]
)
def test_nothing_stands_there(pointer: str) -> None:
    assert not exists(RFC, pointer)
    with pytest.raises(LookupError, match="nothing stands at"):
        resolve(RFC, pointer)


def test_a_pointer_begins_with_a_slash() -> None:
    assert not exists(RFC, "foo")
    with pytest.raises(ValueError, match="must begin with a slash"):
        split("foo")


def test_null_stands_somewhere() -> None:
    assert exists({"a": None}, "/a")


def test_nearest_is_the_deepest_that_stands() -> None:
    assert nearest(RFC, "/foo/7/name") == "/foo"
    assert nearest(RFC, "/foo/1") == "/foo/1"
    assert nearest(RFC, "/no/where") == ""


def test_dangling_names_each_once() -> None:
    assert dangling(RFC, ["/foo", "/no", "/no", "bad"]) == ["/no", "bad"]
