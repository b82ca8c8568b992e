from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader

from mesh.core.values import Body
from mesh.errors import WireError
from mesh.wire.encoder import compile_encoder
from mesh.wire.schemas import PREFIX
from tests.unit.wire.synthetic import (
    DEFINITION,
    DICT,
    PLAIN_VALUE,
    POINTS_DICT,
    TARGET,
    VALUE,
    Plain,
    codec,
)

PARSED = parse_schema(DEFINITION)


def test_fastavro_reads_what_is_written() -> None:
    head, tail = codec().encode(replace(VALUE, maybe=PLAIN_VALUE), 9)
    read = schemaless_reader(BytesIO((head + tail)[PREFIX:]), PARSED, None)
    assert read == {**DICT, "maybe": POINTS_DICT}


def test_the_contents_are_apart() -> None:
    head, tail = codec().encode(VALUE, 9)
    assert tail == b"\x02\x0econtent"

    erased = replace(VALUE, body=VALUE.body._replace(content=None))
    assert codec().encode(erased, 9) == (head, b"\x00")


def test_without_a_body_there_is_no_tail() -> None:
    bare = {**DEFINITION, "fields": DEFINITION["fields"][:-3]}
    assert compile_encoder(bare, TARGET).call(VALUE, 9)[1] == b""


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"count": -1}, "Sample.count: -1 is not between 0 and 2147483647"),
        ({"count": "1"}, "Sample.count: '1' is no integer"),
        ({"flag": 2}, "Sample.flag: unknown choice 2"),
        ({"colour": "red"}, "Sample.colour: 'str' object has no attribute '_value_'"),
        ({"words": (3,)}, r"Sample.words\[\]: 'int' object has no attribute 'encode'"),
        ({"mark": b"m"}, "Sample.mark: 1 bytes where 2 are due"),
        ({"plain": None}, "Sample.plain.points: 'NoneType' object has no attribute 'points'"),
        ({"other": Plain(points=(3,), label="")}, r"Sample.other.points\[\]: cannot unpack"),  # type: ignore[arg-type]  # on purpose
        ({"maybe": Plain(points=(), label=None)}, "Sample.maybe.label: "),  # type: ignore[arg-type]  # on purpose
        ({"data": "text"}, "Sample.data: can't concat str to bytes"),
        ({"body": Body(b"h", "", None)}, "Sample.content_hash: 1 bytes where 2 are due"),
        ({"body": None}, "Sample.body: cannot unpack"),
    ],
)
def test_a_wrong_object_is_refused_with_its_field(change: dict[str, Any], what: str) -> None:
    with pytest.raises(WireError, match=what):
        codec().encode(replace(VALUE, **change), 9)


def test_a_wrong_outer_field_is_refused() -> None:
    with pytest.raises(WireError, match=r"Sample.number: -2 is not between"):
        codec().encode(VALUE, -2)
    with pytest.raises(WireError, match=r"Sample: .*missing 1 required"):
        codec().encode(VALUE)
