from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from mesh.errors import DefinitionError
from mesh.runtime.agent import Agent
from mesh.runtime.context import Context
from mesh.runtime.tools import tool


class Need(BaseModel):
    qty: int


async def handler(ctx: Context, need: Need) -> Need:
    return need


def plain(need: Need) -> Need:
    return need


@tool(effect="pure", name="erp.find")
def find() -> None: ...


def test_card_holds_the_scope() -> None:
    agent = Agent(
        "tester",
        owner="team",
        version="1.2",
        purpose="to test",
        calls=["a.b", "c.*"],
        reads=["stock/"],
        writes=["orders/"],
        tools=[find, "other"],
    )
    agent.capability("test.one")(handler)
    agent.capability("test.two", effect="pure", on_mismatch="restart")(plain)
    card = agent.card()
    assert (card.agent, card.owner, card.version, card.purpose) == (
        "tester",
        "team",
        "1.2",
        "to test",
    )
    assert (card.calls, card.reads, card.writes) == (("a.b", "c.*"), ("stock/",), ("orders/",))
    assert card.tools == ("erp.find", "other")
    assert [own.name for own in card.capabilities] == ["test.one", "test.two"]
    assert list(agent.capabilities) == ["test.one", "test.two"]
    assert (agent.name, agent.owner) == ("tester", "team")
    assert agent.capabilities["test.two"].plain
    assert agent.capabilities["test.two"].terms.restart
    assert repr(agent) == "Agent(tester 1.2, ['test.one', 'test.two'])"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "owner must not be empty"),
        ({"owner": " "}, "owner must not be empty"),
        ({"owner": "x", "version": "1.0-beta"}, "version must be integers"),
        ({"owner": "x", "calls": ["a"]}, "calls must be domain.verb"),
        ({"owner": "x", "calls": "a.b"}, r"write \['a.b'\]"),
        ({"owner": "x", "reads": [7]}, "must be a list of names"),
        ({"owner": "x", "writes": [""]}, "no prefix of keys"),
        ({"owner": "x", "reads": ["a//b"]}, "'a//b' is no prefix of keys; write `\\*`, or segm"),
        ({"owner": "x", "reads": "a"}, "must be a list"),
        ({"owner": "x", "writes": ["a*"]}, "no prefix"),
        ({"owner": "x", "tool": []}, "no argument tool; did you mean tools"),
        ({"owner": "x", "zzz": []}, "no argument zzz; known are owner"),
        ({"owner": "x", "name": "Tester"}, "lower case"),
        ({"owner": "x", "name": "te_st"}, "lower case"),
    ],
)
def test_agents_are_checked_at_once(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=words) as problem:
        Agent(**{"name": "tester", **fields})
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "test"}, "domain.verb"),
        ({"name": "Test.it"}, "domain.verb"),
        ({"effect": "twice"}, "effect 'twice' is none of pure"),
        ({"mode": "named"}, "mode: must be direct or auction"),
        ({"budget": {"usd": 0.5}}, "budget.usd"),
        ({"timeout": "soon"}, "timeout"),
        ({"lease": 0}, "lease"),
        ({"lease": "1400ms"}, "a lease of 1400 ms cannot be held"),
        ({"max_attempts": 0}, "max_attempts must be above 0"),
        ({"on_mismatch": "ignore"}, "on_mismatch: must be park or restart"),
        ({"on_mismatch": "restart", "effect": "irreversible"}, "would do it twice"),
        ({"efect": "pure"}, "no argument efect; did you mean effect"),
    ],
)
def test_capabilities_are_checked_at_once(options: dict[str, Any], words: str) -> None:
    agent = Agent("tester", owner="team")
    with pytest.raises(DefinitionError, match=words) as problem:
        agent.capability(**{"name": "test.it", **options})(handler)
    assert "\n" not in str(problem.value)
    assert agent.capabilities == {}


def test_names_are_declared_once() -> None:
    agent = Agent("tester", owner="team")
    agent.capability("test.it")(handler)
    with pytest.raises(DefinitionError, match="declared twice"):
        agent.capability("test.it")


@pytest.mark.parametrize("effect", ["keyed", "compensable", "irreversible"])
def test_plain_handlers_are_repeatable(effect: str) -> None:
    agent = Agent("tester", owner="team")
    with pytest.raises(DefinitionError, match="async def"):
        agent.capability("test.it", effect=effect)(plain)


def test_type_without_a_schema_is_a_definition_error() -> None:
    class Odd(BaseModel):
        model_config = {"arbitrary_types_allowed": True}
        call: Callable[[], int]

    agent = Agent("tester", owner="team")

    async def odd(ctx: Context, need: Need) -> Odd:
        raise AssertionError

    odd.__annotations__["return"] = Odd
    with pytest.raises(DefinitionError, match="no JSON Schema"):
        agent.capability("test.it")(odd)


def test_types_may_be_local_to_a_function() -> None:
    class Local(BaseModel):
        word: str

    agent = Agent("tester", owner="team")

    @agent.capability("test.it")
    async def local(ctx: Context, given: Local) -> Local:
        return given

    assert local.input_type is Local
