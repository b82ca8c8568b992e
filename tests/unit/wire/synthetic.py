"""A small record that has every type which schemas may use, and classes for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from mesh.core.values import Body
from mesh.errors import DefinitionError
from mesh.wire.codec import Codec
from mesh.wire.schemas import Definition, schema_of
from mesh.wire.source import Target


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Point(NamedTuple):
    x: int
    y: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plain:
    points: tuple[Point, ...]
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    name: str

    def __post_init__(self) -> None:
        if not self.name:
            raise DefinitionError("name must not\nbe empty")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    flag: bool
    colour: Colour
    count: int
    words: tuple[str, ...]
    plain: Plain
    maybe: Plain | None
    other: Plain
    checked: Checked
    mark: bytes
    data: bytes
    body: Body


def field(name: str, type_: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, **more}


def record(name: str, *fields: Definition) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


POINT = record("Point", field("x", "int", minimum=-5), field("y", "long"))
PLAIN = record(
    "Plain", field("points", {"type": "array", "items": POINT}), field("label", "string")
)
COLOUR = {"type": "enum", "name": "Colour", "symbols": ["red", "blue"]}
MARK = {"type": "fixed", "name": "Mark", "size": 2}
FIELDS = (
    field("number", "long"),
    field("flag", "boolean"),
    field("colour", COLOUR),
    field("count", "int"),
    field("words", {"type": "array", "items": "string"}),
    field("plain", PLAIN),
    field("maybe", ["null", "Plain"]),
    field("other", "Plain"),
    field("checked", record("Checked", field("name", "string"))),
    field("mark", MARK),
    field("data", "bytes"),
    field("content_hash", ["null", "Mark"]),
    field("media_type", "string"),
    field("content", ["null", "bytes"]),
)
DEFINITION = {"namespace": "parley", "group": "value", **record("Sample", *FIELDS)}
NESTED: dict[str, type] = {"Point": Point, "Plain": Plain, "Colour": Colour, "Checked": Checked}
TARGET = Target(cls=Sample, outer=("number",), nested=NESTED)
PLAIN_VALUE = Plain(points=(Point(-5, 3), Point(300, 2**40)), label="é")
VALUE = Sample(
    flag=True,
    colour=Colour.BLUE,
    count=7,
    words=("a", ""),
    plain=PLAIN_VALUE,
    maybe=None,
    other=PLAIN_VALUE,
    checked=Checked(name="n"),
    mark=b"mm",
    data=b"",
    body=Body(b"hh", "text/plain", b"content"),
)

POINTS_DICT = {"points": [{"x": -5, "y": 3}, {"x": 300, "y": 2**40}], "label": "é"}
DICT = {
    "number": 9,
    "flag": True,
    "colour": "blue",
    "count": 7,
    "words": ["a", ""],
    "plain": POINTS_DICT,
    "maybe": None,
    "other": POINTS_DICT,
    "checked": {"name": "n"},
    "mark": b"mm",
    "data": b"",
    "content_hash": b"hh",
    "media_type": "text/plain",
    "content": b"content",
}
"""The value as fastavro has it."""


def codec(writer: Definition = DEFINITION, reader: Definition = DEFINITION) -> Codec:
    return Codec(schema_of(writer), schema_of(reader), TARGET)
