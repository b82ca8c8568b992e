"""The first agent: quotes a price, and bids for the work. Run it by `mesh run hello:agent`."""
# ruff: noqa: I001
# `models` is the module beside this one: the agent is run from its own folder.

from decimal import Decimal

from mesh import Agent, Bid, Context
from models import Need, Quote

agent = Agent("sourcing-eu", owner="team-procurement")


@agent.capability("procurement.quote")  # input and output types come from the signature
async def quote(ctx: Context, need: Need) -> Quote:
    """Look the price up and quote it."""
    await ctx.spend(usd="0.02", because="price list look-up")
    return Quote(supplier="ACME", total=need.qty * Decimal("4.20"))


@quote.bid  # optional; used when a caller or the card asks for an auction
def bid(need: Need) -> Bid | None:  # None: I pass; Decline(because=…) says why
    """Bid for orders of less than a thousand."""
    return Bid(price_usd="0.05", eta_s=2, confidence=0.9) if need.qty < 1000 else None
