"""Kills the worker before, in and after each step in turn: what an author's test asks once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Generic, NamedTuple

from mesh.core.settings import Settings
from mesh.core.shared import Change
from mesh.runtime.agent import Agent
from mesh.runtime.capability import Capability, In, Out
from mesh.testing.invariants import Violation
from mesh.testing.mesh import NAME, MemoryMesh, Result
from mesh.testing.scripts import Answer
from mesh.transport.memory import Appending, Fate
from mesh.wire import topics
from mesh.wire.facts import decode_fact

MAX_CRASHES = 1_000
"""Of one call: a handler with more facts is tried at its first ones, which a test can wait for."""


class Moment(StrEnum):
    """When the worker dies, as seen from one of its facts."""

    BEFORE = "before"  # it is about to be appended
    IN = "in"  # it is in the log, and its author does not know
    AFTER = "after"  # it is acknowledged, and nothing has come of it yet


class Crash:
    """Mutable: the fault of one run; counts one agent's facts about workflows, and its changes."""

    def __init__(self, mesh: MemoryMesh, agent: str, number: int, moment: Moment) -> None:
        self._mesh = mesh
        self._agent = agent
        self._number = number
        self._moment = moment
        self.seen: list[str] = []

    def fate(self, appending: Appending) -> Fate:
        """Decide what becomes of an append, and kill its author at the chosen one."""
        name = self._mesh.instance_of(appending.log)
        kind = _kind(appending) if name.startswith(f"{self._agent}.") else ""
        if not kind:
            return Fate.LANDS
        self.seen.append(kind)
        if len(self.seen) != self._number + 1:
            return Fate.LANDS
        if self._moment is Moment.AFTER:
            # the acknowledgement comes in the next turn of the loop, the end in the one after
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._mesh.kill, name)
            return Fate.LANDS
        self._mesh.kill(name)
        return Fate.LOST if self._moment is Moment.BEFORE else Fate.LANDS


def _kind(appending: Appending) -> str:
    """Return what is written: a fact about a workflow, or a change of shared state; else ""."""
    if appending.place.topic == topics.changes(NAME):
        return Change.__name__
    if appending.place.topic != topics.audit(NAME):
        return ""
    fact = decode_fact(appending.value).fact
    return type(fact).__name__ if hasattr(fact, "workflow") else ""


class Run(NamedTuple, Generic[Out]):
    """What came of one run: result, facts of the agent, broken invariants, shared state."""

    result: Result[Out]
    facts: list[str]
    violations: list[Violation]
    state: Mapping[str, tuple[int, bytes | None]]


async def crash_at_every_step(  # noqa: PLR0913  # the whole of one question, each with a default
    agent: Agent,
    capability: Capability[In, Out],
    value: In,
    *,
    peers: Sequence[Agent] = (),
    scripts: Mapping[str, Sequence[Answer]] | None = None,
    settings: Settings | None = None,
    check: Callable[[Result[Out], Result[Out]], bool] | None = None,
    rules: Mapping[str, str] | None = None,
    objectives: Sequence[str] = (),
    entries: Mapping[str, object] | None = None,
) -> int:
    """Run a workflow undisturbed, then again and again, killing its worker at each of its facts.

    Each run has two instances of the agent, and the one that is about to write the fact dies:
    before it, in it (it is written, and its author does not know), after it. So it does with each
    change that it proposes to shared state.

    Args:
        agent: The agent whose instances are killed.
        capability: What is submitted.
        value: Its input.
        peers: Other agents, which live on.
        scripts: Stand-ins for absent peers, as `MemoryMesh.script` takes them.
        settings: Of the protocol.
        check: Whether a result is as good as the undisturbed one. Unless given both must be equal,
            and what they leave in shared state, too.
        rules: Of shared state, as `MemoryMesh` takes them.
        objectives: What to arbitrate by, the most important first.
        entries: What stands in shared state beforehand.

    Returns:
        How many workers were killed.

    Raises:
        AssertionError: A run ended otherwise, left something else in shared state, or broke an
            invariant: a step that had finished was done twice, say. The message names fact and
            moment.
    """

    async def run(number: int, moment: Moment) -> Run[Out]:
        async with MemoryMesh(
            agent, agent, *peers, settings=settings, rules=rules, objectives=objectives
        ) as mesh:
            for key, content in (entries or {}).items():
                await mesh.put(key, content)
            crash = Crash(mesh, agent.name, number, moment)
            mesh.broker.fate = crash.fate
            for name, answers in (scripts or {}).items():
                mesh.script(name, *answers)
            result = await mesh.submit(capability, value)
            return Run(result, crash.seen, mesh.violations(), mesh.processor.entries())

    whole, facts, violations, state = await run(-1, Moment.AFTER)
    assert not violations, f"undisturbed: {violations}"
    assert whole.returned is not None, f"undisturbed: {whole.status}: {whole.error}"
    killed = 0
    for number, fact in enumerate(facts[: MAX_CRASHES // len(Moment)]):
        for moment in Moment:
            where = f"killed {moment} {fact} (fact {number + 1} of {len(facts)})"
            result, _, violations, left = await run(number, moment)
            assert not violations, f"{where}: {violations}"
            good = check(result, whole) if check else result.returned == whole.returned
            assert good, f"{where}: {result.status} {result.error} {result.returned!r}"
            same = check is not None or left == state
            assert same, f"{where}: shared state has {left}, undisturbed {state}"
            killed += 1
    return killed
