"""Consumer groups: who owns what, what is committed, what is handed over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from mesh.errors import TransportError, WrongTopic
from mesh.ports import Commit, GroupReader, Incoming, Place
from tests.contract.worlds import SOON_S, Owner, World, append_all, take_many, until


async def fill(world: World, topic: str, count: int, partitions: int = 1) -> None:
    log = await world.log()
    await append_all(log, [(Place(topic, n % partitions), b"k", b"%d" % n) for n in range(count)])


def values(records: Sequence[Incoming]) -> list[int]:
    return [int(record.value or b"") for record in records]


async def test_the_first_member_gets_everything_from_the_beginning(world: World) -> None:
    topic, log, owner = await world.topic(3), await world.log(), Owner()
    await fill(world, topic, 30, 3)
    reader = await log.join([topic], f"{world.unique}.g", owner)
    records = await take_many(reader, 30)
    assert owner.owned == {Place(topic, n): None for n in range(3)}
    assert sorted(values(records)) == list(range(30))


async def test_what_was_committed_comes_with_the_next_assignment(world: World) -> None:
    topic, group = await world.topic(2), f"{world.unique}.g"
    await fill(world, topic, 20, 2)
    metadata = "m" * 3_900
    first = await world.log()
    owner = Owner()
    reader = await first.join([topic], group, owner)
    await take_many(reader, 20)
    reader.commit({Place(topic, 0): Commit(4, "old")})
    reader.commit({Place(topic, 0): Commit(7, metadata)})
    await first.close()

    second, owner = await world.another_log(), Owner()
    reader = await second.join([topic], group, owner)
    records = await take_many(reader, 13)
    assert owner.owned == {Place(topic, 0): Commit(7, metadata), Place(topic, 1): None}
    assert [r.offset for r in records if r.partition == 0] == [7, 8, 9]
    assert [r.offset for r in records if r.partition == 1] == list(range(10))


async def test_a_second_member_takes_over_what_the_first_gave_up(world: World) -> None:
    """Each commits in `revoked` what it took; so nothing is taken twice and nothing is left out."""
    topic, group = await world.topic(4), f"{world.unique}.g"
    taken: dict[Place, list[int]] = {Place(topic, n): [] for n in range(4)}

    class Worker(Owner):
        reader: GroupReader

        async def giving_up(self, places: Sequence[Place]) -> None:
            self.reader.commit({place: Commit(len(taken[place]), "given up") for place in places})

        async def work(self) -> None:
            while True:
                for record in await self.reader.take():
                    place = Place(record.topic, record.partition)
                    assert place in self.owned
                    taken[place].append(record.offset)

    async def employ() -> tuple[Worker, asyncio.Task[None]]:
        worker = Worker()
        worker.reader = await (await world.log()).join([topic], group, worker)
        return worker, asyncio.ensure_future(worker.work())

    feeding = await world.log()
    first, first_task = await employ()
    await first.owns(4)
    for number in range(200):
        feeding.append(Place(topic, number % 4), None, b"%d" % number)
    second, second_task = await employ()
    await second.owns(2)
    await first.owns(2)
    for number in range(200, 400):
        feeding.append(Place(topic, number % 4), None, b"%d" % number)
    assert await feeding.flush(SOON_S)
    await until(lambda: sum(map(len, taken.values())) == 400)
    assert set(first.owned) | set(second.owned) == taken.keys()
    assert list(taken.values()) == [list(range(100))] * 4
    given = {place for what, places in first.history if what == "revoked" for place in places}
    assert given == set(second.owned)
    assert {commit.metadata for commit in second.owned.values() if commit} <= {"given up"}
    for task in (first_task, second_task):
        task.cancel()


async def test_members_of_one_group_may_want_different_topics(world: World) -> None:
    one, two, group = await world.topic(2), await world.topic(2), f"{world.unique}.g"
    first, second, both = Owner(), Owner(), Owner()
    await (await world.log()).join([one], group, first)
    await (await world.log()).join([two], group, second)
    await first.owns(2)
    await second.owns(2)
    await (await world.log()).join([one, two], group, both)
    members = (first, second, both)
    await until(lambda: bool(both.owned) and sum(len(one.owned) for one in members) == 4)
    assert {place.topic for place in first.owned} == {one}
    assert {place.topic for place in second.owned} == {two}
    owned = [place for member in members for place in member.owned]
    assert sorted(owned) == [Place(topic, n) for topic in sorted((one, two)) for n in (0, 1)]


async def test_a_member_that_leaves_gives_up_in_order(world: World) -> None:
    topic, group = await world.topic(2), f"{world.unique}.g"
    await fill(world, topic, 10, 2)
    log, owner = await world.log(), Owner()
    reader = await log.join([topic], group, owner)
    await take_many(reader, 10)

    async def commit(places: Sequence[Place]) -> None:
        await asyncio.sleep(0.01)
        reader.commit({place: Commit(3, "last word") for place in places})

    owner.giving_up = commit  # type: ignore[method-assign] # so one test may differ
    await reader.close()
    assert owner.owned == {}
    assert [what for what, _ in owner.history][-1] == "revoked"
    with pytest.raises(TransportError, match="closed"):
        await reader.take()

    heir = Owner()
    await (await world.log()).join([topic], group, heir)
    await heir.owns(2)
    assert set(heir.owned.values()) == {Commit(3, "last word")}


async def test_a_commit_for_somebody_elses_partition_is_dropped(world: World) -> None:
    topic, group = await world.topic(2), f"{world.unique}.g"
    log, owner = await world.log(), Owner()
    reader = await log.join([topic], group, owner)
    await owner.owns(2)
    reader.commit({Place(topic, 0): Commit(0, "mine"), Place("other", 0): Commit(1, "")})
    await log.close()
    heir = Owner()
    await (await world.another_log()).join([topic], group, heir)
    await heir.owns(2)
    assert heir.owned[Place(topic, 0)] == Commit(0, "mine")


async def test_a_paused_partition_is_not_handed_out_and_loses_nothing(world: World) -> None:
    topic, log, owner = await world.topic(2), await world.log(), Owner()
    reader = await log.join([topic], f"{world.unique}.g", owner)
    await owner.owns(2)
    paused = Place(topic, 0)
    await fill(world, topic, 100, 2)
    first = list(await reader.take())
    reader.pause([paused])
    await fill(world, topic, 100, 2)
    others = [record for record in first if record.partition == 1]
    async with asyncio.timeout(SOON_S):
        while len(others) < 100:
            records = await reader.take()
            assert {record.partition for record in records} == {1}
            others += records
    assert await reader.take(0.05) == ()
    reader.resume([paused])
    before = [record.offset for record in first if record.partition == 0]
    after = await take_many(reader, 100 - len(before))
    assert before + [record.offset for record in after] == list(range(100))


async def test_a_member_that_takes_slowly_stays_in_and_gets_everything(world: World) -> None:
    topic, log, owner = await world.topic(), await world.log(), Owner()
    reader = await log.join([topic], f"{world.unique}.g", owner)
    await owner.owns(1)
    count, body = 30_000, bytes(60)
    for number in range(count):
        log.append(Place(topic, 0), b"%d" % number, body)
        if number % 1_000 == 0:
            await asyncio.sleep(0)
    assert await log.flush(SOON_S)
    records = await take_many(reader, count)
    assert [int(record.key or b"") for record in records] == list(range(count))
    assert [what for what, _ in owner.history] == ["assigned"]


async def test_a_listener_that_raises_ends_the_reader(world: World) -> None:
    topic, log, owner = await world.topic(), await world.log(), Owner()

    async def fail(_: object) -> None:
        raise ZeroDivisionError("a broken listener")

    owner.assigned = fail  # type: ignore[method-assign,assignment] # that is the point
    reader = await log.join([topic], f"{world.unique}.g", owner)
    async with asyncio.timeout(SOON_S):
        with pytest.raises(ZeroDivisionError, match="broken listener"):
            await reader.take()


async def test_a_group_needs_its_topics(world: World) -> None:
    topic, log = await world.topic(), await world.log()
    with pytest.raises(WrongTopic, match="mesh topics apply"):
        await log.join([topic, f"{world.unique}.missing"], f"{world.unique}.g", Owner())


async def test_whoever_is_no_member_may_ask_what_a_group_committed(world: World) -> None:
    topic, group = await world.topic(3), f"{world.unique}.g"
    await fill(world, topic, 9, 3)
    places = [Place(topic, number) for number in range(2)]
    outside = await world.log()
    assert await outside.committed(group, places) == {places[0]: None, places[1]: None}
    member, owner = await world.another_log(), Owner()
    reader = await member.join([topic], group, owner)
    await take_many(reader, 9)
    reader.commit({places[0]: Commit(2, "noted")})
    await member.close()
    assert await outside.committed(group, places) == {
        places[0]: Commit(2, "noted"),
        places[1]: None,
    }
    assert await outside.committed(group, []) == {}


async def test_topics_are_named_by_how_they_begin(world: World) -> None:
    first, second, log = await world.topic(), await world.topic(), await world.log()
    assert list(await log.named(f"{world.unique}.")) == sorted([first, second])
    assert await log.named(f"{world.unique}.nothing") == []
