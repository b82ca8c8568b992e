"""`mesh run`: the agents of one process."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.cli.failures import CommandError, Exit
from mesh.cli.options import Session, command

DRAIN_S = 25.0
"""Below the 30 s after which Kubernetes kills."""
HEALTH = "127.0.0.1:8470"

EXAMPLES = """
mesh run hello:agent
mesh run hello:agent other.module:agent --drain 60
MESH_BOOTSTRAP=kafka:9092 mesh run hello:agent --health 0.0.0.0:8470
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "run", examples=EXAMPLES)(run)


def run(
    session: Session,
    agents: Annotated[list[str], typer.Argument(metavar="MODULE:AGENT", show_default=False)],
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds that a SIGTERM gives work to end in order.")
    ] = DRAIN_S,
    health: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            show_default=HEALTH,
            help="Where /healthz, /readyz and /metrics are; `off` for nowhere. [env: MESH_HEALTH]",
        ),
    ] = None,
    create_topics: Annotated[
        bool, typer.Option("--create-topics", help="Create the topics that are missing, first.")
    ] = False,
) -> None:
    """Run agents in this process, as a container does.

    SIGTERM drains: task partitions are given back, work that waits is suspended, the rest may end
    within the limit; a second signal ends it at once, and others go on from the journals.
    """
    session.run(_run(session, agents, (drain, health), create_topics=create_topics))


async def _run(
    session: Session, targets: list[str], limits: tuple[float, str | None], *, create_topics: bool
) -> None:
    from mesh.bootstrap import administer, ensure_topics, load_agents, topic_plans
    from mesh.cli.serving import Server, Serving, log_to_stderr, stopping
    from mesh.telling.words import plural

    config, out = session.config(), session.out
    log_to_stderr(quiet=out.quiet)
    agents = load_agents(targets)
    if create_topics:
        capabilities = [name for agent in agents for name in agent.capabilities]
        plans = topic_plans(config, capabilities, [agent.name for agent in agents])
        async with out.waiting(f"creating topics at {config.bootstrap}"):
            await ensure_topics(administer(config), plans, lambda change: out.say(str(change)))
    drain_s, health = limits
    health = health or config.health or HEALTH
    serving = Serving(drain_s=drain_s, health=health, told=out.say, ready=lambda: None)
    server = Server(config, agents, serving)
    with stopping(server.stop.set):
        count = plural(len(agents), "agent")
        async with out.waiting(f"starting {count} at {config.bootstrap}"):
            finished = await server.run()
    if not finished:
        raise CommandError("the drain's limit passed with work unfinished", Exit.UNEXPECTED)
