"""Equal causes have equal names, and only equal causes do."""

from __future__ import annotations

import pytest

from mesh.core.ids import (
    ID_HEX,
    audit_partition,
    audit_partition_of,
    child_id,
    derive,
    effect_key,
    step_id,
    workflow_id,
)
from mesh.core.values import TaskPartition

SOURCE = TaskPartition("risk.screen", 3)


def test_an_id_is_hexadecimal_and_short() -> None:
    assert len(derive("a")) == ID_HEX
    int(derive("a"), 16)


def test_parts_do_not_run_into_one_another() -> None:
    assert derive("ab", "c") != derive("a", "bc")
    assert derive("a") != derive("a", "")
    assert derive(b"1") == derive("1") == derive(1)


def test_a_workflow_says_where_it_lives() -> None:
    home = audit_partition(SOURCE, 24)
    assert 0 <= home < 24
    assert audit_partition_of(workflow_id(SOURCE, 7, "", 24)) == home
    assert audit_partition_of(child_id(workflow_id(SOURCE, 7, "", 24), "0", b"h")) == home


def test_neighbours_share_an_audit_partition_last() -> None:
    homes = [audit_partition(TaskPartition("demo.root", number), 8) for number in range(16)]
    assert sorted(homes) == [number // 2 for number in range(16)]


@pytest.mark.parametrize("name", ["", "12", "-a", "x-a", "-1-a", "٣-a", "1.5-a"])
def test_what_is_no_workflow_lives_nowhere(name: str) -> None:
    assert audit_partition_of(name) == -1


def test_a_workflow_is_named_by_its_event_or_else_by_its_offset() -> None:
    assert workflow_id(SOURCE, 7, "e", 24) == workflow_id(SOURCE, 8, "e", 24)
    assert workflow_id(SOURCE, 7, "", 24) != workflow_id(SOURCE, 8, "", 24)
    assert workflow_id(SOURCE, 7, "7", 24) != workflow_id(SOURCE, 7, "", 24)
    other = SOURCE._replace(partition=4)
    assert workflow_id(SOURCE, 7, "e", 1) != workflow_id(other, 7, "e", 1)


def test_a_child_is_named_by_parent_step_and_input() -> None:
    name = child_id("3-a", "0", b"h")
    assert name == child_id("3-a", "0", b"h")
    assert name not in (child_id("3-b", "0", b"h"), child_id("3-a", "1", b"h"))
    assert name != child_id("3-a", "0", b"i")


def test_a_restart_is_part_of_a_steps_name() -> None:
    assert step_id("0.", 2) == "0.2"
    assert step_id("0.", 2, 1) == "r1/0.2"
    assert child_id("3-a", step_id("", 0), b"h") != child_id("3-a", step_id("", 0, 1), b"h")


def test_a_key_does_not_depend_on_who_does_it() -> None:
    assert effect_key("3-a", "0", "post") == effect_key("3-a", "0", "post")
    assert effect_key("3-a", "0", "post") != effect_key("3-a", "1", "post")
