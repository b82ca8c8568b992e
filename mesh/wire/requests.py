"""Tasks as they are submitted, by a mesh's own client or by any Kafka client, and the replies.

A value on `M.tasks.<capability>` that does not begin with Avro's marker is JSON, the bare input;
what else there is to say stands in headers. What cannot be read at all is a `WireError`, and the
record goes to the dead letters. What can be read but not served becomes a request with a `defect`:
the task is opened and rejected, so that the audit stream and a reply tell of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from mesh.core.effects import Reply
from mesh.core.inputs import Request
from mesh.core.settings import MAX_EVENT_BYTES, MAX_NAME, Settings
from mesh.core.values import Acceptance, Amount, Body, Charter, Mode, Status
from mesh.errors import WireError
from mesh.ports import UNREADABLE, Headers, Incoming
from mesh.wire import topics
from mesh.wire.canonical import JSON, body_of, canonical_json, content_of, parse_json
from mesh.wire.codec import Codecs, present
from mesh.wire.headers import TRACEPARENT, parse_traceparent
from mesh.wire.nested import NESTED
from mesh.wire.primitives import MAX_LONG, MAX_TIME_MS
from mesh.wire.schemas import MARKER
from mesh.wire.source import Target

MAX_CHARTER_BYTES = 16 * 1_024
"""Goal and constraints travel with every task: beside a body they must leave room in an event."""
MAX_TIMEOUT_MS = 100 * 366 * topics.DAY_MS
"""A century: beyond it a deadline would leave the calendar. The log's retention is far below."""
MICRO = 1_000_000
_USD = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")
_MILLISECONDS = re.compile(r"-?[0-9]{1,18}")

DEFAULT_BUDGET = Settings().budget


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRequest:
    """A task as a mesh's own client submits it. Empty or None stands for "not given"."""

    input: Body
    goal: str = ""
    constraints: tuple[str, ...] = ()
    budget: Amount | None = None
    timeout_ms: int | None = None
    mode: Mode | None = None
    named_agent: str = ""
    acceptance: Acceptance = Acceptance.AUTOMATIC
    event_id: str = ""
    reply_topic: str = ""
    correlation_id: str = ""
    traceparent: str = ""


class Defect(NamedTuple):
    """Why a request cannot be served, and the field to blame."""

    reason: str
    field: str


class Answer(NamedTuple):
    """A reply as its submitter reads it. `task` is the root task, whose id is the workflow's."""

    workflow: str
    task: str
    status: str
    result: Any
    error: str
    artifact: str = ""
    """What a result is called in the artifact store, as the SHA-256 in hex, if it is not here."""


def encode_request(request: TaskRequest) -> bytes:
    """Return the value of a task topic's record.

    Raises:
        WireError: A field has the wrong type or range, or the value is too large.
    """
    head, tail = codecs().writer(TaskRequest).encode(request)
    return head + tail


def decode_request(record: Incoming, default_budget: Amount = DEFAULT_BUDGET) -> Request:
    """Return the task that a record of a task topic asks for.

    Args:
        record: As read.
        default_budget: Fills the dimensions that a budget in a header does not name.

    Raises:
        WireError: The record cannot be read at all, and goes to the dead letters.
    """
    topic = topics.parse(record.topic)
    if topic is None or topic.kind is not topics.Kind.TASKS:
        raise WireError(f"{record.topic} is no task topic")
    if not 0 <= record.append_ms <= MAX_TIME_MS:
        raise WireError(f"a timestamp of {record.append_ms} ms")
    value = present(record.value)
    defects: list[Defect] = []
    if value.startswith(MARKER):
        asked = _from_avro(value)
    elif len(value) > MAX_EVENT_BYTES:
        raise WireError(f"{len(value)} bytes, {MAX_EVENT_BYTES} are allowed")
    else:
        asked, defects = _from_headers(body_of(parse_json(value)), record.headers, default_budget)
    asked = _checked(asked, topic.mesh, defects)
    defect = defects[0] if defects else Defect("", "")
    return Request(
        capability=topic.name,
        input=asked.input,
        charter=Charter(
            goal=asked.goal or topic.name,
            constraints=asked.constraints,
            root_hash=asked.input.hash,
        ),
        budget=asked.budget,
        timeout_ms=asked.timeout_ms,
        mode=asked.mode,
        named_agent=asked.named_agent,
        acceptance=asked.acceptance,
        event_id=asked.event_id,
        reply_topic=asked.reply_topic,
        correlation_id=asked.correlation_id,
        traceparent=asked.traceparent,
        defect=defect.reason,
        defect_field=defect.field,
    )


def encode_reply(reply: Reply) -> bytes:
    """Return the value of a reply: a JSON object with `result`, `artifact` or `error`."""
    head = {"workflow": reply.workflow, "task": reply.workflow, "status": reply.status}
    if reply.status != Status.COMPLETED:
        # An exception's text may hold half of a surrogate pair: spelled out, as in facts.
        error = reply.error.encode(errors="backslashreplace").decode()
        return canonical_json({**head, "error": error})
    if reply.result is None and reply.result_hash:
        stored = {"media_type": JSON, "sha256": reply.result_hash.hex()}
        return canonical_json({**head, "artifact": stored})
    # A result is JSON already; it goes in as it is.
    return canonical_json(head)[:-1] + b',"result":' + (reply.result or b"null") + b"}"


def reply_headers(reply: Reply) -> Headers:
    """Return the headers of a reply."""
    headers: Headers = (("content-type", JSON.encode()),)
    if reply.correlation_id:
        headers += (("correlation-id", reply.correlation_id.encode()),)
    return headers


def decode_reply(value: bytes | None) -> Answer:
    """Return the reply that a value holds.

    Raises:
        WireError: It holds none.
    """
    reply = parse_json(present(value))
    if not isinstance(reply, dict):
        raise WireError("a reply is a JSON object")
    texts = [reply.get(name, "") for name in ("workflow", "task", "status", "error")]
    if not all(isinstance(text, str) for text in texts):
        raise WireError("a member of the reply is no string")
    workflow, task, status, error = texts
    stored = reply.get("artifact")
    artifact = str(stored.get("sha256", "")) if isinstance(stored, dict) else ""
    return Answer(workflow, task, status, reply.get("result"), error, artifact)


def _from_avro(value: bytes) -> TaskRequest:
    asked: TaskRequest
    asked, _, _ = codecs().reader(value).decode(value)
    sent = asked.input
    if not sent.hash:
        raise WireError("TaskRequest: the input has no hash")
    if sent.media_type != JSON:
        raise WireError(f"TaskRequest: the input is {sent.media_type or 'nothing'}, not {JSON}")
    if sent.content is not None and body_of(parse_json(content_of(sent))) != sent:
        raise WireError("TaskRequest.content: not the canonical form of JSON")
    return asked


def _from_headers(
    sent: Body, headers: Headers, default_budget: Amount
) -> tuple[TaskRequest, list[Defect]]:
    """Read the headers of a JSON record; those that are not ours are nobody's concern."""
    given: dict[str, Any] = {}
    defects: list[Defect] = []
    for name, data in headers:
        if name == UNREADABLE:
            raise WireError("the name of a header is no UTF-8")
        if name.lower() not in _READERS:
            continue
        field, read = _READERS[name.lower()]
        try:
            value = read(data.decode())
        except (WireError, ValueError) as error:
            defects.append(Defect(f"header {name}: {error}", field))
            continue
        if given.setdefault(field, value) != value:
            defects.append(Defect(f"header {name}: given twice", field))
    if "budget" in given:
        given["budget"] = default_budget._replace(**given["budget"])
    return TaskRequest(input=sent, **given), defects


def _checked(asked: TaskRequest, mesh: str, defects: list[Defect]) -> TaskRequest:
    """Note what is wrong with fields that both forms have, and leave out what is."""
    wrong: dict[str, Any] = {}
    if asked.timeout_ms is not None and not 0 < asked.timeout_ms <= MAX_TIMEOUT_MS:
        when = "in the past" if asked.timeout_ms <= 0 else "more than a century away"
        defects.append(Defect(f"the deadline is {when}", "timeout_ms"))
        wrong["timeout_ms"] = None
    reply = topics.parse(asked.reply_topic)
    answerable = reply is not None and (reply.mesh, reply.kind) == (mesh, topics.Kind.REPLIES)
    if asked.reply_topic and not answerable:
        reason = f"replies go to {mesh}.replies.NAME, not to {asked.reply_topic[:MAX_NAME]!r}"
        defects.append(Defect(reason, "reply_topic"))
        wrong["reply_topic"] = ""
    charter = sum(len(text.encode()) + 3 for text in (asked.goal, *asked.constraints))
    if charter > MAX_CHARTER_BYTES:
        reason = f"goal and constraints: {charter} bytes, {MAX_CHARTER_BYTES} are allowed"
        defects.append(Defect(reason, "goal"))
        wrong |= {"goal": "", "constraints": ()}
    for field in ("event_id", "correlation_id", "named_agent"):
        if len(getattr(asked, field)) > MAX_NAME:
            defects.append(Defect(f"longer than {MAX_NAME} characters", field))
            wrong[field] = ""
    if parse_traceparent(asked.traceparent) is None:
        wrong["traceparent"] = ""  # as the standard wants: whoever cannot read it starts anew
    return replace(asked, **wrong)


def _budget(text: str) -> dict[str, int]:
    """Return the dimensions that a budget names; core judges whether they are enough."""
    budget = parse_json(text.encode())
    if not isinstance(budget, dict):
        raise WireError("not a JSON object")
    if "usd" in budget:
        if "micro_usd" in budget:
            raise WireError("both usd and micro_usd")
        budget["micro_usd"] = _micro(budget.pop("usd"))
    for name, number in budget.items():
        if name not in Amount._fields:
            raise WireError(
                f"unknown dimension {name!r}; there are usd, {', '.join(Amount._fields)}"
            )
        if not isinstance(number, int) or isinstance(number, bool) or abs(number) > MAX_LONG:
            raise WireError(f"{name} is no integer of 64 bits")
    return budget


def _micro(usd: object) -> int:
    """Return an amount of dollars, a string or a number, in millionths."""
    text = str(usd) if isinstance(usd, str | int | float) else ""
    if not _USD.fullmatch(text):
        raise WireError("usd is no number with at most six digits behind the point")
    return int(Decimal(text) * MICRO)


def _milliseconds(text: str) -> int:
    """Return a number of milliseconds, in decimal digits."""
    if not _MILLISECONDS.fullmatch(text):
        raise WireError("not a number of milliseconds")
    return int(text)


def _named(text: str) -> str:
    if not text:
        raise WireError("empty")
    return text


_READERS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "ce-id": ("event_id", _named),
    "ce_id": ("event_id", _named),
    "budget": ("budget", _budget),
    "timeout-ms": ("timeout_ms", _milliseconds),
    "reply-topic": ("reply_topic", _named),
    "correlation-id": ("correlation_id", str),
    TRACEPARENT: ("traceparent", str),
}


@cache
def codecs() -> Codecs:
    """Return the codecs of these kinds; nothing outside the wire and its tests needs them."""
    target = Target(cls=TaskRequest, outer=(), nested=NESTED)
    return Codecs("request", {TaskRequest.__name__: target})
