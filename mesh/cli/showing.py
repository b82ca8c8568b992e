"""Runs a dashboard until it is told to stop: what `mesh dashboard` does, and `mesh dev` beside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mesh import metrics
from mesh.cli.differing import parse_moment
from mesh.cli.ordering import person
from mesh.cli.processing import Beside
from mesh.cli.serving import Incarnations, Serving
from mesh.metrics import Sample

if TYPE_CHECKING:
    from mesh.config import Config
    from mesh.dashboard.server import Dashboard, Plan

PORT = 8480
TOKENS = "MESH_DASHBOARD_TOKENS"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a command line says of a dashboard; `since` and `tokens` "" for what was not said."""

    host: str = "127.0.0.1"
    port: int = PORT
    since: str = ""
    tokens: str = ""


def plan_of(config: Config, asked: Asked) -> Plan:
    """Return how the dashboard is run.

    Raises:
        UsageError: A time or a file of tokens is wrong, or nobody would have to say who they are.
    """
    from mesh.config import environment
    from mesh.dashboard.access import read_tokens
    from mesh.dashboard.server import NOBODY, Plan

    tokens = asked.tokens or environment().get(TOKENS, "")
    now_ms = time.time_ns() // 1_000_000
    plan = Plan(
        mesh=config.mesh,
        host=asked.host,
        port=asked.port,
        since_ms=parse_moment(asked.since, now_ms, "--since") if asked.since else 0,
        person=person(),
        people=read_tokens(Path(tokens)) if tokens else NOBODY,
    )
    plan.doors()
    return plan


class DashboardServer(Incarnations["Dashboard"]):
    """Mutable: a dashboard through its incarnations; each listens at the same address."""

    def __init__(self, config: Config, serving: Serving, plan: Plan) -> None:
        super().__init__(config, serving)
        self.plan = plan

    def make(self) -> Dashboard:
        """Return the next dashboard."""
        from mesh.bootstrap import dashboard

        return dashboard(self.config, self.plan)

    def name(self) -> str:
        """Return what is run."""
        if self.process is None:
            return "dashboard"
        # the next one is to be found where this one was
        port = int(self.process.address.rpartition(":")[2])
        self.plan = replace(self.plan, port=port)
        return f"dashboard at {self.process.address}"

    def left(self, process: Dashboard) -> str:
        """Say what a drain did not finish: nothing, for nothing is done here."""
        return f"{process} left nothing undone"

    def samples(self) -> Iterator[Sample]:
        """Return what is measured of the reading."""
        if self.process is None or self.process.api is None:
            return
        model, hub = self.process.api.model, self.process.api.hub
        mesh = self.config.mesh
        parts = [((mesh, str(number)), own) for number, own in sorted(model.strands.items())]
        yield Sample(metrics.DASHBOARD_LAG, [(at, own.lag) for at, own in parts])
        yield Sample(metrics.DASHBOARD_FACTS, [(at, own.facts) for at, own in parts])
        yield Sample(metrics.DASHBOARD_PAGES, [((mesh,), hub.pages)])
        yield Sample(metrics.DASHBOARD_DROPPED, [((mesh,), hub.dropped)])


class BesideDashboard(Beside):
    """Mutable: a dashboard that runs beside something else, which goes on when this ends."""

    lost = "the dashboard ended"

    def make(self, config: Config, serving: Serving) -> DashboardServer:
        """Return what serves it: at the usual port if that is free, else at another."""
        plan = replace(plan_of(config, Asked(port=PORT)), any_port=True)
        return DashboardServer(config, serving, plan)

    @property
    def address(self) -> str:
        """Where it is, once it is ready."""
        process = self.server.process
        return getattr(process, "address", "")
