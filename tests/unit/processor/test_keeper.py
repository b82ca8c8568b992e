from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from mesh.core.shared import Proposal, RulesEntry, Verdict, Write
from mesh.errors import MeshError, NewerSchema, TransportError, Unreachable, WrongTopic
from mesh.ports import Incoming, Place
from mesh.processor import keeper as keepers
from mesh.processor.keeper import Keeper
from mesh.transport.memory import Appending, Fate, MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.entries import decode_dead_letter
from mesh.wire.schemas import MARKER
from mesh.wire.state import (
    RULES_KEY,
    decode_kept,
    encode_kept,
    encode_proposal,
    proposal_key,
    state_partition,
)
from tests.unit.processor.proposing import (
    KEEPER,
    MESH,
    PARTITIONS,
    RULES,
    change,
    entries,
    fold,
    highest,
    kept,
    latest,
    plans,
    verdicts,
)

CHANGES, STATE, LETTERS = topics.changes(MESH), topics.state(MESH), topics.dead_letters(MESH)
INBOX = topics.inbox(MESH, "writer")
HOME = state_partition("a/x", PARTITIONS)
NEWER = MARKER + bytes(range(8)) + b"whatever"


class SlowLog(MemoryLog):
    """One that tells where topics end when it is allowed to."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.goes_on = asyncio.Event()

    async def ends(self, topic: str) -> Mapping[int, tuple[int, int]]:
        await self.goes_on.wait()
        return await super().ends(topic)


class Site:
    """Mutable: a broker in memory with the topics, and keepers that work on it."""

    def __init__(self) -> None:
        ticks = itertools.count(1_000)
        self.broker = MemoryBroker(lambda: next(ticks))
        for plan in plans():
            self.broker.create_topic(plan)
        self.failures: list[MeshError] = []
        self.logs: list[MemoryLog] = []

    async def keeper(self, log: MemoryLog | None = None, *, skips_newer: bool = False) -> Keeper:
        log = log or MemoryLog(self.broker)
        await log.open()
        self.logs.append(log)
        return Keeper(
            log, MESH, KEEPER, PARTITIONS, failed=self.failures.append, skips_newer=skips_newer
        )

    def put(self, value: bytes | None, key: bytes, partition: int = HOME) -> Incoming:
        place = self.broker.partition(Place(CHANGES, partition))
        return place.append(self.broker.clock(), key, value, ())

    def propose(self, *proposals: Proposal) -> list[Incoming]:
        return [self.put(encode_proposal(one), proposal_key(one)) for one in proposals]

    def rows(self) -> list[tuple[str, int]]:
        """Return what was written, rules aside, as key and version in the log's order."""
        found = [decode_kept(one.value) for one in self.broker.records(STATE)]
        return [(one.key, one.version) for one in found if not isinstance(one, RulesEntry)]

    def told(self) -> list[tuple[str, Verdict]]:
        return [(one.change, one.verdict) for one in verdicts(self.broker.records(INBOX))]

    def assert_folded(self) -> None:
        """Compare `M.state` with the plain fold; also after compaction, which keeps the last."""
        folded = entries(fold(self.broker.records(CHANGES)))
        assert kept(self.broker.records(STATE), highest) == folded
        assert kept(self.broker.records(STATE), latest) == folded

    def only(self, topic: str, fate: Fate) -> None:
        """Let the appends to one topic have a fate, until it is set again."""

        def choose(appending: Appending) -> Fate:
            return fate if appending.place.topic == topic else Fate.LANDS

        self.broker.fate = choose

    def lands(self) -> None:
        self.broker.fate = lambda _: Fate.LANDS


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    yield site
    for log in site.logs:
        await log.close(0.0)


@pytest.fixture
async def keeper(site: Site) -> Keeper:
    """One that owns the home of `a/...`, under rules."""
    keeper = await site.keeper()
    await keeper.take(HOME, 0)
    await judge(keeper, site.propose(RULES))
    return keeper


async def quiet() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def judge(keeper: Keeper, records: list[Incoming]) -> None:
    for record in records:
        await keeper.judge(record)
    await quiet()


def write(version: int, name: str = "a/x", value: bytes | None = b"1") -> Write:
    return Write(name, version, value)


async def test_a_change_becomes_an_entry_and_a_verdict(site: Site, keeper: Keeper) -> None:
    await judge(
        keeper,
        site.propose(change("c1", write(0)), change("c2", write(0)), change("c3", write(1))),
    )
    assert site.rows() == [("a/x", 1), ("a/x", 2)]
    assert site.told() == [
        ("c1", Verdict.ACCEPTED),
        ("c2", Verdict.CONFLICT),
        ("c3", Verdict.ACCEPTED),
    ]
    assert keeper.settled() == {HOME: 4}
    assert keeper.verdicts == {Verdict.ACCEPTED: 3, Verdict.CONFLICT: 1}
    assert not keeper.due
    site.assert_folded()


async def test_entries_stand_in_the_partition_of_their_change(site: Site, keeper: Keeper) -> None:
    await judge(keeper, site.propose(change("c1", write(0))))
    assert {one.partition for one in site.broker.records(STATE)} == {HOME}
    assert {one.key for one in site.broker.records(STATE)} == {b"a/x", RULES_KEY}


async def test_nobody_is_told_of_what_the_log_does_not_hold(site: Site, keeper: Keeper) -> None:
    site.only(STATE, Fate.HELD)
    await judge(keeper, site.propose(change("c1", write(0)), change("c2", write(0))))
    assert site.told() == []
    assert keeper.settled() == {HOME: 1}
    assert keeper.due == 2
    site.lands()
    site.broker.release()
    await quiet()
    assert site.told() == [("c1", Verdict.ACCEPTED), ("c2", Verdict.CONFLICT)]
    assert keeper.settled() == {HOME: 3}


async def test_a_change_of_two_keys_is_settled_when_both_are_written(
    site: Site, keeper: Keeper
) -> None:
    site.only(STATE, Fate.HELD)
    await judge(keeper, site.propose(change("c1", write(0), write(0, "a/y"))))
    site.broker.release()
    await quiet()
    assert site.rows() == [("a/x", 1)]
    assert keeper.settled() == {HOME: 1}
    site.broker.release()
    await quiet()
    assert site.told() == [("c1", Verdict.ACCEPTED)]
    assert keeper.settled() == {HOME: 2}


async def test_what_is_malformed_becomes_a_dead_letter(site: Site, keeper: Keeper) -> None:
    site.only(LETTERS, Fate.HELD)
    bad = site.put(b"{no change}", b"a/x")
    await judge(keeper, [bad, *site.propose(change("c1", write(0)))])
    assert keeper.settled() == {HOME: 1}, "not before the dead letter is acknowledged"
    assert site.told() == []
    site.broker.release()
    await quiet()
    assert keeper.settled() == {HOME: 3}
    (letter,) = site.broker.records(LETTERS)
    found = decode_dead_letter(letter.value)
    assert (found.value, found.topic, found.offset) == (b"{no change}", CHANGES, bad.offset)
    assert "Avro's marker" in found.reason
    assert keeper.dead_letters == 1
    assert site.told() == [("c1", Verdict.ACCEPTED)]


async def test_a_newer_schema_stops(site: Site, keeper: Keeper) -> None:
    newer = site.put(NEWER, b"a/x")
    await judge(keeper, [newer, *site.propose(change("c1", write(0)))])
    (failure,) = site.failures
    assert isinstance(failure, NewerSchema)
    assert keeper.settled() == {}
    assert site.rows() == []


async def test_a_newer_schema_is_put_aside_if_a_person_says_so(site: Site) -> None:
    keeper = await site.keeper(skips_newer=True)
    await keeper.take(HOME, 0)
    await judge(keeper, [site.put(NEWER, b"a/x"), *site.propose(RULES, change("c1", write(0)))])
    assert keeper.dead_letters == 1
    assert site.rows() == [("a/x", 1)]
    assert not site.failures


async def test_a_newer_entry_stops_who_would_judge_without_it(site: Site) -> None:
    site.broker.partition(Place(STATE, HOME)).append(0, b"a/x", NEWER, ())
    keeper = await site.keeper()
    await keeper.take(HOME, 0)
    (failure,) = site.failures
    assert isinstance(failure, NewerSchema)
    assert not keeper.parts


async def test_a_verdict_goes_to_an_inbox_of_this_mesh_and_nowhere_else(
    site: Site, keeper: Keeper
) -> None:
    inbox = change("c").inbox
    wrong = [
        inbox._replace(topic=topics.audit(MESH)),
        inbox._replace(topic=topics.inbox("other", "writer")),
        inbox._replace(topic="anything"),
    ]
    changes = [change(f"c{n}", write(n), inbox=one) for n, one in enumerate(wrong)]
    await judge(keeper, site.propose(*changes))
    assert keeper.untold == 3
    assert keeper.settled() == {HOME: 4}
    assert site.rows()[-1] == ("a/x", 3)


async def test_verdicts_that_cannot_be_told_hold_nobody_up(
    site: Site, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepers, "MAX_TELLING", 2)
    site.only(INBOX, Fate.HELD)
    await judge(keeper, site.propose(*(change(f"c{n}", write(n)) for n in range(5))))
    assert keeper.settled() == {HOME: 6}
    assert keeper.untold == 3
    site.lands()
    site.broker.release()
    await judge(keeper, site.propose(change("c5", write(5))))
    assert [name for name, _ in site.told()] == ["c0", "c1", "c5"]
    site.only(INBOX, Fate.LOST)
    await judge(keeper, site.propose(change("c6", write(6))))
    assert keeper.untold == 4


# --- restoring ----------------------------------------------------------------------------------


async def test_a_view_is_rebuilt_from_the_log_alone(site: Site, keeper: Keeper) -> None:
    await judge(
        keeper, site.propose(*(change(f"c{n}", write(n // 3, f"a/{n % 3}")) for n in range(30)))
    )
    before = keeper.parts[HOME].view
    site.broker.compact(STATE)
    other = await site.keeper()
    await other.take(HOME, keeper.settled()[HOME])
    after = other.parts[HOME].view
    assert after.entries == before.entries
    assert after.rules == before.rules
    assert after.through == before.through
    assert other.parts[HOME].read == other.parts[HOME].end == 31


async def test_a_change_that_was_half_written_is_finished(site: Site, keeper: Keeper) -> None:
    site.only(STATE, Fate.HELD)
    await judge(keeper, site.propose(change("c1", write(0), write(0, "a/y"))))
    site.broker.release()  # one of two
    await quiet()
    site.logs[0].fail(TransportError("killed"))
    await quiet()
    site.lands()
    assert site.rows() == [("a/x", 1)]
    other = await site.keeper()
    await other.take(HOME, 1)
    await judge(other, list(site.broker.records(CHANGES))[1:])
    assert site.rows() == [("a/x", 1), ("a/y", 1)]
    assert site.told() == [("c1", Verdict.ACCEPTED)]
    site.assert_folded()


async def test_what_was_judged_before_is_answered_and_not_written_again(
    site: Site, keeper: Keeper
) -> None:
    await judge(keeper, site.propose(change("c1", write(0)), change("c2", write(1))))
    other = await site.keeper()
    await other.take(HOME, 0)
    await judge(other, list(site.broker.records(CHANGES)))
    assert site.rows() == [("a/x", 1), ("a/x", 2)]
    assert site.told()[2:] == [("c1", Verdict.ACCEPTED), ("c2", Verdict.ACCEPTED)]
    assert other.settled() == {HOME: 3}


async def test_a_partition_that_cannot_be_read_is_not_taken(site: Site) -> None:
    keeper = await site.keeper()
    with pytest.raises(WrongTopic, match="has no partition 9"):
        await keeper.take(9, 0)
    site.broker.stop()
    with pytest.raises(Unreachable):
        await keeper.take(HOME, 0)
    assert not keeper.parts


async def test_changes_that_come_while_a_partition_is_read_are_judged_afterwards(
    site: Site, keeper: Keeper
) -> None:
    records = site.propose(*(change(f"c{n}", write(n)) for n in range(4)))
    slow = SlowLog(site.broker)
    other = await site.keeper(slow)
    taking = asyncio.create_task(other.take(HOME, 1))
    await quiet()
    await judge(other, records[:3])
    assert site.rows() == []
    slow.goes_on.set()
    await taking
    await quiet()
    assert [version for _, version in site.rows()] == [1, 2, 3], "and no other is waited for"
    await judge(other, records[3:])
    assert site.told()[-1] == ("c3", Verdict.ACCEPTED)
    assert other.settled() == {HOME: 5}


async def test_a_partition_given_up_while_it_is_restored_is_dropped(
    site: Site, keeper: Keeper
) -> None:
    slow = SlowLog(site.broker)
    other = await site.keeper(slow)
    taking = asyncio.create_task(other.take(HOME, 1))
    judging = asyncio.create_task(judge(other, site.propose(change("c1", write(0)))))
    await quiet()
    assert "restoring" in repr(other.parts[HOME])
    other.give_up(HOME)
    slow.goes_on.set()
    await taking
    await judging
    assert site.rows() == []
    assert other.settled() == {}


# --- the order of the log -----------------------------------------------------------------------


async def test_repeats_are_dropped_and_holes_read_from_the_log(site: Site, keeper: Keeper) -> None:
    records = site.propose(*(change(f"c{n}", write(n)) for n in range(5)))
    await judge(keeper, [records[0], records[0], records[3], records[1], records[4]])
    assert site.rows() == [("a/x", n) for n in range(1, 6)]
    assert [name for name, _ in site.told()] == ["c0", "c1", "c2", "c3", "c4"]


async def test_a_hole_of_the_log_itself_is_passed(site: Site, keeper: Keeper) -> None:
    records = site.propose(*(change(f"c{n}", write(n)) for n in range(3)))
    site.broker.trim(Place(CHANGES, HOME), records[2].offset)
    await judge(keeper, records[2:])
    assert keeper.settled() == {HOME: 4}
    assert site.told() == [("c2", Verdict.REFUSED)]


# --- appends that fail --------------------------------------------------------------------------


async def test_a_log_that_is_over_ends_everything(site: Site, keeper: Keeper) -> None:
    site.only(STATE, Fate.HELD)
    records = site.propose(change("c1", write(0)), change("c2", write(1)))
    await judge(keeper, records[:1])
    over = TransportError("fenced")
    site.logs[0].fail(over)
    await quiet()
    assert site.failures == [over]
    assert keeper.settled() == {}
    assert site.told() == []
    await judge(keeper, records[1:])
    assert site.failures == [over]
    assert await keeper.settle(0.0)


async def test_a_log_that_is_over_is_noticed_at_the_next_append(site: Site, keeper: Keeper) -> None:
    over = TransportError("fenced")
    site.logs[0].fail(over)
    await judge(keeper, site.propose(change("c1", write(0))))
    assert site.failures == [over]


# --- bounds, and giving up ----------------------------------------------------------------------


async def test_judging_waits_where_too_much_is_due(
    site: Site, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepers, "MAX_DUE", 3)
    site.only(STATE, Fate.HELD)
    records = site.propose(*(change(f"c{n}", write(n)) for n in range(10)))
    judging = asyncio.create_task(judge(keeper, records))
    await quiet()
    assert keeper.due == 3
    site.lands()
    while not judging.done():
        site.broker.release()
        await quiet()
    assert keeper.settled() == {HOME: 11}


async def test_judging_waits_where_too_many_bytes_are_on_their_way(
    site: Site, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepers, "MAX_FLYING_BYTES", 1)
    site.only(STATE, Fate.HELD)
    records = site.propose(*(change(f"c{n}", write(n)) for n in range(3)))
    judging = asyncio.create_task(judge(keeper, records))
    await quiet()
    assert keeper.due == 1
    keeper.give_up(HOME)
    await judging
    assert keeper.due == 0


async def test_settling_waits_for_what_is_on_its_way(site: Site, keeper: Keeper) -> None:
    site.only(STATE, Fate.HELD)
    await judge(keeper, site.propose(change("c1", write(0))))
    assert not await keeper.settle(0.0)
    settling = asyncio.create_task(keeper.settle(5.0))
    await quiet()
    site.broker.release()
    assert await settling
    assert keeper.settled() == {HOME: 2}


async def test_a_partition_given_up_settles_nothing_more(site: Site, keeper: Keeper) -> None:
    site.only(STATE, Fate.HELD)
    await judge(keeper, site.propose(change("c1", write(0))))
    keeper.give_up(HOME)
    keeper.give_up(HOME)
    site.broker.release()
    await judge(keeper, site.propose(change("c2", write(1))))
    assert keeper.settled() == {}
    assert site.told() == []
    assert "[], 0 due" in repr(keeper)


# --- what others write --------------------------------------------------------------------------


async def test_an_older_entry_that_follows_a_newer_is_followed_by_it_again(
    site: Site, keeper: Keeper
) -> None:
    await judge(keeper, site.propose(change("c1", write(0))))
    old = site.broker.records(STATE)[-1]
    await judge(keeper, site.propose(change("c2", write(1))))
    place = site.broker.partition(Place(STATE, HOME))
    place.append(0, old.key, old.value, ())
    rules = next(one for one in site.broker.records(STATE) if one.key == RULES_KEY)
    place.append(0, RULES_KEY, rules.value, ())
    await keeper.look()
    await quiet()
    assert site.rows() == [("a/x", 1), ("a/x", 2), ("a/x", 1), ("a/x", 2)]
    assert keeper.healed == 1
    await keeper.look()
    assert keeper.healed == 1, "what we write ourselves is no reason to look again"
    site.assert_folded()


async def test_what_stands_between_our_own_is_reviewed(site: Site, keeper: Keeper) -> None:
    await judge(keeper, site.propose(change("c1", write(0))))
    old = site.broker.records(STATE)[-1]
    await judge(keeper, site.propose(change("c2", write(1))))
    site.broker.partition(Place(STATE, HOME)).append(0, old.key, old.value, ())
    await judge(keeper, site.propose(change("c3", write(0, "a/y"))))
    await keeper.look()
    await quiet()
    assert site.rows()[-2:] == [("a/y", 1), ("a/x", 2)]
    site.assert_folded()


async def test_older_entries_are_followed_by_newer_ones_at_a_restoration(
    site: Site, keeper: Keeper
) -> None:
    await judge(keeper, site.propose(change("c1", write(0))))
    old = site.broker.records(STATE)[-1]
    await judge(keeper, site.propose(change("c2", write(1))))
    keeper.give_up(HOME)
    place = site.broker.partition(Place(STATE, HOME))
    place.append(0, old.key, old.value, ())
    place.append(0, b"a/x", b"garbage", ())
    place.append(0, b"a/unknown", None, ())
    other = await site.keeper()
    await other.take(HOME, 3)
    await quiet()
    assert other.healed == 1
    last = decode_kept(site.broker.records(STATE)[-1].value)
    assert not isinstance(last, RulesEntry)
    assert (last.key, last.version) == ("a/x", 2)


async def test_older_rules_are_followed_by_newer_ones(site: Site, keeper: Keeper) -> None:
    old = site.broker.records(STATE)[-1]
    newer = replace(RULES, rules=RULES.rules._replace(version=2))
    await judge(keeper, site.propose(newer))
    site.broker.partition(Place(STATE, HOME)).append(0, old.key, old.value, ())
    await keeper.look()
    await quiet()
    last = decode_kept(site.broker.records(STATE)[-1].value)
    assert isinstance(last, RulesEntry)
    assert last.rules.version == 2
    assert keeper.healed == 1


async def test_a_worker_that_was_replaced_and_writes_on_changes_nothing(
    site: Site, keeper: Keeper
) -> None:
    changes = [change(f"c{n}", write(n // 2, f"a/{n % 2}")) for n in range(8)]
    records = site.propose(*changes)
    await judge(keeper, records[:2])
    asleep = site.logs[0]
    site.broker.cut(asleep)  # what it appends waits, as in the buffers of a stopped process
    for record in records[2:6]:
        await keeper.judge(record)
    other = await site.keeper()
    await other.take(HOME, 1)
    await judge(other, records)
    site.broker.heal(asleep)
    await quiet()
    await other.look()
    await quiet()
    assert other.healed > 0
    assert not site.failures
    site.assert_folded()


async def test_a_later_entry_of_somebody_else_is_taken_over(site: Site, keeper: Keeper) -> None:
    other = await site.keeper()
    await other.take(HOME, 1)
    records = site.propose(change("c1", write(0)), change("c2", write(1)), change("c3", write(2)))
    await judge(other, records[:2])
    await keeper.look()
    assert keeper.parts[HOME].view.through == records[1].offset
    await judge(keeper, records)
    again = ("a/x", 2)  # an older one of ours might have been on its way
    assert site.rows() == [("a/x", 1), ("a/x", 2), again, ("a/x", 3)]
    site.assert_folded()


async def test_a_look_goes_on_where_one_failed(site: Site, keeper: Keeper) -> None:
    await judge(keeper, site.propose(change("c1", write(0))))
    old = site.broker.records(STATE)[-1]
    await judge(keeper, site.propose(change("c2", write(1))))
    site.broker.partition(Place(STATE, HOME)).append(0, old.key, old.value, ())
    site.broker.stop()
    with pytest.raises(Unreachable):
        await keeper.look()
    site.broker.start()
    await keeper.look()
    await quiet()
    assert keeper.healed == 1


async def test_entries_are_encoded_as_everybody_reads_them(site: Site, keeper: Keeper) -> None:
    await judge(keeper, site.propose(change("c1", write(0, value=None))))
    written = site.broker.records(STATE)[-1]
    entry = decode_kept(written.value)
    assert encode_kept(entry) == written.value
    assert not isinstance(entry, RulesEntry)
    assert entry.value is None
