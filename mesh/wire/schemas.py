"""The schemas: where they are, what they are called, and the fingerprints that name them.

`schemas/*.avsc` is the contract, one file a kind. A value on a topic is Avro's single-object
encoding: `MARKER`, the eight bytes of its writer's schema's fingerprint, the datum. `released/`
beneath holds what earlier releases wrote, so that their records stay readable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

Definition = Mapping[str, Any]
"""A record's schema as JSON has it."""

MARKER = b"\xc3\x01"
"""How single-object encoding begins; neither JSON nor UTF-8 text can."""
PREFIX = len(MARKER) + 8

_EMPTY = 0xC15D213AA4D7A795
"""Avro's initial value of the CRC, the fingerprint of nothing."""


@dataclass(frozen=True, kw_only=True)
class Schema:
    """One schema. `group` is `fact`, `message` or `value`; `prefix` begins every value of it."""

    name: str
    group: str
    definition: Definition
    prefix: bytes


@cache
def current() -> Mapping[str, Schema]:
    """Return the schemas that this release writes, by name."""
    return {schema.name: schema for schema in map(schema_of, _definitions(_folder()))}


@cache
def released() -> tuple[Schema, ...]:
    """Return the schemas that earlier releases wrote and that differ from the current ones."""
    known = {schema.prefix for schema in current().values()}
    releases = _folder() / "released"
    if not releases.is_dir():
        return ()
    versions = sorted(releases.iterdir(), key=lambda version: version.name)
    earlier = [schema_of(found) for version in versions for found in _definitions(version)]
    return tuple({s.prefix: s for s in earlier if s.prefix not in known}.values())


def schema_of(definition: Definition) -> Schema:
    """Name a schema by its fingerprint."""
    return Schema(
        name=definition["name"],
        group=definition["group"],
        definition=definition,
        prefix=MARKER + fingerprint(canonical_form(definition).encode()),
    )


def canonical_form(definition: Definition) -> str:
    """Return the Parsing Canonical Form: what decides how data is read, and nothing else.

    Source: Apache Avro 1.12, "Transforming into Parsing Canonical Form".
    """
    form = _canonical(definition, definition.get("namespace", ""), set())
    return json.dumps(form, ensure_ascii=False, separators=(",", ":"))


def fingerprint(data: bytes) -> bytes:
    """Return the CRC-64-AVRO fingerprint, little-endian as single-object encoding wants it."""
    crc = _EMPTY
    for byte in data:
        crc = (crc >> 8) ^ _crc_table()[(crc ^ byte) & 0xFF]
    return crc.to_bytes(8, "little")


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_EMPTY & -(crc & 1))
        table.append(crc)
    return tuple(table)


def _canonical(schema: Any, namespace: str, named: set[str]) -> Any:
    if isinstance(schema, str):
        return f"{namespace}.{schema}" if schema in named else schema
    if isinstance(schema, list):
        return [_canonical(branch, namespace, named) for branch in schema]
    kind = schema["type"]
    if kind == "array":
        return {"type": kind, "items": _canonical(schema["items"], namespace, named)}
    named.add(schema["name"])
    form = {"name": f"{namespace}.{schema['name']}", "type": kind}
    if kind == "enum":
        return {**form, "symbols": schema["symbols"]}
    if kind == "fixed":
        return {**form, "size": schema["size"]}
    fields = schema["fields"]
    types = [(field["name"], _canonical(field["type"], namespace, named)) for field in fields]
    return {**form, "fields": [{"name": name, "type": type_} for name, type_ in types]}


def _definitions(folder: Traversable) -> Iterator[Definition]:
    """Yield the schemas of a folder in the order of their names."""
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".avsc"):
            yield json.loads(file.read_text(encoding="utf-8"))


def _folder() -> Traversable:
    """Find the schemas: in the installed package, else at the root of a clone."""
    installed = files("mesh") / "schemas"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "schemas"
