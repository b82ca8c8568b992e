"""The agents whose speed is measured: a lead that delegates, workers that answer at once."""

from __future__ import annotations

import asyncio
import time

from pydantic import BaseModel

from mesh import Agent, Bid, Context
from mesh.runtime.quantities import Budget

SHARE: Budget = {"usd": "0.000100", "tokens": 1, "tool_calls": 1, "hops": 1, "attempts": 1}


class Load(BaseModel):
    """How many tasks to delegate, how many at a time, how."""

    tasks: int
    in_flight: int
    mode: str = "direct"


class Took(BaseModel):
    """How long they took: all together, and one by one in microseconds."""

    seconds: float
    each_us: list[int]


class Question(BaseModel):
    n: int


class Answer(BaseModel):
    n: int


lead = Agent("lead", owner="bench", calls=["echo.*"])
worker = Agent("worker", owner="bench")
rival = Agent("rival", owner="bench")


@worker.capability("echo.answer", effect="pure")
async def answer(_: Context, asked: Question) -> Answer:
    return Answer(n=asked.n)


@answer.bid
def offer(_: Question) -> Bid:
    return Bid(eta_s=0.1, price_usd="0.00001")


@rival.capability("echo.answer", effect="pure")
async def answer_too(_: Context, asked: Question) -> Answer:
    return Answer(n=asked.n)


@answer_too.bid
def offer_too(_: Question) -> Bid:
    return Bid(eta_s=0.2, price_usd="0.00002")


@lead.capability("lead.ping", effect="pure")
async def ping(_: Context, asked: Question) -> Answer:
    return Answer(n=asked.n)


@lead.capability("lead.run", effect="pure", timeout="1h")
async def run(ctx: Context, load: Load) -> Took:
    """Delegate `load.tasks` tasks. Measures by this process's clock: no handler for real work."""
    each: list[int] = []

    async def one(number: int) -> None:
        begun = time.perf_counter_ns()
        got = await ctx.delegate(answer, Question(n=number), mode=load.mode, budget=SHARE)
        assert got.n == number
        each.append((time.perf_counter_ns() - begun) // 1_000)

    async def lane(first: int) -> None:
        for number in range(first, load.tasks, load.in_flight):
            await one(number)

    begun = time.perf_counter()
    await asyncio.gather(*(lane(first) for first in range(load.in_flight)))
    return Took(seconds=time.perf_counter() - begun, each_us=each[:MOST])


MOST = 10_000
"""Times that fit into one result."""


def _spare(number: int) -> Agent:
    agent = Agent(f"idle{number}", owner="bench")

    @agent.capability(f"idle.c{number}", effect="pure")
    async def stay(_: Context, asked: Question) -> Answer:
        return Answer(n=asked.n)

    return agent


spare0, spare1, spare2, spare3, spare4, spare5, spare6, spare7 = map(_spare, range(8))
