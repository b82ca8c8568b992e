"""`mesh answer`: a person's word on an incident that asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.options import Session, command

if TYPE_CHECKING:
    from mesh.cli.findings import Found

EXAMPLES = """
mesh incidents --open
mesh answer 5f2a --because "it is month's end, all invoices go out today"
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "answer", examples=EXAMPLES)(answer)


def answer(
    session: Session,
    incident: Annotated[str, typer.Argument(metavar="INCIDENT")],
    because: Annotated[
        str, typer.Option(metavar="TEXT", help="Why, in words; it stands in the log.")
    ],
) -> None:
    """Answer an incident that asks: its workflow may go on as it does.

    INCIDENT is its id, or the beginning of it. The answer stands beside it and closes it; whoever
    wants the workflow stopped uses `mesh halt` or `mesh cancel`, which answer it, too. The first
    answer holds: exit code 6 if somebody else has given one.
    """
    from mesh.cli.ordering import reason

    session.run(_answer(session, incident, reason(because)))


async def _answer(session: Session, text: str, because: str) -> None:
    from mesh.cli.findings import IncidentReader, by_id
    from mesh.cli.ordering import person
    from mesh.cli.reading import connected
    from mesh.core import responses
    from mesh.ports import Place
    from mesh.runtime.orders import append
    from mesh.wire.entries import encode_entry

    config, out = session.config(), session.out
    async with connected(config, out, writes=True) as log:
        found = by_id(await IncidentReader(log, config, out).read(), text)
        if found.answer is None:
            reader = IncidentReader(log, config, out)
            word = responses.answer(found.incident, person=person(), because=because)
            key = (word.workflow or found.key).encode()
            place = Place(reader.topic, -1)
            await append(log, place, key, encode_entry(word), timeout_s=config.timeout_s)
            found = by_id(await reader.read(), found.incident.id)
            _tell(session, found, mine=(word.person, because))
        else:
            _tell(session, found, mine=("", ""))


def _tell(session: Session, found: Found, mine: tuple[str, str]) -> None:
    from mesh.cli.failures import CommandError, Exit
    from mesh.cli.findings import shape
    from mesh.telling import words

    given = found.answer
    assert given is not None, "the answer was appended and read back"
    name = words.short(found.incident.id)
    session.out.data(shape(found), lambda: f"{name} is answered by {given.person}")
    if (given.person, given.because) != mine:
        raise CommandError(
            f"{given.person} had answered {name} before: {words.clip(given.because)}", Exit.FAILED
        )
