"""Logs written by a scribe, as records of an audit stream."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.dashboard.model import Model
from mesh.ports import Incoming
from mesh.wire.facts import FIRST, encode_fact
from mesh.wire.headers import fact_key
from tests.simulation.scribe import Scribe


def incoming(log: Scribe, partition: int = 0) -> Iterator[Incoming]:
    """Yield what a scribe wrote as it would stand in the log."""
    for record in log.records:
        value = encode_fact(record.fact, record.sequence, FIRST)
        key = fact_key(record.fact)
        yield Incoming("t.audit", partition, record.offset, record.append_ms, key, value, ())


def modelled(log: Scribe, first: int = 0) -> Model:
    """Return a model that has read a scribe's log."""
    model = Model()
    model.begin(0, first)
    model.add([own for own in incoming(log) if own.offset >= first])
    return model
