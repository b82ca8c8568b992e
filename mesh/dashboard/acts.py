"""What a person orders on the page: each has a reason, and stands in the log under their name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from mesh.core.facts import SupervisionTaken
from mesh.core.halts import Target, TargetKind, target_of
from mesh.core.responses import cancelled
from mesh.core.settings import MAX_REASON
from mesh.dashboard.access import Person
from mesh.dashboard.chains import Chain, Chains
from mesh.dashboard.model import Model
from mesh.dashboard.reading import LogReader
from mesh.dashboard.refusals import Conflicting, Missing
from mesh.dashboard.routes import BadParameter
from mesh.ports import Log, Place
from mesh.runtime.orders import OrderDesk, append, ask_to_cancel
from mesh.telling import shapes
from mesh.telling.shapes import Shape
from mesh.wire import topics
from mesh.wire.entries import encode_entry

APPEND_S = 10.0
"""An acknowledgement takes milliseconds."""
CANCEL_S = 20.0
"""How long an answer waits for a workflow to end; it goes on ending after that."""
LOOK_S = 0.1
LOOKS = 20
"""Looks at whether it has ended; then a supervisor, which may just have changed, is asked again."""

_log = logging.getLogger(__name__)


class Acts:
    """What an operator may do in one mesh.

    Args:
        model: What is known.
        log: Where it is written.
        mesh: The mesh's name.
        chains: Reads a workflow that is to be cancelled.
    """

    def __init__(self, model: Model, log: Log, mesh: str, chains: Chains) -> None:
        self._model = model
        self._log = log
        self._mesh = mesh
        self._chains = chains
        self._reader = LogReader(log, mesh)
        self._desk = OrderDesk(log, mesh, timeout_s=APPEND_S, complain=_log.warning)

    def __repr__(self) -> str:
        return f"Acts({self._mesh})"

    async def halt(self, asked: dict[str, Any], person: Person) -> Shape:
        """Halt a workflow, an agent or a capability; what is halted already stays as it is."""
        target = self._target(asked["target"])
        await self._check_known(target)
        return await self._order(target, asked, person, halted=True)

    async def lift(self, asked: dict[str, Any], person: Person) -> Shape:
        """Lift a halt."""
        return await self._order(self._target(asked["target"]), asked, person, halted=False)

    async def _order(
        self, target: Target, asked: dict[str, Any], person: Person, *, halted: bool
    ) -> Shape:
        because, name = reason(asked["because"]), str(target)
        orders = await self._desk.read()
        given = orders.in_force(name)
        if given is not None and halted:
            return shapes.order(*given)
        if given is None and not halted:
            raise Missing(f"{name} is not halted")
        through = await self._desk.looked(name)
        order = orders.halts.next_order(
            name, halted=halted, because=because, person=person.name, through=through
        )
        latest = await self._desk.give(order)
        if latest.order != order:
            raise Conflicting(
                f"{latest.order.author} gave another order for {name} first: look at it, and give "
                "yours again if it still should hold"
            )
        return shapes.order(*latest)

    def _target(self, text: str) -> Target:
        target = target_of(text)
        if target is None:
            raise BadParameter("target must be workflow/ID, agent/NAME or capability/NAME")
        return target

    async def _check_known(self, target: Target) -> None:
        """See that a target is known: a slip of the pen would halt nothing, and seem to."""
        kind, name = target
        directory = self._model.directory
        if kind is TargetKind.AGENT:
            known = directory.card(name) is not None
        elif kind is TargetKind.CAPABILITY:
            cards = [directory.card(own) for own in directory.agents]
            offered = {own.name for card in cards if card is not None for own in card.capabilities}
            known = name in offered | {f"{own.partition('.')[0]}.*" for own in offered}
        else:
            known = self._model.root(name) is not None
            known = known or await self._chains.told(name, None, lambda _: True) is not None
        if not known:
            raise Missing(f"there is no {target}")

    async def cancel(self, asked: dict[str, Any], person: Person) -> Shape:
        """End a workflow in order; answer when it has ended, or how it stands after a while."""
        workflow, because = asked["workflow"], reason(asked["because"])
        root = self._model.root(workflow)
        if root is None:
            raise Missing(f"no workflow {workflow} is known to be open")
        if root.state is None:
            raise Conflicting(f"{workflow} has ended already: {root.status}")
        try:
            async with asyncio.timeout(CANCEL_S):
                while root.state is not None:
                    await self._ask(workflow, root.offset, because, person)
                    await _given_time(lambda: root.state is None)
        except TimeoutError:
            _log.warning("%s was asked to end, and has not yet", workflow)
        await self._answer(workflow, because, person)
        return {"workflow": workflow, "status": root.phase, "ended": root.state is None}

    async def _ask(self, workflow: str, first: int, because: str, person: Person) -> None:
        position = await self._chains.told(workflow, first, _supervision)
        if position is None or position < 0:
            return  # nobody supervises it just now: whoever takes it over is asked
        taken = await self._reader.fact(workflow, position)
        if isinstance(taken, SupervisionTaken):
            ask_to_cancel(self._log, taken, workflow, because=because, person=person.name)

    async def _answer(self, workflow: str, because: str, person: Person) -> None:
        """Answer what was asked about the workflow: it goes on no more."""
        if any(own.incident.workflow == workflow for own in self._model.incidents.open()):
            word = cancelled(workflow, person=person.name, because=because)
            place = Place(topics.incidents(self._mesh), -1)
            value = encode_entry(word)
            await append(self._log, place, workflow.encode(), value, timeout_s=APPEND_S)


async def _given_time(done: Callable[[], bool]) -> None:
    """Return once something is so, or after a while."""
    for _ in range(LOOKS):
        if done():
            return
        await asyncio.sleep(LOOK_S)


def reason(text: str) -> str:
    """Return why somebody orders something.

    Raises:
        BadParameter: It says nothing, or is too long.
    """
    told = text.strip()
    if not told or len(told) > MAX_REASON:
        raise BadParameter(f"because: say why, in at most {MAX_REASON} characters")
    return told


def _supervision(chain: Chain) -> int:
    """Return where the supervision of a workflow was taken, -1 while nobody has it."""
    state = chain.chronicle.states.get(chain.chronicle.workflow)
    lease = state and chain.chronicle.ledger.supervisions.get(state.opened.source)
    return lease.position if lease else -1
