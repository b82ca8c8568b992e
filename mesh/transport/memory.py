"""The log in memory: the verified fake. It passes the same contract suite as Kafka.

Deterministic: no thread, no wall clock, callbacks in a fixed order by `loop.call_soon`. Append
times come from the broker's clock, a function that a test turns by hand. All clients of a broker
live on one event loop.

Faults are switches of the broker: what becomes of an append (`fate`), which clients are connected
(`cut`, `heal`, `stop`, `start`), whose session is over (`expire`), who gets which partitions of a
group (`move`, `lose`), and what is left of a log (`trim`, `compact`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from mesh.errors import TransportError, Unreachable, WrongTopic
from mesh.ports import Commit, GroupListener, Headers, Incoming, Place, Report, TopicPlan
from mesh.transport.inbox import weight
from mesh.transport.kafka_settings import BATCH_RECORDS_MAX
from mesh.transport.memory_group import Group, MemoryMember
from mesh.transport.memory_reader import Keep, MemoryTail
from mesh.transport.memory_store import Partition, Topic
from mesh.transport.offsets import missing, resolve
from mesh.transport.pending import Pending
from mesh.wire.partitioner import partition_of

WHERE = "the memory broker"
REVOKE_S = 5.0  # as on Kafka; in the time of the event loop


class Fate(Enum):
    """What becomes of an append."""

    LANDS = auto()  # appended and acknowledged
    LOST = auto()  # not appended; reported with an error
    UNKNOWN = auto()  # appended; reported with an error
    LATE = auto()  # reported with an error; appended by `release`, after what followed
    TWICE = auto()  # appended two times, acknowledged with the first offset
    HELD = auto()  # waits for `release`, and so does what follows it in its partition


@dataclass(frozen=True, kw_only=True)
class Appending:
    """An append on its way, as a fault switch sees it."""

    log: MemoryLog
    place: Place
    key: bytes | None
    value: bytes | None
    headers: Headers
    report: Callable[[Report], None] | None


class MemoryBroker:
    """What its clients share. `clock` gives the append time in milliseconds since 1970.

    Set `fate` to a function of your own to make appends fail.
    """

    def __init__(self, clock: Callable[[], int], *, revoke_s: float = REVOKE_S) -> None:
        self.clock = clock
        self.fate: Callable[[Appending], Fate] = lambda _: Fate.LANDS
        self.topics: dict[str, Topic] = {}
        self._revoke_s = revoke_s
        self._groups: dict[str, Group] = {}
        self._logs: list[MemoryLog] = []
        self._cut: set[MemoryLog] = set()
        self._running = True
        self._late: list[Appending] = []

    # --- topics

    def create_topic(self, plan: TopicPlan) -> None:
        """Create a topic; one that exists stays as it is."""
        if plan.name not in self.topics:
            self.topics[plan.name] = Topic(plan.name, plan.partitions, plan.config)
            for group in self._groups.values():
                group.rebalance()

    def partitions(self, topic: str) -> Sequence[Partition]:
        """Return the partitions of a topic, none for one that is not there."""
        return self.topics[topic].partitions if topic in self.topics else ()

    def partition(self, place: Place) -> Partition:
        """Return one partition; raises `WrongTopic` where it is not there."""
        partitions = self.partitions(place.topic)
        if not 0 <= place.partition < len(partitions):
            raise missing(f"{place.topic}[{place.partition}]", WHERE)
        return partitions[place.partition]

    def records(self, topic: str) -> Sequence[Incoming]:
        """Return all that a topic holds, by partition and offset; for assertions."""
        return [
            record
            for partition in self.partitions(topic)
            for record in partition.read(partition.low, partition.high)[0]
        ]

    # --- clients

    def connect(self, log: MemoryLog) -> None:
        """Add a client."""
        if not self._running:
            raise Unreachable(f"connect to {WHERE}: it was stopped; start it")
        self._logs.append(log)

    def disconnect(self, log: MemoryLog) -> None:
        """Remove a client."""
        self._logs.remove(log)
        self._cut.discard(log)

    def reachable(self, log: MemoryLog) -> bool:
        """Whether a client is connected just now."""
        return self._running and log not in self._cut

    def group(self, name: str) -> Group:
        """Return a group, made when first asked for."""
        if name not in self._groups:
            self._groups[name] = Group(
                lambda topic: [partition.place for partition in self.partitions(topic)],
                self._revoke_s,
            )
        return self._groups[name]

    def land(self, appending: Appending) -> Incoming:
        """Append a record to its partition and return it."""
        partition = self.partition(appending.place)
        return partition.append(self.clock(), appending.key, appending.value, appending.headers)

    # --- faults

    def cut(self, log: MemoryLog) -> None:
        """Cut a client off: its appends wait, it reads nothing, its groups hear nothing."""
        self._cut.add(log)

    def heal(self, log: MemoryLog) -> None:
        """Undo `cut`."""
        self._cut.discard(log)
        if self._running:
            log.reconnect()

    def stop(self) -> None:
        """Cut off everybody, until `start`. Records stay."""
        self._running = False

    def start(self) -> None:
        """Undo `stop`."""
        self._running = True
        for log in tuple(self._logs):
            if log not in self._cut:
                log.reconnect()

    def expire(self, log: MemoryLog) -> None:
        """End the group sessions of a client: others get its partitions."""
        for member in log.members():
            member.expire()

    def move(self, group: str, places: Collection[Place], to: MemoryMember) -> None:
        """Give partitions to a member, asking the owner to give them up."""
        self.group(group).move(places, to)

    def lose(self, group: str, places: Collection[Place], to: MemoryMember) -> None:
        """Give partitions to a member at once; the owner hears only that they are lost."""
        self.group(group).move(places, to)
        for member in self.group(group).members():
            if member is not to:
                member.lose(places)

    def hold(self, appending: Appending) -> None:
        """Keep an append for `release`."""
        self._late.append(appending)

    def release(self) -> None:
        """Let what was `LATE` or `HELD` be appended now."""
        late, self._late = self._late, []
        for appending in late:
            self.land(appending)
        for log in tuple(self._logs):
            log.release()

    def trim(self, place: Place, before: int) -> None:
        """Forget the records below an offset, as retention does."""
        self.partition(place).trim(before)

    def compact(self, topic: str) -> None:
        """Compact a topic; see `memory_store.Partition.compact`."""
        for partition in self.partitions(topic):
            partition.compact()


class MemoryLog:
    """A `mesh.ports.Log` and a `mesh.ports.TopicAdmin`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._pending = Pending()
        self._lines: dict[Place, deque[Appending]] = {}
        self._held: dict[Place, Appending] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._readers: list[MemoryTail | MemoryMember] = []
        self._turns: dict[str, int] = {}
        self._failure: TransportError | None = None
        self._is_open = False

    def __repr__(self) -> str:
        state = "open" if self._is_open else "closed"
        return f"<MemoryLog {state}, {self.pending()} pending, {len(self._readers)} readers>"

    # --- the log

    async def open(self) -> None:
        """Connect; see `mesh.ports.Log.open`."""
        self._loop = asyncio.get_running_loop()
        self._broker.connect(self)
        self._is_open = True

    async def close(self, timeout_s: float = 10.0) -> None:
        """Leave the groups, flush, let go; see `mesh.ports.Log.close`."""
        if not self._is_open:
            return
        for reader in tuple(self._readers):
            await reader.close()
        self._is_open = False
        if not await self.flush(timeout_s):
            self.fail(TransportError("the log was closed before this was acknowledged"))
            await self.flush(timeout_s)
        self._broker.disconnect(self)

    def append(
        self,
        place: Place,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        report: Callable[[Report], None] | None = None,
    ) -> None:
        """Append without waiting; see `mesh.ports.Log.append`."""
        if self._failure is not None:
            raise self._failure
        if not self._is_open:
            raise TransportError("the log is not open")
        self._pending.begin(place.topic, weight(key, value))
        place = self._choose(place, key)
        appending = Appending(
            log=self, place=place, key=key, value=value, headers=headers, report=report
        )
        self._lines.setdefault(place, deque()).append(appending)
        self._advance(place)

    def pending(self) -> int:
        """Return how many appends have no report yet."""
        return self._pending.count

    def failure(self) -> TransportError | None:
        """Return why nothing can be appended any more."""
        return self._failure

    async def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is pending; False if `timeout_s` passed first."""
        return await self._pending.drained(timeout_s)

    async def tail(
        self,
        topic: str,
        start: Mapping[int, int | None],
        *,
        keep: Keep | None = None,
        every_s: float = 0.0,  # here nobody is woken in vain
    ) -> MemoryTail:
        """Read partitions for ever; see `mesh.ports.Log.tail`."""
        starts, ends = resolve(topic, start, await self.ends(topic), WHERE)
        reader = MemoryTail(self._reachable, keep)
        for number, first in starts.items():
            reader.add(self._broker.partition(Place(topic, number)), first, ends[number])
        reader.opened()
        self._readers.append(reader)
        return reader

    async def scan(
        self, place: Place, first: int, end: int | None = None, *, keep: Keep | None = None
    ) -> AsyncGenerator[Sequence[Incoming], None]:
        """Read a range of one partition; see `mesh.ports.Log.scan`."""
        known = await self.ends(place.topic)
        starts, ends = resolve(place.topic, {place.partition: first}, known, WHERE)
        position = starts[place.partition]
        stop = ends[place.partition] if end is None else end
        partition = self._broker.partition(place)
        while position < stop:
            await self._until(partition, position)
            records, position = partition.read(position, BATCH_RECORDS_MAX)
            yield [
                record
                for record in records
                if record.offset < stop and (keep is None or keep(record.key))
            ]
        if starts[place.partition] >= stop:
            yield ()

    async def join(
        self, topics: Sequence[str], group: str, listener: GroupListener
    ) -> MemoryMember:
        """Become a member of a group; see `mesh.ports.Log.join`."""
        self._require_open()
        for topic in topics:
            if not self._broker.partitions(topic):
                raise missing(topic, WHERE)
        owner = self._broker.group(group)
        member = MemoryMember(owner, topics, listener, self._broker.partition, self._reachable)
        self._readers.append(member)
        owner.join(member)
        return member

    async def ends(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """Return low and high watermark by partition; empty when there is no such topic."""
        self._require_reached(f"about {topic}")
        partitions = self._broker.partitions(topic)
        return {one.place.partition: (one.low, one.high) for one in partitions}

    async def named(self, prefix: str) -> Sequence[str]:
        """Return the topics whose names begin so; see `mesh.ports.Log.named`."""
        self._require_reached("for its topics")
        return sorted(name for name in self._broker.topics if name.startswith(prefix))

    async def committed(self, group: str, places: Sequence[Place]) -> Mapping[Place, Commit | None]:
        """Return what a group has committed; see `mesh.ports.Log.committed`."""
        self._require_reached(f"about group {group}")
        known = self._broker.group(group).committed
        return {place: known.get(place) for place in places}

    # --- topics

    async def describe(self, names: Sequence[str]) -> Mapping[str, TopicPlan]:
        """Return those of `names` that exist, with their settings."""
        topics = self._broker.topics
        return {
            name: TopicPlan(
                name=name, partitions=len(topics[name].partitions), config=topics[name].config
            )
            for name in names
            if name in topics
        }

    async def create(self, plans: Sequence[TopicPlan]) -> None:
        """Create topics; one that exists already is no error."""
        for plan in plans:
            self._broker.create_topic(plan)

    async def alter(self, name: str, config: Mapping[str, str]) -> None:
        """Set settings of an existing topic; others stay."""
        if name not in self._broker.topics:
            raise missing(name, WHERE)
        self._broker.topics[name].config.update(config)

    # --- for the broker and its fault switches

    def members(self) -> Sequence[MemoryMember]:
        """Return the group memberships of this client."""
        return [reader for reader in self._readers if isinstance(reader, MemoryMember)]

    def reconnect(self) -> None:
        """Go on where the connection was cut."""
        for place in tuple(self._lines):
            self._advance(place)
        self._wake_scans()
        for reader in self._readers:
            if isinstance(reader, MemoryMember):
                reader.heal()
            else:
                reader.wake()

    def release(self) -> None:
        """Let what was held be appended."""
        for place in tuple(self._held):
            appending = self._held.pop(place)
            self._acknowledge(appending, self._broker.land(appending))
            self._advance(place)

    def fail(self, failure: TransportError) -> None:
        """Lose the ability to append, as an idempotent producer can; pending ones are reported."""
        self._failure = failure
        waiting = [*self._held.values(), *(one for line in self._lines.values() for one in line)]
        self._held.clear()
        self._lines.clear()
        for appending in waiting:
            self._refuse(appending, str(failure))

    def _advance(self, place: Place) -> None:
        line = self._lines.get(place)
        while line and place not in self._held and self._reachable():
            self._perform(line.popleft())

    def _perform(self, appending: Appending) -> None:
        broker = self._broker
        try:
            broker.partition(appending.place)
        except WrongTopic as wrong:
            self._refuse(appending, str(wrong))
            return
        fate = broker.fate(appending)
        if fate is Fate.HELD:
            self._held[appending.place] = appending
        elif fate is Fate.LANDS:
            self._acknowledge(appending, broker.land(appending))
        elif fate is Fate.TWICE:
            self._acknowledge(appending, broker.land(appending))
            broker.land(appending)
        else:
            if fate is Fate.UNKNOWN:
                broker.land(appending)
            elif fate is Fate.LATE:
                broker.hold(appending)
            self._refuse(appending, f"append to {appending.place.topic}: outcome unknown")

    def _acknowledge(self, appending: Appending, landed: Incoming) -> None:
        report = Report(*appending.place, landed.offset, landed.append_ms, None)
        self._loop.call_soon(self._deliver, appending, report)

    def _refuse(self, appending: Appending, error: str) -> None:
        report = Report(*appending.place, -1, self._broker.clock(), error)
        self._loop.call_soon(self._deliver, appending, report)

    def _deliver(self, appending: Appending, report: Report) -> None:
        self._pending.end(weight(appending.key, appending.value))
        if appending.report is not None:
            appending.report(report)

    def _choose(self, place: Place, key: bytes | None) -> Place:
        count = len(self._broker.partitions(place.topic))
        if place.partition >= 0 or not count:
            return place
        if key is not None:
            return Place(place.topic, partition_of(key, count))
        turn = self._turns.get(place.topic, 0)
        self._turns[place.topic] = turn + 1
        return Place(place.topic, turn % count)

    async def _until(self, partition: Partition, position: int) -> None:
        """Wait until there is something to read at `position`."""
        partition.watch(self._wake_scans)
        while not (self._reachable() and position < partition.high):
            waiter = self._loop.create_future()
            self._waiting.append(waiter)
            await waiter

    def _wake_scans(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _reachable(self) -> bool:
        return self._broker.reachable(self)

    def _require_reached(self, about: str) -> None:
        self._require_open()
        if not self._reachable():
            raise Unreachable(f"ask {WHERE} {about}: the connection is cut")

    def _require_open(self) -> None:
        if not self._is_open:
            raise TransportError("the log is not open")
