"""A worker on the embedded broker: what Faust does for us, and what we do not leave to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from mesh.core.shared import Verdict, Write
from mesh.errors import NewerSchema, TransportError, WrongTopic
from mesh.ports import Incoming, Place
from mesh.processor.app import Processor
from mesh.processor.brokers import Brokers
from mesh.transport.embedded import EmbeddedBroker
from mesh.transport.kafka import KafkaLog
from mesh.wire import topics
from mesh.wire.entries import decode_dead_letter
from mesh.wire.schemas import MARKER
from mesh.wire.state import RULES_KEY, encode_proposal, state_partition
from tests.unit.processor.proposing import RULES, change, entries, fold, highest, kept, verdicts
from tests.unit.processor.proposing import plans as plans_of

pytestmark = pytest.mark.slow  # a start of Faust takes a second
PARTITIONS = 2
SOON_S = 30.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as cluster:
        yield cluster


class Mesh:
    """Mutable: the topics of one mesh on the embedded broker, and a client."""

    def __init__(self, name: str, cluster: EmbeddedBroker, log: KafkaLog) -> None:
        self.name = name
        self.cluster = cluster
        self.log = log
        self.inbox = topics.inbox(name, "writer")

    @asynccontextmanager
    async def processor(self) -> AsyncIterator[Processor]:
        address = self.cluster.bootstrap
        brokers = Brokers(bootstrap=address, embedded=True)
        processor = Processor(KafkaLog(address, embedded=True), self.name, brokers)
        await processor.start()
        try:
            yield processor
        finally:
            await processor.close()

    async def put(self, value: bytes | None, key: bytes, partition: int) -> None:
        self.log.append(Place(topics.changes(self.name), partition), key, value)
        assert await self.log.flush(SOON_S)

    async def propose(self, number: int, key: str = "a/x", expected: int | None = None) -> None:
        write = Write(key, number if expected is None else expected, b"1")
        inbox = change("c").inbox._replace(topic=self.inbox)
        proposed = change(f"c{number}", write, inbox=inbox)
        place = state_partition(key, PARTITIONS)
        await self.put(encode_proposal(proposed), key.encode(), place)

    async def rules(self) -> None:
        for partition in range(PARTITIONS):
            await self.put(encode_proposal(RULES), RULES_KEY, partition)

    async def read(self, topic: str) -> list[Incoming]:
        found: list[Incoming] = []
        for partition in await self.log.ends(topic):
            async for batch in self.log.scan(Place(topic, partition), 0):
                found += batch
        return found

    async def told(self, count: int) -> list[tuple[str, Verdict]]:
        """Return so many verdicts, when they are there."""
        found: list[Incoming] = []
        reader = await self.log.tail(self.inbox, {0: 0})
        async with asyncio.timeout(SOON_S):
            while len(found) < count:
                found += await reader.take()
        await reader.close()
        return [(one.change, one.verdict) for one in verdicts(found)]

    async def assert_folded(self) -> None:
        folded = entries(fold(await self.read(topics.changes(self.name)), PARTITIONS))
        assert kept(await self.read(topics.state(self.name)), highest) == folded


@pytest.fixture
async def mesh(cluster: EmbeddedBroker, unique: str) -> AsyncIterator[Mesh]:
    name = unique.replace("--", "-")
    for plan in plans_of(name, PARTITIONS):
        cluster.create_topic(plan.name, plan.partitions)
    log = KafkaLog(cluster.bootstrap, embedded=True)
    await log.open()
    made = Mesh(name, cluster, log)
    await made.rules()
    yield made
    await log.close(1.0)


async def test_changes_are_judged_and_their_writers_told(mesh: Mesh) -> None:
    async with mesh.processor() as processor:
        assert processor.ready
        assert processor.keeper is not None
        assert set(processor.keeper.parts) == {0, 1}
        for number in range(3):
            await mesh.propose(number)
        await mesh.propose(9, expected=0)
        assert await mesh.told(4) == [
            ("c0", Verdict.ACCEPTED),
            ("c1", Verdict.ACCEPTED),
            ("c2", Verdict.ACCEPTED),
            ("c9", Verdict.CONFLICT),
        ]
        assert await processor.drain(5.0)
        assert not processor.ready
    await mesh.assert_folded()


async def test_another_worker_goes_on_where_one_drained(mesh: Mesh) -> None:
    async with mesh.processor() as processor:
        await mesh.propose(0)
        await mesh.told(1)
        await processor.drain(5.0)
    await mesh.propose(1)
    async with mesh.processor() as processor:
        assert await mesh.told(2) == [("c0", Verdict.ACCEPTED), ("c1", Verdict.ACCEPTED)]
        assert processor.keeper is not None
        # the first is judged again, to the same end, if the group did not take its offset in time
        assert sum(processor.keeper.verdicts.values()) in (1, 2)
        processor.ends = {0: 7, 1: 7}
        settled = processor.keeper.settled()
        assert processor.lag() == {number: 7 - at for number, at in settled.items()}
    await mesh.assert_folded()


async def test_what_is_malformed_stops_nothing(mesh: Mesh) -> None:
    home = state_partition("a/x", PARTITIONS)
    await mesh.put(None, b"a/x", home)
    await mesh.put(b"{}", b"a/x", home)
    await mesh.put(b"", b"", home)
    await mesh.propose(0)
    async with mesh.processor() as processor:
        assert await mesh.told(1) == [("c0", Verdict.ACCEPTED)]
        assert processor.keeper is not None
        assert processor.keeper.dead_letters == 3
    letters = [
        decode_dead_letter(record.value)
        for record in await mesh.read(topics.dead_letters(mesh.name))
    ]
    assert [letter.value for letter in letters] == [None, b"{}", b""]


async def test_a_newer_schema_ends_it(mesh: Mesh) -> None:
    home = state_partition("a/x", PARTITIONS)
    await mesh.put(MARKER + bytes(20), b"a/x", home)
    async with mesh.processor() as processor, asyncio.timeout(SOON_S):
        assert processor.failed is not None
        assert isinstance(await processor.failed, NewerSchema)
        assert not processor.ready


async def test_it_refuses_to_start_without_its_topics(cluster: EmbeddedBroker, unique: str) -> None:
    brokers = Brokers(bootstrap=cluster.bootstrap, embedded=True)
    log = KafkaLog(cluster.bootstrap, embedded=True)
    name = unique.replace("--", "-")
    processor = Processor(log, name, brokers)
    with pytest.raises(WrongTopic, match=rf"{name}\.changes is missing; {name}\.state is missing"):
        await processor.start()
    assert await processor.drain(1.0)


async def test_a_defect_ends_it_and_leaves_nothing_out(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with mesh.processor() as processor:
        keeper = processor.keeper
        assert keeper is not None
        assert processor.failed is not None

        def broken(*_: object) -> None:
            raise ZeroDivisionError("a defect")

        monkeypatch.setattr(keeper, "_weigh", broken)
        await mesh.propose(0)
        async with asyncio.timeout(SOON_S):
            why = await processor.failed
        assert isinstance(why, TransportError)
        assert "ZeroDivisionError('a defect')" in str(why)
        settled = keeper.settled().get(state_partition("a/x", PARTITIONS), 0)
        assert settled <= 1, "the rules alone"
