"""Traces of workflows for other systems: one JSON document a line, as OTLP's file format has it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib.metadata import version
from typing import Any

from mesh.cli.reading import AuditReader
from mesh.core.facts import Record, TaskOpened
from mesh.core.ids import audit_partition_of
from mesh.core.ledger import Ledger
from mesh.telling.otlp import traces
from mesh.telling.story import Chronicle, tell


def release() -> str:
    """Return this package's version; it is read from a file."""
    return version("parley-mesh")


def document(chronicle: Chronicle, now_ms: int, by: str) -> dict[str, Any] | None:
    """Return a workflow's trace, None while its root task was not opened; `by` is our release."""
    workflow = chronicle.workflow
    story = tell(chronicle, audit_partition_of(workflow), now_ms)
    if story is None:
        return None
    return traces(story, chronicle.states[workflow].opened, by)


def line(found: dict[str, Any]) -> str:
    """Return a trace as one line."""
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


class _Ends:
    """Mutable: workflows as their partitions are read; what is kept grows with the open ones."""

    def __init__(self) -> None:
        self._ledgers: dict[int, Ledger] = {}
        self._known: dict[str, Chronicle] = {}

    def see(self, partition: int, record: Record) -> Chronicle | None:
        """Take the partition's next record; return the workflow that ended with it."""
        ledger = self._ledgers.setdefault(partition, Ledger())
        fact = record.fact
        chronicle = self._known.get(getattr(fact, "workflow", ""))
        if chronicle is None and isinstance(fact, TaskOpened) and not fact.parent:
            chronicle = self._known[fact.workflow] = Chronicle(fact.workflow, ledger)
        if chronicle is None:
            ledger.add(record)
            return None
        chronicle.add(record)
        return self._known.pop(chronicle.workflow) if chronicle.ended else None


async def ended(reader: AuditReader) -> AsyncGenerator[Chronicle, None]:
    """Yield each workflow that has ended, partition by partition, in the order of their ends."""
    ends = _Ends()
    for partition in sorted(await reader.ends()):
        async for incoming in reader.scan(partition):
            audited = reader.decode(incoming)
            found = ends.see(partition, audited.record) if audited is not None else None
            if found is not None:
                yield found


async def ending(reader: AuditReader) -> AsyncGenerator[Chronicle, None]:
    """Yield each workflow that ends from now on.

    The log is read from its beginning: only so is it known what counts.
    """
    ends, spans = _Ends(), await reader.ends()
    start = {partition: low for partition, (low, _) in spans.items()}
    async with aclosing(reader.follow(start)) as records:
        async for partition, (record, _) in records:
            found = ends.see(partition, record)
            if found is not None and record.offset >= spans[partition][1]:
                yield found
