from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from mesh.errors import DefinitionError
from mesh.runtime.context import Context
from mesh.runtime.signature import Signature, read_signature


class Need(BaseModel):
    qty: int


class Tags(BaseModel):
    tags: set[str]


def read(handler: Callable[..., Any]) -> Signature:
    return read_signature(handler, Context, {}, "agent a, capability b.c")


async def full(ctx: Context, need: Need, *, later: int = 1) -> Need:
    return need


async def bare(ctx, need: Need) -> Need:  # type: ignore[no-untyped-def]  # the context needs no hint
    return Need(qty=1)


def plain(need: Need) -> Need:
    return need


def test_both_kinds_of_handlers() -> None:
    assert read(full) == read(bare) == Signature(Need, Need, plain=False)
    assert read(plain) == Signature(Need, Need, plain=True)


async def no_hint(ctx: Context, need) -> Need:  # type: ignore[no-untyped-def]  # what the test is about
    return Need(qty=1)


async def no_result(ctx: Context, need: Need):  # type: ignore[no-untyped-def]  # what the test is about
    return need


async def a_dict(ctx: Context, need: dict[str, int]) -> Need:
    return Need(qty=1)


async def a_dict_back(ctx: Context, need: Need) -> dict:  # type: ignore[type-arg]  # what the test is about
    return {}


async def optional(ctx: Context, need: Need | None) -> Need:
    return Need(qty=1)


async def wrong_context(ctx: int, need: Need) -> Need:
    return need


async def no_context(need: Need) -> Need:
    return need


async def three(ctx: Context, need: Need, more: int) -> Need:
    return need


async def variable(ctx: Context, *needs: Need) -> Need:
    return needs[0]


async def keyword(ctx: Context, need: Need, *, more: int) -> Need:
    return need


def with_context(ctx: Context, need: Need) -> Need:
    return need


async def yields(ctx: Context, need: Need) -> AsyncIterator[Need]:
    yield need


async def unknown(ctx: Context, need: Nedd) -> Need:  # type: ignore[name-defined]  # noqa: F821  # a typo
    return Need(qty=1)


async def sets(ctx: Context, tags: Tags) -> Need:
    return Need(qty=1)


class CallMe:
    async def __call__(self, ctx: Context, need: Need) -> Need:
        return need


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (no_hint, "its input needs a type hint"),
        (no_result, "its result needs a type hint"),
        (a_dict, r"its input is dict\S* declare a class derived from pydantic"),
        (a_dict_back, "its result is dict: declare a class"),
        (optional, "its input is .*None: declare a class"),
        (wrong_context, "its first argument, ctx, must be a Context"),
        (no_context, r"must take \(ctx, input\), not 1 arguments"),
        (three, r"must take \(ctx, input\), not 3 arguments"),
        (variable, "takes .*needs.*, which nobody would pass"),
        (keyword, "takes more: .*int.*, which nobody would pass"),
        (with_context, "write `async def` to get a context"),
        (yields, "returns its result, it does not yield"),
        (unknown, "Nedd in its type hints is not defined"),
        (sets, r"Tags\.tags is a set"),
        (CallMe(), "decorate a function"),
    ],
)
def test_mistakes_are_told_in_one_line(handler: Callable[..., Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=words) as problem:
        read(handler)
    assert str(problem.value).startswith("agent a, capability b.c: ")
    assert "\n" not in str(problem.value)
