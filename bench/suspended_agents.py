"""Agents that sleep: what they hold meanwhile is measured."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from mesh import Agent, Context


class Nap(BaseModel):
    number: int
    seconds: int


class Woke(BaseModel):
    number: int


sleeper = Agent("sleeper", owner="bench")


@sleeper.capability("nap.take", effect="pure", timeout="2h")
async def take(ctx: Context, nap: Nap) -> Woke:
    """Sleep, as a handler should: nothing is held meanwhile."""
    await ctx.sleep(f"{nap.seconds}s")
    return Woke(number=nap.number)


@sleeper.capability("nap.work", effect="pure")
async def work(_: Context, nap: Nap) -> Woke:
    """Be busy, and hold a slot."""
    await asyncio.sleep(nap.seconds)
    return Woke(number=nap.number)
