"""What happened lately, in buckets of a minute of log time: counts, spending, delegations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

MINUTE_MS = 60_000
KEPT_MINUTES = 60
"""An hour: what a person means by "lately"; older things are found in the tasks and the log."""
MAX_EDGES = 5_000
"""Different delegations in a minute; a mesh of 300 agents in which each calls 16 has as many."""


class Edge(NamedTuple):
    """One delegation: who asked ("" for outside) for which capability, and who was awarded it."""

    caller: str
    capability: str
    agent: str


class Flow(NamedTuple):
    """How often an edge was awarded, and how that ended; `spent` in millionths of a dollar."""

    awards: int
    completed: int
    failed: int
    spent_micro_usd: int


class Bucket:
    """Mutable: one minute."""

    __slots__ = (
        "awards", "completed", "ended", "facts", "failures", "opened", "spent",
        "tasks", "tokens", "void",
    )  # fmt: skip

    def __init__(self) -> None:
        self.facts = 0
        self.void = 0
        self.opened = 0
        self.tasks = 0
        self.tokens = 0
        self.ended: Counter[str] = Counter()
        self.awards: Counter[Edge] = Counter()
        self.completed: Counter[Edge] = Counter()
        self.failures: Counter[Edge] = Counter()
        self.spent: Counter[Edge] = Counter()

    @property
    def spent_micro_usd(self) -> int:
        """What was charged in this minute."""
        return sum(self.spent.values())


class Window:
    """Mutable: the last hour of log time."""

    def __init__(self) -> None:
        self._buckets: dict[int, Bucket] = {}
        self._latest = 0
        self._minute = -1
        self._current = Bucket()

    def __repr__(self) -> str:
        return f"Window({len(self._buckets)} minutes to {self._latest})"

    def at(self, append_ms: int) -> Bucket:
        """Return the bucket of a time; what is older than the window goes to one nobody sees."""
        minute = append_ms // MINUTE_MS
        if minute != self._minute:
            self._minute, self._current = minute, self._find(minute)
        return self._current

    def _find(self, minute: int) -> Bucket:
        if minute > self._latest:
            self._latest = minute
            for old in [own for own in self._buckets if own <= minute - KEPT_MINUTES]:
                del self._buckets[old]
        elif minute <= self._latest - KEPT_MINUTES:
            return Bucket()
        return self._buckets.setdefault(minute, Bucket())

    def count(self, counter: Counter[Edge], edge: Edge, amount: int = 1) -> None:
        """Count an edge, unless there are too many different ones already."""
        if edge in counter or len(counter) < MAX_EDGES:
            counter[edge] += amount

    def minutes(self, now_ms: int, count: int = KEPT_MINUTES) -> Iterator[tuple[int, Bucket]]:
        """Yield the last minutes up to now, the oldest first, also those in which nothing was."""
        last = now_ms // MINUTE_MS
        for minute in range(last - count + 1, last + 1):
            yield minute * MINUTE_MS, self._buckets.get(minute) or Bucket()

    def flows(self, now_ms: int, count: int = KEPT_MINUTES) -> dict[Edge, Flow]:
        """Return the edges of the last minutes."""
        found: dict[Edge, list[int]] = {}
        for _, bucket in self.minutes(now_ms, count):
            kinds = (bucket.awards, bucket.completed, bucket.failures, bucket.spent)
            for place, counter in enumerate(kinds):
                for edge, amount in counter.items():
                    found.setdefault(edge, [0, 0, 0, 0])[place] += amount
        return {edge: Flow(*figures) for edge, figures in found.items()}
