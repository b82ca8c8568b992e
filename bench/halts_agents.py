"""A crew that is busy in short steps until it is told to stop: what is halted, and lifted."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel

from mesh import Agent, Context, tool
from mesh.runtime.quantities import Budget

SHARE: Budget = {"usd": "0.001", "tokens": 10, "tool_calls": 1_500, "hops": 1, "attempts": 1}
TURN_S = 1.0
"""A call of the outside world takes so long: what a halt must not tear apart."""


class Shift(BaseModel):
    hands: int
    until: str


class Done(BaseModel):
    hands: int


@tool(effect="idempotent")
async def turn(until: str) -> bool:
    """Take a while, and tell whether the shift goes on: until a file of that name is there."""
    await asyncio.sleep(TURN_S)
    return not Path(until).exists()  # noqa: ASYNC240 - a look at a local folder


crew = Agent("crew", owner="bench", calls=["crew.*"], tools=[turn])


@crew.capability("crew.lead", timeout="30m")
async def lead(ctx: Context, shift: Shift) -> Done:
    """Have so many hands at work at the same time."""
    one = shift.model_copy(update={"hands": 1})
    every = [ctx.delegate("crew.hand", one, Done, budget=SHARE) for _ in range(shift.hands)]
    done = await asyncio.gather(*every)
    return Done(hands=sum(own.hands for own in done))


@crew.capability("crew.hand", timeout="30m")
async def hand(ctx: Context, shift: Shift) -> Done:
    """Work in steps until the shift is over."""
    while await ctx.tool(turn, shift.until):
        pass
    return Done(hands=1)
