"""Red flags in the bids, where they are published with their amounts."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from agents.procurement.domain.amounts import percent_above, shown
from agents.procurement.domain.dates import surely_before
from agents.procurement.domain.resolution import SAME_CORE, link
from agents.procurement.dossier import Bid, Dossier, Finding, Money, Party, Severity, finding
from agents.procurement.models import Skipped

CLOSE_PERCENT = Decimal(1)
"""Cardinal takes the lower fence of all processes (R024); one release knows no others."""
INVALID = frozenset({"disqualified", "withdrawn"})


def bid_flags(dossier: Dossier) -> Iterator[Finding | Skipped]:
    """Yield what the bids show."""
    if not dossier.bids:
        return
    yield from _identical(dossier.bids)
    yield from _close_second(dossier.bids)
    yield from _disqualified(dossier)
    yield from _late_winner(dossier)


def _identical(bids: tuple[Bid, ...]) -> Iterator[Finding]:
    by_price: dict[tuple[Decimal, str], list[tuple[Bid, Money]]] = {}
    for bid in bids:
        if bid.value is not None:
            key = (bid.value.amount.normalize(), bid.value.currency)
            by_price.setdefault(key, []).append((bid, bid.value))
    for group in by_price.values():
        bidders = {_who(bid) for bid, _ in group}
        if len(bidders) > 1:
            explanation = f"{len(bidders)} tenderers bid the very same price, {shown(group[0][1])}."
            places = [value.at for _, value in group]
            yield finding(
                "identical-bids", Severity.HIGH, explanation, *places, source="Cardinal R028"
            )


def _close_second(bids: tuple[Bid, ...]) -> Iterator[Finding]:
    valid = [bid.value for bid in bids if bid.value and bid.status not in INVALID]
    currencies = {value.currency for value in valid}
    lowest = sorted(valid, key=lambda value: value.amount)[:2]
    if len(lowest) < 2 or len(currencies) != 1 or lowest[0].amount <= 0:
        return
    gap = percent_above(lowest[1].amount, lowest[0].amount)
    if 0 < gap <= CLOSE_PERCENT:
        explanation = f"The second-lowest bid is only {gap} % above the lowest."
        places = [value.at for value in lowest]
        yield finding(
            "second-bid-close", Severity.LOW, explanation, *places, source="Cardinal R024"
        )


def _disqualified(dossier: Dossier) -> Iterator[Finding]:
    out = [bid for bid in dossier.bids if bid.status == "disqualified"]
    rest = [bid for bid in dossier.bids if bid.status not in INVALID]
    if out and len(rest) == 1 and dossier.distinct_awards():
        explanation = f"All but one of {len(dossier.bids)} bids were disqualified."
        places = [bid.at for bid in out]
        yield finding(
            "all-but-one-disqualified",
            Severity.MEDIUM,
            explanation,
            *places,
            source="Cardinal R035",
        )
    priced = [(bid.value, bid) for bid in dossier.bids if bid.value]
    if rest and priced and len({value.currency for value, _ in priced}) == 1:
        value, lowest = min(priced, key=lambda entry: entry[0].amount)
        if lowest.status == "disqualified":
            explanation = f"The lowest bid, {shown(value)}, was disqualified."
            yield finding(
                "lowest-bid-disqualified",
                Severity.MEDIUM,
                explanation,
                lowest.at,
                source="Cardinal R036",
            )


def _late_winner(dossier: Dossier) -> Iterator[Finding]:
    period = dossier.tender.period if dossier.tender else None
    deadline = period.end if period else None
    winners = [party for award in dossier.distinct_awards() for party in award.suppliers]
    for bid in dossier.bids:
        if deadline is None or bid.date is None or not surely_before(deadline, bid.date):
            continue
        if any(_same(bidder, winner) for bidder in bid.bidders for winner in winners):
            explanation = "The winning bid came after the deadline."
            places = (bid.date.at, deadline.at)
            yield finding(
                "late-bid-won", Severity.HIGH, explanation, *places, source="Cardinal R030"
            )


def _same(bidder: Party, winner: Party) -> bool:
    agreement = link(bidder, winner)
    return agreement is not None and agreement.confidence >= SAME_CORE


def _who(bid: Bid) -> tuple[str, ...]:
    return tuple(sorted(party.name.casefold() for party in bid.bidders)) or (bid.at,)
