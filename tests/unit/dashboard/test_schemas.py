from __future__ import annotations

import jsonschema
import pytest

from mesh.dashboard.schemas import SCHEMAS
from tests.unit.dashboard.conftest import check_shape


def test_a_schema_asks_for_every_member_and_allows_no_other() -> None:
    good = {"name": "ada", "roles": ["viewer"], "local": True}
    check_shape("Me", good)
    for bad in ({**good, "more": 1}, {"name": "ada"}, {**good, "roles": ["king"]}):
        with pytest.raises(jsonschema.ValidationError):
            check_shape("Me", bad)


def test_objects_are_closed() -> None:
    open_ones = {
        name for name, schema in SCHEMAS.items() if schema.get("additionalProperties") is not False
    }
    assert open_ones == set()
