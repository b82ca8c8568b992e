"""Finance: exact sums, budgets, limits, currencies. Role: execution."""

from __future__ import annotations

from agents.procurement.capabilities import AUDIT
from agents.procurement.domain.approvals import lowered
from agents.procurement.domain.finances import audit, totals
from agents.procurement.models import AuditRequest, FinanceReview, Objective
from agents.procurement.shared import THRESHOLDS, propose
from mesh import Agent, Context

agent = Agent(
    "procurement-finance",
    owner="team-finance",
    purpose="Add up exactly, in each currency apart, and hold the sums to budgets and limits.",
    reads=[THRESHOLDS],
    writes=[THRESHOLDS],
)


@agent.capability(AUDIT)
async def check_money(ctx: Context, request: AuditRequest) -> FinanceReview:
    """Return the sums by stage and currency, and what does not add up."""
    sums = totals(request.dossier)
    await ctx.spend(usd="0.01", because=f"add up {sum(len(entry.parts) for entry in sums)} amounts")
    findings = tuple(audit(request.dossier, request.limits))
    await propose(ctx, request.dossier, lowered(request.dossier, Objective.COST, findings))
    ctx.rate(confidence=1.0, sources=["exact decimals of this release"])
    return FinanceReview(totals=sums, findings=findings)
