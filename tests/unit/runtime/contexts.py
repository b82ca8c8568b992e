"""A handler under test, with a context that talks to a fake core."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from mesh.errors import MeshError
from mesh.runtime.agent import Agent
from mesh.runtime.context import Context
from tests.unit.runtime.fake_core import FakeCore


class Word(BaseModel):
    text: str


class Number(BaseModel):
    value: int


Work = Callable[[Context], Awaitable[object]]

other = Agent("other", owner="team")


@other.capability("other.count", mode="auction", budget={"usd": "0.10"})
async def count(ctx: Context, word: Word) -> Number:
    return Number(value=len(word.text))


def core_for(
    work: Work,
    tools: tuple[str, ...] = ("*",),
    reads: tuple[str, ...] = (),
    writes: tuple[str, ...] = (),
    **options: Any,
) -> FakeCore:
    agent = Agent("tester", owner="team", calls=["*"], tools=tools, reads=reads, writes=writes)

    @agent.capability("test.it")
    async def handler(ctx: Context, word: Word) -> Word:
        return Word(text=str(await work(ctx)))

    return FakeCore(agent, handler, Word(text="go"), **options)


async def begun(work: Work, **options: Any) -> FakeCore:
    core = core_for(work, **options)
    core.start()
    await core.settle()
    return core


async def raised(work: Work, **options: Any) -> MeshError:
    """Return the mesh's own exception that the handler got."""
    found: list[MeshError] = []

    async def watched(ctx: Context) -> object:
        try:
            return await work(ctx)
        except MeshError as problem:
            found.append(problem)
            raise

    core = await begun(watched, **options)
    assert core.finished is not None
    assert core.calls == {}
    return found[0]
