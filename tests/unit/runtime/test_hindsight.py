from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from mesh.core.messages import Current, Judged
from mesh.core.shared import RECENT, Change, Entry, Past, Verdict, Write
from mesh.errors import NotPermitted, TransportError, Unreachable, WrongTopic
from mesh.ports import Incoming, Place
from mesh.runtime.hindsight import PIECE, RETRY_MS, Hindsight
from mesh.testing.clock import ManualClock
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire.state import encode_kept
from tests.unit.runtime.entries import change, entry, judged

Records = list[tuple[bytes, bytes]]
V = Verdict


class Kept(MemoryLog):
    """Mutable: `demo.state` with one partition; notes what was read of it."""

    def __init__(self, records: Records) -> None:
        super().__init__(MemoryBroker(lambda: 0))
        self.records = records
        self.spans: list[tuple[int, int]] = []
        self.errors: list[TransportError] = []

    async def ends(self, topic: str) -> Mapping[int, tuple[int, int]]:
        assert topic == "demo.state"
        if self.errors:
            raise self.errors.pop(0)
        return {0: (0, len(self.records))}

    async def scan(
        self,
        place: Place,
        first: int,
        end: int | None = None,
        *,
        keep: Callable[[bytes | None], bool] | None = None,
    ) -> AsyncGenerator[Sequence[Incoming], None]:
        assert end is not None
        assert keep is not None
        self.spans.append((first, end))
        for offset in range(first, end):
            key, value = self.records[offset]
            if keep(key):
                yield [Incoming(*place, offset, 0, key, value, ())]
        yield []


def versions(last: int, mine: int = 0, verdict: V = V.ACCEPTED, key: str = "a/b") -> list[Entry]:
    """Return the entries of a key, each with what it remembers; version `mine` is of `c1`."""
    pasts = [
        Past(number, "c1", verdict, "")
        if number == mine
        else Past(number, f"o{number}", V.MERGED, "")
        for number in range(1, last + 1)
    ]
    return [
        entry(key, number, recent=tuple(pasts[max(0, number - RECENT) : number]))
        for number in range(1, last + 1)
    ]


def rows(entries: Sequence[Entry]) -> Records:
    return [(own.key.encode(), encode_kept(own)) for own in entries]


def late(version: int, *more: Current) -> Judged:
    current = Current("a/b", version, b"1", "o", "t", contested=False)
    told = replace(judged(7, V.CONFLICT), forgotten=True, entries=(current, *more))
    return replace(told, reason="too late")


async def look(
    records: Records, told: Judged, own: Change | None = None, *, again: bool = True
) -> tuple[Judged, Kept]:
    log = Kept(records)
    hindsight = Hindsight(log, "demo", ManualClock())
    return await hindsight.judged(own or change(), 0, told, again=again), log


async def test_what_is_remembered_is_not_looked_for() -> None:
    told = replace(late(40), forgotten=False)
    found, log = await look([], told)
    assert found is told
    assert log.spans == []


async def test_the_first_copy_of_all_conflicts_with_somebody_else() -> None:
    found, log = await look([], late(40), again=False)
    assert found == replace(late(40), forgotten=False)
    assert log.spans == []


@pytest.mark.parametrize("verdict", [V.ACCEPTED, V.PREFERRED, V.CONTESTED])
async def test_what_was_accepted_is_found(verdict: V) -> None:
    found, _ = await look(rows(versions(40, 1, verdict)), late(40))
    assert (found.verdict, found.versions, found.forgotten) == (verdict, (1,), False)
    assert found.reason == f"it was {verdict} before"
    assert found.entries == late(40).entries


async def test_where_every_version_is_somebody_else_s_it_is_a_conflict() -> None:
    found, _ = await look(rows(versions(40)), late(40))
    assert found == replace(late(40), forgotten=False)


async def test_it_is_read_from_the_end_as_far_as_is_needed() -> None:
    others = rows([entry("x/y")]) * 5_000
    _, log = await look([*others, *rows(versions(40, 1)), *others], late(40))
    assert log.spans == [(10_040 - PIECE, 10_040), (10_040 - 3 * PIECE, 10_040 - PIECE)]
    late_one = replace(change(), writes=(Write("a/b", 20, b"1"),))
    _, log = await look([*others, *rows(versions(40))], late(40), late_one)
    assert log.spans == [(5_040 - PIECE, 5_040)]


@pytest.mark.parametrize("hole", [slice(0, 20), slice(2, 20), slice(20, 39)])
async def test_what_was_compacted_away_nobody_can_tell(hole: slice) -> None:
    kept = versions(40)
    del kept[hole]
    found, _ = await look(rows(kept), late(40))
    assert found == late(40)


async def test_entries_between_are_enough_where_they_remember_all() -> None:
    kept = [own for own in versions(48) if own.version % RECENT == 0]
    found, _ = await look(rows(kept), late(48))
    assert not found.forgotten


async def test_what_cannot_be_read_leaves_a_hole() -> None:
    kept = [own for own in versions(48) if own.version % RECENT == 0]
    found, _ = await look([*rows(kept)[:2], (b"a/b", b"?"), *rows(kept)[2:]], late(48))
    assert not found.forgotten
    found, _ = await look([rows(kept)[0], (b"a/b", b"?"), rows(kept)[2]], late(48))
    assert found.forgotten


async def test_keys_that_were_written_together_were_accepted_together() -> None:
    own = replace(change(), writes=(Write("a/b", 0, b"1"), Write("a/c", 0, b"1")))
    other = Current("a/c", 20, b"1", "o", "t", contested=False)
    both = [*versions(40, 1), *versions(20, 1, key="a/c")]
    found, _ = await look(rows(both), late(40, other), own)
    assert (found.verdict, found.versions) == (V.ACCEPTED, (1, 1))
    found, _ = await look(
        rows([*versions(40, 1), *versions(20, key="a/c")[16:]]), late(40, other), own
    )
    assert (found.verdict, found.versions) == (V.ACCEPTED, (1, 0))
    # that one of them is somebody else's throughout says it of the other, too
    found, _ = await look(
        rows([*versions(40)[30:], *versions(20, key="a/c")]), late(40, other), own
    )
    assert found == replace(late(40, other), forgotten=False)


async def test_a_log_that_is_away_is_asked_again() -> None:
    log, clock = Kept(rows(versions(40, 1))), ManualClock()
    log.errors = [Unreachable("away"), TransportError("still")]
    asked = asyncio.ensure_future(
        Hindsight(log, "demo", clock).judged(change(), 0, late(40), again=True)
    )
    for _ in range(2):
        for _ in range(5):
            await asyncio.sleep(0)
        assert not asked.done()
        clock.move_to(clock.now_ms() + RETRY_MS)
    assert (await asked).verdict is V.ACCEPTED


@pytest.mark.parametrize("error", [NotPermitted("no"), WrongTopic("none")])
async def test_who_may_not_look_cannot_tell(error: TransportError) -> None:
    log = Kept(rows(versions(40, 1)))
    log.errors = [error]
    found = await Hindsight(log, "demo", ManualClock()).judged(change(), 0, late(40), again=True)
    assert found == late(40)


async def test_who_waits_no_more_asks_no_more() -> None:
    log, clock = Kept([]), ManualClock()
    log.errors = [Unreachable("away")] * 9
    asked = asyncio.ensure_future(
        Hindsight(log, "demo", clock).judged(change(), 0, late(40), again=True)
    )
    for _ in range(5):
        await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait([asked])
    clock.move_to(clock.now_ms() + RETRY_MS)
    assert asked.cancelled()
    assert len(log.errors) == 8
