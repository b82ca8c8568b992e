"""How fast a halt stops many running tasks: `python -m bench.halts [--small]`, on a real Kafka.

A workflow of 500 running tasks in six processes is halted and lifted a hundred times (a new one
after every four: what resumes reads its workflow's part of the log, which grows with each). By the
log alone: from the append of each halt to that of the last step begun under it; no step of an
instance after it has written that it saw the halt; after each lift every task begins a step again,
and in the end every workflow completes. Ends with code 1 if one of these is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.agentproc import Orders
from bench.client import Client, percentile
from bench.ground import Ground, MeshPlan, ground
from bench.spawn import AgentProcess
from bench.table import Row, Table
from bench.waiting import until
from mesh.core import facts as f
from mesh.core.halts import WAIT, Halts
from mesh.core.ledger import Ledger
from mesh.core.tasks import Phase
from mesh.ports import Place, Reader, Report
from mesh.runtime.process import load_schemas
from mesh.wire import topics
from mesh.wire.entries import encode_entry
from mesh.wire.facts import decode_fact
from mesh.wire.requests import Answer

PROCESSES = 6
GOAL_MS = 1_000
GOAL_SHARE = 0.99
BUSY_S = (0.1, 0.6)
"""All run, and go on running for some time between these, so that the halt comes at any moment."""
QUIET_S = 0.3
"""All is suspended, and still nothing may begin for so long."""
LIMIT_S = 120.0
"""Until all tasks run, or all are suspended: longer is a failure, and the run ends."""
OUT = Path("build/halts.json")


class Begun(NamedTuple):
    """A step that was begun, or a suspension for a halt, where it stands in the log."""

    offset: int
    append_ms: int
    instance: str
    task: str


class Reading:
    """Mutable: the audit stream, live; everything below is of one workflow after the other."""

    def __init__(self) -> None:
        self.ledgers: dict[int, Ledger] = {}
        self.steps: list[Begun] = []
        self.stops: list[Begun] = []
        self.partition = -1
        self.workflow = ""

    def __repr__(self) -> str:
        return f"{self.workflow or 'no workflow'}: {dict(Counter(self._tasks().values()))}"

    async def follow(self, reader: Reader) -> None:
        """Read for ever."""
        while True:
            for own in await reader.take():
                decoded = decode_fact(own.value)
                record = f.Record(own.offset, own.append_ms, decoded.sequence, decoded.fact)
                self.ledgers.setdefault(own.partition, Ledger()).add(record)
                self._note(own.partition, record)

    def _note(self, partition: int, record: f.Record) -> None:
        fact = record.fact
        if isinstance(fact, f.SupervisionFact | f.LeaseRenewed):
            return
        where = Begun(record.offset, record.append_ms, fact.by.instance, fact.task)
        if isinstance(fact, f.TaskOpened) and not fact.parent:
            self.partition, self.workflow = partition, fact.workflow
        elif isinstance(fact, f.StepBegun):
            self.steps.append(where)
        elif isinstance(fact, f.WorkSuspended) and any(
            own.kind == WAIT for own in fact.waiting_for
        ):
            self.stops.append(where)

    def running(self, since: int) -> int:
        """Return how many tasks have begun a step behind an offset, and work."""
        tasks = self._tasks()
        busy = {own.task for own in self.steps if own.offset > since}
        working = (name for name, phase in tasks.items() if phase is Phase.WORKING)
        return len(busy.intersection(working))

    def halted(self) -> bool:
        """Tell whether every open task waits for a halt to be lifted."""
        ledger = self.ledgers[self.partition]
        tasks = (ledger.tasks[name] for name in ledger.members.get(self.workflow, ()))
        return all(any(own.kind == WAIT for own in task.waiting_for) for task in tasks)

    def ended(self) -> bool:
        """Tell whether the workflow has ended."""
        return self.workflow not in self.ledgers[self.partition].members

    def _tasks(self) -> dict[str, Phase]:
        ledger = self.ledgers.get(self.partition)
        if ledger is None:
            return {}
        return {own: ledger.tasks[own].phase for own in ledger.members.get(self.workflow, ())}


class Taken(NamedTuple):
    """One halt: what the log says of it. `late` are steps of an instance that had seen it."""

    last_ms: int
    begun: int
    late: int
    suspended_ms: int
    resumed_ms: int


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for on the command line."""

    tasks: int
    halts: int
    workflows: int


class Bench:
    """Mutable: one run."""

    def __init__(self, where: Ground, mesh: str, options: Options) -> None:
        self._where = where
        self._mesh = mesh
        self._options = options
        self._reading = Reading()
        self._halts = Halts()
        self._chance = random.Random(1)
        self._answer: asyncio.Future[Answer]
        self.taken: list[Taken] = []
        self.completed = 0
        self.instances: set[str] = set()

    async def run(self) -> None:
        """Halt and lift, as often as was asked for."""
        processes = [self._begin(f"p{number}") for number in range(PROCESSES)]
        try:
            for process in processes:
                await asyncio.to_thread(process.ready)
            async with Client(self._where, self._mesh) as client:
                topic = topics.audit(self._mesh)
                ends = await client.log.ends(topic)
                reader = await client.log.tail(topic, dict.fromkeys(ends, 0))
                following = asyncio.create_task(self._reading.follow(reader))
                try:
                    for number in range(self._options.workflows):
                        await self._workflow(client, number)
                finally:
                    following.cancel()
                    with suppress(asyncio.CancelledError):
                        await following
        finally:
            for process in processes:
                await asyncio.to_thread(process.stop)

    def _begin(self, name: str) -> AgentProcess:
        orders = Orders(
            bootstrap=self._where.bootstrap,
            mesh=self._mesh,
            name=name,
            agents=("bench.halts_agents:crew",),
            settings={"slots": self._options.tasks // (PROCESSES - 1) - 1},  # five cannot do it
        )
        return AgentProcess(orders, self._where.scratch / f"{self._mesh}-{name}.log")

    async def _workflow(self, client: Client, number: int) -> None:
        """Have one workflow halted its share of times, and completed."""
        over = self._where.scratch / f"over-{number}"
        hands = self._options.tasks - 1  # and the one that leads them
        counts = {"tokens": 50_000, "tool_calls": 1_000_000, "hops": 1_000, "attempts": 1_000}
        budget = {"usd": "5", **counts}
        shift = {"hands": hands, "until": str(over)}
        self._answer = client.submit("crew.lead", shift, budget=budget, timeout_ms=1_700_000)
        since = -1
        for _ in range(self._options.halts // self._options.workflows):
            await self._busy(since)
            await asyncio.sleep(self._chance.uniform(*BUSY_S))
            since = await self._halt(client, since)
        await self._busy(since)
        over.touch()
        async with asyncio.timeout(LIMIT_S):
            told = await self._answer
        self.completed += told.status == "completed" and told.result == {"hands": hands}
        say(f"workflow {number + 1}: {told.status}, {json.dumps(told.result)}")

    async def _halt(self, client: Client, since: int) -> int:
        """Halt, wait, lift; return the offset behind which what is begun was begun after."""
        reading = self._reading
        self.instances |= {own.instance for own in reading.steps if own.offset > since}
        begun = time.monotonic()
        halted = await self._order(client, halted=True)
        await self._within(reading.halted, "all tasks are suspended")
        suspended_ms = int((time.monotonic() - begun) * 1_000)
        await asyncio.sleep(QUIET_S)
        last = reading.stops[-1].offset
        begun = time.monotonic()
        lifted = await self._order(client, halted=False)
        await self._busy(last)
        resumed_ms = int((time.monotonic() - begun) * 1_000)
        self.taken.append(self._judged(halted, lifted, suspended_ms, resumed_ms))
        own = self.taken[-1]
        say(
            f"halt {len(self.taken)}: last step {own.last_ms} ms after it, {own.begun} begun under "
            f"it, {own.late} too late; all suspended in {own.suspended_ms} ms, all busy again in "
            f"{own.resumed_ms} ms"
        )
        self._forget(last)
        return last

    def _judged(self, halted: Report, lifted: Report, suspended_ms: int, resumed_ms: int) -> Taken:
        """Look at what the log has between a halt and its lift.

        Too late is a step that an instance began after it had suspended a task for this halt.
        """
        begun, stops = (
            [own for own in every if halted.append_ms <= own.append_ms <= lifted.append_ms]
            for every in (self._reading.steps, self._reading.stops)
        )
        saw: dict[str, int] = {}
        for own in stops:
            saw.setdefault(own.instance, own.offset)
        late = [own for own in begun if own.offset > saw.get(own.instance, own.offset)]
        last_ms = max((own.append_ms - halted.append_ms for own in begun), default=0)
        return Taken(last_ms, len(begun), len(late), suspended_ms, resumed_ms)

    def _forget(self, last: int) -> None:
        """Drop what was judged."""
        reading = self._reading
        reading.steps = [own for own in reading.steps if own.offset > last]
        reading.stops = []

    async def _order(self, client: Client, *, halted: bool) -> Report:
        target = f"workflow/{self._reading.workflow}"
        order = self._halts.next_order(
            target, halted=halted, because="it is measured", person="bench"
        )
        self._halts.see(order)
        told: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        place = Place(topics.control(self._mesh), 0)
        client.log.append(place, target.encode(), encode_entry(order), (), told.set_result)
        report = await told
        if report.error is not None:
            raise RuntimeError(f"the order was not acknowledged: {report.error}")
        return report

    async def _busy(self, since: int) -> None:
        """Wait until every task has begun a step behind an offset."""
        hands = self._options.tasks - 1
        await self._within(lambda: self._reading.running(since) >= hands, "all tasks run")

    async def _within(self, there: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(LIMIT_S):
                await until(lambda: there() or self._answer.done())
        except TimeoutError:
            raise RuntimeError(f"not within {LIMIT_S:g} s: {what}; {self._reading}") from None
        if self._answer.done():
            raise RuntimeError(f"it ended too soon: {self._answer.result()}")


def rows(bench: Bench, options: Options) -> Iterator[Row]:
    """Yield what a run showed."""
    taken = sorted(own.last_ms for own in bench.taken)
    within = sum(own <= GOAL_MS for own in taken)
    yield Row(
        name=f"halts whose last step began within {GOAL_MS:,} ms",
        value=within,
        unit="",
        baseline=options.halts,
        at_least=GOAL_SHARE,
        note=f"p50 {percentile(taken, 0.5)} ms, p99 {percentile(taken, 0.99)} ms, "
        f"max {taken[-1]} ms; {sum(own.begun for own in bench.taken):,} steps in all",
    )
    late = sum(own.late for own in bench.taken)
    yield Row(
        name="halts without a step of an instance that had seen it",
        value=sum(not own.late for own in bench.taken),
        unit="",
        baseline=options.halts,
        at_least=1.0,
        note=f"{late} such steps",
    )
    for name, every in (
        ("until all tasks were suspended", sorted(own.suspended_ms for own in bench.taken)),
        ("from the lift until all had begun a step", sorted(own.resumed_ms for own in bench.taken)),
    ):
        worst = f"p99 {percentile(every, 0.99)} ms, max {every[-1]} ms"
        yield Row(name=f"{name}, p50", value=percentile(every, 0.5), unit="ms", note=worst)
    yield Row(
        name="workflows completed, of those halted",
        value=bench.completed,
        unit="",
        baseline=options.workflows,
        at_least=1.0,
    )
    yield Row(
        name="processes that had a part in it",
        value=len(bench.instances),
        unit="",
        baseline=PROCESSES,
        at_least=1.0,
        note=f"{options.tasks} running tasks",
    )


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def parse() -> Options:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.halts", description=__doc__)
    parser.add_argument("--small", action="store_true", help="60 tasks and 6 halts: a minute")
    given = parser.parse_args()
    if given.small:
        return Options(tasks=60, halts=6, workflows=2)
    return Options(tasks=500, halts=100, workflows=25)


def main() -> int:
    """Run; code 1 if a goal was missed."""
    options = parse()
    load_schemas()
    table = Table()
    with ground() as where:
        plan = MeshPlan(name="halts", capabilities=["crew.lead", "crew.hand"], pools=["crew"])
        bench = Bench(where, where.mesh(plan), options)
        try:
            asyncio.run(bench.run())
        finally:  # of a run that was ended early the table says what is missing
            for row in rows(bench, options) if bench.taken else ():
                table.add(row)
    table.write(OUT)
    return 0 if all(row.met is not False for row in table.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
