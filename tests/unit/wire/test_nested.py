from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import StrEnum

import pytest

from mesh.wire.decoder import named_types
from mesh.wire.nested import NESTED
from mesh.wire.schemas import current
from mesh.wire.source import field_names

TYPES = {
    name: definition
    for schema in current().values()
    for name, definition in named_types(schema.definition)
    if name != schema.name and definition["type"] != "fixed"
}


def test_every_nested_type_has_a_class() -> None:
    assert set(TYPES) == set(NESTED)


@pytest.mark.parametrize("name", NESTED)
def test_class_and_schema_have_the_same_fields(name: str) -> None:
    cls, definition = NESTED[name], TYPES[name]
    if issubclass(cls, StrEnum):
        assert [symbol.value for symbol in cls] == definition["symbols"]
        return
    own = {field.name for field in fields(cls)} if is_dataclass(cls) else set(field_names(cls))
    assert own == {field["name"] for field in definition["fields"]}
