"""One audit partition, folded into what the page shows: judged by the ledger, told to the rows.

A strand may begin in the middle of the log. What it must know from before is which instance
supervises which task partition: `prime` is shown the records that stand before the beginning, and
trusts the latest taking or renewal of each there. Workflows that were opened before are not known;
whether their facts count nobody can say here (`void` None).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

from mesh.core import facts as f
from mesh.core.book import NEVER
from mesh.core.changes import END_STATUS
from mesh.core.ledger import Ledger
from mesh.core.settings import MAX_NAME
from mesh.core.tasks import Lease, Phase
from mesh.core.values import NOTHING, Amount, Cause, Status, TaskPartition, Terms
from mesh.dashboard.rows import Row, Rows
from mesh.dashboard.window import Edge, Window

Key = TypeVar("Key")

MAX_ENDED = 4_000
"""Ended workflows that a ledger remembers: seconds of a busy partition, in which a repeat comes if
ever; one that is later seems to be a new one."""
MAX_EMITTERS = 65_536
"""Incarnations of which the last sequence is known."""
CUT_EVERY = 1_000
"""Records between two cuts of these."""
SUPERVISION_MS = 6_000
"""How long a supervision is trusted to run that was seen before the beginning: the default length.
A renewal follows within a third of it, if it goes on."""


class Strand:
    """Mutable: what is known of one audit partition; `next` is the offset that is due."""

    def __init__(self, partition: int, first: int, rows: Rows, window: Window) -> None:
        self.partition = partition
        self.first = first
        self.first_ms = -1
        self.next = first
        self.low = 0
        self.end = first
        self.facts = 0
        self.void = 0
        self.unreadable = 0
        self.ledger = Ledger()
        self._rows = rows
        self._window = window
        self._takings: dict[TaskPartition, int] = {}
        self._see: dict[type, Callable[[f.Record, Row, Any], None]] = {
            f.TaskAwarded: self._awarded,
            f.ResultRejected: self._failed,
            f.StepFinished: self._spent,
            f.SpendSettled: self._settled,
            f.WorkSuspended: self._suspended,
            f.WorkFinished: self._finished,
        }
        for kind in END_STATUS:
            self._see[kind] = self._ended

    def __repr__(self) -> str:
        return f"Strand({self.partition} at {self.next}, {len(self.ledger.tasks)} open tasks)"

    @property
    def lag(self) -> int:
        """How many records are yet to be folded, as of the last look."""
        return max(0, self.end - self.next)

    def prime(self, record: f.Record) -> None:
        """Take a record of supervision that stands before the beginning."""
        fact, ledger = record.fact, self.ledger
        ledger.observe(record.append_ms)
        known = ledger.sequences
        known[fact.by] = max(known.get(fact.by, -1), record.sequence)
        if isinstance(fact, f.SupervisionTaken):
            position = record.offset
        elif isinstance(fact, f.SupervisionRenewed):
            position = fact.authority
        else:
            return
        if position < self._takings.get(fact.source, -1):
            return
        self._takings[fact.source] = position
        lease_ms = fact.lease_ms if isinstance(fact, f.SupervisionTaken) else SUPERVISION_MS
        now_ms = ledger.log_time_ms
        lease = Lease(position, fact.by, lease_ms, now_ms=now_ms, limit_ms=NEVER)
        ledger.supervisions[fact.source] = lease

    def add(self, record: f.Record) -> str | None:
        """Take the next fact; return why it is void, "" if it counts, None if nobody can know."""
        ledger, fact = self.ledger, record.fact
        if self.first_ms < 0:
            self.first_ms = record.append_ms
        self.next = record.offset + 1
        self.facts += 1
        if self.facts % CUT_EVERY == 0:
            self._cut()
        void = ledger.add(record)
        bucket = self._window.at(record.append_ms)
        bucket.facts += 1
        if void:
            return self._judged_void(record, void)
        if isinstance(fact, f.TaskOpened):
            self._opened(record, fact)
            return ""
        see = self._see.get(type(fact))
        if see is not None:
            row = self._rows.get(fact.task)  # type: ignore[union-attr] # whatever is seen has one
            if row is not None and row.state is not None:
                see(record, row, fact)
        return ""

    def skip(self, offset: int, append_ms: int) -> None:
        """Take the next record, which is no fact: it only moves the time."""
        self.next = offset + 1
        self.unreadable += 1
        self.ledger.observe(append_ms)

    def _judged_void(self, record: f.Record, void: str) -> str | None:
        workflow = getattr(record.fact, "workflow", "")
        known = not workflow or self._rows.get(workflow) is not None
        if self.first > 0 and not known and workflow not in self.ledger.ended:
            return None
        self.void += 1
        self._window.at(record.append_ms).void += 1
        return void

    # --- what counts

    def _opened(self, record: f.Record, fact: f.TaskOpened) -> None:
        bucket = self._window.at(record.append_ms)
        bucket.tasks += 1
        bucket.opened += not fact.parent
        if max(len(fact.task), len(fact.workflow), len(fact.capability)) > MAX_NAME:
            return  # no instance of ours writes such a name, and a list of them would fill memory
        row = self._rows.opened(self.partition, record, fact, self.ledger.tasks[fact.task])
        if row is not None and fact.award is not None:
            self._award(record, row, fact.award)

    def _awarded(self, record: f.Record, row: Row, fact: f.TaskAwarded) -> None:
        self._award(record, row, fact.award)

    def _award(self, record: f.Record, row: Row, terms: Terms) -> None:
        row.root.latest_ms = record.append_ms
        bucket = self._window.at(record.append_ms)
        if terms.cause is Cause.DIED:
            self._window.count(bucket.failures, _edge(row))
        self._rows.awarded(row, terms)
        self._window.count(bucket.awards, _edge(row))

    def _failed(self, record: f.Record, row: Row, _: f.ResultRejected) -> None:
        self._window.count(self._window.at(record.append_ms).failures, _edge(row))

    def _spent(self, record: f.Record, row: Row, fact: f.StepFinished) -> None:
        self._charge(record, row, fact.spent)

    def _settled(self, record: f.Record, row: Row, fact: f.SpendSettled) -> None:
        self._charge(record, row, fact.amount)

    def _charge(self, record: f.Record, row: Row, amount: Amount) -> None:
        row.root.latest_ms = record.append_ms
        if amount.micro_usd or amount.tokens:
            bucket = self._window.at(record.append_ms)
            bucket.tokens += amount.tokens
            self._window.count(bucket.spent, _edge(row), amount.micro_usd)

    def _suspended(self, record: f.Record, row: Row, _: f.WorkSuspended) -> None:
        row.root.latest_ms = record.append_ms
        self._rows.suspended(row)

    def _finished(self, record: f.Record, row: Row, fact: f.WorkFinished) -> None:
        row.root.latest_ms = record.append_ms
        edge = _edge(row)
        assert row.state is not None, "it was open"
        if fact.error:
            self._window.count(self._window.at(record.append_ms).failures, edge)
        elif row.state.phase is Phase.ENDED:
            self._window.count(self._window.at(record.append_ms).completed, edge)
            self._end(record, row, Status.COMPLETED, "")

    def _ended(self, record: f.Record, row: Row, fact: f.EndFact) -> None:
        status = END_STATUS[type(fact)]
        bucket = self._window.at(record.append_ms)
        completed = status is Status.COMPLETED
        self._window.count(bucket.completed if completed else bucket.failures, _edge(row))
        reason = "" if isinstance(fact, f.TaskCompleted) else fact.reason
        if isinstance(fact, f.TaskRejected) and fact.field:
            reason = f"{fact.field}: {reason}"
        self._end(record, row, status, reason)

    def _end(self, record: f.Record, row: Row, status: Status, reason: str) -> None:
        row.root.latest_ms = record.append_ms
        self._rows.ended(row, record.append_ms, status, reason)
        if row.root is not row:
            return
        self._window.at(record.append_ms).ended[status.value] += 1
        end = self.ledger.ended.get(row.task)
        if end is not None:  # its name alone is still needed, so that nobody opens it again
            self.ledger.ended[row.task] = end._replace(body=NOTHING)

    def _cut(self) -> None:
        """Forget what was put there first, where there is too much."""
        _cut(self.ledger.ended, MAX_ENDED)
        _cut(self.ledger.sequences, MAX_EMITTERS)


def _cut(known: dict[Key, Any], most: int) -> None:
    for name in list(islice(known, max(0, len(known) - most))):
        del known[name]


def _edge(row: Row) -> Edge:
    return Edge(row.caller, row.capability, row.agent)
