"""Counts of a run: workflows and their ends, tasks, auctions, results sent back, re-awards.

Only what counts is counted, so the tally of a log is the same whoever makes it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from mesh.core import facts as f
from mesh.core.book import End
from mesh.core.budget import ZERO, add
from mesh.core.ledger import Ledger
from mesh.core.values import NOTHING, Cause, Status

AGAIN = frozenset({Cause.FAILED, Cause.REJECTED, Cause.DIED})
DEAD = frozenset({Cause.DIED})


class Tally:
    """Mutable: the counts of all audit partitions that are fed into it.

    `outcomes` counts the ends of root tasks by status and, where the result is a JSON object with
    one of the `kinds` members, by its value.
    """

    def __init__(self, kinds: tuple[str, ...] = ("decision", "outcome", "status")) -> None:
        self.workflows = 0
        self.tasks = 0
        self.auctions = 0
        self.sent_back = 0
        self.reawards = 0
        self.deaths = 0
        self.void = 0
        self.records = 0
        self.cost = ZERO
        self.ends: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self._kinds = kinds
        self._ledgers: dict[int, Ledger] = {}
        self._see: dict[type, Callable[[Any], None]] = {
            f.TaskOpened: self._opened,
            f.BidsCalled: self._called,
            f.TaskAwarded: self._awarded,
            f.ResultRejected: self._rejected,
        }

    def ledger(self, partition: int) -> Ledger:
        """Return the ledger that judges a partition."""
        return self._ledgers.setdefault(partition, Ledger())

    def add(self, partition: int, record: f.Record) -> tuple[str, End | None]:
        """Count a record.

        Returns:
            The ledger's verdict, and the end of the workflow if this record is that.
        """
        ledger, fact = self.ledger(partition), record.fact
        self.records += 1
        void = ledger.add(record)
        if void:
            self.void += 1
            return void, None
        see = self._see.get(type(fact))
        if see is not None:
            see(fact)
        workflow = getattr(fact, "workflow", "")
        if workflow and getattr(fact, "task", "") == workflow:
            end = ledger.ended.get(workflow)
            if end is not None and end.offset == record.offset:
                self._ended(end)
                # its name alone is still needed, so that nobody opens it again
                ledger.ended[workflow] = end._replace(body=NOTHING)
                return void, end
        return void, None

    def paid(self, workflow: str) -> tuple[int, int]:
        """Return the micro-dollars that a workflow spent so far, and may spend; 0 once it ended."""
        for ledger in self._ledgers.values():
            root, end = ledger.tasks.get(workflow), ledger.ended.get(workflow)
            if root is not None:
                own = [task for task in ledger.tasks.values() if task.opened.workflow == workflow]
                return sum(task.purse.spent.micro_usd for task in own), root.purse.total.micro_usd
            if end is not None:
                return end.spent.micro_usd, 0
        return 0, 0

    @property
    def completed(self) -> int:
        """How many workflows were completed."""
        return self.ends[Status.COMPLETED]

    @property
    def ended(self) -> int:
        """How many workflows ended, in whatever way."""
        return sum(self.ends.values())

    @property
    def failed(self) -> int:
        """How many workflows ended otherwise than completed."""
        return self.ended - self.completed

    def _opened(self, fact: f.TaskOpened) -> None:
        self.tasks += 1
        if not fact.parent:
            self.workflows += 1

    def _called(self, _: f.BidsCalled) -> None:
        self.auctions += 1

    def _awarded(self, fact: f.TaskAwarded) -> None:
        if fact.award.cause in AGAIN:
            self.reawards += 1
        if fact.award.cause in DEAD:
            self.deaths += 1

    def _rejected(self, _: f.ResultRejected) -> None:
        self.sent_back += 1

    def _ended(self, end: End) -> None:
        self.ends[end.status] += 1
        self.cost = add(self.cost, end.spent)
        self.outcomes[outcome_of(end, self._kinds)] += 1


def outcome_of(end: End, kinds: tuple[str, ...] = ("decision",)) -> str:
    """Return how a workflow came out: its result's own word for it, else the status."""
    if end.status is Status.COMPLETED and end.body.content is not None:
        result = json.loads(end.body.content)
        if isinstance(result, dict):
            for kind in kinds:
                if isinstance(result.get(kind), str):
                    return str(result[kind])
    return end.status.value
