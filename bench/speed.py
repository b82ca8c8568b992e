"""Governed tasks: one supervisor process, one or two worker processes, a submitter."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.agentproc import Orders
from bench.client import Client
from bench.ground import Ground, MeshPlan
from bench.spawn import AgentProcess
from bench.speed_agents import Took

CAPABILITIES = ("echo.answer", "lead.ping", "lead.run")
POOLS = ("lead", "worker", "rival")
SETTINGS = {"slots": 512}
"""More than are in flight: it is the mesh that is measured, not its limits."""
BUDGET = {"usd": "5", "tokens": 100_000, "tool_calls": 50_000, "hops": 50_000, "attempts": 9_999}
WARM_TASKS = 1_000
LIMIT_S = 120.0


@dataclass
class Stage:
    """Mutable: the processes of one measurement, and the submitter."""

    mesh: str
    client: Client
    processes: dict[str, AgentProcess]

    async def run(self, tasks: int, in_flight: int, mode: str = "direct") -> Took:
        """Have the lead delegate so many tasks."""
        load = {"tasks": tasks, "in_flight": in_flight, "mode": mode}
        async with asyncio.timeout(LIMIT_S):
            return Took(**await self.client.ask("lead.run", load, budget=BUDGET))

    async def ping(self, count: int) -> list[int]:
        """Submit root tasks one at a time; return how long each took, in nanoseconds."""
        each = []
        async with asyncio.timeout(LIMIT_S):
            for number in range(count):
                begun = time.perf_counter_ns()
                await self.client.ask("lead.ping", {"n": number}, budget=BUDGET)
                each.append(time.perf_counter_ns() - begun)
        return each

    async def profiled(self, tasks: int, in_flight: int, mode: str = "direct") -> Took:
        """Like `run`, with the profilers of all processes on."""
        for process in self.processes.values():
            process.send(signal.SIGUSR1)
        took = await self.run(tasks, in_flight, mode)
        for process in self.processes.values():
            process.send(signal.SIGUSR1)
        await asyncio.sleep(0.5)
        return took


def profile_of(ground: Ground, agent: str) -> Path:
    """Return where the profile of an agent's process is written."""
    return ground.scratch / f"profile-{agent}.json"


@asynccontextmanager
async def stage(
    ground: Ground, mesh: str, agents: Sequence[str] = ("lead", "worker")
) -> AsyncIterator[Stage]:
    """Have one process for each of these agents, warmed up."""
    processes = {
        agent: AgentProcess(
            Orders(
                bootstrap=ground.bootstrap,
                mesh=mesh,
                name=f"speed-{agent}",
                agents=(f"bench.speed_agents:{agent}",),
                settings=SETTINGS,
                profile=str(profile_of(ground, agent)),
            ),
            ground.scratch / f"{mesh}-{agent}.log",
        )
        for agent in agents
    }
    try:
        for process in processes.values():
            process.ready()
        async with Client(ground, mesh) as client:
            ready = Stage(mesh, client, processes)
            await ready.ping(20)
            await ready.run(WARM_TASKS, 16)
            yield ready
    finally:
        for process in processes.values():
            process.stop()


def plan() -> MeshPlan:
    """Return what these agents need."""
    return MeshPlan(name="speed", capabilities=CAPABILITIES, pools=POOLS)
