"""A small mesh for the command's tests: a desk that orders from the better of two sellers."""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel

from mesh import Agent, Bid, Context, Decline, Priced, tool


class Need(BaseModel):
    item: str
    qty: int = 1


class Quote(BaseModel):
    seller: str
    total: Decimal


class Order(BaseModel):
    decision: str
    total: Decimal


@tool(effect="keyed")
def post(item: str, idempotency_key: str = "") -> Priced[str]:
    return Priced(f"posted {item}", usd="0.03")


desk = Agent(
    "desk",
    owner="team-office",
    purpose="Orders what is needed.",
    calls=["office.quote"],
    tools=[post],
)
ann = Agent("ann", owner="team-ann", purpose="Sells.")
bob = Agent("bob", owner="team-bob", purpose="Sells, too.")


def enough(quote: Quote) -> str | None:
    return "no seller named" if quote.seller == "nobody" else None


@desk.capability("office.order", budget={"usd": "2.00"})
async def order(ctx: Context, need: Need) -> Order:
    quote = await ctx.delegate("office.quote", need, Quote, mode="auction", check=enough)
    await ctx.spend(usd="0.02", because="compare the prices")
    if need.item == "gold":
        await ctx.spend(usd="100", because="gold is dear")
    if need.item == "later":
        await ctx.sleep("1h")
    await ctx.tool(post, need.item, reserve={"usd": "0.05"})
    await ctx.record_decision("buy", because=f"{quote.seller} is good enough", evidence=[quote])
    ctx.rate(confidence=0.9, sources=[quote])
    return Order(decision="buy", total=quote.total)


@ann.capability("office.quote")
async def quote_of_ann(ctx: Context, need: Need) -> Quote:
    if need.item == "ghost":
        raise ValueError("there are no ghosts")
    name = "nobody" if need.item == "chair" and ctx.attempt.number == 1 else "ann"
    return Quote(seller=name, total=Decimal("4.20") * need.qty)


@quote_of_ann.bid
def bid_of_ann(need: Need) -> Bid:
    return Bid(price_usd="0.10", eta_s=2, confidence=0.9)


@bob.capability("office.quote")
def quote_of_bob(need: Need) -> Quote:
    if need.item == "ghost":
        raise ValueError("no ghosts either")
    return Quote(seller="bob", total=Decimal(5) * need.qty)


@quote_of_bob.bid
def bid_of_bob(need: Need) -> Bid | Decline:
    if need.item == "table":
        return Decline(because="no tables")
    return Bid(price_usd="0.50", eta_s=9, confidence=0.5)


AGENTS = (desk, ann, bob)
TARGETS = tuple(f"tests.unit.cli.office:{agent.name}" for agent in AGENTS)
