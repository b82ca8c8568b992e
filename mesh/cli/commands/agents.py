"""`mesh agents`: who is there, and what each has done."""

from __future__ import annotations

import time
from dataclasses import asdict
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.failures import CommandError, Exit, not_found
from mesh.cli.options import Session, command
from mesh.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mesh.core.registry import Card, Directory, Presence
    from mesh.core.standing import Latest
    from mesh.runtime.orders import InForce, Orders

EXAMPLES = """
mesh agents
mesh agents -o wide
mesh agents sourcing-eu       its card: scope, capabilities with their limits, what it has done
mesh agents --verify          whether the audit stream makes the standing that is written
mesh agents -o json
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "agents", examples=EXAMPLES)(agents)


def agents(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default="all")] = "",
    verify: Annotated[
        bool, typer.Option("--verify", help="Fold the audit stream anew, and compare standing.")
    ] = False,
) -> None:
    """List the agents: owner, version, state, capabilities, standing, instances, load.

    Standing goes from 0.1 to 1.0 for each capability: the mean of good and bad results, the latest
    weighing most; `new` where nothing is known. Auctions score by it. With NAME each figure that
    it comes from is shown. Exit code 5 if --verify finds a difference.
    """
    if verify and name:
        raise UsageError(f"--verify is of all agents, not of {name}")
    session.run(_verify(session) if verify else _agents(session, name))


async def _verify(session: Session) -> None:
    from mesh.cli import standings
    from mesh.cli.reading import AuditReader, connected
    from mesh.wire import topics

    config, out = session.config(), session.out
    async with connected(config, out) as log:
        reader = AuditReader(log, config, out)
        written = await standings.read_standings(log, config, out)
        async with out.waiting(reader.progress):
            checks = await standings.verify(log, reader, config, written)
    topic = topics.standing(config.mesh)
    shape = [asdict(own) for own in checks]
    out.data(shape, lambda: standings.verdict(checks, topic))
    if any(own.differences for own in checks):
        raise CommandError(
            f"{topic} differs from what the audit stream makes; it must not be trusted",
            Exit.NOT_VERIFIED,
        )


async def _agents(session: Session, name: str) -> None:
    from mesh.cli.halting import Desk
    from mesh.cli.reading import connected, read_directory
    from mesh.cli.standings import read_standings

    config, out = session.config(), session.out
    async with connected(config, out) as log, out.waiting("reading the registry"):
        directory = await read_directory(log, config, out)
        orders = await Desk(log, config, out).read()
        known = await read_standings(log, config, out)
    now_ms = int(time.time() * 1_000)
    directory.expire(now_ms)
    if name:
        card = directory.card(name)
        if card is None:
            near = get_close_matches(name, directory.agents, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "`mesh agents` lists them"
            raise not_found(f"there is no agent {name} in {config.mesh}; {hint}")
        halt = _halt(orders, name)
        out.data(
            _shape(directory, card, halt, known),
            lambda: _one(directory, card, now_ms, halt, known),
        )
        return
    cards = [card for own in directory.agents if (card := directory.card(own)) is not None]
    if not cards:
        out.say(
            f"no agent has registered in {config.mesh} yet; `mesh run` or `mesh dev` starts one"
        )
    out.data(
        [_shape(directory, card, _halt(orders, card.agent), known) for card in cards],
        lambda: _table(directory, cards, now_ms, orders, known, wide=out.is_wide),
    )


def _instances(directory: Directory, agent: str) -> list[tuple[Presence, int]]:
    return [(own, seen) for own, seen in directory.present() if own.agent == agent]


def _halt(orders: Orders, agent: str) -> InForce | None:
    return orders.in_force(f"agent/{agent}")


def _shape(
    directory: Directory, card: Card, halt: InForce | None, known: Latest
) -> dict[str, object]:
    from mesh.cli import halting, standings
    from mesh.telling import shapes

    halted = None if halt is None else halting.shape(halt)
    instances = [shapes.presence(*own) for own in _instances(directory, card.agent)]
    did = [standings.shape(own) for own in known.of(card.agent)]
    return shapes.card(card) | {"halt": halted, "instances": instances, "standing": did}


def _table(
    directory: Directory,
    cards: list[Card],
    now_ms: int,
    orders: Orders,
    known: Latest,
    *,
    wide: bool,
) -> RenderableType:
    from mesh.cli import standings
    from mesh.cli.output import table

    columns = ["agent", "owner", "version", "state", "capabilities", "standing", "done"]
    columns += ["alive", "load", "last seen"]
    if wide:
        columns += ["may call", "purpose"]
    rows = []
    for card in cards:
        there, did = _instances(directory, card.agent), known.of(card.agent)
        row: list[object] = [
            card.agent,
            card.owner,
            card.version,
            card.state.value if _halt(orders, card.agent) is None else "HALTED",
            ", ".join(own.name for own in card.capabilities),
            standings.brief(did, [own.name for own in card.capabilities]),
            standings.done(did),
            len(there),
            _load([own for own, _ in there]),
            _seen([seen for _, seen in there], now_ms),
        ]
        rows.append([*row, ", ".join(card.calls), card.purpose] if wide else row)
    return table(columns, rows, right=("done", "alive", "load"))


def _load(instances: list[Presence]) -> str:
    return f"{sum(own.load for own in instances)}/{sum(own.slots for own in instances)}"


def _seen(times: list[int], now_ms: int) -> str:
    from mesh.telling import words

    return f"{words.duration(max(0, now_ms - max(times)))} ago" if times else "never"


def _one(
    directory: Directory, card: Card, now_ms: int, halt: InForce | None, known: Latest
) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from mesh.cli import standings
    from mesh.cli.output import table
    from mesh.telling import words

    head = Text.assemble((card.agent, "bold"), f" {card.version}  {card.state.value}")
    facts = [
        ("HALTED", "" if halt is None else str(halt)),
        ("owner", card.owner),
        ("purpose", card.purpose),
        ("may call", ", ".join(card.calls) or "nobody"),
        ("reads", ", ".join(card.reads)),
        ("writes", ", ".join(card.writes)),
        ("tools", ", ".join(card.tools)),
    ]
    lines = [Text(f"  {key:9} {value}") for key, value in facts if value]
    offered = table(
        ("capability", "effect", "mode", "bids", "budget", "timeout", "lease", "attempts"),
        (
            (
                own.name,
                own.effect.value,
                own.mode.value,
                "yes" if own.has_bid else "no",
                "the mesh's" if own.budget is None else words.amount(own.budget),
                words.duration(own.timeout_ms),
                words.duration(own.lease_ms),
                own.max_attempts,
            )
            for own in card.capabilities
        ),
    )
    there = table(
        ("instance", "incarnation", "load", "state", "last seen"),
        (
            (
                own.instance,
                own.incarnation,
                f"{own.load}/{own.slots}",
                "draining" if own.draining else "alive",
                _seen([seen], now_ms),
            )
            for own, seen in _instances(directory, card.agent)
        ),
    )
    did = [Text(f"  {line}") for line in standings.lines(known.of(card.agent))]
    return Group(head, *lines, offered, Text("what it has done", "bold"), *did, there)
