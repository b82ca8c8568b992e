from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest

from mesh.core.settings import MAX_EVENT_BYTES
from mesh.core.tasks import Header
from mesh.errors import WireError
from mesh.ports import Incoming
from mesh.wire import entries as e
from mesh.wire.nested import KafkaHeader
from mesh.wire.primitives import MAX_TIME_MS
from tests.unit.wire.samples import CARD, ENTRIES, HEADER, PRESENCE, SUPERVISION

DECODERS: tuple[Callable[[bytes | None], e.Entry], ...] = (
    e.decode_card,
    e.decode_policy,
    e.decode_presence,
    e.decode_open,
    e.decode_standing,
    e.decode_halt,
    e.decode_incident,
    e.decode_dead_letter,
)


@pytest.mark.parametrize(("entry", "decode"), list(zip(ENTRIES, DECODERS, strict=True)))
def test_an_entry_is_read_as_it_was_written(
    entry: e.Entry, decode: Callable[[bytes | None], e.Entry]
) -> None:
    assert decode(e.encode_entry(entry)) == entry
    with pytest.raises(WireError, match="null"):
        decode(None)


def test_an_entry_of_another_topic_is_refused() -> None:
    with pytest.raises(WireError, match="Presence where Card is due"):
        e.decode_card(e.encode_entry(PRESENCE))


def test_a_card_that_breaks_its_rules_is_refused() -> None:
    value = e.encode_entry(CARD).replace(b"\x12team-risk", b"\x12         ")
    with pytest.raises(WireError, match="Card: agent risk: owner must not be empty"):
        e.decode_card(value)


# --- dead letters -------------------------------------------------------------------------------


def incoming(value: bytes | None, *headers: tuple[str, bytes], at: int = 5) -> Incoming:
    return Incoming("demo.tasks.a.b", 3, 7, at, b"key", value, headers)


def test_a_dead_letter_keeps_the_record() -> None:
    letter = e.dead_letter(incoming(b"junk", ("ce_id", b"1")), "no\n  JSON", "lead@host-1")
    assert letter == e.DeadLetter(
        reason="no JSON",
        by="lead@host-1",
        topic="demo.tasks.a.b",
        partition=3,
        offset=7,
        append_ms=5,
        key=b"key",
        headers=(KafkaHeader("ce_id", b"1"),),
        value_size=4,
        value_hash=sha256(b"junk").digest(),
        value=b"junk",
    )


def test_a_dead_letter_of_null() -> None:
    letter = e.dead_letter(incoming(None)._replace(key=None), "null", "x")
    assert (letter.value, letter.value_size, letter.value_hash, letter.key) == (None, 0, b"", None)


def test_the_largest_dead_letter_is_an_event() -> None:
    value = bytes(2 * MAX_EVENT_BYTES)
    many = [(f"name-{number}", bytes(1_000)) for number in range(100)]
    record = incoming(value, *many)._replace(key=bytes(9_999))
    letter = e.dead_letter(record, "x" * 9_999, "x")

    written = e.encode_entry(letter)
    assert len(written) <= MAX_EVENT_BYTES
    assert e.decode_dead_letter(written) == letter
    assert letter.value == value[: e.KEPT_BYTES]
    assert letter.value_size == len(value)
    assert letter.value_hash == sha256(value).digest()
    assert 0 < len(letter.headers) < len(many)


@pytest.mark.parametrize(
    ("append_ms", "kept"), [(-(2**63), -1), (2**63 - 1, MAX_TIME_MS), (-1, -1), (0, 0)]
)
def test_an_absurd_timestamp_is_bent_into_the_calendar(append_ms: int, kept: int) -> None:
    letter = e.dead_letter(incoming(b"", at=append_ms), "x", "x")
    assert e.decode_dead_letter(e.encode_entry(letter)).append_ms == kept


# --- commit metadata ----------------------------------------------------------------------------


@pytest.mark.parametrize("header", [HEADER, Header(0, 0, ())])
def test_metadata_are_read_as_they_were_written(header: Header) -> None:
    text = e.encode_header(header)
    assert text.isascii()
    assert e.decode_header(text) == header


def test_no_metadata_are_none() -> None:
    assert e.decode_header("") is None


def test_metadata_have_a_largest_size() -> None:
    with pytest.raises(WireError, match="3900 are allowed"):
        e.encode_header(HEADER._replace(supervisions=(SUPERVISION,) * 60))


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "null",
        "[]",
        "[1,2]",
        "[1,2,3]",
        "[1,2,[3]]",
        "[1,2,[[]]]",
        "[-1,2,[]]",
        '["1",2,[]]',
        "[1,true,[]]",
        "[9007199254740993000000,2,[]]",
        '[1,2,[["a.b",1,2,"i",3,4]]]',
        '[1,2,[["a.b",1,2,"i",3,4,5,6]]]',
        '[1,2,[["a.b",1,2,3,3,4,5]]]',
        '[1,2,[[1,1,2,"i",3,4,5]]]',
    ],
)
def test_other_metadata_are_refused(text: str) -> None:
    with pytest.raises(WireError):
        e.decode_header(text)
