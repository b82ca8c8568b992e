"""Workers of the processor in processes of their own, on real Kafka: killed, replaced, stopped.

Whatever happens to them, `M.state` holds what a plain loop over `M.changes` makes of it, entry by
entry, and every verdict that was told holds.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mesh.core.messages import Judged
from mesh.core.shared import ACCEPTING, Proposal, RulesEntry, Verdict, View, Write
from mesh.core.values import Inbox
from mesh.errors import WireError
from mesh.ports import Incoming, Place, TopicPlan
from mesh.processor.inputs import load_schemas, read_proposal, view_of
from mesh.transport.broker import BrokerSettings, BrokerStatus
from mesh.transport.kafka import KafkaLog
from mesh.transport.kafka_admin import KafkaAdmin
from mesh.wire import topics
from mesh.wire.state import (
    RULES_KEY,
    decode_kept,
    encode_kept,
    encode_proposal,
    proposal_key,
    state_partition,
)
from tests.integration.conftest import real_site
from tests.integration.world import WITHIN_S, Site
from tests.unit.processor.proposing import (
    RULES,
    change,
    entries,
    fold,
    highest,
    kept,
    latest,
    verdicts,
)

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]
ROOT = Path(__file__).resolve().parents[2]
PARTITIONS = 4
KEYS = [f"group-{number % 8}/key-{number}" for number in range(40)]


class Worker:
    """Mutable: `mesh processor` in a process of its own."""

    def __init__(self, mesh: Mesh, name: str, **other: str) -> None:
        self._log = mesh.folder / f"{name}.log"
        kept = {name: own for name, own in os.environ.items() if not name.startswith("MESH_")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mesh.cli", "processor", "--health", "127.0.0.1:0"],
                cwd=ROOT,
                env=kept | {"MESH_NAME": mesh.name, "MESH_BOOTSTRAP": mesh.site.bootstrap} | other,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        return self._log.read_text("utf-8")

    async def ready(self) -> Worker:
        await until(lambda: "health at http://" in self.said(), self.said)
        return self

    async def rejoined(self) -> None:
        """Wait until the group gave it partitions once more."""
        before = self.said().count("partitions of")
        await until(lambda: self.said().count("partitions of") > before, self.said)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        await until(lambda: self._process.poll() is not None, self.said)
        assert self._process.returncode is not None
        return self._process.returncode

    async def metrics(self) -> dict[str, float]:
        """Return its metrics, those of several partitions summed up."""
        found = re.findall(r"health at http://([\d.]+):(\d+)", self.said())
        reader, writer = await asyncio.open_connection(found[-1][0], int(found[-1][1]))
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        values: dict[str, float] = {}
        for name, labels, value in re.findall(r"^(mesh_\w+)(\{.*?\})? ([\d.e+]+)$", text, re.M):
            kind = re.search(r'(?:kind|verdict)="([\w-]+)"', labels)
            key = f"{name}:{kind[1]}" if kind else name
            values[key] = values.get(key, 0) + float(value)
        return values

    async def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            await asyncio.to_thread(self._process.wait)


async def until(
    condition: Callable[[], bool], story: Callable[[], str], within_s: float = WITHIN_S
) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"not within {within_s:g} s:\n{story()}"
        await asyncio.sleep(0.05)


class Mesh:
    """Mutable: the topics of one mesh on real Kafka, a writer, and workers."""

    def __init__(self, site: Site, name: str, folder: Path) -> None:
        self.site = site
        self.name = name
        self.folder = folder
        self.log = site.log("test")
        self.changes = topics.changes(name)
        self.state = topics.state(name)
        self.inbox = topics.inbox(name, "writer")
        self._workers: list[Worker] = []
        self._numbers = itertools.count()
        self._views = {number: view_of(number, PARTITIONS) for number in range(PARTITIONS)}
        self._offsets = dict.fromkeys(range(PARTITIONS), 0)

    async def open(self) -> None:
        plans = topics.plans(
            self.name,
            pools=["writer"],
            partitions=topics.Partitions(audit=1, inbox=1, state=PARTITIONS),
        )
        await self.site.create(plans)
        await self.log.open()
        for partition in range(PARTITIONS):
            self._put(RULES, partition)

    async def close(self) -> None:
        for worker in self._workers:
            await worker.stop()
        await self.log.close(1.0)

    def start(self, **other: str) -> Worker:
        worker = Worker(self, f"worker-{len(self._workers)}", **other)
        self._workers.append(worker)
        return worker

    def stories(self) -> str:
        return "\n".join(f"--- {n}\n{one.said()[-3_000:]}" for n, one in enumerate(self._workers))

    def _put(self, proposal: Proposal, partition: int) -> None:
        """Append a proposal, and know what becomes of it: nobody else writes here."""
        place = Place(self.changes, partition)
        self.log.append(place, proposal_key(proposal), encode_proposal(proposal))
        self._views[partition].judge(proposal, self._offsets[partition], 0)
        self._offsets[partition] += 1

    def write(self, count: int) -> None:
        """Append changes: most fit, some are late, repeated, of two keys, or no changes at all."""
        for number in itertools.islice(self._numbers, count):
            key = KEYS[number % len(KEYS)]
            partition = state_partition(key, PARTITIONS)
            kind = number % 17
            if kind == 3:
                self.log.append(Place(self.changes, partition), key.encode(), b"garbage")
                self._offsets[partition] += 1
                continue
            known = self._views[partition].entries
            keys = [key, KEYS[(number + 8) % len(KEYS)]] if kind == 5 else [key]
            versions = {one: known[one].version if one in known else 0 for one in keys}
            late = kind == 7
            writes = [Write(one, max(0, at - late), b"%d" % number) for one, at in versions.items()]
            proposed = change(f"c{number}", *writes, inbox=Inbox(self.inbox, 0))
            for _ in range(2 if kind == 11 else 1):
                self._put(proposed, partition)

    async def load(self, seconds: float, rate: int = 1_500) -> None:
        """Write at a rate."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.write(rate // 20)
            await asyncio.sleep(0.05)

    async def read(self, topic: str) -> list[Incoming]:
        found: list[Incoming] = []
        for partition in await self.log.ends(topic):
            async for batch in self.log.scan(Place(topic, partition), 0):
                found += batch
        return found

    async def settled(self, *alive: Worker) -> None:
        """Wait until those who are alive have nothing left to do, and all is there."""
        await self.log.flush(WITHIN_S)
        end = time.monotonic() + WITHIN_S
        while True:
            lag = sum([(await worker.metrics()).get("mesh_state_lag", 0.0) for worker in alive])
            if not lag and await self._through():
                return
            assert time.monotonic() < end, f"lag {lag}\n{self.stories()}"
            await asyncio.sleep(0.2)

    async def _through(self) -> bool:
        """Tell whether what the changes come to is all there, whoever wrote it."""
        folded = entries(await self.folded())
        return kept(await self.read(self.state), latest) == folded

    async def folded(self) -> dict[int, View]:
        """Judge everything again, by a plain loop."""
        return fold(await self.read(self.changes), PARTITIONS)

    async def check(self) -> dict[str, int]:
        """Compare what is kept with the plain fold, and hold every verdict against it."""
        changes = await self.read(self.changes)
        state = await self.read(self.state)
        folded = entries(fold(changes, PARTITIONS))
        assert kept(state, highest) == folded
        assert kept(state, latest) == folded, "compaction would keep the last"
        told = verdicts(await self.read(self.inbox))
        assert_told_what_is(changes, told)
        stale = assert_one_text_for_each_version(state)
        return {
            "changes": len(changes),
            "entries": len(folded),
            "appended": len(state),
            "stale": stale,
            "told": len(told),
            "accepted": sum(one.verdict in ACCEPTING for one in told),
        }


def assert_one_text_for_each_version(state: list[Incoming]) -> int:
    """Whoever wrote a version wrote the same; return how many followed a newer one."""
    seen: dict[tuple[int, str, int], bytes] = {}
    newest: dict[tuple[int, str], int] = {}
    stale = 0
    for record in state:
        entry = decode_kept(record.value)
        if isinstance(entry, RulesEntry):
            continue
        name = (record.partition, entry.key, entry.version)
        assert seen.setdefault(name, encode_kept(entry)) == encode_kept(entry)
        stale += entry.version < newest.get(name[:2], 0)
        newest[name[:2]] = max(entry.version, newest.get(name[:2], 0))
    return stale


def assert_told_what_is(changes: list[Incoming], told: list[Judged]) -> None:
    """Judge all changes again, one by one; whatever was told of one must come out again."""
    views = {number: view_of(number, PARTITIONS) for number in range(PARTITIONS)}
    versions: dict[str, tuple[int, ...]] = {}
    rejected: set[str] = set()
    for record in changes:
        try:
            proposal = read_proposal(record, PARTITIONS)
        except WireError:
            continue
        judgement = views[record.partition].judge(proposal, record.offset, record.append_ms)
        assert judgement is not None
        name = getattr(proposal, "change", "")
        if judgement.verdict in ACCEPTING and judgement.versions:
            assert versions.setdefault(name, judgement.versions) == judgement.versions
        elif judgement.verdict is Verdict.CONFLICT:
            rejected.add(name)
    for one in told:
        if one.verdict in ACCEPTING:
            assert one.versions == versions[one.change], one
        else:
            assert one.change in rejected, one
    assert not rejected & versions.keys()


@pytest.fixture(scope="module")
def schemas() -> None:
    """Read the schemas before a loop runs."""
    load_schemas()


@pytest.fixture
async def mesh(kafka: str, unique: str, tmp_path: Path, schemas: None) -> AsyncIterator[Mesh]:
    made = Mesh(real_site(kafka), unique.replace("--", "-"), tmp_path)
    await made.open()
    yield made
    await made.close()


async def test_a_worker_that_is_killed_again_and_again(mesh: Mesh) -> None:
    worker = await mesh.start().ready()
    for _ in range(3):
        loading = asyncio.create_task(mesh.load(3.0))
        await asyncio.sleep(1.5)
        worker.signal(signal.SIGKILL)
        await worker.ended()
        worker = mesh.start()
        await loading
        await worker.ready()
    await mesh.settled(worker)
    found = await mesh.check()
    assert found["entries"] == len(KEYS)
    assert found["accepted"] > 1_000
    rows = (await worker.metrics())["mesh_state_rows"]
    assert rows == len(KEYS), "nothing is kept here, and everything is there"


async def test_workers_that_come_and_go(mesh: Mesh) -> None:
    first = await mesh.start().ready()
    loading = asyncio.create_task(mesh.load(14.0, rate=1_000))
    await asyncio.sleep(1.0)
    second = await mesh.start().ready()
    assert first.said().count("partitions of") >= 2, "it was asked to give some up"
    await asyncio.sleep(1.0)
    first.signal(signal.SIGTERM)
    assert await first.ended() == 0, first.said()
    third = await mesh.start().ready()
    await asyncio.sleep(1.0)
    second.signal(signal.SIGKILL)
    await second.ended()
    await loading
    await mesh.settled(third)
    found = await mesh.check()
    assert found["entries"] == len(KEYS)


async def test_a_worker_that_was_replaced_wakes_up_and_writes_on(mesh: Mesh) -> None:
    asleep = awake = await mesh.start().ready()
    stale = 0
    for _ in range(4):
        asleep = awake
        mesh.write(6_000)
        await asyncio.sleep(0.4)  # in the middle of it
        asleep.signal(signal.SIGSTOP)
        mesh.write(500)
        awake = await mesh.start().ready()
        await mesh.settled(awake)
        asleep.signal(signal.SIGCONT)
        await asleep.rejoined()
        await mesh.settled(asleep, awake)
        stale = (await mesh.check())["stale"]
        if stale:
            break
        await asleep.stop()
    assert stale > 0, "no entry came too late: nothing was tested"
    healed = [(await one.metrics())["mesh_state_events_total:healed"] for one in (asleep, awake)]
    assert sum(healed) > 0


@pytest.mark.parametrize("wrong", ["none", "unlike"])
async def test_it_refuses_to_start_with_wrong_topics(
    kafka: str, unique: str, tmp_path: Path, wrong: str
) -> None:
    site, name = real_site(kafka), unique.replace("--", "-")
    mesh = Mesh(site, name, tmp_path)
    if wrong == "unlike":
        counts = {topics.changes(name): 3, topics.state(name): 2, topics.dead_letters(name): 1}
        await site.create([TopicPlan(name=own, partitions=n) for own, n in counts.items()])
        await mesh.log.open()
        for own, n in counts.items():  # a broker that is busy tells of a topic bit by bit
            assert len(await mesh.log.ends(own)) == n
        await mesh.log.close(1.0)
    worker = mesh.start()
    assert await worker.ended() != 0
    said = worker.said()
    if wrong == "none":
        assert f"{name}.changes is missing; {name}.state is missing" in said
    else:
        assert f"{name}.changes has 3 partitions, {name}.state has 2" in said
    assert "mesh topics apply" in said


async def test_rules_stand_in_every_partition(mesh: Mesh) -> None:
    worker = await mesh.start().ready()
    await mesh.settled(worker)
    keys = [record.key for record in await mesh.read(mesh.state)]
    assert keys == [RULES_KEY] * PARTITIONS


@pytest.fixture(scope="module")
def guarded(start_kafka: Callable[..., BrokerStatus]) -> BrokerStatus:
    """A broker with users and grants."""
    return start_kafka(BrokerSettings(scram=True))


async def test_a_worker_that_must_say_who_it_is(
    guarded: BrokerStatus, unique: str, tmp_path: Path, schemas: None
) -> None:
    """The least that a processor must be allowed: its mesh's topics, and its group."""
    name = unique.replace("--", "-")
    admin = KafkaAdmin(guarded.bootstrap, security=guarded.security)
    await admin.add_user(name, "not-a-secret")
    await admin.allow_write(name, topics=f"{name}.")
    await admin.allow_read(name, topics=f"{name}.", group=f"{name}.")
    site = Site(bootstrap=guarded.bootstrap, embedded=False, create=admin.create)
    mesh = Mesh(site, name, tmp_path)
    mesh.log = KafkaLog(guarded.bootstrap, security=guarded.security)
    user = {
        "MESH_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "MESH_SASL_MECHANISM": "SCRAM-SHA-256",
        "MESH_SASL_USERNAME": name,
    }
    await mesh.open()
    stranger = mesh.start(**user, MESH_SASL_PASSWORD="wrong")
    assert await stranger.ended() == 7, stranger.said()
    worker = await mesh.start(**user, MESH_SASL_PASSWORD="not-a-secret").ready()
    mesh.write(200)
    await mesh.settled(worker)
    assert (await mesh.check())["accepted"] > 100
    await mesh.close()
