"""Duplicate work: several workflows are at one capability with equal input at the same time.

A workflow lives in one audit partition and another one in another, so nothing that folds a single
partition can see this. It needs little: when a task was opened and when it ended. `Twins` is shown
the openings and ends of **all** partitions, each partition in its order, and is told through which
time all of them were read (`advance`).

**When it is decided.** Whoever comes second is judged `duplicate_ms` after it was opened, in the
log's time, and once that time was read everywhere: found are those of equal input that were opened
before it, in other workflows, and were open then, as it was itself. This depends on append times
alone, not on the order in which partitions are read; a reader that begins again finds the same.

**What is equal**: the hash of the input, over its canonical form. Inputs that say nothing (null,
false, 0, "", [] and {}) are left out: what is to be done then follows from something else. Of one
workflow only the first task counts: one that asks twice is what other detectors look for. A repeat
under the same `ce-id`, a new award and a new attempt are the same task; it ends when a result is
delivered, or with its root. Whether its effect is pure does not matter: it is paid for twice.

**What does not count** is not known here, for judging every partition costs twenty times as much.
A void end hides a pair. A void opening names the task that the one that counts names, or a task
that nobody does: only a replaced worker that goes another way than its journal writes such, and it
would have to ask for what another workflow has at that moment.

A clock that jumps ahead makes all that is open then seem to be open for long: so nobody is judged
in the reading that showed its opening, and who overlaps for less than a reading is not found.

Kept is a span for each open task, and for each that ended until all was read through its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from heapq import heappop, heappush
from typing import NamedTuple, TypeGuard

from mesh.core import facts as f
from mesh.core.detectors.frame import MAX_EVIDENCE
from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.effects import Incident, Position
from mesh.core.ids import derive
from mesh.core.values import Ancestor, Outcome

KIND = "duplicate-work"
MAX_SPANS = 100_000
"""Open tasks that are known, some 100 MB; then the oldest are forgotten, and not compared."""
MAX_ENDED = 20_000
"""Ended tasks that are remembered, so that a late repeat of an opening opens nothing."""
MAX_TOLD = 64
"""Findings about one input while it is open somewhere: who has not looked by then will not."""
SWEEP_MS = 60_000
"""So often those are looked for whose deadline has passed without an end."""
_EMPTY = ("null", "false", "0", '""', "[]", "{}")
EMPTY_HASHES = frozenset(
    {b"", sha256(b"").digest(), *(sha256(own.encode()).digest() for own in _EMPTY)}
)
"""Of inputs that say nothing."""


def is_end(fact: f.Fact) -> TypeGuard[f.EndFact | f.WorkFinished]:
    """Tell whether a task is over with a fact, if that counts; a failed attempt is no end."""
    if isinstance(fact, f.WorkFinished):
        return fact.outcome is Outcome.COMPLETED
    return isinstance(fact, f.EndFact)


class Span:
    """Mutable: one task while it is open; `until_ms` is its deadline, or its end."""

    __slots__ = ("cycle", "kin", "opened_ms", "own", "until_ms", "where", "workflow")

    def __init__(
        self, opened: f.TaskOpened, where: Position, opened_ms: int, kin: Kin, cycle: int
    ) -> None:
        self.workflow = opened.workflow
        agent = opened.award.agent if opened.award is not None else ""
        self.own = Ancestor(opened.task, opened.capability, agent, opened.input.hash)
        self.where = where
        self.opened_ms = opened_ms
        self.until_ms = opened.deadline_ms
        self.kin = kin
        self.cycle = cycle

    def __repr__(self) -> str:
        return f"Span({self.own.capability} in {self.workflow}, {self.opened_ms}-{self.until_ms})"

    @property
    def order(self) -> tuple[int, int, int]:
        """Which of two came first: the same for every reader."""
        return self.opened_ms, self.where.partition, self.where.offset


class Kin:
    """Mutable: the spans of one capability and input; `told` counts what was found of them."""

    __slots__ = ("spans", "told")

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        self.told = 0


class _Due(NamedTuple):
    """Who is judged, and when; `number` sets apart what stands at one place."""

    at_ms: int
    order: tuple[int, int, int]
    number: int
    span: Span
    ancestors: tuple[Ancestor, ...]


class Twins:
    """Mutable: the tasks that are open anywhere, and who is still to be judged."""

    def __init__(self, limits: LimitTable | None = None) -> None:
        self.limits = limits or LimitTable()
        self.through_ms = 0
        self._spans: dict[str, Span] = {}
        self._members: dict[str, dict[str, None]] = {}
        self._kin: dict[tuple[str, bytes], Kin] = {}
        self._ended: dict[str, None] = {}
        self._due: list[_Due] = []
        self._over: list[tuple[int, str]] = []
        self._cycle = 0
        self._count = 0
        self._swept_ms = 0

    def __len__(self) -> int:
        return len(self._spans)

    def __repr__(self) -> str:
        return f"Twins({len(self)} tasks, through {self.through_ms})"

    # --- what is read ---------------------------------------------------------------------------

    def take(self, partition: int, record: f.Record) -> None:
        """Take a record of an audit partition, in its order; all but openings and ends say nothing.

        Leave the others out as you like; a record that was taken before changes nothing.
        """
        fact = record.fact
        if isinstance(fact, f.TaskOpened):
            self._open(fact, Position("audit", partition, record.offset), record.append_ms)
        elif is_end(fact):
            self._end(fact.workflow, fact.task, record.append_ms)

    def _open(self, opened: f.TaskOpened, where: Position, append_ms: int) -> None:
        name, alike = opened.task, (opened.capability, opened.input.hash)
        if opened.input.hash in EMPTY_HASHES or name in self._spans or name in self._ended:
            return
        while len(self._spans) >= MAX_SPANS:
            self._drop(next(iter(self._spans)))
        kin = self._kin.setdefault(alike, Kin())
        span = Span(opened, where, append_ms, kin, self._cycle)
        self._spans[name] = kin.spans[name] = span
        self._members.setdefault(opened.workflow, {})[name] = None
        due_ms = append_ms + self._limits(span, opened.ancestors).duplicate_ms
        self._count += 1
        heappush(self._due, _Due(due_ms, span.order, self._count, span, opened.ancestors))

    def _end(self, workflow: str, task: str, append_ms: int) -> None:
        """End a task; a root ends all that is open below it."""
        ended = self._members.get(workflow, {}) if task == workflow else (task,)
        for name in tuple(ended):
            self._remember(name)
            span = self._spans.get(name)
            if span is not None and append_ms < span.until_ms:
                span.until_ms = append_ms
                heappush(self._over, (append_ms, name))

    def _remember(self, task: str) -> None:
        self._ended[task] = None
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    # --- what is found --------------------------------------------------------------------------

    def advance(self, through_ms: int) -> list[Incident]:
        """Go on: all that was appended through this time, anywhere, was taken. Returns findings."""
        self.through_ms = max(self.through_ms, through_ms)
        found: list[Incident] = []
        waiting: list[_Due] = []
        while self._due and self._due[0].at_ms <= self.through_ms:
            due = heappop(self._due)
            if due.span.cycle == self._cycle:
                waiting.append(due)
            else:
                found += self._judged(due.span, due.at_ms, due.ancestors)
        for due in waiting:
            heappush(self._due, due)
        self._cycle += 1
        self._tidy()
        return found

    def _judged(
        self, span: Span, at_ms: int, ancestors: tuple[Ancestor, ...]
    ) -> Iterator[Incident]:
        """Judge whoever came second; yields what is found."""
        if span.until_ms < at_ms or span.kin.told >= MAX_TOLD:
            return
        first: dict[str, Span] = {}
        for other in sorted(span.kin.spans.values(), key=lambda own: own.order):
            if other.order >= span.order:
                break
            if other.until_ms >= at_ms:
                first.setdefault(other.workflow, other)
        limits = self._limits(span, ancestors)
        if span.workflow in first or len(first) < limits.duplicates:
            return
        span.kin.told += 1
        yield _incident(span, list(first.values()), ancestors, limits)

    def _limits(self, span: Span, ancestors: tuple[Ancestor, ...]) -> Limits:
        capability = span.own.capability
        root = ancestors[0].capability if ancestors else capability
        return self.limits.of(
            agent=span.own.agent, capability=capability, root=root, workflow=span.workflow
        )

    def is_open(self, task: str) -> bool:
        """Tell whether a task is known and had not ended when all was read."""
        span = self._spans.get(task)
        return span is not None and span.until_ms > self.through_ms

    # --- what is kept ---------------------------------------------------------------------------

    def begin(self, partition: int, following: int) -> int:
        """Return the offset from which a successor must read a partition.

        `following` is the offset behind the last that was taken of it.
        """
        kept = (own.where for own in self._spans.values())
        return min((at.offset for at in kept if at.partition == partition), default=following)

    def _tidy(self) -> None:
        """Drop what was over before the time through which all was read and judged."""
        while self._over and self._over[0][0] < self.through_ms:
            _, name = heappop(self._over)
            if name in self._spans:
                self._drop(name)
        if self.through_ms >= self._swept_ms + SWEEP_MS:
            self._swept_ms = self.through_ms
            late = [name for name, own in self._spans.items() if own.until_ms < self.through_ms]
            for name in late:
                self._drop(name)

    def _drop(self, task: str) -> None:
        span = self._spans.pop(task)
        kin, members = span.kin, self._members[span.workflow]
        del kin.spans[task]
        if not kin.spans:
            del self._kin[span.own.capability, span.own.input_hash]
        del members[task]
        if not members:
            del self._members[span.workflow]


def _incident(
    span: Span, others: list[Span], ancestors: tuple[Ancestor, ...], limits: Limits
) -> Incident:
    first, count = others[0], len(others) + 1
    before_s = (span.opened_ms - first.opened_ms) / 1_000
    proof = (*(other.where for other in others[: MAX_EVIDENCE - 1]), span.where)
    others_too = f" and {count - 2} other{'s' * (count > 3)}" if count > 2 else ""
    text = (
        f"{span.own.capability} was asked for here, while workflow {first.workflow}{others_too}, "
        f"which had asked for it with the same input {before_s:.1f} s before, was still at it "
        f"({limits.duplicates} workflow{'s' * (limits.duplicates > 1)} allowed); "
        f"{limits.duplicate_ms / 1_000:g} s later nobody had a result: the same work is paid for "
        f"{count} times."
    )
    return Incident(
        kind=KIND,
        workflow=span.workflow,
        task=span.own.task,
        text=text,
        id=derive("incident", KIND, first.own.task, span.own.task),
        detector=KIND,
        measure="workflows that were at the same capability and input at once",
        seen=count,
        limit=limits.duplicates,
        chain=(*ancestors, span.own),
        evidence=proof,
    )
