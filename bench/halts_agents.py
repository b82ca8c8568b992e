"""A crew that is busy in short steps until it is told to stop: what is halted, and lifted."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel

from mesh import Agent, Context, tool
from mesh.runtime.quantities import Budget

SHARE: Budget = {"usd": "0.001", "tokens": 10, "tool_calls": 1_500, "hops": 1, "attempts": 1}
TURN_S = 0.5
"""A call of the outside world takes at least so long: what a halt must not tear apart. Each hand
has a pace of its own, up to three times that, so that steps begin at any time, not all at once."""
GOLDEN = 0.618


class Shift(BaseModel):
    hands: int
    number: int = 0
    until: str


class Done(BaseModel):
    hands: int


@tool(effect="idempotent")
async def turn(number: int, until: str) -> bool:
    """Take a while, and tell whether the shift goes on: until a file of that name is there."""
    await asyncio.sleep(TURN_S * (1 + 2 * (number * GOLDEN % 1)))
    return not Path(until).exists()  # noqa: ASYNC240 - a look at a local folder


crew = Agent("crew", owner="bench", calls=["crew.*"], tools=[turn])


@crew.capability("crew.lead", timeout="30m")
async def lead(ctx: Context, shift: Shift) -> Done:
    """Have so many hands at work at the same time."""
    ones = [Shift(hands=1, number=own, until=shift.until) for own in range(shift.hands)]
    every = [ctx.delegate("crew.hand", one, Done, budget=SHARE) for one in ones]
    done = await asyncio.gather(*every)
    return Done(hands=sum(own.hands for own in done))


@crew.capability("crew.hand", timeout="30m")
async def hand(ctx: Context, shift: Shift) -> Done:
    """Work in steps until the shift is over."""
    while await ctx.tool(turn, shift.number, shift.until):
        pass
    return Done(hands=1)
