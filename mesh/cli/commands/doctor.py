"""`mesh doctor`: what is wrong, why it matters, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.failures import CommandError, Exit
from mesh.cli.options import Session, command

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mesh.cli.checkup import Finding

EXAMPLES = """
mesh doctor hello:agent                      the definitions alone; needs no broker
mesh doctor --bootstrap kafka:9092           reachability, topics, permissions, clocks
mesh doctor hello:agent --bootstrap kafka:9092
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "doctor", examples=EXAMPLES)(doctor)


def doctor(
    session: Session,
    agents: Annotated[
        list[str] | None, typer.Argument(metavar="MODULE:AGENT", show_default=False)
    ] = None,
) -> None:
    """Find what is wrong: each line says what, why it matters, and the fix.

    With agents and no broker named, looks at their definitions alone. Exit code 5 if something must
    be repaired, 3 if the broker cannot be reached.
    """
    session.run(_doctor(session, agents or []))


async def _doctor(session: Session, targets: list[str]) -> None:
    from mesh.bootstrap import load_agents
    from mesh.cli.checkup import Broker, Health, definitions, machine
    from mesh.telling.words import plural

    config, out = session.config(), session.out
    agents = load_agents(targets)
    findings = [*machine(), *definitions(agents, config.core())]
    broker = Broker(config, agents, out)
    asks = not agents or config.origin != "the default"
    if asks:
        findings += [finding async for finding in broker.examine()]
    else:
        out.say("no broker was asked: name one with --bootstrap, MESH_BOOTSTRAP or a context")
    shape = [own._asdict() | {"health": own.health.value} for own in findings]
    out.data(shape, lambda: _picture(findings))
    failed = sum(own.health is Health.FAIL for own in findings)
    if asks and not broker.reached:
        raise CommandError(f"{config.bootstrap} cannot be used", Exit.UNREACHABLE)
    if failed:
        raise CommandError(f"{plural(failed, 'finding')} must be repaired", Exit.NOT_VERIFIED)


def _picture(findings: list[Finding]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    signs = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}
    lines = []
    for own in findings:
        sign, style = signs[own.health.value]
        lines.append(Text.assemble((f"{sign} ", style), own.what))
        if own.why:
            lines.append(Text(f"    why  {own.why}", "dim"))
        if own.fix:
            lines.append(Text(f"    fix  {own.fix}"))
    return Group(*lines)
