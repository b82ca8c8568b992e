"""`mesh dashboard`: the mesh for people, as a page and as a JSON API."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.cli.options import Session, command

DRAIN_S = 5.0
HEALTH = "127.0.0.1:8472"
PORT = 8480

EXAMPLES = """
mesh dashboard
mesh dashboard --since 24h --port 9000
mesh dashboard --host 0.0.0.0 --tokens /etc/parley/tokens.toml
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "dashboard", examples=EXAMPLES)(dashboard)


def dashboard(
    session: Session,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; elsewhere needs --tokens.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = PORT,
    since: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Tell what began since: 24h ago, or a time of RFC 3339; and what is open still.",
            show_default="all that the log has",
        ),
    ] = "",
    tokens: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="People, their tokens and roles, as TOML. [env: MESH_DASHBOARD_TOKENS]",
        ),
    ] = "",
    health: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            show_default=HEALTH,
            help="Where /healthz, /readyz and /metrics are; `off` for nowhere. [env: MESH_HEALTH]",
        ),
    ] = None,
) -> None:
    """Show a mesh: what runs, who decided what and why, what it costs, what needs a person.

    It reads the log and keeps nothing on this machine: it may be killed at any time. On loopback
    whoever asks is you; elsewhere everybody needs a token.
    """
    from mesh.cli.showing import Asked

    asked = Asked(host=host, port=port, since=since, tokens=tokens)
    session.run(_run(session, asked, health))


async def _run(session: Session, asked: object, health: str | None) -> None:
    from mesh.cli.serving import Serving, log_to_stderr, stopping
    from mesh.cli.showing import DashboardServer, plan_of

    config, out = session.config(), session.out
    plan = plan_of(config, asked)  # type: ignore[arg-type] # its class is imported late
    log_to_stderr(quiet=out.quiet)
    health = health or config.health or HEALTH
    serving = Serving(drain_s=DRAIN_S, health=health, told=out.say, ready=lambda: None)
    server = DashboardServer(config, serving, plan)
    with stopping(server.stop.set):
        async with out.waiting(f"reading the log at {config.bootstrap}"):
            await server.run()
