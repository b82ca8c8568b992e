from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.effects import Position
from mesh.core.tasks import Header
from mesh.errors import MeshError, NewerSchema, TransportError, WireError, WrongTopic
from mesh.ports import Place, TopicPlan
from mesh.processor import beat, notes
from mesh.processor import watchman as watchmen
from mesh.processor.beat import Beat
from mesh.processor.watchman import Progress, Watchman, check_audit
from mesh.transport.memory import Fate, MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.entries import Entry, decode_open
from mesh.wire.schemas import MARKER
from tests.unit.processor.driving import Driver
from tests.unit.processor.quarrel import (
    MESH,
    PARTITION,
    Recorded,
    add,
    broker_of,
    fact,
    incidents,
    record,
)

AUDIT, OPEN, INCIDENTS = topics.audit(MESH), topics.open_workflows(MESH), topics.incidents(MESH)
CONTROL, POLICY = topics.control(MESH), topics.policy(MESH)
STANDING = topics.standing(MESH)
KEY = b"watchman/0"
NEWER = MARKER + bytes(range(8)) + b"whatever"
LAX = LimitTable(mesh=Limits(**dict.fromkeys(("loop_returns", "loop_returns_opaque"), 99)))


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return asyncio.run(record())


class Site:
    """Mutable: a broker in memory, and watchmen that work on it."""

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded
        ticks = itertools.count(1_000)
        self.clock: Callable[[], int] = lambda: next(ticks)
        self.broker = broker_of((), self.clock)
        self.failures: list[MeshError] = []
        self.logs: list[MemoryLog] = []
        self.watchmen: list[Watchman] = []

    async def log(self) -> MemoryLog:
        log = MemoryLog(self.broker)
        await log.open()
        self.logs.append(log)
        return log

    async def watchman(self, limits: LimitTable | None = None, *, skips: bool = False) -> Watchman:
        watchman = Watchman(
            await self.log(), MESH, failed=self.failures.append, limits=limits, skips_newer=skips
        )
        await watchman.start()
        self.watchmen.append(watchman)
        return watchman

    def write(self, end: int | None = None) -> None:
        """Let the audit stream go on, to its end or as far as `end`."""
        written = len(self.broker.records(AUDIT))
        add(self.broker, self.recorded.records[written:end])

    def put(self, value: bytes | None, key: bytes | None = b"0-x") -> None:
        self.broker.partition(Place(AUDIT, PARTITION)).append(self.clock(), key, value, ())

    async def see(self, watchman: Watchman, first: int = 0, end: int | None = None) -> None:
        """Give it what the stream has, from `first` on."""
        for own in self.broker.records(AUDIT)[first:end]:
            await watchman.see(own)

    def ids(self) -> list[str]:
        """Return the ids of what was written, in order."""
        return [incident.id for incident in incidents(self.broker)]

    def only(self, topic: str, fate: Fate) -> None:
        """Let the appends to one topic have a fate, until it is set again."""
        self.broker.fate = lambda own: fate if own.place.topic == topic else Fate.LANDS

    def lands(self) -> None:
        self.broker.fate = lambda _: Fate.LANDS


@pytest.fixture
async def site(recorded: Recorded) -> AsyncIterator[Site]:
    site = Site(recorded)
    yield site
    for watchman in site.watchmen:
        await watchman.close()
    for log in site.logs:
        await log.close(0.0)


async def settle() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


# --- finding ------------------------------------------------------------------------------------


async def test_what_is_found_is_written_under_its_workflow(site: Site) -> None:
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write()
    await site.see(watchman)
    await settle()
    found = incidents(site.broker)
    assert [own.kind for own in found][:2] == ["loop", "ping-pong"]
    assert {own.workflow for own in found} == {site.recorded.endless}
    assert {own.key for own in site.broker.records(INCIDENTS)} == {site.recorded.endless.encode()}
    loop = found[0]
    assert (loop.detector, loop.seen, loop.limit) == ("loop", 2, 1)
    assert [own.agent for own in loop.chain] == ["buyer", "lawyer", "buyer", "lawyer", "buyer"]
    assert loop.chain[-1].task == loop.task
    assert loop.evidence[0] == Position("audit", PARTITION, loop.evidence[0].offset)
    end = len(site.recorded.records)
    assert watchman.settled() == {PARTITION: end}
    assert (watchman.facts, watchman.told, watchman.untold) == (end, len(found), 0)
    assert watchman.findings["loop"] == 1
    assert watchman.open_workflows == 0
    assert "0 on their way" in repr(watchman)


async def test_a_record_is_settled_when_what_it_led_to_is_acknowledged(site: Site) -> None:
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write()
    site.only(INCIDENTS, Fate.HELD)
    await site.see(watchman)
    await settle()
    held = watchman.settled()[PARTITION]
    assert 0 < held < len(site.recorded.records)
    assert not await watchman.settle(0.01)
    site.lands()
    site.broker.release()
    assert await watchman.settle(5)
    first = next(own for own in incidents(site.broker))
    assert held == max(own.offset for own in first.evidence)
    assert watchman.settled() == {PARTITION: len(site.recorded.records)}


async def test_an_append_of_unknown_outcome_is_made_again(site: Site) -> None:
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write()
    site.only(INCIDENTS, Fate.UNKNOWN)
    await site.see(watchman)
    await settle()
    once = site.ids()
    assert watchman.settled()[PARTITION] < len(site.recorded.records)
    site.lands()
    await watchman.look()
    await settle()
    assert site.ids() == [*once, *once]
    assert watchman.repeated == len(once) == len(set(once))
    assert watchman.settled() == {PARTITION: len(site.recorded.records)}


async def test_an_append_that_the_log_does_not_take_is_made_again(site: Site) -> None:
    class Full(MemoryLog):
        def append(self, *_: Any, **__: Any) -> None:
            raise TransportError("the queue is full")

    log = await site.log()
    log.__class__ = Full
    watchman = Watchman(log, MESH, failed=site.failures.append)
    await watchman.take(PARTITION, 0)
    site.write()
    await site.see(watchman)
    await watchman.look()
    log.__class__ = MemoryLog
    await watchman.look()
    await settle()
    assert len(site.ids()) == len(set(site.ids())) == watchman.told > 3
    assert watchman.settled() == {PARTITION: len(site.recorded.records)}


async def test_what_fits_into_no_record_is_counted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(entry: Entry) -> bytes:
        raise WireError("too large")

    monkeypatch.setattr(watchmen, "encode_entry", refuse)
    monkeypatch.setattr(notes, "encode_entry", refuse)
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write()
    await site.see(watchman)
    assert await watchman.settle(5)  # nor does where to begin
    assert watchman.untold == watchman.findings.total() > 3
    assert watchman.settled() == {PARTITION: len(site.recorded.records)}
    assert site.broker.records(OPEN) == []


async def test_it_waits_while_too_much_is_on_its_way(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchmen, "MAX_FLYING", 1)
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write()
    site.only(INCIDENTS, Fate.HELD)
    giving = asyncio.create_task(site.see(watchman))
    await settle()
    assert not giving.done()
    assert watchman.facts < len(site.recorded.records)
    site.lands()
    site.broker.release()
    await giving
    assert watchman.facts == len(site.recorded.records)


async def test_a_log_that_is_over_ends_it(site: Site) -> None:
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write()
    site.only(INCIDENTS, Fate.HELD)
    await site.see(watchman)
    site.logs[0].fail(TransportError("fenced"))
    await settle()
    assert [str(own) for own in site.failures] == ["fenced"]
    assert watchman.parts == {}
    assert await watchman.settle(1)


# --- what it is given ---------------------------------------------------------------------------


async def test_repeats_are_dropped_and_what_is_missing_is_read(site: Site) -> None:
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write()
    await site.see(watchman, 0, 10)
    await site.see(watchman, 5, 12)
    await site.see(watchman, 100)
    await settle()
    assert watchman.facts == len(site.recorded.records)
    assert len(site.ids()) == len(set(site.ids())) > 3


async def test_what_is_no_fact_is_passed_over_and_counted(site: Site) -> None:
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write(9)
    for value in (None, b"", b"garbage", MARKER, NEWER):
        site.put(value, b"not-a-workflow")
    await site.see(watchman)
    assert (watchman.unreadable, watchman.settled()) == (5, {PARTITION: 14})
    assert site.failures == []


@pytest.mark.parametrize("key", [b"0-somewhere", b"buying.ask/0", None])
async def test_what_a_newer_release_wrote_stops_it(site: Site, key: bytes | None) -> None:
    site.put(NEWER, key)
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    await site.see(watchman)
    (failure,) = site.failures
    assert isinstance(failure, NewerSchema)
    assert f"{AUDIT}[0]@0" in str(failure)
    assert watchman.parts == {}
    skipping = await site.watchman(skips=True)
    await skipping.take(PARTITION, 0)
    await site.see(skipping)
    assert (skipping.unreadable, skipping.settled()) == (1, {PARTITION: 1})


async def test_what_is_not_ours_is_dropped(site: Site) -> None:
    watchman = await site.watchman()
    site.write()
    await site.see(watchman)
    assert (watchman.facts, watchman.settled(), watchman.lag()) == (0, {}, {})


async def test_what_comes_after_it_was_given_up_is_dropped(site: Site) -> None:
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write()
    site.only(INCIDENTS, Fate.HELD)
    await site.see(watchman)
    watchman.give_up(PARTITION)
    site.lands()
    site.broker.release()
    await settle()
    before = watchman.facts
    await site.see(watchman)
    assert watchman.facts == before
    await watchman.look()


# --- beginning again ----------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 20, 60, 110, 150, 200])
async def test_a_successor_finds_what_is_still_to_be_found_and_each_once(
    site: Site, cut: int
) -> None:
    whole = await site.watchman()
    site.write()
    await whole.take(PARTITION, 0)
    await site.see(whole)
    await settle()
    expected = site.ids()

    site.broker = broker_of((), site.clock)
    first = await site.watchman()
    await first.take(PARTITION, 0)
    site.write(cut)
    await site.see(first)
    await settle()
    committed = first.settled()[PARTITION]
    assert committed == cut

    site.write()
    second = await site.watchman()
    await second.take(PARTITION, committed)
    await site.see(second, committed)
    await settle()
    assert list(dict.fromkeys(site.ids())) == expected


async def test_one_that_was_killed_before_its_commit_is_repeated(site: Site) -> None:
    site.write()
    for _ in range(2):
        watchman = await site.watchman()
        await watchman.take(PARTITION, 0)
        await site.see(watchman)
        await settle()
    ids = site.ids()
    half = len(ids) // 2
    assert ids[:half] == ids[half:]


async def test_where_to_begin_is_noted_and_used(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchmen, "NOTE_EVERY", 10)
    monkeypatch.setattr(beat, "MARK_EVERY", 5)
    monkeypatch.setattr(watchmen, "RECALLED", 3)
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write(100)
    await site.see(watchman)
    await watchman.look()
    await watchman.look()
    await settle()
    (entry,) = site.broker.records(OPEN)
    assert (entry.key, entry.partition) == (KEY, PARTITION)
    header = decode_open(entry.value).header
    assert 10 <= header.offset < 30
    assert [own.source.capability for own in header.supervisions] == ["buying.ask"]

    second = await site.watchman()
    await second.take(PARTITION, 100)
    assert second.facts == 100 - header.offset
    site.write()
    await site.see(second, 100)
    assert await second.settle(5)
    assert [len(site.broker.records(OPEN)), second.void] == [2, 0]

    third = await site.watchman()
    await third.take(PARTITION, len(site.recorded.records))
    assert third.facts == 0


async def test_what_is_not_settled_is_not_noted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchmen, "NOTE_EVERY", 10)
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write()
    site.only(INCIDENTS, Fate.HELD)
    await site.see(watchman)
    await watchman.look()
    await settle()
    assert site.broker.records(OPEN) == []
    site.lands()
    site.broker.release()
    await settle()
    assert len(site.broker.records(OPEN)) == 1


async def test_a_restart_with_other_limits_tells_what_is_open(site: Site) -> None:
    site.write(60)
    lax = await site.watchman(LAX)
    await lax.take(PARTITION, 0)
    await site.see(lax)
    await settle()
    assert "loop" not in lax.findings
    strict = await site.watchman()
    await strict.take(PARTITION, 60)
    await settle()
    assert [own.kind for own in incidents(site.broker)].count("loop") == 1
    assert strict.settled() == {PARTITION: 60}


async def test_what_has_ended_is_not_told_again(site: Site) -> None:
    site.write()
    watchman = await site.watchman()
    await watchman.take(PARTITION, len(site.recorded.records))
    await settle()
    assert watchman.findings.total() > 3
    assert site.ids() == []


async def test_a_note_that_cannot_be_read_or_used_is_not(site: Site) -> None:
    site.write()
    place = site.broker.partition(Place(OPEN, PARTITION))
    place.append(1, KEY, b"garbage", ())
    one = await site.watchman()
    await one.take(PARTITION, 50)
    assert one.facts == 50
    await site.see(one, 50)
    assert await one.settle(5)
    assert len(site.broker.records(OPEN)) == 2

    other = site.broker.records(OPEN)[1]
    site.broker = broker_of(site.recorded.records[:7], site.clock)
    site.broker.partition(Place(OPEN, PARTITION)).append(1, KEY, other.value, ())
    two = await site.watchman()
    await two.take(PARTITION, 999)
    assert (two.facts, two.settled()) == (7, {PARTITION: 7})


async def test_a_log_whose_beginning_is_gone_is_read_from_where_it_begins(site: Site) -> None:
    site.write()
    site.broker.trim(Place(AUDIT, PARTITION), 40)
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    await site.see(watchman)
    assert watchman.facts == watchman.void == len(site.recorded.records) - 40


async def test_restoring_is_visible_and_what_is_given_meanwhile_is_not_lost(site: Site) -> None:
    site.write(30)
    watchman = await site.watchman()
    taking = asyncio.create_task(watchman.take(PARTITION, 30))
    seen = {watchman.restoring()[PARTITION]}
    part = watchman.parts[PARTITION]
    ratios = {part.restored()}
    assert watchman.settled() == {}
    site.write()
    await site.see(watchman, 30)
    assert watchman.facts == 0
    for _ in range(100):
        seen |= set(watchman.restoring().values())
        ratios.add(part.restored())
        await asyncio.sleep(0)
    await taking
    assert {0.0, 1.0} < ratios
    assert max(ratios) == 1.0
    whole = len(site.recorded.records)
    assert {Progress(0, 0), Progress(30, whole), Progress(whole, whole)} <= seen
    assert watchman.restoring() == {}
    assert watchman.facts == len(site.recorded.records)
    assert "ready" in repr(watchman.parts[PARTITION])


async def test_a_partition_that_cannot_be_read_is_not_taken(site: Site) -> None:
    watchman = await site.watchman()
    site.broker.stop()
    with pytest.raises(TransportError):
        await watchman.take(PARTITION, 0)
    assert watchman.parts == {}


async def test_what_is_settled_is_committed_once(site: Site) -> None:
    watchman = await site.watchman()
    await watchman.take(PARTITION, 3)
    assert watchman.commits() == {}
    site.write(20)
    await site.see(watchman)
    offsets = watchman.commits()
    assert offsets == {PARTITION: 20}
    watchman.committed({**offsets, 7: 7})
    assert watchman.commits() == {}


@pytest.mark.parametrize("read", [0, 40])
async def test_a_partition_that_is_given_up_while_it_is_restored_is_dropped(
    site: Site, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.transport.memory.BATCH_RECORDS_MAX", 10)
    site.write()
    watchman = await site.watchman()
    taking = asyncio.create_task(watchman.take(PARTITION, 100))
    waiting = asyncio.create_task(site.see(watchman, 100))
    for _ in range(100):
        if watchman.restoring()[PARTITION].next == read:
            break
        await asyncio.sleep(0)
    watchman.give_up(PARTITION)
    await asyncio.gather(taking, waiting)
    await settle()
    assert watchman.parts == {}
    assert watchman.facts == read
    assert site.ids() == []


async def test_the_lag_is_that_of_the_last_look(site: Site) -> None:
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write(30)
    await watchman.look()
    assert watchman.lag() == {PARTITION: 30}
    await site.see(watchman)
    assert watchman.lag() == {PARTITION: 0}


async def test_a_topic_that_is_missing_is_named(site: Site) -> None:
    log = await site.log()
    assert await check_audit(log, MESH) == PARTITION + 1
    site.broker = MemoryBroker(site.clock)
    log = await site.log()
    with pytest.raises(WrongTopic, match=r"test\.audit is missing; test\.open is missing; test\.s"):
        await check_audit(log, MESH)
    alike, others = ((AUDIT, 2), (OPEN, 2), (STANDING, 3)), (INCIDENTS, CONTROL, POLICY)
    for name, count in (*alike, *((own, 1) for own in others)):
        site.broker.create_topic(TopicPlan(name=name, partitions=count))
    with pytest.raises(WrongTopic, match="partitioned alike"):
        await check_audit(log, MESH)
    watchman = await site.watchman()
    with pytest.raises(WrongTopic, match="no partition 7"):
        await watchman.take(7, 0)


# --- by a group ---------------------------------------------------------------------------------


async def test_a_group_hands_a_partition_on(site: Site) -> None:
    one = Driver(await site.log(), MESH)
    await one.start()
    site.write(120)
    await one.until(lambda: one.watchman.facts == 120)
    await one.stop()
    site.write()
    two = Driver(await site.log(), MESH)
    await two.start()
    whole = {PARTITION: len(site.recorded.records)}
    await two.until(lambda: two.watchman.settled() == whole)
    await two.stop()
    assert one.failures == two.failures == []
    whole_fold = Beat(Header(0, 0, ()))
    found = [own for one in site.recorded.records for own in whole_fold.add(fact(one))[1]]
    assert list(dict.fromkeys(site.ids())) == [own.id for own in found]
    assert len(found) > 3
