"""A sound release, to be spoilt by each test, and the whole review without a mesh."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from agents.procurement.documents import JsonObject, exact, load
from agents.procurement.domain import checks
from agents.procurement.domain.comparables import compare
from agents.procurement.domain.contracts import (
    parties_to_compare,
    review_contracts,
    review_parties,
)
from agents.procurement.domain.coverage import everything
from agents.procurement.domain.exposures import Exposure, exposures
from agents.procurement.domain.finances import audit, totals
from agents.procurement.domain.flags import screen
from agents.procurement.domain.normalise import normalise
from agents.procurement.domain.opinions import bring_together
from agents.procurement.domain.planning import make_plan
from agents.procurement.domain.prices import judge
from agents.procurement.domain.register import keyed
from agents.procurement.domain.resolution import resolve_suppliers
from agents.procurement.domain.verdict import assess
from agents.procurement.dossier import Dossier, Finding
from agents.procurement.models import (
    Assessment,
    AssessRequest,
    ContractReview,
    Decision,
    FinanceReview,
    ReviewRequest,
    Screening,
)

ROOT = Path(__file__).resolve().parents[4]
REAL = ROOT.parent / "shared" / "data" / "ocds"
"""Real releases, not part of this repository; where they are missing the samples stand in."""

POLICY = ROOT / "agents" / "procurement" / "policy.toml"


def policy() -> dict[str, Any]:
    """Return the example's policy, as a mesh in memory takes it."""
    read = tomllib.loads(POLICY.read_text("utf-8"))
    rules = {own["prefix"]: own.get("merge") or own["resolution"] for own in read["state"]}
    return {"rules": rules, "objectives": read["objectives"]}


SOUND: dict[str, Any] = {
    "ocid": "ocds-test-1",
    "id": "1",
    "date": "2024-04-20T00:00:00Z",
    "language": "en",
    "tag": ["contract"],
    "parties": [
        {"id": "b", "name": "City of Arden", "roles": ["buyer"]},
        {"id": "x", "name": "Axel Works Ltd", "identifier": {"scheme": "GB-COH", "id": "0111"}},
        {"id": "y", "name": "Yew Trees Ltd", "identifier": {"scheme": "GB-COH", "id": "0222"}},
        {"id": "z", "name": "Zephyr plc", "identifier": {"scheme": "GB-COH", "id": "0333"}},
    ],
    "buyer": {"id": "b", "name": "City of Arden"},
    "planning": {"budget": {"amount": {"amount": 90000, "currency": "GBP"}}},
    "tender": {
        "title": "Park benches",
        "status": "complete",
        "procurementMethod": "open",
        "mainProcurementCategory": "goods",
        "value": {"amount": 80000, "currency": "GBP"},
        "tenderPeriod": {"startDate": "2024-01-10T00:00:00Z", "endDate": "2024-02-20T00:00:00Z"},
        "numberOfTenderers": 3,
        "tenderers": [{"id": "x", "name": "Axel Works Ltd"}, {"id": "y"}, {"id": "z"}],
        "documents": [{"id": "1", "url": "https://example.org/1"}],
        "items": [{"id": "1", "classification": {"scheme": "CPV", "id": "39113600-3"}}],
    },
    "awards": [
        {
            "id": "a1",
            "status": "active",
            "date": "2024-03-10T00:00:00Z",
            "value": {"amount": 72000.5, "currency": "GBP"},
            "suppliers": [{"id": "x", "name": "Axel Works Ltd"}],
            "items": [{"id": "1", "classification": {"scheme": "CPV", "id": "39113600-3"}}],
        }
    ],
    "contracts": [
        {
            "id": "c1",
            "awardID": "a1",
            "status": "active",
            "dateSigned": "2024-04-01T00:00:00Z",
            "period": {"startDate": "2024-04-02T00:00:00Z", "endDate": "2024-12-31T00:00:00Z"},
            "value": {"amount": 72000.5, "currency": "GBP"},
            "documents": [{"id": "1", "url": "https://example.org/2"}],
        }
    ],
}


def release(spoil: Callable[[dict[str, Any]], object] | None = None) -> dict[str, Any]:
    """Return a sound release, spoilt by `spoil`."""
    made = deepcopy(SOUND)
    if spoil is not None:
        spoil(made)
    return made


def document(spoil: Callable[[dict[str, Any]], object] | None = None) -> JsonObject:
    """Return the sound release as agents look at it."""
    found = exact(release(spoil))
    assert isinstance(found, dict)
    return found


def dossier(spoil: Callable[[dict[str, Any]], object] | None = None) -> Dossier:
    """Return the dossier of the sound release."""
    return normalise(document(spoil))


def codes(findings: object) -> list[str]:
    """Return the codes of those entries that are findings."""
    assert isinstance(findings, list | tuple)
    return [entry.code for entry in findings if isinstance(entry, Finding)]


def only(findings: object, code: str) -> Finding:
    """Return the one finding with this code."""
    assert isinstance(findings, list | tuple)
    (found,) = [f for f in findings if isinstance(f, Finding) and f.code == code]
    return found


def exposed(request: ReviewRequest) -> dict[tuple[str, str], Exposure]:
    """Return what a release adds to exposures, without a mesh."""
    read, verdict = review(request)
    if verdict.decision is not Decision.CLEAR:
        return {}
    suppliers = resolve_suppliers(parties_to_compare(read), read.buyer).suppliers
    return exposures(read, keyed(suppliers))


def review(request: ReviewRequest) -> tuple[Dossier, Assessment]:
    """Do what all agents do together, each with its check, without a mesh between them."""
    published, policy = load(request.release), request.policy
    read = normalise(published)
    assert checks.dossier_stands(published)(read) is None
    plan = make_plan(read, request.reference)
    covered = everything(read)
    comparables = compare(read, request.reference, policy.min_comparables)
    raised = [*screen(read, policy, covered), *(judge(c, policy) for c in comparables.comparisons)]
    screening = Screening(
        agent="both",
        covered=tuple(covered),
        findings=tuple(f for f in raised if isinstance(f, Finding)),
    )
    assert checks.screening_covers(published, read)(screening) is None
    mentions = parties_to_compare(read)
    resolution = resolve_suppliers(mentions, read.buyer)
    assert checks.each_mention_once(mentions)(resolution) is None
    contracts = ContractReview(
        covered=tuple(c.at for c in read.contracts),
        suppliers=resolution.suppliers,
        findings=(
            *review_contracts(read),
            *review_parties(read, resolution.suppliers),
            *resolution.findings,
        ),
    )
    assert checks.contracts_covered(published, read)(contracts) is None
    finance = FinanceReview(totals=totals(read), findings=tuple(audit(read, policy.limits)))
    assert checks.sums_stand(published)(finance) is None
    found = bring_together(None, [screening], contracts, finance)
    assert checks.plan_followed(published, plan.steps)(found) is None
    asked = AssessRequest(
        release=request.release,
        needs=read.needs,
        missing=read.missing,
        defects=read.findings,
        findings=found.findings,
    )
    verdict = assess(
        published,
        findings=asked.findings,
        defects=asked.defects,
        missing=asked.missing,
        gaps=(),
        needs=asked.needs,
    )
    assert checks.verdict_follows(published, asked)(verdict) is None
    return read, verdict
