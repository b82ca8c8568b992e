"""Kill who keeps shared state: `python -m bench.chaos_state [--seed N] [--small]`, on a real Kafka.

Eight processes write to a thousand keys while workers of the processor and writers are killed,
workers are frozen for longer than their session, added and taken away. Then every write must be
judged, and everything is checked: by a count that shares no code with the fold, by `mesh state
verify`, and the histories that the clients recorded by a checker for linearizability. A second run
stops all workers for a minute under load (`bench.chaos_state_outage`). Ends with code 1 on a
violation.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import chaos_state_outage as outage
from bench.chaos_state_check import WRITERS, Answered, check_all, prepare, say
from bench.chaos_state_crew import Crew
from bench.chaos_state_faults import WORKERS, Amounts, Fault, Storm, judge, plan, wanted
from bench.chaos_state_writer import RECORDED, WriterOrders
from bench.ground import Ground, ground

OUT = Path("build/chaos-state.json")
STORY = Path("build/chaos-state-failed")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for on the command line."""

    seed: int
    writes: int
    keys: int
    flying: int
    clients: int
    amounts: Amounts
    limit_s: float
    outage_s: float
    only: str
    keep: bool


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run left behind, beside the log and the recordings."""

    faults: Sequence[Fault]
    codes: dict[str, int | None]
    lost: Sequence[str]
    answered: int
    seconds: float
    settling_s: float


async def run(where: Ground, mesh: str, options: Options, records: Path) -> Run:
    """Write, break everything, go on until enough is written, and wait for the last verdicts."""
    crew = Crew(where, mesh, _orders(where, mesh, options, records))
    storm = Storm(crew, options.seed, say)
    answered = Answered(records)
    background: list[asyncio.Task[None]] = []
    try:
        for name in WORKERS:
            await crew.up(name)
        await crew.start_writers()
        begun = time.monotonic()
        breaking = asyncio.create_task(storm.run(plan(options.seed, options.amounts)))
        background += [breaking, asyncio.create_task(crew.keep())]
        await _enough(answered, options, background)
        seconds, count = time.monotonic() - begun, answered.look()
        for task in background:
            task.cancel()
        say(f"{count:,} writes were answered; waiting for the others")
        codes = await crew.finish_writers()
        settling_s = time.monotonic() - begun - seconds
    finally:
        for task in background:
            task.cancel()
        await asyncio.to_thread(crew.stop_all)
    return Run(
        faults=storm.done,
        codes=codes,
        lost=crew.lost,
        answered=count,
        seconds=seconds,
        settling_s=settling_s,
    )


async def _enough(
    answered: Answered, options: Options, background: Sequence[asyncio.Task[None]]
) -> None:
    """Return when all faults were done and enough was written, or when that takes too long."""
    breaking, keeping = background
    begun = said = time.monotonic()
    while not breaking.done() or answered.look() < options.writes:
        await asyncio.wait([keeping], timeout=1.0)
        for task in background:
            if task.done():
                task.result()
        now = time.monotonic()
        if now - said > 15:
            said = now
            say(f"{answered.look():,} writes were answered")
        if now - begun > options.limit_s:
            say(f"not done after {options.limit_s:g} s")
            return


def _orders(where: Ground, mesh: str, options: Options, records: Path) -> list[WriterOrders]:
    return [
        WriterOrders(
            bootstrap=where.bootstrap,
            mesh=mesh,
            number=number,
            records=str(records),
            seed=options.seed,
            keys=options.keys,
            flying=options.flying,
        )
        for number in range(options.clients)
    ]


def chaos(where: Ground, options: Options) -> dict[str, Any]:
    """Do the first run, and judge it."""
    mesh, records = prepare(where, "chaos-state")
    done = asyncio.run(run(where, mesh, options, records))
    figures, log = check_all(where, mesh, records)
    left = Counter(
        int(path.name.partition("-")[0])
        for path in (records / RECORDED).iterdir()
        for _ in range(_open_in(path))
    )
    judge(done.faults, log.told, left)
    due = wanted(options.amounts)
    hits = Counter(fault.kind for fault in done.faults if fault.hit)
    ended_well = not done.lost and set(done.codes.values()) == {0}
    away = sorted(fault.away_ms for fault in done.faults if fault.kind == "kill worker")
    return {
        "ok": figures["violations"] == 0
        and ended_well
        and done.answered >= options.writes
        and all(hits[kind] >= count for kind, count in due.items()),
        "writes_answered": done.answered,
        "seconds": round(done.seconds, 1),
        "writes_per_s": round(done.answered / done.seconds),
        **figures,
        "faults": dict(Counter(fault.kind for fault in done.faults)),
        "hit": dict(hits),
        "judged_elsewhere_ms": {"median": away[len(away) // 2], "most": away[-1]} if away else {},
        "told_after_waking": [f.late for f in done.faults if f.kind == "stop worker"],
        "writers_ended": dict(Counter(str(code) for code in done.codes.values())),
        "ended_by_themselves": list(done.lost),
        "settling_s": round(done.settling_s, 1),
        "each": [asdict(fault) for fault in done.faults],
    }


def _open_in(path: Path) -> int:
    """Return how many writes a recording leaves without an answer."""
    text = path.read_bytes()
    return text.count(b'"call":') - text.count(b'"answer":') - text.count(b'"outcome":')


def show(name: str, verdict: dict[str, Any]) -> None:
    """Print what a run came to, but for the single faults."""
    print(f"{name}: {'passed' if verdict['ok'] else 'FAILED'}")
    for key, value in verdict.items():
        if isinstance(value, dict):
            print(f"{key:>26}  " + ", ".join(f"{own} {n}" for own, n in sorted(value.items())))
        elif key == "problems":
            for line in value:
                print(f"  problem: {line}")
        elif key != "each":
            print(f"{key:>26}  {value}", flush=True)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos_state", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--writes", type=int, default=200_000)
    parser.add_argument("--keys", type=int, default=1_000)
    parser.add_argument("--clients", type=int, default=WRITERS, choices=range(1, WRITERS + 1))
    parser.add_argument("--flying", type=int, default=24, help="writes at a time of each writer")
    parser.add_argument("--workers", type=int, default=18, help="SIGKILLs of workers")
    parser.add_argument("--writers", type=int, default=14, help="SIGKILLs of writers")
    parser.add_argument("--stops", type=int, default=4, help="SIGSTOPs beyond the session")
    parser.add_argument("--rebalances", type=int, default=10, help="workers added or taken away")
    parser.add_argument("--outage", type=float, default=60.0, help="seconds without a processor")
    parser.add_argument("--only", choices=("chaos", "outage"), default="")
    parser.add_argument("--small", action="store_true", help="10,000 writes, 8 faults, 15 s")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for the writes")
    parser.add_argument("--keep", action="store_true", help="leave the broker's directory")
    given = parser.parse_args()
    amounts = Amounts(
        workers=given.workers,
        writers=given.writers,
        stops=given.stops,
        rebalances=given.rebalances,
    )
    if given.small:
        amounts = Amounts(workers=2, writers=1, stops=1, rebalances=1)
    return Options(
        seed=given.seed,
        writes=10_000 if given.small else given.writes,
        keys=given.keys,
        flying=given.flying,
        clients=given.clients,
        amounts=amounts,
        limit_s=given.limit,
        outage_s=15.0 if given.small else given.outage,
        only=given.only,
        keep=given.keep,
    )


def main() -> int:
    options = _options()
    done: dict[str, dict[str, Any]] = {}
    with ground(keep=options.keep) as where:
        try:
            if options.only != "outage":
                done["chaos"] = chaos(where, options)
                show("chaos", done["chaos"])
            if options.only != "chaos":
                done["outage"] = outage.run(where, options.seed, options.outage_s)
                show("outage", done["outage"])
        finally:
            OUT.parent.mkdir(exist_ok=True)
            OUT.write_text(json.dumps({"options": asdict(options), **done}, indent=1), "utf-8")
            if not done or not all(one["ok"] for one in done.values()):
                _keep_logs(where)
    right = all(one["ok"] for one in done.values())
    print("chaos-state: passed" if right else "chaos-state: FAILED")
    return 0 if right else 1


def _keep_logs(where: Ground) -> None:
    """Keep what the processes said."""
    shutil.rmtree(STORY, ignore_errors=True)
    STORY.mkdir(parents=True)
    for log in where.scratch.glob("*.log"):
        shutil.copy(log, STORY)


if __name__ == "__main__":
    sys.exit(main())
