"""Runs a worker of the processor until it is told to stop: what `mesh processor` does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mesh import metrics
from mesh.cli.serving import OFF, Incarnations, Serving
from mesh.core.responses import DEFAULTS
from mesh.metrics import Sample

if TYPE_CHECKING:
    from mesh.config import Config
    from mesh.processor.app import Processor

CHATTY = ("faust", "mode", "aiokafka", "mesh.processor.faust_transport")
"""Loggers of Faust and of what is beneath it: every service tells that it starts and stops."""


class ProcessorServer(Incarnations["Processor"]):
    """Mutable: a worker of the processor through its incarnations."""

    def __init__(self, config: Config, serving: Serving, *, skips_newer: bool = False) -> None:
        super().__init__(config, serving)
        self._skips_newer = skips_newer

    def make(self) -> Processor:
        """Return the next worker."""
        from mesh.bootstrap import processor

        return processor(self.config, skips_newer=self._skips_newer)

    def name(self) -> str:
        """Return what is run."""
        parts = sorted(self.process.keeper.parts) if self.process and self.process.keeper else []
        owned = ", ".join(map(str, parts))
        return f"processor of partitions {owned}" if parts else "processor, standing by,"

    def left(self, process: Processor) -> str:
        """Say how many changes were not settled."""
        due = process.keeper.due if process.keeper is not None else 0
        return f"{due} changes were not settled; who comes next judges them again"

    def samples(self) -> Iterator[Sample]:
        """Return what is measured of shared state."""
        keeper = self.process.keeper if self.process is not None else None
        if self.process is None or keeper is None:
            return
        mesh = self.config.mesh
        parts = [((mesh, str(n)), part) for n, part in sorted(keeper.parts.items())]
        lag = self.process.lag()
        yield Sample(
            metrics.STATE_LAG,
            [(at, lag.get(part.partition, 0)) for at, part in parts],
        )
        yield Sample(
            metrics.STATE_ROWS,
            [(at, len(part.view.entries)) for at, part in parts],
        )
        yield Sample(
            metrics.STATE_THROUGH,
            [(at, part.view.through) for at, part in parts],
        )
        yield Sample(
            metrics.STATE_RESTORED,
            [(at, part.restored()) for at, part in parts],
        )
        yield Sample(
            metrics.STATE_VERDICTS,
            [((mesh, name), count) for name, count in keeper.verdicts.items()],
        )
        events = {
            "dead_letter": keeper.dead_letters,
            "healed": keeper.healed,
            "repeated": keeper.repeated,
            "untold": keeper.untold,
        }
        yield Sample(
            metrics.STATE_EVENTS,
            [((mesh, kind), count) for kind, count in events.items()],
        )
        yield from self._watch(mesh)

    def _watch(self, mesh: str) -> Iterator[Sample]:
        """Return what is measured of the watch over chains."""
        watchman = self.process.watchman if self.process is not None else None
        if watchman is None:
            return
        parts = [((mesh, str(n)), n) for n in sorted(watchman.parts)]
        lag = watchman.lag()
        found = dict.fromkeys(DEFAULTS, 0) | watchman.findings  # 0 before the first: a rise is seen
        yield Sample(
            metrics.WATCH_LAG,
            [(at, lag.get(number, 0)) for at, number in parts],
        )
        yield Sample(
            metrics.WATCH_RESTORED,
            [(at, watchman.parts[number].restored()) for at, number in parts],
        )
        yield Sample(
            metrics.WATCH_OPEN,
            [((mesh,), watchman.open_workflows)],
        )
        yield Sample(
            metrics.WATCH_FINDINGS,
            [((mesh, kind), count) for kind, count in found.items()],
        )
        events = {
            "fact": watchman.facts,
            "void": watchman.void,
            "unreadable": watchman.unreadable,
            "told": watchman.told,
            "repeated": watchman.repeated,
            "untold": watchman.untold,
            "halted": watchman.halted,
            "policy-unread": watchman.responder.unread,
        }
        yield Sample(
            metrics.WATCH_EVENTS,
            [((mesh, kind), count) for kind, count in events.items()],
        )


def quieten() -> None:
    """Let Faust tell warnings alone."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


class Beside:
    """Mutable: a worker that runs beside something else, which goes on when this ends.

    `lost` is said of the end of one that ended by itself.

    Args:
        config: Where the mesh is.
        complain: Told why nothing is judged any more.
        drain_s: How long its end may take.
    """

    lost = "the processor ended, writes to shared state wait"

    def __init__(self, config: Config, complain: Callable[[str], None], drain_s: float) -> None:
        self._complain = complain
        self._ready = asyncio.Event()
        serving = Serving(drain_s=drain_s, health=OFF, told=lambda _: None, ready=self._ready.set)
        self.server = self.make(config, serving)
        self._running: asyncio.Task[bool] | None = None

    def make(self, config: Config, serving: Serving) -> Incarnations[Any]:
        """Return what serves it."""
        return ProcessorServer(config, serving)

    def start(self) -> None:
        """Begin to start it."""
        quieten()
        self._running = asyncio.create_task(self.server.run())

    async def ready(self) -> None:
        """Return when it judges.

        Raises:
            MeshError: It cannot be started.
        """
        assert self._running is not None, "it was started"
        waiting = asyncio.create_task(self._ready.wait())
        await asyncio.wait({self._running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._running.done():
            await self._running
        self._running.add_done_callback(self._tell_end)

    async def stop(self) -> None:
        """Let it drain."""
        self.server.stop.set()
        if self._running is not None:
            await asyncio.wait({self._running})

    def _tell_end(self, task: asyncio.Task[bool]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._complain(f"mesh: {self.lost}: {error}")
