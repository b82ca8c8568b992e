"""One operating-system process of agents: `python -m bench.agentproc '{"mesh": ..., ...}'`.

Writes `ready` to stdout when it is, and drains on SIGTERM. SIGUSR1 starts the profiler, a second
one ends it and writes its file. Ends with code 0 after a clean drain, 4 after one that was not,
3 when its connection was lost for good and a new incarnation must go on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import sys
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path

from bench.profiler import Sampler
from bench.tracing import trace
from mesh.core.jobs import Job
from mesh.core.settings import Settings
from mesh.core.watches import Watch
from mesh.errors import MeshError
from mesh.runtime.agent import Agent
from mesh.runtime.collecting import settle
from mesh.runtime.process import Process
from mesh.transport.kafka import KafkaLog

LOST, UNCLEAN = 3, 4


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What one process is to run. `agents` are `module:attribute`."""

    bootstrap: str
    mesh: str
    name: str
    agents: tuple[str, ...]
    settings: dict[str, int] = field(default_factory=dict)
    profile: str = ""
    trace: str = ""
    drain_s: float = 20.0
    level: str = "WARNING"

    def text(self) -> str:
        """Return them as the command line takes them."""
        return json.dumps(asdict(self))


def load(name: str) -> Agent:
    """Return the agent `module:attribute`."""
    module, _, attribute = name.partition(":")
    agent = getattr(import_module(module), attribute)
    assert isinstance(agent, Agent), name
    return agent


async def run(orders: Orders) -> int:
    """Run until SIGTERM or until the connection is lost."""
    log = KafkaLog(orders.bootstrap, client_id=orders.name)
    process = Process(
        log,
        orders.mesh,
        [load(name) for name in orders.agents],
        settings=Settings(**orders.settings),  # type: ignore[arg-type] # all are numbers
        name=orders.name,
    )
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    if orders.profile:
        loop.add_signal_handler(signal.SIGUSR1, _Toggle(Path(orders.profile)))
    loop.add_signal_handler(signal.SIGUSR2, _tell, process)
    if orders.trace:
        trace(Path(orders.trace))
    await process.start()
    settle()
    leash = loop.create_task(_end_with(os.getppid()))
    print("ready", flush=True)
    assert process.failed is not None
    process.failed.add_done_callback(lambda _: stop.set())
    await stop.wait()
    leash.cancel()
    if process.failed.done():
        print(f"lost: {process.failed.result()}", file=sys.stderr, flush=True)
        await process.close()
        return LOST
    return 0 if await process.drain(orders.drain_s) else UNCLEAN


async def _end_with(parent: int) -> None:
    """End at once when the parent has ended: nobody is left to do it."""
    while True:
        await asyncio.sleep(1.0)
        if os.getppid() != parent:
            os._exit(LOST)


class _Toggle:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._sampler: Sampler | None = None

    def __call__(self) -> None:
        if self._sampler is None:
            self._sampler = Sampler()
            self._sampler.start()
        else:
            self._sampler.write(self._path)
            self._sampler = None


def _tell(process: Process) -> None:
    """Say on stderr what each instance holds: for a person who looks at a run that hangs."""
    now_ms = process.clock.now_ms()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(f"cpu={usage.ru_utime + usage.ru_stime:.2f} maxrss={usage.ru_maxrss}", file=sys.stderr)
    for instance in process.instances:
        node = instance.node
        print(repr(instance), dict(instance.counts), file=sys.stderr)
        held: list[Job | Watch] = [*node.worker.jobs.values(), *node.supervisor.watches.values()]
        for one in held:
            state = node.desk.ledger(one.task).tasks.get(one.task)
            waits = state.waiting_for if state is not None else ()
            print(f"  {one!r} {state!r} {waits!r}", file=sys.stderr)
        print(f"  timer in {(node.next_deadline() or 0) - now_ms} ms", file=sys.stderr)
        for tenure in node.partitions.tenures.values():
            print(f"  {tenure!r}", file=sys.stderr)
        reads = node.desk._reading.items()  # noqa: SLF001 # for a person who looks into it
        print(f"  reading {[(n, len(r.current), len(r.next)) for n, r in reads]}", file=sys.stderr)
    for task in asyncio.all_tasks():
        task.print_stack(limit=3, file=sys.stderr)
    sys.stderr.flush()


def main() -> int:
    orders = json.loads(sys.argv[1])
    orders["agents"] = tuple(orders["agents"])
    given = Orders(**orders)
    logging.basicConfig(
        level=given.level,
        format=f"%(asctime)s {given.name}/{os.getpid()} %(levelname)s %(name)s %(message)s",
    )
    try:
        return asyncio.run(run(given))
    except MeshError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return LOST


if __name__ == "__main__":
    sys.exit(main())
