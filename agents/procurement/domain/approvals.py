"""From which amount on a person is asked: a threshold for each buyer and currency.

Who finds a risk, or money that does not add up, wants it lower; who is done with a sound case wants
it higher. What was lowered stays so until a person raises it: else the next sound case would undo
it. Which of two wins that did not know of each other is not decided here but by the mesh's policy.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from agents.procurement.domain.amounts import by_currency, shown
from agents.procurement.dossier import Award, Dossier, Finding, Money, Severity
from agents.procurement.models import Objective, Threshold

STEPS = (Decimal(1), Decimal(2), Decimal(5), Decimal(10))
"""Of each power of ten: a threshold is a round amount, so that not every release moves it."""
WEIGHTY = {
    Objective.RISK: frozenset({Severity.HIGH}),
    Objective.COST: frozenset({Severity.HIGH, Severity.MEDIUM}),
}
"""How grave a finding must be to lower a threshold, by whom it concerns."""


class Proposal(NamedTuple):
    """A threshold that somebody wants, and why."""

    threshold: Threshold
    because: str


def lowered(
    dossier: Dossier, objective: Objective, findings: tuple[Finding, ...]
) -> tuple[Proposal, ...]:
    """Return the thresholds that these findings call for: below the smallest award, by currency."""
    grave = [found for found in findings if found.severity in WEIGHTY[objective]]
    if not grave:
        return ()
    because = f"{grave[0].code} in {dossier.ocid}"
    return tuple(
        _proposal(step_below(min(value.amount for value in values)), currency, objective, because)
        for currency, values in _awarded(dossier).items()
    )


def raised(dossier: Dossier) -> tuple[Proposal, ...]:
    """Return the thresholds under which a sound case like this one asks nobody, by currency."""
    because = f"nothing was found in {dossier.ocid}"
    return tuple(
        _proposal(
            step_above(max(value.amount for value in values)), currency, Objective.SPEED, because
        )
        for currency, values in _awarded(dossier).items()
    )


def _proposal(amount: Decimal, currency: str, objective: Objective, because: str) -> Proposal:
    return Proposal(Threshold(amount=amount, currency=currency, objective=objective), because)


def changed(known: Threshold | None, wanted: Threshold) -> Threshold | None:
    """Return the threshold to write, None where what is known serves as well."""
    if known is None:
        return wanted
    if wanted.objective is Objective.SPEED:
        higher = known.objective is Objective.SPEED and wanted.amount > known.amount
        return wanted if higher else None
    if known.objective is Objective.SPEED or wanted.amount < known.amount:
        return wanted
    return None


def referred(awards: tuple[Award, ...], known: Threshold | None, currency: str) -> list[Award]:
    """Return the awards in a currency of which a person is asked; all where nothing is known."""
    return [
        award
        for award in awards
        if award.value is not None
        and award.value.currency == currency
        and (known is None or award.value.amount >= known.amount)
    ]


def told(awards: list[Award], threshold: Threshold | None) -> str:
    """Say why a person is asked."""
    amounts = ", ".join(shown(award.value) for award in awards if award.value)
    if threshold is None:
        return f"{amounts}, and no threshold holds for this buyer"
    limit = Money(amount=threshold.amount, currency=threshold.currency, at="")
    return f"{amounts}: at or above {shown(limit)}, for {threshold.objective}"


def step_below(amount: Decimal) -> Decimal:
    """Return the largest round amount that is not above `amount`."""
    unit = _unit(amount)
    return max(step * unit for step in STEPS if step * unit <= amount)


def step_above(amount: Decimal) -> Decimal:
    """Return the smallest round amount above `amount`."""
    unit = _unit(amount)
    return min(step * unit for step in STEPS if step * unit > amount)


def _unit(amount: Decimal) -> Decimal:
    return Decimal(1).scaleb(amount.adjusted())


def _awarded(dossier: Dossier) -> dict[str, list[Money]]:
    """Return the positive amounts of the awards that stand, by currency."""
    values = (award.value for award in dossier.distinct_awards())
    return by_currency(value for value in values if value is not None and value.amount > 0)
