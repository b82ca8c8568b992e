"""Halts: orders that stop a workflow, an agent or a capability, and their lifting.

An order names its target, and its number is above that of the order which it replaces: so it is
made for what its author saw. Of two for one target the first in the log has a number, the second
changes nothing. A target that was lifted keeps its last order, so that why stays known.

Who sees a halt begins no step under it: not a new call of a handler, not an award, not a call for
bids. What was begun ends, and is recorded. Whether a fact *counts* does not depend on halts: they
stand in another topic, and each instance sees them in its own time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from mesh.core import facts as f
from mesh.core.effects import Incident
from mesh.core.ids import derive
from mesh.core.values import Ancestor, Wait

WAIT: Final = "halt"
"""The kind of what a halted task waits for; its `note` names the target."""


class TargetKind(StrEnum):
    """What can be halted; the first part of a target."""

    WORKFLOW = "workflow"
    AGENT = "agent"
    CAPABILITY = "capability"


class Target(NamedTuple):
    """What an order is about. A capability's name may be `domain.*`."""

    kind: TargetKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def target_of(text: str) -> Target | None:
    """Return the target that a text names as `kind/name`, None if it names none."""
    kind, slash, name = text.partition("/")
    known = slash and name and kind in {own.value for own in TargetKind}
    return Target(TargetKind(kind), name) if known else None


@dataclass(frozen=True, kw_only=True, slots=True)
class HaltOrder:
    """A target is halted, or lifted again.

    `person` or `detector` says who ordered it. `incident` is the id of the finding that tells of it
    with the chain that led to it. `through` is, for a workflow, the offset of its audit partition
    up to which the author of the order looked, -1 where that was not said: what was found before it
    is dealt with (`mesh.core.responses`).
    """

    target: str
    halted: bool
    number: int
    person: str
    detector: str
    because: str
    incident: str
    through: int = -1

    @property
    def author(self) -> str:
        """Who ordered it."""
        return self.person or f"detector {self.detector}"


class Halts:
    """Mutable: the orders as far as somebody has seen them, and what they cover."""

    __slots__ = ("_in_force", "_orders", "agents")

    def __init__(self) -> None:
        self._orders: dict[str, HaltOrder] = {}
        self._in_force: dict[str, HaltOrder] = {}
        self.agents: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Halts({sorted(self._in_force)} of {len(self._orders)})"

    def __bool__(self) -> bool:
        return bool(self._in_force)

    @property
    def orders(self) -> Mapping[str, HaltOrder]:
        """The latest order for each target; a live view."""
        return self._orders

    def see(self, order: HaltOrder) -> bool:
        """Take note of an order; False if it comes after one that has its number or a later."""
        known = self._orders.get(order.target)
        if known is not None and order.number <= known.number:
            return False
        self._orders[order.target] = order
        self._in_force.pop(order.target, None)
        if order.halted:
            self._in_force[order.target] = order
        target = target_of(order.target)
        if target is not None and target.kind is TargetKind.AGENT:
            others = self.agents - {target.name}
            self.agents = others | {target.name} if order.halted else others
        return True

    def next_order(  # noqa: PLR0913 - what an order says
        self,
        target: str,
        *,
        halted: bool,
        because: str,
        person: str = "",
        detector: str = "",
        incident: str = "",
        through: int = -1,
    ) -> HaltOrder:
        """Return an order made for what was seen here; without an `incident` it is one itself."""
        known = self._orders.get(target)
        number = known.number + 1 if known is not None else 1
        return HaltOrder(
            target=target,
            halted=halted,
            number=number,
            person=person,
            detector=detector,
            because=because,
            incident=incident or derive("halt", target, number),
            through=through,
        )

    def in_force(self, target: str) -> HaltOrder | None:
        """Return the order that halts a target, None while it is not halted."""
        return self._in_force.get(target)

    def over(
        self, workflow: str, capability: str, ancestors: Iterable[Ancestor], agent: str = ""
    ) -> HaltOrder | None:
        """Return an order that covers a task, None if none does.

        A workflow's covers every task of it. A capability's covers its tasks, and all that they
        delegated. An agent's covers what its instances work on, so `agent` is who does or would
        ("" for nobody): what it delegated goes on, as its tasks may with somebody else.
        """
        if not self._in_force:
            return None
        targets = [f"workflow/{workflow}"]
        if agent:
            targets.append(f"agent/{agent}")
        for name in (capability, *(own.capability for own in ancestors)):
            targets += (f"capability/{name}", f"capability/{name.partition('.')[0]}.*")
        return next((self._in_force[own] for own in targets if own in self._in_force), None)

    def covering(self, opened: f.TaskOpened, agent: str = "") -> HaltOrder | None:
        """Return an order that covers a task while `agent` works on it, None if none does."""
        if not self._in_force:
            return None
        return self.over(opened.workflow, opened.capability, opened.ancestors, agent)


def finding(order: HaltOrder, chain: tuple[Ancestor, ...] = ()) -> Incident:
    """Return the incident that an order is itself, with the chain that led to it."""
    target = target_of(order.target)
    whole = target is not None and target.kind is TargetKind.WORKFLOW
    done = "halted" if order.halted else "lifted"
    return Incident(
        kind="halt" if order.halted else "lift",
        workflow=target.name if target is not None and whole else "",
        task="",
        text=f"{order.target} is {done} by {order.author}: {order.because}",
        id=order.incident,
        detector=order.detector,
        chain=chain,
        person=order.person,
    )


def halt_wait(order: HaltOrder) -> Wait:
    """Return what a task waits for that an order has suspended."""
    return Wait("", WAIT, "", 0, order.target)


def has_ended(wait: Wait, halts: Halts) -> bool:
    """Tell whether a task may go on that a halt has suspended, as far as this halt goes.

    Of a halted agent it may at once: others may have it.
    """
    return wait.note.startswith(f"{TargetKind.AGENT}/") or halts.in_force(wait.note) is None
