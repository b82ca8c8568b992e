"""`mesh trace`: the tree of a workflow."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import Annotated

import typer

from mesh.cli.failures import not_found
from mesh.cli.options import Session, command
from mesh.errors import UsageError

EXAMPLES = """
mesh trace                    the workflow that was submitted last
mesh trace 3-8f2c             by the beginning of its id, or of one of its tasks'
mesh trace 3-8f2c -o wide     with every award, coordinates and evidence
mesh trace 3-8f2c -o json
mesh trace 3-8f2c --export otlp-json > trace.json
mesh trace --follow --export otlp-json >> traces.jsonl
"""
OTLP = "otlp-json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "trace", examples=EXAMPLES)(trace)


def trace(
    session: Session,
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", show_default="the latest")] = "",
    export: Annotated[
        str,
        typer.Option(metavar="FORMAT", help=f"Print it for another system: {OTLP}, one a line."),
    ] = "",
    every: Annotated[
        bool, typer.Option("--all", help="With --export: every workflow that has ended.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="With --export: each one as it ends.")
    ] = False,
) -> None:
    """Show who did what in a workflow: durations, cost, bids, decisions, what was tried again."""
    if export not in ("", OTLP):
        raise UsageError(f"--export: there is no format {export!r}; {OTLP}")
    if (every or follow) and (workflow or not export):
        raise UsageError("--all and --follow go with --export, and without a workflow")
    if every or follow:
        session.run(_export_all(session, follow=follow))
    elif export:
        session.run(_export(session, workflow))
    else:
        session.run(_trace(session, workflow))


async def _export(session: Session, name: str) -> None:
    from mesh.cli.exporting import document, line, release
    from mesh.cli.reading import AuditReader, connected

    config, out = session.config(), session.out
    async with connected(config, out) as log:
        reader = AuditReader(log, config, out)
        async with out.waiting(reader.progress):
            workflow = await reader.find(name) if name else await reader.latest()
            chronicle = await reader.chronicle(workflow)
    found = document(chronicle, int(time.time() * 1_000), release())
    if found is None:
        raise not_found(f"no record opens workflow {workflow}: the log's beginning may be gone")
    out.line(line(found))


async def _export_all(session: Session, *, follow: bool) -> None:
    from mesh.cli.exporting import document, ended, ending, line, release
    from mesh.cli.reading import AuditReader, connected

    config, out, by = session.config(), session.out, release()
    async with connected(config, out) as log:
        reader = AuditReader(log, config, out)
        if follow:
            out.say(f"traces of {config.mesh} at {config.bootstrap}, as they end; Ctrl-C ends it")
        async with aclosing(ending(reader) if follow else ended(reader)) as every:
            async for chronicle in every:
                found = document(chronicle, 0, by)
                if found is not None:
                    out.line(line(found))


async def _trace(session: Session, name: str) -> None:
    from mesh.cli.conflicts import read_conflicts
    from mesh.cli.halting import Desk, shape
    from mesh.cli.keeping import StateReader
    from mesh.cli.picture import picture
    from mesh.cli.reading import AuditReader, connected
    from mesh.core.ids import audit_partition_of
    from mesh.telling import shapes
    from mesh.telling.story import tell

    config, out = session.config(), session.out
    async with connected(config, out) as log:
        reader = AuditReader(log, config, out)
        async with out.waiting(reader.progress):
            workflow = await reader.find(name) if name else await reader.latest()
            chronicle = await reader.chronicle(workflow)
            conflicts = await read_conflicts(StateReader(log, config, out), chronicle)
        halts = [] if chronicle.ended else (await Desk(log, config, out).read()).over(chronicle)
    story = tell(chronicle, audit_partition_of(workflow), int(time.time() * 1_000))
    if story is None:
        raise not_found(f"no record opens workflow {workflow}: the log's beginning may be gone")
    halted = [f"{own.order.target} is {own}" for own in halts]
    told = shapes.story(story) | {
        "halts": [shape(own) for own in halts],
        "conflicts": conflicts.shapes(),
    }
    notes = [*halted, *conflicts.notes()]
    lines = conflicts.lines()
    out.data(told, lambda: picture(story, wide=out.is_wide, notes=notes, conflicts=lines))
