from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mesh.core.facts import SupervisionRenewed
from mesh.core.settings import MAX_EVENT_BYTES
from mesh.errors import WireError
from mesh.wire import codec as module
from mesh.wire.codec import Codecs, present
from mesh.wire.facts import codecs, decode_fact, encode_fact
from mesh.wire.messages import encode_envelope
from mesh.wire.nested import NESTED
from mesh.wire.schemas import MARKER, PREFIX, Schema, current, schema_of
from mesh.wire.source import Target
from tests.unit.wire.samples import AWARD, OPENED, SOURCE, encoded, envelope
from tests.unit.wire.synthetic import DEFINITION, VALUE, codec


def test_a_codec_says_what_it_is_of() -> None:
    assert repr(codec()) == f"Codec(Sample {schema_of(DEFINITION).prefix.hex()})"


def written(content: bytes) -> bytes:
    return b"".join(codec().encode(replace(VALUE, body=VALUE.body._replace(content=content)), 0))


def test_a_record_has_a_largest_size() -> None:
    room = MAX_EVENT_BYTES - len(written(b"")) - 2  # its length takes three bytes instead of one
    assert len(written(bytes(room))) == MAX_EVENT_BYTES
    with pytest.raises(WireError, match=r"Sample: 262145 bytes, 262144 are allowed"):
        written(bytes(room + 1))
    with pytest.raises(WireError, match=r"Sample.content: .* is not between"):
        written(bytes(MAX_EVENT_BYTES + 1))


FACT = encode_fact(OPENED, 0, bytes(32))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "begins with nothing, not with Avro's marker c301"),
        (b'{"a":1}', "begins with 7b22, not with Avro's marker c301"),
        (MARKER, "ends within the fingerprint"),
        (FACT[: PREFIX - 1], "ends within the fingerprint"),
        (MARKER + bytes(8), "unknown fingerprint 0000000000000000"),
        (FACT[:PREFIX], "TaskOpened.sequence: the data end too early"),
        (encode_envelope(envelope(AWARD)), "Award where a fact is due"),
        (FACT + bytes(MAX_EVENT_BYTES), "bytes, 262144 are allowed"),
    ],
)
def test_a_stranger_is_refused(data: bytes, what: str) -> None:
    with pytest.raises(WireError, match=what):
        decode_fact(data)


def test_null_is_refused() -> None:
    assert present(b"") == b""
    with pytest.raises(WireError, match="the value is null"):
        present(None)


def test_an_object_of_another_group_is_not_written() -> None:
    with pytest.raises(WireError, match="Award is no fact"):
        codecs().writer(type(AWARD))


def test_what_an_earlier_release_wrote_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    own = current()["SupervisionRenewed"]
    old = schema_of(_changed(own, lambda field: None))
    new = replace(own, definition=_changed(own, lambda field: {**field, "default": 4}))
    other = schema_of({**DEFINITION, "name": "Gone"})
    monkeypatch.setattr(module, "released", lambda: (old, other))
    monkeypatch.setattr(module, "current", lambda: {new.name: new})
    target = Target(cls=SupervisionRenewed, outer=("sequence", "previous"), nested=NESTED)
    group = Codecs("fact", {new.name: target})

    fact = SupervisionRenewed(source=SOURCE, by=OPENED.by, authority=4)
    head, _ = next(iter(group)).encode(fact, 1, bytes(32))
    data = old.prefix + head[PREFIX:-1]  # without the authority
    assert group.reader(data).decode(data) == (fact, (1, bytes(32)), len(data))
    with pytest.raises(WireError, match="Gone where a fact is due"):
        group.reader(other.prefix)


def _changed(schema: Schema, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Any:
    """Return a definition with its last field changed, or left out."""
    *fields, last = schema.definition["fields"]
    changed = change(last)
    return {**schema.definition, "fields": [*fields, changed] if changed else fields}


def test_every_sample_fits_its_limits() -> None:
    assert all(PREFIX < len(value) < 4_096 for value in encoded())
