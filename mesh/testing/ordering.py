"""Who orders halts in a mesh in memory: what `mesh halt` and `mesh lift` do, without a terminal."""

from __future__ import annotations

from contextlib import suppress

from mesh.core.halts import HaltOrder, Halts, Target, TargetKind, finding, target_of
from mesh.core.ids import audit_partition_of
from mesh.core.values import Holder
from mesh.errors import UsageError, WireError
from mesh.ports import Place
from mesh.runtime.outside import Outside
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.entries import decode_halt


class Ordering:
    """The orders of a test."""

    def __init__(self, broker: MemoryBroker, log: MemoryLog, mesh: str) -> None:
        self._broker = broker
        self._topic = topics.control(mesh)
        self._audit = topics.audit(mesh)
        self._outside = Outside(log, mesh, Holder("test", 1))

    def __repr__(self) -> str:
        return f"Ordering({self._topic})"

    def order(self, target: str, because: str, person: str, *, halted: bool) -> HaltOrder:
        """Halt or lift a target, whatever was ordered before.

        Raises:
            UsageError: It names no workflow, agent or capability.
        """
        parsed = target_of(target)
        if parsed is None:
            raise UsageError(f"{target!r} is no target: workflow/ID, agent/NAME, capability/NAME")
        seen = Halts()
        for record in self._broker.records(self._topic):
            with suppress(WireError):  # as an instance passes over it
                seen.see(decode_halt(record.value))
        order = seen.next_order(
            target, halted=halted, because=because, person=person, through=self._looked(parsed)
        )
        self._outside.order(order)
        self._outside.incident(finding(order))
        return order

    def _looked(self, target: Target) -> int:
        """Return where the audit partition of a workflow ends; -1 for another target."""
        if target.kind is not TargetKind.WORKFLOW:
            return -1
        partition = audit_partition_of(target.name)
        if partition not in range(len(self._broker.partitions(self._audit))):
            return -1
        return self._broker.partition(Place(self._audit, partition)).high
