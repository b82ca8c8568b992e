"""Runs what serves until it is told to stop: `mesh run`, `mesh processor`, `mesh dashboard`.

It starts, serves its health, and waits for a signal, then drains within a limit. A connection that
fails for good ends this incarnation; the next begins after a pause that grows, for a broker that is
away comes back. Only the very first start gives up, so that a wrong address is told at once.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from mesh import metrics
from mesh.cli.health import Answer, HealthServer
from mesh.core.meters import BOUNDS_MS, Spread
from mesh.errors import TransportError
from mesh.metrics import Sample

if TYPE_CHECKING:
    from mesh.config import Config
    from mesh.runtime.agent import Agent
    from mesh.runtime.process import Process

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LOOK_S = 10.0
"""What must be asked of the broker to be measured is asked so often, and scrapes show the last."""
OFF = "off"
EVENTS = ("dead_letters", "loop_held", "refused")
"""Kinds of events that are there with 0 before the first, so that a rise from nothing is seen."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How to run: `drain_s` is the limit of a drain, `health` an address, or "off".

    `told` hears what a person may want to know, `ready` that the agents take work.
    """

    drain_s: float
    health: str
    told: Callable[[str], None]
    ready: Callable[[], None]


class Lateness:
    """Mutable: how late the event loop comes to what is due."""

    EVERY_S = 0.5

    def __init__(self) -> None:
        self.spread = Spread(BOUNDS_MS)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look twice a second from now on."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.EVERY_S, self._tick, loop.time() + self.EVERY_S)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, due_s: float) -> None:
        late_s = asyncio.get_running_loop().time() - due_s
        self.spread.add(max(0, round(late_s * 1_000)))
        self.start()


class Serves(Protocol):
    """One incarnation of what is run: a connection, and all that works on it."""

    ready: bool

    @property
    def failed(self) -> asyncio.Future[Any] | None:
        """Why it cannot go on, once it was started."""

    async def start(self) -> None:
        """Start; returns when it is ready."""

    async def drain(self, limit_s: float) -> bool:
        """End in order; True if everything was finished within the limit."""

    async def close(self) -> None:
        """End at once."""


One = TypeVar("One", bound=Serves)


class Incarnations(ABC, Generic[One]):
    """Mutable: one process through its incarnations."""

    def __init__(self, config: Config, serving: Serving) -> None:
        self.config = config
        self.serving = serving
        self.stop = asyncio.Event()
        self.process: One | None = None
        self.starts = 0
        self.late = Lateness()
        self._began = time.monotonic()

    @abstractmethod
    def make(self) -> One:
        """Return the next incarnation, to be started."""

    @abstractmethod
    def name(self) -> str:
        """Return what is run, for people."""

    @abstractmethod
    def left(self, process: One) -> str:
        """Say what a drain did not finish, and what becomes of it."""

    @abstractmethod
    def samples(self) -> Iterator[Sample]:
        """Return what is measured, beside what every process measures."""

    async def look(self, process: One) -> None:
        """Ask the broker for what `samples` shows; nothing by default.

        Raises:
            TransportError: It does not answer; the next look may be luckier.
        """

    async def run(self) -> bool:
        """Run until `stop` is set; tell whether the drain finished everything.

        Raises:
            MeshError: The first start failed, or no other incarnation could do better.
        """
        health = HealthServer(
            {"/healthz": self.healthz, "/readyz": self.readyz, "/metrics": self.metrics}
        )
        if self.serving.health != OFF:
            await health.start(self.serving.health)
        self.late.start()
        try:
            return await self._incarnations(health.address)
        finally:
            self.late.stop()
            await health.close()

    async def _incarnations(self, address: str) -> bool:
        pause_s = FIRST_PAUSE_S
        while True:
            self.process = self.make()
            try:
                await self._start(self.process, address)
            except TransportError as error:
                await self.process.close()
                if self.starts == 0:
                    raise
                _log.warning("starting again in %.1f s: %s", pause_s, error)
            else:
                pause_s = FIRST_PAUSE_S
                if await self._until_over(self.process):
                    return await self._drain(self.process)
                await self.process.close()
                assert self.process.failed is not None, "it was started"
                why = self.process.failed.result()
                if not isinstance(why, TransportError):
                    raise why
                _log.warning("this incarnation is over: %s", why)
            if await self._stopped_within(pause_s):
                return True
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _start(self, process: One, address: str) -> None:
        from mesh.runtime.collecting import settle

        await process.start()
        self.starts += 1
        if self.starts == 1:
            settle()
        where = f"; health at http://{address}/healthz" if address else ""
        self.serving.told(
            f"{self.name()} in mesh {self.config.mesh} at {self.config.bootstrap}{where}"
        )
        self.serving.ready()

    async def _until_over(self, process: One) -> bool:
        """Wait; tell whether it was the stop, and not the end of this incarnation."""
        assert process.failed is not None, "it was started"
        stopped = asyncio.create_task(self.stop.wait())
        looking = asyncio.create_task(self._look(process))
        either: set[asyncio.Future[Any]] = {stopped, process.failed}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        looking.cancel()
        return self.stop.is_set()

    async def _look(self, process: One) -> None:
        while True:
            try:
                await self.look(process)
            except TransportError as error:
                _log.info("not everything could be measured: %s", error)
            await asyncio.sleep(LOOK_S)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self.stop.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _drain(self, process: One) -> bool:
        self.serving.told(f"draining, for at most {self.serving.drain_s:g} s")
        if await process.drain(self.serving.drain_s):
            return True
        self.serving.told(self.left(process))
        return False

    # --- pages ----------------------------------------------------------------------------------

    def healthz(self) -> Answer:
        """Answer whether the process lives: it does, if its loop can say so."""
        return Answer(HTTPStatus.OK, "alive\n")

    def readyz(self) -> Answer:
        """Answer whether it takes work."""
        if self.process is not None and self.process.ready and not self.stop.is_set():
            return Answer(HTTPStatus.OK, "ready\n")
        why = "draining" if self.stop.is_set() else "not connected"
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}\n")

    def metrics(self) -> Answer:
        """Answer what is counted."""
        return Answer(HTTPStatus.OK, metrics.exposition(self._samples()), metrics.EXPOSITION)

    def _samples(self) -> Iterator[Sample]:
        mesh = (self.config.mesh,)
        ready = self.process is not None and self.process.ready
        yield Sample(metrics.READY, [(mesh, float(ready))])
        yield Sample(metrics.UPTIME, [(mesh, time.monotonic() - self._began)])
        yield Sample(metrics.INCARNATIONS, [(mesh, self.starts)])
        late = metrics.distribution(self.late.spread, 1_000)
        yield Sample(metrics.LOOP_LAG, [(mesh, late)])
        yield from self.samples()


class Server(Incarnations["Process"]):
    """Mutable: a process of agents through its incarnations."""

    def __init__(self, config: Config, agents: Sequence[Agent], serving: Serving) -> None:
        super().__init__(config, serving)
        self.agents = agents
        self.lag: dict[tuple[str, str, str], int] = {}
        """By agent, capability and partition: submitted and not behind the committed offset."""

    def make(self) -> Process:
        """Return the next process of these agents."""
        from mesh.bootstrap import process

        return process(self.config, self.agents)

    def name(self) -> str:
        """Return the agents' names."""
        return ", ".join(agent.name for agent in self.agents)

    async def look(self, process: Process) -> None:
        """Look how much waits in the task partitions that are ours."""
        self.lag = await process.lag()

    def left(self, process: Process) -> str:
        """Say how many tasks were not finished."""
        left = sum(instance.node.load for instance in process.instances)
        return f"{left} tasks were not finished; others go on from their journals"

    def samples(self) -> Iterator[Sample]:
        """Return what is measured of each instance."""
        mesh = self.config.mesh
        own = self.process.instances if self.process is not None else []
        yield Sample(metrics.HANDLERS, [((mesh, one.agent.name), one.node.load) for one in own])
        slots = [((mesh, one.agent.name), one.node.desk.settings.slots) for one in own]
        yield Sample(metrics.SLOTS, slots)
        yield Sample(
            metrics.EVENTS,
            [
                ((mesh, one.agent.name, kind), n)
                for one in own
                for kind, n in (dict.fromkeys(EVENTS, 0) | one.counts).items()
            ],
        )
        yield Sample(metrics.LAG, [((mesh, *where), count) for where, count in self.lag.items()])
        yield from metrics.meter_samples(mesh, {one.agent.name: one.node.desk.meter for one in own})


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first SIGTERM or SIGINT; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def first() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)
        signal.signal(signal.SIGTERM, _give_up)
        signal.signal(signal.SIGINT, _give_up)
        stop()

    for number in numbers:
        loop.add_signal_handler(number, first)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _give_up(*_: object) -> None:
    raise KeyboardInterrupt


def log_to_stderr(*, quiet: bool) -> None:
    """Write log lines to stderr: warnings if `quiet`, else what happens, too.

    SIGUSR1 writes the stacks of all threads there: what a process that seems stuck is doing.
    """
    faulthandler.register(signal.SIGUSR1, file=sys.__stderr__ or sys.stderr)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING if quiet else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    # every attempt to connect is a line there; what comes of it is told once, by whoever asked
    logging.getLogger("mesh.transport").setLevel(logging.WARNING)
