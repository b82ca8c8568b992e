"""Sourcing: asks suppliers for quotes until one meets the target. Over-eager, and so by intent.

Each turn looks reasonable: the best price is a little above the target, prices move, so everybody
is asked once more, and each answer is paid for. What is missing is a bound. It runs only where
`--overeager` asks for it, to show how the mesh's watchman finds what no single step gives away.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

from agents.procurement.capabilities import SOURCE
from agents.procurement.models import Need, Quote, Sourced
from mesh import Agent, Context, Priced, tool

PRICES = {
    "Alder Office Supplies": Decimal("84.90"),
    "Birch & Sons": Decimal("82.50"),
    "Cedar Trading": Decimal("86.00"),
}
"""What each supplier asks for one, today as yesterday."""
ANSWER_S = 0.1
"""A supplier takes its time."""
QUOTE_USD = "0.02"
"""The market place charges for each quote."""


@tool(effect="idempotent", reserve={"usd": QUOTE_USD})
async def ask_for_quote(supplier: str, item: str, currency: str) -> Priced[Quote]:
    """Ask one supplier; every answer is paid for."""
    await asyncio.sleep(ANSWER_S)
    quote = Quote(
        supplier=supplier,
        unit_price=PRICES[supplier],
        currency=currency,
        received_at=datetime.now(UTC).isoformat(),
    )
    return Priced(quote, usd=QUOTE_USD)


agent = Agent(
    "procurement-sourcing",
    owner="team-purchasing",
    purpose="Find the best quote for an item, and ask again while none is good enough.",
    tools=[ask_for_quote],
)


@agent.capability(SOURCE, budget={"usd": "5.00"}, timeout="10m")
async def source(ctx: Context, need: Need) -> Sourced:
    """Return the first quote that meets the target, however often everybody must be asked."""
    rounds = 0
    while True:
        rounds += 1
        asked = [ctx.tool(ask_for_quote, name, need.item, need.currency) for name in PRICES]
        best = min(await asyncio.gather(*asked), key=lambda quote: quote.unit_price)
        if best.unit_price <= need.target_price:
            return Sourced(quote=best, rounds=rounds)
        await ctx.record_decision(
            "ask everybody again",
            because=f"{best.supplier} asks {best.unit_price}, the target is {need.target_price}, "
            "and prices move",
        )
