from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core.facts import SupervisionReleased, SupervisionTaken
from mesh.wire.headers import (
    Trace,
    event_source,
    fact_headers,
    fact_key,
    format_time,
    format_traceparent,
    open_key,
    parse_traceparent,
    span_id,
    trace_of,
)
from tests.unit.wire.samples import FACTS, FINISHED, HOLDER, INBOX, LEASES, OPENED, RENEWED, SOURCE

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
RELEASED = SupervisionReleased(source=SOURCE, by=HOLDER, authority=1)
TAKEN = SupervisionTaken(source=SOURCE, by=HOLDER, inbox=INBOX, lease_ms=1)


def test_the_key_decides_what_compaction_and_people_see_together() -> None:
    assert fact_key(OPENED) == fact_key(FINISHED) == b"3-0a"
    for fact in (TAKEN, RENEWED, RELEASED):
        assert fact_key(fact) == b"procurement.review/2"
    assert fact_key(LEASES) is None
    assert open_key(SOURCE, "3-0a") == b"procurement.review/2/3-0a"


def test_a_fact_is_a_cloud_event() -> None:
    source = event_source("demo", HOLDER).encode()
    headers = fact_headers(type(FINISHED), "3/5/7", source)
    assert headers == (
        ("content-type", b"application/avro"),
        ("ce_specversion", b"1.0"),
        ("ce_id", b"3/5/7"),
        ("ce_source", b"/demo/sourcing-eu@host-1"),
        ("ce_type", b"parley.WorkFinished"),
    )
    assert fact_headers(type(OPENED), "3/5/7", source, PARENT)[-1] == (
        "traceparent",
        PARENT.encode(),
    )


def test_every_fact_has_a_type() -> None:
    types = {dict(fact_headers(kind, "", b""))["ce_type"] for kind in FACTS}
    assert len(types) == len(FACTS)


def test_time_is_utc() -> None:
    assert format_time(0) == "1970-01-01T00:00:00.000Z"
    assert format_time(253_402_300_799_999) == "9999-12-31T23:59:59.999Z"


def test_a_traceparent_is_read_and_written() -> None:
    trace = parse_traceparent(PARENT)
    assert trace == Trace(TRACE, SPAN, 1)
    assert trace is not None
    assert format_traceparent(trace) == PARENT
    later = parse_traceparent(f"01-{TRACE}-{SPAN}-00-more")
    assert later == Trace(TRACE, SPAN, 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        PARENT.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f" {PARENT}",
        f"{PARENT}\n",
    ],
)
def test_what_is_no_traceparent(text: str) -> None:
    assert parse_traceparent(text) is None


def test_all_who_work_on_a_workflow_come_to_the_same_trace() -> None:
    given = replace(OPENED, traceparent=f"00-{TRACE}-{SPAN}-00")
    assert trace_of(given) == Trace(TRACE, span_id(OPENED.task), 0)
    alone = trace_of(replace(OPENED, traceparent="no trace"))
    child = trace_of(replace(OPENED, traceparent="", task="0-child"))
    assert alone.trace_id == child.trace_id != TRACE
    assert alone.parent_id == span_id(OPENED.task) != child.parent_id
    assert parse_traceparent(format_traceparent(alone)) == alone
