"""Agents whose handlers take their time: they are killed at it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel

from bench.waiting import until
from mesh import Agent, Context

LEASE_MS = 2_000


class Wait(BaseModel):
    seconds: float


class Steps(BaseModel):
    """`hold` names a file: as long as it is there, the handler waits to be killed."""

    count: int
    hold: str


class Done(BaseModel):
    attempt: int


boss = Agent("boss", owner="bench", calls=["slow.*"])
slow = Agent("slow", owner="bench")
still = Agent("still", owner="bench")


@slow.capability("slow.wait", lease="2s", max_attempts=50)
async def wait(ctx: Context, given: Wait) -> Done:
    await asyncio.sleep(given.seconds)
    return Done(attempt=ctx.attempt.number)


@slow.capability("slow.steps", lease="2s", max_attempts=50)
async def steps(ctx: Context, given: Steps) -> Done:
    """Do many steps, then wait to be killed; the next attempt goes on where this one was."""
    for number in range(given.count):
        await ctx.record_decision(f"go on {number}", because="it is the next")
    await until(lambda: not Path(given.hold).exists(), 0.01)
    await ctx.record_decision("the end", because="all has been done")
    return Done(attempt=ctx.attempt.number)


@boss.capability("boss.wait", lease="2s", max_attempts=50)
async def have_wait(ctx: Context, given: Wait) -> Done:
    return await ctx.delegate(wait, given)


@still.capability("still.stay")
async def stay(ctx: Context, _: Wait) -> Done:
    return Done(attempt=ctx.attempt.number)
