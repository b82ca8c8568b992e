"""Keys and headers of records: what routing and foreign clients need, repeated from the value.

Headers are the CloudEvents 1.0 Kafka binding in binary mode (`ce_*` and `content-type`): those that
it requires, and W3C `traceparent` where a task is opened. The time is the record's own append time,
the subject its key. Nothing in the mesh reads them back, except those of a request from outside.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple, get_args

from mesh.core import facts as f
from mesh.core.ids import derive
from mesh.core.values import Holder, TaskPartition
from mesh.ports import Headers

AVRO = "application/avro"
TRACEPARENT = "traceparent"
SAMPLED = 1
"""The flag of a trace that somebody may look at."""
_TRACE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SPECVERSION = ("ce_specversion", b"1.0")
_AVRO = ("content-type", AVRO.encode())
_TYPES: dict[type, bytes] = {kind: b"parley." + kind.__name__.encode() for kind in get_args(f.Fact)}


class Trace(NamedTuple):
    """A W3C trace context: the trace, the span that caused this, the flags."""

    trace_id: str
    parent_id: str
    flags: int


def parse_traceparent(text: str) -> Trace | None:
    """Return the trace context of a `traceparent`; None if it is none, as the standard wants."""
    found = _TRACE.fullmatch(text)
    if found is None:
        return None
    version, trace_id, parent_id, flags, more = found.groups()
    known = version != "ff" and not (version == "00" and more)
    if not known or set(trace_id) == {"0"} or set(parent_id) == {"0"}:
        return None
    return Trace(trace_id, parent_id, int(flags, 16))


def format_traceparent(trace: Trace) -> str:
    """Return the `traceparent` of a trace context."""
    return f"00-{trace.trace_id}-{trace.parent_id}-{trace.flags:02x}"


def trace_of(opened: f.TaskOpened) -> Trace:
    """Return the trace context of a task: its workflow's trace, and the span that the task is.

    The trace is the submitter's if it gave one, else it is derived from the workflow's id: so all
    processes that do a part of a workflow come to the same without asking each other.
    """
    given = parse_traceparent(opened.traceparent)
    trace_id = given.trace_id if given is not None else derive("trace", opened.workflow)
    flags = given.flags if given is not None else SAMPLED
    return Trace(trace_id, span_id(opened.task), flags)


def span_id(*parts: str | int) -> str:
    """Return the span id of a task, of an award (task, offset), or of a step (task, step)."""
    return derive("span", *parts)[:16]


def fact_key(fact: f.Fact) -> bytes | None:
    """Return the key of a fact's record: its workflow, or the task partition, or none."""
    if isinstance(fact, f.LeaseRenewed):
        return None
    if isinstance(fact, f.SupervisionFact):
        return source_key(fact.source)
    return fact.workflow.encode()


def source_key(source: TaskPartition) -> bytes:
    """Return the key of a task partition: `capability/partition`."""
    return f"{source.capability}/{source.partition}".encode()


def open_key(source: TaskPartition, workflow: str) -> bytes:
    """Return the key of an entry of `M.open`."""
    return b"%s/%s" % (source_key(source), workflow.encode())


def fact_headers(
    kind: type[f.Fact], event_id: str, source: bytes, traceparent: str = ""
) -> Headers:
    """Return the headers of a fact's record: no more, for a header costs what ten fields cost.

    Args:
        kind: The fact's class.
        event_id: `incarnation/partition/sequence`, which with the source names the event.
        source: From `event_source`.
        traceparent: Of the task that it opens, "" for other facts.
    """
    headers: Headers = (
        _AVRO,
        _SPECVERSION,
        ("ce_id", event_id.encode()),
        ("ce_source", source),
        ("ce_type", _TYPES[kind]),
    )
    return (*headers, (TRACEPARENT, traceparent.encode())) if traceparent else headers


def event_source(mesh: str, by: Holder) -> str:
    """Return the CloudEvents source of what an instance writes."""
    return f"/{mesh}/{by.instance}"


def format_time(time_ms: int) -> str:
    """Return a time as RFC 3339 has it, in UTC with milliseconds."""
    seconds, rest = divmod(time_ms, 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"
