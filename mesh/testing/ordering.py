"""Who orders halts in a mesh in memory: what `mesh halt` and `mesh lift` do, without a terminal."""

from __future__ import annotations

from contextlib import suppress

from mesh.core.halts import HaltOrder, Halts, finding, target_of
from mesh.core.values import Holder
from mesh.errors import UsageError, WireError
from mesh.runtime.outside import Outside
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.entries import decode_halt


class Ordering:
    """The orders of a test."""

    def __init__(self, broker: MemoryBroker, log: MemoryLog, mesh: str) -> None:
        self._broker = broker
        self._topic = topics.control(mesh)
        self._outside = Outside(log, mesh, Holder("test", 1))

    def __repr__(self) -> str:
        return f"Ordering({self._topic})"

    def order(self, target: str, because: str, person: str, *, halted: bool) -> HaltOrder:
        """Halt or lift a target, whatever was ordered before.

        Raises:
            UsageError: It names no workflow, agent or capability.
        """
        if target_of(target) is None:
            raise UsageError(f"{target!r} is no target: workflow/ID, agent/NAME, capability/NAME")
        seen = Halts()
        for record in self._broker.records(self._topic):
            with suppress(WireError):  # as an instance passes over it
                seen.see(decode_halt(record.value))
        order = seen.next_order(target, halted=halted, because=because, person=person)
        self._outside.order(order)
        self._outside.incident(finding(order))
        return order
