from __future__ import annotations

import pytest

from mesh.core.facts import TaskOpened, TaskRejected
from mesh.core.values import Holder
from mesh.wire.primitives import MAX_INT, MAX_LONG, MAX_TIME_MS
from mesh.wire.schemas import current
from mesh.wire.source import (
    Compiled,
    body_field,
    field_names,
    field_range,
    has_body,
    nullable,
)


def test_an_error_has_the_field_of_its_line() -> None:
    lines = [("def run(n):", ""), (" 1 // n[0]", "first"), (" 1 // n[1]", "second")]
    compiled = Compiled("test", lines, {})

    for numbers, path in (((0, 1), "first"), ((1, 0), "second")):
        with pytest.raises(ZeroDivisionError) as caught:
            compiled.call(numbers)
        assert compiled.where(caught.value) == path
    assert compiled.where(ZeroDivisionError()) == ""


def test_the_range_of_an_integer() -> None:
    assert field_range({"name": "offset", "minimum": -1}, "long") == (-1, MAX_LONG)
    assert field_range({"name": "round"}, "int") == (0, MAX_INT)
    assert field_range({"name": "lease_ms"}, "long") == (0, MAX_TIME_MS)


def test_what_a_class_and_a_schema_have() -> None:
    assert body_field(TaskOpened) == "input"
    assert body_field(TaskRejected) == ""
    assert has_body(current()["TaskOpened"].definition)
    assert not has_body(current()["TaskRejected"].definition)
    assert field_names(Holder) == ("instance", "incarnation")
    assert nullable(["null", "long"]) == "long"
    assert nullable("long") is None
