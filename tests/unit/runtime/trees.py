"""Handlers made of random trees of steps, for the replay tests.

What a step asks for depends on how much the handler has seen so far, over all of its paths: so a
replay in which two paths met in another order calls for something else, and does not go unnoticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from mesh.core import calls as c
from mesh.errors import TaskError
from mesh.runtime.agent import Agent
from mesh.runtime.context import Context
from tests.unit.runtime.fake_core import FakeCore, Journal, run

Kind = Literal["step", "tool", "seq", "gather", "group", "first", "completed", "spawn"]


class Tree(NamedTuple):
    """What a handler does: a step, or several trees one after the other or at once."""

    kind: Kind
    trees: tuple[Any, ...] = ()


class Asked(BaseModel):
    seen: int
    now: float
    chance: float


class Told(BaseModel):
    seen: list[str]


class Walk:
    """Mutable: one walk of one handler through its tree."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.seen: list[str] = []

    async def go(self, tree: Tree) -> str:
        return await getattr(self, f"_{tree.kind}")(tree.trees)  # type: ignore[no-any-return]  # all return str

    def _all(self, trees: tuple[Tree, ...]) -> list[Coroutine[Any, Any, str]]:
        return [self.go(tree) for tree in trees]

    async def _step(self, _: tuple[Tree, ...]) -> str:
        ctx = self.ctx
        chance = ctx.random().random()
        asked = Asked(seen=len(self.seen), now=ctx.now().timestamp(), chance=chance)
        try:
            told = await ctx.delegate("some.thing", asked, Told)
        except TaskError as problem:
            told = Told(seen=[type(problem).__name__])
        self.seen.extend(told.seen)
        return told.seen[0]

    async def _tool(self, _: tuple[Tree, ...]) -> str:
        found = await self.ctx.tool(_look_up, len(self.seen))
        self.seen.append(str(found))
        return str(found)

    async def _seq(self, trees: tuple[Tree, ...]) -> str:
        return ",".join([await self.go(tree) for tree in trees])

    async def _gather(self, trees: tuple[Tree, ...]) -> str:
        return "+".join(await asyncio.gather(*self._all(trees)))

    async def _group(self, trees: tuple[Tree, ...]) -> str:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in self._all(trees)]
        return "&".join(task.result() for task in tasks)

    async def _first(self, trees: tuple[Tree, ...]) -> str:
        return await self.ctx.first(*self._all(trees))

    async def _completed(self, trees: tuple[Tree, ...]) -> str:
        return "<".join([own async for own in self.ctx.as_completed(*self._all(trees))])

    async def _spawn(self, trees: tuple[Tree, ...]) -> str:
        tasks = [asyncio.create_task(one) for one in self._all(trees)]
        told = await self._step(())
        for task in reversed(tasks):
            told += await task
        return told


async def _look_up(number: int) -> int:
    await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
    return number * 2


def core_of(tree: Tree, journal: Journal | None = None) -> FakeCore:
    agent = Agent("walker", owner="team", calls=["*"], tools=["*"])

    @agent.capability("test.walk")
    async def handler(ctx: Context, asked: Asked) -> Told:
        own = Walk(ctx)
        return Told(seen=[await own.go(tree), *own.seen])

    return FakeCore(agent, handler, Asked(seen=0, now=0, chance=0), journal=journal)


def walk(tree: Tree, seed: int, journal: Journal | None = None) -> FakeCore:
    """Run a handler to its end; what the journal does not have is answered in a random order."""

    def world(step: str, call: c.Call) -> BaseModel:
        return Told(seen=[f"r{step}"])

    async def whole() -> FakeCore:
        return await core_of(tree, journal).run(Random(seed), world)

    return run(whole)


def prefix(journal: Journal, count: int) -> Journal:
    """The first `count` results in the order of the log."""
    ordered = sorted(journal.items(), key=lambda item: item[1].result.offset)
    return dict(ordered[:count])
