"""The normalised record of one release: what the specialists work on.

Every value carries the JSON pointer of where it was published (`at`), so that a finding can be
traced, and nothing stands here that was not published. None means: not published, or published in
a way that cannot be used, which `Dossier.findings` and `Dossier.missing` then say.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer


class Model(BaseModel):
    """Base of all that travels between the agents: frozen, and no unknown field passes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _no_float(value: object) -> object:
    if isinstance(value, float):
        raise ValueError("a float is not exact; give the number as a string")  # noqa: TRY004  # what pydantic takes for a refusal
    return value


Pointer = Annotated[str, Field(pattern=r"^(/([^~/]|~[01])*)*$")]
"""A JSON pointer into the release as it was submitted; "" is the whole of it."""

Number = Annotated[
    Decimal,
    BeforeValidator(_no_float),
    Field(allow_inf_nan=False),
    PlainSerializer(lambda value: format(value, "f"), return_type=str, when_used="json"),
]
"""An exact number; a string in JSON, never a float."""


class Severity(StrEnum):
    """How much a finding weighs. `info` and `low` never make a case."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Finding(Model):
    """One observation, in words, with the places in the release that show it."""

    code: str
    severity: Severity
    explanation: str
    evidence: tuple[Pointer, ...] = Field(min_length=1)
    source: str = ""


def finding(
    code: str, severity: Severity, explanation: str, *evidence: str, source: str = ""
) -> Finding:
    """Return a finding; the same place counts once as evidence."""
    return Finding(
        code=code,
        severity=severity,
        explanation=explanation,
        evidence=tuple(dict.fromkeys(evidence)),
        source=source,
    )


class Missing(Model):
    """Something a review needs and the release does not give: `at` is where it should stand."""

    at: Pointer
    nearest: Pointer
    reason: str
    essential: bool


class Money(Model):
    """An exact amount in one currency (ISO 4217)."""

    amount: Number
    currency: str
    at: Pointer


class Moment(Model):
    """A day, and the instant where a time with its zone was published."""

    day: date
    instant: datetime | None = None
    at: Pointer


class Period(Model):
    """From when to when; `days` as published, not computed."""

    start: Moment | None = None
    end: Moment | None = None
    days: int | None = None
    at: Pointer


class Text(Model):
    """A text with its place."""

    text: str
    at: Pointer


class Count(Model):
    """A number of things with its place."""

    count: int
    at: Pointer


class Identifier(Model):
    """An organisation's number in a register; scheme `local` means: only within this release."""

    scheme: str
    id: str


class Party(Model):
    """An organisation or person as mentioned at one place, with what `parties` adds to it."""

    name: str
    aliases: tuple[str, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    role: str
    at: Pointer


class Classification(Model):
    """What is bought, in the terms of a classification scheme; `code` may be empty."""

    scheme: str
    code: str
    label: str
    at: Pointer


class Line(Model):
    """One item of a tender, award or contract."""

    description: str = ""
    classification: Classification | None = None
    quantity: Number | None = None
    unit: str = ""
    unit_price: Money | None = None
    at: Pointer


class Method(Model):
    """How suppliers were sought. `code` is OCDS's own or "" where the wording is not known.

    `competitive` says that others could have won; `simplified` that shorter periods are usual.
    """

    code: str
    competitive: bool
    simplified: bool = False
    published: str
    at: Pointer


class Bid(Model):
    """One bid that was published with its amount."""

    value: Money | None = None
    date: Moment | None = None
    bidders: tuple[Party, ...] = ()
    status: str = ""
    at: Pointer


class Tender(Model):
    """The call: what was asked for, how, until when, and who answered."""

    title: Text | None = None
    status: str = ""
    category: str = ""
    method: Method | None = None
    rationale: Text | None = None
    value: Money | None = None
    minimum: Money | None = None
    period: Period | None = None
    tenderer_count: Count | None = None
    tenderers: tuple[Party, ...] = ()
    lines: tuple[Line, ...] = ()
    documents: int = 0
    at: Pointer


class Award(Model):
    """What was awarded to whom. `duplicate_of` points to an earlier award that says the same."""

    id: str = ""
    status: str = ""
    date: Moment | None = None
    value: Money | None = None
    suppliers: tuple[Party, ...] = ()
    lines: tuple[Line, ...] = ()
    documents: int = 0
    duplicate_of: Pointer | None = None
    at: Pointer


class Payment(Model):
    """One payment made under a contract."""

    value: Money | None = None
    date: Moment | None = None
    payee: Party | None = None
    at: Pointer


class Contract(Model):
    """What was signed. `original` is its value before the amendments, where they tell it."""

    id: str = ""
    award_id: str = ""
    status: str = ""
    signed: Moment | None = None
    period: Period | None = None
    value: Money | None = None
    original: Money | None = None
    suppliers: tuple[Party, ...] = ()
    lines: tuple[Line, ...] = ()
    payments: tuple[Payment, ...] = ()
    documents: int = 0
    duplicate_of: Pointer | None = None
    at: Pointer


class Stage(StrEnum):
    """How far the contracting process has come, by what the release contains."""

    PLANNING = "planning"
    TENDER = "tender"
    AWARD = "award"
    CONTRACT = "contract"


class Dossier(Model):
    """One release, normalised. `needs` counts what a review needs at this stage, met or not."""

    ocid: str
    base: Pointer
    stage: Stage
    language: str = ""
    published: Moment | None = None
    buyer: Party | None = None
    budget: Money | None = None
    tender: Tender | None = None
    bids: tuple[Bid, ...] = ()
    awards: tuple[Award, ...] = ()
    contracts: tuple[Contract, ...] = ()
    findings: tuple[Finding, ...] = ()
    missing: tuple[Missing, ...] = ()
    needs: int = 0

    def distinct_awards(self) -> tuple[Award, ...]:
        """Return the awards that stand and are no repetition of another."""
        return tuple(a for a in self.awards if a.duplicate_of is None and a.status not in VOID)

    def distinct_contracts(self) -> tuple[Contract, ...]:
        """Return the contracts that stand and are no repetition of another."""
        return tuple(c for c in self.contracts if c.duplicate_of is None and c.status not in VOID)


VOID = frozenset({"cancelled", "unsuccessful", "withdrawn"})
"""Statuses of awards and contracts that came to nothing."""
