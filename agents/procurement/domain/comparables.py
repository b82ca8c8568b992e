"""Finding prices that may be compared: same class, same currency, same kind, same unit.

Totals are compared with totals, unit prices with unit prices of one unit, awards with awards. Where
too few share the full code, the code is shortened as its scheme allows. Releases of the same
process (ocid) are never its comparables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from agents.procurement.domain.coverage import subjects
from agents.procurement.domain.wording import plain
from agents.procurement.dossier import (
    VOID,
    Award,
    Classification,
    Contract,
    Dossier,
    Line,
    Missing,
    Money,
    Tender,
)
from agents.procurement.models import Basis, Comparables, Comparison, PricePoint

LEVELS = {"CPV": (8, 5, 4, 3), "UNSPSC": (8, 6, 4), "GSIN": (8, 3)}
"""How many characters of a code make a class that is still comparable, the finest first."""
WHOLE = (200,)
"""For any other scheme the whole code has to agree."""
MAX_AMOUNTS = 500
"""Amounts in one comparison; more would not move the median."""


class _Priced(NamedTuple):
    owner: str
    kind: str
    value: Money
    lines: tuple[Line, ...]


def price_points(dossier: Dossier) -> tuple[PricePoint, ...]:
    """Return the prices of a release that others may be compared with."""
    return tuple(point for _, point in _points(dossier))


def compare(
    dossier: Dossier, reference: tuple[PricePoint, ...], min_comparables: int
) -> Comparables:
    """Return for each price of `dossier` the comparable ones of `reference`."""
    others = [point for point in reference if point.ocid != dossier.ocid and point.amount > 0]
    comparisons = tuple(
        _compare(owner, point, others, min_comparables) for owner, point in _points(dossier)
    )
    compared = {comparison.owner for comparison in comparisons}
    unusable = tuple(
        Missing(
            at=priced.value.at,
            nearest=priced.value.at,
            reason="no single class of goods, works or services is published for this amount",
            essential=False,
        )
        for priced in _priced(dossier)
        if priced.owner not in compared
    )
    return Comparables(comparisons=comparisons, unusable=unusable)


def _compare(
    owner: str, subject: PricePoint, others: list[PricePoint], min_comparables: int
) -> Comparison:
    alike = [point for point in others if _alike(subject, point)]
    found, level = alike, ""
    for length in _lengths(subject.scheme, len(subject.code)):
        level = _class(subject, length)
        found = [point for point in alike if _class(point, length) == level]
        if len({point.ocid for point in found}) >= min_comparables:
            break
    distinct = {(point.ocid, point.amount): point.amount for point in found}
    return Comparison(
        subject=subject,
        owner=owner,
        level=level,
        amounts=tuple(distinct.values())[:MAX_AMOUNTS],
        enough=len({point.ocid for point in found}) >= min_comparables,
    )


def _alike(subject: PricePoint, other: PricePoint) -> bool:
    return (subject.kind, subject.basis, subject.currency, subject.scheme, plain(subject.unit)) == (
        other.kind,
        other.basis,
        other.currency,
        other.scheme,
        plain(other.unit),
    )


def _lengths(scheme: str, longest: int) -> tuple[int, ...]:
    fitting = tuple(length for length in LEVELS.get(scheme, WHOLE) if length <= max(longest, 1))
    return fitting or WHOLE


def _class(point: PricePoint, length: int) -> str:
    if not point.code:
        return f'{point.scheme} "{plain(point.label)}"'
    return f"{point.scheme} {point.code[:length]}"


def _points(dossier: Dossier) -> Iterator[tuple[str, PricePoint]]:
    for priced in _priced(dossier):
        shared = _one_class(priced.lines)
        if shared is not None and priced.value.amount > 0:
            yield priced.owner, _point(dossier, priced, priced.value, shared)
        for line in priced.lines:
            if line.classification and line.unit and line.unit_price and line.unit_price.amount > 0:
                yield (
                    priced.owner,
                    _point(dossier, priced, line.unit_price, _tidy(line.classification), line.unit),
                )


def _point(
    dossier: Dossier, priced: _Priced, value: Money, of: Classification, unit: str = ""
) -> PricePoint:
    return PricePoint(
        ocid=dossier.ocid,
        at=value.at,
        kind=priced.kind,
        basis=Basis.UNIT if unit else Basis.TOTAL,
        scheme=of.scheme,
        code=of.code,
        label=of.label,
        unit=unit,
        amount=value.amount,
        currency=value.currency,
    )


def _priced(dossier: Dossier) -> Iterator[_Priced]:
    called = dossier.tender.lines if dossier.tender else ()
    standing: list[Award | Contract] = [
        s for s in subjects(dossier) if s.duplicate_of is None and s.status not in VOID
    ]
    for subject in standing:
        if subject.value is not None:
            classified = any(line.classification for line in subject.lines)
            lines = subject.lines if classified or len(standing) > 1 else called
            kind = "award" if isinstance(subject, Award) else "contract"
            yield _Priced(subject.at, kind, subject.value, lines)
    tender = dossier.tender
    if isinstance(tender, Tender) and tender.value is not None:
        yield _Priced(tender.at, "estimate", tender.value, tender.lines)


def _one_class(lines: tuple[Line, ...]) -> Classification | None:
    """Return the class that all lines share, as fine as they share it."""
    classes = [_tidy(line.classification) for line in lines if line.classification]
    if not classes or len(classes) < len(lines) or len({c.scheme for c in classes}) > 1:
        return None
    first = classes[0]
    if not first.code:
        same = len({(c.code, plain(c.label)) for c in classes}) == 1
        return first if same else None
    for length in (*WHOLE, *LEVELS.get(first.scheme, ())):
        if len({c.code[:length] for c in classes}) == 1 and first.code:
            return first.model_copy(update={"code": first.code[:length]})
    return None


def _tidy(of: Classification) -> Classification:
    scheme = of.scheme.upper()
    code = of.code.split("-")[0] if scheme == "CPV" else of.code
    return of.model_copy(update={"scheme": scheme, "code": code})
