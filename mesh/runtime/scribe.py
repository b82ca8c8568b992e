"""Writes one incarnation's facts, numbered and chained, and remembers the bytes for messages.

Each audit partition has its own sequence from 0. A fact is encoded once: the same bytes that went
to the log travel in the message that proves it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from mesh.core.effects import Append
from mesh.core.facts import Record, TaskOpened
from mesh.core.values import Holder
from mesh.ports import Log, Place, Report
from mesh.wire import topics
from mesh.wire.facts import FIRST, encode_chained
from mesh.wire.headers import event_source, fact_headers, fact_key

KEPT = 512
"""Values remembered for messages: more than are under way between a report and its message. What
is not remembered is encoded again, so this bounds work, and a longer memory costs megabytes."""


class Scribe:
    """Mutable: the chains of one instance and incarnation."""

    def __init__(self, log: Log, mesh: str, by: Holder, failed: Callable[[str], None]) -> None:
        self.appends = 0
        self._log = log
        self._source = event_source(mesh, by).encode()
        self._topic = topics.audit(mesh)
        self._failed = failed
        self._chains: dict[int, tuple[int, bytes]] = {}
        self._values: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def append(self, effect: Append, then: Callable[[int, Record], None]) -> None:
        """Append a fact; `then(token, record)` is called when it is acknowledged.

        A report with an error says that its outcome is unknown: the chain cannot go on, and
        `failed` is told, so that a new incarnation begins.
        """
        partition, fact = effect.partition, effect.fact
        sequence, previous = self._chains.get(partition, (0, FIRST))
        encoded = encode_chained(fact, sequence, previous)
        self._chains[partition] = (sequence + 1, encoded.chain_hash)
        self.appends += 1

        def reported(report: Report) -> None:
            if report.error is not None:
                self._failed(report.error)
                return
            self._values[partition, report.offset] = encoded.value
            if len(self._values) > KEPT:
                self._values.popitem(last=False)
            then(effect.token, Record(report.offset, report.append_ms, sequence, fact))

        event_id = f"{fact.by.incarnation}/{partition}/{sequence}"
        traceparent = fact.traceparent if isinstance(fact, TaskOpened) else ""
        headers = fact_headers(type(fact), event_id, self._source, traceparent)
        place = Place(self._topic, partition)
        self._log.append(place, fact_key(fact), encoded.value, headers, reported)

    def written(self, partition: int, record: Record) -> bytes | None:
        """Return the bytes of a record that this scribe wrote lately, None if it did not."""
        return self._values.get((partition, record.offset))
