"""Prices: screens a release by comparing its prices with those of others. Role: execution.

Rival of `red_flags.py` for the same capability. It declines where too few prices can be compared,
and is surer the more of the amounts have enough comparables.
"""

from __future__ import annotations

from decimal import Decimal

from agents.procurement.capabilities import PRICES, SCREEN
from agents.procurement.domain.coverage import everything, first_pass, subjects
from agents.procurement.domain.prices import judge
from agents.procurement.dossier import Dossier, Finding
from agents.procurement.models import (
    Basis,
    Comparables,
    Comparison,
    Screening,
    ScreenRequest,
    Skipped,
)
from agents.procurement.screening import BASE_USD, left_out, to_cover
from mesh import Agent, Bid, Context, Decline

agent = Agent(
    PRICES,
    owner="team-market-analysis",
    purpose="Compare prices with those of other processes by robust statistics.",
)

EACH_USD = Decimal("0.0005")
"""What each comparable price adds to the price of a screening."""
LEAST_SURE, MOST_SURE = 0.5, 0.95
"""Confidence when hardly any amount has comparables, and when every unit price has."""
WORTH = {Basis.UNIT: 1.0, Basis.TOTAL: 0.5}
"""What a comparison proves: a total says nothing about how much was bought for it."""


@agent.capability(SCREEN, mode="auction")
async def screen(ctx: Context, request: ScreenRequest) -> Screening:
    """Return the outliers among the prices of the awards looked at, and of the estimate."""
    dossier, comparables = request.dossier, request.comparables
    covered = to_cover(dossier, ctx.attempt.reason)
    largest = in_scope(dossier, comparables, first_pass(dossier))
    chosen = in_scope(dossier, comparables, covered)
    because = f"compare the {len(largest)} largest prices with others"
    await ctx.spend(usd=BASE_USD + cost_usd(largest), because=because)
    if len(chosen) > len(largest):
        because = f"compare the {len(chosen) - len(largest)} prices left out before"
        await ctx.spend(usd=cost_usd(chosen) - cost_usd(largest), because=because)
    judged = [judge(comparison, request.policy) for comparison in chosen]
    unusable = (Skipped(at=m.at, because=m.reason) for m in comparables.unusable)
    ctx.rate(confidence=sureness(comparables), sources=_sources(comparables))
    return Screening(
        agent=agent.name,
        covered=tuple(s.at for s in subjects(dossier) if s.at in covered),
        skipped=(
            *left_out(dossier, covered),
            *(entry for entry in judged if isinstance(entry, Skipped)),
            *unusable,
        ),
        findings=tuple(entry for entry in judged if isinstance(entry, Finding)),
        attempt=ctx.attempt.number,
    )


@screen.bid
def bid(request: ScreenRequest) -> Bid | Decline:
    """Offer to screen where at least one price has enough comparables."""
    comparisons = request.comparables.comparisons
    if not any(comparison.enough for comparison in comparisons):
        most = max((len(comparison.amounts) for comparison in comparisons), default=0)
        needed = request.policy.min_comparables
        return Decline(because=f"{most} comparable prices at most, {needed} are needed")
    every = in_scope(request.dossier, request.comparables, everything(request.dossier))
    price = BASE_USD + cost_usd(every)
    return Bid(price_usd=price, eta_s=2, confidence=sureness(request.comparables))


def in_scope(
    dossier: Dossier, comparables: Comparables, covered: frozenset[str]
) -> list[Comparison]:
    """Return the comparisons of the awards looked at, and of the estimate."""
    owners = covered | ({dossier.tender.at} if dossier.tender else set())
    return [entry for entry in comparables.comparisons if entry.owner in owners]


def cost_usd(comparisons: list[Comparison]) -> Decimal:
    """Return the price of these comparisons."""
    return EACH_USD * sum(len(entry.amounts) for entry in comparisons)


def sureness(comparables: Comparables) -> float:
    """Return how much the comparison can say, by the amounts that have enough comparables."""
    total_count = len(comparables.comparisons) + len(comparables.unusable)
    worth = sum(WORTH[entry.subject.basis] for entry in comparables.comparisons if entry.enough)
    share = worth / total_count if total_count else 0
    return round(LEAST_SURE + (MOST_SURE - LEAST_SURE) * share, 2)


def _sources(comparables: Comparables) -> list[str]:
    return [
        f"{len(comparison.amounts)} prices of {comparison.level}"
        for comparison in comparables.comparisons
        if comparison.enough
    ]
