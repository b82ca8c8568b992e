"""`mesh watch`: the live tail of the audit stream."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from mesh.cli.options import Session, command
from mesh.errors import UsageError

if TYPE_CHECKING:
    from mesh.core.facts import Record

EXAMPLES = """
mesh watch
mesh watch --kind TaskAwarded --kind ResultRejected
mesh watch --workflow 3-8f2c --from-start
mesh watch --agent sourcing-eu -o jsonl | jq .
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "watch", examples=EXAMPLES)(watch)


def watch(
    session: Session,
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Only facts of this kind; repeatable.")
    ] = None,
    agent: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only what this agent wrote.")
    ] = None,
    workflow: Annotated[
        str, typer.Option(metavar="WORKFLOW", help="Only this one, by the beginning of its id.")
    ] = "",
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the oldest fact, and judge each.")
    ] = False,
    count: Annotated[
        int, typer.Option("-n", "--count", metavar="N", min=0, help="End after so many.")
    ] = 0,
) -> None:
    """Show facts as they are written, from all partitions of the audit stream.

    From the end, facts are shown as written: what counts can only be judged from the beginning
    (--from-start), and is then said of each that does not.
    """
    kinds = {_kind(name) for name in kind or ()}
    wanted = _Wanted(kinds, tuple(agent or ()), workflow)
    session.run(_watch(session, wanted, count, from_start=from_start))


class _Wanted:
    def __init__(self, kinds: set[str], agents: tuple[str, ...], workflow: str) -> None:
        self.kinds = kinds
        self.agents = agents
        self.workflow = workflow

    def has(self, record: Record) -> bool:
        """Tell whether a record is asked for."""
        fact = record.fact
        by = fact.by.instance
        return (
            (not self.kinds or type(fact).__name__ in self.kinds)
            and (not self.agents or any(by.startswith(f"{name}.") for name in self.agents))
            and getattr(fact, "workflow", "").startswith(self.workflow)
        )


async def _watch(session: Session, wanted: _Wanted, count: int, *, from_start: bool) -> None:
    from mesh.cli.reading import AuditReader, connected
    from mesh.cli.telling import Teller, shape_of, style_of
    from mesh.core.ledger import Ledger

    config, out = session.config(), session.out
    async with connected(config, out) as log:
        reader = AuditReader(log, config, out)
        ends = await reader.ends()
        ledgers = {partition: Ledger() for partition in ends} if from_start else {}
        teller, shown = Teller(out), 0
        out.say(f"{config.mesh} at {config.bootstrap}: {len(ends)} partitions; Ctrl-C ends it")
        async for partition, (record, _) in reader.follow(
            dict.fromkeys(ends, 0 if from_start else None)
        ):
            void = ledgers[partition].add(record) if from_start else None
            text = teller.line(record, void or "")
            if not wanted.has(record):
                continue
            shape = shape_of(record, partition, void)
            out.item(shape, text, style_of(record.fact, void or ""))
            shown += 1
            if shown == count:
                return


def _kind(name: str) -> str:
    from mesh.core.facts import Fact

    kinds: dict[str, str] = {kind.__name__.lower(): kind.__name__ for kind in get_args(Fact)}
    if name.lower() not in kinds:
        near = get_close_matches(name.lower(), kinds, n=1)
        known = f"did you mean {kinds[near[0]]}?" if near else ", ".join(sorted(kinds.values()))
        raise UsageError(f"--kind: there is no kind of fact {name!r}; {known}")
    return kinds[name.lower()]
