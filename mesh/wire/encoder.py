"""Writes the code of encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from mesh.wire.primitives import Integers
from mesh.wire.schemas import Definition
from mesh.wire.source import (
    BODY,
    INTEGERS,
    Compiled,
    Source,
    Target,
    body_field,
    field_names,
    field_range,
    has_body,
    nullable,
)

_INTEGERS: dict[tuple[int, int], Integers] = {}
_PRIMITIVES = {"string": "STRINGS[{}]", "boolean": "BOOLEANS[{}]", "bytes": "encode_bytes({})"}


def compile_encoder(definition: Definition, target: Target) -> Compiled:
    """Return `(value, *outer) -> (head, tail)`; `tail` is the encoding of `content`, else empty."""
    return _Encoder(target).compile(definition)


class _Encoder(Source):
    """Writes the encoder: one large join of the encodings of all fields, in the schema's order.

    `items` returns expressions; an array and what may be null get a function of their own.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.helpers: list[tuple[str, str]] = []

    def compile(self, definition: Definition) -> Compiled:
        body = has_body(definition)
        self.emit(0, f"def run({', '.join(('value', *self.target.outer))}):", "")
        if body:
            name = body_field(self.target.cls)
            self.emit(1, f"{', '.join(BODY)} = value.{name}", name)
        items: list[tuple[str, str]] = []
        for field in definition["fields"]:
            name = field["name"]
            local = name in self.target.outer or (body and name in BODY)
            items += self.items(1, field, name if local else f"value.{name}", name)
        tail = items.pop() if body else ("b''", "")
        self.emit_join(1, items)
        self.lines[-1] = (f" )), {tail[0]}", tail[1])
        return Compiled(f"encode {definition['name']}", self.helpers + self.lines, self.names)

    def emit_join(self, depth: int, items: Sequence[tuple[str, str]]) -> None:
        self.emit(depth, "return join((", "")
        for item, path in items:
            self.emit(depth + 1, f"{item},", path)
        self.emit(depth, "))", "")

    def items(self, depth: int, field: Definition, value: str, path: str) -> list[tuple[str, str]]:
        """Return the expressions that encode `value`, after emitting what they rest on."""
        schema = self.resolve(field["type"])
        inner = nullable(schema)
        if inner is not None:
            return [(self.nullable(field, self.resolve(inner), value, path), path)]
        if isinstance(schema, str):
            return [(self.primitive(field, schema, value), path)]
        match schema["type"]:
            case "record":
                return self.record(depth, schema, value, path)
            case "array":
                return [
                    (f"{self.array(field, schema, path)}({value}) if {value} else b'\\0'", path)
                ]
            case "fixed":
                return [(f"encode_fixed({value}, {schema['size']})", path)]
            case _:
                symbols = {name: bytes([2 * at]) for at, name in enumerate(schema["symbols"])}
                return [(f"{self.constant(symbols)}[{value}._value_]", path)]

    def primitive(self, field: Definition, kind: str, value: str) -> str:
        if kind in INTEGERS:
            return f"{self.constant(_integers(*field_range(field, kind)))}[{value}]"
        return _PRIMITIVES[kind].format(value)

    def record(
        self, depth: int, schema: Definition, value: str, path: str
    ) -> list[tuple[str, str]]:
        cls = self.target.nested[schema["name"]]
        if is_dataclass(cls):
            whole = self.fresh()
            self.emit(depth, f"{whole} = {value}", path)
            parts = {field.name: f"{whole}.{field.name}" for field in fields(cls)}
        else:
            parts = {name: self.fresh() for name in field_names(cls)}
            self.emit(depth, f"{', '.join(parts.values())}, = {value}", path)
        items = []
        for field in schema["fields"]:
            items += self.items(depth, field, parts[field["name"]], f"{path}.{field['name']}")
        return items

    def nullable(self, field: Definition, inner: Any, value: str, path: str) -> str:
        if isinstance(inner, dict) and inner["type"] == "fixed":
            return f"encode_nullable_fixed({value}, {inner['size']})"
        outside, self.lines = self.lines, []
        name = self.fresh()
        self.emit(0, f"def {name}(value):", path)
        items = self.items(1, {**field, "type": inner}, "value", path)
        self.emit_join(1, [("b'\\2'", path), *items])
        self.helpers += self.lines
        self.lines = outside
        return f"b'\\0' if {value} is None else {name}({value})"

    def array(self, field: Definition, schema: Definition, path: str) -> str:
        outside, self.lines = self.lines, []
        name = self.fresh()
        self.emit(0, f"def {name}(values):", path)
        self.emit(1, "parts = [LENGTHS[len(values)]]", path)
        self.emit(1, "for value in values:", path)
        items = self.items(2, {**field, "type": schema["items"]}, "value", f"{path}[]")
        self.emit(2, "parts += (", f"{path}[]")
        for item, at in items:
            self.emit(3, f"{item},", at)
        self.emit(2, ")", f"{path}[]")
        self.emit(1, "parts.append(b'\\0')", path)
        self.emit(1, "return join(parts)", path)
        self.helpers += self.lines
        self.lines = outside
        return name


def _integers(low: int, high: int) -> Integers:
    """Return the encodings of a range, the same to all who ask for it."""
    return _INTEGERS.setdefault((low, high), Integers(low, high))
