from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from mesh.cli import state_shapes
from mesh.cli.checking import Checked, Difference
from mesh.cli.differing import Changed
from mesh.cli.policies import plan
from mesh.wire.policies import NAME, parse
from tests.unit.cli.shared_world import ACME, contested
from tests.unit.cli.test_histories import history
from tests.unit.cli.test_policies import TEXT, held

PAGE = Path(__file__).resolve().parents[3] / "docs/cli.md"
CHECKED = Checked(
    partition=1,
    low=2,
    high=9,
    through=7,
    changes=7,
    rows=3,
    entries=1,
    unchecked=1,
    unfinished=0,
    behind=1,
    differences=(Difference("1/4", "1/7", ACME, 3, "value 1, not 2"),),
)


def test_values() -> None:
    assert state_shapes.value(None) is None
    assert state_shapes.value(b'{"a":[1]}') == {"a": [1]}
    assert state_shapes.value(b"\xff") == {"base64": "/w=="}


def test_an_entry_is_plain_json() -> None:
    shape = json.loads(json.dumps(state_shapes.entry(contested().entry(), 1)))
    assert (shape["key"], shape["version"], shape["where"]) == (ACME, 2, "1/2")
    assert (shape["value"], shape["deleted"], shape["contested"]) == ({"risk": "low"}, False, True)
    assert (shape["agent"], shape["instance"], shape["person"]) == ("ann", "ann.1", "")
    assert (shape["verdict"], shape["at"]) == ("contested", "2025-11-21T04:40:04.000Z")
    (other,) = shape["candidates"]
    assert (other["take"], other["value"], other["agent"]) == (1, {"risk": "high"}, "bob")


def test_a_person_s_entry() -> None:
    world = contested()
    world.settle(2, None)
    world.process()
    shape = state_shapes.entry(world.entry(), 1)
    assert (shape["agent"], shape["instance"], shape["person"]) == ("", "", "eve")
    assert (shape["value"], shape["deleted"], shape["verdict"]) == (None, True, "settled")


def test_the_check_is_summed_up() -> None:
    other = replace(CHECKED, partition=0, low=0, rows=0, changes=0, differences=())
    shape = json.loads(json.dumps(state_shapes.verified("v", "l", [other, CHECKED])))
    assert (shape["holds"], shape["entries"], shape["behind"]) == (False, 2, 2)
    assert (shape["incomplete_partitions"], shape["empty_partitions"]) == ([1], [0])
    assert shape["partitions"][1]["through"] == 7
    assert shape["differences"][0]["where"] == "1/4"
    assert state_shapes.verified("v", "l", [other])["holds"]


def test_the_documentation_names_every_member() -> None:
    page = " ".join(PAGE.read_text("utf-8").split())
    world = contested()
    entry = world.entry()
    told = history(world)
    made = plan(parse(TEXT, "here"), held(""))
    checked = state_shapes.verified("v", "l", [CHECKED])
    listed = (
        state_shapes.entry(entry, 0),
        state_shapes.candidate(entry.candidates[0], 1),
        state_shapes.history(told),
        state_shapes.event(told.events[0]),
        state_shapes.changed(Changed(key=ACME, before=None, after=entry), 0),
        checked,
        checked["partitions"][0],
        checked["differences"][0],
        state_shapes.plan(NAME, made),
        made.differences[0]._asdict(),
    )
    for members in listed:
        assert ", ".join(members) in page
