"""`mesh why`: recomputes from the log why a task went as it did."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.cli.failures import CommandError, Exit
from mesh.cli.options import Session, command
from mesh.errors import UsageError

EXAMPLES = """
mesh why 3-8f2c               a task, or a workflow's root task, by the beginning of its id
mesh why 3-8f2c --all         every task of that workflow
mesh why --every-workflow     every award of the mesh; shows those that do not agree
mesh why 3-8f2c -o json
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "why", examples=EXAMPLES)(why)


def why(
    session: Session,
    task: Annotated[str, typer.Argument(metavar="TASK", show_default="the latest workflow")] = "",
    every: Annotated[
        bool, typer.Option("--all", help="Every task of the workflow, not this one alone.")
    ] = False,
    mesh_wide: Annotated[
        bool,
        typer.Option("--every-workflow", help="Every award of the mesh; show what disagrees."),
    ] = False,
) -> None:
    """Tell why a worker got a task, and why a step, a result or a budget was refused.

    Each award is decided again from the figures in the log, each refusal names the rule, the
    figures and its coordinates (audit partition and offset). Exit code 5 if an award does not
    follow from its figures.
    """
    if mesh_wide and task:
        raise UsageError(f"--every-workflow is of the whole mesh, not of {task}")
    session.run(_every(session) if mesh_wide else _why(session, task, every=every))


async def _every(session: Session) -> None:
    from rich.console import Group

    from mesh.cli.picture import reasons
    from mesh.cli.reading import AuditReader, connected
    from mesh.core.ids import audit_partition_of
    from mesh.telling import shapes, words
    from mesh.telling.reasons import explain

    config, out = session.config(), session.out
    async with connected(config, out) as log:
        reader = AuditReader(log, config, out)
        async with out.waiting(reader.progress):
            chronicles = await reader.every_chronicle()
    tasks = awards = 0
    wrong = []
    for chronicle in chronicles:
        partition = audit_partition_of(chronicle.workflow)
        for task in chronicle.states:
            told = explain(chronicle, task, partition)
            if told is not None:
                tasks, awards = tasks + 1, awards + told.awards
                wrong += [] if told.agrees else [told]
    shape = {
        "workflows": len(chronicles),
        "tasks": tasks,
        "awards": awards,
        "disagree": [shapes.explanation(one) for one in wrong],
    }
    summary = (
        f"{words.plural(len(chronicles), 'workflow')}, {words.plural(tasks, 'task')}, "
        f"{words.plural(awards, 'award')}: {'not all agree' if wrong else 'all agree'}"
    )
    out.data(shape, lambda: Group(*map(reasons, wrong), summary))
    _refuse([one.task for one in wrong])


async def _why(session: Session, name: str, *, every: bool) -> None:
    from rich.console import Group

    from mesh.cli.picture import reasons
    from mesh.cli.reading import AuditReader, connected
    from mesh.core.ids import audit_partition_of
    from mesh.telling import shapes
    from mesh.telling.reasons import explain

    config, out = session.config(), session.out
    async with connected(config, out) as log:
        reader = AuditReader(log, config, out)
        async with out.waiting(reader.progress):
            workflow = await reader.find(name) if name else await reader.latest()
            chronicle = await reader.chronicle(workflow)
    partition = audit_partition_of(workflow)
    tasks = list(chronicle.states) if every else [reader.task_of(name or workflow, chronicle)]
    found = [explain(chronicle, task, partition) for task in tasks]
    told = [one for one in found if one is not None]
    shape = [shapes.explanation(one) for one in told]
    out.data(shape if every else shape[0], lambda: Group(*map(reasons, told)))
    _refuse([one.task for one in told if not one.agrees])


def _refuse(wrong: list[str]) -> None:
    """End with code 5 if there is a task whose award does not follow."""
    if wrong:
        raise CommandError(
            f"{len(wrong)} awards do not follow from their figures: {', '.join(wrong)}",
            Exit.NOT_VERIFIED,
        )
