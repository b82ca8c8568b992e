"""What an instance has done, as numbers that only grow: for whoever watches many of them.

Every fact has one author, and each instance counts its own that counted. So the sum over all
instances is the mesh's: nothing is counted twice, and nothing that is void.

What may never happen, an end in failure or an award after a death, is there with 0 from the
beginning: who asks by how much a number grew cannot see the first time otherwise.

A child that an end above it took along has no fact of its own, and is in no number. What a worker
that died had not settled was charged in full by the fact that followed it, and is in no number
either: the ledger's purses are exact, these are rates to look at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final, NamedTuple

from mesh.core import facts as f
from mesh.core.changes import END_STATUS
from mesh.core.tasks import Phase, TaskState
from mesh.core.values import Amount, Cause, Mode, Status, StepKind, Terms

BOUNDS_MS: Final = (
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 1_800_000,
)  # fmt: skip
"""Upper bounds of times, inclusive: from one append to half an hour, two or three a decade."""
BOUNDS_BIDS: Final = (0, 1, 2, 3, 4, 8, 16)
"""Upper bounds of bids for one award: fewer than two is no competition."""
MAX_CAPABILITIES = 200
"""Capabilities with numbers of their own; those beyond are `OTHER`, so that memory is bounded."""
OTHER = "other"
ROOT, CHILD = "root", "child"
DONE, FAILED = "done", "failed"


class Name(NamedTuple):
    """One number: what is counted, of which capability, and by what else."""

    what: str
    capability: str
    of: tuple[str, ...] = ()


class Spread:
    """Mutable: how often a value was at most each bound, and beyond; and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0

    def __repr__(self) -> str:
        return f"Spread({sum(self.counts)} of {self.total})"

    def add(self, value: int) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Meter:
    """Mutable: the numbers of one instance.

    `counts` are by name: `tasks_opened` (of: level, mode), `tasks_ended` (status), `awards` (mode,
    cause), `declined`, `results_rejected`, `suspensions`, `steps` (kind, outcome), `granted` and
    `spent` (dimension), `replayed`. `spreads` are `task_ms`, `award_ms` (mode) and `bids`.
    """

    __slots__ = ("_capabilities", "counts", "spreads")

    def __init__(self) -> None:
        self.counts: Counter[Name] = Counter()
        self.spreads: dict[Name, Spread] = {}
        self._capabilities: set[str] = set()

    def __repr__(self) -> str:
        return f"Meter({len(self.counts)} counts, {len(self.spreads)} spreads)"

    def see(self, record: f.Record, task: TaskState) -> None:
        """Count an own fact that counted; `task` is its task as the fact has left it."""
        name = self._of(task.opened.capability)
        match record.fact:
            case f.TaskOpened() as opened:
                self._opened(name, opened)
                if opened.award is not None:
                    self._awarded(name, opened.award, 0)
            case f.TaskAwarded(award=terms):
                self._awarded(name, terms, record.append_ms - task.opened_ms)
            case f.StepFinished(kind=kind, error=error, spent=spent):
                self._step(name, kind, error)
                self._amount("spent", name, spent)
            case f.SpendSettled(amount=amount):
                self._amount("spent", name, amount)
            case f.DecisionRecorded():
                self._step(name, StepKind.DECISION, "")
            case f.AwardDeclined() | f.ResultRejected() | f.WorkSuspended() as fact:
                self.counts[Name(_PLAIN[type(fact)], name)] += 1
            case _:
                pass
        if task.phase is Phase.ENDED and isinstance(record.fact, _ENDS):
            self._ended(name, _status(record.fact), record.append_ms - task.opened_ms)

    def replayed(self, capability: str) -> None:
        """Count a step that the journal answered: it was not done again."""
        self.counts[Name("replayed", self._of(capability))] += 1

    def _opened(self, name: str, opened: f.TaskOpened) -> None:
        level = CHILD if opened.parent else ROOT
        self.counts[Name("tasks_opened", name, (level, opened.mode))] += 1
        if not opened.parent:
            self._amount("granted", name, opened.grant)

    def _awarded(self, name: str, terms: Terms, waited_ms: int) -> None:
        for cause in Cause:
            self.counts[Name("awards", name, (terms.mode, cause))] += cause is terms.cause
        if terms.cause is Cause.FIRST:
            self._spread(Name("award_ms", name, (terms.mode,)), BOUNDS_MS).add(waited_ms)
        if terms.mode is Mode.AUCTION and terms.call >= 0:
            bids = sum(not offer.declined for offer in terms.offers)
            self._spread(Name("bids", name), BOUNDS_BIDS).add(bids)

    def _step(self, name: str, kind: StepKind, error: str) -> None:
        self.counts[Name("steps", name, (kind, FAILED if error else DONE))] += 1

    def _ended(self, name: str, status: str, after_ms: int) -> None:
        self.counts[Name("tasks_ended", name, (status,))] += 1
        self._spread(Name("task_ms", name), BOUNDS_MS).add(after_ms)

    def _amount(self, what: str, name: str, amount: Amount) -> None:
        for dimension in ("micro_usd", "tokens", "tool_calls"):
            if value := getattr(amount, dimension):
                self.counts[Name(what, name, (dimension,))] += value

    def _spread(self, name: Name, bounds: tuple[int, ...]) -> Spread:
        found = self.spreads.get(name)
        if found is None:
            found = self.spreads[name] = Spread(bounds)
        return found

    def _of(self, capability: str) -> str:
        if capability in self._capabilities:
            return capability
        if len(self._capabilities) >= MAX_CAPABILITIES:
            return OTHER
        self._capabilities.add(capability)
        for status in Status:
            self.counts[Name("tasks_ended", capability, (status,))] += 0
        return capability


_PLAIN: Final = {
    f.AwardDeclined: "declined",
    f.ResultRejected: "results_rejected",
    f.WorkSuspended: "suspensions",
}
_ENDS: Final = f.EndFact | f.WorkFinished


def _status(fact: f.EndFact | f.WorkFinished) -> str:
    return fact.outcome if isinstance(fact, f.WorkFinished) else END_STATUS[type(fact)]
