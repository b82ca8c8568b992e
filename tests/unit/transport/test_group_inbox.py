from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal

import pytest

from mesh.ports import Commit, Incoming, Place
from mesh.transport.group_inbox import GroupEvent, GroupInbox
from mesh.transport.inbox import batch_of

P, Q = Place("t", 0), Place("t", 1)


class Listener:
    """Notes what it hears; `gate` holds every call back while it is closed."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[Place, ...]]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def assigned(self, places: Mapping[Place, Commit | None]) -> None:
        await self._hear("assigned", tuple(places))

    async def revoked(self, places: Sequence[Place]) -> None:
        await self._hear("revoked", tuple(places))

    async def lost(self, places: Sequence[Place]) -> None:
        await self._hear("lost", tuple(places))

    async def _hear(self, what: str, places: tuple[Place, ...]) -> None:
        self.heard.append((what, places))
        await self.gate.wait()


class Bench:
    def __init__(self) -> None:
        self.listener = Listener()
        self.outstanding = 0
        self.done: list[str] = []
        self.inbox = GroupInbox(self._freed, self.listener)

    def _freed(self, records: int, _: int) -> None:
        self.outstanding -= records

    def event(
        self, kind: Literal["assigned", "revoked", "lost"], *places: Place, expired: bool = False
    ) -> None:
        event = GroupEvent(
            kind=kind,
            places=dict.fromkeys(places),
            done=lambda: self.done.append(kind),
            expired=expired,
        )
        self.inbox.push(event)

    def records(self, *given: tuple[Place, int]) -> None:
        self.outstanding += len(given)
        batch = [Incoming(*place, offset, 0, None, None, ()) for place, offset in given]
        self.inbox.push(batch_of(batch))

    async def take(self) -> list[tuple[Place, int]]:
        records = await self.inbox.take(0)
        return [(Place(one.topic, one.partition), one.offset) for one in records]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_record_before_assigned_returned() -> None:
    bench = Bench()
    bench.listener.gate.clear()
    bench.event("assigned", P)
    bench.records((P, 0))
    await settle()
    assert bench.listener.heard == [("assigned", (P,))]
    assert await bench.take() == []
    bench.listener.gate.set()
    await settle()
    assert await bench.take() == [(P, 0)]
    assert bench.done == ["assigned"]


async def test_no_record_once_revoked_was_called() -> None:
    bench = Bench()
    bench.event("assigned", P, Q)
    bench.records((P, 0), (Q, 0), (P, 1))
    await settle()
    bench.event("revoked", P)
    bench.records((Q, 1))
    await settle()
    assert await bench.take() == [(Q, 0)]
    assert await bench.take() == [(Q, 1)]
    assert await bench.take() == []
    assert bench.outstanding == 0


async def test_events_are_told_one_after_the_other() -> None:
    bench = Bench()
    bench.listener.gate.clear()
    bench.event("assigned", P)
    bench.event("revoked", P)
    bench.event("assigned", Q)
    await settle()
    assert len(bench.listener.heard) == 1
    bench.listener.gate.set()
    await settle()
    assert [what for what, _ in bench.listener.heard] == ["assigned", "revoked", "assigned"]
    assert bench.done == ["assigned", "revoked", "assigned"]


async def test_a_revocation_that_nobody_waits_for_any_more_is_a_loss() -> None:
    bench = Bench()
    bench.event("assigned", P)
    bench.event("revoked", P, expired=True)
    await settle()
    assert bench.listener.heard[-1] == ("lost", (P,))


async def test_what_may_be_committed() -> None:
    bench = Bench()
    bench.event("assigned", P, Q)
    await settle()
    bench.listener.gate.clear()
    bench.event("revoked", P)
    await settle()
    assert bench.inbox.owned([P, Q]) == {P, Q}, "while it gives up it may still commit"
    bench.listener.gate.set()
    await settle()
    assert bench.inbox.owned([P, Q]) == {Q}
    bench.listener.gate.clear()
    bench.event("lost", Q)
    await settle()
    assert bench.inbox.owned([P, Q]) == set()


async def test_paused_records_wait_in_order() -> None:
    bench = Bench()
    bench.event("assigned", P, Q)
    await settle()
    bench.records((P, 0), (Q, 0), (P, 1))
    bench.inbox.pause([P])
    assert await bench.take() == [(Q, 0)]
    bench.records((P, 2))
    assert await bench.take() == []
    bench.inbox.resume([P])
    assert await bench.take() == [(P, 0), (P, 1), (P, 2)]
    assert bench.outstanding == 0


async def test_what_was_held_back_goes_with_its_partition() -> None:
    bench = Bench()
    bench.event("assigned", P)
    await settle()
    bench.inbox.pause([P])
    bench.records((P, 0))
    assert await bench.take() == []
    bench.event("revoked", P)
    await settle()
    assert bench.outstanding == 0
    assert bench.inbox.paused() == set()


async def test_a_broken_listener_is_told_to_the_taker() -> None:
    bench = Bench()

    async def fail(_: object) -> None:
        raise ZeroDivisionError("broken")

    bench.listener.assigned = fail  # type: ignore[method-assign,assignment] # that is the fault
    bench.event("assigned", P)
    await settle()
    with pytest.raises(ZeroDivisionError):
        await bench.take()
    bench.event("lost", P)
    await settle()
    assert bench.done == ["assigned", "lost"], "whoever waits is let go"
