"""Red flags of the public guides, each on what one release shows.

Where a flag follows an indicator of Cardinal, the Open Contracting Partnership's library of red
flags (https://cardinal.readthedocs.io), its number stands in `source`. A flag is a reason to look,
not a verdict: who sees only one release does not see the market.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from agents.procurement.domain.completeness import tenderers
from agents.procurement.domain.dates import days_between
from agents.procurement.domain.flags_awards import award_flags
from agents.procurement.domain.flags_bids import bid_flags
from agents.procurement.dossier import Dossier, Finding, Severity, Stage, Tender, finding
from agents.procurement.models import Policy, Skipped

Flag: TypeAlias = Finding | Skipped
"""A flag raised, or a test that could not be made."""

VERY_SHORT_DAYS = 3
"""Within this nobody prepares a bid who was not told before."""


def screen(dossier: Dossier, policy: Policy, covered: frozenset[str]) -> list[Flag]:
    """Return the flags of the tender, of the bids, and of the awards and contracts in `covered`."""
    flags: list[Flag] = []
    if dossier.tender is None:
        because = "no call for tenders is published, so competition cannot be judged"
        flags.append(Skipped(at=dossier.base, because=because))
    else:
        flags += _single_bidder(dossier, dossier.tender)
        flags += _short_period(dossier.tender, policy)
        flags += _no_rationale(dossier.tender)
        flags += _documents(dossier, dossier.tender)
    flags += _award_notice(dossier)
    flags += bid_flags(dossier)
    flags += award_flags(dossier, policy, covered)
    return flags


def _single_bidder(dossier: Dossier, tender: Tender) -> Iterator[Flag]:
    count = tenderers(tender)
    if count is None:
        if dossier.stage in (Stage.AWARD, Stage.CONTRACT):
            yield Skipped(at=tender.at, because="how many tenderers there were is not published")
        return
    listed = [party for party in tender.tenderers if party.name]
    if tender.tenderer_count and listed and len(listed) != count:
        explanation = f"{count} tenderers are counted and {len(listed)} are named."
        everyone = (tender.tenderer_count.at, *(party.at for party in listed))
        yield finding("tenderers-miscounted", Severity.LOW, explanation, *everyone)
    if count != 1 or (tender.method and not tender.method.competitive):
        return
    places = [tender.tenderer_count.at] if tender.tenderer_count else [listed[0].at]
    if tender.method is None:
        explanation = "There was one tenderer; whether others could have bid is not published."
        yield finding("single-bidder", Severity.LOW, explanation, *places, source="Cardinal R018")
        return
    simple = tender.method.simplified or tender.method.code != "open"
    severity = Severity.MEDIUM if simple else Severity.HIGH
    explanation = f'One tenderer only, in a procedure open to others ("{tender.method.published}").'
    places.append(tender.method.at)
    yield finding("single-bidder", severity, explanation, *places, source="Cardinal R018")


def _short_period(tender: Tender, policy: Policy) -> Iterator[Flag]:
    period, method = tender.period, tender.method
    if method is not None and not method.competitive:
        return
    if period is None or period.start is None or period.end is None:
        because = "start or end of the tender period is not published, so it cannot be measured"
        yield Skipped(at=tender.at, because=because)
        return
    days = days_between(period.start, period.end)
    places = (period.start.at, period.end.at)
    if days < 0:
        explanation = f"The tender period ends {-days} days before it begins."
        yield finding("period-reversed", Severity.MEDIUM, explanation, *places)
        return
    if method is None:
        yield Skipped(at=tender.at, because="without the method no minimum period can be named")
        return
    floor = policy.simplified_period_days if method.simplified else policy.short_period_days
    if days < floor:
        severity = Severity.HIGH if days < VERY_SHORT_DAYS else Severity.MEDIUM
        explanation = f"Bids could be handed in for {days} days; below {floor} is short."
        yield finding("short-tender-period", severity, explanation, *places, source="Cardinal R003")


def _no_rationale(tender: Tender) -> Iterator[Flag]:
    method = tender.method
    if method is not None and not method.competitive and tender.rationale is None:
        severity = Severity.HIGH if method.code == "direct" else Severity.MEDIUM
        explanation = (
            f'The procedure shut competition out ("{method.published}"), and no reason is given.'
        )
        yield finding("no-rationale", severity, explanation, method.at)


def _documents(dossier: Dossier, tender: Tender) -> Iterator[Flag]:
    method = tender.method
    if dossier.stage is Stage.PLANNING or tender.documents or not method or not method.competitive:
        return
    explanation = "Suppliers were invited to compete, and no tender document is published."
    yield finding("documents-not-published", Severity.MEDIUM, explanation, tender.at, method.at)


def _award_notice(dossier: Dossier) -> Iterator[Flag]:
    if dossier.contracts and not dossier.awards:
        explanation = "A contract is published and the award that it rests on is not."
        places = [contract.at for contract in dossier.contracts]
        yield finding("award-not-published", Severity.MEDIUM, explanation, *places)
