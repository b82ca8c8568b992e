"""How fast shared state is kept: beside bare Faust with a table, with two workers, and when idle.

Both read the same changes from the same topic, already there when they start, in turn, one worker
each. Bare Faust decodes nothing and keeps the value of each key in a table, with its changelog. A
worker of the processor decodes, judges, appends the entry, tells the verdict. As
`python -m bench.processor BARE ...` the module is the bare worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.client import percentile
from bench.ground import Ground, MeshPlan
from bench.spawn import ROOT, cpu_s
from bench.table import Row, Table
from mesh.core.keys import Resolution, Rule, Rules
from mesh.core.shared import Change, RulesAdopted, Write
from mesh.core.values import Holder, Inbox
from mesh.ports import Incoming, Place
from mesh.processor.inputs import load_schemas
from mesh.transport import broker
from mesh.transport.kafka import KafkaLog
from mesh.wire import topics
from mesh.wire.state import RULES_KEY, encode_proposal, proposal_key, state_partition

PARTITIONS = 4
GROUPS, NAMES = 64, 1_000
CYCLE = 8_000
"""Their least common multiple: so many keys there are, each written once in so many changes."""
CHANGES = 40_000
IDLE = 300
ROUNDS = 3
LIMIT_S = 120.0
SINGLE_GOAL, DOUBLE_GOAL = 0.8, 1.7
IDLE_GOAL_MS = 10.0
CHUNK = 2_000
RULES = RulesAdopted(
    rules=Rules(1, ("risk",), (Rule("*", Resolution.REJECT),)), person="bench", because="a bench"
)


class Load:
    """Mutable: changes that all are accepted, key after key."""

    def __init__(self, mesh: str) -> None:
        self._mesh = mesh
        self._number = 0

    def records(self, count: int) -> Iterator[tuple[Place, bytes, bytes]]:
        """Yield so many records of `M.changes`."""
        for number in range(self._number, self._number + count):
            key = f"group-{number % GROUPS}/key-{number % NAMES}"
            change = Change(
                change=f"{number:032x}",
                by=Holder("writer.bench", 1),
                agent="writer",
                scope=("*",),
                workflow="0-bench",
                task="0-bench",
                step="0.1",
                writes=(Write(key, number // CYCLE, b'{"risk":"low","score":%d}' % number),),
                objective="",
                because="",
                inbox=Inbox(topics.inbox(self._mesh, "writer"), 0),
            )
            place = Place(topics.changes(self._mesh), state_partition(key, PARTITIONS))
            yield place, proposal_key(change), encode_proposal(change)
        self._number += count


async def load(where: Ground, mesh: str, count: int, sent: Load, *, rules: bool) -> None:
    """Append changes as fast as they are taken."""
    log = where.log("bench-load")
    await log.open()
    if rules:
        for partition in range(PARTITIONS):
            log.append(Place(topics.changes(mesh), partition), RULES_KEY, encode_proposal(RULES))
        await log.flush(LIMIT_S)
    for at, (place, key, value) in enumerate(sent.records(count)):
        log.append(place, key, value)
        if at % CHUNK == 0:
            await log.flush(LIMIT_S)
    await log.flush(LIMIT_S)
    await log.close()


def make(where: Ground) -> str:
    return where.mesh(
        MeshPlan(
            name="state",
            capabilities=(),
            pools=("writer",),
            partitions=topics.Partitions(audit=1, inbox=1, state=PARTITIONS),
        )
    )


# --- workers ------------------------------------------------------------------------------------


class Worker:
    """Mutable: a process that reads the changes; `log` is what it says."""

    def __init__(self, arguments: Sequence[str], where: Ground, mesh: str) -> None:
        self.log = Path(tempfile.mkstemp(dir=where.scratch, suffix=".log")[1])
        kept = {name: own for name, own in os.environ.items() if not name.startswith("MESH_")}
        with self.log.open("wb") as out:
            self._child = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env=kept | {"MESH_NAME": mesh, "MESH_BOOTSTRAP": where.bootstrap},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def until(self, text: str, times: int = 1) -> Worker:
        """Wait until it said something."""
        end = time.monotonic() + LIMIT_S
        while self.said().count(text) < times:
            if time.monotonic() > end or self._child.poll() is not None:
                raise RuntimeError(f"a worker did not say {text!r}:\n{self.said()[-2_000:]}")
            time.sleep(0.02)
        return self

    def cpu_s(self) -> float:
        return cpu_s(self._child.pid)

    def stop(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(20.0)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


@contextlib.contextmanager
def workers(where: Ground, mesh: str, count: int) -> Iterator[list[Worker]]:
    """Have workers of the processor that share the partitions."""
    started: list[Worker] = []
    try:
        for number in range(count):
            started.append(Worker(["mesh.cli", "processor", "--health", "off"], where, mesh))
            started[-1].until("processor of partitions")
            if number:
                started[0].until("partitions of", times=number + 1)
        yield started
    finally:
        for worker in started:
            worker.stop()


# --- measuring ----------------------------------------------------------------------------------


class Took(NamedTuple):
    """A rate, and the CPU time of the workers for each event."""

    rate: float
    cpu_us: float


async def _verdicts(where: Ground, mesh: str, count: int) -> list[Incoming]:
    """Return so many verdicts, when they are there."""
    log: KafkaLog = where.log("bench-read", writes=False)
    await log.open()
    topic = topics.inbox(mesh, "writer")
    end = time.monotonic() + LIMIT_S
    while (await log.ends(topic))[0][1] < count:
        if time.monotonic() > end:
            raise TimeoutError(f"{(await log.ends(topic))[0][1]} of {count} verdicts")
        await asyncio.sleep(0.05)
    found: list[Incoming] = []
    async for batch in log.scan(Place(topic, 0), 0, count):
        found += batch
    await log.close()
    return found


def _rate(found: Sequence[Incoming]) -> float:
    """Return verdicts a second between the first and the last, by the broker's clock."""
    return (len(found) - 1) / (found[-1].append_ms - found[0].append_ms) * 1_000


def ours(where: Ground, mesh: str, count: int) -> Took:
    """Judge what is there already, with one worker."""
    with workers(where, mesh, 1) as (worker,):
        found = asyncio.run(_verdicts(where, mesh, count))
        return Took(_rate(found), worker.cpu_s() / count * 1e6)


class Costs(NamedTuple):
    """A rate, and the CPU time that everybody took for each change, in microseconds."""

    rate: float
    workers_us: float
    broker_us: float
    writer_us: float

    @property
    def most(self) -> float:
        """The rate at which the machine's cores are busy with this alone, all the time."""
        return (os.cpu_count() or 1) / sum(self[1:]) * 1e6


def shared(where: Ground, count: int, number: int) -> Costs:
    """Judge what comes, with several workers that wait for it."""
    mesh = make(where)
    running = broker.status(where.directory)
    if running is None or running.pid is None:
        raise RuntimeError("the broker does not run")
    kafka = running.pid
    with workers(where, mesh, number) as own:
        before = [sum(one.cpu_s() for one in own), cpu_s(kafka), time.process_time()]
        asyncio.run(load(where, mesh, count, Load(mesh), rules=True))
        found = asyncio.run(_verdicts(where, mesh, count))
        after = [sum(one.cpu_s() for one in own), cpu_s(kafka), time.process_time()]
    used = (end - begin for begin, end in zip(before, after, strict=True))
    return Costs(_rate(found), *(each / count * 1e6 for each in used))


def bare(where: Ground, mesh: str, count: int) -> Took:
    """Keep the values in a table, with one worker of bare Faust."""
    arguments = ["bench.processor", "BARE", where.bootstrap, topics.changes(mesh), str(count)]
    worker = Worker(arguments, where, mesh)
    try:
        worker.until("took ")
        used_us = worker.cpu_s() / count * 1e6
    finally:
        worker.stop()
    return Took(count / float(worker.said().rpartition("took ")[2].split()[0]), used_us)


async def _idle(where: Ground, mesh: str, count: int) -> list[float]:
    """Return how long each of some writes took, one after the other, in milliseconds."""
    log = where.log("bench-idle")
    await log.open()
    reader = await log.tail(topics.inbox(mesh, "writer"), {0: None})
    await reader.caught_up()
    each: list[float] = []
    for place, key, value in Load(mesh).records(count):
        begun = time.perf_counter()
        log.append(place, key, value)
        found: Sequence[Incoming] = ()
        while not found:
            found = await reader.take(LIMIT_S)
        each.append((time.perf_counter() - begun) * 1_000)
    await reader.close()
    await log.close()
    return each


def measure(table: Table, where: Ground, scale: float) -> None:
    """Add the rates, and the time of a verdict."""
    load_schemas()
    count = int(CHANGES * scale)
    rounds: list[tuple[Took, Took]] = []
    for _ in range(ROUNDS):
        mesh = make(where)
        asyncio.run(load(where, mesh, count, Load(mesh), rules=True))
        floor = bare(where, mesh, count + PARTITIONS)
        rounds.append((floor, ours(where, mesh, count)))
    floor_rate = statistics.median(own.rate for own, _ in rounds)
    table.add(Row(name="bare Faust with a table, events", value=floor_rate, unit="/s"))
    ratios = sorted(own.rate / floor.rate for floor, own in rounds)
    cpu = [statistics.median(one[at].cpu_us for one in rounds) for at in (0, 1)]
    table.add(
        Row(
            name="changes judged by one worker",
            value=statistics.median(own.rate for _, own in rounds),
            unit="/s",
            baseline=floor_rate,
            at_least=SINGLE_GOAL,
            note=f"ratios of the rounds {ratios[0]:.2f} to {ratios[-1]:.2f}; with its start "
            f"{cpu[1]:.0f} us of CPU each, bare {cpu[0]:.0f}",
        )
    )
    _scaling(table, where, count)
    _latency(table, where)


def _scaling(table: Table, where: Ground, count: int) -> None:
    pairs = [(shared(where, count, 1), shared(where, count, 2)) for _ in range(ROUNDS)]
    one, two = (
        Costs(*(statistics.median(column) for column in zip(*own, strict=True)))
        for own in zip(*pairs, strict=True)
    )
    for name, costs in (("one worker", one), ("two workers", two)):
        double = costs is two
        table.add(
            Row(
                name=f"changes judged as they come, {name}",
                value=costs.rate,
                unit="/s",
                baseline=one.rate if double else None,
                at_least=DOUBLE_GOAL if double else None,
                note=f"us of CPU each: {costs.workers_us:.0f} of workers, {costs.broker_us:.0f} of "
                f"the broker, {costs.writer_us:.0f} of the writer; {os.cpu_count()} cores are "
                f"full at {costs.most:,.0f}/s",
            )
        )


def _latency(table: Table, where: Ground) -> None:
    mesh = make(where)
    with workers(where, mesh, 1):
        asyncio.run(load(where, mesh, 0, Load(mesh), rules=True))
        each = asyncio.run(_idle(where, mesh, IDLE))
    table.add(
        Row(
            name="a write's verdict when idle, p50",
            value=statistics.median(each),
            unit="ms",
            baseline=1.0,
            at_most=IDLE_GOAL_MS,
            note=f"p99 {percentile(each, 0.99):.1f} ms; the baseline is a millisecond",
        )
    )


# --- the bare worker ----------------------------------------------------------------------------


def run_bare(bootstrap: str, topic: str, count: int) -> None:
    """Keep the value of each key in a table, and say how long that took."""
    import faust

    app = faust.App(
        f"bare-{os.getpid()}",
        broker=f"kafka://{bootstrap}",
        store="memory://",
        processing_guarantee="at_least_once",
        topic_disable_leader=True,
        topic_partitions=PARTITIONS,
        web_enabled=False,
        datadir=tempfile.mkdtemp(prefix="bare-"),
        broker_session_timeout=6,
        broker_heartbeat_interval=1,
    )
    source = app.topic(topic, key_type=bytes, value_type=bytes, value_serializer="raw")
    values = app.Table("values", key_type=bytes, value_type=bytes, partitions=PARTITIONS)
    seen, begun = 0, 0.0

    async def keep(stream: Any) -> None:
        nonlocal seen, begun
        async for key, value in stream.items():
            begun = begun or time.perf_counter()
            values[key] = value
            seen += 1
            if seen == count:
                await app.producer.flush()
                print(f"took {time.perf_counter() - begun:.6f} s", flush=True)

    app.agent(source, concurrency=1)(keep)

    async def run() -> None:
        app.finalize()
        await app.start()
        await asyncio.Event().wait()

    asyncio.run(run())


if __name__ == "__main__":
    run_bare(sys.argv[2], sys.argv[3], int(sys.argv[4]))
