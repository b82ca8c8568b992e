"""Standing in a simulation: what each node hears of it, and that awards go by what there was.

Every fact is folded as it lands. What changed is told to each node late, with a delay of its own,
and now and then an old entry after a newer one, as a processor does that was replaced. Of each
award it is checked that the weights in its bids are those of the versions that they name.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from mesh.core import facts as f
from mesh.core import inputs as i
from mesh.core.accounts import Accounts
from mesh.core.standing import Latest, Standing
from mesh.core.values import Offer
from mesh.testing.world import AuditPartition

if TYPE_CHECKING:
    from mesh.testing.sim_node import SimNode
    from mesh.testing.sim_run import Simulation

EVERY_MS = 300
LATE_MS = 1_500
INVARIANT = "an award's standing is that of its versions"


class SimStanding:
    """Mutable: the standing of all partitions, and what of it was told."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.random = Random(f"standing of {sim.seed}")
        self.accounts = [Accounts(own.partition) for own in sim.partitions]
        self.told = Latest()
        self._changed: dict[tuple[int, str], None] = {}
        self._weights: dict[tuple[int, int, str, str], tuple[int, int]] = {}

    def begin(self) -> None:
        """Tell of what changes, from now on."""
        self.sim.loop.after(EVERY_MS, self._tell)

    def landed(self, log: AuditPartition, record: f.Record) -> None:
        """Fold a fact that has landed, and look at an award."""
        partition, void = log.partition, log.audit.verdicts[record.offset]
        for agent in self.accounts[partition].see(record, log.fold, void):
            self._changed[partition, agent] = None
            for own in self.accounts[partition].standing(agent).tallies:
                name = (partition, own.version, agent, own.capability)
                self._weights[name] = (own.good, own.bad)
        fact = record.fact
        if isinstance(fact, f.TaskOpened | f.TaskAwarded) and fact.award and not void:
            capability = log.fold.tasks[fact.task].opened.capability
            for offer in fact.award.offers:
                self._look(offer, capability, f"{partition}/{record.offset}")

    def _look(self, offer: Offer, capability: str, where: str) -> None:
        self.sim.count("bids by standing", bool(offer.versions))
        named = [
            self._weights.get((partition, version, offer.agent, capability), (-1, -1))
            for partition, version in offer.versions
        ]
        made = (sum(good for good, _ in named), sum(bad for _, bad in named))
        if made != (offer.good, offer.bad):
            text = f"{offer.agent} weighs {(offer.good, offer.bad)}, its versions give {made}"
            self.sim.checks.violation(INVARIANT, where, text)

    def _tell(self) -> None:
        for partition, agent in self._changed:
            before = [own for own in self.told.entries if own.agent == agent]
            standing = self.accounts[partition].standing(agent)
            self.told.see(standing)
            self._publish(standing)
            if before and self.random.random() < 0.1:
                self._publish(before[0])
        self._changed.clear()
        self.sim.loop.after(EVERY_MS, self._tell)

    def _publish(self, standing: Standing) -> None:
        for node in self.sim.nodes.values():
            if node.up:
                delay_ms = self.random.choice((1, 5, self.random.randint(1, LATE_MS)))
                node.post_mail(delay_ms, node.feed, i.StandingSeen(standing))

    def boots(self, node: SimNode) -> None:
        """Let a node that starts read the topic to its end."""
        for standing in self.told.entries:
            node.feed(i.StandingSeen(standing))
