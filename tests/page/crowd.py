"""A mesh that is only its log: as many agents, owners and facts as a test of the page asks for.

The facts are judged by the ledger as they are written, so that all of them count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from mesh.core import facts as f
from mesh.core.effects import Incident
from mesh.core.facts import Record
from mesh.core.ids import child_id
from mesh.core.registry import CapabilityCard, Card, Handler, Presence
from mesh.core.values import (
    NOTHING,
    Acceptance,
    Amount,
    Ancestor,
    Charter,
    Effect,
    Holder,
    Inbox,
    Mode,
    Outcome,
)
from mesh.ports import Place, TopicPlan
from mesh.transport.memory import MemoryBroker
from mesh.wire import topics
from mesh.wire.entries import encode_entry
from mesh.wire.facts import FIRST, encode_fact
from mesh.wire.headers import fact_key
from tests.simulation.scribe import Scribe, body, terms

MESH = "crowd"
GRANT = Amount(1_000_000, 10_000, 100, 50, 20)
SHARE = Amount(100_000, 1_000, 10, 5, 2)
LEASE_MS = 60_000
LONG_MS = 600_000
CHILDREN = 3


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Crowd:
    """Mutable: a broker in memory, and what writes into it; one audit partition."""

    def __init__(
        self, agents: int = 0, owners: int = 1, clock: Callable[[], int] = wall_ms
    ) -> None:
        self.clock = clock
        self.broker = MemoryBroker(clock)
        self.names = [f"agent-{number:03}" for number in range(agents)]
        self.workflows: list[str] = []
        self._scribe = Scribe()
        self._written = 0
        beside = (topics.registry, topics.presence, topics.control, topics.incidents)
        for topic in (*beside, topics.audit, topics.dead_letters, topics.state):
            self.broker.create_topic(TopicPlan(name=topic(MESH), partitions=1))
        for number, name in enumerate(self.names):
            self.join(name, f"team-{number % owners:02}")

    @property
    def facts(self) -> int:
        """How many facts there are."""
        return self._written

    def _append(self, topic: str, key: bytes, value: bytes) -> None:
        self.broker.partition(Place(topic, 0)).append(self.clock(), key, value, ())

    # --- agents

    def join(self, name: str, owner: str, purpose: str = "Does its part.") -> None:
        """Put an agent's card and one instance of it into the registry."""
        offered = CapabilityCard(
            name="demo.work",
            effect=Effect.PURE,
            mode=Mode.DIRECT,
            budget=None,
            timeout_ms=LONG_MS,
            lease_ms=LEASE_MS,
            max_attempts=3,
            has_bid=False,
            input_schema="{}",
            output_schema="{}",
            digest="d1",
            acceptance=Acceptance.AUTOMATIC,
        )
        card = Card(
            agent=name,
            owner=owner,
            version="1.0.0",
            purpose=purpose,
            calls=("demo.work",),
            capabilities=(offered,),
        )
        instance = f"{name}.1"
        handlers = (Handler("demo.work", "d1"),)
        alive = Presence(instance, 1, name, Inbox("crowd.inbox.demo", 0), 3, 8, handlers)
        self._append(topics.registry(MESH), name.encode(), encode_entry(card))
        self._append(topics.presence(MESH), instance.encode(), encode_entry(alive))

    def find(self, kind: str, text: str, workflow: str = "") -> None:
        """Have an incident found."""
        found = Incident(kind, workflow, "", text, id=f"{kind}-{self.clock()}", detector="hand")
        self._append(topics.incidents(MESH), kind.encode(), encode_entry(found))

    # --- work

    def work(self, facts: int) -> None:
        """Write workflows until there are so many more facts, or a few above that."""
        until = self._written + facts
        while self._written < until:
            self.workflow(f"0-{len(self.workflows):08x}", goal=f"Order {len(self.workflows)}")

    def workflow(self, name: str, goal: str, failing: bool = False) -> None:
        """Write one workflow: a root task that delegates to three others, each a decision."""
        scribe = self._scribe
        self._now()
        if scribe.supervision < 0:
            scribe.take(lease_ms=2**40)
        self._open(name, goal)
        number = len(self.workflows)
        for child in range(CHILDREN):
            self._delegate(
                name, str(child), self.names[(number * 7 + child * 3 + 1) % len(self.names)]
            )
        ended = replace(scribe.finished(name), workflow=name)
        if failing:
            error = "the seller is not known"
            self._write(replace(ended, outcome=Outcome.FAILED, error=error, result=NOTHING))
            rule = {**scribe.rule(name), "workflow": name}
            self._write(f.TaskFailed(**rule, reason=error))
        else:
            self._write(ended)
        self.workflows.append(name)

    def _agent(self) -> str:
        return self.names[len(self.workflows) % len(self.names)]

    def _now(self) -> None:
        self._scribe.now_ms = max(self._scribe.now_ms, self.clock())

    def _open(self, name: str, goal: str) -> None:
        agent = self._agent()
        award = terms(Holder(f"{agent}.1", 1), agent=agent, lease_ms=LEASE_MS, free=GRANT)
        charter = Charter(goal=goal, constraints=(), root_hash=body("root").hash)
        opened = self._scribe.opened(
            workflow=name,
            task=name,
            award=award,
            grant=GRANT,
            charter=charter,
            lease_ms=LEASE_MS,
            deadline_ms=self._scribe.now_ms + LONG_MS,
        )
        self._write(opened)

    def _delegate(self, name: str, step: str, agent: str) -> None:
        scribe, inputs = self._scribe, body(f"child {step}")
        task = child_id(name, step, inputs.hash)
        award = terms(Holder(f"{agent}.1", 1), agent=agent, lease_ms=LEASE_MS, free=SHARE)
        root = scribe.task(name).opened
        opened = scribe.child(
            parent=name,
            step=step,
            input=inputs,
            workflow=name,
            grant=SHARE,
            charter=root.charter,
            lease_ms=LEASE_MS,
            deadline_ms=root.deadline_ms,
            ancestors=(Ancestor(name, root.capability, self._agent(), root.input.hash),),
            award=award,
        )
        self._write(opened)
        work = {"workflow": name, "task": task, **scribe.under(task)}
        self._write(replace(scribe.decided(), **work))
        self._write(replace(scribe.finished(task), workflow=name))

    def _write(self, fact: object) -> None:
        void = self._scribe.write(fact, after_ms=0)  # type: ignore[arg-type] # any fact
        assert not void, void
        while self._written < len(self._scribe.records):
            self._land(self._scribe.records[self._written])

    def _land(self, record: Record) -> None:
        value = encode_fact(record.fact, record.sequence, FIRST)
        partition = self.broker.partition(Place(topics.audit(MESH), 0))
        partition.append(record.append_ms, fact_key(record.fact), value, ())
        self._written += 1
