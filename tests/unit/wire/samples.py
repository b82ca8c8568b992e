"""Values of every kind for the tests of the wire: strategies made from the schemas, and samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import sha256
from typing import Any, get_args

from hypothesis import strategies as st

from mesh.core import facts as f
from mesh.core import keys, registry, shared, values
from mesh.core import messages as m
from mesh.core.effects import Incident, Position
from mesh.core.halts import HaltOrder
from mesh.core.standing import Standing, Tally
from mesh.core.tasks import Header, Supervision
from mesh.wire import entries, facts, messages, requests, state
from mesh.wire.canonical import body_of
from mesh.wire.codec import Codec
from mesh.wire.nested import NESTED, KafkaHeader
from mesh.wire.schemas import Definition
from mesh.wire.source import BODY, body_field, field_names, field_range, has_body

HOLDER = values.Holder("sourcing-eu@host-1", 3)
INBOX = values.Inbox("demo.inbox.sourcing-eu", 5)
SOURCE = values.TaskPartition("procurement.review", 2)
SUPERVISION = Supervision(SOURCE, 40, HOLDER, 6_000, 1_763_700_006_000)
HEADER = Header(39, 1_763_700_000_000, (SUPERVISION,))
AMOUNT = values.Amount(1_000_000, 100_000, 1_000, 100, 10)
INPUT = body_of({"item": "bolts", "quantity": 1200})
TERMS = values.Terms(
    epoch=1,
    worker=values.Holder("risk@host-2", 1),
    worker_inbox=values.Inbox("demo.inbox.risk", 0),
    agent="risk",
    digest="5f2a",
    lease_ms=10_000,
    free=AMOUNT,
    resume_from=-1,
    cause=values.Cause.FIRST,
    attempt=1,
    reason="",
    mode=values.Mode.AUCTION,
    call=41,
    offers=(
        values.Offer(
            *("risk@host-2", "risk", 5_000, 200, 900, True, 800, 812, ""),
            *(196_608, 0, (values.Version(0, 41), values.Version(3, 44))),
        ),
    ),
    why="the best of one",
)
OPENED = f.TaskOpened(
    workflow="3-0a",
    task="3-0b",
    by=HOLDER,
    authority=40,
    source=SOURCE,
    offset=-1,
    parent="3-0a",
    step="0.1",
    capability="risk.screen",
    input=INPUT,
    charter=values.Charter(goal="buy bolts", constraints=("in time",), root_hash=INPUT.hash),
    ancestors=(values.Ancestor("3-0a", "procurement.review", "lead", INPUT.hash),),
    after=("3-0c",),
    grant=AMOUNT,
    deadline_ms=1_763_700_600_000,
    lease_ms=10_000,
    max_attempts=3,
    mode=values.Mode.AUCTION,
    named_agent="",
    acceptance=values.Acceptance.REVIEWED,
    event_id="",
    reply_topic="",
    correlation_id="",
    traceparent="",
    award=TERMS,
)
AWARDED = f.TaskAwarded(workflow="3-0a", task="3-0b", by=HOLDER, authority=40, award=TERMS)
FINISHED = f.WorkFinished(
    workflow="3-0a",
    task="3-0b",
    by=HOLDER,
    authority=42,
    outcome=values.Outcome.COMPLETED,
    spent=values.Amount(5_000, 0, 1, 0, 1),
    confidence_permille=900,
    sources=("3-0c",),
    error="",
    field="",
    result=body_of("clear"),
)
RENEWED = f.SupervisionRenewed(source=SOURCE, by=HOLDER, authority=40)
LEASES = f.LeaseRenewed(by=HOLDER, awards=(42, 57))
CARD = registry.Card(
    agent="risk",
    owner="team-risk",
    version="1.2.0",
    purpose="screens",
    calls=("risk.*",),
    capabilities=(
        registry.CapabilityCard(
            name="risk.screen",
            effect=values.Effect.PURE,
            mode=values.Mode.DIRECT,
            budget=None,
            timeout_ms=60_000,
            lease_ms=10_000,
            max_attempts=3,
            has_bid=True,
            input_schema="{}",
            output_schema="{}",
            digest="5f2a",
            acceptance=values.Acceptance.AUTOMATIC,
        ),
    ),
)
PRESENCE = registry.Presence(
    "risk@host-2", 1, "risk", INBOX, 2, 64, (registry.Handler("risk.screen", "5f2a"),)
)
DEAD = entries.DeadLetter(
    reason="no JSON",
    by="lead@host-1",
    topic="demo.tasks.procurement.review",
    partition=1,
    offset=7,
    append_ms=1_763_700_000_000,
    key=None,
    headers=(KafkaHeader("ce_id", b"1"),),
    value_size=1,
    value_hash=sha256(b"x").digest(),
    value=b"x",
)
ENTRIES: tuple[entries.Entry, ...] = (
    CARD,
    entries.PolicyDocument("mesh", 2, "version = 2  # cautious", "eve", "the board said so"),
    PRESENCE,
    entries.OpenWorkflow(SOURCE, "3-0a", HEADER),
    Standing(
        agent="risk",
        partition=3,
        since=0,
        tallies=(Tally("risk.screen", 44, 9, 8, 1, 3, 1, 1, 1, 1, 1, 2, 900, 50, 40, 196_608, 0),),
    ),
    HaltOrder(
        target="agent/sourcing-eu",
        halted=True,
        number=3,
        person="eve",
        detector="",
        because="it orders twice",
        incident="5f2a",
        through=58,
    ),
    Incident(
        kind="loop",
        workflow="3-0a",
        task="3-0b",
        text="risk.screen came back",
        id="5f2a",
        detector="loop",
        measure="returns of one input in its own ancestry",
        seen=2,
        limit=1,
        chain=OPENED.ancestors,
        evidence=(Position("audit", 3, 41), Position("audit", 3, 44)),
        response="halt",
        policy=4,
        spent=AMOUNT,
        person="eve",
        answers="5f2b",
    ),
    DEAD,
)
REQUEST = requests.TaskRequest(input=INPUT, goal="buy bolts", budget=AMOUNT, mode=values.Mode.NAMED)
AWARD = m.Award(
    workflow="3-0a",
    task="3-0b",
    header=HEADER,
    caller="lead",
    opened=f.Record(41, 1_763_700_000_100, 7, OPENED),
    awarded=f.Record(42, 1_763_700_000_101, 8, AWARDED),
)
OUTCOME = m.Outcome(
    workflow="3-0a",
    task="3-0b",
    award=42,
    record=f.Record(44, 1_763_700_000_900, 2, FINISHED),
)
ADOPT = m.Adopt(workflow="3-0a", task="3-0b", award=42)
CHANGE = shared.Change(
    change="5f2a",
    by=HOLDER,
    agent="sourcing-eu",
    scope=("suppliers/",),
    workflow="3-0a",
    task="3-0b",
    step="0.1",
    writes=(
        shared.Write("suppliers/acme", 3, b'{"risk":"low"}'),
        shared.Write("suppliers/x", 0, None),
    ),
    objective="risk",
    because="two sources agree",
    inbox=INBOX,
)
RULES = keys.Rules(2, ("risk", "cost"), (keys.Rule("suppliers/", keys.Resolution.MERGE, "union"),))
PROPOSALS: tuple[shared.Proposal, ...] = (
    CHANGE,
    shared.Settlement(
        change="5f2b", key="suppliers/acme", expected=4, value=b"1", person="eve", because="I asked"
    ),
    shared.RulesAdopted(rules=RULES, person="eve", because="the board said so"),
)
ENTRY = shared.Entry(
    key="suppliers/acme",
    version=4,
    value=b'{"risk":"low"}',
    agent="sourcing-eu",
    writer="sourcing-eu@host-1",
    workflow="3-0a",
    task="3-0b",
    step="0.1",
    objective="risk",
    because="two sources agree",
    source=17,
    append_ms=1_763_700_000_000,
    candidates=(shared.Candidate(None, "5f2c", "sourcing-us", "3-0d", "risk", "it is gone"),),
    recent=(shared.Past(4, "5f2a", shared.Verdict.CONTESTED, "risk"),),
)
KEPT: tuple[shared.Entry | shared.RulesEntry, ...] = (
    ENTRY,
    shared.RulesEntry(rules=RULES, person="eve", because="the board said so", source=3),
)
JUDGED = m.judged(
    CHANGE,
    17,
    shared.Judgement(
        shared.Verdict.CONTESTED,
        "both serve risk",
        (ENTRY, None),
        (4, 0),
        against=(shared.Against(ENTRY, b"3", RULES.rules[0]),),
    ),
)


def envelope(content: m.Content) -> m.Envelope:
    """Wrap a message."""
    return m.Envelope(to=HOLDER, sender=HOLDER, sender_inbox=INBOX, content=content)


def codecs() -> list[Codec]:
    """Return the codec of every kind that this release writes."""
    groups = (
        facts.codecs(),
        messages.codecs(),
        entries.codecs(),
        requests.codecs(),
        state.codecs(),
    )
    return [codec for group in groups for codec in group]


# --- from the schemas ---------------------------------------------------------------------------

_TEXT = st.text(max_size=8) | st.text(max_size=3).map(lambda text: text * 60)
_BYTES = st.binary(max_size=40) | st.binary(max_size=3).map(lambda data: data * 4_000)
_NAME = st.from_regex(r"[a-z]{1,8}\.[a-z]{1,8}", fullmatch=True)
_SCHEMA_NAMES = dict[str, Definition]


def records(codec: Codec) -> st.SearchStrategy[tuple[Any, tuple[Any, ...]]]:
    """Return objects of one kind, each with the fields that stand outside it."""
    definition, target = codec.schema.definition, codec.target
    named: _SCHEMA_NAMES = {}
    made = {field["name"]: _field(field, named) for field in definition["fields"]}
    outer = st.tuples(*(made.pop(name) for name in target.outer))
    if has_body(definition):
        parts = [made.pop(name) for name in BODY]
        made[body_field(target.cls)] = st.builds(values.Body, *parts)
    return st.tuples(_built(target.cls, made), outer)


def _built(cls: type, made: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    special = _SPECIAL.get(cls, dict)()
    return st.builds(cls, **{**made, **special})


def _field(field: Definition, named: _SCHEMA_NAMES) -> st.SearchStrategy[Any]:
    schema = field["type"]
    if isinstance(schema, list):
        inner = _field({**field, "type": schema[1]}, named)
        resolved = named.get(schema[1], schema[1]) if isinstance(schema[1], str) else schema[1]
        fixed = isinstance(resolved, dict) and resolved["type"] == "fixed"
        return st.just(b"" if fixed else None) | inner
    if isinstance(schema, str) and schema not in named:
        return _primitive(field, schema)
    schema = named[schema] if isinstance(schema, str) else schema
    if schema["type"] == "array":
        inner = _field({**field, "type": schema["items"]}, named)
        return st.lists(inner, max_size=3).map(tuple)
    named[schema["name"]] = schema
    if schema["type"] == "enum":
        return st.sampled_from(list(NESTED[schema["name"]]))  # type: ignore[call-overload]  # enum
    if schema["type"] == "fixed":
        return st.binary(min_size=schema["size"], max_size=schema["size"])
    made = {own["name"]: _field(own, named) for own in schema["fields"]}
    return _built(NESTED[schema["name"]], made)


def _primitive(field: Definition, kind: str) -> st.SearchStrategy[Any]:
    if kind in ("int", "long"):
        low, high = field_range(field, kind)
        return st.integers(low, min(high, low + 200)) | st.integers(low, high)
    return {"string": _TEXT, "bytes": _BYTES, "boolean": st.booleans()}[kind]


def _capability_card() -> Mapping[str, st.SearchStrategy[Any]]:
    positive = st.integers(1, 2**31 - 1)
    return {
        "name": _NAME,
        "mode": st.sampled_from([values.Mode.DIRECT, values.Mode.AUCTION]),
        **dict.fromkeys(("timeout_ms", "lease_ms", "max_attempts"), positive),
    }


def _card() -> Mapping[str, st.SearchStrategy[Any]]:
    names = st.lists(st.text(min_size=1, max_size=9), max_size=3).map(tuple)
    return {
        "agent": _NAME,
        "owner": _NAME,
        "version": st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}", fullmatch=True),
        "calls": st.lists(_NAME, max_size=3).map(tuple),
        **dict.fromkeys(("reads", "writes", "tools"), names),
        "capabilities": st.just(()) | st.tuples(st.just(CARD.capabilities[0])),
    }


_SPECIAL: Mapping[type, Callable[[], Mapping[str, st.SearchStrategy[Any]]]] = {
    registry.Card: _card,
    registry.CapabilityCard: _capability_card,
}


def plain(codec: Codec, value: Any, outer: tuple[Any, ...]) -> dict[str, Any]:
    """Return a record as fastavro has it, made of dictionaries."""
    parts = dict(zip(codec.target.outer, outer, strict=True)) | _parts(value)
    if has_body(codec.schema.definition):
        body = parts.pop(body_field(codec.target.cls))
        parts |= dict(zip(BODY, body, strict=True))
    return {name: _plain(name, part) for name, part in parts.items()}


def _parts(value: Any) -> dict[str, Any]:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return dict(zip(field_names(type(value)), value, strict=True))


def _plain(name: str, value: Any) -> Any:
    if is_dataclass(value) or hasattr(value, "_fields"):
        return {own: _plain(own, part) for own, part in _parts(value).items()}
    if isinstance(value, tuple):
        return [_plain(name, item) for item in value]
    if name.endswith("_hash") and value == b"":
        return None
    return value.value if hasattr(value, "value") else value


@cache
def encoded() -> tuple[bytes, ...]:
    """Return a value of many kinds, for what mutates them."""
    written = [
        facts.encode_fact(fact, 7, bytes(range(32)))
        for fact in (OPENED, AWARDED, FINISHED, RENEWED, LEASES)
    ]
    written += [messages.encode_envelope(envelope(own)) for own in (AWARD, OUTCOME, ADOPT, JUDGED)]
    written += map(entries.encode_entry, ENTRIES)
    written += map(state.encode_proposal, PROPOSALS)
    written += map(state.encode_kept, KEPT)
    return (*written, requests.encode_request(REQUEST))


FACTS: tuple[type, ...] = get_args(f.Fact)
