"""Writes the code of decoders, for what this release or an earlier one wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

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

NAMES = frozenset(
    {"agent", "capability", "digest", "goal", "instance", "media_type", "named_agent"}
    | {"reply_topic", "topic", "why"}
)
"""Fields whose strings come again and again: what is decoded once stands for all."""


def compile_decoder(writer: Definition, reader: Definition, target: Target) -> Compiled:
    """Return `(bytes, position) -> (value, outer, end of the head)` for what `writer` wrote.

    Fields that the reader's schema does not have are dropped, those that the writer's lacks get
    their default. No other difference is bridged; `tests/test_schemas.py` allows no other.
    """
    return _Decoder(reader, target).compile(writer)


class _Decoder(Source):
    """Writes the decoder: statements that read field after field, then build the objects."""

    def __init__(self, reader: Definition, target: Target) -> None:
        super().__init__(target)
        self.readers = dict(named_types(reader))

    def compile(self, writer: Definition) -> Compiled:
        name = writer["name"]
        reader = self.readers[name]
        self.emit(0, "def run(data, at):", "")
        self.emit(1, "end = len(data)", "")
        values: dict[str, str] = {}
        for field in writer["fields"]:
            if field["name"] == BODY[-1]:
                self.emit(1, "tail = at", "")
            values[field["name"]] = self.read(1, field, field["name"])
        if not has_body(writer):
            self.emit(1, "tail = at", "")
        self.emit(1, "if at > end: raise IndexError", "")
        self.emit(1, "if at < end: raise WireError(f'{end - at} bytes are left over')", "")
        values |= self.defaults(writer, reader)
        outer = [values.pop(name) for name in self.target.outer]
        if has_body(reader):
            parts = ", ".join(values.pop(name) for name in BODY)
            values[body_field(self.target.cls)] = f"new(Body, ({parts}))"
        whole = self.build(1, self.target.cls, values, "")
        self.emit(1, f"return {whole}, ({''.join(f'{name}, ' for name in outer)}), tail", "")
        return Compiled(f"decode {name}", self.lines, self.names)

    def defaults(self, writer: Definition, reader: Definition) -> dict[str, str]:
        """Name the defaults of the fields that the writer did not know."""
        wrote = {field["name"] for field in writer["fields"]}
        added = [field for field in reader["fields"] if field["name"] not in wrote]
        return {field["name"]: self.constant(self.default(field)) for field in added}

    def default(self, field: Definition) -> object:
        schema, value = field["type"], field["default"]
        inner = nullable(schema)
        if inner is not None:
            inner = self.readers.get(inner, inner) if isinstance(inner, str) else inner
            return b"" if isinstance(inner, dict) and inner["type"] == "fixed" else None
        schema = self.readers.get(schema, schema) if isinstance(schema, str) else schema
        if isinstance(schema, dict) and schema["type"] == "enum":
            return self.target.nested[schema["name"]](value)
        return tuple(value) if isinstance(value, list) else value

    def build(self, depth: int, cls: type, values: Mapping[str, str], path: str) -> str:
        """Emit what makes an object of the fields that its class has, and return its name.

        A frozen dataclass takes 2 µs to fill by its own means. Where it has nothing to check, a
        twin that is not frozen is filled instead, and becomes one of its class: 0.2 µs.
        """
        name = self.fresh()
        if not is_dataclass(cls):
            given = "".join(f"{values[field]}, " for field in field_names(cls))
            self.emit(depth, f"{name} = new({self.constant(cls)}, ({given}))", path)
            return name
        names = [field.name for field in fields(cls)]
        if hasattr(cls, "__post_init__"):
            given = "".join(f"{field}={values[field]}, " for field in names)
            self.emit(depth, f"{name} = {self.constant(cls)}({given})", path)
            return name
        self.emit(depth, f"{name} = {self.constant(_twin(cls))}()", path)
        for field in names:
            self.emit(depth, f"{name}.{field} = {values[field]}", path)
        self.emit(depth, f"{name}.__class__ = {self.constant(cls)}", path)
        return name

    def read(self, depth: int, field: Definition, path: str) -> str:
        """Emit what reads a value, and return the name that it is under."""
        schema = self.resolve(field["type"])
        inner = nullable(schema)
        if inner is not None:
            return self.nullable(depth, field, self.resolve(inner), path)
        if isinstance(schema, str):
            return self.primitive(depth, field, schema, path)
        match schema["type"]:
            case "record":
                return self.record(depth, schema, path)
            case "array":
                return self.array(depth, field, schema, path)
            case "fixed":
                name = self.fresh()
                line = f"start = at; at += {schema['size']}; {name} = data[start:at]"
                self.emit(depth, line, path)
                return name
            case _:
                cls = self.target.nested[schema["name"]]
                symbols = {2 * at: cls(name) for at, name in enumerate(schema["symbols"])}
                return self.choice(depth, self.constant(symbols), path)

    def primitive(self, depth: int, field: Definition, kind: str, path: str) -> str:
        if kind in INTEGERS:
            return self.integer(depth, field_range(field, kind), path)
        if kind == "boolean":
            return self.choice(depth, "BOOLEAN_AT", path)
        name = self.fresh()
        text = kind == "string"
        self.emit(depth, f"{name} = data[at]", path)
        self.emit(depth, f"if not {name}: {name} = {'' if text else b''!r}; at += 1", path)
        self.emit(depth, "else:", path)
        self.emit(depth + 1, f"if {name} & 129: {name}, at = read_length(data, at)", path)
        self.emit(depth + 1, f"else: {name} >>= 1; at += 1", path)
        self.emit(depth + 1, f"start = at; at += {name}", path)
        value = "data[start:at]"
        if text:
            value = f"TEXTS[{value}]" if field["name"] in NAMES else f"{value}.decode()"
        self.emit(depth + 1, f"{name} = {value}", path)
        return name

    def integer(self, depth: int, limits: tuple[int, int], path: str) -> str:
        name = self.fresh()
        self.emit(depth, f"{name} = data[at]", path)
        self.emit(
            depth,
            f"if {name} & 129: {name}, at = read_integer(data, at, {limits[0]}, {limits[1]})",
            path,
        )
        self.emit(depth, f"else: {name} >>= 1; at += 1", path)
        return name

    def choice(self, depth: int, choices: str, path: str) -> str:
        name = self.fresh()
        self.emit(depth, f"{name} = {choices}[data[at]]; at += 1", path)
        return name

    def record(self, depth: int, schema: Definition, path: str) -> str:
        values = {
            field["name"]: self.read(depth, field, f"{path}.{field['name']}")
            for field in schema["fields"]
        }
        values |= self.defaults(schema, self.readers[schema["name"]])
        return self.build(depth, self.target.nested[schema["name"]], values, path)

    def nullable(self, depth: int, field: Definition, inner: Any, path: str) -> str:
        name, some = self.fresh(), self.choice(depth, "SOME_AT", path)
        empty = b"" if isinstance(inner, dict) and inner["type"] == "fixed" else None
        self.emit(depth, f"{name} = {empty!r}", path)
        self.emit(depth, f"if {some}:", path)
        value = self.read(depth + 1, {**field, "type": inner}, path)
        self.emit(depth + 1, f"{name} = {value}", path)
        return name

    def array(self, depth: int, field: Definition, schema: Definition, path: str) -> str:
        name, count = self.fresh(), self.fresh()
        self.emit(depth, f"{name} = ()", path)
        self.emit(depth, "while data[at]:", path)
        self.emit(depth + 1, f"{name} = {name} or []", path)
        self.emit(depth + 1, f"{count}, at = read_count(data, at)", path)
        self.emit(depth + 1, f"if {count} > end - at: raise IndexError", path)
        self.emit(depth + 1, f"for _ in range({count}):", path)
        value = self.read(depth + 2, {**field, "type": schema["items"]}, f"{path}[]")
        self.emit(depth + 2, f"{name}.append({value})", path)
        self.emit(depth, f"{name} = tuple({name}); at += 1", path)
        return name


@cache
def _twin(cls: type) -> type:
    """Return a class with the slots of a frozen dataclass that can be filled."""
    return type(cls.__name__, (), {"__slots__": tuple(field.name for field in fields(cls))})


def named_types(schema: Any) -> Iterator[tuple[str, Definition]]:
    """Yield the named types in a schema."""
    if isinstance(schema, list):
        for branch in schema:
            yield from named_types(branch)
    elif isinstance(schema, dict):
        if "name" in schema:
            yield schema["name"], schema
        if schema["type"] == "array":
            yield from named_types(schema["items"])
        for field in schema.get("fields", ()):
            yield from named_types(field["type"])
