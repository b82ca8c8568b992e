"""The fleet that is killed: a plan, its two parts, the work of each part, and its verification.

What a workflow does follows from its number alone, so that the run can be checked against it:
`effects_of` says which effects must have been applied when it completed. Everything that a real
handler does occurs: spending, keyed tools that cost money, auctions, checks that refuse the first
result, sleeps short and long, decisions, children in parallel.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator

from pydantic import BaseModel

from bench.target import call
from mesh import Agent, Bid, Context, Priced, tool
from mesh.runtime.quantities import Budget

SOCKET = "CHAOS_TARGET"
"""The environment variable that names the target's socket."""
FEE_MICRO_USD = 100
FEE = "0.000100"
LEASE = "2s"
ATTEMPTS = 12
"""More than any task needs: a task that is killed often must still be seen to end well."""
PARTS, WORKS = 2, 2
CAPABILITIES = ("plan.make", "part.run", "work.do", "work.verify")

WHOLE: Budget = {"usd": "0.5", "tokens": 10_000, "tool_calls": 200, "hops": 200, "attempts": 500}
SHARE: Budget = {"usd": "0.05", "tokens": 1_000, "tool_calls": 40, "hops": 20, "attempts": 100}
PIECE: Budget = {"usd": "0.01", "tokens": 100, "tool_calls": 15, "hops": 3, "attempts": 30}
LOOK: Budget = {"usd": "0.000001", "tokens": 1, "tool_calls": 1, "hops": 1, "attempts": 12}


class Order(BaseModel):
    """`path` names the place in the tree: `17`, `17/1`, `17/1/0`."""

    number: int
    path: str


class Report(BaseModel):
    """What came of it, and in which attempt."""

    receipts: int
    attempt: int


class Verdict(BaseModel):
    sound: bool


@tool(effect="keyed", reserve={"usd": FEE})
async def deliver(
    what: str, workflow: str, pause_s: float, idempotency_key: str = ""
) -> Priced[int]:
    """Have the target do something, for money."""
    wanted = {
        "key": idempotency_key,
        "what": what,
        "workflow": workflow,
        "micro_usd": FEE_MICRO_USD,
        "pause_s": pause_s,
    }
    answer = await call(os.environ[SOCKET], wanted)
    return Priced(answer["receipt"], usd=FEE)


def refuses_first(number: int) -> bool:
    """Tell whether the plan refuses the first result of its first part."""
    return number % 5 == 0


def sleeps_long(number: int) -> bool:
    """Tell whether the parts sleep so long that they are suspended."""
    return number % 7 == 0


def effects_of(number: int) -> Iterator[str]:
    """Yield every effect that a completed workflow has had."""
    yield f"{number}:plan"
    for part in range(PARTS):
        yield f"{number}/{part}:part"
        for work in range(WORKS):
            yield f"{number}/{part}/{work}:work"


def _second_try(report: Report) -> str | None:
    return "a first attempt is not trusted" if report.attempt == 1 else None


planner = Agent("planner", owner="bench", calls=["part.*"], tools=[deliver])
manager = Agent("manager", owner="bench", calls=["work.*"], tools=[deliver])
worker = Agent("worker", owner="bench", calls=["work.verify"], tools=[deliver])
rival = Agent("rival", owner="bench", calls=["work.verify"], tools=[deliver])
verifier = Agent("verifier", owner="bench")


@verifier.capability("work.verify", effect="pure", lease=LEASE, max_attempts=ATTEMPTS)
def verify(order: Order) -> Verdict:
    """Look at a piece of work: a plain function, so in a thread."""
    return Verdict(sound=order.path.count("/") == 2)


async def _do(ctx: Context, order: Order) -> Report:
    await ctx.spend(usd="0.000200", because="the work itself")
    await ctx.sleep(f"{100 + order.number % 5 * 80}ms")
    await ctx.tool(deliver, f"{order.path}:work", ctx.workflow, 0.1)
    await ctx.delegate(verify, order, budget=LOOK)
    return Report(receipts=1, attempt=ctx.attempt.number)


Handler = Callable[[Context, Order], Awaitable[Report]]


@worker.capability("work.do", effect="keyed", lease=LEASE, max_attempts=ATTEMPTS)
async def do(ctx: Context, order: Order) -> Report:
    return await _do(ctx, order)


@do.bid
def offer(order: Order) -> Bid:
    return Bid(eta_s=1, price_usd=f"0.000{order.number % 9 + 1}")


@rival.capability("work.do", effect="keyed", lease=LEASE, max_attempts=ATTEMPTS)
async def do_too(ctx: Context, order: Order) -> Report:
    return await _do(ctx, order)


@do_too.bid
def offer_too(order: Order) -> Bid:
    return Bid(eta_s=1, price_usd=f"0.000{order.number % 7 + 1}", confidence=0.6)


@manager.capability("part.run", effect="keyed", lease=LEASE, max_attempts=ATTEMPTS, timeout="20m")
async def run(ctx: Context, order: Order) -> Report:
    await ctx.tool(deliver, f"{order.path}:part", ctx.workflow, 0.05)
    if sleeps_long(order.number):
        await ctx.sleep("4s")
    pieces = [Order(number=order.number, path=f"{order.path}/{n}") for n in range(WORKS)]
    first, second = await asyncio.gather(
        ctx.delegate(do, pieces[0], mode="auction", budget=PIECE),
        ctx.delegate(do, pieces[1], budget=PIECE),
    )
    await ctx.record_decision("accept both", because="both are there")
    return Report(receipts=first.receipts + second.receipts + 1, attempt=ctx.attempt.number)


@planner.capability("plan.make", effect="keyed", lease=LEASE, max_attempts=ATTEMPTS, timeout="20m")
async def make(ctx: Context, order: Order) -> Report:
    await ctx.spend(usd="0.001", tokens=10, because="planning")
    parts = [Order(number=order.number, path=f"{order.path}/{n}") for n in range(PARTS)]
    check = _second_try if refuses_first(order.number) else None
    first, second = await asyncio.gather(
        ctx.delegate(run, parts[0], budget=SHARE, check=check),
        ctx.delegate(run, parts[1], budget=SHARE),
    )
    await ctx.tool(deliver, f"{order.path}:plan", ctx.workflow, 0.05)
    return Report(receipts=first.receipts + second.receipts + 1, attempt=ctx.attempt.number)
