"""What is written of standing, and when: the register alone, on a log in memory."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mesh.core.facts import Record
from mesh.core.ledger import Ledger
from mesh.core.standing import Standing, Tally
from mesh.errors import NewerSchema, TransportError, UsageError
from mesh.ports import Place, TopicPlan
from mesh.processor import standing as registers
from mesh.processor.standing import Register
from mesh.transport.memory import Fate, MemoryBroker, MemoryLog
from mesh.wire.entries import decode_standing, encode_entry
from mesh.wire.schemas import MARKER
from tests.simulation.scribe import BOB, ROOT, Scribe, terms

TOPIC = "test.standing"
PLACE = Place(TOPIC, 0)
NO_END = 10**6
NEWER = MARKER + bytes(range(8)) + b"whatever"


def story() -> list[Record]:
    """Return a log in which Ann finishes one task and Bob nine below it."""
    log = Scribe()
    log.begin()
    for number in range(9):
        assert not log.open_child(str(number), terms(BOB))
        assert not log.write(log.finished(log.child_name(str(number))))
    assert not log.write(log.finished())
    return log.records


class Site:
    """Mutable: a broker in memory, and registers that write on it."""

    def __init__(self) -> None:
        ticks = itertools.count(1_000)
        self.broker = MemoryBroker(lambda: next(ticks))
        self.broker.create_topic(TopicPlan(name=TOPIC, partitions=1))
        self.records = story()
        self.told: list[str] = []
        self.log = MemoryLog(self.broker)

    def register(self, *, skips_newer: bool = False) -> Register:
        return Register(self.log, PLACE, self.told.append, skips_newer=skips_newer)

    def see(self, register: Register, end: int | None = None) -> None:
        """Let it fold the log from its beginning."""
        ledger = Ledger()
        for record in self.records[:end]:
            register.see(record, ledger, ledger.add(record))

    @property
    def end(self) -> int:
        return self.broker.partition(PLACE).high

    def put(self, standing: Standing | None, value: bytes | None = None, key: str = "ann") -> None:
        """Let somebody else write."""
        data = encode_entry(standing) if standing is not None else value
        self.broker.partition(PLACE).append(5, key.encode(), data, ())

    def entries(self) -> list[Standing]:
        return [decode_standing(own.value) for own in self.broker.records(TOPIC)]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    await site.log.open()
    yield site
    await site.log.close(0.0)


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def standing(version: int, agent: str = "ann") -> Standing:
    tally = Tally("demo.work", version, won=version)
    return Standing(agent=agent, partition=0, since=0, tallies=(tally,))


async def test_it_writes_what_changed_and_says_how_far(site: Site) -> None:
    register = site.register()
    assert await register.restore(site.end, NO_END) == 0
    site.see(register)
    opened = next(own.offset for own in site.records if getattr(own.fact, "task", "") == ROOT)
    assert register.clean(99) == opened
    assert "2 to be written" in repr(register)
    register.write(9)
    assert not register.is_settled
    assert register.clean(99) == opened, "what is on its way may never arrive"
    await settle()
    assert register.is_settled
    assert register.clean(99) == 99
    assert site.told == ["", ""]
    assert register.written == 2
    ann, bob = site.entries()
    assert (ann.agent, ann.tallies[0].finished) == ("ann", 1)
    assert (bob.agent, bob.tallies[0].finished) == ("bob", 9)
    assert bob.version == site.records[-2].offset + 1


async def test_so_many_are_written_at_once_the_first_before_the_others(site: Site) -> None:
    register = site.register()
    site.see(register)
    register.write(1)
    await settle()
    assert [own.agent for own in site.entries()] == ["ann"]
    register.write(1)
    await settle()
    assert [own.agent for own in site.entries()] == ["ann", "bob"]


async def test_who_was_written_just_now_waits_once(site: Site) -> None:
    register = site.register()
    ledger = Ledger()
    written = []
    for record in site.records:
        register.see(record, ledger, ledger.add(record))
        register.write(9)
        await settle()
        written.append(len(site.entries()))
    assert written[-1] < len(site.records)
    register.write_all()
    await settle()
    latest = {own.agent: own for own in site.entries()}
    assert latest["bob"].tallies[0].finished == 9
    assert register.clean(99) == 99


async def test_who_comes_next_goes_on(site: Site) -> None:
    for end in range(len(site.records)):
        first = site.register()
        await first.restore(site.end, NO_END)
        site.see(first, end)
        first.write(9)
        await settle()
    last = site.register()
    highest = await last.restore(site.end, NO_END)
    assert highest == site.entries()[-1].version
    site.see(last)
    alone = site.register()
    site.see(alone)
    for agent in ("ann", "bob"):
        assert last.accounts.standing(agent) == alone.accounts.standing(agent)


# --- what goes wrong ----------------------------------------------------------------------------


async def test_what_is_not_acknowledged_is_written_again(site: Site) -> None:
    register = site.register()
    site.see(register)
    first = register.clean(99)
    site.broker.fate = lambda _: Fate.UNKNOWN
    register.write(9)
    await settle()
    assert not register.is_settled
    assert len(site.told) == 2
    assert all(site.told)
    assert register.clean(99) == first
    site.broker.fate = lambda _: Fate.LANDS
    register.write_all()
    await settle()
    assert register.clean(99) == 99
    assert len(site.entries()) == 4


async def test_a_late_one_of_our_own_is_followed_by_the_latest(site: Site) -> None:
    register = site.register()
    ledger = Ledger()
    site.broker.fate = lambda _: Fate.LATE
    for record in site.records:
        register.see(record, ledger, ledger.add(record))
        if not site.told:
            register.write(9)
            await settle()
    site.broker.fate = lambda _: Fate.LANDS
    register.write_all()
    await settle()
    site.broker.release()
    await settle()
    assert site.entries()[-1].version < site.entries()[0].version, "it came too late"
    await register.review(site.end)
    assert register.healed == 1
    register.write_all()
    await settle()
    assert site.entries()[-1] == register.accounts.standing("ann")


async def test_a_log_that_takes_nothing_leaves_all_to_be_written(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = site.register()
    site.see(register)

    def full(*_: object) -> None:
        raise TransportError("full")

    monkeypatch.setattr(site.log, "append", full)
    register.write(9)
    assert site.told == ["full", "full"]
    assert register.clean(99) < 99


async def test_what_fits_into_no_record_is_left_out(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    register = site.register()
    site.see(register)
    many = tuple(Tally(f"{'x' * 100}.v{number}") for number in range(3_000))
    large = replace(standing(1), tallies=many)
    monkeypatch.setattr(register.accounts, "standing", lambda _: large)
    register.write(9)
    assert register.clean(99) == 99
    assert "fits into no record" in caplog.text


# --- what others write --------------------------------------------------------------------------


async def test_an_older_entry_that_follows_is_followed_by_the_later_one(site: Site) -> None:
    register = site.register()
    site.see(register)
    register.write(9)
    await settle()
    last = site.entries()[0]
    site.put(standing(1))
    await register.review(site.end)
    assert register.healed == 1
    assert register.clean(99) == 99, "it was acknowledged once"
    register.write_all()
    await settle()
    assert site.entries()[-1] == last
    await register.review(site.end)
    assert register.healed == 1


async def test_what_it_wrote_itself_is_not_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = site.register()
    site.see(register)
    register.write(9)
    await settle()
    read: list[object] = []
    monkeypatch.setattr(site.log, "scan", read.append)
    await register.review(site.end)
    await register.review(site.end)
    assert not read


async def test_nothing_is_read_while_entries_are_on_their_way(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = site.register()
    site.see(register)
    register.write(9)
    read: list[object] = []
    monkeypatch.setattr(site.log, "scan", read.append)
    await register.review(site.end)
    assert not register.is_settled
    assert not read


async def test_a_newer_entry_is_left_alone(site: Site) -> None:
    """It comes from a worker that is ahead: the log leads there."""
    register = site.register()
    site.see(register)
    register.write(9)
    await settle()
    site.put(standing(10_000))
    await register.review(site.end)
    assert register.healed == 0


async def test_of_what_was_written_the_highest_is_taken(site: Site) -> None:
    site.put(standing(7))
    site.put(standing(3))
    site.put(standing(5, "bob"), key="bob")
    register = site.register()
    assert await register.restore(site.end, NO_END) == 7
    assert register.accounts.standing("ann") == standing(7)
    assert register.healed == 1
    register.write(9)
    await settle()
    assert site.entries()[-1] == standing(7)


@pytest.mark.parametrize(
    ("entry", "value", "key"),
    [
        (None, b"junk", "ann"),
        (None, None, "ann"),
        (standing(9, "bob"), None, "ann"),
        (replace(standing(9), partition=3), None, "ann"),
    ],
)
async def test_what_is_no_entry_does_not_stand_last(
    site: Site, entry: Standing | None, value: bytes | None, key: str
) -> None:
    site.put(standing(7))
    site.put(entry, value, key)
    register = site.register()
    assert await register.restore(site.end, NO_END) == 7
    register.write(9)
    await settle()
    assert decode_standing(site.broker.records(TOPIC)[-1].value) == standing(7)


async def test_an_audit_stream_that_was_created_again_is_told_of(site: Site) -> None:
    site.put(standing(7))
    assert await site.register().restore(site.end, 7) == 7
    with pytest.raises(UsageError, match=r"ends at offset 6.*delete test\.standing"):
        await site.register().restore(site.end, 6)


async def test_what_a_newer_release_wrote_ends_it_or_is_passed_over(site: Site) -> None:
    site.put(None, NEWER)
    with pytest.raises(NewerSchema, match="run the processor of the release"):
        await site.register().restore(site.end, NO_END)
    assert await site.register(skips_newer=True).restore(site.end, NO_END) == 0


def test_a_worker_writes_at_most_a_hundred_in_a_second() -> None:
    assert registers.WRITES == 50
