"""What a supervisor holds a result against before taking it. Each check is a pure function.

Every function here returns a check: given the result, it says why it is refused, or None. The
refusal is written for the worker, who reads it at the next attempt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from pydantic import BaseModel

from agents.procurement.documents import JsonObject
from agents.procurement.domain.coverage import everything
from agents.procurement.domain.pointers import dangling, resolve
from agents.procurement.domain.reading import Node
from agents.procurement.domain.verdict import decide
from agents.procurement.dossier import Dossier, Finding, Missing, Party
from agents.procurement.models import (
    Assessment,
    AssessRequest,
    ContractReview,
    Diligence,
    FinanceReview,
    Resolution,
    Screening,
    Step,
)

MAX_NAMED = 20
"""Pointers named in one refusal; it travels with the next attempt."""
NOT_COVERED = "not looked at: "


def dossier_stands(document: JsonObject) -> Callable[[Dossier], str | None]:
    """Return a check that every pointer resolves and no award or contract was left out."""

    def check(dossier: Dossier) -> str | None:
        release = Node(at=dossier.base, value=resolve(document, dossier.base))
        read = {award.at for award in dossier.awards} | {c.at for c in dossier.contracts}
        published = [
            entry.at
            for name in ("awards", "contracts")
            for entry in release[name].items()
            if isinstance(entry.value, dict)
        ]
        lost = [at for at in published if at not in read]
        return _unresolved(document, places_in(dossier)) or _named("not read: ", lost)

    return check


def screening_covers(document: JsonObject, dossier: Dossier) -> Callable[[Screening], str | None]:
    """Return a check that every award was looked at: splitting hides in the small ones."""

    def check(screening: Screening) -> str | None:
        missed = sorted(everything(dossier) - set(screening.covered))
        return _unresolved(document, places_in(screening)) or _named(NOT_COVERED, missed)

    return check


def each_mention_once(mentions: Sequence[Party]) -> Callable[[Resolution], str | None]:
    """Return a check that each mention belongs to exactly one supplier."""

    def check(resolution: Resolution) -> str | None:
        told = Counter(at for supplier in resolution.suppliers for at in supplier.mentions)
        asked = dict.fromkeys(party.at for party in mentions)
        return (
            _named("belongs to no supplier: ", [at for at in asked if at not in told])
            or _named("was not asked about: ", [at for at in told if at not in asked])
            or _named("belongs to two suppliers: ", [at for at in told if told[at] > 1])
        )

    return check


def contracts_covered(
    document: JsonObject, dossier: Dossier
) -> Callable[[ContractReview], str | None]:
    """Return a check that every contract was held against its award."""

    def check(review: ContractReview) -> str | None:
        missed = [c.at for c in dossier.contracts if c.at not in review.covered]
        return _unresolved(document, places_in(review)) or _named(NOT_COVERED, missed)

    return check


def sums_stand(document: JsonObject) -> Callable[[FinanceReview], str | None]:
    """Return a check that each sum names the amounts it is made of, and all of them stand."""

    def check(review: FinanceReview) -> str | None:
        empty = [entry.stage for entry in review.totals if not entry.parts]
        return _unresolved(document, places_in(review)) or _named("a sum of nothing: ", empty)

    return check


def plan_followed(document: JsonObject, steps: Sequence[Step]) -> Callable[[Diligence], str | None]:
    """Return a check that each step of the plan brought a result or a stated gap."""

    def check(diligence: Diligence) -> str | None:
        done = {
            Step.SUPPLIERS: bool(diligence.suppliers),
            Step.SCREEN: bool(diligence.screenings),
            Step.COMPARABLES: True,  # it serves the screens and has no result of its own
            Step.CONTRACTS: diligence.contracts is not None,
            Step.FINANCE: diligence.finance is not None,
        }
        open_steps = {gap.step for gap in diligence.gaps}
        missed = [step for step in steps if not done[step] and step not in open_steps]
        return _unresolved(document, places_in(diligence)) or _named(
            "planned, and neither done nor explained: ", missed
        )

    return check


def verdict_follows(
    document: JsonObject, request: AssessRequest
) -> Callable[[Assessment], str | None]:
    """Return a check that no finding was dropped or wrongly dismissed, and what is left decides."""

    def check(assessment: Assessment) -> str | None:
        told = {_key(f) for f in (*assessment.findings, *assessment.dismissed)}
        given = (*request.findings, *request.defects)
        dropped = [f.code for f in given if _key(f) not in told]
        sound = [f.code for f in assessment.dismissed if not dangling(document, f.evidence)]
        kept = [f for f in request.findings if f not in assessment.dismissed]
        defects = [f for f in request.defects if f not in assessment.dismissed]
        decision, _ = decide(kept, defects, request.missing, request.gaps)
        if decision is not assessment.decision:
            return f"the findings amount to {decision}, not to {assessment.decision}"
        return _named("dismissed, and stands in the release: ", sound) or _named(
            "neither kept nor dismissed: ", dropped
        )

    return check


def places_in(result: BaseModel) -> list[str]:
    """Return every pointer in `result` that has to resolve, in order."""
    found: list[str] = []
    for name in type(result).model_fields:
        value: object = getattr(result, name)
        if name in ("at", "nearest", "owner", "base", "duplicate_of") and isinstance(value, str):
            # Where something is missing, `at` names the place that should be there.
            if not (name == "at" and isinstance(result, Missing)):
                found.append(value)
        elif name in ("evidence", "covered", "mentions", "parts") and isinstance(value, tuple):
            found += [at for at in value if isinstance(at, str)]
        else:
            found += _places_below(value)
    return found


def _places_below(value: object) -> list[str]:
    if isinstance(value, BaseModel):
        return places_in(value)
    if isinstance(value, tuple):
        return [at for entry in value for at in _places_below(entry)]
    return []


def _unresolved(document: JsonObject, places: Iterable[str]) -> str | None:
    return _named("does not stand in the release: ", dangling(document, list(places)))


def _named(what: str, places: Sequence[str]) -> str | None:
    if not places:
        return None
    more = f" and {len(places) - MAX_NAMED} more" if len(places) > MAX_NAMED else ""
    return what + ", ".join(places[:MAX_NAMED]) + more


def _key(found: Finding) -> tuple[str, tuple[str, ...]]:
    return found.code, found.evidence
