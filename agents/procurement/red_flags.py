"""Red flags: screens a release by the flags of the public guides. Role: execution.

Rival of `prices.py` for the same capability: it needs no other release, so it always bids, surer
the more of the procedure is published.
"""

from __future__ import annotations

from decimal import Decimal

from agents.procurement.capabilities import RED_FLAGS, SCREEN
from agents.procurement.domain.completeness import tenderers
from agents.procurement.domain.coverage import everything, first_pass, subjects
from agents.procurement.domain.flags import screen as raise_flags
from agents.procurement.dossier import Dossier, Finding
from agents.procurement.models import Screening, ScreenRequest, Skipped
from agents.procurement.screening import BASE_USD, left_out, to_cover
from mesh import Agent, Bid, Context

agent = Agent(
    RED_FLAGS,
    owner="team-integrity",
    purpose="Raise the red flags that the public guides describe, on one release alone.",
)

EACH_USD = Decimal("0.002")
"""What each award or contract adds to the price."""
LEAST_SURE, SURER_BY = 0.45, 0.1
"""Confidence without any knowledge of the procedure, and what each known part of it adds."""


@agent.capability(SCREEN, mode="auction")
async def screen(ctx: Context, request: ScreenRequest) -> Screening:
    """Return the flags of the procedure and of the awards looked at."""
    dossier = request.dossier
    largest, covered = first_pass(dossier), to_cover(dossier, ctx.attempt.reason)
    because = f"red flags of the procedure and of the {len(largest)} largest awards or contracts"
    await ctx.spend(usd=BASE_USD + EACH_USD * len(largest), because=because)
    if rest := covered - largest:
        because = f"red flags of the {len(rest)} awards or contracts left out before"
        await ctx.spend(usd=EACH_USD * len(rest), because=because)
    flags = raise_flags(dossier, request.policy, covered)
    ctx.rate(confidence=sureness(dossier), sources=["OCP Cardinal", "this release"])
    return Screening(
        agent=agent.name,
        covered=tuple(s.at for s in subjects(dossier) if s.at in covered),
        skipped=(
            *left_out(dossier, covered),
            *(flag for flag in flags if isinstance(flag, Skipped)),
        ),
        findings=tuple(flag for flag in flags if isinstance(flag, Finding)),
        attempt=ctx.attempt.number,
    )


@screen.bid
def bid(request: ScreenRequest) -> Bid:
    """Offer to screen, at the price of looking at everything should the caller want that."""
    dossier = request.dossier
    price = BASE_USD + EACH_USD * len(everything(dossier))
    return Bid(price_usd=price, eta_s=1, confidence=sureness(dossier))


def sureness(dossier: Dossier) -> float:
    """Return how much the flags can say: method, bidders, period and estimate each count."""
    tender = dossier.tender
    if tender is None:
        return LEAST_SURE
    period = tender.period
    known = (
        tender.method is not None,
        tenderers(tender) is not None,
        period is not None and period.start is not None and period.end is not None,
        tender.value is not None,
    )
    return round(LEAST_SURE + SURER_BY * sum(known), 2)
