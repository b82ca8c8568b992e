"""Sessions that end, partitions that are moved or lost; the rest is in tests/contract."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from mesh.ports import Commit, Place, TopicPlan
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.transport.memory_group import MemoryMember

PLACES = [Place("t", number) for number in range(4)]


class Owner:
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.owned: dict[Place, Commit | None] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.called = asyncio.Event()
        self.reader: MemoryMember

    async def assigned(self, places: Mapping[Place, Commit | None]) -> None:
        self._hear("assigned", list(places))
        self.owned.update(places)

    async def revoked(self, places: Sequence[Place]) -> None:
        self._hear("revoked", places)
        await self.gate.wait()
        self.reader.commit({place: Commit(7, "gave up") for place in places})
        self._forget(places)

    async def lost(self, places: Sequence[Place]) -> None:
        self._hear("lost", places)
        self._forget(places)

    def _hear(self, what: str, places: Sequence[Place]) -> None:
        self.called.set()
        self.heard.append(f"{what} {' '.join(str(place.partition) for place in sorted(places))}")

    def _forget(self, places: Sequence[Place]) -> None:
        for place in places:
            del self.owned[place]


class Member:
    def __init__(self, log: MemoryLog, owner: Owner) -> None:
        self.log, self.owner, self.reader = log, owner, owner.reader

    def numbers(self) -> list[int]:
        return sorted(place.partition for place in self.owner.owned)


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker(lambda: 0, revoke_s=0.01)
    broker.create_topic(TopicPlan(name="t", partitions=4))
    return broker


async def employ(broker: MemoryBroker) -> Member:
    log, owner = MemoryLog(broker), Owner()
    await log.open()
    owner.reader = await log.join(["t"], "g", owner)
    await settle()
    return Member(log, owner)


async def settle() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


async def test_only_what_has_to_move_moves(broker: MemoryBroker) -> None:
    first = await employ(broker)
    second = await employ(broker)
    assert (first.numbers(), second.numbers()) == ([0, 1], [2, 3])
    third = await employ(broker)
    assert sorted(first.numbers() + second.numbers() + third.numbers()) == [0, 1, 2, 3]
    assert {len(one.numbers()) for one in (first, second, third)} == {1, 2}
    await second.log.close()
    await settle()
    assert first.owner.heard[0] == "assigned 0 1 2 3"
    assert sorted(first.numbers() + third.numbers()) == [0, 1, 2, 3]


async def test_a_member_that_is_cut_off_keeps_its_partitions_until_its_session_ends(
    broker: MemoryBroker,
) -> None:
    first, second = await employ(broker), await employ(broker)
    broker.cut(first.log)
    await settle()
    assert second.numbers() == [2, 3]
    broker.expire(first.log)
    await settle()
    assert second.numbers() == [0, 1, 2, 3]
    assert first.numbers() == [0, 1], "a zombie believes what it was told last"
    first.reader.commit({PLACES[0]: Commit(9, "zombie")})
    broker.heal(first.log)
    await settle()
    assert "lost 0 1" in first.owner.heard
    assert broker.group("g").committed.get(PLACES[0]) != Commit(9, "zombie")
    assert len(first.numbers()) == 2
    assert sorted(first.numbers() + second.numbers()) == [0, 1, 2, 3]


async def test_a_short_cut_changes_nothing(broker: MemoryBroker) -> None:
    first, second = await employ(broker), await employ(broker)
    broker.cut(first.log)
    first.reader.commit({PLACES[0]: Commit(3, "on its way")})
    await settle()
    broker.heal(first.log)
    await settle()
    assert (first.numbers(), second.numbers()) == ([0, 1], [2, 3])
    assert broker.group("g").committed[PLACES[0]] == Commit(3, "on its way")


async def test_moving_asks_the_owner(broker: MemoryBroker) -> None:
    first, second = await employ(broker), await employ(broker)
    broker.move("g", [PLACES[0]], second.reader)
    await settle()
    assert first.owner.heard[-1] == "revoked 0"
    assert second.owner.owned[PLACES[0]] == Commit(7, "gave up")


async def test_losing_does_not(broker: MemoryBroker) -> None:
    first, second = await employ(broker), await employ(broker)
    broker.lose("g", [PLACES[0]], second.reader)
    await settle()
    assert first.owner.heard[-1] == "lost 0"
    assert second.owner.owned[PLACES[0]] is None
    assert first.numbers() == [1]


async def test_a_revocation_waits_for_a_bounded_time(broker: MemoryBroker) -> None:
    first = await employ(broker)
    first.owner.gate.clear()
    second = await employ(broker)
    assert second.numbers() == []
    async with asyncio.timeout(60):
        await second.owner.called.wait()
    await settle()
    assert second.numbers() == [2, 3]
    first.owner.gate.set()
    await settle()
    assert set(second.owner.owned.values()) == {None}, "it committed too late"


async def test_a_new_topic_is_assigned(broker: MemoryBroker) -> None:
    member = await employ(broker)
    await member.log.join(["t"], "other", member.owner)
    broker.create_topic(TopicPlan(name="t", partitions=9))
    await settle()
    assert member.numbers() == [0, 1, 2, 3], "a topic that exists stays as it is"
