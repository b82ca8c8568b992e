"""Keepers on a hostile log: many seeded runs in which workers are killed, replaced and stopped.

The log in memory takes what one producer appends in order, as a broker does that counts its
sequence numbers; what is on its way when a worker is killed is lost, or lands later; a worker that
is cut off and replaced writes on. A run ends with a worker that owns everything; then `M.state` is
the plain fold of `M.changes`, also as compaction would leave it.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import suppress
from dataclasses import replace

import pytest

from mesh.core.shared import ACCEPTING, Change, Proposal, RulesEntry, Write
from mesh.errors import MeshError, TransportError, Unreachable
from mesh.ports import Incoming, Place
from mesh.processor.keeper import Keeper
from mesh.transport.memory import Appending, Fate, MemoryBroker, MemoryLog
from mesh.wire import topics
from mesh.wire.state import (
    decode_kept,
    encode_kept,
    encode_proposal,
    proposal_key,
    state_partition,
)
from tests.unit.processor.proposing import (
    KEEPER,
    MESH,
    PARTITIONS,
    RULES,
    change,
    entries,
    fold,
    highest,
    kept,
    latest,
    plans,
    verdicts,
)

CHANGES, STATE = topics.changes(MESH), topics.state(MESH)
KEYS = [f"{group}/{name}" for group in ("a", "b", "merged", "weighed") for name in "xyz"]
SEEDS = 60

pytestmark = pytest.mark.slow
STEPS = 120


class Worker:
    """Mutable: a keeper with a log of its own, and where it is in `M.changes`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.log = MemoryLog(broker)
        self.failures: list[MeshError] = []
        self.keeper = Keeper(self.log, MESH, KEEPER, PARTITIONS, failed=self.failures.append)
        self.next: dict[int, int] = {}


class Run:
    """Mutable: one seeded run."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        ticks = itertools.count(1_000)
        self.broker = MemoryBroker(lambda: next(ticks))
        for plan in plans():
            self.broker.create_topic(plan)
        self.committed = dict.fromkeys(range(PARTITIONS), 0)
        self.sleepers: list[Worker] = []
        self.held = 0.0
        self.failing = 0.0
        self.broken: set[tuple[int, Place]] = set()
        self.rows: dict[int, list[Incoming]] = {number: [] for number in range(PARTITIONS)}
        self.names = itertools.count()
        self.changes: list[Change] = []
        self.broker.fate = self._fate

    def _fate(self, appending: Appending) -> Fate:
        # what follows one that failed fails, too, until that is reported: they keep their order
        where = id(appending.log), appending.place
        if where in self.broken:
            return Fate.LOST
        if appending.place.topic == STATE and self.dice.random() < self.failing:
            self.broken.add(where)
            return self.dice.choice([Fate.LOST, Fate.UNKNOWN])
        # what another Log appends must not push out what is held of this one
        return Fate.HELD if self.dice.random() < self.held else Fate.LANDS

    def _put(self, proposal: Proposal, partition: int) -> None:
        place = self.broker.partition(Place(CHANGES, partition))
        value = encode_proposal(proposal)
        record = place.append(self.broker.clock(), proposal_key(proposal), value, ())
        self.rows[partition].append(record)

    def _version(self, key: str) -> int:
        """Guess the version of a key, as a writer does that may be late."""
        views = fold(self.broker.records(CHANGES)[-200:])
        entry = views[state_partition(key, PARTITIONS)].entries.get(key)
        return max(0, (entry.version if entry is not None else 0) - self.dice.choice([0, 0, 0, 1]))

    def propose(self) -> None:
        if self.changes and self.dice.random() < 0.15:
            repeated = self.dice.choice(self.changes[-5:])
            self._put(repeated, state_partition(repeated.writes[0].key, PARTITIONS))
            return
        first = self.dice.choice(KEYS)
        group = [key for key in KEYS if key.split("/")[0] == first.split("/")[0]]
        keys = self.dice.sample(group, self.dice.choice([1, 1, 2, 3]))
        writes = [Write(key, self._version(key), b"%d" % self.dice.randint(0, 9)) for key in keys]
        objective = self.dice.choice(["", "risk", "cost"])
        proposed = change(f"c{next(self.names)}", *writes, objective=objective)
        self.changes.append(proposed)
        self._put(proposed, state_partition(first, PARTITIONS))

    async def start(self) -> Worker:
        """Start a worker that owns every partition."""
        worker = Worker(self.broker)
        await worker.log.open()
        for partition, first in self.committed.items():
            worker.next[partition] = first
            await worker.keeper.take(partition, first)
        return worker

    async def judge(self, worker: Worker, count: int) -> None:
        """Give a worker some of what it has not seen."""
        for _ in range(count):
            partition = self.dice.randrange(PARTITIONS)
            at = worker.next[partition]
            if at < len(self.rows[partition]):
                worker.next[partition] = at + 1
                await worker.keeper.judge(self.rows[partition][at])
        await self.settle()

    async def settle(self) -> None:
        await quiet()
        self.broken.clear()

    def commit(self, worker: Worker) -> None:
        """Commit as the group does: never back, and for its owner alone."""
        offsets = worker.keeper.commits()
        worker.keeper.committed(offsets)
        for partition, offset in offsets.items():
            self.committed[partition] = max(offset, self.committed[partition])

    async def kill(self, worker: Worker) -> None:
        """End a worker's log with what is on its way."""
        worker.log.fail(TransportError("killed"))
        await quiet()

    def sleep(self, worker: Worker) -> None:
        """Cut a worker off; it goes on, and what it appends waits for its waking."""
        self.broker.cut(worker.log)
        self.sleepers.append(worker)

    async def wake(self) -> None:
        for worker in self.sleepers:
            self.broker.heal(worker.log)
            await quiet()
        self.sleepers = []

    async def finish(self, worker: Worker) -> None:
        """Let everything be done that is to be done."""
        self.held = self.failing = 0.0
        await self.settle()
        await self.wake()
        self.broker.release()
        for partition, rows in self.rows.items():
            for record in rows[worker.next[partition] :]:
                await worker.keeper.judge(record)
        for _ in range(100):
            await quiet()
            self.broker.release()
            await worker.keeper.look()
        await quiet()
        assert not worker.failures
        self.commit(worker)
        assert self.committed == {number: len(rows) for number, rows in self.rows.items()}


async def quiet() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


async def hostile(run: Run) -> Worker:
    """Let things happen; return the worker that is left."""
    dice = run.dice
    for partition in range(PARTITIONS):
        run._put(RULES, partition)
    worker = await run.start()
    for _ in range(STEPS):
        what = dice.random()
        if what < 0.45:
            run.propose()
        elif what < 0.75:
            await run.judge(worker, dice.randint(1, 6))
        elif what < 0.82:
            run.commit(worker)
        elif what < 0.86:
            await worker.keeper.look()
        elif what < 0.90:
            run.held = dice.choice([0.0, 0.3])
            run.failing = dice.choice([0.0, 0.0, 0.2])
            run.broker.release()
            await quiet()
        elif what < 0.94:
            await run.kill(worker)
            worker = await run.start()
        elif what < 0.97:
            run.sleep(worker)
            with suppress(Unreachable):  # what it has to read again it cannot
                await run.judge(worker, 5)
            worker = await run.start()
        else:
            await run.wake()
    return worker


def assert_told_what_holds(run: Run) -> None:
    """Whatever was told as accepted made these versions, by the fold."""
    made: dict[str, set[tuple[str, int]]] = {}
    for view in fold(run.broker.records(CHANGES)).values():
        for entry in view:
            for past in entry.recent:
                made.setdefault(past.change, set()).add((entry.key, past.version))
    for one in verdicts(run.broker.records(topics.inbox(MESH, "writer"))):
        if one.verdict in ACCEPTING and one.change in made:
            keys = [current.key for current in one.entries]
            told = {(key, n) for key, n in zip(keys, one.versions, strict=False) if n}
            assert told >= made[one.change] or told <= made[one.change]


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_what_is_kept_is_the_fold_whatever_happens(seed: int) -> None:
    run = Run(seed)
    worker = await hostile(run)
    await run.finish(worker)
    state = run.broker.records(STATE)
    folded = entries(fold(run.broker.records(CHANGES)))
    assert kept(state, highest) == folded
    assert kept(state, latest) == folded, "compaction would keep the last"
    texts: dict[tuple[str, int], bytes] = {}
    for record in state:
        entry = decode_kept(record.value)
        if not isinstance(entry, RulesEntry):
            text = encode_kept(replace(entry))
            assert texts.setdefault((entry.key, entry.version), text) == text
    assert_told_what_holds(run)
