"""The generated parts of protocol.md: topics, phases, facts, messages, values and types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mesh.core.settings import Settings
from mesh.core.tasks import NEXT, Phase
from mesh.wire.decoder import named_types
from mesh.wire.schemas import Definition, Schema, current
from mesh.wire.topics import Partitions, table

ENVELOPES = {"fact": {"sequence", "previous"}, "message": {"to", "sender", "sender_inbox"}}
NAMED = {"tasks": ".<capability>", "inbox": ".<pool>", "replies": ".<name>"}


def topics() -> str:
    """Return the table of topics, and each setting with its reason."""
    rows = [("topic", "key", "partitions", "cleanup", "kept")]
    for row in table(Partitions(), Settings()):
        config = {setting.name: setting.value for setting in row.settings}
        count = f"{row.partitions}, never changed" if row.fixed else str(row.partitions)
        kept = _time(int(config.get("retention.ms", 0)))
        name = f"`M.{row.kind}{NAMED.get(row.kind, '')}`"
        rows.append((name, row.key, count, config["cleanup.policy"], kept))
    return "\n".join([*_markdown(rows), "", *_reasons()])


def phases() -> str:
    """Return the state machine of a task: for each phase, the facts that it takes."""
    drawn = ["```mermaid", "stateDiagram-v2", "    [*] --> open: TaskOpened"]
    for phase in Phase:
        by_target: dict[Phase, list[str]] = {}
        for (source, fact), target in NEXT.items():
            if source is phase:
                by_target.setdefault(target, []).append(fact.__name__)
        drawn += [
            f"    {phase} --> {target}: {', '.join(sorted(names))}"
            for target, names in by_target.items()
        ]
    return "\n".join([*drawn, f"    {Phase.ENDED} --> [*]", "```"])


def facts() -> str:
    """Return the catalogue of the facts."""
    return _catalogue("fact")


def messages() -> str:
    """Return the catalogue of the messages."""
    return _catalogue("message")


def values() -> str:
    """Return the catalogue of the other values."""
    return _catalogue("value")


def envelopes() -> str:
    """Return the fields that every fact has, and every message."""
    lines = []
    for name, title in (("WorkFinished", "Every fact begins with"), ("Bid", "Every message with")):
        schema = current()[name]
        outer = ENVELOPES[schema.group]
        fields = [own for own in schema.definition["fields"] if own["name"] in outer]
        lines += [f"{title}", "", *_fields(fields, "emitter"), ""]
    return "\n".join(lines)


def types() -> str:
    """Return the catalogue of the types that stand inside the others."""
    found: dict[str, Definition] = {}
    for schema in current().values():
        for name, definition in named_types(schema.definition):
            if name != schema.name:
                found.setdefault(name, definition)
    lines = []
    for name in sorted(found):
        definition = found[name]
        lines += [f"#### {name}", "", definition["doc"], ""]
        if definition["type"] == "enum":
            lines += [" ".join(f"`{symbol}`" for symbol in definition["symbols"]), ""]
        if definition["type"] == "fixed":
            lines += [f"{definition['size']} bytes.", ""]
        if definition["type"] == "record":
            lines += [*_fields(definition["fields"], "as the record around it"), ""]
    return "\n".join(lines)


def _catalogue(group: str) -> str:
    lines = []
    for schema in sorted(current().values(), key=_by_author):
        if schema.group == group:
            own = schema.definition
            fields = [f for f in own["fields"] if f["name"] not in ENVELOPES.get(group, ())]
            lines += [f"#### {schema.name}", "", f"{own['doc']} By: {own['author']}.", ""]
            lines += [*_fields(fields, own["author"]), ""]
    return "\n".join(lines)


def _by_author(schema: Schema) -> tuple[str, str]:
    return schema.definition["author"], schema.name


def _fields(fields: list[Definition], author: str) -> list[str]:
    head = ("field", "type", "author", "meaning")
    rows = [
        (f"`{own['name']}`", _type(own), own.get("author", author), own["doc"]) for own in fields
    ]
    return _markdown([head, *rows])


def _type(field: Definition) -> str:
    text = _type_name(field["type"])
    return f"{text}, from {field['minimum']}" if "minimum" in field else text


def _type_name(schema: Any) -> str:
    if isinstance(schema, list):
        return f"{_type_name(schema[1])} or null"
    if isinstance(schema, dict) and schema["type"] == "array":
        return f"list of {_type_name(schema['items'])}"
    name = schema["name"] if isinstance(schema, dict) else schema
    return f"[{name}](#{name.lower()})" if name[0].isupper() else name


def _markdown(rows: list[tuple[str, ...]]) -> list[str]:
    head, *rest = rows
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rest]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *escaped)]


def _reasons() -> Iterator[str]:
    """Yield every setting once for each value, with its reason."""
    rows = [("setting", "of", "value", "reason")]
    seen: dict[tuple[str, str, str], list[str]] = {}
    for row in table(Partitions(), Settings()):
        for setting in row.settings:
            seen.setdefault((setting.name, setting.value, setting.reason), []).append(row.kind)
    for (name, value, reason), kinds in sorted(seen.items()):
        every = len(kinds) == len(table(Partitions(), Settings()))
        rows.append((f"`{name}`", "every topic" if every else ", ".join(kinds), value, reason))
    yield from _markdown(rows)


def _time(ms: int) -> str:
    for unit, length in (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000)):
        if ms >= length:
            count = ms // length
            return f"{count} {unit if count > 1 else unit[:-1]}"
    return "the latest of each key"
