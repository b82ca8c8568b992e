"""The agent of the guide, as an author writes it; every line of it must satisfy mypy --strict."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, assert_type

from mesh import (
    Agent,
    Artifact,
    Bid,
    Capability,
    Conflict,
    Context,
    Decline,
    Priced,
    Shared,
    Written,
    tool,
)
from tests.typing.models import Need, Quote, Verdict

agent = Agent(
    "sourcing-eu",
    owner="team-procurement",
    calls=["risk.*", "procurement.quote"],
    reads=["suppliers"],
    writes=["suppliers"],
)


@agent.capability("procurement.quote")
async def quote(ctx: Context, need: Need) -> Quote:
    await ctx.spend(usd="0.02", because="price list look-up")
    return Quote(supplier="ACME", total=need.qty * Decimal("4.20"))


@quote.bid
def bid(need: Need) -> Bid | None:
    return Bid(price_usd="0.05", eta_s=2, confidence=0.9) if need.qty < 1000 else None


@agent.capability("procurement.double", effect="pure")
def double(need: Need) -> Need:
    return Need(item=need.item, qty=need.qty * 2)


@double.bid
def pass_on(need: Need) -> Decline:
    return Decline(because="busy")


@tool(effect="keyed", name="erp.order", reserve={"usd": "0.10"})
def order(item: str, qty: int = 1, *, idempotency_key: str = "") -> int:
    return qty


async def think(prompt: str) -> Priced[str]:
    return Priced(prompt, usd="0.003", tokens=12)


def dear(prompt: str) -> Priced[float]:
    return Priced(1.0, usd="0.003")


async def fetch(url: str) -> bytes:
    return url.encode()


@agent.capability("procurement.buy", mode="auction", budget={"usd": "1", "hops": 9}, timeout="2h")
async def buy(ctx: Context, need: Need) -> Quote:
    assert_type(quote, Capability[Need, Quote])
    assert_type(double, Capability[Need, Need])
    assert_type(await ctx.delegate(quote, need), Quote)
    assert_type(await ctx.delegate(double, need, budget={"tokens": 5}, timeout=30), Need)
    verdict = await ctx.delegate("risk.screen", need, Verdict, mode="auction", check=check)
    assert_type(verdict, Verdict)
    quotes = await asyncio.gather(ctx.delegate(quote, need), ctx.delegate(quote, need))
    assert_type(quotes[1], Quote)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(ctx.delegate(quote, need, after=[verdict]))
    assert_type(task.result(), Quote)
    assert_type(await ctx.first(ctx.delegate(quote, need), ctx.delegate(quote, need)), Quote)
    async for one in ctx.as_completed(ctx.delegate(quote, need), ctx.delegate(quote, need)):
        assert_type(one, Quote)
    async with ctx.budget(usd="0.50"):
        assert_type(await ctx.tool(order, "desk"), int)
        assert_type(await ctx.tool(order, "desk", 2, effect="keyed", probe=order), int)
        assert_type(await ctx.tool(fetch, "x"), bytes)
        assert_type(await ctx.tool(dear, "x"), float)
        assert_type(await ctx.model(think, "x", reserve={"usd": "0.1"}), str)
    report = await ctx.artifact("report", "text", media_type="text/plain")
    assert_type(report, Artifact)
    assert_type(await ctx.load(report), bytes)
    await ctx.record_decision("buy", because="cheap", evidence=[quotes[0], report, "page 3"])
    ctx.rate(confidence=0.9, sources=[verdict])
    await ctx.sleep("1s")
    ctx.progress(f"{ctx.now():%H:%M} {ctx.random().randint(1, 6)} {ctx.attempt.number}")
    return quotes[0]


@agent.capability("procurement.rate")
async def rate(ctx: Context, need: Need) -> Quote:
    shared = ctx.shared
    assert_type(await shared.read("suppliers/acme"), Shared[Any])
    known = await shared.read("suppliers/acme", type=Quote, at_least=3)
    assert_type(known, Shared[Quote])
    assert_type(known.value, Quote | None)
    assert_type(await shared.read("suppliers/names", type=list[str]), Shared[list[str]])
    quote = known.value or Quote(supplier="ACME", total=Decimal(1))
    try:
        written = await shared.write(
            "suppliers/acme", quote, expected_version=known.version, because="x", objective="risk"
        )
        assert_type(written, Written)
    except Conflict as late:
        assert_type(late.version, int)
        assert_type(late.value, object)
        raise
    both = {"suppliers/acme": (quote, written.version), "suppliers/x": (None, 0)}
    assert_type(await shared.write_all(both), dict[str, Written])
    assert_type(await shared.update("suppliers/acme", dearer, type=Quote, retries=3), Written)
    assert_type(await shared.update("suppliers/n", lambda count: count + 1), Written)
    async for one in shared.watch("suppliers", type=Quote):
        assert_type(one, Shared[Quote])
    await ctx.record_decision("buy", because="rated", evidence=[known])
    return quote


def dearer(quote: Quote | None) -> Quote | None:
    return None if quote is None else Quote(supplier=quote.supplier, total=quote.total * 2)


def check(verdict: Verdict) -> str | None:
    return None if verdict.good else "not good"
