"""Assessor: weighs what others found, and found nothing itself. Role: evaluation."""

from __future__ import annotations

from agents.procurement.capabilities import ASSESS
from agents.procurement.documents import load
from agents.procurement.domain.verdict import assess
from agents.procurement.models import Assessment, AssessRequest
from mesh import Agent, Context

agent = Agent(
    "procurement-assessor",
    owner="team-integrity-board",
    purpose="Decide clear, review or incomplete by what holds against the release.",
)


@agent.capability(ASSESS)
async def weigh(ctx: Context, request: AssessRequest) -> Assessment:
    """Return the decision; findings whose evidence does not stand in the release are dismissed."""
    await ctx.spend(usd="0.01", because=f"weigh {len(request.findings)} findings")
    assessment = assess(
        load(request.release),
        findings=request.findings,
        defects=request.defects,
        missing=request.missing,
        gaps=request.gaps,
        needs=request.needs,
    )
    ctx.rate(confidence=float(assessment.confidence), sources=["this release"])
    return assessment
