"""A crew that is busy in short steps, in processes of their own, to be halted."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from mesh import Agent, Context, tool
from mesh.runtime.quantities import Budget

SHARE: Budget = {"usd": "0.001", "tokens": 10, "tool_calls": 1_000, "hops": 1, "attempts": 9}
STEP_S = 0.2
"""A call of the outside world takes so long: what a halt must not tear apart."""


class Job(BaseModel):
    hands: int
    steps: int


class Done(BaseModel):
    steps: int


@tool(effect="idempotent")
async def turn(number: int) -> int:
    await asyncio.sleep(STEP_S)
    return number


crew = Agent("crew", owner="team", calls=["crew.*"], tools=[turn])


@crew.capability("crew.lead", lease="5s")
async def lead(ctx: Context, job: Job) -> Done:
    one = Job(hands=1, steps=job.steps)
    every = [ctx.delegate("crew.hand", one, Done, budget=SHARE) for _ in range(job.hands)]
    done = await asyncio.gather(*every)
    return Done(steps=sum(own.steps for own in done))


@crew.capability("crew.hand", lease="5s")
async def hand(ctx: Context, job: Job) -> Done:
    for number in range(job.steps):
        await ctx.tool(turn, number)
    return Done(steps=job.steps)
