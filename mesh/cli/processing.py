"""Runs a worker of the processor until it is told to stop: what `mesh processor` does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.cli.health import Sample
from mesh.cli.serving import OFF, Incarnations, Serving

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
        mesh = {"mesh": self.config.mesh}
        parts = [({**mesh, "partition": str(n)}, part) for n, part in sorted(keeper.parts.items())]
        lag = self.process.lag()
        yield Sample(
            "mesh_state_lag",
            "gauge",
            "Changes that were appended and are not settled.",
            [(at, lag.get(part.partition, 0)) for at, part in parts],
        )
        yield Sample(
            "mesh_state_rows",
            "gauge",
            "Entries of shared state, also of what was deleted.",
            [(at, len(part.view.entries)) for at, part in parts],
        )
        yield Sample(
            "mesh_state_through",
            "gauge",
            "Offset of the latest change that made an entry.",
            [(at, part.view.through) for at, part in parts],
        )
        yield Sample(
            "mesh_state_restored_ratio",
            "gauge",
            "How much was read of what is kept; 1 when changes are judged.",
            [(at, part.restored()) for at, part in parts],
        )
        yield Sample(
            "mesh_state_verdicts_total",
            "counter",
            "Changes that were judged, by verdict.",
            [({**mesh, "verdict": name}, count) for name, count in keeper.verdicts.items()],
        )
        events = {
            "dead_letter": keeper.dead_letters,
            "healed": keeper.healed,
            "repeated": keeper.repeated,
            "untold": keeper.untold,
        }
        yield Sample(
            "mesh_state_events_total",
            "counter",
            "What was put aside, appended again, or not told, by kind.",
            [({**mesh, "kind": kind}, count) for kind, count in events.items()],
        )


def quieten() -> None:
    """Let Faust tell warnings alone."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


@asynccontextmanager
async def processing(
    config: Config, told: Callable[[str], None], drain_s: float
) -> AsyncIterator[None]:
    """Run a worker beside something else; the body begins when it is ready.

    Raises:
        MeshError: It cannot be started.
    """
    quieten()
    ready = asyncio.Event()
    serving = Serving(drain_s=drain_s, health=OFF, told=lambda _: None, ready=ready.set)
    server = ProcessorServer(config, serving)
    running = asyncio.create_task(server.run())
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        running.add_done_callback(lambda task: _tell_end(task, told))
        yield
    finally:
        waiting.cancel()
        server.stop.set()
        await asyncio.wait({running})


def _tell_end(task: asyncio.Task[bool], told: Callable[[str], None]) -> None:
    """Say why nothing is judged any more; what goes on without it goes on."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        told(f"mesh: the processor ended: {error}")
