"""How a schema is written: objects have all of their members, and no others."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "integer"}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
TRUTH: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
ANY: Schema = {}
COUNTS: Schema = {"type": "object", "additionalProperties": COUNT}


def maybe(schema: Schema) -> Schema:
    """Return a schema that null fits, too."""
    return {"oneOf": [schema, {"type": "null"}]}


def each(schema: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def ref(name: str) -> Schema:
    """Return a reference to one of these schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def made(description: str = "", /, **members: Schema) -> Schema:
    """Return the schema of an object that has all of these members and no others."""
    schema: Schema = {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }
    return {"description": description, **schema} if description else schema


def page(name: str, **more: Schema) -> Schema:
    """Return the schema of one page of a list."""
    members = {"total": COUNT, "offset": COUNT, "items": each(ref(name)), "position": TEXT}
    return made("", **members, **more)
