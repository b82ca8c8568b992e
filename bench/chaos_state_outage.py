"""A minute without any processor, under load: tasks go on, writes wait, and nothing is lost.

First the load that two workers can carry is measured: as many writes as they judge. Then half of it
is written, steadily, whatever becomes of it; the workers are stopped, and after a while started
again. The lag must be gone within the time that they were away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.agentproc import Orders
from bench.chaos_state_check import PARTITIONS, WRITERS, Answered, check_all, prepare, say
from bench.chaos_state_crew import STOP_S, Crew
from bench.chaos_state_writer import POOL as WRITING
from bench.chaos_state_writer import WriterOrders
from bench.client import Client, percentile
from bench.ground import Ground
from bench.spawn import AgentProcess

AGENT, POOL, CAPABILITY = "bench.speed_agents:worker", "worker", "echo.answer"
WORKERS = ("p0", "p1")
FLYING = 48
"""Of each writer, to find what two workers can carry: more are not judged faster."""
WARM_S, MEASURED_S, STEADY_S = 4.0, 10.0, 5.0
TASK_EVERY_S, TASK_MS = 0.2, 20_000
LOOK_S = 0.25
LIMIT = 4
"""So many times the outage is waited for the lag to go."""
LAG_S = 1.0
"""Workers tell their lag twice a second, so some of the load is always in it."""


def run(where: Ground, seed: int, outage_s: float) -> dict[str, Any]:
    """Do the run, and judge it."""
    mesh, records = prepare(where, "outage", capabilities=[CAPABILITY], pools=[POOL, WRITING])
    measured = asyncio.run(_run(where, mesh, records, (seed, outage_s)))
    figures, _ = check_all(where, mesh, records)
    tasks = measured["tasks_while_away"]
    return {
        "ok": figures["violations"] == 0
        and set(measured["writers_ended"]) == {0}
        and 0 <= measured["lag_gone_after_s"] <= measured["away_s"]
        and measured["judged_while_away"] == 0 < measured["most_lag"]
        and tasks["completed"] == tasks["asked"] > 0,
        **measured,
        **figures,
    }


async def _run(where: Ground, mesh: str, records: Path, asked: tuple[int, float]) -> dict[str, Any]:
    seed, outage_s = asked
    first = [
        WriterOrders(
            bootstrap=where.bootstrap,
            mesh=mesh,
            number=number,
            records=str(records),
            seed=seed,
            keys=0,
            flying=FLYING,
            wide=f"flood{number}",
        )
        for number in range(WRITERS)
    ]
    crew = Crew(where, mesh, first)
    try:
        for name in WORKERS:
            await crew.up(name)
        async with _tasks(where, mesh) as client:
            per_s, codes = await _capacity(crew, records)
            say(f"two workers judge {per_s:,.0f} writes a second; half of that goes on")
            own = [
                replace(one, wide=f"steady{one.number}", per_s=per_s / 2 / WRITERS) for one in first
            ]
            crew.hire(own)
            await crew.start_writers()
            await asyncio.sleep(STEADY_S)
            begun, away = await _away(crew, client, Answered(records), outage_s)
            returned, back = await _back(crew, per_s / 2, LIMIT * outage_s)
            await asyncio.sleep(STEADY_S)
            codes += list((await crew.finish_writers()).values())
    finally:
        await asyncio.to_thread(crew.stop_all)
    return {
        "carried_per_s": round(per_s),
        "load_per_s": round(per_s / 2),
        "away_s": round(returned - begun, 1),
        **away,
        **back,
        "writers_ended": codes,
    }


@asynccontextmanager
async def _tasks(where: Ground, mesh: str) -> AsyncIterator[Client]:
    """Have an agent that takes tasks, and yield a client of it."""
    orders = Orders(bootstrap=where.bootstrap, mesh=mesh, name="agent", agents=(AGENT,))
    process = AgentProcess(orders, where.scratch / "agent.log")
    try:
        await asyncio.to_thread(process.ready)
        async with Client(where, mesh) as client:
            await client.ask(CAPABILITY, {"n": 0})
            yield client
    finally:
        await asyncio.to_thread(process.stop)


async def _capacity(crew: Crew, records: Path) -> tuple[float, list[int | None]]:
    """Return how many writes are judged in a second when there are always more."""
    await crew.start_writers()
    await asyncio.sleep(WARM_S)
    answered = Answered(records)
    begun, before = time.monotonic(), answered.look()
    await asyncio.sleep(MEASURED_S)
    per_s = (answered.look() - before) / (time.monotonic() - begun)
    return per_s, list((await crew.finish_writers()).values())


async def _away(
    crew: Crew, client: Client, answered: Answered, outage_s: float
) -> tuple[float, dict[str, Any]]:
    """Stop every worker, and ask for tasks until they are to come back; tells when they went."""
    before = sum(sum(lag.values()) for lag in (await crew.lags()).values())
    for name in WORKERS:
        crew.down.add(name)
        crew.workers[name].child.terminate()
    for name in WORKERS:
        await asyncio.to_thread(crew.workers[name].end, STOP_S)
    begun, judged = time.monotonic(), None
    say("no worker is there")
    took: list[float] = []
    asked = 0
    while time.monotonic() - begun < outage_s:
        sent = time.monotonic()
        asked += 1
        answer = await client.submit(CAPABILITY, {"n": asked}, timeout_ms=TASK_MS)
        if answer.status == "completed":
            took.append(time.monotonic() - sent)
        if judged is None and time.monotonic() - begun > LAG_S:
            judged = answered.look()  # what was told before the end has been heard by now
        await asyncio.sleep(TASK_EVERY_S)
    return begun, {
        "lag_before": before,
        "judged_while_away": answered.look() - (judged or 0),
        "tasks_while_away": {
            "asked": asked,
            "completed": len(took),
            "p50_ms": round(percentile(took or [0], 0.5) * 1_000, 1),
            "p99_ms": round(percentile(took or [0], 0.99) * 1_000, 1),
        },
    }


async def _back(crew: Crew, load: float, limit_s: float) -> tuple[float, dict[str, Any]]:
    """Start the workers again; tells when one was back, and how long the lag lasted then."""
    starting = [asyncio.create_task(crew.up(name)) for name in WORKERS]
    await asyncio.wait(starting, return_when=asyncio.FIRST_COMPLETED)
    back, most, gone_s = time.monotonic(), 0, -1.0
    say("a worker is back")
    while gone_s < 0 and time.monotonic() - back < limit_s:
        lags = await crew.lags()
        owned = {partition for lag in lags.values() for partition in lag}
        lag = sum(sum(own.values()) for own in lags.values())
        most = max(most, lag)
        if len(owned) == PARTITIONS and most > load * LAG_S >= lag:
            gone_s = time.monotonic() - back
        await asyncio.sleep(LOOK_S)
    await asyncio.gather(*starting)
    return back, {"most_lag": most, "lag_gone_after_s": round(gone_s, 1)}
