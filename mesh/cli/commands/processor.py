"""`mesh processor`: a worker that keeps shared state."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.cli.failures import CommandError, Exit
from mesh.cli.options import Session, command

DRAIN_S = 10.0
"""A verdict takes milliseconds; a broker that is away takes longer, and then others go on."""
HEALTH = "127.0.0.1:8471"

EXAMPLES = """
mesh processor
MESH_BOOTSTRAP=kafka:9092 mesh processor --health 0.0.0.0:8471
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "processor", examples=EXAMPLES)(processor)


def processor(
    session: Session,
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds that a SIGTERM gives verdicts to be told.")
    ] = DRAIN_S,
    health: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            show_default=HEALTH,
            help="Where /healthz, /readyz and /metrics are; `off` for nowhere. [env: MESH_HEALTH]",
        ),
    ] = None,
    skip_newer: Annotated[
        bool,
        typer.Option(
            "--skip-newer",
            help="Make dead letters of what a newer release seems to have written, and go on.",
        ),
    ] = False,
) -> None:
    """Judge the changes of shared state, and keep its entries; several share the work.

    It needs its topics (`mesh topics apply`) and refuses to start without them. With none running,
    tasks go on and writes wait. It keeps nothing on this machine: it may be killed at any time.
    """
    session.run(_run(session, (drain, health), skip_newer=skip_newer))


async def _run(session: Session, limits: tuple[float, str | None], *, skip_newer: bool) -> None:
    from mesh.cli.processing import ProcessorServer, quieten
    from mesh.cli.serving import Serving, log_to_stderr, stopping

    config, out = session.config(), session.out
    log_to_stderr(quiet=out.quiet)
    quieten()
    drain_s, health = limits
    health = health or config.health or HEALTH
    serving = Serving(drain_s=drain_s, health=health, told=out.say, ready=lambda: None)
    server = ProcessorServer(config, serving, skips_newer=skip_newer)
    with stopping(server.stop.set):
        async with out.waiting(f"joining the processors at {config.bootstrap}"):
            finished = await server.run()
    if not finished:
        raise CommandError("the drain's limit passed with verdicts untold", Exit.UNEXPECTED)
