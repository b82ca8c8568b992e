"""Lead: a review begins and ends here. Roles: planning, evaluation of what comes back.

Plans from what the release contains, has it read, looked into and weighed by others, takes no
result that does not hold, and answers for the decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from textwrap import shorten

from agents.procurement.capabilities import ASSESS, INVESTIGATE, NORMALISE, REVIEW
from agents.procurement.documents import JsonObject, load
from agents.procurement.domain import checks
from agents.procurement.domain.approvals import raised
from agents.procurement.domain.planning import Plan, make_plan
from agents.procurement.dossier import Award, Dossier
from agents.procurement.models import (
    Assessment,
    AssessRequest,
    Decision,
    Diligence,
    Gap,
    InvestigateRequest,
    NormaliseRequest,
    Review,
    ReviewRequest,
)
from agents.procurement.shared import EXPOSURE, THRESHOLDS, add_exposure, propose, refer
from mesh import Agent, Context, TaskError

agent = Agent(
    "procurement-lead",
    owner="team-procurement-oversight",
    purpose="Review public-procurement releases: clear, review or incomplete, with the reasons.",
    calls=[ASSESS, INVESTIGATE, NORMALISE],
    reads=[EXPOSURE, THRESHOLDS],
    writes=[EXPOSURE, THRESHOLDS],
)

PATIENCE = "8m"
"""For the investigation: time is left to say what could not be found out."""
MAX_EVIDENCE = 20
"""Places recorded with one decision; the review itself names all."""
MAX_WORDS = 1_000
"""Characters of a recorded reason; the review itself gives all reasons in full."""


@agent.capability(REVIEW)
async def review(ctx: Context, request: ReviewRequest) -> Review:
    """Return the decision about one release, with all findings and what they rest on."""
    document = load(request.release)
    dossier = await ctx.delegate(
        NORMALISE,
        NormaliseRequest(release=request.release),
        Dossier,
        check=checks.dossier_stands(document),
    )
    plan = make_plan(dossier, request.reference)
    await ctx.spend(usd="0.01", because=f"plan the review of {dossier.ocid or 'a release'}")
    await ctx.record_decision(
        f"plan: {plan.told()}",
        because=f"the release has reached the stage {dossier.stage}",
        evidence=[dossier, *_fragments(plan.evidence)],
    )
    found = await _investigate(ctx, request, document, dossier, plan)
    asked = AssessRequest(
        release=request.release,
        needs=dossier.needs,
        missing=dossier.missing,
        defects=dossier.findings,
        findings=found.findings,
        gaps=found.gaps,
    )
    check = checks.verdict_follows(document, asked)
    assessment = await ctx.delegate(ASSESS, asked, Assessment, check=check)
    reasons = assessment.reasons
    await ctx.record_decision(
        assessment.decision.value,
        because=shorten(" ".join(reason.because for reason in reasons), MAX_WORDS),
        evidence=[assessment, *_fragments(at for reason in reasons for at in reason.evidence)],
    )
    referred: tuple[Award, ...] = ()
    if assessment.decision is Decision.CLEAR:
        referred = await _recommend(ctx, dossier, found)
    ctx.rate(confidence=float(assessment.confidence), sources=[dossier, assessment])
    return Review(
        ocid=dossier.ocid,
        source=request.source,
        decision=assessment.decision,
        reasons=reasons,
        findings=assessment.findings,
        missing=dossier.missing,
        suppliers=found.suppliers,
        totals=found.finance.totals if found.finance else (),
        screened_by=tuple(screening.agent for screening in found.screenings),
        steps=plan.steps,
        left_out=plan.left_out,
        gaps=found.gaps,
        referred=tuple(award.at for award in referred),
        confidence=assessment.confidence,
    )


async def _recommend(ctx: Context, dossier: Dossier, found: Diligence) -> tuple[Award, ...]:
    """Recommend the awards of a sound release; return those of which a person is asked first."""
    referred = await refer(ctx, dossier)
    await asyncio.gather(
        add_exposure(ctx, dossier, found.suppliers), propose(ctx, dossier, raised(dossier))
    )
    return referred


async def _investigate(
    ctx: Context, request: ReviewRequest, document: JsonObject, dossier: Dossier, plan: Plan
) -> Diligence:
    if not plan.steps:
        return Diligence()
    asked = InvestigateRequest(
        release=request.release,
        dossier=dossier,
        steps=plan.steps,
        reference=request.reference,
        policy=request.policy,
    )
    check = checks.plan_followed(document, plan.steps)
    try:
        return await ctx.delegate(
            INVESTIGATE, asked, Diligence, after=[dossier], timeout=PATIENCE, check=check
        )
    except TaskError as error:
        return Diligence(gaps=tuple(Gap(step=step, because=error.reason) for step in plan.steps))


def _fragments(pointers: Iterable[str]) -> list[str]:
    """Return pointers as URI fragments (RFC 6901, section 6): "" would be no word, "#" is."""
    return [f"#{pointer}" for pointer in dict.fromkeys(pointers)][:MAX_EVIDENCE]
