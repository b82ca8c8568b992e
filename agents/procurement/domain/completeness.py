"""What a review needs at each stage and the release does not give, named by pointer.

Essential is what no conclusion can do without: who buys, from whom, for how much, sought how, and
when. The rest is named too, and makes no case incomplete.
"""

from __future__ import annotations

from typing import NamedTuple

from agents.procurement.documents import Json, JsonObject
from agents.procurement.domain.pointers import join, nearest, resolve
from agents.procurement.dossier import (
    VOID,
    Award,
    Contract,
    Dossier,
    Missing,
    Stage,
    Tender,
)


class Need(NamedTuple):
    """A place where something should stand, and whether a usable value was read from it."""

    at: str
    met: bool
    essential: bool


def find_missing(document: JsonObject, needs: list[Need]) -> tuple[Missing, ...]:
    """Return what is missing in `document`, the essential first."""
    unmet = {need.at: _missing(document, need) for need in needs if not need.met}
    return tuple(sorted(unmet.values(), key=lambda found: not found.essential))


def find_needs(dossier: Dossier) -> list[Need]:
    """Return what a review of `dossier` needs at its stage, with what is met."""
    base = dossier.base
    needs = [
        Need(join(base, "ocid"), bool(dossier.ocid), essential=True),
        Need(join(base, "date"), dossier.published is not None, essential=True),
        Need(join(base, "buyer", "name"), _named(dossier), essential=True),
    ]
    tender = dossier.tender or Tender(at=join(base, "tender"))
    needs += _tender_needs(dossier, tender)
    for award in dossier.awards:
        if award.duplicate_of is None and award.status not in VOID:
            needs += _award_needs(award)
    for contract in dossier.contracts:
        if contract.duplicate_of is None and contract.status not in VOID:
            needs += _contract_needs(dossier, contract)
    return needs


def _tender_needs(dossier: Dossier, tender: Tender) -> list[Need]:
    stage, at, period = dossier.stage, tender.at, tender.period
    calling = stage is Stage.TENDER
    competitive = tender.method is None or tender.method.competitive
    priced = tender.value is not None or (stage is Stage.PLANNING and dossier.budget is not None)
    return [
        Need(join(at, "title"), tender.title is not None, stage is not Stage.CONTRACT),
        Need(join(at, "procurementMethod"), tender.method is not None, essential=True),
        Need(join(at, "value"), priced, stage in (Stage.PLANNING, Stage.TENDER)),
        Need(
            join(at, "tenderPeriod", "startDate"),
            not competitive or bool(period and period.start),
            essential=False,
        ),
        Need(
            join(at, "tenderPeriod", "endDate"),
            not competitive or bool(period and period.end),
            essential=calling and competitive,
        ),
        Need(
            join(at, "numberOfTenderers"),
            stage in (Stage.PLANNING, Stage.TENDER) or tenderers(tender) is not None,
            essential=False,
        ),
        Need(join(at, "documents"), tender.documents > 0 or not calling, essential=False),
    ]


def _award_needs(award: Award) -> list[Need]:
    return [
        Need(join(award.at, "suppliers"), any(p.name for p in award.suppliers), essential=True),
        Need(join(award.at, "value"), award.value is not None, essential=True),
        Need(join(award.at, "date"), award.date is not None, essential=False),
    ]


def _contract_needs(dossier: Dossier, contract: Contract) -> list[Need]:
    return [
        Need(join(contract.at, "value"), contract.value is not None, essential=True),
        Need(join(contract.at, "dateSigned"), contract.signed is not None, essential=False),
        Need(join(contract.at, "awardID"), bool(contract.award_id), essential=False),
        Need(join(dossier.base, "awards"), bool(dossier.awards), essential=True),
    ]


def tenderers(tender: Tender) -> int | None:
    """Return how many tenderers there were: as published, else as many as are named."""
    if tender.tenderer_count is not None:
        return tender.tenderer_count.count
    named = {party.name for party in tender.tenderers if party.name}
    return len(named) or None


def _named(dossier: Dossier) -> bool:
    return dossier.buyer is not None and bool(dossier.buyer.name)


def _missing(document: JsonObject, need: Need) -> Missing:
    stands = nearest(document, need.at)
    if stands != need.at:
        reason = "not published"
    else:
        hollow = _hollow(resolve(document, need.at))
        reason = "published empty" if hollow else "published, and not usable"
    return Missing(at=need.at, nearest=stands, reason=reason, essential=need.essential)


def _hollow(value: Json) -> bool:
    if isinstance(value, dict):
        return all(_hollow(member) for member in value.values())
    if isinstance(value, list):
        return all(_hollow(member) for member in value)
    return value is None or (isinstance(value, str) and not value.strip())
