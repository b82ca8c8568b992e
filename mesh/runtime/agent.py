"""An agent as its author declares it. Everything is checked when the module is imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Never, Protocol, TypeVar, overload

from pydantic import BaseModel

from mesh.core.keys import is_prefix
from mesh.core.registry import Card
from mesh.core.settings import MIN_LEASE_MS, Settings
from mesh.core.values import Effect, Mode
from mesh.errors import DefinitionError, UsageError
from mesh.runtime.capability import Capability, In, Out, Terms
from mesh.runtime.context import Context
from mesh.runtime.quantities import Budget, Duration, parse_budget, parse_duration
from mesh.runtime.signature import read_signature
from mesh.runtime.tools import describe, parse_effect

DEFAULTS = Settings()
Value = TypeVar("Value")


class Declare(Protocol):
    """Makes a capability of a handler; what `@agent.capability(...)` returns."""

    @overload
    def __call__(
        self, handler: Callable[[Context, In], Coroutine[Any, Any, Out]], /
    ) -> Capability[In, Out]: ...

    @overload
    def __call__(self, handler: Callable[[In], Out], /) -> Capability[In, Out]: ...


class Agent:
    """A named role: who answers for it, what it may do, and what it offers.

    Args:
        name: Lower case, digits and hyphens; one agent of that name in a mesh.
        owner: The team or person that answers for it.
        version: Integers with dots; only grows.
        purpose: What it is for, in a sentence.
        calls: Patterns of the capabilities that it may delegate to: `domain.verb`, `domain.*`, `*`.
        reads: Prefixes of the state keys that it reads: `suppliers` stands for `suppliers/acme`
            and all else below; its process holds what they reach in memory. `*` for any.
        writes: Prefixes of the state keys that it proposes writes to; to read them is another
            right, so what it updates stands in both.
        tools: The tools that it may use, as functions or by name; `*` for any.

    Raises:
        DefinitionError: One of these is missing or malformed; the message says what to do.
    """

    def __init__(  # noqa: PLR0913  # what stands on the card, each with its default
        self,
        name: str,
        *,
        owner: str = "",
        version: str = "0.1.0",
        purpose: str = "",
        calls: Iterable[str] = (),
        reads: Iterable[str] = (),
        writes: Iterable[str] = (),
        tools: Iterable[str | Callable[..., object]] = (),
        **unknown: Never,
    ) -> None:
        _refuse_unknown(unknown, Agent.__init__, f"Agent({name!r})")
        self._capabilities: dict[str, Capability[Any, Any]] = {}
        what = f"Agent({name!r})"
        self._card = Card(
            agent=name,
            owner=owner,
            version=version,
            purpose=purpose,
            calls=_names(calls, f"{what}: calls"),
            reads=_prefixes(reads, f"{what}: reads"),
            writes=_prefixes(writes, f"{what}: writes"),
            tools=tuple(own if isinstance(own, str) else describe(own).name for own in tools),
        )

    def __repr__(self) -> str:
        return f"Agent({self.name} {self._card.version}, {list(self._capabilities)})"

    @property
    def name(self) -> str:
        """The agent's name."""
        return self._card.agent

    @property
    def owner(self) -> str:
        """Who answers for it."""
        return self._card.owner

    @property
    def capabilities(self) -> Mapping[str, Capability[Any, Any]]:
        """What it offers, by name; a live view."""
        return MappingProxyType(self._capabilities)

    def capability(  # noqa: PLR0913  # options of one declaration, each with its default
        self,
        name: str,
        *,
        effect: Effect | str = Effect.IDEMPOTENT,
        mode: Mode | str = Mode.DIRECT,
        budget: Budget | None = None,
        timeout: Duration | None = None,
        lease: Duration | None = None,
        max_attempts: int = DEFAULTS.max_attempts,
        on_mismatch: str = "park",
        **unknown: Never,
    ) -> Declare:
        """Offer a capability: `async (ctx, In) -> Out`, or a plain function `(In) -> Out`.

        Args:
            name: `domain.verb`.
            effect: What doing it twice would mean: `pure`, `idempotent`, `keyed`, `compensable` or
                `irreversible`. A plain function may only be one of the first two.
            mode: How a worker is found unless the caller says: `direct` or `auction`.
            budget: What a task may cost unless the caller says; a dimension left out is the mesh's
                default.
            timeout: A task's deadline unless the caller says.
            lease: How soon a dead worker is noticed; shorter costs renewals.
            max_attempts: How often it is tried.
            on_mismatch: When the code no longer fits a running journal: `park` the task for a
                person, or `restart` it from the beginning (pure and idempotent handlers only).
            unknown: Nothing else is accepted.

        Raises:
            DefinitionError: One of these is malformed, or the handler is; see its message.
        """
        what = f"agent {self.name}, capability {name}"
        _refuse_unknown(unknown, Agent.capability, what)
        if name in self._capabilities:
            raise DefinitionError(f"{what}: is declared twice")
        try:
            restart = _choice(on_mismatch, ("park", "restart"), f"{what}: on_mismatch") == "restart"
            terms = Terms(
                effect=parse_effect(effect, what),
                mode=_choice(mode, (Mode.DIRECT, Mode.AUCTION), f"{what}: mode"),
                budget=None
                if budget is None
                else parse_budget(budget, DEFAULTS.budget, f"{what}: budget"),
                timeout_ms=DEFAULTS.timeout_ms
                if timeout is None
                else parse_duration(timeout, f"{what}: timeout"),
                lease_ms=DEFAULTS.work_lease_ms
                if lease is None
                else parse_duration(lease, f"{what}: lease"),
                max_attempts=max_attempts,
                restart=restart,
            )
        except DefinitionError:
            raise
        except UsageError as problem:
            raise DefinitionError(str(problem)) from None

        def declare(handler: Callable[..., Any]) -> Capability[Any, Any]:
            frame = inspect.currentframe()
            scope = frame.f_back.f_locals if frame is not None and frame.f_back is not None else {}
            return self._declare(name, handler, terms, scope)

        return declare

    def _declare(
        self, name: str, handler: Callable[..., Any], terms: Terms, scope: Mapping[str, Any]
    ) -> Capability[Any, Any]:
        what = f"agent {self.name}, capability {name}"
        given, output, plain = read_signature(handler, Context, scope, what)
        repeatable = terms.effect in (Effect.PURE, Effect.IDEMPOTENT)
        if plain and not repeatable:
            raise DefinitionError(
                f"{what}: a plain function is run again after a crash, so it cannot be "
                f"{terms.effect}; write `async def` with a context"
            )
        if terms.lease_ms < MIN_LEASE_MS:
            raise DefinitionError(
                f"{what}: a lease of {terms.lease_ms} ms cannot be held, for clocks differ; "
                f"give at least {MIN_LEASE_MS} ms"
            )
        if terms.restart and not repeatable:
            raise DefinitionError(
                f"{what}: on_mismatch='restart' would do it twice, and it is {terms.effect}"
            )
        capability: Capability[BaseModel, BaseModel] = Capability(
            name, handler, (given, output), plain=plain, terms=terms
        )
        capability.check_card()
        self._capabilities[name] = capability
        return capability

    def card(self) -> Card:
        """Return the agent's entry for the registry; read it when the module is complete."""
        own = self._card
        return Card(
            agent=own.agent,
            owner=own.owner,
            version=own.version,
            purpose=own.purpose,
            calls=own.calls,
            reads=own.reads,
            writes=own.writes,
            tools=own.tools,
            capabilities=tuple(offered.card() for offered in self._capabilities.values()),
        )


def _names(names: Iterable[str], what: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise DefinitionError(f"{what}: must be a list of names; write [{names!r}]")
    listed = tuple(names)
    if not all(isinstance(name, str) for name in listed):
        raise DefinitionError(f"{what}: must be a list of names, not {listed!r}")
    return listed


def _prefixes(names: Iterable[str], what: str) -> tuple[str, ...]:
    listed = _names(names, what)
    for name in listed:
        if not is_prefix(name):
            raise DefinitionError(
                f"{what}: {name!r} is no prefix of keys; write `*`, or segments parted by `/` like "
                "suppliers or suppliers/eu"
            )
    return listed


def _choice(value: Value | str, known: tuple[Value, ...], what: str) -> Value:
    for one in known:
        if one == value:
            return one
    listed = " or ".join(str(one) for one in known)
    raise DefinitionError(f"{what}: must be {listed}, not {value!r}")


def _refuse_unknown(unknown: Mapping[str, object], function: Callable[..., Any], what: str) -> None:
    for name in unknown:
        known = [own for own in inspect.signature(function).parameters if own != "unknown"]
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known[2:])}"
        raise DefinitionError(f"{what}: there is no argument {name}{hint}")
