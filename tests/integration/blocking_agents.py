"""An agent that blocks the event loop, once."""

from __future__ import annotations

import time

from pydantic import BaseModel

from mesh import Agent, Context


class Number(BaseModel):
    n: int


class Sum(BaseModel):
    total: int
    note: str


agent = Agent("blocker", owner="team")


@agent.capability("block.first", lease="1500ms")
async def first(ctx: Context, number: Number) -> Sum:
    if ctx.attempt.number == 1:
        time.sleep(number.n)  # noqa: ASYNC251 - that is the point
        return Sum(total=number.n, note="first attempt")
    return Sum(total=number.n, note="second attempt by second")


@agent.capability("block.never", lease="1500ms")
async def never(ctx: Context, number: Number) -> Sum:
    return Sum(total=number.n, note="")
