"""The desk after a change: it pays more for comparing, and decides before it posts."""

from __future__ import annotations

from mesh import Agent, Context
from tests.unit.cli.office import Need, Order, Quote, enough, post

desk = Agent("desk", owner="team-office", calls=["office.quote"], tools=[post])


@desk.capability("office.order")
async def order(ctx: Context, need: Need) -> Order:
    quote = await ctx.delegate("office.quote", need, Quote, mode="auction", check=enough)
    await ctx.spend(usd="0.02", because="compare the prices")
    await ctx.record_decision("buy", because=f"{quote.seller} is good enough", evidence=[quote])
    await ctx.tool(post, need.item, reserve={"usd": "0.05"})
    return Order(decision="buy", total=quote.total)
