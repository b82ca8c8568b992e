"""Halts in a simulation: `M.control`, who orders what, and that each node obeys what it has seen.

Each node reads the topic to its end when it starts, and tails it with a delay of its own, as late
as its connection lets it. What a node has seen is kept here once more, and judged by other means
than its own: under a halt that it saw it begins no step, gives no award and calls for no bids.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core.halts import WAIT, HaltOrder
from mesh.core.values import StepKind

if TYPE_CHECKING:
    from mesh.testing.sim_node import SimNode
    from mesh.testing.sim_run import Simulation

HALTED = 0.4
"""So many runs have halts: the others are drawn as if there were none."""
LIFTED_BY_MS = 3_000
"""After faults stop, everything is lifted within this: then all must go on, or end."""
LATE_MS = 1_500
GOES_ON_MS = 25_000
"""So long after the last lift nobody waits for it any more, though slots are few and handlers hold
them for up to 20 s before they suspend."""
INVARIANT = "nothing is begun under a halt that was seen"

Seen = dict[str, tuple[int, bool]]


class Control:
    """Mutable: the topic of a simulation, and what each node has seen of it."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.random = Random(f"halts of {sim.seed}")
        self.orders: list[HaltOrder] = []
        self._seen: dict[str, Seen] = {}
        self._due_ms: dict[str, int] = {}
        self._opened: dict[str, f.TaskOpened] = {}

    def begin(self) -> None:
        """Draw when something is halted, if at all."""
        calm_ms = self.sim.profile.calm_ms
        if not calm_ms or self.random.random() >= HALTED:
            return
        self.sim.loop.after(calm_ms + LIFTED_BY_MS + GOES_ON_MS, self._all_went_on)
        for _ in range(self.random.randint(1, 4)):
            at_ms = self.random.randint(300, calm_ms)
            until_ms = at_ms + self.random.choice((50, 1_000, 4_000, 9_000))
            until_ms = min(until_ms, calm_ms + self.random.randint(0, LIFTED_BY_MS))
            self.sim.loop.after(at_ms, self._halt, until_ms - at_ms)

    def _halt(self, for_ms: int) -> None:
        target = self._target()
        if target:
            self._order(target, halted=True)
            self.sim.loop.after(for_ms, self._lift, target)

    def _lift(self, target: str) -> None:
        self._order(target, halted=False)

    def _all_went_on(self) -> None:
        """See that nobody waits for what was lifted long ago."""
        for partition in self.sim.partitions:
            for name, task in partition.fold.tasks.items():
                notes = [wait.note for wait in task.waiting_for if wait.kind == WAIT]
                if notes:
                    where = f"{partition.partition}/{task.last}"
                    text = f"{name} waits for {notes[0]}"
                    self.sim.checks.violation("what is lifted goes on", where, text)

    def _target(self) -> str:
        """Choose what to halt; "" if there is no such thing now."""
        random, sim = self.random, self.sim
        kind = random.choice(("workflow", "workflow", "agent", "capability"))
        if kind == "agent":
            return f"agent/{random.choice(sim.cards).agent}"
        if kind == "capability":
            names = sorted({source.capability for source in sim.sources})
            return f"capability/{random.choice((*names, 'demo.*'))}"
        roots = [
            name
            for partition in sim.partitions
            for name, task in partition.fold.tasks.items()
            if not task.opened.parent
        ]
        return f"workflow/{random.choice(roots)}" if roots else ""

    def _order(self, target: str, *, halted: bool) -> None:
        number = max((own.number for own in self.orders if own.target == target), default=0)
        stale = number > 0 and self.random.random() < 0.1
        order = HaltOrder(
            target=target,
            halted=halted,
            number=number + 1,
            person="eve",
            detector="",
            because="it is told to",
            incident="",
        )
        self.sim.count("halts" if halted else "lifts")
        self._publish(order)
        if stale:  # somebody who had not seen it wants the opposite
            self._publish(replace(order, halted=not halted))

    def _publish(self, order: HaltOrder) -> None:
        self.orders.append(order)
        self.sim.trace(None, "orders", order)
        for node in self.sim.nodes.values():
            if node.up:
                now_ms = self.sim.loop.now_ms
                delay_ms = self.random.choice((1, 5, 5, self.random.randint(1, LATE_MS)))
                due_ms = max(now_ms + delay_ms, self._due_ms.get(node.instance, 0))
                self._due_ms[node.instance] = due_ms
                node.post_mail(due_ms - now_ms, node.feed, i.Halted(order))

    # --- what nodes have seen -------------------------------------------------------------------

    def boots(self, node: SimNode) -> None:
        """Let a node that starts read the topic to its end."""
        self._seen[node.instance] = {}
        for order in self.orders:
            node.feed(i.Halted(order))

    def saw(self, node: SimNode, order: HaltOrder) -> None:
        """Take note of an order that a node is told of now."""
        seen = self._seen[node.instance]
        number, _ = seen.get(order.target, (0, False))
        if order.number > number:
            seen[order.target] = (order.number, order.halted)

    def appends(self, node: SimNode, effect: e.Append) -> None:
        """Look at a fact that a node wants to append."""
        fact = effect.fact
        if isinstance(fact, f.TaskOpened):
            self._opened.setdefault(fact.task, fact)
        if isinstance(fact, f.WorkSuspended):
            self.sim.count("halted", any(wait.kind == WAIT for wait in fact.waiting_for))
        what = self._begins(node, fact)
        if what:
            where = f"{node.instance}/{node.holder.incarnation}"
            self.sim.checks.violation(INVARIANT, where, f"{type(fact).__name__}: {what}")

    def _begins(self, node: SimNode, fact: f.Fact) -> str:
        """Return which halt a fact disregards, "" if none."""
        match fact:
            case f.StepBegun() | f.DecisionRecorded():
                return self._covers(node, fact.task, node.card.agent)
            case f.StepFinished() if fact.kind is StepKind.ARTIFACT:
                return self._covers(node, fact.task, node.card.agent)
            case f.TaskOpened():
                above = self._covers(node, fact.parent, node.card.agent) if fact.parent else ""
                own = self._covers(node, fact.task, fact.award.agent) if fact.award else ""
                return above or own
            case f.TaskAwarded():
                return self._covers(node, fact.task, fact.award.agent)
            case f.BidsCalled():
                return self._covers(node, fact.task, "")
            case _:
                return ""

    def _covers(self, node: SimNode, task: str, agent: str) -> str:
        opened = self._opened[task]
        capabilities = [opened.capability, *(own.capability for own in opened.ancestors)]
        for target, (_, halted) in self._seen[node.instance].items():
            kind, _, name = target.partition("/")
            covered = {
                "workflow": name == opened.workflow,
                "agent": name == agent,
                "capability": name in capabilities or name == "demo.*",
            }
            if halted and covered[kind]:
                return target
        return ""
