"""Orders for a whole mesh: what stands on `M.control`, and a new order that is read back.

An order is made for what its author saw. Of two that are written at the same time the first in the
log holds, so the second finds, when it reads back, that it changed nothing, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Any, NamedTuple

from mesh.core.facts import SupervisionTaken
from mesh.core.halts import HaltOrder, Halts, TargetKind, finding, target_of
from mesh.core.ids import audit_partition_of
from mesh.core.messages import Cancel, Envelope
from mesh.core.tasks import Phase
from mesh.core.values import Holder, Inbox
from mesh.errors import TransportError, WireError, WrongTopic
from mesh.ports import Incoming, Log, Place, Report
from mesh.telling import shapes, words
from mesh.telling.story import Chronicle
from mesh.wire import topics
from mesh.wire.entries import decode_halt, encode_entry
from mesh.wire.messages import encode_envelope


async def append(log: Log, place: Place, key: bytes, value: bytes, *, timeout_s: float) -> Report:
    """Append a record and wait until it is durable.

    Raises:
        TransportError: Nobody knows whether it is in the log; to append it again is safe.
    """
    reported: asyncio.Future[Report] = asyncio.get_running_loop().create_future()

    def report(given: Report) -> None:
        if not reported.done():
            reported.set_result(given)

    log.append(place, key, value, (), report)
    again = "whether it is in the log is not known; run the same command again, it does no harm"
    try:
        answer = await asyncio.wait_for(reported, timeout_s)
    except TimeoutError:
        raise TransportError(
            f"append to {place.topic}: no acknowledgement within {timeout_s:g} s; {again}"
        ) from None
    if answer.error is not None:
        raise TransportError(f"append to {place.topic}: {answer.error}; {again}")
    return answer


class InForce(NamedTuple):
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

    def in_force(self, target: str) -> InForce | None:
        """Return the order that halts a target, None while it is not halted."""
        order = self.halts.in_force(target)
        return None if order is None else InForce(order, self._since[target])

    def since(self, target: str) -> int:
        """Return when the latest order for a target was given."""
        return self._since[target]

    def targets(self) -> list[str]:
        """Return what is halted."""
        return sorted(own.target for own in self.halts.orders.values() if own.halted)

    def over(self, chronicle: Chronicle) -> list[InForce]:
        """Return the orders that cover open tasks of a workflow, each once."""
        found = (self.halts.covering(*own) for own in open_tasks(chronicle))
        targets = dict.fromkeys(order.target for order in found if order is not None)
        return [own for own in map(self.in_force, targets) if own is not None]


def open_tasks(chronicle: Chronicle) -> Iterable[tuple[Any, str]]:
    """Yield the opening of each open task, and the agent that works on it."""
    for state in chronicle.states.values():
        if state.phase is not Phase.ENDED:
            working = state.phase is Phase.WORKING and state.terms is not None
            yield state.opened, state.terms.agent if working and state.terms else ""


class OrderDesk:
    """Reads the orders of one mesh, and writes new ones."""

    def __init__(
        self, log: Log, mesh: str, *, timeout_s: float, complain: Callable[[str], None]
    ) -> None:
        self._log = log
        self._mesh = mesh
        self._timeout_s = timeout_s
        self._complain = complain
        self._topic = topics.control(mesh)

    def __repr__(self) -> str:
        return f"OrderDesk({self._topic})"

    async def read(self) -> Orders:
        """Read all orders; a mesh of an earlier release has none."""
        orders = Orders()
        async for incoming in self._records():
            try:
                orders.see(incoming)
            except WireError as error:
                self._complain(f"the halt at {incoming.offset} cannot be read: {error}")
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
        ends = await self._log.ends(topics.audit(self._mesh))
        _, end = ends.get(audit_partition_of(parsed.name), (0, -1))
        return end

    async def give(self, order: HaltOrder) -> InForce:
        """Write an order and the finding that tells of it; return what holds then.

        That is another one where somebody else ordered something for that target first.

        Raises:
            WrongTopic: The mesh has no topic for halts.
            TransportError: It was not acknowledged.
        """
        if not await self._log.ends(self._topic):
            raise WrongTopic(
                f"there is no topic {self._topic}; choose a mesh with --mesh, or create its topics "
                "with `mesh topics apply`"
            )
        key = order.target.encode()
        await self._append(self._topic, key, encode_entry(order))
        orders = await self.read()
        latest = orders.halts.orders[order.target]
        if latest != order:
            await self._append(self._topic, key, encode_entry(latest))  # it must stand last
            return InForce(latest, orders.since(order.target))
        target = target_of(order.target)
        name = target.name if target is not None else order.target
        finds = encode_entry(finding(order))
        await self._append(topics.incidents(self._mesh), name.encode(), finds)
        return InForce(order, orders.since(order.target))

    async def _append(self, topic: str, key: bytes, value: bytes) -> None:
        place = Place(topic, 0)
        await append(self._log, place, key, value, timeout_s=self._timeout_s)


def ask_to_cancel(
    log: Log, taken: SupervisionTaken, workflow: str, *, because: str, person: str
) -> None:
    """Ask the supervisor of a workflow to end it; say it again until it has ended."""
    envelope = Envelope(
        to=taken.by,
        sender=Holder(f"mesh-cancel.{person}", 0),
        sender_inbox=Inbox("", 0),
        content=Cancel(workflow=workflow, task=workflow, award=-1, because=because, person=person),
    )
    place = Place(taken.inbox.topic, taken.inbox.partition)
    log.append(place, taken.by.instance.encode(), encode_envelope(envelope))
