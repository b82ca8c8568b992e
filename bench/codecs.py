"""What encoding, decoding and judging cost in this process, beside fastavro on the same schemas."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import fastavro

from bench.table import Row, Table
from mesh.core import facts as f
from mesh.core.ids import child_id, workflow_id
from mesh.core.ledger import Ledger
from mesh.core.values import (
    Acceptance,
    Amount,
    Ancestor,
    Body,
    Cause,
    Charter,
    Holder,
    Inbox,
    Mode,
    Outcome,
    TaskPartition,
    Terms,
)
from mesh.wire.facts import FIRST, decode_fact, encode_chained
from mesh.wire.schemas import current

ROUNDS = 5
VARIED = 5_000
STEPS = 5_000
ME = Holder("lead.p0", 1_790_000_000_000)
WORKER = Holder("worker.p1", 1_790_000_000_001)
SOURCE = TaskPartition("lead.run", 3)
NOW_MS = 1_790_000_000_000


def measure(table: Table) -> None:
    """Add the rows of codecs and of the ledger."""
    tasks = [child_id("0-x", str(number), b"") for number in range(VARIED)]
    opened = [replace(_opened(0, "", None), task=task) for task in tasks]
    _kind(table, opened)
    _kind(table, [_finished(number, task) for number, task in enumerate(tasks)])
    table.add(Row(name="read and judge one fact of a journal", value=_journal(), unit="us"))


def _kind(table: Table, facts: Sequence[f.Fact]) -> None:
    """Add the rows of one kind of fact: facts that differ, as real ones do."""
    kind = type(facts[0]).__name__
    encoding = _us([partial(encode_chained, fact, n, FIRST) for n, fact in enumerate(facts)])
    values = [encode_chained(fact, number, FIRST).value for number, fact in enumerate(facts)]
    write, read = _fastavro(kind, values)
    costs = {
        f"encode {kind}, chained": (encoding, _us(write)),
        f"decode {kind}": (_us([partial(decode_fact, value) for value in values]), _us(read)),
    }
    for name, (own, theirs) in costs.items():
        row = Row(name=name, value=own, unit="us", baseline=theirs, note="baseline: fastavro")
        table.add(row)


def _us(works: Sequence[Callable[[], object]]) -> float:
    """Return the microseconds of a call: the least of some rounds, none of which repeats another.

    (What was encoded once is remembered: a repeat would measure the memory.)
    """
    best = float("inf")
    each = len(works) // ROUNDS
    for first in range(0, each * ROUNDS, each):
        begun = time.perf_counter()
        for work in works[first : first + each]:
            work()
        best = min(best, (time.perf_counter() - begun) / each)
    return best * 1e6


def _fastavro(
    kind: str, values: Sequence[bytes]
) -> tuple[Sequence[Callable[[], object]], Sequence[Callable[[], object]]]:
    """Return the same work by fastavro: writing dicts of the fields, and reading them."""
    schema = current()[kind]
    parsed: Any = fastavro.parse_schema(json.loads(json.dumps(schema.definition)))
    bodies = [value[len(schema.prefix) :] for value in values]

    def read(body: bytes) -> Any:
        return fastavro.schemaless_reader(io.BytesIO(body), parsed, None)

    def write(fields: Any) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, fields)
        return sha256(out.getvalue()).digest()

    writes = [partial(write, read(body)) for body in bodies]
    return writes, [partial(read, body) for body in bodies]


def _journal() -> float:
    """Return what decoding and judging a step costs, in a journal of thousands."""
    taken = f.SupervisionTaken(source=SOURCE, by=ME, inbox=Inbox("i", 0), lease_ms=10**9)
    opened = _opened(0, "", _terms())
    facts: list[f.Fact] = [taken, opened]
    facts += [
        f.DecisionRecorded(
            workflow=opened.workflow,
            task=opened.task,
            by=WORKER,
            authority=1,
            step=str(number),
            choice="go on",
            because="it is the next",
            evidence=(),
        )
        for number in range(STEPS)
    ]
    sequences: dict[Holder, int] = {}
    values = []
    for fact in facts:
        number = sequences.get(fact.by, -1) + 1
        sequences[fact.by] = number
        values.append(encode_chained(fact, number, FIRST).value)
    best = float("inf")
    for _ in range(ROUNDS):
        begun, ledger = time.perf_counter(), Ledger()
        for offset, value in enumerate(values):
            decoded = decode_fact(value)
            void = ledger.add(f.Record(offset, NOW_MS + offset, decoded.sequence, decoded.fact))
            assert not void, void
        best = min(best, (time.perf_counter() - begun) / len(values))
    return best * 1e6


def _body(text: str) -> Body:
    content = text.encode()
    return Body(sha256(content).digest(), "application/json", content)


def _terms() -> Terms:
    return Terms(
        epoch=1,
        worker=WORKER,
        worker_inbox=Inbox("bench.inbox.worker", 3),
        agent="worker",
        digest="0123456789abcdef",
        lease_ms=10**9,
        free=Amount(100, 1, 1, 1, 1),
        resume_from=-1,
        cause=Cause.FIRST,
        attempt=1,
        reason="",
        mode=Mode.DIRECT,
        call=-1,
        offers=(),
        why="the less loaded of two by hash, of 2",
    )


def _opened(position: int, parent: str, award: Terms | None) -> f.TaskOpened:
    workflow = workflow_id(SOURCE, 17, "", 8)
    above = Ancestor(workflow, "lead.run", "lead", bytes(32))
    return f.TaskOpened(
        workflow=workflow,
        task=workflow,
        by=ME,
        authority=position,
        source=SOURCE,
        offset=17,
        parent=parent,
        step="",
        capability="echo.answer",
        input=_body('{"n":17}'),
        charter=Charter(goal="lead.run", constraints=(), root_hash=bytes(32)),
        ancestors=(above,) if parent else (),
        after=(),
        grant=Amount(100, 1, 1, 1, 1),
        deadline_ms=NOW_MS + 10**9,
        lease_ms=10**9,
        max_attempts=3,
        mode=Mode.DIRECT,
        named_agent="",
        acceptance=Acceptance.AUTOMATIC,
        event_id="",
        reply_topic="",
        correlation_id="",
        traceparent="",
        award=award or _terms(),
    )


def _finished(award: int, task: str) -> f.WorkFinished:
    return f.WorkFinished(
        workflow=workflow_id(SOURCE, 17, "", 8),
        task=task,
        by=WORKER,
        authority=award,
        outcome=Outcome.COMPLETED,
        spent=Amount(),
        confidence_permille=1_000,
        sources=(),
        error="",
        field="",
        result=_body('{"n":17}'),
    )
