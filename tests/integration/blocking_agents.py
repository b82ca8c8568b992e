"""An agent that blocks the event loop where it runs in a process of its own, not in the test's."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from pydantic import BaseModel

from mesh import Agent, Context


class Number(BaseModel):
    n: int


class Sum(BaseModel):
    total: int
    note: str


BLOCKS = Path(sys.argv[0]).name == "remote.py"
agent = Agent("blocker", owner="team")


@agent.capability("block.first", lease="1500ms")
async def first(ctx: Context, number: Number) -> Sum:
    if BLOCKS:
        time.sleep(number.n)  # noqa: ASYNC251 - that is the point
    return Sum(total=number.n, note="held" if BLOCKS else "not held")


@agent.capability("block.never", lease="1500ms")
async def never(ctx: Context, number: Number) -> Sum:
    return Sum(total=number.n, note="")
