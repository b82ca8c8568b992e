"""What the parts of a node share: who it is, what it knows, and its outbox.

`Desk` holds no rule of the protocol. It numbers appends and reads, brings each report back to the
part that waits for it, and keeps timers. A part that appends a fact names the method that goes on
when the report is there: it is told `""` if the fact counts, else why it must not be acted on.
Reports of one partition come in the order of its appends: one that is passed over by a later one
will never come, and its fact must not be acted on either, whether it is in the log or not.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from mesh.core import messages as m
from mesh.core.effects import Append, Incident, Read, Refusal, Send, Step
from mesh.core.facts import Fact, Record
from mesh.core.halts import Halts
from mesh.core.ids import audit_partition, audit_partition_of
from mesh.core.ledger import OF_NO_TASK, Ledger
from mesh.core.meters import Meter
from mesh.core.registry import Card, Directory, covers
from mesh.core.settings import Settings
from mesh.core.standing import Standings
from mesh.core.tasks import Header, TaskState
from mesh.core.values import Holder, Inbox, TaskPartition

MARK_MS: Final = 1_000
"""Own log positions are remembered this far apart: a reader begins at most so much too early."""
MARKS: Final = 64
"""Of each partition so many are kept: more than a supervision lease and the skew ever need."""
READ_AT_ONCE: Final = 256
"""Workflows in one pass over a partition: bounds what is held in memory at a time."""

UNKNOWN: Final = "its outcome is unknown"
"""Why a fact without a report must not be acted on; it may count all the same."""

Then = Callable[..., None]
BEGINNING: Final = Header(0, 0, ())


def earliest(headers: Iterable[Header]) -> Header:
    """Return one header from which all that the others lead to can be read."""
    # a taking that lies behind the first offset will be read; one before it holds there already
    known = sorted(headers, key=lambda header: header.offset, reverse=True)
    first = known[-1]
    supervisions = {
        seen.source: seen
        for header in known
        for seen in header.supervisions
        if seen.position < first.offset
    }
    return first._replace(supervisions=tuple(supervisions.values()))


class Reading:
    """Mutable: one pass over an audit partition, and what waits for the next."""

    __slots__ = ("current", "next")

    def __init__(self) -> None:
        self.current: dict[str, list[tuple[Then, tuple[object, ...]]]] = {}
        self.next: dict[str, list[tuple[Then, tuple[object, ...]]]] = {}


class Desk:
    """Mutable: the shared state of one node; `step` collects the effects of the current input."""

    def __init__(
        self, me: Holder, inbox: Inbox, card: Card, settings: Settings, audit_partitions: int
    ) -> None:
        self.me = me
        self.inbox = inbox
        self.card = card
        self.settings = settings
        self.audit_partitions = audit_partitions
        self.directory = Directory()
        self.halts = Halts()
        self.standings = Standings(self._may_auction)
        self.headers: dict[str, Header] = {}
        self.meter = Meter()
        self.step = Step()
        self.now_ms = 0
        self.draining = False
        self.refusals = 0
        self.works: Callable[[str, int], bool] = lambda _task, _award: False
        self.wake: Callable[[str], None] = lambda _workflow: None
        self._held: dict[str, int] = {}
        self._homes: dict[str, Ledger] = {}
        self._ledgers: dict[int, Ledger] = {}
        self._ahead_ms: dict[int, int] = {}
        self._marks: dict[int, deque[tuple[int, int]]] = {}
        self._awaited: dict[int, tuple[int, Then, tuple[object, ...]]] = {}
        self._in_flight: dict[int, deque[tuple[int, Fact]]] = {}
        self._reading: dict[int, Reading] = {}
        self._timers: list[tuple[int, int, Then, tuple[object, ...]]] = []
        self._count = 0

    def _may_auction(self, capability: str) -> bool:
        """Tell whether tasks for a capability may be awarded here: root tasks, or children."""
        offered = (own.name for own in self.card.capabilities)
        return capability in offered or covers(self.card.calls, capability)

    # --- what is known --------------------------------------------------------------------------

    def ledger(self, workflow: str) -> Ledger:
        """Return what is known of the audit partition in which a workflow or task lives.

        Who is about to look at a workflow that sleeps has it unpacked by this.
        """
        home = self._homes.get(workflow)
        if home is None:
            self.wake(workflow)
            home = self.ledger_of(audit_partition_of(workflow))
        return home

    def ledger_of(self, partition: int) -> Ledger:
        """Return what is known of an audit partition."""
        ledger = self._ledgers.get(partition)
        if ledger is None:
            ledger = self._ledgers[partition] = Ledger()
        return ledger

    def home(self, source: TaskPartition) -> int:
        """Return the audit partition of a task partition's workflows."""
        return audit_partition(source, self.audit_partitions)

    def log_now(self, workflow: str) -> int:
        """Return the best guess at log time: only for what a later fact will decide.

        The local clock is set by the last report, so that it may be as wrong as it likes.
        """
        partition = audit_partition_of(workflow)
        ahead_ms = self._ahead_ms.get(partition, 0)
        return max(self.now_ms + ahead_ms, self.ledger_of(partition).log_time_ms)

    def local_time(self, workflow: str, log_ms: int) -> int:
        """Return the local time at which log time will have come to `log_ms`, by the same guess."""
        return self.now_ms + max(0, log_ms - self.log_now(workflow))

    def mark_before(self, partition: int, append_ms: int, floor: int) -> tuple[int, int] | None:
        """Return an own log position not above `append_ms` and not before offset `floor`."""
        marks = self._marks.get(partition, ())
        for offset, at_ms in reversed(marks):
            if at_ms <= append_ms:
                return (offset, at_ms) if offset >= floor else None
        return None

    def hold(self, workflow: str) -> None:
        """Keep what is known of a workflow until as many `release`s."""
        home = self.ledger(workflow)
        held = self._held[workflow] = self._held.get(workflow, 0) + 1
        if held == 1:
            self._homes[workflow] = home

    def release(self, workflow: str) -> None:
        """Undo one `hold`; with the last one the workflow is forgotten."""
        left = self._held[workflow] - 1
        if left:
            self._held[workflow] = left
            return
        del self._held[workflow], self._homes[workflow]
        self.headers.pop(workflow, None)
        self.ledger(workflow).forget_workflow(workflow)

    def held_by(self, workflow: str) -> int:
        """Return how many `release`s of a workflow are due."""
        return self._held.get(workflow, 0)

    def put_away(self, workflow: str) -> Header:
        """Forget a workflow until it is brought back, and return where to read it."""
        ledger = self._homes.pop(workflow)
        del self._held[workflow]
        ledger.forget_workflow(workflow)
        return self.headers.pop(workflow)

    def bring_back(self, task: TaskState, header: Header, held: int) -> None:
        """Know a workflow of one task again, as it was put away."""
        workflow = task.opened.workflow
        ledger = self._homes[workflow] = self.ledger_of(audit_partition_of(workflow))
        self._held[workflow] = held
        self.headers[workflow] = header
        ledger.put(task)

    # --- appends --------------------------------------------------------------------------------

    def append(self, partition: int, fact: Fact, then: Then, *args: object) -> None:
        """Append `fact`; go on with `then(record, void, *args)` when its report is there."""
        self._count += 1
        self._awaited[self._count] = (partition, then, args)
        self._in_flight.setdefault(partition, deque()).append((self._count, fact))
        self.step.appends.append(Append(self._count, partition, fact))

    def appended(self, token: int, record: Record) -> None:
        """Take a report: judge the own fact, with the margin, and let its part go on."""
        awaited = self._awaited.pop(token, None)
        if awaited is None:
            return
        partition, then, args = awaited
        in_flight = self._in_flight[partition]
        passed_over: list[tuple[int, Fact]] = []
        while in_flight[0][0] != token:
            passed_over.append(in_flight.popleft())
        in_flight.popleft()
        self._ahead_ms[partition] = record.append_ms - self.now_ms
        void = self._judge(self.ledger_of(partition), record)
        marks = self._marks.setdefault(partition, deque(maxlen=MARKS))
        if not marks or record.append_ms >= marks[-1][1] + MARK_MS:
            marks.append((record.offset, record.append_ms))
        for older, fact in passed_over:
            _, go_on, about = self._awaited.pop(older)
            go_on(record._replace(fact=fact), UNKNOWN, *about)
        then(record, void, *args)

    def _judge(self, ledger: Ledger, record: Record) -> str:
        """Judge an own fact, with the margin; return why it is void, "" if it counts."""
        fact = record.fact
        if isinstance(fact, OF_NO_TASK):
            return ledger.add(record, self.settings.clock_skew_ms)
        task = ledger.tasks.get(fact.task)  # the fact may end it
        void = ledger.add(record, self.settings.clock_skew_ms)
        task = task or ledger.tasks.get(fact.task)
        if task is not None and not void:
            self.meter.see(record, task)
        return void

    # --- reads ----------------------------------------------------------------------------------

    def read(self, workflow: str, then: Then, *args: object) -> None:
        """Read the workflow's part of the log to its end, take it over, go on with `then(*args)`.

        What is asked for while a pass over the partition is under way waits for the next.
        """
        partition = audit_partition_of(workflow)
        reading = self._reading.setdefault(partition, Reading())
        reading.next.setdefault(workflow, []).append((then, args))
        if not reading.current:
            self._read_next(partition, reading)

    def read_source(
        self, header: Header, source: TaskPartition, through: int, then: Then, *args: object
    ) -> None:
        """Read all workflows of a task partition; go on with `then(ledger, *args)`."""
        self._count += 1
        self._awaited[self._count] = (-1, then, args)
        partition = self.home(source)
        self.step.reads.append(Read(self._count, partition, header, through, frozenset(), source))

    def _read_next(self, partition: int, reading: Reading) -> None:
        batch = dict(list(reading.next.items())[:READ_AT_ONCE])
        for workflow in batch:
            del reading.next[workflow]
        reading.current = batch
        if not batch:
            return
        header = earliest(self.headers.get(workflow, BEGINNING) for workflow in batch)
        self._count += 1
        self._awaited[self._count] = (-1, self._was_read, (partition,))
        self.step.reads.append(Read(self._count, partition, header, -1, frozenset(batch), None))

    def was_read(self, token: int, ledger: Ledger) -> None:
        """Take the answer to a read."""
        awaited = self._awaited.pop(token, None)
        if awaited is not None:
            _, then, args = awaited
            then(ledger, *args)

    def _was_read(self, read: Ledger, partition: int) -> None:
        reading = self._reading[partition]
        ledger = self.ledger_of(partition)
        batch, reading.current = reading.current, {}
        ledger.unmerged.clear()
        for workflow in batch:
            ledger.merge(read, workflow, self.works)
        for waiting in batch.values():
            for then, args in waiting:
                then(*args)
        if not reading.current:
            self._read_next(partition, reading)

    # --- messages, incidents, timers ------------------------------------------------------------

    def send(self, to: Holder, inbox: Inbox, content: m.Content) -> None:
        """Send a message."""
        envelope = m.Envelope(to=to, sender=self.me, sender_inbox=self.inbox, content=content)
        self.step.messages.append(Send(inbox, envelope))

    def refuse(self, envelope: m.Envelope, reason: str) -> None:
        """Record that a peer's move changed nothing."""
        self.refusals += 1
        kind = type(envelope.content).__name__
        self.step.messages.append(Refusal(envelope.sender.instance, kind, reason))

    def incident(self, kind: str, workflow: str, task: str, text: str) -> None:
        """Put a finding on the incidents' topic."""
        self.step.messages.append(Incident(kind, workflow, task, text))

    def at(self, at_ms: int, then: Then, *args: object) -> None:
        """Call `then(*args)` once local time is `at_ms`: it may only trigger a decision."""
        self._count += 1
        heapq.heappush(self._timers, (at_ms, self._count, then, args))

    def run_timers(self) -> None:
        """Call what is due."""
        while self._timers and self._timers[0][0] <= self.now_ms:
            _, _, then, args = heapq.heappop(self._timers)
            then(*args)

    def next_deadline(self) -> int | None:
        """Return when the next timer is due, None without one."""
        return self._timers[0][0] if self._timers else None
