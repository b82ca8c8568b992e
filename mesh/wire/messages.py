"""Messages as they stand in inboxes.

A message that proves something carries the record's own bytes, with its place in the log.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple, get_args

from mesh.core import messages as m
from mesh.core.facts import Record
from mesh.core.settings import MAX_REASON
from mesh.core.tasks import Header
from mesh.errors import WireError
from mesh.wire.codec import Codecs, present
from mesh.wire.facts import FIRST, decode_fact, encode_fact
from mesh.wire.nested import NESTED, WireRecord
from mesh.wire.source import Target

Written = Callable[[Record], bytes | None]
"""Gives the value that a record has in the log, None if it is not at hand any more."""


class WireAward(NamedTuple):
    """`Award` with its records as bytes."""

    workflow: str
    task: str
    header: Header
    caller: str
    opened: WireRecord
    awarded: WireRecord | None


class WireOutcome(NamedTuple):
    """`Outcome` with its record as bytes."""

    workflow: str
    task: str
    award: int
    record: WireRecord


def encode_envelope(envelope: m.Envelope, written: Written | None = None) -> bytes:
    """Return the value of a message.

    Args:
        envelope: The message with its addressee.
        written: Finds the bytes of the records in it. A record that it does not find is encoded
            again, with no `previous`: the receiver reads the fact from it, never the chain.

    Raises:
        WireError: A field has the wrong type or range, or the value is too large.
    """
    content: object = envelope.content
    if isinstance(content, m.Award):
        opened = _to_wire(content.opened, written)
        awarded = content.awarded and _to_wire(content.awarded, written)
        content = WireAward(
            content.workflow, content.task, content.header, content.caller, opened, awarded
        )
    elif isinstance(content, m.Outcome):
        record = _to_wire(content.record, written)
        content = WireOutcome(content.workflow, content.task, content.award, record)
    codec = codecs().writer(type(content))
    head, tail = codec.encode(content, envelope.to, envelope.sender, envelope.sender_inbox)
    return head + tail


_WORDS: dict[type, tuple[str, ...]] = {
    m.Decline: ("reason",),
    m.Cancel: ("because", "person"),
    m.Progress: ("text",),
}
"""What a peer says in words. It may end up in a fact of ours, which must stay one event."""


def decode_envelope(value: bytes | None) -> m.Envelope:
    """Return the message that a value of an inbox holds.

    Raises:
        WireError: It holds none; the message says what is wrong at which field.
    """
    data = present(value)
    content, (to, sender, sender_inbox), _ = codecs().reader(data).decode(data)
    for field in _WORDS.get(type(content), ()):
        if len(getattr(content, field)) > MAX_REASON:
            name = type(content).__name__
            raise WireError(f"{name}.{field}: longer than {MAX_REASON} characters")
    if isinstance(content, WireAward):
        content = m.Award(
            workflow=content.workflow,
            task=content.task,
            header=content.header,
            caller=content.caller,
            opened=_from_wire(content.opened, "Award.opened"),
            awarded=content.awarded and _from_wire(content.awarded, "Award.awarded"),
        )
    elif isinstance(content, WireOutcome):
        content = m.Outcome(
            workflow=content.workflow,
            task=content.task,
            award=content.award,
            record=_from_wire(content.record, "Outcome.record"),
        )
    return m.Envelope(to=to, sender=sender, sender_inbox=sender_inbox, content=content)


def _to_wire(record: Record, written: Written | None) -> WireRecord:
    value = written(record) if written else None
    if value is None:
        value = encode_fact(record.fact, record.sequence, FIRST)
    return WireRecord(record.offset, record.append_ms, value)


def _from_wire(record: WireRecord, path: str) -> Record:
    try:
        decoded = decode_fact(record.value)
    except WireError as error:
        raise WireError(f"{path}: {error}") from error
    return Record(record.offset, record.append_ms, decoded.sequence, decoded.fact)


@cache
def codecs() -> Codecs:
    """Return the codecs of these kinds; nothing outside the wire and its tests needs them."""
    outer = ("to", "sender", "sender_inbox")
    carried: dict[type, type] = {m.Award: WireAward, m.Outcome: WireOutcome}
    targets = {
        cls.__name__: Target(cls=carried.get(cls, cls), outer=outer, nested=NESTED)
        for cls in get_args(m.Content)
    }
    return Codecs("message", targets)
