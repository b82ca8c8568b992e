from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mesh.core.effects import Reply
from mesh.core.inputs import Request
from mesh.core.settings import MAX_EVENT_BYTES, MAX_NAME
from mesh.core.values import Acceptance, Amount, Body, Charter, Mode
from mesh.errors import WireError
from mesh.ports import UNREADABLE, Incoming
from mesh.wire.canonical import body_of
from mesh.wire.entries import encode_entry
from mesh.wire.requests import (
    DEFAULT_BUDGET,
    MAX_CHARTER_BYTES,
    Answer,
    TaskRequest,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    reply_headers,
)
from tests.unit.wire.samples import AMOUNT, DEAD, INPUT, REQUEST
from tests.unit.wire.test_headers import PARENT

TOPIC = "demo.tasks.procurement.review"


def asked(
    value: bytes | None, *headers: tuple[str, bytes], topic: str = TOPIC, append_ms: int = 5
) -> Request:
    return decode_request(Incoming(topic, 0, 7, append_ms, b"any", value, headers))


def test_bare_json_is_enough() -> None:
    assert asked(b' {"quantity": 1200, "item": "bolts"} ') == Request(
        capability="procurement.review",
        input=INPUT,
        charter=Charter(goal="procurement.review", constraints=(), root_hash=INPUT.hash),
    )


@pytest.mark.parametrize("name", ["ce-id", "ce_id", "CE-ID"])
def test_headers_say_the_rest(name: str) -> None:
    request = asked(
        b"1",
        (name, b"order-7"),
        ("budget", b'{"usd": "0.50", "hops": 3}'),
        ("timeout-ms", b"60000"),
        ("reply-topic", b"demo.replies.me"),
        ("correlation-id", b"c-1"),
        ("traceparent", PARENT.encode()),
        ("x-other", b"\xff"),
    )
    assert request == Request(
        capability="procurement.review",
        input=body_of(1),
        charter=Charter(goal="procurement.review", constraints=(), root_hash=body_of(1).hash),
        budget=DEFAULT_BUDGET._replace(micro_usd=500_000, hops=3),
        timeout_ms=60_000,
        event_id="order-7",
        reply_topic="demo.replies.me",
        correlation_id="c-1",
        traceparent=PARENT,
    )


def test_a_budget_fills_in_from_what_is_given() -> None:
    record = Incoming(TOPIC, 0, 7, 5, None, b"1", (("budget", b'{"tokens":9}'),))
    assert decode_request(record, AMOUNT).budget == AMOUNT._replace(tokens=9)


@pytest.mark.parametrize(
    ("text", "micro_usd"),
    [
        ('{"usd":"1"}', 1_000_000),
        ('{"usd":0.5}', 500_000),
        ('{"usd":2}', 2_000_000),
        ('{"usd":"0.000001"}', 1),
        ('{"usd":"-1.5"}', -1_500_000),
        ('{"usd":"999999999999.999999"}', 999_999_999_999_999_999),
        ('{"micro_usd":7}', 7),
        ('{"micro_usd":0}', 0),
        ('{"micro_usd":-1}', -1),
    ],
)
def test_money_is_exact_and_its_sign_is_for_the_core_to_judge(text: str, micro_usd: int) -> None:
    request = asked(b"1", ("budget", text.encode()))
    assert not request.defect
    assert request.budget is not None
    assert request.budget.micro_usd == micro_usd


@pytest.mark.parametrize(
    ("header", "what", "field"),
    [
        (("budget", b"x"), "header budget: no JSON", "budget"),
        (("budget", b"\xff"), "header budget: 'utf-8' codec", "budget"),
        (("budget", b"[]"), "header budget: not a JSON object", "budget"),
        (("budget", b'{"money":1}'), "header budget: unknown dimension 'money'", "budget"),
        (("budget", b'{"usd":1,"micro_usd":1}'), "both usd and micro_usd", "budget"),
        (("budget", b'{"usd":"NaN"}'), "usd is no number with at most six digits", "budget"),
        (("budget", b'{"usd":"0.0000001"}'), "usd is no number with at most six", "budget"),
        (("budget", b'{"usd":1e400}'), "usd is no number", "budget"),
        (("budget", b'{"usd":true}'), "usd is no number", "budget"),
        (("budget", b'{"usd":null}'), "usd is no number", "budget"),
        (("budget", b'{"tokens":1.5}'), "tokens is no integer of 64 bits", "budget"),
        (("budget", b'{"tokens":true}'), "tokens is no integer", "budget"),
        (("budget", b'{"tokens":"1"}'), "tokens is no integer", "budget"),
        (("budget", b'{"tokens":9223372036854775808}'), "tokens is no integer", "budget"),
        (("budget", b'{"tokens":1,"tokens":2}'), "member 'tokens' is there twice", "budget"),
        (("timeout-ms", b"soon"), "header timeout-ms: not a number", "timeout_ms"),
        (("timeout-ms", b"1e3"), "not a number of milliseconds", "timeout_ms"),
        (("timeout-ms", b"9" * 5_000), "not a number of milliseconds", "timeout_ms"),
        (("timeout-ms", b"0"), "the deadline is in the past", "timeout_ms"),
        (("timeout-ms", b"-5"), "the deadline is in the past", "timeout_ms"),
        (("timeout-ms", b"9" * 18), "more than a century away", "timeout_ms"),
        (("reply-topic", b"demo.audit"), "replies go to demo.replies.NAME", "reply_topic"),
        (("reply-topic", b"other.replies.me"), "replies go to demo.replies", "reply_topic"),
        (("reply-topic", b""), "header reply-topic: empty", "reply_topic"),
        (("ce-id", b""), "header ce-id: empty", "event_id"),
        (("ce-id", b"\xff"), "header ce-id: 'utf-8' codec", "event_id"),
        (("ce_id", b"x" * (MAX_NAME + 1)), "longer than 200 characters", "event_id"),
        (("correlation-id", b"x" * 201), "longer than 200 characters", "correlation_id"),
    ],
)
def test_a_bad_header_is_a_defect(header: tuple[str, bytes], what: str, field: str) -> None:
    request = asked(b"1", header, ("traceparent", PARENT.encode()))
    assert what in request.defect
    assert request.defect_field == field
    assert not getattr(request, field)
    assert request.traceparent == PARENT


def test_two_ids_that_differ_are_a_defect() -> None:
    same = asked(b"1", ("ce-id", b"a"), ("ce_id", b"a"))
    assert (same.event_id, same.defect) == ("a", "")
    assert asked(b"1", ("ce-id", b"a"), ("ce_id", b"b")).defect == "header ce_id: given twice"


def test_the_first_defect_is_told() -> None:
    request = asked(b"1", ("timeout-ms", b"x"), ("budget", b"y"), ("reply-topic", b"z"))
    assert request.defect.startswith("header timeout-ms")


@pytest.mark.parametrize("text", [b"x", b"00-0-0-00", b"\xff"])
def test_a_traceparent_that_nobody_can_read_is_dropped(text: bytes) -> None:
    request = asked(b"1", ("traceparent", text))
    assert request.traceparent == ""
    assert bool(request.defect) == (text == b"\xff")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "the value is null"),
        (b"", "no JSON"),
        (b"junk", "no JSON"),
        (b"\xff\xfe", "no UTF-8"),
        (b'{"a":1,"a":1}', "there twice"),
        (b"NaN", "NaN is no JSON"),
        (b"1e999", "inf is no JSON"),
        (b"[" * 99 + b"]" * 99, "deeper than 64"),
        (b"12345678901234567890", "digits a double"),
        (b'"\\ud800"', "surrogate"),
        (b" " * MAX_EVENT_BYTES + b"1", "262144 are allowed"),
        (b"\xc3\x01", "ends within the fingerprint"),
        (encode_request(REQUEST)[:-1], "TaskRequest.*the data end too early"),
        (encode_entry(DEAD), "DeadLetter where a request is due"),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter(value: bytes | None, what: str) -> None:
    with pytest.raises(WireError, match=what):
        asked(value)


def test_a_header_whose_name_cannot_be_read_is_a_dead_letter() -> None:
    """One of ours may have been meant: it is not guessed at."""
    with pytest.raises(WireError, match="the name of a header is no UTF-8"):
        asked(b"1", ("ce-id", b"7"), (UNREADABLE, b""))


@pytest.mark.parametrize("topic", ["demo.audit", "x", "demo.tasks.review"])
def test_another_topic_holds_no_tasks(topic: str) -> None:
    with pytest.raises(WireError, match="is no task topic"):
        asked(b"1", topic=topic)


@pytest.mark.parametrize("append_ms", [-1, 2**62])
def test_an_absurd_timestamp_is_refused(append_ms: int) -> None:
    with pytest.raises(WireError, match="a timestamp of"):
        asked(b"1", append_ms=append_ms)


# --- from our own client ------------------------------------------------------------------------


def test_a_request_of_our_own_says_everything_in_its_value() -> None:
    sent = replace(
        REQUEST,
        constraints=("in time",),
        timeout_ms=60_000,
        named_agent="risk",
        acceptance=Acceptance.REVIEWED,
        event_id="order-7",
        reply_topic="demo.replies.me",
        correlation_id="c-1",
        traceparent=PARENT,
    )
    assert asked(encode_request(sent), ("timeout-ms", b"1")) == Request(
        capability="procurement.review",
        input=INPUT,
        charter=Charter(goal="buy bolts", constraints=("in time",), root_hash=INPUT.hash),
        budget=AMOUNT,
        timeout_ms=60_000,
        mode=Mode.NAMED,
        named_agent="risk",
        acceptance=Acceptance.REVIEWED,
        event_id="order-7",
        reply_topic="demo.replies.me",
        correlation_id="c-1",
        traceparent=PARENT,
    )


def test_an_input_may_be_in_the_artifact_store() -> None:
    sent = TaskRequest(input=INPUT._replace(content=None))
    assert asked(encode_request(sent)).input == INPUT._replace(content=None)


@pytest.mark.parametrize(
    ("input_", "what"),
    [
        (Body(b"", "", None), "the input has no hash"),
        (INPUT._replace(media_type=""), "the input is nothing, not application/json"),
        (INPUT._replace(media_type="text/plain"), "the input is text/plain"),
        (INPUT._replace(hash=b""), "the input has no hash"),
        (INPUT._replace(content=b"{}"), "not what its hash says"),
        (body_of(1)._replace(hash=b"x" * 32), "not what its hash says"),
    ],
)
def test_an_input_that_is_none_is_refused(input_: Body, what: str) -> None:
    with pytest.raises(WireError, match=what):
        asked(encode_request(TaskRequest(input=input_)))


def test_an_input_is_canonical() -> None:
    from hashlib import sha256

    loose = b'{"b": 1, "a": 2}'
    input_ = Body(sha256(loose).digest(), "application/json", loose)
    with pytest.raises(WireError, match="not the canonical form"):
        asked(encode_request(TaskRequest(input=input_)))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timeout_ms": 0}, "timeout_ms"),
        ({"reply_topic": "demo.audit"}, "reply_topic"),
        ({"event_id": "x" * 201}, "event_id"),
        ({"named_agent": "x" * 201}, "named_agent"),
        ({"goal": "x" * MAX_CHARTER_BYTES}, "goal"),
        ({"constraints": ("é" * 100,) * 100}, "goal"),
    ],
)
def test_our_own_client_s_defects_are_found_alike(change: dict[str, Any], field: str) -> None:
    request = asked(encode_request(replace(REQUEST, **change)))
    assert request.defect
    assert request.defect_field == field
    facts = len(request.charter.goal) + sum(map(len, request.charter.constraints))
    assert facts <= MAX_CHARTER_BYTES


def test_a_charter_may_be_as_large_as_that() -> None:
    largest = replace(REQUEST, goal="x" * (MAX_CHARTER_BYTES - 3), constraints=())
    assert not asked(encode_request(largest)).defect


# --- replies ------------------------------------------------------------------------------------

REPLY = Reply("demo.replies.me", "c-1", "3-0a", "completed", b'{"verdict":"clear"}', "")


def test_a_reply_is_json() -> None:
    assert json.loads(encode_reply(REPLY)) == {
        "workflow": "3-0a",
        "task": "3-0a",
        "status": "completed",
        "result": {"verdict": "clear"},
    }
    odd = REPLY._replace(status="failed", result=None, error="no file \ud800")
    assert decode_reply(encode_reply(odd)).error == "no file \\ud800"
    failed = REPLY._replace(status="rejected", result=None, error="quantity: missing")
    assert json.loads(encode_reply(failed)) == {
        "workflow": "3-0a",
        "task": "3-0a",
        "status": "rejected",
        "error": "quantity: missing",
    }
    assert json.loads(encode_reply(REPLY._replace(result=None)))["result"] is None
    stored = json.loads(encode_reply(REPLY._replace(result=None, result_hash=b"\xab" * 32)))
    assert stored == {
        "workflow": "3-0a",
        "task": "3-0a",
        "status": "completed",
        "artifact": {"media_type": "application/json", "sha256": "ab" * 32},
    }


def test_a_reply_carries_its_correlation_id() -> None:
    assert reply_headers(REPLY) == (
        ("content-type", b"application/json"),
        ("correlation-id", b"c-1"),
    )
    bare = REPLY._replace(correlation_id="")
    assert dict(reply_headers(bare)) == {"content-type": b"application/json"}


def test_a_reply_is_read_back() -> None:
    assert decode_reply(encode_reply(REPLY)) == Answer(
        "3-0a", "3-0a", "completed", {"verdict": "clear"}, ""
    )
    away = decode_reply(encode_reply(REPLY._replace(result=None, result_hash=b"\xab" * 32)))
    assert (away.result, away.artifact) == (None, "ab" * 32)


@pytest.mark.parametrize("value", [None, b"x", b"[]", b'{"status":1}'])
def test_what_is_no_reply(value: bytes | None) -> None:
    with pytest.raises(WireError):
        decode_reply(value)


def test_the_budget_by_default_is_the_mesh_s() -> None:
    assert isinstance(DEFAULT_BUDGET, Amount)
