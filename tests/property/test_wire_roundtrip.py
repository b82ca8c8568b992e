"""What is encoded is decoded to the same, and fastavro, which knows nothing of us, agrees."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.wire.codec import Codec
from mesh.wire.schemas import PREFIX
from tests.unit.wire.samples import codecs, plain, records

CODECS = {codec.schema.name: codec for codec in codecs()}
PARSED = {name: parse_schema(dict(codec.schema.definition)) for name, codec in CODECS.items()}


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@settings(max_examples=12)
@given(data=st.data())
def test_every_kind(codec: Codec, data: st.DataObject) -> None:
    value, outer = data.draw(records(codec))
    head, tail = codec.encode(value, *outer)

    assert codec.decode(head + tail) == (value, outer, len(head))

    assert_fastavro_agrees(codec, head + tail, plain(codec, value, outer))


def assert_fastavro_agrees(codec: Codec, written: bytes, expected: dict[str, Any]) -> None:
    parsed = PARSED[codec.schema.name]
    buffer = BytesIO()
    schemaless_writer(buffer, parsed, expected)
    assert written[PREFIX:] == buffer.getvalue()
    assert schemaless_reader(BytesIO(written[PREFIX:]), parsed, None) == expected
