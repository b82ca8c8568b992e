"""What an instance costs that has nothing to do."""

from __future__ import annotations

import time

from bench.ground import Ground, MeshPlan
from bench.recovery import processes
from bench.table import Row, Table

SETTLE_S = 8.0
WATCHED_S = 20.0
MEMORY_MB = 80.0
CPU_SHARE = 0.01


def measure(table: Table, ground: Ground) -> None:
    """Add the rows of one idle process with one agent."""
    plan = MeshPlan(name="idle", capabilities=("still.stay",), pools=("still",))
    mesh = ground.mesh(plan)
    with processes(ground, mesh, [("still0", "still")]) as running:
        process = running["still0"]
        time.sleep(SETTLE_S)
        before = process.cpu_s()
        time.sleep(WATCHED_S)
        share = (process.cpu_s() - before) / WATCHED_S
        memory_mb = process.memory_kib() * 1024 / 1e6
    table.add(
        Row(
            name="an idle instance: share of a core",
            value=share,
            unit="",
            baseline=CPU_SHARE,
            at_most=1.0,
        )
    )
    table.add(
        Row(
            name="an idle instance: resident memory",
            value=memory_mb,
            unit="MB",
            baseline=MEMORY_MB,
            at_most=1.0,
        )
    )
