"""Any value of the protocol as plain JSON, for those who want to see a record as it is."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from mesh.core.values import Body
from mesh.telling import shapes


def raw(value: object) -> Any:  # any JSON
    """Return a value with the names of all of its fields; bytes as hexadecimal digits."""
    if isinstance(value, Body):
        content = None if value.content is None else shapes.value(value.content)
        return {"sha256": value.hash.hex(), "media_type": value.media_type, "content": content}
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {own.name: raw(getattr(value, own.name)) for own in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: raw(own) for name, own in value._asdict().items()}
    if isinstance(value, tuple | list):
        return [raw(own) for own in value]
    return value.hex() if isinstance(value, bytes) else value
