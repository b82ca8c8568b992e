"""What answers a finding here: the policy as it holds, and the orders that were given.

It reads `M.policy` and `M.control` to their ends and goes on reading, so that whoever asks it is
answered by what holds now. What it comes to is said in `mesh.core.responses`.

A new policy holds from when it is seen, and nothing that was judged is judged again for it. Of one
that a newer release wrote, what is understood holds; of one that is no policy at all, nothing does,
and the one before it stays in force (at a start, what holds without one). Both are said aloud: a
mesh must neither lose its watch nor guess because an operator's tool was newer than a worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass

from mesh.core.detectors.limits import LimitTable
from mesh.core.effects import Incident
from mesh.core.halts import HaltOrder, Halts, TargetKind, target_of
from mesh.core.responses import Responses, halt_for
from mesh.errors import MeshError, TransportError, WireError, WrongTopic
from mesh.ports import Incoming, Log, Place, Reader
from mesh.wire import topics
from mesh.wire.entries import decode_halt, decode_incident, decode_policy
from mesh.wire.policies import NAME, understood

_log = logging.getLogger(__name__)


class Responder:
    """Mutable: the policy and the orders of one mesh, as far as they were read.

    Args:
        log: Where to read; opened, and closed, by the caller.
        mesh: The mesh's name.
        limits: The detectors' limits while there is no policy.
        failed: Told that nothing more can be read.
    """

    def __init__(
        self,
        log: Log,
        mesh: str,
        *,
        failed: Callable[[MeshError], None],
        limits: LimitTable | None = None,
    ) -> None:
        self.limits = limits or LimitTable()
        self.responses = Responses()
        self.halts = Halts()
        self.lifts: dict[str, HaltOrder] = {}
        """The orders by which workflows were lifted last, by their names."""
        self.unread = 0
        """Policies of which something, or all, was not understood."""
        self.changed: Callable[[], None] = _nobody
        """Told that another policy holds."""
        self.lifted: Callable[[str], None] = _nobody_of
        """Told the workflow that was lifted."""
        self._log = log
        self._policy = topics.policy(mesh)
        self._control = topics.control(mesh)
        self._incidents = topics.incidents(mesh)
        self._failed = failed
        self._readers: list[Reader] = []
        self._loops: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<Responder by policy {self.responses.version}, {self.halts}>"

    async def start(self) -> None:
        """Read what holds; returns when that was read.

        Raises:
            WrongTopic: A topic is missing.
            TransportError: The log cannot be read.
        """
        await self._follow(self._policy, self._policy_read)
        await self._follow(self._control, self._order_read)

    async def close(self) -> None:
        """Read no more."""
        loops, self._loops = self._loops, []
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        readers, self._readers = self._readers, []
        for reader in readers:
            await reader.close()

    async def told(self, workflows: Collection[str]) -> Mapping[str, Incident]:
        """Return what was told about some workflows, by its id; of several copies the first.

        Raises:
            TransportError: The log cannot be read.
        """
        keys = frozenset(workflow.encode() for workflow in workflows)
        told: dict[str, Incident] = {}
        ends = await self._log.ends(self._incidents) if keys else {}
        for partition, (low, high) in ends.items():
            place = Place(self._incidents, partition)
            records = self._log.scan(place, low, high, keep=lambda key: key in keys)
            async with aclosing(records) as batches:
                async for batch in batches:
                    for record in batch:
                        with suppress(WireError):
                            incident = decode_incident(record.value)
                            told.setdefault(incident.id, incident)
        return told

    # --- reading --------------------------------------------------------------------------------

    async def _follow(self, topic: str, take: Callable[[Incoming], None]) -> None:
        ends = await self._log.ends(topic)
        if not ends:
            raise WrongTopic(
                f"{topic} is missing: see `mesh topics plan`, then `mesh topics apply`"
            )
        reader = await self._log.tail(topic, dict.fromkeys(ends, 0))
        self._readers.append(reader)
        loop = asyncio.get_running_loop()
        self._loops.append(loop.create_task(self._read(reader, take)))
        await reader.caught_up()

    async def _read(self, reader: Reader, take: Callable[[Incoming], None]) -> None:
        try:
            while True:
                for incoming in await reader.take():
                    take(incoming)
        except TransportError as error:
            self._failed(error)

    def _policy_read(self, incoming: Incoming) -> None:
        if incoming.key != NAME.encode():
            return
        try:
            entry = decode_policy(incoming.value)
        except WireError as error:
            self._not_understood(f"the policy at {incoming.offset} of {incoming.topic}", str(error))
            return
        if entry.version < self.responses.version:
            return
        which = f"policy version {entry.version}"
        found = understood(entry)
        if found is None:
            self._not_understood(which, "it is no TOML")
            return
        if found.mistakes:
            self.unread += 1
            _log.error("of %s holds what is understood here: %s", which, found.mistakes)
        _log.info("%s holds", which)
        self.limits, self.responses = found.limits, found.responses
        self.changed()

    def _not_understood(self, which: str, why: str) -> None:
        self.unread += 1
        version = self.responses.version
        holds = f"version {version} goes on to hold" if version else "the defaults hold"
        _log.error("%s cannot be read, so %s: %s", which, holds, why)

    def _order_read(self, incoming: Incoming) -> None:
        try:
            order = decode_halt(incoming.value)
        except WireError as error:
            _log.warning("the halt at %d cannot be read: %s", incoming.offset, error)
            return
        target = target_of(order.target)
        seen = self.halts.see(order)
        workflow = target is not None and target.kind is TargetKind.WORKFLOW
        if seen and not order.halted and target is not None and workflow:
            self.lifts[target.name] = order
            self.lifted(target.name)


class Cases:
    """Mutable: the workflows of one audit partition that a finding halts.

    What is read of `M.control` may be a moment old. So an order that was given here counts as given
    before it is read; and a finding that finds its workflow halted is kept in mind, for the halt
    may have been lifted already by somebody who had not seen it: it halts when that is read.

    Args:
        responder: Knows the orders.
        is_open: Tells whether a workflow has not ended.
    """

    def __init__(self, responder: Responder, is_open: Callable[[str], bool]) -> None:
        self._responder = responder
        self._is_open = is_open
        self._cases: dict[str, _Case] = {}

    def __repr__(self) -> str:
        return f"Cases({sorted(self._cases)})"

    def add(self, incident: Incident, at: int) -> HaltOrder | None:
        """Return the order to give for an incident that the fact at `at` led to, if one is due."""
        workflow = incident.workflow
        case = self._cases.get(workflow)
        if case is None:
            self._cases = {name: own for name, own in self._cases.items() if self._is_open(name)}
            case = self._cases[workflow] = _Case(incident, at)
        elif at >= case.at:
            case.incident, case.at = incident, at
        return self.again(workflow)

    def again(self, workflow: str) -> HaltOrder | None:
        """Return the order to give for what was found last of a workflow, if one is due."""
        case = self._cases.get(workflow)
        if case is None or not self._is_open(workflow):
            return None
        order = halt_for(case.incident, case.at, self._responder.halts)
        if order is None or order.number <= case.given:
            return None
        case.given = order.number
        return order


@dataclass(slots=True)
class _Case:
    """Mutable: the latest finding about a workflow, and the last order that was given for it."""

    incident: Incident
    at: int
    given: int = 0


def _nobody() -> None:
    """Tell nobody."""


def _nobody_of(_: str) -> None:
    """Tell nobody."""
