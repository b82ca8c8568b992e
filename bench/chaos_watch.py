"""What goes on, live: a reader of the audit stream that knows whom a fault would hit.

What counts it takes from the ledger: good enough to choose a victim and to show afterwards what a
fault led to. Whether the log is sound is judged at the end, by others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from mesh.core import facts as f
from mesh.core.ledger import Ledger
from mesh.core.values import Cause, Holder, TaskPartition, Terms
from mesh.errors import WireError
from mesh.ports import Incoming
from mesh.wire.facts import decode_fact

GIVES_UP = f.AwardDeclined | f.WorkSuspended | f.WorkCancelled | f.WorkFinished


class Held(NamedTuple):
    """What a process has in hand: awards without and with children below, open root tasks."""

    leaves: int
    nested: int
    roots: int

    @property
    def anything(self) -> bool:
        return any(self)


class Open:
    """Mutable: one open task."""

    __slots__ = ("award", "children", "holder", "opened")

    def __init__(self, opened: f.TaskOpened) -> None:
        self.opened = opened
        self.holder: Holder | None = None
        self.award = -1
        self.children = 0


class Watch:
    """Mutable: what is open and who holds it.

    `died`, `taken` and `late` count by holder: awards that it lost by dying, task partitions that
    another took from it while it had not released them, facts that were void.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, Open] = {}
        self.supervisors: dict[TaskPartition, Holder] = {}
        self.roots: Counter[TaskPartition] = Counter()
        self.latest: dict[str, int] = {}
        self.ended: set[str] = set()
        self.died: Counter[Holder] = Counter()
        self.taken: Counter[Holder] = Counter()
        self.late: Counter[Holder] = Counter()
        self.kinds: Counter[str] = Counter()
        self.causes: Counter[str] = Counter()
        self.voids: Counter[str] = Counter()
        self.undecoded = 0
        self.longest_silence_ms = 0
        self.times_ms: list[int] = []
        self._last_ms = 0
        self._ledgers: dict[int, Ledger] = {}

    def see(self, batch: Iterable[Incoming]) -> None:
        """Take records of the audit stream."""
        for incoming in batch:
            try:
                decoded = decode_fact(incoming.value)
            except WireError:
                self.undecoded += 1
                continue
            ledger = self._ledgers.setdefault(incoming.partition, Ledger())
            record = f.Record(incoming.offset, incoming.append_ms, decoded.sequence, decoded.fact)
            void = ledger.add(record)
            if self._last_ms:
                silence_ms = incoming.append_ms - self._last_ms
                self.longest_silence_ms = max(self.longest_silence_ms, silence_ms)
            self._last_ms = max(self._last_ms, incoming.append_ms)
            self.times_ms.append(incoming.append_ms)
            self._see(incoming.offset, decoded.fact, void)

    def held(self, process: str) -> Held:
        """Return what a process has in hand now."""
        tail = f".{process}"
        leaves = nested = 0
        for task in self.tasks.values():
            if task.holder is not None and task.holder.instance.endswith(tail):
                leaves += task.children == 0
                nested += task.children > 0
        roots = sum(
            self.roots[source]
            for source, holder in self.supervisors.items()
            if holder.instance.endswith(tail)
        )
        return Held(leaves, nested, roots)

    def holder(self, process: str) -> Holder | None:
        """Return the latest incarnation seen of a process's instance."""
        tail = f".{process}"
        found = [name for name in self.latest if name.endswith(tail)]
        return Holder(found[0], self.latest[found[0]]) if found else None

    def fate(self, holder: Holder | None) -> tuple[int, int, int]:
        """Return what happened to an incarnation so far: `died`, `taken` and `late` of it."""
        if holder is None:
            return 0, 0, 0
        return self.died[holder], self.taken[holder], self.late[holder]

    def was_silent(self, from_ms: int, until_ms: int) -> bool:
        """Tell whether nothing was appended in a span of time, and something was after it."""
        if until_ms <= from_ms:
            return True
        within = any(from_ms < at_ms < until_ms for at_ms in self.times_ms)
        return not within and max(self.times_ms, default=0) > until_ms

    def _see(self, offset: int, fact: f.Fact, void: str) -> None:
        self.kinds[type(fact).__name__] += 1
        name, incarnation = fact.by
        self.latest[name] = max(self.latest.get(name, 0), incarnation)
        if void:
            self.voids[type(fact).__name__] += 1
            self.late[fact.by] += 1
            return
        match fact:
            case f.SupervisionTaken():
                before = self.supervisors.get(fact.source)
                if before is not None and before != fact.by:
                    self.taken[before] += 1
                self.supervisors[fact.source] = fact.by
            case f.SupervisionReleased():
                if self.supervisors.get(fact.source) == fact.by:
                    del self.supervisors[fact.source]
            case f.TaskOpened():
                self._open(offset, fact)
            case f.TaskAwarded():
                self._award(offset, self.tasks[fact.task], fact.award)
            case _:
                self._worked(fact)

    def _open(self, offset: int, fact: f.TaskOpened) -> None:
        task = self.tasks[fact.task] = Open(fact)
        parent = self.tasks.get(fact.parent)
        if parent is not None:
            parent.children += 1
        elif not fact.parent:
            self.roots[fact.source] += 1
        if fact.award is not None:
            self._award(offset, task, fact.award)

    def _award(self, offset: int, task: Open, terms: Terms) -> None:
        self.causes[terms.cause.value] += 1
        if terms.cause is Cause.DIED and task.holder is not None:
            self.died[task.holder] += 1
        task.holder, task.award = terms.worker, offset

    def _worked(self, fact: f.Fact) -> None:
        if isinstance(fact, f.SupervisionFact | f.LeaseRenewed):
            return
        task = self.tasks.get(fact.task)
        if task is None:
            return
        if isinstance(fact, GIVES_UP):
            task.holder = None
        finished = isinstance(fact, f.WorkFinished) and fact.outcome == "completed"
        if (finished and task.opened.acceptance == "automatic") or isinstance(fact, f.EndFact):
            self._end(task)

    def _end(self, task: Open) -> None:
        opened = task.opened
        del self.tasks[opened.task]
        if not opened.parent:
            self.ended.add(opened.event_id)
            self.roots[opened.source] -= 1
        elif (parent := self.tasks.get(opened.parent)) is not None:
            parent.children -= 1
        for name in [n for n, t in self.tasks.items() if t.opened.parent == opened.task]:
            self._end(self.tasks[name])
