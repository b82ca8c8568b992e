"""Kill anything: `python -m bench.chaos [--seed N] [--workflows N] [--small]`, on a real Kafka.

Nine agent processes work on thousands of workflows while workers and supervisors are killed and
frozen, the broker is stopped and killed, and all agents are restarted in turn. Then everything that
was submitted must end, and the log is judged: by the invariants (here, and by `mesh audit check`),
by a count that shares no code with what it counts, and `mesh why` decides every award again. Ends
with code 1 on a violation, or if too few workflows completed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import chaos_agents as fleet
from bench import chaos_story
from bench.agentproc import Orders
from bench.chaos_count import Totals, count
from bench.chaos_faults import Amounts, Fault, Fleet, Storm, judge, plan, wanted
from bench.chaos_watch import Watch
from bench.client import Client
from bench.ground import Ground, MeshPlan, ground
from bench.spawn import ROOT
from bench.target import read_calls
from bench.waiting import until
from mesh.core import facts as f
from mesh.core.settings import Settings
from mesh.ports import Place
from mesh.testing.invariants import Violation, check
from mesh.wire import topics
from mesh.wire.facts import decode_fact

PROCESSES = (
    "planner",
    "planner",
    "manager",
    "manager",
    "worker",
    "worker",
    "rival",
    "verifier",
    "verifier",
)
SETTINGS = {
    "work_lease_ms": 2_000,
    "supervision_lease_ms": 3_000,
    "clock_skew_ms": 200,
    "suspend_after_ms": 2_000,
    "open_after_ms": 3_000,
    "repeat_ms": 1_000,
    "bids_wait_ms": 200,
}
FAULT_S = 8.5
"""What a fault takes on average, with the pause before it: paces the submissions."""
UNDER_WAY = 120
COMPLETED = 0.95
SHOWN = 20
SAID = 400
OUT = Path("build/chaos.json")
TASK = re.compile(r"\d+-[0-9a-f]{32}")
STORY = Path("build/chaos-failed")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for on the command line."""

    seed: int
    workflows: int
    amounts: Amounts
    end_limit_s: float
    keep: bool
    trace: bool


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run left behind, beside the log itself."""

    submitted: Sequence[str]
    unended: Sequence[str]
    unanswered: Sequence[str]
    contradicted: Sequence[str]
    faults: Sequence[Fault]
    watch: Watch
    lost_connections: int
    starts: int
    seconds: float
    settling_s: float


async def run(where: Ground, mesh: str, options: Options) -> Run:
    """Submit, break everything, wait until all has ended."""
    begun = time.monotonic()
    watch = Watch()
    agents = Fleet(_orders(where, mesh, options), where.scratch)
    log = where.log("chaos-watch", writes=False)
    await log.open()
    ends = await log.ends(topics.audit(mesh))
    reader = await log.tail(topics.audit(mesh), dict.fromkeys(ends, 0))

    async def look() -> None:
        while True:
            watch.see(await reader.take())

    await agents.start()
    storm = Storm(agents, watch, where.directory, options.seed, _say)
    kinds = plan(options.seed, options.amounts)
    async with Client(where, mesh) as client:
        background = [asyncio.create_task(work) for work in (look(), agents.keep())]
        breaking = asyncio.create_task(storm.run(kinds))
        try:
            names = await _submit(client, options, breaking, len(kinds) * FAULT_S, watch)
            await breaking
            quiet = time.monotonic()
            unended = await _settle(names, watch, options.end_limit_s)
            settling_s = time.monotonic() - quiet
            await asyncio.sleep(2.0)
            if unended:
                for process in agents.processes.values():
                    process.tell()
                await asyncio.sleep(1.0)
        finally:
            for task in (*background, breaking):
                task.cancel()
            await asyncio.to_thread(agents.stop_all)
        await asyncio.sleep(1.0)
        answers = client.answers
    await reader.close()
    await log.close()
    judge(storm.done, watch)
    return Run(
        submitted=names,
        unended=unended,
        unanswered=[name for name in names if name not in answers],
        contradicted=[name for name in names if len(answers.get(name, ())) > 1],
        faults=storm.done,
        watch=watch,
        lost_connections=agents.lost,
        starts=agents.starts,
        seconds=time.monotonic() - begun,
        settling_s=settling_s,
    )


async def _submit(
    client: Client, options: Options, breaking: asyncio.Task[None], span_s: float, watch: Watch
) -> list[str]:
    """Submit everything, spread over the time that the faults take."""
    names = [f"chaos-{options.seed}-{number}" for number in range(options.workflows)]
    begun, pause_s = time.monotonic(), max(0.01, span_s / options.workflows)
    for number, name in enumerate(names):
        await until(partial(_has_room, watch, number))
        client.submit(
            "plan.make",
            {"number": number, "path": str(number)},
            budget=dict(fleet.WHOLE),
            timeout_ms=1_200_000,
            event_id=name,
        )
        due = begun + number * pause_s
        await until(partial(_is_due, due, breaking), 0.02)
    return names


def _has_room(watch: Watch, submitted: int) -> bool:
    return submitted - len(watch.ended) < UNDER_WAY


def _is_due(due: float, breaking: asyncio.Task[None]) -> bool:
    return time.monotonic() >= due or breaking.done()


async def _settle(names: Sequence[str], watch: Watch, limit_s: float) -> list[str]:
    """Wait until everything has ended; return what has not."""
    begun = said = time.monotonic()
    while True:
        unended = [name for name in names if name not in watch.ended]
        now = time.monotonic()
        if not unended or now - begun > limit_s:
            return unended
        if now - said > 10:
            said = now
            _say(f"{len(unended)} of {len(names)} have not ended, {len(watch.tasks)} tasks open")
        await asyncio.sleep(0.2)


def _orders(where: Ground, mesh: str, options: Options) -> list[Orders]:
    return [
        Orders(
            bootstrap=where.bootstrap,
            mesh=mesh,
            name=f"p{number}",
            agents=(f"bench.chaos_agents:{agent}",),
            settings=SETTINGS,
            drain_s=10.0,
            trace=str(where.scratch / f"p{number}.trace.log") if options.trace else "",
        )
        for number, agent in enumerate(PROCESSES)
    ]


# --- judging the log ----------------------------------------------------------------------------


async def read_log(where: Ground, mesh: str) -> dict[int, list[f.Record]]:
    """Return every record of the audit stream."""
    log = where.log("chaos-reader", writes=False)
    await log.open()
    read: dict[int, list[f.Record]] = {}
    try:
        for partition in sorted(await log.ends(topics.audit(mesh))):
            records = read[partition] = []
            async for batch in log.scan(Place(topics.audit(mesh), partition), 0):
                for incoming in batch:
                    decoded = decode_fact(incoming.value)
                    records.append(
                        f.Record(
                            incoming.offset, incoming.append_ms, decoded.sequence, decoded.fact
                        )
                    )
    finally:
        await log.close()
    return read


@contextmanager
def target(where: Ground) -> Iterator[Path]:
    """Have the target for the time of a block; yields the file of its calls."""
    calls, socket = where.scratch / "calls.jsonl", where.scratch / "target.sock"
    os.environ[fleet.SOCKET] = str(socket)
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.target", str(socket), str(calls)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        yield calls
    finally:
        child.terminate()
        child.wait(10)


def commanded(where: Ground, mesh: str, *words: str) -> dict[str, Any]:
    """Run a command on the run's log, as a person would; return its JSON and its exit code."""
    ran = subprocess.run(
        [sys.executable, "-m", "mesh.cli", *words, "-o", "json"],
        env=os.environ | {"MESH_BOOTSTRAP": where.bootstrap, "MESH_NAME": mesh},
        capture_output=True,
        check=False,
        cwd=ROOT,
    )
    said = ran.stderr.decode(errors="replace")[-SAID:]
    shape = json.loads(ran.stdout) if ran.stdout else {}
    return {"command": " ".join(words), "code": ran.returncode, "said": said, **shape}


def _confirmed(totals: Totals, causes: Counter[str], told: Mapping[str, dict[str, Any]]) -> bool:
    """Tell whether the commands found nothing wrong, and looked at no less than was counted."""
    audited, why = told["audit"], told["why"]
    return (
        (audited["code"], why["code"]) == (0, 0)
        and audited.get("records") == totals.facts
        and audited.get("tasks") == why.get("tasks") == totals.tasks
        and why.get("awards") == sum(causes.values())
    )


def _verdict(
    done: Run,
    due: Mapping[str, int],
    totals: Totals,
    violations: Sequence[Violation],
    told: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """Put everything together; `ok` says whether the run passed."""
    completed = totals.statuses["completed"]
    kinds = Counter(fault.kind for fault in done.faults)
    hits = Counter(fault.kind for fault in done.faults if fault.hit)
    share = completed / max(1, len(done.submitted))
    bad = len(violations) + len(totals.problems) + len(done.unended) + len(done.contradicted)
    confirmed = _confirmed(totals, done.watch.causes, told)
    right = bad == 0 and not done.unanswered and confirmed
    audited, why = told["audit"], told["why"]
    return {
        "ok": right and share >= COMPLETED and all(hits[name] >= due[name] for name in due),
        "workflows": len(done.submitted),
        "completed": completed,
        "completed_share": round(share, 4),
        "statuses": dict(totals.statuses),
        "tasks": totals.tasks,
        "facts": totals.facts,
        "lost": totals.lost + len(done.unended),
        "doubled": totals.doubled + len(done.contradicted),
        "budget_breaches": totals.breaches,
        "applied_twice": totals.twice,
        "unanswered": len(done.unanswered),
        "invariant_violations": len(violations),
        "mesh audit check": {name: audited.get(name, -1) for name in ("code", "records", "tasks")},
        "mesh why": {name: why.get(name, -1) for name in ("code", "tasks", "awards")},
        "problems": totals.problems[:SHOWN] + [one["said"] for one in told.values() if one["code"]],
        "violations": [" ".join(one) for one in violations[:SHOWN]],
        "faults": dict(kinds),
        "hit": dict(hits),
        "causes_of_awards": dict(done.watch.causes),
        "kinds_of_facts": dict(done.watch.kinds),
        "void_facts": dict(done.watch.voids),
        "longest_silence_ms": done.watch.longest_silence_ms,
        "processes_started": done.starts,
        "connections_lost": done.lost_connections,
        "settling_s": round(done.settling_s, 1),
        "seconds": round(done.seconds, 1),
    }


def _print(verdict: dict[str, Any]) -> None:
    for name, value in verdict.items():
        if isinstance(value, list):
            for line in value:
                print(f"  {name}: {line}")
        elif isinstance(value, dict):
            print(f"{name:>22}  " + ", ".join(f"{key} {n}" for key, n in sorted(value.items())))
        else:
            print(f"{name:>22}  {value}")


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workflows", type=int, default=3_000)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--stops", type=int, default=15)
    parser.add_argument("--brokers", type=int, default=5)
    parser.add_argument("--rolls", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="200 workflows, 9 faults")
    parser.add_argument("--limit", type=float, default=240.0, help="seconds to wait for the ends")
    parser.add_argument("--trace", action="store_true", help="what every node hears and does")
    parser.add_argument("--keep", action="store_true", help="leave the broker's directory")
    given = parser.parse_args()
    amounts = Amounts(
        kills=given.kills, stops=given.stops, brokers=given.brokers, rolls=given.rolls
    )
    workflows = given.workflows
    if given.small:
        workflows, amounts = 200, Amounts(kills=6, stops=2, brokers=1, rolls=0)
    return Options(
        seed=given.seed,
        workflows=workflows,
        amounts=amounts,
        end_limit_s=given.limit,
        keep=given.keep,
        trace=given.trace,
    )


def main() -> int:
    options = _options()
    with ground(keep=options.keep) as where, target(where) as calls:
        mesh = where.mesh(
            MeshPlan(
                name="chaos",
                capabilities=fleet.CAPABILITIES,
                pools=sorted(set(PROCESSES)),
                settings=Settings(**SETTINGS),  # type: ignore[arg-type] # all of these are numbers
            )
        )
        done = asyncio.run(run(where, mesh, options))
        _say("reading the log")
        log = asyncio.run(read_log(where, mesh))
        _, violations = check(log, all_ended=True)
        totals = count(log, done.submitted, read_calls(calls))
        _say("mesh audit check, and mesh why of every award")
        told = {
            "audit": commanded(where, mesh, "audit", "check", "--all-ended"),
            "why": commanded(where, mesh, "why", "--every-workflow"),
        }
        verdict = _verdict(done, wanted(options.amounts), totals, violations, told)
        if not verdict["ok"]:
            found = TASK.findall(" ".join([*totals.problems, *(one.text for one in violations)]))
            named = {*done.unended, *done.unanswered, *found[:SHOWN]}
            chaos_story.write(STORY, where.scratch, log, named)
    _print(verdict)
    OUT.parent.mkdir(exist_ok=True)
    everything = {
        "options": asdict(options),
        **verdict,
        "each": [asdict(one) for one in done.faults],
    }
    OUT.write_text(json.dumps(everything, indent=1), "utf-8")
    print("chaos: passed" if verdict["ok"] else "chaos: FAILED")
    return 0 if verdict["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
