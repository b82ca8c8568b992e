"""Suppliers: tells which mentions are one company, and keeps the register. Role: execution."""

from __future__ import annotations

from agents.procurement.capabilities import RESOLVE
from agents.procurement.domain.register import keyed
from agents.procurement.domain.resolution import resolve_suppliers
from agents.procurement.models import Resolution, ResolveRequest
from agents.procurement.shared import ALIASES, IDENTITIES, register_suppliers
from mesh import Agent, Context

agent = Agent(
    "procurement-suppliers",
    owner="team-supplier-register",
    purpose="Recognise one company under different spellings and numbers, with a confidence.",
    reads=[IDENTITIES, ALIASES],
    writes=[IDENTITIES, ALIASES],
)


@agent.capability(RESOLVE)
async def resolve(ctx: Context, request: ResolveRequest) -> Resolution:
    """Return the suppliers among the mentions; the confidence is that of the weakest link."""
    await ctx.spend(usd="0.01", because=f"compare {len(request.mentions)} mentions in pairs")
    resolution = resolve_suppliers(request.mentions, request.buyer)
    suppliers = keyed(resolution.suppliers)
    await register_suppliers(ctx, suppliers)
    weakest = min((supplier.confidence for supplier in resolution.suppliers), default=1)
    ctx.rate(
        confidence=float(weakest), sources=[f"{len(request.mentions)} mentions in the release"]
    )
    return Resolution(suppliers=suppliers, findings=resolution.findings)
