"""What the contract suite runs on: four worlds with the same face."""

from __future__ import annotations

import asyncio
import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from mesh.ports import (
    Commit,
    GroupListener,
    GroupReader,
    Incoming,
    Log,
    Place,
    Reader,
    Report,
    TopicPlan,
)
from mesh.transport import broker
from mesh.transport.embedded import EmbeddedAdmin, EmbeddedBroker
from mesh.transport.kafka import KafkaLog
from mesh.transport.kafka_admin import KafkaAdmin
from mesh.transport.kafka_settings import Limits, Security
from mesh.transport.memory import MemoryBroker, MemoryLog

SOON_S = 60.0  # generous: a loaded machine must not fail a test that is right
LIMITS = Limits(open_s=SOON_S, lookup_s=SOON_S)


class World(ABC):
    """A broker, and clients of it that are closed at the end of the test."""

    kind: str
    real = False

    def __init__(self, unique: str) -> None:
        self.unique = unique
        self._logs: list[Log] = []
        self._numbers = itertools.count()

    @abstractmethod
    def make(self) -> Log:
        """Return a log that is not open."""

    @abstractmethod
    async def create(self, plan: TopicPlan) -> None: ...

    @abstractmethod
    async def trim(self, place: Place, before: int) -> None: ...

    async def log(self) -> Log:
        """Return the log of this test."""
        if not self._logs:
            await self.another_log()
        return self._logs[0]

    async def another_log(self) -> Log:
        """Return a further one, as another process would have."""
        log = self.make()
        await log.open()
        self._logs.append(log)
        return log

    async def topic(self, partitions: int = 1, **config: str) -> str:
        name = f"{self.unique}.{next(self._numbers)}"
        plan = TopicPlan(name=name, partitions=partitions, config=config)
        await self.create(plan)
        return name

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Have no broker for the time of the block."""
        raise NotImplementedError
        yield

    async def compact(self, topic: str) -> None:
        """Leave the newest record of each key, and holes."""
        raise NotImplementedError

    async def close(self) -> None:
        await asyncio.gather(*(log.close(5.0) for log in self._logs))


class MemoryWorld(World):
    kind = "memory"

    def __init__(self, unique: str) -> None:
        super().__init__(unique)
        self._time = itertools.count(1_700_000_000_000)
        self.broker = MemoryBroker(lambda: next(self._time))

    def make(self) -> Log:
        return MemoryLog(self.broker)

    async def create(self, plan: TopicPlan) -> None:
        self.broker.create_topic(plan)

    async def trim(self, place: Place, before: int) -> None:
        self.broker.trim(place, before)

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        self.broker.stop()
        yield
        self.broker.start()

    async def compact(self, topic: str) -> None:
        self.broker.compact(topic)


class EmbeddedWorld(World):
    kind = "embedded"

    def __init__(self, unique: str, cluster: EmbeddedBroker) -> None:
        super().__init__(unique)
        self.cluster = cluster

    def make(self) -> Log:
        return KafkaLog(self.cluster.bootstrap, embedded=True, limits=LIMITS)

    async def create(self, plan: TopicPlan) -> None:
        await EmbeddedAdmin(self.cluster).create([plan])

    async def trim(self, place: Place, before: int) -> None:
        self.cluster.delete_records(*place, before)

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        self.cluster.set_down()
        yield
        self.cluster.set_up()


class KafkaWorld(World):
    """Real Kafka; the clients of the tests are `user`, topics are made by the administrator."""

    real = True

    def __init__(
        self,
        unique: str,
        bootstrap: str,
        user: Security | None = None,
        administrator: Security | None = None,
        directory: Path | None = None,
    ) -> None:
        super().__init__(unique)
        self.kind = "kafka" if user is None else "scram"
        self.bootstrap = bootstrap
        self.user = user
        self.administrator = administrator
        self.directory = directory

    def make(self) -> Log:
        return KafkaLog(self.bootstrap, security=self.user, limits=LIMITS)

    async def create(self, plan: TopicPlan) -> None:
        config = {"message.timestamp.type": "LogAppendTime", **plan.config}
        admin = KafkaAdmin(self.bootstrap, security=self.administrator)
        await admin.create([TopicPlan(name=plan.name, partitions=plan.partitions, config=config)])

    async def trim(self, place: Place, before: int) -> None:
        security = (self.administrator or Security()).config()
        client = AdminClient({"bootstrap.servers": self.bootstrap, **security})
        futures = client.delete_records([TopicPartition(*place, before)])
        for future in futures.values():
            await asyncio.wrap_future(future)

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Kill the broker; it is back, listening, at the end of the block."""
        directory = self.directory
        assert directory is not None, "this broker is shared"
        await asyncio.to_thread(broker.kill, directory)
        yield
        await asyncio.to_thread(broker.start, directory, environ=os.environ)

    async def compact(self, topic: str) -> None:
        """Wait for the cleaner, which leaves the active segment alone: so a new one is begun."""
        log = await self.log()
        place = Place(topic, 0)
        async with asyncio.timeout(SOON_S):
            while True:
                await append_all(log, [(place, b"filler", b"x")])
                records = await scan_all(log, place)
                keys = [record.key for record in records if record.key != b"filler"]
                if len(keys) == len(set(keys)):
                    return
                await asyncio.sleep(0.2)


# --- helpers that every test may use


async def append_all(
    log: Log, records: Sequence[tuple[Place, bytes | None, bytes | None]]
) -> list[Report]:
    """Append, and return the reports in the order in which they came."""
    reports: list[Report] = []
    for place, key, value in records:
        log.append(place, key, value, (), reports.append)
    assert await log.flush(SOON_S)
    return reports


async def scan_all(log: Log, place: Place, first: int = 0) -> list[Incoming]:
    return [record async for batch in log.scan(place, first) for record in batch]


async def take_many(reader: Reader | GroupReader, count: int) -> list[Incoming]:
    """Take until there are `count` records."""
    records: list[Incoming] = []
    async with asyncio.timeout(SOON_S):
        while len(records) < count:
            records.extend(await reader.take())
    return records


async def read_to_end(reader: Reader) -> list[Incoming]:
    """Take until the reader has caught up."""
    records: list[Incoming] = []
    caught_up = asyncio.ensure_future(reader.caught_up())
    async with asyncio.timeout(SOON_S):
        while not caught_up.done():
            records.extend(await reader.take(0.02))
    await caught_up
    return records


async def until(reached: Callable[[], bool]) -> None:
    """Return when something is so; for what nobody announces."""
    async with asyncio.timeout(SOON_S):
        while not reached():  # noqa: ASYNC110 # there is no event to wait for
            await asyncio.sleep(0.005)


class Owner(GroupListener):
    """A listener that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.owned: dict[Place, Commit | None] = {}
        self.history: list[tuple[str, tuple[Place, ...]]] = []
        self._changed = asyncio.Condition()

    async def assigned(self, places: Mapping[Place, Commit | None]) -> None:
        self.owned.update(places)
        await self._note("assigned", tuple(places))

    async def revoked(self, places: Sequence[Place]) -> None:
        await self.giving_up(places)
        await self._note("revoked", tuple(places))

    async def lost(self, places: Sequence[Place]) -> None:
        await self._note("lost", tuple(places))

    async def giving_up(self, places: Sequence[Place]) -> None:
        """For tests to override."""

    async def _note(self, what: str, places: tuple[Place, ...]) -> None:
        if what != "assigned":
            for place in places:
                del self.owned[place]
        self.history.append((what, tuple(sorted(places))))
        async with self._changed:
            self._changed.notify_all()

    async def owns(self, count: int) -> None:
        """Return when it owns that many partitions."""
        async with asyncio.timeout(SOON_S), self._changed:
            await self._changed.wait_for(lambda: len(self.owned) == count)
