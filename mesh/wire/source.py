"""What a codec is compiled from: a schema, a class, and code in which each line has its field.

A general reader asks at every value what comes next; a compiled one knows. For a `TaskOpened` with
an award fastavro takes 26 µs to write and 16 µs to read dictionaries, which then are not
our classes yet; the compiled code takes 5 to 8 and 15 µs with our classes. And it says at which
field bad input broke, because each line of it belongs to one. `mesh.wire.encoder` and
`mesh.wire.decoder` write the code.

What schemas may hold is less than Avro has: records, arrays, enums, fixed, the primitive types
but floats, and unions of null with one of these. A `minimum` on an integer's field replaces the
usual 0; a name that ends in `_ms` is limited to the year 9999. A nullable fixed is empty bytes for
null. `content_hash`, `media_type` and `content` at a record's end are the class's one `Body`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from mesh.core.values import Body
from mesh.errors import WireError
from mesh.wire import primitives
from mesh.wire.schemas import Definition

BODY = ("content_hash", "media_type", "content")

INTEGERS = ("int", "long")

_NAMESPACE = {
    "BOOLEANS": {False: b"\x00", True: b"\x01"},
    "TEXTS": primitives.Texts(),
    "BOOLEAN_AT": {0: False, 1: True},
    "SOME_AT": {0: False, 2: True},
    "Body": Body,
    "LENGTHS": primitives.LENGTHS,
    "STRINGS": primitives.Strings(),
    "new": tuple.__new__,
    "join": b"".join,
    "encode_bytes": primitives.encode_bytes,
    "encode_fixed": primitives.encode_fixed,
    "encode_nullable_fixed": primitives.encode_nullable_fixed,
    "read_count": primitives.read_count,
    "read_integer": primitives.read_integer,
    "read_length": primitives.read_length,
    "WireError": WireError,
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a schema's records become: a class, and the fields that stand outside it.

    `nested` has the classes of the records and enums within, by their names in the schemas.
    """

    cls: type
    outer: tuple[str, ...]
    nested: Mapping[str, type]


class Compiled:
    """A compiled function, and the field to which each line of its code belongs."""

    def __init__(self, name: str, lines: Sequence[tuple[str, str]], names: dict[str, Any]) -> None:
        self._file = f"<{name}>"
        self._paths = [path for _, path in lines]
        source = "\n".join(line for line, _ in lines)
        exec(compile(source, self._file, "exec"), names)  # noqa: S102  # our own schemas' code
        self.call: Callable[..., Any] = names["run"]

    def where(self, error: BaseException) -> str:
        """Return the path of the field at which this error of `call` arose, "" for none."""
        path = ""
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self._file:
                path = self._paths[trace.tb_lineno - 1]
            trace = trace.tb_next
        return path


def body_field(cls: type) -> str:
    """Return the name of a class's one `Body`, "" if it has none."""
    return next((name for name, hint in get_type_hints(cls).items() if hint is Body), "")


def field_range(field: Mapping[str, Any], kind: str) -> tuple[int, int]:
    """Return the least and the largest integer that a field may hold."""
    high = primitives.MAX_INT if kind == "int" else primitives.MAX_LONG
    if field["name"].endswith("_ms"):
        high = primitives.MAX_TIME_MS
    return field.get("minimum", 0), high


def has_body(definition: Definition) -> bool:
    """Tell whether a record ends with the contents of a body."""
    return bool(definition["fields"][-1]["name"] == BODY[-1])


def field_names(cls: type) -> tuple[str, ...]:
    """Return the names of a named tuple's fields."""
    names: tuple[str, ...] = cls._fields  # type: ignore[attr-defined]  # of a NamedTuple
    return names


def nullable(schema: Any) -> Any:
    """Return the other branch of a union with null, None if `schema` is no union."""
    return schema[1] if isinstance(schema, list) else None


class Source:
    """Mutable: code as it is written, with the names that it uses."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.names: dict[str, Any] = dict(_NAMESPACE)
        self.named: dict[str, Definition] = {}
        self.lines: list[tuple[str, str]] = []
        self.count = 0

    def emit(self, depth: int, line: str, path: str) -> None:
        """Write a line of code that belongs to the field at `path`."""
        self.lines.append((" " * depth + line, path))

    def fresh(self) -> str:
        """Return a name that stands nowhere yet."""
        self.count += 1
        return f"x{self.count}"

    def constant(self, value: object) -> str:
        """Return a name for this value."""
        name = self.fresh()
        self.names[name] = value
        return name

    def resolve(self, schema: Any) -> Any:
        """Return the schema that a name stands for; a primitive's name stands for itself."""
        if isinstance(schema, dict) and "name" in schema:
            self.named[schema["name"]] = schema
        return self.named.get(schema, schema) if isinstance(schema, str) else schema
