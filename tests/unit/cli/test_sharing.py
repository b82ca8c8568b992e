from __future__ import annotations

from mesh.cli.keeping import StateReader
from mesh.cli.sharing import Sharing, read_sharing, shape, told
from mesh.core.keys import Rules
from mesh.ports import Place
from tests.unit.cli.shared_world import ACME, ARBITRATE, CHANGES, REJECT, SharedWorld, contested
from tests.unit.cli.test_keeping import reading


def read(world: SharedWorld, since: dict[int, int] | None = None) -> Sharing:
    async def work(reader: StateReader) -> Sharing:
        return await read_sharing(reader, since or {})

    found: Sharing = reading(world.broker, work)
    return found


def test_what_lost_is_counted_too_and_what_decided() -> None:
    world = SharedWorld()
    world.adopt(ARBITRATE)
    world.write("ann", 0, b'"a"', objective="cost")
    world.write("bob", 0, b'"b"', objective="risk")
    world.write("cid", 1, b'"c"', objective="cost")
    world.write("dan", 0, b"1", key="elsewhere/x")
    world.process()
    found = read(world)
    assert found.writes == {"accepted": 1, "preferred": 1, "conflict": 1, "refused": 1}
    assert found.arbitrated == {("risk", "cost"): 2}
    assert found.contested == []
    assert found.values() == {ACME: "b"}
    assert list(told(found)) == [
        "shared state: 4 writes, 1 accepted, 1 preferred, 1 conflict and 1 refused",
        "  risk came before cost 2 times",
    ]


def test_between_equals_a_person_decides() -> None:
    found = read(contested())
    assert found.contested == [ACME]
    assert list(told(found))[1:] == [f"  contested, for a person: {ACME}, 2 values for risk"]
    assert shape(found)["contested"] == [ACME]
    assert shape(found)["arbitrated"] == []


def test_conflicts_under_another_rule_were_not_arbitrated() -> None:
    world = SharedWorld()
    world.adopt(REJECT)
    world.write("ann", 0, b"1", objective="risk")
    world.write("bob", 0, b"2", objective="cost")
    world.process()
    found = read(world)
    assert (found.writes, found.arbitrated) == ({"accepted": 1, "conflict": 1}, {})


def test_a_repeat_and_what_was_before_are_not_counted() -> None:
    world = SharedWorld()
    world.adopt(REJECT)
    world.write("ann", 0, b"1", change="one")
    partition, _, offset = world.write("ann", 1, b"2", change="two").partition("/")
    world.write("ann", 1, b"2", change="two")
    world.process()
    found = read(world, {int(partition): int(offset)})
    assert found.writes == {"accepted": 1}
    assert found.values() == {ACME: 2}


def test_where_the_log_has_lost_its_beginning_the_view_tells_it() -> None:
    world = SharedWorld()
    world.adopt(REJECT)
    world.write("ann", 0, b"1")
    partition, _, offset = world.write("ann", 1, b"2").partition("/")
    world.process()
    world.broker.trim(Place(CHANGES, int(partition)), int(offset))
    found = read(world)
    assert found.values() == {ACME: 2}


def test_nothing_is_told_of_nothing() -> None:
    world = SharedWorld()
    world.adopt(Rules(1))
    assert list(told(read(world))) == []


def test_many_contested_keys_are_not_all_named() -> None:
    world = SharedWorld()
    world.adopt(ARBITRATE)
    for number in range(5):
        for value in (b"1", b"2"):
            world.write("ann", 0, value, key=f"suppliers/s{number}", objective="risk")
    world.process()
    lines = list(told(read(world)))
    assert len(lines) == 5
    assert lines[-1] == "  and 2 more are contested"
