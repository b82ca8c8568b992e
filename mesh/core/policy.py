"""What a submitted task may ask for: ceilings by capability, owner and mesh, and time limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from mesh.core.registry import covers
from mesh.core.settings import Settings
from mesh.core.values import Amount
from mesh.errors import DefinitionError


class Target(StrEnum):
    """What a ceiling is set for."""

    CAPABILITY = "capability"
    OWNER = "owner"


class Ceiling(NamedTuple):
    """The most that a task may ask for of a capability (or `domain.*`), or of an owner's agents."""

    target: Target
    name: str
    amount: Amount


class Objection(NamedTuple):
    """Why a request is refused, and which of its fields is to blame."""

    reason: str
    field: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The ceilings that the operator set; `mesh` holds for everything.

    Raises:
        DefinitionError: A ceiling is negative.
    """

    mesh: Amount
    ceilings: tuple[Ceiling, ...] = ()

    def __post_init__(self) -> None:
        for name, amount in (
            ("mesh", self.mesh),
            *((own.name, own.amount) for own in self.ceilings),
        ):
            if min(amount) < 0:
                raise DefinitionError(f"ceiling of {name} must not be negative")

    def ceiling_for(self, capability: str, owner: str) -> Amount:
        """Return the lowest ceiling that applies, dimension by dimension.

        `owner` is that of the agent that offers the capability, "" where none is known.
        """
        applying = [own.amount for own in self.ceilings if _applies(own, capability, owner)]
        return _lowest((self.mesh, *applying))

    def refusal(
        self, budget: Amount, timeout_ms: int, capability: str, owner: str, settings: Settings
    ) -> Objection | None:
        """Say why a submitted task is refused, None if it may be opened.

        Args:
            budget: What it asks for, defaults filled in.
            timeout_ms: From the record's append time to the deadline.
            capability: What it asks for.
            owner: Of the agent that offers it, "" where none is known.
            settings: How long the log is kept.
        """
        if timeout_ms <= 0:
            return Objection(f"the deadline is {-timeout_ms} ms in the past", "timeout_ms")
        if timeout_ms > settings.retention_ms:
            return Objection(
                f"the deadline is in {timeout_ms} ms, and the log is kept for "
                f"{settings.retention_ms} ms",
                "timeout_ms",
            )
        return _empty(budget) or _above(budget, self.ceiling_for(capability, owner))


def _applies(ceiling: Ceiling, capability: str, owner: str) -> bool:
    if ceiling.target is Target.OWNER:
        return ceiling.name == owner
    return covers((ceiling.name,), capability)


def _lowest(amounts: Iterable[Amount]) -> Amount:
    return Amount(*map(min, zip(*amounts, strict=True)))


def _empty(budget: Amount) -> Objection | None:
    """Refuse what could not pay for anything, or not be tried; no hops only means no delegation."""
    for name, asked in budget._asdict().items():
        if asked < 0:
            return Objection(f"the budget of {asked} {name} is negative", f"budget.{name}")
    if budget.attempts == 0:
        return Objection("the budget is zero: no attempt is allowed", "budget.attempts")
    if not any((budget.micro_usd, budget.tokens, budget.tool_calls)):
        return Objection("the budget is zero: nothing may be spent", "budget")
    return None


def _above(budget: Amount, ceiling: Amount) -> Objection | None:
    for name, asked, most in zip(Amount._fields, budget, ceiling, strict=True):
        if asked > most:
            return Objection(
                f"the budget of {asked} {name} is above the ceiling of {most}", f"budget.{name}"
            )
    return None
