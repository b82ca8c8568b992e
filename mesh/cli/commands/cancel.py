"""`mesh cancel`: ends a workflow in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.failures import CommandError, Exit, timed_out
from mesh.cli.options import Session, command

if TYPE_CHECKING:
    from mesh.cli.reading import AuditReader
    from mesh.ports import Log
    from mesh.telling.story import Chronicle

EXAMPLES = """
mesh cancel 3-8f2c --because "ordered twice"
"""
REPEAT_S = 2.0
"""Asked again if nothing is heard: the supervisor may just have changed."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "cancel", examples=EXAMPLES)(cancel)


def cancel(
    session: Session,
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW")],
    because: Annotated[
        str, typer.Option(metavar="TEXT", help="Why, in words; it stands in the log.")
    ],
) -> None:
    """End a workflow in order.

    Its workers stop, what was spent stays spent, and the log says who wanted it and why. Waits for
    the end, for at most --timeout. Exit code 6 if it had ended otherwise by then.
    """
    from mesh.cli.ordering import reason

    session.run(_cancel(session, workflow, reason(because)))


async def _cancel(session: Session, name: str, because: str) -> None:
    import asyncio

    from mesh.cli.reading import AuditReader, connected

    config, out = session.config(), session.out
    async with connected(config, out, writes=True) as log:
        reader = AuditReader(log, config, out)
        async with out.waiting(reader.progress):
            workflow = await reader.find(name)
        try:
            async with asyncio.timeout(config.timeout_s), out.waiting(f"ending {workflow}"):
                chronicle = await _until_ended(reader, workflow, because)
        except TimeoutError:
            raise timed_out(
                f"{workflow} has not ended within {config.timeout_s:g} s: is its supervisor alive? "
                f"`mesh trace {workflow}` shows what is open"
            ) from None
        _tell(session, chronicle)
        await _answer_for(session, reader.log, workflow, because)


async def _answer_for(session: Session, log: Log, workflow: str, because: str) -> None:
    """Answer what was asked about the workflow: it goes on no more."""
    from mesh.cli.findings import IncidentReader, Wanted
    from mesh.cli.ordering import person
    from mesh.core.responses import cancelled
    from mesh.ports import Place
    from mesh.runtime.orders import append
    from mesh.wire.entries import encode_entry

    config, wanted = session.config(), Wanted(workflow=workflow, waits=True)
    reader = IncidentReader(log, config, session.out)
    if any(wanted.has(own) for own in await reader.read()):
        word = cancelled(workflow, person=person(), because=because)
        place, key = Place(reader.topic, -1), workflow.encode()
        await append(log, place, key, encode_entry(word), timeout_s=config.timeout_s)


async def _until_ended(reader: AuditReader, workflow: str, because: str) -> Chronicle:
    """Ask the supervisor, and read, until the workflow has ended."""
    import asyncio

    from mesh.cli.ordering import person
    from mesh.runtime.orders import ask_to_cancel

    while True:
        chronicle = await reader.chronicle(workflow)
        if chronicle.ended:
            return chronicle
        taken = await reader.supervisor(chronicle)
        if taken is not None:
            ask_to_cancel(reader.log, taken, workflow, because=because, person=person())
        await asyncio.sleep(REPEAT_S)
        reader.forget_ends()


def _tell(session: Session, chronicle: Chronicle) -> None:
    from mesh.core.ids import audit_partition_of
    from mesh.telling import shapes
    from mesh.telling.story import tell

    story = tell(chronicle, audit_partition_of(chronicle.workflow))
    assert story is not None, "it has ended, so it was opened"
    root = story.root
    shape = {
        "workflow": story.workflow,
        "status": root.status,
        "reason": root.reason,
        "cost": shapes.amount(root.cost),
    }
    session.out.data(shape, lambda: f"{story.workflow} {root.status}")
    if root.status != "cancelled":
        raise CommandError(f"{story.workflow} had ended already: {root.status}", Exit.FAILED)
