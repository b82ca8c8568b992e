"""Where everything runs: a broker of its own in a temporary directory, and a mesh's topics."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mesh.core.settings import Settings
from mesh.transport import broker
from mesh.transport.kafka import KafkaLog
from mesh.transport.kafka_admin import KafkaAdmin
from mesh.wire import topics

LEARNING_TRIES = 300
REPLIES = "bench"
"""The name of the reply topic that every measurement uses."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A running broker. `directory` is the broker's own, `scratch` for anything else."""

    bootstrap: str
    directory: Path
    scratch: Path

    def log(self, name: str, *, writes: bool = True) -> KafkaLog:
        """Return a connection that is not yet open."""
        return KafkaLog(self.bootstrap, client_id=name, writes=writes)

    def mesh(self, plan: MeshPlan) -> str:
        """Create the topics of a new mesh and return its name."""
        name = f"{plan.name}-{uuid.uuid4().hex[:6]}"
        asyncio.run(self._create(name, plan))
        return name

    async def _create(self, name: str, plan: MeshPlan) -> None:
        admin = KafkaAdmin(self.bootstrap)
        plans = topics.plans(
            name,
            capabilities=plan.capabilities,
            pools=plan.pools,
            reply_names=[REPLIES],
            partitions=plan.partitions,
            settings=plan.settings,
        )
        await admin.create(plans)
        # Creating returns when the controller has it; a broker that is busy learns it later.
        names = [one.name for one in plans]
        for _ in range(LEARNING_TRIES):
            if len(await admin.describe(names)) == len(names):
                break
            await asyncio.sleep(0.1)


@dataclass(frozen=True, kw_only=True)
class MeshPlan:
    """What a measurement needs of a mesh."""

    name: str
    capabilities: Sequence[str]
    pools: Sequence[str]
    partitions: topics.Partitions = field(default_factory=topics.Partitions)
    settings: Settings = field(default_factory=Settings)


@contextmanager
def ground(extra: Mapping[str, str] | None = None, *, keep: bool = False) -> Iterator[Ground]:
    """Have a broker for the time of a block; its directory goes with it unless `keep`."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a timeout ends the broker, too
    root = Path(tempfile.mkdtemp(prefix="parley-bench-"))
    directory = root / "broker"
    settings = broker.BrokerSettings(extra=dict(extra or {}))
    try:
        status = broker.start(directory, settings, environ=os.environ, progress=print)
        scratch = root / "scratch"
        scratch.mkdir()
        yield Ground(bootstrap=status.bootstrap, directory=directory, scratch=scratch)
    finally:
        broker.kill(directory)
        if keep:
            print(f"kept: {root}")
        else:
            shutil.rmtree(root, ignore_errors=True)
