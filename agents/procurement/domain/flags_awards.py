"""Red flags in what was awarded: price against estimate, thresholds, repeated amounts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import TypeAlias

from agents.procurement.domain import thresholds
from agents.procurement.domain.amounts import figure, percent_above, shown, total
from agents.procurement.domain.coverage import everything, subjects
from agents.procurement.domain.names import parse_name
from agents.procurement.domain.thresholds import Threshold
from agents.procurement.dossier import (
    Award,
    Contract,
    Dossier,
    Finding,
    Money,
    Severity,
    Tender,
    finding,
)
from agents.procurement.models import Policy, Skipped

Flag: TypeAlias = Finding | Skipped

FAR_ABOVE_PERCENT = Decimal(25)
"""A price this far above the estimate calls for a reason, whatever the market did."""
AT_ESTIMATE_PERCENT = Decimal(1)
"""A winner who comes this close to the estimate may have been told it."""
FAR_BELOW_PERCENT = Decimal(-50)
"""A price of less than half the estimate: the estimate or the bid is not serious."""


def award_flags(dossier: Dossier, policy: Policy, covered: frozenset[str]) -> Iterator[Flag]:
    """Yield what the awards (or contracts, where there are none) in `covered` show."""
    yield from _against_estimate(dossier, policy, covered)
    yield from _near_thresholds(dossier, policy, covered)
    standing = [s for s in dossier.distinct_awards() if s.at in covered]
    yield from _identical_amounts(standing)
    yield from _splitting(dossier, standing)


def category(dossier: Dossier) -> str:
    """Return goods, services or works as published or as the class says; "" where neither does."""
    tender = dossier.tender
    if tender is not None and tender.category in thresholds.ANYTHING:
        return tender.category
    lines = [line for s in (*subjects(dossier), *([tender] if tender else [])) for line in s.lines]
    classes = [line.classification for line in lines if line.classification]
    divisions = {c.code[:2] for c in classes if c.scheme.upper() == "CPV" and c.code}
    if not divisions:
        return ""
    if divisions == {"45"}:
        return thresholds.WORKS
    supplies = all("03" <= division <= "44" or division == "48" for division in divisions)
    return thresholds.GOODS if supplies else thresholds.SERVICES if "45" not in divisions else ""


def _against_estimate(dossier: Dossier, policy: Policy, covered: frozenset[str]) -> Iterator[Flag]:
    tender, awards = dossier.tender, dossier.distinct_awards()
    if not awards or tender is None:
        return
    if tender.value is None or tender.value.amount <= 0:
        yield Skipped(at=tender.at, because="no estimate is published to hold the price against")
        return
    if covered != everything(dossier):
        because = "the price is held against the estimate only when all awards are looked at"
        yield Skipped(at=tender.value.at, because=because)
        return
    values = [award.value for award in awards if award.value]
    if len(values) < len(awards) or {v.currency for v in values} != {tender.value.currency}:
        because = "not every award has an amount in the estimate's currency; nothing is converted"
        yield Skipped(at=tender.value.at, because=because)
        return
    yield from _price_flags(tender, tender.value, values, policy)


def _price_flags(
    tender: Tender, estimate: Money, values: list[Money], policy: Policy
) -> Iterator[Finding]:
    awarded = total(value.amount for value in values)
    above = percent_above(awarded, estimate.amount)
    places = (estimate.at, *(value.at for value in values))
    told = f"Awarded were {figure(awarded)} {estimate.currency}, estimated {shown(estimate)}"
    competitive = tender.method is not None and tender.method.competitive
    if above > policy.above_estimate_percent:
        severity = Severity.HIGH if above > FAR_ABOVE_PERCENT else Severity.MEDIUM
        explanation = f"{told}: {above} % more."
        yield finding("price-above-estimate", severity, explanation, *places)
    elif -AT_ESTIMATE_PERCENT <= above <= 0 and competitive:
        explanation = f"{told}: a bid that meets the estimate, as if it had been known."
        yield finding("price-at-estimate", Severity.MEDIUM, explanation, *places)
    elif above < FAR_BELOW_PERCENT:
        explanation = f"{told}: {-above} % less; the estimate or the price cannot be right."
        yield finding("price-far-below-estimate", Severity.LOW, explanation, *places)


def _near_thresholds(dossier: Dossier, policy: Policy, covered: frozenset[str]) -> Iterator[Flag]:
    priced: list[Award | Contract | Tender] = [
        s for s in subjects(dossier) if s.at in covered and s.duplicate_of is None
    ]
    if not priced and dossier.tender:
        priced = [dossier.tender]
    kind, unknown = category(dossier), set()
    for subject in priced:
        day = _day(dossier, subject)
        if subject.value is None or day is None:
            continue
        rows = thresholds.in_force(subject.value.currency, kind, day)
        near = [
            row
            for row in rows
            if thresholds.just_below(subject.value.amount, row, policy.near_threshold_percent)
        ]
        if near:
            yield _near(subject.value, near[0], kind)
        if not rows:
            unknown.add(subject.value.currency)
    for currency in sorted(unknown):
        because = f"no legal threshold in {currency} is known for that time and kind of purchase"
        yield Skipped(at=priced[0].at, because=because)


def _near(value: Money, row: Threshold, kind: str) -> Finding:
    explanation = f"{shown(value)} stays just below {figure(row.amount)} ({row.rule})."
    severity = Severity.MEDIUM if kind else Severity.LOW
    return finding("just-below-threshold", severity, explanation, value.at)


def _identical_amounts(awards: list[Award]) -> Iterator[Finding]:
    groups: dict[tuple[Decimal, str], list[Award]] = {}
    for award in awards:
        if award.value is not None and award.value.amount > 0:
            key = (award.value.amount.normalize(), award.value.currency)
            groups.setdefault(key, []).append(award)
    for alike in groups.values():
        winners = {parse_name(p.name).core for award in alike for p in award.suppliers if p.name}
        if len(winners) > 1:
            explanation = f"{len(winners)} suppliers were awarded the very same amount."
            places = [award.at for award in alike]
            yield finding("identical-awards", Severity.LOW, explanation, *places)


def _splitting(dossier: Dossier, awards: list[Award]) -> Iterator[Finding]:
    by_winner: dict[tuple[str, str], list[Award]] = {}
    for award in awards:
        if award.value and len(award.suppliers) == 1 and award.suppliers[0].name:
            winner = parse_name(award.suppliers[0].name).core
            by_winner.setdefault((winner, award.value.currency), []).append(award)
    for (_, currency), group in by_winner.items():
        amounts = [award.value.amount for award in group if award.value]
        day = _day(dossier, group[0])
        if len(group) < 2 or day is None:
            continue
        rows = thresholds.in_force(currency, category(dossier), day)
        passed = [row for row in rows if max(amounts) < row.amount <= total(amounts)]
        if passed:
            row = max(passed, key=lambda row: row.amount)
            explanation = (
                f"{len(group)} awards to one supplier each stay below {figure(row.amount)} "
                f"{currency} ({row.rule}), together they reach {figure(total(amounts))}."
            )
            places = [award.at for award in group]
            yield finding("possible-splitting", Severity.MEDIUM, explanation, *places)


def _day(dossier: Dossier, subject: Award | Contract | Tender) -> date | None:
    own = subject.date if isinstance(subject, Award) else None
    signed = subject.signed if isinstance(subject, Contract) else None
    called = dossier.tender.period if dossier.tender else None
    found = own or signed or (called and called.start) or dossier.published
    return found.day if found else None
