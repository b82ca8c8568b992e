"""The schemas keep to the subset that the codecs know, describe themselves, and evolve safely.

No recursion and no item without a byte: with either, a few bytes of input could take the process
down in some reader. `--rewrite` records the fingerprints anew; a change of one means that what is
in logs is no longer written the same way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from fastavro import parse_schema

from mesh.core.facts import Fact
from mesh.core.messages import Content
from mesh.core.values import Body
from mesh.wire import schemas
from mesh.wire.decoder import named_types
from mesh.wire.schemas import Definition, current
from mesh.wire.source import BODY, Target, body_field, field_names, has_body
from tests.unit.wire.samples import codecs

SCHEMAS = current()
TARGETS: dict[str, Target] = {codec.schema.name: codec.target for codec in codecs()}
FOLDER = Path(str(schemas._folder()))
RECORDED = Path(__file__).parent / "unit" / "wire" / "golden" / "fingerprints.txt"

PRIMITIVES = {"boolean", "int", "long", "string", "bytes"}
ATTRIBUTES = {
    "record": {"type", "namespace", "name", "group", "author", "doc", "fields"},
    "enum": {"type", "name", "doc", "symbols"},
    "fixed": {"type", "name", "doc", "size"},
    "array": {"type", "items"},
    "field": {"name", "type", "doc", "author", "minimum", "default"},
}
ENVELOPES = {"fact": ("sequence", "previous"), "message": ("to", "sender", "sender_inbox")}


def offences(definition: Definition, name: str) -> list[str]:
    """Return what is wrong with a schema, one line each."""
    found = []
    if (definition.get("namespace"), definition.get("name")) != ("parley", name):
        found.append(f"it is not parley.{name}")
    if definition.get("group") not in {"fact", "message", "value"}:
        found.append(f"group {definition.get('group')!r}")
    if not definition.get("author"):
        found.append("no author")
    outer = ENVELOPES.get(definition.get("group", ""), ())
    if tuple(field["name"] for field in definition["fields"][: len(outer)]) != outer:
        found.append(f"does not begin with {outer}")
    names = [field["name"] for field in definition["fields"]]
    if set(BODY) & set(names) and tuple(names[-len(BODY) :]) != BODY:
        found.append(f"does not end with {BODY}")
    return found + [f"{at}: {what}" for at, what in _offences(definition, name, {}, ())]


def _offences(
    schema: Any, at: str, named: dict[str, Any], within: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    if isinstance(schema, list):
        if len(schema) != 2 or schema[0] != "null":
            yield at, "a union other than of null and one type"
        yield from _offences(schema[-1], at, named, within)
    elif isinstance(schema, str):
        if schema in within:
            yield at, f"{schema} is recursive"
        elif schema not in PRIMITIVES and schema not in named:
            yield at, f"unknown or forbidden type {schema}"
    else:
        yield from _complex_offences(schema, at, named, within)


def _complex_offences(
    schema: Definition, at: str, named: dict[str, Any], within: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    kind = schema["type"]
    if kind not in ATTRIBUTES:
        yield at, f"unknown or forbidden type {kind}, written out"
        return
    if more := set(schema) - ATTRIBUTES[kind]:
        yield at, f"{kind} with {sorted(more)}"
    if kind == "array":
        yield from _offences(schema["items"], f"{at}[]", named, within)
        return
    name = schema["name"]
    if not schema.get("doc"):
        yield at, f"{name} has no doc"
    if name in named:
        yield at, f"{name} is defined twice"
    named[name] = schema
    if kind == "enum" and not 0 < len(schema["symbols"]) <= 64:
        yield at, "an enum's symbol takes one byte"
    if kind != "enum" and not schema.get("size") and not schema.get("fields"):
        yield at, f"{name} has no width"
    for field in schema.get("fields", ()):
        yield from _field_offences(field, f"{at}.{field['name']}", named, (*within, name))


def _field_offences(
    field: Definition, at: str, named: dict[str, Any], within: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    if more := set(field) - ATTRIBUTES["field"]:
        yield at, f"field with {sorted(more)}"
    if not str(field.get("doc", "")).endswith("."):
        yield at, "no doc, or no sentence"
    if not re.fullmatch(r"[a-z]+(_[a-z]+)*", field["name"]):
        yield at, "a name is words in lower case"
    if "default" in field and not _simple(field["type"], field["default"]):
        yield at, "a default is null, a list of primitives, or primitive"
    if "minimum" in field and field["type"] not in ("int", "long"):
        yield at, "only an integer has a minimum"
    yield from _offences(field["type"], at, named, within)


def _simple(type_: Any, default: Any) -> bool:
    """Tell whether the decoders know how to give this default."""
    if isinstance(type_, list):
        return default is None
    if isinstance(default, list):
        return not any(isinstance(item, dict | list) for item in default)
    return isinstance(default, str | int | bool)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_keeps_the_rules(name: str) -> None:
    definition = json.loads((FOLDER / f"{name}.avsc").read_text("utf-8"))
    assert offences(definition, name) == []


BROKEN: dict[str, tuple[Any, str]] = {
    "recursion": (["null", "Adopt"], "Adopt is recursive"),
    "recursion in an array": ({"type": "array", "items": "Adopt"}, "Adopt is recursive"),
    "items without a byte": ({"type": "array", "items": "null"}, "forbidden type null"),
    "empty record": ({"type": "record", "name": "E", "doc": "E.", "fields": []}, "E has no width"),
    "empty fixed": ({"type": "fixed", "name": "E", "doc": "E.", "size": 0}, "E has no width"),
    "no doc": ({"type": "fixed", "name": "E", "size": 1}, "E has no doc"),
    "twice": ({"type": "fixed", "name": "Adopt", "doc": "E.", "size": 1}, "Adopt is defined twice"),
    "map": ({"type": "map", "values": "long"}, "forbidden type map"),
    "float": ("double", "forbidden type double"),
    "union": (["null", "long", "string"], "a union other than"),
    "null last": (["long", "null"], "a union other than"),
    "record": (
        {
            "type": "record",
            "name": "R",
            "doc": "R.",
            "fields": [{"name": "a", "type": ["null", "long"], "doc": "A.", "default": 1}],
        },
        "a default is null",
    ),
    "logical type": ({"type": "long", "logicalType": "timestamp-millis"}, "forbidden type long"),
    "symbols": ({"type": "enum", "name": "E", "doc": "E.", "symbols": []}, "takes one byte"),
}


@pytest.mark.parametrize(("type_", "what"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_found(type_: Any, what: str) -> None:
    own = dict(SCHEMAS["Adopt"].definition)
    field = {"name": "broken", "type": type_, "doc": "It breaks a rule."}
    found = offences({**own, "fields": [*own["fields"], field]}, "Adopt")
    assert any(what in offence for offence in found), found


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"namespace": "other"}, "it is not parley.Adopt"),
        ({"name": "Other"}, "it is not parley.Adopt"),
        ({"group": "other"}, "group 'other'"),
        ({"group": "fact"}, "does not begin with"),
        ({"author": ""}, "no author"),
        ({"doc": ""}, "Adopt has no doc"),
        ({"order": "x"}, "record with ['order']"),
        ({"fields": [{"name": "content", "type": "long", "doc": "C."}] * 2}, "does not end with"),
        ({"fields": [{"name": "to", "type": "long", "doc": "C", "x": 1}]}, "field with ['x']"),
        ({"fields": [{"name": "to", "type": "long", "doc": "C"}]}, "no doc, or no sentence"),
        ({"fields": [{"name": "To", "type": "long", "doc": "C."}]}, "a name is words"),
        (
            {"fields": [{"name": "to", "type": "string", "doc": "C.", "minimum": 1}]},
            "only an integer has a minimum",
        ),
        (
            {"fields": [{"name": "to", "type": "Holder", "doc": "C.", "default": {}}]},
            "a default is null",
        ),
        (
            {"fields": [{"name": "to", "type": "long", "doc": "C.", "default": [[]]}]},
            "a default is null",
        ),
    ],
)
def test_a_broken_record_is_found(change: dict[str, Any], what: str) -> None:
    found = offences({**SCHEMAS["Adopt"].definition, **change}, "Adopt")
    assert any(what in offence for offence in found), found


@pytest.mark.parametrize("name", SCHEMAS)
def test_other_libraries_accept_it(name: str) -> None:
    assert parse_schema(dict(SCHEMAS[name].definition))
    assert str(avro.schema.parse(json.dumps(SCHEMAS[name].definition)))


def test_a_nested_type_is_the_same_everywhere() -> None:
    seen: dict[str, str] = {}
    for schema in SCHEMAS.values():
        for name, definition in named_types(schema.definition):
            expanded = json.dumps(expand(definition, dict(named_types(schema.definition))))
            assert seen.setdefault(name, expanded) == expanded, f"{name} in {schema.name}"


def expand(schema: Any, named: dict[str, Any]) -> Any:
    """Write out the names in a schema: which of two places defines a type does not matter."""
    if isinstance(schema, str):
        return expand(named[schema], named) if schema in named else schema
    if isinstance(schema, list):
        return [expand(branch, named) for branch in schema]
    return {
        key: [{**field, "type": expand(field["type"], named)} for field in value]
        if key == "fields"
        else expand(value, named)
        if key == "items"
        else value
        for key, value in schema.items()
    }


# --- schemas and classes ------------------------------------------------------------------------


def test_every_kind_has_a_schema_and_every_schema_a_kind() -> None:
    assert set(TARGETS) == set(SCHEMAS)
    groups = {name: schema.group for name, schema in SCHEMAS.items()}
    assert {kind.__name__ for kind in get_args(Fact)} == {
        n for n, g in groups.items() if g == "fact"
    }
    assert {kind.__name__ for kind in get_args(Content)} == {
        name for name, group in groups.items() if group == "message"
    }


@pytest.mark.parametrize("name", SCHEMAS)
def test_class_and_schema_have_the_same_fields(name: str) -> None:
    cls, outer = TARGETS[name].cls, TARGETS[name].outer
    own = {field.name for field in fields(cls)} if is_dataclass(cls) else set(field_names(cls))
    described = {field["name"] for field in SCHEMAS[name].definition["fields"]}
    if has_body(SCHEMAS[name].definition):
        assert set(BODY) <= described
        described = described - set(BODY) | {body_field(cls)}
    assert described == own | set(outer)
    assert sum(hint is Body for hint in get_type_hints(cls).values()) <= 1


CLASSES = {**{name: target.cls for name, target in TARGETS.items()}, **TARGETS["Adopt"].nested}


@pytest.mark.parametrize("name", SCHEMAS)
def test_class_and_schema_have_the_same_types(name: str) -> None:
    named = dict(named_types(SCHEMAS[name].definition))
    for record_name, definition in named.items():
        hints = get_type_hints(CLASSES.get(record_name, object))
        for field in definition.get("fields", ()):
            if field["name"] in hints:
                assert fits(hints[field["name"]], field["type"]), f"{record_name}.{field['name']}"


def fits(hint: Any, schema: Any) -> bool:
    """Tell whether a field's type in a class is the one in the schema."""
    if isinstance(schema, list):
        optional = set(get_args(hint)) - {type(None)}
        if not optional:
            return bool(hint is bytes)  # a hash: empty for null
        return len(get_args(hint)) == 2 and fits(optional.pop(), schema[1])
    if isinstance(schema, dict) and schema["type"] == "array":
        inner, *rest = get_args(hint)
        return rest == [...] and fits(inner, schema["items"])
    kind = schema["name"] if isinstance(schema, dict) else schema
    primitives = {"string": str, "int": int, "long": int, "bytes": bytes, "boolean": bool}
    if kind == "Hash":
        return bool(hint is bytes)
    return bool(hint is primitives.get(kind, CLASSES.get(kind)))


@pytest.mark.parametrize("name", SCHEMAS)
def test_enums_have_the_same_symbols(name: str) -> None:
    for enum_name, definition in named_types(SCHEMAS[name].definition):
        if definition["type"] == "enum":
            cls = CLASSES[enum_name]
            assert issubclass(cls, StrEnum)
            assert [symbol.value for symbol in cls] == definition["symbols"]


# --- evolution ----------------------------------------------------------------------------------


def test_fingerprints_are_those_recorded(rewrite: bool) -> None:
    lines = [f"{schema.prefix.hex()} {name}\n" for name, schema in SCHEMAS.items()]
    assert len({line.split()[0] for line in lines}) == len(lines)
    if rewrite:
        RECORDED.write_text("".join(lines))
    assert "".join(lines) == RECORDED.read_text("utf-8")


def incompatibilities(reader: Definition, writer: Definition) -> list[str]:
    """Return why what `writer` wrote cannot be read: by Avro's rules, and one of ours.

    Avro lets strings be read as bytes and bytes as strings; the decoders do not.
    """
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # the library's
    ours, theirs = (avro.schema.parse(json.dumps(definition)) for definition in (reader, writer))
    result = checker.get_compatibility(ours, theirs)
    if result.compatibility is not SchemaCompatibilityType.compatible:
        return sorted(result.messages)
    new = dict(named_types(reader))
    return [
        f"{name}.{field['name']} was {leaf(field['type'])}"
        for name, old in named_types(writer)
        for field in old.get("fields", ())
        for kept in new.get(name, {}).get("fields", ())
        if kept["name"] == field["name"]
        and {leaf(kept["type"]), leaf(field["type"])} == {"string", "bytes"}
    ]


def leaf(schema: Any) -> str:
    """Return what a field holds, one or many, or none."""
    if isinstance(schema, list):
        return leaf(schema[1])
    if isinstance(schema, dict):
        return leaf(schema["items"]) if schema["type"] == "array" else str(schema["name"])
    return str(schema)


def test_what_earlier_releases_wrote_can_be_read() -> None:
    releases = FOLDER / "released"
    for path in sorted(releases.glob("*/*.avsc")) if releases.is_dir() else []:
        writer = json.loads(path.read_text("utf-8"))
        assert path.stem in SCHEMAS, f"{path}: a kind that was released is never removed"
        assert incompatibilities(SCHEMAS[path.stem].definition, writer) == [], path


WAS = SCHEMAS["WorkFinished"].definition
ADDED = {"name": "more", "type": "long", "doc": "More."}


def changed(name: str, /, **change: Any) -> Definition:
    fields = [{**own, **change} if own["name"] == name else own for own in WAS["fields"]]
    return {**WAS, "fields": fields}


@pytest.mark.parametrize(
    "now",
    [
        {**WAS, "doc": "Other words."},
        {**WAS, "fields": [*WAS["fields"], {**ADDED, "default": 0}]},
        {**WAS, "fields": [own for own in WAS["fields"] if own["name"] != "error"]},
        changed("confidence_permille", type="long"),
        changed("error", type=["null", "string"]),
    ],
    ids=["doc", "added with a default", "removed", "wider", "nullable"],
)
def test_a_change_that_readers_bridge(now: Definition) -> None:
    assert incompatibilities(now, WAS) == []


@pytest.mark.parametrize(
    "now",
    [
        {**WAS, "fields": [*WAS["fields"], ADDED]},
        changed("error", name="problem"),
        changed("error", type="bytes"),
        changed("sources", type={"type": "array", "items": "bytes"}),
        changed("media_type", type=["null", "bytes"]),
        changed("authority", type="int"),
        changed("outcome", type={"type": "enum", "name": "WorkOutcome", "symbols": ["failed"]}),
        changed("previous", type={"type": "fixed", "name": "Hash", "size": 20}),
    ],
    ids=["added", "renamed", "bytes", "items", "nullable bytes", "narrower", "symbols", "size"],
)
def test_a_change_that_loses_what_is_in_logs(now: Definition) -> None:
    assert incompatibilities(now, WAS) != []
