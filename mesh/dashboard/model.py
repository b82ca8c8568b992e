"""The read model: the audit stream folded into what the page shows, and what stands beside it.

Its memory grows with what is open and with the agents, and with nothing else: every other part has
a limit, which stands beside it with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from mesh.core import facts as f
from mesh.core.ledger import OF_NO_TASK
from mesh.core.registry import Directory
from mesh.dashboard.aside import Incidents, Letters, Orders, StateIndex
from mesh.dashboard.ring import Ring, Seen
from mesh.dashboard.rows import Row, Rows
from mesh.dashboard.strand import Strand
from mesh.dashboard.window import Window
from mesh.errors import WireError
from mesh.ports import Incoming
from mesh.wire.facts import decode_fact


class Model:
    """Mutable: everything that the page shows. `changed` names what has news beside the facts."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.window = Window()
        self.ring = Ring()
        self.strands: dict[int, Strand] = {}
        self.directory = Directory()
        self.incidents = Incidents()
        self.letters = Letters()
        self.orders = Orders()
        self.state = StateIndex()
        self.changed: set[str] = set()
        self.log_time_ms = 0

    def __repr__(self) -> str:
        return f"Model({len(self.strands)} partitions, {self.rows})"

    def begin(self, partition: int, first: int) -> Strand:
        """Begin to fold a partition at an offset."""
        strand = self.strands[partition] = Strand(partition, first, self.rows, self.window)
        self.ring.begin(partition, first)
        return strand

    def add(self, records: Sequence[Incoming]) -> None:
        """Take records of the audit stream, each partition in its order."""
        for incoming in records:
            strand = self.strands[incoming.partition]
            if incoming.offset >= strand.next:
                self.ring.add(self._seen(strand, incoming))

    def _seen(self, strand: Strand, incoming: Incoming) -> Seen:
        _, partition, offset, append_ms, _, value, _ = incoming
        if append_ms > self.log_time_ms:
            self.log_time_ms = append_ms
        try:
            decoded = decode_fact(value)
        except WireError:
            strand.skip(offset, append_ms)
            return Seen(partition, offset, append_ms, value, None, "", "", "", "")
        fact = decoded.fact
        void = strand.add(f.Record(offset, append_ms, decoded.sequence, fact))
        workflow, task = ("", "") if isinstance(fact, OF_NO_TASK) else (fact.workflow, fact.task)
        name, instance = type(fact).__name__, fact.by.instance
        return Seen(partition, offset, append_ms, value, void, name, workflow, task, instance)

    @property
    def position(self) -> dict[int, int]:
        """The next offset of each partition."""
        return {number: strand.next for number, strand in sorted(self.strands.items())}

    def root(self, workflow: str) -> Row | None:
        """Return the row of a workflow's root task, None if it is not known."""
        row = self.rows.get(workflow)
        return row if row is not None and not row.parent else None
