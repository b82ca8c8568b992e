"""`mesh incidents`: what was found."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.options import Session, command
from mesh.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mesh.cli.findings import Found, Wanted

EXAMPLES = """
mesh incidents
mesh incidents --since 1h --kind loop --kind ping-pong
mesh incidents --workflow 3-8f2c -o wide
mesh incidents --open
mesh incidents --follow -o jsonl | jq .text
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "incidents", examples=EXAMPLES)(incidents)


def incidents(  # noqa: PLR0913  # one for each option
    session: Session,
    workflow: Annotated[
        str, typer.Option(metavar="WORKFLOW", help="Only this one, by the beginning of its id.")
    ] = "",
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Only of this kind; repeatable.")
    ] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only what this detector found; repeatable."),
    ] = None,
    since: Annotated[
        str,
        typer.Option(metavar="TIME", help="Found since: 10m ago, or a time of RFC 3339."),
    ] = "",
    open_: Annotated[
        bool, typer.Option("--open", help="Only what waits for an answer by `mesh answer`.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they come.")] = False,
    count: Annotated[
        int, typer.Option("-n", "--count", metavar="N", min=0, help="End after so many.")
    ] = 0,
) -> None:
    """Show what was found: runaway chains, parked tasks, and what agents found about themselves.

    Each once, the newest last: what was seen against the limit, what the workflow had spent, the
    chain that led there, the events that prove it, as coordinates that `mesh trace` and `mesh why`
    take, and what answers it: it is told, its workflow is halted, or it waits for a person.
    """
    from mesh.cli.differing import parse_moment
    from mesh.cli.findings import Wanted

    if count and not follow:
        raise UsageError("--count ends --follow; without it everything is shown")
    wanted = Wanted(
        workflow=workflow,
        kinds=frozenset(kind or ()),
        detectors=frozenset(detector or ()),
        since_ms=parse_moment(since, int(time.time() * 1_000), "--since") if since else 0,
        since=since,
        waits=open_,
    )
    if follow:
        session.run(_follow(session, wanted, count))
    else:
        session.run(_show(session, wanted))


async def _show(session: Session, wanted: Wanted) -> None:
    from mesh.cli.findings import IncidentReader, nothing, shape
    from mesh.cli.reading import connected

    config, out = session.config(), session.out
    async with connected(config, out) as log:
        reader = IncidentReader(log, config, out)
        async with out.waiting(f"reading {reader.topic}"):
            every = await reader.read()
    found = [own for own in every if wanted.has(own)]
    if not found:
        out.say(nothing(wanted, every, config.mesh))
        if not out.is_json:
            return
    out.data([shape(own) for own in found], lambda: _lines(found, wide=out.is_wide))


async def _follow(session: Session, wanted: Wanted, count: int) -> None:
    from mesh.cli.findings import STYLE, IncidentReader, shape, told
    from mesh.cli.reading import connected

    config, out = session.config(), session.out
    async with connected(config, out) as log:
        reader = IncidentReader(log, config, out)
        out.say(f"incidents of {config.mesh} at {config.bootstrap}; Ctrl-C ends it")
        shown = 0
        async with aclosing(reader.follow()) as every:
            async for own in every:
                if not wanted.has(own):
                    continue
                out.item(shape(own), told(own, wide=out.is_wide), STYLE)
                shown += 1
                if shown == count:
                    return


def _lines(found: list[Found], *, wide: bool) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from mesh.cli.findings import STYLE, told

    texts = []
    for own in found:
        head, _, rest = told(own, wide=wide).partition("\n")
        texts.append(Text.assemble((head, f"bold {STYLE}"), f"\n{rest}"))
    return Group(*texts)
