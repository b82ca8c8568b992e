from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from mesh.core.values import Amount, Body, Effect
from mesh.errors import DefinitionError, UsageError
from mesh.runtime import tools
from mesh.runtime.bodies import body
from mesh.runtime.threads import Threads
from mesh.runtime.tools import Performer, Priced, ToolFailed, decode, describe, tool


class Price(BaseModel):
    usd: int


async def keep(contents: Body) -> Body:
    return contents


def performer(
    function: Callable[..., Any], *arguments: object, probe: Callable[..., Any] | None = None
) -> Performer:
    return Performer(
        function,
        arguments,
        probe=probe,
        reserve=Amount(micro_usd=9),
        threads=Threads(2, "test"),
        keep=keep,
    )


def untyped(a, b=1):  # type: ignore[no-untyped-def]  # what the test is about
    return {"a": a, "b": b}


def typed(a: int) -> list[Price]:
    return [Price(usd=a)]


async def later(a: int, idempotency_key: str = "") -> Priced[Price]:
    return Priced(Price(usd=a), usd="0.01")


class Client:
    def get(self, name: str) -> str:
        return name

    async def __call__(self, name: str) -> str:
        return name


def wrong(a: int) -> Price:
    return "no price"  # type: ignore[return-value]  # what the test is about


def coroutine(a: int) -> Any:
    return later(a)


def unresolved(a: int) -> Unknown:  # type: ignore[name-defined]  # noqa: F821  # what the test is about
    return a


async def test_results_are_json_by_their_hint() -> None:
    assert await performer(untyped, 1).perform("k") == ("", Amount(), body(b'{"a":1,"b":1}'))
    assert await performer(typed, 2).perform("k") == ("", Amount(), body(b'[{"usd":2}]'))
    assert await performer(later, 3).perform("k") == ("", Amount(10_000), body(b'{"usd":3}'))
    assert await performer(Client().get, "x").perform("k") == ("", Amount(), body(b'"x"'))
    assert await performer(Client(), "x").perform("k") == ("", Amount(), body(b'"x"'))
    assert await performer(partial(typed, 4)).perform("k") == ("", Amount(), body(b'[{"usd":4}]'))
    assert await performer(unresolved, 5).perform("k") == ("", Amount(), body(b"5"))


async def test_what_fails_is_charged_in_full() -> None:
    for function, words in (
        (wrong, "PydanticSerializationError"),
        (coroutine, "TypeError: coroutine returned something to await"),
    ):
        error, spent, contents = await performer(function, 1).perform("k")
        assert words in error
        assert (spent, contents.content) == (Amount(micro_usd=9), None)


def test_results_come_back_as_their_hint_says() -> None:
    assert decode(describe(typed), body(b'[{"usd":2}]')) == [Price(usd=2)]
    assert decode(describe(later), body(b'{"usd":2}')) == Price(usd=2)
    assert decode(describe(untyped), body(b'{"a":[1]}')) == {"a": [1]}
    with pytest.raises(ToolFailed, match="does not fit"):
        decode(describe(typed), body(b'{"usd":2}'))


def test_tools_are_described_once() -> None:
    assert describe(later).takes_key
    assert describe(later).is_async
    assert not describe(typed).takes_key
    assert describe(Client()).name == "Client"
    assert describe(partial(typed)).name == "partial"
    assert performer(later).interruptible
    assert not performer(typed).interruptible


def test_marks_stay_with_the_function() -> None:
    marked = tool(effect="keyed", name="erp.get", probe=typed, reserve={"tokens": 5})(later)
    assert marked is later
    traits = marked.__parley_tool__  # type: ignore[attr-defined]  # set by the decorator
    assert traits == tools.Traits("erp.get", Effect.KEYED, typed, Amount(tokens=5))
    del later.__parley_tool__  # type: ignore[attr-defined]  # as above


@pytest.mark.parametrize(
    "options",
    [
        {"effect": "often"},
        {"effect": "pure", "reserve": {"usd": 0.1}},
        {"effect": "pure", "reserve": {"hops": 1}},
    ],
)
def test_marks_are_checked_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=r"^tool: "):
        tool(**options)


def test_prices_are_exact() -> None:
    assert Priced("x", usd="0.000001", tokens=3).amount == Amount(1, 3)
    assert repr(Priced("x")).startswith("Priced('x', Amount(")
    with pytest.raises(UsageError):
        Priced("x", usd=0.1)  # type: ignore[arg-type]  # what the test is about


async def test_probe_is_asked_again_when_it_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "PROBE_PAUSES_S", (0.0, 0.0))
    asked: list[str] = []

    def probe(a: int, idempotency_key: str) -> Priced[Price] | None:
        asked.append(idempotency_key)
        if len(asked) % 3:
            raise ConnectionError
        return Priced(Price(usd=a))

    found = await performer(later, 7, probe=probe).probe("k")
    assert found is not None
    assert found.content == b'{"usd":7}'
    assert asked == ["k"] * 3

    def broken(a: int) -> None:
        raise ConnectionError("still down")

    with pytest.raises(ToolFailed, match=r"outcome is unknown.*still down"):
        await performer(later, 7, probe=broken).probe("k")


async def test_tools_are_not_asked_to_review() -> None:
    with pytest.raises(AssertionError):
        await performer(later).review("child", body(b""))
