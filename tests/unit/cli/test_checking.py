from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mesh.cli.checking import Checked, Difference, verify
from mesh.cli.keeping import StateReader
from mesh.core.shared import Entry, RulesEntry, Verdict
from mesh.ports import Place
from tests.unit.cli.shared_world import (
    ACME,
    ARBITRATE,
    CHANGES,
    REJECT,
    STATE,
    SharedWorld,
    contested,
)
from tests.unit.cli.test_keeping import reading


def checked(world: SharedWorld) -> Checked:
    """Check everything; return the partition of the key."""

    async def work(reader: StateReader) -> list[Checked]:
        return await verify(reader)

    found: list[Checked] = reading(world.broker, work)
    assert [own.partition for own in found] == [0, 1]
    assert not found[1 - world.home()].differences
    return found[world.home()]


def settled() -> SharedWorld:
    """Return a world with every kind of row: five changes of a key, and the rules."""
    world = contested()
    world.settle(2, b"3")
    world.write("ann", 3, b'{"risk":"low"}', objective="cost")
    world.write("bob", 3, b'{"risk":"high"}', objective="risk")
    world.write("bob", 5, b'{"risk":"none"}', objective="risk")
    world.process()
    return world


def tampered(entry: Entry, **fields: Any) -> Callable[[SharedWorld], None]:
    return lambda world: world.put(replace(entry, **fields), world.home())


def test_a_view_that_follows_from_the_log() -> None:
    world = settled()
    found = checked(world)
    assert found.differences == ()
    assert (found.low, found.high, found.through, found.changes) == (0, 7, 6, 7)
    assert (found.rows, found.entries, found.unchecked) == (7, 1, 0)
    world.broker.compact(STATE)
    again = checked(world)
    assert (again.differences, again.rows, again.entries) == ((), 2, 1)


def test_an_empty_mesh() -> None:
    found = checked(SharedWorld())
    assert (found.rows, found.changes, found.through, found.differences) == (0, 0, -1, ())


def test_what_a_late_writer_wrote_again_is_what_was_made() -> None:
    world = settled()
    rows = [own for own in world.broker.records(STATE) if own.key == ACME.encode()]
    world.broker.partition(Place(STATE, world.home())).append(1, rows[1].key, rows[1].value, ())
    assert checked(world).differences == ()


@pytest.mark.parametrize("compacted", [True, False])
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"value": b"9"}, 'value {"risk":"none"}, not 9'),
        ({"because": "x"}, "because 'bob says so', not 'x'"),
        ({"agent": "mallory"}, "agent 'bob', not 'mallory'"),
        ({"append_ms": 1}, "append_ms 1763700008000, not 1"),
    ],
)
def test_a_row_that_was_tampered_with(
    fields: dict[str, Any], said: str, *, compacted: bool
) -> None:
    world = settled()
    tampered(world.entry(), **fields)(world)
    where = f"{world.home()}/{len(world.broker.records(STATE)) - 2}"
    if compacted:
        world.broker.compact(STATE)
    found = checked(world)
    (difference,) = found.differences
    assert difference.where == where
    assert difference.source == f"{world.home()}/6"
    assert (difference.key, difference.version) == (ACME, 6)
    assert said in difference.text
    assert found.entries == (0 if compacted else 1)


def test_a_version_that_nothing_makes_and_one_that_is_missing() -> None:
    world = settled()
    forged = replace(world.entry(), version=9)
    world.put(forged, world.home())
    assert [own.text for own in checked(world).differences] == ["nothing in the log makes it"]
    world = settled()
    key = "suppliers/other"
    world.write("ann", 0, b"1", key=key)
    world.write("bob", 6, b"1")
    world.process()
    home = world.home()
    partition = world.broker.partition(Place(STATE, home))
    rows, _ = partition.read(0, 100)
    lacking = SharedWorld()
    lacking.broker.topics[CHANGES] = world.broker.topics[CHANGES]
    for own in rows:
        if own.key != key.encode():
            lacking.broker.partition(Place(STATE, home)).append(1, own.key, own.value, ())
    rules = world.broker.partition(Place(STATE, 1 - home)).read(0, 1)[0][0]
    lacking.broker.partition(Place(STATE, 1 - home)).append(1, rules.key, rules.value, ())
    assert checked(lacking).differences == (
        Difference("", f"{home}/7", key, 1, "the log makes version 1, the view has nothing"),
    )


def test_the_rules_are_checked_too() -> None:
    world = contested()
    rules = world.views[world.home()].rules
    forged = rules.rules._replace(objectives=("cost", "risk"))
    world.put(replace(rules, rules=forged), world.home())
    (difference,) = checked(world).differences
    assert difference.key == "~rules"
    assert "differs from the same version at" in difference.text


def test_a_row_in_a_partition_where_its_key_does_not_live() -> None:
    world = contested()
    home = world.home()
    world.put(world.entry(), 1 - home)

    async def work(reader: StateReader) -> list[Checked]:
        return await verify(reader)

    (difference,) = reading(world.broker, work)[1 - home].differences
    assert difference.text == "its key lives in another partition"


def test_a_record_that_is_no_entry() -> None:
    world = contested()
    world.broker.partition(Place(STATE, world.home())).append(1, ACME.encode(), None, ())
    (difference,) = checked(world).differences
    assert difference.text == "it holds no entry: the value is null"


def test_a_processor_that_is_behind_is_no_difference() -> None:
    world = contested()
    world.write("ann", 1, b"2", objective="cost")
    world.settle(2, b"3")
    world.write("bob", 3, b"4", objective="risk")
    found = checked(world)
    assert (found.differences, found.behind, found.through) == ((), 2, 2)
    assert checked(_unprocessed()).behind == 2


def _unprocessed() -> SharedWorld:
    world = SharedWorld()
    world.adopt(REJECT)
    world.write("ann", 0, b"1")
    return world


def test_a_change_of_which_half_is_written() -> None:
    from mesh.core.shared import Write

    world = contested()
    world.write("ann", 0, b"1", key="suppliers/a", also=[Write("suppliers/b", 0, b"1")])
    copy = SharedWorld()
    copy.broker.topics[CHANGES] = world.broker.topics[CHANGES]
    world.process()
    for own in world.broker.records(STATE):
        if own.key != b"suppliers/b":
            place = Place(STATE, own.partition)
            copy.broker.partition(place).append(1, own.key, own.value, ())
    found = checked(copy)
    assert (found.differences, found.unfinished, found.entries) == ((), 1, 2)


# --- where retention took the beginning ---------------------------------------------------------


def cut(*, compacted: bool) -> SharedWorld:
    world = settled()
    world.write("ann", 0, b"1", key="suppliers/old")
    world.write("bob", 6, b"7", objective="risk")
    world.process()
    world.trim(4)
    if compacted:
        world.broker.compact(STATE)
    return world


def test_what_was_made_before_the_log_begins_is_not_checkable() -> None:
    found = checked(cut(compacted=False))
    assert (found.low, found.differences) == (4, ())
    assert (found.rows, found.entries, found.unchecked) == (9, 2, 4)


def test_what_cannot_be_made_again_must_still_say_what_its_change_says() -> None:
    found = checked(cut(compacted=True))
    assert (found.differences, found.entries, found.unchecked) == ((), 1, 2)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"value": b"9"}, "value 9, not 7"),
        ({"task": "x"}, "task 'x', not '3-bob'"),
        ({"append_ms": 1}, "append_ms 1, not 1763700010000"),
        ({"source": 7}, "append_ms 1763700010000, not 1763700009000; the change at its source 7"),
        ({"source": 4}, "the change at its source 4 is of another key"),
        ({"source": 900}, "there is no change at its source 900"),
    ],
)
def test_a_row_contradicts_the_change_that_it_names(fields: dict[str, Any], said: str) -> None:
    world = cut(compacted=True)
    tampered(world.entry(), **fields)(world)
    world.broker.compact(STATE)
    (difference,) = [own for own in checked(world).differences if own.key == ACME]
    assert said in difference.text


def test_settlements_contests_and_rules_contradict_as_well() -> None:
    world = SharedWorld()
    world.adopt(ARBITRATE)
    world.write("ann", 0, b"1", objective="risk")
    world.adopt(ARBITRATE._replace(version=2))
    world.write("bob", 0, b"2", objective="risk")
    world.process()
    entry = world.entry()
    assert entry.verdict is Verdict.CONTESTED
    forged = entry.candidates[0]._replace(value=b"3")
    rules = world.views[world.home()].rules
    assert isinstance(rules, RulesEntry)
    world.trim(2)
    world.put(replace(entry, candidates=(forged,)), world.home())
    world.put(replace(rules, rules=REJECT._replace(version=2)), world.home())
    world.broker.compact(STATE)
    texts = sorted(own.text for own in checked(world).differences)
    assert texts == [
        "its last candidate is 3, not 2",
        "other rules were adopted at its source 2",
    ]
    world = contested()
    world.settle(2, b"3")
    world.process()
    entry = world.entry()
    world.trim(3)
    world.put(replace(entry, value=b"4"), world.home())
    world.broker.compact(STATE)
    assert [own.text for own in checked(world).differences] == ["value 4, not 3"]
