from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer

from mesh.errors import WireError
from mesh.wire.schemas import PREFIX, schema_of
from tests.unit.wire.synthetic import (
    COLOUR,
    DEFINITION,
    DICT,
    FIELDS,
    PLAIN_VALUE,
    POINT,
    VALUE,
    Colour,
    Plain,
    Point,
    codec,
    field,
    record,
)

HEAD, TAIL = codec().encode(VALUE, 9)
DATA = HEAD + TAIL


def test_what_was_written_is_read() -> None:
    assert codec().decode(DATA) == (VALUE, (9,), len(HEAD))

    full = replace(VALUE, maybe=PLAIN_VALUE)
    assert codec().decode(b"".join(codec().encode(full, 9)))[0] == full


def test_what_is_read_is_frozen() -> None:
    read, _, _ = codec().decode(DATA)
    with pytest.raises(AttributeError):
        read.plain.label = "changed"


def test_every_cut_is_refused() -> None:
    for end in range(PREFIX, len(DATA)):
        with pytest.raises(WireError, match=r"the data end too early|no UTF-8|must not be empty"):
            codec().decode(DATA[:end])


def test_leftovers_are_refused() -> None:
    with pytest.raises(WireError, match="Sample: 2 bytes are left over"):
        codec().decode(DATA + b"xx")


@pytest.mark.parametrize(
    ("at", "damage", "what"),
    [
        (0, "01", "Sample.number: -1 is not between 0 and"),
        (1, "02", "Sample.flag: unknown choice 2"),
        (2, "04", "Sample.colour: unknown choice 4"),
        (3, "01", "Sample.count: -1 is not between"),
        (4, "feffffffffffffffff01", r"Sample.words: .* is not between"),
        (4, "80b518", "Sample.words: the data end too early"),
        (5, "feffff7f", r"Sample.words\[\]: .* is not between"),
        (5, "01", r"Sample.words\[\]: -1 is not between"),
        (6, "ff", r"Sample.words\[\]: no UTF-8"),
        (10, "0d", r"Sample.plain.points\[\].x: -7 is not between -5 and"),
    ],
)
def test_damage_is_refused_with_its_field(at: int, damage: str, what: str) -> None:
    new = bytes.fromhex(damage)
    data = DATA[: PREFIX + at] + new + DATA[PREFIX + at + 1 :]
    with pytest.raises(WireError, match=what):
        codec().decode(data)


def test_a_class_that_checks_is_asked() -> None:
    data = DATA.replace(b"\x02nmm", b"\x00mm")
    with pytest.raises(WireError, match=r"^Sample.checked: name must not be empty$"):
        codec().decode(data)


def test_an_array_may_come_in_blocks() -> None:
    """One of two items, and two of one, the second with its size: as other writers do."""
    written = b"\x04\x02a\x00\x00"
    blocks = b"\x02\x02a" + b"\x01\x02\x00" + b"\x00"
    assert DATA.count(written) == 1
    assert codec().decode(DATA.replace(written, blocks))[0] == VALUE


def test_many_blocks_take_time_in_proportion() -> None:
    many = b"\x02\x00" * 30_000
    data = DATA.replace(b"\x04\x02a\x00\x00", many + b"\x00")
    assert codec().decode(data)[0].words == ("",) * 30_000


# --- what an earlier release wrote: fastavro is its writer ---------------------------------------


def without(*names: str) -> dict[str, Any]:
    """Return the schema of a release that did not have these fields."""
    return {**DEFINITION, "fields": [own for own in FIELDS if own["name"] not in names]}


def with_default(name: str, default: Any) -> dict[str, Any]:
    """Return the schema of a release that gives a field a default."""
    changed = [{**own, "default": default} if own["name"] == name else own for own in FIELDS]
    return {**DEFINITION, "fields": changed}


def read(old: dict[str, Any], new: dict[str, Any], written: dict[str, Any]) -> Any:
    buffer = BytesIO()
    schemaless_writer(buffer, parse_schema(old), written, strict=True)
    return codec(old, new).decode(schema_of(old).prefix + buffer.getvalue())[0]


@pytest.mark.parametrize(
    ("name", "default", "value"),
    [
        ("count", 5, 5),
        ("flag", False, False),
        ("words", [], ()),
        ("words", ["w"], ("w",)),
        ("maybe", None, None),
        ("colour", "red", Colour.RED),
    ],
)
def test_a_field_that_was_added_has_its_default(name: str, default: Any, value: Any) -> None:
    written = {own: part for own, part in DICT.items() if own != name}
    new = with_default(name, default)
    assert read(without(name), new, written) == replace(VALUE, **{name: value})


@pytest.mark.parametrize("mark", ["Mark", {"type": "fixed", "name": "Hash", "size": 2}])
def test_a_fixed_that_was_added_is_empty(mark: Any) -> None:
    new = with_default("content_hash", None)
    at = [own["name"] for own in FIELDS].index("content_hash")
    new["fields"][at] = new["fields"][at] | {"type": ["null", mark]}
    written = {name: part for name, part in DICT.items() if name != "content_hash"}
    assert read(without("content_hash"), new, written).body.hash == b""


def test_a_named_enum_that_was_added_has_its_default() -> None:
    first = field("first", COLOUR)
    old, new = without("colour"), with_default("colour", "blue")
    old["fields"] = [first, *old["fields"]]
    new["fields"] = [first, *new["fields"]]
    new["fields"][3] = {"name": "colour", "type": "Colour", "default": "red"}
    written = {name: part for name, part in DICT.items() if name != "colour"}
    assert read(old, new, {**written, "first": "blue"}) == replace(VALUE, colour=Colour.RED)


def test_a_field_that_was_removed_is_dropped() -> None:
    old = without()
    old["fields"] = [field("gone", {"type": "array", "items": "string"}), *old["fields"]]
    assert read(old, DEFINITION, {**DICT, "gone": ["x"]}) == VALUE


def test_a_field_within_that_was_added_has_its_default() -> None:
    def schema(*point: dict[str, Any]) -> dict[str, Any]:
        points = field("points", {"type": "array", "items": record("Point", *point)})
        plain = field("plain", record("Plain", points, field("label", "string")))
        changed = [plain if own["name"] == "plain" else own for own in FIELDS]
        return {**DEFINITION, "fields": changed}

    x, y = POINT["fields"]
    old, new = schema(x), schema(x, {**y, "default": 4})
    within = {"points": [{"x": 1}], "label": "p"}
    was = Plain(points=(Point(1, 4),), label="p")
    written = {**DICT, "plain": within, "other": within}
    assert read(old, new, written) == replace(VALUE, plain=was, other=was)
