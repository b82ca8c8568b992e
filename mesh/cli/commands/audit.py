"""`mesh audit check`: the invariants over a real log."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.cli.failures import CommandError, Exit
from mesh.cli.options import Session, command

EXAMPLES = """
mesh audit check
mesh audit check --all-ended        where nothing may be open any more
mesh audit check -o json
"""
SHOWN = 50
"""Violations in a table; JSON has them all."""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    command(group, "check", examples=EXAMPLES)(check)
    app.add_typer(group, name="audit", help="Check the audit stream.", short_help="Check the log.")
    group.callback()(_group)


def _group() -> None:
    """Check the audit stream: it is the whole truth about what was done."""


def check(
    session: Session,
    all_ended: Annotated[
        bool, typer.Option("--all-ended", help="A task that has not ended is a violation.")
    ] = False,
) -> None:
    """Check every invariant over the whole audit stream, by other means than those that wrote it.

    Exit code 5 if one does not hold; each violation names its coordinates.
    """
    session.run(_check(session, all_ended=all_ended))


async def _check(session: Session, *, all_ended: bool) -> None:
    from mesh.cli.auditing import audit, report, verdict
    from mesh.cli.reading import AuditReader, connected

    config, out = session.config(), session.out
    async with connected(config, out) as log:
        reader = AuditReader(log, config, out)
        async with out.waiting(reader.progress):
            checked = await audit(reader, all_ended=all_ended)
    out.data(report(checked), lambda: verdict(checked, SHOWN))
    if checked.violations:
        raise CommandError(
            f"{len(checked.violations):,} violations in {config.mesh}; the log must not be trusted",
            Exit.NOT_VERIFIED,
        )
