"""Writes facts into a ledger as a log would hold them, with short names for what tests vary.

`Scribe.write` returns the ledger's verdict, so a test reads as the story of a log. Verdicts are
"" for a fact that counts, else the reason why it is void.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

from mesh.core import facts as f
from mesh.core.budget import ZERO
from mesh.core.facts import Fact, Record
from mesh.core.ids import child_id
from mesh.core.ledger import Ledger
from mesh.core.tasks import TaskState
from mesh.core.values import (
    Acceptance,
    Amount,
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
    Wait,
)

SOURCE = TaskPartition("demo.work", 0)
ELSEWHERE = TaskPartition("demo.work", 1)
BOSS, RIVAL = Holder("boss-1", 1), Holder("boss-2", 1)
ANN, BOB = Holder("ann-1", 1), Holder("bob-1", 1)
INBOX = Inbox("m.inbox.demo", 0)
BUDGET = Amount(1_000, 1_000, 100, 20, 10)
ROOT = "0-root"
LEASE_MS = 1_000
START_MS = 10_000
DEADLINE_MS = START_MS + 60_000


def body(text: str) -> Body:
    """Return a JSON body that says `text`."""
    content = f'"{text}"'.encode()
    return Body(sha256(content).digest(), "application/json", content)


def terms(worker: Holder, epoch: int = 1, cause: Cause = Cause.FIRST, **other: Any) -> Terms:
    """Return an award's terms."""
    basis = Terms(
        epoch=epoch,
        worker=worker,
        worker_inbox=INBOX,
        agent=worker.instance[:-2],
        digest="d1",
        lease_ms=LEASE_MS,
        free=BUDGET,
        resume_from=-1,
        cause=cause,
        attempt=1,
        reason="",
        mode=Mode.DIRECT,
        call=-1,
        offers=(),
        why="",
    )
    return replace(basis, **other)


class Scribe:
    """Mutable: one audit partition as it grows, and the ledger that judges it."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.records: list[Record] = []
        self.now_ms = START_MS
        self.supervision = -1
        self._sequences: dict[Holder, int] = {}

    # --- the log --------------------------------------------------------------------------------

    def write(self, fact: Fact, *, after_ms: int = 1, repeat: Record | None = None) -> str:
        """Append a fact `after_ms` later; `repeat` appends a copy of an earlier record."""
        self.now_ms += after_ms
        sequence = self._sequences.get(fact.by, -1) + 1
        if repeat is not None:
            sequence = repeat.sequence
        else:
            self._sequences[fact.by] = sequence
        record = Record(len(self.records), self.now_ms, sequence, fact)
        self.records.append(record)
        return self.ledger.add(record)

    def again(self, record: Record) -> str:
        """Append a copy of a record: a retry, or somebody's replay."""
        return self.write(record.fact, repeat=record)

    @property
    def last(self) -> int:
        """Return the last record's offset."""
        return len(self.records) - 1

    def task(self, name: str = ROOT) -> TaskState:
        """Return an open task."""
        return self.ledger.tasks[name]

    def award(self, name: str = ROOT) -> int:
        """Return the log position of a task's last award."""
        lease = self.task(name).lease
        return -1 if lease is None else lease.position

    # --- whole moves ----------------------------------------------------------------------------

    def take(self, by: Holder = BOSS, source: TaskPartition = SOURCE, **other: Any) -> str:
        """Take a supervision; if it counts, `supervisory` facts name it."""
        after_ms = other.pop("after_ms", 1)
        fact = f.SupervisionTaken(source=source, by=by, inbox=INBOX, lease_ms=LEASE_MS)
        verdict = self.write(replace(fact, **other), after_ms=after_ms)
        if not verdict:
            self.supervision = self.last
        return verdict

    def open_root(self, award: Terms | None = None, **other: Any) -> str:
        """Open a root task."""
        return self.write(self.opened(award=award, **other))

    def open_child(self, step: str = "0", award: Terms | None = None, **other: Any) -> str:
        """Open a child of the root (or of `parent`) under the award that runs there."""
        return self.write(self.child(step=step, award=award, **other))

    def begin(self, **other: Any) -> None:
        """Take the supervision and open a root task that Ann works on."""
        assert not self.take(lease_ms=30_000)
        assert not self.open_root(terms(ANN), **other)

    # --- facts ----------------------------------------------------------------------------------

    def opened(self, **other: Any) -> f.TaskOpened:
        """Return the opening of the root task."""
        basis = f.TaskOpened(
            workflow=ROOT,
            task=ROOT,
            by=BOSS,
            authority=self.supervision,
            source=SOURCE,
            offset=0,
            parent="",
            step="",
            capability="demo.work",
            input=body("root"),
            charter=Charter(goal="test", constraints=(), root_hash=body("root").hash),
            ancestors=(),
            after=(),
            grant=BUDGET,
            deadline_ms=DEADLINE_MS,
            lease_ms=LEASE_MS,
            max_attempts=3,
            mode=Mode.DIRECT,
            named_agent="",
            acceptance=Acceptance.AUTOMATIC,
            event_id="",
            reply_topic="",
            correlation_id="",
            traceparent="",
            award=None,
        )
        return replace(basis, **other)

    def child(self, **other: Any) -> f.TaskOpened:
        """Return the opening of a child, by its parent's worker unless told otherwise."""
        parent, step = other.pop("parent", ROOT), other.pop("step", "0")
        inputs = other.pop("input", body("child"))
        basis = self.opened(
            task=child_id(parent, step, inputs.hash),
            parent=parent,
            step=step,
            input=inputs,
            offset=-1,
            grant=Amount(100, 100, 10, 5, 2) if parent == ROOT else Amount(10, 10, 1, 1, 1),
            **self.under(parent),
        )
        return replace(basis, **other)

    def child_name(self, step: str = "0", parent: str = ROOT) -> str:
        """Return the id of the child that `child` opens."""
        return child_id(parent, step, body("child").hash)

    def under(self, name: str = ROOT) -> dict[str, Any]:
        """Return author and authority of the worker that has the task."""
        task = self.ledger.tasks.get(name)
        lease = task.lease if task is not None else None
        if lease is None:
            return {"by": ANN, "authority": -1}
        return {"by": lease.holder, "authority": lease.position}

    def work(self, name: str = ROOT) -> dict[str, Any]:
        """Return the fields that all of a worker's facts have."""
        return {"workflow": ROOT, "task": name, **self.under(name)}

    def rule(self, name: str = ROOT, by: Holder = BOSS) -> dict[str, Any]:
        """Return the fields that all facts of the task partition's supervisor have."""
        return {"workflow": ROOT, "task": name, "by": by, "authority": self.supervision}

    def awarded(self, award: Terms, name: str = ROOT, **other: Any) -> f.TaskAwarded:
        """Return an award by the supervisor of the task partition."""
        return f.TaskAwarded(**{**self.rule(name), **other}, award=award)

    def begun(self, step: str = "0", of: str = ROOT, **other: Any) -> f.StepBegun:
        """Return the beginning of a tool's call."""
        basis = f.StepBegun(
            **self.work(of),
            step=step,
            kind=StepKind.TOOL,
            name="post",
            input_hash=b"in",
            effect=Effect.KEYED,
            reserve=Amount(micro_usd=10, tool_calls=1),
            until_ms=0,
        )
        return replace(basis, **other)

    def done(self, step: str = "0", of: str = ROOT, **other: Any) -> f.StepFinished:
        """Return the end of a tool's call."""
        basis = f.StepFinished(
            **self.work(of),
            step=step,
            kind=StepKind.TOOL,
            name="post",
            input_hash=b"in",
            spent=Amount(micro_usd=7, tool_calls=1),
            error="",
            result=body("done"),
        )
        return replace(basis, **other)

    def reserved(self, step: str = "0", number: int = 0, **other: Any) -> f.SpendReserved:
        """Return a reservation."""
        basis = f.SpendReserved(
            **self.work(), step=step, number=number, amount=Amount(micro_usd=50), because="x"
        )
        return replace(basis, **other)

    def settled(self, step: str = "0", number: int = 0, **other: Any) -> f.SpendSettled:
        """Return a settlement."""
        basis = f.SpendSettled(**self.work(), step=step, number=number, amount=Amount(micro_usd=30))
        return replace(basis, **other)

    def decided(self, step: str = "0", **other: Any) -> f.DecisionRecorded:
        """Return a line of the decision chain."""
        basis = f.DecisionRecorded(
            **self.work(), step=step, choice="left", because="it is shorter", evidence=()
        )
        return replace(basis, **other)

    def finished(self, name: str = ROOT, **other: Any) -> f.WorkFinished:
        """Return a completed result that costs what the log says."""
        task = self.ledger.tasks.get(name)
        basis = f.WorkFinished(
            **self.work(name),
            outcome=Outcome.COMPLETED,
            spent=self.ledger.cost(task) if task is not None else ZERO,
            confidence_permille=900,
            sources=(),
            error="",
            field="",
            result=body("result"),
        )
        return replace(basis, **other)

    def suspended(self, name: str = ROOT, **other: Any) -> f.WorkSuspended:
        """Return a suspension."""
        basis = f.WorkSuspended(
            **self.work(name),
            waiting_for=(Wait("0", "sleep", "", 99_000, ""),),
        )
        return replace(basis, **other)

    def cancelled(self, name: str = ROOT, **other: Any) -> f.WorkCancelled:
        """Return a worker's giving up because it was asked to."""
        basis = f.WorkCancelled(
            **self.work(name), reason="asked", spent=self.ledger.cost(self.task(name))
        )
        return replace(basis, **other)
