"""Due diligence: supervises the specialists on one release. Roles: planning, evaluation.

The lead's worker and the specialists' supervisor. Parts that do not need each other run together.
The screen is put out to auction; the rival is then asked by name for what the winner's method
cannot see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agents.procurement.capabilities import (
    AUDIT,
    INVESTIGATE,
    RESOLVE,
    RETRIEVE,
    SCREEN,
    VERIFY,
)
from agents.procurement.documents import JsonObject, load
from agents.procurement.domain import checks
from agents.procurement.domain.approvals import lowered
from agents.procurement.domain.contracts import parties_to_compare
from agents.procurement.domain.opinions import bring_together, second_opinion
from agents.procurement.models import (
    AuditRequest,
    Comparables,
    ContractReview,
    Diligence,
    FinanceReview,
    Gap,
    InvestigateRequest,
    Objective,
    Resolution,
    ResolveRequest,
    RetrieveRequest,
    Screening,
    ScreenRequest,
    Step,
    VerifyRequest,
)
from agents.procurement.shared import THRESHOLDS, propose
from mesh import Agent, Context, TaskError

agent = Agent(
    "procurement-diligence",
    owner="team-integrity",
    purpose="Have one release looked into by specialists, and take no result that skips a part.",
    calls=[AUDIT, RESOLVE, RETRIEVE, SCREEN, VERIFY],
    reads=[THRESHOLDS],
    writes=[THRESHOLDS],
)

T = TypeVar("T")

PATIENCE = "2m"
"""For each specialist. Three in a row still end before the lead's patience with all of it does."""


@agent.capability(INVESTIGATE)
async def investigate(ctx: Context, request: InvestigateRequest) -> Diligence:
    """Return what the specialists found; a step that failed is a gap, not the end of the case."""
    document = load(request.release)
    found = bring_together(
        *await asyncio.gather(
            _or_gap(Step.SUPPLIERS, lambda: _suppliers(ctx, request)),
            _or_gap(Step.SCREEN, lambda: _screen(ctx, request, document)),
            _or_gap(Step.CONTRACTS, lambda: _contracts(ctx, request, document)),
            _or_gap(Step.FINANCE, lambda: _finance(ctx, request, document)),
        )
    )
    dossier = request.dossier
    await propose(ctx, dossier, lowered(dossier, Objective.RISK, found.findings))
    done = len(request.steps) - len(found.gaps)
    ctx.rate(
        confidence=round(done / max(len(request.steps), 1), 2),
        sources=[
            f"{screening.agent}: attempt {screening.attempt}" for screening in found.screenings
        ],
    )
    return found


async def _or_gap(step: Step, work: Callable[[], Awaitable[T]]) -> T | Gap:
    """Do the work, begun here and not before: a path may be cancelled before it runs at all."""
    try:
        return await work()
    except TaskError as error:
        return Gap(step=step, because=error.reason)


async def _suppliers(ctx: Context, request: InvestigateRequest) -> Resolution | None:
    if Step.SUPPLIERS not in request.steps:
        return None
    mentions = parties_to_compare(request.dossier)
    asked = ResolveRequest(mentions=mentions, buyer=request.dossier.buyer)
    check = checks.each_mention_once(mentions)
    return await ctx.delegate(RESOLVE, asked, Resolution, timeout=PATIENCE, check=check)


async def _screen(
    ctx: Context, request: InvestigateRequest, document: JsonObject
) -> list[Screening] | None:
    if Step.SCREEN not in request.steps:
        return None
    comparables = await _comparables(ctx, request)
    asked = ScreenRequest(dossier=request.dossier, comparables=comparables, policy=request.policy)
    check = checks.screening_covers(document, request.dossier)
    first = await ctx.delegate(
        SCREEN, asked, Screening, mode="auction", timeout=PATIENCE, check=check
    )
    other = second_opinion(first, request.dossier, comparables)
    if other is None:
        return [first]
    await ctx.record_decision(f"ask {other.agent} as well", because=other.because, evidence=[first])
    second = await ctx.delegate(
        SCREEN, asked, Screening, agent=other.agent, timeout=PATIENCE, check=check
    )
    return [first, second]


async def _comparables(ctx: Context, request: InvestigateRequest) -> Comparables:
    if Step.COMPARABLES not in request.steps:
        return Comparables(comparisons=())
    asked = RetrieveRequest(
        dossier=request.dossier,
        reference=request.reference,
        min_comparables=request.policy.min_comparables,
    )
    return await ctx.delegate(RETRIEVE, asked, Comparables, timeout=PATIENCE)


async def _contracts(
    ctx: Context, request: InvestigateRequest, document: JsonObject
) -> ContractReview | None:
    if Step.CONTRACTS not in request.steps:
        return None
    check = checks.contracts_covered(document, request.dossier)
    asked = VerifyRequest(dossier=request.dossier)
    return await ctx.delegate(VERIFY, asked, ContractReview, timeout=PATIENCE, check=check)


async def _finance(
    ctx: Context, request: InvestigateRequest, document: JsonObject
) -> FinanceReview | None:
    if Step.FINANCE not in request.steps:
        return None
    asked = AuditRequest(dossier=request.dossier, limits=request.policy.limits)
    check = checks.sums_stand(document)
    return await ctx.delegate(AUDIT, asked, FinanceReview, timeout=PATIENCE, check=check)
