from __future__ import annotations

import pytest
from pydantic import BaseModel

from mesh.core.settings import MAX_REASON
from mesh.core.values import Amount, Body
from mesh.errors import UsageError
from mesh.runtime.bodies import body
from mesh.runtime.checks import Check


class Word(BaseModel):
    text: str


async def load(contents: Body) -> bytes:
    assert contents.content is not None
    return contents.content


async def test_reasons_are_bounded_and_none_accepts() -> None:
    assert await Check(lambda _: None, Word, load).review("c", body(b'{"text":"x"}')) == ""
    long = Check(lambda word: word.text * 10_000, Word, load)
    assert len(await long.review("c", body(b'{"text":"x"}'))) == MAX_REASON


async def test_a_check_returns_a_reason_and_nothing_else() -> None:
    check = Check(lambda _: True, Word, load)  # type: ignore[arg-type,return-value]  # what the test is about
    with pytest.raises(UsageError, match="must return a reason or None, not True"):
        await check.review("c", body(b'{"text":"x"}'))


async def test_checks_do_nothing_else() -> None:
    check = Check(lambda _: None, Word, load)
    assert check.reserve == Amount()
    assert check.interruptible
    with pytest.raises(AssertionError):
        await check.perform("k")
    with pytest.raises(AssertionError):
        await check.probe("k")
