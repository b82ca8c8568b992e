"""A capability as its author declared it, and the bids that may be made for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from mesh.core.registry import CapabilityCard, is_agent, is_capability
from mesh.core.settings import MAX_NAME, MAX_REASON
from mesh.core.values import Acceptance, Amount, Effect, Mode
from mesh.errors import DefinitionError, MeshError, UsageError
from mesh.runtime.bodies import decode
from mesh.runtime.digest import code_digest
from mesh.runtime.failures import clip, summarise
from mesh.runtime.quantities import Money, parse_usd

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out", bound=BaseModel)

NEUTRAL_CONFIDENCE = 0.5
"""Of a bid that does not say how sure it is: neither a boast nor a warning."""
PERMILLE = 1_000
MAX_ETA_S = 10_000_000_000
"""Above every deadline; in milliseconds it is still an integer of 64 bits."""


def permille(share: object, what: str) -> int:
    """Return a share between 0 and 1 in thousandths.

    Raises:
        UsageError: It is not between 0 and 1; the message begins with `what`.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise UsageError(f"{what}: {share!r} must be between 0 and 1")
    return round(share * PERMILLE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bid:
    """I would do it: for this price, in this many seconds, this sure of the result (0 to 1)."""

    eta_s: float
    price_usd: Money = 0
    confidence: float = NEUTRAL_CONFIDENCE

    def __post_init__(self) -> None:
        parse_usd(self.price_usd, "Bid.price_usd")
        permille(self.confidence, "Bid.confidence")
        if not 0 <= self.eta_s <= MAX_ETA_S:
            raise UsageError(f"Bid.eta_s: {self.eta_s!r} must be from zero to {MAX_ETA_S}")

    @property
    def price_micro_usd(self) -> int:
        """The price in millionths of a dollar."""
        return parse_usd(self.price_usd, "Bid.price_usd")

    @property
    def eta_ms(self) -> int:
        """The time in milliseconds."""
        return round(self.eta_s * 1_000)

    @property
    def confidence_permille(self) -> int:
        """The confidence in thousandths."""
        return permille(self.confidence, "Bid.confidence")


@dataclass(frozen=True, kw_only=True, slots=True)
class Decline:
    """I pass, and why."""

    because: str

    def __post_init__(self) -> None:
        if len(self.because) > MAX_REASON:
            raise UsageError(f"Decline.because: must be a text of at most {MAX_REASON} characters")


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """How a capability is to be handled; every field has been checked.

    `budget` None stands for the mesh's default. `restart` says what happens when the code no
    longer fits a running journal: start over, or (False) park the task for a person.
    """

    effect: Effect
    mode: Mode
    budget: Amount | None
    timeout_ms: int
    lease_ms: int
    max_attempts: int
    restart: bool


class Capability(Generic[In, Out]):
    """What an agent offers under a name: a handler with the types of its input and output.

    Made by `@agent.capability(...)`. Pass it to `ctx.delegate` and the result's type is inferred.
    `function` is the author's own function, for tests that need no mesh.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        types: tuple[type[In], type[Out]],
        *,
        plain: bool,
        terms: Terms,
    ) -> None:
        self.name = name
        self.function = function
        self.input_type, self.output_type = types
        self.plain = plain
        self.terms = terms
        self.bidder: Callable[[In], Bid | Decline | None] | None = None

    def __repr__(self) -> str:
        types = f"{self.input_type.__name__} -> {self.output_type.__name__}"
        return f"Capability({self.name}: {types}, {self.terms.effect}, {self.terms.mode})"

    def bid(
        self, function: Callable[[In], Bid | Decline | None]
    ) -> Callable[[In], Bid | Decline | None]:
        """Let `function` answer calls for bids; it is called in the loop, so it must be quick.

        Raises:
            DefinitionError: It is no plain function, or there is one already.
        """
        if not isinstance(function, FunctionType) or function.__code__.co_flags & _ASYNCHRONOUS:
            raise DefinitionError(f"capability {self.name}: bid must be a plain function")
        if function.__code__.co_argcount != 1:
            raise DefinitionError(f"capability {self.name}: bid takes one argument, the input")
        if self.bidder is not None:
            raise DefinitionError(f"capability {self.name} has a bid function already")
        self.bidder = function
        return function

    def offer(self, content: bytes) -> Bid | Decline:
        """Answer a call for bids on this input; whatever the author's function does, one comes.

        Without a bid function the bid is neutral: free, by the time limit, half sure.
        """
        try:
            value = decode(self.input_type, content)
            if self.bidder is None:
                return Bid(eta_s=self.terms.timeout_ms / 1_000)
            offer = self.bidder(value)
        except MeshError as problem:
            return Decline(because=clip(str(problem)))
        # the author's function: whatever it raises, the caller is told, and the instance goes on
        except (Exception, SystemExit, BaseExceptionGroup) as problem:  # noqa: BLE001  # see above
            return Decline(because=clip(f"the bid function raised {summarise(problem)}"))
        if offer is None:
            return Decline(because="passes")
        if not isinstance(offer, Bid | Decline):
            return Decline(because=f"the bid function returned {type(offer).__name__}")
        return offer

    @cached_property
    def digest(self) -> str:
        """The version of the handler's code; read it when the module is complete."""
        assert isinstance(self.function, FunctionType)
        return code_digest(self.function)

    @cached_property
    def _schemas(self) -> tuple[str, str]:
        """The JSON Schemas of input and output."""
        return (
            _schema(self.input_type.model_json_schema(mode="validation")),
            _schema(self.output_type.model_json_schema(mode="serialization")),
        )

    def card(self) -> CapabilityCard:
        """Return the entry for the agent's card, every default spelled out."""
        return self._card(self.digest)

    def check_card(self) -> None:
        """Check what the card will say, while the module is still being imported.

        Raises:
            DefinitionError: A name, a limit or a type cannot stand on a card.
        """
        try:
            self._card("")
        except PydanticUserError as problem:
            reason = str(problem).partition("\n")[0]
            raise DefinitionError(f"capability {self.name}: no JSON Schema: {reason}") from problem

    def _card(self, digest: str) -> CapabilityCard:
        return CapabilityCard(
            name=self.name,
            effect=self.terms.effect,
            mode=self.terms.mode,
            budget=self.terms.budget,
            timeout_ms=self.terms.timeout_ms,
            lease_ms=self.terms.lease_ms,
            max_attempts=self.terms.max_attempts,
            has_bid=self.bidder is not None,
            input_schema=self._schemas[0],
            output_schema=self._schemas[1],
            digest=digest,
            acceptance=Acceptance.AUTOMATIC,
        )


_ASYNCHRONOUS = 0x80 | 0x100 | 0x200  # coroutine, iterable coroutine, asynchronous generator


def _schema(schema: dict[str, Any]) -> str:
    return json.dumps(schema, sort_keys=True, separators=(",", ":"))


def target(
    capability: Capability[Any, Any] | str,
    value: object,
    returns: type[BaseModel] | None,
    mode: Mode | str | None,
    agent: str | None,
) -> tuple[str, type[BaseModel], Mode | None]:
    """Return name, result type and mode of what is delegated to; None leaves it to the card.

    Raises:
        UsageError: The arguments do not fit each other.
    """
    if isinstance(capability, Capability):
        if not isinstance(value, capability.input_type):
            want, got = capability.input_type.__name__, type(value).__name__
            raise UsageError(f"{capability.name} takes {want}, not {got}")
        name, output = capability.name, capability.output_type
        default: Mode | None = capability.terms.mode
    else:
        if returns is None or not isinstance(value, BaseModel):
            raise UsageError(
                f"delegate({capability!r}, ...) needs a pydantic model and the type it returns"
            )
        name, output, default = capability, returns, None
    if not is_capability(name):
        raise UsageError(f"delegate: {name[:MAX_NAME]!r} must be domain.verb in lower case")
    if agent is not None and not is_agent(agent):
        raise UsageError(f"delegate: agent: {agent[:MAX_NAME]!r} is no agent's name")
    if agent is not None and mode is None:
        return name, output, Mode.NAMED
    try:
        chosen = default if mode is None else Mode(mode)
    except ValueError:
        chosen = Mode.NAMED
    if chosen is Mode.NAMED or agent is not None:
        raise UsageError(f"mode: {mode!r} must be direct or auction; to name an agent use agent=")
    return name, output, chosen
