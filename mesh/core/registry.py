"""Who is there and what they offer: cards, presence, and the directory that is kept of both.

A card says what an agent may do and offers; it changes seldom and is authoritative. Presence says
which processes of it live and how busy they are; it is a hint for choosing whom to ask, and never
a reason to take work away.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple

from mesh.core.settings import MAX_NAME
from mesh.core.values import Acceptance, Amount, Effect, Inbox, Mode
from mesh.errors import DefinitionError

PRESENCE_MS = 45_000
"""Three heartbeats of 15 s: an instance that was not heard of for longer is not asked."""
NEAR_MISSES = 3
"""Names that an error suggests: more is a list to read, not a hint."""
_NOTHING: Mapping[str, int] = {}

_SEGMENT = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_AGENT = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT})*")
_CAPABILITY = re.compile(rf"{_SEGMENT}\.{_SEGMENT}")
_PATTERN = re.compile(rf"\*|{_SEGMENT}\.\*|{_CAPABILITY.pattern}")
_VERSION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})*")


class CardState(StrEnum):
    """Whether work is given to an agent."""

    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, kw_only=True, slots=True)
class CapabilityCard:
    """One capability as an agent offers it, every default spelled out.

    `budget` None is the mesh's default. The schemas are JSON Schemas in JSON. `digest` names the
    version of the handler's code.

    Raises:
        DefinitionError: A field is out of its range; the message names it.
    """

    name: str
    effect: Effect
    mode: Mode
    budget: Amount | None
    timeout_ms: int
    lease_ms: int
    max_attempts: int
    has_bid: bool
    input_schema: str
    output_schema: str
    digest: str
    acceptance: Acceptance

    def __post_init__(self) -> None:
        _check_name("name", self.name, _CAPABILITY, "domain.verb in lower case")
        for field in ("timeout_ms", "lease_ms", "max_attempts"):
            _check(getattr(self, field) >= 1, f"capability {self.name}: {field}", "must be above 0")
        _check(
            self.mode is not Mode.NAMED,
            f"capability {self.name}: mode",
            "cannot be named: only a caller names an agent",
        )
        _check(
            self.budget is None or min(self.budget) >= 0,
            f"capability {self.name}: budget",
            "must not be negative",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """An agent's entry in the registry: who answers for it, its scope, and what it offers.

    `calls` are patterns of the capabilities that it may delegate to: `domain.verb`, `domain.*` or
    `*`. `reads` and `writes` are prefixes of state keys, `tools` names.

    Raises:
        DefinitionError: A field is missing or malformed; the message names it.
    """

    agent: str
    owner: str
    version: str
    purpose: str
    state: CardState = CardState.ACTIVE
    calls: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    capabilities: tuple[CapabilityCard, ...] = ()

    def __post_init__(self) -> None:
        _check_name("agent", self.agent, _AGENT, "lower case, digits, hyphens and dots")
        _check(bool(self.owner.strip()), f"agent {self.agent}: owner", "must not be empty")
        _check(
            _VERSION.fullmatch(self.version) is not None,
            f"agent {self.agent}: version",
            f"must be integers with dots between, like 1.2.0, not {self.version!r}",
        )
        for pattern in self.calls:
            _check_name("calls", pattern, _PATTERN, "domain.verb, domain.* or *")
        for field in ("reads", "writes", "tools"):
            _check(
                all(getattr(self, field)),
                f"agent {self.agent}: {field}",
                "must not hold an empty name",
            )
        names = [offered.name for offered in self.capabilities]
        _check(
            len(set(names)) == len(names),
            f"agent {self.agent}: capabilities",
            "must not hold one name twice",
        )

    def capability(self, name: str) -> CapabilityCard | None:
        """Return the capability of that name, None when the agent does not offer it."""
        for offered in self.capabilities:
            if offered.name == name:
                return offered
        return None


class Handler(NamedTuple):
    """A capability that a process serves, with the digest of the code that it runs for it."""

    capability: str
    digest: str


class Presence(NamedTuple):
    """One living process: where it reads, what it runs, how busy it is.

    While versions are rolled out its `handlers` may differ from the card's: it is asked for what
    stands in both.
    """

    instance: str
    incarnation: int
    agent: str
    inbox: Inbox
    load: int
    slots: int
    handlers: tuple[Handler, ...]
    draining: bool = False

    def digest(self, capability: str) -> str:
        """Return the digest of the handler that it runs for `capability`, "" for none."""
        return next((own.digest for own in self.handlers if own.capability == capability), "")


class Offering:
    """Mutable: the instances that may be asked for one capability, sorted by instance id.

    Look-ups and changes cost the logarithm of their number, so that a choice among a thousand
    costs what one among ten does. `placed` is what each was given since it told its load.
    """

    __slots__ = ("_agents", "_by_agent", "_instances", "capability", "placed")

    def __init__(
        self,
        capability: str,
        instances: Iterable[Presence] = (),
        placed: Mapping[str, int] = _NOTHING,
    ) -> None:
        self.capability = capability
        self.placed = placed
        self._instances: list[Presence] = []
        self._agents: list[str] = []
        self._by_agent: dict[str, list[Presence]] = {}
        for presence in instances:
            self.put(presence)

    def __repr__(self) -> str:
        return f"Offering({self.capability}, {len(self._instances)} of {self._agents})"

    def __len__(self) -> int:
        return len(self._instances)

    def __iter__(self) -> Iterator[Presence]:
        return iter(self._instances)

    @property
    def instances(self) -> Sequence[Presence]:
        """All instances; a live view that must not be changed."""
        return self._instances

    @property
    def agents(self) -> Sequence[str]:
        """The names of the agents they belong to, sorted; a live view."""
        return self._agents

    def of(self, agent: str) -> Sequence[Presence]:
        """Return the instances of one agent, sorted by instance id; a live view."""
        return self._by_agent.get(agent, ())

    def find(self, instance: str) -> Presence | None:
        """Return the presence of one instance, None when it is not among them."""
        place = bisect_left(self._instances, instance, key=_instance_of)
        found = place < len(self._instances) and self._instances[place].instance == instance
        return self._instances[place] if found else None

    def load(self, presence: Presence) -> int:
        """Return the best guess at how many handlers an instance of these runs now."""
        return max(0, presence.load + self.placed.get(presence.instance, 0))

    def put(self, presence: Presence) -> None:
        """Add an instance, or replace what was known of it (its agent never changes)."""
        if presence.agent not in self._by_agent:
            insort(self._agents, presence.agent)
        _put(self._instances, presence)
        _put(self._by_agent.setdefault(presence.agent, []), presence)

    def drop(self, instance: str) -> None:
        """Remove an instance; nothing happens if it is not among them."""
        presence = self.find(instance)
        if presence is None:
            return
        siblings = self._by_agent[presence.agent]
        self._instances.remove(presence)
        siblings.remove(presence)
        if not siblings:
            del self._by_agent[presence.agent]
            self._agents.remove(presence.agent)

    def without(self, agents: Collection[str]) -> Offering:
        """Return those that belong to none of `agents`: itself when there is none to leave out."""
        if not any(agent in self._by_agent for agent in agents):
            return self
        left = (own for own in self if own.agent not in agents)
        return Offering(self.capability, left, self.placed)

    def only(self, agent: str) -> Offering:
        """Return those of one agent."""
        own = self._by_agent.get(agent, [])
        made = Offering(self.capability, placed=self.placed)
        made._instances = list(own)  # sorted already, so that this is no more than two copies
        made._by_agent = {agent: list(own)} if own else {}
        made._agents = list(made._by_agent)
        return made


class Directory:
    """Mutable: the cards and the presence that this instance has seen, indexed by capability."""

    __slots__ = ("_agents", "_cards", "_instances", "_offerings", "_placed", "_presence", "_seen")

    def __init__(self) -> None:
        self._cards: dict[str, Card] = {}
        self._presence: dict[str, Presence] = {}
        self._seen: dict[str, int] = {}
        self._instances: dict[str, set[str]] = {}
        self._agents: dict[str, list[str]] = {}
        self._offerings: dict[str, Offering] = {}
        self._placed: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"Directory({len(self._cards)} cards, {len(self._presence)} instances)"

    def see_card(self, agent: str, card: Card | None) -> str:
        """Take note of a card, or with None of its withdrawal, which frees the name.

        Returns:
            "" when it was accepted, else why not; then nothing changed.
        """
        known = self._cards.get(agent)
        reason = objection(agent, known, card)
        if reason:
            return reason
        if known is not None:
            del self._cards[agent]
            for name in _active(known):
                self._agents[name].remove(agent)
        if card is not None:
            self._cards[agent] = card
            for name in _active(card):
                insort(self._agents.setdefault(name, []), agent)
        for instance in self._instances.get(agent, ()):
            self._reindex(self._presence[instance])
        return ""

    def see_presence(self, instance: str, presence: Presence | None, seen_ms: int) -> str:
        """Take note of an instance's presence, or with None of its goodbye.

        Args:
            instance: Its id, the record's key.
            presence: What it says of itself.
            seen_ms: When the record was appended; `expire` counts from here.

        Returns:
            "" when it was accepted, else why not; then nothing changed.
        """
        if presence is None:
            self._forget(instance)
            return ""
        if presence.instance != instance:
            return f"the presence under the key {instance} is that of {presence.instance}"
        known = self._presence.get(instance)
        if known is not None and presence.incarnation < known.incarnation:
            return (
                f"{instance} is in its incarnation {known.incarnation}, "
                f"this is of its earlier {presence.incarnation}"
            )
        if known is not None and known.agent != presence.agent:
            return f"{instance} is an instance of {known.agent}, not of {presence.agent}"
        if known is not None and known.handlers != presence.handlers:
            self._forget(instance)
        self._placed.pop(instance, None)
        self._presence[instance] = presence
        self._seen[instance] = seen_ms
        self._instances.setdefault(presence.agent, set()).add(instance)
        self._reindex(presence)
        return ""

    def placed(self, instance: str, by: int) -> None:
        """Count work that an instance was given, or with -1 gave up, until it tells its load."""
        if instance in self._presence:
            self._placed[instance] = self._placed.get(instance, 0) + by

    def expire(self, now_ms: int) -> tuple[str, ...]:
        """Forget the instances that were not heard of for `PRESENCE_MS`; return their ids."""
        gone = tuple(sorted(i for i, seen in self._seen.items() if seen + PRESENCE_MS < now_ms))
        for instance in gone:
            self._forget(instance)
        return gone

    def card(self, agent: str) -> Card | None:
        """Return an agent's card, None when it has none."""
        return self._cards.get(agent)

    def presence(self, instance: str) -> Presence | None:
        """Return what is known of an instance, None when it is not there."""
        return self._presence.get(instance)

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents that have a card, sorted."""
        return tuple(sorted(self._cards))

    def present(self) -> tuple[tuple[Presence, int], ...]:
        """Return every instance that is known, with the append time of its latest word."""
        return tuple((own, self._seen[name]) for name, own in sorted(self._presence.items()))

    def capability(self, name: str) -> CapabilityCard | None:
        """Return a capability as the first, by name, of the active agents that offer it has it."""
        agents = self._agents.get(name)
        return self._cards[agents[0]].capability(name) if agents else None

    def agents_offering(self, capability: str) -> tuple[str, ...]:
        """Name the active agents whose cards offer `capability`, alive or not, sorted."""
        return tuple(self._agents.get(capability, ()))

    def offering(self, capability: str) -> Offering:
        """Return whom to ask for `capability`: alive, active, not draining; a live view."""
        return self._offerings.get(capability) or Offering(capability)

    def near(self, name: str) -> tuple[str, ...]:
        """Return offered capabilities whose names resemble `name`, for an error's suggestion."""
        offered = sorted(own for own, agents in self._agents.items() if agents)
        return tuple(get_close_matches(name, offered, n=NEAR_MISSES))

    def _reindex(self, presence: Presence) -> None:
        card = self._cards.get(presence.agent)
        offered = () if card is None or presence.draining else _active(card)
        for handler in presence.handlers:
            name = handler.capability
            if name in offered:
                known = self._offerings.get(name)
                if known is None:
                    known = self._offerings[name] = Offering(name, placed=self._placed)
                known.put(presence)
            elif name in self._offerings:
                self._offerings[name].drop(presence.instance)

    def _forget(self, instance: str) -> None:
        presence = self._presence.pop(instance, None)
        if presence is None:
            return
        del self._seen[instance]
        self._placed.pop(instance, None)
        self._instances[presence.agent].discard(instance)
        for handler in presence.handlers:
            if handler.capability in self._offerings:
                self._offerings[handler.capability].drop(instance)


def is_capability(name: str) -> bool:
    """Say whether a capability can be called so: `domain.verb`."""
    return len(name) <= MAX_NAME and _CAPABILITY.fullmatch(name) is not None


def is_agent(name: str) -> bool:
    """Say whether an agent can be called so."""
    return len(name) <= MAX_NAME and _AGENT.fullmatch(name) is not None


def covers(patterns: Iterable[str], capability: str) -> bool:
    """Say whether a scope allows `capability`: by its exact name, as `domain.*`, or as `*`."""
    return any(
        pattern in ("*", capability)
        or (pattern.endswith(".*") and capability.startswith(pattern[:-1]))
        for pattern in patterns
    )


def version_key(version: str) -> tuple[int, ...]:
    """Return what versions are ordered by: 1.10 is above 1.9, 1.0 and 1 are the same."""
    parts = [int(part) for part in version.split(".")]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def objection(agent: str, known: Card | None, card: Card | None) -> str:
    """Say why a card, None for a withdrawal, may not follow the one that is known, "" if it may."""
    if card is None:
        return ""
    if card.agent != agent:
        return f"the card under the key {agent} is that of {card.agent}"
    if known is None:
        return ""
    if card.owner != known.owner:
        return f"agent {agent} belongs to {known.owner}, and {card.owner} asks for its name"
    if version_key(card.version) < version_key(known.version):
        return f"agent {agent} is at version {known.version}, and {card.version} would go back"
    return ""


def _active(card: Card) -> tuple[str, ...]:
    if card.state is not CardState.ACTIVE:
        return ()
    return tuple(offered.name for offered in card.capabilities)


_instance_of: Callable[[Presence], str] = attrgetter("instance")


def _put(sorted_by_instance: list[Presence], presence: Presence) -> None:
    place = bisect_left(sorted_by_instance, presence.instance, key=_instance_of)
    known = place < len(sorted_by_instance)
    if known and sorted_by_instance[place].instance == presence.instance:
        sorted_by_instance[place] = presence
    else:
        sorted_by_instance.insert(place, presence)


def _check(holds: bool, field: str, rule: str) -> None:
    if not holds:
        raise DefinitionError(f"{field} {rule}")


def _check_name(field: str, name: str, pattern: re.Pattern[str], shape: str) -> None:
    fits = len(name) <= MAX_NAME and pattern.fullmatch(name) is not None
    _check(fits, field, f"must be {shape}, at most {MAX_NAME} characters, not {name!r}")
