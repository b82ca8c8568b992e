"""`mesh halt` and `mesh lift`: stop something, and let it go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.options import Session, command
from mesh.errors import UsageError

if TYPE_CHECKING:
    from mesh.cli.reading import AuditReader
    from mesh.core.halts import HaltOrder, TargetKind
    from mesh.ports import Log
    from mesh.runtime.orders import InForce, Orders
    from mesh.telling.story import Chronicle

HALTS = """
mesh halt workflow 3-8f2c --because "it orders the same twice"
mesh halt agent/sourcing-eu --because "its prices are wrong"
mesh halt capability procurement.* --because "the supplier list is being cleaned"
"""
LIFTS = """
mesh lift 3-8f2c --because "it was a test order"
mesh lift agent/sourcing-eu --because "fixed in 2.1"
"""
KINDS = ("workflow", "agent", "capability")

Because = Annotated[str, typer.Option(metavar="TEXT", help="Why, in words; it stands in the log.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "halt", examples=HALTS)(halt)
    command(app, "lift", examples=LIFTS)(lift)


def halt(
    session: Session,
    kind: Annotated[str, typer.Argument(metavar="workflow|agent|capability")],
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)] = "",
    *,
    because: Because,
    force: Annotated[
        bool, typer.Option("--force", help="Also what no card or record has named yet.")
    ] = False,
) -> None:
    """Stop a workflow, an agent or a capability at the next step of each task it covers.

    A call under way ends and is recorded; then its task gives slot and lease up, and so do those
    below it. Nothing new is begun or awarded. Deadlines run on, and `mesh cancel` works. An agent's
    tasks may go to others. It holds until `mesh lift`.
    """
    from mesh.cli.ordering import reason
    from mesh.core.halts import TargetKind

    if not name:  # as one word, as `mesh lift` takes it
        kind, _, name = kind.partition("/")
    if kind not in KINDS or not name:
        raise UsageError(f"{kind!r} cannot be halted: workflow, agent or capability NAME can")
    session.run(_halt(session, TargetKind(kind), name, reason(because), force=force))


def lift(
    session: Session,
    target: Annotated[str, typer.Argument(metavar="TARGET")],
    because: Because,
) -> None:
    """Lift a halt: what it stopped goes on from its journals, and no attempt is counted."""
    from mesh.cli.ordering import reason

    session.run(_lift(session, target, reason(because)))


async def _halt(
    session: Session, kind: TargetKind, name: str, because: str, *, force: bool
) -> None:
    from mesh.cli.halting import Desk
    from mesh.cli.reading import connected
    from mesh.core.halts import Target

    config, out = session.config(), session.out
    async with connected(config, out, writes=True) as log:
        name = await _known(session, log, kind, name, force=force)
        desk, target = Desk(log, config, out), str(Target(kind, name))
        orders = await desk.read()
        given = orders.in_force(target)
        if given is None:
            through = await desk.looked(target)
            given = await desk.give(_next(orders, target, because, through, halted=True))
        else:
            out.say(f"{target} is {given}; nothing was ordered")
        await _tell(session, log, given)


async def _lift(session: Session, text: str, because: str) -> None:
    from mesh.cli.halting import Desk, halted_target
    from mesh.cli.reading import connected

    config, out = session.config(), session.out
    async with connected(config, out, writes=True) as log:
        desk = Desk(log, config, out)
        orders = await desk.read()
        target = halted_target(text, orders)
        through = await desk.looked(target)
        order = _next(orders, target, because, through, halted=False)
        await _tell(session, log, await desk.give(order))


def _next(orders: Orders, target: str, because: str, through: int, *, halted: bool) -> HaltOrder:
    from mesh.cli.ordering import person

    return orders.halts.next_order(
        target, halted=halted, because=because, person=person(), through=through
    )


async def _known(session: Session, log: Log, kind: TargetKind, name: str, *, force: bool) -> str:
    """Return the name of what is to be halted, in full."""
    from mesh.cli.failures import CommandError
    from mesh.cli.halting import check_name
    from mesh.cli.reading import AuditReader, read_directory
    from mesh.core.halts import TargetKind

    config, out = session.config(), session.out
    try:
        if kind is not TargetKind.WORKFLOW:
            check_name(kind, name, await read_directory(log, config, out), config.mesh)
            return name
        return await AuditReader(log, config, out).find(name)
    except CommandError as error:
        if not force:
            raise
        out.say(f"{error}; halted all the same")
        return name


async def _tell(session: Session, log: Log, given: InForce) -> None:
    from mesh.cli.halting import covered, shape
    from mesh.cli.reading import AuditReader
    from mesh.telling import words

    config, out = session.config(), session.out
    reader = AuditReader(log, config, out)
    async with out.waiting(reader.progress):
        count = covered(await _chronicles(reader, given), given.order)
    order = given.order
    does = "is halted" if order.halted else "is lifted"
    text = f"{order.target} {does}; it covers {words.plural(count, 'open task')}"
    out.data(shape(given) | {"open_tasks": count}, lambda: text)


async def _chronicles(reader: AuditReader, given: InForce) -> list[Chronicle]:
    from mesh.core.halts import TargetKind, target_of
    from mesh.core.ids import audit_partition_of

    target = target_of(given.order.target)
    if target is not None and target.kind is TargetKind.WORKFLOW:
        partition = audit_partition_of(target.name)
        there = partition in await reader.ends()
        return [await reader.chronicle(target.name)] if there else []
    return await reader.every_chronicle()
