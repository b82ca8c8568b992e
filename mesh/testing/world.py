"""What is around the nodes of a simulation: time, the broker, the group, the outside world.

Nothing here knows a rule of the protocol. The broker keeps audit partitions (with the clock of
whoever leads them), inboxes, task topics, commits and `M.open`; the group hands task partitions
out; the target does the tools' effects, dedupes by key, and counts.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple

from mesh.core import facts as f
from mesh.core.facts import Fact, Record
from mesh.core.inputs import Request
from mesh.core.ledger import Ledger
from mesh.core.recall import place_of
from mesh.core.tasks import Header
from mesh.core.values import Amount, Body, Holder, TaskPartition
from mesh.testing.invariants import Audit, Violation

START_MS = 1_000_000


class Loop:
    """Mutable: simulated time, and what is to happen."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self._events: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._count = 0

    def after(self, delay_ms: int, then: Callable[..., None], *args: object) -> None:
        """Call `then(*args)` after `delay_ms`; what is due at one time happens in this order."""
        self._count += 1
        heapq.heappush(self._events, (self.now_ms + max(0, delay_ms), self._count, then, args))

    def step(self) -> bool:
        """Let the next thing happen; False if nothing will."""
        if not self._events:
            return False
        self.now_ms, _, then, args = heapq.heappop(self._events)
        then(*args)
        return True


# --- the log ------------------------------------------------------------------------------------


class AuditPartition:
    """Mutable: one audit partition, its leader's clock, and the audit of all that it holds."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.records: list[Record] = []
        self.audit = Audit(partition)
        self.skew_ms = 0
        self.down = False
        self.begun: dict[tuple[str, int, str], Amount] = {}

    @property
    def fold(self) -> Ledger:
        """Return the fold of all records."""
        return self.audit.ledger

    def append(self, now_ms: int, sequence: int, fact: Fact) -> tuple[Record, list[Violation]]:
        """Append a fact, judge it, and check every invariant of the log."""
        record = Record(len(self.records), now_ms + self.skew_ms, sequence, fact)
        self.records.append(record)
        found = self.audit.add(record)
        if isinstance(fact, f.StepBegun) and self.counts(record.offset):
            self.begun[fact.task, fact.authority, place_of(fact.step)] = fact.reserve
        return record, found

    def counts(self, offset: int) -> bool:
        """Tell whether the fact at an offset counts."""
        verdicts = self.audit.verdicts
        return 0 <= offset < len(verdicts) and not verdicts[offset]

    def read(
        self, header: Header, end: int, workflows: Iterable[str], source: TaskPartition | None
    ) -> Ledger:
        """Fold a part of the log as a shell does for `Read`; `end` is exclusive."""
        ledger = Ledger.begin(header)
        kept = set(workflows)
        for record in self.records[header.offset : end]:
            fact = record.fact
            if isinstance(fact, f.LeaseRenewed | f.SupervisionFact):
                ledger.add(record)
                continue
            if isinstance(fact, f.TaskOpened) and fact.source == source:
                kept.add(fact.workflow)
            if fact.workflow in kept:
                ledger.add(record)
            else:
                ledger.observe(record.append_ms)
        return ledger


class Channel:
    """Mutable: one incarnation's appends to one partition, in order."""

    def __init__(self, loop: Loop, random: Random, land: Callable[..., None]) -> None:
        self.loop = loop
        self.random = random
        self.land = land
        self.pending: list[tuple[int, tuple[object, ...]]] = []
        self.blocked: set[str] = set()
        self._last_ms = 0

    def put(self, delay_ms: int, *item: object) -> None:
        """Let an item land after `delay_ms`, and after all before it."""
        self._last_ms = max(self._last_ms, self.loop.now_ms + delay_ms)
        self.pending.append((self._last_ms, item))
        self.loop.after(self._last_ms - self.loop.now_ms, self.pump)

    def pump(self) -> None:
        """Let everything land that is due."""
        while self.pending and not self.blocked and self.pending[0][0] <= self.loop.now_ms:
            _, item = self.pending.pop(0)
            self.land(*item)

    def block(self, why: str) -> None:
        """Let nothing land."""
        self.blocked.add(why)

    def unblock(self, why: str) -> None:
        """Undo `block`; the order stays."""
        self.blocked.discard(why)
        if not self.blocked:
            self.loop.after(0, self.pump)

    def cut_off(self) -> None:
        """The producer dies: a part, from the first on, still lands."""
        del self.pending[self.random.randint(0, len(self.pending)) :]


# --- task topics --------------------------------------------------------------------------------


class TaskRecord(NamedTuple):
    """A record of a task topic; `request` None for one that cannot be decoded."""

    append_ms: int
    request: Request | None


class Topics:
    """Mutable: task topics, committed offsets, and `M.open`."""

    def __init__(self, sources: Iterable[TaskPartition]) -> None:
        self.records: dict[TaskPartition, list[TaskRecord]] = {source: [] for source in sources}
        self.commits: dict[TaskPartition, tuple[int, Header]] = {}
        self.open: dict[TaskPartition, dict[str, Header]] = {source: {} for source in self.records}
        self.noted: set[str] = set()


# --- the group ----------------------------------------------------------------------------------


class Member(NamedTuple):
    """One member of the consumer group."""

    holder: Holder
    capabilities: frozenset[str]


class Group:
    """Mutable: who owns which task partition, as the coordinator has it.

    It tells members through the four callbacks; a member hears of it when it hears of it.
    """

    def __init__(
        self,
        loop: Loop,
        random: Random,
        sources: Iterable[TaskPartition],
        assign: Callable[[Holder, TaskPartition], None],
        revoke: Callable[[Holder, TaskPartition], None],
    ) -> None:
        self.loop = loop
        self.random = random
        self.members: dict[Holder, Member] = {}
        self.owners: dict[TaskPartition, Holder | None] = dict.fromkeys(sources)
        self._moving: dict[TaskPartition, Holder] = {}
        self._assign = assign
        self._revoke = revoke
        self._balancing = False

    def join(self, holder: Holder, capabilities: frozenset[str]) -> None:
        """Take a member in."""
        self.members[holder] = Member(holder, capabilities)
        self.balance_later()

    def expel(self, holder: Holder) -> None:
        """Drop a member that was silent for too long, or said goodbye."""
        if self.members.pop(holder, None) is None:
            return
        for source, owner in self.owners.items():
            if owner == holder:
                self.owners[source] = None
        for source in [s for s, owner in self._moving.items() if owner == holder]:
            del self._moving[source]
        self.balance_later()

    def revoked(self, holder: Holder, source: TaskPartition) -> None:
        """Hear that a member has given a partition up, as it was told."""
        if self._moving.get(source) == holder:
            del self._moving[source]
            self.owners[source] = None
            self.balance_later()

    def balance_later(self) -> None:
        """Look at who owns what, soon."""
        if not self._balancing:
            self._balancing = True
            self.loop.after(self.random.randint(20, 200), self._balance)

    def move(self, source: TaskPartition) -> None:
        """Take a partition from its owner in order, for somebody else."""
        owner = self.owners[source]
        if owner is not None and source not in self._moving:
            self._moving[source] = owner
            self._revoke(owner, source)

    def _balance(self) -> None:
        self._balancing = False
        load = dict.fromkeys(self.members, 0)
        for owner in self.owners.values():
            if owner is not None:
                load[owner] += 1
        for source, owner in self.owners.items():
            able = [m.holder for m in self.members.values() if source.capability in m.capabilities]
            if not able:
                continue
            least = min(able, key=lambda holder: (load[holder], holder))
            if owner is None:
                self.owners[source] = least
                load[least] += 1
                self._assign(least, source)
            elif load[owner] > load[least] + 1:
                self.move(source)


# --- the outside --------------------------------------------------------------------------------


class Target:
    """Mutable: what tools act upon. It dedupes by key, and counts calls, effects and money."""

    def __init__(self) -> None:
        self.results: dict[str, Body] = {}
        self.calls: dict[tuple[str, int, str], int] = {}
        self.applied: dict[tuple[str, str], set[str]] = {}
        self.once: dict[tuple[str, str], int] = {}
        self.paid: dict[str, list[int]] = {}
        self.judged: dict[str, int] = {}

    def pay(self, workflow: str, amount: Amount) -> list[int]:
        """Charge a workflow for a call; return what it has paid in all."""
        paid = self.paid.setdefault(workflow, [0, 0, 0, 0, 0])
        for place, part in enumerate(amount):
            paid[place] += part
        return paid
