"""Ping-pong: agents hand the same thing back and forth, and nobody adds anything to it.

It has two shapes. *Nested*: each delegates to the other, so the chain of ancestors alternates, with
one input, whatever the capabilities are called. *Side by side*: one task asks the agents in turn;
then a handover brings nothing new if the agent was given all that it had before and nothing that
was not said in this exchange, and answered what was said before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import cached_property

from mesh.core import facts as f
from mesh.core.detectors.frame import (
    Finding,
    Seen,
    Sight,
    above,
    agent_of,
    chain_of,
    make_room,
    path,
)
from mesh.core.detectors.likeness import alike, leaves
from mesh.core.tasks import TaskState
from mesh.core.values import Body

MAX_HANDOVERS = 64
"""Handovers of one task that are remembered: of what lies further back nobody says "again"."""


class PingPong:
    """Mutable: the last handovers of each open task, to whom what was given, and what came back."""

    name = "ping-pong"
    kinds: frozenset[type] = frozenset(
        {f.TaskOpened, f.TaskAwarded, f.WorkFinished, f.TaskCompleted}
    )

    def __init__(self) -> None:
        self._exchanges: dict[str, dict[str, _Exchange]] = {}

    def see(self, sight: Sight) -> Sequence[Finding]:
        """Take one fact; see `frame.Detector`."""
        seen = None
        if isinstance(sight.fact, f.TaskOpened | f.TaskAwarded) and sight.fact.award is not None:
            seen = _nested(sight)
        elif sight.result is not None:
            seen = self._answered(sight, sight.result)
        return () if seen is None else (seen.of(self.name, sight.task),)

    def forget(self, workflow: str) -> None:
        """Drop what is kept of a workflow."""
        self._exchanges.pop(workflow, None)

    def _answered(self, sight: Sight, result: Body) -> Seen | None:
        """Add a handover to the exchange of the task that asked for it."""
        exchanges = self._exchanges.setdefault(sight.opened.workflow, {})
        exchanges.pop(sight.opened.task, None)  # it has ended, and its own exchange with it
        parent = sight.ledger.tasks.get(sight.opened.parent)
        if parent is None:
            return None
        exchange = exchanges.setdefault(sight.opened.parent, _Exchange())
        exchange.add(_Handover(sight.task, result, sight.record.offset))
        limit = sight.limits.ping_pong_returns
        returns = exchange.returns(limit)
        return _side_by_side(exchange, len(returns), limit) if len(returns) > limit else None


def _nested(sight: Sight) -> Seen | None:
    """Return what was counted if the chain of ancestors hands one input back and forth."""
    task, limit = sight.task, sight.limits.ping_pong_returns
    agent = agent_of(task)
    if agent not in {own.agent for own in task.opened.ancestors[:-1]}:
        return None
    own = alike(task.opened.input)
    holders = [task]
    for one in above(sight.ledger, task):
        if alike(one.opened.input) != own:
            break
        holders.append(one)
    holders.reverse()
    agents = [agent_of(one) for one in holders]
    returns = [at for at, who in enumerate(agents) if who in agents[:at] and agents[at - 1] != who]
    if len(returns) <= limit:
        return None
    return Seen(
        thing=f"nested {own.hex()}",
        measure="times that an agent got back what it had handed on",
        seen=len(returns),
        limit=limit,
        evidence=[one.offset for one in holders],
        text=(
            f"{_names(agents)} hand the same input on to each other: {len(returns)} times one got "
            f"it back unchanged ({limit} allowed): {path(chain_of(task))}."
        ),
    )


class _Handover:
    """One task given to an agent by another task, and answered."""

    def __init__(self, task: TaskState, result: Body, answered: int) -> None:
        self.agent = agent_of(task)
        self.to = (self.agent, task.opened.capability)
        self.offsets = (task.offset, answered)
        self._input = task.opened.input
        self._result = result

    @cached_property
    def given(self) -> frozenset[str]:
        """What it was given."""
        return leaves(self._input)

    @cached_property
    def said(self) -> frozenset[str]:
        """What it answered."""
        return leaves(self._result)


class _Exchange:
    """Mutable: the last handovers of one task, oldest first.

    `turns` counts those to somebody who had one before, with somebody else in between.
    """

    def __init__(self) -> None:
        self.handovers: deque[_Handover] = deque(maxlen=MAX_HANDOVERS)
        self.turns = 0
        self._had: dict[str, None] = {}

    def add(self, handover: _Handover) -> None:
        """Take one more."""
        to = "/".join(handover.to)
        if self.handovers and self.handovers[-1].agent != handover.agent:
            self.turns += to in self._had
        make_room(self._had, MAX_HANDOVERS)
        self._had[to] = None
        self.handovers.append(handover)

    def returns(self, limit: int) -> list[_Handover]:
        """Return the handovers at the end with which somebody got back what it had handed on.

        Contents are read only if the order of the agents allows it, and all of them only if the
        last one brought nothing new.
        """
        if self.turns <= limit or self._is_news(self.handovers[-1]):
            return []
        known: set[str] = set()
        last: dict[tuple[str, str], _Handover] = {}
        returns: list[_Handover] = []
        before = ""
        for one in self.handovers:
            earlier = last.get(one.to)
            again = earlier is not None and earlier.given <= one.given <= known
            if not again or not one.said <= known:
                returns = []
            elif before != one.agent:
                returns.append(one)
            known |= one.given | one.said
            last[one.to] = one
            before = one.agent
        return returns

    def _is_news(self, newest: _Handover) -> bool:
        """Tell whether a handover brought something that was not said before."""
        before = list(self.handovers)[:-1]
        return any(
            all(leaf not in one.said and leaf not in one.given for one in before)
            for leaf in newest.said
        )


def _side_by_side(exchange: _Exchange, returns: int, limit: int) -> Seen:
    last = list(exchange.handovers)[-(2 * returns) :]
    agents = [one.agent for one in last]
    return Seen(
        thing=f"in turn {' '.join(sorted({'/'.join(one.to) for one in last}))}",
        measure="times that an agent was asked the same again and said the same again",
        seen=returns,
        limit=limit,
        evidence=[offset for one in last for offset in one.offsets],
        text=(
            f"{_names(agents)} are asked in turn for what they have answered already: the last "
            f"{returns} answers in a row held nothing that had not been said before ({limit} "
            f"allowed)."
        ),
    )


def _names(agents: Sequence[str]) -> str:
    *others, last = dict.fromkeys(agents)
    return f"{', '.join(others)} and {last}" if others else last
