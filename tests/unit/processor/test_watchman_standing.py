"""Standing by a watchman: what it writes equals a replay, whoever was killed in between."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable

import pytest

from mesh.core.accounts import Accounts
from mesh.core.ledger import Ledger
from mesh.core.standing import Latest, Standing
from mesh.errors import MeshError, NewerSchema, TransportError, UsageError
from mesh.ports import Place
from mesh.processor import beat
from mesh.processor import watchman as watchmen
from mesh.processor.watchman import Watchman
from mesh.transport.memory import Fate, MemoryLog
from mesh.wire import topics
from mesh.wire.entries import decode_standing, encode_entry
from mesh.wire.schemas import MARKER
from tests.unit.processor.quarrel import (
    MESH,
    PARTITION,
    Recorded,
    add,
    broker_of,
    fact,
    record,
)

AUDIT, OPEN, STANDING = topics.audit(MESH), topics.open_workflows(MESH), topics.standing(MESH)


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return asyncio.run(record())


class Site:
    """Mutable: a broker in memory, and watchmen that work on it."""

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded
        ticks = itertools.count(1_000)
        self.broker = broker_of((), lambda: next(ticks))
        self.failures: list[MeshError] = []
        self.logs: list[MemoryLog] = []

    async def watchman(self) -> Watchman:
        log = MemoryLog(self.broker)
        await log.open()
        self.logs.append(log)
        return Watchman(log, MESH, failed=self.failures.append)

    def write(self, end: int | None = None) -> None:
        """Let the audit stream go on, to its end or as far as `end`."""
        written = len(self.broker.records(AUDIT))
        add(self.broker, self.recorded.records[written:end])

    def put(self, value: bytes, key: str = "buyer") -> None:
        self.broker.partition(Place(STANDING, PARTITION)).append(5, key.encode(), value, ())

    def written(self) -> dict[str, Standing]:
        """Return what a reader of the topic knows."""
        read = Latest()
        for own in self.broker.records(STANDING):
            read.see(decode_standing(own.value))
        return {own.agent: own for own in read.entries}


@pytest.fixture
async def site(recorded: Recorded) -> AsyncIterator[Site]:
    site = Site(recorded)
    yield site
    for log in site.logs:
        await log.close(0.0)


def replayed(recorded: Recorded, end: int | None = None) -> dict[str, Standing]:
    """Fold the stream by a plain loop."""
    accounts, ledger = Accounts(PARTITION), Ledger()
    for own in recorded.records[:end]:
        accounts.see(fact(own), ledger, ledger.add(fact(own)))
    return {agent: accounts.standing(agent) for agent in accounts.agents}


async def settle() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def test_what_is_written_equals_a_replay(site: Site) -> None:
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write()
    for own in site.broker.records(AUDIT):
        await watchman.see(own)
    await watchman.look()
    await settle()
    expected = replayed(site.recorded)
    assert site.written() == expected
    assert expected["buyer"].tallies[0].finished > 3
    assert watchman.lag() == {PARTITION: 0}


async def test_it_is_written_before_partitions_are_given_up(site: Site) -> None:
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write()
    for own in site.broker.records(AUDIT):
        await watchman.see(own)
        if own.offset % 50 == 0:
            await watchman.look()
    assert await watchman.settle(5)
    assert site.written() == replayed(site.recorded)


async def test_where_to_begin_waits_for_what_is_not_written(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchmen, "NOTE_EVERY", 1)
    monkeypatch.setattr(beat, "MARK_EVERY", 1)
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write()
    for own in site.broker.records(AUDIT):
        await watchman.see(own)
    site.broker.fate = lambda own: Fate.HELD if own.place.topic == STANDING else Fate.LANDS
    await watchman.look()
    await settle()
    assert not site.broker.records(OPEN)
    site.broker.fate = lambda _: Fate.LANDS
    site.broker.release()
    await settle()
    assert len(site.broker.records(OPEN)) == 1


@pytest.mark.parametrize("step", [7, 31, 60])
async def test_whoever_is_killed_in_between(
    site: Site, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Each dies at another place, some with entries on their way, and the next one goes on."""
    monkeypatch.setattr(watchmen, "NOTE_EVERY", 1)
    monkeypatch.setattr(beat, "MARK_EVERY", 1)
    site.write()
    records = site.broker.records(AUDIT)
    fates = itertools.cycle((Fate.LANDS, Fate.LOST, Fate.UNKNOWN, Fate.LATE, Fate.LANDS))
    committed = 0
    for end in [*range(step, len(records), step), len(records)]:
        site.broker.fate = lambda own: next(fates) if own.place.topic == STANDING else Fate.LANDS
        watchman = await site.watchman()
        await watchman.take(PARTITION, committed)
        for own in records[committed:end]:
            await watchman.see(own)
            if own.offset % 5 == 0:
                await watchman.look()
                await settle()
        committed = watchman.settled()[PARTITION]
        watchman.give_up(PARTITION)
    site.broker.fate = lambda _: Fate.LANDS
    site.broker.release()
    await settle()
    last = await site.watchman()
    await last.take(PARTITION, committed)
    for _ in range(3):
        await last.look()
        await settle()
    assert site.written() == replayed(site.recorded)
    ends = {own.key: decode_standing(own.value) for own in site.broker.records(STANDING)}
    assert list(ends.values()) == [site.written()[name.decode()] for name in ends if name]


async def test_a_topic_that_was_lost_is_filled_again(site: Site) -> None:
    first = await site.watchman()
    await first.take(PARTITION, 0)
    site.write()
    for own in site.broker.records(AUDIT):
        await first.see(own)
    assert await first.settle(5)
    without = Site(site.recorded)
    without.write()
    for own in site.broker.records(OPEN):
        without.broker.partition(Place(OPEN, PARTITION)).append(5, own.key, own.value, ())
    second = await without.watchman()
    await second.take(PARTITION, first.settled()[PARTITION])
    await second.look()
    await settle()
    assert without.written() == replayed(site.recorded)
    await without.logs[0].close(0.0)


def newer(standings: Iterable[Standing]) -> bytes:
    (first, *_) = standings
    return MARKER + bytes(8) + encode_entry(first)[10:]


async def test_a_newer_entry_ends_it(site: Site) -> None:
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.put(newer(replayed(site.recorded).values()))
    await watchman.look()
    assert [type(own) for own in site.failures] == [NewerSchema]
    assert not watchman.parts


async def test_an_audit_stream_that_was_created_again_ends_it(site: Site) -> None:
    site.put(encode_entry(replayed(site.recorded)["buyer"]))
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    assert [type(own) for own in site.failures] == [UsageError]
    assert not watchman.parts


async def test_a_log_that_is_over_ends_it(site: Site) -> None:
    watchman = await site.watchman()
    await watchman.take(PARTITION, 0)
    site.write()
    for own in site.broker.records(AUDIT):
        await watchman.see(own)
    site.broker.fate = lambda own: Fate.HELD if own.place.topic == STANDING else Fate.LANDS
    await watchman.look()
    site.logs[0].fail(TransportError("fenced"))
    site.broker.release()
    await settle()
    assert [str(own) for own in site.failures] == ["fenced"]
    assert not watchman.parts
