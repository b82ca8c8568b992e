"""An audit stream for the dashboard's benchmark: whole workflows, in which every fact counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

from mesh.core import facts as f
from mesh.core.budget import ZERO
from mesh.core.ids import child_id
from mesh.core.values import (
    Acceptance,
    Amount,
    Ancestor,
    Body,
    Cause,
    Charter,
    Effect,
    Holder,
    Inbox,
    Mode,
    Outcome,
    StepKind,
    TaskPartition,
    Terms,
)
from mesh.ports import Incoming
from mesh.wire import topics
from mesh.wire.facts import FIRST, encode_fact
from mesh.wire.headers import fact_key

MESH = "bench"
CHILDREN = 3
START_MS = 1_790_000_000_000
DAY_MS = 24 * 3_600_000
BOSS = Holder("lead.p0", 1)
WORKERS = [Holder(f"worker{number}.p0", 1) for number in range(20)]
CONTENT = b'{"item":"desk","qty":10,"supplier":"ACME","total":"42.00"}'
BODY = Body(sha256(CONTENT).digest(), "application/json", CONTENT)
GRANT = Amount(10_000_000, 1_000_000, 10_000, 1_000, 100)
CHARTER = Charter(goal="order a desk", constraints=(), root_hash=BODY.hash)


class Writer:
    """Mutable: one audit partition that is written, every fact with the authority it needs."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.offset = 0
        self.now_ms = START_MS
        self.supervision = -1
        self._sequences: dict[Holder, int] = {}
        self._source = TaskPartition("lead.run", partition)
        self._deadline_ms = START_MS + DAY_MS

    def put(self, fact: f.Fact) -> Incoming:
        """Return a fact as the next record."""
        sequence = self._sequences.get(fact.by, -1) + 1
        self._sequences[fact.by] = sequence
        value = encode_fact(fact, sequence, FIRST)
        at = (self.offset, self.now_ms)
        self.offset += 1
        self.now_ms += 5
        return Incoming(topics.audit(MESH), self.partition, *at, fact_key(fact), value, ())

    def begin(self) -> Iterator[Incoming]:
        """Take the supervision."""
        self.supervision = self.offset
        inbox = Inbox("bench.inbox.lead", 0)
        yield self.put(
            f.SupervisionTaken(source=self._source, by=BOSS, inbox=inbox, lease_ms=10 * DAY_MS)
        )

    def workflow(self, number: int, children: int = CHILDREN) -> Iterator[Incoming]:
        """Write a whole workflow: every child spends, takes a step and finishes."""
        root = f"{self.partition}-{number:032x}"
        self._deadline_ms = self.now_ms + DAY_MS
        lead = WORKERS[number % len(WORKERS)]
        position = self.offset
        yield self.put(self._opened(root, root, BOSS, self.supervision, lead))
        spent = ZERO
        for ordinal in range(children):
            step = f"0.{ordinal}"
            task, worker = child_id(root, step, BODY.hash), WORKERS[(number + ordinal) % 20]
            award = self.offset
            opened = self._opened(root, task, lead, position, worker)
            above = (Ancestor(root, "lead.run", lead.instance[:-3], BODY.hash),)
            grant = Amount(1_000, 1_000, 10, 1, 0)
            yield self.put(
                replace(opened, parent=root, step=step, offset=-1, ancestors=above, grant=grant)
            )
            yield from self._work(root, task, worker, award)
            spent = Amount(spent.micro_usd + 20, 0, spent.tool_calls + 1, spent.hops + 1, 0)
        yield self.put(self._finished(root, root, lead, position, spent))

    def _work(self, root: str, task: str, worker: Holder, award: int) -> Iterator[Incoming]:
        own: dict[str, Any] = {"workflow": root, "task": task, "by": worker, "authority": award}
        reserve = Amount(20, 0, 1, 0, 0)
        yield self.put(
            f.StepBegun(**own, step="0", kind=StepKind.TOOL, name="prices", input_hash=BODY.hash,
                        effect=Effect.IDEMPOTENT, reserve=reserve, until_ms=0)
        )  # fmt: skip
        yield self.put(
            f.StepFinished(**own, step="0", kind=StepKind.TOOL, name="prices",
                           input_hash=BODY.hash, spent=reserve, error="", result=BODY)
        )  # fmt: skip
        yield self.put(
            f.DecisionRecorded(**own, step="1", choice="ACME", because="the best price",
                               evidence=("artifact:1",))
        )  # fmt: skip
        yield self.put(self._finished(root, task, worker, award, reserve))

    def _opened(
        self, root: str, task: str, by: Holder, authority: int, worker: Holder
    ) -> f.TaskOpened:
        agent = worker.instance.partition(".")[0]
        terms = Terms(
            epoch=1,
            worker=worker,
            worker_inbox=Inbox(topics.inbox(MESH, agent), 3),
            agent=agent,
            digest="0123456789abcdef",
            lease_ms=DAY_MS,
            free=GRANT,
            resume_from=-1,
            cause=Cause.FIRST,
            attempt=1,
            reason="",
            mode=Mode.DIRECT,
            call=-1,
            offers=(),
            why="the less loaded of two by hash, of 2",
        )
        return f.TaskOpened(
            workflow=root,
            task=task,
            by=by,
            authority=authority,
            source=self._source,
            offset=self.offset,
            parent="",
            step="",
            capability="lead.run" if task == root else "worker.quote",
            input=BODY,
            charter=CHARTER,
            ancestors=(),
            after=(),
            grant=GRANT,
            deadline_ms=self._deadline_ms,
            lease_ms=DAY_MS,
            max_attempts=3,
            mode=Mode.DIRECT,
            named_agent="",
            acceptance=Acceptance.AUTOMATIC,
            event_id="",
            reply_topic="",
            correlation_id="",
            traceparent="",
            award=terms,
        )

    def _finished(
        self, root: str, task: str, by: Holder, award: int, spent: Amount
    ) -> f.WorkFinished:
        return f.WorkFinished(
            workflow=root,
            task=task,
            by=by,
            authority=award,
            outcome=Outcome.COMPLETED,
            spent=spent,
            confidence_permille=900,
            sources=("artifact:1",),
            error="",
            field="",
            result=BODY,
        )
