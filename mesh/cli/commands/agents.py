"""`mesh agents`: who is there."""

from __future__ import annotations

import time
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.failures import not_found
from mesh.cli.options import Session, command

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mesh.cli.halting import Orders, Standing
    from mesh.core.registry import Card, Directory, Presence

EXAMPLES = """
mesh agents
mesh agents -o wide
mesh agents sourcing-eu       its card: scope, capabilities with their limits, instances
mesh agents -o json
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "agents", examples=EXAMPLES)(agents)


def agents(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default="all")] = "",
) -> None:
    """List the agents: owner, version, state, capabilities, instances, load, last heartbeat."""
    session.run(_agents(session, name))


async def _agents(session: Session, name: str) -> None:
    from mesh.cli.halting import Desk
    from mesh.cli.reading import connected, read_directory

    config, out = session.config(), session.out
    async with connected(config, out) as log, out.waiting("reading the registry"):
        directory = await read_directory(log, config, out)
        orders = await Desk(log, config, out).read()
    now_ms = int(time.time() * 1_000)
    directory.expire(now_ms)
    if name:
        card = directory.card(name)
        if card is None:
            near = get_close_matches(name, directory.agents, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "`mesh agents` lists them"
            raise not_found(f"there is no agent {name} in {config.mesh}; {hint}")
        halt = _halt(orders, name)
        out.data(_shape(directory, card, halt), lambda: _one(directory, card, now_ms, halt))
        return
    cards = [card for own in directory.agents if (card := directory.card(own)) is not None]
    if not cards:
        out.say(
            f"no agent has registered in {config.mesh} yet; `mesh run` or `mesh dev` starts one"
        )
    out.data(
        [_shape(directory, card, _halt(orders, card.agent)) for card in cards],
        lambda: _table(directory, cards, now_ms, orders, wide=out.is_wide),
    )


def _instances(directory: Directory, agent: str) -> list[tuple[Presence, int]]:
    return [(own, seen) for own, seen in directory.present() if own.agent == agent]


def _halt(orders: Orders, agent: str) -> Standing | None:
    return orders.standing(f"agent/{agent}")


def _shape(directory: Directory, card: Card, halt: Standing | None) -> dict[str, object]:
    from mesh.cli import halting
    from mesh.telling import shapes

    halted = None if halt is None else halting.shape(halt)
    instances = [shapes.presence(*own) for own in _instances(directory, card.agent)]
    return shapes.card(card) | {"halt": halted, "instances": instances}


def _table(
    directory: Directory, cards: list[Card], now_ms: int, orders: Orders, *, wide: bool
) -> RenderableType:
    from mesh.cli.output import table

    columns = ["agent", "owner", "version", "state", "capabilities", "alive", "load", "last seen"]
    if wide:
        columns += ["may call", "purpose"]
    rows = []
    for card in cards:
        there = _instances(directory, card.agent)
        row: list[object] = [
            card.agent,
            card.owner,
            card.version,
            card.state.value if _halt(orders, card.agent) is None else "HALTED",
            ", ".join(own.name for own in card.capabilities),
            len(there),
            _load([own for own, _ in there]),
            _seen([seen for _, seen in there], now_ms),
        ]
        rows.append([*row, ", ".join(card.calls), card.purpose] if wide else row)
    return table(columns, rows, right=("alive", "load"))


def _load(instances: list[Presence]) -> str:
    return f"{sum(own.load for own in instances)}/{sum(own.slots for own in instances)}"


def _seen(times: list[int], now_ms: int) -> str:
    from mesh.telling import words

    return f"{words.duration(max(0, now_ms - max(times)))} ago" if times else "never"


def _one(directory: Directory, card: Card, now_ms: int, halt: Standing | None) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

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
    return Group(head, *lines, offered, there)
