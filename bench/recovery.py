"""How long the dead are missed, and what replaying costs: measured from the log's own times."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bench.agentproc import Orders
from bench.client import Client
from bench.ground import Ground, MeshPlan
from bench.recovery_agents import LEASE_MS
from bench.spawn import AgentProcess
from bench.table import Row, Table
from mesh.core import facts as f
from mesh.core.values import Cause
from mesh.errors import WireError
from mesh.ports import Reader
from mesh.wire import topics
from mesh.wire.facts import decode_fact

SESSION_S = 6.0
"""The group's session timeout on the brokers that we start."""
SETTINGS = {"work_lease_ms": LEASE_MS, "supervision_lease_ms": 5_000, "clock_skew_ms": 200}
LIMIT_S = 60.0
STEPS = 2_000


class Audit:
    """Mutable: the audit stream as it grows."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.seen: list[tuple[int, f.Fact]] = []

    async def until(
        self, wanted: Callable[[f.Fact], bool], after_ms: int = 0
    ) -> tuple[int, f.Fact]:
        """Return the first fact after a time that is wanted, with its append time."""
        looked = 0
        async with asyncio.timeout(LIMIT_S):
            while True:
                for at_ms, fact in self.seen[looked:]:
                    looked += 1
                    if at_ms > after_ms and wanted(fact):
                        return at_ms, fact
                for incoming in await self._reader.take():
                    try:
                        fact = decode_fact(incoming.value).fact
                    except WireError:
                        continue
                    self.seen.append((incoming.append_ms, fact))


@contextmanager
def processes(
    ground: Ground, mesh: str, names: Sequence[tuple[str, str]]
) -> Iterator[dict[str, AgentProcess]]:
    """Have processes, each `(name, agent)`, for the time of a block."""
    started = {
        name: AgentProcess(
            Orders(
                bootstrap=ground.bootstrap,
                mesh=mesh,
                name=name,
                agents=(f"bench.recovery_agents:{agent}",),
                settings=SETTINGS,
            ),
            ground.scratch / f"{mesh}-{name}.log",
        )
        for name, agent in names
    }
    try:
        for process in started.values():
            process.ready()
        yield started
    finally:
        for process in started.values():
            process.stop()


def measure(table: Table, ground: Ground, rounds: int) -> None:
    """Add the rows of recovery and replay."""
    killed = [asyncio.run(_kill_worker(ground)) for _ in range(rounds)]
    limit_s = LEASE_MS / 1_000 + 1
    table.add(
        Row(
            name="a killed worker's task has its next award after",
            value=statistics.median(killed),
            unit="s",
            baseline=limit_s,
            at_most=1.0,
            note=f"worst of {rounds}: {max(killed):.2f} s; lease {LEASE_MS / 1_000:g} s",
        )
    )
    killed = [asyncio.run(_kill_supervisor(ground)) for _ in range(rounds)]
    table.add(
        Row(
            name="a killed supervisor's root task has its next award after",
            value=statistics.median(killed),
            unit="s",
            baseline=SESSION_S + 3,
            at_most=1.0,
            note=f"worst of {rounds}: {max(killed):.2f} s; session {SESSION_S:g} s",
        )
    )
    replay_us = asyncio.run(_replay(ground))
    table.add(
        Row(
            name=f"replay of {STEPS} steps after a death, each",
            value=replay_us,
            unit="us",
            note="from the award to the first new fact: read, judge, run",
        )
    )


def _plan() -> MeshPlan:
    return MeshPlan(
        name="recover",
        capabilities=("slow.wait", "slow.steps", "boss.wait"),
        pools=("boss", "slow"),
    )


async def _kill_worker(ground: Ground) -> float:
    """Kill a worker at its work; return when the next award was written, in seconds."""
    mesh = await asyncio.to_thread(ground.mesh, _plan())
    names = [("boss0", "boss"), ("slow0", "slow"), ("slow1", "slow")]
    with processes(ground, mesh, names) as running:
        async with Client(ground, mesh) as client:
            audit = Audit(await _tail(client, mesh))
            client.submit("boss.wait", {"seconds": 60.0})
            _, opened = await audit.until(_is_opened("slow.wait"))
            assert isinstance(opened, f.TaskOpened)
            assert opened.award is not None
            await asyncio.sleep(1.0)
            killed_ms = _now_ms()
            running[opened.award.worker.instance.rpartition(".")[2]].kill()
            at_ms, _ = await audit.until(_is_died(opened.task), killed_ms)
    return (at_ms - killed_ms) / 1_000


async def _kill_supervisor(ground: Ground) -> float:
    """Kill the supervisor of a root task, which also works on it."""
    mesh = await asyncio.to_thread(ground.mesh, _plan())
    names = [("boss0", "boss"), ("boss1", "boss"), ("slow0", "slow")]
    with processes(ground, mesh, names) as running:
        await asyncio.sleep(3.0)  # the group has settled
        async with Client(ground, mesh) as client:
            audit = Audit(await _tail(client, mesh))
            client.submit("boss.wait", {"seconds": 60.0})
            _, opened = await audit.until(_is_opened("boss.wait"))
            assert isinstance(opened, f.TaskOpened)
            await audit.until(_is_opened("slow.wait"))
            await asyncio.sleep(1.0)
            killed_ms = _now_ms()
            running[opened.by.instance.rpartition(".")[2]].kill()
            at_ms, _ = await audit.until(_is_died(opened.task), killed_ms)
    return (at_ms - killed_ms) / 1_000


async def _replay(ground: Ground) -> float:
    """Kill a worker after many steps; return what each cost the one that took over, in us."""
    mesh = await asyncio.to_thread(ground.mesh, _plan())
    with processes(ground, mesh, [("slow0", "slow"), ("slow1", "slow")]) as running:
        await asyncio.sleep(3.0)
        async with Client(ground, mesh) as client:
            audit = Audit(await _tail(client, mesh))
            hold = ground.scratch / "hold"
            hold.touch()
            given = {"count": STEPS, "hold": str(hold)}
            client.submit("slow.steps", given, budget={"attempts": 50})
            _, opened = await audit.until(_is_opened("slow.steps"))
            assert isinstance(opened, f.TaskOpened)
            await audit.until(_is_step(str(STEPS - 1)))
            killed_ms = _now_ms()
            running[opened.by.instance.rpartition(".")[2]].kill()
            hold.unlink()
            awarded_ms, _ = await audit.until(_is_died(opened.task), killed_ms)
            new_ms, _ = await audit.until(_is_step(str(STEPS)), awarded_ms - 1)
    return (new_ms - awarded_ms) * 1_000 / STEPS


async def _tail(client: Client, mesh: str) -> Reader:
    ends = await client.log.ends(topics.audit(mesh))
    return await client.log.tail(topics.audit(mesh), dict.fromkeys(ends, 0))


def _is_opened(capability: str) -> Callable[[f.Fact], bool]:
    return lambda fact: isinstance(fact, f.TaskOpened) and fact.capability == capability


def _is_died(task: str) -> Callable[[f.Fact], bool]:
    return lambda fact: (
        isinstance(fact, f.TaskAwarded) and fact.task == task and fact.award.cause is Cause.DIED
    )


def _is_step(step: str) -> Callable[[f.Fact], bool]:
    return lambda fact: isinstance(fact, f.DecisionRecorded) and fact.step == step


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
