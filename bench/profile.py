"""Where the time goes: `python -m bench.profile [IN_FLIGHT] [TASKS] [MODE]`.

One supervisor process and one worker process: first what a task costs each of them and the broker,
then the same sampled; microseconds of CPU of the loop's thread for each task, by function: its own,
and with all that it calls.
"""

from __future__ import annotations

import asyncio
import json
import sys

from bench.ground import Ground, ground
from bench.spawn import cpu_s
from bench.speed import plan, profile_of, stage
from mesh.transport import broker

SHOWN = 45


async def measure(where: Ground, in_flight: int, tasks: int, mode: str) -> None:
    """Print rate and CPU of a run, then have the same once more with the profilers on."""
    agents = ("lead", "worker", "rival") if mode == "auction" else ("lead", "worker")
    mesh = await asyncio.to_thread(where.mesh, plan())
    async with stage(where, mesh, agents) as ready:
        pids = {name: process.pid for name, process in ready.processes.items()}
        status = broker.status(where.directory)
        assert status is not None, "the ground is a broker"
        assert status.pid is not None, "it runs"
        pids["broker"] = status.pid
        before = {name: cpu_s(pid) for name, pid in pids.items()}
        took = await ready.run(tasks, in_flight, mode)
        each = [
            f"{name} {(cpu_s(pid) - before[name]) * 1e6 / tasks:.0f}" for name, pid in pids.items()
        ]
        print(f"{tasks / took.seconds:.0f} tasks a second, {in_flight} in flight, {mode}")
        print(f"us of CPU a task: {', '.join(each)}")
        await ready.profiled(tasks, in_flight, mode)


def show(where: Ground, agent: str, tasks: int) -> None:
    """Print one process's table."""
    seen = json.loads(profile_of(where, agent).read_text("utf-8"))
    cpu, loop = seen["process_cpu_s"] * 1e6 / tasks, seen["loop_cpu_s"] * 1e6 / tasks
    print(f"\n{agent}: {cpu:.0f} us of CPU a task, {loop:.0f} of them on the loop's thread")
    threads = {name: s * 1e6 / tasks for name, s in seen["threads_s"].items() if s}
    print("  threads: " + ", ".join(f"{name} {us:.0f}" for name, us in threads.items()))
    print(f"  {'own':>7} {'whole':>7}  function")
    whole, own = seen["whole_s"], seen["own_s"]
    for name in list(whole)[:SHOWN]:
        print(f"  {own.get(name, 0) * 1e6 / tasks:7.1f} {whole[name] * 1e6 / tasks:7.1f}  {name}")
    print("  --- the most expensive by themselves")
    for name in list(own)[:SHOWN]:
        print(f"  {own[name] * 1e6 / tasks:7.1f} {whole[name] * 1e6 / tasks:7.1f}  {name}")


def main() -> None:
    in_flight = int(sys.argv[1]) if len(sys.argv) > 1 else 128
    tasks = int(sys.argv[2]) if len(sys.argv) > 2 else 8_000
    mode = sys.argv[3] if len(sys.argv) > 3 else "direct"
    with ground() as where:
        asyncio.run(measure(where, in_flight, tasks, mode))
        for agent in ("lead", "worker"):
            show(where, agent, tasks)


if __name__ == "__main__":
    main()
