from __future__ import annotations

from mesh.cli.judging import Around, Fold, Home, Judged
from mesh.cli.keeping import Proposed
from mesh.core.keys import Resolution, Rule, Rules
from mesh.core.shared import Verdict, Write
from mesh.ports import Place
from mesh.wire.state import decode_kept, decode_proposal
from tests.unit.cli.shared_world import (
    ACME,
    CHANGES,
    PARTITIONS,
    REJECT,
    STATE,
    SharedWorld,
)

OTHER = "suppliers/other"


def judged(world: SharedWorld) -> tuple[Fold, list[Judged]]:
    """Judge the partition of the key again, from what is there."""
    number = world.home()
    partition = world.broker.partition(Place(CHANGES, number))
    around = Around(partition.low)
    for own in world.broker.records(STATE):
        if own.partition == number:
            around.add(decode_kept(own.value))
    fold = Fold(Home(number, PARTITIONS), around)
    records, _ = partition.read(partition.low, 1_000)
    return fold, [
        fold.add(Proposed(own.offset, own.append_ms, decode_proposal(own.value))) for own in records
    ]


def verdicts(found: list[Judged]) -> list[str]:
    return ["unknown" if own.judgement is None else own.judgement.verdict for own in found]


def test_from_the_beginning_everything_is_known() -> None:
    world = SharedWorld()
    world.adopt(REJECT)
    world.write("ann", 0, b"1")
    world.write("bob", 0, b"2")
    world.process()
    fold, found = judged(world)
    assert verdicts(found) == [Verdict.ACCEPTED, Verdict.ACCEPTED, Verdict.CONFLICT]
    assert found[2].before[ACME].version == 1
    assert dict(fold.view.entries) == {ACME: world.entry()}
    assert not fold.unknown


def test_what_holds_no_proposal_comes_to_nothing() -> None:
    fold = Fold(Home(0, 1), Around(0))
    assert fold.add(Proposed(0, 1, None)).judgement is None


def cut() -> SharedWorld:
    """Return a world whose log begins behind the first version of one key and the rules."""
    world = SharedWorld()
    world.adopt(REJECT)
    world.write("ann", 0, b"1")
    world.write("ann", 0, b"1", key=OTHER)
    world.write("ann", 1, b"2")
    world.write("bob", 1, b"3")
    world.write("bob", 2, b"4")
    world.write("ann", 1, b"2", key=OTHER)
    world.process()
    world.trim(3)
    return world


def test_what_was_there_before_is_taken_from_the_view() -> None:
    world = cut()
    fold, found = judged(world)
    assert not fold.unknown
    assert verdicts(found) == ["accepted", "conflict", "accepted", "accepted"]
    assert fold.view.entries[ACME] == world.entry()


def test_what_was_compacted_away_cannot_be_known_until_its_row() -> None:
    world = cut()
    world.broker.compact(STATE)
    fold, found = judged(world)
    # the last row of the partition is not the key's own, so both first versions are gone
    assert verdicts(found) == ["unknown", "unknown", "unknown", "unknown"]
    assert fold.view.entries == {ACME: world.entry(), OTHER: world.entry(OTHER)}
    world.write("bob", 0, b"5")
    world.write("bob", 3, b"5")
    assert verdicts(judged(world)[1])[4:] == ["conflict", "accepted"]


def test_a_key_is_known_from_its_first_row_on() -> None:
    world = SharedWorld()
    world.adopt(REJECT)
    world.write("ann", 0, b"1", key=OTHER)
    world.write("ann", 0, b"1")
    world.write("ann", 1, b"2")
    world.write("bob", 1, b"3", also=[Write(OTHER, 0, b"3")])
    world.process()
    world.trim(2)
    fold, found = judged(world)
    assert verdicts(found) == ["accepted", "accepted", "conflict"], "its first row is there"
    world.broker.compact(STATE)
    fold, found = judged(world)
    # a copy of an older change could stand where the log begins: only a row is believed
    assert verdicts(found) == ["unknown", "unknown", "conflict"]
    assert not fold.unknown


def test_rules_that_were_replaced_are_not_known_before_those_that_hold() -> None:
    world = SharedWorld()
    world.adopt(REJECT)
    world.write("ann", 0, b"1")
    world.process()
    world.trim(2)
    world.write("bob", 0, b"2")
    world.adopt(Rules(2, (), (Rule("*", Resolution.MERGE, "max"),)))
    world.write("bob", 0, b"2")
    world.process()
    rules = world.views[world.home()].rules
    world.broker.compact(STATE)
    fold, found = judged(world)
    assert verdicts(found) == ["unknown", "unknown", "unknown"]
    assert fold.view.rules == rules
    assert fold.view.entries[ACME].value == b"2"
