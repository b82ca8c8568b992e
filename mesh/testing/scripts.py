"""Stand-ins for absent peers: an agent that answers from a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from mesh.errors import UsageError
from mesh.runtime.agent import Agent
from mesh.runtime.context import Context

Answer = BaseModel | Exception | Callable[[dict[str, Any]], BaseModel]
"""A result; an exception to raise; or a function of the input (as JSON) that returns a result."""

Model = TypeVar("Model", bound=BaseModel)


class Anything(BaseModel):
    """Any JSON object."""

    model_config = ConfigDict(extra="allow")


def scripted(capability: str, answers: Sequence[Answer]) -> tuple[Agent, list[dict[str, Any]]]:
    """Return an agent that gives these answers in turn, and the list of what it is asked.

    Raises:
        UsageError: There is no answer.
    """
    if not answers:
        raise UsageError(f"script {capability}: give at least one answer")
    asked: list[dict[str, Any]] = []
    agent = Agent(f"script-{capability.replace('.', '-')}", owner="test")

    @agent.capability(capability)
    async def answer(ctx: Context, given: Anything) -> Anything:
        asked.append(given.model_dump(mode="json"))
        chosen = answers[min(len(asked), len(answers)) - 1]
        if isinstance(chosen, Exception):
            raise chosen
        result = chosen if isinstance(chosen, BaseModel) else chosen(asked[-1])
        return Anything.model_validate(result.model_dump(mode="json"))

    return agent, asked
