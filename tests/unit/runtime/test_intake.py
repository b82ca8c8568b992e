from __future__ import annotations

import asyncio

from pydantic import BaseModel

from mesh.core import effects as e
from mesh.core import inputs as i
from mesh.core.ids import audit_partition
from mesh.core.settings import Settings
from mesh.core.tasks import Header
from mesh.core.values import Amount, Holder, TaskPartition
from mesh.ports import Commit, Incoming, Place
from mesh.runtime.agent import Agent
from mesh.runtime.context import Context
from mesh.runtime.intake import Intake
from mesh.runtime.outside import Outside
from mesh.wire import topics
from tests.unit.runtime.memory import MESH, PARTITIONS, World, settle, world

NAME = "test.it"
TOPIC = topics.tasks(MESH, NAME)
GROUP = topics.supervisors(MESH)
SOURCE = TaskPartition(NAME, 0)


class Word(BaseModel):
    text: str


class Owner:
    """Notes what it is told."""

    def __init__(self, budget: bool = False) -> None:
        self.agent = Agent("tester", owner="team")
        self.given: list[i.Input] = []
        self.aside: list[str] = []
        self.gave_up: list[tuple[TaskPartition, bool]] = []

        @self.agent.capability(NAME, budget={"usd": "0.50"} if budget else None)
        async def handler(ctx: Context, word: Word) -> Word:
            return word

    def give(self, given: i.Input) -> None:
        self.given.append(given)

    async def give_up(self, source: TaskPartition, *, lost: bool) -> None:
        self.gave_up.append((source, lost))

    def put_aside(self, incoming: Incoming, reason: str) -> None:
        self.aside.append(reason)

    def of(self, kind: type[i.Input]) -> list[i.Input]:
        return [given for given in self.given if type(given) is kind]


async def begin(own: World, owner: Owner) -> tuple[Intake, asyncio.Task[None]]:
    intake = Intake(owner, own.log, MESH, PARTITIONS.audit)
    await intake.start()
    running = asyncio.create_task(intake.run())
    await settle()
    return intake, running


async def end(intake: Intake, running: asyncio.Task[None]) -> None:
    await intake.close()
    running.cancel()
    await asyncio.wait([running])


async def test_records_are_given_in_order_and_bad_ones_harm_no_other() -> None:
    async with world(capabilities=[NAME]) as own:
        owner = Owner()
        intake, running = await begin(own, owner)
        for value in (b'{"text":"a"}', b"\xff", b'{"text":7}', None, b'{"text":"b"}'):
            await own.put(TOPIC, value)
        await settle()
        kinds = [type(given) for given in owner.given[2:]]
        assert kinds == [i.Submitted, i.Skipped, i.Submitted, i.Skipped, i.Submitted]
        good, bad, wrong = owner.given[2], owner.given[3], owner.given[4]
        assert isinstance(good, i.Submitted)
        assert isinstance(wrong, i.Submitted)
        assert (good.source, good.offset, good.request.defect) == (SOURCE, 0, "")
        assert bad == i.Skipped(SOURCE, 1)
        assert (wrong.offset, wrong.request.defect_field) == (2, "/text")
        assert "string" in wrong.request.defect
        assert len(owner.aside) == 3
        await end(intake, running)


async def test_a_budget_in_part_means_the_capability_s_in_the_rest() -> None:
    async with world(capabilities=[NAME]) as own:
        for owner, rest in ((Owner(budget=True), 500_000), (Owner(), Settings().budget.micro_usd)):
            intake, running = await begin(own, owner)
            headers = (("budget", b'{"tokens": 7}'),)
            own.log.append(Place(TOPIC, 0), None, b'{"text":"a"}', headers)
            await settle()
            given = owner.of(i.Submitted)[-1]
            assert isinstance(given, i.Submitted)
            assert isinstance(given.request.budget, Amount)
            assert given.request.budget[:2] == (rest, 7)
            await end(intake, running)


async def test_partitions_are_taken_with_where_to_begin_and_given_up() -> None:
    async with world(capabilities=[NAME]) as own:
        owner = Owner()
        intake, running = await begin(own, owner)
        assigned = owner.of(i.PartitionAssigned)
        assert assigned == [
            i.PartitionAssigned(TaskPartition(NAME, number), None, frozenset())
            for number in range(PARTITIONS.tasks)
        ]
        intake.commit(e.CommitOffset(SOURCE, 3, Header(40, 50, ())))
        await settle()
        await end(intake, running)
        assert owner.gave_up == [(TaskPartition(NAME, number), False) for number in range(2)]
        committed = own.broker.group(GROUP).committed[Place(TOPIC, 0)]
        assert committed.offset == 3

        home = audit_partition(SOURCE, PARTITIONS.audit)
        outside = Outside(own.log, MESH, Holder("tester.1", 1))
        outside.note(e.PutOpen(SOURCE, f"{home}-open", Header(30, 45, ())), lambda: None)
        outside.note(e.PutOpen(SOURCE, f"{home}-over", Header(10, 15, ())), lambda: None)
        outside.note(e.DropOpen(SOURCE, f"{home}-over"), lambda: None)
        again = Owner()
        intake, running = await begin(own, again)
        first = again.of(i.PartitionAssigned)[0]
        assert first == i.PartitionAssigned(SOURCE, Header(30, 45, ()), frozenset({f"{home}-open"}))
        await end(intake, running)


async def test_metadata_that_cannot_be_read_means_the_whole_log() -> None:
    async with world(capabilities=[NAME]) as own:
        own.broker.group(GROUP).committed[Place(TOPIC, 0)] = Commit(1, "garbage")
        owner = Owner()
        intake, running = await begin(own, owner)
        first = owner.of(i.PartitionAssigned)[0]
        assert isinstance(first, i.PartitionAssigned)
        assert first.header is not None
        assert first.header.offset == 0
        await end(intake, running)


async def test_entries_of_open_workflows_that_cannot_be_read_are_put_aside() -> None:
    async with world(capabilities=[NAME]) as own:
        home = audit_partition(SOURCE, PARTITIONS.audit)
        place = Place(topics.open_workflows(MESH), home)
        own.log.append(place, b"test.it/0/x", b"garbage")
        owner = Owner()
        intake, running = await begin(own, owner)
        assert len(owner.of(i.PartitionAssigned)) == 2
        assert len(owner.aside) == 1
        await end(intake, running)


async def test_load_waits_in_the_log_while_partitions_are_paused() -> None:
    async with world(capabilities=[NAME]) as own:
        owner = Owner()
        intake, running = await begin(own, owner)
        intake.flow(e.Intake((SOURCE,), open=False))
        await own.put(TOPIC, b'{"text":"a"}')
        await settle()
        assert owner.of(i.Submitted) == []
        intake.flow(e.Intake((SOURCE,), open=True))
        await settle()
        assert len(owner.of(i.Submitted)) == 1
        await end(intake, running)


async def test_lost_partitions_are_forgotten() -> None:
    async with world(capabilities=[NAME]) as own:
        owner = Owner()
        intake, running = await begin(own, owner)
        await intake.lost([Place(TOPIC, 0)])
        assert owner.gave_up == [(SOURCE, True)]
        await end(intake, running)


async def test_the_committed_offset_of_each_partition_that_is_ours_is_known() -> None:
    async with world(capabilities=[NAME]) as own:
        intake, running = await begin(own, Owner())
        assert set(intake.done.values()) == {0}
        place = Place(TOPIC, 0)
        await own.put(TOPIC, b'{"text":"a"}')
        await settle()
        intake.commit(e.CommitOffset(SOURCE, 1, Header(0, 0, ())))
        assert intake.done[place] == 1
        await intake.lost([place])
        intake.commit(e.CommitOffset(SOURCE, 2, Header(0, 0, ())))
        assert place not in intake.done, "it is another's"
        await end(intake, running)
