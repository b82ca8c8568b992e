"""Halts for the command line: what stands on `M.control`, and a new order that is read back.

An order is made for what its author saw. Of two that are written at the same time the first in the
log holds, so the second finds, when it reads back, that it changed nothing, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from mesh.cli.failures import CommandError, Exit, not_found
from mesh.core.halts import HaltOrder, Halts, TargetKind
from mesh.ports import Log
from mesh.runtime.orders import InForce, OrderDesk, Orders, open_tasks
from mesh.telling import shapes, words

if TYPE_CHECKING:
    from mesh.cli.output import Out
    from mesh.config import Config
    from mesh.core.registry import Directory
    from mesh.telling.story import Chronicle


def covered(chronicles: Iterable[Chronicle], order: HaltOrder) -> int:
    """Return how many open tasks an order covers, whether it halts or lifts."""
    halts = Halts()
    halts.see(replace(order, halted=True))
    every = (own for chronicle in chronicles for own in open_tasks(chronicle))
    return sum(halts.covering(*own) is not None for own in every)


class Desk(OrderDesk):
    """Reads the orders of one mesh, and writes new ones."""

    def __init__(self, log: Log, config: Config, out: Out) -> None:
        super().__init__(log, config.mesh, timeout_s=config.timeout_s, complain=out.complain)

    async def give(self, order: HaltOrder) -> InForce:
        """Write an order and the finding that tells of it; return it as it holds.

        Raises:
            WrongTopic: The mesh has no topic for halts.
            TransportError: It was not acknowledged.
            CommandError: Somebody else ordered something for that target first.
        """
        latest = await super().give(order)
        if latest.order != order:
            raise CommandError(
                f"{latest.order.author} gave another order for {order.target} first (because "
                f"{words.clip(latest.order.because)}); look at it, and give yours again if it "
                "still should hold",
                Exit.FAILED,
            )
        return latest


# --- names ---------------------------------------------------------------------------------------


def check_name(kind: TargetKind, name: str, directory: Directory, mesh: str) -> None:
    """See that an agent or capability is known.

    Raises:
        CommandError: It is not; near names are told.
    """
    if kind is TargetKind.AGENT:
        known = list(directory.agents)
    else:
        cards = (directory.card(own) for own in directory.agents)
        names = {own.name for card in cards if card is not None for own in card.capabilities}
        known = sorted(names | {f"{own.partition('.')[0]}.*" for own in names})
    if name in known:
        return
    near = get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`mesh agents` lists what there is"
    raise not_found(
        f"no card in {mesh} has the {kind} {name}; {hint} To halt it all the same, add --force"
    )


def halted_target(text: str, orders: Orders) -> str:
    """Return what is halted and named by `kind/name`, by the name, or by the beginning of it.

    Raises:
        CommandError: Nothing of that name is halted, or several are.
    """
    every = orders.targets()
    exact = [own for own in every if text in (own, own.partition("/")[2])]
    begun = [own for own in every if own.startswith(text) or own.partition("/")[2].startswith(text)]
    found = exact or begun
    if len(found) == 1:
        return found[0]
    if found:
        raise not_found(f"{text} names several that are halted: {', '.join(found)}")
    near = get_close_matches(text, [*every, *(own.partition("/")[2] for own in every)], n=3)
    hint = (
        f"did you mean {' or '.join(near)}?" if near else f"halted: {', '.join(every) or 'nothing'}"
    )
    raise not_found(f"{text} is not halted; {hint}")


def shape(given: InForce) -> dict[str, Any]:
    """Return an order as JSON."""
    return shapes.order(given.order, given.since_ms)
