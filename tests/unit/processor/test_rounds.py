"""Going round the audit stream: what is read, what is found, and where a successor begins."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mesh.core.effects import Incident
from mesh.errors import TransportError
from mesh.ports import Place
from mesh.processor import notes
from mesh.processor import rounds as roundings
from mesh.processor.rounds import Rounds
from mesh.transport.memory import Fate, MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.entries import decode_open
from mesh.wire.facts import FIRST, encode_fact
from tests.unit.core.detectors.test_duplicate_work import SECOND, Logs
from tests.unit.processor.quarrel import MESH

AUDIT, OPEN = topics.audit(MESH), topics.open_workflows(MESH)
PARTITIONS = 3


class Site:
    """Mutable: an audit stream of several partitions in memory."""

    def __init__(self) -> None:
        self.logs = Logs()
        self.broker = MemoryBroker(lambda: 1)
        for plan in topics.plans(MESH, partitions=topics.Partitions(audit=PARTITIONS)):
            self.broker.create_topic(plan)
        self.log = MemoryLog(self.broker)
        self._written = 0

    def write(self) -> None:
        """Append what was told since the last time."""
        for partition, record in self.logs.lines[self._written :]:
            where = self.broker.partition(Place(AUDIT, partition))
            value = encode_fact(record.fact, 0, FIRST)
            where.append(record.append_ms, b"k", value, ())
        self._written = len(self.logs.lines)

    def put(self, value: bytes | None, at_ms: int = 1) -> None:
        self.broker.partition(Place(AUDIT, 0)).append(at_ms, b"k", value, ())

    def noted(self) -> dict[int, int]:
        """Return where a successor begins in each partition."""
        found = {}
        for own in self.broker.records(OPEN):
            if own.key == notes.note_key(own.partition, notes.SURVEY):
                found[own.partition] = decode_open(own.value).header.offset
        return found


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    await made.log.open()
    yield made
    await made.log.close(0.0)


def twice(site: Site, at_ms: int) -> None:
    """Let two workflows do the same for ten seconds, and the log go on."""
    site.logs.opens(f"0-{at_ms}", at_ms)
    site.logs.opens(f"1-{at_ms}", at_ms + 100)
    for second in range(10):
        site.logs.renews(2, at_ms + second * 1_000)
    for partition in range(2):
        site.logs.finishes(f"{partition}-{at_ms}", at_ms + 10_000 + partition)
    site.write()


def rounds_of(site: Site) -> Rounds:
    rounds = Rounds(site.log, MESH)
    rounds.twins.limits = SECOND
    return rounds


async def go(rounds: Rounds, times: int = 3) -> list[Incident]:
    return [own for _ in range(times) for own in await rounds.go()]


async def test_what_two_workflows_do_at_once_is_found(site: Site) -> None:
    rounds = rounds_of(site)
    assert await go(rounds) == []
    twice(site, 1_000)
    (incident,) = await go(rounds)
    assert incident.workflow == "1-1000"
    assert [own[1:] for own in incident.evidence] == [(0, 0), (1, 0)]
    twice(site, 20_000)
    assert [own.workflow for own in await go(rounds)] == ["1-20000"]
    assert "Twins(" in repr(rounds)


async def test_it_is_found_while_they_are_at_it(site: Site) -> None:
    rounds = rounds_of(site)
    site.logs.opens("0-first", 1_000)
    site.logs.opens("1-second", 1_100)
    site.write()
    for second in range(1, 4):
        assert await rounds.go() == []
        site.logs.renews(2, 700 * second)
        site.write()
    site.logs.renews(2, 2_600)
    site.write()
    assert await rounds.go() == []  # what is seen in a round is through by the next
    assert len(await rounds.go()) == 1


async def test_all_else_is_passed_over_undecoded(site: Site) -> None:
    rounds = rounds_of(site)
    twice(site, 1_000)
    site.put(None)
    site.put(b"garbage")
    opened = next(iter(roundings.wanted()))
    site.put(opened + b"garbage")
    await go(rounds)
    assert (rounds.read, rounds.decoded) == (17, 5)


async def test_a_long_log_is_read_in_parts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roundings, "ROUND_RECORDS", 3)
    rounds = rounds_of(site)
    for turn in range(8):
        twice(site, 1_000 + turn * 11_000)
    site.put(None, 10**6)
    assert len(await go(rounds, 40)) == 8
    assert rounds.read == 8 * 14 + 1


async def test_a_successor_finds_the_same_and_reads_little(site: Site) -> None:
    first = rounds_of(site)
    twice(site, 1_000)
    site.logs.opens("0-a", 12_000, {"order": 1})
    site.logs.renews(2, 19_000)
    site.write()
    (told,) = await go(first)
    first.note(least=1)
    assert site.noted() == {0: 2, 1: 2, 2: 11}
    first.note(least=1)
    assert len(site.broker.records(OPEN)) == PARTITIONS

    site.logs.opens("1-b", 19_500, {"order": 1})
    site.logs.renews(2, 30_000)
    site.write()
    second = rounds_of(site)
    (found,) = await go(second)
    assert found.workflow == "1-b"
    assert second.read == 3
    third = rounds_of(site)
    assert [own.id for own in await go(third)] == [found.id] != [told.id]


async def test_without_a_note_it_begins_where_the_watchmen_do(site: Site) -> None:
    twice(site, 1_000)
    header = notes.BEGINNING._replace(offset=7)
    where = site.broker.partition(Place(OPEN, 2))
    where.append(1, notes.note_key(2), notes.encode_note(2, header), ())
    rounds = rounds_of(site)
    await go(rounds)
    assert rounds.read == 4 + 3


async def test_what_was_not_noted_is_noted_the_next_time(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = rounds_of(site)
    twice(site, 1_000)
    await go(rounds)
    site.broker.fate = lambda _: Fate.LOST
    rounds.note(least=1)
    await site.log.flush(1)
    assert site.noted() == {}
    assert "was not noted" in caplog.text


async def test_a_round_that_fails_is_made_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = rounds_of(site)
    twice(site, 1_000)
    site.broker.cut(site.log)
    with pytest.raises(TransportError):
        await rounds.go()
    site.broker.heal(site.log)
    assert len(await go(rounds)) == 1
