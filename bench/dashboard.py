"""How fast the dashboard folds and how much it keeps, how long a cold chain takes, what pages cost.

The log is in memory, so what is measured is the dashboard and not a broker. The pages are a process
of their own: as `python -m bench.dashboard URL` the module follows a dashboard's events.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp

from bench.dashboard_load import CHILDREN, MESH, START_MS, Writer
from bench.spawn import ROOT, cpu_s
from bench.table import Row, Table
from mesh.dashboard.model import Model
from mesh.dashboard.server import Dashboard, Plan
from mesh.ports import Incoming, Place, TopicPlan
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire import topics

PARTITIONS = 8
EVENTS = 1_000_000
CHUNK = 16_000
STEP = 256
LARGE = 499
BESIDE = 100_000
PAGES, RATE, SECONDS = 50, 200, 15
FOLD_GOAL, CHAIN_GOAL_S, PAGES_GOAL = 20_000.0, 2.0, 10.0
CORE = 100.0
KIB = 1_024


def measure(table: Table, scale: float) -> None:
    """Add the rows of the dashboard."""
    _fold(table, int(EVENTS * scale))
    asyncio.run(_chain(table, int(BESIDE * scale)))
    asyncio.run(_pages(table))


# --- folding ------------------------------------------------------------------------------------


def _fold(table: Table, events: int) -> None:
    model, writers = Model(), [Writer(number) for number in range(PARTITIONS)]
    first: list[Incoming] = []
    for number, writer in enumerate(writers):
        model.begin(number, 0)
        first += writer.begin()
    model.add(first)
    took_s, folded, number, longest_s = 0.0, 0, 0, 0.0
    before, halfway = _resident_mib(), 0.0
    while folded < events:
        records: list[Incoming] = []
        while len(records) < CHUNK:
            records += writers[number % PARTITIONS].workflow(number)
            number += 1
        for at in range(0, len(records), STEP):
            begun = time.process_time()
            model.add(records[at : at + STEP])
            step_s = time.process_time() - begun
            took_s += step_s
            longest_s = max(longest_s, step_s)
        folded += len(records)
        if not halfway and folded >= events // 2:
            halfway = _collected_mib()
    void = sum(own.void for own in model.strands.values())
    assert void == 0, f"{void} facts of the load do not count"
    rate, after = folded / took_s, _collected_mib()
    note = f"{folded:,} facts; the longest {STEP} took {longest_s * 1e3:.0f} ms"
    goal = {"baseline": FOLD_GOAL, "at_least": 1.0}
    table.add(Row(name="dashboard: facts folded", value=rate, unit="/s", note=note, **goal))
    note = f"halfway {halfway - before:,.0f}; {len(model.rows):,} tasks and {len(model.ring):,} "
    note += f"facts kept, {model.rows.evicted:,} workflows evicted"
    table.add(
        Row(
            name="dashboard: memory at the end, beside halfway",
            value=after - before,
            unit="MiB",
            baseline=halfway - before,
            at_most=1.1,
            note=note,
        )
    )


def _collected_mib() -> float:
    gc.collect()
    return _resident_mib()


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / KIB / KIB


# --- a cold chain -------------------------------------------------------------------------------


def _broker() -> MemoryBroker:
    broker = MemoryBroker(lambda: time.time_ns() // 1_000_000)
    for plan in topics.plans(MESH, partitions=topics.Partitions(audit=1)):
        broker.create_topic(TopicPlan(name=plan.name, partitions=plan.partitions))
    return broker


def _append(broker: MemoryBroker, records: Iterator[Incoming]) -> None:
    partition = broker.partition(Place(topics.audit(MESH), 0))
    for own in records:
        partition.append(own.append_ms, own.key, own.value, own.headers)


async def _chain(table: Table, beside: int) -> None:
    """Ask for a workflow of 500 tasks that the model has let go, in the middle of a partition."""
    broker, writer = _broker(), Writer(0)
    _append(broker, writer.begin())
    number = 1
    for large in (False, True, False):
        if large:
            _append(broker, writer.workflow(0, LARGE))
        for _ in range(0 if large else beside // (2 + 5 * CHILDREN) // 2):
            _append(broker, writer.workflow(number))
            number += 1
    plan = Plan(mesh=MESH, since_ms=writer.now_ms - 60_000)
    async with _served(broker, plan) as dashboard, aiohttp.ClientSession() as session:
        begun = time.perf_counter()
        name = f"0-{0:032x}"
        async with session.get(f"{dashboard.address}/api/v1/workflows/{name}") as answer:
            shape = await answer.json()
        took_s = time.perf_counter() - begun
        assert shape["story"]["tasks"] == LARGE + 1, shape
    note = f"among {number * (2 + 5 * CHILDREN):,} other facts of its partition, in memory"
    goal = {"baseline": CHAIN_GOAL_S, "at_most": 1.0}
    table.add(
        Row(name="dashboard: cold chain, 500 tasks", value=took_s, unit="s", note=note, **goal)
    )


class _served:  # noqa: N801 - used as a function
    """Serve a dashboard over a broker in memory, caught up."""

    def __init__(self, broker: MemoryBroker, plan: Plan) -> None:
        self._dashboard = Dashboard(MemoryLog(broker), plan)

    async def __aenter__(self) -> Dashboard:
        await self._dashboard.start()
        assert self._dashboard.api is not None
        await self._dashboard.api.caught_up()
        return self._dashboard

    async def __aexit__(self, *_: object) -> None:
        await self._dashboard.close()


# --- pages --------------------------------------------------------------------------------------


async def _pages(table: Table) -> None:
    """Let pages follow the events, and measure what the server takes with them and without."""
    broker, writer = _broker(), Writer(0)
    writer.now_ms = max(START_MS, time.time_ns() // 1_000_000)
    _append(broker, writer.begin())
    async with _served(broker, Plan(mesh=MESH)) as dashboard:
        idle = await _share(broker, writer, 0)
        child = subprocess.Popen(  # noqa: ASYNC220 - returns at once
            [sys.executable, "-m", "bench.dashboard", dashboard.address],
            cwd=ROOT,
        )
        try:
            assert dashboard.api is not None
            async with asyncio.timeout(30):
                while dashboard.api.hub.pages < PAGES:  # noqa: ASYNC110 - another process joins
                    await asyncio.sleep(0.1)
            share = await _share(broker, writer, idle[1])
            assert dashboard.api.hub.pages == PAGES, "nobody was dropped"
            assert dashboard.api.hub.told > RATE * SECONDS / 2, "they were sent what happened"
        finally:
            child.terminate()
            await asyncio.to_thread(child.wait)
    note = f"without pages {idle[0]:.1f} %, the load's own share among it; nobody was dropped"
    table.add(
        Row(
            name=f"dashboard: {PAGES} pages at {RATE} facts/s",
            value=share[0] - idle[0],
            unit="% of a core",
            baseline=PAGES_GOAL,
            at_most=1.0,
            note=note,
        )
    )


async def _share(broker: MemoryBroker, writer: Writer, number: int) -> tuple[float, int]:
    """Append facts at the rate for a while; return the share of a core that this process took."""
    each = 2 + 5 * CHILDREN
    begun, used_s, sent = time.monotonic(), cpu_s(os.getpid()), 0
    while (passed := time.monotonic() - begun) < SECONDS:
        while sent < passed * RATE:
            _append(broker, writer.workflow(number))
            number += 1
            sent += each
        await asyncio.sleep(0.05)
    return CORE * (cpu_s(os.getpid()) - used_s) / (time.monotonic() - begun), number


async def _follow(address: str) -> None:
    """Be so many pages, for ever."""

    async def page(session: aiohttp.ClientSession) -> None:
        async with session.get(f"{address}/api/v1/events") as stream:
            async for _ in stream.content.iter_any():
                pass

    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        await asyncio.gather(*(page(session) for _ in range(PAGES)))


def main(arguments: list[str]) -> None:
    """Measure, or with the address of a dashboard be its pages."""
    if arguments:
        asyncio.run(_follow(arguments[0]))
        return
    table = Table()
    measure(table, 1.0)
    missed = [row.name for row in table.rows if row.met is False]
    print(f"missed: {', '.join(missed)}" if missed else "all goals met")


if __name__ == "__main__":
    main(sys.argv[1:])
