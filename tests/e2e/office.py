"""Agents for the command's end-to-end tests; copied into the folder of a test."""

import os
import time
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel

from mesh import Agent, Bid, Context, tool


class Need(BaseModel):
    item: str
    qty: int = 1


class Quote(BaseModel):
    seller: str
    total: Decimal


class Order(BaseModel):
    decision: str
    total: Decimal


class Steps(BaseModel):
    done: list[str]


@tool(effect="keyed")
def effect(name: str, idempotency_key: str = "") -> str:
    """Note the key in a file: what a target that dedupes by key would see."""
    with Path(os.environ["OFFICE_LEDGER"]).open("a", encoding="utf-8") as ledger:
        ledger.write(f"{name} {idempotency_key}\n")
    return name


@tool(effect="pure")
def hold(what: str) -> str:
    """Wait as long as a file is there."""
    while Path(os.environ["OFFICE_HOLD"]).exists():
        time.sleep(0.05)
    return what


desk = Agent("desk", owner="team-office", calls=["office.quote"], tools=[effect, hold])
ann = Agent("ann", owner="team-ann")
bob = Agent("bob", owner="team-bob")


@desk.capability("office.order")
async def order(ctx: Context, need: Need) -> Order:
    quote = await ctx.delegate("office.quote", need, Quote, mode="auction")
    await ctx.spend(usd="0.02", because="compare the prices")
    if need.item == "later":
        await ctx.sleep("1h")
    await ctx.record_decision("buy", because=f"{quote.seller} is good enough", evidence=[quote])
    return Order(decision="buy", total=quote.total)


@desk.capability("office.steps", lease="2s")
async def steps(ctx: Context, need: Need) -> Steps:
    """Five priced steps; before the fourth it waits as long as a file says."""
    done = []
    for number in range(5):
        if number == 3:
            await ctx.tool(hold, "hold")
        await ctx.spend(usd="0.01", because=f"step {number}")
        done.append(await ctx.tool(effect, f"step-{number}"))
    return Steps(done=done)


@ann.capability("office.quote")
async def quote_of_ann(ctx: Context, need: Need) -> Quote:
    return Quote(seller="ann", total=Decimal("4.20") * need.qty)


@quote_of_ann.bid
def bid_of_ann(need: Need) -> Bid:
    return Bid(price_usd="0.10", eta_s=2, confidence=0.9)


@bob.capability("office.quote")
def quote_of_bob(need: Need) -> Quote:
    return Quote(seller="bob", total=Decimal(5) * need.qty)


@quote_of_bob.bid
def bid_of_bob(need: Need) -> Bid:
    return Bid(price_usd="0.50", eta_s=9, confidence=0.5)
