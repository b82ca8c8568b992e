"""The other values: cards, policy, presence, `M.open`, standing, halts, incidents, dead letters."""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from typing import NamedTuple, TypeVar

from mesh.core.effects import Incident
from mesh.core.halts import HaltOrder
from mesh.core.registry import Card, Presence
from mesh.core.settings import MAX_EVENT_BYTES
from mesh.core.standing import Standing
from mesh.core.tasks import Header, Supervision
from mesh.core.values import Holder, TaskPartition
from mesh.errors import WireError
from mesh.ports import Incoming
from mesh.wire.canonical import parse_json
from mesh.wire.codec import Codecs, present
from mesh.wire.nested import NESTED, KafkaHeader
from mesh.wire.primitives import MAX_LONG, MAX_TIME_MS
from mesh.wire.source import Target

MAX_METADATA = 3_900
"""Characters of a commit's metadata: the broker takes 4,096 bytes."""
KEPT_BYTES = MAX_EVENT_BYTES // 2
"""First bytes of a value that a dead letter keeps if it is too large to be kept whole."""
KEPT_KEY_BYTES = 1_024
KEPT_HEADERS_BYTES = 8 * 1_024
MAX_LINE = 500
"""Characters of a dead letter's reason."""


class OpenWorkflow(NamedTuple):
    """An entry of `M.open`: a workflow that goes on, and where to begin to read."""

    source: TaskPartition
    workflow: str
    header: Header


class DeadLetter(NamedTuple):
    """A record that could not be decoded or was refused.

    `value` has the first bytes only where `value_size` is larger; the whole is then in the
    artifact store, under `value_hash`, if the instance that wrote this has one.
    """

    reason: str
    by: str
    topic: str
    partition: int
    offset: int
    append_ms: int
    key: bytes | None
    headers: tuple[KafkaHeader, ...]
    value_size: int
    value_hash: bytes
    value: bytes | None


class PolicyDocument(NamedTuple):
    """A policy as it was applied: the file's own text, so its comments say why a rule is there.

    `version` is that which the text names; the largest holds.
    """

    name: str
    version: int
    document: str
    person: str
    because: str


Entry = (
    Card | PolicyDocument | Presence | OpenWorkflow | Standing | HaltOrder | Incident | DeadLetter
)


_Entry = TypeVar("_Entry", bound=Entry)


def encode_entry(entry: Entry) -> bytes:
    """Return the value of an entry.

    Raises:
        WireError: A field has the wrong type or range, or the value is too large.
    """
    head, _ = codecs().writer(type(entry)).encode(entry)
    return head


def decode_card(value: bytes | None) -> Card:
    """Return the card that a value of the registry holds; raises `WireError` for another."""
    return _decode(value, Card)


def decode_policy(value: bytes | None) -> PolicyDocument:
    """Return the document that a value of `M.policy` holds; raises `WireError` for another."""
    return _decode(value, PolicyDocument)


def decode_presence(value: bytes | None) -> Presence:
    """Return the presence that a value holds; raises `WireError` for another."""
    return _decode(value, Presence)


def decode_open(value: bytes | None) -> OpenWorkflow:
    """Return the entry of `M.open` that a value holds; raises `WireError` for another."""
    return _decode(value, OpenWorkflow)


def decode_standing(value: bytes | None) -> Standing:
    """Return the standing that a value of `M.standing` holds; raises `WireError` for another."""
    return _decode(value, Standing)


def decode_halt(value: bytes | None) -> HaltOrder:
    """Return the order that a value of `M.control` holds; raises `WireError` for another."""
    return _decode(value, HaltOrder)


def decode_incident(value: bytes | None) -> Incident:
    """Return the finding that a value holds; raises `WireError` for another."""
    return _decode(value, Incident)


def decode_dead_letter(value: bytes | None) -> DeadLetter:
    """Return the dead letter that a value holds; raises `WireError` for another."""
    return _decode(value, DeadLetter)


def dead_letter(record: Incoming, reason: str, by: str) -> DeadLetter:
    """Return the dead letter of a record, cut to what fits into one event."""
    value = record.value
    small = value is not None and len(value) <= KEPT_BYTES
    return DeadLetter(
        reason=" ".join(reason.split())[:MAX_LINE],
        by=by,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        append_ms=min(max(record.append_ms, -1), MAX_TIME_MS),
        key=record.key and record.key[:KEPT_KEY_BYTES],
        headers=_kept(record),
        value_size=len(value or b""),
        value_hash=b"" if value is None else sha256(value).digest(),
        value=value if small or value is None else value[:KEPT_BYTES],
    )


def encode_header(header: Header) -> str:
    """Return where a successor begins to read, as a commit's metadata.

    Raises:
        WireError: It is too long: so many supervisions do not fit.
    """
    held = [
        [
            own.source.capability,
            own.source.partition,
            own.position,
            *own.holder,
            own.lease_ms,
            own.end_ms,
        ]
        for own in header.supervisions
    ]
    text = json.dumps([header.offset, header.log_time_ms, held], separators=(",", ":"))
    if len(text) > MAX_METADATA:
        raise WireError(f"metadata of {len(text)} characters, {MAX_METADATA} are allowed")
    return text


def decode_header(metadata: str) -> Header | None:
    """Return where to begin to read; None for the empty metadata of a foreign commit.

    Raises:
        WireError: The metadata are not what `encode_header` writes.
    """
    if not metadata:
        return None
    try:
        offset, log_time_ms, held = parse_json(metadata.encode())
        supervisions = tuple(_supervision(*own) for own in held)
    except (TypeError, ValueError) as error:
        raise WireError(f"commit metadata: {error}") from error
    return Header(_natural(offset), _natural(log_time_ms), supervisions)


def _supervision(
    capability: object, partition: object, position: object, instance: object, *numbers: object
) -> Supervision:
    incarnation, lease_ms, end_ms = map(_natural, numbers)
    if not isinstance(capability, str) or not isinstance(instance, str):
        raise TypeError("a name is no string")
    return Supervision(
        source=TaskPartition(capability, _natural(partition)),
        position=_natural(position),
        holder=Holder(instance, incarnation),
        lease_ms=lease_ms,
        end_ms=end_ms,
    )


def _natural(number: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_LONG:
        raise WireError(f"commit metadata: {number!r} is no number from 0 to 2^63 - 1")
    return number


def _kept(record: Incoming) -> tuple[KafkaHeader, ...]:
    """Return the headers, as many as fit."""
    kept, left = [], KEPT_HEADERS_BYTES
    for name, value in record.headers:
        left -= len(name) + len(value)
        if left < 0:
            break
        kept.append(KafkaHeader(name, value))
    return tuple(kept)


def _decode(value: bytes | None, cls: type[_Entry]) -> _Entry:
    data = present(value)
    entry, _, _ = codecs().reader(data).decode(data)
    if not isinstance(entry, cls):
        raise WireError(f"{type(entry).__name__} where {cls.__name__} is due")
    return entry


@cache
def codecs() -> Codecs:
    """Return the codecs of these kinds; nothing outside the wire and its tests needs them."""
    targets = {
        cls.__name__: Target(cls=cls, outer=(), nested=NESTED)
        for cls in (
            Card,
            PolicyDocument,
            Presence,
            OpenWorkflow,
            Standing,
            HaltOrder,
            Incident,
            DeadLetter,
        )
    }
    return Codecs("value", targets)
