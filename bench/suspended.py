"""Thousands of workflows asleep on two processes: what they hold, and whether all wake up.

Part of `python -m bench` (`--only suspended`). Workflows sleep for a minute in a handler. Meanwhile
no slot may be held, memory must stay small, other work must go on, and both processes are restarted
one after the other. One more workflow in each task partition sleeps for an hour: that its partition
moves on behind it is seen by the group's committed offsets; the hour itself is not waited for.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from bench.agentproc import Orders
from bench.client import Client, percentile
from bench.ground import Ground, MeshPlan
from bench.spawn import AgentProcess
from bench.table import Row, Table
from bench.waiting import until
from mesh.core import facts as f
from mesh.core.ledger import Ledger
from mesh.core.registry import Presence
from mesh.core.tasks import Phase
from mesh.core.values import Cause, Holder, TaskPartition
from mesh.ports import Reader
from mesh.wire import topics
from mesh.wire.entries import decode_presence
from mesh.wire.facts import decode_fact

NAPS = 5_000
NAP_S = 60
LONG_S = 3_600
SLOTS = 16
PROCESSES = ("s0", "s1")
IN_FLIGHT = 500
"""Submitted and not yet asleep: what a burst of submitters would send."""
PROBE_S = 1
GROWTH_SHARE, GROWTH_BYTES = 0.10, 2_048
"""What a process may grow: a share of its start, and so much for each workflow it supervises."""
SETTLE_S = 3.0
LIMIT_S = 240.0
CAPABILITY = "nap.take"


class Naps:
    """Mutable: the audit stream and presence, live."""

    def __init__(self) -> None:
        self.ledgers: dict[int, Ledger] = {}
        self.supervisors: dict[TaskPartition, Holder] = {}
        self.opened: dict[str, tuple[str, int]] = {}
        self.causes: Counter[Cause] = Counter()
        self.asleep: set[str] = set()
        self.ended_ms: dict[str, int] = {}
        self.present: dict[str, Presence] = {}

    async def follow(self, audit: Reader, presence: Reader) -> None:
        """Read both for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._audit(audit))
            group.create_task(self._presence(presence))

    async def _audit(self, reader: Reader) -> None:
        while True:
            for incoming in await reader.take():
                decoded = decode_fact(incoming.value)
                ledger = self.ledgers.setdefault(incoming.partition, Ledger())
                record = f.Record(
                    incoming.offset, incoming.append_ms, decoded.sequence, decoded.fact
                )
                if not ledger.add(record):
                    self._counted(record, ledger)

    def _counted(self, record: f.Record, ledger: Ledger) -> None:
        fact = record.fact
        if isinstance(fact, f.SupervisionTaken):
            self.supervisors[fact.source] = fact.by
        if isinstance(fact, f.SupervisionFact | f.LeaseRenewed):
            return
        if isinstance(fact, f.TaskOpened):
            self.opened[fact.task] = (fact.event_id, record.append_ms)
        if isinstance(fact, f.TaskOpened | f.TaskAwarded) and fact.award is not None:
            self.causes[fact.award.cause] += 1
        state = ledger.tasks.get(fact.task)
        name, _ = self.opened[fact.task]
        if state is None:
            self.ended_ms[name] = record.append_ms
        if state is not None and state.phase is Phase.SUSPENDED:
            self.asleep.add(name)
        else:
            self.asleep.discard(name)

    async def _presence(self, reader: Reader) -> None:
        while True:
            for incoming in await reader.take():
                name = (incoming.key or b"").decode()
                self.present.pop(name, None)
                if incoming.value is not None:
                    self.present[name] = decode_presence(incoming.value)

    def load(self) -> int:
        """Return how many slots are held, as the instances themselves say."""
        return sum(own.load for own in self.present.values())

    def supervised(self, process: str) -> int:
        """Return how many open workflows a process supervises, as the log says."""
        return sum(
            not state.opened.parent
            and self.supervisors[state.opened.source].instance.endswith(f".{process}")
            for ledger in self.ledgers.values()
            for state in ledger.tasks.values()
        )


class Memory(NamedTuple):
    """What a process takes while it supervises so many workflows."""

    process: str
    when: str
    start_bytes: int
    bytes: int
    workflows: int

    @property
    def allowed(self) -> float:
        return self.start_bytes * (1 + GROWTH_SHARE) + GROWTH_BYTES * self.workflows


@dataclass
class Seen:
    """Mutable: what a run showed."""

    submitting_s: float = 0.0
    slots_held: int = -1
    probe_s: float = 0.0
    memory: list[Memory] = field(default_factory=list)
    drained: int = 0
    rolling_s: float = 0.0
    still_asleep: int = 0
    woke: int = 0
    answered: int = 0
    late_ms: list[int] = field(default_factory=list)
    causes: Counter[Cause] = field(default_factory=Counter)
    behind: dict[int, int] = field(default_factory=dict)
    long_open: int = 0


class Night:
    """Mutable: one run."""

    def __init__(self, ground: Ground, mesh: str, naps: int) -> None:
        self._ground = ground
        self._mesh = mesh
        self._count = naps
        self._names = [f"nap-{number}" for number in range(naps)]
        self._processes: dict[str, AgentProcess] = {}
        self._start_bytes: dict[str, int] = {}
        self._naps = Naps()
        self.seen = Seen()

    async def run(self) -> Seen:
        """Put everything to sleep, restart both processes, wait for all to wake up."""
        self._processes = {name: self._begin(name) for name in PROCESSES}
        try:
            for process in self._processes.values():
                await asyncio.to_thread(process.ready)
            async with Client(self._ground, self._mesh) as client:
                reading = await self._follow(client)
                await self._night(client)
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading
        finally:
            for process in self._processes.values():
                await asyncio.to_thread(process.stop)
        return self.seen

    def _begin(self, name: str) -> AgentProcess:
        orders = Orders(
            bootstrap=self._ground.bootstrap,
            mesh=self._mesh,
            name=name,
            agents=("bench.suspended_agents:sleeper",),
            settings={"slots": SLOTS},
        )
        return AgentProcess(orders, self._ground.scratch / f"{self._mesh}-{name}.log")

    async def _follow(self, client: Client) -> asyncio.Task[None]:
        readers = []
        for topic in (topics.audit(self._mesh), topics.presence(self._mesh)):
            ends = await client.log.ends(topic)
            readers.append(await client.log.tail(topic, dict.fromkeys(ends, 0)))
        return asyncio.get_running_loop().create_task(self._naps.follow(*readers))

    async def _night(self, client: Client) -> None:
        seen, naps = self.seen, self._naps
        await asyncio.sleep(SETTLE_S)
        self._start_bytes = {
            name: process.memory_kib() * 1024 for name, process in self._processes.items()
        }
        longs = await self._put_long_ones_to_sleep(client)
        begun = time.monotonic()
        await self._put_to_sleep(client)
        seen.submitting_s = time.monotonic() - begun
        await asyncio.sleep(SETTLE_S)  # presence tells of a changed load once a second
        seen.slots_held = naps.load()
        self._weigh("asleep")
        seen.probe_s = await _seconds(partial(self._probe, client))
        seen.rolling_s = await _seconds(self._restart)
        seen.still_asleep = len(naps.asleep & set(self._names))
        await asyncio.sleep(SETTLE_S)
        self._weigh("after its restart")
        with suppress(TimeoutError):
            async with asyncio.timeout(LIMIT_S):
                await until(lambda: naps.ended_ms.keys() >= set(self._names))
        await asyncio.sleep(SETTLE_S)  # replies, and the last commit
        self._wake(client, longs)
        seen.behind = await asyncio.to_thread(self._uncommitted)

    async def _put_long_ones_to_sleep(self, client: Client) -> list[str]:
        ends = await client.log.ends(topics.tasks(self._mesh, CAPABILITY))
        names = [f"long-{number}" for number in sorted(ends)]
        for partition, name in zip(sorted(ends), names, strict=True):
            self._submit(client, name, LONG_S, partition)
        await until(lambda: self._naps.asleep >= set(names))
        return names

    async def _put_to_sleep(self, client: Client) -> None:
        """Submit all, at most so many at a time that are not asleep yet; wait until all are."""
        naps, others = self._naps, len(self._naps.asleep)

        def has_room(submitted: int) -> bool:
            return submitted + others - len(naps.asleep) - len(naps.ended_ms) < IN_FLIGHT

        for number, name in enumerate(self._names):
            if not has_room(number):
                await until(partial(has_room, number), 0.01)
            self._submit(client, name, NAP_S, number % topics.Partitions().tasks)
        async with asyncio.timeout(LIMIT_S):
            await until(lambda: has_room(self._count + IN_FLIGHT - 1))

    def _submit(self, client: Client, name: str, seconds: int, partition: int) -> None:
        number = int(name.rpartition("-")[2])
        client.submit(
            CAPABILITY,
            {"number": number, "seconds": seconds},
            timeout_ms=7_200_000,
            partition=partition,
            event_id=name,
        )

    def _weigh(self, when: str) -> None:
        for name, process in self._processes.items():
            start, now = self._start_bytes[name], process.memory_kib() * 1024
            held = self._naps.supervised(name)
            self.seen.memory.append(Memory(name, when, start, now, held))

    async def _probe(self, client: Client) -> None:
        """Have as many tasks done as there are slots: at once, if all slots are free."""
        nap = {"number": 0, "seconds": PROBE_S}
        asked = [client.ask("nap.work", nap) for _ in range(SLOTS * len(PROCESSES))]
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*asked)

    async def _restart(self) -> None:
        """Drain each process in turn, and start it anew."""
        for name in PROCESSES:
            code = await asyncio.to_thread(self._processes[name].stop)
            self.seen.drained += code == 0
            self._processes[name] = self._begin(name)
            await asyncio.to_thread(self._processes[name].ready)

    def _wake(self, client: Client, longs: Sequence[str]) -> None:
        """Count what came of each."""
        seen, naps = self.seen, self._naps
        for name, opened_ms in naps.opened.values():
            if name in naps.ended_ms and name.startswith("nap-"):
                seen.late_ms.append(naps.ended_ms[name] - opened_ms - NAP_S * 1_000)
        for number, name in enumerate(self._names):
            answers = client.answers.get(name, set())
            seen.woke += name in naps.ended_ms
            seen.answered += answers == {("completed", f'{{"number": {number}}}')}
        seen.long_open = sum(name in naps.asleep for name in longs)
        seen.causes = naps.causes

    def _uncommitted(self) -> dict[int, int]:
        """Return how many records of each task partition the group has not committed."""
        topic = topics.tasks(self._mesh, CAPABILITY)
        consumer = Consumer(
            {
                "bootstrap.servers": self._ground.bootstrap,
                "group.id": topics.supervisors(self._mesh),
                "log_level": 3,
            }
        )
        try:
            places = [TopicPartition(topic, n) for n in range(topics.Partitions().tasks)]
            known = consumer.committed(places, timeout=10)
            ends = [consumer.get_watermark_offsets(place, timeout=10)[1] for place in places]
        finally:
            consumer.close()
        return {
            place.partition: end - max(0, place.offset)
            for place, end in zip(known, ends, strict=True)
        }


async def _seconds(work: Callable[[], Awaitable[None]]) -> float:
    begun = time.monotonic()
    await work()
    return time.monotonic() - begun


def measure(table: Table, ground: Ground, naps: int = NAPS) -> None:
    """Add the rows of a night."""
    plan = MeshPlan(name="night", capabilities=(CAPABILITY, "nap.work"), pools=("sleeper",))
    seen = asyncio.run(Night(ground, ground.mesh(plan), naps).run())
    for row in rows(seen, naps):
        table.add(row)


def rows(seen: Seen, naps: int) -> list[Row]:
    """Return what a run showed, with its goals."""
    late = seen.late_ms or [0]
    causes = ", ".join(f"{cause.value} {count}" for cause, count in sorted(seen.causes.items()))
    moved = sum(lag == 0 for lag in seen.behind.values())
    slots = SLOTS * len(PROCESSES)
    found = [
        Row(
            name=f"{naps:,} workflows asleep: slots free",
            value=slots - seen.slots_held,
            unit="",
            baseline=slots,
            at_least=1.0,
            note=f"asleep after {seen.submitting_s:.1f} s",
        ),
        Row(
            name=f"{naps:,} asleep: {slots} tasks of {PROBE_S} s, all at once",
            value=seen.probe_s,
            unit="s",
            baseline=PROBE_S,
        ),
    ]
    found += [_weighed(own) for own in seen.memory]
    found += [
        Row(
            name="drained in the rolling restart meanwhile",
            value=seen.drained,
            unit="",
            baseline=len(PROCESSES),
            at_least=1.0,
            note=f"{seen.rolling_s:.1f} s; {seen.still_asleep:,} asleep afterwards",
        ),
        Row(
            name="resumed and ended, of those asleep",
            value=seen.woke,
            unit="",
            baseline=naps,
            at_least=1.0,
            note=f"awards: {causes}",
        ),
        Row(
            name="answered once, as they should",
            value=seen.answered,
            unit="",
            baseline=naps,
            at_least=1.0,
        ),
        Row(
            name="end after the sleep was over, p50",
            value=percentile(late, 0.5) / 1_000,
            unit="s",
            note=f"p99 {percentile(late, 0.99) / 1_000:.1f} s, worst {max(late) / 1_000:.1f} s",
        ),
        Row(
            name=f"partitions past a sleep of {LONG_S:,} s",
            value=moved,
            unit="",
            baseline=len(seen.behind),
            at_least=1.0,
            note=f"{seen.long_open} of {len(seen.behind)} still sleep; records behind: "
            f"{sum(seen.behind.values())}",
        ),
    ]
    return found


def _weighed(own: Memory) -> Row:
    each = (own.bytes - own.start_bytes) / max(1, own.workflows)
    return Row(
        name=f"{own.process} {own.when}: resident memory",
        value=own.bytes / 1e6,
        unit="MB",
        baseline=own.allowed / 1e6,
        at_most=1.0,
        note=f"start {own.start_bytes / 1e6:.1f} MB, {own.workflows:,} workflows, "
        f"{each:,.0f} bytes each",
    )
