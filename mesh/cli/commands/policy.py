"""`mesh policy`: the difference first, then the change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.failures import CommandError, Exit
from mesh.cli.options import Session, command

if TYPE_CHECKING:
    from mesh.cli.policies import Plan

EXAMPLES_PLAN = """
mesh policy plan policy.toml
"""
EXAMPLES_APPLY = """
mesh policy apply policy.toml --because "risk comes first since the audit"
"""
File = Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file; see docs/cli.md.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    command(group, "plan", examples=EXAMPLES_PLAN)(plan)
    command(group, "apply", examples=EXAMPLES_APPLY)(apply)
    app.add_typer(group, name="policy", short_help="Compare a mesh's policy, and apply it.")
    group.callback()(_group)


def _group() -> None:
    """Compare the policy of a mesh with a file, and bring the file into force."""


def plan(session: Session, file: File) -> None:
    """Show what a policy file would change; changes nothing.

    Exit code 5 if something would have to be done.
    """
    session.run(_run(session, file, None))


def apply(
    session: Session,
    file: File,
    because: Annotated[
        str, typer.Option(metavar="TEXT", help="Why, in words; it stands in the log.")
    ],
) -> None:
    """Bring a policy file into force.

    Its version must grow with its contents. Waits until every partition of shared state was told;
    what was interrupted is finished by the same command.
    """
    from mesh.cli.ordering import reason

    session.run(_run(session, file, reason(because)))


async def _run(session: Session, file: Path, because: str | None) -> None:
    from mesh.cli import state_picture, state_shapes
    from mesh.cli.adopting import Policies
    from mesh.cli.ordering import person
    from mesh.cli.policies import read_file
    from mesh.cli.reading import connected
    from mesh.wire.policies import NAME

    text, document = read_file(file)
    config, out = session.config(), session.out
    changes = because is not None
    async with connected(config, out, writes=changes) as log:
        policies = Policies(log, config, out)
        async with out.waiting("reading the policy that holds"):
            made: Plan = await policies.plan(document)
        if because is not None and made.pending:
            steps = len(made.steps)
            async with out.waiting(lambda: f"told {policies.done} of {steps} partitions"):
                await policies.apply(made, text, person(), because)
            made = made.done()
    out.data(state_shapes.plan(NAME, made), lambda: state_picture.plan(made))
    if made.pending:
        raise CommandError(
            f"version {document.version} does not hold everywhere; `mesh policy apply {file} "
            "--because …` brings it into force",
            Exit.NOT_VERIFIED,
        )
