from __future__ import annotations

from mesh.cli.histories import UNKNOWN, Event, Historian, History, Kind, read_history, told
from mesh.cli.keeping import StateReader
from mesh.core.keys import Resolution, Rule, Rules
from mesh.core.shared import Verdict, Write
from tests.unit.cli.shared_world import ACME, ARBITRATE, REJECT, STATE, SharedWorld, contested
from tests.unit.cli.test_keeping import reading


def read(world: SharedWorld, key: str = ACME) -> Historian:
    async def work(reader: StateReader) -> Historian:
        return await read_history(reader, key)

    found: Historian = reading(world.broker, work)
    return found


def history(world: SharedWorld, key: str = ACME) -> History:
    return read(world, key).history()


def events(world: SharedWorld) -> dict[str, Event]:
    return {own.where: own for own in history(world).events}


def test_both_sides_of_a_conflict_know_of_each_other() -> None:
    world = SharedWorld()
    world.adopt(REJECT)
    world.write("ann", 0, b"1")
    winner = world.write("ann", 1, b"2")
    loser = world.write("bob", 1, b"3")
    world.process()
    found = events(world)
    assert (found[winner].verdict, found[winner].version) == (Verdict.ACCEPTED, 2)
    assert (found[winner].beat, found[winner].lost_to) == ((loser,), ())
    assert (found[loser].verdict, found[loser].version) == (Verdict.CONFLICT, 0)
    assert (found[loser].beat, found[loser].lost_to) == ((), (winner,))
    assert (found[loser].agent, found[loser].task, found[loser].expected) == ("bob", "3-bob", 1)
    assert "ann wrote version 2 in task 3-ann" in found[loser].reason
    assert found[loser].rule == "reject (under suppliers/)"


def test_what_comes_first_by_its_objective_overtakes() -> None:
    world = SharedWorld()
    world.adopt(ARBITRATE)
    cheap = world.write("ann", 0, b"1", objective="cost")
    more = world.write("ann", 1, b"2", objective="cost")
    safe = world.write("bob", 0, b"3", objective="risk")
    world.process()
    found = events(world)
    assert (found[safe].verdict, found[safe].beat) == (Verdict.PREFERRED, (cheap, more))
    assert found[safe].reason == "risk comes before cost"
    assert found[cheap].lost_to == found[more].lost_to == (safe,)


def test_a_contest_and_its_settlement() -> None:
    world = contested()
    world.settle(2, b"4")
    world.settle(2, b"5")
    world.process()
    rules, first, second, settled = history(world).events[:4]
    assert (rules.kind, rules.person, rules.version) == (Kind.RULES, "eve", 1)
    assert rules.rule == "arbitrate (under suppliers/)"
    assert (first.met, second.met) == ((second.where,), (first.where,))
    assert second.verdict is Verdict.CONTESTED
    assert (settled.kind, settled.person, settled.agent) == (Kind.SETTLEMENT, "eve", "")
    assert (settled.verdict, settled.version, settled.value) == (Verdict.SETTLED, 3, b"4")
    again = history(world).events[4]
    assert (again.again, again.version) == (True, 3), "the same change, so answered as before"


def test_a_merge_and_a_repeat() -> None:
    world = SharedWorld()
    world.adopt(Rules(1, (), (Rule("*", Resolution.MERGE, "max"),)))
    first = world.write("ann", 0, b"1")
    second = world.write("bob", 0, b"2", also=[Write("suppliers/b", 0, b"1")], change="same")
    world.write("bob", 0, b"2", also=[Write("suppliers/b", 0, b"1")], change="same")
    world.process()
    found = history(world)
    _, one, other, again = found.events
    assert (one.met, other.met) == ((second,), (first,))
    assert other.verdict is Verdict.MERGED
    assert other.together == ("suppliers/b",)
    assert (again.again, again.verdict, again.version) == (True, Verdict.MERGED, 2)
    assert (again.met, found.behind, found.low) == ((), False, 0)


def test_rules_are_told_where_they_change_what_holds_here() -> None:
    world = SharedWorld()
    world.adopt(REJECT)
    world.adopt(REJECT._replace(version=2))
    world.adopt(Rules(3))
    world.adopt(Rules(2))
    refused = world.write("ann", 0, b"1")
    found = history(world).events
    assert [own.rule for own in found] == ["reject (under suppliers/)", "no rule", "no rule"]
    assert (found[-1].where, found[-1].verdict) == (refused, Verdict.REFUSED)
    assert told(Rule("a", Resolution.MERGE, "any")) == "merge by any (under a)"


def test_a_processor_that_is_behind() -> None:
    world = contested()
    world.write("ann", 2, b"1", objective="cost")
    world.settle(2, b"1")
    found = history(world)
    assert found.behind
    assert found.entry is not None
    assert found.kept is not None
    assert (found.entry.version, found.kept.version) == (3, 2)


def test_a_key_that_never_was() -> None:
    found = history(contested(), "suppliers/never")
    assert [own.kind for own in found.events] == [Kind.RULES]
    assert (found.entry, found.kept) == (None, None)


def test_the_story_begins_where_the_log_does() -> None:
    world = contested()
    world.settle(2, b"4")
    world.write("ann", 0, b"5", objective="risk")
    world.process()
    world.trim(3)
    found = history(world)
    assert found.base is not None
    assert (found.low, found.cut, found.base.version) == (3, True, 2)
    assert [own.verdict for own in found.events] == [Verdict.SETTLED, Verdict.CONFLICT]
    assert found.events[1].lost_to == (found.events[0].where,)
    assert sorted(read(world).versions) == [2, 3]


def test_where_the_view_has_forgotten_it_only_says_what_it_remembers() -> None:
    world = contested()
    world.write("ann", 1, b"4", objective="cost")
    world.settle(2, b"5")
    world.process()
    world.trim(3)
    world.broker.compact(STATE)
    found = history(world)
    assert (found.base, found.entry) == (None, world.entry())
    late, settled = found.events
    assert (late.verdict, late.version, late.rule) == (UNKNOWN, 0, "arbitrate (under suppliers/)")
    assert (settled.verdict, settled.version) == (Verdict.SETTLED, 3)
