"""Inputs and outputs of every capability. The record they share stands in `dossier.py`."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue

from agents.procurement.documents import DocumentError, load, release_pointer
from agents.procurement.dossier import (
    Dossier,
    Finding,
    Missing,
    Model,
    Money,
    Number,
    Party,
    Pointer,
)

MAX_REFERENCE = 2_000
"""Price points in one request: enough for any class of one publisher, and still one message."""


def _readable(release: str | dict[str, JsonValue]) -> str | dict[str, JsonValue]:
    try:
        document = load(release)
        release_pointer(document)
    except DocumentError as error:
        raise ValueError(str(error)) from error
    return release


Release = Annotated[str | dict[str, JsonValue], AfterValidator(_readable)]
"""A release as published: the JSON object, or its text where floats would lose digits."""


class Basis(StrEnum):
    """What an amount pays for."""

    TOTAL = "total"
    UNIT = "unit"


class PricePoint(Model):
    """What was paid, or estimated, for one class of goods, works or services in one process."""

    ocid: str
    at: Pointer
    kind: str
    basis: Basis
    scheme: str
    code: str
    label: str
    unit: str = ""
    amount: Number
    currency: str


class Limit(Model):
    """An amount above which the buyer needs an authority that the caller knows of."""

    name: str
    amount: Number
    currency: str


class Policy(Model):
    """What the caller wants screened how strictly. The defaults name where they come from."""

    short_period_days: int = Field(default=15, ge=1)  # OCP Cardinal R003's default
    simplified_period_days: int = Field(default=7, ge=1)  # requests for quotations
    near_threshold_percent: Number = Decimal(5)
    above_estimate_percent: Number = Decimal(10)
    min_comparables: int = Field(default=5, ge=3)
    outlier_score: Number = Decimal("3.5")  # Iglewicz and Hoaglin 1993
    limits: tuple[Limit, ...] = ()


class ReviewRequest(Model):
    """Review this release. `reference` is what its prices may be compared with."""

    release: Release
    reference: tuple[PricePoint, ...] = Field(default=(), max_length=MAX_REFERENCE)
    policy: Policy = Policy()
    source: str = ""


class NormaliseRequest(Model):
    """Read this release."""

    release: Release


class Step(StrEnum):
    """A part of an investigation."""

    SUPPLIERS = "suppliers"
    SCREEN = "screen"
    COMPARABLES = "comparables"
    CONTRACTS = "contracts"
    FINANCE = "finance"


class InvestigateRequest(Model):
    """Look into what the plan asks for. `release` is there to hold findings against."""

    release: Release
    dossier: Dossier
    steps: tuple[Step, ...]
    reference: tuple[PricePoint, ...] = Field(default=(), max_length=MAX_REFERENCE)
    policy: Policy = Policy()


class ResolveRequest(Model):
    """Tell which of these mentions are one and the same company or person."""

    mentions: tuple[Party, ...]
    buyer: Party | None = None


class Supplier(Model):
    """One company or person, under all the spellings and numbers it was mentioned with.

    `key` is what it is called in the keys of shared state, whatever release names it.
    """

    name: str
    spellings: tuple[str, ...]
    identifiers: tuple[str, ...]
    roles: tuple[str, ...]
    mentions: tuple[Pointer, ...]
    confidence: Number
    because: str
    key: str = ""


class Resolution(Model):
    """Who is who among the mentions."""

    suppliers: tuple[Supplier, ...]
    findings: tuple[Finding, ...] = ()


class RetrieveRequest(Model):
    """Find what the prices of this dossier may be compared with."""

    dossier: Dossier
    reference: tuple[PricePoint, ...] = Field(max_length=MAX_REFERENCE)
    min_comparables: int = Field(ge=3)


class Comparison(Model):
    """One price of the release, and the comparable prices found for it.

    `level` says how alike: the code, or the part of it that agrees. Too few comparables are
    handed over all the same, with `enough` false, and nothing may be concluded from them.
    """

    subject: PricePoint
    owner: Pointer
    level: str
    amounts: tuple[Number, ...]
    enough: bool


class Comparables(Model):
    """The comparisons that the reference allows, and why others cannot be made."""

    comparisons: tuple[Comparison, ...]
    unusable: tuple[Missing, ...] = ()


class ScreenRequest(Model):
    """Screen this dossier for signs of risk."""

    dossier: Dossier
    comparables: Comparables = Comparables(comparisons=())
    policy: Policy = Policy()


class Skipped(Model):
    """A place that was not looked at, or a test that could not be made, and why."""

    at: Pointer
    because: str


class Screening(Model):
    """What one screen found. `covered` names the awards and contracts it looked at."""

    agent: str
    covered: tuple[Pointer, ...]
    skipped: tuple[Skipped, ...] = ()
    findings: tuple[Finding, ...] = ()
    attempt: int = 1


class VerifyRequest(Model):
    """Hold tender, awards and contracts of this dossier against each other."""

    dossier: Dossier


class ContractReview(Model):
    """What contradicts what, from tender through award to contract, and who is who in it."""

    covered: tuple[Pointer, ...]
    suppliers: tuple[Supplier, ...] = ()
    findings: tuple[Finding, ...] = ()


class AuditRequest(Model):
    """Check the money of this dossier."""

    dossier: Dossier
    limits: tuple[Limit, ...] = ()


class Total(Model):
    """The sum of one stage in one currency, with the amounts it is made of."""

    stage: str
    money: Money
    parts: tuple[Pointer, ...]


class FinanceReview(Model):
    """Exact sums by stage and currency, and what does not add up."""

    totals: tuple[Total, ...]
    findings: tuple[Finding, ...] = ()


class Gap(Model):
    """A step that was planned and not done, and why."""

    step: Step
    because: str


class Diligence(Model):
    """What the specialists brought back."""

    suppliers: tuple[Supplier, ...] = ()
    screenings: tuple[Screening, ...] = ()
    contracts: ContractReview | None = None
    finance: FinanceReview | None = None
    findings: tuple[Finding, ...] = ()
    gaps: tuple[Gap, ...] = ()


class Decision(StrEnum):
    """What is to be done with the case."""

    CLEAR = "clear"
    REVIEW = "review"
    INCOMPLETE = "incomplete"


class AssessRequest(Model):
    """Weigh what was found against the release. `defects` are those of its data."""

    release: Release
    needs: int
    missing: tuple[Missing, ...]
    defects: tuple[Finding, ...] = ()
    findings: tuple[Finding, ...] = ()
    gaps: tuple[Gap, ...] = ()


class Reason(Model):
    """Why the decision is what it is, in words, with the places that show it."""

    because: str
    evidence: tuple[Pointer, ...]


class Assessment(Model):
    """The decision with its reasons; `dismissed` are findings that did not stand up."""

    decision: Decision
    reasons: tuple[Reason, ...] = Field(min_length=1)
    findings: tuple[Finding, ...] = ()
    dismissed: tuple[Finding, ...] = ()
    confidence: Number


class Review(Model):
    """The end of it: what was decided about the release, and on what it rests.

    `referred` are the recommended awards of which a person is asked first: the buyer's threshold
    says so, and that is shared state, which other cases move.
    """

    ocid: str
    source: str = ""
    decision: Decision
    reasons: tuple[Reason, ...]
    findings: tuple[Finding, ...]
    missing: tuple[Missing, ...]
    suppliers: tuple[Supplier, ...] = ()
    totals: tuple[Total, ...] = ()
    screened_by: tuple[str, ...] = ()
    steps: tuple[Step, ...]
    left_out: tuple[Skipped, ...] = ()
    gaps: tuple[Gap, ...] = ()
    referred: tuple[Pointer, ...] = ()
    confidence: Number


# --- shared state -------------------------------------------------------------------------------


class Identity(Model):
    """Who a supplier is: what all releases that named it say together."""

    name: str
    identifiers: tuple[str, ...]
    confidence: Number


class Objective(StrEnum):
    """What a change of a threshold serves; which comes first is said by the mesh's policy."""

    RISK = "risk"
    COST = "cost"
    SPEED = "speed"


class Threshold(Model):
    """From `amount` on a person is asked, and what that serves.

    Why it is so stands beside the value: two that want the same for two reasons do not disagree.
    """

    amount: Number
    currency: str
    objective: Objective


# --- sourcing -----------------------------------------------------------------------------------


class Need(Model):
    """Find somebody who sells so many of an item, at no more than the target price for each."""

    item: str
    quantity: int = Field(ge=1)
    target_price: Number
    currency: str


class Quote(Model):
    """What one supplier asks for each, and when it said so."""

    supplier: str
    unit_price: Number
    currency: str
    received_at: str


class Sourced(Model):
    """The best quote, and how often everybody was asked."""

    quote: Quote
    rounds: int
