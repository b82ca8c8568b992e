"""Weighing findings: `review`, `incomplete` or `clear`, with the reasons.

One finding of high severity makes a case, or two different ones of medium severity: a single flag
is common in sound procurement, several together are not (the public guides warn of both errors).
Defects of the data alone are no sign of risk unless they are high. A case that may not be decided
for want of essential data is `incomplete`; it is never called `clear`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from agents.procurement.documents import JsonObject
from agents.procurement.domain.pointers import dangling
from agents.procurement.dossier import Finding, Missing, Severity
from agents.procurement.models import Assessment, Decision, Gap, Reason

MEDIUM_MAKES_CASE = 2
"""Different findings of medium severity that together make a case."""
MAX_NAMED = 6
"""Missing places named in one reason; all of them stand in `missing`."""
ORDER = (Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.INFO)


def assess(
    document: JsonObject,
    *,
    findings: Sequence[Finding],
    defects: Sequence[Finding],
    missing: Sequence[Missing],
    gaps: Sequence[Gap],
    needs: int,
) -> Assessment:
    """Return the decision. Findings whose evidence does not stand in `document` are dismissed."""
    dismissed = tuple(f for f in (*findings, *defects) if dangling(document, f.evidence))
    standing = _once(f for f in findings if f not in dismissed)
    sound = _once(f for f in defects if f not in dismissed)
    decision, reasons = decide(standing, sound, missing, gaps)
    ranked = sorted((*standing, *sound), key=lambda found: ORDER.index(found.severity))
    return Assessment(
        decision=decision,
        reasons=reasons,
        findings=tuple(ranked),
        dismissed=dismissed,
        confidence=confidence(needs, len(missing)),
    )


def decide(
    findings: Sequence[Finding],
    defects: Sequence[Finding],
    missing: Sequence[Missing],
    gaps: Sequence[Gap],
) -> tuple[Decision, tuple[Reason, ...]]:
    """Return the decision and its reasons, the weightiest first."""
    high = [f for f in (*findings, *defects) if f.severity is Severity.HIGH]
    medium = [f for f in findings if f.severity is Severity.MEDIUM]
    case = [*high, *(medium if len({f.code for f in medium}) >= MEDIUM_MAKES_CASE else [])]
    reasons = [Reason(because=f.explanation, evidence=f.evidence) for f in case]
    lacking = _lacking(missing, gaps)
    if case:
        return Decision.REVIEW, (*reasons, *lacking)
    if lacking:
        return Decision.INCOMPLETE, lacking
    return Decision.CLEAR, (_clear(medium, findings, missing),)


def confidence(needs: int, missing: int) -> Decimal:
    """Return the share of what the review needed that was published, never below 0.01."""
    share = Decimal(needs - missing) / Decimal(needs) if needs else Decimal(0)
    return max(share, Decimal("0.01")).quantize(Decimal("0.01"))


def _lacking(missing: Sequence[Missing], gaps: Sequence[Gap]) -> tuple[Reason, ...]:
    essential = [entry for entry in missing if entry.essential]
    reasons = []
    if essential:
        named = ", ".join(f"{entry.at} ({entry.reason})" for entry in essential[:MAX_NAMED])
        more = len(essential) - MAX_NAMED
        rest = f" and {more} more" if more > 0 else ""
        places = tuple(dict.fromkeys(entry.nearest for entry in essential))
        reasons.append(Reason(because=f"Essential and missing: {named}{rest}.", evidence=places))
    for gap in gaps:
        because = f"The step {gap.step} could not be done: {gap.because}."
        reasons.append(Reason(because=because, evidence=("",)))
    return tuple(reasons)


def _clear(
    medium: Sequence[Finding], findings: Sequence[Finding], missing: Sequence[Missing]
) -> Reason:
    if medium:
        because = f"One flag of medium weight does not make a case: {medium[0].explanation}"
        return Reason(because=because, evidence=medium[0].evidence)
    minor = f"{len(findings)} findings of low weight" if findings else "no finding"
    because = f"All that is essential is published, with {minor} and {len(missing)} gaps of detail."
    return Reason(because=because, evidence=("",))


def _once(findings: Iterable[Finding]) -> list[Finding]:
    return list({(found.code, found.evidence): found for found in findings}.values())
