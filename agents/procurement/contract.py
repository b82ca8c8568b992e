"""Contracts: holds tender, awards and contracts against each other. Role: execution.

Whether two names are one company it asks its peer directly, not through the lead.
"""

from __future__ import annotations

from agents.procurement.capabilities import RESOLVE, VERIFY
from agents.procurement.domain.checks import each_mention_once
from agents.procurement.domain.contracts import (
    parties_to_compare,
    review_contracts,
    review_parties,
)
from agents.procurement.models import ContractReview, Resolution, ResolveRequest, VerifyRequest
from mesh import Agent, Context

agent = Agent(
    "procurement-contract",
    owner="team-legal",
    purpose="Find what contradicts what, from the tender through the award to the contract.",
    calls=[RESOLVE],
)


@agent.capability(VERIFY)
async def verify(ctx: Context, request: VerifyRequest) -> ContractReview:
    """Return the contradictions in dates, amounts, statuses and parties."""
    dossier = request.dossier
    mentions = parties_to_compare(dossier)
    await ctx.spend(usd="0.01", because=f"hold {len(dossier.contracts)} contracts to their awards")
    resolution = Resolution(suppliers=())
    if mentions:
        resolution = await ctx.delegate(
            RESOLVE,
            ResolveRequest(mentions=mentions, buyer=dossier.buyer),
            Resolution,
            check=each_mention_once(mentions),
        )
    findings = (
        *review_contracts(dossier),
        *review_parties(dossier, resolution.suppliers),
        *resolution.findings,
    )
    certain = min((supplier.confidence for supplier in resolution.suppliers), default=1)
    ctx.rate(confidence=float(certain), sources=["this release", RESOLVE])
    return ContractReview(
        covered=tuple(contract.at for contract in dossier.contracts),
        suppliers=resolution.suppliers,
        findings=findings,
    )
