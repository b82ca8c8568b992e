"""Holding tender, awards and contracts against each other: dates, amounts, parties, statuses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import chain

from agents.procurement.domain.amounts import percent_above, shown
from agents.procurement.domain.dates import days_between, surely_before
from agents.procurement.dossier import (
    VOID,
    Award,
    Contract,
    Dossier,
    Finding,
    Moment,
    Party,
    Severity,
    finding,
)
from agents.procurement.models import Supplier

FAR_ABOVE_PERCENT = Decimal(20)
"""A contract that exceeds its award by more than this is another contract."""
GROWTH_PERCENT = Decimal(50)
"""EU law lets most modifications grow a contract by at most half (2014/24/EU, article 72(1))."""
LATE_DAYS = 365
"""Payments this long after the period's end are for something else, or very late."""


def review_contracts(dossier: Dossier) -> list[Finding]:
    """Return what contradicts what in dates, amounts and statuses; parties are looked at apart."""
    awards = {award.id: award for award in dossier.distinct_awards() if award.id}
    found: Iterable[Finding] = chain.from_iterable(
        _contract(dossier, contract, awards.get(contract.award_id))
        for contract in dossier.contracts
        if contract.duplicate_of is None
    )
    return [*_award_dates(dossier), *_unlinked(dossier), *found]


def parties_to_compare(dossier: Dossier) -> tuple[Party, ...]:
    """Return who was tenderer, winner, contractor and payee, each mention once."""
    tenderers = dossier.tender.tenderers if dossier.tender else ()
    winners = (party for award in dossier.distinct_awards() for party in award.suppliers)
    contractors = (p for contract in dossier.distinct_contracts() for p in contract.suppliers)
    payees = (p.payee for c in dossier.distinct_contracts() for p in c.payments if p.payee)
    mentions = (p for p in chain(tenderers, winners, contractors, payees) if p.name)
    return tuple({party.at: party for party in mentions}.values())


def review_parties(dossier: Dossier, suppliers: Iterable[Supplier]) -> list[Finding]:
    """Return who won without having bid, signed without having won, or was paid without either.

    `suppliers` says which mentions are one; it comes from whoever resolves suppliers.
    """
    identity = {at: number for number, s in enumerate(suppliers) for at in s.mentions}
    tender, findings = dossier.tender, []
    bidders = {identity.get(p.at) for p in (tender.tenderers if tender else ()) if p.name}
    winners = [p for award in dossier.distinct_awards() for p in award.suppliers if p.name]
    won = {identity.get(party.at) for party in winners}
    if bidders:
        for party in _unknown(winners, bidders, identity):
            explanation = f'"{party.name}" was awarded it and is not among the tenderers.'
            findings.append(finding("winner-did-not-bid", Severity.HIGH, explanation, party.at))
    for contract in dossier.distinct_contracts():
        signed = {identity.get(party.at) for party in contract.suppliers}
        if won:
            for party in _unknown(contract.suppliers, won, identity):
                explanation = f'"{party.name}" signed the contract and did not win it.'
                findings.append(finding("signed-by-another", Severity.HIGH, explanation, party.at))
        payees = [payment.payee for payment in contract.payments if payment.payee]
        if won or signed:
            for party in _unknown(payees, won | signed, identity):
                explanation = f'"{party.name}" was paid, and neither won nor signed.'
                findings.append(finding("paid-to-another", Severity.HIGH, explanation, party.at))
    return findings


def _unknown(
    parties: Iterable[Party], known: set[int | None], identity: dict[str, int]
) -> list[Party]:
    strangers = [p for p in parties if p.name and identity.get(p.at) not in known]
    return list({identity.get(party.at): party for party in reversed(strangers)}.values())[::-1]


def _award_dates(dossier: Dossier) -> Iterator[Finding]:
    period = dossier.tender.period if dossier.tender else None
    for award in dossier.distinct_awards():
        if period and period.end and award.date and surely_before(award.date, period.end):
            explanation = (
                f"Awarded on {award.date.day}, while bids could be handed in until "
                f"{period.end.day}."
            )
            severity = Severity.HIGH if _competitive(dossier) else Severity.LOW
            yield finding(
                "awarded-before-deadline", severity, explanation, award.date.at, period.end.at
            )


def _competitive(dossier: Dossier) -> bool:
    method = dossier.tender.method if dossier.tender else None
    return method is not None and method.competitive


def _unlinked(dossier: Dossier) -> Iterator[Finding]:
    known = {award.id for award in dossier.awards}
    for contract in dossier.distinct_contracts():
        if contract.award_id and dossier.awards and contract.award_id not in known:
            explanation = f'The contract names the award "{contract.award_id}", which is not there.'
            yield finding("award-not-found", Severity.MEDIUM, explanation, contract.at)
    contracted = {contract.award_id for contract in dossier.contracts}
    for award in dossier.distinct_awards():
        if dossier.contracts and award.id not in contracted:
            explanation = f'No contract is published for the award "{award.id}".'
            yield finding("award-without-contract", Severity.LOW, explanation, award.at)


def _contract(dossier: Dossier, contract: Contract, award: Award | None) -> Iterator[Finding]:
    yield from _statuses(dossier, contract)
    yield from _order(dossier, contract, award)
    yield from _amounts(contract, award)
    yield from _payment_dates(contract)


def _statuses(dossier: Dossier, contract: Contract) -> Iterator[Finding]:
    void = [a for a in dossier.awards if a.id == contract.award_id and a.status in VOID]
    if void and contract.status not in VOID:
        explanation = f"The contract stands, and its award is {void[0].status}."
        yield finding("award-is-void", Severity.HIGH, explanation, contract.at, void[0].at)


def _order(dossier: Dossier, contract: Contract, award: Award | None) -> Iterator[Finding]:
    period = contract.period
    start, end = (period.start, period.end) if period else (None, None)
    tender = dossier.tender
    called = tender.period.end if tender and tender.period else None
    too_early = Severity.HIGH if _competitive(dossier) else Severity.LOW
    pairs: tuple[tuple[Moment | None, Moment | None, str, Severity, str], ...] = (
        (contract.signed, called, "signed-before-deadline", too_early,
         "Signed on {0}, while bids could be handed in until {1}."),
        (contract.signed, award.date if award else None, "signed-before-award", Severity.MEDIUM,
         "Signed on {0}, awarded only on {1}."),
        (start, contract.signed, "begun-before-signature", Severity.MEDIUM,
         "The contract runs from {0} and was signed only on {1}."),
        (end, start, "period-reversed", Severity.MEDIUM,
         "The contract ends on {0}, before it begins on {1}."),
        (end, contract.signed, "signed-after-end", Severity.HIGH,
         "The contract ended on {0} and was signed only on {1}."),
    )  # fmt: skip
    for earlier, later, code, severity, explanation in pairs:
        if earlier and later and surely_before(earlier, later):
            told = explanation.format(earlier.day, later.day)
            yield finding(code, severity, told, earlier.at, later.at)


def _amounts(contract: Contract, award: Award | None) -> Iterator[Finding]:
    if contract.value and contract.original and contract.original.amount > 0:
        growth = percent_above(contract.value.amount, contract.original.amount)
        if growth > 0:
            severity = Severity.HIGH if growth > GROWTH_PERCENT else Severity.MEDIUM
            explanation = (
                f"Amendments raised the contract from {shown(contract.original)} to "
                f"{shown(contract.value)}, by {growth} %."
            )
            places = (contract.original.at, contract.value.at)
            yield finding("grown-by-amendments", severity, explanation, *places)
    if not contract.value or not award or not award.value:
        return
    places = (contract.value.at, award.value.at)
    if contract.value.currency != award.value.currency:
        explanation = (
            f"The contract is in {contract.value.currency}, the award in {award.value.currency}; "
            "nothing is converted."
        )
        yield finding("currency-changed", Severity.MEDIUM, explanation, *places)
    elif award.value.amount > 0 and contract.value.amount != award.value.amount:
        above = percent_above(contract.value.amount, award.value.amount)
        told = f"The contract is {shown(contract.value)}, the award {shown(award.value)}"
        if contract.value.amount > award.value.amount:
            severity = Severity.HIGH if above > FAR_ABOVE_PERCENT else Severity.MEDIUM
            yield finding("contract-above-award", severity, f"{told}: {above} % more.", *places)
        else:
            explanation = f"{told}: {-above} % less."
            yield finding("contract-below-award", Severity.LOW, explanation, *places)


def _payment_dates(contract: Contract) -> Iterator[Finding]:
    start = contract.signed or (contract.period and contract.period.start)
    end = contract.period and contract.period.end
    early = [p.date for p in contract.payments if p.date and start and surely_before(p.date, start)]
    late = [
        p.date
        for p in contract.payments
        if p.date and end and days_between(end, p.date) > LATE_DAYS
    ]
    if early and start:
        explanation = f"Paid on {early[0].day}, before the contract of {start.day}."
        places = (*(moment.at for moment in early), start.at)
        yield finding("paid-before-contract", Severity.MEDIUM, explanation, *places)
    if late and end:
        explanation = f"Paid on {late[-1].day}, more than {LATE_DAYS} days after {end.day}."
        places = (*(moment.at for moment in late), end.at)
        yield finding("paid-long-after", Severity.LOW, explanation, *places)
