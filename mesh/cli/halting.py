"""Halts for the command line: what stands on `M.control`, and a new order that is read back.

An order is made for what its author saw. Of two that are written at the same time the first in the
log holds, so the second finds, when it reads back, that it changed nothing, and says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from mesh.cli.failures import CommandError, Exit, not_found
from mesh.cli.keeping import append
from mesh.core.halts import HaltOrder, Halts, TargetKind, finding, target_of
from mesh.core.ids import audit_partition_of
from mesh.core.tasks import Phase
from mesh.errors import WireError, WrongTopic
from mesh.ports import Incoming, Log, Place
from mesh.telling import shapes, words
from mesh.wire import topics
from mesh.wire.entries import decode_halt, encode_entry

if TYPE_CHECKING:
    from mesh.cli.output import Out
    from mesh.config import Config
    from mesh.core.registry import Directory
    from mesh.telling.story import Chronicle


class Standing(NamedTuple):
    """An order that holds, and when it was given."""

    order: HaltOrder
    since_ms: int

    def __str__(self) -> str:
        order = self.order
        done = "halted" if order.halted else "lifted"
        because = words.clip(order.because)
        return f"{done} by {order.author} because {because}, since {shapes.time(self.since_ms)}"


class Orders:
    """Mutable: the halts of a mesh as they were read."""

    def __init__(self) -> None:
        self.halts = Halts()
        self._since: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"Orders({self.halts})"

    def see(self, incoming: Incoming) -> None:
        """Take a record of `M.control`.

        Raises:
            WireError: It holds no order.
        """
        order = decode_halt(incoming.value)
        if self.halts.see(order):
            self._since[order.target] = incoming.append_ms

    def standing(self, target: str) -> Standing | None:
        """Return the order that halts a target, None while it is not halted."""
        order = self.halts.in_force(target)
        return None if order is None else Standing(order, self._since[target])

    def since(self, target: str) -> int:
        """Return when the latest order for a target was given."""
        return self._since[target]

    def targets(self) -> list[str]:
        """Return what is halted."""
        return sorted(own.target for own in self.halts.orders.values() if own.halted)

    def over(self, chronicle: Chronicle) -> list[Standing]:
        """Return the orders that cover open tasks of a workflow, each once."""
        found = (self.halts.covering(*own) for own in _open_tasks(chronicle))
        targets = dict.fromkeys(order.target for order in found if order is not None)
        return [own for own in map(self.standing, targets) if own is not None]


def _open_tasks(chronicle: Chronicle) -> Iterable[tuple[Any, str]]:
    """Yield the opening of each open task, and the agent that works on it."""
    for state in chronicle.states.values():
        if state.phase is not Phase.ENDED:
            working = state.phase is Phase.WORKING and state.terms is not None
            yield state.opened, state.terms.agent if working and state.terms else ""


def covered(chronicles: Iterable[Chronicle], order: HaltOrder) -> int:
    """Return how many open tasks an order covers, whether it halts or lifts."""
    halts = Halts()
    halts.see(replace(order, halted=True))
    every = (own for chronicle in chronicles for own in _open_tasks(chronicle))
    return sum(halts.covering(*own) is not None for own in every)


class Desk:
    """Reads the orders of one mesh, and writes new ones."""

    def __init__(self, log: Log, config: Config, out: Out) -> None:
        self._log = log
        self._config = config
        self._out = out
        self._topic = topics.control(config.mesh)

    def __repr__(self) -> str:
        return f"Desk({self._topic})"

    async def read(self) -> Orders:
        """Read all orders; a mesh of an earlier release has none."""
        orders = Orders()
        async for incoming in self._records():
            try:
                orders.see(incoming)
            except WireError as error:
                self._out.complain(f"the halt at {incoming.offset} cannot be read: {error}")
        return orders

    async def _records(self) -> AsyncIterator[Incoming]:
        if not await self._log.ends(self._topic):
            return
        async with aclosing(self._log.scan(Place(self._topic, 0), 0)) as batches:
            async for batch in batches:
                for incoming in batch:
                    yield incoming

    async def looked(self, target: str) -> int:
        """Return up to which offset of the audit stream a person can have looked at a target now.

        It is that of a workflow's partition; -1 for other targets, and where there is none.
        """
        parsed = target_of(target)
        if parsed is None or parsed.kind is not TargetKind.WORKFLOW:
            return -1
        ends = await self._log.ends(topics.audit(self._config.mesh))
        _, end = ends.get(audit_partition_of(parsed.name), (0, -1))
        return end

    async def give(self, order: HaltOrder) -> Standing:
        """Write an order and the finding that tells of it; return it as it holds.

        Raises:
            WrongTopic: The mesh has no topic for halts.
            TransportError: It was not acknowledged.
            CommandError: Somebody else ordered something for that target first.
        """
        if not await self._log.ends(self._topic):
            raise WrongTopic(
                f"there is no topic {self._topic} at {self._config.bootstrap}; choose a mesh with "
                "--mesh, or create its topics with `mesh topics apply`"
            )
        key = order.target.encode()
        await self._append(self._topic, key, encode_entry(order))
        orders = await self.read()
        latest = orders.halts.orders[order.target]
        if latest != order:
            await self._append(self._topic, key, encode_entry(latest))  # it must stand last
            raise CommandError(
                f"{latest.author} gave another order for {order.target} first (because "
                f"{words.clip(latest.because)}); look at it, and give yours again if it still "
                "should hold",
                Exit.FAILED,
            )
        target = target_of(order.target)
        name = target.name if target is not None else order.target
        finds = encode_entry(finding(order))
        await self._append(topics.incidents(self._config.mesh), name.encode(), finds)
        return Standing(order, orders.since(order.target))

    async def _append(self, topic: str, key: bytes, value: bytes) -> None:
        place = Place(topic, 0)
        await append(self._log, place, key, value, timeout_s=self._config.timeout_s)


# --- names ---------------------------------------------------------------------------------------


def check_name(kind: TargetKind, name: str, directory: Directory, mesh: str) -> None:
    """See that an agent or capability is known.

    Raises:
        CommandError: It is not; near names are told.
    """
    if kind is TargetKind.AGENT:
        known = list(directory.agents)
    else:
        cards = (directory.card(own) for own in directory.agents)
        names = {own.name for card in cards if card is not None for own in card.capabilities}
        known = sorted(names | {f"{own.partition('.')[0]}.*" for own in names})
    if name in known:
        return
    near = get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`mesh agents` lists what there is"
    raise not_found(
        f"no card in {mesh} has the {kind} {name}; {hint} To halt it all the same, add --force"
    )


def halted_target(text: str, orders: Orders) -> str:
    """Return what is halted and named by `kind/name`, by the name, or by the beginning of it.

    Raises:
        CommandError: Nothing of that name is halted, or several are.
    """
    every = orders.targets()
    exact = [own for own in every if text in (own, own.partition("/")[2])]
    begun = [own for own in every if own.startswith(text) or own.partition("/")[2].startswith(text)]
    found = exact or begun
    if len(found) == 1:
        return found[0]
    if found:
        raise not_found(f"{text} names several that are halted: {', '.join(found)}")
    near = get_close_matches(text, [*every, *(own.partition("/")[2] for own in every)], n=3)
    hint = (
        f"did you mean {' or '.join(near)}?" if near else f"halted: {', '.join(every) or 'nothing'}"
    )
    raise not_found(f"{text} is not halted; {hint}")


def shape(standing: Standing) -> dict[str, Any]:
    """Return an order as JSON."""
    return shapes.order(standing.order, standing.since_ms)
